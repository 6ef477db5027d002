//! `perdura digest`: do the nodes of a group hold the same data?
//!
//! - They are compared at one entry of the log, while clients go on writing: a mark is set in the log, every node takes a checkpoint
//!   of its own right behind it, and tells keys and digest of that. So it costs each node a checkpoint, of what changed since the last.
//! - A node that was writing a checkpoint already misses the mark: another is set.
//! - Before anything is set the nodes say which cluster they are of: only members of one are compared, each once.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::ProgressBar;
use redis_protocol::resp2::types::OwnedFrame;
use serde::Serialize;

use super::connection::{self, AskError, Connection, Fields, Target};
use super::failure::{self, DAMAGE, Failure, GOOD, write_json};
use super::status::group;
use crate::admin::report::NodeReport;
use crate::env::{self, Clock};

const EXIT_CODES: &str = "\
Exit codes:
  0  the nodes hold the same, or there was one node alone
  1  they do not
  2  a mistake in what was asked
  4  they could not be compared";

const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often nodes are asked whether they are done.
const POLL: Duration = Duration::from_millis(50);

pub fn command() -> Command {
    Command::new("digest")
        .about("Compare the data of a group's nodes at one entry of the log, while they run")
        .long_about(
            "Compare the data of a group's nodes at one entry of the log, while they run. Every node of the group takes a \
             checkpoint at that entry; who writes is not held up. The password, if there is one, comes from \
             PERDURA_REQUIREPASS.",
        )
        .after_help(EXIT_CODES)
        .args([
            connection::user(),
            Arg::new("addr")
                .long("addr")
                .value_name("HOST:PORT")
                .action(ArgAction::Append)
                .required(true)
                .help("A node; give one --addr for each. Of one alone keys and digest are shown"),
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(1..=86_400))
                .default_value("300")
                .help("How long all of it may take"),
            Arg::new("json").long("json").action(ArgAction::SetTrue).help("Answer with a JSON document"),
        ])
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = compare(matches).and_then(|report| {
        if matches.get_flag("json") {
            write_json(&mut out, &report)?
        } else {
            report.write_text(&mut out)?
        }
        Ok(if report.equal == Some(false) { DAMAGE } else { GOOD })
    });
    failure::end(done, out)
}

#[derive(Debug, Serialize)]
struct Report {
    /// None where there is one node alone: nothing was compared.
    equal: Option<bool>,
    /// The entry behind which they were compared.
    index: u64,
    nodes: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    addr: String,
    node_id: u64,
    index: u64,
    keys: u64,
    digest: String,
    /// `same`, or `differs` from what most hold; none of one node alone.
    verdict: Option<&'static str>,
}

struct Node {
    addr: String,
    connection: Connection,
    /// What it said of itself before anything was compared.
    report: NodeReport,
}

/// What a node tells of a mark.
struct Told {
    state: String,
    node_id: u64,
    applied: u64,
    index: u64,
    keys: u64,
    digest: String,
    reason: String,
}

/// Until when all is to be done.
struct Deadline {
    clock: Clock,
    at_ms: u64,
}

impl Deadline {
    fn in_seconds(seconds: u64) -> Deadline {
        let clock = Clock::system();
        let at_ms = clock.monotonic_ms() + seconds * 1000;
        Deadline { clock, at_ms }
    }

    /// Waits a little.
    fn pause(&self, why: &dyn Fn() -> String) -> Result<(), Failure> {
        if self.clock.monotonic_ms() >= self.at_ms {
            return Err(Failure::Failed(why()));
        }
        thread::sleep(POLL);
        Ok(())
    }
}

fn compare(matches: &ArgMatches) -> Result<Report, Failure> {
    let deadline = Deadline::in_seconds(matches.get_one("timeout").copied().unwrap_or(300));
    let addrs = matches.get_many::<String>("addr").into_iter().flatten();
    let mut nodes: Vec<Node> = addrs.map(|addr| Node::open(addr, matches)).collect::<Result<_, _>>()?;
    check_group(&nodes)?;
    check_disks(&nodes)?;
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(POLL);
    let report = loop {
        spinner.set_message("waiting until no node writes a checkpoint");
        for node in &mut nodes {
            node.wait_until_idle(&deadline)?;
        }
        let mark = format!("{:016x}", env::random_seed());
        spinner.set_message("setting a mark in the log");
        set_mark(&mut nodes, &mark, &deadline)?;
        spinner.set_message("waiting for the nodes' checkpoints of it");
        let told = nodes.iter_mut().map(|node| node.done(&mark, &deadline)).collect::<Result<Vec<_>, _>>()?;
        if told.iter().all(|told| told.state == "done") {
            break Report::of(&nodes, told);
        }
        let reasons = told.iter().filter(|told| told.state == "missed").map(|told| told.reason.clone());
        let reasons: Vec<String> = reasons.collect();
        deadline.pause(&|| format!("every mark was missed by some node: {}", reasons.join("; ")))?;
    };
    spinner.finish_and_clear();
    Ok(report)
}

/// Refuses nodes that can't be compared: of different clusters, or one of them twice.
fn check_group(nodes: &[Node]) -> Result<(), Failure> {
    for (at, node) in nodes.iter().enumerate() {
        for before in &nodes[..at] {
            if before.report.run_id == node.report.run_id {
                let id = node.report.node_id;
                let text =
                    format!("{} and {} are the same node, {id}: give each node once", before.addr, node.addr);
                return Err(Failure::Mistake(text));
            }
            let (one, other) = (&before.report.cluster_id, &node.report.cluster_id);
            if one != other && !one.is_empty() && !other.is_empty() {
                let text = format!(
                    "{} is of cluster {one}, {} of cluster {other}: only members of one cluster are compared",
                    before.addr, node.addr
                );
                return Err(Failure::Failed(text));
            }
        }
    }
    Ok(())
}

/// Refuses nodes that can't write the checkpoint that is compared.
fn check_disks(nodes: &[Node]) -> Result<(), Failure> {
    let is_full = |node: &&Node| node.report.disk.as_ref().is_some_and(|disk| disk.is_full);
    let Some(full) = nodes.iter().find(is_full) else { return Ok(()) };
    let text = format!(
        "{}: the disk of node {} is full, so it can't write the checkpoint that is compared: make space first (docs/operations.md, The disk is \
         full), or leave it out",
        full.addr, full.report.node_id
    );
    Err(Failure::Failed(text))
}

/// Sets a mark by way of any node. Where it is in doubt whether it was set, the nodes will show.
fn set_mark(nodes: &mut [Node], mark: &str, deadline: &Deadline) -> Result<(), Failure> {
    loop {
        let mut refusal = String::new();
        for node in &mut *nodes {
            match node.connection.ask(&["PERDURA", "MARK", mark]) {
                Ok(_) => return Ok(()),
                Err(AskError::Refused(text)) if text.starts_with("INDOUBT") => return Ok(()),
                Err(AskError::Refused(text)) => refusal = format!("{}: {text}", node.addr),
                Err(error) => return Err(node.failure(error)),
            }
        }
        deadline.pause(&|| format!("no mark could be set: {refusal}"))?;
    }
}

impl Node {
    fn open(addr: &str, matches: &ArgMatches) -> Result<Node, Failure> {
        let target = Target::find(Some(addr), matches).map_err(Failure::Mistake)?;
        let addr = target.addr.to_string();
        let asked = group::ask(&target, STEP_TIMEOUT)
            .and_then(|report| Ok((report, Connection::open(&target, STEP_TIMEOUT)?)));
        match asked {
            Ok((report, connection)) => Ok(Node { addr, connection, report }),
            Err(error) => Err(Failure::Node { addr, error }),
        }
    }

    fn failure(&self, error: AskError) -> Failure {
        Failure::Node { addr: self.addr.clone(), error }
    }

    fn wait_until_idle(&mut self, deadline: &Deadline) -> Result<(), Failure> {
        loop {
            let busy = self.connection.info("rdb_bgsave_in_progress").map_err(|error| self.failure(error))?;
            if busy.as_deref() != Some("1") {
                return Ok(());
            }
            deadline.pause(&|| format!("{}: it is still writing a checkpoint", self.addr))?;
        }
    }

    /// Waits until the node has come to the mark, and is done with it or has missed it.
    fn done(&mut self, mark: &str, deadline: &Deadline) -> Result<Told, Failure> {
        loop {
            let answer = self.connection.ask(&["PERDURA", "DIGEST", mark]);
            let told = answer.and_then(Told::of).map_err(|error| self.failure(error))?;
            match told.state.as_str() {
                "done" | "missed" => return Ok(told),
                "failed" => {
                    let reason = format!("{}: its checkpoint failed: {}", self.addr, told.reason);
                    return Err(Failure::Failed(reason));
                }
                _ => deadline.pause(&|| self.overdue(&told))?,
            }
        }
    }

    fn overdue(&self, told: &Told) -> String {
        match told.state.as_str() {
            "writing" => format!("{}: its checkpoint is not written yet", self.addr),
            _ => format!(
                "{}: it has not come to the mark; it lags, or is of another group (it has applied entry {}): look at `perdura status`, or give it more --timeout",
                self.addr, told.applied
            ),
        }
    }
}

impl Told {
    fn of(answer: OwnedFrame) -> Result<Told, AskError> {
        let fields = Fields::of(answer)?;
        Ok(Told {
            state: fields.text("state")?,
            node_id: fields.number("node_id")?,
            applied: fields.number("applied")?,
            index: fields.number("index")?,
            keys: fields.number("keys")?,
            digest: fields.text("digest")?,
            reason: fields.text("reason")?,
        })
    }
}

impl Report {
    fn of(nodes: &[Node], told: Vec<Told>) -> Report {
        let usual = usual(&told);
        let row = |(node, told): (&Node, Told)| {
            let same = usual.as_ref() == Some(&(told.index, told.keys, told.digest.clone()));
            let verdict = if same { "same" } else { "differs" };
            let verdict = (nodes.len() > 1).then_some(verdict);
            let Told { node_id, index, keys, digest, .. } = told;
            Row { addr: node.addr.clone(), node_id, index, keys, digest, verdict }
        };
        let rows: Vec<Row> = nodes.iter().zip(told).map(row).collect();
        let index = rows.first().map_or(0, |row| row.index);
        let equal = (rows.len() > 1).then(|| rows.iter().all(|row| row.verdict == Some("same")));
        Report { equal, index, nodes: rows }
    }

    fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        let width = self.nodes.iter().map(|row| row.addr.len()).max().unwrap_or(0).max(4);
        let (addr, node, index, keys, digest) = ("addr", "node", "index", "keys", "digest");
        writeln!(out, "{addr:<width$}  {node:>4}  {index:>10}  {keys:>12}  {digest:<32}  verdict")?;
        for Row { addr, node_id, index, keys, digest, verdict } in &self.nodes {
            let verdict = verdict.unwrap_or("nothing to compare with: give one --addr for each member");
            writeln!(out, "{addr:<width$}  {node_id:>4}  {index:>10}  {keys:>12}  {digest:<32}  {verdict}")?;
        }
        Ok(())
    }
}

/// What more than half of the nodes hold.
fn usual(told: &[Told]) -> Option<(u64, u64, String)> {
    let mut counts = BTreeMap::<_, usize>::new();
    for told in told {
        *counts.entry((told.index, told.keys, told.digest.clone())).or_default() += 1;
    }
    counts.into_iter().find(|(_, count)| count * 2 > told.len()).map(|(held, _)| held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(digest: &str) -> Told {
        let (state, reason, digest) = ("done".to_owned(), String::new(), digest.to_owned());
        Told { state, node_id: 1, applied: 9, index: 7, keys: 3, digest, reason }
    }

    #[test]
    fn what_most_hold_is_usual_and_two_that_differ_are_not() {
        let held = |told: &[Told]| usual(told).map(|(_, _, digest)| digest);
        assert_eq!(held(&[told("a"), told("b"), told("a")]).as_deref(), Some("a"));
        assert_eq!(held(&[told("a"), told("b")]), None);
        assert_eq!(held(&[told("a")]).as_deref(), Some("a"));
    }
}
