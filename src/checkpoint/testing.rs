//! What the tests of checkpoints stand on.

use std::collections::BTreeMap;
use std::path::Path;

use super::manifest::Point;
use crate::keyspace::DATABASES;
use crate::keyspace::capture::SlotChanges;
use crate::keyspace::changes::Generation;
use crate::keyspace::digest;
use crate::keyspace::entry::Entry;
use crate::keyspace::slot::Slot;
use crate::keyspace::value::{Object, ValueRef};

/// A folder that is removed afterwards.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Scratch {
        Scratch(tempfile::tempdir().expect("tests have a folder for temporary files"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

pub fn point(index: u64) -> Point {
    Point { cluster_id: 7, cluster: 0, index, term: 3, stamp_ms: 1_700_000_000_000, members: vec![1, 2, 3] }
}

/// Databases that were never flushed or swapped.
pub fn databases() -> [Generation; DATABASES] {
    let mut databases = [Generation(0); DATABASES];
    (0..).zip(&mut databases).for_each(|(number, generation)| *generation = Generation(number));
    databases
}

/// Changes of one generation, slot by slot, in the order of a walk; `at_once` entries in a piece.
pub fn walk(
    generation: Generation,
    entries: impl IntoIterator<Item = Entry>,
    deleted: impl IntoIterator<Item = Vec<u8>>,
    at_once: usize,
) -> Vec<SlotChanges> {
    let new = |slot| SlotChanges { generation, slot, entries: Vec::new(), deleted: Vec::new() };
    let mut slots = BTreeMap::new();
    for entry in entries {
        let slot = Slot::of(entry.key());
        slots.entry(slot).or_insert_with(|| new(slot)).entries.push(entry);
    }
    for key in deleted {
        let slot = Slot::of(&key);
        slots.entry(slot).or_insert_with(|| new(slot)).deleted.push(key.into());
    }
    slots.into_values().flat_map(|changes| pieces(changes, at_once)).collect()
}

fn pieces(mut changes: SlotChanges, at_once: usize) -> Vec<SlotChanges> {
    let mut pieces = Vec::new();
    loop {
        let rest = changes.entries.split_off(changes.entries.len().min(at_once));
        let next = SlotChanges { entries: rest, deleted: Vec::new(), ..changes };
        pieces.push(std::mem::replace(&mut changes, next));
        if changes.entries.is_empty() {
            return pieces;
        }
    }
}

/// Everything that a client or a later command could tell two entries apart by, as text: elements in dense order.
pub fn describe(db: usize, entry: &Entry) -> String {
    let encoding = match entry.value() {
        ValueRef::String(_) => "string",
        ValueRef::Object(object) => object.encoding_name(),
    };
    let elements: Vec<String> = match entry.value() {
        ValueRef::String(bytes) => vec![text(bytes)],
        ValueRef::Object(Object::List(list)) => list.iter().map(text).collect(),
        ValueRef::Object(Object::Set(set)) => set.iter().map(|member| text(&member)).collect(),
        ValueRef::Object(Object::Hash(hash)) => {
            let fields = hash.iter();
            fields
                .map(|(field, value)| format!("{} {} {:?}", text(field), text(value), hash.expire_at(field)))
                .collect()
        }
        ValueRef::Object(Object::ZSet(zset)) => {
            zset.iter().map(|entry| format!("{} {:?}", text(entry.member), entry.score)).collect()
        }
        // What else there is of a stream, the digest has.
        ValueRef::Object(Object::Stream(stream)) => {
            stream.nodes().map(|(id, node)| format!("{id} {}", text(node.listpack()))).collect()
        }
    };
    let (key, digest) = (text(entry.key()), digest::of_entry(db, entry));
    format!("{key} {:?} {encoding} {digest:x} {elements:?}", entry.deadline_ms())
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
