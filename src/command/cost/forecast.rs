//! What keys may have gained by commands that are planned and not applied, as an upper bound.
//!
//! - As long as nothing needs better, every key may have gained all that was planned.
//! - A command that puts what keys hold into another would double that bound each time. From the first such command on what keys
//!   gain is kept by key.
//! - RENAME and MOVE take a value from one key to another: the other holds what the first held, or what it held itself. COPY and the
//!   STORE forms put their result in the place of what the destination held: it holds the one or the other, not both.
//! - Elements that LMOVE or SMOVE take are one a command, but their bytes may be any that keys hold.
//! - SWAPDB moves no value: from there on a database's number means another database of those that are there now.

use std::collections::BTreeMap;

use super::{Cost, Size};
use crate::command::{Args, Command, Elsewhere};
use crate::keyspace::DATABASES;

/// Of each logged item so many bytes are told apart from the rest.
const SHORT_BYTES: u64 = 1 << 10;

/// What was planned so far.
#[derive(Debug, Default)]
pub struct Forecast {
    total: Cost,
    /// What any key may have gained, beside what is kept by key.
    anywhere: Size,
    /// What any key may have got from other keys.
    moved: Size,
    /// Bytes of all that is logged, and of what is beyond [`SHORT_BYTES`] of each item.
    logged_bytes: u64,
    long_bytes: u64,
    /// By key, whatever its database.
    by_key: Option<BTreeMap<Box<[u8]>, Gain>>,
    pub databases: Databases,
    /// Waiters' commands are planned, which are not kept by key.
    serves: bool,
    /// What scripts may write; false once the log says so where it is less than usual.
    script_growth: Option<(u64, bool)>,
}

/// Which database, by its number now, each number will mean.
#[derive(Clone, Copy, Debug)]
pub struct Databases([usize; DATABASES]);

impl Default for Databases {
    fn default() -> Self {
        Databases(std::array::from_fn(|number| number))
    }
}

impl Databases {
    /// The database that a number will mean, by its number now.
    pub fn place(&self, number: usize) -> usize {
        self.0.get(number).copied().unwrap_or(number)
    }

    /// A command is planned, which may swap two of them.
    pub fn note(&mut self, command: &Command, args: &Args<'_>) {
        if let Some(Elsewhere::Swapped(a, b)) = command.elsewhere(args) {
            self.0.swap(a, b);
        }
    }
}

/// What one key may have got.
#[derive(Clone, Copy, Debug, Default)]
struct Gain {
    /// Beside what it holds.
    added: Size,
    /// In place of what it holds.
    carried: Size,
    /// The same, of what commands make of other values, less what counts beside it; its bytes are those of the elements alone.
    stored: Size,
}

impl Forecast {
    pub fn is_empty(&self) -> bool {
        self.total == Cost::default() && self.anywhere == Size::default() && self.moved == Size::default()
    }

    /// Whether nothing that is planned touches this key, unless it removes whole databases.
    pub fn leaves(&self, key: &[u8]) -> bool {
        let is_apart = self.anywhere == Size::default() && self.moved.elements == 0 && !self.serves;
        let is_other = |by_key: &BTreeMap<_, Gain>| is_apart && !by_key.contains_key(key);
        self.is_empty() || self.by_key.as_ref().is_some_and(is_other)
    }

    /// Whether gains are kept by key.
    pub fn tells_keys_apart(&self) -> bool {
        self.by_key.is_some()
    }

    /// All that was planned.
    pub fn total(&self) -> Cost {
        self.total
    }

    fn of_key(&self, key: &[u8]) -> Gain {
        self.by_key.as_ref().and_then(|by_key| by_key.get(key)).copied().unwrap_or_default()
    }

    /// What a key may hold that holds so much `now`, by what commands are known to have done to it alone.
    pub fn size_alone(&self, key: &[u8], now: Size) -> Size {
        self.held(key, now).plus(self.of_key(key).added)
    }

    /// What a key that holds so much `now` may hold in place of that.
    pub fn held(&self, key: &[u8], now: Size) -> Size {
        let Gain { carried, stored, .. } = self.of_key(key);
        now.max(carried).max(stored)
    }

    /// The most that a key may hold that holds so much now, but for what moved there from other keys.
    pub fn made(&self, key: &[u8], now: Size) -> Size {
        now.max(self.of_key(key).stored).plus(self.added(key))
    }

    /// The most that commands may have added to a key, without what they took from other keys.
    pub fn added(&self, key: &[u8]) -> Size {
        match &self.by_key {
            None => self.added_anywhere(),
            Some(_) => self.anywhere.plus(self.of_key(key).added),
        }
    }

    /// The most that a key may have gained.
    pub fn gained(&self, key: &[u8]) -> Size {
        self.added(key).plus(self.moved).plus(self.held(key, Size::default()))
    }

    /// The most that a key may hold that holds so much now.
    pub fn size(&self, key: &[u8], now: Size) -> Size {
        self.held(key, now).plus(self.added(key)).plus(self.moved)
    }

    /// The most that commands may have added to any key.
    pub fn added_anywhere(&self) -> Size {
        self.anywhere.plus(self.total.growth)
    }

    /// The most that any key may have gained.
    pub fn gained_anywhere(&self) -> Size {
        self.added_anywhere().plus(self.moved)
    }

    /// The most that any one key may hold in place of what it holds, and the most that may be added to it.
    pub fn most_gained_by_one(&self) -> (Size, Size) {
        let Some(by_key) = &self.by_key else { return (Size::default(), self.gained_anywhere()) };
        let most = by_key.values().fold(Gain::default(), |most, gain| Gain {
            added: most.added.max(gain.added),
            carried: most.carried.max(gain.carried).max(gain.stored),
            ..most
        });
        (most.carried, self.anywhere.plus(self.moved).plus(most.added))
    }

    /// From here on gains are kept by key.
    pub fn tell_keys_apart(&mut self) {
        if self.by_key.is_none() {
            self.anywhere = self.added_anywhere();
            self.by_key = Some(BTreeMap::new());
        }
    }

    /// A command is planned. `grown` are the keys that it writes; they are read only where gains are kept by key.
    pub fn add<'k>(&mut self, cost: Cost, grown: impl Iterator<Item = &'k [u8]>) {
        self.total = self.total.and(cost);
        let Some(by_key) = &mut self.by_key else { return };
        for key in grown {
            let gain = by_key.entry(Box::from(key)).or_default();
            gain.added = gain.added.plus(cost.growth);
        }
    }

    /// A script is planned, whose commands may do anything within its cost.
    pub fn ran_script(&mut self, cost: Cost) {
        self.total = self.total.and(cost);
        self.script_growth.get_or_insert((cost.growth.bytes, true));
        self.anywhere = self.anywhere.plus(cost.growth);
        self.moved_values();
    }

    /// What the scripts that are planned may write, if any are.
    pub fn script_growth(&self) -> Option<u64> {
        self.script_growth.map(|(bytes, _)| bytes)
    }

    /// The same, once.
    pub fn take_script_growth(&mut self) -> Option<u64> {
        let (bytes, is_new) = self.script_growth.as_mut()?;
        std::mem::take(is_new).then_some(*bytes)
    }

    /// A command is planned that puts its result in the place of what these keys hold.
    pub fn store<'k>(&mut self, cost: Cost, destinations: impl Iterator<Item = &'k [u8]>) {
        self.total = self.total.and(cost);
        let Some(by_key) = &mut self.by_key else { return };
        for key in destinations {
            let gain = by_key.entry(Box::from(key)).or_default();
            // A source that is the destination brought it into the result: it would count again each time.
            let beside = self.anywhere.plus(self.moved).plus(gain.added);
            gain.stored = gain.stored.max(cost.result.less(beside));
        }
    }

    /// An item of so many bytes is logged.
    pub fn logged(&mut self, bytes: usize) {
        self.logged_bytes = self.logged_bytes.saturating_add(bytes as u64);
        self.long_bytes = self.long_bytes.saturating_add((bytes as u64).saturating_sub(SHORT_BYTES));
    }

    /// The most bytes that so many of the names may have that are planned.
    pub fn bytes_of_names(&self, names: u64) -> u64 {
        names.saturating_mul(SHORT_BYTES).saturating_add(self.long_bytes).min(self.logged_bytes)
    }

    /// A waiter's command is planned: it takes elements, and may put them into any key. Costs that depend on more than the
    /// arguments cannot be told after it.
    pub fn served(&mut self, command: &Command) {
        let argument = Cost::of_arguments(1, 0);
        self.total = self.total.and(Cost { growth: Size::default(), ..argument });
        self.serves = true;
        if command.moves() {
            self.moved_elements(None);
        }
    }

    /// An element may have gone from any key to any other; that it is one more there was counted with its command. `held` is what
    /// all keys of the plan held at its beginning, if that is known.
    pub fn moved_elements(&mut self, held: Option<Size>) {
        let bytes = held.map_or(Size::HUGE, |held| held.plus(self.total.growth).bytes);
        self.moved.bytes = self.moved.bytes.max(bytes);
    }

    /// Values may have gone from any key to any other.
    pub fn moved_values(&mut self) {
        self.moved = Size { elements: Size::HUGE, bytes: Size::HUGE };
    }

    /// The value of a key, which holds so much `now`, may have gone to other keys.
    pub fn carried<'k>(&mut self, from: &[u8], now: Size, to: impl Iterator<Item = &'k [u8]>) {
        let source = self.of_key(from);
        let carried = now.max(source.carried);
        let Some(by_key) = &mut self.by_key else { return self.moved_values() };
        for key in to.filter(|key| *key != from) {
            let gain = by_key.entry(Box::from(key)).or_default();
            *gain = Gain {
                added: gain.added.max(source.added),
                carried: gain.carried.max(carried),
                stored: gain.stored.max(source.stored),
            };
        }
        // In another database it is a key of the same name.
        let gain = by_key.entry(Box::from(from)).or_default();
        gain.carried = carried;
    }
}
