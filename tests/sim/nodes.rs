//! How nodes live in a run: they start, take turns, hear from each other, end, and start again.
//!
//! - A turn happens at one moment of simulated time, and its node is busy from then on for as long as the disk takes: frames
//!   leave when the writes before them are done, answers when all is done. A crash in the midst of a write is planned on
//!   the disk itself.
//! - Signs of life go on during a turn, with the very code of the keepalive thread.

use bytes::BytesMut;
use perdura::propose::reply::ConnectionId;
use perdura::raft::frame::Frame;
use perdura::raft::inbox::PeerEvent;
use perdura::raft::keepalive::Heard;
use perdura::raft::node::NodeError;
use perdura::raft::status::Role;
use perdura::raft::storage::StorageFault;
use perdura::raft::timing::RaftTiming;
use perdura::shard::turn::ShardError;
use perdura_wal::Recovery;

use crate::connection::{Outcome, Place, ServerConnection};
use crate::coverage::Seen;
use crate::network::{End, Packet, WireKind};
use crate::process::{Birth, Letter, Letters, OpenError, Process, encode};
use crate::queue::{Event, MS, Micros, SECOND};
use crate::scenario::Scenario;
use crate::siege::Fate;
use crate::world::World;

/// What a turn takes beside its disk.
const TURN_US: Micros = 15;
/// How often the thread that prepares segments looks for work.
const PREPARE_US: Micros = 20 * MS;
/// Turns that stall, of a thousand, where any do.
const STALLS_PER_MILLE: u64 = 4;
/// Turns longer than this outlast an election timeout.
const LONG_TURN_US: Micros = SECOND;
/// A slow disk delays a turn, or an opening, by so much at most: longer than its keepalive thread answers for it, and not so long that
/// a cluster in good health waits in vain for it.
const LONGEST_ON_DISK_US: Micros = 15 * SECOND;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its machine loses power, and with it what was not synced.
    Power,
    /// It is killed; the machine goes on.
    Kill,
    /// It has ended itself.
    Own,
}

impl World {
    /// Starts the process of a node that is down.
    pub fn start_node(&mut self, node: usize) {
        let now = self.stage.now;
        let host = &mut self.hosts[node];
        if host.process.is_some() || host.lost {
            return;
        }
        host.look_at_clock(now);
        host.vouch();
        let operations_before = host.disk.operations();
        let (unix_ms, seed) = (host.unix_ms(), self.stage.chance.nodes.next());
        let timing = flags_of(&self.stage.scenario, seed);
        if std::mem::replace(&mut host.timing, timing) != timing {
            self.stage.counts.add(Seen::FlagsChanged);
        }
        let (disk, shelf, knows_of_loss) = (host.disk.clone(), host.shelf.clone(), host.knows_of_loss);
        let with = Birth { timing, disk, shelf, knows_of_loss, unix_ms, seed };
        let opened = Process::open(&self.stage.scenario, node, with);
        self.stage.story.note(seed);
        match opened {
            Ok((process, recovery)) => {
                let host = &mut self.hosts[node];
                let took = (host.disk.operations() - operations_before) * host.disk_us;
                let took = took.min(LONGEST_ON_DISK_US);
                host.process = Some(process);
                self.node_started(node, &recovery, took);
            }
            Err(error) => self.node_did_not_start(node, &error),
        }
    }

    fn node_started(&mut self, node: usize, recovery: &Recovery, took: Micros) {
        let life = self.stage.lives[node];
        self.invariants.node_started(node);
        self.stage.tell(|| format!("node {} starts with entries up to {}", node + 1, recovery.last_index));
        if recovery.left_out.is_some() {
            self.stage.counts.add(Seen::OldDamageLeftOut);
            self.stage.tell(|| format!("node {} leaves damaged old segments out of its log", node + 1));
        }
        self.hosts[node].note_opened(recovery.left_out.is_some());
        if let Some(torn) = &recovery.torn_tail {
            self.stage.counts.add(Seen::TornTails);
            self.stage
                .tell(|| format!("node {}: cut a torn tail off {}: {}", node + 1, torn.file, torn.fault));
            self.hosts[node].vouched.insert(torn.file.clone(), torn.offset);
        }
        if recovery.segments > 1 {
            self.stage.counts.add(Seen::SegmentsBegun);
        }
        for (stream, end) in std::mem::take(&mut self.hosts[node].silent_streams) {
            self.stage.close_stream(stream, end);
        }
        self.plan_turn(node, took);
        let beat_us = self.hosts[node].true_us(self.hosts[node].timing.heartbeat_ms());
        self.stage.plan_in(beat_us, Event::Beat { node, life });
        self.stage.plan_in(PREPARE_US, Event::Prepare { node, life });
    }

    fn node_did_not_start(&mut self, node: usize, error: &OpenError) {
        let text = match error {
            OpenError::Log(error) => error.to_string(),
            OpenError::Node(error) => error.to_string(),
        };
        let excuses = &self.hosts[node].excuses;
        if let OpenError::Log(error) = error
            && error.is_damage()
            && let Some(damage) = excuses.damage.clone()
        {
            self.judge_refusal(node, &damage, error);
            if self.stage.scenario.repairs {
                self.repair_node(node);
            } else {
                self.lose_node(node);
            }
            return;
        }
        let power_failed = excuses.power && text.contains("machine is off");
        if !(excuses.full && is_no_space(error)) {
            self.judge_end(node, &text);
        }
        self.end_process(node, if power_failed { Ending::Power } else { Ending::Own });
    }

    /// The node begins its log again, and learns from the others what was in it.
    fn repair_node(&mut self, node: usize) {
        let seed = self.stage.chance.nodes.next();
        let host = &mut self.hosts[node];
        host.set_log_aside(&self.stage.scenario, seed);
        self.stage.counts.add(Seen::LogsSetAside);
        self.stage.tell(|| format!("node {} sets its log aside", node + 1));
        self.start_node(node);
    }

    /// The node will not come back.
    pub fn lose_node(&mut self, node: usize) {
        self.hosts[node].lost = true;
        self.stage.tell(|| format!("node {} is lost for good", node + 1));
    }

    /// Makes sure that the node's next turn begins within `us`.
    pub fn plan_turn(&mut self, node: usize, us: Micros) {
        let due = self.stage.now + us;
        let life = self.stage.lives[node];
        let Some(process) = &mut self.hosts[node].process else { return };
        if process.turn.is_some() || process.next_turn.is_some_and(|(planned, _)| planned <= due) {
            return;
        }
        process.next_token += 1;
        let token = process.next_token;
        process.next_turn = Some((due, token));
        self.stage.queue.plan(due, Event::TurnBegins { node, life, token });
    }

    pub fn begin_turn(&mut self, node: usize, token: u64) {
        if self.stalls(node, token) {
            return;
        }
        let now = self.stage.now;
        let reachable = (0..self.hosts.len())
            .map(|to| {
                !self.stage.scenario.ordered_wires || {
                    let wire = self.stage.network.wire(node, to, WireKind::Raft);
                    self.stage.network.wires[wire].connected
                }
            })
            .collect();
        let host = &mut self.hosts[node];
        host.look_at_clock(now);
        let (operation_us, operations_before) = (host.disk_us, host.disk.operations());
        let Some(process) = host.process.as_mut().filter(|p| p.next_turn.is_some_and(|(_, t)| t == token))
        else {
            return;
        };
        process.next_turn = None;
        let beats = process.inbox.iter().filter(|(_, event)| matches!(event, PeerEvent::Beat { .. })).count();
        let (letters, turned) = process.run_turn(&host.disk, reachable);
        let disk_took = (host.disk.operations() - operations_before) * operation_us;
        let disk_took = disk_took.min(LONGEST_ON_DISK_US);
        let took = TURN_US + disk_took;
        if process.shard.take_sync_ms().is_some() {
            // Its clock stood still.
            process.shard.note_write_ms(disk_took / MS);
        }
        (0..beats).for_each(|_| self.stage.counts.add(Seen::Beats));
        self.post(node, letters, operation_us);
        match turned {
            Ok(()) => {
                if took > LONG_TURN_US {
                    self.stage.counts.add(Seen::LongTurns);
                    self.stage.tell(|| format!("node {}: its disk holds a turn up for {took} us", node + 1));
                }
                let life = self.stage.lives[node];
                self.stage.plan_in(took, Event::TurnEnds { node, life });
                if self.leads(node) && !self.invariants.led(node) {
                    self.on_election(node);
                }
            }
            Err(error) => self.turn_failed(node, &error),
        }
    }

    /// Whether the driver stalls now, with the time and the frames of a turn in hand: the turn goes on later, by that time.
    fn stalls(&mut self, node: usize, token: u64) -> bool {
        let now = self.stage.now;
        let planned_us = self.hosts[node].will_stall.take();
        let by_chance = self.stage.scenario.stalls && self.stage.chance.nodes.chance(STALLS_PER_MILLE);
        if planned_us.is_none() && !by_chance {
            return false;
        }
        let host = &mut self.hosts[node];
        host.look_at_clock(now);
        let planned = |process: &&mut Process| process.next_turn.is_some_and(|(_, t)| t == token);
        let Some(process) = host.process.as_mut().filter(planned) else { return false };
        if !process.take_time() {
            return false;
        }
        let us = planned_us.unwrap_or_else(|| self.stage.chance.nodes.magnitude(MS..3 * SECOND));
        let life = self.stage.lives[node];
        self.stage.counts.add(Seen::Stalls);
        self.stage.tell(|| format!("node {}: its driver stalls for {us} us", node + 1));
        self.stage.plan_in(us, Event::TurnBegins { node, life, token });
        true
    }

    /// Frames leave once the disk operations before them are done.
    fn post(&mut self, node: usize, letters: Letters, operation_us: Micros) {
        for Letter { to, bytes, operations, hands_over } in letters.sent {
            let at = self.stage.now + (operations * operation_us).min(LONGEST_ON_DISK_US);
            let to = to as usize - 1;
            let wire = self.stage.network.wire(node, to, WireKind::Raft);
            match if hands_over { self.fate_of_request(node, to) } else { Fate::Usual } {
                Fate::Usual => self.stage.send_frame(at, wire, bytes),
                Fate::Late(us) => self.stage.send_frame(at + us, wire, bytes),
                Fate::Lost => self.stage.break_wire(wire),
            }
        }
    }

    fn turn_failed(&mut self, node: usize, error: &ShardError) {
        let text = error.to_string();
        self.stage.tell(|| format!("node {} ends: {text}", node + 1));
        // What was handed to other workers before the failure may have left.
        self.deliver(node);
        let power_failed = self.hosts[node].excuses.power && text.contains("machine is off");
        if power_failed {
            self.stage.counts.add(Seen::PowerFailuresInWrites);
            self.end_process(node, Ending::Power);
            return;
        }
        self.judge_end(node, &text);
        self.end_process(node, Ending::Own);
    }

    /// A node may end itself only for a reason that the simulation gave it.
    fn judge_end(&mut self, node: usize, text: &str) {
        if self.hosts[node].impersonated.is_some() {
            return;
        }
        let excuses = &mut self.hosts[node].excuses;
        let damaged = excuses.damage.as_ref().is_some_and(|damage| text.contains(damage.file.as_str()));
        if excuses.power && text.contains("machine is off") || damaged {
            return;
        }
        if excuses.io && text.contains("os error 5") {
            excuses.io = false;
            self.stage.counts.add(Seen::WriteErrors);
        } else {
            self.stage.find(format!("node {} ended without reason: {text}", node + 1));
        }
    }

    pub fn end_turn(&mut self, node: usize) {
        let now = self.stage.now;
        let host = &mut self.hosts[node];
        host.look_at_clock(now);
        let Some(process) = host.process.as_mut() else { return };
        process.end_turn(node);
        let (is_short, refused) = process.take_shortage();
        self.stage.counts.add_many(Seen::GaveWay, std::mem::take(&mut process.shard.gave_way));
        self.stage.counts.add_many(Seen::RanFromParts, std::mem::take(&mut process.shard.ran_from_parts));
        self.stage.counts.add_many(Seen::PartsForgotten, std::mem::take(&mut process.shard.forgot_parts));
        self.stage.counts.add_many(Seen::FullDisks, u64::from(is_short));
        self.stage.counts.add_many(Seen::RefusedForSpace, refused);
        self.stage.counts.add_many(Seen::AnswersHeld, u64::from(process.shard.machine().holds_answers()));
        host.knows_cluster |= !process.shard.node().cluster().id.is_none();
        let is_trusted = process.shard.node().is_trusted();
        let has_data = process.shard.machine().applied > 0;
        if !std::mem::replace(&mut host.trusted, is_trusted) && is_trusted && has_data {
            self.stage.counts.add(Seen::Relearned);
            self.stage.counts.add_many(Seen::TwoRelearned, u64::from(self.stage.scenario.nodes == 2));
        }
        for seen in process.witness.take() {
            self.stage.counts.add(seen);
            self.stage.tell(|| format!("node {}: {seen:?}", node + 1));
            if seen == Seen::CheckpointsBegun {
                self.invariants.compare_digest(node, process, &mut self.stage);
            }
        }
        self.deliver(node);
        self.observe(node);
        self.work_all(node);
        self.plan_next_turn(node);
        self.end_in_good_order(node);
        self.turn_in_storm(node);
    }

    /// Brings the answers of a turn to their connections.
    fn deliver(&mut self, node: usize) {
        let Some(process) = &mut self.hosts[node].process else { return };
        for worker in 0..process.shared.shard.ports.len() {
            let replies = std::mem::take(&mut *process.shared.shard.ports[worker].replies.lock());
            let mut rest = &replies.bytes[..];
            for span in &replies.spans {
                let (bytes, behind) = rest.split_at(span.bytes);
                rest = behind;
                let connection = process.connections.get_mut(&span.connection.index);
                if let Some(connection) = connection.filter(|c| c.id == span.connection) {
                    connection.answered(bytes, span);
                    connection.flush(&mut self.stage);
                }
            }
        }
    }

    fn plan_next_turn(&mut self, node: usize) {
        let host = &self.hosts[node];
        let Some(process) = &host.process else { return };
        let wait = match process.shard.has_work() || !process.inbox.is_empty() || has_batch(process) {
            true => 0,
            false => host.until(process.shard.next_due_ms()),
        };
        if wait > 0 && !process.accepts {
            self.replayed(node);
        }
        self.plan_turn(node, wait);
    }

    fn replayed(&mut self, node: usize) {
        if self.hosts[node].impersonated.is_some() {
            return;
        }
        if let Some(process) = &mut self.hosts[node].process {
            process.accepts = true;
            let applied = process.shard.machine().applied;
            self.stage.tell(|| format!("node {} has replayed up to entry {applied}", node + 1));
        }
    }

    fn end_in_good_order(&mut self, node: usize) {
        let now = self.stage.now;
        let Some(process) = &self.hosts[node].process else { return };
        if process.ends_by.is_some_and(|by| now >= by || !process.handle().is_primary()) {
            self.stage.counts.add(Seen::Shutdowns);
            self.stage.tell(|| format!("node {} shuts down", node + 1));
            self.end_process(node, Ending::Kill);
        }
    }

    /// Takes in what the node's leadership and counters tell.
    fn observe(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let Some(process) = host.process.as_mut().filter(|_| host.impersonated.is_none()) else { return };
        self.invariants.look_at(node, process, &mut self.stage);
    }

    /// The process of a node is gone.
    pub fn end_process(&mut self, node: usize, how: Ending) {
        let now = self.stage.now;
        let host = &mut self.hosts[node];
        host.look_at_clock(now);
        drop(host.process.take());
        host.paused_until = 0;
        host.will_stall = None;
        host.excuses.power = false;
        host.disk = if how == Ending::Power { host.disk.crash() } else { host.disk.kill() };
        self.stage.lives[node] += 1;
        let streams = self.stage.network.streams_of(node);
        match how {
            Ending::Power => self.fall_silent(node, streams),
            Ending::Kill | Ending::Own => self.hang_up(node, streams),
        }
        if !self.hosts[node].lost {
            let life = self.stage.lives[node];
            let again = self.stage.chance.faults.magnitude(20 * MS..4 * SECOND);
            self.stage.plan_in(again, Event::Restart { node, life });
        }
    }

    fn fall_silent(&mut self, node: usize, streams: Vec<(u64, usize)>) {
        for (stream, end) in &streams {
            self.stage.network.set_end(*stream, *end, End::Nobody { node: Some(node) });
        }
        self.hosts[node].silent_streams.extend(streams);
        for other in (0..self.hosts.len()).filter(|other| *other != node) {
            for kind in [WireKind::Raft, WireKind::Keepalive] {
                let wire = self.stage.network.wire(node, other, kind);
                self.stage.break_wire(wire);
            }
        }
    }

    fn hang_up(&mut self, node: usize, streams: Vec<(u64, usize)>) {
        for (stream, end) in streams {
            self.stage.close_stream(stream, end);
        }
        for other in (0..self.hosts.len()).filter(|other| *other != node) {
            for (from, to) in [(node, other), (other, node)] {
                for kind in [WireKind::Raft, WireKind::Keepalive] {
                    let wire = self.stage.network.wire(from, to, kind);
                    self.stage.break_wire(wire);
                }
            }
        }
    }

    /// A heartbeat's time has passed on the node's keepalive thread.
    pub fn beat(&mut self, node: usize) {
        let life = self.stage.lives[node];
        let Some(process) = &self.hosts[node].process else { return };
        if let Some(frame) = process.pulse.beat() {
            for other in (0..self.hosts.len()).filter(|other| *other != node) {
                let wire = self.stage.network.wire(node, other, WireKind::Keepalive);
                self.stage.send_frame(self.stage.now, wire, encode(&frame));
            }
        }
        let beat_us = self.hosts[node].true_us(self.hosts[node].timing.heartbeat_ms());
        self.stage.plan_in(beat_us, Event::Beat { node, life });
    }

    /// The thread that prepares segments does its work. For space it tries again; anything else ends it, and commits do its work,
    /// or fail at it.
    pub fn prepare(&mut self, node: usize) {
        let life = self.stage.lives[node];
        let Some(process) = &mut self.hosts[node].process else { return };
        let Some(preparer) = &process.preparer else { return };
        let prepared = preparer.step();
        if prepared.is_err() {
            process.preparer = None;
        }
        if prepared.as_ref().is_err_and(|error| error.to_string().contains("machine is off")) {
            self.stage.counts.add(Seen::PowerFailuresInWrites);
            self.end_process(node, Ending::Power);
            return;
        }
        self.stage.plan_in(PREPARE_US, Event::Prepare { node, life });
    }

    /// A frame reaches its node.
    pub fn hear(&mut self, wire: usize, bytes: &[u8]) {
        let (from, node, kind) = self.stage.network.ends_of(wire);
        if self.hosts[node].process.is_none() {
            if self.stage.scenario.ordered_wires {
                // Whoever sent it learns that nobody listens.
                self.stage.break_wire(wire);
            }
            return;
        }
        let frame = Frame::decode(&mut BytesMut::from(bytes));
        let Ok(Some(frame)) = frame else {
            self.stage.find(format!("a frame from node {} can't be read: {frame:?}", from + 1));
            return;
        };
        match kind {
            WireKind::Raft => self.hear_event(node, from, PeerEvent::from(frame)),
            WireKind::Keepalive => self.hear_beat(node, from, &frame),
        }
    }

    fn hear_event(&mut self, node: usize, from: usize, event: PeerEvent) {
        if let Some(process) = &mut self.hosts[node].process {
            process.inbox.push((from as u64 + 1, event));
            self.plan_turn(node, 0);
        }
    }

    fn hear_beat(&mut self, node: usize, from: usize, frame: &Frame) {
        let Some(process) = &self.hosts[node].process else { return };
        let Heard { event, answer } = process.pulse.hear(from as u64 + 1, frame);
        if let Some(answer) = answer {
            let wire = self.stage.network.wire(node, from, WireKind::Keepalive);
            self.stage.send_frame(self.stage.now, wire, encode(&answer));
        }
        if let Some(event) = event {
            self.hear_event(node, from, event);
        }
    }

    /// A node learns that it can't reach a peer.
    pub fn wire_broke(&mut self, wire: usize) {
        let (node, peer, kind) = self.stage.network.ends_of(wire);
        if kind == WireKind::Raft {
            self.hear_event(node, peer, PeerEvent::Unreachable);
        }
    }

    /// Somebody dials a node.
    pub fn open_connection(&mut self, stream: u64) {
        let Some(open) = self.stage.network.stream(stream) else { return };
        let End::Nobody { node: Some(node) } = open.ends[1] else { return };
        let life = self.stage.lives[node];
        let seed = self.stage.chance.nodes.next();
        let Some(process) = self.hosts[node].process.as_mut().filter(|process| process.accepts) else {
            self.stage.send_packet(stream, 0, Packet::Close);
            return;
        };
        process.next_connection += 1;
        let index = process.next_connection;
        let id = ConnectionId { index, generation: index };
        let connection = ServerConnection::new(&process.shared, id, stream, seed);
        process.connections.insert(index, connection);
        self.stage.network.set_end(stream, 1, End::Server { node, life, connection: index });
        self.stage.send_packet(stream, 0, Packet::Welcome);
    }

    /// A packet reaches a node's end of a stream.
    pub fn packet_for_node(&mut self, stream: u64, who: End, packet: Packet) {
        let (node, life, index, is_relay) = match who {
            End::Server { node, life, connection } => (node, life, connection, false),
            End::Relay { node, life, connection } => (node, life, connection, true),
            End::Client(_) | End::Nobody { .. } => return,
        };
        if life != self.stage.lives[node] {
            return;
        }
        let Some(process) = &mut self.hosts[node].process else { return };
        let Some(connection) = process.connections.get_mut(&index) else { return };
        match packet {
            _ if is_relay => connection.relay_says(stream, packet),
            Packet::Welcome => {}
            Packet::Bytes(bytes) => connection.receive(&bytes),
            Packet::Close => connection.ended = true,
        }
        self.work(node, index);
    }

    /// A connection does what it can, unless the driver blocks its worker.
    pub fn work(&mut self, node: usize, connection: u32) {
        let now = self.stage.now;
        let in_worker = self.stage.scenario.driver_in_worker;
        let place = Place { node, life: self.stage.lives[node] };
        let host = &mut self.hosts[node];
        host.look_at_clock(now);
        let Some(process) = &mut host.process else { return };
        let Some(served) = process.connections.get_mut(&connection) else { return };
        if in_worker && process.turn.is_some() {
            served.poke();
            return;
        }
        let Outcome { wakes_driver, ends } = served.work(&mut self.stage, place);
        if ends {
            served.finish(&mut self.stage);
            process.connections.remove(&connection);
        }
        if wakes_driver || ends {
            self.plan_turn(node, 0);
        }
    }

    fn work_all(&mut self, node: usize) {
        let Some(process) = &self.hosts[node].process else { return };
        let waiting = process.connections.iter().filter(|(_, connection)| connection.has_waiting());
        let connections: Vec<u32> = waiting.map(|(index, _)| *index).collect();
        for connection in connections {
            self.work(node, connection);
        }
    }

    /// The node that leads in the latest term and serves.
    pub fn primary(&self) -> Option<usize> {
        let running = self.hosts.iter().enumerate().filter_map(|(n, host)| Some((n, host.process.as_ref()?)));
        let serving = running.filter(|(_, process)| process.shard.node().is_serving());
        let (node, _) = serving.max_by_key(|(_, process)| process.shard.node().leadership().term)?;
        Some(node)
    }

    /// The node that leads, serving or not.
    pub fn leader(&self) -> Option<usize> {
        (0..self.hosts.len()).find(|node| self.leads(*node))
    }

    fn leads(&self, node: usize) -> bool {
        let process = self.hosts[node].process.as_ref();
        process.is_some_and(|process| process.shard.node().leadership().role == Role::Leader)
    }
}

/// The flags of a process.
fn flags_of(scenario: &Scenario, seed: u64) -> RaftTiming {
    scenario.flags[seed as usize % scenario.flags.len()]
}

/// Whether a node could not start because its disk is full.
fn is_no_space(error: &OpenError) -> bool {
    match error {
        OpenError::Log(error) => error.is_no_space(),
        OpenError::Node(NodeError::Storage(StorageFault::Log(error))) => error.is_no_space(),
        OpenError::Node(_) => false,
    }
}

fn has_batch(process: &Process) -> bool {
    process.shared.shard.ports.iter().any(|port| !port.batch.lock().is_empty())
}
