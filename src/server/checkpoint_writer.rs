//! Writing checkpoints beside the driver, and setting damaged ones aside.
//!
//! - A writer has one job at a time: the driver gives it the next one only after it took in the outcome of the last.
//! - The server's writer is a thread. It sleeps after each piece of work where cores are few: clients would notice otherwise. The
//!   more the log grows meanwhile, the less it sleeps, because a restart has to replay what the log grew by.
//! - A checkpoint that fails loses nothing, since the log has everything. The writer empties the store, and the next checkpoint
//!   brings the whole keyspace.

use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;

use super::open::threads;
use super::{ServerError, spawn};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::manifest::{Manifest, Point};
use crate::checkpoint::shelf::Shelf;
use crate::checkpoint::throttle::Rest;
use crate::checkpoint::{CheckpointStore, Report, Writing};
use crate::env;
use crate::keyspace::Keyspace;
use crate::keyspace::capture::Capture;
use crate::keyspace::digest::Digest;

/// Writes checkpoints beside the driver.
pub trait CheckpointWriter {
    /// Whether it has no job.
    fn is_idle(&self) -> bool;

    /// Whether a checkpoint may begin now.
    fn may_begin(&self) -> bool;

    /// Begins to write a checkpoint; afterwards the oldest are removed until `kept` are left. The writer has to be idle.
    fn write(&mut self, capture: Capture, point: Point, kept: usize);

    /// Begins to set a damaged checkpoint aside. The writer has to be idle.
    fn set_aside(&mut self, index: u64);

    /// The outcome of a job that ended since the last call. The writer is idle then.
    fn poll(&mut self) -> Option<Outcome>;

    /// Says how urgent the checkpoint is that is being written; 0 is not at all.
    fn set_urgency(&mut self, urgency: u64);

    /// Ends the checkpoint that is being written, and lets none begin before [`CheckpointWriter::resume`]. False while the writer
    /// still has a job.
    fn stop(&mut self) -> bool;

    /// Lets checkpoints begin again.
    fn resume(&mut self);

    /// The store. The caller waits for a job to end.
    fn store(&mut self) -> impl DerefMut<Target = Box<dyn CheckpointStore>>;
}

/// What a writer has to do.
enum Job {
    /// Write and publish a checkpoint, then remove the oldest until `kept` are left.
    Write { capture: Box<Capture>, point: Point, kept: usize },
    /// Set a damaged checkpoint aside.
    SetAside { index: u64 },
}

/// How a job ended.
pub enum Outcome {
    Written(Result<Written, CheckpointError>),
    SetAside(Result<Aside, CheckpointError>),
}

/// A checkpoint that was written and published.
pub struct Written {
    pub report: Report,
    /// Of its last entry.
    pub term: u64,
    /// Index of the oldest checkpoint that is left.
    pub oldest: u64,
    pub digest: Digest,
}

/// A damaged checkpoint that was set aside.
pub struct Aside {
    pub index: u64,
    /// The store shared files with it, and is empty now.
    pub was_newest: bool,
    /// Index of the oldest checkpoint that is left; 0 is none.
    pub oldest: u64,
}

/// A checkpoint that a writer is writing, step by step.
pub struct Task {
    writing: Writing,
    term: u64,
    kept: usize,
}

impl Task {
    /// # Errors
    /// The store fails: [`clean_up`] is due.
    pub fn begin(
        store: &mut dyn CheckpointStore,
        capture: Capture,
        point: Point,
        kept: usize,
    ) -> Result<Task, CheckpointError> {
        let term = point.term;
        Ok(Task { writing: Writing::begin(store, capture, point)?, term, kept })
    }

    /// Writes the next piece. The last step publishes the checkpoint, removes the oldest, and returns what was written.
    ///
    /// # Errors
    /// The store fails: [`clean_up`] is due.
    pub fn step(&mut self, store: &mut dyn CheckpointStore) -> Result<Option<Written>, CheckpointError> {
        let Some(report) = self.writing.step(store)? else { return Ok(None) };
        store.prune(self.kept)?;
        let digest = store.newest().map_or(0, Manifest::digest);
        let oldest = store.oldest()?.unwrap_or(report.index);
        Ok(Some(Written { report, term: self.term, oldest, digest }))
    }
}

/// After a checkpoint failed: empties the store, so that the next one brings the whole keyspace.
pub fn clean_up(store: &mut dyn CheckpointStore, keyspace: &Keyspace) {
    if let Err(error) = store.reset() {
        tracing::error!(%error, "what a failed checkpoint left can't be removed");
    }
    forget_stored(keyspace);
}

/// The keyspace must not count as stored what the store lost.
fn forget_stored(keyspace: &Keyspace) {
    if let Err(error) = keyspace.forget_stored() {
        tracing::error!(%error, "the next checkpoint can't be prepared");
    }
}

/// The server's writer: the driver's handle to a thread.
pub struct WriterThread {
    /// The thread holds it while it has a job.
    store: Arc<Mutex<Box<dyn CheckpointStore>>>,
    jobs: SyncSender<Job>,
    outcomes: Receiver<Outcome>,
    is_running: bool,
    shared: Arc<Signals>,
}

/// What the driver tells the thread during a job.
#[derive(Default)]
struct Signals {
    /// The checkpoint that is being written is to end, and none begins.
    is_stopped: AtomicBool,
    /// How urgent the checkpoint is; 0 is not at all.
    urgency: AtomicU64,
}

impl WriterThread {
    /// Starts the thread, which publishes to `shelf`.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        store: Box<dyn CheckpointStore>,
        shelf: Shelf,
        keyspace: Arc<Keyspace>,
    ) -> Result<WriterThread, ServerError> {
        // One job and one outcome at a time: neither end ever waits for room.
        let (jobs, received) = sync_channel(1);
        let (sender, outcomes) = sync_channel(1);
        let (store, shared) = (Arc::new(Mutex::new(store)), Arc::<Signals>::default());
        let worker = Worker { store: store.clone(), shelf, keyspace, shared: shared.clone() };
        spawn("checkpoints".to_owned(), move || {
            for job in received {
                if sender.send(worker.run(job)).is_err() {
                    return;
                }
            }
        })?;
        Ok(WriterThread { store, jobs, outcomes, is_running: false, shared })
    }

    fn give(&mut self, job: Job) {
        assert!(!self.is_running, "the thread has one job at a time");
        // There is room, since the thread has no job; and the thread ends with the process only.
        self.is_running = self.jobs.try_send(job).is_ok();
        assert!(self.is_running, "the thread takes jobs as long as the process runs");
    }
}

impl CheckpointWriter for WriterThread {
    fn is_idle(&self) -> bool {
        !self.is_running
    }

    fn may_begin(&self) -> bool {
        !self.is_running && !self.shared.is_stopped.load(Ordering::Acquire)
    }

    fn write(&mut self, capture: Capture, point: Point, kept: usize) {
        self.give(Job::Write { capture: Box::new(capture), point, kept });
    }

    fn set_aside(&mut self, index: u64) {
        self.give(Job::SetAside { index });
    }

    fn poll(&mut self) -> Option<Outcome> {
        let outcome = self.outcomes.try_recv().ok()?;
        self.is_running = false;
        Some(outcome)
    }

    fn set_urgency(&mut self, urgency: u64) {
        self.shared.urgency.store(urgency, Ordering::Relaxed);
    }

    fn stop(&mut self) -> bool {
        self.shared.is_stopped.store(true, Ordering::Release);
        !self.is_running
    }

    fn resume(&mut self) {
        self.shared.is_stopped.store(false, Ordering::Release);
    }

    fn store(&mut self) -> impl DerefMut<Target = Box<dyn CheckpointStore>> {
        self.store.lock()
    }
}

/// The thread's own part.
struct Worker {
    store: Arc<Mutex<Box<dyn CheckpointStore>>>,
    shelf: Shelf,
    keyspace: Arc<Keyspace>,
    shared: Arc<Signals>,
}

impl Worker {
    fn run(&self, job: Job) -> Outcome {
        let store = &mut **self.store.lock();
        match job {
            Job::Write { capture, point, kept } => {
                let written = self.write(store, *capture, point, kept);
                Outcome::Written(written.inspect_err(|_| clean_up(store, &self.keyspace)))
            }
            Job::SetAside { index } => Outcome::SetAside(self.set_aside(store, index)),
        }
    }

    fn write(
        &self,
        store: &mut dyn CheckpointStore,
        capture: Capture,
        point: Point,
        kept: usize,
    ) -> Result<Written, CheckpointError> {
        let mut rest = Rest::new(threads(), env::thread_cpu_ns());
        let mut task = Task::begin(store, capture, point, kept)?;
        loop {
            if let Some(written) = task.step(store)? {
                return Ok(written);
            }
            self.pause(&mut rest)?;
        }
    }

    fn pause(&self, rest: &mut Rest) -> Result<(), CheckpointError> {
        if self.shared.is_stopped.load(Ordering::Acquire) {
            return Err(CheckpointError::GivenUp);
        }
        thread::sleep(rest.due(self.shared.urgency.load(Ordering::Relaxed), env::thread_cpu_ns()));
        Ok(())
    }

    fn set_aside(&self, store: &mut dyn CheckpointStore, index: u64) -> Result<Aside, CheckpointError> {
        let was_newest = store.newest().is_some_and(|newest| newest.point.index == index);
        self.shelf.set_aside(index)?;
        if was_newest {
            store.reset()?;
            forget_stored(&self.keyspace);
        }
        Ok(Aside { index, was_newest, oldest: store.oldest()?.unwrap_or(0) })
    }
}
