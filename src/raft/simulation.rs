//! Random lives of a cluster: whatever happens to its members and wires, the checks of [`Cluster`] hold at every step,
//! nothing acknowledged is ever lost, and once the trouble ends, everybody agrees.

use proptest::prelude::*;

use super::identity::NodeId;
use super::lease::{ReadRound, RoundState};
use super::status::Role;
use super::testing::Cluster;

const MEMBERS: u64 = 3;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pass {
        ms: u64,
    },
    Propose,
    /// A read that trusts no clock begins.
    BeginRead,
    Isolate(NodeId),
    CutWire(NodeId, NodeId),
    SlowWire(NodeId, NodeId, u64),
    Heal,
    Kill(NodeId),
    LosePower(NodeId),
    LosePowerLater(NodeId, u64),
    Start(NodeId),
    /// It is killed and back at once.
    Restart(NodeId),
    Stall(NodeId),
    Resume(NodeId),
    Transfer(NodeId),
    /// It loses its disk, unless another has, and has not yet learnt everything again; and is back at once.
    LoseDisk(NodeId),
    /// It publishes a checkpoint and cuts its log.
    Checkpoint(NodeId),
    /// From here on it takes no checkpoints from others, or does so again.
    FetchNothing(NodeId),
    Fetch(NodeId),
}

fn event() -> impl Strategy<Value = Event> {
    let id = || 1..=MEMBERS;
    prop_oneof![
        10 => (5u64..800).prop_map(|ms| Event::Pass { ms }),
        8 => Just(Event::Propose),
        3 => Just(Event::BeginRead),
        1 => id().prop_map(Event::Isolate),
        2 => (id(), id()).prop_map(|(from, to)| Event::CutWire(from, to)),
        2 => (id(), id(), 5u64..600).prop_map(|(from, to, ms)| Event::SlowWire(from, to, ms)),
        2 => Just(Event::Heal),
        1 => id().prop_map(Event::Kill),
        1 => id().prop_map(Event::LosePower),
        1 => (id(), 0u64..6).prop_map(|(id, operations)| Event::LosePowerLater(id, operations)),
        4 => id().prop_map(Event::Start),
        3 => id().prop_map(Event::Restart),
        1 => id().prop_map(Event::Stall),
        2 => id().prop_map(Event::Resume),
        2 => id().prop_map(Event::Transfer),
        3 => id().prop_map(Event::Checkpoint),
        1 => id().prop_map(Event::LoseDisk),
        1 => id().prop_map(Event::FetchNothing),
        1 => id().prop_map(Event::Fetch),
    ]
}

/// A cluster with what its clients remember.
struct Life {
    cluster: Cluster,
    proposals: usize,
    reads: Vec<Read>,
}

/// A read that waits for a round.
struct Read {
    at: NodeId,
    round: ReadRound,
    acknowledged_before: u64,
}

impl Life {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Pass { ms } => self.pass(ms),
            Event::Propose => self.propose(),
            Event::BeginRead => self.begin_reads(),
            Event::Isolate(id) => self.cluster.isolate(id),
            Event::CutWire(from, to) => self.cluster.cut_wire(from, to),
            Event::SlowWire(from, to, ms) => self.cluster.slow_wire(from, to, ms),
            Event::Heal => self.cluster.heal(),
            Event::Kill(id) => self.end(id, Cluster::stop),
            Event::LosePower(id) => self.end(id, Cluster::lose_power),
            Event::LosePowerLater(id, operations) if self.runs(id) => {
                self.cluster.lose_power_later(id, operations);
            }
            Event::Start(id) if !self.runs(id) => self.cluster.start(id),
            Event::Restart(id) => {
                self.end(id, Cluster::stop);
                self.cluster.start(id);
            }
            Event::Stall(id) => self.cluster.member(id).stalled = true,
            Event::Resume(id) => self.cluster.member(id).stalled = false,
            Event::Transfer(to) => self.transfer(to),
            Event::Checkpoint(id) => self.checkpoint(id),
            Event::LoseDisk(id) => self.lose_disk(id),
            Event::FetchNothing(id) => self.cluster.member(id).fetches_nothing = true,
            Event::Fetch(id) => self.cluster.member(id).fetches_nothing = false,
            Event::LosePowerLater(..) | Event::Start(_) => {}
        }
    }

    fn runs(&self, id: NodeId) -> bool {
        self.cluster.members[&id].node.is_some()
    }

    fn end(&mut self, id: NodeId, how: fn(&mut Cluster, NodeId)) {
        how(&mut self.cluster, id);
        self.reads.retain(|read| read.at != id);
    }

    fn pass(&mut self, ms: u64) {
        let end_ms = self.cluster.now_ms + ms;
        while self.cluster.now_ms < end_ms {
            self.cluster.step();
            self.finish_reads();
        }
    }

    /// Members that run, are not stalled, and believe that they lead.
    fn leaders(&mut self) -> Vec<NodeId> {
        let members = self.cluster.members.iter().filter(|(_, m)| !m.stalled);
        members
            .filter(|(_, m)| m.node.as_ref().is_some_and(|n| n.leadership().role == Role::Leader))
            .map(|(id, _)| *id)
            .collect()
    }

    fn propose(&mut self) {
        for id in self.leaders() {
            self.proposals += 1;
            // May be refused: while the leadership is transferred, for one.
            let _ = self.cluster.node(id).propose(self.proposals.to_string().into_bytes());
        }
    }

    fn begin_reads(&mut self) {
        let acknowledged_before = self.cluster.acknowledged;
        for at in self.leaders() {
            if let Some(round) = self.cluster.node(at).confirm_round() {
                self.reads.push(Read { at, round, acknowledged_before });
            }
        }
    }

    fn finish_reads(&mut self) {
        let cluster = &mut self.cluster;
        self.reads.retain(|read| {
            let member = cluster.member(read.at);
            let Some(node) = member.node.as_ref() else {
                return false;
            };
            let state = node.confirmed(read.round);
            if state == RoundState::Confirmed {
                let applied = member.machine.entries.len() as u64;
                assert!(applied >= read.acknowledged_before, "a confirmed read is stale");
            }
            state == RoundState::Pending
        });
    }

    fn transfer(&mut self, to: NodeId) {
        for id in self.leaders() {
            let now_ms = self.cluster.clock_of(id);
            let _ = self.cluster.node(id).transfer_leadership(to, now_ms);
        }
    }

    fn lose_disk(&mut self, id: NodeId) {
        if (1..=MEMBERS).all(|other| self.runs(other) && self.cluster.node(other).is_trusted()) {
            self.end(id, Cluster::lose_log);
            self.cluster.start(id);
        }
    }

    fn checkpoint(&mut self, id: NodeId) {
        if self.runs(id) {
            self.cluster.checkpoint(id);
        }
        if !self.runs(id) {
            self.reads.retain(|read| read.at != id);
        }
    }

    /// All members run and reach each other again.
    fn end_trouble(&mut self) {
        self.cluster.heal();
        for id in 1..=MEMBERS {
            if !self.runs(id) {
                self.cluster.start(id);
            }
            self.cluster.member(id).stalled = false;
            self.cluster.member(id).fetches_nothing = false;
        }
    }

    /// A planned loss of power may still be ahead.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.end_trouble();
            self.pass(4_000);
        }
        let leader = self.cluster.leader().expect("without trouble there is a leader");
        assert!(self.cluster.holds_lease(leader), "and it has a lease");
        let applied: Vec<_> = self.cluster.members.values().map(|m| m.machine.entries.len() as u64).collect();
        assert!(applied.iter().all(|a| *a == applied[0]), "{applied:?}");
        assert!(applied[0] >= self.cluster.acknowledged, "acknowledged entries were lost");
    }
}

fn live(events: &[Event]) {
    let mut life = Life { cluster: Cluster::new(MEMBERS), proposals: 0, reads: Vec::new() };
    life.pass(900);
    events.iter().for_each(|event| life.happen(*event));
    life.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_happens_nothing_acknowledged_is_lost_and_no_read_is_stale(
        events in proptest::collection::vec(event(), 1..80),
    ) {
        live(&events);
    }
}

/// It has no entries from before that checkpoint either.
#[test]
fn whoever_was_sent_a_checkpoint_sends_it_to_others() {
    use Event::*;
    live(&[
        CutWire(1, 2),
        Propose,
        Pass { ms: 141 },
        Checkpoint(3),
        Propose,
        LoseDisk(1),
        Pass { ms: 421 },
        Transfer(2),
    ]);
}

/// It learnt what it had lost from a leader that then lost its own disk, and forgot with a restart how far that was committed.
#[test]
fn a_member_whose_new_log_reaches_far_enough_campaigns_though_it_was_restarted() {
    use Event::*;
    live(&[
        Transfer(2),
        Pass { ms: 11 },
        LoseDisk(1),
        CutWire(2, 3),
        Pass { ms: 326 },
        LoseDisk(2),
        Restart(1),
    ]);
}
