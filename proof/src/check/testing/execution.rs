//! Random executions of a workload: every operation happens at one moment between its call and its return, on one primary;
//! replicas follow it at a distance. One anomaly can be planted.
//!
//! - Some operations are in doubt: they happen then, later, or never. Some fail, and do not happen.
//! - A planted anomaly is chosen so that it certainly shows: if there is no room for it, nothing is planted.

use super::history;
use super::store::Store;
use crate::history::{Action, History, Operation, Outcome, ReadsFrom, Value};
use crate::rng::Rng;
use crate::workload::{Kind, Workload};

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    None,
    /// An acknowledged write is forgotten.
    Lost,
    /// A write of which it was told that it had failed.
    Lie,
    /// A write happens again.
    Twice,
    /// A read on the primary does not see the last acknowledged write to its key.
    Stale,
    /// A read on a replica sees less than one before.
    Back,
    /// A read sees the accounts amid a transfer.
    Half,
    /// A value is seen long after its deadline.
    Late,
    /// A value is gone long before its deadline.
    Early,
}

const PROCESSES: usize = 8;
const REPLICAS: u32 = 2;
/// The longest time that a process takes before its next operation.
const PAUSE_US: u64 = 2_000;
/// Where all keys expire there have to be some seconds for it.
const PAUSE_IN_EXPIRY_US: u64 = 100_000;

/// An operation, and when it happens.
struct Plan {
    operation: Operation,
    happens_at_us: Option<u64>,
}

/// An execution of `count` operations and its history. Tells too whether the anomaly was planted.
pub fn execute(kinds: &[Kind], seed: u64, count: usize, anomaly: Anomaly) -> (History, bool) {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut workload = Workload::new(kinds, seed);
    let mut plans = plan(&mut workload, &mut rng, count);
    let mut primary: Vec<(u64, usize)> = Vec::new();
    for (place, plan) in plans.iter().enumerate() {
        let on_primary = plan.operation.reads_from == ReadsFrom::Primary;
        primary.extend(plan.happens_at_us.filter(|_| on_primary).map(|at_us| (at_us, place)));
    }
    primary.sort_unstable();
    let victim = victim(&plans, anomaly, &mut rng);
    run(&mut plans, &primary, victim, anomaly);
    let log: Vec<(u64, usize)> =
        primary.into_iter().filter(|(_, place)| !plans[*place].operation.action.is_read()).collect();
    run_replicas(&mut plans, &log, &mut rng);
    let planted = victim.is_some() || (anomaly == Anomaly::Back && go_back(&mut plans));
    (history(plans.into_iter().map(|plan| plan.operation).collect()), planted)
}

fn plan(workload: &mut Workload, rng: &mut Rng, count: usize) -> Vec<Plan> {
    let mut plans = Vec::new();
    let pause_us = if workload.kinds() == [Kind::Expiry] { PAUSE_IN_EXPIRY_US } else { PAUSE_US };
    let mut now_us = 0;
    for action in workload.setup() {
        plans.push(certain(action, now_us, false));
        now_us += 100;
    }
    let mut free_at_us = [now_us; PROCESSES];
    for _ in 0..count {
        let process = (0..PROCESSES).min_by_key(|process| free_at_us[*process]).expect("there are some");
        let called_us = free_at_us[process] + rng.below(pause_us);
        let (plan, free) = uncertain(workload.next_action(), called_us, rng);
        free_at_us[process] = free;
        plans.push(plan);
    }
    let end_us = plans.iter().filter_map(|plan| plan.happens_at_us).chain(free_at_us).max().unwrap_or(0);
    for (number, action) in workload.final_reads().into_iter().enumerate() {
        plans.push(certain(action, end_us + 1_000 + 100 * number as u64, true));
    }
    plans
}

fn certain(action: Action, at_us: u64, is_final: bool) -> Plan {
    let operation = super::ok(at_us, at_us + 50, action, Value::Done);
    Plan { operation: Operation { is_final, ..operation }, happens_at_us: Some(at_us + 25) }
}

/// An operation that may fail, and when its process is free again.
fn uncertain(action: Action, called_us: u64, rng: &mut Rng) -> (Plan, u64) {
    let returned_us = called_us + 10 + rng.below(5_000);
    let within = called_us + rng.below(returned_us - called_us + 1);
    if action.is_read() && rng.percent(30) {
        let node = rng.below(u64::from(REPLICAS)) as u32 + 1;
        let operation = super::ok(called_us, returned_us, action, Value::Done);
        let operation = Operation { node, reads_from: ReadsFrom::Replica, ..operation };
        return (Plan { operation, happens_at_us: Some(within) }, returned_us);
    }
    match rng.below(100) {
        0..4 => {
            let late = (called_us + rng.below(50_000), rng.percent(60));
            let operation = super::doubt(called_us, action);
            (Plan { operation, happens_at_us: late.1.then_some(late.0) }, returned_us)
        }
        4..8 => (
            Plan { operation: super::failed(called_us, returned_us, action), happens_at_us: None },
            returned_us,
        ),
        _ => {
            let operation = super::ok(called_us, returned_us, action, Value::Done);
            (Plan { operation, happens_at_us: Some(within) }, returned_us)
        }
    }
}

/// The operation that goes wrong.
fn victim(plans: &[Plan], anomaly: Anomaly, rng: &mut Rng) -> Option<usize> {
    let fits = |place: &usize| {
        let Plan { operation, .. } = &plans[*place];
        let leaves_a_mark = matches!(operation.action, Action::Append { .. } | Action::Transfer { .. })
            || (matches!(operation.action, Action::Transaction { .. }) && !operation.action.is_read());
        let on_primary = operation.reads_from == ReadsFrom::Primary && operation.is_acknowledged();
        match anomaly {
            Anomaly::None | Anomaly::Back => false,
            Anomaly::Lost => {
                operation.is_acknowledged()
                    && (leaves_a_mark || matches!(operation.action, Action::Add { .. }))
            }
            Anomaly::Lie => operation.did_not_happen() && leaves_a_mark,
            Anomaly::Twice => {
                operation.is_acknowledged() && matches!(operation.action, Action::Append { .. })
            }
            Anomaly::Stale => on_primary && last_write_over(plans, operation).is_some(),
            Anomaly::Half => on_primary && matches!(operation.action, Action::ReadAccounts { .. }),
            Anomaly::Late => on_primary && long_dead(plans, operation).is_some(),
            Anomaly::Early => on_primary && is_alive(plans, operation),
        }
    };
    let possible: Vec<usize> = (0..plans.len()).filter(fits).collect();
    (!possible.is_empty()).then(|| possible[rng.index(possible.len())])
}

/// For reads of lists, counters and accounts: an acknowledged write to the same key that was over before the read began.
fn last_write_over(plans: &[Plan], read: &Operation) -> Option<usize> {
    let writes = |write: &Action| match (&read.action, write) {
        (Action::ReadList { key }, Action::Append { key: written, .. }) => key == written,
        (Action::ReadCounter { key }, Action::Add { key: written, .. }) => key == written,
        (Action::ReadAccounts { bank, .. }, Action::Transfer { bank: written, .. }) => bank == written,
        _ => false,
    };
    let over = (0..plans.len()).filter(|place| {
        let write = &plans[*place].operation;
        write.is_acknowledged() && write.returned_us < Some(read.called_us) && writes(&write.action)
    });
    over.max_by_key(|place| plans[*place].operation.returned_us)
}

/// A value that died two seconds before the read began.
fn long_dead(plans: &[Plan], read: &Operation) -> Option<u64> {
    let Action::GetExpiring { key } = &read.action else { return None };
    plans.iter().find_map(|plan| match &plan.operation.action {
        Action::SetExpiring { key: written, value, ttl_ms } if written == key => {
            let returned_us = plan.operation.returned_us.filter(|_| plan.operation.is_acknowledged())?;
            (returned_us + ttl_ms * 1_000 + 2_000_000 < read.called_us).then_some(*value)
        }
        _ => None,
    })
}

/// All that was written to the key lives for two more seconds, and something was surely written.
fn is_alive(plans: &[Plan], read: &Operation) -> bool {
    let Action::GetExpiring { key } = &read.action else { return false };
    let Some(returned_us) = read.returned_us else { return false };
    let writes: Vec<(&Operation, u64)> = plans
        .iter()
        .filter_map(|plan| match &plan.operation.action {
            Action::SetExpiring { key: written, ttl_ms, .. } if written == key => {
                Some((&plan.operation, *ttl_ms))
            }
            _ => None,
        })
        .filter(|(write, _)| write.called_us <= returned_us && !write.did_not_happen())
        .collect();
    let surely =
        writes.iter().any(|(write, _)| write.is_acknowledged() && write.returned_us < Some(read.called_us));
    surely && writes.iter().all(|(write, ttl_ms)| write.called_us + ttl_ms * 1_000 > returned_us + 2_000_000)
}

/// Runs what happens on the primary, in order.
fn run(plans: &mut [Plan], primary: &[(u64, usize)], victim: Option<usize>, anomaly: Anomaly) {
    let mut store = Store::default();
    let unseen = victim.and_then(|place| last_write_over(plans, &plans[place].operation));
    let dead = victim.and_then(|place| long_dead(plans, &plans[place].operation));
    // The lying write happens right after it was called.
    let mut moments = primary.to_vec();
    if anomaly == Anomaly::Lie {
        moments.extend(victim.map(|place| (plans[place].operation.called_us, place)));
        moments.sort_unstable();
    }
    let mut before_unseen = store.clone();
    for (now_us, place) in moments {
        let action = plans[place].operation.action.clone();
        let is_victim = victim == Some(place);
        if anomaly == Anomaly::Stale && unseen == Some(place) {
            before_unseen = store.clone();
        }
        let value = match anomaly {
            Anomaly::Lost if is_victim => store.clone().run(&action, now_us),
            Anomaly::Twice if is_victim => {
                let value = store.run(&action, now_us);
                store.run(&action, now_us);
                value
            }
            Anomaly::Stale if is_victim => before_unseen.clone().run(&action, now_us),
            Anomaly::Half if is_victim => half(&store, &action),
            Anomaly::Late if is_victim => Value::Register(dead),
            Anomaly::Early if is_victim => Value::Register(None),
            _ => store.run(&action, now_us),
        };
        answer(&mut plans[place], value);
    }
}

fn half(store: &Store, action: &Action) -> Value {
    let mut amid = store.clone();
    if let Action::ReadAccounts { bank, .. } = action {
        amid.take(bank, 0, 1);
    }
    amid.run(action, 0)
}

fn answer(plan: &mut Plan, value: Value) {
    if plan.operation.is_acknowledged() {
        plan.operation.outcome = Outcome::Ok(value);
    }
}

/// Runs reads on replicas, each of which applies the log at its own pace.
fn run_replicas(plans: &mut [Plan], log: &[(u64, usize)], rng: &mut Rng) {
    for node in 1..=REPLICAS {
        let on_node =
            |plan: &Plan| plan.operation.reads_from == ReadsFrom::Replica && plan.operation.node == node;
        let mut reads: Vec<(u64, usize)> = (0..plans.len())
            .filter(|place| on_node(&plans[*place]))
            .filter_map(|place| Some((plans[place].happens_at_us?, place)))
            .collect();
        reads.sort_unstable();
        let (mut store, mut applied) = (Store::default(), 0);
        for (now_us, place) in reads {
            let until_us = now_us.saturating_sub(rng.below(20_000));
            while let Some((at_us, write)) = log.get(applied).filter(|(at_us, write)| {
                // Banks are opened before anybody connects.
                *at_us <= until_us || matches!(plans[*write].operation.action, Action::OpenBank { .. })
            }) {
                store.run(&plans[*write].operation.action, *at_us);
                applied += 1;
            }
            let value = store.run(&plans[place].operation.action.clone(), now_us);
            answer(&mut plans[place], value);
        }
    }
}

/// Takes the last value from a list read on a replica that another read there had seen already.
fn go_back(plans: &mut [Plan]) -> bool {
    let lists: Vec<(usize, usize)> = (0..plans.len())
        .filter(|place| plans[*place].operation.reads_from == ReadsFrom::Replica)
        .filter_map(|place| Some((place, super::super::objects::list_read(&plans[place].operation)?.len())))
        .collect();
    for &(late, length) in &lists {
        let read = &plans[late].operation;
        let seen_before = lists.iter().any(|&(early, earlier)| {
            let before = &plans[early].operation;
            earlier == length
                && length > 0
                && before.node == read.node
                && before.action == read.action
                && before.returned_us < Some(read.called_us)
        });
        if seen_before && let Outcome::Ok(Value::List(list)) = &mut plans[late].operation.outcome {
            list.pop();
            return true;
        }
    }
    false
}
