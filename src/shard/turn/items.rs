//! How an item of the backlog gets into a plan.

use super::super::admission::Gate;
use super::super::budget::Budget;
use super::super::machine::Machine;
use super::super::plan::{Act, Addressee, Next, Peeked, Plan, Waiting};
use super::super::port::ShardHandle;
use super::super::serving;
use super::super::waiters::KEY_STEPS;
use super::Now;
use crate::apply::ApplyError;
use crate::command::context::Stamp;
use crate::command::script::{MAX_GROWTH_BYTES, SCRIPT_STORE};
use crate::propose::batch::Work;
use crate::propose::entry;

/// Who decides what a plan takes.
pub(super) fn gate<'a>(
    machine: &'a Machine,
    handle: &'a ShardHandle,
    budget: &'a mut Budget,
    stamp: Stamp,
    now: Now,
) -> Gate<'a> {
    Gate { machine, limits: &handle.memory, budget, stamp, now_ms: now.monotonic_ms }
}

/// Whether an item is an EXEC under WATCH.
pub(super) fn opens_plan(machine: &Machine, plan: &Plan, peeked: &Peeked<'_>) -> bool {
    let watcher = (peeked.worker, peeked.item.connection);
    matches!(peeked.item.work, Work::Transaction { .. })
        && (machine.watches.contains(watcher) || plan.watching.contains(&watcher))
}

/// Whether a plan still has the steps that it takes to end or to begin what a connection waits for.
pub(super) fn has_steps_to_wait(machine: &Machine, plan: &Plan, peeked: &Peeked<'_>) -> bool {
    match peeked.item.work {
        Work::Forget | Work::Unblock { .. } => {
            let steps = machine.waiters.steps_to_end(peeked.worker, peeked.item.connection);
            steps == 0 || plan.has_steps_for(steps)
        }
        Work::Blocking { argc, .. } => plan.has_steps_for(u64::from(argc) * KEY_STEPS),
        _ => true,
    }
}

/// Puts one item of the backlog into a plan.
pub(super) fn plan_item(
    machine: &mut Machine,
    plan: &mut Plan,
    next: Next<'_>,
    stamp: Stamp,
) -> Result<(), ApplyError> {
    let Next { to, work, encoded, logged } = next;
    limit_scripts(plan, logged);
    match work {
        Work::Write { .. } => {
            plan.log(logged);
            plan.push(to, Act::Write);
            serving::plan_behind(machine, plan, encoded)?;
        }
        // What the log would not take would fail all that is planned with it.
        Work::Internal { .. } if plan.takes(encoded.len()) => {
            plan.log(encoded);
            plan.push(to, Act::Internal);
        }
        Work::Internal { .. } => {}
        Work::Blocking { command, deadline_ms, argc, .. } => {
            plan.take_steps(u64::from(argc) * KEY_STEPS);
            let waiting = Waiting { command, encoded: encoded.into(), deadline_ms };
            if !command.is_write() {
                plan.push(to, Act::ReadOrWait(waiting));
            } else if machine.is_ready(encoded, command, stamp)? {
                plan.log(logged);
                plan.push(to, Act::Blocking(waiting));
                serving::plan_behind(machine, plan, encoded)?;
            } else {
                plan.push(to, Act::Probe(waiting));
            }
        }
        Work::Read { command, .. } => {
            let encoded = plan.keep_passenger(encoded);
            plan.push(to, Act::Read { command, encoded });
        }
        Work::Literal(bytes) => plan.push(to, Act::Literal(bytes)),
        Work::Transaction { steps, .. } => {
            if machine.finish_watch(to, stamp) {
                machine.answer_with(to, |reply| reply.null_array());
                return Ok(());
            }
            plan.push(to, Act::Transaction(steps));
            if !encoded.is_empty() {
                plan.log(logged);
                serving::plan_behind(machine, plan, encoded)?;
            }
        }
        Work::Watch { db, keys } => {
            plan.watching.insert((to.worker, to.connection));
            plan.push(to, Act::Watch { db, keys });
        }
        Work::Forget => {
            machine.watches.finish((to.worker, to.connection), |_| true);
            plan.take_steps(machine.waiters.steps_to_end(to.worker, to.connection));
            if serving::may_end_now(machine, plan, to) {
                machine.forget(to);
            }
            plan.push(to, Act::Forget);
        }
        Work::Unblock { with_error } => {
            plan.take_steps(machine.waiters.steps_to_end(to.worker, to.connection));
            if serving::may_end_now(machine, plan, to) {
                machine.unblock(to, with_error);
            } else {
                plan.push(to, Act::Unblock { with_error });
            }
        }
    }
    Ok(())
}

/// Lets the log say what scripts may write, before the first of them, where memory is short.
fn limit_scripts(plan: &mut Plan, logged: &[u8]) {
    let Some(bytes) = plan.forecast.take_script_growth() else { return };
    let mut limit = Vec::new();
    entry::write_single(&mut limit, 0, &[SCRIPT_STORE, b"GROWTH", bytes.to_string().as_bytes()]);
    if bytes < MAX_GROWTH_BYTES as u64 && plan.takes(limit.len() + logged.len()) {
        plan.log(&limit);
        plan.push(Addressee::NOBODY, Act::Internal);
    }
}
