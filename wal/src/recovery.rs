//! What is found when a log is opened, and what each finding leads to.
//!
//! Whoever writes batch n+1 has seen batch n synced. So whatever stands before *any* sound batch header of
//! the same segment, or before a segment in use, was acknowledged; only the last batch may be unfinished.
//!
//! | found | done |
//! |---|---|
//! | no segment | a new log is made |
//! | zeros behind the last batch | clean end |
//! | an unsound last batch, no batch behind it | torn tail: cut as a whole, reported |
//! | an unsound batch or a hole, a batch of the same segment behind it | refused: damaged |
//! | an unsound batch in a segment that others follow, or one that ends too early or too late | refused: damaged |
//! | a segment begun, its first batch unfinished | wiped, kept as prepared; the log ends in the one before |
//! | prepared segments (zeros, or the bytes of their former life) behind the last in use | kept for later |
//! | a number missing between two segments | refused: missing segment |
//! | entries begin later than the last recorded compaction | refused: missing entries |
//! | a file shorter than a header | refused: short segment |
//! | a header of another log, or of a newer version | refused: foreign, newer version |
//! | segments that compaction no longer needs | dropped |
//! | hard state in the torn batch | the one before it counts |
//! | hard state whose commit lies behind the last entry | refused: entries are missing |
//! | temporary files | removed |
//!
//! The scan changes nothing; what it found is repaired by the open, after the scan accepted everything.
//!
//! Caveat: damage that reaches the very last batch can't be told from a torn write, and is cut like one.
//! Opening writes an empty batch, so what one open accepted is cut by another only if that is hit, too.

use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::format::{BLOCK_BYTES, Fault, SegmentHeader, VERSION};
use crate::index::LogIndex;
use crate::replay::{Flaw, Walk};
use crate::segment::{SealedSegment, list_sequences, map_segment, name_of};

/// How far reading the log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    pub segments_done: usize,
    pub segments: usize,
    pub records: u64,
    pub bytes: u64,
}

/// The unfinished batch that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    pub file: String,
    /// Where the log ends now.
    pub offset: u64,
    /// Bytes of the cut batch, as far as its header tells; the size of a header if it does not.
    pub bytes: u64,
    pub fault: Fault,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// There was no log; it has been made.
    pub created: bool,
    pub log_id: u64,
    /// Segments in use.
    pub segments: usize,
    /// Segments prepared for later.
    pub prepared: usize,
    pub batches: u64,
    /// Records of all kinds.
    pub records: u64,
    /// Bytes of sound batches.
    pub bytes: u64,
    pub first_index: u64,
    pub last_index: u64,
    pub torn_tail: Option<TornTail>,
    /// A segment that had been begun with an unfinished batch.
    pub wiped: Option<String>,
}

pub(crate) fn lock<D: Disk>(disk: &D) -> Result<D::Lock, WalError> {
    disk.lock().map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => WalError::InUse,
        _ => WalError::io("lock", "LOCK", 0)(error),
    })
}

/// The segment that the log goes on in.
#[derive(Debug)]
pub(crate) struct Tail {
    pub sequence: u64,
    /// Where the next batch goes.
    pub end: u64,
    pub chain: u32,
    pub file_bytes: u64,
    /// What the block that `end` lies in holds before it.
    pub lead: Vec<u8>,
}

/// Everything that a scan found out.
pub(crate) struct Scan<D: Disk> {
    pub log_id: u64,
    pub epoch: u32,
    pub index: LogIndex,
    pub sealed: Vec<SealedSegment<D>>,
    pub tail: Tail,
    /// Sequences of segments to be used next, with their sizes.
    pub prepared: Vec<(u64, u64)>,
    /// A prepared segment with traces of an unfinished first batch.
    pub wipe: Option<u64>,
    /// No older segment was left out.
    pub knows_all: bool,
    pub report: Recovery,
}

/// A segment's file and what its header says.
pub(crate) struct Candidate {
    pub sequence: u64,
    file_bytes: u64,
    pub header: Result<(SegmentHeader, u32), Fault>,
}

pub(crate) fn scan<D: Disk>(
    disk: &D,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Option<Scan<D>>, WalError> {
    scan_newest(disk, usize::MAX, progress)
}

/// Scans no more than so many of the newest segments in use, at least two where there are two: the last one may turn
/// out to have no sound batch. What the older ones hold is neither checked nor known.
pub(crate) fn scan_newest<D: Disk>(
    disk: &D,
    newest: usize,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Option<Scan<D>>, WalError> {
    let sequences = list_sequences(disk)?;
    if sequences.is_empty() {
        return Ok(None);
    }
    check_contiguous(&sequences)?;
    let candidates = sequences
        .into_iter()
        .map(|sequence| read_candidate(disk, sequence))
        .collect::<Result<Vec<_>, _>>()?;
    let log_id = log_id_of(&candidates[0])?;
    let in_use = count_in_use(&candidates, log_id)?;
    let oldest = in_use.saturating_sub(newest.max(2));
    let mut scanner = Scanner::new(disk, log_id, &candidates[oldest..in_use], progress)?;
    scanner.knows_all = oldest == 0;
    scanner.read_all()?;
    scanner.finish(&candidates[in_use..]).map(Some)
}

fn check_contiguous(sequences: &[u64]) -> Result<(), WalError> {
    match sequences.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        None => Ok(()),
        Some(pair) => {
            Err(WalError::MissingSegment { missing: name_of(pair[0] + 1), found: name_of(pair[1]) })
        }
    }
}

pub(crate) fn read_candidate<D: Disk>(disk: &D, sequence: u64) -> Result<Candidate, WalError> {
    let name = name_of(sequence);
    let file = disk.open(&name).map_err(WalError::io("open", &name, 0))?;
    let file_bytes = file.len().map_err(WalError::io("size", &name, 0))?;
    if file_bytes < BLOCK_BYTES {
        return Err(WalError::ShortSegment { file: name, bytes: file_bytes });
    }
    let mut block = [0; BLOCK_BYTES as usize];
    file.read_at(&mut block, 0).map_err(WalError::io("read", &name, 0))?;
    Ok(Candidate { sequence, file_bytes, header: SegmentHeader::decode(&block) })
}

fn log_id_of(oldest: &Candidate) -> Result<u64, WalError> {
    match &oldest.header {
        Ok((header, _)) => Ok(header.log_id),
        Err(fault) => Err(bad_header(oldest.sequence, fault.clone())),
    }
}

pub(crate) fn bad_header(sequence: u64, fault: Fault) -> WalError {
    match fault {
        Fault::Version { found } => {
            WalError::NewerVersion { file: name_of(sequence), found, supported: VERSION }
        }
        fault => damaged(sequence, Flaw { offset: 0, fault }),
    }
}

pub(crate) fn damaged(sequence: u64, flaw: Flaw) -> WalError {
    WalError::Damaged { file: name_of(sequence), offset: flaw.offset, fault: flaw.fault }
}

/// How many of the segments are in use: all up to the last one with a header of its own.
fn count_in_use(candidates: &[Candidate], log_id: u64) -> Result<usize, WalError> {
    let mut in_use = 0;
    for (position, candidate) in candidates.iter().enumerate() {
        if is_in_use(candidate, log_id)? {
            in_use = position + 1;
        }
    }
    for candidate in &candidates[..in_use.max(1)] {
        own_header(candidate)?;
    }
    Ok(in_use)
}

fn is_in_use(candidate: &Candidate, log_id: u64) -> Result<bool, WalError> {
    let file = || name_of(candidate.sequence);
    match &candidate.header {
        Ok((header, _)) if header.log_id != log_id => {
            Err(WalError::Foreign { file: file(), expected: log_id, found: header.log_id })
        }
        Ok((header, _)) if header.sequence > candidate.sequence => own_header(candidate).map(|_| true),
        Ok((header, _)) => Ok(header.sequence == candidate.sequence),
        Err(Fault::Version { found }) => {
            Err(bad_header(candidate.sequence, Fault::Version { found: *found }))
        }
        Err(_) => Ok(false),
    }
}

/// The header of a segment that is in use, or must be.
fn own_header(candidate: &Candidate) -> Result<(SegmentHeader, u32), WalError> {
    let sequence = candidate.sequence;
    match &candidate.header {
        Ok((header, crc)) if header.sequence == sequence => Ok((*header, *crc)),
        Ok((header, _)) => {
            Err(bad_header(sequence, Fault::Sequence { expected: sequence, found: header.sequence }))
        }
        Err(fault) => Err(bad_header(sequence, fault.clone())),
    }
}

/// A segment in use.
struct InUse {
    sequence: u64,
    file_bytes: u64,
    header: SegmentHeader,
    header_crc: u32,
}

struct Scanner<'a, D: Disk> {
    disk: &'a D,
    log_id: u64,
    in_use: Vec<InUse>,
    /// No older segment was left out.
    knows_all: bool,
    progress: &'a mut dyn FnMut(&Progress),
    done: Progress,
    index: LogIndex,
    epoch: u32,
    batches: u64,
    sealed: Vec<SealedSegment<D>>,
    tail: Option<Tail>,
    torn: Option<TornTail>,
    wipe: Option<u64>,
}

impl<'a, D: Disk> Scanner<'a, D> {
    fn new(
        disk: &'a D,
        log_id: u64,
        candidates: &[Candidate],
        progress: &'a mut dyn FnMut(&Progress),
    ) -> Result<Scanner<'a, D>, WalError> {
        let in_use = candidates
            .iter()
            .map(|candidate| {
                own_header(candidate).map(|(header, header_crc)| InUse {
                    sequence: candidate.sequence,
                    file_bytes: candidate.file_bytes,
                    header,
                    header_crc,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let done = Progress { segments: in_use.len(), ..Progress::default() };
        Ok(Scanner {
            disk,
            log_id,
            index: LogIndex::starting_at(in_use[0].header.first_index),
            in_use,
            knows_all: true,
            progress,
            done,
            epoch: 0,
            batches: 0,
            sealed: Vec::new(),
            tail: None,
            torn: None,
            wipe: None,
        })
    }

    fn read_all(&mut self) -> Result<(), WalError> {
        for position in 0..self.in_use.len() {
            if position + 1 < self.in_use.len() {
                self.read_sealed(position)?;
            } else {
                self.read_last(position)?;
            }
            self.done.segments_done += 1;
            (self.progress)(&self.done);
        }
        Ok(())
    }

    /// Reads a segment that others follow: it must be sound up to the end that the next one names.
    fn read_sealed(&mut self, position: usize) -> Result<(), WalError> {
        let next = self.in_use[position + 1].header;
        let sequence = self.in_use[position].sequence;
        let map = map_segment(self.disk, sequence)?;
        let mut walk = self.walk(position, map.as_ref())?;
        while walk.offset < next.previous_end {
            self.take_batch(&mut walk, sequence).map_err(|flaw| damaged(sequence, flaw))?;
        }
        check_end(&walk, &next).map_err(|flaw| damaged(sequence, flaw))?;
        let file_bytes = self.in_use[position].file_bytes;
        self.sealed.push(SealedSegment::new(sequence, walk.offset, file_bytes));
        Ok(())
    }

    fn read_last(&mut self, position: usize) -> Result<(), WalError> {
        let sequence = self.in_use[position].sequence;
        let name = name_of(sequence);
        let bytes = self.disk.read_all(&name).map_err(WalError::io("read", &name, 0))?;
        let mut walk = self.walk(position, bytes.as_ref())?;
        let flaw = self.take_batches(&mut walk, sequence)?;
        if walk.later_batch().is_some() {
            return Err(damaged(sequence, flaw));
        }
        if walk.offset == BLOCK_BYTES {
            return self.give_up_last(position, flaw);
        }
        if flaw.fault != Fault::Unwritten {
            self.torn = Some(TornTail {
                file: name,
                offset: walk.offset,
                bytes: walk.announced_bytes(),
                fault: flaw.fault,
            });
        }
        self.tail = Some(self.tail_at(position, walk.offset, walk.chain, bytes.as_ref()));
        Ok(())
    }

    /// Takes all sound batches and returns what stopped it.
    fn take_batches(&mut self, walk: &mut Walk<'_>, sequence: u64) -> Result<Flaw, WalError> {
        loop {
            let before = walk.offset;
            match self.take_batch(walk, sequence) {
                Ok(()) => {}
                Err(flaw) if walk.offset == before => return Ok(flaw),
                // The batch is sound, what it says is not: no torn write does that.
                Err(flaw) => return Err(damaged(sequence, flaw)),
            }
        }
    }

    /// The last segment was begun, but its first batch never counted: the log ends in the one before.
    fn give_up_last(&mut self, position: usize, flaw: Flaw) -> Result<(), WalError> {
        let given_up = &self.in_use[position];
        let (sequence, header) = (given_up.sequence, given_up.header);
        let Some(before) = self.sealed.pop() else {
            // A log's first segment gets its name only when its first batch is synced.
            return Err(damaged(sequence, flaw));
        };
        self.wipe = Some(sequence);
        let map = map_segment(self.disk, before.sequence)?;
        self.tail = Some(self.tail_at(position - 1, header.previous_end, header.previous_crc, map.as_ref()));
        Ok(())
    }

    fn tail_at(&self, position: usize, end: u64, chain: u32, bytes: &[u8]) -> Tail {
        let lead_bytes = (end % self.disk.write_granularity()) as usize;
        let end_byte = (end as usize).min(bytes.len());
        Tail {
            sequence: self.in_use[position].sequence,
            end,
            chain,
            file_bytes: self.in_use[position].file_bytes,
            lead: bytes[end_byte - lead_bytes..end_byte].to_vec(),
        }
    }

    fn walk<'b>(&self, position: usize, bytes: &'b [u8]) -> Result<Walk<'b>, WalError> {
        let segment = &self.in_use[position];
        let expected = self.index.next_index();
        let found = segment.header.first_index;
        if found != expected {
            return Err(bad_header(segment.sequence, Fault::Index { expected, found }));
        }
        Ok(Walk::new(bytes, self.log_id, segment.sequence, segment.header_crc))
    }

    fn take_batch(&mut self, walk: &mut Walk<'_>, sequence: u64) -> Result<(), Flaw> {
        let batch = walk.next_batch()?;
        batch.apply_to(&mut self.index, sequence)?;
        self.epoch = self.epoch.max(batch.header.epoch);
        self.batches += 1;
        self.done.records += u64::from(batch.header.records);
        self.done.bytes += walk.offset - batch.offset;
        Ok(())
    }

    fn finish(mut self, behind: &[Candidate]) -> Result<Scan<D>, WalError> {
        for candidate in behind {
            self.check_unused(candidate)?;
        }
        self.check_index()?;
        let tail = self.tail.take().expect("reading the last segment sets it");
        let given_up = self.in_use.iter().filter(|segment| segment.sequence > tail.sequence);
        let prepared: Vec<(u64, u64)> = given_up
            .map(|segment| (segment.sequence, segment.file_bytes))
            .chain(behind.iter().map(|c| (c.sequence, c.file_bytes)))
            .collect();
        Ok(Scan {
            log_id: self.log_id,
            epoch: self.epoch,
            report: self.report(prepared.len()),
            index: self.index,
            sealed: self.sealed,
            tail,
            prepared,
            wipe: self.wipe,
            knows_all: self.knows_all,
        })
    }

    fn report(&self, prepared: usize) -> Recovery {
        Recovery {
            created: false,
            log_id: self.log_id,
            segments: self.sealed.len() + 1,
            prepared,
            batches: self.batches,
            records: self.done.records,
            bytes: self.done.bytes,
            first_index: self.index.first_index(),
            last_index: self.index.last().index,
            torn_tail: self.torn.clone(),
            wiped: self.wipe.map(name_of),
        }
    }

    /// A segment without a header of its own is unused, unless its content proves otherwise.
    fn check_unused(&mut self, candidate: &Candidate) -> Result<(), WalError> {
        let sequence = candidate.sequence;
        let map = map_segment(self.disk, sequence)?;
        let walk = Walk::new(map.as_ref(), self.log_id, sequence, 0);
        let was_begun = walk.has_batch_here();
        if walk.later_batch().is_some() || (was_begun && self.torn.is_some()) {
            let fault = candidate.header.as_ref().err().cloned();
            return Err(bad_header(sequence, fault.unwrap_or(Fault::Unwritten)));
        }
        if was_begun {
            self.wipe = Some(sequence);
        }
        Ok(())
    }

    fn check_index(&self) -> Result<(), WalError> {
        let expected = self.index.first_index();
        let found = self.index.held_from();
        if found > expected && self.knows_all {
            return Err(WalError::MissingEntries { file: name_of(self.in_use[0].sequence), expected, found });
        }
        let commit = self.index.hard_state().commit;
        let last = self.index.last().index;
        if commit > last {
            return Err(WalError::CommitBeyondLog { commit, last });
        }
        Ok(())
    }
}

/// A segment that others follow must end where the next one says, with the batch that it names.
pub(crate) fn check_end(walk: &Walk<'_>, next: &SegmentHeader) -> Result<(), Flaw> {
    let offset = walk.offset;
    if offset != next.previous_end {
        let fault = Fault::End { expected: next.previous_end, found: offset };
        return Err(Flaw { offset, fault });
    }
    if walk.chain != next.previous_crc {
        let fault = Fault::Chain { expected: next.previous_crc, found: walk.chain };
        return Err(Flaw { offset, fault });
    }
    Ok(())
}
