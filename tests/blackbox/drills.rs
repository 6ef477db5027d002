//! An operator's drills, as docs/operations.md describes them: a wrong clock, a slow disk, a member that moves, a program that is replaced.

use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Preload, free_port};

use crate::log::said;
use crate::look::{addr, run, status_with_code};
use crate::perdura;

const LIMIT: Duration = Duration::from_secs(30);

/// A group whose members have machines of their own.
fn group_on(machines: &[Preload]) -> Cluster {
    Cluster::start_each(&perdura(), |at, spec| machines[at].under(spec))
}

fn machines() -> Vec<Preload> {
    (0..3).map(|_| Preload::build()).collect()
}

fn addrs(group: &Cluster) -> Vec<String> {
    group.nodes.iter().map(addr).collect()
}

/// Waits until the status warns so.
fn warned(addrs: &[String], warning: &str) {
    let flags = addrs.iter().flat_map(|addr| ["--addr", addr]);
    let args: Vec<&str> = std::iter::once("status").chain(flags).collect();
    wait_for(warning, LIMIT, || {
        let (text, code) = said(&run(&args));
        (code == Some(1) && text.contains(warning)).then_some(())
    });
}

/// Lets this member lead.
fn hand_over(group: &Cluster, to: usize) {
    let (from, id) = (addr(&group.nodes[group.primary()]), (to + 1).to_string());
    wait_for("the successor has taken over", LIMIT, || {
        run(&["handover", "--addr", &from, "--to", &id]).status.success().then_some(())
    });
    assert_eq!(group.primary(), to);
}

/// "A clock is wrong": that of the primary leaps ahead by two hours; it is restarted with it, and later set right.
#[test]
fn wrong_clock_moves_no_deadline_and_its_node_leads_last() {
    let machines = machines();
    let mut group = group_on(&machines);
    let (off, addrs) = (group.primary(), addrs(&group));
    let mut client = group.client(off);
    client.check("SET long v EX 3600", "+OK");
    status_with_code(&addrs, 0);
    machines[off].set_clock_off(7200);
    let warning = format!("WARNING node {}: its calendar is 7", off + 1);
    warned(&addrs, &warning);
    assert!(group.nodes[off].log().contains("this node's calendar is not that of the others"));
    assert!(client.info_number("perdura_clock_ahead_ms") > 7_000_000);
    let left_ms = client.run("PTTL long").integer();
    assert!((3_400_000..=3_600_000).contains(&left_ms), "{left_ms}");
    client.check("SET brief v PX 300", "+OK");
    wait_for("a deadline comes", LIMIT, || (client.run("GET brief").to_string() == "nil").then_some(()));

    assert!(group.nodes[off].terminate().success());
    group.nodes[off].restart();
    let next = wait_for("another leads", LIMIT, || Some(group.primary()).filter(|at| *at != off));
    warned(&addrs, &warning);
    group.nodes[next].kill();
    let last = 3 - off - next;
    assert_eq!(group.primary(), last, "a node whose clock is right");
    group.client(last).check("GET long", "v");

    group.nodes[next].restart();
    machines[off].set_clock_off(0);
    status_with_code(&addrs, 0);
    assert!(group.nodes[off].log().contains("this node's calendar is that of the others again"));
    group.client(off).check("GET long", "v");
}

/// "Find the slow disk".
#[test]
fn slow_disk_is_named_and_its_node_does_not_keep_the_lead() {
    let machines = machines();
    let group = group_on(&machines);
    let (primary, slow) = (group.primary(), group.replica());
    let addrs = addrs(&group);
    let mut client = group.client(primary);
    client.check("SET k v", "+OK");
    status_with_code(&addrs, 0);
    machines[slow].set_write_delay(700);
    (1..=4).for_each(|count| client.check("INCR writes", &format!(":{count}")));
    warned(&addrs[..1], &format!("WARNING node {}: the log's last writes took up to ", slow + 1));
    machines[slow].set_write_delay(0);
    wait_for("its disk is quick again", LIMIT, || {
        client.run("INCR writes");
        run(&["status", "--addr", &addrs[0]]).status.success().then_some(())
    });

    machines[primary].set_write_delay(2500);
    wait_for("another leads", LIMIT, || {
        // While the lead changes it may be refused.
        let _ = group.nodes[primary].try_admin().ok()?.try_call(&[b"INCR", b"writes"]);
        (group.primary() != primary).then_some(())
    });
}

/// "Move an address": writes are taken at every moment but those in which another member becomes the primary.
#[test]
fn member_moves_to_another_address_and_writes_go_on() {
    let mut group = Cluster::start_with(perdura());
    let (primary, moving) = (group.primary(), group.replica());
    let other = 3 - primary - moving;
    group.client(primary).check("SET before v", "+OK");
    let digest = group.agreed_digest();
    let old = group.nodes[moving].flag("peer-addr").expect("it has peers").to_owned();
    let new = format!("127.0.0.1:{}", free_port());
    let members = group.nodes[moving].flag("initial-cluster").expect("it has peers").replace(&old, &new);
    group.nodes.iter_mut().for_each(|node| node.set_flag("initial-cluster", &members));
    group.nodes[moving].set_flag("peer-addr", &new);
    for at in [other, moving] {
        assert!(group.nodes[at].terminate().success());
        group.client(primary).check("INCR step", &format!(":{}", if at == other { 1 } else { 2 }));
        group.nodes[at].restart();
    }
    hand_over(&group, other);
    assert!(group.nodes[primary].terminate().success());
    group.client(other).check("INCR step", ":3");
    group.nodes[primary].restart();
    status_with_code(&addrs(&group), 0);
    group.client(other).check("DEL step", ":1");
    assert_eq!(group.agreed_digest(), digest);
    hand_over(&group, moving);
}

/// "Upgrade": the replicas first, then the lead goes to one of them, then the last.
#[test]
fn program_is_replaced_on_one_node_after_the_other() {
    let mut group = Cluster::start_with(perdura());
    let (primary, first) = (group.primary(), group.replica());
    let second = 3 - primary - first;
    let addrs = addrs(&group);
    for (step, at) in [first, second].into_iter().enumerate() {
        assert!(group.nodes[at].terminate().success());
        group.client(primary).check("INCR step", &format!(":{}", step + 1));
        group.nodes[at].restart();
        status_with_code(&addrs, 0);
    }
    hand_over(&group, first);
    assert!(group.nodes[primary].terminate().success());
    group.client(first).check("INCR step", ":3");
    group.nodes[primary].restart();
    status_with_code(&addrs, 0);
    group.agreed_digest();
}
