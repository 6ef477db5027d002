//! What a seed decides before a run begins: the cluster, its machines and network, its clients, and which faults may strike.
//!
//! Not every fault strikes in every run: a run with few kinds reaches states that a run with all of them never settles
//! into (Groce and others, "Swarm Testing", ISSTA 2012).

use perdura::raft::timing::RaftTiming;
use perdura::shard::calendars::TOLERATED_MS;
use perdura_proof::Kind;
use perdura_wal::disk::sim::Tear;

use crate::checkpoints::Plan;
use crate::dice::Dice;
use crate::faults::FAULTS;
use crate::faults::FaultKind::{
    self, Ahead, AtElection, BadSector, Calendar, DeafTransfer, LateTransfer, LoseDisk, SickDisk, Siege,
    Storm, Stray,
};
use crate::queue::{MS, Micros, SECOND};

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub nodes: usize,
    /// Wires between nodes keep their order and break as TCP does; otherwise each frame travels alone.
    pub ordered_wires: bool,
    /// A packet's usual time on its way.
    pub latency_us: Micros,
    /// Bytes that a wire between nodes takes in a second; no bound without. Clients then write large values now and then.
    pub bandwidth: Option<u64>,
    /// The times that nodes are started with: each start draws among them.
    pub flags: Vec<RaftTiming>,
    /// Drivers stall, now and then, after they have taken their turn's time.
    pub stalls: bool,
    /// The log driver blocks the workers while it turns, as it does inside a worker's loop.
    pub driver_in_worker: bool,
    pub workers: usize,
    pub trust_clocks: bool,
    pub skip_commit_broadcast: bool,
    /// Clients are closed in place of answers that a change of the primary took away; otherwise they are told.
    pub closes_on_doubt: bool,
    /// Entries of one append message, and entries kept in memory, in bytes.
    pub max_append_bytes: u64,
    pub entry_cache_bytes: usize,
    pub max_inflight_appends: usize,
    /// Longer commands and transactions are logged in parts.
    pub long_bytes: usize,
    pub catch_up_bytes_per_second: u64,
    pub tear: Tear,
    pub write_granularity: u64,
    pub segment_bytes: u64,
    /// What a write or a sync usually takes.
    pub disk_us: Micros,
    /// Clocks' rates differ from true time by up to so many millionths.
    pub drift_ppm: u64,
    /// Two calendars are set apart by up to so much.
    pub calendar_ms: u64,
    /// Nodes tell each other their calendars. Where they don't, each primary goes by its own.
    pub tells_calendars: bool,
    /// The node whose calendar is set hours off, again and again.
    pub wrong_calendar: Option<usize>,
    pub faults: Vec<FaultKind>,
    /// Usual time from one fault to the next.
    pub fault_gap_us: Micros,
    /// For how long faults strike.
    pub trouble_us: Micros,
    pub clients: usize,
    /// Clients beside those that only read, from the primary, through a node that they keep to.
    pub watchers: usize,
    pub kinds: Vec<Kind>,
    /// Members of a group whose logs are damaged learn again from the others; otherwise they stay down.
    pub repairs: bool,
    /// Whether nodes take checkpoints and cut their logs.
    pub checkpoints: Option<Plan>,
    /// Usual time between two operations of a client.
    pub think_us: Micros,
}

/// Two clocks at the ends of this range differ in rate by less than the margin of 10 % that leases allow for.
const MAX_DRIFT_PPM: u64 = 50_000;
const MODEST_DRIFT_PPM: u64 = 200;
/// Where deadlines are checked, two calendars are set apart by at most so much.
const CHECKED_CALENDAR_MS: u64 = 300;
/// By so much where a primary is often to follow another whose calendar is ahead; what misses its deadline by less is not seen there.
const UNLIKE_CALENDARS_MS: u64 = 4_000;
const LONG_CALENDAR_MS: u64 = 24 * 3600 * 1000;

const SMALLEST_SEGMENT_BYTES: u64 = 32 << 10;
/// Log that is kept after the checkpoint that makes it needless.
const LONG_LOG_BYTES: u64 = 256 << 10;

impl Scenario {
    pub fn draw(seed: u64) -> Scenario {
        let mut dice = Dice::of(seed, "scenario");
        let nodes = match *dice.pick(&[1, 3, 3, 3, 3, 5]) {
            // Drawn by itself, as an ambush is.
            3 if Dice::of(seed, "groups of two").chance(200) => 2,
            nodes => nodes,
        };
        let tear = *dice.pick(&[Tear::Sectors, Tear::Bytes, Tear::Blocks]);
        let kinds = kinds(&mut dice);
        let unlike_calendars = nodes > 1 && Dice::of(seed, "calendars").chance(100);
        let kinds = if unlike_calendars { vec![Kind::Expiry] } else { kinds };
        let theme = if unlike_calendars { Some(Siege) } else { theme(seed, nodes) };
        let calendar_ms = match kinds.contains(&Kind::Expiry) {
            _ if unlike_calendars => UNLIKE_CALENDARS_MS,
            true => CHECKED_CALENDAR_MS,
            false => LONG_CALENDAR_MS,
        };
        let scenario = Scenario {
            seed,
            nodes,
            ordered_wires: dice.chance(600),
            latency_us: dice.magnitude(50..8 * MS),
            bandwidth: bandwidth(seed),
            flags: flags(seed),
            stalls: Dice::of(seed, "stalls").chance(if theme == Some(Siege) { 600 } else { 300 }),
            driver_in_worker: dice.chance(500),
            workers: *dice.pick(&[1, 2]),
            trust_clocks: dice.chance(800),
            skip_commit_broadcast: dice.chance(700),
            closes_on_doubt: Dice::of(seed, "doubt").chance(500),
            max_append_bytes: *dice.pick(&[1, 300, 1 << 20]),
            entry_cache_bytes: *dice.pick(&[0, 1 << 10, 2 << 20]),
            max_inflight_appends: *dice.pick(&[2, 32]),
            long_bytes: long_bytes(seed),
            catch_up_bytes_per_second: *Dice::of(seed, "pace").pick(&[0, slow_pace(seed)]),
            tear,
            write_granularity: *dice.pick(&[1, 4096]),
            segment_bytes: *dice.pick(&[SMALLEST_SEGMENT_BYTES, 64 << 10, 128 << 10]),
            disk_us: dice.magnitude(50..4 * MS),
            drift_ppm: *dice.pick(&[0, MODEST_DRIFT_PPM, MAX_DRIFT_PPM]),
            calendar_ms,
            tells_calendars: !unlike_calendars,
            wrong_calendar: None,
            faults: faults(seed, &mut dice, nodes, theme),
            fault_gap_us: dice.magnitude(250 * MS..3 * SECOND),
            trouble_us: dice.within(6 * SECOND..14 * SECOND),
            clients: dice.within(3..7) as usize,
            watchers: theme.map_or(0, |_| Dice::of(seed, "watchers").within(2..6) as usize),
            kinds,
            repairs: nodes > 1 && Dice::of(seed, "repairs").chance(800),
            checkpoints: None,
            think_us: dice.magnitude(15 * MS..120 * MS),
        };
        let keeps_log = scenario.faults.contains(&BadSector) && Dice::of(seed, "old damage").chance(600);
        // An impostor's log is a member's whole log.
        let is_impersonated = matches!(theme, Some(Stray | Ahead));
        let checkpoints = checkpoints(seed, keeps_log).filter(|_| !is_impersonated);
        let segment_bytes = if keeps_log { SMALLEST_SEGMENT_BYTES } else { scenario.segment_bytes };
        Scenario { checkpoints, segment_bytes, ..scenario }.with_wrong_calendar()
    }

    /// In some seeds one calendar of three or five is wrong by hours, while deadlines are checked. No process ends in them, for one that
    /// has just begun may lead before it knows that it is off; and wires keep order, as a late message of a calendar tells little.
    fn with_wrong_calendar(self) -> Scenario {
        let mut dice = Dice::of(self.seed, "a wrong calendar");
        if self.nodes < 3 || !dice.chance(80) {
            return self;
        }
        let mut faults = self.faults.clone();
        faults.retain(|kind| kind.keeps_running());
        faults.extend([Calendar; 2]);
        Scenario {
            wrong_calendar: Some(dice.below(self.nodes as u64) as usize),
            ordered_wires: true,
            tells_calendars: true,
            calendar_ms: CHECKED_CALENDAR_MS,
            drift_ppm: self.drift_ppm.min(MODEST_DRIFT_PPM),
            kinds: vec![Kind::Expiry],
            faults,
            ..self
        }
    }

    /// How far two nodes' times for deadlines may be apart.
    pub fn clock_margin_ms(&self) -> u64 {
        // A clock that drifts shifts a deadline of ten seconds by a part of it.
        let margin_ms = 2 * self.calendar_ms + self.drift_ppm / 10_000 * 200 + 50;
        margin_ms + self.wrong_calendar.map_or(0, |_| 2 * TOLERATED_MS.unsigned_abs())
    }

    /// Every batch in a block of its own: needed where a torn write destroys whole blocks.
    pub fn pads_to_block(&self) -> bool {
        self.tear == Tear::Blocks
    }
}

fn bandwidth(seed: u64) -> Option<u64> {
    let mut dice = Dice::of(seed, "bandwidth");
    dice.chance(250).then(|| dice.magnitude(500_000..20_000_000))
}

/// A bounded pace of those who catch up. Where values are large, a checkpoint has some 600 kB, a log more, and nodes have to agree 30 s after the last fault.
fn slow_pace(seed: u64) -> u64 {
    if bandwidth(seed).is_some() { 200_000 } else { 20_000 }
}

/// So long that a large value has no more than some twenty parts.
fn long_bytes(seed: u64) -> usize {
    let mut dice = Dice::of(seed, "parts");
    match bandwidth(seed) {
        Some(_) => *dice.pick(&[1 << 20, 10_000]),
        None => *dice.pick(&[1 << 20, 2000, 150]),
    }
}

/// Most groups run with the same flags on all nodes.
fn flags(seed: u64) -> Vec<RaftTiming> {
    let mut dice = Dice::of(seed, "flags");
    if !dice.chance(250) {
        return vec![RaftTiming::default()];
    }
    let mut draw = || RaftTiming {
        tick_ms: *dice.pick(&[20, 50, 50]),
        heartbeat_ticks: *dice.pick(&[1, 2]),
        election_ticks: *dice.pick(&[5, 10, 20, 50]),
        ..RaftTiming::default()
    };
    let (first, second) = (draw(), draw());
    let most_patient = RaftTiming { election_ticks: 50, ..RaftTiming::default() };
    let last = if are_patient_besieged(seed) { most_patient } else { second };
    vec![RaftTiming::default(), first, last]
}

/// Whether a group with different flags has sieges of the nodes that wait longest.
fn are_patient_besieged(seed: u64) -> bool {
    Dice::of(seed, "unlike flags").chance(600)
}

/// Drawn by itself, as an ambush is. A log that is kept has segments of which a checkpoint holds all.
fn checkpoints(seed: u64, keeps_log: bool) -> Option<Plan> {
    let mut dice = Dice::of(seed, "checkpoints");
    let are_taken = dice.chance(600) || keeps_log;
    let plan = are_taken.then(|| Plan {
        every_bytes: dice.magnitude(1 << 10..48 << 10),
        kept: *dice.pick(&[1, 2]),
        log_keep_bytes: *dice.pick(&[0, 0, 8 << 10, LONG_LOG_BYTES]),
        slots_per_turn: *dice.pick(&[1, 4, 1000]),
        fetch_bytes_per_second: *dice.pick(&[0, slow_pace(seed)]),
    })?;
    let log_keep_bytes = if keeps_log { LONG_LOG_BYTES } else { plan.log_keep_bytes };
    Some(Plan { log_keep_bytes, ..plan })
}

fn kinds(dice: &mut Dice) -> Vec<Kind> {
    let all = [
        Kind::Register,
        Kind::Counter,
        Kind::Append,
        Kind::Set,
        Kind::Transactions,
        Kind::Bank,
        Kind::Expiry,
    ];
    let mut kinds: Vec<Kind> = all.into_iter().filter(|_| dice.chance(500)).collect();
    if kinds.is_empty() {
        kinds.push(*dice.pick(&all));
    }
    kinds
}

/// What trouble some seeds are about, drawn by itself as an ambush is.
fn theme(seed: u64, nodes: usize) -> Option<FaultKind> {
    let mut dice = Dice::of(seed, "impostors");
    if nodes > 2 && dice.chance(100) {
        // With more nodes the word of one counts for too little.
        return Some(if nodes == 3 { *dice.pick(&[Stray, Ahead]) } else { Stray });
    }
    if nodes > 2 && Dice::of(seed, "late transfers").chance(80) {
        return Some(LateTransfer);
    }
    // What a lease rests on shows where its leader loses the others.
    if nodes > 1 && flags(seed).len() > 1 && are_patient_besieged(seed) {
        return Some(Siege);
    }
    let mut dice = Dice::of(seed, "plot");
    let themes = [Storm, Storm, Siege, Siege, DeafTransfer];
    (nodes > 1 && dice.chance(350)).then(|| *dice.pick(&themes))
}

fn faults(seed: u64, dice: &mut Dice, nodes: usize, theme: Option<FaultKind>) -> Vec<FaultKind> {
    let possible: Vec<FaultKind> =
        FAULTS.iter().copied().filter(|kind| nodes > 1 || !kind.needs_peers()).collect();
    let share = *dice.pick(&[150, 350, 700]);
    let mut chosen: Vec<FaultKind> = possible.iter().copied().filter(|_| dice.chance(share)).collect();
    if chosen.is_empty() {
        chosen.push(*dice.pick(&possible));
    }
    // Drawn by itself, so that seeds without it are what they were before there was such a fault.
    if nodes > 1 && Dice::of(seed, "ambush").chance(250) {
        chosen.push(AtElection);
    }
    let lost_disks_per_mille = if nodes == 2 { 700 } else { 250 };
    if nodes > 1 && Dice::of(seed, "lost disks").chance(lost_disks_per_mille) {
        chosen.push(LoseDisk);
    }
    if nodes > 2 && Dice::of(seed, "bad sectors").chance(250) {
        // Three times as likely as any other: it has to strike late enough for a segment to be old, and often enough to be seen.
        chosen.extend([BadSector; 3]);
    }
    if nodes > 2 && Dice::of(seed, "sick disks").chance(100) {
        chosen.push(SickDisk);
    }
    // Little else disturbs what such a seed is about.
    if let Some(theme) = theme {
        let mut dice = Dice::of(seed, "beside its theme");
        chosen.retain(|_| dice.chance(200));
        chosen.push(theme);
    }
    chosen
}
