//! Segments prepared ahead of time, and those no longer needed.
//!
//! - A prepared segment has its final name and its full, zeroed or recycled, durable size before it is
//!   handed out. To begin it takes one write, the same that commits its first batch.
//! - Files change names one by one, each change durable before the next, under one lock. So sequences stay
//!   contiguous whatever moment a crash picks.
//! - That a segment was begun is noted beside the commits, by the [`Preparer`]'s owner if there is one: no commit waits for it.
//! - Segments are dropped oldest first, by the [`Preparer`]'s owner if there is one, else inside a commit.
//! - A segment that can't be made for want of space is no failure of the log: it is tried again later, and nothing that
//!   is there suffers by it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::Disk;
use crate::error::WalError;
use crate::segment::{begun_name_of, name_of};

const PREPARE_FILE: &str = "prepare.tmp";
const BEGUN_FILE: &str = "begun.tmp";
const ROLL_FILE: &str = "roll.tmp";
/// How often a [`Preparer`] tries again when there was no space.
const SPACE_RETRY: Duration = Duration::from_millis(250);

/// A segment that waits to be used.
#[derive(Debug)]
pub(crate) struct Spare<F> {
    pub sequence: u64,
    pub file: F,
    pub file_bytes: u64,
}

/// A segment that waits to be recycled or removed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retired {
    pub sequence: u64,
    pub file_bytes: u64,
    /// Otherwise it is removed: a log whose last segment has a sector that can't be read is refused.
    pub is_readable: bool,
}

#[derive(Debug)]
struct State<F> {
    ready: VecDeque<Spare<F>>,
    retired: VecDeque<Retired>,
    next_sequence: u64,
    /// The newest segment that was begun, and the newest that is noted to have been.
    begun: u64,
    noted: u64,
    /// There was no space for that note: it is made with the next segment's.
    is_unnoted: bool,
    /// A [`Preparer`] is at work.
    attended: bool,
    /// There was no space for a segment when one was to be made last.
    short_of_space: bool,
    closed: bool,
    /// Nothing is prepared for now: the space is somebody else's.
    held: bool,
    /// A name may or may not have changed on disk; nothing is handed out any more.
    failed: Option<WalError>,
}

/// What is prepared, and whether more may follow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadySpace {
    /// Size of the next segment; 0 if none is ready.
    pub first_bytes: u64,
    pub bytes: u64,
    pub attended: bool,
    pub short_of_space: bool,
}

#[derive(Debug)]
pub(crate) struct Spares<D: Disk> {
    disk: D,
    segment_bytes: u64,
    /// How many prepared segments are wanted.
    wanted: usize,
    state: Mutex<State<D::File>>,
    work: Condvar,
}

impl<F> State<F> {
    fn wants_more(&self, wanted: usize) -> bool {
        !self.held && self.ready.len() < wanted
    }

    fn check(&self) -> Result<(), WalError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn note<T>(&mut self, result: Result<T, WalError>) -> Result<T, WalError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }
}

impl<D: Disk> Spares<D> {
    pub fn new(
        disk: D,
        segment_bytes: u64,
        wanted: usize,
        ready: VecDeque<Spare<D::File>>,
        next_sequence: u64,
        (begun, noted): (u64, u64),
    ) -> Spares<D> {
        Spares {
            disk,
            segment_bytes,
            wanted,
            state: Mutex::new(State {
                ready,
                retired: VecDeque::new(),
                next_sequence,
                begun,
                noted,
                is_unnoted: false,
                attended: false,
                short_of_space: false,
                closed: false,
                held: false,
                failed: None,
            }),
            work: Condvar::new(),
        }
    }

    /// The next segment; made on the spot if none is prepared.
    pub fn take(&self) -> Result<Spare<D::File>, WalError> {
        let ready = {
            let mut state = self.lock();
            state.check()?;
            state.ready.pop_front()
        };
        let spare = match ready {
            Some(spare) => spare,
            None => self.make_now()?,
        };
        let attended = {
            let mut state = self.lock();
            debug_assert!(spare.sequence > state.begun, "segments are begun in the order of their sequences");
            (state.begun, state.is_unnoted) = (spare.sequence, false);
            state.attended
        };
        if attended {
            self.work.notify_one();
        } else {
            self.note_begun()?;
        }
        Ok(spare)
    }

    /// Hands over a segment that is no longer needed; the oldest comes first.
    pub fn retire(&self, retired: Retired) -> Result<(), WalError> {
        let attended = {
            let mut state = self.lock();
            state.retired.push_back(retired);
            state.attended
        };
        if attended {
            self.work.notify_one();
        } else {
            while self.drop_one()? {}
        }
        Ok(())
    }

    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    pub fn ready(&self) -> ReadySpace {
        let state = self.lock();
        ReadySpace {
            first_bytes: state.ready.front().map_or(0, |spare| spare.file_bytes),
            bytes: state.ready.iter().map(|spare| spare.file_bytes).sum(),
            attended: state.attended,
            short_of_space: state.short_of_space,
        }
    }

    /// Makes one more segment at once, or a larger one in place of the next, so that it has `bytes`. False if there is no space.
    pub fn make_room(&self, bytes: u64) -> Result<bool, WalError> {
        let first = self.lock().ready.front().map(|spare| spare.file_bytes);
        match first {
            Some(first_bytes) if first_bytes < bytes => self.replace_first(bytes),
            _ => self.make(ROLL_FILE, self.segment_bytes.max(bytes)),
        }
    }

    /// Does one piece of work, if there is any.
    fn step(&self) -> Result<bool, WalError> {
        if self.note_begun()? || self.drop_one()? {
            return Ok(true);
        }
        if !self.lock().wants_more(self.wanted) {
            return Ok(false);
        }
        self.make(PREPARE_FILE, self.segment_bytes)
    }

    /// Makes a segment; false if there is no space for it.
    fn make(&self, name: &str, bytes: u64) -> Result<bool, WalError> {
        let filled = self.fill(name, bytes);
        let mut state = self.lock();
        match filled {
            Ok(()) => {
                self.publish(name, bytes, &mut state)?;
                Ok(true)
            }
            Err(error) if error.is_no_space() => {
                // That there is no space for a larger one says nothing of others.
                if bytes == self.segment_bytes {
                    note_shortage(&mut state, &error);
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a larger segment in place of the next. Only who calls this takes segments, so that one stays there.
    fn replace_first(&self, bytes: u64) -> Result<bool, WalError> {
        match self.fill(ROLL_FILE, bytes) {
            Ok(()) => {}
            Err(error) if error.is_no_space() => return Ok(false),
            Err(error) => return Err(error),
        }
        let mut state = self.lock();
        state.check()?;
        let Some(first) = state.ready.pop_front() else { return Ok(false) };
        let renamed = self.rename(ROLL_FILE, &name_of(first.sequence));
        let file = state.note(renamed)?;
        state.ready.push_front(Spare { sequence: first.sequence, file, file_bytes: bytes });
        Ok(true)
    }

    /// Notes that the newest segment was begun, unless that is noted; false then, or without space.
    fn note_begun(&self) -> Result<bool, WalError> {
        let mut state = self.lock();
        state.check()?;
        if state.noted == state.begun || state.is_unnoted {
            return Ok(false);
        }
        let from = match state.noted {
            0 => BEGUN_FILE.to_owned(),
            noted => begun_name_of(noted),
        };
        let begun = state.begun;
        let created = match state.noted {
            0 => self.disk.create(&from, 0).map(drop),
            _ => Ok(()),
        };
        let renamed = created.and_then(|()| self.disk.rename(&from, &begun_name_of(begun)));
        let renamed = renamed.map_err(WalError::io("note", &from, 0));
        if renamed.as_ref().is_err_and(WalError::is_no_space) {
            // Without a note nothing is missing but a check.
            state.is_unnoted = true;
            return Ok(false);
        }
        let noted = renamed.and_then(|()| self.sync_dir());
        state.note(noted)?;
        state.noted = begun;
        Ok(true)
    }

    /// Recycles or removes the oldest retired segment.
    fn drop_one(&self) -> Result<bool, WalError> {
        let mut state = self.lock();
        // If the one before may still be there, removing this one would leave a gap.
        state.check()?;
        let Some(retired) = state.retired.pop_front() else {
            return Ok(false);
        };
        let name = name_of(retired.sequence);
        let is_as_new = retired.file_bytes == self.segment_bytes && retired.is_readable;
        if state.ready.len() < self.wanted && is_as_new {
            self.publish(&name, self.segment_bytes, &mut state)?;
        } else {
            let removed = self.remove(&name);
            state.note(removed)?;
        }
        Ok(true)
    }

    fn make_now(&self) -> Result<Spare<D::File>, WalError> {
        self.fill(ROLL_FILE, self.segment_bytes)?;
        let mut state = self.lock();
        self.publish(ROLL_FILE, self.segment_bytes, &mut state)?;
        // The preparer may have published one meanwhile; sequences are used in order.
        Ok(state.ready.pop_front().expect("published right above"))
    }

    fn fill(&self, name: &str, bytes: u64) -> Result<(), WalError> {
        let filled = self.disk.create(name, bytes);
        if filled.is_err() {
            // Gives the space back if it can; a temporary file that stays is removed at the next open.
            let _ = self.disk.remove(name);
        }
        filled.map(|_| ()).map_err(WalError::io("fill", name, 0))
    }

    /// Gives a file of zeros, or a former segment, the next sequence and keeps it ready.
    fn publish(&self, from: &str, file_bytes: u64, state: &mut State<D::File>) -> Result<(), WalError> {
        state.check()?;
        let name = name_of(state.next_sequence);
        let published = self.rename(from, &name);
        let file = state.note(published)?;
        state.ready.push_back(Spare { sequence: state.next_sequence, file, file_bytes });
        state.next_sequence += 1;
        if std::mem::take(&mut state.short_of_space) {
            tracing::info!("there is space for the log's next segment again");
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<D::File, WalError> {
        self.disk.rename(from, to).map_err(WalError::io("rename", from, 0))?;
        self.sync_dir()?;
        self.disk.open(to).map_err(WalError::io("open", to, 0))
    }

    fn remove(&self, name: &str) -> Result<(), WalError> {
        self.disk.remove(name).map_err(WalError::io("remove", name, 0))?;
        self.sync_dir()
    }

    fn sync_dir(&self) -> Result<(), WalError> {
        self.disk.sync_dir().map_err(WalError::io("sync the folder of", ".", 0))
    }

    /// Prepares no segment while it is held.
    pub fn hold(&self, held: bool) {
        self.lock().held = held;
        self.work.notify_all();
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<D::File>> {
        // Whoever panicked under the lock left a state that is true of the disk at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note_shortage<F>(state: &mut State<F>, error: &WalError) {
    if !std::mem::replace(&mut state.short_of_space, true) {
        let ready_bytes: u64 = state.ready.iter().map(|spare| spare.file_bytes).sum();
        tracing::warn!(%error, ready_bytes, "there is no space for the log's next segment");
    }
}

/// Makes segments ahead of time and drops old ones, so that commits need not.
///
/// Where there is no space it tries again, for ever; [`Wal::is_short_of_space`](crate::Wal::is_short_of_space) tells. When the
/// preparer is dropped, commits do its work themselves.
#[derive(Debug)]
pub struct Preparer<D: Disk> {
    spares: Arc<Spares<D>>,
}

impl<D: Disk> Preparer<D> {
    pub(crate) fn new(spares: Arc<Spares<D>>) -> Preparer<D> {
        spares.lock().attended = true;
        Preparer { spares }
    }

    /// Does one piece of work and says whether there was any that could be done.
    pub fn step(&self) -> Result<bool, WalError> {
        self.spares.step()
    }

    /// Works until the log is closed; meant for a thread of its own.
    pub fn run(&self) -> Result<(), WalError> {
        while self.wait() {
            while self.step()? {}
        }
        Ok(())
    }

    /// Waits for work; false when the log is closed.
    fn wait(&self) -> bool {
        let idle = |state: &mut State<D::File>| {
            let has_noted = state.noted == state.begun || state.is_unnoted;
            !state.closed && has_noted && state.retired.is_empty() && !state.wants_more(self.spares.wanted)
        };
        let state = self.spares.lock();
        let state = self.spares.work.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        if state.closed || !state.short_of_space || !state.retired.is_empty() {
            return !state.closed;
        }
        let waited = self.spares.work.wait_timeout(state, SPACE_RETRY);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }
}

impl<D: Disk> Drop for Preparer<D> {
    fn drop(&mut self) {
        self.spares.lock().attended = false;
    }
}
