//! Bugs that tests plant on purpose, to see that the simulator finds them. Without the feature `planted-bugs`, which is for
//! tests only and with which no server starts, there are none and nothing of them is compiled.
//!
//! A bug is one [`planted!`] at the place where the mistake could have been made: what is wrong, and what is right.

/// `planted!(Bug::X, wrong, right)`: what is wrong where that bug is planted, else what is right.
macro_rules! planted {
    ($bug:expr, $wrong:expr, $right:expr $(,)?) => {
        if $crate::planted::is($bug) { $wrong } else { $right }
    };
}
pub(crate) use planted;

/// A way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The primary answers its clients as soon as it has proposed their commands.
    AnswerBeforeSync,
    /// Followers acknowledge entries, and give votes, before they are on the disk.
    AcknowledgeBeforeSync,
    /// A term and a vote alone are not synced; the next entry takes them along.
    CountUnsyncedVotes,
    /// A new leader serves before it has applied an entry of its own term.
    ServeWithoutOwnEntry,
    /// The lease outlasts the followers' promises and the election timeout.
    LongLease,
    /// A leader takes its followers' promises to be as long as its own flags say.
    AssumePromises,
    /// A leader goes on reading while the one that it hands over to is elected.
    LeaseDuringTransfer,
    /// A second transfer of leadership makes the leader forget the first.
    ForgetTransfers,
    /// Reads under a lease are answered by the time at which their turn began.
    ReadByOldClock,
    /// Commands are judged by the calendar's time at which their turn began.
    JudgeByOldCalendar,
    /// A restarted node forgets that it may have promised to elect nobody.
    ForgetPromises,
    /// A leader counts what a follower acknowledges without looking whether its own entry there is the same, and the follower does not
    /// look either.
    CountAheadAsMatched,
    /// Nodes take each other for members of one cluster because their ids and addresses fit.
    IdByAddress,
    /// A leader commits an entry of an older term because a majority has it.
    CommitOlderTerms,
    /// The last entry of a replay is applied once more.
    ApplyTwiceAfterRestart,
    /// Term, vote and commit are not read back at a restart.
    LoseHardState,
    /// Recovery takes a record whose checksum is wrong.
    TrustTornRecords,
    /// A log is refused for damage in a part that a whole checkpoint makes needless.
    CondemnForOldDamage,
    /// The log is compacted up to a checkpoint that is still being written.
    CompactUnpublished,
    /// Replicas and replays run the first half of a transaction's writes.
    HalfAnExec,
    /// An EXEC runs although a watched key has changed.
    IgnoreWatches,
    /// Deadlines are compared with each node's own clock in apply.
    ExpireByLocalClock,
    /// A node goes by its calendar although that is not the group's.
    TrustOwnCalendar,
    /// Time does not pass in a group that is ahead of its primary's calendar.
    ClockStandsStill,
    /// A read tells of a death that no entry has: by the clock of this primary alone.
    TellUnsettledDeaths,
    /// Random picks come from the node, not from the entry.
    PickByLocalOrder,
    /// A restarted replica answers reads before it has applied what it had applied before.
    ServeHalfReplayed,
    /// A replica applies entries before they are committed.
    ReadUncommitted,
    /// A write that was in flight when leadership moved is said not to have happened.
    DenyWritesInFlight,
}

/// Those that the simulator has to find.
pub const FOUND: &[Bug] = &[
    Bug::AnswerBeforeSync,
    Bug::AcknowledgeBeforeSync,
    Bug::CountUnsyncedVotes,
    Bug::ServeWithoutOwnEntry,
    Bug::LongLease,
    Bug::AssumePromises,
    Bug::LeaseDuringTransfer,
    Bug::ForgetTransfers,
    Bug::CountAheadAsMatched,
    Bug::IdByAddress,
    Bug::CommitOlderTerms,
    Bug::ApplyTwiceAfterRestart,
    Bug::LoseHardState,
    Bug::TrustTornRecords,
    Bug::CondemnForOldDamage,
    Bug::CompactUnpublished,
    Bug::HalfAnExec,
    Bug::IgnoreWatches,
    Bug::ExpireByLocalClock,
    Bug::TrustOwnCalendar,
    Bug::ClockStandsStill,
    Bug::PickByLocalOrder,
    Bug::ServeHalfReplayed,
    Bug::ReadUncommitted,
    Bug::DenyWritesInFlight,
];

/// Those that it has not found in each of three ranges of 600 seeds: docs/testing.md says which.
pub const MISSED: &[Bug] =
    &[Bug::ForgetPromises, Bug::JudgeByOldCalendar, Bug::ReadByOldClock, Bug::TellUnsettledDeaths];

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;
    use crate::env::Now;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static NODE: Cell<Now> = const { Cell::new(Now { monotonic_ms: 0, unix_ms: 0 }) };
    }

    /// Plants a bug, or none, in all nodes that this thread turns.
    pub fn plant(bug: Option<Bug>) {
        let in_log = match bug {
            Some(Bug::TrustTornRecords) => Some(perdura_wal::planted::Bug::TrustTornRecords),
            Some(Bug::CondemnForOldDamage) => Some(perdura_wal::planted::Bug::CondemnForOldDamage),
            _ => None,
        };
        perdura_wal::planted::plant(in_log);
        PLANTED.set(bug);
    }

    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// From now on a node with these clocks is turned.
    pub fn enter(now: Now) {
        NODE.set(now);
    }

    /// The clocks of the node that is turned: what nothing in apply may depend on.
    pub fn local() -> Now {
        NODE.get()
    }
}

#[cfg(feature = "planted-bugs")]
pub use switch::{enter, is, local, plant};

/// Whether this bug is planted.
#[cfg(not(feature = "planted-bugs"))]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(not(feature = "planted-bugs"))]
pub const fn enter(_: crate::env::Now) {}

#[cfg(not(feature = "planted-bugs"))]
pub const fn local() -> crate::env::Now {
    crate::env::Now { monotonic_ms: 0, unix_ms: 0 }
}
