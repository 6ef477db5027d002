//! How much memory the next plan's commands may need, and how much of the data has to be evicted before them.
//!
//! - Room is measured, not counted: what plans may have used since the last measurement is an upper bound of it. It is measured again
//!   after a while, where that bound is a good part of the room, and before keys are evicted.
//! - Where keys may be evicted, commands are taken up to [`SLACK`] above `maxmemory`, and wait for room above that. Where no key is left
//!   to evict they are refused at `maxmemory`, as with `noeviction`.

use crate::command::script::MAX_GROWTH_BYTES;
use crate::memory::{MemoryLimits, Room};

/// Memory is measured again after so many ms, or where the plans since may have used a good part of the room.
const MEASURE_PERIOD_MS: u64 = 100;
const MEASURE_AT_SHARE: u64 = 16;

/// The share of `maxmemory` by which the data may pass it while keys are evicted.
const SLACK: u64 = 20;

/// The share of `maxmemory` that scripts may write at least where keys are evicted.
const SCRIPTS_SHARE: u64 = 40;

/// What the plans since the last measurement may have used of the room for data.
#[derive(Clone, Debug)]
pub struct Budget {
    maxmemory: u64,
    /// The policy evicts keys.
    evicts: bool,
    /// Keys may be evicted now: this node may log that, and there are such keys as far as it knows.
    may_evict: bool,
    /// No key could be evicted after this entry was applied.
    dry_after: Option<u64>,
    room: Room,
    /// Bytes of data.
    data: u64,
    spent: u64,
    /// Bytes that the first command that waits for room needs.
    wanted: u64,
    /// When it was measured: monotonic ms, and the entry applied last.
    measured: Option<(u64, u64)>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            maxmemory: 0,
            evicts: false,
            may_evict: false,
            dry_after: None,
            room: Room::UNLIMITED,
            data: 0,
            spent: 0,
            wanted: 0,
            measured: None,
        }
    }
}

impl Budget {
    /// `maxmemory` is in bytes, 0 for no such limit.
    pub fn limit(&mut self, maxmemory: u64, evicts: bool) {
        if (self.maxmemory, self.evicts) != (maxmemory, evicts) {
            (self.maxmemory, self.evicts) = (maxmemory, evicts);
            self.measured = None;
        }
    }

    /// Whether the limit is one that eviction keeps.
    pub fn evicts(&self) -> bool {
        self.evicts && self.maxmemory > 0
    }

    pub fn fits(&self, bytes: u64) -> bool {
        bytes == 0 || self.room.holds(self.spent, bytes)
    }

    /// What the first script of a plan may write, and all others of its entry with it.
    pub fn for_scripts(&self) -> u64 {
        let left = self.room.bytes.saturating_sub(self.spent).min(MAX_GROWTH_BYTES as u64);
        let least = if self.may_evict { self.maxmemory / SCRIPTS_SHARE } else { 0 };
        left.max(least.min(MAX_GROWTH_BYTES as u64))
    }

    /// Why no more may wait that takes so many bytes.
    pub fn refusal(&self, bytes: u64) -> Option<String> {
        (!self.fits(bytes)).then(|| self.refusal_text())
    }

    /// The error for a command that does not fit.
    pub fn refusal_text(&self) -> String {
        self.room.refusal()
    }

    /// Whether a command that does not fit now waits until keys are evicted.
    pub fn waits_for(&mut self, bytes: u64) -> bool {
        let waits = self.may_evict && self.room.is_up_to_maxmemory() && bytes <= self.maxmemory;
        if waits && self.wanted == 0 {
            self.wanted = bytes;
        }
        waits
    }

    pub fn spend(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_add(bytes);
    }

    /// A plan begins; everything before it is applied. `may_log` tells whether this node may log what it decides itself.
    pub fn begin_plan(&mut self, limits: &MemoryLimits, now: (u64, u64), may_log: bool) {
        let may_evict = self.evicts() && may_log && self.dry_after != Some(now.1);
        if std::mem::replace(&mut self.may_evict, may_evict) != may_evict {
            self.measured = None;
        }
        let is_due = self.measured.is_none_or(|(then_ms, _)| now.0 >= then_ms + MEASURE_PERIOD_MS);
        let is_over = may_evict && (self.data > self.maxmemory || self.wanted > 0);
        if is_due || is_over || self.spent > self.room.bytes / MEASURE_AT_SHARE {
            self.measure(limits, now);
        }
    }

    /// Measures unless nothing can have changed since the last time.
    pub fn measure(&mut self, limits: &MemoryLimits, now: (u64, u64)) {
        if self.measured != Some(now) {
            let measured = limits.measure(if self.may_evict { self.most() } else { self.maxmemory });
            (self.data, self.room) = (measured.data, measured.room);
            (self.spent, self.measured) = (0, Some(now));
            limits.publish(self.room, self.maxmemory, self.may_evict);
        }
    }

    /// Bytes that the data may take while keys are evicted.
    fn most(&self) -> u64 {
        self.maxmemory.saturating_add(self.maxmemory / SLACK)
    }

    /// Bytes of data to be evicted before anything else is planned.
    pub fn take_excess(&mut self) -> u64 {
        let wanted = std::mem::take(&mut self.wanted);
        if !self.may_evict {
            return 0;
        }
        let over = self.data.saturating_sub(self.maxmemory);
        over.max(self.data.saturating_add(wanted).saturating_sub(self.most()))
    }

    /// Keys of so many bytes are to be evicted by the plan at hand.
    pub fn note_evicted(&mut self, bytes: u64) {
        self.data = self.data.saturating_sub(bytes);
        self.room.gain(bytes);
    }

    /// No key can be evicted until something else is applied.
    pub fn note_dry(&mut self, limits: &MemoryLimits, now: (u64, u64)) {
        (self.dry_after, self.may_evict, self.measured) = (Some(now.1), false, None);
        self.measure(limits, now);
    }
}
