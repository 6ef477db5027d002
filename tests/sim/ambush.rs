//! What strikes at elections, when the new leader's log and its followers' agree least.
//!
//! - An ambush is laid once: power fails within a few messages' time after the next election.
//! - A storm lasts: for a while every new leader is struck at a moment of its first turns, before or while its first entries
//!   reach anybody, and those struck before it come back. Never more than a minority is kept away by it.
//! - Disks of voters may become slow with an election: they still follow, but sync late.

use std::collections::VecDeque;

use crate::coverage::Seen;
use crate::faults::Undo;
use crate::queue::{Event, MS, Micros, SECOND};
use crate::siege::Astray;
use crate::world::World;

/// What is laid for the leaders to come.
#[derive(Debug, Default)]
pub struct Ambushes {
    /// The next election is followed by a power failure.
    pub power: bool,
    /// At the next election the disks of all others become slow.
    pub slow_voters: bool,
    /// What becomes of the next request to campaign.
    pub astray: Option<Astray>,
    storm_ends: Micros,
    /// The cuts of those whom the storm keeps away, the oldest first.
    away: VecDeque<u64>,
    /// Whom it strikes next, after so many turns.
    next: Option<(usize, u64)>,
}

/// How an ambush at an election goes.
#[derive(Clone, Copy, Debug)]
pub enum Ambush {
    /// Everybody but the new leader loses power, and it is cut off.
    Voters,
    Leader,
    Everybody,
}

const AMBUSHES: [Ambush; 3] = [Ambush::Voters, Ambush::Leader, Ambush::Everybody];

/// Turns of a new leader within which a storm strikes it: its first entries are written, sent, refused, sent again,
/// acknowledged and committed in no more.
const FIRST_TURNS: u64 = 7;

impl World {
    /// Somebody was elected: what was laid for it is sprung.
    pub fn on_election(&mut self, leader: usize) {
        if std::mem::take(&mut self.ambushes.slow_voters) {
            self.slow_voters(leader);
        }
        if std::mem::take(&mut self.ambushes.power) {
            self.plan_ambush(leader);
        } else if self.stage.now < self.ambushes.storm_ends {
            self.aim_storm(leader);
        }
    }

    fn plan_ambush(&mut self, leader: usize) {
        let span = 4 * (self.stage.scenario.latency_us + self.stage.scenario.disk_us);
        let dice = &mut self.stage.chance.faults;
        let after = if dice.chance(400) { 0 } else { dice.below(span) };
        let how = *dice.pick(&AMBUSHES);
        self.stage.plan_in(after, Event::Ambush { leader, how });
    }

    pub fn spring_ambush(&mut self, leader: usize, how: Ambush) {
        self.stage.counts.add(Seen::Ambushes);
        self.stage
            .tell(|| format!("fault: power fails for {how:?} after the election of node {}", leader + 1));
        let others: Vec<usize> = (0..self.hosts.len()).filter(|node| *node != leader).collect();
        match how {
            Ambush::Leader => self.lose_power(leader),
            Ambush::Everybody => (0..self.hosts.len()).for_each(|node| self.lose_power(node)),
            Ambush::Voters => {
                others.iter().for_each(|node| self.lose_power(*node));
                let us = self.duration(500 * MS, 4 * SECOND);
                self.cut_off(leader, us);
            }
        }
    }

    fn slow_voters(&mut self, leader: usize) {
        for node in (0..self.hosts.len()).filter(|node| *node != leader) {
            self.slow_disk(node);
        }
    }

    /// A storm begins, or goes on.
    pub fn begin_storm(&mut self) {
        let us = self.duration(3 * SECOND, 12 * SECOND);
        self.ambushes.storm_ends = self.stage.now + us;
        self.stage.tell(|| format!("fault: whoever is elected within {us} us is struck"));
        // The first strike brings the first election.
        if let Some(leader) = self.leader() {
            self.strike_leader(leader);
        }
    }

    pub fn end_ambushes(&mut self) {
        self.ambushes = Ambushes::default();
    }

    fn aim_storm(&mut self, leader: usize) {
        let dice = &mut self.stage.chance.faults;
        if dice.chance(300) {
            self.ambushes.next = None;
            self.stage.plan_in(0, Event::StormStrikes { leader });
        } else {
            self.ambushes.next = Some((leader, dice.below(FIRST_TURNS)));
        }
    }

    /// A turn of a node has ended, and with it perhaps the storm's patience.
    pub fn turn_in_storm(&mut self, node: usize) {
        match self.ambushes.next {
            Some((leader, 0)) if leader == node => {
                self.ambushes.next = None;
                self.strike_leader(node);
            }
            Some((leader, turns)) if leader == node => self.ambushes.next = Some((leader, turns - 1)),
            _ => {}
        }
    }

    /// A leader is struck, and whoever was struck long ago comes back.
    pub fn strike_leader(&mut self, leader: usize) {
        if self.hosts[leader].process.is_none() || self.stage.now >= self.trouble_ends {
            return;
        }
        self.stage.counts.add(Seen::StormStrikes);
        let minority = (self.hosts.len() - 1) / 2;
        while self.ambushes.away.len() >= minority {
            let Some(fault) = self.ambushes.away.pop_front() else { break };
            self.end_fault(fault);
        }
        match self.stage.chance.faults.below(10) {
            0 => self.lose_power(leader),
            1 => self.kill(leader),
            2 => self.pause(leader),
            _ => {
                let us = self.duration(SECOND, 6 * SECOND);
                let fault = self.cut_off(leader, us);
                self.ambushes.away.push_back(fault);
            }
        }
    }

    /// Nothing gets to or from a node; returns the fault that lasts.
    fn cut_off(&mut self, node: usize, us: Micros) -> u64 {
        let others = (0..self.hosts.len()).filter(|other| *other != node);
        let cuts: Vec<(usize, usize)> = others.flat_map(|other| [(node, other), (other, node)]).collect();
        self.cut_for(cuts, us)
    }

    /// Nothing gets through in these directions; returns the fault that lasts.
    pub fn cut_for(&mut self, cuts: Vec<(usize, usize)>, us: Micros) -> u64 {
        self.stage.tell(|| format!("fault: nothing gets through {cuts:?} (counted from 0)"));
        cuts.iter().for_each(|(from, to)| self.stage.cut(*from, *to));
        self.lasts(Undo::Cuts(cuts), us)
    }
}
