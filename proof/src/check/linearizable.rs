//! Registers, counters, lists and sets are linearizable: each operation happened at one moment between its call and its return.
//!
//! - Each key is judged alone, which proves the same for all of them together (Herlihy and Wing 1990).
//! - Registers are decided without a search ([`register`](super::register)); the others by the [`search`](super::search) with a
//!   [model](super::model) each. A search that gives up leaves its key undecided.
//! - What was told to have failed must not have happened. If an order is found only with such operations, that is an error
//!   that lies.
//! - Reads on replicas are left out; they are judged in [`replica`](super::replica).

use super::judge::Judge;
use super::model::{Problem, counter, list, set};
use super::objects::{Keys, Objects};
use super::search::{Model, Stuck, Verdict, search};
use super::{Options, Report, describe, register};
use crate::history::Operation;

pub fn check(objects: &Objects, options: &Options, report: &mut Report) {
    let mut judge = Judge::new("linearizable registers", options, report);
    for (key, operations) in &objects.registers {
        judge.object(operations.len());
        register::judge_key(key, operations, &mut judge);
    }
    judge.finish();
    by_search("linearizable counters", &objects.counters, counter::problem, options, report);
    by_search("linearizable sets", &objects.sets, set::problem, options, report);

    let mut judge = Judge::new("linearizable lists", options, report);
    for (key, operations) in &objects.lists {
        judge.object(operations.len());
        // Without one order of the list's values there is nothing to search for.
        if list::agree(key, operations, &mut judge) {
            decide(key, operations, list::problem, options, &mut judge);
        }
    }
    judge.finish();
}

fn by_search<'a, M: Model>(
    name: &str,
    keys: &Keys<'a>,
    problem: fn(&[&'a Operation], bool) -> Problem<'a, M>,
    options: &Options,
    report: &mut Report,
) {
    let mut judge = Judge::new(name, options, report);
    for (key, operations) in keys {
        judge.object(operations.len());
        decide(key, operations, problem, options, &mut judge);
    }
    judge.finish();
}

/// Searches an order for one key.
fn decide<'a, M: Model>(
    key: &str,
    operations: &[&'a Operation],
    problem: fn(&[&'a Operation], bool) -> Problem<'a, M>,
    options: &Options,
    judge: &mut Judge,
) {
    let mut honest = problem(operations, false);
    match solve(&mut honest, options, judge) {
        Verdict::Order(_) => {}
        Verdict::GaveUp => undecided(key, options, judge),
        Verdict::NoOrder(stuck) => {
            let mut lying = problem(operations, true);
            match solve(&mut lying, options, judge) {
                Verdict::Order(order) => accuse_of_lying(key, &lying, &order, judge),
                _ => accuse(key, &honest, &stuck, judge),
            }
        }
    }
}

pub fn solve<M: Model>(problem: &mut Problem<M>, options: &Options, judge: &mut Judge) -> Verdict {
    let mut steps = 0;
    let verdict = search(&problem.calls, &mut problem.model, options.max_steps_per_key, &mut steps);
    judge.steps(steps);
    verdict
}

pub fn undecided(key: &str, options: &Options, judge: &mut Judge) {
    judge.undecided(format!(
        "no order of the operations on {key} was found in {} steps",
        options.max_steps_per_key
    ));
}

pub fn accuse<M: Model>(key: &str, problem: &Problem<M>, stuck: &Stuck, judge: &mut Judge) {
    let named: Vec<&Operation> =
        stuck.before.iter().chain([&stuck.operation]).map(|place| problem.operations[*place]).collect();
    judge.find("no order", named.iter().map(|operation| operation.id).collect(), || {
        let before: Vec<String> =
            stuck.before.iter().map(|place| describe::operation(problem.operations[*place])).collect();
        format!(
            "no order of the operations on {key} explains {}; the furthest attempt came to {} after {}",
            describe::operation(problem.operations[stuck.operation]),
            problem.model.show(stuck.state),
            if before.is_empty() { "no operation".into() } else { before.join(", ") },
        )
    });
}

fn accuse_of_lying<M: Model>(key: &str, problem: &Problem<M>, order: &[usize], judge: &mut Judge) {
    let operations = order.iter().map(|place| problem.operations[*place]);
    let liars: Vec<&Operation> = operations.filter(|operation| operation.did_not_happen()).collect();
    judge.find("an error that lies", liars.iter().map(|operation| operation.id).collect(), || {
        let shown: Vec<String> =
            liars.iter().take(3).map(|operation| describe::operation(operation)).collect();
        format!("the answers for {key} can be explained only if these happened: {}", shown.join(", "))
    });
}

#[cfg(test)]
mod tests;
