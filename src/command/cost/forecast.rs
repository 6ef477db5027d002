//! What keys may have gained by commands that are planned and not applied, as an upper bound.
//!
//! - As long as nothing needs better, every key may have gained all that was planned.
//! - A command that puts what keys hold into another would double that bound each time. From the first such command on what keys
//!   gain is kept by key.
//! - RENAME and MOVE take a value from one key to another: the other holds what the first held, or what it held itself.
//! - Elements that LMOVE or SMOVE take are one a command, but their bytes may be any that keys hold. After SWAPDB a key may hold
//!   anything.

use std::collections::BTreeMap;

use super::{Cost, Size};
use crate::command::Command;

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
}

/// What one key may have got.
#[derive(Clone, Copy, Debug, Default)]
struct Gain {
    /// Beside what it holds.
    added: Size,
    /// In place of what it holds.
    carried: Size,
}

impl Forecast {
    pub fn is_empty(&self) -> bool {
        self.total == Cost::default() && self.anywhere == Size::default() && self.moved == Size::default()
    }

    /// Whether nothing that is planned touches this key.
    pub fn leaves(&self, key: &[u8]) -> bool {
        let is_apart = self.anywhere == Size::default() && self.moved == Size::default();
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

    /// What commands may have added to this key since keys are told apart.
    pub fn added_alone(&self, key: &[u8]) -> Size {
        self.of_key(key).added
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
        self.added(key).plus(self.moved).plus(self.of_key(key).carried)
    }

    /// The most that a key may hold that holds so much now.
    pub fn size(&self, key: &[u8], now: Size) -> Size {
        now.max(self.of_key(key).carried).plus(self.added(key)).plus(self.moved)
    }

    /// The most that commands may have added to any key.
    pub fn added_anywhere(&self) -> Size {
        self.anywhere.plus(self.total.growth)
    }

    /// The most that any key may have gained.
    pub fn gained_anywhere(&self) -> Size {
        self.added_anywhere().plus(self.moved)
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
            *gain = Gain { added: gain.added.max(source.added), carried: gain.carried.max(carried) };
        }
        // In another database it is a key of the same name.
        let gain = by_key.entry(Box::from(from)).or_default();
        gain.carried = carried;
    }
}
