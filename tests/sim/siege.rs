//! Primaries that lose touch with the others while clients still reach them, and go on as long as their lease lets them.
//!
//! - A siege cuts the links of a primary one after the other; its last follower may go by a restart instead. In between it
//!   acknowledges writes that one follower has, and another does not.
//! - Often only clients that read still reach it, and writers are at the other nodes; its driver may stall meanwhile, while nothing that was
//!   written is under way.
//! - A primary that hands over may hear nothing of what came of it; or its request to campaign comes late, after a second one
//!   to another node was lost.

use crate::coverage::Seen;
use crate::faults::{FaultKind, Undo};
use crate::nodes::Ending;
use crate::queue::{Event, MS, Micros, SECOND};
use crate::world::World;

/// From the first link that is cut to the last, at most: longer than an election.
const MAX_SPREAD_US: Micros = 1_500 * MS;
const MIN_SPREAD_US: Micros = 400 * MS;
/// A stall of so much outlasts an election and the next primary's first writes.
const MIN_STALL_US: Micros = 1_000 * MS;
const MAX_STALL_US: Micros = 3 * SECOND;
/// For how long nothing is written before a driver stalls: reads that come meanwhile wait behind a write that can't commit.
const HUSH_US: Micros = 100 * MS;
/// How long a siege waits for the leader that it is to strike.
const MIN_WAIT_US: Micros = 100 * MS;
const MAX_WAIT_US: Micros = 800 * MS;
/// From one transfer of leadership to the next, at most, where both requests go astray.
const MAX_AGAIN_US: Micros = 100 * MS;
/// A late request comes by so much before the second transfer is given up, at most: then the lease that a forgetful leader takes
/// for its own has not ended.
const MAX_EARLY_US: Micros = 200 * MS;
/// A restart of so little does not outlast a promise.
const MAX_BOUNCE_US: Micros = 100 * MS;

/// The end of a link between a primary and a follower.
#[derive(Clone, Debug)]
pub struct Parting {
    cuts: Vec<(usize, usize)>,
    us: Micros,
    /// The follower is killed at the same moment, and soon starts again.
    bounces: Option<usize>,
    /// The primary, if its driver stalls from then on, and for how long.
    stalls: Option<(usize, Micros)>,
}

/// Requests to campaign that do not arrive as they usually do.
#[derive(Clone, Copy, Debug)]
pub enum Astray {
    /// The next request is late, and its leader hands over to this node meanwhile.
    Late { then_to: usize },
    /// Requests to this node are lost.
    Lost { to: usize },
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Usual,
    Late(Micros),
    Lost,
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
        let is_over = self.stage.now >= self.trouble_ends;
        let Some(primary) = self.primary().filter(|_| self.is_whole() && !is_over) else { return };
        if let Some(patient) = self.more_patient_than(primary)
            && self.stage.chance.faults.chance(500)
        {
            // Its flags make its leases longer than the others' promises.
            self.strike(FaultKind::Transfer, patient);
            let soon = self.stage.chance.faults.within(MIN_WAIT_US..MAX_WAIT_US);
            return self.stage.plan_in(soon, Event::SiegeBegins);
        }
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
        let stalls = self.stage.scenario.stalls && dice.chance(500);
        let stalls = stalls.then(|| (primary, dice.within(MIN_STALL_US..MAX_STALL_US)));
        let spread = if stalls.is_some() { spread.max(HUSH_US) } else { spread };
        if stalls.is_some() || dice.chance(500) {
            // What was written there would not commit, and reads would ride with it.
            let until = self.stage.now + spread + stalls.map_or(ends, |(_, us)| us);
            self.clients.part(primary, until, &mut self.stage);
        }
        if stalls.is_some() {
            let stalls_at = self.stage.now + spread;
            self.clients.hush(stalls_at - HUSH_US..stalls_at);
        }
        self.stage.tell(|| format!("fault: a siege of node {}, {way:?}, over {spread} us", primary + 1));
        let last = (others.len() - 1).max(1);
        for (place, other) in others.into_iter().enumerate() {
            let after = spread * place as u64 / last as u64;
            let is_last = place + 2 == self.hosts.len();
            let parting = Parting {
                cuts: way.cuts(primary, other),
                us: spread - after + ends,
                bounces: (bounces && is_last).then_some(other),
                stalls: stalls.filter(|_| is_last),
            };
            self.stage.plan_in(after, Event::Parts(parting));
        }
    }

    /// The node that waits longest before it campaigns, if it waits longer than this one.
    fn more_patient_than(&self, node: usize) -> Option<usize> {
        let patience = |node: &usize| self.hosts[*node].timing.election_ms();
        let running = (0..self.hosts.len()).filter(|node| self.hosts[*node].process.is_some());
        running.max_by_key(patience).filter(|most| patience(most) > patience(&node))
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
        self.stage.plan_in(after, Event::Parts(Parting { cuts, us, bounces: None, stalls: None }));
    }

    /// The leader hands over. Its request to campaign is late, and it hands over to another node before.
    pub fn hand_over_twice(&mut self, to: usize) {
        let Some(leader) = self.primary().filter(|_| self.is_whole()) else { return };
        let others: Vec<usize> = (0..self.hosts.len()).filter(|node| *node != leader).collect();
        let first = others.iter().position(|node| *node == to).unwrap_or(0);
        let then_to = others[(first + 1) % others.len()];
        self.ambushes.astray = Some(Astray::Late { then_to });
        self.strike(FaultKind::Transfer, others[first]);
    }

    /// What becomes of a leader's request to campaign.
    pub fn fate_of_request(&mut self, leader: usize, to: usize) -> Fate {
        match self.ambushes.astray {
            Some(Astray::Late { then_to }) if then_to != to => {
                self.ambushes.astray = None;
                Fate::Late(self.delay_request(leader, then_to))
            }
            Some(Astray::Lost { to: lost }) if lost == to => {
                self.stage.tell(|| format!("fault: the request to campaign to node {} is lost", to + 1));
                self.stage.counts.add(Seen::LateRequests);
                Fate::Lost
            }
            _ => Fate::Usual,
        }
    }

    /// By how much the request is late: until the second transfer is about to be given up. From then on nothing reaches the leader.
    fn delay_request(&mut self, leader: usize, then_to: usize) -> Micros {
        let host = &self.hosts[leader];
        let transfer_us = host.true_us(host.timing.election_ms());
        let dice = &mut self.stage.chance.faults;
        let again = dice.within(MS..MAX_AGAIN_US);
        let late = again + transfer_us.saturating_sub(dice.below(MAX_EARLY_US));
        let us = self.duration(300 * MS, 2 * SECOND);
        self.stage.tell(|| format!("fault: a request to campaign of node {} is {late} us late", leader + 1));
        self.stage.plan_in(again, Event::HandsOverAgain { to: then_to });
        let others = (0..self.hosts.len()).filter(|node| *node != leader);
        let cuts = others.flat_map(|other| Way::ToPrimary.cuts(leader, other)).collect();
        self.stage.plan_in(late, Event::Parts(Parting { cuts, us, bounces: None, stalls: None }));
        late
    }

    /// The leader hands over to another node, whose request is lost.
    pub fn hand_over_again(&mut self, to: usize) {
        if self.stage.now < self.trouble_ends {
            self.ambushes.astray = Some(Astray::Lost { to });
            self.strike(FaultKind::Transfer, to);
        }
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
        if let Some((node, us)) = parting.stalls {
            self.stage.counts.add(Seen::StalledSieges);
            self.hosts[node].will_stall = Some(us);
            self.plan_turn(node, 0);
        }
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
