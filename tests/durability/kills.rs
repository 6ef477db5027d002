//! kill -9 under load, again and again: what was acknowledged stays, no half of a transaction shows, all nodes agree.

use std::net::SocketAddr;
use std::time::Duration;

use perdura_testkit::{Cluster, Node, NodeSpec};

use crate::ledger::Ledger;
use crate::perdura;
use crate::writers::{Load, Outcome};

const WRITERS: usize = 6;

/// Longest time from the kill of a primary until some write that began after it is acknowledged.
const FAILOVER_LIMIT: Duration = Duration::from_secs(2);

fn rounds() -> u32 {
    std::env::var("DURABILITY_ROUNDS").ok().map_or(5, |text| text.parse().expect("a number of rounds"))
}

/// How long the load runs before the kill: different in every round, the same in every run.
fn time_of_kill(round: u32) -> Duration {
    Duration::from_millis(150 + u64::from(round * 61 % 200))
}

fn ledgers() -> Vec<Ledger> {
    (0..WRITERS).map(Ledger::new).collect()
}

/// Takes the writers' ledgers home; nobody may have met an open connection that said nothing.
fn ledgers_of(outcomes: Vec<Outcome>) -> Vec<Ledger> {
    let silences: Vec<String> = outcomes.iter().flat_map(|outcome| outcome.silences.clone()).collect();
    assert!(silences.is_empty(), "connections that stayed open and said nothing: {silences:?}");
    outcomes.into_iter().map(|outcome| outcome.ledger).collect()
}

#[test]
fn one_node() {
    one_node_of(perdura());
}

/// Checkpoints are taken all the time, and the log is cut behind them: the kill falls into any part of that.
#[test]
fn one_node_that_takes_checkpoints() {
    one_node_of(perdura().flag("segment-bytes", "64kb").flag("checkpoint-log-bytes", "20kb"));
}

fn one_node_of(spec: NodeSpec) {
    let mut node = spec.start();
    let mut ledgers = ledgers();
    println!("one node    round  writes acknowledged  back after");
    for round in 1..=rounds() {
        let load = Load::start(&[node.addr()], ledgers);
        std::thread::sleep(time_of_kill(round));
        node.kill();
        let killed = load.watch.elapsed();
        node.restart();
        let back = load.watch.elapsed() - killed;
        ledgers = ledgers_of(load.stop());
        check_new(&node, &mut ledgers);
        println!("            {round:>5}  {:>19}  {back:>10.3?}", acknowledged(&ledgers));
    }
    check_all(&node, &mut ledgers);
    check_replay_is_reproducible(&mut node);
}

#[test]
fn the_primary_of_three() {
    // With checkpoints now and then, for a follower restarts from its own as a node alone does.
    let mut cluster = Cluster::start_with(perdura().flag("checkpoint-log-bytes", "200kb"));
    let addrs: Vec<SocketAddr> = cluster.nodes.iter().map(Node::addr).collect();
    let mut ledgers = ledgers();
    let mut worst = Duration::ZERO;
    println!("three nodes round  writes acknowledged  first write after  slowest writer after");
    for round in 1..=rounds() {
        let primary = cluster.primary();
        let load = Load::start(&addrs, ledgers);
        std::thread::sleep(time_of_kill(round));
        let killed = load.watch.elapsed();
        cluster.nodes[primary].kill();
        std::thread::sleep(2 * FAILOVER_LIMIT);
        cluster.nodes[primary].restart();
        let outcomes = load.stop();
        let pauses = pauses(&outcomes, killed);
        ledgers = ledgers_of(outcomes);
        let (first, slowest) = pauses.expect("every writer goes on after a failover");
        let digest = cluster.agreed_digest();
        ledgers.iter_mut().for_each(|ledger| ledger.check_new(&mut cluster.client(cluster.primary())));
        println!(
            "            {round:>5}  {:>19}  {first:>17.3?}  {slowest:>20.3?}  {digest}",
            acknowledged(&ledgers)
        );
        worst = worst.max(first);
    }
    for node in &cluster.nodes {
        check_all(node, &mut ledgers);
    }
    println!("three nodes worst  {worst:.3?}");
    assert!(worst < FAILOVER_LIMIT, "writes resumed {worst:?} after a kill");
}

/// From the kill until the first acknowledgement of a write sent after it: of any writer, and of the slowest.
/// None where some writer never went on.
fn pauses(outcomes: &[Outcome], killed: Duration) -> Option<(Duration, Duration)> {
    let resumed = outcomes.iter().map(|outcome| {
        let after = outcome.acknowledgements.iter().find(|write| write.sent > killed)?;
        Some(after.received - killed)
    });
    let resumed: Vec<Duration> = resumed.collect::<Option<_>>()?;
    Some((*resumed.iter().min()?, *resumed.iter().max()?))
}

fn acknowledged(ledgers: &[Ledger]) -> usize {
    ledgers.iter().map(Ledger::acknowledged).sum()
}

fn check_new(node: &Node, ledgers: &mut [Ledger]) {
    ledgers.iter_mut().for_each(|ledger| ledger.check_new(&mut node.client()));
}

fn check_all(node: &Node, ledgers: &mut [Ledger]) {
    ledgers.iter_mut().for_each(|ledger| ledger.check_all(&mut node.client()));
}

/// The same log makes the same data, however often it is replayed.
fn check_replay_is_reproducible(node: &mut Node) {
    let before = node.client().run("DEBUG DIGEST").text();
    node.kill();
    node.restart();
    assert_eq!(node.client().run("DEBUG DIGEST").text(), before);
}
