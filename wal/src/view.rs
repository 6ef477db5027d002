//! A log that is looked at and not opened: what is in it and where, with nothing changed.
//!
//! - What a view shows is what an open would accept: the same scan, without its repairs. A torn tail, and old segments that an
//!   open would leave out, are reported and left.
//! - Entries are read from the files again, each checked once more; only one window of a segment is in memory then.

use crate::disk::Disk;
use crate::error::WalError;
use crate::index::{HardState, Position};
use crate::read::Reader;
use crate::recovery::{Recovery, Scan, Sources, lock, scan, scan_newest};
use crate::segment::{Handle, Source, name_of};

/// A log as it stands in its folder. The folder is held as long as the view lives.
pub struct LogView<D: Disk> {
    disk: D,
    scan: Scan<D>,
    _lock: Option<D::Lock>,
}

/// A segment in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentView {
    pub file: String,
    pub file_bytes: u64,
    /// Bytes up to the end of the last batch.
    pub used_bytes: u64,
    /// First and last entry that still count.
    pub entries: Option<(u64, u64)>,
}

/// Segments that are made and not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prepared {
    pub segments: usize,
    pub bytes: u64,
}

/// An entry and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedRecord {
    pub index: u64,
    pub term: u64,
    pub payload: Vec<u8>,
    pub file: String,
    /// Offset of the record's header in the file.
    pub offset: u64,
}

impl<D: Disk> LogView<D> {
    pub(crate) fn of(disk: D, scan: Scan<D>, lock: D::Lock) -> LogView<D> {
        LogView { disk, scan, _lock: Some(lock) }
    }

    /// Reads and checks the whole log; `None` when there is none.
    ///
    /// Fails as [`Wal::open`](crate::Wal::open) does, with [`WalError::InUse`] while a process has the log open.
    pub fn open(disk: D, sources: &mut Sources<'_>) -> Result<Option<LogView<D>>, WalError> {
        let lock = lock(&disk)?;
        let scanned = scan(&disk, sources)?;
        Ok(scanned.map(|scan| LogView { disk, scan, _lock: Some(lock) }))
    }

    /// Reads only as many of the newest segments as hold all from the entry on that `first` makes of the last one's index.
    /// What an older segment holds is not in the view, and whether it is sound is not known.
    pub fn open_end(
        disk: D,
        first: impl Fn(u64) -> u64,
        sources: &mut Sources<'_>,
    ) -> Result<Option<LogView<D>>, WalError> {
        let lock = lock(&disk)?;
        let mut newest = 2;
        loop {
            let Some(scan) = scan_newest(&disk, newest, sources)? else { return Ok(None) };
            let view = LogView { disk: disk.clone(), scan, _lock: None };
            if view.scan.knows_all || view.first_index() <= first(view.last().index) {
                return Ok(Some(LogView { _lock: Some(lock), ..view }));
            }
            newest *= 4;
        }
    }

    /// What reading it found.
    pub fn recovery(&self) -> &Recovery {
        &self.scan.report
    }

    /// The first entry that the view holds, or would hold.
    pub fn first_index(&self) -> u64 {
        self.scan.index.first_index().max(self.scan.index.held_from())
    }

    /// The last entry, or the last compacted one.
    pub fn last(&self) -> Position {
        self.scan.index.last()
    }

    /// The last entry that was compacted away.
    pub fn base(&self) -> Position {
        self.scan.index.base()
    }

    /// Term of an entry, or of the base.
    pub fn term(&self, index: u64) -> Option<u64> {
        self.scan.index.term(index)
    }

    pub fn hard_state(&self) -> HardState {
        self.scan.index.hard_state()
    }

    pub fn metadata(&self) -> &[u8] {
        self.scan.index.metadata()
    }

    /// The log's random id.
    pub fn log_id(&self) -> u64 {
        self.scan.log_id
    }

    /// How often the log had been opened when it was written last.
    pub fn epoch(&self) -> u32 {
        self.scan.epoch
    }

    /// The segments in use, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = SegmentView> + '_ {
        self.places().map(|place| SegmentView {
            file: name_of(place.sequence),
            file_bytes: place.file_bytes,
            used_bytes: place.end,
            entries: self.scan.index.entries_in(place.sequence),
        })
    }

    pub fn prepared(&self) -> Prepared {
        let prepared = &self.scan.prepared;
        Prepared { segments: prepared.len(), bytes: prepared.iter().map(|(_, bytes)| bytes).sum() }
    }

    /// Hands the entries from `first` to `last`, as far as the view holds them, to `visit`.
    pub fn visit_entries<E: From<WalError>>(
        &self,
        first: u64,
        last: u64,
        mut visit: impl FnMut(PlacedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        for place in self.places() {
            let Some((held_first, held_last)) = self.scan.index.entries_in(place.sequence) else { continue };
            let (first, last) = (first.max(held_first), last.min(held_last));
            if first <= last {
                self.visit_segment(place, first, last, &mut visit)?;
            }
        }
        Ok(())
    }

    /// Reads one entry; `None` if the view does not hold it.
    pub fn entry(&self, index: u64) -> Result<Option<PlacedRecord>, WalError> {
        let mut found = None;
        self.visit_entries(index, index, |record| {
            found = Some(record);
            Ok::<(), WalError>(())
        })?;
        Ok(found)
    }

    fn visit_segment<E: From<WalError>>(
        &self,
        place: SegmentPlace,
        first: u64,
        last: u64,
        visit: &mut impl FnMut(PlacedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let name = name_of(place.sequence);
        let file = self.disk.open(&name).map_err(WalError::io("open", &name, 0))?;
        let mut reader = None;
        for index in first..=last {
            let (group, _) = self.scan.index.group_of(index).ok_or(WalError::Unavailable { index, last })?;
            let source =
                || Ok(Source::file(Handle::Borrowed(&file), place.sequence, place.end.min(place.file_bytes)));
            let next = Reader::going_on(reader.take(), self.scan.log_id, group, index, source)?;
            let (offset, record) = reader.insert(next).read(index)?;
            let (index, term, payload) = (record.index, record.term, record.payload);
            visit(PlacedRecord { index, term, payload, file: name.clone(), offset })?;
        }
        Ok(())
    }

    fn places(&self) -> impl Iterator<Item = SegmentPlace> + '_ {
        let sealed = self.scan.sealed.iter().map(|segment| SegmentPlace {
            sequence: segment.sequence,
            end: segment.end,
            file_bytes: segment.file_bytes,
        });
        let tail = &self.scan.tail;
        sealed.chain([SegmentPlace { sequence: tail.sequence, end: tail.end, file_bytes: tail.file_bytes }])
    }
}

#[derive(Debug, Clone, Copy)]
struct SegmentPlace {
    sequence: u64,
    /// Offset behind the last batch.
    end: u64,
    file_bytes: u64,
}
