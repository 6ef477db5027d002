//! For how long nobody's write is acknowledged.
//!
//! - A fault's *unavailability* is the longest stretch without any acknowledged write between the fault's beginning and the
//!   recovery after its end, counted from the beginning at the earliest. For a node that is killed that is the time from
//!   the kill to the first acknowledgement; for an office handed over in good order it is the gap of the handover, whenever
//!   it comes.
//! - What had to be down as long as the fault held (all nodes killed, say) can't be better than the fault is long; so the time
//!   from the mending to the first acknowledgement after it is told as well.
//! - It is as fine as the writes are dense: with a write every few milliseconds, a few milliseconds.

/// Keeps track of the longest gap while a fault is watched. All times are in µs of one clock.
#[derive(Debug, Default)]
pub struct Availability {
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    last_us: u64,
    longest_us: u64,
    mended_us: Option<u64>,
    served_again_us: Option<u64>,
}

/// What a fault came to, in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// The longest time without an acknowledged write.
    pub longest_us: u64,
    /// From the mending to the first acknowledgement after it, if there was one.
    pub after_mending_us: Option<u64>,
}

impl Availability {
    /// A fault begins now.
    pub fn begin(&mut self, now_us: u64) {
        self.watch = Some(Watch { last_us: now_us, longest_us: 0, mended_us: None, served_again_us: None });
    }

    /// What the fault broke is whole again.
    pub fn mended(&mut self, now_us: u64) {
        if let Some(watch) = &mut self.watch {
            watch.mended_us = Some(now_us);
        }
    }

    /// A write was acknowledged now.
    pub fn acknowledged(&mut self, now_us: u64) {
        if let Some(watch) = &mut self.watch {
            watch.heard(now_us);
            if watch.mended_us.is_some() {
                watch.served_again_us.get_or_insert(now_us);
            }
        }
    }

    /// Whether some write was acknowledged after the mending.
    pub fn is_served_again(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.served_again_us.is_some())
    }

    /// The system has recovered, or was given up.
    pub fn end(&mut self, now_us: u64) -> Gap {
        let Some(mut watch) = self.watch.take() else { return Gap::default() };
        watch.heard(now_us);
        let after_mending_us =
            watch.served_again_us.zip(watch.mended_us).map(|(served, mended)| served - mended);
        Gap { longest_us: watch.longest_us, after_mending_us }
    }
}

impl Watch {
    /// A gap ends.
    fn heard(&mut self, now_us: u64) {
        self.longest_us = self.longest_us.max(now_us.saturating_sub(self.last_us));
        self.last_us = self.last_us.max(now_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_counts_wherever_it_is() {
        let mut availability = Availability::default();
        availability.acknowledged(5);
        availability.begin(100);
        for now_us in [101, 102, 150] {
            availability.acknowledged(now_us);
        }
        assert!(!availability.is_served_again());
        availability.mended(150);
        availability.acknowledged(153);
        availability.acknowledged(154);
        assert!(availability.is_served_again());
        assert_eq!(availability.end(160), Gap { longest_us: 48, after_mending_us: Some(3) });
    }

    #[test]
    fn silence_to_the_end_is_a_gap() {
        let mut availability = Availability::default();
        availability.begin(100);
        availability.acknowledged(103);
        availability.mended(500);
        assert_eq!(availability.end(1000), Gap { longest_us: 897, after_mending_us: None });
        assert_eq!(availability.end(2000), Gap::default());
    }
}
