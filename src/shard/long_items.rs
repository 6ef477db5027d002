//! Items that are too long for one entry, on their way into the log.
//!
//! - An entry is committed as a whole, and others' commands wait for it. So an item of more than some length is set aside, and its bytes
//!   are logged a part at a time, each in an entry that carries others' commands too. Once all parts are applied, an entry holds what
//!   stands for the item. There it runs, all or nothing; and there it is admitted once more, for the data may have changed meanwhile.
//! - What its connection sent after it waits behind it, so each connection's requests keep their order.
//! - Items go one at a time, in the order in which they came. Now and then the log rests from parts between two of them, for no checkpoint
//!   begins while any are staged. While writes are paused it rests, too.
//! - Where memory is short no more of them wait: they are refused at their place.
//! - How much is staged is what apply says. If that is not what was planned, or the term is another, parts were lost with the leadership
//!   or for want of space, and the item did not happen.

use std::collections::{BTreeMap, VecDeque};

use super::machine::{DID_NOT_HAPPEN, Machine};
use super::plan::{Addressee, Backlog, Next, Peeked};
use crate::apply::ApplyError;
use crate::command::context::{Garbage, Stamp};
use crate::command::{PART, STAGED};
use crate::propose::batch::{Batch, Work};
use crate::propose::entry;
use crate::propose::reply::ConnectionId;

/// Longer items are logged in parts.
const LONG_BYTES: usize = 1 << 20;
/// A part that takes longer to be committed is followed by a shorter one, one that takes less than a quarter of it by a longer one.
const SLOW_PART_MS: u64 = 100;
/// How long the log rests after an item, and for how long it then goes on without a rest.
const REST_MS: u64 = 50;
const REST_PERIOD_MS: u64 = 1000;

pub struct LongItems {
    long_bytes: usize,
    /// The first is being logged.
    waiting: VecDeque<LongItem>,
    /// What their connections sent later, by worker and connection.
    behind: BTreeMap<(usize, ConnectionId), Batch>,
    part_bytes: usize,
    /// When the last part was planned.
    part_planned_ms: u64,
    rests_until_ms: Option<u64>,
    /// When the last rest began.
    rested_ms: u64,
    is_paused: bool,
}

struct LongItem {
    to: Addressee,
    work: Work,
    /// Freed once all is planned.
    bytes: Vec<u8>,
    total: usize,
    planned: usize,
    /// In which it came.
    term: u64,
    failure: Option<&'static str>,
}

/// What comes next of the first item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongStep {
    /// Nothing of it is logged yet.
    Begin,
    Part,
    /// All of it is staged.
    Run,
    /// It can't happen any more, and why.
    Fail(&'static str),
}

impl Default for LongItems {
    fn default() -> LongItems {
        LongItems::over(LONG_BYTES)
    }
}

impl LongItems {
    /// Where items of more than so many bytes are long.
    pub fn over(long_bytes: usize) -> LongItems {
        LongItems {
            long_bytes,
            waiting: VecDeque::new(),
            behind: BTreeMap::new(),
            part_bytes: long_bytes.div_ceil(2),
            part_planned_ms: 0,
            rests_until_ms: None,
            rested_ms: 0,
            is_paused: false,
        }
    }

    /// Whether an item is to be set aside: it is long, or behind one that is.
    pub fn concern(&self, machine: &Machine, peeked: &Peeked<'_>, stamp: Stamp) -> Result<bool, ApplyError> {
        Ok(self.is_behind(peeked) || self.is_long(machine, peeked, stamp)?)
    }

    fn is_behind(&self, Peeked { worker, item, .. }: &Peeked<'_>) -> bool {
        !self.behind.is_empty() && self.behind.contains_key(&(*worker, item.connection))
    }

    fn is_long(&self, machine: &Machine, peeked: &Peeked<'_>, stamp: Stamp) -> Result<bool, ApplyError> {
        match peeked.item.work {
            _ if peeked.encoded.len() <= self.long_bytes => Ok(false),
            Work::Write { .. } | Work::Transaction { .. } => Ok(true),
            // What waits is not logged.
            Work::Blocking { command, .. } if !command.is_write() => Ok(false),
            Work::Blocking { command, .. } => machine.is_ready(peeked.encoded, command, stamp),
            _ => Ok(false),
        }
    }

    /// Sets the backlog's next item aside, or an error for it where its bytes may not wait.
    pub fn set_aside(&mut self, backlog: &mut Backlog, term: u64, refusal: Option<String>) {
        let Some(peeked) = backlog.peek() else { return };
        let is_behind = self.is_behind(&peeked);
        if is_behind || refusal.is_some() {
            let Some(Next { to, work, encoded, .. }) = backlog.take() else { return };
            let batch = self.behind.entry((to.worker, to.connection)).or_default();
            match refusal.filter(|_| !encoded.is_empty()) {
                Some(error) => {
                    // A refused EXEC ends its watches, as any.
                    if matches!(work, Work::Transaction { .. }) {
                        batch.push(to.connection, to.resp, Work::Forget);
                    }
                    let error = Work::Literal(format!("-{error}\r\n").into_bytes());
                    batch.push(to.connection, to.resp, error);
                }
                None => {
                    batch.bytes.extend_from_slice(encoded);
                    batch.push_for((to.connection, to.resp, to.tracks), work);
                }
            }
            if !is_behind {
                self.release((to.worker, to.connection), backlog);
            }
        } else if let Some((to, work, bytes)) = backlog.take_owned() {
            self.behind.insert((to.worker, to.connection), Batch::default());
            let total = bytes.len();
            self.waiting.push_back(LongItem { to, work, bytes, total, planned: 0, term, failure: None });
        }
    }

    /// Memory of the items that wait.
    pub fn capacity(&self) -> usize {
        self.waiting.iter().map(|item| item.bytes.capacity()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether an item waits that has its turn now.
    pub fn has_step(&self) -> bool {
        !self.waiting.is_empty() && self.rests_until_ms.is_none() && !self.is_paused
    }

    /// When the next item has its turn, if one waits for the log's rest to end.
    pub fn due_ms(&self) -> Option<u64> {
        self.rests_until_ms.filter(|_| !self.waiting.is_empty())
    }

    /// To be called before each plan; `is_paused` is whether writes are.
    pub fn tick(&mut self, now_ms: u64, is_paused: bool) {
        self.is_paused = is_paused;
        self.rests_until_ms = self.rests_until_ms.filter(|until_ms| now_ms < *until_ms);
    }

    /// Whether what is staged belongs to the item that is being logged.
    pub fn has_begun(&self) -> bool {
        self.waiting.front().is_some_and(|item| item.planned > 0)
    }

    /// What comes next, where so many bytes are staged.
    pub fn step(&self, staged: usize, term: u64) -> Option<LongStep> {
        let item = self.waiting.front().filter(|_| self.has_step())?;
        let is_lost = term != item.term || item.planned > 0 && staged != item.planned;
        Some(match item.failure {
            Some(error) => LongStep::Fail(error),
            None if is_lost => LongStep::Fail(DID_NOT_HAPPEN),
            None if item.planned == item.total => LongStep::Run,
            None if item.planned == 0 => LongStep::Begin,
            None => LongStep::Part,
        })
    }

    /// The part that was planned last will not be logged.
    pub fn fail_part(&mut self, error: &'static str) {
        if let Some(item) = self.waiting.front_mut().filter(|item| item.planned > 0) {
            item.failure = Some(error);
        }
    }

    /// Work and bytes of the first item, before any of it is planned.
    pub fn first(&self) -> Option<(&Work, &[u8])> {
        self.waiting.front().map(|item| (&item.work, &*item.bytes))
    }

    /// The next part of the first item, as an entry's item.
    pub fn next_part(&mut self, now_ms: u64, garbage: &mut Vec<Garbage>) -> Option<Vec<u8>> {
        if self.has_begun() {
            self.adapt(now_ms - self.part_planned_ms);
        }
        self.part_planned_ms = now_ms;
        let item = self.waiting.front_mut()?;
        let end = item.total.min(item.planned + self.part_bytes);
        let (offset, total) = (item.planned.to_string(), item.total.to_string());
        let mut encoded = Vec::new();
        let part = &item.bytes[item.planned..end];
        entry::write_single(&mut encoded, 0, &[PART, offset.as_bytes(), total.as_bytes(), part]);
        item.planned = end;
        if end == item.total {
            garbage.push(Garbage::Bytes(std::mem::take(&mut item.bytes)));
        }
        Some(encoded)
    }

    /// The next part as an entry's item takes no more.
    pub fn most_part_bytes(&self) -> usize {
        const HEAD_BYTES: usize = 64;
        self.long_bytes * 2 + HEAD_BYTES
    }

    fn adapt(&mut self, took_ms: u64) {
        let (least, most) = (self.long_bytes.div_ceil(16), self.long_bytes * 2);
        let bytes = match took_ms {
            SLOW_PART_MS.. => self.part_bytes / 2,
            _ if took_ms < SLOW_PART_MS / 4 => self.part_bytes * 2,
            _ => self.part_bytes,
        };
        self.part_bytes = bytes.clamp(least, most);
    }

    /// Ends with the first item, and lets what is behind it go on. Returns whose it is, and what.
    pub fn end_first(&mut self, backlog: &mut Backlog, now_ms: u64) -> Option<(Addressee, Work)> {
        let LongItem { to, work, planned, .. } = self.waiting.pop_front()?;
        self.release((to.worker, to.connection), backlog);
        if planned > 0 && now_ms >= self.rested_ms + REST_PERIOD_MS {
            (self.rested_ms, self.rests_until_ms) = (now_ms, Some(now_ms + REST_MS));
        }
        Some((to, work))
    }

    /// Gives back what waits behind an item.
    fn release(&mut self, client: (usize, ConnectionId), backlog: &mut Backlog) {
        if let Some(behind) = self.behind.remove(&client) {
            backlog.add_first(client.0, behind);
        }
    }

    /// This node is not the primary: none of them happens.
    pub fn refuse_all(&mut self, machine: &mut Machine, backlog: &mut Backlog) {
        while let Some((to, _)) = self.end_first(backlog, 0) {
            machine.answer_with(to, |reply| reply.error(DID_NOT_HAPPEN));
        }
        self.rests_until_ms = None;
    }
}

/// What stands in the log for an item whose parts are before it.
pub fn stand_in() -> Vec<u8> {
    let mut encoded = Vec::new();
    entry::write_single(&mut encoded, 0, &[STAGED]);
    encoded
}
