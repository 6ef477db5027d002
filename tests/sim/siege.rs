//! Primaries that lose touch with the others while clients still reach them, and go on as long as their lease lets them.
//!
//! - A siege cuts the links of a primary one after the other; its last follower may go by a restart instead. In between it
//!   acknowledges writes that one follower has, and another does not.
//! - A primary that hands over may hear nothing of what came of it.

use crate::coverage::Seen;
use crate::faults::{FaultKind, Undo};
use crate::nodes::Ending;
use crate::queue::{Event, MS, Micros, SECOND};
use crate::world::World;

/// From the first link that is cut to the last, at most: longer than an election.
const MAX_SPREAD_US: Micros = 1_500 * MS;
const MIN_SPREAD_US: Micros = 400 * MS;
/// A restart of so little does not outlast a promise.
const MAX_BOUNCE_US: Micros = 100 * MS;

/// The end of a link between a primary and a follower.
#[derive(Clone, Debug)]
pub struct Parting {
    cuts: Vec<(usize, usize)>,
    us: Micros,
    /// The follower is killed at the same moment, and soon starts again.
    bounces: Option<usize>,
}

/// In which directions links are cut.
#[derive(Clone, Copy, Debug)]
enum Way {
    Both,
    ToPrimary,
    FromPrimary,
}

impl Way {
    fn cuts(self, primary: usize, other: usize) -> Vec<(usize, usize)> {
        match self {
            Way::Both => vec![(primary, other), (other, primary)],
            Way::ToPrimary => vec![(other, primary)],
            Way::FromPrimary => vec![(primary, other)],
        }
    }
}

impl World {
    /// The primary loses its followers one after the other.
    pub fn besiege(&mut self) {
        let Some(primary) = self.primary().filter(|_| self.is_whole()) else { return };
        self.stage.counts.add(Seen::Sieges);
        let ends = self.duration(600 * MS, 4 * SECOND);
        let mut others: Vec<usize> = (0..self.hosts.len()).filter(|node| *node != primary).collect();
        let dice = &mut self.stage.chance.faults;
        let bounces = dice.chance(400);
        let spread = match bounces {
            // Whoever was lost first wants to be elected by then.
            true => dice.within(MIN_SPREAD_US..MAX_SPREAD_US),
            false if dice.chance(500) => 1,
            false => dice.magnitude(MS..MAX_SPREAD_US),
        };
        let ways = [Way::Both, Way::Both, Way::Both, Way::Both, Way::ToPrimary, Way::FromPrimary];
        let way = *dice.pick(&ways);
        let first = dice.below(others.len() as u64) as usize;
        others.rotate_left(first);
        self.ambushes.slow_voters = dice.chance(500);
        self.stage.tell(|| format!("fault: a siege of node {}, {way:?}, over {spread} us", primary + 1));
        let last = (others.len() - 1).max(1);
        for (place, other) in others.into_iter().enumerate() {
            let after = spread * place as u64 / last as u64;
            let parting = Parting {
                cuts: way.cuts(primary, other),
                us: spread - after + ends,
                bounces: (bounces && place + 1 == self.hosts.len() - 1).then_some(other),
            };
            self.stage.plan_in(after, Event::Parts(parting));
        }
    }

    /// The leader hands over, and soon hears from nobody.
    pub fn hand_over_and_part(&mut self, to: usize) {
        let Some(leader) = self.primary().filter(|_| self.is_whole()) else { return };
        let to = if to == leader { (to + 1) % self.hosts.len() } else { to };
        self.stage.counts.add(Seen::DeafTransfers);
        self.strike(FaultKind::Transfer, to);
        let us = self.duration(300 * MS, 2 * SECOND);
        let span = 6 * (self.stage.scenario.latency_us + self.stage.scenario.disk_us);
        let after = self.stage.chance.faults.below(span);
        let others = (0..self.hosts.len()).filter(|node| *node != leader);
        let cuts = others.flat_map(|other| Way::ToPrimary.cuts(leader, other)).collect();
        self.stage.plan_in(after, Event::Parts(Parting { cuts, us, bounces: None }));
    }

    /// Whether everybody reaches everybody. A cluster cut twice serves nobody.
    fn is_whole(&self) -> bool {
        !self.lasting.values().any(|undo| matches!(undo, Undo::Cuts(_)))
    }

    pub fn part(&mut self, parting: Parting) {
        if self.stage.now >= self.trouble_ends {
            return;
        }
        self.cut_for(parting.cuts, parting.us);
        if let Some(node) = parting.bounces.filter(|node| self.hosts[*node].process.is_some()) {
            self.bounce(node);
        }
    }

    fn bounce(&mut self, node: usize) {
        self.stage.counts.add(Seen::Bounces);
        self.stage.tell(|| format!("fault: node {} is killed, and soon starts again", node + 1));
        self.end_process(node, Ending::Kill);
        let life = self.stage.lives[node];
        let soon = self.stage.chance.faults.within(MS..MAX_BOUNCE_US);
        self.stage.plan_in(soon, Event::Restart { node, life });
    }
}
