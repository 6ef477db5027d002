//! What is going to happen, in the order of simulated time; what is due at the same moment happens as it was planned.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::ambush::Ambush;
use crate::siege::Parting;

/// Simulated time since the run began.
pub type Micros = u64;

pub const MS: Micros = 1_000;
pub const SECOND: Micros = 1_000_000;

/// Something that is due. `life` names the process it was meant for: another one ignores it.
#[derive(Debug)]
pub enum Event {
    /// The log driver of a node begins a turn. Void unless `token` is the newest.
    TurnBegins {
        node: usize,
        life: u64,
        token: u64,
    },
    /// That turn's writes are done.
    TurnEnds {
        node: usize,
        life: u64,
    },
    /// A heartbeat's time has passed for a node's keepalive thread.
    Beat {
        node: usize,
        life: u64,
    },
    /// The thread that prepares the log's segments looks for work.
    Prepare {
        node: usize,
        life: u64,
    },
    /// The first packet of a peer's connection arrives.
    WireArrives {
        wire: usize,
        generation: u64,
    },
    /// A frame arrives on a network without order.
    FrameArrives {
        wire: usize,
        bytes: Vec<u8>,
    },
    /// A member that is ahead comes, or looks again.
    ComesAhead {
        node: usize,
        looks: u64,
    },
    /// A primary loses touch with all others.
    LosesTouch {
        node: usize,
    },
    /// A node learns that its connection to a peer broke.
    WireBreaks {
        wire: usize,
        life: u64,
    },
    /// A connection between peers is made again.
    WireMends {
        wire: usize,
        generation: u64,
    },
    /// A client, or a node on behalf of one, wants to be let in.
    StreamOpens {
        stream: u64,
    },
    /// The first packet on its way to that end (0 or 1) of a stream arrives.
    StreamArrives {
        stream: u64,
        end: usize,
    },
    /// A node's connection looks again at what no message tells of.
    LookAgain {
        node: usize,
        life: u64,
        connection: u32,
    },
    /// A client's alarm. Void unless `token` is the newest.
    Client {
        client: usize,
        token: u64,
    },
    /// The next fault strikes.
    Fault,
    FaultEnds {
        fault: u64,
    },
    /// What was laid for the election of this leader.
    Ambush {
        leader: usize,
        how: Ambush,
    },
    /// A storm strikes a leader right after its election.
    StormStrikes {
        leader: usize,
    },
    /// A siege that waited for another leader begins.
    SiegeBegins,
    /// A primary and a follower lose touch.
    Parts(Parting),
    /// A leader whose first request to campaign is late hands over to another node.
    HandsOverAgain {
        to: usize,
    },
    /// A node that is down is started.
    Restart {
        node: usize,
        life: u64,
    },
}

struct Planned {
    due: Micros,
    order: u64,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Planned) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

#[derive(Default)]
pub struct Queue {
    planned: BinaryHeap<Reverse<Planned>>,
    next_order: u64,
}

impl Queue {
    pub fn plan(&mut self, due: Micros, event: Event) {
        let order = self.next_order;
        self.next_order += 1;
        self.planned.push(Reverse(Planned { due, order, event }));
    }

    pub fn next_due(&self) -> Option<Micros> {
        self.planned.peek().map(|Reverse(first)| first.due)
    }

    pub fn take(&mut self) -> Option<(Micros, Event)> {
        self.planned.pop().map(|Reverse(first)| (first.due, first.event))
    }
}
