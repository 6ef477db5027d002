//! What a repository holds: which points in time can be restored, and which objects are needed for one.
//!
//! - It is made of names, and of what checkpoints say of themselves: entries and pieces are not read for it.
//! - A checkpoint counts if all its pieces are there. One that can't be restored keeps nobody from what can.
//! - Objects of the log may overlap, and have the same entries where they do.

use super::error::{BackupError, Damage, Result};
use super::latest::Latest;
use super::names::{self, LogName};
use super::repository::Repository;

/// An object of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLog {
    pub name: LogName,
    /// As it is stored.
    pub bytes: u64,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCheckpoint {
    pub index: u64,
    pub term: u64,
    pub stamp_ms: i64,
    pub keys: u64,
    /// Of its files, those that it shares with others included.
    pub bytes: u64,
}

/// Entries each of which can be restored to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: u64,
    pub last: u64,
    /// The first one's timestamp; unix ms.
    pub first_ms: i64,
    /// The last one's, or a later moment up to which nothing more was written.
    pub last_ms: i64,
}

/// A checkpoint that can't be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    pub index: u64,
    pub why: Damage,
}

#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// By their first entries, then by their last.
    pub logs: Vec<HeldLog>,
    /// Those that can be restored, oldest first.
    pub checkpoints: Vec<HeldCheckpoint>,
    /// Those that lack pieces, or whose description can't be read, oldest first.
    pub unusable: Vec<Unusable>,
    /// Up to when nothing more was written.
    pub latest: Option<Latest>,
    /// Objects of the log that were found to be damaged. They are not among `logs`.
    pub damaged: Vec<LogName>,
}

impl Inventory {
    /// What the names of objects tell: enough for gaps.
    pub fn of_names(repository: &Repository) -> Result<Inventory> {
        let checkpoint = |index| HeldCheckpoint { index, term: 0, stamp_ms: 0, keys: 0, bytes: 0 };
        let checkpoints = repository.checkpoint_indexes()?.into_iter().map(checkpoint).collect();
        Ok(Inventory { logs: repository.logs()?, checkpoints, ..Inventory::default() })
    }

    /// Goes on without an object that was found to be damaged, or without the checkpoint that needs it. False if none is known by
    /// that name.
    pub fn leave_out(&mut self, path: &str, why: &Damage, checkpoint: Option<u64>) -> bool {
        // What the object shows of the latest restorable time must not be forgotten with it.
        self.latest = self.latest.filter(|latest| !self.contradicts(latest));
        if let Some(at) = self.logs.iter().position(|log| log.name.path() == path) {
            self.damaged.push(self.logs.remove(at).name);
            return true;
        }
        let own =
            self.checkpoints.iter().map(|one| one.index).find(|index| names::checkpoint_path(*index) == path);
        let of_piece = checkpoint.filter(|_| path.starts_with(names::FILES));
        let Some(index) = own.or(of_piece) else { return false };
        let before = self.checkpoints.len();
        self.checkpoints.retain(|one| one.index != index);
        self.unusable.push(Unusable { index, why: why.clone() });
        self.checkpoints.len() < before
    }

    /// Entries of damaged objects that no other object has.
    pub fn lost(&self) -> Vec<(u64, u64)> {
        let mut damaged = self.damaged.clone();
        damaged.sort_unstable();
        let mut lost: Vec<(u64, u64)> = Vec::new();
        let mut next = 0;
        for name in damaged {
            next = next.max(name.first);
            while next <= name.last {
                if let Some(best) = self.reaching_furthest_from(next) {
                    next = best.last + 1;
                    continue;
                }
                let following = self.logs.iter().map(|log| log.name.first).find(|first| *first > next);
                let last = following.map_or(name.last, |first| name.last.min(first - 1));
                match lost.last_mut() {
                    Some(before) if before.1 + 1 == next => before.1 = last,
                    _ => lost.push((next, last)),
                }
                next = last + 1;
            }
        }
        lost
    }

    /// How many entries are missing, see [`Inventory::gaps`].
    pub fn missing_entries(&self) -> u64 {
        self.gaps().iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Of the gaps what a log with this first entry can fill so that it can be restored: a whole gap, or the entries after a checkpoint.
    pub fn fillable_gaps(&self, first_index: u64) -> Vec<(u64, u64)> {
        let begins = |first: u64, last: u64| match first >= first_index {
            true => Some(first),
            false => {
                let bases = self.checkpoints.iter().map(|one| one.index);
                bases.filter(|index| (first_index..=last).contains(&(index + 1))).map(|index| index + 1).min()
            }
        };
        self.gaps().into_iter().filter_map(|(first, last)| Some((begins(first, last)?, last))).collect()
    }

    /// The last entry that a backup needs no log up to, of a log with this first entry.
    pub fn whole_until(&self, first_index: u64) -> u64 {
        self.fillable_gaps(first_index).first().map_or(self.last_index(), |(first, _)| first - 1)
    }

    /// As few objects as hold all entries from `first` to `last`.
    ///
    /// # Errors
    /// [`BackupError::Missing`] for the first entries that no object has.
    pub fn cover(&self, first: u64, last: u64) -> Result<Vec<LogName>> {
        let (mut chosen, mut next) = (Vec::new(), first);
        while next <= last {
            let Some(best) = self.reaching_furthest_from(next) else {
                let behind = self.logs.iter().map(|log| log.name.first).find(|first| *first > next);
                let last = behind.map_or(last, |behind| last.min(behind - 1));
                return Err(BackupError::Missing { first: next, last });
            };
            next = best.last + 1;
            chosen.push(best);
        }
        Ok(chosen)
    }

    /// What can be restored to.
    pub fn spans(&self) -> Vec<Span> {
        let from_nothing = self.logs.first().filter(|log| log.name.first == 1);
        let from_nothing = from_nothing.map(|_| (0, self.first_stamp_ms()));
        let from_checkpoints =
            self.checkpoints.iter().map(|checkpoint| (checkpoint.index, checkpoint.stamp_ms));
        let mut spans: Vec<Span> = Vec::new();
        for (index, stamp_ms) in from_nothing.into_iter().chain(from_checkpoints) {
            let (last, last_ms) = self.reach_from(index, stamp_ms);
            match spans.last_mut() {
                Some(before) if index <= before.last => {
                    before.last = before.last.max(last);
                    before.last_ms = before.last_ms.max(last_ms);
                }
                _ => spans.push(Span { first: index.max(1), last, first_ms: stamp_ms, last_ms }),
            }
        }
        if let Some(latest) = self.latest.filter(|latest| !self.contradicts(latest)) {
            // Entries after a gap may be of that time.
            let held = spans.iter_mut().find(|span| (span.first..=span.last).contains(&latest.index));
            held.into_iter().for_each(|span| span.last_ms = span.last_ms.max(latest.time_ms));
        }
        spans
    }

    /// Whether a later leader, with another calendar, wrote entries in the time in which nothing was to be written: more may follow.
    fn contradicts(&self, latest: &Latest) -> bool {
        let is_of_that_time = |ms: u64| ms > 0 && i64::try_from(ms).is_ok_and(|ms| ms <= latest.time_ms);
        self.logs.iter().any(|log| log.name.first > latest.index && is_of_that_time(log.name.first_ms))
    }

    /// The oldest timestamp in the log; a leader's first entry has none.
    fn first_stamp_ms(&self) -> i64 {
        self.logs.iter().map(|log| log.name.first_ms).find(|ms| *ms > 0).unwrap_or(0) as i64
    }

    /// The newest entry that is held.
    pub fn last_index(&self) -> u64 {
        let in_logs = self.logs.iter().map(|log| log.name.last).max().unwrap_or(0);
        in_logs.max(self.checkpoints.last().map_or(0, |checkpoint| checkpoint.index))
    }

    /// Entries that no object has, between the oldest that can be restored and the newest.
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        let begins = self.logs.first().is_some_and(|log| log.name.first == 1);
        let oldest = self.checkpoints.first().filter(|_| !begins);
        let (mut gaps, mut next) = (Vec::new(), oldest.map_or(1, |checkpoint| checkpoint.index + 1));
        for name in self.logs.iter().map(|log| log.name) {
            if name.first > next {
                gaps.push((next, name.first - 1));
            }
            next = next.max(name.last + 1);
        }
        if next <= self.last_index() {
            gaps.push((next, self.last_index()));
        }
        gaps
    }

    /// How far the log goes on behind an entry, and the stamp there.
    fn reach_from(&self, index: u64, stamp_ms: i64) -> (u64, i64) {
        let (mut last, mut last_ms) = (index, stamp_ms);
        while let Some(best) = self.reaching_furthest_from(last + 1) {
            (last, last_ms) = (best.last, last_ms.max(best.last_ms as i64));
        }
        (last, last_ms)
    }

    /// Of the objects that have an entry, the one that goes on for longest.
    fn reaching_furthest_from(&self, index: u64) -> Option<LogName> {
        let begun = self.logs.partition_point(|log| log.name.first <= index);
        let holding = self.logs[..begun].iter().map(|log| log.name).filter(|name| name.last >= index);
        holding.max_by_key(|name| name.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(logs: &[(u64, u64)], checkpoints: &[u64]) -> Inventory {
        let log = |(first, last): &(u64, u64)| HeldLog {
            name: LogName { first: *first, last: *last, first_ms: first * 10, last_ms: last * 10 },
            bytes: 1,
        };
        let checkpoint = |index: &u64| HeldCheckpoint {
            index: *index,
            term: 1,
            stamp_ms: *index as i64 * 10,
            keys: 0,
            bytes: 0,
        };
        let mut logs: Vec<_> = logs.iter().map(log).collect();
        logs.sort_by_key(|log| log.name);
        Inventory { logs, checkpoints: checkpoints.iter().map(checkpoint).collect(), ..Inventory::default() }
    }

    fn spans(inventory: &Inventory) -> Vec<(u64, u64)> {
        inventory.spans().iter().map(|span| (span.first, span.last)).collect()
    }

    #[test]
    fn what_can_be_restored_begins_at_a_checkpoint_or_the_first_entry() {
        assert_eq!(spans(&inventory(&[], &[])), []);
        assert_eq!(spans(&inventory(&[(1, 5), (6, 9)], &[])), [(1, 9)]);
        assert_eq!(spans(&inventory(&[(2, 5), (6, 9)], &[])), []);
        assert_eq!(spans(&inventory(&[(2, 5), (6, 9)], &[4])), [(4, 9)]);
        assert_eq!(spans(&inventory(&[(2, 5), (7, 9)], &[4])), [(4, 5)]);
        assert_eq!(spans(&inventory(&[(1, 5), (9, 12)], &[8, 20])), [(1, 5), (8, 12), (20, 20)]);
        assert_eq!(spans(&inventory(&[(1, 5), (9, 12)], &[3, 5, 8])), [(1, 5), (8, 12)]);
        let span = inventory(&[(2, 5), (6, 9)], &[4]).spans()[0];
        assert_eq!((span.first_ms, span.last_ms), (40, 90));
    }

    #[test]
    fn latest_restorable_time_extends_the_span_that_holds_its_entry() {
        let last_ms = |latest: Option<(u64, i64)>| {
            let latest = latest.map(|(index, time_ms)| Latest { index, term: 1, time_ms });
            let held = Inventory { latest, ..inventory(&[(1, 5), (9, 12)], &[8]) };
            held.spans().iter().map(|span| span.last_ms).collect::<Vec<_>>()
        };
        assert_eq!(last_ms(None), [50, 120]);
        assert_eq!(last_ms(Some((12, 999))), [50, 999]);
        assert_eq!(last_ms(Some((11, 119))), [50, 120]);
        assert_eq!(last_ms(Some((5, 89))), [89, 120], "what follows is later");
        assert_eq!(last_ms(Some((5, 999))), [50, 120], "what follows is of that time");
        assert_eq!(last_ms(Some((13, 999))), [50, 120], "its last entry is not there");
        assert_eq!(last_ms(Some((6, 999))), [50, 120], "it lies in a gap");
    }

    #[test]
    fn a_first_object_without_timestamps_is_no_object_of_1970() {
        let mut held = inventory(&[(1, 1), (2, 9)], &[]);
        held.logs[0].name = LogName { first_ms: 0, last_ms: 0, ..held.logs[0].name };
        assert_eq!(held.spans()[0].first_ms, 20);
    }

    #[test]
    fn gaps_are_what_lies_between() {
        assert_eq!(inventory(&[(1, 5), (9, 12)], &[8, 20]).gaps(), [(6, 8), (13, 20)]);
        assert_eq!(inventory(&[(1, 5), (9, 12), (15, 16)], &[]).gaps(), [(6, 8), (13, 14)]);
        assert_eq!(inventory(&[(4, 5)], &[]).gaps(), [(1, 3)]);
        for whole in [inventory(&[(1, 5)], &[3]), inventory(&[(2, 5), (4, 9)], &[3, 9]), inventory(&[], &[3])]
        {
            assert_eq!(whole.gaps(), []);
        }
    }

    #[test]
    fn a_gap_is_filled_from_its_first_entry_or_from_a_checkpoint_in_it() {
        let held = inventory(&[(1, 5), (9, 12), (21, 22)], &[15]);
        assert_eq!(held.fillable_gaps(1), [(6, 8), (13, 20)]);
        assert_eq!((held.fillable_gaps(6), held.whole_until(6)), (vec![(6, 8), (13, 20)], 5));
        assert_eq!((held.fillable_gaps(7), held.whole_until(7)), (vec![(13, 20)], 12));
        assert_eq!((held.fillable_gaps(14), held.fillable_gaps(16)), (vec![(16, 20)], vec![(16, 20)]));
        assert_eq!((held.fillable_gaps(17), held.whole_until(17)), (vec![], 22));
    }

    #[test]
    fn entries_of_damaged_objects_are_lost_unless_another_object_has_them() {
        let mut held = inventory(&[(1, 3), (2, 8), (9, 12), (13, 14), (15, 20)], &[5]);
        let names: Vec<LogName> = held.logs.iter().map(|log| log.name).collect();
        for name in [names[4], names[2], names[3]] {
            assert!(held.leave_out(&name.path(), &Damage::Header, None));
        }
        assert_eq!(held.lost(), [(9, 20)]);
        assert_eq!((spans(&held), held.gaps()), (vec![(1, 8)], vec![]));
        assert!(held.leave_out(&names[0].path(), &Damage::Header, None));
        assert_eq!((spans(&held), held.lost()), (vec![(5, 8)], vec![(1, 1), (9, 20)]));
        assert!(!held.leave_out(&names[0].path(), &Damage::Header, None), "it is gone already");
        assert!(held.leave_out("files/x", &Damage::Missing, Some(5)) && spans(&held).is_empty());
    }

    #[test]
    fn few_objects_cover_and_a_missing_one_is_named() {
        let held = inventory(&[(1, 3), (1, 8), (4, 8), (5, 12), (15, 20)], &[]);
        let firsts =
            |names: Vec<LogName>| names.iter().map(|name| (name.first, name.last)).collect::<Vec<_>>();
        assert_eq!(firsts(held.cover(1, 12).expect("all are there")), [(1, 8), (5, 12)]);
        assert_eq!(firsts(held.cover(6, 7).expect("all are there")), [(5, 12)]);
        assert_eq!(firsts(held.cover(6, 5).expect("nothing is asked for")), []);
        assert!(matches!(held.cover(2, 16), Err(BackupError::Missing { first: 13, last: 14 })));
        assert!(matches!(held.cover(18, 30), Err(BackupError::Missing { first: 21, last: 30 })));
    }
}
