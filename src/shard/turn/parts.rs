//! How a turn lets the parts of a long item go along, and the item itself once they are applied (`shard/long_items.rs`).
//!
//! - A part goes last into a plan, so that others' commands are admitted as without it.
//! - What stands for the whole item goes first into one, so that its cost is exact.

use perdura_wal::Disk;

use super::super::admission::Admission;
use super::super::long_items::{LongStep, stand_in};
use super::super::plan::{Act, Addressee, Next, Plan};
use super::items::{gate, plan_item};
use super::{Now, Shard, ShardError};
use crate::apply::ApplyError;
use crate::command::PART;
use crate::propose::entry;

impl<D: Disk> Shard<D> {
    pub(super) fn long_step(&self) -> Option<LongStep> {
        self.long_items.step(self.machine.applier.effects.staging.len(), self.node.leadership().term)
    }

    /// Whether what is staged will never run: its leader was overtaken, or it was refused in the end. No log can go on with it, for
    /// whoever leads begins another item with its first part.
    pub(super) fn has_dead_parts(&self) -> bool {
        let is_staging = self.machine.applier.is_staging() && !self.long_items.has_begun();
        is_staging && self.node.is_serving() && !self.machine.has_in_flight()
    }

    /// Whether an entry is to say so.
    pub(super) fn forgets_parts(&self) -> bool {
        self.has_dead_parts() && self.space_retry_ms.is_none() && !self.node.is_transferring()
    }

    /// Lets all nodes forget parts that will never run.
    pub(super) fn plan_forgetting(&mut self, plan: &mut Plan) {
        if self.forgets_parts() {
            self.forgot_parts += 1;
            let mut encoded = Vec::new();
            entry::write_single(&mut encoded, 0, &[PART, b"0", b"0", b""]);
            plan.log(&encoded);
            plan.push(Addressee::NOBODY, Act::Internal);
        }
    }

    /// Ends with the long item that is staged, if one is: it runs at the head of this plan, or is refused.
    pub(super) fn plan_long_item(&mut self, plan: &mut Plan, now: Now) -> Result<(), ShardError> {
        match self.long_step() {
            Some(LongStep::Run) if plan.acts.is_empty() => self.plan_staged(plan, now),
            Some(LongStep::Fail(error)) => {
                self.refuse_long_item(plan, now, error);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn plan_staged(&mut self, plan: &mut Plan, now: Now) -> Result<(), ShardError> {
        // Out of the machine while the item's bytes are looked at.
        let staging = std::mem::take(&mut self.machine.applier.effects.staging);
        let planned = match staging.item() {
            Some(encoded) => self.plan_whole(plan, encoded, now),
            None => Ok(()),
        };
        self.machine.applier.effects.staging = staging;
        Ok(planned?)
    }

    /// Puts what stands for the first long item into a plan; all its bytes are staged.
    fn plan_whole(&mut self, plan: &mut Plan, encoded: &[u8], now: Now) -> Result<(), ApplyError> {
        let Some((work, _)) = self.long_items.first() else { return Ok(()) };
        let mut gate = gate(&self.machine, &self.handle, &mut self.budget, plan.stamp, now);
        let admission = gate.admit(plan, work, encoded)?;
        if admission == Admission::Close {
            return Ok(());
        }
        if let Some((to, work)) = self.long_items.end_first(&mut self.backlog, now.monotonic_ms) {
            let (stand_in, stamp) = (stand_in(), plan.stamp);
            let next = Next { to, work, encoded, logged: &stand_in };
            match admission {
                Admission::Refuse(error) => self.machine.refuse(plan, next, &error),
                _ => {
                    self.ran_from_parts += 1;
                    plan_item(&mut self.machine, plan, next, stamp)?;
                }
            }
        }
        Ok(())
    }

    fn refuse_long_item(&mut self, plan: &mut Plan, now: Now, error: &str) {
        if let Some((to, work)) = self.long_items.end_first(&mut self.backlog, now.monotonic_ms) {
            self.machine.refuse(plan, Next { to, work, encoded: &[], logged: &[] }, error);
        }
    }

    /// Lets the next part of a long item go along. Before the first it is seen whether the item may be logged at all.
    pub(super) fn plan_part(&mut self, plan: &mut Plan, now: Now) -> Result<(), ShardError> {
        match self.long_step() {
            Some(LongStep::Begin) => {
                let Some((work, encoded)) = self.long_items.first() else { return Ok(()) };
                // What it may need is spent when it runs.
                let mut budget = self.budget.clone();
                let mut gate = gate(&self.machine, &self.handle, &mut budget, plan.stamp, now);
                let mut trial = Plan::new(plan.stamp).limited_to(self.max_entry_bytes);
                if let Admission::Refuse(error) = gate.admit(&mut trial, work, encoded)? {
                    self.refuse_long_item(plan, now, &error);
                    return Ok(());
                }
            }
            Some(LongStep::Part) => {}
            _ => return Ok(()),
        }
        if !plan.has_room_for(self.long_items.most_part_bytes()) {
            return Ok(());
        }
        if let Some(encoded) = self.long_items.next_part(now.monotonic_ms, &mut self.machine.garbage) {
            plan.log(&encoded);
            plan.push(Addressee::NOBODY, Act::Internal);
        }
        Ok(())
    }
}
