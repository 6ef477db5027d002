//! Full disks: who asks for room finds out in time, what was promised room is committed, and space that comes back is used.

use std::time::Duration;

use crate::common::{Model, Random};
use perdura_wal::{Disk, HardState, Needed, NewLog, Options, Preparer, Record, SimDisk, Tear, Wal, WalError};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const SEGMENT_BYTES: u64 = 32 << 10;
const RESERVE_BYTES: u64 = 12 << 10;

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        spare_segments: 1,
        create: Some(NewLog { log_id: 5, metadata: vec![7; 100] }),
        ..Options::default()
    }
}

/// No file can be made and none can grow.
fn fill(disk: &SimDisk) -> Result {
    let mut used = 0;
    for name in disk.list()? {
        used += disk.bytes(&name)?.len() as u64;
    }
    disk.set_capacity(Some(used));
    Ok(())
}

fn one(payload_bytes: u64, reserve_bytes: u64) -> Needed {
    Needed { entries: 1, payload_bytes, reserve_bytes }
}

fn append(wal: &mut Wal<SimDisk>, payload: &[u8]) -> std::result::Result<(), WalError> {
    wal.stage(Record { index: wal.last_index() + 1, term: 1, payload })?;
    wal.commit().map(drop)
}

/// Appends for as long as there is room beside a reserve; a preparer works in between.
fn append_until_refused(wal: &mut Wal<SimDisk>, preparer: Option<&Preparer<SimDisk>>) -> Result<u64> {
    let mut appended = 0;
    while wal.secure_room(one(1000, RESERVE_BYTES))? {
        append(wal, &[1; 1000])?;
        appended += 1;
        preparer.map_or(Ok(false), Preparer::step)?;
    }
    Ok(appended)
}

#[test]
fn a_full_disk_is_told_before_anything_is_staged_and_space_that_comes_back_is_used() -> Result {
    let disk = SimDisk::new(1, Tear::Sectors, 4096);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    let preparer = wal.take_preparer();
    assert!(preparer.step()?, "a first spare");
    fill(&disk)?;
    let before = append_until_refused(&mut wal, Some(&preparer))?;
    assert!(wal.is_short_of_space() && wal.ready_bytes() >= RESERVE_BYTES);

    // The reserve is for who asks for less, and a small batch may find the room that a large one does not.
    assert!(wal.secure_room(one(10, 0))?);
    let last = wal.last_index();
    wal.stage_hard_state(HardState { term: 2, vote: 1, commit: last })?;
    wal.commit()?;
    assert!(!preparer.step()? && wal.is_short_of_space(), "it is tried again, and again in vain");
    assert_eq!(wal.read(1..last + 1, u64::MAX)?.len() as u64, before);

    disk.set_capacity(None);
    assert!(preparer.step()? && !wal.is_short_of_space());
    assert!(wal.secure_room(one(1000, RESERVE_BYTES))?);
    for _ in 0..100 {
        append(&mut wal, &[2; 1000])?;
        while preparer.step()? {}
    }
    let model = Model::of(&wal);
    drop(wal);
    assert_eq!(Model::of(&Wal::open(disk.kill(), options())?.0), model);
    Ok(())
}

/// Without a preparer whoever asks makes the segment.
#[test]
fn room_is_made_by_who_asks_where_nobody_else_does() -> Result {
    let disk = SimDisk::new(1, Tear::Sectors, 4096);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    for _ in 0..100 {
        assert!(wal.secure_room(one(1000, RESERVE_BYTES))?);
        append(&mut wal, &[1; 1000])?;
    }
    fill(&disk)?;
    append_until_refused(&mut wal, None)?;
    disk.set_capacity(None);
    assert!(wal.secure_room(one(1000, RESERVE_BYTES))?);
    Ok(())
}

#[test]
fn an_entry_larger_than_a_segment_finds_its_room_before_it_is_staged() -> Result {
    let large = vec![3; 5 * SEGMENT_BYTES as usize];
    let disk = SimDisk::new(1, Tear::Sectors, 4096);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    let preparer = wal.take_preparer();
    while preparer.step()? {}
    disk.set_capacity(Some(4 * SEGMENT_BYTES));
    assert!(!wal.secure_room(one(large.len() as u64, 0))?);
    assert!(wal.secure_room(one(1000, 0))?, "others still find room");
    append(&mut wal, &[1; 1000])?;
    disk.set_capacity(Some(10 * SEGMENT_BYTES));
    assert!(wal.secure_room(one(large.len() as u64, 0))?);
    disk.set_capacity(Some(0));
    append(&mut wal, &large)?;
    drop(wal);
    let (wal, _) = Wal::open(disk.kill(), options())?;
    assert_eq!(wal.read(2..3, u64::MAX)?[0].payload, large);
    Ok(())
}

/// Whatever was promised room is committed, though nothing more can be had of the disk: sizes at random, with and without a
/// preparer, segments begun, grown and recycled, the disk full and empty in turns.
#[test]
fn what_was_promised_room_is_committed() -> Result {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let granularity = [1, 4096][random.below(2) as usize];
        let disk = SimDisk::new(seed, Tear::Sectors, granularity);
        let options = Options { pad_to_block: random.below(3) == 0, ..options() };
        let (mut wal, _) = Wal::open(disk.clone(), options.clone())?;
        let preparer = (random.below(4) > 0).then(|| wal.take_preparer());
        let mut refused = 0;
        for _ in 0..150 {
            match random.below(12) {
                0 => disk.set_capacity(None),
                1..3 => fill(&disk)?,
                3..6 => {
                    if let Some(preparer) = &preparer {
                        preparer.step()?;
                    }
                }
                6 => {
                    let (first, commit) = (wal.first_index(), wal.hard_state().commit);
                    if commit > first && wal.secure_room(Needed::default())? {
                        wal.compact_prefix(first + random.below(commit - first))?;
                        commit_without_space(&mut wal, &disk)?;
                    }
                }
                _ => {
                    let entries = 1 + random.below(4);
                    let most = [100, 3000, 20_000, 60_000][random.below(4) as usize];
                    let bytes = random.below(most);
                    let reserve_bytes = [0, RESERVE_BYTES][random.below(2) as usize];
                    let needed = Needed { entries, payload_bytes: entries * bytes, reserve_bytes };
                    if !wal.secure_room(needed)? {
                        refused += 1;
                        continue;
                    }
                    let first = wal.last_index() + 1;
                    for index in first..first + entries {
                        wal.stage(Record { index, term: 1, payload: &vec![index as u8; bytes as usize] })?;
                    }
                    wal.stage_hard_state(HardState { term: 1, vote: 1, commit: first })?;
                    commit_without_space(&mut wal, &disk).map_err(|error| format!("seed {seed}: {error}"))?;
                }
            }
        }
        assert!(refused > 0 || seed > 0, "some are refused");
        let model = Model::of(&wal);
        drop(wal);
        disk.set_capacity(None);
        assert_eq!(Model::of(&Wal::open(disk.kill(), options)?.0), model, "seed {seed}");
    }
    Ok(())
}

/// Commits while no file can grow.
fn commit_without_space(wal: &mut Wal<SimDisk>, disk: &SimDisk) -> Result {
    let capacity = disk.capacity();
    fill(disk)?;
    wal.commit()?;
    disk.set_capacity(capacity);
    Ok(())
}

#[test]
fn a_preparer_in_a_thread_tries_again_until_there_is_space() -> Result {
    let disk = SimDisk::new(1, Tear::Sectors, 4096);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    fill(&disk)?;
    let preparer = wal.take_preparer();
    let thread = std::thread::spawn(move || preparer.run());
    let wait_until = |what: &dyn Fn() -> bool| {
        (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            what()
        })
    };
    assert!(wait_until(&|| wal.is_short_of_space()));
    disk.set_capacity(None);
    assert!(wait_until(&|| !wal.is_short_of_space() && wal.ready_bytes() > SEGMENT_BYTES));
    drop(wal);
    thread.join().map_err(|_| "the thread panicked")??;
    Ok(())
}
