//! Many entries at once, by several threads: what a node applies while nobody may look at its data.
//!
//! - Each thread reads a part of the entries and gathers their commands by lock range. Then each takes one range after the other,
//!   and runs what was gathered for it: the first part's commands, the second's, and so on.
//! - Commands whose keys lie in one lock range so run in the log's order among those of that range, and beside those of others. They
//!   see nothing else, and time and seed are in the log: together they come to what one after the other would.
//! - Any other command waits for all before it and runs alone.
//! - The states in between are those of no prefix of the log: nobody may read, wait or watch meanwhile.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{hint, mem, slice, thread};

use parking_lot::Mutex;

use super::{Applier, ApplyError, EntryRun, logged_command, write_in};
use crate::command::WriteContext;
use crate::command::context::{Effects, KnownSlot, Stamp};
use crate::command::families::Row;
use crate::keyspace::SharedMutator;
use crate::keyspace::slot::RANGES;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::view::{LockSet, WriteView};
use crate::propose::entry::{EntryArgs, EntryReader, Item};
use crate::protocol::reply::{Reply, Resp};

/// Fewer bytes of commands are not worth a thread.
const MIN_BYTES_FOR_THREADS: usize = 64 << 10;

/// A thread gathers about so many commands at once, some MiB of them, and at most four times as many.
const PART_COMMANDS: usize = if cfg!(test) { 20 } else { 1 << 16 };
const MAX_PART_COMMANDS: usize = 4 * PART_COMMANDS;

/// It reads so many bytes of entries for them at most. More would do where commands are long, but few ranges have as many as others.
const MAX_PART_BYTES: usize = 16 << 20;

/// Their number is guessed from that of the commands before: this is for the first.
const FIRST_PART_BYTES: usize = if cfg!(test) { 4 << 10 } else { 4 << 20 };

/// Commands whose bytes are brought from memory together.
const TOUCHED_AT_ONCE: usize = 16;

/// An entry's index and payload, which is not empty.
pub type Indexed<'e> = (u64, &'e [u8]);

/// An entry that can't be understood.
pub type Fault = (u64, ApplyError);

/// A mark that stood in the log, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct MarkMet {
    pub name: String,
    pub index: u64,
}

/// Applies entries in their order. Returns the marks among them.
///
/// # Errors
/// An entry can't be understood; those before it may or may not have been applied.
pub fn apply(applier: &mut Applier, threads: usize, entries: &[Indexed<'_>]) -> Result<Vec<MarkMet>, Fault> {
    debug_assert!(entries.is_sorted_by(|(one, _), (next, _)| one < next), "entries come in the log's order");
    let mut bulk = Bulk { applier, threads, waiting: Vec::new(), spare: Vec::new(), marks: Vec::new() };
    let first = entries.first().map_or(0, |(index, _)| *index);
    bulk.applier.follow_parameters().map_err(|error| (first, error))?;
    let (mut rest, mut part_bytes) = (entries, FIRST_PART_BYTES);
    while !rest.is_empty() {
        let parts: Vec<_> = std::iter::from_fn(|| cut(&mut rest, part_bytes)).take(threads).collect();
        let commands = bulk.apply(&parts)?;
        let bytes: usize = parts.iter().copied().flatten().map(|(_, payload)| payload.len()).sum();
        part_bytes = (bytes * PART_COMMANDS / commands.max(1)).min(MAX_PART_BYTES);
    }
    Ok(bulk.marks)
}

/// Cuts off a part of so many bytes, and up to an entry's end; nothing if nothing is left.
fn cut<'a, 'e>(rest: &mut &'a [Indexed<'e>], bytes: usize) -> Option<&'a [Indexed<'e>]> {
    let mut sum = 0;
    let is_full = |(_, payload): &Indexed<'_>| {
        sum += payload.len();
        sum >= bytes
    };
    let last = rest.iter().position(is_full).unwrap_or(rest.len().saturating_sub(1));
    let (part, left) = rest.split_at_checked(last + 1)?;
    *rest = left;
    Some(part)
}

/// A command of the log.
struct Job<'e> {
    /// Where its bytes begin.
    reader: EntryReader<'e>,
    stamp: Stamp,
    row: Row,
    known: Option<KnownSlot<'e>>,
}

/// The commands of one lock range, in the log's order.
#[derive(Default)]
struct Queue<'e> {
    jobs: Vec<Job<'e>>,
    bytes: usize,
}

/// Commands that wait to be run, by lock range.
struct Gathered<'e> {
    queues: Vec<Queue<'e>>,
    commands: usize,
}

impl<'e> Gathered<'e> {
    fn new() -> Self {
        Gathered { queues: (0..RANGES).map(|_| Queue::default()).collect(), commands: 0 }
    }

    fn add(&mut self, range: usize, bytes: usize, job: Job<'e>) {
        let queue = &mut self.queues[range];
        queue.jobs.push(job);
        queue.bytes += bytes;
        self.commands += 1;
    }

    fn clear(&mut self) {
        for queue in &mut self.queues {
            queue.jobs.clear();
            queue.bytes = 0;
        }
        self.commands = 0;
    }
}

/// Why gathering stopped.
#[derive(Clone, Copy)]
enum Stop {
    /// This comes next and has to run alone.
    Alone(Item),
    /// No more may be gathered now.
    Full,
    /// Nothing is left.
    End,
}

/// A part of the entries while it is read.
struct Part<'a, 'e> {
    entries: slice::Iter<'a, Indexed<'e>>,
    /// The entry that is being read, if one is, and its index.
    run: Option<EntryRun<'e>>,
    index: u64,
    newest_stamp_ms: i64,
}

impl<'a, 'e> Part<'a, 'e> {
    fn new(entries: &'a [Indexed<'e>]) -> Self {
        Part { entries: entries.iter(), run: None, index: 0, newest_stamp_ms: i64::MIN }
    }

    fn gather(&mut self, gathered: &mut Gathered<'e>) -> Result<Stop, Fault> {
        loop {
            if let Some(run) = &mut self.run {
                match gather_entry(run, gathered).map_err(|error| (self.index, error))? {
                    Stop::End => self.run = None,
                    other => return Ok(other),
                }
            }
            let Some(&(index, payload)) = self.entries.next() else { return Ok(Stop::End) };
            let run = Applier::open(payload).map_err(|error| (index, error))?;
            self.newest_stamp_ms = self.newest_stamp_ms.max(run.stamp.now_ms);
            (self.run, self.index) = (Some(run), index);
        }
    }
}

/// Gathers the rest of an entry's commands.
fn gather_entry<'e>(run: &mut EntryRun<'e>, gathered: &mut Gathered<'e>) -> Result<Stop, ApplyError> {
    let mut args = EntryArgs::new();
    while gathered.commands < MAX_PART_COMMANDS {
        let Some(item) = run.reader.next_item()? else { return Ok(Stop::End) };
        if item != Item::Single {
            return Ok(Stop::Alone(item));
        }
        let reader = run.reader.clone();
        let argc = run.reader.skip_command(&mut args)?;
        let row = logged_command(&args, argc)?;
        if !row.command.has_one_key() {
            reader.clone().command(&mut args)?;
        }
        let (locks, known) = row.command.locks(&args);
        let Some(range) = locks.only_range() else {
            run.reader = reader;
            return Ok(Stop::Alone(item));
        };
        let bytes = run.reader.position() - reader.position();
        gathered.add(range, bytes, Job { reader, stamp: run.next_stamp(), row, known });
    }
    Ok(Stop::Full)
}

/// What a part came to when it was first read.
struct Read<'a, 'e> {
    part: Part<'a, 'e>,
    gathered: Gathered<'e>,
    stop: Stop,
}

struct Bulk<'b, 'e> {
    applier: &'b mut Applier,
    threads: usize,
    /// In the log's order.
    waiting: Vec<Gathered<'e>>,
    /// Empty ones, to be used again.
    spare: Vec<Gathered<'e>>,
    marks: Vec<MarkMet>,
}

impl<'e> Bulk<'_, 'e> {
    /// Applies parts that follow each other, with a thread to read each. Returns how many commands they had; a transaction is one.
    fn apply(&mut self, parts: &[&[Indexed<'e>]]) -> Result<usize, Fault> {
        let mut commands = 0;
        for Read { mut part, mut gathered, mut stop } in self.read(parts)? {
            loop {
                commands += gathered.commands;
                self.waiting.push(gathered);
                match stop {
                    Stop::End => break,
                    Stop::Full => self.run_waiting(),
                    Stop::Alone(item) => {
                        self.run_waiting();
                        self.run_alone(&mut part, item).map_err(|error| (part.index, error))?;
                        commands += 1;
                    }
                }
                gathered = self.empty();
                stop = part.gather(&mut gathered)?;
            }
            self.applier.note_stamp(part.newest_stamp_ms);
        }
        self.run_waiting();
        Ok(commands)
    }

    fn read<'a>(&mut self, parts: &[&'a [Indexed<'e>]]) -> Result<Vec<Read<'a, 'e>>, Fault> {
        let read = |entries, mut gathered| {
            let mut part = Part::new(entries);
            let stop = part.gather(&mut gathered)?;
            Ok(Read { part, gathered, stop })
        };
        let Some((last, others)) = parts.split_last() else { return Ok(Vec::new()) };
        thread::scope(|scope| {
            let mut begun = Vec::new();
            for part in others {
                let gathered = self.empty();
                begun.push(scope.spawn(move || read(part, gathered)));
            }
            let last = read(last, self.empty());
            let others = begun.into_iter().map(|one| one.join().expect("reading does not panic"));
            others.chain([last]).collect()
        })
    }

    fn run_alone(&mut self, part: &mut Part<'_, 'e>, item: Item) -> Result<(), ApplyError> {
        let run = part.run.as_mut().expect("the entry is not at its end");
        let mut nothing = Vec::new();
        let mut reply = Reply::sink(&mut nothing, Resp::V2);
        match item {
            Item::Single => self.applier.run_command(run, &mut reply)?,
            Item::Transaction(count) => self.applier.run_transaction_item(run, count, None, &mut reply)?,
        }
        let mark = self.applier.effects.mark.take();
        self.marks.extend(mark.map(|name| MarkMet { name, index: part.index }));
        Ok(())
    }

    fn empty(&mut self) -> Gathered<'e> {
        self.spare.pop().unwrap_or_else(Gathered::new)
    }

    fn run_waiting(&mut self) {
        let mut waiting = mem::take(&mut self.waiting);
        if waiting.iter().all(|gathered| gathered.commands == 0) {
            self.spare.append(&mut waiting);
            return;
        }
        let bytes_of =
            |range: usize| waiting.iter().map(|gathered| gathered.queues[range].bytes).sum::<usize>();
        let mut ranges: Vec<(usize, usize)> = (0..RANGES).map(|range| (bytes_of(range), range)).collect();
        ranges.retain(|(bytes, _)| *bytes > 0);
        // The longest first, so that the threads end together.
        ranges.sort_by_key(|&(bytes, _)| Reverse(bytes));
        let bytes: usize = ranges.iter().map(|(bytes, _)| bytes).sum();
        let threads = if bytes < MIN_BYTES_FOR_THREADS { 1 } else { self.threads.min(ranges.len()) };
        let Applier { mutator, limits, effects, .. } = &mut *self.applier;
        let (mutator, limits) = (mutator.share(), &*limits);
        let access = effects.access;
        let (next, effects) = (AtomicUsize::new(0), Mutex::new(effects));
        let work = || {
            let mut lane = Lane { effects: Effects { access, ..Effects::default() } };
            while let Some(&(_, range)) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
                for gathered in &waiting {
                    lane.run_all(range, &gathered.queues[range].jobs, &mutator, limits);
                }
            }
            effects.lock().absorb(lane.effects);
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        self.applier.take_what_is_brought();
        waiting.iter_mut().for_each(Gathered::clear);
        self.spare.append(&mut waiting);
    }
}

/// One thread's part of it.
struct Lane {
    effects: Effects,
}

impl Lane {
    fn run_all(&mut self, range: usize, jobs: &[Job<'_>], mutator: &SharedMutator<'_>, limits: &TypeLimits) {
        let locks = LockSet::of_range(range);
        for some in jobs.chunks(TOUCHED_AT_ONCE) {
            // They lie far from each other: memory is waited for once, not by each in turn.
            hint::black_box(some.iter().fold(0, |sum, job| sum ^ job.reader.peek()));
            some.iter().for_each(|job| self.run(job, mutator.write(locks), limits));
        }
    }

    fn run<'v>(&'v mut self, job: &'v Job<'_>, view: WriteView<'v>, limits: &'v TypeLimits) {
        let mut args = EntryArgs::new();
        let db = job.reader.clone().command(&mut args).expect("it was read once already");
        let context = WriteContext::new(view, &mut self.effects, db, job.stamp, limits);
        let mut nothing = Vec::new();
        let mut reply = Reply::sink(&mut nothing, Resp::V2);
        write_in(&mut context.knowing(job.known), job.row, &args, &mut reply);
    }
}

#[cfg(test)]
mod tests;
