//! How often each interesting thing happened: a fault that never struck has proved nothing.

/// What a thousand seeds need not show: it is counted, and not demanded.
const RARE: [Seen; 3] = [Seen::CheckpointsGivenUp, Seen::CheckpointsOvertaken, Seen::ReadsGivenUp];

macro_rules! seen {
    ($($name:ident: $text:literal,)*) => {
        /// A fault that struck, or something that followed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Seen { $($name,)* }

        /// All of them, as they are written in a table.
        pub const ALL: &[(Seen, &str)] = &[$((Seen::$name, $text),)*];
    };
}

seen! {
    FramesLost: "frames between nodes lost",
    FramesRepeated: "frames repeated",
    FramesOvertaken: "frames overtaken by later ones",
    WiresBroken: "connections between nodes broken",
    PacketsHeld: "packets held back by a partition",
    SplitPartitions: "partitions in two",
    OneWayPartitions: "one-way partitions",
    RingPartitions: "partitions that leave a ring",
    IsolatedPrimaries: "primaries isolated",
    SlowWires: "slow networks",
    SlowFrames: "frames that took their wire longer than a heartbeat",
    PowerFailures: "power failures",
    PowerFailuresInWrites: "power failures in the midst of a write",
    Kills: "processes killed",
    Shutdowns: "orderly shutdowns",
    Restarts: "restarts",
    TornTails: "torn tails cut",
    WriteErrors: "failed writes and syncs that ended a node",
    FullDisks: "nodes that had no space for another segment",
    RefusedForSpace: "writing commands refused for want of space",
    FlippedBits: "bits flipped at rest",
    BadSectors: "sectors that can't be read any more",
    OldDamageLeftOut: "damaged old segments left out of a log",
    DamageRefused: "damaged logs refused",
    LogsSetAside: "damaged logs set aside, to be learnt again from others",
    SlowDisks: "slow disks",
    Ambushes: "power failures right after an election",
    StormStrikes: "leaders struck in their first turns",
    Sieges: "primaries that lost their followers one by one",
    StalledSieges: "primaries that lost their followers while their drivers stalled",
    Bounces: "followers restarted at once when their leader was cut off",
    DeafTransfers: "leaderships handed over by a leader that then heard nothing",
    LateRequests: "requests to campaign that came late, when a later one was lost",
    Pauses: "processes paused",
    LongPauses: "pauses longer than an election",
    Stalls: "turns that stalled after they had taken their time",
    AnswersHeld: "answers of a turn held until a lease confirmed them",
    FlagsChanged: "nodes started with other flags than before",
    GaveWay: "primaries with slow disks that handed over",
    RanFromParts: "long commands that were logged in parts",
    PartsForgotten: "parts of long commands that never ran",
    GroupsOfTwo: "groups of two",
    TwoRelearned: "members of groups of two that had lost their disk and knew everything again",
    LongTurns: "turns longer than an election",
    Beats: "signs of life taken in for a busy driver",
    ClockJumps: "calendars set",
    HoursOff: "calendars of followers set hours off where deadlines were checked",
    LeadersHoursOff: "calendars of leaders set hours off where deadlines were checked",
    DriftChanges: "clocks that changed their rate",
    Transfers: "leaderships handed over on demand",
    Elections: "elections won",
    LeadersLost: "leaders that lost their office",
    LeasesExpired: "leases that ran out under a leader",
    ReadsHeld: "reads held until a lease was confirmed",
    ReadsGivenUp: "reads that no lease confirmed in time, so that their connection broke",
    ReadRounds: "reads without trust in clocks",
    SegmentsBegun: "logs that went on in another segment",
    Forwarded: "commands sent on to the primary",
    UpstreamsLost: "connections to the primary lost with commands on them",
    TakenAgain: "commands sent to the next primary, as the last did not serve them",
    HeldForPrimary: "commands that waited for a primary",
    ClosedInDoubt: "connections closed as the primary changed before an answer",
    ReplicaReads: "reads answered by replicas",
    WatcherReads: "reads by clients that keep to a node",
    Acknowledged: "operations acknowledged",
    InDoubt: "operations in doubt",
    DidNotHappen: "operations that did not happen",
    TimedOut: "operations that timed out",
    AbortedSwaps: "transactions that their WATCH aborted",
    Expired: "keys freed because they had expired",
    Blocked: "clients that waited in a blocking command",
    LostDisks: "disks lost",
    Relearned: "nodes that knew everything again after they had lost their disk, or their log",
    CheckpointsBegun: "checkpoints begun",
    CheckpointsPublished: "checkpoints published",
    CheckpointsGivenUp: "checkpoints given up for one of another node",
    CheckpointsFetched: "checkpoints of other nodes put in place of all data",
    CheckpointsOvertaken: "checkpoints that the log overtook on their way",
    StartsFromCheckpoints: "restarts from a checkpoint",
    Strays: "strays of another cluster in a member's place",
    Aheads: "members that knew entries which the others lacked",
    DigestsCompared: "digests compared at equal indexes",
}

/// How often each was seen.
#[derive(Clone, Debug)]
pub struct Counts([u64; ALL.len()]);

impl Default for Counts {
    fn default() -> Counts {
        Counts([0; ALL.len()])
    }
}

impl Counts {
    pub fn add(&mut self, seen: Seen) {
        self.0[seen as usize] += 1;
    }

    pub fn add_many(&mut self, seen: Seen, count: u64) {
        self.0[seen as usize] += count;
    }

    pub fn of(&self, seen: Seen) -> u64 {
        self.0[seen as usize]
    }

    pub fn merge(&mut self, other: &Counts) {
        for (own, more) in self.0.iter_mut().zip(other.0) {
            *own += more;
        }
    }

    /// What never happened, and is not rare.
    pub fn unseen(&self) -> Vec<&'static str> {
        let is_missing = |seen| self.of(seen) == 0 && !RARE.contains(&seen);
        ALL.iter().filter(|(seen, _)| is_missing(*seen)).map(|(_, text)| *text).collect()
    }

    /// One line each.
    pub fn table(&self) -> String {
        ALL.iter().map(|(seen, text)| format!("{:>12}  {text}\n", self.of(*seen))).collect()
    }
}
