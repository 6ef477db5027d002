//! What a checkpoint costs: of everything, of one per cent of it, of nothing; and loading it. Whole runs, on the disk that
//! holds the folder for temporary files. CHECKPOINT_KEYS says how many keys (a million), each with a value of 64 bytes.

use std::sync::Arc;

use perdura::checkpoint::manifest::Point;
use perdura::checkpoint::store::{RocksStore, StoreConfig};
use perdura::checkpoint::{CheckpointStore, Report};
use perdura::env::Clock;
use perdura::keyspace::entry::Entry;
use perdura::keyspace::slot::Slot;
use perdura::keyspace::types::limits::TypeLimits;
use perdura::keyspace::view::LockSet;
use perdura::keyspace::{Keyspace, Mutator};

/// Keys where this is not run to measure, but to see that it runs.
const FEW_KEYS: u64 = 1000;
const VALUE_BYTES: usize = 64;
const THREADS: usize = 2;

fn keys() -> u64 {
    if !std::env::args().any(|argument| argument == "--bench") {
        return FEW_KEYS;
    }
    std::env::var("CHECKPOINT_KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(1_000_000)
}

/// Bytes that do not compress, other ones for each number.
fn value(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..VALUE_BYTES).map(|_| next()).collect()
}

fn set(mutator: &mut Mutator, number: u64, round: u64) {
    let entry = Entry::string(format!("key:{number:012}").as_bytes(), &value(number ^ round << 40), None);
    let slot = Slot::of(entry.key());
    mutator.write(LockSet::of_range(slot.range())).range_mut(slot.range()).insert(0, slot, entry);
}

fn checkpoint(store: &mut RocksStore, mutator: &mut Mutator, index: u64) -> Report {
    let capture = mutator.begin_capture().expect("none is running");
    let basis = capture.basis();
    store.begin(Point { index, ..Point::default() }).expect("the disk works");
    for changes in capture {
        store.put(changes).expect("the disk works");
    }
    store.finish(basis).expect("the disk works")
}

fn show(what: &str, report: &Report) {
    let rate = report.keys_written * 1000 / report.elapsed_ms.max(1);
    let (written, all) = (report.bytes_written >> 10, report.bytes >> 10);
    println!(
        "{what}: {} keys in {} ms, {rate} a second, {written} KiB written of {all}",
        report.keys_written, report.elapsed_ms
    );
}

fn main() {
    let keys = keys();
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let config = StoreConfig { bytes_per_second: 0, load_threads: THREADS, limits: TypeLimits::default() };
    let clock = Clock::system();
    let open = || RocksStore::open(folder.path(), config.clone(), clock.clone()).expect("the disk works").0;
    let mut store = open();
    let (_, mut mutator) = Keyspace::create();
    (0..keys).for_each(|number| set(&mut mutator, number, 0));
    show("everything", &checkpoint(&mut store, &mut mutator, 1));
    for round in 1..4 {
        (0..keys).step_by(100).for_each(|number| set(&mut mutator, number + round, round));
        show("one per cent", &checkpoint(&mut store, &mut mutator, 1 + round));
    }
    show("nothing", &checkpoint(&mut store, &mut mutator, 5));
    drop(store);

    let began_ms = clock.monotonic_ms();
    let store = open();
    let opened_ms = clock.monotonic_ms();
    let (keyspace, mut mutator): (Arc<Keyspace>, Mutator) = Keyspace::create();
    let restoring = mutator.restore();
    let loaded = store.load(&|db, entry| restoring.put(db, entry)).expect("it is sound");
    let loaded_ms = clock.monotonic_ms();
    let rate = loaded.keys * 1000 / (loaded_ms - opened_ms).max(1);
    println!(
        "loading: verified in {} ms; {} keys in {} ms, {rate} a second, {THREADS} threads",
        opened_ms - began_ms,
        loaded.keys,
        loaded_ms - opened_ms
    );
    assert_eq!(keyspace.usage(0).keys as u64, loaded.keys);
}
