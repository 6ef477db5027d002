//! The system database as those read it that hold locks: named byte strings. `command/system.rs` changes them.

use super::SYSTEM;
use super::entry::Entry;
use super::slot::{SLOTS, Slot};
use super::value::ValueRef;
use super::view::Ranges;

/// What the names of the group's parameters begin with; the values are their texts.
pub const PARAMETER: &[u8] = b"param:";
/// Is there once the group's first entry has brought what its first node was started with.
pub const HAS_PARAMETERS: &[u8] = b"parameters";

/// What the system database has under a name. The name's range is locked.
pub fn get_system<'a>(ranges: &'a dyn Ranges, name: &[u8]) -> Option<&'a [u8]> {
    let slot = Slot::of(name);
    ranges.range(slot.range()).find(SYSTEM, slot, name).and_then(bytes_of)
}

/// What it has under names that begin so, by name, the beginning cut off. The whole keyspace is locked.
pub fn all_in_system<'a>(ranges: &'a dyn Ranges, beginning: &[u8]) -> Vec<(&'a [u8], &'a [u8])> {
    let tables = (0..SLOTS).filter_map(Slot::new);
    let tables = tables.filter_map(|slot| ranges.range(slot.range()).table(SYSTEM, slot));
    let entries = tables.flat_map(|table| table.iter());
    let named = entries.filter_map(|entry| Some((entry.key().strip_prefix(beginning)?, bytes_of(entry)?)));
    let mut all: Vec<(&[u8], &[u8])> = named.collect();
    all.sort_unstable();
    all
}

/// The bytes of an entry that is a string.
pub fn bytes_of(entry: &Entry) -> Option<&[u8]> {
    match entry.value() {
        ValueRef::String(bytes) => Some(bytes),
        ValueRef::Object(_) => None,
    }
}
