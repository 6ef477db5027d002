//! One entry on its way: its payload, and everybody who waits for it, in order.
//!
//! - A plan holds the items of all workers' batches that go with one entry, logged or passengers, in the order in which
//!   they will be answered. It becomes void if the entry does not commit under the term in which it was proposed.
//! - An EXEC under WATCH opens its plan, so that the state in which its watches are judged is the state in which it runs.

use std::collections::{BTreeSet, VecDeque};

use super::waiters::{WaitKey, WaiterId, Waiters};
use super::watches::Watcher;
use crate::command::Command;
use crate::command::context::Stamp;
use crate::command::cost::Forecast;
use crate::memory::size_class;
use crate::propose::batch::{Batch, BatchItem, Step, Work};
use crate::propose::entry::{EntryError, HEADER_BYTES};
use crate::propose::reply::ConnectionId;
use crate::protocol::reply::Resp;
use crate::raft::node::MAX_ENTRY_BYTES;

/// A plan takes no further item once its payload is this long.
const FULL_BYTES: usize = 4 << 20;

/// A plan takes no further item once it has so many reads: a turn answers no more of them.
const MAX_READS: usize = 1000;

/// Items that room is made for before the first is planned.
const MAX_RESERVED_ITEMS: usize = 16 << 10;

/// A plan takes no further item once it touches so many elements, read or written: other clients, and signs of life, come before
/// the rest. The first item of a plan may touch more.
pub const PLAN_STEPS: u64 = 4_000_000;

/// Whom an answer goes to, and in which protocol.
#[derive(Clone, Copy, Debug)]
pub struct Addressee {
    pub worker: usize,
    pub connection: ConnectionId,
    pub resp: Resp,
    /// The client caches what it reads: the keys are remembered.
    pub tracks: bool,
}

impl Addressee {
    /// The address of what is not answered.
    pub const NOBODY: Addressee = Addressee {
        worker: 0,
        connection: ConnectionId { index: u32::MAX, generation: 0 },
        resp: Resp::V2,
        tracks: false,
    };

    /// The connection, as those that keep something about it know it.
    pub fn listener(&self) -> Watcher {
        (self.worker, self.connection)
    }
}

/// Something to be done at its place when the entry is applied.
pub enum Act {
    /// Run the entry's next item and answer.
    Write,
    /// Run the entry's next item, answer nobody.
    Internal,
    /// Run the entry's next item, a blocking command; wait if it finds nothing.
    Blocking(Waiting),
    /// Not in the entry: a blocking command that had nothing ready; wait, unless that has changed.
    Probe(Waiting),
    /// Not in the entry: a command that reads, and waits if it finds nothing.
    ReadOrWait(Waiting),
    /// Run the entry's next item, the command of somebody who waits already: by the nth of the keys it waits for, or by
    /// whichever it finds.
    Serve {
        id: WaiterId,
        by_key: Option<usize>,
    },
    Read {
        command: &'static Command,
        encoded: std::ops::Range<usize>,
    },
    Literal(Vec<u8>),
    Transaction(Box<[Step]>),
    Watch {
        db: usize,
        keys: Box<[Box<[u8]>]>,
    },
    /// As the work of that name, for what the plan itself makes the connection wait for or watch.
    Forget,
    Unblock {
        with_error: bool,
    },
}

/// A blocking command that may have to wait.
pub struct Waiting {
    pub command: &'static Command,
    pub encoded: Box<[u8]>,
    pub deadline_ms: Option<i64>,
}

pub struct Planned {
    pub to: Addressee,
    pub act: Act,
}

/// An entry's payload and its plan.
#[derive(Default)]
pub struct Plan {
    /// By which all of it runs; it stands in the payload, too.
    pub stamp: Stamp,
    pub payload: Vec<u8>,
    pub acts: Vec<Planned>,
    /// The bytes of the reading passengers.
    pub passengers: Vec<u8>,
    pub logged: usize,
    reads: usize,
    /// What its commands may bring.
    pub forecast: Forecast,
    /// Elements that its commands may touch, those that only read included; each item counts one for itself.
    steps: u64,
    /// The longest payload that the log takes.
    max_bytes: usize,
    served: BTreeSet<WaiterId>,
    /// Clients wait whose turn comes before that of any further item.
    is_closed: bool,
    /// Who begins to watch in this plan.
    pub watching: BTreeSet<Watcher>,
}

impl Plan {
    /// Nothing yet, by this stamp. The payload is begun by the caller.
    pub fn new(stamp: Stamp) -> Plan {
        Plan { stamp, max_bytes: MAX_ENTRY_BYTES, ..Plan::default() }
    }

    /// Makes room for so many items and bytes at once, but for no more than a plan usually takes.
    pub fn reserve(&mut self, items: usize, bytes: usize) {
        self.acts.reserve(items.min(MAX_RESERVED_ITEMS));
        self.payload.reserve(HEADER_BYTES + bytes.min(FULL_BYTES));
    }

    /// Bytes that are allocated for it.
    pub fn capacity(&self) -> usize {
        self.payload.capacity() + self.passengers.capacity() + self.acts.capacity() * size_of::<Planned>()
    }

    /// Gives back the room that was made and is not used: an entry stays in memory for followers, and counts by its length.
    pub fn trim(&mut self) {
        if size_class(self.payload.capacity()) > size_class(self.payload.len()) {
            self.payload.shrink_to_fit();
        }
    }

    /// The same where the log takes shorter entries only.
    pub fn limited_to(self, max_bytes: usize) -> Plan {
        Plan { max_bytes, ..self }
    }

    /// The longest item that the log takes.
    pub fn max_item_bytes(&self) -> usize {
        self.max_bytes - HEADER_BYTES
    }

    /// Whether an item of this length may be logged with what is planned.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.logged == 0 || self.takes(bytes)
    }

    /// Whether the log takes an item of this length with what is planned.
    pub fn takes(&self, bytes: usize) -> bool {
        self.payload.len() + bytes <= self.max_bytes
    }

    pub fn is_full(&self) -> bool {
        self.is_closed
            || self.payload.len() >= FULL_BYTES
            || self.passengers.len() >= FULL_BYTES
            || self.reads >= MAX_READS
            || self.steps >= PLAN_STEPS
    }

    /// Takes no further item.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether so many steps may be added to what is planned. Whatever is planned first may take any number.
    pub fn has_steps_for(&self, steps: u64) -> bool {
        self.acts.is_empty() || self.steps.saturating_add(steps) <= PLAN_STEPS
    }

    /// Counts steps of an item that is about to be planned.
    pub fn take_steps(&mut self, steps: u64) {
        self.steps = self.steps.saturating_add(steps);
    }

    pub fn push(&mut self, to: Addressee, act: Act) {
        self.reads += match &act {
            Act::Read { .. } | Act::ReadOrWait(_) => 1,
            Act::Transaction(steps) => steps.iter().filter(|step| matches!(step, Step::Read { .. })).count(),
            _ => 0,
        };
        self.take_steps(1);
        self.acts.push(Planned { to, act });
    }

    /// Puts bytes of a logged item into the payload.
    pub fn log(&mut self, encoded: &[u8]) {
        self.payload.extend_from_slice(encoded);
        self.logged += 1;
        self.forecast.logged(encoded.len());
    }

    /// Lets a command of the server's own go before everything else; `encoded` as for an entry. Only where nothing else is logged.
    pub fn begin_with(&mut self, encoded: &[u8]) {
        debug_assert!(
            self.acts[..self.logged].iter().all(|planned| matches!(planned.act, Act::Internal)),
            "the server's own commands go before everything else"
        );
        self.acts.insert(self.logged, Planned { to: Addressee::NOBODY, act: Act::Internal });
        self.log(encoded);
    }

    /// Nothing of it will be logged.
    pub fn forget_log(&mut self) {
        self.payload.clear();
        self.logged = 0;
        self.served.clear();
    }

    pub fn serves(&self, id: WaiterId) -> bool {
        self.served.contains(&id)
    }

    /// Lets a waiter's command ride along, to be served by one of its keys or by whichever it finds; nobody twice, for
    /// the second time would take what nobody waits for any more. False where the log would not take it any more.
    pub fn serve(
        &mut self,
        waiters: &Waiters,
        id: WaiterId,
        key: Option<&WaitKey>,
    ) -> Result<bool, EntryError> {
        let Some(waiter) = waiters.get(id).filter(|_| !self.serves(id)) else { return Ok(true) };
        // A client that reads streams is served as if its command came now.
        let key = key.filter(|_| waiter.streams.is_none());
        let by_key = key.and_then(|key| waiter.keys.iter().position(|own| own == key));
        let command = waiter.command_for(by_key)?;
        if !self.has_room_for(command.len()) {
            return Ok(false);
        }
        self.served.insert(id);
        self.take_steps(waiter.keys.len() as u64);
        self.log(&command);
        self.forecast.served(waiter.command);
        self.push(Addressee::NOBODY, Act::Serve { id, by_key });
        Ok(true)
    }

    /// Keeps a reading passenger's bytes; returns where.
    pub fn keep_passenger(&mut self, encoded: &[u8]) -> std::ops::Range<usize> {
        let start = self.passengers.len();
        self.passengers.extend_from_slice(encoded);
        start..self.passengers.len()
    }
}

/// What workers handed over and no plan has taken yet, oldest first.
#[derive(Default)]
pub struct Backlog {
    batches: VecDeque<Gathered>,
    /// Items that this node itself proposes.
    internal: usize,
}

struct Gathered {
    worker: usize,
    bytes: Vec<u8>,
    next_byte: usize,
    items: std::vec::IntoIter<BatchItem>,
    /// Bytes that are allocated for the items.
    items_capacity: usize,
}

impl Gathered {
    fn of(worker: usize, batch: Batch) -> Gathered {
        let Batch { bytes, items } = batch;
        let items_capacity = items.capacity() * size_of::<BatchItem>();
        Gathered { worker, bytes, next_byte: 0, items: items.into_iter(), items_capacity }
    }

    /// Takes the next so many bytes. What is copied is the shorter: they, or what is behind them.
    fn take_bytes(&mut self, count: usize) -> Vec<u8> {
        let (start, end) = (self.next_byte, self.next_byte + count);
        if count < self.bytes.len() - end {
            self.next_byte = end;
            return self.bytes[start..end].to_vec();
        }
        self.next_byte = 0;
        let behind = self.bytes[end..].to_vec();
        let mut taken = std::mem::replace(&mut self.bytes, behind);
        taken.truncate(end);
        taken.drain(..start);
        taken.shrink_to_fit();
        taken
    }
}

/// The next item of the backlog and its bytes.
pub struct Next<'a> {
    pub to: Addressee,
    pub work: Work,
    pub encoded: &'a [u8],
    /// What is logged of it: itself, or what stands for it.
    pub logged: &'a [u8],
}

/// The same before it is taken.
pub struct Peeked<'a> {
    pub worker: usize,
    pub item: &'a BatchItem,
    pub encoded: &'a [u8],
}

impl Backlog {
    pub fn add(&mut self, worker: usize, batch: Batch) {
        let is_internal = |item: &&BatchItem| matches!(item.work, Work::Internal { .. });
        self.internal += batch.items.iter().filter(is_internal).count();
        self.batches.push_back(Gathered::of(worker, batch));
    }

    /// Adds what comes before everything else.
    pub fn add_first(&mut self, worker: usize, batch: Batch) {
        self.batches.push_front(Gathered::of(worker, batch));
    }

    /// Whether an item that this node itself proposes waits for a plan.
    pub fn has_internal(&self) -> bool {
        self.internal > 0
    }

    /// Whether an item of a client's waits that may write.
    pub fn has_writes(&self) -> bool {
        let writes = |item: &BatchItem| {
            matches!(item.work, Work::Write { .. } | Work::Blocking { .. } | Work::Transaction { .. })
        };
        self.batches.iter().any(|gathered| gathered.items.as_slice().iter().any(writes))
    }

    pub fn is_empty(&self) -> bool {
        self.batches.iter().all(|gathered| gathered.items.as_slice().is_empty())
    }

    /// Bytes that are allocated for what waits.
    pub fn capacity(&self) -> usize {
        self.batches.iter().map(|gathered| gathered.bytes.capacity() + gathered.items_capacity).sum()
    }

    /// How many items wait, and how many bytes they have.
    pub fn waiting(&self) -> (usize, usize) {
        let sizes = self
            .batches
            .iter()
            .map(|gathered| (gathered.items.as_slice().len(), gathered.bytes.len() - gathered.next_byte));
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    }

    /// Frees batches of which everything was taken; their bytes may be many.
    pub fn drop_taken(&mut self) {
        while self.batches.front().is_some_and(|gathered| gathered.items.as_slice().is_empty()) {
            self.batches.pop_front();
        }
    }

    /// The next item, without taking it.
    pub fn peek(&mut self) -> Option<Peeked<'_>> {
        self.drop_taken();
        let gathered = self.batches.front()?;
        let item = gathered.items.as_slice().first()?;
        let encoded = &gathered.bytes[gathered.next_byte..][..encoded_bytes(&item.work)];
        Some(Peeked { worker: gathered.worker, item, encoded })
    }

    /// The next item and its bytes, which hold no more memory than they are.
    pub fn take_owned(&mut self) -> Option<(Addressee, Work, Vec<u8>)> {
        self.peek()?;
        let gathered = self.batches.front_mut()?;
        let BatchItem { connection, resp, tracks, work } = gathered.items.next()?;
        self.internal -= usize::from(matches!(work, Work::Internal { .. }));
        let bytes = gathered.take_bytes(encoded_bytes(&work));
        Some((Addressee { worker: gathered.worker, connection, resp, tracks }, work, bytes))
    }

    pub fn take(&mut self) -> Option<Next<'_>> {
        self.peek()?;
        let gathered = self.batches.front_mut()?;
        let BatchItem { connection, resp, tracks, work } = gathered.items.next()?;
        let start = gathered.next_byte;
        gathered.next_byte += encoded_bytes(&work);
        self.internal -= usize::from(matches!(work, Work::Internal { .. }));
        let to = Addressee { worker: gathered.worker, connection, resp, tracks };
        let encoded = &gathered.bytes[start..gathered.next_byte];
        Some(Next { to, work, encoded, logged: encoded })
    }
}

fn encoded_bytes(work: &Work) -> usize {
    match *work {
        Work::Write { bytes, .. }
        | Work::Blocking { bytes, .. }
        | Work::Read { bytes, .. }
        | Work::Transaction { bytes, .. }
        | Work::Internal { bytes } => bytes,
        Work::Literal(_) | Work::Watch { .. } | Work::Forget | Work::Unblock { .. } => 0,
    }
}
