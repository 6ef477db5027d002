//! Sectors that can't be read in space that means nothing: the log opens, and is as it was.

use crate::common::Model;
use perdura_wal::format::BLOCK_BYTES;
use perdura_wal::{
    Disk, LogView, NewLog, Options, Record, SegmentView, SimDisk, Sources, Tear, Wal, WalError, verify_sealed,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const SEGMENT_BYTES: u64 = 16 << 10;
const LOG_ID: u64 = 0x1234;

struct Log {
    disk: SimDisk,
    model: Model,
    in_use: Vec<SegmentView>,
    prepared: Vec<String>,
}

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        spare_segments: 1,
        create: Some(NewLog { log_id: LOG_ID, metadata: Vec::new() }),
        ..Options::default()
    }
}

/// A log of several segments with room at their ends, and prepared ones: new, or recycled after a compaction.
fn log(recycles: bool) -> Result<Log> {
    let disk = SimDisk::new(7, Tear::Sectors, 1);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    let preparer = wal.take_preparer();
    for index in 1..=40 {
        wal.stage(Record { index, term: 1, payload: &[index as u8; 2500] })?;
        wal.commit()?;
        while preparer.step()? {}
    }
    if recycles {
        wal.compact_prefix(20)?;
        wal.commit()?;
        while preparer.step()? {}
    }
    let (model, in_use) = (Model::of(&wal), wal.segments().collect::<Vec<_>>());
    drop((wal, preparer));
    let disk = disk.kill();
    let last = in_use.last().ok_or("it has segments")?.file.clone();
    let mut prepared: Vec<_> =
        disk.list()?.into_iter().filter(|name| name.ends_with(".wal") && *name > last).collect();
    prepared.sort();
    assert!(!prepared.is_empty() && in_use.len() > 2, "{prepared:?} {in_use:?}");
    Ok(Log { disk, model, in_use, prepared })
}

fn open(disk: &SimDisk) -> std::result::Result<Model, WalError> {
    Wal::open(disk.clone(), options()).map(|(wal, _)| Model::of(&wal))
}

#[test]
fn a_sector_that_cannot_be_read_in_a_prepared_segment_does_not_condemn_the_log() -> Result {
    for recycles in [false, true] {
        for place in [BLOCK_BYTES, 8192, SEGMENT_BYTES - 512] {
            let Log { disk, model, prepared, .. } = log(recycles)?;
            for name in &prepared {
                disk.fail_reads(name, place..place + 512)?;
            }
            let mut sources = Sources { progress: &mut |_| {}, checkpoint: &mut || None };
            assert!(LogView::open(disk.clone(), &mut sources)?.is_some(), "recycled: {recycles}, {place}");
            assert_eq!(open(&disk)?, model, "recycled: {recycles}, {place}");
            let (wal, _) = Wal::open(disk.clone(), options())?;
            drop(wal);
            for name in prepared {
                let mut block = [0; 512];
                perdura_wal::DiskFile::read_at(&disk.open(&name)?, &mut block, place)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_prepared_segment_whose_first_block_cannot_be_read_is_refused() -> Result {
    let Log { disk, prepared, .. } = log(true)?;
    disk.fail_reads(&prepared[0], 0..512)?;
    assert!(open(&disk).expect_err("it may have been begun").is_unreadable());
    Ok(())
}

#[test]
fn a_sector_that_cannot_be_read_after_the_end_of_a_sealed_segment_is_passed_over() -> Result {
    let Log { disk, model, in_use, .. } = log(false)?;
    let sealed = &in_use[1];
    let place = sealed.used_bytes.next_multiple_of(512);
    assert!(place + 512 <= sealed.file_bytes, "there is room at its end: {sealed:?}");
    disk.fail_reads(&sealed.file, place..place + 512)?;
    assert_eq!(open(&disk)?, model);
    verify_sealed(&disk, LOG_ID, sealed, &mut |_| {})?;
    let (wal, _) = Wal::open(disk.clone(), options())?;
    let (first, last) = sealed.entries.ok_or("it has entries")?;
    assert_eq!(wal.read(first..last + 1, u64::MAX)?.len() as u64, last + 1 - first);
    Ok(())
}

#[test]
fn a_sector_that_cannot_be_read_in_the_last_segment_in_use_is_refused_wherever_it_is() -> Result {
    let Log { disk, in_use, .. } = log(false)?;
    let last = in_use.last().ok_or("it has segments")?;
    disk.fail_reads(&last.file, last.file_bytes - 512..last.file_bytes)?;
    assert!(open(&disk).expect_err("a batch may stand there").is_unreadable());
    Ok(())
}

#[test]
fn a_segment_with_a_sector_that_cannot_be_read_is_not_recycled() -> Result {
    let Log { disk, in_use, .. } = log(false)?;
    let sealed = &in_use[0];
    disk.fail_reads(&sealed.file, sealed.file_bytes - 512..sealed.file_bytes)?;
    let (mut wal, _) = Wal::open(disk.clone(), Options { spare_segments: 3, ..options() })?;
    let (_, last) = in_use[1].entries.ok_or("it has entries")?;
    wal.compact_prefix(last)?;
    wal.commit()?;
    assert!(wal.segments().all(|segment| segment.file > in_use[1].file), "both are compacted away");
    drop(wal);
    let names = disk.list()?.into_iter().filter(|name| name.ends_with(".wal"));
    let (mut count, newest) = (0, in_use.last().ok_or("it has segments")?.file.clone());
    for name in names {
        disk.read_cached(&name)?;
        count += usize::from(name > newest);
    }
    assert_eq!(count, 2, "the other one is recycled, beside the prepared one");
    Ok(())
}

#[test]
fn a_log_that_falls_back_to_a_segment_with_an_unreadable_end_opens_ever_again() -> Result {
    let Log { disk, in_use, .. } = log(false)?;
    let [.., full, begun] = &in_use[..] else { return Err("it has segments".into()) };
    // What a power failure leaves of the batch that began the last segment.
    let unfinished = vec![0; (begun.used_bytes - BLOCK_BYTES) as usize];
    disk.overwrite(&begun.file, BLOCK_BYTES, &unfinished)?;
    disk.fail_reads(&full.file, full.file_bytes - 512..full.file_bytes)?;
    let model = open(&disk)?;
    assert_eq!(open(&disk.kill())?, model);
    Ok(())
}
