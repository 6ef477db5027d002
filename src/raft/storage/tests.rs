use perdura_wal::disk::sim::{SimDisk, Tear};
use perdura_wal::{Disk as _, NewLog, Options};
use proptest::prelude::*;
use raft::Storage;

use super::super::identity::GroupKey;
use super::*;

const CACHE_BYTES: usize = 200;

fn open(disk: &SimDisk) -> LogStorage<SimDisk> {
    let options = Options {
        segment_bytes: 1 << 16,
        create: Some(NewLog { log_id: 1, metadata: Vec::new() }),
        ..Options::default()
    };
    let (wal, _) = Wal::open(disk.clone(), options).expect("the log opens");
    let identity = Identity::new(GroupKey(7), 1, vec![1, 2, 3]).expect("a valid identity");
    LogStorage::open(wal, &identity, CACHE_BYTES, 0).expect("it is this node's log")
}

fn new_disk() -> SimDisk {
    SimDisk::new(1, Tear::Sectors, 4096)
}

fn entries(first: u64, term: u64, sizes: &[usize]) -> Vec<Entry> {
    let indexed = (first..).zip(sizes);
    indexed.map(|(index, size)| entry(index, term, vec![index as u8; *size])).collect()
}

/// What raft gets for a follower.
fn bodies(storage: &LogStorage<SimDisk>, low: u64, high: u64, max_bytes: u64) -> Vec<Entry> {
    let context = GetEntriesContext::empty(true);
    storage.entries(low, high, max_bytes, context).expect("the entries are there")
}

fn visited(storage: &LogStorage<SimDisk>, first: u64, last: u64) -> Vec<Entry> {
    let mut seen = Vec::new();
    let visit = |some: &[Committed<'_>]| {
        seen.extend(some.iter().map(|one| entry(one.index, one.term, one.payload.to_vec())));
        Ok::<_, StorageFault>(())
    };
    storage.visit_entries(first, last, visit).expect("the entries are there");
    seen
}

fn append(
    storage: &mut LogStorage<perdura_wal::SimDisk>,
    entries: Vec<Entry>,
    hard_state: Option<&raft::prelude::HardState>,
) -> Result<CommitStats, StorageFault> {
    storage.stage(&entries, hard_state)?;
    storage.commit(entries)
}

#[test]
fn raft_finds_its_state_again_after_a_crash() -> Result<(), Box<dyn std::error::Error>> {
    let disk = new_disk();
    let mut storage = open(&disk);
    assert!(storage.is_brand_new());
    let mut hard_state = raft::eraftpb::HardState::default();
    (hard_state.term, hard_state.vote, hard_state.commit) = (3, 2, 1);
    append(&mut storage, entries(1, 3, &[10, 20]), Some(&hard_state))?;
    drop(storage);
    let storage = open(&disk.crash());
    let state = storage.initial_state()?;
    assert_eq!(state.hard_state, hard_state);
    assert_eq!(state.conf_state.voters, [1, 2, 3]);
    assert_eq!((storage.first_index()?, storage.last_index()?, storage.term(2)?), (1, 2, 3));
    assert!(!storage.is_brand_new());
    Ok(())
}

#[test]
fn a_large_entry_that_is_asked_for_again_is_read_once() -> Result<(), StorageFault> {
    let mut storage = open(&new_disk());
    append(&mut storage, entries(1, 1, &[2 << 20]), None)?;
    storage.free_applied();
    assert_eq!((storage.recent.bytes, storage.recent_bytes()), (0, 0), "it is not kept once it is applied");
    let read = |storage: &LogStorage<SimDisk>| bodies(storage, 1, 2, u64::MAX).remove(0);
    let first = read(&storage);
    assert_eq!(first.data.as_ptr(), read(&storage).data.as_ptr());
    storage.turn_pace(10_000, 0);
    assert_ne!(first.data.as_ptr(), read(&storage).data.as_ptr(), "it is not kept for ever");
    append(&mut storage, entries(1, 2, &[2 << 20]), None)?;
    storage.free_applied();
    assert_eq!(read(&storage).term, 2, "another took its place");
    Ok(())
}

#[test]
fn a_commit_alone_costs_no_write_and_goes_with_the_next_one() -> Result<(), StorageFault> {
    let disk = new_disk();
    let mut storage = open(&disk);
    let mut hard_state = raft::eraftpb::HardState::default();
    (hard_state.term, hard_state.vote) = (1, 1);
    append(&mut storage, entries(1, 1, &[10]), Some(&hard_state))?;
    let operations = disk.operations();
    hard_state.commit = 1;
    storage.note_hard_state(&hard_state);
    assert_eq!(disk.operations(), operations);
    append(&mut storage, entries(2, 1, &[10]), None)?;
    drop(storage);
    assert_eq!(open(&disk.kill()).hard_state.commit, 1);
    Ok(())
}

#[test]
fn raft_is_told_of_entries_without_their_data_some_at_a_time() -> Result<(), Box<dyn std::error::Error>> {
    let mut storage = open(&new_disk());
    append(&mut storage, entries(1, 1, &[3; 3_000]), None)?;
    let headers = storage.entries(5, 3_001, None, GetEntriesContext::empty(false))?;
    assert_eq!(headers.len() as u64, HEADERS_AT_ONCE);
    assert_eq!(headers[0], entry(5, 1, Vec::new()));
    Ok(())
}

#[test]
fn entries_of_a_kind_that_is_not_known_are_refused() {
    let mut storage = open(&new_disk());
    let mut change = entry(1, 1, Vec::new());
    change.set_entry_type(EntryType::EntryConfChangeV2);
    let refused = append(&mut storage, vec![change], None);
    assert!(matches!(refused, Err(StorageFault::UnknownEntryKind { index: 1 })));
}

/// A log whose entries 1 to 9 are of term 1, cut up to entry 4.
fn compacted(disk: &SimDisk) -> Result<(), StorageFault> {
    let mut storage = open(disk);
    append(&mut storage, entries(1, 1, &[10; 9]), None)?;
    storage.compact(4)
}

fn reopen(disk: &SimDisk, applied: u64) -> Result<LogStorage<SimDisk>, StorageFault> {
    let (wal, _) = Wal::open(disk.crash(), Options::default())?;
    let identity = Identity::new(GroupKey(7), 1, vec![1, 2, 3]).expect("a valid identity");
    LogStorage::open(wal, &identity, CACHE_BYTES, applied)
}

#[test]
fn what_a_checkpoint_holds_was_committed_and_may_be_gone_from_the_log()
-> Result<(), Box<dyn std::error::Error>> {
    let disk = new_disk();
    compacted(&disk)?;
    for applied in [4, 7, 9] {
        let storage = reopen(&disk, applied)?;
        assert_eq!(storage.initial_state()?.hard_state.commit, applied);
        assert_eq!((storage.first_index()?, storage.last_index()?, storage.term(4)?), (5, 9, 1));
        assert!(matches!(storage.term(3), Err(raft::Error::Store(StorageError::Compacted))));
    }
    Ok(())
}

#[test]
fn a_checkpoint_that_does_not_meet_the_log_is_refused() -> Result<(), StorageFault> {
    let disk = new_disk();
    compacted(&disk)?;
    for applied in [0, 3, 10] {
        let refused = reopen(&disk, applied).err();
        let is_outside = matches!(refused, Some(StorageFault::CheckpointOutsideLog { base: 4, last: 9, .. }));
        assert!(is_outside, "{applied}: {refused:?}");
    }
    Ok(())
}

#[test]
fn damage_that_raft_stumbles_on_is_remembered() -> Result<(), StorageFault> {
    let disk = new_disk();
    let mut storage = open(&disk);
    for index in 1..=9 {
        append(&mut storage, entries(index, 1, &[100]), None)?;
    }
    let place = |name: &String| {
        let bytes = disk.bytes(name).expect("it can be read");
        bytes.windows(100).position(|window| window == [1; 100])
    };
    let files = disk.list().expect("the disk is on");
    let (segment, place) =
        files.iter().find_map(|name| Some((name, place(name)?))).expect("entry 1 is in a segment");
    disk.flip_bit(segment, place as u64, 0).expect("it can be damaged");
    // On any other answer the crate panics.
    let answer = storage.entries(1, 3, None, GetEntriesContext::empty(true));
    assert!(matches!(answer, Err(raft::Error::Store(StorageError::LogTemporarilyUnavailable))));
    assert!(matches!(storage.take_read_failure(), Some(WalError::Damaged { .. })));
    assert!(storage.take_read_failure().is_none());
    Ok(())
}

/// Writes of entries: from which index back from the end, and how large they are.
fn appends() -> impl Strategy<Value = Vec<(u64, Vec<usize>)>> {
    let sizes = proptest::collection::vec(0usize..90, 1..8);
    proptest::collection::vec((0u64..5, sizes), 1..20)
}

proptest! {
    #[test]
    fn memory_and_log_together_are_one_log(
        appends in appends(),
        ranges in proptest::collection::vec((any::<u64>(), any::<u64>(), 0u64..400), 10),
    ) {
        let mut storage = open(&new_disk());
        let mut model: Vec<Entry> = Vec::new();
        for (term, (back, sizes)) in (1..).zip(&appends) {
            let kept = (model.len() as u64).saturating_sub(*back);
            model.truncate(kept as usize);
            let new = entries(kept + 1, term, sizes);
            model.extend(new.clone());
            append(&mut storage, new, None).expect("it is written");
        }
        prop_assert!(storage.recent.bytes <= CACHE_BYTES.max(90));
        let last = model.len() as u64;
        prop_assert_eq!(storage.last_index().expect("never fails"), last);
        for (low, high, max_bytes) in ranges {
            let low = 1 + low % last;
            let high = low + 1 + high % (last + 1 - low);
            let range = low as usize - 1..high as usize - 1;
            let all = &model[range];
            let got = bodies(&storage, low, high, max_bytes);
            prop_assert!(!got.is_empty() && got[..] == all[..got.len()]);
            let beyond_first: usize = got[1..].iter().map(|e| e.data.len()).sum();
            prop_assert!(beyond_first as u64 <= max_bytes);
            prop_assert_eq!(&visited(&storage, low, high - 1)[..], all);
        }
    }
}
