//! Logs that are looked at: everything is shown where it lies, everything that is wrong is named, and nothing changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use crate::common::{Model, Random, workload_step};
use perdura_wal::format::RawRecord;
use perdura_wal::{
    Disk, Fault, LogView, NewLog, Options, PlacedRecord, ReadOnlyDisk, RealDisk, Record, SimDisk, SyncMode,
    Tear, Verdict, Wal, WalError, verify_folder,
};
use tempfile::TempDir;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const SEGMENT_BYTES: u64 = 16 << 10;

/// A caller without a checkpoint.
macro_rules! no_sources {
    () => {
        perdura_wal::Sources { progress: &mut |_| {}, checkpoint: &mut || None }
    };
}

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        spare_segments: 1,
        create: Some(NewLog { log_id: 0x1234, metadata: b"metadata".to_vec() }),
        ..Options::default()
    }
}

fn new_disk(seed: u64) -> SimDisk {
    SimDisk::new(seed, Tear::Sectors, 1)
}

/// A log of `entries` commits of one entry of 900 bytes each.
fn log_of<D: Disk>(disk: D, entries: u64) -> Result {
    let (mut wal, _) = Wal::open(disk, options())?;
    for index in 1..=entries {
        wal.stage(Record { index, term: 1, payload: &[index as u8; 900] })?;
        wal.commit()?;
    }
    Ok(())
}

/// A log after random work, and what it holds.
fn random_log(seed: u64) -> Result<(SimDisk, Model)> {
    let (disk, mut random) = (new_disk(seed), Random::new(seed));
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    let mut model = Model::of(&wal);
    for _ in 0..60 {
        workload_step(&mut random, &mut wal, &mut model)?;
        if random.below(3) > 0 {
            wal.commit()?;
        }
    }
    wal.commit()?;
    Ok((disk, model))
}

fn view<D: Disk>(disk: D) -> Result<LogView<D>> {
    Ok(LogView::open(disk, &mut no_sources!())?.ok_or("a log")?)
}

fn entries<D: Disk>(view: &LogView<D>, first: u64, last: u64) -> Result<Vec<PlacedRecord>> {
    let mut records = Vec::new();
    view.visit_entries(first, last, |record| {
        records.push(record);
        Ok::<(), WalError>(())
    })?;
    Ok(records)
}

fn findings<D: Disk>(disk: &D) -> Result<Vec<WalError>> {
    match verify_folder(disk, &mut no_sources!())?.ok_or("a log")? {
        Verdict::Sound(_) => Ok(Vec::new()),
        Verdict::OldDamage(findings, _) | Verdict::Damaged(findings) => Ok(findings),
    }
}

#[test]
fn a_view_shows_what_an_open_would_and_where_it_lies() -> Result {
    for seed in 0..60 {
        let (disk, model) = random_log(seed)?;
        let operations = disk.operations();
        let view = view(disk.clone())?;
        let mut shown = BTreeMap::new();
        for record in entries(&view, 0, u64::MAX)? {
            let bytes = disk.bytes(&record.file)?;
            let raw = RawRecord::parse(&bytes[record.offset as usize..])?;
            assert_eq!((raw.index, raw.term, raw.payload), (record.index, record.term, &record.payload[..]));
            shown.insert(record.index, (record.term, record.payload));
        }
        assert_eq!(shown, model.entries, "seed {seed}");
        assert_eq!(
            (view.base(), view.last(), view.hard_state()),
            (model.base, model.last(), model.hard_state)
        );
        assert_eq!((view.metadata(), view.recovery().log_id), (&model.metadata[..], 0x1234));
        let of_segments: u64 = view.segments().filter_map(|s| s.entries).map(|(a, b)| b + 1 - a).sum();
        assert_eq!(of_segments, model.entries.len() as u64);
        assert_eq!(disk.operations(), operations, "nothing was changed");
    }
    Ok(())
}

#[test]
fn the_end_of_a_log_is_seen_without_reading_all_of_it() -> Result {
    for seed in 0..60 {
        let (disk, model) = random_log(seed)?;
        let last = model.last().index;
        for count in [1, 5, 40, 10_000] {
            let first = |last: u64| (last + 1).saturating_sub(count);
            let view = LogView::open_end(disk.clone(), first, &mut no_sources!())?.ok_or("a log")?;
            let shown = entries(&view, first(last), u64::MAX)?;
            let indexes: Vec<u64> = shown.iter().map(|record| record.index).collect();
            let expected: Vec<u64> = model.entries.range(first(last)..).map(|(index, _)| *index).collect();
            assert_eq!(indexes, expected, "seed {seed}, the last {count}");
        }
    }
    let disk = new_disk(1);
    log_of(disk.clone(), 200)?;
    let segments = view(disk.clone())?.segments().count();
    let end = LogView::open_end(disk, |last| last, &mut no_sources!())?.ok_or("a log")?;
    assert!(end.segments().count() < segments / 2);
    Ok(())
}

#[test]
fn a_folder_in_use_is_refused_and_one_without_a_log_has_none() -> Result {
    let disk = new_disk(1);
    assert!(LogView::open(disk.clone(), &mut no_sources!())?.is_none());
    assert!(verify_folder(&disk, &mut no_sources!())?.is_none());
    let (wal, _) = Wal::open(disk.clone(), options())?;
    assert!(matches!(LogView::open(disk.clone(), &mut no_sources!()), Err(WalError::InUse)));
    assert!(matches!(verify_folder(&disk, &mut no_sources!()), Err(WalError::InUse)));
    drop(wal);
    assert_eq!(view(disk)?.last().index, 0);
    Ok(())
}

/// Names, bytes and times of change of all files in a folder.
fn snapshot(folder: &Path) -> Result<BTreeMap<String, (Vec<u8>, SystemTime)>> {
    std::fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            let content = (std::fs::read(entry.path())?, entry.metadata()?.modified()?);
            Ok((entry.file_name().to_string_lossy().into_owned(), content))
        })
        .collect()
}

#[test]
fn a_real_folder_is_looked_at_by_several_and_stays_as_it_is() -> Result {
    for with_lock_file in [true, false] {
        let folder = TempDir::new()?;
        log_of(RealDisk::open(folder.path(), SyncMode::Dsync)?, 30)?;
        std::fs::write(folder.path().join("prepare.tmp"), b"left over")?;
        if !with_lock_file {
            std::fs::remove_file(folder.path().join("LOCK"))?;
        }
        let before = snapshot(folder.path())?;
        let disk = ReadOnlyDisk::open(folder.path())?;
        let first = view(disk.clone())?;
        let second = view(disk.clone())?;
        assert_eq!(entries(&first, 7, 9)?, entries(&second, 7, 9)?);
        assert_eq!(entries(&first, 7, 9)?.len(), 3);
        assert!(findings(&disk)?.is_empty());
        assert_eq!(snapshot(folder.path())?, before);
        let writer = Wal::open(RealDisk::open(folder.path(), SyncMode::Dsync)?, options());
        assert_eq!(writer.is_err(), with_lock_file, "who looks keeps writers out");
    }
    assert!(ReadOnlyDisk::open("/no/such/folder").is_err());
    Ok(())
}

#[test]
fn a_real_folder_that_is_written_to_is_refused() -> Result {
    let folder = TempDir::new()?;
    let (_wal, _) = Wal::open(RealDisk::open(folder.path(), SyncMode::Fdatasync)?, options())?;
    let disk = ReadOnlyDisk::open(folder.path())?;
    assert!(matches!(LogView::open(disk, &mut no_sources!()), Err(WalError::InUse)));
    Ok(())
}

fn place(error: &WalError) -> (String, u64) {
    match error {
        WalError::Damaged { file, offset, .. } => (file.clone(), *offset),
        other => panic!("expected damage, got: {other}"),
    }
}

/// The record of an entry: its file and offset.
fn place_of(disk: &SimDisk, index: u64) -> Result<(String, u64)> {
    let record = view(disk.clone())?.entry(index)?.ok_or("an entry")?;
    Ok((record.file, record.offset))
}

#[test]
fn every_damage_is_named_not_only_the_first() -> Result {
    let disk = new_disk(1);
    log_of(disk.clone(), 60)?;
    let hit: Vec<(String, u64)> =
        [3, 6, 30, 45].into_iter().map(|index| place_of(&disk, index)).collect::<Result<_>>()?;
    for (file, offset) in &hit {
        disk.flip_bit(file, offset + 100, 3)?;
    }
    let found = findings(&disk)?;
    assert_eq!(found.iter().map(place).collect::<Vec<_>>(), hit);
    for finding in &found {
        let WalError::Damaged { fault: Fault::Checksum { expected, found }, .. } = finding else {
            panic!("a flipped bit changes a checksum: {finding}")
        };
        assert_ne!(expected, found);
    }
    Ok(())
}

#[test]
fn lost_and_spoiled_files_are_named() -> Result {
    let disk = new_disk(1);
    log_of(disk.clone(), 100)?;
    let files: Vec<String> = view(disk.clone())?.segments().map(|segment| segment.file).collect();
    disk.overwrite(&files[1], 0, b"no header")?;
    disk.set_length(&files[3], 9000)?;
    disk.set_length(&files[4], 100)?;
    let found: Vec<String> =
        findings(&disk)?.iter().map(|f| f.file().unwrap_or_default().to_owned()).collect();
    for file in [&files[1], &files[3], &files[4]] {
        assert!(found.contains(file), "{file} in {found:?}");
    }
    disk.remove(&files[2])?;
    let found = findings(&disk)?;
    let is_missing =
        |f: &WalError| matches!(f, WalError::MissingSegment { missing, .. } if *missing == files[2]);
    assert!(found.iter().any(is_missing), "{found:?}");
    Ok(())
}

#[test]
fn a_torn_tail_is_no_damage() -> Result {
    let disk = new_disk(1);
    log_of(disk.clone(), 20)?;
    let (file, offset) = place_of(&disk, 20)?;
    disk.flip_bit(&file, offset + 50, 1)?;
    assert!(findings(&disk)?.is_empty());
    let torn = view(disk)?.recovery().torn_tail.clone().ok_or("a torn tail")?;
    assert_eq!(torn.file, file);
    Ok(())
}

/// Whatever is damaged: a log is sound exactly if it can be opened, and the first finding says what an open says.
#[test]
fn verification_and_opening_agree() -> Result {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let disk = new_disk(seed);
        log_of(disk.clone(), 40)?;
        let names = disk.list()?;
        for _ in 0..1 + random.below(4) {
            let name = &names[random.below(names.len() as u64) as usize];
            let length = disk.bytes(name)?.len() as u64;
            if length > 0 {
                disk.flip_bit(name, random.below(length), random.below(8) as u32)?;
            }
        }
        let found = findings(&disk)?;
        let opened = Wal::open(disk, options()).map(|(wal, _)| wal.last_index());
        match (found.first(), opened) {
            (None, Ok(_)) => {}
            (Some(finding), Err(error)) => assert_eq!(finding.to_string(), error.to_string(), "seed {seed}"),
            (finding, opened) => panic!("seed {seed}: {finding:?} against {opened:?}"),
        }
    }
    Ok(())
}
