//! Finds keys whose deadline has passed, and hashes with such fields, so that an entry can free their space.
//!
//! - The primary asks all lock ranges in turn, some entries at a time. Every level of the keyspace (range, table, branch, page of
//!   cells) has a bound before which nothing in it dies, so work follows what dies: a page or two for each death.
//! - It only looks; whether a key is dead is decided again by the entry's stamp, on every replica alike.
//! - Bounds are no content: they may be too early, and differ between nodes. A node that has just become primary looks once at
//!   each page whose entries were freed before, and makes its bound exact.

use crate::apply::Applier;
use crate::keyspace::DATABASES;
use crate::keyspace::entry::Entry;
use crate::keyspace::slot::RANGES;
use crate::keyspace::table::DeadSearch;
use crate::keyspace::value::{Object, ValueRef};

/// What one step may cost: an entry that is looked at costs one.
const STEP_BUDGET: usize = 4096;
/// What one that is dead costs beyond that: a step finds at most a thousand.
const DEAD_COST: usize = 3;
/// Dead fields that one command frees, which free them all if there are no more.
const FIELDS_FREED: usize = 1000;
/// Names of dead keys that one command and one step hold; a longer name is alone in its command.
pub const NAMES_BYTES: usize = 1 << 20;

/// The walk's place: database by database, range by range, slot by slot.
#[derive(Debug, Default)]
pub struct ExpiryWalk {
    db: usize,
    range: usize,
    slot: usize,
}

/// Dead keys of one database that one command frees, and hashes with dead fields.
#[derive(Debug, PartialEq, Eq)]
pub struct Dead {
    pub db: usize,
    pub keys: Vec<Vec<u8>>,
}

/// What a step found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub dead: Vec<Dead>,
    /// Another step pays at once.
    pub more: bool,
    /// Entries looked at, dead or alive.
    pub looked_at: usize,
}

impl ExpiryWalk {
    /// Looks for the dead, once around if that costs little.
    pub fn step(&mut self, applier: &mut Applier, now_ms: i64) -> Found {
        let mut found = Found::default();
        let (mut budget, mut freed, mut bytes) = (STEP_BUDGET, 0, 0);
        for _ in 0..RANGES * DATABASES {
            let mut keys = Vec::new();
            let mut take = |entry: &Entry| {
                // The search ends with the page, and another step finds the rest of it.
                if bytes >= NAMES_BYTES {
                    return DEAD_COST;
                }
                bytes += entry.key().len();
                keys.push(entry.key().to_vec());
                freed += freed_at_once(entry, now_ms);
                if bytes >= NAMES_BYTES { STEP_BUDGET } else { DEAD_COST }
            };
            let mut search = DeadSearch::new(now_ms, budget, &mut take);
            let rest = applier.search_dead((self.db, self.range), self.slot, &mut search, now_ms);
            found.looked_at += search.looked_at();
            budget = search.budget();
            found.dead.extend(commands_of(self.db, keys));
            self.slot = rest.unwrap_or(0);
            if rest.is_none() {
                self.next_range();
            }
            if budget == 0 {
                break;
            }
        }
        found.more = budget == 0 || freed * 4 > found.looked_at.max(1);
        found
    }

    fn next_range(&mut self) {
        self.range = (self.range + 1) % RANGES;
        if self.range == 0 {
            self.db = (self.db + 1) % DATABASES;
        }
    }
}

/// Dead keys as several commands free them.
fn commands_of(db: usize, keys: Vec<Vec<u8>>) -> Vec<Dead> {
    let mut commands: Vec<Dead> = Vec::new();
    let mut bytes = 0;
    for key in keys {
        bytes += key.len();
        match commands.last_mut() {
            Some(command) if bytes <= NAMES_BYTES => command.keys.push(key),
            _ => {
                bytes = key.len();
                commands.push(Dead { db, keys: vec![key] });
            }
        }
    }
    commands
}

/// Keys and fields that one command frees of an entry.
fn freed_at_once(entry: &Entry, now_ms: i64) -> usize {
    match entry.value() {
        ValueRef::Object(Object::Hash(hash)) if !entry.is_dead_at(now_ms) => {
            hash.expired_len(now_ms).min(FIELDS_FREED)
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
