//! What a command handler works with: the locked keyspace, the time, randomness, and the record of what it changed.
//!
//! - A key whose deadline has passed is missing to every handler; a write that meets one frees it first.
//! - Reads go by the clock of their worker or by the newest stamp that was applied, whichever is later; writes go by the stamp
//!   of their entry.
//! - A death that a clock has reached and no stamp is unsettled: another node's clock may still be behind it. A read notes
//!   that it has met one, so that nobody is told of it before an entry has it.
//! - Every change of a value is announced by [`WriteContext::touch`]; setting, inserting and removing announce
//!   themselves. WATCH and the blocking commands live by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::CommandError;
use super::events::{Event, Notices};
use super::families::Row;
use super::keys::Staging;
use super::random::Random;
pub use super::reader::{KnownSlot, ReadContext};
use super::reader::{ToldUse, Uses, as_collection, as_string, slot_of};
use super::reads::ReadKeys;
use super::script::{ScriptBudget, Scripts};
pub use super::tally::{Executed, Tally};
use super::undo::Undo;
use crate::access::AccessRule;
use crate::command::stopwatch::Stopwatch;
use crate::config::events::Classes;
use crate::keyspace::entry::Entry;
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::range::{Database, LockRange};
use crate::keyspace::slot::{RANGES, Slot};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::value::{Collection, Object, ValueRef};
use crate::keyspace::view::{Ranges, WriteView};
use crate::keyspace::{DATABASES, SYSTEM};
use crate::protocol::message::Message;

/// What an entry of the log says of its moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The leader's clock, unix ms; it never goes back from entry to entry.
    pub now_ms: i64,
    pub seed: u64,
}

/// What running commands leaves to be done by the one who ran them.
#[derive(Debug, Default)]
pub struct Effects {
    /// Set by the caller where somebody watches or waits: keys are recorded only then.
    pub record_touched: bool,
    /// Database and key of every change, in order, repeated where repeated.
    pub touched: Vec<(usize, Vec<u8>)>,
    /// Clients of this node cache what they read: changes are recorded for them as well. It outlives entries.
    pub tracking: Arc<AtomicBool>,
    /// The keys that commands read for such a client.
    pub reads: ReadKeys,
    /// A whole database changed (FLUSHDB, SWAPDB): every key in it counts as touched.
    pub touched_databases: Vec<usize>,
    /// Changes so far (`rdb_changes_since_last_save`).
    pub changes: u64,
    /// Keys that were met dead and freed.
    pub expired: u64,
    /// Keys that were evicted.
    pub evicted: u64,
    /// How this node notes which keys are used. What is applied does not depend on it. It outlives entries.
    pub access: AccessRule,
    /// Commands that ran.
    pub executed: Tally,
    /// A mark, by its name: the keyspace is to be captured behind this entry.
    pub mark: Option<String>,
    /// The seed of all tables from here on, unless they have one.
    pub hash_seed: Option<HashSeed>,
    /// The cluster's id, unless it is known.
    pub cluster_id: Option<u64>,
    /// Users were made, changed or deleted.
    pub users_changed: bool,
    /// Parameters of the group were set.
    pub parameters_changed: bool,
    /// What has come of an item that is too long for one entry. It outlives entries, unlike the rest.
    pub staging: Staging,
    /// For the slow log.
    pub stopwatch: Stopwatch,
    /// Messages published inside a transaction.
    pub published: Vec<Message>,
    /// Events of keys, for this node's subscribers.
    pub notices: Notices,
    /// What takes long to drop; a thread beside apply drops it.
    pub garbage: Vec<Garbage>,
    /// Bytes of the collections among it, and of those that are not dropped yet. It outlives entries.
    pub garbage_bytes: Arc<AtomicU64>,
    /// Flushed databases that are not dropped yet. It outlives entries.
    pub flushed: Arc<AtomicU64>,
    /// The scripts that the node knows. What is applied does not depend on them. They outlive entries.
    pub scripts: Arc<Scripts>,
    /// What is left to the scripts of the entry that is applied.
    pub script_budget: ScriptBudget,
    /// Steps that are left to scripts that only read, and that the log does not hold.
    pub script_read_steps: i64,
}

impl Effects {
    /// Takes in what commands left that ran elsewhere. Neither touched keys nor slow commands are among it.
    pub fn absorb(&mut self, mut other: Effects) {
        self.changes += other.changes;
        self.expired += other.expired;
        self.evicted += other.evicted;
        other.executed.drain().for_each(|(executed, times)| self.executed.note(executed, times));
        self.published.extend(other.published);
        self.garbage.extend(other.garbage);
        self.users_changed |= other.users_changed;
        self.parameters_changed |= other.parameters_changed;
    }

    /// Nobody waits for any of it: who only wants the data calls this behind every entry.
    pub fn forget(&mut self) {
        self.touched.clear();
        self.touched_databases.clear();
        self.executed.clear();
        self.stopwatch.forget();
        self.published.clear();
        self.notices.clear();
        self.garbage.clear();
        self.mark = None;
    }
}

/// Data that nobody can reach any more.
#[derive(Debug)]
pub enum Garbage {
    Database(Flushed),
    Entry(Discarded),
    /// A whole keyspace.
    Ranges(Vec<LockRange>),
    /// An item that came in parts.
    Bytes(Vec<u8>),
}

/// A flushed database, which is dropped beside apply, and counts as flushed until then.
#[derive(Debug)]
pub struct Flushed {
    ranges: Box<[Box<Database>]>,
    all: Arc<AtomicU64>,
}

impl Flushed {
    fn new(ranges: Box<[Box<Database>]>, all: &Arc<AtomicU64>) -> Flushed {
        all.fetch_add(1, Ordering::Relaxed);
        Flushed { ranges, all: all.clone() }
    }
}

impl Drop for Flushed {
    fn drop(&mut self) {
        // This may take long, and is part of what is allocated until its end.
        self.ranges = Box::default();
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Garbage {
    /// Keys that it held, or values, in the terms of Redis' `lazyfreed_objects`.
    pub fn objects(&self) -> u64 {
        match self {
            Garbage::Database(flushed) => flushed.ranges.iter().map(|range| range.usage().keys as u64).sum(),
            Garbage::Entry(_) => 1,
            Garbage::Ranges(ranges) => {
                let keys =
                    |range: &LockRange| (0..DATABASES).map(|db| range.usage(db).keys as u64).sum::<u64>();
                ranges.iter().map(keys).sum()
            }
            Garbage::Bytes(_) => 0,
        }
    }
}

/// A collection that is dropped beside apply, and counts as garbage until then.
#[derive(Debug)]
pub struct Discarded {
    entry: Option<Entry>,
    bytes: u64,
    all: Arc<AtomicU64>,
}

impl Discarded {
    pub fn new(entry: Entry, all: &Arc<AtomicU64>) -> Discarded {
        let bytes = entry.memory_bytes() as u64;
        all.fetch_add(bytes, Ordering::Relaxed);
        Discarded { entry: Some(entry), bytes, all: all.clone() }
    }
}

impl Drop for Discarded {
    fn drop(&mut self) {
        // This may take long, and is garbage until its end.
        drop(self.entry.take());
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The keyspace as a writing command sees it, inside apply.
pub struct WriteContext<'a> {
    known: Option<KnownSlot<'a>>,
    view: WriteView<'a>,
    effects: &'a mut Effects,
    pub db: usize,
    /// The entry's stamp; deadlines are judged by it.
    pub now_ms: i64,
    /// The same on every replica.
    pub random: Random,
    pub limits: &'a TypeLimits,
    /// What changes are called from here on.
    event: Event,
    /// What changed since a script began.
    undo: Option<Box<Undo>>,
    uses: Uses,
}

/// Collections above this many elements are dropped beside apply.
const LAZY_FREE_ELEMENTS: usize = 64;

impl<'a> WriteContext<'a> {
    pub fn new(
        view: WriteView<'a>,
        effects: &'a mut Effects,
        db: usize,
        stamp: Stamp,
        limits: &'a TypeLimits,
    ) -> Self {
        WriteContext {
            known: None,
            uses: Uses::by(effects.access, stamp.seed),
            view,
            effects,
            db,
            now_ms: stamp.now_ms,
            random: Random::from_seed(stamp.seed),
            limits,
            event: Event::NONE,
            undo: None,
        }
    }

    /// From here on what changes can be undone.
    pub fn begin_undo(&mut self) {
        let undo = Undo::begin(self.effects);
        self.undo = Some(Box::new(undo));
    }

    /// What changed stays.
    pub fn end_undo(&mut self) {
        if let Some(undo) = self.undo.take() {
            undo.forget(self.effects);
        }
    }

    /// All is as it was when [`begin_undo`](Self::begin_undo) was called, but for what was dead then.
    pub fn undo(&mut self) {
        if let Some(undo) = self.undo.take() {
            undo.put_back(&mut self.view, self.effects);
        }
    }

    /// Bytes that were kept since this was last asked, so that changes can be undone.
    pub fn take_undo_bytes(&mut self) -> u64 {
        self.undo.as_mut().map_or(0, |undo| undo.take_bytes())
    }

    /// Keeps what a key holds before it is changed.
    fn keep(&mut self, db: usize, key: &[u8]) {
        if let Some(undo) = &mut self.undo {
            let slot = slot_of(self.known, key);
            undo.keep(self.view.range_mut(slot.range()), db, slot, key);
        }
    }

    /// The scripts that the node knows.
    pub fn scripts(&self) -> Arc<Scripts> {
        self.effects.scripts.clone()
    }

    pub fn set_script_read_steps(&mut self, steps: i64) {
        self.effects.script_read_steps = steps;
    }

    /// What is left to the scripts of the entry.
    pub fn script_budget(&mut self) -> &mut ScriptBudget {
        &mut self.effects.script_budget
    }

    /// The same, knowing a slot already.
    pub fn knowing(self, known: Option<KnownSlot<'a>>) -> Self {
        WriteContext { known, ..self }
    }

    #[inline]
    fn slot_of(&self, key: &[u8]) -> Slot {
        slot_of(self.known, key)
    }

    /// The same keyspace for reading, at the entry's time.
    pub fn reader(&self) -> ReadContext<'_> {
        let context = ReadContext::new(&self.view, self.db, self.now_ms, self.random.clone().next_u64());
        context.script_steps.set(self.effects.script_read_steps);
        context.noting(self.effects.access).noting_reads(&self.effects.reads)
    }

    pub fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.entry_in(self.db, key)
    }

    pub fn entry_in(&self, db: usize, key: &[u8]) -> Option<&Entry> {
        let entry = live_entry(&self.view, db, self.slot_of(key), key, self.now_ms)?;
        self.uses.note(entry, self.now_ms);
        Some(entry)
    }

    /// Notes of a live key what the client says of its use.
    pub fn note_use_as_told(&self, key: &[u8], told: ToldUse) {
        if let Some(entry) = live_entry(&self.view, self.db, self.slot_of(key), key, self.now_ms) {
            self.uses.note_as_told(entry, told, self.now_ms);
        }
    }

    /// The lock ranges under this context.
    pub fn ranges(&self) -> &dyn Ranges {
        &self.view
    }

    /// Does something in another database.
    pub fn in_database<T>(&mut self, db: usize, act: impl FnOnce(&mut Self) -> T) -> T {
        let selected = std::mem::replace(&mut self.db, db);
        let result = act(self);
        self.db = selected;
        result
    }

    pub fn exists(&self, key: &[u8]) -> bool {
        self.entry(key).is_some()
    }

    pub fn string(&self, key: &[u8]) -> Result<Option<&[u8]>, CommandError> {
        self.entry(key).map(as_string).transpose()
    }

    pub fn collection<T: Collection>(&self, key: &[u8]) -> Result<Option<&T>, CommandError> {
        self.entry(key).map(as_collection).transpose()
    }

    pub fn deadline_ms(&self, key: &[u8]) -> Option<i64> {
        self.entry(key)?.deadline_ms()
    }

    /// Makes `value` the string of a key, whatever it held before.
    pub fn set_string(&mut self, key: &[u8], value: &[u8], deadline_ms: Option<i64>) {
        self.keep(self.db, key);
        let slot = self.slot_of(key);
        self.tell_birth(self.db, slot, key);
        let range = self.view.range_mut(slot.range());
        let (uses, now_ms) = (&self.uses, self.now_ms);
        let note = |entry: &Entry| uses.note(entry, now_ms);
        let old = range.set_string(self.db, slot, key, value, deadline_ms, note);
        self.touch(key);
        if let Some(collection) = old {
            self.discard(collection);
        }
    }

    /// Grows or cuts the string of a key to `len` bytes, new ones zero, and lends it for a change. A missing key becomes
    /// an empty string first; an error where the key holds a collection. The deadline stays. The string counts as changed in place.
    pub fn resize_string(&mut self, key: &[u8], len: usize) -> Result<&mut [u8], CommandError> {
        match self.string(key)? {
            Some(_) => self.touch(key),
            None => self.set_string(key, b"", None),
        }
        self.keep(self.db, key);
        let slot = self.slot_of(key);
        let entry = self.view.range_mut(slot.range()).find_mut(self.db, slot, key);
        entry.and_then(|entry| entry.change_string(len)).ok_or(CommandError::WrongType)
    }

    /// Lends the string of a key for a change that keeps its length; `None` where there is no such key, an error where it holds a
    /// collection. Call [`touch`](Self::touch) once something did change.
    pub fn string_mut(&mut self, key: &[u8]) -> Result<Option<&mut [u8]>, CommandError> {
        let Some(len) = self.string(key)?.map(<[u8]>::len) else { return Ok(None) };
        let slot = self.slot_of(key);
        let entry = self.view.range_mut(slot.range()).find_mut(self.db, slot, key);
        entry.and_then(|entry| entry.change_string(len)).map(Some).ok_or(CommandError::WrongType)
    }

    /// Puts a collection under a key, in place of whatever it held. An empty one removes the key.
    pub fn insert(&mut self, key: &[u8], object: Object, deadline_ms: Option<i64>) {
        if object.is_empty() {
            self.remove(key);
        } else {
            self.insert_entry_in(self.db, Entry::object(key, object, deadline_ms));
        }
    }

    /// Puts an entry into a database, in place of one with the same key.
    pub fn insert_entry_in(&mut self, db: usize, entry: Entry) {
        self.keep(db, entry.key());
        let slot = Slot::of(entry.key());
        self.tell_birth(db, slot, entry.key());
        self.touch_in(db, entry.key());
        self.uses.note_always(&entry, self.now_ms);
        if let Some(old) = self.view.range_mut(slot.range()).insert(db, slot, entry) {
            self.discard(old);
        }
    }

    /// Lends a collection for a change; `None` where there is no such key, an error where it holds anything else.
    /// Call [`touch`](Self::touch) once something did change, and [`remove_if_empty`](Self::remove_if_empty) after taking out.
    pub fn collection_mut<T: Collection>(&mut self, key: &[u8]) -> Result<Option<&mut T>, CommandError> {
        self.free_if_dead(key);
        self.keep(self.db, key);
        let slot = self.slot_of(key);
        match self.view.range_mut(slot.range()).find_mut(self.db, slot, key) {
            None => Ok(None),
            Some(entry) => {
                self.uses.note(entry, self.now_ms);
                let object = entry.object_mut().ok_or(CommandError::WrongType)?;
                T::of_mut(object).map(Some).ok_or(CommandError::WrongType)
            }
        }
    }

    /// Lends a collection for a change, an empty one where there is no such key: something must then be put in.
    pub fn collection_or_new<T: Collection>(&mut self, key: &[u8]) -> Result<&mut T, CommandError> {
        if self.collection::<T>(key)?.is_none() {
            self.free_if_dead(key);
            self.keep(self.db, key);
            let slot = self.slot_of(key);
            let entry = Entry::object(key, T::empty().wrap(), None);
            self.tell(self.db, Event::NEW, key);
            self.view.range_mut(slot.range()).insert(self.db, slot, entry);
        }
        self.collection_mut(key)?.ok_or(CommandError::NoSuchKey)
    }

    /// Removes a key; false where there was none alive.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.take_as(key, Event::DELETED).map(|entry| self.discard(entry)).is_some()
    }

    /// Removes a key that the primary chose to evict; false where there was none alive.
    pub fn evict(&mut self, key: &[u8]) -> bool {
        let Some(entry) = self.take_as(key, Event::EVICTED) else { return false };
        self.effects.evicted += 1;
        self.discard(entry);
        true
    }

    /// Takes a live entry out, to put it in elsewhere.
    pub fn take(&mut self, key: &[u8]) -> Option<Entry> {
        self.take_as(key, self.event)
    }

    fn take_as(&mut self, key: &[u8], event: Event) -> Option<Entry> {
        self.free_if_dead(key);
        self.keep(self.db, key);
        let slot = self.slot_of(key);
        let entry = self.view.range_mut(slot.range()).remove(self.db, slot, key)?;
        self.touch_as(key, event);
        Some(entry)
    }

    /// Removes the key of a collection that has become empty.
    pub fn remove_if_empty(&mut self, key: &[u8]) {
        let empty =
            matches!(self.entry(key).map(Entry::value), Some(ValueRef::Object(object)) if object.is_empty());
        if empty {
            self.remove(key);
        }
    }

    /// Says that elements were taken out of a collection, and removes its key if that `emptied` it.
    pub fn taken_from(&mut self, key: &[u8], emptied: bool) {
        if emptied {
            self.tell(self.db, self.event, key);
            self.remove(key);
        } else {
            self.touch(key);
        }
    }

    /// Sets or clears the deadline of a live key; false where there is none.
    pub fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<i64>) -> bool {
        self.free_if_dead(key);
        self.keep(self.db, key);
        let slot = self.slot_of(key);
        let found = self.view.range_mut(slot.range()).set_deadline(self.db, slot, key, deadline_ms);
        if found {
            self.touch_as(key, if deadline_ms.is_some() { Event::EXPIRES } else { Event::PERSISTS });
        }
        found
    }

    /// Frees a key whose deadline has passed by the stamp; true if it had.
    pub fn free_if_dead(&mut self, key: &[u8]) -> bool {
        let slot = self.slot_of(key);
        let range = self.view.range_mut(slot.range());
        let may_be_dead = range.earliest_ms(self.db) <= self.now_ms;
        let is_dead = |range: &LockRange| {
            range.find(self.db, slot, key).is_some_and(|entry| entry.is_dead_at(self.now_ms))
        };
        debug_assert!(may_be_dead || !is_dead(range), "nothing dies before its range's bound");
        let dead = may_be_dead && is_dead(range);
        if dead && let Some(entry) = range.remove(self.db, slot, key) {
            self.effects.expired += 1;
            self.touch_as(key, Event::EXPIRED);
            self.discard(entry);
        }
        dead
    }

    /// Empties a database. The command locks the whole keyspace.
    pub fn flush_database(&mut self, db: usize) {
        if let Some(undo) = &mut self.undo {
            undo.flush(&mut self.view, db);
        }
        let flushed: Box<[Box<Database>]> =
            (0..RANGES).filter_map(|range| self.view.range_mut(range).take_database(db)).collect();
        if !flushed.is_empty() {
            self.effects.garbage.push(Garbage::Database(Flushed::new(flushed, &self.effects.flushed)));
        }
        self.effects.changes += 1;
        self.effects.touched_databases.push(db);
    }

    /// Swaps two databases. The command locks the whole keyspace.
    pub fn swap_databases(&mut self, a: usize, b: usize) {
        if let Some(undo) = &mut self.undo {
            undo.swapped(a, b);
        }
        for range in 0..RANGES {
            self.view.range_mut(range).swap_databases(a, b);
        }
        self.effects.changes += 1;
        self.effects.touched_databases.extend([a, b]);
    }

    /// Says that the value of a key changed.
    pub fn touch(&mut self, key: &[u8]) {
        self.touch_in(self.db, key);
    }

    /// The same, where the change has a name of its own.
    pub fn touch_as(&mut self, key: &[u8], event: Event) {
        self.note_change(self.db, key);
        self.tell(self.db, event, key);
    }

    /// The same of a key that changed with another one: both count as one change.
    pub fn touch_with_another(&mut self, key: &[u8]) {
        self.record_touched(self.db, key);
        self.tell(self.db, self.event, key);
    }

    pub fn touch_in(&mut self, db: usize, key: &[u8]) {
        self.note_change(db, key);
        self.tell(db, self.event, key);
    }

    /// A command begins: changes are called after it.
    pub fn begin(&mut self, row: &Row) {
        self.uses.begin(row.command);
        if self.effects.notices.begin() {
            self.event = Event::of_row(row);
        }
    }

    /// Gives changes another name from here on, for what is left of the command.
    pub fn call_changes(&mut self, name: &'static str) {
        self.event = Event { name, ..self.event };
    }

    /// Tells of a change that was announced under another name already.
    pub fn tell_change(&mut self, key: &[u8]) {
        self.tell(self.db, self.event, key);
    }

    /// Tells this node's subscribers of an event of a key. The system database has none.
    pub fn tell(&mut self, db: usize, event: Event, key: &[u8]) {
        if db != SYSTEM {
            self.effects.notices.note(db, event, key);
        }
    }

    /// Tells of a key that is about to be put in, if it is new.
    fn tell_birth(&mut self, db: usize, slot: Slot, key: &[u8]) {
        let is_new = |view: &WriteView<'_>| view.range(slot.range()).find(db, slot, key).is_none();
        if self.effects.notices.tells(Classes::NEW) && is_new(&self.view) {
            self.tell(db, Event::NEW, key);
        }
    }

    fn note_change(&mut self, db: usize, key: &[u8]) {
        self.effects.changes += 1;
        self.record_touched(db, key);
    }

    fn record_touched(&mut self, db: usize, key: &[u8]) {
        if self.effects.record_touched || self.effects.tracking.load(Ordering::Relaxed) {
            self.effects.touched.push((db, key.to_vec()));
            self.effects.reads.note_changes(self.effects.touched.len());
        }
    }

    /// Counts a change that neither WATCH nor a client that waits is told of.
    pub fn count_change(&mut self) {
        self.effects.changes += 1;
    }

    /// The slow log's stopwatch.
    pub fn stopwatch(&mut self) -> &mut Stopwatch {
        &mut self.effects.stopwatch
    }

    /// Notes for the statistics that a command ran.
    pub fn note_executed(&mut self, index: usize, error: Option<&CommandError>) {
        self.effects.executed.note(Executed { index, error: error.map(CommandError::code) }, 1);
    }

    /// Says that fields of a key's hash may have got deadlines.
    pub fn note_field_deadlines(&mut self, key: &[u8]) {
        let slot = self.slot_of(key);
        self.view.range_mut(slot.range()).note_deadlines(self.db, slot, key);
    }

    /// Says that the entry is a mark, and how it is called.
    pub fn set_mark(&mut self, name: String) {
        self.effects.mark = Some(name);
    }

    /// Says that the entry brings the seed of all tables.
    pub fn set_hash_seed(&mut self, seed: HashSeed) {
        self.effects.hash_seed = Some(seed);
    }

    /// Says that the entry brings the cluster's id.
    pub fn set_cluster_id(&mut self, id: u64) {
        self.effects.cluster_id = Some(id);
    }

    /// Says that the entry makes, changes or deletes users.
    pub fn note_users_changed(&mut self) {
        self.effects.users_changed = true;
    }

    /// Says that the entry sets parameters of the group.
    pub fn note_parameters_changed(&mut self) {
        self.effects.parameters_changed = true;
    }

    /// Puts a part of a long item in its place; false if it does not follow what is there.
    pub fn stage(&mut self, offset: usize, total: usize, part: &[u8]) -> bool {
        self.effects.staging.put(offset, total, part)
    }

    /// Hands a message to the subscribers of every node, once the entry is applied there.
    pub fn publish(&mut self, message: Message) {
        self.effects.published.push(message);
    }

    /// Drops an entry, beside apply if that may take long.
    pub fn discard(&mut self, entry: Entry) {
        let large = matches!(entry.value(), ValueRef::Object(object) if object.len() > LAZY_FREE_ELEMENTS);
        if large {
            let discarded = Discarded::new(entry, &self.effects.garbage_bytes);
            self.effects.garbage.push(Garbage::Entry(discarded));
        }
    }
}

fn live_entry<'a>(
    ranges: &'a dyn Ranges,
    db: usize,
    slot: Slot,
    key: &[u8],
    now_ms: i64,
) -> Option<&'a Entry> {
    let entry = ranges.range(slot.range()).find(db, slot, key)?;
    (!entry.is_dead_at(now_ms)).then_some(entry)
}
