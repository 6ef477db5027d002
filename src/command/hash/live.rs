//! A hash as it is at a moment: fields whose deadline has passed are not there.

use crate::command::error::CommandError;
use crate::command::events::Event;
use crate::command::{ReadContext, WriteContext};
use crate::keyspace::types::hash::Hash;

/// A hash for reading. It has at least one field.
#[derive(Clone, Copy)]
pub(super) struct LiveHash<'a> {
    hash: &'a Hash,
    now_ms: i64,
    dead: usize,
}

impl<'a> LiveHash<'a> {
    /// The hash of a key; `None` too where no field of it lives.
    pub fn of(ctx: &ReadContext<'a>, key: &[u8]) -> Result<Option<Self>, CommandError> {
        let Some(hash) = ctx.collection::<Hash>(key)? else { return Ok(None) };
        let dead = if has_dead_fields(hash, ctx.now_ms) { hash.expired_len(ctx.now_ms) } else { 0 };
        let live = LiveHash { hash, now_ms: ctx.now_ms, dead };
        Ok((live.len() > 0).then_some(live))
    }

    pub fn len(self) -> usize {
        self.hash.len() - self.dead
    }

    pub fn get(self, field: &[u8]) -> Option<&'a [u8]> {
        self.hash.get(field).filter(|_| self.lives(field))
    }

    /// The deadline of a field; the outer `None` means that there is no such field.
    pub fn deadline_ms(self, field: &[u8]) -> Option<Option<i64>> {
        self.get(field).map(|_| self.hash.expire_at(field))
    }

    /// Fields and values in dense order.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.hash.iter().filter(move |(field, _)| self.lives(field))
    }

    /// The field at a place of the dense order, where none is dead.
    pub fn get_at(self, place: usize) -> Option<(&'a [u8], &'a [u8])> {
        self.hash.get_at(place)
    }

    pub fn has_dead(self) -> bool {
        self.dead > 0
    }

    /// As [`Hash::scan`].
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        self.hash.scan(cursor, count, |field, value| {
            if self.lives(field) {
                visit(field, value);
            }
        })
    }

    fn lives(self, field: &[u8]) -> bool {
        self.dead == 0 || !self.hash.is_expired(field, self.now_ms)
    }
}

fn has_dead_fields(hash: &Hash, now_ms: i64) -> bool {
    hash.earliest_deadline().is_some_and(|deadline_ms| deadline_ms <= now_ms)
}

/// Frees up to `max` dead fields of a hash, and its key if none is left; returns how many. Other keys are left alone.
pub(in crate::command) fn free_dead_fields(ctx: &mut WriteContext<'_>, key: &[u8], max: usize) -> usize {
    let now_ms = ctx.now_ms;
    let hash = ctx.collection::<Hash>(key).ok().flatten();
    if !hash.is_some_and(|hash| has_dead_fields(hash, now_ms)) {
        return 0;
    }
    let hash = ctx.collection_mut::<Hash>(key).ok().flatten();
    let freed = hash.map_or(0, |hash| hash.remove_expired(now_ms, max));
    if freed > 0 {
        ctx.touch_as(key, Event::FIELDS_EXPIRED);
        ctx.remove_if_empty(key);
    }
    freed
}

/// Lends a hash for a change, none of its fields dead; `None` where there is none.
pub(super) fn open<'c>(
    ctx: &'c mut WriteContext<'_>,
    key: &[u8],
) -> Result<Option<&'c mut Hash>, CommandError> {
    free_dead_fields(ctx, key, usize::MAX);
    ctx.collection_mut::<Hash>(key)
}

/// Lends a hash for a change, none of its fields dead, a new one where there is none: something must then be put in.
pub(super) fn open_or_new<'c>(
    ctx: &'c mut WriteContext<'_>,
    key: &[u8],
) -> Result<&'c mut Hash, CommandError> {
    free_dead_fields(ctx, key, usize::MAX);
    ctx.collection_or_new::<Hash>(key)
}
