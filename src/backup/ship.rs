//! Shipping the log: committed entries into a repository, as they come.
//!
//! - Only committed entries are shipped. They are the same on every node, so any node may go on where another stopped, and an
//!   object that two of them write is harmless.
//! - What is shipped between two full objects is held in memory. It is shipped at every flush in a small object; before there
//!   are too many of those, some are replaced by one. When [`FULL_BYTES`] have come, one full object replaces them all.
//! - An object is written before those that it replaces are removed. A crash in between leaves entries twice; whoever goes on
//!   removes what is covered.
//! - Before anything is shipped, the last entry in the repository is compared with the log's. Another one there means that the
//!   histories have parted: nothing is shipped.
//! - A damaged object at the end of the repository counts as none: its entries are shipped again, where the log has them. So are
//!   entries that are missing between two objects ([`fill_gaps`]).
//! - An object is read into memory only as far as this log can have made one: a forged one that expands to much more is refused.

use bytes::Bytes;

use super::checkpoint::Lent;
use super::entries::{self, Entries, HEADER_BYTES, MAX_CONTENT_BYTES, RECORD_HEADER_BYTES, Tip};
use super::error::{BackupError, Result};
use super::inventory::Inventory;
use super::names::LogName;
use super::object::Kind;
use super::repository::Repository;
use crate::shard::log_reads::LogEntry;

/// Bytes of records in a full object; one entry may make it longer. Small in unit tests, which fill many.
pub const FULL_BYTES: usize = if cfg!(test) { 64 << 10 } else { 8 << 20 };
/// Small objects between two full ones, at most.
const MAX_SMALL: usize = 16;
/// Bytes that are read from the log at once.
pub const READ_BYTES: u64 = 1 << 20;

/// Committed entries, and where the log stands.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub entries: Vec<LogEntry>,
    /// The first entry that the log still has, or would have.
    pub first_index: u64,
    /// The last entry that can be read.
    pub last_index: u64,
}

/// Where entries and checkpoints come from.
pub trait Source {
    /// Reads some entries from `from` on: at least one, where there is one. None where the log begins behind `from`.
    fn read(&mut self, from: u64, max_bytes: u64) -> Result<Reading>;

    /// The newest checkpoint there is.
    fn newest_checkpoint(&mut self) -> Result<Option<Lent>>;
}

/// A small object that was shipped since the last full one.
#[derive(Clone, Copy, Debug)]
struct Small {
    name: LogName,
    before: Tip,
    /// Where its records begin in memory.
    start: usize,
}

/// Goes on where the repository ends.
#[derive(Debug)]
pub struct Shipper {
    /// The last entry that was shipped.
    shipped: Tip,
    /// The last entry that was taken.
    taken: Tip,
    /// All records since the last full object.
    records: Vec<u8>,
    small: Vec<Small>,
    /// Entries that were taken and not shipped.
    fresh: Option<Small>,
}

impl Shipper {
    /// Finds the end of the repository, and sees that the log goes on there. `None` if the log begins behind that: a checkpoint
    /// has to close the gap.
    pub fn resume(repository: &Repository, source: &mut dyn Source) -> Result<Option<Shipper>> {
        let logs = tidy(repository)?;
        let longest_entry = Shipper::check_end(&logs, source)?;
        // A checkpoint that is newer than the log only counts where the log can't be gone on with: it would leave a gap.
        let furthest = Shipper::behind_log(repository, &logs, longest_entry)?;
        let end = furthest.shipped.index;
        if let Some(shipper) = furthest.check(source)? {
            return Ok(Some(shipper));
        }
        match repository.checkpoint_indexes()?.last() {
            Some(index) if *index > end => Shipper::behind_checkpoint(repository, *index)?.check(source),
            _ => Ok(None),
        }
    }

    /// Goes on behind an entry.
    pub fn behind(tip: Tip) -> Shipper {
        Shipper { shipped: tip, taken: tip, records: Vec::new(), small: Vec::new(), fresh: None }
    }

    fn behind_checkpoint(repository: &Repository, index: u64) -> Result<Shipper> {
        let checkpoint = repository.checkpoint(index)?;
        let term = checkpoint.map_or(0, |checkpoint| checkpoint.manifest.point.term);
        Ok(Shipper::behind(Tip { index, term, checksum: 0 }))
    }

    /// Sees that the log goes as far as the newest object; bytes of the entry there, which may have made the object longer than a
    /// full one.
    fn check_end(logs: &[LogName], source: &mut dyn Source) -> Result<u64> {
        let Some(LogName { last, .. }) = logs.last() else { return Ok(0) };
        let reading = source.read(*last, 1)?;
        if reading.last_index < *last {
            return Err(BackupError::Behind { backup: *last, log: reading.last_index });
        }
        let held = reading.entries.first().filter(|entry| entry.index == *last);
        // An entry that the log has no more may have been of any length.
        Ok(held.map_or(MAX_CONTENT_BYTES, |entry| entry.payload.len() as u64))
    }

    /// Takes the newest objects back into memory, as far as they are no full ones and are in a row.
    fn behind_log(repository: &Repository, logs: &[LogName], longest_entry: u64) -> Result<Shipper> {
        let mut tail: Vec<Entries> = Vec::new();
        for name in logs.iter().rev() {
            if tail.last().is_some_and(|behind| name.last + 1 != behind.name.first) || tail.len() > MAX_SMALL
            {
                break;
            }
            let is_newest = tail.is_empty();
            let most = most_content(name, if is_newest { longest_entry } else { 0 });
            let entries = match repository.entries(*name, most) {
                // The log has its entries, or a checkpoint closes the gap.
                Err(error) if error.is_worthless_object() && is_newest => {
                    tracing::warn!(%error, "an object of the backup is damaged: what was in it is shipped again, if the log has it");
                    continue;
                }
                // A full one, or worth nothing in memory.
                Err(error) if error.is_worthless_object() => break,
                entries => entries?,
            };
            let Some(entries) = entries else { break };
            let is_full = entries.records().len() >= FULL_BYTES;
            if is_full && !tail.is_empty() {
                break;
            }
            tail.push(entries);
            if is_full {
                break;
            }
        }
        let last = tail.first().map(|entries| entries.last).unwrap_or_default();
        let mut shipper = Shipper::behind(last);
        if tail.last().is_none_or(|oldest| oldest.records().len() < FULL_BYTES) {
            for entries in tail.iter().rev() {
                let start = shipper.records.len();
                shipper.small.push(Small { name: entries.name, before: entries.before, start });
                shipper.records.extend_from_slice(entries.records());
            }
        }
        Ok(shipper)
    }

    /// Compares the repository's last entry with the log's.
    fn check(self, source: &mut dyn Source) -> Result<Option<Shipper>> {
        let index = self.shipped.index;
        let reading = source.read(index.max(1), 1)?;
        if reading.first_index > index + 1 {
            return Ok(None);
        }
        if reading.last_index < index {
            return Err(BackupError::Behind { backup: index, log: reading.last_index });
        }
        let held = reading.entries.first().filter(|entry| entry.index == index);
        match held.map(|entry| Tip::of(entry.index, entry.term, &entry.payload)) {
            Some(tip) if !tip.agrees_with(&self.shipped) => Err(BackupError::OtherHistory { index }),
            Some(tip) if self.records.is_empty() => Ok(Some(Shipper::behind(tip))),
            _ => Ok(Some(self)),
        }
    }

    /// The last entry that the repository has.
    pub fn shipped_index(&self) -> u64 {
        self.shipped.index
    }

    /// The next entry to be taken.
    pub fn next_index(&self) -> u64 {
        self.taken.index + 1
    }

    /// Whether a flush would ship anything.
    pub fn has_fresh(&self) -> bool {
        self.fresh.is_some()
    }

    /// Takes what the log has behind what was taken, and ships full objects as they come up. Returns how far the log goes, and
    /// bytes that were written.
    ///
    /// # Errors
    /// Of store and log. What was taken stays taken: call again. [`BackupError::Gap`] where the log was cut.
    pub fn catch_up(&mut self, repository: &Repository, source: &mut dyn Source) -> Result<(u64, u64)> {
        let mut written = 0;
        loop {
            if self.records.len() >= FULL_BYTES {
                written += self.flush(repository)?;
            }
            let next = self.next_index();
            let reading = source.read(next, READ_BYTES)?;
            if reading.first_index > next {
                return Err(BackupError::Gap { next, first_index: reading.first_index });
            }
            reading.entries.iter().for_each(|entry| self.take(entry));
            if self.next_index() > reading.last_index {
                return Ok((reading.last_index, written));
            }
            if reading.entries.is_empty() {
                return Err(BackupError::Missing { first: next, last: reading.last_index });
            }
        }
    }

    fn take(&mut self, entry: &LogEntry) {
        // A source reads in a row; what is not next was taken before.
        if entry.index != self.next_index() {
            return;
        }
        let stamp_ms = entries::stamp_ms(&entry.payload).map_or(0, |ms| ms.max(0) as u64);
        let (before, start) = (self.taken, self.records.len());
        let fresh = self.fresh.get_or_insert(Small {
            name: LogName { first: entry.index, last: entry.index, first_ms: 0, last_ms: 0 },
            before,
            start,
        });
        fresh.name = followed(
            fresh.name,
            LogName { first: entry.index, last: entry.index, first_ms: stamp_ms, last_ms: stamp_ms },
        );
        entries::push_record(&mut self.records, entry.term, &entry.payload);
        self.taken = Tip::of(entry.index, entry.term, &entry.payload);
    }

    /// Ships what was taken and is not shipped; bytes that were written.
    pub fn flush(&mut self, repository: &Repository) -> Result<u64> {
        let Some(fresh) = self.fresh else { return Ok(0) };
        let is_full = self.records.len() >= FULL_BYTES;
        let replaced = if is_full { self.small.len() } else { self.to_replace(&fresh) };
        let kept = self.small.len() - replaced;
        let merged = self.small[kept..]
            .iter()
            .rev()
            .fold(fresh, |behind, small| Small { name: followed(small.name, behind.name), ..*small });
        let content = entries::encode(merged.before, merged.name, &self.records[merged.start..]);
        let written = repository.write(&merged.name.path(), Kind::Log, &content)?;
        (self.fresh, self.shipped) = (None, self.taken);
        let old: Vec<Small> = self.small.drain(kept..).collect();
        if is_full {
            self.records = Vec::new();
        } else {
            self.small.push(merged);
        }
        old.iter().try_for_each(|small| repository.remove(&small.name.path()))?;
        Ok(written)
    }

    /// How many of the newest small objects the next takes the place of: none while they are few, then as many as are not
    /// much larger than all behind them together, so that an entry is written again seldom.
    fn to_replace(&self, fresh: &Small) -> usize {
        if self.small.len() < MAX_SMALL {
            return 0;
        }
        let (mut count, mut bytes, mut start) = (0, self.records.len() - fresh.start, fresh.start);
        for small in self.small.iter().rev() {
            let own = start - small.start;
            if count > 0 && own > 2 * bytes {
                break;
            }
            (count, bytes, start) = (count + 1, bytes + own, small.start);
        }
        count
    }
}

/// The longest content that a shipper of a log makes: what is less than a full object, what is read at once, and the last entry.
fn most_content(name: &LogName, longest_entry: u64) -> u64 {
    let headers = (name.last - name.first).saturating_mul(RECORD_HEADER_BYTES as u64);
    let usual = (HEADER_BYTES + RECORD_HEADER_BYTES + FULL_BYTES) as u64 + READ_BYTES;
    headers.saturating_add(longest_entry).saturating_add(usual).min(MAX_CONTENT_BYTES)
}

/// The name of two in a row.
fn followed(first: LogName, second: LogName) -> LogName {
    let either = |a: u64, b: u64| if a == 0 { b } else { a };
    LogName {
        first: first.first,
        last: second.last,
        first_ms: either(first.first_ms, second.first_ms),
        last_ms: either(second.last_ms, first.last_ms),
    }
}

/// Removes objects of the log whose entries are all in one other that is sound; returns the rest, by their first entries.
pub fn tidy(repository: &Repository) -> Result<Vec<LogName>> {
    let all: Vec<LogName> = repository.logs()?.into_iter().map(|log| log.name).collect();
    let (mut kept, mut looked_at): (Vec<LogName>, Option<(LogName, bool)>) = (Vec::new(), None);
    // Among those with the same first entry the longest comes last.
    for (at, name) in all.iter().enumerate() {
        let next = all.get(at + 1).filter(|next| next.covers(name));
        let covering = next.or_else(|| kept.last().filter(|before| before.covers(name))).copied();
        let Some(covering) = covering else {
            kept.push(*name);
            continue;
        };
        let is_sound = match looked_at {
            Some((known, is_sound)) if known == covering => is_sound,
            _ => repository.has_sound(covering)?,
        };
        looked_at = Some((covering, is_sound));
        if is_sound {
            repository.remove(&name.path())?;
        } else {
            kept.push(*name);
        }
    }
    Ok(kept)
}

/// Ships entries that are missing between two objects of the repository and that the log still has: what one node shipped elsewhere, or what
/// was removed. Bytes that were written.
pub fn fill_gaps(repository: &Repository, source: &mut dyn Source) -> Result<u64> {
    let held = Inventory::of_names(repository)?;
    let end = held.logs.iter().map(|log| log.name.last).max().unwrap_or(0);
    let mut written = 0;
    // What comes after the last object is the shipper's.
    let first_index = source.read(1, 1)?.first_index;
    for (first, last) in held.fillable_gaps(first_index).into_iter().filter(|(_, last)| *last < end) {
        if let Some(before) = tip_before(repository, &held, source, first)? {
            written += ship_range(repository, source, before, last)?;
        }
    }
    Ok(written)
}

/// What the entry before a gap is: the log has it, or the repository does.
fn tip_before(
    repository: &Repository,
    held: &Inventory,
    source: &mut dyn Source,
    first: u64,
) -> Result<Option<Tip>> {
    let index = first - 1;
    if let Some(tip) = tip_at(source, index)? {
        return Ok(Some(tip));
    }
    if held.checkpoints.iter().any(|one| one.index == index) {
        return Ok(unless_damaged(repository.checkpoint(index))?.map(|checkpoint| Tip {
            index,
            term: checkpoint.manifest.point.term,
            checksum: 0,
        }));
    }
    match held.logs.iter().map(|log| log.name).find(|name| name.last == index) {
        Some(name) => {
            Ok(unless_damaged(repository.entries(name, MAX_CONTENT_BYTES))?.map(|entries| entries.last))
        }
        None => Ok(None),
    }
}

/// What can't be read counts as not there: it is made again.
pub fn unless_damaged<T>(read: Result<Option<T>>) -> Result<Option<T>> {
    match read {
        Err(error) if error.is_worthless_object() => Ok(None),
        read => read,
    }
}

/// Where the log has this entry; also before the first.
fn tip_at(source: &mut dyn Source, index: u64) -> Result<Option<Tip>> {
    if index == 0 {
        return Ok(Some(Tip::default()));
    }
    let reading = source.read(index, 1)?;
    let held = reading.entries.first().filter(|entry| entry.index == index);
    Ok(held.map(|entry| Tip::of(entry.index, entry.term, &entry.payload)))
}

/// Ships the entries after `before`, up to `last`.
fn ship_range(repository: &Repository, source: &mut dyn Source, before: Tip, last: u64) -> Result<u64> {
    let (mut shipper, mut written) = (Shipper::behind(before), 0);
    while shipper.next_index() <= last {
        let next = shipper.next_index();
        let reading = source.read(next, READ_BYTES)?;
        reading.entries.iter().filter(|entry| entry.index <= last).for_each(|entry| shipper.take(entry));
        if shipper.next_index() == next {
            break;
        }
        if shipper.records.len() >= FULL_BYTES {
            written += shipper.flush(repository)?;
        }
    }
    tracing::info!(
        first = before.index + 1,
        last = shipper.next_index() - 1,
        "entries that were missing in the backup are shipped"
    );
    Ok(written + shipper.flush(repository)?)
}

/// Entries as a log read yields them, from a record's parts.
pub fn log_entry(index: u64, term: u64, payload: Vec<u8>) -> LogEntry {
    LogEntry { index, term, payload: Bytes::from(payload) }
}
