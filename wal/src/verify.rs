//! Checking a log that nobody has open, byte for byte, and naming all that is wrong with it.
//!
//! - A log is sound exactly if an open would accept it: the first finding is the error that an open would refuse it with.
//! - Where there is one, every segment is then judged for itself, so that one damage does not hide another: behind a
//!   flaw the walk goes on at the next sound batch of the segment.
//! - Damage in old segments that a checkpoint makes needless is a finding, too, though a node starts.
//! - A torn tail is no finding: it was never acknowledged, and an open cuts it.
//!
//! Caveat: what only the whole log can show (an index that contradicts the segment before) is named for the first
//! damage alone.

use crate::disk::Disk;
use crate::error::WalError;
use crate::format::{Fault, SegmentHeader};
use crate::recovery::{
    Progress, Recovery, Sources, bad_header, check_end, damaged, lock, read_candidate, scan,
};
use crate::replay::Walk;
use crate::segment::{list_sequences, name_of, read_segment};

/// What a verification found.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Every byte that counts is what was written.
    Sound(Recovery),
    /// Only old segments are damaged, and an open leaves them out: what is wrong, and what it reads.
    OldDamage(Vec<WalError>, Recovery),
    /// What is wrong: first what an open would refuse the log with, then the rest in the order of segments.
    Damaged(Vec<WalError>),
}

/// Reads and checks every byte of the log without changing any; `None` when there is no log.
///
/// Fails only if the log can't be judged: the folder is in use or can't be read, or the log is of a later version.
pub fn verify_folder<D: Disk>(disk: &D, sources: &mut Sources<'_>) -> Result<Option<Verdict>, WalError> {
    let _lock = lock(disk)?;
    match scan(disk, sources) {
        Ok(Some(scan)) if scan.report.left_out.is_some() => {
            let findings = judge_segments(disk, sources.progress)?;
            Ok(Some(Verdict::OldDamage(findings, scan.report)))
        }
        Ok(scanned) => Ok(scanned.map(|scan| Verdict::Sound(scan.report))),
        Err(first) if first.is_damage() => {
            let others = judge_segments(disk, sources.progress)?;
            let text = first.to_string();
            let others = others.into_iter().filter(|other| other.to_string() != text);
            Ok(Some(Verdict::Damaged([first.clone()].into_iter().chain(others).collect())))
        }
        Err(error) => Err(error),
    }
}

/// What a segment begins with.
enum Head {
    Own {
        header: SegmentHeader,
        crc: u32,
    },
    /// The header of another sequence: the segment was not begun, or it was misplaced.
    Other {
        sequence: u64,
    },
    Unsound(WalError),
}

fn read_head<D: Disk>(disk: &D, sequence: u64) -> Result<Head, WalError> {
    Ok(match read_candidate(disk, sequence)?.header {
        Ok((header, crc)) if header.sequence == sequence => Head::Own { header, crc },
        Ok((header, _)) => Head::Other { sequence: header.sequence },
        Err(error) => Head::Unsound(error),
    })
}

/// Judges the segments in use, each for itself.
fn judge_segments<D: Disk>(disk: &D, progress: &mut dyn FnMut(&Progress)) -> Result<Vec<WalError>, WalError> {
    let sequences = list_sequences(disk)?;
    let heads: Vec<(u64, Head)> = sequences
        .iter()
        .map(|&sequence| read_head(disk, sequence).map(|head| (sequence, head)))
        .collect::<Result<_, _>>()?;
    let mut findings = missing_segments(&sequences);
    let is_own = |(_, head): &(u64, Head)| matches!(head, Head::Own { .. });
    let in_use = heads.iter().rposition(is_own).map_or(0, |last| last + 1);
    let log_id = heads.iter().find_map(|(_, head)| match head {
        Head::Own { header, .. } => Some(header.log_id),
        _ => None,
    });
    let mut done = Progress { segments: in_use, ..Progress::default() };
    for (place, (sequence, head)) in heads[..in_use].iter().enumerate() {
        let next = heads[..in_use].get(place + 1).map(|(_, head)| head);
        findings.extend(judge(disk, log_id.unwrap_or_default(), *sequence, head, next)?);
        done.segments_done += 1;
        progress(&done);
    }
    Ok(findings)
}

fn missing_segments(sequences: &[u64]) -> Vec<WalError> {
    let gaps = sequences.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    gaps.map(|pair| WalError::MissingSegment { missing: name_of(pair[0] + 1), found: name_of(pair[1]) })
        .collect()
}

/// What is wrong with one segment in use; `next` is what the one behind it begins with.
fn judge<D: Disk>(
    disk: &D,
    log_id: u64,
    sequence: u64,
    head: &Head,
    next: Option<&Head>,
) -> Result<Vec<WalError>, WalError> {
    let finding = match head {
        Head::Own { header, crc } if header.log_id == log_id => {
            return judge_batches(disk, header, *crc, next);
        }
        Head::Own { header, .. } => {
            WalError::Foreign { file: name_of(sequence), expected: log_id, found: header.log_id }
        }
        Head::Other { sequence: found } => {
            bad_header(sequence, Fault::Sequence { expected: sequence, found: *found })
        }
        Head::Unsound(error) => error.clone(),
    };
    Ok(vec![finding])
}

/// Every flaw of a segment's batches.
fn judge_batches<D: Disk>(
    disk: &D,
    own: &SegmentHeader,
    crc: u32,
    next: Option<&Head>,
) -> Result<Vec<WalError>, WalError> {
    let bytes = match read_segment(disk, own.sequence) {
        Err(error) if error.is_damage() => return Ok(vec![error]),
        read => read?,
    };
    let mut walk = Walk::new(bytes.as_ref(), own.log_id, own.sequence, crc);
    let mut findings = Vec::new();
    loop {
        if let Some(Head::Own { header, .. }) = next
            && walk.offset >= header.previous_end
        {
            findings.extend(check_end(&walk, header).err().map(|flaw| damaged(own.sequence, flaw)));
            return Ok(findings);
        }
        let Err(flaw) = walk.next_batch() else { continue };
        let resumed = walk.resume_behind_flaw();
        let may_end_here = match next {
            None => true,
            // Where the segment behind has no sound header, nobody says where this one ends.
            Some(Head::Own { .. }) => false,
            Some(_) => flaw.fault == Fault::Unwritten,
        };
        if resumed || !may_end_here {
            findings.push(damaged(own.sequence, flaw));
        }
        if !resumed {
            return Ok(findings);
        }
    }
}
