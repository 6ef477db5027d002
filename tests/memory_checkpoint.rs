//! What writing a checkpoint takes in memory: the same however long a value is. All of the process counts, RocksDB too.

use std::fs;

use perdura::checkpoint::CheckpointStore;
use perdura::checkpoint::manifest::Point;
use perdura::checkpoint::store::{RocksStore, StoreConfig};
use perdura::env::Clock;
use perdura::keyspace::DATABASES;
use perdura::keyspace::capture::SlotChanges;
use perdura::keyspace::changes::Generation;
use perdura::keyspace::entry::Entry;
use perdura::keyspace::slot::Slot;
use perdura::keyspace::types::limits::TypeLimits;
use perdura::keyspace::types::list::List;
use perdura::keyspace::value::Object;

const KIB: u64 = 1024;
const STRING_BYTES: usize = 256 << 20;
const ELEMENTS: u32 = 1_000_000;
const MAX_EXTRA_KIB: u64 = 16 * KIB;

/// A figure of /proc/self/status, in KiB.
fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with(name)).expect("it has such a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("it is a number")
}

/// Lets the peak count from now on.
fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("a process may do that to itself");
}

/// How far the process grows while the entry is written.
fn write(store: &mut RocksStore, entry: Entry) -> u64 {
    let slot = Slot::of(entry.key());
    let changes = SlotChanges { generation: Generation(0), slot, entries: vec![entry], deleted: Vec::new() };
    reset_peak();
    let before_kib = status_kib("VmRSS:");
    store.put(changes).expect("nothing fails");
    status_kib("VmHWM:").saturating_sub(before_kib)
}

/// One test, for the peak is the process's. What the list leaves free hides some of what the string takes, but no copy of it.
#[test]
fn a_long_value_is_written_in_bounded_memory() {
    let folder = tempfile::tempdir().expect("tests have a folder for temporary files");
    let config = StoreConfig { bytes_per_second: 0, load_threads: 1, limits: TypeLimits::default() };
    let (mut store, _) = RocksStore::open(folder.path(), config, Clock::system()).expect("it opens");
    store.begin(Point { index: 1, ..Point::default() }).expect("nothing fails");

    let mut list = List::new();
    for number in 0..ELEMENTS {
        list.push_back(format!("element number {number}").as_bytes(), &TypeLimits::default());
    }
    // The same slot for both, so that their order does not matter.
    let list_kib = write(&mut store, Entry::object(b"{slot}list", Object::List(list), None));
    let string_kib = write(&mut store, Entry::string(b"{slot}string", &vec![b'x'; STRING_BYTES], None));
    println!("{list_kib} KiB beyond the list, {string_kib} KiB beyond the string");
    assert!(list_kib <= MAX_EXTRA_KIB, "{list_kib} KiB");
    assert!(string_kib <= MAX_EXTRA_KIB, "{string_kib} KiB");

    let mut databases = [Generation(0); DATABASES];
    (0..).zip(&mut databases).for_each(|(number, generation)| *generation = Generation(number));
    store.finish(databases.into()).expect("nothing fails");
    let loaded = store.load(&|_, _| {}).expect("what was written is read");
    assert_eq!(loaded.keys, 2);
}
