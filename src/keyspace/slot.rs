//! Hash slots: which of the 16384 a key belongs to, and which lock range holds the slot.
//!
//! A lock range is a run of neighbouring slots behind one lock; commands on different ranges do not wait for each other.

pub const SLOTS: usize = 16384;
pub const SLOTS_PER_RANGE: usize = 256;
pub const RANGES: usize = SLOTS / SLOTS_PER_RANGE;

/// A hash slot, below [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// CRC16 of the key, or of its first non-empty `{hash tag}`, modulo 16384
    /// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
    pub fn of(key: &[u8]) -> Slot {
        Slot(redis_protocol::redis_keyslot(key))
    }

    /// The slot of this number, if there is one.
    pub fn new(number: usize) -> Option<Slot> {
        (number < SLOTS).then_some(Slot(number as u16))
    }

    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    /// The index of the lock range that holds this slot, below [`RANGES`].
    pub fn range(self) -> usize {
        self.number() / SLOTS_PER_RANGE
    }

    /// The slot's place inside its lock range, below [`SLOTS_PER_RANGE`].
    pub fn within_range(self) -> usize {
        self.number() % SLOTS_PER_RANGE
    }
}

#[cfg(test)]
mod tests {
    use super::Slot;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(Slot::of(b"123456789").number(), 12739);
        assert_eq!(Slot::of(b"{user1000}.following"), Slot::of(b"{user1000}.followers"));
        assert_eq!(Slot::of(b"foo{}{bar}").number(), Slot::of(b"foo{}{bar}").number());
        assert_ne!(Slot::of(b"foo{}{bar}"), Slot::of(b"bar"));
        assert_eq!(Slot::of(b"foo{{bar}}zap"), Slot::of(b"{bar"));
    }
}
