//! A run from beginning to end.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use perdura_proof::{History, Reply};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, LocalSet};

use super::connection::ask_once;
use super::fault::FaultKind;
use super::fleet::Fleet;
use super::load::{Load, LoadPlan};
use super::monitor::View;
use super::nemesis::{Nemesis, Trouble};
use super::pauses;
use super::place::Place;
use super::progress::Progress;
use super::report;
use super::series::{Latency, Series};
use super::summary::{self, CheckLine, Operations, Settings, Skipped, Summary, Verdict};
use super::{Options, System, TortureError, digests, operator};
use crate::env::Clock;
use crate::version;

/// How long nodes may take to become ready.
const READY_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Time left for a fault's recovery at the end of a run.
const LAST_RECOVERY: Duration = Duration::from_secs(3);

/// Everything that a run has left behind in memory.
struct Aftermath {
    history: History,
    nemesis: Nemesis,
    lines: Vec<CheckLine>,
    /// µs that clients were at work.
    length_us: u64,
    was_interrupted: bool,
}

/// Runs, and leaves a report in the folder.
///
/// # Errors
/// Whatever kept the run from happening, or its report from being written.
pub fn run(options: &Options) -> Result<Summary, TortureError> {
    prepare_dir(&options.dir)?;
    let clock = Clock::system();
    let started_unix_ms = clock.unix_ms();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = Progress::new(options.length, options.quiet);
    let (skipped, settings, aftermath) = LocalSet::new().block_on(&runtime, async {
        let fleet = launch(options, &clock).await?;
        let (faults, skipped) = available(&options.faults, &fleet);
        for skipped in skipped.iter().filter(|_| !options.quiet) {
            progress.say(&format!("skipped: {}: {}", skipped.faults.join(", "), skipped.why));
        }
        let settings = settings(options, &fleet, &faults).await;
        let aftermath = torture(options, fleet, &faults, &clock, &progress).await?;
        Ok::<_, TortureError>((skipped, settings, aftermath))
    })?;
    progress.doing("checking the history");
    progress.close();
    let Aftermath { history, nemesis, mut lines, length_us, was_interrupted } = aftermath;
    let judgement = perdura_proof::check(&history, &perdura_proof::Options::default());
    let mut checks = summary::history_lines(&judgement);
    checks.append(&mut lines);
    checks.extend(summary::harness_lines(&nemesis.trouble, nemesis.records.len()));
    let (verdict, reasons) = judge(&checks, &options.faults, nemesis.records.len(), was_interrupted);
    let seconds = length_us as f64 / 1e6;
    let operations = operations(&history);
    let summary = Summary {
        verdict,
        reasons,
        started_unix_ms,
        seconds,
        settings,
        checks,
        operations,
        operations_per_second: operations.acknowledged as f64 / seconds.max(1e-6),
        write_latency: Latency::of(&history, |operation| !operation.is_final && !operation.action.is_read()),
        read_latency: Latency::of(&history, |operation| !operation.is_final && operation.action.is_read()),
        faults: nemesis.records.len(),
        failovers: nemesis.load.view.failovers(),
        outages: summary::outages(&nemesis.records),
        never_came: summary::never_came(&nemesis.records, &options.faults, &skipped),
        worst_pause: pauses::worst(&history, options.clients, length_us),
        skipped,
    };
    let series = Series::of(&history, length_us);
    report::write(&options.dir, &summary, &history, &nemesis.records, &series)?;
    drop(nemesis);
    if verdict == Verdict::Passed && !options.keep_data {
        remove_data(&options.dir)?;
    }
    Ok(summary)
}

fn prepare_dir(dir: &Path) -> Result<(), TortureError> {
    let file = |source| TortureError::File { path: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(file)?;
    match std::fs::read_dir(dir).map_err(file)?.next() {
        None => Ok(()),
        Some(_) => Err(TortureError::DirInUse(dir.to_owned())),
    }
}

fn remove_data(dir: &Path) -> Result<(), TortureError> {
    let nodes = dir.join("nodes");
    match std::fs::remove_dir_all(&nodes) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TortureError::File { path: nodes, source: error })
        }
        _ => Ok(()),
    }
}

async fn launch(options: &Options, clock: &Clock) -> Result<Fleet, TortureError> {
    let dir = std::path::absolute(&options.dir)?;
    match &options.system {
        System::Perdura(own) => Fleet::perdura(own, &dir, clock).map_err(TortureError::Launch),
        System::RedisServers(own) => Fleet::redis_servers(own, &dir, clock).map_err(TortureError::Launch),
        System::Running { nodes, commands } => {
            let first = nodes.first().map(String::as_str).unwrap_or_default();
            let info = ask_once(first, &["INFO", "server"], ANSWER_LIMIT).await;
            let info = info.map_err(|error| TortureError::NotReady(format!("{first}: {error}")))?;
            let elects = info_field(&info, "perdura_version").is_some();
            Ok(Fleet::running(nodes.clone(), commands.clone(), elects))
        }
    }
}

/// The faults that can be had, and the others with the reason.
fn available(wanted: &[FaultKind], fleet: &Fleet) -> (Vec<FaultKind>, Vec<Skipped>) {
    let mut faults = Vec::new();
    let mut skipped: Vec<Skipped> = Vec::new();
    for kind in wanted {
        let Some(why) = fleet.lacks(*kind) else {
            faults.push(*kind);
            continue;
        };
        match skipped.iter_mut().find(|skipped| skipped.why == why) {
            Some(skipped) => skipped.faults.push(kind.name()),
            None => skipped.push(Skipped { faults: vec![kind.name()], why }),
        }
    }
    (faults, skipped)
}

async fn settings(options: &Options, fleet: &Fleet, faults: &[FaultKind]) -> Settings {
    let link_delay = match &options.system {
        System::Perdura(own) | System::RedisServers(own) => own.link_delay,
        System::Running { .. } => Duration::ZERO,
    };
    Settings {
        system: system_name(&fleet.nodes[0].address).await,
        nodes: fleet.addresses(),
        faults: faults.iter().map(|kind| kind.name()).collect(),
        workloads: options.workloads.iter().map(ToString::to_string).collect(),
        seed: options.seed,
        minutes: options.length.as_secs_f64() / 60.0,
        rate: options.rate,
        clients: options.clients,
        link_delay_ms: link_delay.as_millis() as u64,
        harness_version: version::TEXT,
        command: options.command.clone(),
        place: Place::of(&options.dir),
    }
}

/// What a node says that it is; it may just be starting.
async fn system_name(address: &str) -> String {
    for _ in 0..READY_LIMIT.as_millis() / POLL.as_millis() {
        if let Ok(info) = ask_once(address, &["INFO", "server"], ANSWER_LIMIT).await {
            if let Some(version) = info_field(&info, "perdura_version") {
                let commit = info_field(&info, "perdura_commit").map(|commit| format!(" ({commit})"));
                return format!("Perdura {version}{}", commit.unwrap_or_default());
            }
            if let Some(version) = info_field(&info, "redis_version") {
                return format!("Redis {version}");
            }
        }
        tokio::time::sleep(POLL).await;
    }
    "a system without a name".to_owned()
}

fn info_field(info: &Reply, name: &str) -> Option<String> {
    let Reply::Bulk(Some(bytes)) = info else { return None };
    let text = String::from_utf8_lossy(bytes);
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
}

/// Lets clients and faults loose on the fleet.
async fn torture(
    options: &Options,
    fleet: Fleet,
    faults: &[FaultKind],
    clock: &Clock,
    progress: &Rc<Progress>,
) -> Result<Aftermath, TortureError> {
    let view = View::new(fleet.nodes.len(), fleet.elects);
    let mut helpers = JoinSet::new();
    for (node, address) in fleet.addresses().into_iter().enumerate() {
        helpers.spawn_local(view.clone().watch(node, address));
    }
    let plan = LoadPlan {
        kinds: options.workloads.clone(),
        seed: options.seed,
        clients: options.clients,
        rate: options.rate,
    };
    let load = Load::new(plan, fleet.addresses(), fleet.elects, view.clone(), clock.clone());
    let mut nemesis = Nemesis::new(fleet, load.clone(), faults, options.seed);
    become_ready(&mut nemesis).await?;
    load.set_up().await.map_err(TortureError::NotReady)?;
    let was_interrupted = interruption(&mut helpers);
    let begun_us = load.now_us();
    helpers.spawn_local(progress.clone().follow(load.clone(), begun_us));
    let mut clients = load.start();
    suffer(options, &mut nemesis, begun_us, progress, &was_interrupted).await;
    let length_us = load.now_us();
    progress.doing("reading everything once more");
    load.end();
    while clients.join_next().await.is_some() {}
    nemesis.note_last_exits();
    let mut lines = Vec::new();
    if let Err(why) = load.read_everything().await {
        nemesis.trouble.push(Trouble::NoRecovery(format!("a last read: {why}")));
    }
    lines.push(digests::check(&nemesis.fleet.addresses()).await);
    let history = load.take_history();
    Ok(Aftermath { history, nemesis, lines, length_us, was_interrupted: was_interrupted.get() })
}

/// Waits for a primary and for the others to be connected to it.
async fn become_ready(nemesis: &mut Nemesis) -> Result<(), TortureError> {
    let load = nemesis.load.clone();
    let limit_us = load.now_us() + READY_LIMIT.as_micros() as u64;
    let mut last = "they do not answer".to_owned();
    while load.now_us() < limit_us {
        if let Some((node, how)) = nemesis.fleet.take_exits().into_iter().next() {
            return Err(TortureError::NotReady(format!("node {} ended: {how}", node + 1)));
        }
        if !nemesis.fleet.elects && load.view.primary().is_none() {
            match operator::appoint(&nemesis.fleet, &load.view, 0).await {
                Ok(()) => {}
                Err(error) => last = error.to_string(),
            }
        }
        let gathered = match (nemesis.fleet.elects, load.view.primary()) {
            (true, _) => true,
            (false, Some(primary)) => {
                load.view.settled_offset().is_some() || operator::gather(&nemesis.fleet, primary).await
            }
            (false, None) => false,
        };
        if gathered && load.view.settled_offset().is_some_and(|offset| load.view.has_reached(offset)) {
            return Ok(());
        }
        tokio::time::sleep(POLL * 5).await;
    }
    Err(TortureError::NotReady(last))
}

/// Becomes true on Ctrl-C, SIGTERM or SIGHUP.
fn interruption(helpers: &mut JoinSet<()>) -> Rc<Cell<bool>> {
    let interrupted = Rc::new(Cell::new(false));
    let told = interrupted.clone();
    helpers.spawn_local(async move {
        let (terminate, hangup) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        let (Ok(mut terminate), Ok(mut hangup)) = (terminate, hangup) else { return };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        told.set(true);
    });
    interrupted
}

/// One fault after the other until the time is over.
async fn suffer(
    options: &Options,
    nemesis: &mut Nemesis,
    begun_us: u64,
    progress: &Progress,
    was_interrupted: &Cell<bool>,
) {
    let load = nemesis.load.clone();
    let end_us = begun_us + options.length.as_micros() as u64;
    let has_time_for = |time: Duration| load.now_us() + time.as_micros() as u64 <= end_us;
    while let Some(planned) = nemesis.plan() {
        if !has_time_for(planned.calm + planned.hold + LAST_RECOVERY) || was_interrupted.get() {
            break;
        }
        progress.doing("no fault");
        tokio::time::sleep(planned.calm).await;
        progress.doing(format!("fault: {}", planned.kind));
        let recovered = nemesis.suffer(planned).await;
        if let Some(record) = nemesis.records.last().filter(|_| !options.quiet) {
            progress.fault(record);
        }
        if !recovered {
            return;
        }
    }
    progress.doing("no fault");
    while has_time_for(POLL) && !was_interrupted.get() {
        tokio::time::sleep(POLL).await;
    }
}

fn operations(history: &History) -> Operations {
    let mut counts = Operations::default();
    for operation in history.operations.iter().filter(|operation| !operation.is_final) {
        counts.all += 1;
        counts.acknowledged += u64::from(operation.is_acknowledged());
        counts.acknowledged_writes += u64::from(operation.is_acknowledged() && !operation.action.is_read());
        counts.did_not_happen += u64::from(operation.did_not_happen());
        counts.in_doubt += u64::from(operation.is_in_doubt());
        counts.replica_reads += u64::from(operation.reads_from == perdura_proof::ReadsFrom::Replica);
    }
    counts
}

/// The verdict, and why it is no better.
fn judge(
    checks: &[CheckLine],
    faults: &[FaultKind],
    injected: usize,
    was_interrupted: bool,
) -> (Verdict, Vec<String>) {
    let mut reasons: Vec<String> = checks.iter().filter_map(CheckLine::reason).collect();
    let mut verdict = Verdict::of(checks);
    let mut incomplete = |reason: &str| {
        reasons.push(reason.to_owned());
        if verdict == Verdict::Passed {
            verdict = Verdict::Incomplete;
        }
    };
    if was_interrupted {
        incomplete("it was interrupted");
    }
    if injected == 0 && !faults.is_empty() {
        incomplete("there was no time for any fault");
    }
    (verdict, reasons)
}
