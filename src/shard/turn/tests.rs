use perdura_wal::disk::sim::{SimDisk, Tear};
use perdura_wal::{NewLog, Options, Wal};

use super::*;
use crate::apply::Applier;
use crate::command::statistic_names;
use crate::env::Clock;
use crate::keyspace::Keyspace;
use crate::keyspace::types::limits::TypeLimits;
use crate::metrics::Metrics;
use crate::protocol::reply::Resp;
use crate::raft::cluster::Cluster;
use crate::raft::frame::Frame;
use crate::raft::identity::{GroupKey, Identity, NodeId};
use crate::raft::keepalive::TurnBoard;
use crate::raft::node::{NodeConfig, StateMachine};

const STEP_MS: u64 = 10;

/// What was sent to whom.
#[derive(Default)]
struct Letters(Vec<(NodeId, Frame)>);

impl Outbound for Letters {
    fn send(&mut self, to: NodeId, frame: &Frame) -> bool {
        self.0.push((to, frame.clone()));
        true
    }

    fn flush(&mut self) {}
}

/// A follower that keeps nothing of what it applies.
struct Forgetful;

impl StateMachine for Forgetful {
    type Error = std::convert::Infallible;

    fn apply(&mut self, _: u64, _: u64, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// The shard of node 1 and two nodes that follow it. Nobody trusts clocks, so no lease ever holds.
struct Group {
    shard: Shard<SimDisk>,
    others: Vec<Node<SimDisk>>,
    letters: Vec<(NodeId, NodeId, Frame)>,
    now_ms: u64,
}

fn node(id: NodeId) -> Node<SimDisk> {
    let disk = SimDisk::new(id, Tear::Sectors, 4096);
    let create = Some(NewLog { log_id: id, metadata: Vec::new() });
    let options = Options { segment_bytes: 1 << 17, create, ..Options::default() };
    let identity = Identity::new(GroupKey(7), id, vec![1, 2, 3]).expect("a valid identity");
    let config = NodeConfig { secret: 31 * id, trust_clocks: false, ..NodeConfig::new(identity) };
    Node::open(Wal::open(disk, options).expect("the log opens").0, config, 0, 0).expect("the node opens")
}

impl Group {
    fn new() -> Group {
        let (clock, _) = Clock::manual(0);
        let (keyspace, mutator) = Keyspace::create();
        let handle = Arc::new(ShardHandle::new(keyspace, 1));
        let machine = Machine::new(
            Applier::new(mutator, TypeLimits::default()),
            handle.clone(),
            TurnBoard::default(),
            clock.clone(),
            Metrics::new(clock, statistic_names()),
        );
        let shard = Shard::new(node(1), machine, handle, Seeds::of_test(1));
        let mut others = vec![node(2), node(3)];
        // They tell the shard no calendar, so it leaves the lead to others; so do they.
        others.iter_mut().for_each(|other| other.stand_last(true));
        Group { shard, others, letters: Vec::new(), now_ms: 0 }
    }

    fn step(&mut self) {
        self.now_ms += STEP_MS;
        let mut events = Vec::new();
        for (from, to, frame) in std::mem::take(&mut self.letters) {
            match (to, frame) {
                (1, frame) => events.push((from, PeerEvent::from(frame))),
                (to, frame) => self.hear(from, to, frame),
            }
        }
        let now = Now { monotonic_ms: self.now_ms, unix_ms: self.now_ms as i64 };
        let mut out = Letters::default();
        self.shard.turn(now, &mut events, &mut out).expect("a sound disk");
        self.letters.extend(out.0.into_iter().map(|(to, frame)| (1, to, frame)));
        for (id, node) in (2..).zip(&mut self.others) {
            node.tick(self.now_ms);
            let mut out = Letters::default();
            node.process(self.now_ms, &mut out, &mut Forgetful).expect("a sound disk");
            self.letters.extend(out.0.into_iter().map(|(to, frame)| (id, to, frame)));
        }
    }

    fn hear(&mut self, from: NodeId, to: NodeId, frame: Frame) {
        let node = &mut self.others[to as usize - 2];
        let left = node.hear(from, PeerEvent::from(frame), self.now_ms);
        let is_for_shards = matches!(left, Some(PeerEvent::Calendar { .. }));
        assert!(left.is_none() || is_for_shards, "nodes do not say this");
    }

    fn run_until(&mut self, limit_ms: u64, done: impl Fn(&Group) -> bool) {
        let end_ms = self.now_ms + limit_ms;
        while !done(self) {
            assert!(self.now_ms < end_ms, "not within {limit_ms} ms");
            self.step();
        }
    }
}

/// Where the way to the others is longer than a lease, none ever holds: then nothing was answered any more.
#[test]
fn held_answers_leave_after_a_round_where_no_lease_ever_holds() {
    let mut group = Group::new();
    group.run_until(10_000, |group| group.shard.node.is_serving());
    group.run_until(1_000, |group| !group.shard.has_work());
    group.shard.machine.hold(Default::default());
    let tick_ms = group.shard.node.next_tick_ms();
    assert_eq!(group.shard.next_due_ms(), tick_ms, "nothing but a tick or a frame moves it on");
    group.step();
    assert!(group.shard.machine.holds_answers(), "the round has just begun");
    group.run_until(1_000, |group| !group.shard.machine.holds_answers());
}

/// A follower that has the entry after it knows that the first is committed, and so which leaders are strangers: none of them can bring
/// down what a client was told.
/// The proof of a member and the entry that names the cluster came in one turn: backups were never begun on this node.
#[test]
fn a_cluster_that_was_proved_before_its_entry_is_applied_is_told_to_the_process() {
    let mut group = Group::new();
    let shard = &mut group.shard;
    shard.node.storage_mut().set_cluster(Cluster::of(ClusterId(5)));
    shard.machine.applier.know_cluster(5);
    shard.take_brought_cluster().expect("the disk works");
    assert_eq!(shard.handle.cluster(), ClusterId(5));
}

#[test]
fn the_entry_that_names_a_groups_cluster_holds_nothing_of_clients() {
    let mut group = Group::new();
    let keys = |group: &Group| group.shard.handle.keyspace.usage(0).keys;
    let end_ms = 10_000;
    while group.shard.machine.applier.cluster_id() == 0 {
        let mut batch = group.shard.handle.ports[0].batch.lock();
        let bytes = batch.encode_single(0, &[b"SET", b"k", b"v"]);
        batch.push(Addressee::NOBODY.connection, Resp::V2, Work::Internal { bytes });
        drop(batch);
        group.step();
        assert!(group.now_ms < end_ms, "no leader within {end_ms} ms");
    }
    assert_eq!(keys(&group), 0, "the client's command comes later");
    group.run_until(1_000, |group| keys(group) == 1);
}
