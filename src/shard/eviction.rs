//! The choice of keys to evict, by the primary, while it makes a plan.
//!
//! - Keys are chosen by samples, as in Redis: some are looked at for each one that is evicted, and the best candidates are kept in a pool
//!   from one choice to the next. A candidate is looked at again before it is chosen.
//! - A turn chooses at most [`MAX_KEYS`] keys and takes at most [`MAX_NS`]; the next turns choose the rest.
//! - The entry names the keys. What is chosen may differ from node to node and from run to run; what is removed does not.

use std::collections::HashSet;

use super::expiry::NAMES_BYTES;
use crate::access::idle_seconds;
use crate::command::random::Random;
use crate::config::eviction::{Eviction, EvictionPolicy};
use crate::env::Clock;
use crate::keyspace::Keyspace;
use crate::keyspace::entry::{Entry, NEVER_MS};
use crate::keyspace::picks::{Among, Census};
use crate::keyspace::slot::Slot;
use crate::keyspace::view::{LockSet, Ranges};

/// Keys that one turn evicts at most.
const MAX_KEYS: usize = 1024;
/// How long one turn chooses.
const MAX_NS: u64 = 500_000;
/// How often the data is compared with its limit where nothing is written: the limit may be another.
const PERIOD_MS: u64 = 100;
/// Candidates that are kept.
const POOL: usize = 16;
/// Longer names are no candidates that are kept, for the pool to take little memory.
const MAX_POOLED_NAME: usize = 64 << 10;
/// A turn's choice ends after so many samples in a row that brought nothing new.
const MAX_MISSES: usize = 64;
/// What a table takes for an entry.
const CELL_BYTES: u64 = 8;

/// A key of a database.
type Name = (usize, Vec<u8>);

/// A key that may be evicted.
#[derive(Debug)]
struct Candidate {
    /// The higher, the sooner it is evicted.
    score: u64,
    name: Name,
}

/// Chosen keys.
#[derive(Debug, Default)]
pub struct Victims {
    pub keys: Vec<Name>,
    /// What the data loses with them.
    pub bytes: u64,
}

/// Chooses keys to evict.
#[derive(Debug)]
pub struct Evictor {
    eviction: Eviction,
    /// By which access words and deadlines are judged.
    now_ms: i64,
    /// Best last.
    pool: Vec<Candidate>,
    dice: Random,
    /// The last choice ended before there was enough.
    is_unfinished: bool,
    /// Monotonic.
    next_ms: u64,
}

impl Evictor {
    pub fn new(seed: u64) -> Evictor {
        Evictor {
            eviction: Eviction::default(),
            now_ms: 0,
            pool: Vec::new(),
            dice: Random::from_seed(seed),
            is_unfinished: false,
            next_ms: 0,
        }
    }

    pub fn follow(&mut self, eviction: Eviction) {
        if self.eviction != eviction {
            self.eviction = eviction;
            self.pool.clear();
        }
    }

    /// Whether the next turn has keys to choose, whatever else it has to do.
    pub fn is_unfinished(&self) -> bool {
        self.is_unfinished
    }

    /// Whether the data is to be compared with its limit again; true once in a while.
    pub fn is_due(&mut self, now_ms: u64) -> bool {
        let is_due = now_ms >= self.next_ms;
        if is_due {
            self.next_ms = now_ms + PERIOD_MS;
        }
        is_due
    }

    /// Nothing is to be evicted now.
    pub fn rest(&mut self) {
        self.is_unfinished = false;
    }

    /// Chooses keys that take `excess` bytes, or as many as one turn may; none where there are none.
    pub fn choose(&mut self, keyspace: &Keyspace, excess: u64, now_ms: i64, clock: &Clock) -> Victims {
        self.now_ms = now_ms;
        let among = if self.eviction.policy.is_volatile() { Among::Mortal } else { Among::All };
        let census = Census::take(keyspace, among);
        let mut choice = Choice { victims: Victims::default(), chosen: HashSet::new(), name_bytes: 0 };
        let began_ns = clock.monotonic_ns();
        let mut misses = 0;
        while choice.victims.bytes < excess && misses < MAX_MISSES && !census.is_empty() {
            match self.next(keyspace, &census, &choice) {
                Some((name, bytes)) => {
                    misses = 0;
                    choice.add(name, bytes);
                }
                None => misses += 1,
            }
            if choice.is_full() || clock.monotonic_ns().saturating_sub(began_ns) > MAX_NS {
                break;
            }
        }
        self.is_unfinished = choice.victims.bytes < excess && !choice.victims.keys.is_empty();
        choice.victims
    }

    /// The next key and what it takes; `None` where samples brought none that is not chosen yet.
    fn next(&mut self, keyspace: &Keyspace, census: &Census, choice: &Choice) -> Option<(Name, u64)> {
        if self.eviction.policy.is_random() {
            let dice = &mut self.dice;
            let look = |db: usize, entry: &Entry| ((db, entry.key().to_vec()), bytes_of(entry));
            let picked = census.pick(keyspace, || dice.next_u64(), look)?;
            return (!choice.chosen.contains(&picked.0)).then_some(picked);
        }
        for _ in 0..self.eviction.samples {
            self.sample(keyspace, census, choice);
        }
        while let Some(candidate) = self.pool.pop() {
            // One that was read since, or got a later deadline, is a candidate no more.
            let now = self.score_now(keyspace, &candidate.name);
            if let Some((_, bytes)) = now.filter(|(score, _)| *score >= candidate.score) {
                return Some((candidate.name, bytes));
            }
        }
        None
    }

    /// Looks at one key, and keeps it if it is a better candidate than the worst one.
    fn sample(&mut self, keyspace: &Keyspace, census: &Census, choice: &Choice) {
        let Evictor { eviction, now_ms, pool, dice, .. } = self;
        census.pick(
            keyspace,
            || dice.next_u64(),
            |db, entry| {
                let score = score(*eviction, entry, *now_ms);
                let place = pool.partition_point(|candidate| candidate.score < score);
                let is_kept = place > 0 || pool.len() < POOL;
                if !is_kept || entry.key().len() > MAX_POOLED_NAME && !pool.is_empty() {
                    return;
                }
                let name = (db, entry.key().to_vec());
                if choice.chosen.contains(&name) || pool.iter().any(|candidate| candidate.name == name) {
                    return;
                }
                pool.insert(place, Candidate { score, name });
                if pool.len() > POOL {
                    pool.remove(0);
                }
            },
        );
    }

    /// The score of a key as it is now, and what it takes; `None` where it may not be evicted any more.
    fn score_now(&self, keyspace: &Keyspace, (db, key): &Name) -> Option<(u64, u64)> {
        let slot = Slot::of(key);
        let view = keyspace.read(LockSet::of_range(slot.range()));
        let entry = view.range(slot.range()).find(*db, slot, key)?;
        let may_go = !self.eviction.policy.is_volatile() || entry.deadline_ms().is_some();
        may_go.then(|| (score(self.eviction, entry, self.now_ms), bytes_of(entry)))
    }
}

/// A turn's choice so far.
struct Choice {
    victims: Victims,
    chosen: HashSet<Name>,
    name_bytes: usize,
}

impl Choice {
    fn add(&mut self, name: Name, bytes: u64) {
        self.name_bytes += name.1.len();
        self.victims.bytes += bytes;
        self.chosen.insert(name.clone());
        self.victims.keys.push(name);
    }

    fn is_full(&self) -> bool {
        self.victims.keys.len() >= MAX_KEYS || self.name_bytes >= NAMES_BYTES
    }
}

/// How much sooner than others an entry is evicted.
fn score(eviction: Eviction, entry: &Entry, now_ms: i64) -> u64 {
    match eviction.policy {
        EvictionPolicy::AllKeysLru | EvictionPolicy::VolatileLru => {
            u64::from(idle_seconds(entry.access(), now_ms))
        }
        EvictionPolicy::AllKeysLfu | EvictionPolicy::VolatileLfu => {
            u64::from(u32::MAX - eviction.access().frequency(entry.access(), now_ms))
        }
        EvictionPolicy::VolatileTtl => NEVER_MS.wrapping_sub(entry.deadline_ms().unwrap_or(NEVER_MS)) as u64,
        EvictionPolicy::NoEviction | EvictionPolicy::AllKeysRandom | EvictionPolicy::VolatileRandom => 0,
    }
}

fn bytes_of(entry: &Entry) -> u64 {
    entry.memory_bytes() as u64 + CELL_BYTES
}
