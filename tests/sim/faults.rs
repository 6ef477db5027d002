//! Faults: what strikes, when, for how long, and how it is undone.
//!
//! - At most a minority of the nodes is lost for good; any number may be down at the same time.
//! - Bits are flipped, and sectors lost, only in bytes that a later batch vouches for: damage to the very last batch can't be told from a torn
//!   write (docs/durability.md), and would be the loss of a disk.

use std::ops::Range;

use crate::coverage::Seen;
use crate::damage::{self, Damage};
use crate::nodes::Ending;
use crate::queue::{Event, MS, Micros, SECOND};
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    Loss,
    SlowWires,
    Split,
    OneWay,
    Ring,
    IsolatePrimary,
    Power,
    PowerInWrite,
    PowerEverywhere,
    Kill,
    Shutdown,
    WriteError,
    FullDisk,
    FlippedBit,
    SlowDisk,
    Pause,
    Calendar,
    Drift,
    Transfer,
    /// A sector of the log can't be read any more.
    BadSector,
    /// Power fails right after somebody was elected.
    AtElection,
    /// For a while, whoever is elected is struck.
    Storm,
    /// The primary loses touch with one follower after the other.
    Siege,
    /// A leader hands over, and does not hear what came of it.
    DeafTransfer,
    /// A leader hands over twice: its first request to campaign is late, the second is lost.
    LateTransfer,
    /// A machine comes back with an empty disk.
    LoseDisk,
    /// The primary's disk is slow for long.
    SickDisk,
    /// A stray of another cluster takes a member's place.
    Stray,
    /// A member knows entries that the others lack.
    Ahead,
}

use FaultKind::*;

pub const FAULTS: &[FaultKind] = &[
    Loss,
    SlowWires,
    Split,
    OneWay,
    Ring,
    IsolatePrimary,
    Power,
    PowerInWrite,
    PowerEverywhere,
    Kill,
    Shutdown,
    WriteError,
    FullDisk,
    FlippedBit,
    SlowDisk,
    Pause,
    Calendar,
    Drift,
    Transfer,
];

impl FaultKind {
    /// Whether it makes sense only where there are several nodes.
    pub fn needs_peers(self) -> bool {
        matches!(
            self,
            Loss | SlowWires | Split | OneWay | Ring | IsolatePrimary | FlippedBit | Drift | Transfer
        )
    }

    /// Whether no process ends through it.
    pub fn keeps_running(self) -> bool {
        matches!(
            self,
            Loss | SlowWires
                | Split
                | OneWay
                | Ring
                | IsolatePrimary
                | SlowDisk
                | Pause
                | Calendar
                | Drift
                | Transfer
                | DeafTransfer
                | LateTransfer
                | SickDisk
        )
    }
}

/// How a fault that lasts is undone.
#[derive(Debug)]
pub enum Undo {
    Cuts(Vec<(usize, usize)>),
    Loss(u64),
    SlowWires,
    SlowDisk(usize),
    FullDisk(usize),
    Impostor(usize),
}

/// How far a wrong calendar is set off.
const WRONG_CALENDAR_MS: Range<u64> = 3_600_000..12 * 3_600_000;
/// A pause that outlasts every election timeout.
const LONG_PAUSE_US: Micros = 1_200 * MS;
/// For how long a sick disk is slow.
const SICKNESS_US: Micros = 12 * SECOND;
/// Room that a full disk still has.
const LAST_ROOM_BYTES: u64 = 1 << 10;

impl World {
    /// The next fault strikes, and the one after it is planned.
    pub fn fault(&mut self) {
        let gap = self.stage.scenario.fault_gap_us;
        if self.stage.now >= self.trouble_ends {
            return;
        }
        let kind = *self.stage.chance.faults.pick(&self.stage.scenario.faults.clone());
        let node = self.stage.chance.faults.below(self.hosts.len() as u64) as usize;
        // The primary is where most can go wrong.
        let node = self.leader().filter(|_| self.stage.chance.faults.chance(400)).unwrap_or(node);
        self.strike(kind, node);
        let next = gap / 2 + self.stage.chance.faults.below(gap);
        self.stage.plan_in(next, Event::Fault);
    }

    /// A fault strikes; where it is one of a node's, that node.
    pub fn strike(&mut self, kind: FaultKind, node: usize) {
        if self.hosts[node].impersonated.is_some() {
            return;
        }
        match kind {
            Loss => self.lose_frames(),
            SlowWires => self.slow_wires(),
            Split | OneWay | Ring | IsolatePrimary => self.partition(kind),
            Power => self.lose_power(node),
            PowerInWrite => self.lose_power_in_write(node),
            PowerEverywhere => (0..self.hosts.len()).for_each(|node| self.lose_power(node)),
            Kill => self.kill(node),
            Shutdown => self.shut_down(node),
            WriteError => self.fail_write(node),
            FullDisk => self.fill_disk(node),
            FlippedBit | BadSector => self.damage_log(kind, node),
            SlowDisk => self.slow_disk(node),
            Pause => self.pause(node),
            Calendar => self.set_calendar(node),
            Drift => self.change_drift(node),
            Transfer => self.hand_over(node),
            AtElection => self.ambushes.power = true,
            Storm => self.begin_storm(),
            Siege => self.besiege(),
            DeafTransfer => self.hand_over_and_part(node),
            LateTransfer => self.hand_over_twice(node),
            LoseDisk => self.lose_disk(node),
            SickDisk => self.sicken_disk(),
            Stray => self.stray(node),
            Ahead => self.run_ahead(),
        }
    }

    /// Notes how a fault that has begun is undone, and when; returns its number.
    pub fn lasts(&mut self, undo: Undo, us: Micros) -> u64 {
        self.next_fault += 1;
        let fault = self.next_fault;
        self.lasting.insert(fault, undo);
        self.stage.plan_in(us, Event::FaultEnds { fault });
        fault
    }

    pub fn end_fault(&mut self, fault: u64) {
        let Some(undo) = self.lasting.remove(&fault) else { return };
        self.stage.tell(|| format!("over: {undo:?}"));
        match undo {
            Undo::Cuts(cuts) => cuts.iter().for_each(|(from, to)| self.stage.heal(*from, *to)),
            Undo::Loss(per_mille) => self.stage.network.loss_per_mille -= per_mille,
            Undo::SlowWires => self.stage.network.slowness_us = 0,
            Undo::SlowDisk(node) => self.hosts[node].disk_us = self.stage.scenario.disk_us,
            Undo::Impostor(node) => self.end_impostor(node),
            Undo::FullDisk(node) => {
                self.hosts[node].disk.set_capacity(None);
                self.hosts[node].excuses.full = false;
            }
        }
    }

    /// Everything that lasts is over, and everybody is up again.
    pub fn end_all_faults(&mut self) {
        self.end_ambushes();
        let lasting: Vec<u64> = self.lasting.keys().copied().collect();
        lasting.into_iter().for_each(|fault| self.end_fault(fault));
        for node in 0..self.hosts.len() {
            if self.hosts[node].excuses.damage.is_some() && self.hosts[node].process.is_some() {
                // Whether the damage is refused shows when the log is read again.
                self.end_process(node, Ending::Kill);
            }
            let life = self.stage.lives[node];
            self.stage.plan_in(0, Event::Restart { node, life });
        }
    }

    pub fn duration(&mut self, low: Micros, high: Micros) -> Micros {
        self.stage.chance.faults.magnitude(low..high)
    }

    fn lose_frames(&mut self) {
        let most = if self.stage.scenario.ordered_wires { 30 } else { 300 };
        let per_mille = self.stage.chance.faults.within(1..most);
        self.stage.network.loss_per_mille += per_mille;
        self.stage.tell(|| format!("fault: {per_mille} frames of a thousand are lost"));
        let us = self.duration(200 * MS, 4 * SECOND);
        self.lasts(Undo::Loss(per_mille), us);
    }

    fn slow_wires(&mut self) {
        let most_us = self.stage.chance.faults.magnitude(10 * MS..2 * SECOND);
        self.stage.network.slowness_us = most_us;
        self.stage.counts.add(Seen::SlowWires);
        self.stage.tell(|| format!("fault: packets take up to {most_us} us longer"));
        let us = self.duration(500 * MS, 4 * SECOND);
        self.lasts(Undo::SlowWires, us);
    }

    fn partition(&mut self, kind: FaultKind) {
        let nodes = self.hosts.len();
        let all = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
        let pairs: Vec<(usize, usize)> = all.filter(|(from, to)| from != to).collect();
        let dice = &mut self.stage.chance.faults;
        let cuts: Vec<(usize, usize)> = match kind {
            Split => {
                let sides: Vec<bool> = (0..nodes).map(|_| dice.chance(500)).collect();
                self.stage.counts.add(Seen::SplitPartitions);
                pairs.into_iter().filter(|(from, to)| sides[*from] != sides[*to]).collect()
            }
            OneWay => {
                self.stage.counts.add(Seen::OneWayPartitions);
                let share = *dice.pick(&[200, 500]);
                pairs.into_iter().filter(|_| dice.chance(share)).collect()
            }
            Ring => {
                self.stage.counts.add(Seen::RingPartitions);
                let start = dice.below(nodes as u64) as usize;
                let broken = |(a, b): &(usize, usize)| nodes == 3 && *a != start && *b != start;
                let far = |(a, b): &(usize, usize)| (a + 1) % nodes != *b && (b + 1) % nodes != *a;
                pairs.into_iter().filter(|pair| far(pair) || broken(pair)).collect()
            }
            _ => {
                let Some(primary) = self.leader() else { return };
                self.stage.counts.add(Seen::IsolatedPrimaries);
                pairs.into_iter().filter(|(from, to)| *from == primary || *to == primary).collect()
            }
        };
        self.stage.tell(|| format!("fault: {kind:?}: nothing gets through {cuts:?} (counted from 0)"));
        cuts.iter().for_each(|(from, to)| self.stage.cut(*from, *to));
        let us = self.duration(100 * MS, 6 * SECOND);
        self.lasts(Undo::Cuts(cuts), us);
    }

    pub fn lose_power(&mut self, node: usize) {
        if self.hosts[node].process.is_none() {
            return;
        }
        self.stage.counts.add(Seen::PowerFailures);
        self.stage.tell(|| format!("fault: node {} loses power", node + 1));
        self.end_process(node, Ending::Power);
    }

    fn lose_power_in_write(&mut self, node: usize) {
        let operations = self.stage.chance.faults.below(8);
        let host = &mut self.hosts[node];
        if host.process.is_none() {
            return;
        }
        host.excuses.power = true;
        host.disk.crash_at(host.disk.operations() + operations);
        self.stage.tell(|| {
            format!("fault: node {} will lose power in its disk operation {operations} from now", node + 1)
        });
    }

    pub fn kill(&mut self, node: usize) {
        if self.hosts[node].process.is_none() {
            return;
        }
        self.stage.counts.add(Seen::Kills);
        self.stage.tell(|| format!("fault: node {} is killed", node + 1));
        self.end_process(node, Ending::Kill);
    }

    fn shut_down(&mut self, node: usize) {
        let by = self.stage.now + 2 * SECOND;
        let host = &mut self.hosts[node];
        host.look_at_clock(self.stage.now);
        let Some(process) = &mut host.process else { return };
        process.ends_by = Some(by);
        let now_ms = process.now().monotonic_ms;
        if let Some(successor) = process.shard.node().best_transferee() {
            // A node that can't hand over ends all the same.
            let _ = process.shard.node_mut().transfer_leadership(successor, now_ms);
        }
        self.plan_turn(node, 0);
    }

    fn fail_write(&mut self, node: usize) {
        let operations = self.stage.chance.faults.below(8);
        let host = &mut self.hosts[node];
        host.excuses.io = true;
        host.disk.fail_at(host.disk.operations() + operations);
        self.stage.tell(|| {
            format!("fault: node {} will fail at its disk operation {operations} from now", node + 1)
        });
    }

    fn fill_disk(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let names = perdura_wal::Disk::list(&host.disk).unwrap_or_default();
        let used: usize = names.iter().filter_map(|name| host.disk.bytes(name).ok()).map(|b| b.len()).sum();
        host.disk.set_capacity(Some(used as u64 + LAST_ROOM_BYTES));
        host.excuses.full = true;
        self.stage.tell(|| format!("fault: the disk of node {} is full", node + 1));
        let us = self.duration(SECOND, 6 * SECOND);
        self.lasts(Undo::FullDisk(node), us);
    }

    /// Damages a log, as long as no more than a minority is lost by it.
    fn damage_log(&mut self, kind: FaultKind, node: usize) {
        let lost = self.hosts.iter().filter(|host| !host.is_sound()).count();
        if lost + 1 > (self.hosts.len() - 1) / 2 || self.hosts[node].excuses.damage.is_some() {
            return;
        }
        if self.hosts.iter().any(|host| !host.trusted || !host.knows_cluster) {
            // A member that lost a disk, or its log, needs all others.
            return;
        }
        let host = &mut self.hosts[node];
        let dice = &mut self.stage.chance.faults;
        // Little of a log is needless, and nothing else shows whether damage there condemns it.
        let is_aimed = kind == BadSector && dice.chance(700);
        let old = if is_aimed { damage::old(host) } else { Vec::new() };
        let targets = match is_aimed {
            true if old.is_empty() => damage::unused(host),
            true => old,
            false => damage::vouched(host),
        };
        if targets.is_empty() {
            return;
        }
        let target = dice.pick(&targets).clone();
        let (offset, bit) = (dice.within(target.bytes.clone()), dice.below(8) as u32);
        let file = target.file.clone();
        if kind == BadSector {
            let sector = damage::sector_at(offset, &target.bytes);
            let what = format!("bytes {sector:?} of {file} of node {} can't be read", node + 1);
            if host.disk.fail_reads(&file, sector).is_ok() {
                self.note_damage(node, Damage::at(target), Seen::BadSectors, &what);
            }
            if is_aimed {
                // Before the file is removed, or written to.
                self.kill(node);
            }
        } else if host.disk.flip_bit(&file, offset, bit).is_ok() {
            let what = format!("bit {bit} of byte {offset} of {file} of node {} flips", node + 1);
            self.note_damage(node, Damage::at(target), Seen::FlippedBits, &what);
        }
    }

    fn note_damage(&mut self, node: usize, damage: Damage, seen: Seen, what: &str) {
        self.hosts[node].excuses.damage = Some(damage);
        self.stage.counts.add(seen);
        self.stage.tell(|| format!("fault: {what}"));
    }

    /// Takes a disk away with all that is on it, as long as all the others are sound, and have heard of their cluster.
    fn lose_disk(&mut self, node: usize) {
        if !self.hosts.iter().all(|host| host.is_sound() && host.knows_cluster && host.process.is_some()) {
            return;
        }
        self.end_process(node, Ending::Power);
        let seed = self.stage.chance.nodes.next();
        self.hosts[node].replace_disk(&self.stage.scenario, seed);
        self.stage.counts.add(Seen::LostDisks);
        self.stage.tell(|| format!("fault: node {} loses its disk", node + 1));
    }

    pub fn slow_disk(&mut self, node: usize) {
        let slow_us = self.duration(5 * MS, 3 * SECOND);
        self.slow_disk_by(node, slow_us);
        let us = self.duration(500 * MS, 4 * SECOND);
        self.lasts(Undo::SlowDisk(node), us);
    }

    /// The primary's disk is slow for longer than it puts up with.
    fn sicken_disk(&mut self) {
        let Some(primary) = self.leader() else { return };
        let slow_us = self.duration(500 * MS, 2 * SECOND);
        self.slow_disk_by(primary, slow_us);
        self.lasts(Undo::SlowDisk(primary), SICKNESS_US);
    }

    fn slow_disk_by(&mut self, node: usize, slow_us: Micros) {
        self.hosts[node].disk_us = slow_us;
        self.stage.counts.add(Seen::SlowDisks);
        self.stage
            .tell(|| format!("fault: an operation of the disk of node {} takes {slow_us} us", node + 1));
    }

    pub fn pause(&mut self, node: usize) {
        let us = self.duration(20 * MS, 5 * SECOND);
        let host = &mut self.hosts[node];
        if host.process.is_none() {
            return;
        }
        host.paused_until = host.paused_until.max(self.stage.now + us);
        self.stage.counts.add(if us > LONG_PAUSE_US { Seen::LongPauses } else { Seen::Pauses });
        self.stage.tell(|| format!("fault: node {} is paused for {us} us", node + 1));
    }

    fn set_calendar(&mut self, node: usize) {
        let most = self.stage.scenario.calendar_ms;
        let is_wrong = self.stage.scenario.wrong_calendar == Some(node);
        let dice = &mut self.stage.chance.faults;
        let to_ms = match is_wrong {
            true if dice.chance(500) => -(dice.within(WRONG_CALENDAR_MS) as i64),
            true => dice.within(WRONG_CALENDAR_MS) as i64,
            false => dice.below(most + 1) as i64 - most as i64 / 2,
        };
        if is_wrong {
            let leads = self.leader() == Some(node);
            self.stage.counts.add(if leads { Seen::LeadersHoursOff } else { Seen::HoursOff });
        }
        let host = &mut self.hosts[node];
        host.look_at_clock(self.stage.now);
        host.shift_calendar(to_ms);
        self.stage.counts.add(Seen::ClockJumps);
        self.stage.tell(|| format!("fault: the calendar of node {} is off by {to_ms} ms", node + 1));
    }

    fn change_drift(&mut self, node: usize) {
        let drift = self.stage.scenario.drift_ppm;
        let rate_ppm = 1_000_000 - drift + self.stage.chance.faults.below(2 * drift + 1);
        let host = &mut self.hosts[node];
        host.look_at_clock(self.stage.now);
        host.rate_ppm = rate_ppm;
        self.stage.counts.add(Seen::DriftChanges);
        self.stage.tell(|| format!("fault: the clock of node {} runs at {rate_ppm} millionths", node + 1));
    }

    fn hand_over(&mut self, to: usize) {
        let Some(leader) = self.leader().filter(|leader| *leader != to) else { return };
        let host = &mut self.hosts[leader];
        host.look_at_clock(self.stage.now);
        let Some(process) = &mut host.process else { return };
        let now_ms = process.now().monotonic_ms;
        if process.shard.node_mut().transfer_leadership(to as u64 + 1, now_ms).is_ok() {
            self.stage.counts.add(Seen::Transfers);
            self.stage.tell(|| format!("fault: node {} hands over to node {}", leader + 1, to + 1));
        }
        self.plan_turn(leader, 0);
    }
}
