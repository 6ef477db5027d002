//! What everything in a run has to do with: time, chance, the network, the story.

use std::fmt::Display;

use crate::coverage::Counts;
use crate::dice::Dice;
use crate::network::Network;
use crate::queue::{Event, Micros, Queue};
use crate::scenario::Scenario;
use crate::story::Story;

/// A stream of chance for each subject.
#[derive(Debug)]
pub struct Chances {
    pub network: Dice,
    pub nodes: Dice,
    pub clients: Dice,
    pub faults: Dice,
}

pub struct Stage {
    pub scenario: Scenario,
    pub now: Micros,
    pub queue: Queue,
    pub network: Network,
    pub chance: Chances,
    pub story: Story,
    pub counts: Counts,
    /// The number of each node's present or next process.
    pub lives: Vec<u64>,
    /// What the run has found so far.
    pub findings: Vec<String>,
}

impl Stage {
    pub fn new(scenario: Scenario, told: bool) -> Stage {
        let seed = scenario.seed;
        Stage {
            now: 0,
            queue: Queue::default(),
            network: Network::new(scenario.nodes),
            chance: Chances {
                network: Dice::of(seed, "network"),
                nodes: Dice::of(seed, "nodes"),
                clients: Dice::of(seed, "clients"),
                faults: Dice::of(seed, "faults"),
            },
            story: Story::new(told),
            counts: Counts::default(),
            lives: vec![0; scenario.nodes],
            findings: Vec::new(),
            scenario,
        }
    }

    pub fn plan_in(&mut self, us: Micros, event: Event) {
        self.queue.plan(self.now + us, event);
    }

    pub fn tell<T: Display>(&mut self, what: impl FnOnce() -> T) {
        self.story.tell(self.now, what);
    }

    /// The run has failed; it goes no further.
    pub fn find(&mut self, finding: String) {
        self.tell(|| format!("FINDING: {finding}"));
        self.findings.push(finding);
    }
}
