//! Many entries at once, by several threads: what a node applies while nobody may look at its data.
//!
//! - Commands whose keys lie in one lock range run in the log's order among those of that range, and beside those of others. They
//!   see nothing else, and time and seed are in the log: together they come to what one after the other would.
//! - Any other command waits for all before it and runs alone.
//! - The states in between are those of no prefix of the log: nobody may read, wait or watch meanwhile.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::{Applier, ApplyError, logged_command, write_in};
use crate::command::WriteContext;
use crate::command::context::{Effects, KnownSlot, Stamp};
use crate::command::table::Row;
use crate::keyspace::SharedMutator;
use crate::keyspace::slot::RANGES;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::view::LockSet;
use crate::propose::entry::{EntryArgs, EntryReader, Item};
use crate::protocol::reply::{Reply, Resp};

/// Fewer bytes of commands are not worth a thread.
const MIN_BYTES_FOR_THREADS: usize = 64 << 10;

/// So many commands are gathered at most, some MiB of them.
const MAX_JOBS: usize = 1 << 16;

/// A command of the log.
struct Job<'e> {
    /// Where its bytes begin.
    reader: EntryReader<'e>,
    stamp: Stamp,
    row: Row,
    locks: LockSet,
    known: Option<KnownSlot<'e>>,
}

/// The commands of one lock range, in the log's order.
#[derive(Default)]
struct Queue<'e> {
    jobs: Vec<Job<'e>>,
    bytes: usize,
}

/// Entries that are being gathered and applied. Nothing is left over after [`Bulk::finish`] only.
pub struct Bulk<'a, 'e> {
    applier: &'a mut Applier,
    threads: usize,
    queues: Vec<Queue<'e>>,
    jobs: usize,
    bytes: usize,
}

impl<'a, 'e> Bulk<'a, 'e> {
    pub fn new(applier: &'a mut Applier, threads: usize) -> Self {
        let queues = (0..RANGES).map(|_| Queue::default()).collect();
        Bulk { applier, threads, queues, jobs: 0, bytes: 0 }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// It can't be understood; what was taken before may or may not have been applied.
    pub fn entry(&mut self, payload: &'e [u8]) -> Result<(), ApplyError> {
        let mut run = self.applier.begin(payload)?;
        let mut args = EntryArgs::new();
        let mut replies = Vec::new();
        while let Some(item) = run.reader.next_item()? {
            replies.clear();
            let mut reply = Reply::new(&mut replies, Resp::V2);
            if let Item::Transaction(count) = item {
                self.run_gathered();
                self.applier.run_transaction_item(&mut run, count, None, &mut reply)?;
                continue;
            }
            let reader = run.reader.clone();
            let argc = run.reader.skip_command(&mut args)?;
            let row = logged_command(args[0], argc)?;
            if !row.command.has_one_key() {
                reader.clone().command(&mut args)?;
            }
            let (locks, known) = row.command.locks(&args);
            match locks.only_range() {
                Some(range) => {
                    let bytes = run.reader.position() - reader.position();
                    let stamp = run.next_stamp();
                    self.gather(range, bytes, Job { reader, stamp, row, locks, known });
                }
                None => {
                    self.run_gathered();
                    run.reader = reader;
                    self.applier.run_command(&mut run, &mut reply)?;
                }
            }
        }
        Ok(())
    }

    /// What commands left to be done, but for those that are only gathered.
    pub fn effects(&mut self) -> &mut Effects {
        &mut self.applier.effects
    }

    /// Runs what is left.
    pub fn finish(mut self) {
        self.run_gathered();
    }

    fn gather(&mut self, range: usize, bytes: usize, job: Job<'e>) {
        let queue = &mut self.queues[range];
        queue.jobs.push(job);
        queue.bytes += bytes;
        self.bytes += bytes;
        self.jobs += 1;
        if self.jobs == MAX_JOBS {
            self.run_gathered();
        }
    }

    fn run_gathered(&mut self) {
        let mut queues: Vec<&Queue<'_>> = self.queues.iter().filter(|queue| queue.bytes > 0).collect();
        // The longest first, so that the threads end together.
        queues.sort_by_key(|queue| Reverse(queue.bytes));
        let threads = if self.bytes < MIN_BYTES_FOR_THREADS { 1 } else { self.threads.min(queues.len()) };
        let Applier { mutator, limits, effects, .. } = &mut *self.applier;
        let (mutator, limits) = (mutator.share(), &*limits);
        let (next, effects) = (AtomicUsize::new(0), Mutex::new(effects));
        let work = || {
            let mut lane = Lane::default();
            while let Some(queue) = queues.get(next.fetch_add(1, Ordering::Relaxed)) {
                queue.jobs.iter().for_each(|job| lane.run(job, &mutator, limits));
            }
            effects.lock().absorb(lane.effects);
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        self.queues.iter_mut().for_each(Queue::clear);
        (self.jobs, self.bytes) = (0, 0);
    }
}

impl Queue<'_> {
    fn clear(&mut self) {
        self.jobs.clear();
        self.bytes = 0;
    }
}

/// One thread's part of it.
#[derive(Default)]
struct Lane {
    effects: Effects,
    /// What would be answered.
    replies: Vec<u8>,
}

impl Lane {
    fn run(&mut self, job: &Job<'_>, mutator: &SharedMutator<'_>, limits: &TypeLimits) {
        let mut args = EntryArgs::new();
        let db = job.reader.clone().command(&mut args).expect("it was read once already");
        let context = WriteContext::new(mutator.write(job.locks), &mut self.effects, db, job.stamp, limits);
        self.replies.clear();
        let mut reply = Reply::new(&mut self.replies, Resp::V2);
        write_in(&mut context.knowing(job.known), job.row, &args, &mut reply);
    }
}

#[cfg(test)]
mod tests;
