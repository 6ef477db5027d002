//! How much memory the data may still take: `maxmemory`, and a guard below what the machine has.
//!
//! - `maxmemory` limits the data: what the allocator has handed out (`used_memory`), less what evicting keys can't give back ([`Buffers`],
//!   and what the measurement finds itself). A client that does not read its replies neither evicts keys nor makes writes fail.
//! - While a flushed database is being freed, `maxmemory` waits: what the database takes until then is not known, and no key should go for it.
//! - The guard is always there: it refuses writes before the kernel or an address space limit would end the process. It counts what
//!   the process needs of the machine: pages with allocations in them, and memory that is not the allocator's.
//! - Only what has not been logged yet is refused. Apply never asks: all nodes must apply what one of them has logged.

mod machine;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use machine::{MachineLimit, machine_limits, total_bytes};

/// The guard refuses writes above this share of the machine's memory.
const GUARD_PERCENT: u64 = 85;

/// The share of the guard that the buffers of all clients may take where nothing else limits them.
const CLIENTS_SHARE: u64 = 2;

/// Redis' text.
const MAXMEMORY_REACHED: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// The allocator's smallest size that holds a number of bytes: in steps of 16 up to 128, then four from one power of two to the next.
pub fn size_class(bytes: usize) -> usize {
    if bytes <= 128 {
        return bytes.next_multiple_of(16);
    }
    let step = (1 << (bytes - 1).ilog2()) / 4;
    bytes.next_multiple_of(step)
}

/// What the process uses, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Handed out by the allocator.
    pub allocated: u64,
    /// What of that is no data, and is not counted as [`Buffers`].
    pub buffers: u64,
    /// A flushed database waits for the end of a checkpoint: it is not known how much of what is allocated is data.
    pub holds_flushed: bool,
    /// Memory that can't be taken from the process: pages with allocations in them, stacks, what other allocators hold.
    pub pages: u64,
    /// Addresses, those of mapped files included.
    pub addresses: u64,
    /// Addresses that the allocator keeps for what comes next, in pieces of any size.
    pub spare_addresses: u64,
}

impl Usage {
    /// What counts for `maxmemory`.
    fn data(self) -> u64 {
        self.allocated.saturating_sub(self.buffers)
    }
}

/// A limit of the machine, and the guard below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    pub machine: MachineLimit,
}

impl Guard {
    /// Bytes above which writes are refused.
    pub fn bytes(self) -> u64 {
        self.machine.bytes / 100 * GUARD_PERCENT
    }

    fn room(self, usage: Usage) -> Room {
        let bytes = |used: u64| self.bytes().saturating_sub(used);
        let nearest = Nearest::Guard(self);
        if self.machine.counts_addresses {
            let spare = usage.spare_addresses;
            return Room {
                bytes: bytes(usage.addresses - spare),
                at_once: bytes(usage.addresses),
                spare,
                nearest,
            };
        }
        Room { bytes: bytes(usage.pages), ..Room { nearest, ..Room::UNLIMITED } }
    }
}

/// Spare addresses are in pieces: what takes no more than this share of them finds a place there.
const PLACE_IN_SPARE: u64 = 8;

/// Which limit is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nearest {
    None,
    Maxmemory,
    Guard(Guard),
}

/// What the data may still grow by.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub bytes: u64,
    /// What a large piece may take; of small ones `bytes` may be taken.
    at_once: u64,
    spare: u64,
    nearest: Nearest,
}

impl Room {
    /// Room without end.
    pub const UNLIMITED: Room = Room { bytes: u64::MAX, at_once: u64::MAX, spare: 0, nearest: Nearest::None };

    /// Whether so many bytes fit, beside `spent`.
    pub fn holds(self, spent: u64, bytes: u64) -> bool {
        let all = spent.saturating_add(bytes);
        all <= self.bytes && (bytes <= self.spare / PLACE_IN_SPARE || all <= self.at_once)
    }

    /// Whether no other limit is nearer than `maxmemory`.
    pub fn is_up_to_maxmemory(self) -> bool {
        self.nearest == Nearest::Maxmemory
    }

    /// Data of so many bytes is about to be freed.
    pub fn gain(&mut self, bytes: u64) {
        if self.is_up_to_maxmemory() {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    /// The error for a write that does not fit.
    pub fn refusal(self) -> String {
        match self.nearest {
            Nearest::None | Nearest::Maxmemory => MAXMEMORY_REACHED.to_owned(),
            Nearest::Guard(guard) => format!(
                "OOM command not allowed: it could pass memory_guard, {} bytes, which is {GUARD_PERCENT}% of {}.",
                guard.bytes(),
                guard.machine.name
            ),
        }
    }
}

/// What the data takes, and what it may still grow by.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub data: u64,
    pub room: Room,
}

type Measure = Box<dyn Fn() -> Usage + Send + Sync>;

/// Memory that is no data, in bytes.
#[derive(Debug, Default)]
pub struct Buffers {
    /// What clients have sent and is not run, and what they are owed and have not read.
    pub clients: AtomicU64,
    /// The newest entries of the log, for followers.
    pub log: AtomicU64,
    /// Commands that wait for the log, and the room that is kept for the next ones.
    pub waiting: AtomicU64,
    /// Removed collections that a thread is about to free.
    pub garbage: Arc<AtomicU64>,
    /// The keys that clients have read and may have cached.
    pub tracking: AtomicU64,
    /// Flushed databases that a thread is about to free; what they take is not known.
    pub flushed: Arc<AtomicU64>,
}

impl Buffers {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        let parts = [&self.clients, &self.log, &self.waiting, &*self.garbage, &self.tracking]
            .map(|part| part.load(Ordering::Relaxed));
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// The limits of a process, and how it measures what it uses.
pub struct MemoryLimits {
    buffers: Arc<Buffers>,
    guards: Vec<Guard>,
    measure: Option<Measure>,
    /// The room that was measured last, and the `maxmemory` of that time.
    published_room: AtomicU64,
    published_maxmemory: AtomicU64,
    /// Keys may be evicted where `maxmemory` is reached.
    published_evicts: AtomicBool,
}

impl fmt::Debug for MemoryLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimits").field("guards", &self.guards).finish_non_exhaustive()
    }
}

impl MemoryLimits {
    /// No limit at all, for shards without a process.
    pub fn none() -> MemoryLimits {
        MemoryLimits {
            buffers: Arc::default(),
            guards: Vec::new(),
            measure: None,
            published_room: AtomicU64::new(u64::MAX),
            published_maxmemory: AtomicU64::new(0),
            published_evicts: AtomicBool::new(false),
        }
    }

    pub fn new(
        machine: impl IntoIterator<Item = MachineLimit>,
        measure: impl Fn() -> Usage + Send + Sync + 'static,
    ) -> MemoryLimits {
        let guards = machine.into_iter().map(|machine| Guard { machine }).collect();
        MemoryLimits { guards, measure: Some(Box::new(measure)), ..MemoryLimits::none() }
    }

    /// What of the memory in use is no data; those that have buffers count them here.
    pub fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// The lowest guard.
    pub fn guard(&self) -> Option<Guard> {
        self.guards.iter().copied().min_by_key(|guard| guard.machine.bytes)
    }

    /// What the buffers of all clients may take where `maxmemory-clients` is 0.
    pub fn most_for_clients(&self) -> Option<u64> {
        self.guard().map(|guard| guard.bytes() / CLIENTS_SHARE)
    }

    /// Tells others than the driver what was measured, and whether eviction makes room where `maxmemory` is reached.
    pub fn publish(&self, room: Room, maxmemory: u64, evicts: bool) {
        self.published_evicts.store(evicts, Ordering::Relaxed);
        self.published_room.store(room.bytes.min(room.at_once), Ordering::Relaxed);
        self.published_maxmemory.store(maxmemory, Ordering::Relaxed);
    }

    /// The error for what needs so many bytes, if they are not there. It measures only where what was published does not suffice.
    pub fn refusal(&self, maxmemory: u64, bytes: u64) -> Option<String> {
        let is_of_today = self.published_maxmemory.load(Ordering::Relaxed) == maxmemory;
        if is_of_today && bytes <= self.published_room.load(Ordering::Relaxed) {
            return None;
        }
        let evicts = is_of_today && self.published_evicts.load(Ordering::Relaxed);
        let room = self.room(if evicts { 0 } else { maxmemory });
        (!room.holds(0, bytes)).then(|| room.refusal())
    }

    /// The error for what needs so many bytes beside the data, if the guard does not hold them now. It always measures: where no plan is made
    /// nothing is published. What the data may take by `maxmemory` does not count.
    pub fn refusal_by_guard(&self, bytes: u64) -> Option<String> {
        let room = self.room(0);
        (!room.holds(0, bytes)).then(|| room.refusal())
    }

    /// Bytes in use that are no data.
    pub fn uncounted_bytes(&self) -> u64 {
        let measured = self.measure.as_ref().map_or(0, |measure| measure().buffers);
        measured.saturating_add(self.buffers.bytes())
    }

    /// Measures what the data may still grow by. `maxmemory` is in bytes, 0 for no such limit.
    pub fn room(&self, maxmemory: u64) -> Room {
        self.measure(maxmemory).room
    }

    /// The same, with what the data takes now.
    pub fn measure(&self, maxmemory: u64) -> Measured {
        let Some(measure) = &self.measure else { return Measured { data: 0, room: Room::UNLIMITED } };
        let measured = measure();
        let usage = Usage { buffers: measured.buffers.saturating_add(self.buffers.bytes()), ..measured };
        let guarded = self.guards.iter().map(|guard| guard.room(usage));
        let holds_flushed = usage.holds_flushed || self.buffers.flushed.load(Ordering::Relaxed) > 0;
        let (maxmemory, data) = if holds_flushed { (0, 0) } else { (maxmemory, usage.data()) };
        let bytes = maxmemory.saturating_sub(data);
        let limited =
            (maxmemory > 0).then_some(Room { bytes, nearest: Nearest::Maxmemory, ..Room::UNLIMITED });
        let room = limited
            .into_iter()
            .chain(guarded)
            .min_by_key(|room| room.bytes.min(room.at_once))
            .unwrap_or(Room::UNLIMITED);
        Measured { data, room }
    }
}

/// What the large buffers of unfinished requests take on all connections, in bytes.
#[derive(Debug, Default)]
pub struct InputRoom(pub AtomicU64);

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(usage: Usage) -> MemoryLimits {
        let memory = MachineLimit { bytes: 1000, name: "the machine's memory", counts_addresses: false };
        let addresses = MachineLimit { bytes: 2000, name: "RLIMIT_AS", counts_addresses: true };
        MemoryLimits::new([memory, addresses], move || usage)
    }

    #[test]
    fn the_nearest_limit_decides_and_is_named() {
        let usage = Usage {
            allocated: 107,
            buffers: 7,
            pages: 150,
            addresses: 1500,
            spare_addresses: 80,
            ..Usage::default()
        };
        assert_eq!(limits(usage).guard().map(Guard::bytes), Some(850));
        assert_eq!(limits(usage).most_for_clients(), Some(425));
        let room = limits(usage).room(0);
        assert_eq!(room.bytes, 1700 - 1500 + 80);
        assert!(room.holds(0, 200) && !room.holds(0, 201), "a large piece finds no place in spare addresses");
        assert!(room.holds(270, 10) && !room.holds(275, 10));
        assert!(room.refusal().contains("memory_guard, 1700 bytes, which is 85% of RLIMIT_AS"));
        let room = limits(usage).room(120);
        assert_eq!((room.bytes, room.refusal().as_str()), (20, MAXMEMORY_REACHED), "buffers are no data");
        let over = Usage { allocated: 9000, pages: 9000, ..Usage::default() };
        assert_eq!(limits(over).room(1).bytes, 0);
        assert_eq!(MemoryLimits::none().room(1).bytes, u64::MAX);
    }

    #[test]
    fn maxmemory_waits_while_a_flushed_database_is_freed() {
        let limits = limits(Usage { allocated: 100, pages: 150, ..Usage::default() });
        limits.buffers().flushed.store(1, Ordering::Relaxed);
        let Measured { data, room } = limits.measure(50);
        assert_eq!((data, room.bytes), (0, 700), "the guard holds");
        limits.buffers().flushed.store(0, Ordering::Relaxed);
        let Measured { data, room } = limits.measure(50);
        assert_eq!((data, room.bytes), (100, 0));
    }

    #[test]
    fn a_client_is_not_refused_for_maxmemory_where_eviction_makes_room() {
        let usage = Usage { allocated: 100, pages: 150, ..Usage::default() };
        let limits = limits(usage);
        limits.publish(limits.room(110), 110, true);
        assert_eq!(limits.refusal(110, 20), None);
        assert!(limits.refusal(110, 2000).is_some_and(|error| error.contains("memory_guard")));
        assert_eq!(limits.refusal(105, 20).as_deref(), Some(MAXMEMORY_REACHED), "it was another limit");
        limits.publish(limits.room(110), 110, false);
        assert_eq!(limits.refusal(110, 20).as_deref(), Some(MAXMEMORY_REACHED));
    }
}
