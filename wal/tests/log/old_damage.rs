//! Damage in segments whose entries a checkpoint holds: the log begins after it, and what is needed is as it was. Damage to
//! anything that is needed condemns the log as ever.

use crate::common::Model;
use perdura_wal::format::BLOCK_BYTES;
use perdura_wal::{
    Disk, HardState, LogView, NewLog, Options, Position, Record, Recovery, SimDisk, Sources, Tear, Verdict,
    Wal, WalError, verify_folder,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const FIRST: &str = "00000000000000000001.wal";
const SECOND: &str = "00000000000000000002.wal";
const THIRD: &str = "00000000000000000003.wal";
const ENTRIES: u64 = 60;

fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        spare_segments: 1,
        create: Some(NewLog { log_id: 0x1234, metadata: b"metadata".to_vec() }),
        ..Options::default()
    }
}

/// A log of several segments: entry n has term 1 + n / 20, and hard state goes along.
fn log() -> Result<(SimDisk, Model)> {
    let disk = SimDisk::new(7, Tear::Sectors, 1);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    for index in 1..=ENTRIES {
        let term = 1 + index / 20;
        wal.stage(Record { index, term, payload: &vec![index as u8; 900] })?;
        wal.stage_hard_state(HardState { term, vote: 3, commit: index - 1 })?;
        wal.commit()?;
    }
    let model = Model::of(&wal);
    let segments: Vec<_> = wal.segments().map(|segment| segment.entries).collect();
    assert!(segments.len() >= 4, "{segments:?}");
    drop(wal);
    Ok((disk, model))
}

fn open(disk: &SimDisk, checkpoint: Option<Position>) -> std::result::Result<(Model, Recovery), WalError> {
    let mut sources = Sources { progress: &mut |_| {}, checkpoint: &mut || checkpoint };
    let (wal, recovery) = Wal::open_with(disk.clone(), options(), &mut sources)?;
    Ok((Model::of(&wal), recovery))
}

fn at(index: u64) -> Option<Position> {
    Some(Position { index, term: 1 + index / 20 })
}

/// What is left of a log is what it was from some entry on.
fn check_is_end_of(found: &Model, whole: &Model) {
    let first = found.base.index + 1;
    assert_eq!(whole.entries[&found.base.index].0, found.base.term);
    let rest: Vec<_> = whole.entries.range(first..).collect();
    assert_eq!(found.entries.iter().collect::<Vec<_>>(), rest);
    assert_eq!((found.hard_state, &found.metadata), (whole.hard_state, &whole.metadata));
}

type Damage = fn(&SimDisk) -> Result;

/// Ways in which the second segment is no good any more.
fn damages() -> Vec<(&'static str, Damage)> {
    vec![
        ("a bit of a record", |disk| Ok(disk.flip_bit(SECOND, BLOCK_BYTES + 4000, 3)?)),
        ("a bit of the header", |disk| Ok(disk.flip_bit(SECOND, 17, 3)?)),
        ("an end that is zeros", |disk| Ok(disk.overwrite(SECOND, 9000, &[0; 7000])?)),
        ("a file that is short", |disk| Ok(disk.set_length(SECOND, 100)?)),
        ("a file that is missing", |disk| Ok(disk.remove(SECOND)?)),
        ("a sector that can't be read", |disk| Ok(disk.fail_reads(SECOND, 8192..8704)?)),
        ("a header that can't be read", |disk| Ok(disk.fail_reads(SECOND, 0..512)?)),
        ("two segments", |disk| {
            disk.flip_bit(FIRST, BLOCK_BYTES + 400, 3)?;
            Ok(disk.flip_bit(SECOND, BLOCK_BYTES + 400, 3)?)
        }),
    ]
}

#[test]
fn a_log_begins_after_damage_that_a_checkpoint_covers() -> Result {
    for (what, damage) in damages() {
        let (disk, whole) = log()?;
        damage(&disk)?;
        let (found, recovery) = open(&disk, at(50)).map_err(|error| format!("{what}: {error}"))?;
        check_is_end_of(&found, &whole);
        assert!(found.base.index < 30, "{what}: no more is given up than must be");
        let left_out = recovery.left_out.ok_or("it is reported")?;
        assert!(left_out.damage.iter().any(|text| text.contains(SECOND)), "{what}: {:?}", left_out.damage);
        assert_eq!(left_out.begins_with, THIRD);
        for name in &left_out.files {
            assert!(disk.bytes(name).is_err() && disk.bytes(&format!("damaged-{name}")).is_ok(), "{what}");
        }
        // It is a log like any other now, without a checkpoint, too.
        let (again, recovery) = open(&disk, None)?;
        assert_eq!(again, found, "{what}");
        assert_eq!(recovery.left_out, None, "{what}");
    }
    Ok(())
}

#[test]
fn damage_is_refused_where_no_checkpoint_covers_it() -> Result {
    for (what, damage) in damages() {
        let (disk, _) = log()?;
        damage(&disk)?;
        // None; one before the damage; one beyond the log's end; one of another history.
        let other = Position { index: 50, term: 9 };
        for checkpoint in [None, at(10), at(ENTRIES + 1), Some(other)] {
            let before = disk.list()?;
            let error = open(&disk, checkpoint).expect_err("entries are missing");
            assert!(error.is_damage(), "{what}, {checkpoint:?}: {error}");
            assert_eq!(disk.list()?, before, "nothing was changed");
        }
    }
    Ok(())
}

#[test]
fn damage_to_what_is_needed_condemns_the_log_whatever_the_checkpoint() -> Result {
    let (disk, _) = log()?;
    let segments = disk.list()?.into_iter().filter(|name| name.ends_with(".wal"));
    let last = segments.filter(|name| disk.bytes(name).is_ok_and(|bytes| bytes[0] == b'P')).max();
    let last = last.ok_or("it has segments")?;
    disk.flip_bit(&last, BLOCK_BYTES + 100, 2)?;
    let error = open(&disk, at(ENTRIES)).expect_err("the last segment has hard state and tail");
    assert_eq!(error.file(), Some(&last[..]), "{error}");
    Ok(())
}

#[test]
fn a_log_whose_own_compaction_covers_the_damage_needs_no_checkpoint() -> Result {
    let disk = SimDisk::new(7, Tear::Sectors, 1);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    let preparer = wal.take_preparer();
    for index in 1..=40 {
        wal.stage(Record { index, term: 1, payload: &[1; 900] })?;
        wal.commit()?;
    }
    wal.compact_prefix(38)?;
    wal.commit()?;
    let model = Model::of(&wal);
    drop((wal, preparer));
    let disk = disk.kill();
    disk.flip_bit(FIRST, BLOCK_BYTES + 400, 3)?;
    let (found, recovery) = open(&disk, None)?;
    assert_eq!(found, model);
    assert_eq!(recovery.left_out.map(|left_out| left_out.files), Some(vec![FIRST.to_owned()]));
    Ok(())
}

#[test]
fn a_crash_while_damaged_segments_are_set_aside_loses_nothing() -> Result {
    let operations = {
        let (disk, _) = log()?;
        disk.flip_bit(SECOND, BLOCK_BYTES + 4000, 3)?;
        let before = disk.operations();
        open(&disk, at(50))?;
        disk.operations() - before
    };
    assert!(operations >= 6, "{operations}");
    for operation in 0..operations {
        let (disk, whole) = log()?;
        disk.flip_bit(SECOND, BLOCK_BYTES + 4000, 3)?;
        disk.crash_at(disk.operations() + operation);
        open(&disk, at(50)).expect_err("power fails");
        let disk = disk.crash();
        let (found, _) = open(&disk, at(50)).map_err(|error| format!("operation {operation}: {error}"))?;
        check_is_end_of(&found, &whole);
        let names = disk.list()?;
        for name in [FIRST, SECOND] {
            assert!(names.contains(&format!("damaged-{name}")), "operation {operation}: {names:?}");
        }
    }
    Ok(())
}

#[test]
fn old_damage_is_shown_to_those_who_look() -> Result {
    let (disk, whole) = log()?;
    disk.flip_bit(SECOND, BLOCK_BYTES + 4000, 3)?;
    let before = disk.list()?;
    let mut sources = Sources { progress: &mut |_| {}, checkpoint: &mut || at(50) };
    let view = LogView::open(disk.clone(), &mut sources)?.ok_or("a log")?;
    assert_eq!(view.last().index, ENTRIES);
    assert_eq!(view.hard_state(), whole.hard_state);
    assert!(view.recovery().left_out.is_some());
    drop(view);
    match verify_folder(&disk, &mut sources)?.ok_or("a log")? {
        Verdict::OldDamage(findings, recovery) => {
            assert_eq!(findings.iter().filter_map(WalError::file).collect::<Vec<_>>(), [SECOND]);
            assert_eq!(recovery.last_index, ENTRIES);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.list()?, before, "nothing was changed");
    Ok(())
}

#[test]
fn a_sector_that_cannot_be_read_is_named_with_its_place() -> Result {
    let (disk, _) = log()?;
    disk.fail_reads(SECOND, 8192..8704)?;
    let error = open(&disk, None).expect_err("entries are missing");
    assert!(error.is_damage() && error.is_unreadable());
    let text = error.to_string();
    assert!(text.contains(SECOND) && text.contains("at byte 8192"), "{text}");
    Ok(())
}

/// A map would end the process here.
#[test]
fn a_segment_that_was_not_read_since_it_was_written_is_not_mapped() -> Result {
    let disk = SimDisk::new(7, Tear::Sectors, 1);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    for index in 1..=40 {
        wal.stage(Record { index, term: 1, payload: &[1; 900] })?;
        wal.commit()?;
    }
    disk.fail_reads(FIRST, 8192..8704)?;
    let error = wal.read(1..10, u64::MAX).expect_err("it can't be read");
    assert!(error.is_unreadable(), "{error}");
    assert_eq!(wal.read(30..31, u64::MAX)?.len(), 1, "the log goes on");
    Ok(())
}

#[test]
fn a_checkpoint_of_a_later_term_than_the_entry_after_it_is_of_another_history() -> Result {
    let (disk, _) = log()?;
    let third = {
        let (wal, _) = Wal::open(disk.clone(), options())?;
        let entries =
            wal.segments().find(|segment| segment.file == THIRD).and_then(|segment| segment.entries);
        entries.ok_or("it has entries")?.0
    };
    disk.flip_bit(SECOND, BLOCK_BYTES + 4000, 3)?;
    let error = open(&disk, Some(Position { index: third - 1, term: 9 })).expect_err("terms never go back");
    assert_eq!(error.file(), Some(SECOND), "{error}");
    open(&disk, at(third - 1))?;
    Ok(())
}

#[test]
fn a_segment_that_is_set_aside_takes_the_place_of_none_that_was() -> Result {
    let (disk, _) = log()?;
    let before = format!("damaged-{SECOND}");
    disk.put(&before, b"set aside before");
    disk.flip_bit(SECOND, BLOCK_BYTES + 4000, 3)?;
    open(&disk, at(50))?;
    assert_eq!(disk.bytes(&before)?, b"set aside before");
    assert!(disk.bytes(&format!("damaged-2-{SECOND}")).is_ok());
    Ok(())
}
