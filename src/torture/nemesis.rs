//! Injects the faults of a schedule, one at a time, and waits in between until the system has recovered.
//!
//! - A fault is followed from its beginning over its end (whatever it broke is mended) to recovery: all nodes answer, one
//!   of them is the primary, all others are connected to it and have got as far as it was when they were seen connected, and a
//!   write was acknowledged after the end.
//! - A system that does not recover within [`RECOVERY_LIMIT`] is a finding, and the end of the run.

mod inject;

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::fault::FaultKind;
use super::fleet::Fleet;
use super::load::Load;
use super::operator;
use super::schedule::{Planned, Schedule};

/// How long a system may take to recover once everything is mended.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// How long an operator takes to notice that the primary does not serve, and to act.
const DETECTION: Duration = Duration::from_secs(1);

/// What happened in the course of one fault. Times are µs since the run began.
#[derive(Clone, Debug, Serialize)]
pub struct FaultRecord {
    /// Counts from 1.
    pub number: u32,
    pub kind: FaultKind,
    /// The nodes it was aimed at, from 1.
    pub nodes: Vec<u32>,
    /// The primary when it began.
    pub primary_before: Option<u32>,
    /// The primary after recovery.
    pub primary_after: Option<u32>,
    pub begun_us: u64,
    pub ended_us: u64,
    /// None if it did not recover in time.
    pub recovered_us: Option<u64>,
    /// The longest time in it without an acknowledged write.
    pub unavailable_us: u64,
    /// From its end to the first write that was acknowledged after it.
    pub served_after_end_us: Option<u64>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// Something that must not happen and that no history shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A node ended by itself.
    Exit(String),
    /// The system did not come back.
    NoRecovery(String),
    /// The harness could not do what it was to do.
    Harness(String),
}

/// The injector.
pub struct Nemesis {
    pub fleet: Fleet,
    pub load: Rc<Load>,
    pub records: Vec<FaultRecord>,
    pub trouble: Vec<Trouble>,
    schedule: Schedule,
}

impl Nemesis {
    pub fn new(fleet: Fleet, load: Rc<Load>, kinds: &[FaultKind], seed: u64) -> Nemesis {
        let schedule = Schedule::new(kinds, seed);
        Nemesis { fleet, load, records: Vec::new(), trouble: Vec::new(), schedule }
    }

    /// The next fault, if there is any.
    pub fn plan(&mut self) -> Option<Planned> {
        self.schedule.next_fault()
    }

    /// Makes one fault happen and sees it through. False if there is no point in going on.
    pub async fn suffer(&mut self, planned: Planned) -> bool {
        let mut record = self.begin(planned.kind);
        self.load.watch_availability();
        if let Err(error) = self.inject(planned, &mut record).await {
            self.trouble.push(Trouble::Harness(format!("fault {}, {}: {error}", record.number, record.kind)));
        }
        self.note_exits(&mut record);
        let healed = self.fleet.heal().await;
        self.load.note_mending();
        record.ended_us = self.load.now_us();
        let recovered = match healed {
            Ok(()) => self.recover(record.ended_us).await,
            Err(error) => {
                self.trouble.push(Trouble::Harness(format!("after fault {}: {error}", record.number)));
                false
            }
        };
        self.note_exits(&mut record);
        record.recovered_us = recovered.then(|| self.load.now_us());
        record.primary_after = self.load.view.primary().map(people);
        let gap = self.load.gap();
        record.unavailable_us = gap.longest_us;
        record.served_after_end_us = gap.after_mending_us;
        if !recovered {
            let fault = format!("fault {}, {}", record.number, record.kind);
            self.trouble.push(Trouble::NoRecovery(format!("{RECOVERY_LIMIT:?} after the end of {fault}")));
        }
        self.records.push(record);
        recovered
    }

    fn begin(&self, kind: FaultKind) -> FaultRecord {
        FaultRecord {
            number: self.records.len() as u32 + 1,
            kind,
            nodes: Vec::new(),
            primary_before: self.load.view.primary().map(people),
            primary_after: None,
            begun_us: self.load.now_us(),
            ended_us: 0,
            recovered_us: None,
            unavailable_us: 0,
            served_after_end_us: None,
            notes: Vec::new(),
        }
    }

    /// Notices nodes that ended by themselves after the last fault.
    pub fn note_last_exits(&mut self) {
        for (node, how) in self.fleet.take_exits() {
            self.trouble.push(Trouble::Exit(format!("node {} ended by itself: {how}", people(node))));
        }
    }

    /// Waits until everything is as it should be; false after too long.
    pub async fn recover(&mut self, since_us: u64) -> bool {
        let limit_us = since_us + RECOVERY_LIMIT.as_micros() as u64;
        let mut goal = None;
        let mut gathered = self.fleet.elects;
        while self.load.now_us() < limit_us {
            if !gathered && let Some(primary) = self.load.view.primary() {
                gathered = operator::gather(&self.fleet, primary).await;
            }
            goal = goal.or(self.load.view.settled_offset().filter(|_| gathered));
            let reached = goal.is_some_and(|offset| self.load.view.has_reached(offset));
            if reached && self.load.is_served_again() {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }

    /// Notices nodes that ended by themselves: no fault may bring that about.
    fn note_exits(&mut self, record: &mut FaultRecord) {
        for (node, how) in self.fleet.take_exits() {
            let exit = format!("node {} ended by itself: {how}", people(node));
            self.trouble.push(Trouble::Exit(format!("fault {}, {}: {exit}", record.number, record.kind)));
            record.notes.push(exit);
        }
    }

    /// Where the primary is appointed and can't serve any more, another one is, in the course of `hold`.
    async fn hold(&mut self, hold: Duration, lost_primary: Option<usize>, record: &mut FaultRecord) {
        let Some(former) = lost_primary.filter(|_| !self.fleet.elects) else {
            return tokio::time::sleep(hold).await;
        };
        tokio::time::sleep(DETECTION).await;
        match operator::fail_over(&self.fleet, &self.load.view, former).await {
            Ok(successor) => record.notes.push(format!("node {} was promoted", successor + 1)),
            Err(error) => record.notes.push(format!("nobody was promoted: {error}")),
        }
        tokio::time::sleep(hold.saturating_sub(DETECTION)).await;
    }
}

/// A node's number as people see it.
pub fn people(node: usize) -> u32 {
    node as u32 + 1
}
