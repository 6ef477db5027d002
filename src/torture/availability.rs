//! For how long nobody's write is acknowledged.
//!
//! - A fault's *unavailability* is the longest stretch without any acknowledged write between the fault's beginning and the
//!   recovery after its end, counted from the beginning at the earliest. For a node that is killed that is the time from
//!   the kill to the first acknowledgement; for an office handed over in good order it is the gap of the handover, whenever
//!   it comes.
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
}

impl Availability {
    /// A fault begins now.
    pub fn begin(&mut self, now_us: u64) {
        self.watch = Some(Watch { last_us: now_us, longest_us: 0 });
    }

    /// A write was acknowledged now.
    pub fn acknowledged(&mut self, now_us: u64) {
        if let Some(watch) = &mut self.watch {
            watch.longest_us = watch.longest_us.max(now_us.saturating_sub(watch.last_us));
            watch.last_us = watch.last_us.max(now_us);
        }
    }

    /// Whether some write was acknowledged after `since_us`.
    pub fn is_served_since(&self, since_us: u64) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.last_us > since_us)
    }

    /// The system has recovered, or was given up; returns the longest gap.
    pub fn end(&mut self, now_us: u64) -> u64 {
        self.acknowledged(now_us);
        self.watch.take().map_or(0, |watch| watch.longest_us)
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
        for now_us in [101, 102, 150, 151] {
            availability.acknowledged(now_us);
        }
        assert!(availability.is_served_since(150) && !availability.is_served_since(151));
        assert_eq!(availability.end(160), 48);
    }

    #[test]
    fn silence_to_the_end_is_a_gap() {
        let mut availability = Availability::default();
        availability.begin(100);
        availability.acknowledged(103);
        assert_eq!(availability.end(1000), 897);
        assert_eq!(availability.end(2000), 0);
    }
}
