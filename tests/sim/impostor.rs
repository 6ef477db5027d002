//! Processes that are not what their address says: a stray of another cluster in a member's place, and a member that knows entries to be
//! committed which all others lack, as where a majority was set back or a member was restored to a later entry than the others.
//!
//! - While it lasts the member itself is down, and its disk is kept. No client reaches the impostor, what it applies is not compared, and
//!   it may end for any reason. The others must continue as if the member were down.
//! - An impostor that is ahead comes when the others have a primary that has committed something in a later term. Then the primary loses
//!   touch with its other follower, and a moment later with all: what only the impostor has confirmed must not be acknowledged.
//! - A member in whose name an impostor of its own cluster spoke counts as having voted in the last term that the impostor knew.

use perdura::command::context::Stamp;
use perdura::propose::entry::{write_header, write_single};
use perdura::raft::cluster::{Cluster, ClusterId};
use perdura::raft::memo::Memo;
use perdura_wal::{Disk, HardState, Position, Record, SimDisk, Wal};

use crate::coverage::Seen;
use crate::faults::Undo;
use crate::nodes::Ending;
use crate::process::{identity, log_options};
use crate::queue::{Event, MS, Micros, SECOND};
use crate::world::World;

/// Entries that a stray has, at most: more than a member has by then.
const MAX_STRAY_ENTRIES: u64 = 2_000;
/// For how long an impostor that is ahead waits for a primary.
const LOOK_US: Micros = 50 * MS;
const MAX_LOOKS: u64 = 100;
const MAX_LATE_US: Micros = SECOND;
/// The primary loses touch with its follower for so long, and then with all.
const MIN_PARTED_US: Micros = 300 * MS;
const MAX_PARTED_US: Micros = 900 * MS;
const ALONE_US: Micros = 2_500 * MS;

/// What a member's disk was before an impostor took its place.
#[derive(Debug)]
pub struct Impersonated {
    disk: SimDisk,
    shelf: perdura::checkpoint::memory::MemoryShelf,
    /// What the impostor says counts for the member: it is of the same cluster.
    binds: bool,
}

impl World {
    /// A stray of another cluster takes a member's place for a while.
    pub fn stray(&mut self, node: usize) {
        if !self.may_be_impersonated() {
            return;
        }
        let term = self.term_of(node) + self.stage.chance.faults.within(1..8);
        let entries = self.stage.chance.faults.magnitude(1..MAX_STRAY_ENTRIES);
        self.end_process(node, Ending::Kill);
        let disk = self.stray_disk(node, term, entries);
        self.put_in_place(node, disk, false);
        self.stage.counts.add(Seen::Strays);
        self.stage.tell(|| format!("fault: a stray of another cluster in place of node {}", node + 1));
        self.start_node(node);
        let us = self.duration(2 * SECOND, 7 * SECOND);
        self.lasts(Undo::Impostor(node), us);
    }

    /// All are killed, and the primary stays away until the others have one: then it comes back ahead of them.
    pub fn run_ahead(&mut self) {
        let Some(node) = self.primary().filter(|_| self.may_be_impersonated()) else { return };
        for each in 0..self.hosts.len() {
            self.end_process(each, Ending::Kill);
        }
        let nothing = SimDisk::new(0, self.stage.scenario.tear, self.stage.scenario.write_granularity);
        self.put_in_place(node, nothing, true);
        // It waits.
        self.hosts[node].lost = true;
        self.stage.tell(|| format!("fault: node {} will come back ahead of the others", node + 1));
        self.lasts(Undo::Impostor(node), 12 * SECOND);
        let us = self.stage.chance.faults.within(LOOK_US..MAX_LATE_US);
        self.stage.plan_in(us, Event::ComesAhead { node, looks: MAX_LOOKS });
    }

    /// The node comes with entries that no other has and that it knows to be committed, if the others have a primary; otherwise it waits
    /// further. It is ahead of the primary by so little that the primary's next entry has the number of its last.
    pub fn come_ahead(&mut self, node: usize, looks: u64) {
        if self.hosts[node].impersonated.is_none() || !self.hosts[node].lost {
            return;
        }
        let are_up = |world: &World| {
            (0..world.hosts.len()).all(|other| other == node || world.hosts[other].process.is_some())
        };
        let Some(primary) = self.primary().filter(|_| are_up(self)) else {
            if looks > 0 {
                self.stage.plan_in(LOOK_US, Event::ComesAhead { node, looks: looks - 1 });
            }
            return;
        };
        let process = self.hosts[primary].process.as_ref();
        let end = process.map_or(0, |process| process.shard.node().storage().last_entry()) + 1;
        let Some(disk) = self.disk_ahead(node, end) else { return };
        self.hosts[node].disk = disk;
        self.hosts[node].lost = false;
        self.stage.counts.add(Seen::Aheads);
        self.stage.tell(|| format!("fault: node {} comes with entries up to {end}", node + 1));
        self.start_node(node);
        let others = (0..self.hosts.len()).filter(|other| *other != node && *other != primary);
        let parted = others.flat_map(|other| [(primary, other), (other, primary)]).collect();
        let us = self.stage.chance.faults.within(MIN_PARTED_US..MAX_PARTED_US);
        self.cut_for(parted, us);
        self.stage.plan_in(us, Event::LosesTouch { node: primary });
    }

    /// A primary loses touch with all others.
    pub fn lose_touch(&mut self, primary: usize) {
        if self.stage.now < self.trouble_ends {
            let all = (0..self.hosts.len()).filter(|other| *other != primary);
            let cuts = all.flat_map(|other| [(primary, other), (other, primary)]).collect();
            self.cut_for(cuts, ALONE_US);
        }
    }

    /// The member is back, with the disk that it had.
    pub fn end_impostor(&mut self, node: usize) {
        let Some(Impersonated { disk, shelf, binds }) = self.hosts[node].impersonated.take() else {
            return;
        };
        if self.hosts[node].process.is_some() {
            self.end_process(node, Ending::Kill);
        }
        let term = if binds { self.term_on_disk(node) } else { 0 };
        let host = &mut self.hosts[node];
        (host.disk, host.shelf, host.lost) = (disk, shelf, false);
        host.vouched.clear();
        self.vote_for_itself(node, term);
        self.stage.tell(|| format!("node {} is itself again", node + 1));
        let life = self.stage.lives[node];
        self.stage.plan_in(0, Event::Restart { node, life });
    }

    /// Whether all members are there and sound, so that one of them can be spared.
    fn may_be_impersonated(&self) -> bool {
        let is_sound = |host: &crate::host::Host| {
            let excuses = &host.excuses;
            let is_excused = excuses.power || excuses.io || excuses.full;
            host.is_sound() && host.process.is_some() && host.impersonated.is_none() && !is_excused
        };
        self.hosts.len() > 2 && self.hosts.iter().all(is_sound)
    }

    fn term_of(&self, node: usize) -> u64 {
        let process = self.hosts[node].process.as_ref();
        process.map_or(0, |process| process.shard.node().leadership().term)
    }

    fn put_in_place(&mut self, node: usize, disk: SimDisk, binds: bool) {
        let host = &mut self.hosts[node];
        let shelf = std::mem::take(&mut host.shelf);
        let disk = std::mem::replace(&mut host.disk, disk);
        host.impersonated = Some(Impersonated { disk, shelf, binds });
        host.vouched.clear();
    }

    /// The log of a node that has the same settings and belongs to another cluster.
    fn stray_disk(&mut self, node: usize, term: u64, entries: u64) -> SimDisk {
        let seed = self.stage.chance.nodes.next();
        let scenario = &self.stage.scenario;
        let disk = SimDisk::new(seed, scenario.tear, scenario.write_granularity);
        let memo = Memo::in_cluster(Cluster::of(ClusterId(seed | 1)));
        let metadata = memo.encode(&identity(scenario, node));
        let (mut wal, _) =
            Wal::open(disk.clone(), log_options(scenario, seed | 1, metadata)).expect("the disk is new");
        append(&mut wal, Position { index: entries, term }, self.hosts[node].unix_ms());
        drop(wal);
        disk.kill()
    }

    /// A copy of an impersonated node's log with further entries up to this one; none if the log ends there or later.
    fn disk_ahead(&mut self, node: usize, end: u64) -> Option<SimDisk> {
        let seed = self.stage.chance.nodes.next();
        let scenario = &self.stage.scenario;
        let own = &self.hosts[node].impersonated.as_ref()?.disk;
        let copy = SimDisk::new(seed, scenario.tear, scenario.write_granularity);
        for name in own.list().ok()? {
            copy.put(&name, &own.bytes(&name).ok()?);
        }
        let options = log_options(scenario, seed | 1, Vec::new());
        let (mut wal, _) = Wal::open(copy.clone(), options).ok()?;
        let last = wal.last_index();
        let term = wal.term(last).ok()?;
        if end <= last {
            return None;
        }
        append(&mut wal, Position { index: end, term }, self.hosts[node].unix_ms());
        drop(wal);
        Some(copy.kill())
    }

    /// The last term that the log on a node's disk knows.
    fn term_on_disk(&self, node: usize) -> u64 {
        let options = log_options(&self.stage.scenario, 1, Vec::new());
        let opened = Wal::open(self.hosts[node].disk.clone(), options);
        opened.map_or(0, |(wal, _)| wal.hard_state().term)
    }

    /// What an impostor promised in the member's name binds it.
    fn vote_for_itself(&mut self, node: usize, term: u64) {
        let host = &self.hosts[node];
        let options = log_options(&self.stage.scenario, 1, Vec::new());
        let Ok((mut wal, _)) = Wal::open(host.disk.clone(), options) else { return };
        let known = wal.hard_state();
        if known.term < term {
            let state = HardState { term, vote: node as u64 + 1, ..known };
            let noted = wal.stage_hard_state(state).and_then(|()| wal.commit().map(drop));
            noted.expect("the disk works");
        }
        drop(wal);
        self.hosts[node].disk = self.hosts[node].disk.kill();
    }
}

/// Appends entries up to this one, all of its term, and calls all committed.
fn append(wal: &mut Wal<SimDisk>, end: Position, now_ms: i64) {
    for index in wal.last_index() + 1..=end.index {
        let mut payload = Vec::new();
        write_header(&mut payload, Stamp { now_ms, seed: index });
        write_single(&mut payload, 0, &[b"SET", b"impostor", index.to_string().as_bytes()]);
        wal.stage(Record { index, term: end.term, payload: &payload }).expect("it follows");
    }
    let state = HardState { term: end.term.max(wal.hard_state().term), vote: 0, commit: end.index };
    wal.stage_hard_state(state).expect("it is not beyond the log");
    wal.commit().expect("the disk works");
}
