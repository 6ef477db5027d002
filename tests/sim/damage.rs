//! Damage to logs: where it can strike, and whether a node that refuses its log for it is right to.
//!
//! - Space that means nothing (prepared segments after their first block, what is after the end of a full one) never condemns a
//!   log.
//! - A segment whose entries a checkpoint holds condemns no log either: it is left out.

use std::io::ErrorKind;
use std::ops::Range;

use perdura_wal::{Disk, SegmentView, WalError};

use crate::coverage::Seen;
use crate::host::Host;
use crate::world::World;

/// How the names of files begin that were set aside.
const SET_ASIDE: &str = "damaged-";
const SEGMENT_SUFFIX: &str = ".wal";
/// What a disk reads as a whole, or not at all.
const SECTOR_BYTES: u64 = 512;
/// The first block of a segment: it tells whether the segment was begun.
const HEADER_BYTES: u64 = 4096;

/// Bytes of a file of the log that damage can strike.
#[derive(Clone, Debug)]
pub struct Target {
    pub file: String,
    pub bytes: Range<u64>,
    /// The last entry that may be lost with them, 0 for none; unknown where no process runs, or in the segment that it writes to.
    up_to: Option<u64>,
}

/// What was damaged.
#[derive(Clone, Debug)]
pub struct Damage {
    pub file: String,
    up_to: Option<u64>,
    /// The log was opened with the damage in it.
    was_accepted: bool,
}

impl Damage {
    pub fn at(target: Target) -> Damage {
        Damage { file: target.file, up_to: target.up_to, was_accepted: false }
    }
}

/// What an opening of the log has vouched for.
pub fn vouched(host: &Host) -> Vec<Target> {
    let segments = segments(host);
    let is_used = |(name, filled): &(&String, &u64)| **filled > 0 && !is_set_aside(name);
    let target = |(name, filled): (&String, &u64)| Target {
        file: name.clone(),
        bytes: 0..*filled,
        up_to: segments.iter().position(|segment| segment.file == *name).and_then(|at| up_to(&segments, at)),
    };
    host.vouched.iter().filter(is_used).map(target).collect()
}

/// Segments of a running node whose entries its newest checkpoint holds.
pub fn old(host: &Host) -> Vec<Target> {
    let (segments, checkpoint) = (segments(host), host.newest_checkpoint());
    let target = |(at, segment): (usize, &SegmentView)| Target {
        file: segment.file.clone(),
        bytes: 0..segment.used_bytes,
        up_to: up_to(&segments, at),
    };
    let is_old = |target: &Target| target.up_to.is_some_and(|last| last <= checkpoint);
    segments.iter().enumerate().map(target).filter(is_old).collect()
}

/// Space of a running node's log that means nothing: after the end of full segments, and in those prepared, but for their first
/// block.
pub fn unused(host: &Host) -> Vec<Target> {
    let segments = segments(host);
    let Some((active, full)) = segments.split_last() else { return Vec::new() };
    let target = |file: &str, bytes| Target { file: file.to_owned(), bytes, up_to: Some(0) };
    let ends = full.iter().map(|segment| target(&segment.file, segment.used_bytes..segment.file_bytes));
    let names = host.disk.list().unwrap_or_default().into_iter();
    let prepared =
        names.filter(|name| *name > active.file && name.ends_with(SEGMENT_SUFFIX) && !is_set_aside(name));
    let length = |name: &str| host.disk.bytes(name).map_or(0, |bytes| bytes.len() as u64);
    let prepared = prepared.map(|name| target(&name, HEADER_BYTES..length(&name)));
    ends.chain(prepared).filter(|target| !target.bytes.is_empty()).collect()
}

/// The part of the sector at `offset` that lies within `bytes`.
pub fn sector_at(offset: u64, bytes: &Range<u64>) -> Range<u64> {
    let start = offset / SECTOR_BYTES * SECTOR_BYTES;
    start.max(bytes.start)..bytes.end.min(start + SECTOR_BYTES)
}

fn is_set_aside(name: &str) -> bool {
    name.starts_with(SET_ASIDE)
}

fn segments(host: &Host) -> Vec<SegmentView> {
    let Some(process) = &host.process else { return Vec::new() };
    process.shard.node().storage().wal().segments().collect()
}

/// The last entry of a segment and those before it, if another segment follows that one.
fn up_to(segments: &[SegmentView], at: usize) -> Option<u64> {
    segments.get(at + 1)?;
    let entries = segments[..=at].iter().filter_map(|segment| segment.entries);
    Some(entries.map(|(_, last)| last).max().unwrap_or_default())
}

impl Host {
    /// The log was opened: its damage is gone, or is where it means nothing.
    pub fn note_opened(&mut self, left_out: bool) {
        let Some(damage) = &mut self.excuses.damage else { return };
        damage.was_accepted = true;
        let is_gone = match self.disk.read_cached(&damage.file) {
            Ok(_) => true,
            Err(failure) => failure.source.kind() == ErrorKind::NotFound,
        };
        if is_gone || left_out {
            self.excuses.damage = None;
        }
    }
}

impl World {
    /// A node refuses its damaged log.
    pub fn judge_refusal(&mut self, node: usize, damage: &Damage, error: &WalError) {
        let Damage { file, up_to, was_accepted } = damage;
        let host = &self.hosts[node];
        let checkpoint = host.newest_checkpoint();
        // It was made a new segment of before anything had read it again.
        let was_recycled = !was_accepted && error.is_unreadable() && host.disk.bytes(file).is_err();
        if up_to.is_some_and(|last| last <= checkpoint) && !was_recycled {
            self.stage.find(format!(
                "a log condemned by old damage: node {} refuses it for {file}, which holds nothing after entry {checkpoint} \
                 of its checkpoint: {error}",
                node + 1
            ));
        } else if error.to_string().contains(file) || was_recycled {
            self.stage.counts.add(Seen::DamageRefused);
            self.stage.tell(|| format!("node {} refuses its log: {error}", node + 1));
        } else {
            self.stage.find(format!("node {} was damaged in {file}, but blames another: {error}", node + 1));
        }
    }
}
