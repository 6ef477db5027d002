//! Recoveries that end after each of their steps, and are undone by runs that end after each of theirs.

use std::collections::BTreeMap;

use super::super::plan;
use super::*;
use crate::checkpoint::CheckpointStore;
use crate::checkpoint::store::{RocksStore, StoreConfig};
use crate::checkpoint::testing::{Scratch, databases, point};
use crate::env::Clock;
use crate::keyspace::types::limits::TypeLimits;
use crate::raft::identity::{GroupKey, Identity};
use crate::raft::memo::Memo;

const LAST: u64 = 9;
const CHECKPOINTS: [u64; 2] = [4, 7];

/// A node's folder: a log of nine entries, two checkpoints, and perhaps a cluster's name.
fn folder(has_name: bool) -> Scratch {
    let scratch = Scratch::new();
    let dir = scratch.path();
    let disk = RealDisk::open(log_folder(dir), SyncMode::Fdatasync).expect("it opens");
    let identity = Identity::new(GroupKey(7), 1, vec![1, 2, 3]).expect("it is a member");
    let options = Options {
        segment_bytes: 64 << 10,
        pad_to_block: false,
        spare_segments: 1,
        create: Some(NewLog { log_id: 5, metadata: Memo::default().encode(&identity) }),
    };
    let (mut wal, _) = Wal::open(disk, options).expect("it opens");
    for index in 1..=LAST {
        wal.stage(Record { index, term: 3, payload: b"an entry" }).expect("it fits");
    }
    wal.stage_hard_state(HardState { term: 3, vote: 0, commit: LAST }).expect("it fits");
    wal.commit().expect("it is written");
    drop(wal);
    let config = StoreConfig { bytes_per_second: 0, load_threads: 1, limits: TypeLimits::default() };
    let folder = dir.join(CHECKPOINT_FOLDER);
    let (mut store, _) = RocksStore::open(&folder, config, Clock::system()).expect("it opens");
    for index in CHECKPOINTS {
        store.begin(point(index)).expect("it begins");
        store.finish(databases().into()).expect("it is published");
    }
    if has_name {
        fs::write(dir.join(CLUSTER_NAME_FILE), "the old name\n").expect("it can be written");
    }
    scratch
}

/// The bytes of all files, by their paths.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for name in names_in(&folder).expect("it can be listed") {
            let path = folder.join(name);
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.clone(), fs::read(&path).expect("it can be read"));
            }
        }
    }
    files
}

fn order(dir: &Path, end_before: Option<u64>) -> Order {
    Order { dir: dir.to_owned(), end_before, node_id: 1, members: vec![1], segment_bytes: 64 << 10 }
}

/// Makes the first steps of a recovery.
fn recover(order: &Order, steps: usize) {
    let (plan, source) = plan::make(order).expect("it can be recovered");
    make_log(order, &plan, &source).expect("it is made");
    let work = Work { dir: &order.dir, plan: &plan, kept: free_folder(&order.dir) };
    STEPS[..steps].iter().try_for_each(|step| step(&work)).expect("each step works");
}

fn check_all(has_name: bool, end_before: Option<u64>) {
    let scratch = folder(has_name);
    let dir = scratch.path();
    let (order, before) = (order(dir, end_before), content(dir));
    for steps in 1..STEPS.len() {
        recover(&order, steps);
        for undone in 0..=UNDO_STEPS.len() {
            let kept = dir.join("before-recovery-1");
            UNDO_STEPS[..undone].iter().try_for_each(|step| step(dir, &kept)).expect("each step works");
        }
        undo(dir).expect("it is undone");
        assert!(content(dir) == before, "after {steps} steps: {:?}", content(dir).keys());
        recover(&order, steps);
        undo(dir).expect("it is undone");
        assert!(content(dir) == before, "after {steps} steps: {:?}", content(dir).keys());
    }
    recover(&order, STEPS.len());
    assert!(!was_interrupted(dir));
    let name = fs::read_to_string(dir.join(CLUSTER_NAME_FILE)).expect("it has a name");
    assert!(name.starts_with("recovered-"), "{name}");
    let kept = dir.join("before-recovery-1");
    let used = if end_before.is_some() { CHECKPOINTS[0] } else { CHECKPOINTS[1] };
    let file = Shelf::at(&dir.join(CHECKPOINT_FOLDER)).path(used).join(MANIFEST_FILE);
    assert_eq!(content(&kept).get(&kept.join(format!("manifest-{used}"))), before.get(&file));
    assert_ne!(content(dir).get(&file), before.get(&file), "the checkpoint has another owner");
}

#[test]
fn an_undone_recovery_of_all_leaves_each_file_as_it_was() {
    check_all(true, None);
    check_all(false, None);
}

#[test]
fn an_undone_recovery_before_an_entry_leaves_each_file_as_it_was() {
    check_all(true, Some(CHECKPOINTS[1]));
    check_all(false, Some(CHECKPOINTS[1]));
}

/// A copy that a crash cut short is no copy.
#[test]
fn a_torn_copy_is_not_put_back() {
    let scratch = folder(true);
    let dir = scratch.path();
    let before = content(dir);
    recover(&order(dir, None), 1);
    fs::write(dir.join("before-recovery-1/cluster-name.tmp"), "the o").expect("it can be written");
    undo(dir).expect("it is undone");
    assert!(content(dir) == before, "{:?}", content(dir).keys());
}
