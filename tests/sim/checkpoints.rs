//! Checkpoints in a run. The server's own code decides when nodes write and publish them, compact their logs after them, and fetch
//! each other's (`server::checkpoints`, `server::catch_up`); its threads are replaced by what works within a node's turns, on shelves in
//! memory that outlive the processes.

use std::ops::DerefMut;
use std::sync::Arc;

use parking_lot::Mutex;
use perdura::checkpoint::CheckpointStore;
use perdura::checkpoint::error::CheckpointError;
use perdura::checkpoint::manifest::Point;
use perdura::checkpoint::memory::{MemoryShelf, MemoryStore};
use perdura::checkpoint::ship::Pace;
use perdura::checkpoint::ship::memory::{MemoryDock, MemoryLender};
use perdura::checkpoint::transfers::Transfers;
use perdura::config::CheckpointPolicy;
use perdura::env::Clock;
use perdura::keyspace::capture::Capture;
use perdura::keyspace::types::limits::TypeLimits;
use perdura::keyspace::{Keyspace, Mutator};
use perdura::raft::cluster::ClusterId;
use perdura::raft::storage::{StorageFault, restart_log_at};
use perdura::server::checkpoint_writer::{Aside, CheckpointWriter, Outcome, Task, clean_up};
use perdura::server::transfer_worker::{Event, Request, TransferWorker, Transferring};
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

impl Plan {
    /// The server's settings; without a plan a node takes no checkpoints.
    pub fn policy(plan: Option<Plan>) -> CheckpointPolicy {
        CheckpointPolicy {
            log_bytes: plan.map_or(0, |plan| plan.every_bytes),
            interval_s: 0,
            bytes_per_second: 0,
            kept: plan.map_or(1, |plan| plan.kept),
            log_keep_bytes: plan.map_or(0, |plan| plan.log_keep_bytes),
            catch_up_bytes_per_second: plan.map_or(0, |plan| plan.fetch_bytes_per_second),
        }
    }
}

/// What a process starts from.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub checkpoint: Position,
    pub stamp_ms: i64,
    pub cluster: ClusterId,
}

/// What happened to checkpoints since this was last taken.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Vec<Seen>>>);

impl Witness {
    pub fn see(&self, seen: Seen) {
        self.0.lock().push(seen);
    }

    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Opens the store on a shelf and fills the keyspace from the newest checkpoint there.
pub fn open(shelf: MemoryShelf, mutator: &mut Mutator) -> (MemoryStore, Option<Start>) {
    let store = MemoryStore::open(shelf, TypeLimits::default());
    let start = store.newest().cloned().map(|manifest| {
        mutator.restore_basis(manifest.basis());
        let restoring = mutator.restore();
        store.load(&|db, entry| restoring.put(db, entry)).expect("a simulated checkpoint is whole");
        let Point { index, term, stamp_ms, cluster, .. } = manifest.point;
        Start { checkpoint: Position { index, term }, stamp_ms, cluster: ClusterId(cluster) }
    });
    (store, start)
}

/// Lets the log continue after a checkpoint that the last process had fetched, and not yet adopted.
pub fn finish_adoption(
    shelf: &MemoryShelf,
    start: Option<Start>,
    wal: &mut Wal<SimDisk>,
) -> Result<(), StorageFault> {
    if let Some(start) = start
        && shelf.adopting() == Some(start.checkpoint.index)
    {
        restart_log_at(wal, start.checkpoint)?;
    }
    shelf.end_adoption();
    Ok(())
}

/// Writes some slots each time that the driver asks for the outcome.
pub struct StepWriter {
    store: Box<dyn CheckpointStore>,
    shelf: MemoryShelf,
    keyspace: Arc<Keyspace>,
    slots_per_turn: usize,
    task: Option<Task>,
    outcome: Option<Outcome>,
    is_stopped: bool,
    witness: Witness,
}

impl StepWriter {
    pub fn new(
        store: MemoryStore,
        shelf: MemoryShelf,
        keyspace: Arc<Keyspace>,
        plan: Option<Plan>,
        witness: Witness,
    ) -> StepWriter {
        let slots_per_turn = plan.map_or(1, |plan| plan.slots_per_turn);
        let store = Box::new(store);
        let (task, outcome, is_stopped) = (None, None, false);
        StepWriter { store, shelf, keyspace, slots_per_turn, task, outcome, is_stopped, witness }
    }

    fn fail(&mut self, error: CheckpointError) -> Outcome {
        self.task = None;
        clean_up(&mut *self.store, &self.keyspace);
        Outcome::Written(Err(error))
    }

    fn step(&mut self) -> Option<Outcome> {
        let task = self.task.as_mut()?;
        if self.is_stopped {
            self.witness.see(Seen::CheckpointsGivenUp);
            return Some(self.fail(CheckpointError::GivenUp));
        }
        for _ in 0..self.slots_per_turn {
            match task.step(&mut *self.store) {
                Ok(None) => {}
                Ok(Some(written)) => {
                    self.task = None;
                    self.witness.see(Seen::CheckpointsPublished);
                    return Some(Outcome::Written(Ok(written)));
                }
                Err(error) => return Some(self.fail(error)),
            }
        }
        None
    }
}

impl CheckpointWriter for StepWriter {
    fn is_idle(&self) -> bool {
        self.task.is_none() && self.outcome.is_none()
    }

    fn may_begin(&self) -> bool {
        self.is_idle() && !self.is_stopped
    }

    fn write(&mut self, capture: Capture, point: Point, kept: usize) {
        assert!(self.is_idle(), "a writer has one job at a time");
        self.witness.see(Seen::CheckpointsBegun);
        match Task::begin(&mut *self.store, capture, point, kept) {
            Ok(task) => self.task = Some(task),
            Err(error) => self.outcome = Some(self.fail(error)),
        }
    }

    fn set_aside(&mut self, index: u64) {
        assert!(self.is_idle(), "a writer has one job at a time");
        let was_newest = self.store.newest().is_some_and(|newest| newest.point.index == index);
        self.shelf.lose(index);
        if was_newest {
            clean_up(&mut *self.store, &self.keyspace);
        }
        let oldest = self.store.oldest().map(Option::unwrap_or_default);
        self.outcome = Some(Outcome::SetAside(oldest.map(|oldest| Aside { index, was_newest, oldest })));
    }

    fn poll(&mut self) -> Option<Outcome> {
        self.outcome.take().or_else(|| self.step())
    }

    fn set_urgency(&mut self, _urgency: u64) {}

    fn stop(&mut self) -> bool {
        self.is_stopped = true;
        self.is_idle()
    }

    fn resume(&mut self) {
        self.is_stopped = false;
    }

    fn store(&mut self) -> impl DerefMut<Target = Box<dyn CheckpointStore>> {
        &mut self.store
    }
}

/// Handles each request at once.
pub struct StepTransfers {
    worker: TransferWorker<MemoryDock, MemoryLender>,
    shelf: MemoryShelf,
    clock: Clock,
    witness: Witness,
}

impl StepTransfers {
    pub fn new(
        shelf: MemoryShelf,
        plan: Option<Plan>,
        transfers: Arc<Transfers>,
        clock: Clock,
        witness: Witness,
    ) -> StepTransfers {
        let pace = Pace { bytes_per_second: Plan::policy(plan).catch_up_bytes_per_second };
        let (dock, lender) = (MemoryDock::new(shelf.clone()), MemoryLender::new(shelf.clone()));
        StepTransfers { worker: TransferWorker::new(dock, pace, lender, transfers), shelf, clock, witness }
    }
}

impl Transferring for StepTransfers {
    fn request(&mut self, request: Request) -> bool {
        self.worker.handle(request, self.clock.monotonic_ms());
        true
    }

    fn poll(&mut self) -> Option<Event> {
        self.worker.take_event().or_else(|| {
            self.worker.step(self.clock.monotonic_ms());
            self.worker.take_event()
        })
    }

    fn remove(&mut self, index: u64) -> Result<(), CheckpointError> {
        self.witness.see(Seen::CheckpointsOvertaken);
        self.shelf.lose(index);
        Ok(())
    }

    fn end_adoption(&mut self) -> Result<(), CheckpointError> {
        self.shelf.end_adoption();
        Ok(())
    }
}
