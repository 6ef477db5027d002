//! How long the reply to a read may be, told before the read runs.
//!
//! - Reads after an unanswered request are answered by the log, which does not wait until their client has taken the answers. So
//!   only as many are handed to it as have short replies in sum; the others wait, and are then answered as fast as their client reads.
//! - It is told from what the keys hold now, and from the longest request of the connection that is not answered yet. Other clients may
//!   change that; the limit of replies holds all the same.

use super::Session;
use super::line::Line;
use crate::command::args::{index_range, integer};
use crate::command::cost::{CostContext, Forecast, Size};
use crate::command::spec::KeyFlags;
use crate::command::{Args, Command, OfString, ReadContext};
use crate::keyspace::entry::Entry;
use crate::keyspace::value::ValueRef;
use crate::keyspace::view::ReadView;

/// Bytes of replies that the log may owe a connection: so many, or this share of the most that a connection may be owed.
const MAX_OWED_BYTES: usize = 16 << 20;
const OWED_SHARE: usize = 8;

/// Bytes of a key's name, where a command answers names.
const NAME_BYTES: u64 = 16;
/// Bytes of a number.
const NUMBER_BYTES: u64 = 24;

impl Session {
    /// The keyspace for a command that only reads. The keys that it uses are noted, unless its client wants none to be.
    pub(super) fn reader<'v>(
        &self,
        view: &'v ReadView<'_>,
        command: &Command,
        now_ms: i64,
    ) -> ReadContext<'v> {
        let context = ReadContext::new(view, self.client.db, now_ms, self.seed);
        context.noting(self.shared.config.access()).muted(self.client.touches_nothing(command))
    }

    /// The bytes that the log would answer, where it may take the read; `None` if the read has to wait.
    pub(super) fn owed_by_read(&self, line: &Line, command: &Command, args: &Args<'_>) -> Option<usize> {
        let shard = &self.shared.shard;
        let (locks, known) = command.locks(args);
        let view = shard.keyspace.read(locks);
        let now_ms = shard.reading_ms(self.now);
        let reader = ReadContext::new(&view, self.client.db, now_ms, self.seed).knowing(known);
        let bytes = expected_bytes(command, &reader, args, line.longest_written as u64);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let most = MAX_OWED_BYTES.min(self.reply_limit() / OWED_SHARE);
        let fits = line.owed_bytes == 0 || line.owed_bytes.saturating_add(bytes) <= most;
        fits.then_some(bytes)
    }
}

/// `written` is what each key may have got by then.
fn expected_bytes(command: &Command, reader: &ReadContext<'_>, args: &Args<'_>, written: u64) -> u64 {
    let forecast = Forecast::default();
    let measured =
        command.cost.measure().map(|measure| measure(&CostContext::new(reader, &forecast), args).steps);
    if command.keys.is_empty() {
        return measured.unwrap_or(0).saturating_mul(NAME_BYTES);
    }
    let elements = measured.unwrap_or(args.len() as u64);
    let answered = command.keys.iter().filter(|spec| spec.flags.contains(KeyFlags::ACCESS));
    let keys = answered.flat_map(|spec| spec.places(args)).map(|place| args[place]);
    let each = keys.map(|key| {
        let held = reader.entry(key).map_or(0, |entry| answered_bytes(command, entry, elements, args));
        held.saturating_add(written)
    });
    each.fold(0, u64::saturating_add)
}

/// Bytes of so many elements of an entry.
fn answered_bytes(command: &Command, entry: &Entry, elements: u64, args: &Args<'_>) -> u64 {
    let Size { elements: all, bytes } = Size::of(entry);
    match (entry.value(), command.of_string) {
        (ValueRef::String(_), OfString::All) => bytes,
        (ValueRef::String(_), OfString::Part) => part_of_string(bytes, args),
        (ValueRef::String(_), OfString::Numbers) => args.len() as u64 * NUMBER_BYTES,
        (ValueRef::Object(_), _) => (bytes / all.max(1)).saturating_mul(elements.min(all)),
    }
}

/// Bytes between the two indexes that the arguments name.
fn part_of_string(bytes: u64, args: &Args<'_>) -> u64 {
    let [_, _, start, stop] = args else { return bytes };
    let (Ok(start), Ok(stop)) = (integer(start), integer(stop)) else { return 0 };
    index_range(start, stop, usize::try_from(bytes).unwrap_or(usize::MAX)).len() as u64
}
