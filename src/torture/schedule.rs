//! When which fault comes: drawn from a seed, so that a run can be had again.
//!
//! - Kinds come in rounds: each round has every kind as often as its weight says, in an order of its own, so that a run of
//!   any length has met them evenly.
//! - The order, the times and the picks follow from the seed. Who is the primary at that moment does not.

use std::ops::Range;
use std::time::Duration;

use perdura_proof::Rng;

use super::fault::FaultKind;

/// How long a fault holds, in ms: from just over an election to several of them.
const HOLD_MS: Range<u64> = 1800..3400;
/// Quiet time between two faults, in ms.
const CALM_MS: Range<u64> = 1200..2600;

/// A fault to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub kind: FaultKind,
    /// Quiet time before it.
    pub calm: Duration,
    pub hold: Duration,
    /// Decides between equals: which replica, which link.
    pub pick: u64,
}

/// The faults of a run, one after the other, without end.
#[derive(Debug)]
pub struct Schedule {
    rng: Rng,
    kinds: Vec<FaultKind>,
    round: Vec<FaultKind>,
}

impl Schedule {
    pub fn new(kinds: &[FaultKind], seed: u64) -> Schedule {
        Schedule { rng: Rng::new(seed), kinds: kinds.to_vec(), round: Vec::new() }
    }

    /// The next fault; none where there are no kinds.
    pub fn next_fault(&mut self) -> Option<Planned> {
        if self.round.is_empty() {
            self.round = self.deal();
        }
        let kind = self.round.pop()?;
        let calm = self.time(CALM_MS);
        let hold = self.time(HOLD_MS);
        Some(Planned { kind, calm, hold, pick: self.rng.next_u64() })
    }

    fn time(&mut self, range_ms: Range<u64>) -> Duration {
        Duration::from_millis(range_ms.start + self.rng.below(range_ms.end - range_ms.start))
    }

    fn deal(&mut self) -> Vec<FaultKind> {
        let copies = |kind: &FaultKind| std::iter::repeat_n(*kind, kind.info().weight as usize);
        let mut round: Vec<FaultKind> = self.kinds.iter().flat_map(copies).collect();
        for at in (1..round.len()).rev() {
            round.swap(at, self.rng.index(at + 1));
        }
        round
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::fault::FAULTS;

    fn faults(seed: u64, count: usize) -> Vec<Planned> {
        let kinds: Vec<FaultKind> = FAULTS.iter().map(|info| info.kind).collect();
        let mut schedule = Schedule::new(&kinds, seed);
        (0..count).filter_map(|_| schedule.next_fault()).collect()
    }

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another() {
        assert_eq!(faults(7, 50), faults(7, 50));
        assert_ne!(faults(7, 50), faults(8, 50));
    }

    #[test]
    fn a_round_has_every_kind_as_often_as_its_weight() {
        let round: u32 = FAULTS.iter().map(|info| info.weight).sum();
        let drawn = faults(3, round as usize);
        for info in FAULTS {
            let times = drawn.iter().filter(|fault| fault.kind == info.kind).count();
            assert_eq!(times as u32, info.weight, "{}", info.name);
        }
    }

    #[test]
    fn ten_minutes_have_room_for_sixty_faults() {
        let drawn = faults(1, 60);
        let recovery = Duration::from_secs(3);
        let whole: Duration = drawn.iter().map(|fault| fault.calm + fault.hold + recovery).sum();
        assert!(whole < Duration::from_secs(600), "{whole:?}");
    }

    #[test]
    fn without_kinds_there_are_no_faults() {
        assert_eq!(Schedule::new(&[], 1).next_fault(), None);
    }
}
