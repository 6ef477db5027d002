//! Cycles of transactions, and what they are called.

use std::collections::{HashMap, HashSet};

use super::graph::{CLOCK, Edge, Graph, OVERWRITES, READS, Reasons, WRITES, Why};
use super::orders::Orders;
use super::{appends, reads};
use crate::check::describe;
use crate::check::judge::Judge;
use crate::check::objects::{called, returned};

/// From the narrowest meaning of an order to the widest. Whatever goes round in a narrow one is not shown again in a wider one.
const LEVELS: [Reasons; 6] = [
    WRITES,
    WRITES | READS,
    WRITES | READS | OVERWRITES,
    WRITES | CLOCK,
    WRITES | READS | CLOCK,
    WRITES | READS | OVERWRITES | CLOCK,
];

pub fn judge(orders: &Orders, judge: &mut Judge) {
    let graph = graph(orders);
    let mut explained: HashSet<usize> = HashSet::new();
    for reasons in LEVELS {
        for circle in graph.circles(reasons) {
            if circle.iter().any(|node| explained.contains(node)) {
                continue;
            }
            explained.extend(&circle);
            let single = (reasons & OVERWRITES != 0).then(|| with_one_overwrite(&graph, reasons, &circle));
            if let Some(cycle) = single.flatten().or_else(|| graph.cycle(reasons, &circle)) {
                accuse(orders, &cycle, circle.len(), judge);
            }
        }
    }
}

/// The dependencies between acknowledged transactions, and those in doubt of which something was seen.
fn graph<'a>(orders: &Orders<'a>) -> Graph<'a> {
    let mut graph = Graph::new(orders.operations.len());
    let lists = orders.lists.iter().filter(|(_, order)| order.agreed);
    for (&key, order) in lists.clone() {
        for pair in order.values.windows(2) {
            let (Some(&from), Some(&to)) =
                (orders.writers.get(&(key, pair[0])), orders.writers.get(&(key, pair[1])))
            else {
                continue;
            };
            graph.add(from, to, Why::Wrote { key, value: pair[0], next: pair[1] });
        }
    }
    for (reader, &operation) in orders.operations.iter().enumerate() {
        for (key, list) in reads(operation) {
            let Some(order) = orders.lists.get(key).filter(|order| order.agreed) else { continue };
            if let Some(&value) = list.last()
                && let Some(&writer) = orders.writers.get(&(key, value))
            {
                graph.add(writer, reader, Why::WasRead { key, value });
            }
            if let Some(&next) = order.values.get(list.len())
                && let Some(&writer) = orders.writers.get(&(key, next))
            {
                graph.add(reader, writer, Why::Read { key, next });
            }
        }
    }
    add_unseen(orders, &mut graph);
    add_clock(orders, &mut graph);
    graph
}

/// Adds that what a transaction has appended and nobody saw comes behind all that was seen. So it is noticed if only a part of a
/// transaction has happened.
fn add_unseen<'a>(orders: &Orders<'a>, graph: &mut Graph<'a>) {
    let mut unseen: HashMap<&str, Vec<(usize, u64)>> = HashMap::new();
    for (writer, &operation) in
        orders.operations.iter().enumerate().filter(|(_, one)| orders.has_happened(one))
    {
        for (key, value) in appends(operation).filter(|(key, value)| !orders.is_seen(key, *value)) {
            unseen.entry(key).or_default().push((writer, value));
        }
    }
    for (reader, &operation) in orders.operations.iter().enumerate() {
        for (key, list) in reads(operation) {
            let Some(order) = orders.lists.get(key).filter(|order| order.agreed) else { continue };
            if list.len() == order.values.len() {
                let behind = unseen.get(key).into_iter().flatten();
                behind.for_each(|&(writer, next)| graph.add(reader, writer, Why::Read { key, next }));
            }
        }
    }
}

/// Adds who was over before whom began, as far as it does not follow from others.
fn add_clock(orders: &Orders, graph: &mut Graph) {
    let nodes: Vec<usize> =
        (0..orders.operations.len()).filter(|node| orders.has_happened(orders.operations[*node])).collect();
    // At the same microsecond calls come first, so that they count as concurrent.
    let calls = nodes.iter().map(|node| (called(orders.operations[*node]), false, *node));
    let returns = nodes.iter().map(|node| (returned(orders.operations[*node]), true, *node));
    let mut events: Vec<(i64, bool, usize)> = calls.chain(returns).collect();
    events.sort_unstable();
    // Those that were over, and not before another one of them began.
    let mut last: Vec<usize> = Vec::new();
    for (_, is_return, node) in events {
        if is_return {
            let began = called(orders.operations[node]);
            last.retain(|over| returned(orders.operations[*over]) >= began);
            last.push(node);
        } else {
            last.iter().for_each(|over| graph.add(*over, node, Why::Clock));
        }
    }
}

/// The shortest cycle with a single anti-dependency, as far as it is searched for: in a big circle it may be missed, and what
/// is shown is called G2.
fn with_one_overwrite<'a>(graph: &Graph<'a>, reasons: Reasons, circle: &[usize]) -> Option<Vec<Edge<'a>>> {
    let members: HashSet<usize> = circle.iter().copied().collect();
    let overwrites = circle.iter().flat_map(|node| graph.edges(*node, OVERWRITES));
    let inside = overwrites.filter(|edge| members.contains(&edge.to)).take(Graph::searches(circle.len()));
    let cycles = inside.filter_map(|edge| {
        let mut cycle = graph.way(edge.to, edge.from, reasons & !OVERWRITES, &members)?;
        cycle.insert(0, *edge);
        Some(cycle)
    });
    cycles.min_by_key(Vec::len)
}

/// Adya's name for a cycle.
fn name(cycle: &[Edge]) -> String {
    let count = |reason: Reasons| cycle.iter().filter(|edge| edge.why.reason() == reason).count();
    let name = match (count(OVERWRITES), count(READS)) {
        (0, 0) => "G0",
        (0, _) => "G1c",
        (1, _) => "G-single",
        _ => "G2",
    };
    if count(CLOCK) > 0 { format!("{name}-realtime") } else { name.to_owned() }
}

fn accuse(orders: &Orders, cycle: &[Edge], of: usize, judge: &mut Judge) {
    let operations = cycle.iter().map(|edge| orders.operations[edge.from].id).collect();
    judge.find(&name(cycle), operations, || {
        let steps: Vec<String> = cycle.iter().map(|edge| step(orders, edge)).collect();
        let all: Vec<String> =
            cycle.iter().map(|edge| describe::operation(orders.operations[edge.from])).collect();
        format!(
            "{}; so each comes before itself ({} of {of} transactions that depend on each other in a circle: {})",
            steps.join("; "),
            cycle.len(),
            all.join(", ")
        )
    });
}

fn step(orders: &Orders, edge: &Edge) -> String {
    let (one, other) = (orders.operations[edge.from].id, orders.operations[edge.to].id);
    match edge.why {
        Why::Wrote { key, value, next } => {
            format!("#{one} appended {value} to {key}, and #{other} {next} right behind it")
        }
        Why::WasRead { key, value } => format!("#{one} appended {value} to {key}, which #{other} has read"),
        Why::Read { key, next } => format!("#{one} has read {key} as it was before #{other} appended {next}"),
        Why::Clock => format!("#{one} was over before #{other} began"),
    }
}
