//! What keys may have gained by commands that are planned and not applied, as an upper bound.
//!
//! - As long as nothing needs better, every key may have gained all that was planned.
//! - A command that puts what keys hold into another would double that bound each time. From the first such command on what keys
//!   gain is kept by key.
//! - A command that moves values makes bounds by key void: where it is told what the keys of all commands hold, any of them may hold
//!   all of that, else anything at all.

use std::collections::BTreeMap;

use super::{Cost, Size};
use crate::command::Command;

/// What was planned so far.
#[derive(Debug, Default)]
pub struct Forecast {
    total: Cost,
    /// What any key may have gained, beside what is kept by key.
    anywhere: Size,
    /// By key, whatever its database.
    by_key: Option<BTreeMap<Box<[u8]>, Size>>,
}

impl Forecast {
    pub fn is_empty(&self) -> bool {
        self.total == Cost::default() && self.anywhere == Size::default()
    }

    /// Whether gains are kept by key.
    pub fn tells_keys_apart(&self) -> bool {
        self.by_key.is_some()
    }

    /// All that was planned.
    pub fn total(&self) -> Cost {
        self.total
    }

    /// The most that a key may have gained.
    pub fn gained(&self, key: &[u8]) -> Size {
        match &self.by_key {
            None => self.gained_anywhere(),
            Some(by_key) => self.anywhere.plus(by_key.get(key).copied().unwrap_or_default()),
        }
    }

    /// The most that any key may have gained.
    pub fn gained_anywhere(&self) -> Size {
        self.anywhere.plus(self.total.growth)
    }

    /// From here on gains are kept by key.
    pub fn tell_keys_apart(&mut self) {
        if self.by_key.is_none() {
            self.anywhere = self.gained_anywhere();
            self.by_key = Some(BTreeMap::new());
        }
    }

    /// A command is planned. `grown` are the keys that it writes; they are read only where gains are kept by key.
    pub fn add<'k>(&mut self, cost: Cost, grown: impl Iterator<Item = &'k [u8]>) {
        self.total = self.total.and(cost);
        let Some(by_key) = &mut self.by_key else { return };
        for key in grown {
            let gained = by_key.entry(Box::from(key)).or_default();
            *gained = gained.plus(cost.growth);
        }
    }

    /// A waiter's command is planned: it takes elements, and may put them into any key. Costs that depend on more than the
    /// arguments cannot be told after it.
    pub fn served(&mut self, command: &Command) {
        let argument = Cost::of_arguments(1, 0);
        self.total = self.total.and(Cost { growth: Size::default(), ..argument });
        if command.moves() {
            self.moved_elements();
        }
    }

    /// Elements may have gone from any key to any other.
    pub fn moved_elements(&mut self) {
        self.anywhere.bytes = Size::HUGE;
    }

    /// Values may have gone from any key to any other. `held` is what all keys of the plan held at its beginning, if that is known.
    pub fn moved_values(&mut self, held: Option<Size>) {
        let moved = match held {
            Some(held) => held.plus(self.total.growth),
            None => Size { elements: Size::HUGE, bytes: Size::HUGE },
        };
        // Another command may have moved more before.
        self.anywhere = self.anywhere.max(moved);
    }
}
