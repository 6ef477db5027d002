//! The keyspace as a reading command sees it.
//!
//! - A key whose deadline has passed is missing. Reads go by the clock of their worker or by the newest stamp that was applied,
//!   whichever is later.
//! - A read that uses a key says so in the key's access word, once for each command, where it was told how: others may look at the key at
//!   the same time. What is looked up beside the command's handler (what it may cost, whether it is ready) is no use.
//! - A death that a clock has reached and no stamp is pending: another node's clock may still be before it. A read notes that it has met
//!   one, so that no client is told of it before an entry has it.

use std::cell::{Cell, RefCell};
use std::ops::Add;

use super::error::CommandError;
use super::random::Random;
use super::reads::ReadKeys;
use super::script;
use super::spec::Flags;
use super::{Args, Command};
use crate::access::AccessRule;
use crate::keyspace::entry::Entry;
use crate::keyspace::names::LongNames;
use crate::keyspace::range::Usage;
use crate::keyspace::slot::{RANGES, SLOTS, Slot};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::value::{Collection, Object, ValueRef, ValueType};
use crate::keyspace::view::{LockSet, Ranges};

/// The slot of one key of the request, so that it is computed once per command.
#[derive(Clone, Copy)]
pub struct KnownSlot<'a> {
    key: &'a [u8],
    slot: Slot,
}

impl<'a> KnownSlot<'a> {
    pub fn of(key: &'a [u8]) -> Self {
        KnownSlot { key, slot: Slot::of(key) }
    }

    pub fn locks(&self) -> LockSet {
        LockSet::of_range(self.slot.range())
    }
}

/// The slot of a key, computed unless it is the known one.
#[inline]
pub(super) fn slot_of(known: Option<KnownSlot<'_>>, key: &[u8]) -> Slot {
    match known {
        Some(known) if std::ptr::eq(known.key, key) => known.slot,
        _ => Slot::of(key),
    }
}

/// The keyspace as a reading command sees it.
pub struct ReadContext<'a> {
    known: Option<KnownSlot<'a>>,
    ranges: &'a dyn Ranges,
    /// The database that the connection selected.
    pub db: usize,
    /// Unix time in ms by which deadlines are judged.
    pub now_ms: i64,
    /// Deaths up to here are settled.
    settled_ms: i64,
    /// Database and key of the last unsettled death that was met.
    unsettled: Cell<Option<(usize, &'a [u8])>>,
    /// For picks that need not be the same anywhere else.
    pub random: RefCell<Random>,
    /// Steps that are left to scripts.
    pub script_steps: Cell<i64>,
    uses: Uses,
    /// Where the keys are noted that commands read.
    reads: Option<&'a ReadKeys>,
}

/// What RESTORE says of the use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldUse {
    IdleSeconds(i64),
    Frequency(u8),
}

/// How uses of keys are noted.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    rule: AccessRule,
    /// The client's uses are not noted.
    is_muted: bool,
    /// A command runs that uses the keys that it looks up.
    is_noting: Cell<bool>,
    /// The address of the entry that was noted last: one that a command looks up again is not used again.
    noted: Cell<usize>,
    dice: Cell<u64>,
}

impl Uses {
    pub fn by(rule: AccessRule, seed: u64) -> Uses {
        Uses { rule, dice: Cell::new(seed), ..Uses::default() }
    }

    /// A command begins.
    pub fn begin(&self, command: &Command) {
        self.is_noting.set(!self.is_muted && !command.flags.contains(Flags::LOOKS_ONLY));
        self.noted.set(0);
    }

    pub fn end(&self) {
        self.is_noting.set(false);
    }

    /// A command looks up a key at this time.
    #[inline]
    pub fn note(&self, entry: &Entry, now_ms: i64) {
        let place = std::ptr::from_ref(entry).addr();
        // Another key that is new may have lain at the same place before it was put in.
        let is_new = entry.access() == 0;
        if self.is_noting.get() && (self.noted.replace(place) != place || is_new) {
            self.note_always(entry, now_ms);
        }
    }

    /// The same for one that is not in any table yet, or has changed its place.
    #[inline]
    pub fn note_always(&self, entry: &Entry, now_ms: i64) {
        entry.set_access(self.rule.used(entry.access(), now_ms, || self.roll()));
    }

    /// Takes what a client says of when or how often a key was used, where this node keeps that.
    pub fn note_as_told(&self, entry: &Entry, told: ToldUse, now_ms: i64) {
        let word = match told {
            ToldUse::IdleSeconds(idle_s) => self.rule.idle_for(idle_s, now_ms),
            ToldUse::Frequency(count) => self.rule.counting(count, now_ms),
        };
        if let Some(word) = word {
            entry.set_access(word);
        }
    }

    /// Some number. Nothing that a command answers or changes depends on it.
    fn roll(&self) -> u64 {
        let number = Random::from_seed(self.dice.get()).next_u64();
        self.dice.set(number);
        number
    }
}

impl<'a> ReadContext<'a> {
    pub fn new(ranges: &'a dyn Ranges, db: usize, now_ms: i64, seed: u64) -> Self {
        let random = RefCell::new(Random::from_seed(seed));
        ReadContext {
            known: None,
            ranges,
            db,
            now_ms,
            settled_ms: now_ms,
            unsettled: Cell::new(None),
            random,
            script_steps: Cell::new(script::ENTRY_STEPS),
            uses: Uses::default(),
            reads: None,
        }
    }

    /// The same keyspace, where another database is selected.
    pub fn in_other_database(&self, db: usize) -> ReadContext<'a> {
        let random = RefCell::new(self.random.borrow().clone());
        let context = ReadContext::new(self.ranges, db, self.now_ms, 0);
        let (settled_ms, uses, reads) = (self.settled_ms, self.uses.clone(), self.reads);
        ReadContext { settled_ms, random, uses, reads, ..context }
    }

    /// Takes over the unsettled death that a context made of this one has met.
    pub fn take_unsettled_of(&self, other: &ReadContext<'a>) {
        if let Some(met) = other.met_unsettled() {
            self.unsettled.set(Some(met));
        }
    }

    /// The same, where commands note by this rule which keys they use.
    pub fn noting(self, rule: AccessRule) -> Self {
        let seed = self.random.borrow().clone().next_u64();
        ReadContext { uses: Uses::by(rule, seed), ..self }
    }

    /// The same, where the keys are noted that commands read.
    pub fn noting_reads(self, reads: &'a ReadKeys) -> Self {
        ReadContext { reads: Some(reads), ..self }
    }

    /// A command runs.
    #[inline]
    pub fn note_read(&self, command: &Command, args: &Args<'_>) {
        if let Some(reads) = self.reads {
            reads.note(command, args);
        }
    }

    /// The same for a client that wants no use to be noted, if it does.
    pub fn muted(self, is_muted: bool) -> Self {
        ReadContext { uses: Uses { is_muted, ..self.uses }, ..self }
    }

    /// How keys' access words are kept.
    pub fn access_rule(&self) -> AccessRule {
        self.uses.rule
    }

    /// Lets a command run: the keys that it looks up are used.
    pub fn using<T>(&self, command: &Command, run: impl FnOnce() -> T) -> T {
        self.uses.begin(command);
        let result = run();
        self.uses.end();
        result
    }

    /// The same, where deaths are settled up to a stamp only.
    pub fn settled_until(self, stamp_ms: i64) -> Self {
        ReadContext { settled_ms: stamp_ms, ..self }
    }

    /// Database and key of an unsettled death that was met.
    pub fn met_unsettled(&self) -> Option<(usize, &'a [u8])> {
        self.unsettled.get()
    }

    /// The same, knowing a slot already.
    pub fn knowing(self, known: Option<KnownSlot<'a>>) -> Self {
        ReadContext { known, ..self }
    }

    /// The live entry of a key.
    pub fn entry(&self, key: &[u8]) -> Option<&'a Entry> {
        self.entry_in(self.db, key)
    }

    pub fn entry_in(&self, db: usize, key: &[u8]) -> Option<&'a Entry> {
        let slot = slot_of(self.known, key);
        let entry = self.ranges.range(slot.range()).find(db, slot, key)?;
        let is_alive = self.is_alive(db, entry);
        if is_alive {
            self.uses.note(entry, self.now_ms);
        }
        is_alive.then_some(entry)
    }

    /// Whether an entry is alive, or its death is noted if that is unsettled.
    fn is_alive(&self, db: usize, entry: &'a Entry) -> bool {
        let is_dead = entry.is_dead_at(self.now_ms);
        if is_dead && !entry.is_dead_at(self.settled_ms) {
            self.unsettled.set(Some((db, entry.key())));
        }
        !is_dead
    }

    /// Notes that a key has died, or fields of it, if that is unsettled.
    pub fn look_for_deaths(&self, key: &[u8]) {
        self.entry(key).into_iter().for_each(|entry| self.note_dead_fields(entry));
    }

    /// Notes that fields of a hash have died, if that is unsettled.
    fn note_dead_fields(&self, entry: &'a Entry) {
        if let ValueRef::Object(Object::Hash(hash)) = entry.value()
            && hash.earliest_deadline().is_some_and(|death| self.settled_ms < death && death <= self.now_ms)
        {
            self.unsettled.set(Some((self.db, entry.key())));
        }
    }

    pub fn exists(&self, key: &[u8]) -> bool {
        self.entry(key).is_some()
    }

    /// The string of a key; an error where the key holds a collection.
    pub fn string(&self, key: &[u8]) -> Result<Option<&'a [u8]>, CommandError> {
        self.entry(key).map(as_string).transpose()
    }

    /// The collection of a key; an error where the key holds anything else.
    pub fn collection<T: Collection>(&self, key: &[u8]) -> Result<Option<&'a T>, CommandError> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        self.note_dead_fields(entry);
        as_collection(entry).map(Some)
    }

    pub fn value_type(&self, key: &[u8]) -> Option<ValueType> {
        self.entry(key).map(|entry| entry.value().value_type())
    }

    /// Keys of a database, the dead that are not yet freed included. The command locks the whole keyspace.
    pub fn usage(&self, db: usize) -> Usage {
        (0..RANGES).map(|range| self.ranges.range(range).usage(db)).sum()
    }

    /// The long names among those of the selected database's keys. The command locks the whole keyspace.
    pub fn long_names(&self) -> LongNames {
        let ranges = (0..RANGES).map(|range| self.ranges.range(range).long_names(self.db));
        ranges.fold(LongNames::default(), LongNames::add)
    }

    /// Every live entry of the selected database, by slot. The command locks the whole keyspace.
    pub fn entries(&self) -> impl Iterator<Item = &'a Entry> + use<'a, '_> {
        let (ranges, db) = (self.ranges, self.db);
        let tables = (0..SLOTS)
            .filter_map(Slot::new)
            .filter_map(move |slot| ranges.range(slot.range()).table(db, slot));
        tables.flat_map(|table| table.iter()).filter(move |entry| self.is_alive(db, entry))
    }

    /// The limits of what is put together for an answer: with the seed of all tables. The command names the key.
    pub fn scratch_limits(&self, key: &[u8]) -> TypeLimits {
        let hash_seed = self.ranges.range(slot_of(self.known, key).range()).hash_seed();
        TypeLimits { hash_seed, ..TypeLimits::default() }
    }

    /// The lock ranges under this context, for walks by slot (SCAN, RANDOMKEY).
    pub fn ranges(&self) -> &'a dyn Ranges {
        self.ranges
    }
}

pub(super) fn as_string(entry: &Entry) -> Result<&[u8], CommandError> {
    match entry.value() {
        ValueRef::String(bytes) => Ok(bytes),
        ValueRef::Object(_) => Err(CommandError::WrongType),
    }
}

pub(super) fn as_collection<T: Collection>(entry: &Entry) -> Result<&T, CommandError> {
    match entry.value() {
        ValueRef::Object(object) => T::of(object).ok_or(CommandError::WrongType),
        ValueRef::String(_) => Err(CommandError::WrongType),
    }
}
