//! The network: wires between nodes, streams between clients and nodes (and between nodes on behalf of clients).
//!
//! - A wire is one direction between two nodes, for raft or for signs of life. In order, it is a TCP connection: what was sent
//!   arrives in order or, when it breaks, from some point on not at all; then it is made again. Without order, each
//!   frame is on its own: lost, late, or there twice.
//! - A cut holds back what is under way (as TCP does, which sends it again) or breaks the connection; the seed says which.
//! - Streams keep their order. A cut between two nodes holds them back as well; clients reach every node at all times.

use std::collections::{BTreeMap, VecDeque};

use crate::coverage::Seen;
use crate::queue::{Event, MS, Micros, SECOND};
use crate::stage::Stage;

/// A frame that takes longer to send delays the signs of life after it.
const SLOW_FRAME_US: Micros = 100 * MS;
/// Packets that one end of a connection takes before it is given up.
const MAX_HELD: usize = 4_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireKind {
    Raft,
    Keepalive,
}

/// One direction between two nodes.
#[derive(Debug, Default)]
pub struct Wire {
    pub connected: bool,
    /// Moves on when the connection breaks.
    pub generation: u64,
    packets: VecDeque<Vec<u8>>,
    /// Arrivals that a cut holds back.
    held: u32,
    last_due: Micros,
    /// Until then it sends what it was given.
    busy_until: Micros,
}

/// Who is at an end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Client(usize),
    /// A node as a server: its process and connection.
    Server {
        node: usize,
        life: u64,
        connection: u32,
    },
    /// A node on behalf of its client.
    Relay {
        node: usize,
        life: u64,
        connection: u32,
    },
    /// Nobody yet, or nobody any more.
    Nobody {
        node: Option<usize>,
    },
}

impl End {
    fn node(self) -> Option<usize> {
        match self {
            End::Client(_) => None,
            End::Server { node, .. } | End::Relay { node, .. } => Some(node),
            End::Nobody { node } => node,
        }
    }
}

#[derive(Debug)]
pub enum Packet {
    /// The server has let the client in.
    Welcome,
    Bytes(Vec<u8>),
    /// Nothing more comes.
    Close,
}

/// A connection of a client; end 0 opened it, end 1 serves it.
#[derive(Debug)]
pub struct Stream {
    pub ends: [End; 2],
    towards: [Lane; 2],
}

/// Packets on their way to one end.
#[derive(Debug, Default)]
struct Lane {
    packets: VecDeque<Packet>,
    held: u32,
    last_due: Micros,
}

/// All that is under way.
#[derive(Debug)]
pub struct Network {
    nodes: usize,
    pub wires: Vec<Wire>,
    streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    cut: Vec<u32>,
    /// Frames lost, of a thousand.
    pub loss_per_mille: u64,
    /// Added to every packet between nodes, at most.
    pub slowness_us: Micros,
}

impl Network {
    pub fn new(nodes: usize) -> Network {
        Network {
            nodes,
            wires: (0..nodes * nodes * 2).map(|_| Wire { connected: true, ..Wire::default() }).collect(),
            streams: BTreeMap::new(),
            next_stream: 1,
            cut: vec![0; nodes * nodes],
            loss_per_mille: 0,
            slowness_us: 0,
        }
    }

    pub fn wire(&self, from: usize, to: usize, kind: WireKind) -> usize {
        (from * self.nodes + to) * 2 + usize::from(kind == WireKind::Keepalive)
    }

    /// From, to and kind of a wire.
    pub fn ends_of(&self, wire: usize) -> (usize, usize, WireKind) {
        let kind = if wire % 2 == 1 { WireKind::Keepalive } else { WireKind::Raft };
        let pair = wire / 2;
        (pair / self.nodes, pair % self.nodes, kind)
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from * self.nodes + to] > 0
    }

    pub fn stream(&self, stream: u64) -> Option<&Stream> {
        self.streams.get(&stream)
    }

    pub fn set_end(&mut self, stream: u64, end: usize, who: End) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.ends[end] = who;
        }
    }

    /// The streams that a node's process has an end of.
    pub fn streams_of(&self, node: usize) -> Vec<(u64, usize)> {
        let of_node =
            |end: &End| matches!(end, End::Server { node: n, .. } | End::Relay { node: n, .. } if *n == node);
        let streams = self.streams.iter();
        streams.flat_map(|(id, s)| (0..2).filter(|&e| of_node(&s.ends[e])).map(|e| (*id, e))).collect()
    }

    fn is_stream_cut(&self, stream: &Stream, end: usize) -> bool {
        match (stream.ends[1 - end].node(), stream.ends[end].node()) {
            (Some(from), Some(to)) => self.is_cut(from, to),
            _ => false,
        }
    }
}

impl Stage {
    /// How long the next packet takes.
    fn delay(&mut self) -> Micros {
        let usual = self.scenario.latency_us;
        let slow = match self.network.slowness_us {
            0 => 0,
            most => self.chance.network.below(most),
        };
        usual / 2 + self.chance.network.below(usual) + slow + 1
    }

    /// A node's frame leaves at `at`, or when what was sent before has left.
    pub fn send_frame(&mut self, at: Micros, wire: usize, bytes: Vec<u8>) {
        if self.scenario.ordered_wires && !self.network.wires[wire].connected {
            // It takes no bandwidth of the connection that comes next.
            return;
        }
        let at = self.sent_by(at, wire, bytes.len() as u64);
        if self.scenario.ordered_wires {
            self.send_in_order(at, wire, bytes);
        } else {
            self.send_alone(at, wire, bytes);
        }
    }

    /// When the last byte of a frame leaves.
    fn sent_by(&mut self, at: Micros, wire: usize, bytes: u64) -> Micros {
        let Some(bandwidth) = self.scenario.bandwidth else { return at };
        let took = bytes * SECOND / bandwidth;
        if took > SLOW_FRAME_US {
            self.counts.add(Seen::SlowFrames);
        }
        let line = &mut self.network.wires[wire];
        line.busy_until = line.busy_until.max(at) + took;
        line.busy_until
    }

    fn send_in_order(&mut self, at: Micros, wire: usize, bytes: Vec<u8>) {
        let is_lost = self.loses_frame();
        let due = at + self.delay();
        let line = &mut self.network.wires[wire];
        if is_lost || line.packets.len() >= MAX_HELD {
            self.counts.add(Seen::FramesLost);
            self.break_wire(wire);
            return;
        }
        line.last_due = line.last_due.max(due);
        line.packets.push_back(bytes);
        let (due, generation) = (line.last_due, line.generation);
        self.queue.plan(due, Event::WireArrives { wire, generation });
    }

    fn send_alone(&mut self, at: Micros, wire: usize, bytes: Vec<u8>) {
        if self.loses_frame() {
            self.counts.add(Seen::FramesLost);
            return;
        }
        if self.network.loss_per_mille > 0 && self.chance.network.chance(self.network.loss_per_mille) {
            self.counts.add(Seen::FramesRepeated);
            let again = at + self.delay() + self.chance.network.below(200 * MS);
            self.queue.plan(again, Event::FrameArrives { wire, bytes: bytes.clone() });
        }
        let due = at + self.delay();
        let line = &mut self.network.wires[wire];
        if due < line.last_due {
            self.counts.add(Seen::FramesOvertaken);
        }
        line.last_due = line.last_due.max(due);
        self.queue.plan(due, Event::FrameArrives { wire, bytes });
    }

    fn loses_frame(&mut self) -> bool {
        self.network.loss_per_mille > 0 && self.chance.network.chance(self.network.loss_per_mille)
    }

    /// The frame that arrives now, if any does.
    pub fn take_frame(&mut self, wire: usize, generation: u64) -> Option<Vec<u8>> {
        let (from, to, _) = self.network.ends_of(wire);
        let is_cut = self.network.is_cut(from, to);
        let line = &mut self.network.wires[wire];
        if line.generation != generation {
            return None;
        }
        if is_cut {
            line.held += 1;
            self.counts.add(Seen::PacketsHeld);
            return None;
        }
        line.packets.pop_front()
    }

    /// A connection between nodes breaks with all that is under way on it; its sender hears of it and dials again.
    pub fn break_wire(&mut self, wire: usize) {
        let (from, _, _) = self.network.ends_of(wire);
        let heard = self.now + self.delay();
        let again = heard + self.chance.network.within(50 * MS..400 * MS);
        let life = self.lives[from];
        let line = &mut self.network.wires[wire];
        if !std::mem::replace(&mut line.connected, false) {
            return;
        }
        self.counts.add(Seen::WiresBroken);
        line.generation += 1;
        line.packets.clear();
        line.held = 0;
        line.busy_until = 0;
        let generation = line.generation;
        self.queue.plan(heard, Event::WireBreaks { wire, life });
        self.queue.plan(again, Event::WireMends { wire, generation });
    }

    /// Dialling succeeds, unless the other side is cut off or `is_up` says that it is down.
    pub fn mend_wire(&mut self, wire: usize, generation: u64, is_up: bool) {
        let (from, to, _) = self.network.ends_of(wire);
        if self.network.wires[wire].generation != generation {
            return;
        }
        if is_up && !self.network.is_cut(from, to) && !self.network.is_cut(to, from) {
            self.network.wires[wire].connected = true;
            return;
        }
        let again = self.now + self.chance.network.within(100 * MS..SECOND);
        self.queue.plan(again, Event::WireMends { wire, generation });
    }

    /// Nothing gets from one node to the other any more, until as many calls of [`Stage::heal`].
    pub fn cut(&mut self, from: usize, to: usize) {
        self.network.cut[from * self.network.nodes + to] += 1;
        for kind in [WireKind::Raft, WireKind::Keepalive] {
            if self.chance.network.chance(500) {
                let wire = self.network.wire(from, to, kind);
                self.break_wire(wire);
            }
        }
    }

    pub fn heal(&mut self, from: usize, to: usize) {
        let place = from * self.network.nodes + to;
        self.network.cut[place] = self.network.cut[place].saturating_sub(1);
        if self.network.cut[place] > 0 {
            return;
        }
        for kind in [WireKind::Raft, WireKind::Keepalive] {
            let wire = self.network.wire(from, to, kind);
            let line = &mut self.network.wires[wire];
            let (held, generation) = (std::mem::take(&mut line.held), line.generation);
            let due = self.now + self.delay();
            (0..held).for_each(|_| self.queue.plan(due, Event::WireArrives { wire, generation }));
        }
        self.release_streams(from, to);
    }

    fn release_streams(&mut self, from: usize, to: usize) {
        let due = self.now + self.delay();
        for (id, stream) in &mut self.network.streams {
            for end in 0..2 {
                if (stream.ends[1 - end].node(), stream.ends[end].node()) == (Some(from), Some(to)) {
                    for _ in 0..std::mem::take(&mut stream.towards[end].held) {
                        self.queue.plan(due, Event::StreamArrives { stream: *id, end });
                    }
                }
            }
        }
    }

    /// Dials a node; the answer is [`Packet::Welcome`], [`Packet::Close`], or silence.
    pub fn open_stream(&mut self, who: End, to_node: usize) -> u64 {
        let id = self.network.next_stream;
        self.network.next_stream += 1;
        let stream = Stream {
            ends: [who, End::Nobody { node: Some(to_node) }],
            towards: [Lane::default(), Lane::default()],
        };
        let is_cut = self.network.is_stream_cut(&stream, 1);
        self.network.streams.insert(id, stream);
        let due = self.now + self.delay();
        if !is_cut {
            self.queue.plan(due, Event::StreamOpens { stream: id });
        }
        id
    }

    /// Sends to the given end of a stream.
    pub fn send_packet(&mut self, stream: u64, end: usize, packet: Packet) {
        let due = self.now + self.delay();
        let Some(open) = self.network.streams.get_mut(&stream) else { return };
        let lane = &mut open.towards[end];
        lane.last_due = lane.last_due.max(due);
        lane.packets.push_back(packet);
        self.queue.plan(lane.last_due, Event::StreamArrives { stream, end });
    }

    /// The packet that arrives now, if any does, and who is there to take it.
    pub fn take_packet(&mut self, stream: u64, end: usize) -> Option<(End, Packet)> {
        let open = self.network.streams.get(&stream)?;
        let is_cut = self.network.is_stream_cut(open, end);
        let open = self.network.streams.get_mut(&stream)?;
        if is_cut {
            open.towards[end].held += 1;
            self.counts.add(Seen::PacketsHeld);
            return None;
        }
        let packet = open.towards[end].packets.pop_front()?;
        let who = open.ends[end];
        if matches!(packet, Packet::Close) {
            self.network.streams.remove(&stream);
        }
        Some((who, packet))
    }

    /// The end that calls leaves: the other hears that nothing more comes, once it has taken what came before.
    pub fn close_stream(&mut self, stream: u64, own_end: usize) {
        if let Some(open) = self.network.streams.get_mut(&stream) {
            let node = open.ends[own_end].node();
            open.ends[own_end] = End::Nobody { node };
            self.send_packet(stream, 1 - own_end, Packet::Close);
        }
    }
}
