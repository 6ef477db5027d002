//! A run: a cluster and its clients, from their first moment to the judgement, on one thread and from one seed.
//!
//! The order of things: the cluster comes up and is set up; clients work while faults strike; everything is healed and
//! has to recover within a bound; everything is read once more; the history is judged.

use std::collections::BTreeMap;

use perdura::env::Now;
use perdura_proof::{Options, check};

use crate::ambush::Ambushes;
use crate::clients::{Clients, Task};
use crate::coverage::{Counts, Seen};
use crate::faults::Undo;
use crate::host::Host;
use crate::invariants::Invariants;
use crate::network::End;
use crate::queue::{Event, MS, Micros, SECOND};
use crate::scenario::Scenario;
use crate::stage::Stage;

pub struct World {
    pub stage: Stage,
    pub hosts: Vec<Host>,
    pub clients: Clients,
    pub invariants: Invariants,
    pub trouble_ends: Micros,
    pub lasting: BTreeMap<u64, Undo>,
    pub next_fault: u64,
    pub ambushes: Ambushes,
}

/// What came of a run.
pub struct Run {
    pub findings: Vec<String>,
    pub hash: u64,
    pub counts: Counts,
    pub story: String,
}

/// One seed in ten thousand has a history whose order takes more than the million steps that are usual.
const MAX_STEPS_PER_KEY: u64 = 20_000_000;
/// A cluster without trouble elects, and serves, within this time.
const RECOVERY_US: Micros = 30 * SECOND;
/// How often a phase looks whether it is over.
const LOOK_US: Micros = 10 * MS;
/// For how long clients go on after everything is healed.
const CALM_US: Micros = SECOND;

/// What the primary shows at a moment, as it looked at its clocks last.
#[derive(Debug)]
struct GroupTime {
    primary: usize,
    monotonic_ms: u64,
    /// The time by which it judges deadlines.
    reading_ms: i64,
    /// How far its calendar is ahead of the group's.
    ahead_ms: i64,
}

impl World {
    pub fn new(seed: u64, told: bool) -> World {
        let scenario = Scenario::draw(seed);
        let nodes = scenario.nodes;
        let mut stage = Stage::new(scenario, told);
        stage.tell(|| format!("seed {seed}"));
        let scenario = stage.scenario.clone();
        stage.tell(|| format!("{scenario:?}"));
        let hosts = (0..nodes).map(|node| Host::new(&scenario, node, &mut stage.chance.nodes)).collect();
        World {
            clients: Clients::new(&mut stage),
            stage,
            hosts,
            invariants: Invariants::new(nodes),
            trouble_ends: 0,
            lasting: BTreeMap::new(),
            next_fault: 0,
            ambushes: Ambushes::default(),
        }
    }

    /// Lives through the whole run.
    pub fn run(mut self) -> Run {
        if self.set_up() && self.trouble() && self.recover() && self.read_everything() {
            self.judge();
        }
        Run {
            findings: self.stage.findings,
            hash: self.stage.story.hash(),
            counts: self.stage.counts,
            story: self.stage.story.lines(),
        }
    }

    fn set_up(&mut self) -> bool {
        self.stage.counts.add_many(Seen::GroupsOfTwo, u64::from(self.hosts.len() == 2));
        (0..self.hosts.len()).for_each(|node| self.start_node(node));
        self.clients.begin(&mut self.stage, Task::Script);
        self.await_that("the cluster comes up", |world| {
            world.primary().is_some() && world.clients.script_is_done()
        })
    }

    fn trouble(&mut self) -> bool {
        self.stage.tell(|| "trouble begins");
        self.trouble_ends = self.stage.now + self.stage.scenario.trouble_us;
        self.clients.begin(&mut self.stage, Task::Workload);
        let gap = self.stage.scenario.fault_gap_us;
        let first = self.stage.chance.faults.below(gap);
        self.stage.plan_in(first, Event::Fault);
        self.run_until(self.trouble_ends)
    }

    /// After the last fault everybody comes back, and writes succeed again.
    fn recover(&mut self) -> bool {
        self.stage.tell(|| "everything is healed");
        self.end_all_faults();
        let healed = self.stage.now;
        let is_back = |world: &World| {
            world.primary().is_some()
                && world.clients.last_write > healed
                && world.hosts.iter().all(|host| host.lost || host.process.is_some())
        };
        if !self.await_that("writes succeed after everything is healed", is_back) {
            return false;
        }
        if !self.calm_down() {
            return false;
        }
        self.clients.task = Task::Rest;
        self.await_that("clients come to rest", |world| world.clients.is_idle())
            && self.await_that("all nodes apply all that is committed", World::is_settled)
    }

    /// Lets some time pass in good health: it passes for deadlines, too, whatever calendars show. It may pass more slowly only where the
    /// group's calendar is corrected, as by words that a driver told late.
    fn calm_down(&mut self) -> bool {
        let before = self.group_time();
        if !self.run_until(self.stage.now + CALM_US) {
            return false;
        }
        if let (Some(from), Some(to)) = (before, self.group_time())
            && from.primary == to.primary
        {
            let passed_ms = to.reading_ms - from.reading_ms + (to.ahead_ms - from.ahead_ms).max(0);
            if passed_ms < (to.monotonic_ms.saturating_sub(from.monotonic_ms) / 2) as i64 {
                self.stage.find(format!("time stands still: from {from:?} to {to:?}"));
                return false;
            }
        }
        true
    }

    fn group_time(&self) -> Option<GroupTime> {
        let primary = self.primary()?;
        let shared = &self.hosts[primary].process.as_ref()?.shared;
        let clock = &shared.clock;
        let now = Now { monotonic_ms: clock.monotonic_ms(), unix_ms: clock.unix_ms() };
        Some(GroupTime {
            primary,
            monotonic_ms: now.monotonic_ms,
            reading_ms: shared.shard.reading_ms(now),
            ahead_ms: shared.shard.clock_ahead_ms(),
        })
    }

    /// Whether all nodes that are left have applied the same, and nothing is under way.
    fn is_settled(&self) -> bool {
        let Some(primary) = self.primary() else { return false };
        let applied = |node: usize| {
            let process = self.hosts[node].process.as_ref()?;
            let status = process.shard.node().status(0);
            (status.applied == status.last_index).then_some(status.applied)
        };
        let goal = applied(primary);
        goal.is_some() && (0..self.hosts.len()).all(|node| self.hosts[node].lost || applied(node) == goal)
    }

    fn read_everything(&mut self) -> bool {
        for (node, host) in self.hosts.iter_mut().enumerate() {
            if let Some(process) = &mut host.process {
                self.invariants.look_at_bytes(node, process, &mut self.stage);
                self.invariants.compare_digest(node, process, &mut self.stage);
            }
        }
        self.stage.tell(|| "everything is read once more");
        self.clients.begin_final_reads(&mut self.stage);
        self.await_that("everything can be read", |world| world.clients.script_is_done())
    }

    fn judge(&mut self) {
        let recorder = std::mem::take(&mut self.clients.recorder);
        let clock_margin_ms = self.stage.scenario.clock_margin_ms();
        let options = Options { clock_margin_ms, max_steps_per_key: MAX_STEPS_PER_KEY, ..Options::default() };
        let report = check(&recorder.finish(), &options);
        self.stage.story.note(report.checks.iter().map(|check| check.operations).sum());
        for finding in &report.findings {
            self.stage.find(finding.to_string());
        }
        for open in &report.unchecked {
            self.stage.find(format!("not decided: {}: {}", open.check, open.why));
        }
    }

    /// Lets time pass until `is_so`, for no longer than a cluster in good health may need.
    fn await_that(&mut self, what: &str, is_so: impl Fn(&World) -> bool) -> bool {
        let patience = self.stage.now + RECOVERY_US;
        while !is_so(self) {
            if self.stage.now >= patience {
                let state = self.describe();
                let seconds = RECOVERY_US / SECOND;
                self.stage.find(format!("liveness: waited {seconds} s in vain until {what}; {state}"));
                return false;
            }
            if !self.run_until(self.stage.now + LOOK_US) {
                return false;
            }
        }
        true
    }

    /// Where every node is.
    fn describe(&self) -> String {
        let node = |(node, host): (usize, &Host)| match &host.process {
            None => format!("node {}: down", node + 1),
            Some(process) => {
                let status = process.shard.node().status(0);
                let leadership = status.leadership;
                format!(
                    "node {}: {:?} in term {}, applied {} of {}",
                    node + 1,
                    leadership.role,
                    leadership.term,
                    status.applied,
                    status.last_index
                )
            }
        };
        self.hosts.iter().enumerate().map(node).collect::<Vec<_>>().join("; ")
    }

    /// Lets everything happen that is due by then; false once something was found.
    fn run_until(&mut self, end: Micros) -> bool {
        while self.stage.queue.next_due().is_some_and(|due| due <= end) {
            let Some((due, event)) = self.stage.queue.take() else { break };
            self.stage.now = due.max(self.stage.now);
            self.happen(event);
            if !self.stage.findings.is_empty() {
                return false;
            }
        }
        self.stage.now = end.max(self.stage.now);
        true
    }

    fn happen(&mut self, event: Event) {
        if let Some(node) = self.whose(&event) {
            let paused_until = self.hosts[node].paused_until;
            if paused_until > self.stage.now {
                self.stage.queue.plan(paused_until, event);
                return;
            }
        }
        self.note(&event);
        match event {
            Event::TurnBegins { node, life, token } if self.lives(node, life) => self.begin_turn(node, token),
            Event::TurnEnds { node, life } if self.lives(node, life) => self.end_turn(node),
            Event::Beat { node, life } if self.lives(node, life) => self.beat(node),
            Event::Prepare { node, life } if self.lives(node, life) => self.prepare(node),
            Event::LookAgain { node, life, connection } if self.lives(node, life) => {
                self.work(node, connection);
            }
            Event::Restart { node, life } if self.lives(node, life) => {
                self.stage.counts.add(Seen::Restarts);
                self.start_node(node);
            }
            Event::WireBreaks { wire, life } => {
                let (from, _, _) = self.stage.network.ends_of(wire);
                if self.lives(from, life) {
                    self.wire_broke(wire);
                }
            }
            Event::WireArrives { wire, generation } => {
                if let Some(bytes) = self.stage.take_frame(wire, generation) {
                    self.stage.story.note_bytes(&bytes);
                    self.hear(wire, &bytes);
                }
            }
            Event::FrameArrives { wire, bytes } => {
                let (from, to, _) = self.stage.network.ends_of(wire);
                if !self.stage.network.is_cut(from, to) {
                    self.stage.story.note_bytes(&bytes);
                    self.hear(wire, &bytes);
                }
            }
            Event::WireMends { wire, generation } => {
                let (_, to, _) = self.stage.network.ends_of(wire);
                let is_up = self.hosts[to].process.is_some();
                self.stage.mend_wire(wire, generation, is_up);
            }
            Event::StreamOpens { stream } => self.open_connection(stream),
            Event::StreamArrives { stream, end } => self.packet_arrives(stream, end),
            Event::Client { client, token } => self.clients.wake(client, token, &mut self.stage),
            Event::Fault => self.fault(),
            Event::FaultEnds { fault } => self.end_fault(fault),
            Event::Ambush { leader, how } => self.spring_ambush(leader, how),
            Event::StormStrikes { leader } => self.strike_leader(leader),
            Event::SiegeBegins => self.besiege(),
            Event::Parts(parting) => self.part(parting),
            Event::HandsOverAgain { to } => self.hand_over_again(to),
            Event::ComesAhead { node, looks } => self.come_ahead(node, looks),
            Event::LosesTouch { node } => self.lose_touch(node),
            // For a process that is gone.
            Event::TurnBegins { .. }
            | Event::TurnEnds { .. }
            | Event::Beat { .. }
            | Event::Prepare { .. }
            | Event::LookAgain { .. }
            | Event::Restart { .. } => {}
        }
    }

    fn packet_arrives(&mut self, stream: u64, end: usize) {
        let Some((who, packet)) = self.stage.take_packet(stream, end) else { return };
        if let crate::network::Packet::Bytes(bytes) = &packet {
            self.stage.story.note_bytes(bytes);
        }
        match who {
            End::Client(client) => self.clients.receive(client, stream, packet, &mut self.stage),
            who => self.packet_for_node(stream, who, packet),
        }
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.stage.lives[node] == life
    }

    /// The node that has to run for an event to happen.
    fn whose(&self, event: &Event) -> Option<usize> {
        match event {
            Event::TurnBegins { node, .. }
            | Event::TurnEnds { node, .. }
            | Event::Beat { node, .. }
            | Event::Prepare { node, .. }
            | Event::LookAgain { node, .. } => Some(*node),
            Event::WireArrives { wire, .. } | Event::FrameArrives { wire, .. } => {
                Some(self.stage.network.ends_of(*wire).1)
            }
            Event::WireBreaks { wire, .. } => Some(self.stage.network.ends_of(*wire).0),
            Event::StreamOpens { stream } => self.at_end(*stream, 1),
            Event::StreamArrives { stream, end } => self.at_end(*stream, *end),
            Event::WireMends { .. }
            | Event::Client { .. }
            | Event::Fault
            | Event::FaultEnds { .. }
            | Event::Ambush { .. }
            | Event::StormStrikes { .. }
            | Event::SiegeBegins
            | Event::Parts(_)
            | Event::HandsOverAgain { .. }
            | Event::ComesAhead { .. }
            | Event::LosesTouch { .. }
            | Event::Restart { .. } => None,
        }
    }

    fn at_end(&self, stream: u64, end: usize) -> Option<usize> {
        match self.stage.network.stream(stream)?.ends[end] {
            End::Client(_) => None,
            End::Server { node, .. } | End::Relay { node, .. } => Some(node),
            End::Nobody { node } => node,
        }
    }

    /// Makes the event part of the run's hash.
    fn note(&mut self, event: &Event) {
        let kind = match event {
            Event::TurnBegins { node, .. } => *node as u64,
            Event::TurnEnds { node, .. } => 0x100 + *node as u64,
            Event::Beat { node, .. } => 0x200 + *node as u64,
            Event::Prepare { node, .. } => 0x300 + *node as u64,
            Event::WireArrives { wire, .. } => 0x400 + *wire as u64,
            Event::FrameArrives { wire, .. } => 0x500 + *wire as u64,
            Event::WireBreaks { wire, .. } => 0x600 + *wire as u64,
            Event::WireMends { wire, .. } => 0x700 + *wire as u64,
            Event::StreamOpens { .. } => 0x800,
            Event::StreamArrives { end, .. } => 0x900 + *end as u64,
            Event::LookAgain { node, .. } => 0xa00 + *node as u64,
            Event::Client { client, .. } => 0xb00 + *client as u64,
            Event::Fault => 0xc00,
            Event::FaultEnds { .. } => 0xd00,
            Event::Ambush { .. }
            | Event::StormStrikes { .. }
            | Event::SiegeBegins
            | Event::Parts(_)
            | Event::HandsOverAgain { .. }
            | Event::ComesAhead { .. }
            | Event::LosesTouch { .. } => 0xf00,
            Event::Restart { node, .. } => 0xe00 + *node as u64,
        };
        self.stage.story.note(self.stage.now << 12 | kind);
    }
}
