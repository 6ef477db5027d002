//! `perdura local-cluster`: a whole group on this machine, for a trial.
//!
//! - Each node is a child process, as real as any other; kill one and see. What has ended is not started again, the
//!   command to do so is printed.
//! - Children have process groups of their own: Ctrl-C reaches this process only, and it ends them in order.
//! - The password reaches the children by the environment, where `ps` does not show it.

mod output;
pub(super) mod plan;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use clap::{ArgMatches, Command};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::{MISTAKE, complain};
use plan::{ClusterPlan, NodePlan};

const POLL: Duration = Duration::from_millis(100);

/// Polls that a node may take to end before it is killed: 30 s.
const PATIENCE_POLLS: u32 = 300;

/// A child and what is known of it.
struct Node {
    plan: NodePlan,
    child: Child,
    listens: bool,
    ended: Option<ExitStatus>,
}

/// What ends the wait for a signal.
enum Outcome {
    AllEnded,
    Asked,
}

pub fn command() -> Command {
    plan::command()
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let plan = match ClusterPlan::read(matches) {
        Ok(plan) => plan,
        Err(mistake) => {
            complain(mistake);
            return ExitCode::from(MISTAKE);
        }
    };
    match run_plan(plan) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}

/// Runs the nodes until they are told to end. Whether all ended well.
fn run_plan(plan: ClusterPlan) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let mut nodes = start_all(plan)?;
        match watch(&mut nodes, &mut signals).await {
            Outcome::AllEnded => Ok(false),
            Outcome::Asked => Ok(stop(&mut nodes, &mut signals).await),
        }
    })
}

/// SIGINT, SIGTERM, and SIGHUP of a terminal that is closed: nodes would run on without one.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Starts every node, or none.
fn start_all(plan: ClusterPlan) -> io::Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for plan in plan.nodes {
        match start(plan) {
            Ok(node) => nodes.push(node),
            Err(error) => {
                for node in &mut nodes {
                    node.kill();
                }
                return Err(error);
            }
        }
    }
    Ok(nodes)
}

fn start(plan: NodePlan) -> io::Result<Node> {
    let mut child = plan
        .command()?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    output::forward(plan.id, child.stdout.take(), io::stdout());
    output::forward(plan.id, child.stderr.take(), io::stderr());
    Ok(Node { plan, child, listens: false, ended: None })
}

impl Node {
    /// Notices what happened to it, and says so.
    fn poll(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if let Ok(Some(status)) = self.child.try_wait() {
            self.ended = Some(status);
            println!("node {} ended: {status}; to start it again: {}", self.plan.id, self.plan.line());
        } else if !self.listens && self.answers() {
            self.listens = true;
            println!("node {} listens: redis-cli -p {}", self.plan.id, self.plan.port);
        }
    }

    fn answers(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.plan.port));
        TcpStream::connect_timeout(&address, POLL).is_ok()
    }

    fn terminate(&mut self) {
        if kill_process(Pid::from_child(&self.child), Signal::TERM).is_err() {
            complain(format_args!("node {} can't be told to end", self.plan.id));
        }
    }

    fn kill(&mut self) {
        if self.child.kill().is_ok() {
            self.ended = self.child.wait().ok();
        }
    }
}

async fn watch(nodes: &mut [Node], signals: &mut Signals) -> Outcome {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = signals.next() => return Outcome::Asked,
            _ = ticks.tick() => nodes.iter_mut().for_each(Node::poll),
        }
        if nodes.iter().all(|node| node.ended.is_some()) {
            complain("all nodes have ended");
            return Outcome::AllEnded;
        }
    }
}

/// Ends the nodes that run: asks, waits, and after a second signal or too long a time kills. Whether all of them
/// ended well.
async fn stop(nodes: &mut [Node], signals: &mut Signals) -> bool {
    println!("stopping; once more kills");
    let mut nodes: Vec<&mut Node> = nodes.iter_mut().filter(|node| node.ended.is_none()).collect();
    nodes.iter_mut().for_each(|node| node.terminate());
    let mut ticks = interval(POLL);
    for _ in 0..PATIENCE_POLLS {
        tokio::select! {
            () = signals.next() => break,
            _ = ticks.tick() => {}
        }
        for node in nodes.iter_mut().filter(|node| node.ended.is_none()) {
            node.ended = node.child.try_wait().ok().flatten();
        }
        if nodes.iter().all(|node| node.ended.is_some()) {
            break;
        }
    }
    for node in nodes.iter_mut().filter(|node| node.ended.is_none()) {
        complain(format_args!("node {} is killed", node.plan.id));
        node.kill();
    }
    nodes.iter().all(|node| node.ended.is_some_and(|status| status.success()))
}
