//! A machine: its disk, its clock, and the process that runs on it, if one does.

use std::collections::BTreeMap;
use std::time::Duration;

use perdura::checkpoint::memory::MemoryShelf;
use perdura::raft::timing::RaftTiming;
use perdura_wal::{Disk, SimDisk};

use crate::damage::Damage;
use crate::dice::Dice;
use crate::impostor::Impersonated;
use crate::process::Process;
use crate::queue::Micros;
use crate::scenario::Scenario;

/// Unix time at which every run begins.
const START_UNIX_MS: i64 = 1_700_000_000_000;
const MILLION: u64 = 1_000_000;

/// What may rightly end a node.
#[derive(Clone, Debug, Default)]
pub struct Excuses {
    /// A power failure is planned for the midst of a write.
    pub power: bool,
    /// A write or a sync was made to fail.
    pub io: bool,
    /// The disk is full: a node may fail to start on it. One that runs goes on.
    pub full: bool,
    /// Something on the disk was damaged.
    pub damage: Option<Damage>,
}

pub struct Host {
    pub disk: SimDisk,
    /// Its checkpoints: durable, and never damaged.
    pub shelf: MemoryShelf,
    pub process: Option<Process>,
    /// The flags of its present or last process.
    pub timing: RaftTiming,
    /// True time that one of its microseconds takes, in millionths.
    pub rate_ppm: u64,
    /// By how much its calendar is off.
    pub calendar_ms: i64,
    /// What it has counted since the run began.
    monotonic_ns: u64,
    read_at: Micros,
    /// Nothing of it runs before this moment.
    pub paused_until: Micros,
    /// For how long its driver stalls with the next turn.
    pub will_stall: Option<Micros>,
    /// What an operation of its disk takes.
    pub disk_us: Micros,
    pub excuses: Excuses,
    /// It will not come back.
    pub lost: bool,
    /// It holds all that it ever acknowledged; not for a while after it lost its disk, or its log.
    pub trusted: bool,
    /// It has heard which cluster it is of.
    pub knows_cluster: bool,
    /// It has set a damaged log aside since it got this disk.
    pub knows_of_loss: bool,
    /// Its own disk, while an impostor runs in its place.
    pub impersonated: Option<Impersonated>,
    /// Streams whose other ends have not yet heard that its process is gone.
    pub silent_streams: Vec<(u64, usize)>,
    /// Of each segment, the bytes that an opening of the log has vouched for.
    pub vouched: BTreeMap<String, u64>,
}

impl Host {
    pub fn new(scenario: &Scenario, node: usize, dice: &mut Dice) -> Host {
        let drift = scenario.drift_ppm;
        Host {
            disk: SimDisk::new(dice.next() ^ node as u64, scenario.tear, scenario.write_granularity),
            shelf: MemoryShelf::default(),
            process: None,
            timing: RaftTiming::default(),
            rate_ppm: MILLION - drift + dice.below(2 * drift + 1),
            calendar_ms: dice.below(2 * scenario.calendar_ms + 1) as i64 / 2
                - scenario.calendar_ms as i64 / 2,
            monotonic_ns: 0,
            read_at: 0,
            paused_until: 0,
            will_stall: None,
            disk_us: scenario.disk_us,
            excuses: Excuses::default(),
            lost: false,
            trusted: true,
            knows_cluster: false,
            knows_of_loss: false,
            impersonated: None,
            silent_streams: Vec::new(),
            vouched: BTreeMap::new(),
        }
    }

    /// Whether it will be there with everything that it ever acknowledged.
    pub fn is_sound(&self) -> bool {
        !self.lost && self.excuses.damage.is_none() && self.trusted && self.impersonated.is_none()
    }

    /// The index of its newest checkpoint, 0 without one.
    pub fn newest_checkpoint(&self) -> u64 {
        self.shelf.list().last().copied().unwrap_or(0)
    }

    /// Gives it an empty disk.
    pub fn replace_disk(&mut self, scenario: &Scenario, seed: u64) {
        self.replace_log(scenario, seed);
        self.shelf = MemoryShelf::default();
        self.knows_of_loss = false;
    }

    /// The log is damaged: it goes on with another, and with its checkpoints.
    pub fn set_log_aside(&mut self, scenario: &Scenario, seed: u64) {
        self.replace_log(scenario, seed);
        self.excuses.damage = None;
        self.knows_of_loss = true;
    }

    fn replace_log(&mut self, scenario: &Scenario, seed: u64) {
        let capacity = self.disk.capacity();
        self.disk = SimDisk::new(seed, scenario.tear, scenario.write_granularity);
        self.disk.set_capacity(capacity);
        self.vouched.clear();
        self.trusted = false;
    }

    /// Brings the machine's clock, and its process', to the present.
    pub fn look_at_clock(&mut self, now: Micros) {
        let passed_ns = (now - self.read_at) * self.rate_ppm / 1000;
        self.read_at = now;
        self.monotonic_ns += passed_ns;
        if let Some(process) = &self.process {
            process.hands.advance(Duration::from_nanos(passed_ns));
        }
    }

    /// What its calendar shows.
    pub fn unix_ms(&self) -> i64 {
        START_UNIX_MS + self.monotonic_ns as i64 / 1_000_000 + self.calendar_ms
    }

    /// Sets the calendar.
    pub fn shift_calendar(&mut self, to_ms: i64) {
        let by_ms = to_ms - self.calendar_ms;
        self.calendar_ms = to_ms;
        if let Some(process) = &self.process {
            process.hands.shift_unix_ms(by_ms);
        }
    }

    /// True time from now until its process' clock shows `due_ms`.
    pub fn until(&self, due_ms: u64) -> Micros {
        let Some(process) = &self.process else { return 0 };
        let missing_ns = (due_ms * MILLION).saturating_sub(process.shared.clock.monotonic_ns());
        (missing_ns * 1000).div_ceil(self.rate_ppm)
    }

    /// True time that so many of its milliseconds take.
    pub fn true_us(&self, ms: u64) -> Micros {
        (ms * 1000 * MILLION).div_ceil(self.rate_ppm)
    }

    /// Notes how far each segment is filled: the batch that an opening writes behind that vouches for all of it.
    pub fn vouch(&mut self) {
        self.vouched.clear();
        for name in self.disk.list().unwrap_or_default() {
            let bytes = self.disk.bytes(&name).unwrap_or_default();
            let filled = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
            self.vouched.insert(name, filled);
        }
    }
}
