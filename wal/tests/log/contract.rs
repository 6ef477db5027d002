//! What every disk must give: the log's contract, told as stories.

use perdura_wal::format::MAX_PAYLOAD_BYTES;
use perdura_wal::{
    Disk, HardState, MAX_METADATA_BYTES, NewLog, Options, Position, RealDisk, Record, SimDisk, SyncMode,
    Tear, Wal, WalError, verify_sealed,
};
use tempfile::TempDir;

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        create: Some(NewLog { log_id: 0xfeed, metadata: b"node 1".to_vec() }),
        ..Options::default()
    }
}

fn payload(index: u64, term: u64) -> Vec<u8> {
    let length = (index * 37 % 400) as usize;
    vec![(index ^ term) as u8; length]
}

fn append<D: Disk>(wal: &mut Wal<D>, indexes: std::ops::RangeInclusive<u64>, term: u64) {
    for index in indexes {
        let payload = payload(index, term);
        wal.stage(Record { index, term, payload: &payload }).expect("stage");
    }
    wal.commit().expect("commit");
}

fn check<D: Disk>(wal: &Wal<D>, indexes: std::ops::RangeInclusive<u64>, term: u64) {
    let range = *indexes.start()..*indexes.end() + 1;
    let found = wal.read(range, u64::MAX).expect("read");
    assert_eq!(found.len(), indexes.clone().count());
    for (record, index) in found.iter().zip(indexes) {
        assert_eq!(record.index, index);
        assert_eq!(record.term, term);
        assert_eq!(record.payload, payload(index, term));
        assert_eq!(wal.term(index).expect("term"), term);
    }
}

fn what_was_committed_is_there_after_reopening<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, recovery) = Wal::open(disk(), options())?;
    assert!(recovery.created);
    assert_eq!((wal.first_index(), wal.last_index()), (1, 0));
    append(&mut wal, 1..=3, 1);
    append(&mut wal, 4..=900, 2);
    wal.stage_hard_state(HardState { term: 2, vote: 7, commit: 800 })?;
    wal.stage_metadata(b"node 1, moved")?;
    wal.commit()?;
    assert!(wal.sealed_segments().count() >= 1, "it rolled");
    check(&wal, 1..=3, 1);
    check(&wal, 4..=900, 2);
    drop(wal);

    let (mut wal, recovery) = Wal::open(disk(), options())?;
    assert!(!recovery.created);
    assert_eq!(recovery.torn_tail, None);
    assert_eq!((wal.first_index(), wal.last_index()), (1, 900));
    assert_eq!(wal.hard_state().commit, 800);
    assert_eq!(wal.hard_state().vote, 7);
    assert_eq!(wal.metadata(), b"node 1, moved");
    check(&wal, 1..=3, 1);
    check(&wal, 4..=900, 2);
    append(&mut wal, 901..=910, 3);
    check(&wal, 901..=910, 3);
    assert_eq!(wal.verify()?.segments, wal.sealed_segments().count());
    Ok(())
}

fn a_conflict_cuts_the_tail_across_segments<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, _) = Wal::open(disk(), options())?;
    append(&mut wal, 1..=700, 1);
    append(&mut wal, 701..=900, 1);
    append(&mut wal, 20..=30, 2);
    for reopened in [false, true] {
        if reopened {
            drop(wal);
            wal = Wal::open(disk(), options())?.0;
        }
        assert_eq!(wal.last_index(), 30);
        check(&wal, 1..=19, 1);
        check(&wal, 20..=30, 2);
        assert!(matches!(wal.term(31), Err(WalError::Unavailable { index: 31, last: 30 })));
    }
    Ok(())
}

fn compaction_drops_segments_and_remembers_the_base<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, _) = Wal::open(disk(), options())?;
    for batch in 0..20 {
        append(&mut wal, batch * 100 + 1..=batch * 100 + 100, batch + 1);
    }
    let before = wal.disk_bytes();
    wal.compact_prefix(1950)?;
    wal.commit()?;
    assert!(wal.disk_bytes() < before);
    for reopened in [false, true] {
        if reopened {
            drop(wal);
            wal = Wal::open(disk(), options())?.0;
        }
        assert_eq!((wal.first_index(), wal.last_index()), (1951, 2000));
        assert_eq!(wal.base(), Position { index: 1950, term: 20 });
        assert_eq!(wal.term(1950)?, 20);
        assert!(matches!(wal.term(1949), Err(WalError::Compacted { .. })));
        assert!(matches!(wal.read(1950..1960, 100), Err(WalError::Compacted { index: 1950, first: 1951 })));
        check(&wal, 1951..=2000, 20);
    }
    append(&mut wal, 2001..=2600, 21);
    check(&wal, 2001..=2600, 21);
    Ok(())
}

fn so_much_can_be_compacted_that_the_bytes_asked_for_stay<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, _) = Wal::open(disk(), options())?;
    for batch in 0..20 {
        append(&mut wal, batch * 100 + 1..=batch * 100 + 100, batch + 1);
    }
    assert_eq!(wal.compactable_beyond(0), 2000);
    assert_eq!(wal.compactable_beyond(u64::MAX), 0);
    let segments = wal.sealed_segments().count();
    assert!(segments >= 3, "{segments} segments");
    let all = wal.disk_bytes();
    let mut last = 2000;
    for kept in [1, all / 4, all / 2] {
        let index = wal.compactable_beyond(kept);
        assert!(index <= last && index > 0, "{index} with {kept} bytes kept, {last} with fewer");
        last = index;
    }
    wal.compact_prefix(last)?;
    wal.commit()?;
    assert!(wal.disk_bytes() < all && wal.disk_bytes() >= all / 2);
    assert_eq!(wal.compactable_beyond(u64::MAX), last);
    Ok(())
}

fn a_snapshot_takes_the_place_of_all_entries<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, _) = Wal::open(disk(), options())?;
    append(&mut wal, 1..=900, 1);
    let base = Position { index: 5000, term: 4 };
    wal.reset(base)?;
    wal.stage_hard_state(HardState { term: 4, vote: 0, commit: 5000 })?;
    wal.commit()?;
    assert_eq!(wal.sealed_segments().count(), 0);
    for reopened in [false, true] {
        if reopened {
            drop(wal);
            wal = Wal::open(disk(), options())?.0;
        }
        assert_eq!((wal.first_index(), wal.last_index()), (5001, 5000));
        assert_eq!(wal.base(), base);
    }
    append(&mut wal, 5001..=5003, 4);
    check(&wal, 5001..=5003, 4);
    Ok(())
}

fn a_batch_larger_than_a_segment_gets_one_of_its_own<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, _) = Wal::open(disk(), options())?;
    append(&mut wal, 1..=2, 1);
    let large = vec![7; 1 << 20];
    wal.stage(Record { index: 3, term: 1, payload: &large })?;
    wal.commit()?;
    append(&mut wal, 4..=5, 1);
    drop(wal);
    let (mut wal, _) = Wal::open(disk(), options())?;
    assert_eq!(wal.read(3..4, 0)?[0].payload, large);
    check(&wal, 4..=5, 1);
    wal.compact_prefix(5)?;
    wal.commit()?;
    append(&mut wal, 6..=6, 1);
    check(&wal, 6..=6, 1);
    Ok(())
}

fn reading_stops_at_the_byte_limit_but_gives_one_at_least<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, _) = Wal::open(disk(), options())?;
    for index in 1..=10 {
        wal.stage(Record { index, term: 1, payload: &[0; 100] })?;
    }
    wal.commit()?;
    assert_eq!(wal.read(1..11, 0)?.len(), 1);
    assert_eq!(wal.read(1..11, 350)?.len(), 3);
    assert_eq!(wal.read(4..4, 350)?.len(), 0);
    Ok(())
}

fn misuse_is_refused_and_stages_nothing<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, _) = Wal::open(disk(), options())?;
    append(&mut wal, 1..=10, 5);
    let record = |index, term| Record { index, term, payload: b"x" };
    assert!(matches!(wal.stage(record(12, 5)), Err(WalError::Gap { expected: 11, found: 12 })));
    assert!(matches!(wal.stage(record(11, 4)), Err(WalError::TermWentBack { floor: 5, .. })));
    let mut state = HardState { term: 5, vote: 1, commit: 11 };
    assert!(matches!(wal.stage_hard_state(state), Err(WalError::CommitBeyondLog { commit: 11, last: 10 })));
    state.commit = 8;
    wal.stage_hard_state(state)?;
    assert!(matches!(wal.truncate_suffix(8), Err(WalError::CutsCommitted { from: 8, commit: 8 })));
    assert!(matches!(wal.stage(record(8, 6)), Err(WalError::CutsCommitted { .. })));
    assert_eq!(wal.commit()?.records, 1);
    assert_eq!(wal.commit()?.write_calls, 0, "nothing is staged any more");
    Ok(())
}

#[test]
fn a_folder_in_use_is_refused() -> Result {
    let folder = TempDir::new()?;
    let disk = || RealDisk::open(folder.path(), SyncMode::Dsync);
    let (wal, _) = Wal::open(disk()?, options())?;
    assert!(matches!(Wal::open(disk()?, options()), Err(WalError::InUse)));
    drop(wal);
    Wal::open(disk()?, options())?;
    Ok(())
}

#[test]
fn a_log_is_made_only_when_asked_for() -> Result {
    let folder = TempDir::new()?;
    let disk = RealDisk::open(folder.path(), SyncMode::Dsync)?;
    let options = Options { create: None, ..options() };
    assert!(matches!(Wal::open(disk, options), Err(WalError::NoLog)));
    Ok(())
}

fn any_range_can_be_read<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, _) = Wal::open(disk(), options())?;
    let mut expected = Vec::new();
    for batch in 0..60_u64 {
        let first = batch * 25 + 1;
        append(&mut wal, first..=first + 24, batch / 7);
        expected.extend((first..first + 25).map(|index| (index, batch / 7)));
    }
    for (position, &(index, term)) in expected.iter().enumerate().step_by(7) {
        check(&wal, index..=index, term);
        let length = position % 90 + 1;
        let end = (index + length as u64).min(expected.len() as u64 + 1);
        let found: Vec<(u64, u64)> =
            wal.read(index..end, u64::MAX)?.iter().map(|record| (record.index, record.term)).collect();
        assert_eq!(found, expected[position..position + found.len()]);
        assert_eq!(found.len() as u64, end - index);
    }
    Ok(())
}

fn a_preparer_in_a_thread_makes_and_recycles_segments<D: Disk>(disk: impl Fn() -> D) -> Result {
    let (mut wal, _) = Wal::open(disk(), options())?;
    let preparer = wal.take_preparer();
    let worker = std::thread::spawn(move || preparer.run());
    for batch in 0..40_u64 {
        let first = batch * 50 + 1;
        append(&mut wal, first..=first + 49, 1);
        if batch % 4 == 3 {
            wal.compact_prefix(first)?;
            wal.commit()?;
        }
    }
    check(&wal, wal.first_index()..=2000, 1);
    drop(wal);
    worker.join().expect("no panic")?;
    let (wal, recovery) = Wal::open(disk(), options())?;
    assert_eq!(wal.last_index(), 2000);
    assert_eq!(recovery.torn_tail, None);
    Ok(())
}

fn padding_can_be_turned_on_and_off<D: Disk>(disk: impl Fn() -> D) -> Result {
    for round in 0..6_u64 {
        let options = Options { pad_to_block: round % 2 == 0, ..options() };
        let (mut wal, _) = Wal::open(disk(), options)?;
        for index in round * 10 + 1..=round * 10 + 10 {
            append(&mut wal, index..=index, 1);
        }
        check(&wal, 1..=round * 10 + 10, 1);
    }
    Ok(())
}

#[test]
fn one_commit_is_one_write() -> Result {
    let folder = TempDir::new()?;
    let (mut wal, _) = Wal::open(RealDisk::open(folder.path(), SyncMode::Dsync)?, options())?;
    for index in 1..=300 {
        wal.stage(Record { index, term: 1, payload: &[1; 700] })?;
        let stats = wal.commit()?;
        assert_eq!((stats.records, stats.write_calls), if stats.records == 1 { (1, 1) } else { (4, 1) });
        assert!(stats.bytes <= 12 << 10, "{}", stats.bytes);
    }
    assert!(wal.sealed_segments().count() > 1);
    Ok(())
}

#[test]
fn a_failed_write_poisons_the_log_and_is_never_retried() -> Result {
    for operation in 0..2 {
        let disk = SimDisk::new(3, Tear::Sectors, 4096);
        let (mut wal, _) = Wal::open(disk.clone(), options())?;
        append(&mut wal, 1..=5, 1);
        disk.fail_at(disk.operations() + operation);
        wal.stage(Record { index: 6, term: 1, payload: b"lost?" })?;
        let error = wal.commit().expect_err("planned");
        let text = error.to_string();
        assert!(text.contains("write") && text.contains("00000000000000000001.wal"), "{text}");
        let operations = disk.operations();
        let record = Record { index: 6, term: 1, payload: b"again" };
        let again = [
            wal.stage(record).expect_err("poisoned"),
            wal.stage_hard_state(HardState::default()).expect_err("poisoned"),
            wal.stage_metadata(b"").expect_err("poisoned"),
            wal.commit().expect_err("poisoned"),
            wal.read(1..2, 1).expect_err("poisoned"),
            wal.term(1).expect_err("poisoned"),
            wal.verify_segment(1).expect_err("poisoned"),
        ];
        for other in again {
            assert_eq!(other.to_string(), text);
        }
        assert_eq!(disk.operations(), operations, "nothing was tried again");
    }
    Ok(())
}

#[test]
fn a_full_disk_is_announced_and_then_fails_the_commit() -> Result {
    let disk = SimDisk::new(3, Tear::Sectors, 4096);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    disk.set_capacity(Some(64 << 10));
    let mut index = 0;
    while wal.ready_bytes() > 16 << 10 {
        index += 1;
        append(&mut wal, index..=index, 1);
    }
    let error = loop {
        index += 1;
        wal.stage(Record { index, term: 1, payload: &[0; 3000] })?;
        if let Err(error) = wal.commit() {
            break error;
        }
    };
    assert!(
        matches!(&error, WalError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
    );
    drop(wal);
    disk.set_capacity(None);
    let (wal, _) = Wal::open(disk.kill(), options())?;
    assert_eq!(wal.last_index(), index - 1);
    Ok(())
}

#[test]
fn limits_are_told_before_anything_is_copied() -> Result {
    let disk = SimDisk::new(3, Tear::Sectors, 4096);
    let (mut wal, _) = Wal::open(disk, options())?;
    let long = vec![0; MAX_PAYLOAD_BYTES + 1];
    assert!(matches!(
        wal.stage(Record { index: 1, term: 1, payload: &long }),
        Err(WalError::PayloadTooLong { .. })
    ));
    assert!(matches!(
        wal.stage_metadata(&long[..MAX_METADATA_BYTES + 1]),
        Err(WalError::MetadataTooLong { .. })
    ));
    assert_eq!(wal.commit()?.records, 0);
    wal.stage_metadata(&long[..MAX_METADATA_BYTES])?;
    wal.commit()?;
    Ok(())
}

/// Every story on one disk, as tests of one module.
macro_rules! stories_on {
    ($name:ident, |$folder:ident| $disk:expr, $($story:ident,)*) => {
        mod $name {
            use super::*;
            $(
                #[test]
                fn $story() -> Result {
                    let $folder = TempDir::new()?;
                    let disk = $disk;
                    super::$story(move || disk.clone())
                }
            )*
        }
    };
}

macro_rules! on_every_disk {
    ($($story:ident,)*) => {
        stories_on!(dsync, |folder| RealDisk::open(folder.path(), SyncMode::Dsync)?, $($story,)*);
        stories_on!(fdatasync, |folder| RealDisk::open(folder.path(), SyncMode::Fdatasync)?, $($story,)*);
        stories_on!(no_sync, |folder| RealDisk::open(folder.path(), SyncMode::None)?, $($story,)*);
        stories_on!(simulated, |_folder| SimDisk::new(1, Tear::Sectors, 4096), $($story,)*);
    };
}

on_every_disk! {
    what_was_committed_is_there_after_reopening,
    a_conflict_cuts_the_tail_across_segments,
    compaction_drops_segments_and_remembers_the_base,
    so_much_can_be_compacted_that_the_bytes_asked_for_stay,
    a_snapshot_takes_the_place_of_all_entries,
    a_batch_larger_than_a_segment_gets_one_of_its_own,
    reading_stops_at_the_byte_limit_but_gives_one_at_least,
    misuse_is_refused_and_stages_nothing,
    any_range_can_be_read,
    a_preparer_in_a_thread_makes_and_recycles_segments,
    padding_can_be_turned_on_and_off,
}

#[test]
fn a_full_segment_is_checked_while_the_log_goes_on() -> Result {
    let disk = SimDisk::new(1, Tear::Sectors, 4096);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    append(&mut wal, 1..=300, 1);
    append(&mut wal, 301..=600, 1);
    append(&mut wal, 601..=900, 1);
    let mut segments: Vec<_> = wal.segments().collect();
    segments.pop();
    assert!(segments.len() >= 2);
    let mut read = 0;
    for segment in &segments {
        let verified = verify_sealed(&disk, wal.log_id(), segment, &mut |bytes| read += bytes)?;
        assert!(verified.records > 0);
    }
    assert_eq!(read, segments.iter().map(|segment| segment.file_bytes).sum::<u64>());
    let file = &segments[1].file;
    for offset in [10, 5_000, segments[1].used_bytes - 1] {
        disk.flip_bit(file, offset, 3)?;
        let found = verify_sealed(&disk, wal.log_id(), &segments[1], &mut |_| {});
        let is_named = matches!(&found, Err(error) if error.is_damage() && error.file() == Some(file));
        assert!(is_named, "{offset}: {found:?}");
        disk.flip_bit(file, offset, 3)?;
    }
    Ok(())
}
