//! A damaged log, read for what can be saved of it: the entries after a checkpoint, up to the first damage after that.
//!
//! - Only a person asks for this: what comes after the damage may have been acknowledged. A node never does.
//! - A run is a row of segments, each sound up to where the next one says that it ends. The first run that holds the entries from
//!   the checkpoint on is taken, and ends at the batch that is damaged.

use crate::disk::Disk;
use crate::error::WalError;
use crate::format::{BLOCK_BYTES, Fault, SegmentHeader};
use crate::index::{LogIndex, Position};
use crate::recovery::{
    Candidate, Progress, Recovery, Scan, Sources, Tail, bad_header, check_end, count_in_use, damaged, lock,
    log_id_of, missing_between, own_header, read_candidate, scan,
};
use crate::replay::Walk;
use crate::segment::{SealedSegment, list_sequences, name_of, read_readable};
use crate::view::LogView;

/// What can be saved of a log.
pub struct Salvage<D: Disk> {
    pub view: LogView<D>,
    /// Why entries after it are lost; empty if the log is whole.
    pub damage: Vec<WalError>,
    /// The log went on up to this entry at least, as far as the headers of later segments tell.
    pub went_on_to: u64,
}

/// What there was to be saved. Either way the folder is held as long as this lives.
pub enum Salvaged<D: Disk> {
    Log(Box<Salvage<D>>),
    /// Nothing after the checkpoint, or there is no log.
    Nothing(D::Lock),
}

impl<D: Disk> LogView<D> {
    /// Reads what a log holds after a checkpoint; index 0 stands for none. Of a sound log that is all, of a damaged one what comes
    /// before the damage.
    ///
    /// # Errors
    /// The folder is in use or can't be read, or the log is of a later version, or of several logs.
    pub fn salvage(
        disk: D,
        checkpoint: Position,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Salvaged<D>, WalError> {
        let lock = lock(&disk)?;
        let mut known = || Some(checkpoint).filter(|checkpoint| checkpoint.index > 0);
        let (scan, damage, went_on_to) = match scan(&disk, &mut Sources { progress, checkpoint: &mut known })
        {
            Ok(None) => return Ok(Salvaged::Nothing(lock)),
            Ok(Some(scan)) if !covers(&scan.index, checkpoint) => return Ok(Salvaged::Nothing(lock)),
            Ok(Some(scan)) => (scan, Vec::new(), 0),
            Err(error @ WalError::Foreign { .. }) => return Err(error),
            Err(error) if error.is_damage() => match Salvager::read(&disk, checkpoint)? {
                Some(found) => naming(error, found),
                None => return Ok(Salvaged::Nothing(lock)),
            },
            Err(error) => return Err(error),
        };
        let went_on_to = went_on_to.max(scan.index.last().index);
        Ok(Salvaged::Log(Box::new(Salvage { view: LogView::of(disk, scan, lock), damage, went_on_to })))
    }
}

/// What was found, with the reason why the log was refused among the damage: a run may end cleanly before a segment that does not
/// count as one in use any more, because its header is damaged or the file is gone.
fn naming<D: Disk>(refusal: WalError, (scan, mut damage, went_on_to): Found<D>) -> Found<D> {
    let finding = refusal.finding();
    if damage.iter().all(|error| error.finding() != finding) {
        damage.push(refusal);
    }
    (scan, damage, went_on_to)
}

/// The metadata that the newest segments of a log still tell, also where the log can't be opened: each segment repeats it in its first batch.
/// `None` where no sound batch has any.
pub fn sound_metadata<D: Disk>(disk: &D) -> Option<Vec<u8>> {
    let sequences = list_sequences(disk).ok()?;
    sequences.into_iter().rev().find_map(|sequence| metadata_in(disk, sequence))
}

/// The last metadata in a segment before its first damage.
fn metadata_in<D: Disk>(disk: &D, sequence: u64) -> Option<Vec<u8>> {
    let (header, crc) = own_header(&read_candidate(disk, sequence).ok()?).ok()?;
    let (bytes, _) = read_readable(disk, sequence).ok()?;
    let mut walk = Walk::new(bytes.as_ref(), header.log_id, sequence, crc);
    let mut index = LogIndex::starting_at(header.first_index);
    while let Ok(batch) = walk.next_batch() {
        batch.apply_to(&mut index, sequence).ok()?;
    }
    Some(index.metadata().to_vec()).filter(|metadata| !metadata.is_empty())
}

/// Whether entries go on after a checkpoint where it ends, and it is of this log.
fn covers(index: &LogIndex, checkpoint: Position) -> bool {
    let begins = index.held_from() <= checkpoint.index + 1 && index.base().index <= checkpoint.index;
    let is_same = index.term(checkpoint.index).is_none_or(|term| term == checkpoint.term);
    begins && checkpoint.index < index.next_index() && is_same
}

/// Sound segments in a row.
struct Run<D: Disk> {
    index: LogIndex,
    sealed: Vec<SealedSegment<D>>,
    tail: Tail,
    /// All sectors of the last segment can be read.
    is_whole: bool,
    epoch: u32,
}

struct Salvager<'a, D: Disk> {
    disk: &'a D,
    log_id: u64,
    checkpoint: Position,
    run: Option<Run<D>>,
    damage: Vec<WalError>,
}

type Found<D> = (Scan<D>, Vec<WalError>, u64);

impl<'a, D: Disk> Salvager<'a, D> {
    fn read(disk: &'a D, checkpoint: Position) -> Result<Option<Found<D>>, WalError> {
        let candidates: Vec<Candidate> = list_sequences(disk)?
            .into_iter()
            .map(|sequence| read_candidate(disk, sequence))
            .collect::<Result<_, _>>()?;
        let Ok(log_id) = log_id_of(&candidates) else { return Ok(None) };
        let in_use = match count_in_use(&candidates, log_id) {
            Err(error @ WalError::Foreign { .. }) => return Err(error),
            Err(error) if error.is_damage() => return Ok(None),
            counted => counted?,
        };
        let mut salvager = Salvager { disk, log_id, checkpoint, run: None, damage: Vec::new() };
        for (position, candidate) in candidates[..in_use].iter().enumerate() {
            let next = candidates[..in_use].get(position + 1);
            if let Err(error) = salvager.take(candidate, next)? {
                salvager.damage.push(error);
                if salvager.is_enough() {
                    break;
                }
                salvager.run = None;
            }
        }
        let headers = candidates[..in_use].iter().filter_map(|candidate| own_header(candidate).ok());
        let went_on_to = headers.map(|(header, _)| header.first_index.saturating_sub(1)).max().unwrap_or(0);
        Ok(salvager.finish().map(|(scan, damage)| (scan, damage, went_on_to)))
    }

    fn is_enough(&self) -> bool {
        self.run.as_ref().is_some_and(|run| covers(&run.index, self.checkpoint))
    }

    /// Takes a segment's batches into the run, up to its end or the first damage, which is the inner error.
    fn take(
        &mut self,
        candidate: &Candidate,
        next: Option<&Candidate>,
    ) -> Result<Result<(), WalError>, WalError> {
        let (header, crc) = match own_header(candidate) {
            Ok(own) => own,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(error) = self.run.as_ref().and_then(|run| breaks(run, &header)) {
            if self.is_enough() {
                return Ok(Err(error));
            }
            self.damage.push(error);
            self.run = None;
        }
        let (bytes, unreadable) = match read_readable(self.disk, header.sequence) {
            Err(error) if error.is_damage() => return Ok(Err(error)),
            read => read?,
        };
        let mut walk = Walk::new(bytes.as_ref(), self.log_id, header.sequence, crc);
        let mut run = match self.run.take() {
            None => Run::beginning_with(&header),
            Some(run) => run.going_on(),
        };
        let end = next.and_then(|next| own_header(next).ok()).map(|(header, _)| header);
        let taken = run.take_batches(&mut walk, header.sequence, end.as_ref());
        run.is_whole = unreadable.is_none();
        let taken = match unreadable {
            Some(error) if is_cut_short(&walk, end.as_ref()) => Err(error),
            _ => taken,
        };
        run.tail = Tail {
            sequence: header.sequence,
            end: walk.offset,
            chain: walk.chain,
            file_bytes: candidate.file_bytes,
            lead: Vec::new(),
        };
        self.run = Some(run);
        let missing = next.and_then(|next| missing_between(candidate, next));
        Ok(taken.and(missing.map_or(Ok(()), Err)))
    }

    fn finish(self) -> Option<(Scan<D>, Vec<WalError>)> {
        let run = self.run.filter(|run| covers(&run.index, self.checkpoint))?;
        let report = Recovery {
            log_id: self.log_id,
            segments: run.sealed.len() + 1,
            first_index: run.index.first_index(),
            last_index: run.index.last().index,
            ..Recovery::default()
        };
        let scan = Scan {
            log_id: self.log_id,
            epoch: run.epoch,
            index: run.index,
            sealed: run.sealed,
            tail: run.tail,
            prepared: Vec::new(),
            wipe: None,
            unreadable: Vec::new(),
            knows_all: true,
            compact_to: None,
            report,
        };
        Some((scan, self.damage))
    }
}

/// Whether a walk over what stands before a sector that can't be read ended there, and not at the segment's end or at damage before it.
fn is_cut_short(walk: &Walk<'_>, next: Option<&SegmentHeader>) -> bool {
    next.is_none_or(|next| walk.offset < next.previous_end) && walk.later_batch().is_none()
}

/// Why a segment does not go on where the run ends.
fn breaks<D: Disk>(run: &Run<D>, header: &SegmentHeader) -> Option<WalError> {
    let Tail { sequence, end, chain, .. } = run.tail;
    if (header.previous_end, header.previous_crc) != (end, chain) {
        let fault = Fault::End { expected: header.previous_end, found: end };
        return Some(WalError::Damaged { file: name_of(sequence), offset: end, fault });
    }
    let (expected, found) = (run.index.next_index(), header.first_index);
    (expected != found).then(|| bad_header(header.sequence, Fault::Index { expected, found }))
}

impl<D: Disk> Run<D> {
    fn beginning_with(header: &SegmentHeader) -> Run<D> {
        Run {
            index: LogIndex::starting_at(header.first_index),
            sealed: Vec::new(),
            tail: Tail {
                sequence: header.sequence,
                end: BLOCK_BYTES,
                chain: 0,
                file_bytes: 0,
                lead: Vec::new(),
            },
            is_whole: true,
            epoch: header.epoch,
        }
    }

    /// The segment that was the last is followed by another.
    fn going_on(mut self) -> Run<D> {
        let Tail { sequence, end, file_bytes, .. } = self.tail;
        self.sealed.push(if self.is_whole {
            SealedSegment::verified(sequence, end, file_bytes)
        } else {
            SealedSegment::unreadable_after_end(sequence, end, file_bytes)
        });
        self
    }

    fn take_batches(
        &mut self,
        walk: &mut Walk<'_>,
        sequence: u64,
        next: Option<&SegmentHeader>,
    ) -> Result<(), WalError> {
        loop {
            if let Some(next) = next
                && walk.offset >= next.previous_end
            {
                return check_end(walk, next).map_err(|flaw| damaged(sequence, flaw));
            }
            let batch = match walk.next_batch() {
                Ok(batch) => batch,
                // The end of the log, or a torn tail.
                Err(_) if next.is_none() && walk.later_batch().is_none() => return Ok(()),
                Err(flaw) => return Err(damaged(sequence, flaw)),
            };
            batch.apply_to(&mut self.index, sequence).map_err(|flaw| damaged(sequence, flaw))?;
            self.epoch = self.epoch.max(batch.header.epoch);
        }
    }
}
