//! The system under test: its nodes, how each is started, stopped and hurt, and the network between them.
//!
//! - Nodes count from 0 here and from 1 wherever people see them.
//! - Own child processes can be killed, stopped and paused, and have proxies between them. A user's own nodes can suffer what
//!   there is a command for.

pub mod launch;

use std::io;

use super::commands::{self, Commands};
use super::fault::{FaultKind, Means};
use super::links::Links;
use super::process::Process;
use super::small_disk::SmallDisk;

/// What is put to the test.
#[derive(Debug)]
pub struct Fleet {
    pub nodes: Vec<Node>,
    /// None between a user's own nodes.
    pub links: Option<Links>,
    /// The group elects its primary by itself.
    pub elects: bool,
    /// The node on the small disk and the disk, or why there is none.
    pub small_disk: Result<(usize, SmallDisk), String>,
    commands: Commands,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Where clients reach it, as host:port.
    pub address: String,
    /// None for a user's own.
    process: Option<Process>,
    state: State,
}

/// What the harness has done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Paused,
    Down,
}

impl Fleet {
    /// Where clients reach the nodes.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    /// Where `from` reaches `to`.
    pub fn address_between(&self, from: usize, to: usize) -> String {
        match &self.links {
            Some(links) => links.address(from, to).to_string(),
            None => self.nodes[to].address.clone(),
        }
    }

    /// Why this fault can't be had here, if it can't.
    pub fn lacks(&self, kind: FaultKind) -> Option<String> {
        if self.nodes.len() == 1 && kind.info().needs_others() {
            return Some("there is one node only".to_owned());
        }
        self.lacks_means(kind.info().means)
    }

    fn lacks_means(&self, means: Means) -> Option<String> {
        let own = self.nodes.iter().all(|node| node.process.is_some());
        let missing = |flag: &str, command: &Option<String>| {
            (!own && command.is_none()).then(|| format!("there is no {flag}"))
        };
        match means {
            Means::Kill => missing("--kill-cmd", &self.commands.kill)
                .or_else(|| missing("--start-cmd", &self.commands.start)),
            Means::Stop => missing("--stop-cmd", &self.commands.stop)
                .or_else(|| missing("--start-cmd", &self.commands.start)),
            Means::Pause => missing("--pause-cmd", &self.commands.pause)
                .or_else(|| missing("--resume-cmd", &self.commands.resume)),
            Means::Links if self.links.is_none() => {
                Some("the nodes are not started by the harness".to_owned())
            }
            Means::Links => None,
            Means::SmallDisk => self.small_disk.as_ref().err().cloned(),
        }
    }

    /// The command that promotes a node, if one was given.
    pub fn promote_command(&self) -> Option<&str> {
        self.commands.promote.as_deref()
    }

    /// Ends a node as a machine's death would: what it had on the way to others is gone, too.
    pub async fn kill(&mut self, node: usize) -> io::Result<()> {
        if self.nodes[node].state == State::Down {
            return Ok(());
        }
        self.nodes[node].state = State::Down;
        if let Some(links) = &self.links {
            links.others(node).for_each(|other| links.hold(node, other));
        }
        let killed = match &mut self.nodes[node].process {
            Some(process) => process.kill(),
            None => self.run(node, self.commands.kill.as_deref()).await,
        };
        if let Some(links) = &self.links {
            links.reset_node(node);
            links.others(node).for_each(|other| links.release(node, other));
        }
        killed
    }

    /// Ends a node in good order.
    pub async fn stop(&mut self, node: usize) -> io::Result<()> {
        if self.nodes[node].state == State::Down {
            return Ok(());
        }
        self.nodes[node].state = State::Down;
        match &mut self.nodes[node].process {
            Some(process) => process.stop().await,
            None => self.run(node, self.commands.stop.as_deref()).await,
        }
    }

    /// Starts a node that is down.
    pub async fn start(&mut self, node: usize) -> io::Result<()> {
        if self.nodes[node].state != State::Down {
            return Ok(());
        }
        self.nodes[node].state = State::Running;
        match &mut self.nodes[node].process {
            Some(process) => process.start(),
            None => self.run(node, self.commands.start.as_deref()).await,
        }
    }

    pub async fn pause(&mut self, node: usize) -> io::Result<()> {
        if self.nodes[node].state != State::Running {
            return Ok(());
        }
        self.nodes[node].state = State::Paused;
        match &mut self.nodes[node].process {
            Some(process) => process.pause(),
            None => self.run(node, self.commands.pause.as_deref()).await,
        }
    }

    pub async fn resume(&mut self, node: usize) -> io::Result<()> {
        if self.nodes[node].state != State::Paused {
            return Ok(());
        }
        self.nodes[node].state = State::Running;
        match &mut self.nodes[node].process {
            Some(process) => process.resume(),
            None => self.run(node, self.commands.resume.as_deref()).await,
        }
    }

    /// Ends whatever faults hold: all nodes run, all links are open.
    pub async fn heal(&mut self) -> io::Result<()> {
        if let Some(links) = &self.links {
            links.heal();
        }
        for node in 0..self.nodes.len() {
            self.resume(node).await?;
            self.start(node).await?;
        }
        Ok(())
    }

    /// Nodes that ended by themselves since the last call, with how; they count as down from now on.
    pub fn take_exits(&mut self) -> Vec<(usize, String)> {
        let mut exits = Vec::new();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            let Some(process) = &mut node.process else { continue };
            if let Some(status) = process.take_exit() {
                node.state = State::Down;
                exits.push((number, format!("{status}; see {}", process.log().display())));
            }
        }
        exits
    }

    async fn run(&self, node: usize, command: Option<&str>) -> io::Result<()> {
        commands::run(command, node, &self.nodes[node].address).await
    }
}
