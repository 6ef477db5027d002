//! The moment up to which nothing more was written: what a backup may promise beyond the timestamp of the last entry.
//!
//! - Only a leader answers that has confirmed its leadership, by its lease or by a round of heartbeats, and only while its log
//!   holds no entry that is not applied. A deposed leader confirms nothing.
//! - The moment is a millisecond before the leader looked at its clock, or the moment that it told before, if its calendar was set back
//!   since. What it logs from then on has later timestamps, whatever its calendar shows ([`Shard::end_quiet`]).
//!
//! Caveat: a next leader, or the next process of this one, does not know the moment. If its calendar is late, it may log entries with
//! earlier timestamps.

use std::sync::Arc;

use parking_lot::Mutex;
use perdura_wal::Disk;
use tokio::sync::{Notify, oneshot};

use super::turn::Shard;
use crate::env::Now;
use crate::raft::lease::{ReadRound, RoundState};

/// Nothing was written after an entry, up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// The last entry.
    pub index: u64,
    /// The leader's.
    pub term: u64,
    pub until_ms: i64,
}

#[derive(Debug)]
struct Ask {
    /// What was true when a round of confirmation began.
    begun: Option<(Quiet, Option<ReadRound>)>,
    answer: oneshot::Sender<Quiet>,
}

/// One request at a time, from any thread, answered by the driver between two turns.
#[derive(Debug)]
pub struct QuietAsks {
    waiting: Mutex<Option<Ask>>,
    driver_wake: Arc<Notify>,
}

impl QuietAsks {
    /// `driver_wake` wakes the driver.
    pub fn new(driver_wake: Arc<Notify>) -> QuietAsks {
        QuietAsks { waiting: Mutex::default(), driver_wake }
    }

    /// Asks; `None` if nothing can be said now, or another request takes the place of this one. Blocks: for a thread that is no
    /// worker's.
    pub fn ask_and_wait(&self) -> Option<Quiet> {
        let (answer, quiet) = oneshot::channel();
        *self.waiting.lock() = Some(Ask { begun: None, answer });
        self.driver_wake.notify_one();
        quiet.blocking_recv().ok()
    }

    /// Answers the request that waits, begins a round for it, or looks whether its round is over. A request that can't be answered
    /// is dropped.
    pub fn serve<D: Disk>(&self, shard: &mut Shard<D>, now: Now) {
        let Some(Ask { begun, answer }) = self.waiting.lock().take() else { return };
        let Some((quiet, round)) = begun.or_else(|| begin(shard, now)) else { return };
        let state = round.map_or(RoundState::Confirmed, |round| shard.node().confirmed(round));
        match state {
            // A newer request stays.
            RoundState::Pending => {
                self.waiting.lock().get_or_insert(Ask { begun: Some((quiet, round)), answer });
            }
            // A requester that is gone needs nothing.
            RoundState::Confirmed => {
                let _ = answer.send(quiet);
            }
            RoundState::Lost => {}
        }
    }
}

/// What is true now if this node leads, and the round that confirms it; no round under the lease.
fn begin<D: Disk>(shard: &mut Shard<D>, now: Now) -> Option<(Quiet, Option<ReadRound>)> {
    let quiet = quiet(shard, now)?;
    shard.end_quiet(quiet.until_ms);
    if shard.still_holds_lease() {
        return Some((quiet, None));
    }
    shard.node_mut().confirm_round().map(|round| (quiet, Some(round)))
}

fn quiet<D: Disk>(shard: &Shard<D>, now: Now) -> Option<Quiet> {
    let (node, machine) = (shard.node(), shard.machine());
    let (index, until_ms) = (machine.applied, (shard.group_ms(now) - 1).max(shard.quiet_until_ms()));
    let is_settled = node.is_serving() && node.storage().last_entry() == index;
    let is_later = until_ms >= machine.applier.last_stamp_ms();
    (is_settled && is_later).then_some(Quiet { index, term: node.applied_term(), until_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::testing::Rig;

    fn ask(rig: &mut Rig) -> Option<Quiet> {
        let (answer, mut quiet) = oneshot::channel();
        *rig.quiet().waiting.lock() = Some(Ask { begun: None, answer });
        rig.serve_quiet();
        quiet.try_recv().ok()
    }

    #[test]
    fn a_leader_alone_says_up_to_when_nothing_was_written() {
        let mut rig = Rig::new(1);
        rig.run(1, "SET k v");
        rig.advance_ms(5000);
        let first = ask(&mut rig).expect("it leads and is idle");
        assert_eq!(first.index, rig.applied());
        rig.advance_ms(5000);
        let second = ask(&mut rig).expect("it leads and is idle");
        assert_eq!((second.index, second.until_ms - first.until_ms), (first.index, 5000));
        rig.run(1, "SET k w");
        let third = ask(&mut rig);
        assert!(third.is_none_or(|third| third.index > second.index), "{third:?}");
    }

    /// The calendar was set back: the next entry had a timestamp of the time in which nothing was written.
    #[test]
    fn a_calendar_that_is_set_back_makes_no_moment_untrue_and_takes_none_back() {
        let mut rig = Rig::new(1);
        rig.run(1, "SET k v");
        rig.advance_ms(5000);
        let quiet = ask(&mut rig).expect("it leads and is idle");
        rig.set_calendar_back_ms(3000);
        let again = ask(&mut rig).expect("it leads and is idle");
        assert_eq!(again, quiet, "what was told is still true");
        rig.run(1, "SET k w");
        let stamp_ms = rig.last_stamp_ms();
        assert!(stamp_ms > quiet.until_ms, "{stamp_ms} {quiet:?}");
        assert_eq!(ask(&mut rig), None, "its calendar shows a time before the last entry's");
        rig.advance_ms(4000);
        let later = ask(&mut rig).expect("it leads and is idle");
        assert!(later.until_ms > stamp_ms && later.index > quiet.index);
    }

    #[test]
    fn the_moment_lies_before_the_timestamp_of_whatever_is_logged_next() {
        let mut rig = Rig::new(1);
        rig.run(1, "SET k v");
        rig.advance_ms(5000);
        let quiet = ask(&mut rig).expect("it leads and is idle");
        rig.run(1, "SET k w");
        let stamp_ms = rig.last_stamp_ms();
        assert!(stamp_ms > quiet.until_ms, "{stamp_ms} {quiet:?}");
    }
}
