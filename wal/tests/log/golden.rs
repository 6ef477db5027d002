//! The bytes of version 1, fixed for good: a change that this test notices needs a new version.
//!
//! `PERDURA_BLESS=1` rewrites the fixture; that is for a new version's, never for this one's.

use std::fmt::Write;
use std::path::Path;

use crate::common::Model;
use perdura_wal::{HardState, NewLog, Options, Position, Record, SimDisk, Tear, Wal};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const SEGMENT_BYTES: u64 = 16 << 10;
const SEGMENTS: [&str; 2] = ["00000000000000000001.wal", "00000000000000000002.wal"];

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        create: Some(NewLog { log_id: 0x0123_4567_89ab_cdef, metadata: b"cluster 7, node 1".to_vec() }),
        ..Options::default()
    }
}

fn entry(index: u64, term: u64, payload: &[u8]) -> Record<'_> {
    Record { index, term, payload }
}

/// One record of every kind, a batch of two, an empty payload, a roll.
fn write_log(disk: &SimDisk) -> Result<Model> {
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    wal.reset(Position { index: 40, term: 2 })?;
    wal.stage(entry(41, 2, b""))?;
    wal.stage(entry(42, 3, b"SET greeting hello"))?;
    wal.commit()?;
    wal.stage_hard_state(HardState { term: 3, vote: 0x0807_0605_0403_0201, commit: 41 })?;
    wal.commit()?;
    wal.stage(entry(42, 4, b"SET greeting goodbye"))?;
    wal.compact_prefix(41)?;
    wal.stage_metadata(b"cluster 7, node 2")?;
    wal.commit()?;
    // Too much for what is left of the first segment.
    wal.stage(entry(43, 4, &[0xee; 11_900]))?;
    wal.commit()?;
    Ok(Model::of(&wal))
}

/// Lines of `offset: sixteen bytes`; lines that are like the one before are left out, as are zeros.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut last: &[u8] = &[0; 16];
    for (number, line) in bytes.chunks(16).enumerate() {
        if line != last {
            write!(text, "{:05x}:", number * 16).expect("to a string");
            for byte in line {
                write!(text, " {byte:02x}").expect("to a string");
            }
            text.push('\n');
        }
        last = line;
    }
    text
}

fn undump(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut last = [0; 16];
    for line in text.lines() {
        let (offset, rest) = line.split_once(": ").ok_or("offset: bytes")?;
        let offset = usize::from_str_radix(offset, 16)?;
        while bytes.len() < offset {
            bytes.extend_from_slice(&last);
        }
        for (place, byte) in last.iter_mut().zip(rest.split(' ')) {
            *place = u8::from_str_radix(byte, 16)?;
        }
        bytes.extend_from_slice(&last);
    }
    while bytes.len() < SEGMENT_BYTES as usize {
        bytes.extend_from_slice(&last);
    }
    Ok(bytes)
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name.replace(".wal", ".hex"))
}

fn new_disk() -> SimDisk {
    SimDisk::new(0, Tear::Sectors, 1)
}

#[test]
fn the_bytes_written_are_those_of_version_1() -> Result {
    let disk = new_disk();
    write_log(&disk)?;
    for name in SEGMENTS {
        let written = dump(&disk.bytes(name)?);
        if std::env::var_os("PERDURA_BLESS").is_some() {
            std::fs::write(fixture(name), &written)?;
        }
        assert_eq!(written, std::fs::read_to_string(fixture(name))?, "{name}");
    }
    Ok(())
}

#[test]
fn a_log_of_version_1_can_be_read() -> Result {
    let disk = new_disk();
    for name in SEGMENTS {
        let bytes = undump(&std::fs::read_to_string(fixture(name))?)?;
        disk.put(name, &bytes);
    }
    let (wal, recovery) = Wal::open(disk, Options::default())?;
    assert_eq!(Model::of(&wal), write_log(&new_disk())?);
    assert_eq!(recovery.torn_tail, None);
    assert_eq!(wal.read(42..43, 0)?[0].payload, b"SET greeting goodbye");
    assert_eq!(wal.metadata(), b"cluster 7, node 2");
    assert_eq!(wal.hard_state().vote, 0x0807_0605_0403_0201);
    Ok(())
}
