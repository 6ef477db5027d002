//! kill -9 under load, again and again: what was acknowledged stays, no half of a transaction shows, all nodes agree.
//!
//! `KILLS=50 cargo test --test durability random_moments -- --nocapture` kills at more random moments; `KILLS_SEED=<n>` draws the same
//! ones again.

use std::net::SocketAddr;
use std::time::Duration;

use perdura_testkit::{Cluster, Node, NodeSpec};

use crate::bit_flips::{Dice, number};
use crate::catch_up::{wait_for_cut, write};
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

/// Nodes take checkpoints and cut their logs all the time, and one that is away for a second is sent a checkpoint when it comes back:
/// kills fall into the writing, publishing, cutting, sending, fetching and adopting of them.
#[test]
fn members_killed_at_random_moments() {
    let spec = perdura()
        .flag("segment-bytes", "64kb")
        .flag("checkpoint-log-bytes", "20kb")
        .flag("log-keep-bytes", 0)
        .flag("catch-up-bytes-per-second", "1mb");
    let mut cluster = Cluster::start_with(spec);
    let addrs: Vec<SocketAddr> = cluster.nodes.iter().map(Node::addr).collect();
    let mut dice = Dice::told("kills of members", "KILLS_SEED");
    let (mut ledgers, mut fetched) = (ledgers(), 0);
    for round in 0..number("KILLS").unwrap_or(8) {
        let load = Load::start(&addrs, ledgers);
        let victim = dice.below(3);
        // The moment is what this is about: nothing is waited for.
        std::thread::sleep(Duration::from_millis(dice.below(600) as u64));
        cluster.nodes[victim].kill();
        if round % 2 == 0 {
            let primary = cluster.primary();
            let index = cluster.client(primary).info_number("perdura_committed_index");
            write(&cluster.nodes[primary], 0..600);
            if round == 0 {
                // What it lacks is in no log any more when it is back. Later on a log may stay for a minute behind what was lent.
                wait_for_cut(&cluster.nodes[primary], index);
            }
        }
        // It, or whoever helps it, dies again on the way back.
        cluster.nodes[victim].spawn();
        std::thread::sleep(Duration::from_millis(dice.below(700) as u64));
        let second = if dice.below(3) == 0 { (victim + 1) % 3 } else { victim };
        cluster.nodes[second].kill();
        cluster.nodes[second].spawn();
        cluster.nodes.iter_mut().for_each(Node::wait_until_it_answers);
        ledgers = ledgers_of(load.stop());
        let digest = cluster.agreed_digest();
        let primary = cluster.primary();
        check_new(&cluster.nodes[primary], &mut ledgers);
        fetched = cluster.nodes.iter().map(fetched_by).sum();
        println!(
            "round {round}: nodes {victim} and {second}, {} writes, {fetched} checkpoints fetched, {digest}",
            acknowledged(&ledgers)
        );
    }
    for node in &mut cluster.nodes {
        check_all(node, &mut ledgers);
    }
    assert!(fetched > 0, "nobody was ever sent a checkpoint");
}

/// The number of checkpoints of other nodes that a member adopted: while it ran, or at its next start if it was killed once one had come.
fn fetched_by(node: &Node) -> usize {
    let told = ["loading a checkpoint of another node", "behind a checkpoint that came from another node"];
    told.iter().map(|told| node.log().matches(told).count()).sum()
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
