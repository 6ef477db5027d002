//! The table of cases in `wal/src/recovery.rs`, row by row.

use crate::common::Model;
use perdura_wal::format::{
    BATCH_HEADER_BYTES, BLOCK_BYTES, BatchHeader, Kind, RawRecord, SEGMENT_HEADER_BYTES, SegmentHeader,
    seal_record, segment_seed,
};
use perdura_wal::{Disk, Fault, HardState, NewLog, Options, Record, Recovery, SimDisk, Tear, Wal, WalError};
use proptest::prelude::*;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const LOG_ID: u64 = 0x1234;
const SEGMENT_BYTES: u64 = 16 << 10;
const FIRST: &str = "00000000000000000001.wal";
const SECOND: &str = "00000000000000000002.wal";
const THIRD: &str = "00000000000000000003.wal";

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        spare_segments: 1,
        create: Some(NewLog { log_id: LOG_ID, metadata: b"metadata".to_vec() }),
        ..Options::default()
    }
}

fn new_disk() -> SimDisk {
    SimDisk::new(7, Tear::Sectors, 1)
}

fn open(disk: &SimDisk) -> std::result::Result<(Model, Recovery), WalError> {
    let (wal, recovery) = Wal::open(disk.clone(), options())?;
    Ok((Model::of(&wal), recovery))
}

fn refusal(disk: &SimDisk) -> WalError {
    open(disk).expect_err("must be refused")
}

fn append(wal: &mut Wal<SimDisk>, count: u64, payload_bytes: usize) -> Result {
    for _ in 0..count {
        let index = wal.last_index() + 1;
        let payload = vec![index as u8; payload_bytes];
        wal.stage(Record { index, term: 1, payload: &payload })?;
        wal.commit()?;
    }
    Ok(())
}

/// A log of `entries` commits of one entry of `payload_bytes` each, as a killed process leaves it.
fn log_of(entries: u64, payload_bytes: usize) -> Result<(SimDisk, Model)> {
    let disk = new_disk();
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    append(&mut wal, entries, payload_bytes)?;
    let model = Model::of(&wal);
    drop(wal);
    Ok((disk, model))
}

/// Offsets of the batches of a segment, and the offset behind the last.
fn batch_offsets(disk: &SimDisk, name: &str, sequence: u64) -> Result<Vec<u64>> {
    let bytes = disk.bytes(name)?;
    let seed = segment_seed(LOG_ID, sequence);
    let mut offsets = vec![BLOCK_BYTES];
    loop {
        let offset = *offsets.last().expect("never empty");
        match BatchHeader::decode(&bytes[offset as usize..], seed, offset) {
            Ok((header, _)) => offsets.push(header.next_offset(offset).ok_or("overflow")?),
            Err(_) => return Ok(offsets),
        }
    }
}

fn damage_of(error: WalError) -> (String, u64, Fault) {
    match error {
        WalError::Damaged { file, offset, fault } => (file, offset, fault),
        other => panic!("expected damage, got: {other}"),
    }
}

#[test]
fn no_segment_makes_a_new_log() -> Result {
    let disk = new_disk();
    let (model, recovery) = open(&disk)?;
    assert!(recovery.created);
    assert_eq!(model, Model::with_metadata(b"metadata"));
    assert_eq!(recovery.log_id, LOG_ID);
    Ok(())
}

#[test]
fn a_clean_end_is_no_torn_tail() -> Result {
    let (disk, model) = log_of(5, 100)?;
    let (found, recovery) = open(&disk)?;
    assert_eq!(found, model);
    assert_eq!(recovery.torn_tail, None);
    assert_eq!((recovery.first_index, recovery.last_index), (1, 5));
    assert_eq!(recovery.segments, 1);
    assert_eq!(recovery.batches, 7, "opening, mark, five commits");
    assert_eq!(recovery.records, 3 + 5);
    Ok(())
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_as_a_whole() -> Result {
    for fill in [0, 0xa5] {
        let (disk, _) = log_of(3, 50)?;
        let offsets = batch_offsets(&disk, FIRST, 1)?;
        let (start, end) = (offsets[offsets.len() - 2], offsets[offsets.len() - 1]);
        let body_end = start + (BATCH_HEADER_BYTES + 28 + 50) as u64;
        let whole = disk.bytes(FIRST)?;
        for torn_at in start..body_end {
            // A tail of zeros that was zeros before is no tear.
            if whole[torn_at as usize..body_end as usize] == vec![fill; (body_end - torn_at) as usize] {
                continue;
            }
            let disk = copy_of(&disk)?;
            disk.overwrite(FIRST, torn_at, &vec![fill; (end - torn_at) as usize])?;
            let (found, recovery) = open(&disk)?;
            assert_eq!(found.last().index, 2, "torn at {torn_at}");
            if torn_at > start || fill != 0 {
                let torn = recovery.torn_tail.ok_or("a torn tail is reported")?;
                assert_eq!((torn.file.as_str(), torn.offset), (FIRST, start));
            }
            let (again, recovery) = open(&disk)?;
            assert_eq!(again, found);
            assert_eq!(recovery.torn_tail, None, "it was cut for good");
        }
    }
    Ok(())
}

/// The same files on a disk of their own.
fn copy_of(disk: &SimDisk) -> Result<SimDisk> {
    let copy = new_disk();
    for name in disk.list()? {
        copy.put(&name, &disk.bytes(&name)?);
    }
    Ok(copy)
}

#[test]
fn hard_state_in_the_torn_batch_goes_with_it() -> Result {
    let disk = new_disk();
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    let state = HardState { term: 1, vote: 2, commit: 1 };
    append(&mut wal, 2, 10)?;
    wal.stage_hard_state(state)?;
    wal.commit()?;
    wal.stage_hard_state(HardState { commit: 2, ..state })?;
    wal.commit()?;
    drop(wal);
    let offsets = batch_offsets(&disk, FIRST, 1)?;
    disk.flip_bit(FIRST, offsets[offsets.len() - 1] - 1, 0)?;
    disk.flip_bit(FIRST, offsets[offsets.len() - 2] + 33, 0)?;
    assert_eq!(open(&disk)?.0.hard_state, state);
    Ok(())
}

#[test]
fn a_flipped_bit_anywhere_before_the_last_batch_is_found_or_harmless() -> Result {
    let (disk, model) = log_of(6, 40)?;
    let offsets = batch_offsets(&disk, FIRST, 1)?;
    let last = offsets[offsets.len() - 2];
    let mut found = 0;
    for offset in (0..SEGMENT_HEADER_BYTES as u64).chain(BLOCK_BYTES..last) {
        let disk = copy_of(&disk)?;
        disk.flip_bit(FIRST, offset, (offset % 8) as u32)?;
        match open(&disk) {
            // What lies between two batches means nothing.
            Ok((same, _)) => assert_eq!(same, model, "flipped at {offset}"),
            Err(_) => found += 1,
        }
    }
    let all = SEGMENT_HEADER_BYTES as u64 + last - BLOCK_BYTES;
    assert!(found * 10 > all * 9, "{found} of {all} found");
    Ok(())
}

#[test]
fn damage_in_the_middle_names_file_offset_and_checksums() -> Result {
    let (disk, _) = log_of(6, 40)?;
    let offsets = batch_offsets(&disk, FIRST, 1)?;
    let record = offsets[4] + BATCH_HEADER_BYTES as u64;
    disk.flip_bit(FIRST, record + 30, 0)?;
    let error = refusal(&disk);
    let text = error.to_string();
    let (file, offset, fault) = damage_of(error);
    assert_eq!((file.as_str(), offset), (FIRST, record));
    let Fault::Checksum { expected, found } = fault else {
        panic!("expected a checksum fault, got {fault}");
    };
    assert!(text.contains(&format!("{expected:#010x}")) && text.contains(&format!("{found:#010x}")));
    assert_eq!(refusal(&disk).to_string(), text, "nothing was changed");
    Ok(())
}

#[test]
fn a_hole_before_a_batch_is_damage() -> Result {
    let (disk, _) = log_of(6, 40)?;
    let offsets = batch_offsets(&disk, FIRST, 1)?;
    disk.overwrite(FIRST, offsets[4], &vec![0; (offsets[5] - offsets[4]) as usize])?;
    assert_eq!(damage_of(refusal(&disk)), (FIRST.to_owned(), offsets[4], Fault::Unwritten));
    Ok(())
}

#[test]
fn damage_in_a_sealed_segment_is_refused_even_in_its_last_batch() -> Result {
    let (disk, _) = log_of(30, 900)?;
    let offsets = batch_offsets(&disk, FIRST, 1)?;
    let last = offsets[offsets.len() - 2];
    disk.flip_bit(FIRST, last + 70, 3)?;
    let (file, offset, _) = damage_of(refusal(&disk));
    assert_eq!((file.as_str(), offset), (FIRST, last + 32));

    let (disk, _) = log_of(30, 900)?;
    disk.overwrite(FIRST, last, &vec![0; (SEGMENT_BYTES - last) as usize])?;
    let (file, offset, fault) = damage_of(refusal(&disk));
    assert_eq!((file.as_str(), offset, fault), (FIRST, last, Fault::Unwritten));
    Ok(())
}

#[test]
fn a_sealed_segments_damage_is_found_by_verification_too() -> Result {
    let disk = new_disk();
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    append(&mut wal, 30, 900)?;
    assert_eq!(wal.verify()?.segments, 2);
    drop(wal);
    let (wal, _) = Wal::open(disk.clone(), options())?;
    disk.flip_bit(SECOND, 5000, 1)?;
    assert_eq!(damage_of(wal.verify().expect_err("damaged")).0, SECOND);
    Ok(())
}

#[test]
fn a_segment_begun_with_an_unfinished_batch_is_wiped() -> Result {
    let (disk, model) = log_of(12, 900)?;
    assert!(disk.bytes(SECOND).is_err(), "twelve fit in one segment");
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    append(&mut wal, 1, 900)?;
    drop(wal);
    assert!(disk.bytes(SECOND).is_ok(), "the thirteenth does not");
    for torn in [BLOCK_BYTES + 3, BLOCK_BYTES + 500, 3] {
        let disk = copy_of(&disk)?;
        disk.flip_bit(SECOND, torn, 0)?;
        let (found, recovery) = open(&disk)?;
        assert_eq!(found, model);
        assert_eq!(recovery.torn_tail, None);
        assert_eq!((recovery.segments, recovery.prepared), (1, 1));
        if torn != BLOCK_BYTES + 3 {
            assert_eq!(recovery.wiped.as_deref(), Some(SECOND));
        }
        let (mut wal, recovery) = Wal::open(disk.clone(), options())?;
        assert_eq!(recovery.wiped, None);
        append(&mut wal, 5, 900)?;
        drop(wal);
        assert_eq!(open(&disk)?.0.last().index, 17);
    }
    Ok(())
}

#[test]
fn a_recycled_segment_shows_nothing_of_its_former_life() -> Result {
    let disk = new_disk();
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    for _ in 0..10 {
        append(&mut wal, 13, 900)?;
        let commit = wal.last_index();
        wal.compact_prefix(commit)?;
        wal.commit()?;
    }
    let last = wal.last_index();
    drop(wal);
    let (found, recovery) = open(&disk)?;
    assert_eq!((found.last().index, found.entries.len()), (last, 0));
    assert_eq!(recovery.torn_tail, None);
    assert_eq!(recovery.prepared, 1);
    Ok(())
}

#[test]
fn a_missing_segment_is_refused() -> Result {
    let (disk, _) = log_of(40, 900)?;
    disk.remove(SECOND)?;
    let error = refusal(&disk);
    assert!(
        matches!(&error, WalError::MissingSegment { missing, found } if missing == SECOND && found == THIRD),
        "{error}"
    );
    disk.remove(FIRST)?;
    let error = refusal(&disk);
    let WalError::MissingEntries { expected, found, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(expected, 1);
    assert!(found > 1);
    Ok(())
}

#[test]
fn a_segment_shorter_than_its_header_is_refused() -> Result {
    for (name, length) in [(FIRST, 0), (SECOND, 0), (THIRD, BLOCK_BYTES - 1)] {
        let (disk, _) = log_of(40, 900)?;
        disk.set_length(name, length)?;
        let error = refusal(&disk);
        assert!(
            matches!(&error, WalError::ShortSegment { file, bytes } if file == name && *bytes == length),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn a_segment_cut_short_behind_its_header_is_damaged() -> Result {
    let (disk, _) = log_of(40, 900)?;
    disk.set_length(FIRST, 8000)?;
    assert_eq!(damage_of(refusal(&disk)).0, FIRST);
    Ok(())
}

#[test]
fn segments_of_another_log_or_under_another_name_are_refused() -> Result {
    let (disk, _) = log_of(40, 900)?;
    let foreign = new_disk();
    let mut other = options();
    other.create = Some(NewLog { log_id: 99, metadata: Vec::new() });
    drop(Wal::open(foreign.clone(), other)?);
    disk.overwrite(SECOND, 0, &foreign.bytes(FIRST)?)?;
    let error = refusal(&disk);
    assert!(
        matches!(&error, WalError::Foreign { file, expected: LOG_ID, found: 99 } if file == SECOND),
        "{error}"
    );

    let (disk, _) = log_of(40, 900)?;
    disk.overwrite(SECOND, 0, &disk.bytes(FIRST)?)?;
    assert_eq!(damage_of(refusal(&disk)), (SECOND.to_owned(), 0, Fault::Sequence { expected: 2, found: 1 }));
    Ok(())
}

#[test]
fn a_newer_version_is_told_from_damage() -> Result {
    let (disk, _) = log_of(3, 10)?;
    let mut header = disk.bytes(FIRST)?[..SEGMENT_HEADER_BYTES].to_vec();
    header[8] = 2;
    disk.overwrite(FIRST, 0, &header)?;
    let (_, offset, fault) = damage_of(refusal(&disk));
    assert!(offset == 0 && matches!(fault, Fault::Checksum { .. }));

    let crc = crc32fast::hash(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    disk.overwrite(FIRST, 0, &header)?;
    let error = refusal(&disk);
    assert!(
        matches!(&error, WalError::NewerVersion { file, found: 2, supported: 1 } if file == FIRST),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_file_that_is_no_segment_says_so() -> Result {
    let (disk, _) = log_of(3, 10)?;
    disk.overwrite(FIRST, 0, b"#!/bin/sh")?;
    let (_, _, fault) = damage_of(refusal(&disk));
    assert!(matches!(fault, Fault::Magic { .. }), "{fault}");
    Ok(())
}

#[test]
fn segments_that_compaction_left_behind_are_dropped() -> Result {
    let disk = new_disk();
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    let preparer = wal.take_preparer();
    append(&mut wal, 40, 900)?;
    wal.compact_prefix(40)?;
    wal.commit()?;
    assert!(disk.bytes(FIRST).is_ok(), "the preparer has not been turned");
    drop((wal, preparer));
    let disk = disk.kill();
    let (found, recovery) = open(&disk)?;
    assert!(found.entries.is_empty() && recovery.segments > 2);
    let (_, recovery) = open(&disk)?;
    assert_eq!(recovery.segments, 1);
    Ok(())
}

#[test]
fn temporary_files_are_removed() -> Result {
    let (disk, model) = log_of(3, 10)?;
    disk.put("prepare.tmp", b"zeros");
    disk.put("notes.txt", b"mine");
    assert_eq!(open(&disk)?.0, model);
    assert_eq!(disk.list()?, [FIRST, "notes.txt"]);
    Ok(())
}

/// A segment written by hand, from the grammar in docs/log-format.md.
fn forged_segment(records: &[RawRecord<'_>]) -> Vec<u8> {
    forged_segment_following(records, 0)
}

/// The same, with some bits of the chain flipped.
fn forged_segment_following(records: &[RawRecord<'_>], flipped: u32) -> Vec<u8> {
    let header = SegmentHeader {
        log_id: LOG_ID,
        sequence: 1,
        first_index: 1,
        previous_end: 0,
        previous_crc: 0,
        epoch: 0,
    };
    let (encoded, header_crc) = header.encode();
    let mut bytes = encoded.to_vec();
    bytes.resize(BLOCK_BYTES as usize, 0);
    let batch = BatchHeader {
        padded: false,
        body_bytes: records.iter().map(|r| r.encoded_bytes() as u64).sum(),
        records: records.len() as u32,
        epoch: 0,
        previous_crc: header_crc ^ flipped,
    };
    let mut out = [0; BATCH_HEADER_BYTES];
    let crc = batch.encode(&mut out, segment_seed(LOG_ID, 1), BLOCK_BYTES);
    bytes.extend_from_slice(&out);
    for record in records {
        let mut encoded = record.encode_header().to_vec();
        encoded.extend_from_slice(record.payload);
        seal_record(&mut encoded, crc);
        bytes.extend_from_slice(&encoded);
    }
    bytes.resize(SEGMENT_BYTES as usize, 0);
    bytes
}

fn disk_with(bytes: &[u8]) -> Result<SimDisk> {
    let disk = new_disk();
    disk.put(FIRST, bytes);
    Ok(disk)
}

fn forged(kind: Kind, index: u64, term: u64, payload: &[u8]) -> RawRecord<'_> {
    RawRecord { kind, index, term, payload }
}

#[test]
fn a_sound_batch_that_follows_another_one_is_not_taken() -> Result {
    let entry = forged(Kind::Entry, 1, 1, b"x");
    let disk = disk_with(&forged_segment_following(&[entry], 0))?;
    assert_eq!(open(&disk)?.0.last().index, 1);
    let disk = disk_with(&forged_segment_following(&[entry], 1))?;
    let (_, offset, fault) = damage_of(refusal(&disk));
    assert!(offset == BLOCK_BYTES && matches!(fault, Fault::Chain { .. }), "{fault}");
    Ok(())
}

#[test]
fn committed_entries_that_are_not_there_are_missed() -> Result {
    let entry = forged(Kind::Entry, 1, 1, b"x");
    let disk = disk_with(&forged_segment(&[entry, forged(Kind::HardState, 5, 1, &[0; 8])]))?;
    let error = refusal(&disk);
    assert!(matches!(error, WalError::CommitBeyondLog { commit: 5, last: 1 }), "{error}");
    Ok(())
}

#[test]
fn sound_records_that_contradict_each_other_are_damage() -> Result {
    let entry = |index, term| forged(Kind::Entry, index, term, b"x");
    let contradictions: [&[RawRecord<'_>]; 7] = [
        &[entry(1, 1), entry(3, 1)],
        &[entry(1, 1), entry(1, 1)],
        &[entry(1, 2), entry(2, 1)],
        &[entry(1, 1), forged(Kind::Truncate, 3, 0, b"")],
        &[entry(1, 1), forged(Kind::Compact, 2, 1, b"")],
        &[forged(Kind::HardState, 0, 1, b"short")],
        &[forged(Kind::Reset, u64::MAX, 1, b"")],
    ];
    for records in contradictions {
        let disk = disk_with(&forged_segment(records))?;
        damage_of(refusal(&disk));
    }
    Ok(())
}

/// Bytes changed on the disk: where (as a part of the segment), and to what. Each is shorter than a batch, so it
/// spoils two at most.
fn damages() -> impl Strategy<Value = Vec<(u32, f64, Vec<u8>)>> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..40),
        (1..400_usize).prop_map(|length| vec![0; length]),
    ];
    prop::collection::vec((0..3_u32, 0.0..1.0, bytes), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is damaged, opening neither panics nor invents: it refuses, or the log is as it was, or it
    /// lacks the last batches, every one of which was hit.
    #[test]
    fn damage_never_brings_forth_what_was_not_written(damages in damages()) {
        let (disk, model) = log_of(30, 900).expect("sound");
        let mut names = disk.list().expect("names");
        names.retain(|name| name.ends_with(".wal"));
        let hits = damages.len() as u64;
        for (segment, part, bytes) in damages {
            let name = &names[segment as usize % names.len()];
            let offset = (part * (SEGMENT_BYTES as usize - bytes.len()) as f64) as u64;
            disk.overwrite(name, offset, &bytes).expect("inside the file");
        }
        if let Ok((found, _)) = open(&disk) {
            let last = found.last().index;
            prop_assert!(last + 2 * hits >= model.last().index, "lost a sound batch: {last}");
            for (index, entry) in &found.entries {
                prop_assert_eq!(&model.entries[index], entry);
            }
            prop_assert_eq!(found.metadata, model.metadata);
        }
    }
}

fn segments_of(disk: &SimDisk) -> Result<Vec<String>> {
    let mut names = disk.list()?;
    names.retain(|name| name.ends_with(".wal"));
    names.sort();
    Ok(names)
}

/// The folder looked like that of a log that ends earlier: "every byte is sound".
#[test]
fn a_log_without_its_newest_segments_is_refused_by_name() -> Result {
    for is_prepared in [false, true] {
        let disk = new_disk();
        let (mut wal, _) = Wal::open(disk.clone(), options())?;
        let preparer = is_prepared.then(|| wal.take_preparer());
        for _ in 0..60 {
            append(&mut wal, 1, 900)?;
            while preparer.as_ref().is_some_and(|preparer| preparer.step().expect("a sound disk")) {}
        }
        drop((wal, preparer));
        let disk = disk.kill();
        let names = segments_of(&disk)?;
        let begun = names.iter().rposition(|name| {
            let bytes = disk.bytes(name).expect("a segment");
            SegmentHeader::decode(&bytes).is_ok_and(|(header, _)| name.contains(&header.sequence.to_string()))
        });
        let (first, last) = (begun.expect("some were begun") - 1, begun.expect("some were begun"));
        assert!(first > 0 && (last + 1 < names.len()) == is_prepared, "{names:?}");
        for name in &names[first..] {
            disk.remove(name)?;
        }
        match refusal(&disk) {
            WalError::MissingNewest { first: missing, last: newest } => {
                assert_eq!((missing, newest), (names[first].clone(), names[last].clone()));
            }
            other => panic!("{other}"),
        }
        assert!(refusal(&disk).is_damage());
        names[..first].iter().for_each(|name| disk.remove(name).expect("a segment"));
        assert!(
            matches!(refusal(&disk), WalError::MissingNewest { .. }),
            "no new log begins in place of one"
        );
    }
    Ok(())
}

#[test]
fn a_folder_without_a_note_of_its_newest_segment_gets_one() -> Result {
    let (disk, model) = log_of(40, 900)?;
    let begun = |disk: &SimDisk| -> Result<Vec<String>> {
        Ok(disk.list()?.into_iter().filter(|name| name.starts_with("begun-")).collect())
    };
    let note = begun(&disk)?;
    assert_eq!(note.len(), 1);
    disk.remove(&note[0])?;
    let disk = disk.kill();
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    assert_eq!(Model::of(&wal), model);
    let preparer = wal.take_preparer();
    while preparer.step()? {}
    assert_eq!(begun(&disk)?, note);
    Ok(())
}
