//! Checkpoints in a run: nodes publish them, cut their logs behind them, and fetch each other's. What `src/server` does with
//! threads and files happens here within a node's turns, on shelves in memory that outlive the processes.

use perdura::checkpoint::manifest::{Manifest, Point};
use perdura::checkpoint::memory::{MemoryShelf, MemoryStore};
use perdura::checkpoint::ship::memory::{MemoryDock, MemoryLender};
use perdura::checkpoint::ship::{Fetch, Pace, Shipment, Wanted, answer};
use perdura::checkpoint::{CheckpointStore, Report};
use perdura::keyspace::Mutator;
use perdura::keyspace::capture::Capture;
use perdura::keyspace::types::limits::TypeLimits;
use perdura::raft::cluster::ClusterId;
use perdura::raft::identity::NodeId;
use perdura::raft::inbox::PeerEvent;
use perdura::raft::storage::{StorageFault, restart_log_at};
use perdura::shard::turn::{Shard, ShardError};
use perdura_wal::{Position, SimDisk, Wal};

use crate::coverage::Seen;

/// When nodes take checkpoints, and what they keep.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Bytes of applied entries from one to the next.
    pub every_bytes: u64,
    pub kept: usize,
    pub log_keep_bytes: u64,
    /// Slots that are written in a turn.
    pub slots_per_turn: usize,
    /// Bytes that are fetched in a second.
    pub fetch_bytes_per_second: u64,
}

/// What a process starts from.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub checkpoint: Position,
    pub stamp_ms: i64,
    pub cluster: ClusterId,
}

pub struct Checkpoints {
    plan: Option<Plan>,
    shelf: MemoryShelf,
    store: MemoryStore,
    running: Option<(Capture, Point)>,
    fetch: Fetch<MemoryDock>,
    lender: MemoryLender,
    /// On the shelf, and not yet in place.
    fetched: Option<Manifest>,
    /// Index, and bytes that were applied, when the last one began.
    last: (u64, u64),
    /// What happened since this was last taken.
    pub seen: Vec<Seen>,
}

impl Checkpoints {
    /// Fills the keyspace from the newest checkpoint on the shelf.
    pub fn open(
        plan: Option<Plan>,
        shelf: MemoryShelf,
        mutator: &mut Mutator,
    ) -> (Checkpoints, Option<Start>) {
        let store = MemoryStore::open(shelf.clone(), TypeLimits::default());
        let start = store.newest().cloned().map(|manifest| {
            mutator.restore_basis(manifest.basis());
            let restoring = mutator.restore();
            store.load(&|db, entry| restoring.put(db, entry)).expect("a simulated checkpoint is whole");
            let Point { index, term, stamp_ms, .. } = manifest.point;
            Start {
                checkpoint: Position { index, term },
                stamp_ms,
                cluster: ClusterId(manifest.point.cluster),
            }
        });
        let bytes_per_second = plan.map_or(0, |plan| plan.fetch_bytes_per_second);
        let checkpoints = Checkpoints {
            plan,
            store,
            running: None,
            fetch: Fetch::new(MemoryDock::new(shelf.clone()), Pace { bytes_per_second }),
            lender: MemoryLender::new(shelf.clone()),
            shelf,
            fetched: None,
            last: (start.map_or(0, |start| start.checkpoint.index), 0),
            seen: Vec::new(),
        };
        (checkpoints, start)
    }

    /// Lets the log go on behind a checkpoint that the last process had fetched, and not yet adopted.
    pub fn finish_adoption(&self, start: Option<Start>, wal: &mut Wal<SimDisk>) -> Result<(), StorageFault> {
        if let Some(start) = start
            && self.shelf.adopting() == Some(start.checkpoint.index)
        {
            restart_log_at(wal, start.checkpoint)?;
        }
        self.shelf.end_adoption();
        Ok(())
    }

    /// Takes in what peers say about checkpoints, and returns the answers.
    pub fn take_in(&mut self, inbox: &mut Vec<(NodeId, PeerEvent)>, now_ms: u64) -> Vec<(NodeId, Shipment)> {
        let mut answers = Vec::new();
        inbox.retain(|(from, event)| {
            let PeerEvent::Shipment(shipment) = event else { return true };
            match shipment {
                Shipment::Ask(ask) => answers.push((*from, answer(&mut self.lender, *ask, now_ms))),
                other => {
                    let fetched = self.fetch.take(*from, other.clone(), now_ms);
                    self.fetched = fetched.or(self.fetched.take());
                }
            }
            false
        });
        answers
    }

    /// Before a turn: puts in place what was fetched, and asks for more.
    pub fn fetch(&mut self, shard: &mut Shard<SimDisk>, now_ms: u64) -> Vec<(NodeId, Shipment)> {
        let applied = shard.machine().applied;
        if self.shelf.adopting().is_some_and(|index| index <= applied) {
            self.shelf.end_adoption();
        }
        if let Some(manifest) = self.fetched.take() {
            self.put_in_place(shard, manifest);
            return Vec::new();
        }
        let offer = shard.node().offer();
        self.fetch.want(offer.map(|offer| Wanted { from: offer.from, index: offer.checkpoint.index }));
        let mut asks = Vec::new();
        self.fetch.turn(now_ms, |to, ask| asks.push((to, Shipment::Ask(ask))));
        asks
    }

    fn put_in_place(&mut self, shard: &mut Shard<SimDisk>, manifest: Manifest) {
        let Point { index, term, stamp_ms, .. } = manifest.point;
        let checkpoint = Position { index, term };
        if !shard.node().lacks(checkpoint) {
            self.seen.push(Seen::CheckpointsOvertaken);
            self.shelf.lose(index);
            self.shelf.end_adoption();
            return;
        }
        if !shard.node().has_room_to_restore() {
            self.fetched = Some(manifest);
            return;
        }
        self.give_up(shard);
        self.store.adopt(index).expect("it is on the shelf");
        let store = &self.store;
        let loaded = shard.replace_data(manifest.basis(), stamp_ms, |restoring| {
            store.load(&|db, entry| restoring.put(db, entry))
        });
        loaded.expect("a simulated checkpoint is whole");
        shard.node_mut().checkpoint_published(checkpoint);
        shard.know_cluster(ClusterId(manifest.point.cluster)).expect("the disk has room");
        shard.node_mut().restore(checkpoint);
        self.last = (index, shard.machine().applied_bytes);
        self.seen.push(Seen::CheckpointsFetched);
    }

    fn give_up(&mut self, shard: &mut Shard<SimDisk>) {
        if self.running.take().is_some() {
            self.seen.push(Seen::CheckpointsGivenUp);
            self.store.reset().expect("it is in memory");
            let forgotten = shard.machine().applier.keyspace().forget_stored();
            forgotten.expect("no capture runs any more");
        }
    }

    /// After a turn: begins a checkpoint if one is due, or goes on with the one that is being written.
    pub fn write(&mut self, shard: &mut Shard<SimDisk>, members: u64) -> Result<(), ShardError> {
        let Some(plan) = self.plan else { return Ok(()) };
        if self.running.is_none() {
            self.begin(shard, &plan, members);
        }
        let Some((capture, _)) = &mut self.running else { return Ok(()) };
        for _ in 0..plan.slots_per_turn {
            match capture.next() {
                Some(changes) => self.store.put(changes).expect("it is in memory"),
                None => return self.finish(shard, &plan, members),
            }
        }
        Ok(())
    }

    fn begin(&mut self, shard: &mut Shard<SimDisk>, plan: &Plan, members: u64) {
        let (index, term) = shard.applied_position();
        let bytes = shard.machine().applied_bytes;
        let is_due = index > self.last.0 && bytes >= self.last.1 + plan.every_bytes;
        if !is_due || !shard.is_capturable() {
            return;
        }
        self.last = (index, bytes);
        let capture = shard.begin_capture().expect("none runs");
        let stamp_ms = shard.machine().applier.last_stamp_ms();
        let cluster = shard.node().cluster().id.0;
        let members = (1..=members).collect();
        let point = Point { cluster_id: 7, cluster, index, term, stamp_ms, members };
        self.store.begin(point.clone()).expect("there is none of this index");
        for generation in capture.dropped().to_vec() {
            self.store.drop_generation(generation).expect("it is in memory");
        }
        self.seen.push(Seen::CheckpointsBegun);
        self.running = Some((capture, point));
    }

    fn finish(&mut self, shard: &mut Shard<SimDisk>, plan: &Plan, members: u64) -> Result<(), ShardError> {
        let Some((capture, point)) = self.running.take() else { return Ok(()) };
        let Report { index, .. } = self.store.finish(capture.basis()).expect("it is in memory");
        self.store.prune(plan.kept).expect("it is in memory");
        self.seen.push(Seen::CheckpointsPublished);
        shard.node_mut().checkpoint_published(Position { index, term: point.term });
        let oldest = self.shelf.list().first().copied().unwrap_or(index);
        let beyond = match members {
            1 => u64::MAX,
            _ => shard.node_mut().storage_mut().compactable_beyond(plan.log_keep_bytes),
        };
        shard.compact_log(oldest.min(beyond))
    }
}
