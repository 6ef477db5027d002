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
//! | an unsound batch in a segment that others follow, or one that ends too early or too late | old damage, or refused: damaged |
//! | a segment begun, its first batch unfinished | wiped, kept as prepared; the log ends in the one before |
//! | prepared segments (zeros, or the bytes of their former life) behind the last in use | kept for later |
//! | no segment as new as the newest that was noted to have been begun | refused: newest segments missing |
//! | a number missing between two segments | old damage, or refused: missing segment |
//! | entries begin later than the last recorded compaction | old damage, or refused: missing entries |
//! | a file shorter than a header, a header that is unsound | old damage, or refused: short segment, damaged |
//! | a sector that can't be read | as unsound bytes at that place; in the last segment in use refused wherever it is |
//! | the same after the end of a segment that others follow | passed over |
//! | the same in a prepared segment with a sound header of its former life, or zeros for one | written over |
//! | a header of another log, or of a newer version | refused: foreign, newer version |
//! | segments that compaction no longer needs | dropped |
//! | hard state in the torn batch | the one before it counts |
//! | hard state whose commit lies behind the last entry | refused: entries are missing |
//! | temporary files | removed |
//!
//! Old damage: whatever is wrong with a segment that others follow, the log can begin with the next one, for that repeats hard
//! state, metadata and compaction. It does where nothing is lost by it: the entries that it then lacks were compacted away, or
//! a checkpoint of the caller's holds them ([`Sources::checkpoint`], asked only then). The segments before are left out and reported.
//!
//! The scan changes nothing; what it found is repaired by the open, after the scan accepted everything.
//!
//! Caveat: damage that reaches the very last batch can't be told from a torn write, and is cut like one.
//! Opening writes an empty batch, so what one open accepted is cut by another only if that is hit, too.

use std::ops::Range;

use crate::disk::aligned::AlignedBuf;
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::format::{BLOCK_BYTES, Fault, SegmentHeader, VERSION};
use crate::index::{LogIndex, Position};
use crate::planted::{self, Bug};
use crate::replay::{Flaw, Walk};
use crate::segment::{SealedSegment, check_newest, list_sequences, name_of, read_readable};

/// How far reading the log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    pub segments_done: usize,
    pub segments: usize,
    pub records: u64,
    pub bytes: u64,
}

/// What a scan may ask its caller for, and tell it.
pub struct Sources<'a> {
    /// Hears how far reading has come, after every segment.
    pub progress: &'a mut dyn FnMut(&Progress),
    /// The last entry of a checkpoint that holds all entries up to it, if there is one. Asked only where a part of the log is
    /// damaged that such a checkpoint would make needless.
    pub checkpoint: &'a mut dyn FnMut() -> Option<Position>,
}

/// The oldest segments, left out because of damage: no entry in them is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What is wrong, with file and offset, oldest first.
    pub damage: Vec<String>,
    /// The files that are left out, sound ones before damaged ones included; an open puts `damaged-` before their names.
    pub files: Vec<String>,
    /// The segment that the log begins with.
    pub begins_with: String,
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
    pub left_out: Option<LeftOut>,
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
    /// Space that means nothing, with sectors that can't be read, by sequence: to be written over.
    pub unreadable: Vec<(u64, Range<u64>)>,
    /// No older segment was passed over unread.
    pub knows_all: bool,
    /// Entries up to this one are to be compacted away: some of them are left out.
    pub compact_to: Option<Position>,
    pub report: Recovery,
}

/// A segment's file and what its header says.
pub(crate) struct Candidate {
    pub sequence: u64,
    pub file_bytes: u64,
    /// The header, or what is wrong with it.
    pub header: Result<(SegmentHeader, u32), WalError>,
}

pub(crate) fn scan<D: Disk>(disk: &D, sources: &mut Sources<'_>) -> Result<Option<Scan<D>>, WalError> {
    scan_newest(disk, usize::MAX, sources)
}

/// Scans no more than so many of the newest segments in use, at least two where there are two: the last one may turn
/// out to have no sound batch. What the older ones hold is neither checked nor known.
pub(crate) fn scan_newest<D: Disk>(
    disk: &D,
    newest: usize,
    sources: &mut Sources<'_>,
) -> Result<Option<Scan<D>>, WalError> {
    let sequences = list_sequences(disk)?;
    check_newest(disk, &sequences)?;
    if sequences.is_empty() {
        return Ok(None);
    }
    let candidates = sequences
        .into_iter()
        .map(|sequence| read_candidate(disk, sequence))
        .collect::<Result<Vec<_>, _>>()?;
    let log_id = log_id_of(&candidates)?;
    let in_use = count_in_use(&candidates, log_id)?;
    check_prepared(&candidates[in_use - 1..])?;
    let (first, damage) = skip_unusable(&candidates[..in_use]);
    let oldest = first.max(in_use.saturating_sub(newest.max(2)));
    let mut scanner = Scanner::new(disk, log_id, &candidates[oldest..in_use], sources)?;
    scanner.knows_all = oldest == first;
    if scanner.knows_all {
        scanner.damage = damage;
    }
    scanner.read_all()?;
    scanner.finish(&candidates[..oldest], &candidates[in_use..]).map(Some)
}

/// The first segment from which on all that are in use have their headers and none is missing, and what is wrong before it.
fn skip_unusable(in_use: &[Candidate]) -> (usize, Vec<WalError>) {
    let (mut first, mut damage) = (0, Vec::new());
    for (position, candidate) in in_use.iter().enumerate() {
        let wrong = own_header(candidate).err().into_iter();
        let missing = in_use.get(position + 1).and_then(|next| missing_between(candidate, next));
        for error in wrong.chain(missing) {
            damage.push(error);
            // The last one that is in use has a header of its own, and none follows it.
            first = position + 1;
        }
    }
    (first, damage)
}

pub(crate) fn missing_between(before: &Candidate, next: &Candidate) -> Option<WalError> {
    let expected = before.sequence + 1;
    let is_missing = next.sequence != expected;
    is_missing.then(|| WalError::MissingSegment { missing: name_of(expected), found: name_of(next.sequence) })
}

/// The segments from the last in use on must be without a gap, and none too short.
fn check_prepared(candidates: &[Candidate]) -> Result<(), WalError> {
    for pair in candidates.windows(2) {
        missing_between(&pair[0], &pair[1]).map_or(Ok(()), Err)?;
        if let Err(error @ (WalError::ShortSegment { .. } | WalError::Io { .. })) = &pair[1].header {
            return Err(error.clone());
        }
    }
    Ok(())
}

/// Reads a segment's header. Fails only where that says nothing of the segment.
pub(crate) fn read_candidate<D: Disk>(disk: &D, sequence: u64) -> Result<Candidate, WalError> {
    let name = name_of(sequence);
    let file = disk.open(&name).map_err(WalError::io("open", &name, 0))?;
    let file_bytes = file.len().map_err(WalError::io("size", &name, 0))?;
    let mut block = [0; BLOCK_BYTES as usize];
    let header = if file_bytes < BLOCK_BYTES {
        Err(WalError::ShortSegment { file: name, bytes: file_bytes })
    } else {
        match file.read_at(&mut block, 0).map_err(WalError::io("read", &name, 0)) {
            Err(error) if error.is_damage() => Err(error),
            read => {
                read?;
                SegmentHeader::decode(&block).map_err(|fault| bad_header(sequence, fault))
            }
        }
    };
    Ok(Candidate { sequence, file_bytes, header })
}

/// The log that the oldest sound header is of.
pub(crate) fn log_id_of(candidates: &[Candidate]) -> Result<u64, WalError> {
    let mut sound = candidates.iter().filter_map(|candidate| candidate.header.as_ref().ok());
    match (sound.next(), &candidates[0].header) {
        (Some((header, _)), _) => Ok(header.log_id),
        (None, first) => Err(first.clone().expect_err("no header is sound")),
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

/// How many of the segments are in use, at least one: all up to the last one with a header of its own.
pub(crate) fn count_in_use(candidates: &[Candidate], log_id: u64) -> Result<usize, WalError> {
    let mut in_use = 0;
    for (position, candidate) in candidates.iter().enumerate() {
        if is_in_use(candidate, log_id)? {
            in_use = position + 1;
        }
    }
    if in_use == 0 {
        own_header(&candidates[0])?;
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
        Err(error @ WalError::NewerVersion { .. }) => Err(error.clone()),
        Err(_) => Ok(false),
    }
}

/// The header of a segment that is in use, or must be.
pub(crate) fn own_header(candidate: &Candidate) -> Result<(SegmentHeader, u32), WalError> {
    let sequence = candidate.sequence;
    match &candidate.header {
        Ok((header, crc)) if header.sequence == sequence => Ok((*header, *crc)),
        Ok((header, _)) => {
            Err(bad_header(sequence, Fault::Sequence { expected: sequence, found: header.sequence }))
        }
        Err(error) => Err(error.clone()),
    }
}

/// A segment in use.
struct InUse {
    sequence: u64,
    file_bytes: u64,
    header: SegmentHeader,
    header_crc: u32,
}

struct Scanner<'a, 's, D: Disk> {
    disk: &'a D,
    log_id: u64,
    in_use: Vec<InUse>,
    /// No older segment was passed over unread.
    knows_all: bool,
    sources: &'a mut Sources<'s>,
    /// What is wrong with segments before the one that the log can begin with.
    damage: Vec<WalError>,
    /// How many of those in use are left out.
    skipped: usize,
    done: Progress,
    index: LogIndex,
    epoch: u32,
    batches: u64,
    sealed: Vec<SealedSegment<D>>,
    tail: Option<Tail>,
    torn: Option<TornTail>,
    wipe: Option<u64>,
    unreadable: Vec<(u64, Range<u64>)>,
}

impl<'a, 's, D: Disk> Scanner<'a, 's, D> {
    fn new(
        disk: &'a D,
        log_id: u64,
        candidates: &[Candidate],
        sources: &'a mut Sources<'s>,
    ) -> Result<Scanner<'a, 's, D>, WalError> {
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
            sources,
            damage: Vec::new(),
            skipped: 0,
            done,
            epoch: 0,
            batches: 0,
            sealed: Vec::new(),
            tail: None,
            torn: None,
            wipe: None,
            unreadable: Vec::new(),
        })
    }

    fn read_all(&mut self) -> Result<(), WalError> {
        for position in 0..self.in_use.len() {
            if position + 1 < self.in_use.len() {
                match self.read_sealed(position) {
                    Err(error) if error.is_damage() => self.begin_after(position, error),
                    read => read?,
                }
            } else {
                self.read_last(position)?;
            }
            self.done.segments_done += 1;
            (self.sources.progress)(&self.done);
        }
        Ok(())
    }

    /// The log can begin with the segment after a damaged one, if [`Scanner::begin`] finds that nothing is lost by it.
    fn begin_after(&mut self, position: usize, damage: WalError) {
        self.damage.push(damage);
        self.skipped = position + 1;
        self.index = LogIndex::starting_at(self.in_use[position + 1].header.first_index);
        self.sealed.clear();
        (self.epoch, self.batches) = (0, 0);
        (self.done.records, self.done.bytes) = (0, 0);
    }

    /// Reads a segment that others follow: it must be sound up to the end that the next one names. What is after that means nothing.
    fn read_sealed(&mut self, position: usize) -> Result<(), WalError> {
        let next = self.in_use[position + 1].header;
        let sequence = self.in_use[position].sequence;
        let (bytes, is_whole) = read_up_to(self.disk, sequence, next.previous_end)?;
        let mut walk = self.walk(position, bytes.as_ref())?;
        while walk.offset < next.previous_end {
            self.take_batch(&mut walk, sequence).map_err(|flaw| damaged(sequence, flaw))?;
        }
        check_end(&walk, &next).map_err(|flaw| damaged(sequence, flaw))?;
        let file_bytes = self.in_use[position].file_bytes;
        self.sealed.push(if is_whole {
            SealedSegment::verified(sequence, walk.offset, file_bytes)
        } else {
            SealedSegment::unreadable_after_end(sequence, walk.offset, file_bytes)
        });
        Ok(())
    }

    fn read_last(&mut self, position: usize) -> Result<(), WalError> {
        let sequence = self.in_use[position].sequence;
        let name = name_of(sequence);
        let bytes = self.disk.read_all(&name).map_err(WalError::read(&name))?;
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
        let (bytes, is_whole) = read_up_to(self.disk, before.sequence, header.previous_end)?;
        if !is_whole {
            // As the last one in use it has to be readable wherever it is.
            let from = header.previous_end.next_multiple_of(self.disk.write_granularity());
            self.unreadable.push((before.sequence, from..before.file_bytes));
        }
        self.tail =
            Some(self.tail_at(position - 1, header.previous_end, header.previous_crc, bytes.as_ref()));
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

    fn finish(mut self, older: &[Candidate], unused: &[Candidate]) -> Result<Scan<D>, WalError> {
        for candidate in unused {
            self.check_unused(candidate)?;
        }
        self.check_commit()?;
        let compact_to = self.begin()?;
        let tail = self.tail.take().expect("reading the last segment sets it");
        let given_up = self.in_use.iter().filter(|segment| segment.sequence > tail.sequence);
        let prepared: Vec<(u64, u64)> = given_up
            .map(|segment| (segment.sequence, segment.file_bytes))
            .chain(unused.iter().map(|c| (c.sequence, c.file_bytes)))
            .collect();
        let report = Recovery { left_out: self.left_out(older), ..self.report(prepared.len()) };
        Ok(Scan {
            log_id: self.log_id,
            epoch: self.epoch,
            report,
            index: self.index,
            sealed: self.sealed,
            tail,
            prepared,
            wipe: self.wipe,
            unreadable: self.unreadable,
            knows_all: self.knows_all,
            compact_to,
        })
    }

    /// Sees that every entry that the log lacks at its begin was compacted away, or is in a checkpoint. Then the log begins
    /// after the entry that is returned: the first that it holds, or the checkpoint's.
    fn begin(&mut self) -> Result<Option<Position>, WalError> {
        let (expected, found) = (self.index.first_index(), self.index.held_from());
        if found <= expected || !self.knows_all {
            return Ok(None);
        }
        let file = name_of(self.in_use[self.skipped].sequence);
        if self.damage.is_empty() {
            self.damage.push(WalError::MissingEntries { file, expected, found });
        }
        let is_asked = !planted::is(Bug::CondemnForOldDamage);
        let checkpoint = is_asked.then(|| (self.sources.checkpoint)()).flatten();
        let base = checkpoint.and_then(|checkpoint| base_under(&self.index, checkpoint));
        let base = base.ok_or_else(|| self.damage[0].clone())?;
        let sequence = self.in_use[self.skipped].sequence;
        self.index.compact(base).map_err(|fault| bad_header(sequence, fault))?;
        Ok(Some(base))
    }

    fn left_out(&self, older: &[Candidate]) -> Option<LeftOut> {
        if self.damage.is_empty() {
            return None;
        }
        let skipped = self.in_use[..self.skipped].iter().map(|segment| segment.sequence);
        let sequences = older.iter().map(|candidate| candidate.sequence).chain(skipped);
        Some(LeftOut {
            damage: self.damage.iter().map(WalError::finding).collect(),
            files: sequences.map(name_of).collect(),
            begins_with: name_of(self.in_use[self.skipped].sequence),
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
            left_out: None,
            wiped: self.wipe.map(name_of),
        }
    }

    /// A segment without a header of its own is unused, unless its content proves otherwise.
    fn check_unused(&mut self, candidate: &Candidate) -> Result<(), WalError> {
        let sequence = candidate.sequence;
        let (bytes, unreadable) = read_readable(self.disk, sequence)?;
        if let Some(error) = unreadable {
            if !is_unbegun(candidate) {
                return Err(error);
            }
            self.unreadable.push((sequence, 0..candidate.file_bytes));
        }
        let walk = Walk::new(bytes.as_ref(), self.log_id, sequence, 0);
        let was_begun = walk.has_batch_here();
        if walk.later_batch().is_some() || (was_begun && self.torn.is_some()) {
            let error = candidate.header.as_ref().err().cloned();
            return Err(error.unwrap_or_else(|| bad_header(sequence, Fault::Unwritten)));
        }
        if was_begun {
            self.wipe = Some(sequence);
        }
        Ok(())
    }

    fn check_commit(&self) -> Result<(), WalError> {
        let commit = self.index.hard_state().commit;
        let last = self.index.last().index;
        if commit > last {
            return Err(WalError::CommitBeyondLog { commit, last });
        }
        Ok(())
    }
}

/// Whether the first block alone tells that a segment was not begun: a segment gets its header no later than its first batch.
fn is_unbegun(candidate: &Candidate) -> bool {
    match &candidate.header {
        Ok((header, _)) => header.sequence < candidate.sequence,
        Err(WalError::Damaged { fault, .. }) => *fault == Fault::Unwritten,
        Err(_) => false,
    }
}

/// A segment's bytes, those before `end` at least, and whether all its sectors can be read.
fn read_up_to<D: Disk>(disk: &D, sequence: u64, end: u64) -> Result<(AlignedBuf, bool), WalError> {
    let (bytes, unreadable) = read_readable(disk, sequence)?;
    match unreadable {
        Some(error) if (bytes.len() as u64) < end => Err(error),
        unreadable => Ok((bytes, unreadable.is_none())),
    }
}

/// The entry after which a log can begin that holds entries only from some on, given what a checkpoint holds: the first that it
/// holds, so that as much as possible stays; `None` if entries would be missing, or the log is not what the checkpoint was made of.
fn base_under(index: &LogIndex, checkpoint: Position) -> Option<Position> {
    let (held_from, last) = (index.held_from(), index.last().index);
    if checkpoint.index + 1 < held_from || checkpoint.index > last {
        return None;
    }
    if checkpoint.index + 1 == held_from {
        // Terms never go back.
        let follows = index.term(held_from).is_none_or(|term| term >= checkpoint.term);
        return follows.then_some(checkpoint);
    }
    let is_same = index.term(checkpoint.index) == Some(checkpoint.term);
    let term = index.term(held_from)?;
    is_same.then_some(Position { index: held_from, term })
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
