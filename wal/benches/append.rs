//! Stage and commit 1, 16 and 800 entries of 100 bytes: with a sync per commit, and without any.
//!
//! The folder is made under the one named by `PERDURA_BENCH_FOLDER`, or the system's temporary one: what is
//! measured is the disk that it lies on.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use perdura_wal::{NewLog, Options, RealDisk, Record, SyncMode, Wal};
use tempfile::TempDir;

const PAYLOAD: [u8; 100] = [0x5a; 100];
/// Entries between two compactions, so that segments are recycled as in a server.
const COMPACT_ENTRIES: u64 = 500_000;

fn folder() -> TempDir {
    let parent = std::env::var_os("PERDURA_BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
    TempDir::new_in(parent).expect("a folder for the log")
}

fn append(criterion: &mut Criterion) {
    for (name, mode) in
        [("dsync", SyncMode::Dsync), ("fdatasync", SyncMode::Fdatasync), ("no sync", SyncMode::None)]
    {
        let folder = folder();
        let disk = RealDisk::open(folder.path(), mode).expect("the folder");
        let options = Options { create: Some(NewLog::default()), ..Options::default() };
        let (mut wal, _) = Wal::open(disk, options).expect("a new log");
        let preparer = wal.take_preparer();
        let worker = std::thread::spawn(move || preparer.run());
        let mut group = criterion.benchmark_group(format!("append/{name}"));
        for count in [1, 16, 800] {
            group.throughput(Throughput::Elements(count));
            group.bench_function(count.to_string(), |bencher| bencher.iter(|| round(&mut wal, count)));
        }
        group.finish();
        drop(wal);
        worker.join().expect("no panic").expect("no failure");
    }
}

fn round(wal: &mut Wal<RealDisk>, count: u64) {
    let first = wal.last_index() + 1;
    for index in first..first + count {
        wal.stage(Record { index, term: 1, payload: &PAYLOAD }).expect("stage");
    }
    if first - wal.first_index() > COMPACT_ENTRIES {
        wal.compact_prefix(first - 1).expect("compact");
    }
    black_box(wal.commit().expect("commit"));
}

criterion_group!(benches, append);
criterion_main!(benches);
