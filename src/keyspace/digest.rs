//! A digest of the keyspace, equal where the data is equal.
//!
//! - Each key contributes a 128-bit XXH3 of database, key, deadline, type and content; contributions are added, so the
//!   order of slots and tables does not matter.
//! - Members of sets and hashes are added too, for their order is no part of their meaning; lists, sorted sets and streams are
//!   hashed in their order.
//! - The log holds digests of entries (MIGRATE ends by one), and checkpoints hold [`of_record`]: how they are computed does
//!   not change.
//! - Deadlines count: two nodes at the same log index agree on them to the millisecond.

use xxhash_rust::xxh3::Xxh3Default;

use super::entry::Entry;
use super::range::LockRange;
use super::slot::{RANGES, SLOTS_PER_RANGE, Slot};
use super::types::stream::{Group, Stream, StreamId};
use super::value::{Object, ValueRef};
use super::view::{LockSet, Ranges};
use super::{ALL_DATABASES, Keyspace};

/// Sum of the digests of all entries.
pub type Digest = u128;

/// Stands where an entry's database number would.
const NO_DATABASE: u8 = u8::MAX;

/// The digest of everything, taken under all read locks at once.
pub fn of_keyspace(keyspace: &Keyspace) -> Digest {
    let view = keyspace.read(LockSet::ALL);
    let parts = (0..RANGES).flat_map(|range| (0..ALL_DATABASES).map(move |db| (range, db)));
    let used = parts.filter(|(range, db)| view.range(*range).usage(*db).keys > 0);
    used.fold(0, |sum: Digest, (range, db)| sum.wrapping_add(of_range(view.range(range), range, db)))
}

/// Keys of each database, and the sum of their [`of_record`]: what a checkpoint's manifest says of them.
pub fn of_databases(keyspace: &Keyspace) -> [(u64, Digest); ALL_DATABASES] {
    let view = keyspace.read(LockSet::ALL);
    std::array::from_fn(|db| {
        let ranges = (0..RANGES).filter(|range| view.range(*range).usage(db).keys > 0);
        let entries = ranges.flat_map(|range| entries_of(view.range(range), range, db));
        entries
            .fold((0, 0), |(keys, sum): (u64, Digest), entry| (keys + 1, sum.wrapping_add(of_record(entry))))
    })
}

/// What one database holds in one lock range.
fn of_range(range: &LockRange, number: usize, db: usize) -> Digest {
    entries_of(range, number, db).fold(0, |sum: Digest, entry| sum.wrapping_add(of_entry(db, entry)))
}

fn entries_of(range: &LockRange, number: usize, db: usize) -> impl Iterator<Item = &Entry> {
    let slots = number * SLOTS_PER_RANGE..(number + 1) * SLOTS_PER_RANGE;
    let tables = slots.filter_map(Slot::new).filter_map(move |slot| range.table(db, slot));
    tables.flat_map(|table| table.iter())
}

/// The contribution of one entry.
pub fn of_entry(db: usize, entry: &Entry) -> Digest {
    of_parts_of_entry(db as u8, entry, of_value(entry.value()))
}

/// What a checkpoint keeps beside an entry: as [`of_entry`], but the same in every database, for SWAPDB gives a database's
/// entries another number without touching them.
pub fn of_record(entry: &Entry) -> Digest {
    of_parts_of_entry(NO_DATABASE, entry, of_value(entry.value()))
}

/// [`of_entry`] and [`of_record`], at the price of one.
pub fn of_entry_and_record(db: usize, entry: &Entry) -> (Digest, Digest) {
    let value = of_value(entry.value());
    (of_parts_of_entry(db as u8, entry, value), of_parts_of_entry(NO_DATABASE, entry, value))
}

fn of_parts_of_entry(db: u8, entry: &Entry, value: Digest) -> Digest {
    let mut hash = Xxh3Default::new();
    hash.update(&[db, entry.value().value_type() as u8]);
    update_sized(&mut hash, entry.key());
    hash.update(&entry.deadline_ms().unwrap_or(-1).to_le_bytes());
    hash.update(&value.to_le_bytes());
    hash.digest128()
}

/// The digest of a value alone.
pub fn of_value(value: ValueRef<'_>) -> Digest {
    match value {
        ValueRef::String(bytes) => of_parts([bytes]),
        ValueRef::Object(Object::List(list)) => of_parts(list.iter()),
        ValueRef::Object(Object::Set(set)) => sum(set.iter().map(|member| of_parts([&*member]))),
        ValueRef::Object(Object::Hash(hash)) => sum(hash.iter().map(|(field, value)| {
            let deadline = hash.expire_at(field).unwrap_or(-1).to_le_bytes();
            of_parts([field, value, &deadline[..]])
        })),
        ValueRef::Object(Object::ZSet(zset)) => {
            let mut hash = Xxh3Default::new();
            for member in zset.iter() {
                update_sized(&mut hash, member.member);
                hash.update(&member.score.to_bits().to_le_bytes());
            }
            hash.digest128()
        }
        ValueRef::Object(Object::Stream(stream)) => of_stream(stream),
    }
}

/// Entries, what the stream remembers, and its groups. How entries are packed does not count.
fn of_stream(stream: &Stream) -> Digest {
    let mut hash = Xxh3Default::new();
    let counters = stream.counters();
    hash.update(&counters.last_id.to_bytes());
    hash.update(&counters.max_deleted_id.to_bytes());
    hash.update(&counters.entries_added.to_le_bytes());
    hash.update(&stream.len().to_le_bytes());
    let mut digits = itoa::Buffer::new();
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        hash.update(&entry.id.to_bytes());
        hash.update(&(entry.field_count() as u64).to_le_bytes());
        entry.texts().for_each(|text| update_sized(&mut hash, text.text(&mut digits)));
    }
    for (name, group) in stream.groups() {
        update_sized(&mut hash, name);
        update_group(&mut hash, group);
    }
    hash.digest128()
}

fn update_group(hash: &mut Xxh3Default, group: &Group) {
    hash.update(&group.last_id.to_bytes());
    hash.update(&group.entries_read.unwrap_or(-1).to_le_bytes());
    hash.update(&(group.consumer_count() as u64).to_le_bytes());
    for (name, consumer) in group.consumers() {
        update_sized(hash, name);
        hash.update(&consumer.seen_ms.to_le_bytes());
        hash.update(&consumer.active_ms.to_le_bytes());
    }
    hash.update(&(group.pending_count() as u64).to_le_bytes());
    for (id, pending) in group.pending_from(StreamId::MIN) {
        hash.update(&id.to_bytes());
        update_sized(hash, &pending.consumer);
        hash.update(&pending.delivered_ms.to_le_bytes());
        hash.update(&pending.deliveries.to_le_bytes());
    }
}

fn sum(digests: impl Iterator<Item = Digest>) -> Digest {
    digests.fold(0, Digest::wrapping_add)
}

fn of_parts<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Digest {
    let mut hash = Xxh3Default::new();
    for part in parts {
        update_sized(&mut hash, part.as_ref());
    }
    hash.digest128()
}

fn update_sized(hash: &mut Xxh3Default, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entrys_contributions_never_change() {
        let entry = Entry::string(b"key", b"value", Some(7));
        let (in_database, anywhere) = of_entry_and_record(3, &entry);
        assert_eq!((in_database, anywhere), (of_entry(3, &entry), of_record(&entry)));
        assert_eq!(in_database, 0x37a39d25e55f7d3b8f65762eca407fb5);
        assert_eq!(anywhere, 0x4f9080feceb29127b9fd1e18c709f6e0);
    }

    #[test]
    fn a_record_counts_the_same_in_every_database_and_an_entry_does_not() {
        let entry = Entry::string(b"key", b"value", None);
        assert_eq!(of_entry_and_record(0, &entry).1, of_entry_and_record(15, &entry).1);
        assert_ne!(of_entry(0, &entry), of_entry(15, &entry));
        assert_ne!(of_record(&entry), of_entry(0, &entry));
    }
}
