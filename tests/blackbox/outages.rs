//! The primary is gone for a while: what clients of the other nodes notice of it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use perdura_testkit::clock::{Stopwatch, wait_for};
use perdura_testkit::{Client, Cluster, NodeSpec, Signal};

use crate::perdura;

/// What a client waits at most for another primary: an election, and what this machine's load adds.
const FAILOVER_LIMIT: Duration = Duration::from_secs(6);

/// How long clients need at most to continue, however slow the machine is.
const LONG: Duration = Duration::from_secs(60);

/// A group whose nodes refuse at once what they can't send to a primary.
fn impatient() -> NodeSpec {
    perdura().flag("hold-without-primary-ms", 0)
}

/// Two nodes that are not the primary, the primary first.
fn places(cluster: &Cluster) -> [usize; 3] {
    let primary = cluster.primary();
    [primary, (primary + 1) % 3, (primary + 2) % 3]
}

#[track_caller]
fn assert_quick(watch: Stopwatch, limit: Duration) {
    assert!(watch.elapsed() < limit, "it took {:?}", watch.elapsed());
}

#[test]
fn clients_of_replicas_are_served_by_the_next_primary_and_see_no_error() {
    let mut cluster = Cluster::start_with(perdura().flag("hold-without-primary-ms", 10_000));
    let [primary, one, other] = places(&cluster);
    let (mut known, mut new) = (cluster.client(one), cluster.client(other));
    known.check("SET k before", "+OK");
    cluster.nodes[primary].kill();
    let watch = Stopwatch::start();
    known.check("SET k after", "+OK");
    new.check("GET k", "after");
    for line in ["MULTI", "INCR n", "EXEC"] {
        assert!(!new.run(line).is_error(), "{line}");
    }
    assert_quick(watch, FAILOVER_LIMIT);
}

#[test]
fn reads_on_their_way_to_a_frozen_primary_are_answered_by_the_next() {
    let cluster = Cluster::start_with(perdura().flag("hold-without-primary-ms", 10_000));
    let [primary, one, _] = places(&cluster);
    let mut client = cluster.client(one);
    client.check("SET k v", "+OK");
    cluster.nodes[primary].signal(Signal::STOP);
    let watch = Stopwatch::start();
    (0..3).for_each(|_| client.send_line("GET k"));
    (0..3).for_each(|_| client.expect("v"));
    assert_quick(watch, FAILOVER_LIMIT);
    cluster.nodes[primary].signal(Signal::CONT);
}

/// It stood still for six seconds.
#[test]
fn a_write_on_its_way_to_a_frozen_primary_ends_its_connection_once_another_leads() {
    let cluster = Cluster::start_with(perdura());
    let [primary, one, _] = places(&cluster);
    let mut client = cluster.client(one);
    client.check("SET k before", "+OK");
    cluster.nodes[primary].signal(Signal::STOP);
    let watch = Stopwatch::start();
    client.send_line("SET k after");
    assert_eq!(client.read_to_end(), b"");
    let next = wait_for("the other two have a primary", FAILOVER_LIMIT, || leader_but(&cluster, primary));
    assert_quick(watch, Duration::from_secs(4));
    cluster.client(next).check("SET k again", "+OK");
    cluster.nodes[primary].signal(Signal::CONT);
    assert_eq!(cluster.client(one).run("GET k").text(), "again");
}

/// A frozen node takes connections, and answers none.
fn leader_but(cluster: &Cluster, frozen: usize) -> Option<usize> {
    (0..3).filter(|at| *at != frozen).find(|at| {
        let role = cluster.client(*at).run("ROLE");
        role.items()[0].text() == "master"
    })
}

#[test]
fn a_blocked_pop_whose_primary_dies_ends_its_connection_and_no_client_library_stumbles() {
    for (on_doubt, answer) in [("close", ""), ("error", "-INDOUBT leadership moved")] {
        let mut cluster = Cluster::start_with(perdura().flag("on-doubt", on_doubt));
        let [primary, one, _] = places(&cluster);
        let mut client = cluster.client(one);
        client.send_line("BLPOP l 0");
        cluster.nodes[primary].wait_for_blocked(1);
        cluster.nodes[primary].kill();
        if answer.is_empty() {
            assert_eq!(client.read_to_end(), b"");
        } else {
            assert!(client.read().to_string().starts_with(answer));
            client.check("SET k v", "+OK");
        }
    }
}

/// Each of them waited for three seconds, and nothing was sent before all had.
#[test]
fn a_pipeline_without_a_primary_waits_once() {
    const REQUESTS: usize = 200;
    const HOLD_MS: u64 = 1500;
    let mut cluster = Cluster::start_with(perdura().flag("hold-without-primary-ms", HOLD_MS));
    let [primary, one, other] = places(&cluster);
    let mut client = cluster.client(one);
    client.check("SET k v", "+OK");
    cluster.nodes[other].kill();
    cluster.nodes[primary].kill();
    let watch = Stopwatch::start();
    (0..REQUESTS).for_each(|n| client.send_line(&format!("SET k{n} v")));
    for _ in 0..REQUESTS {
        let reply = client.read().to_string();
        assert!(reply.starts_with("-CLUSTERDOWN") && reply.ends_with("did not happen"), "{reply}");
    }
    assert_quick(watch, Duration::from_millis(2 * HOLD_MS));
    assert!(watch.elapsed() >= Duration::from_millis(HOLD_MS));
    client.check("PING", "+PONG");
}

#[test]
fn what_can_not_be_sent_is_refused_at_once_where_nothing_is_held() {
    let mut cluster = Cluster::start_with(impatient());
    let [primary, one, other] = places(&cluster);
    let mut client = cluster.client(one);
    cluster.nodes[other].kill();
    cluster.nodes[primary].kill();
    let watch = Stopwatch::start();
    for line in ["SET k v", "BLPOP l 0", "GET k"] {
        let reply = client.run(line).to_string();
        assert!(reply.starts_with("-CLUSTERDOWN"), "{reply}");
    }
    assert_quick(watch, Duration::from_secs(1));
}

/// What was popped and not finished is pushed again, as job queues do.
struct Queue<'a> {
    cluster: &'a Mutex<Cluster>,
    ends: &'a AtomicBool,
}

/// Ends the clients, whatever ends the test.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Queue<'_> {
    fn connect(&self, at: usize) -> io::Result<Client> {
        let addr = self.cluster.lock().expect("the cluster").nodes[at].addr();
        Client::try_connect(addr)
    }

    /// Runs commands until one that `work` sees as the last; a lost connection is made again elsewhere, an error ends the test.
    fn run(&self, mut at: usize, mut work: impl FnMut(&mut Client) -> io::Result<()>) {
        let mut client = None;
        while !self.ends.load(Ordering::Relaxed) {
            let worked = match &mut client {
                Some(client) => work(client),
                None => self.connect(at).map(|new| client = Some(new)),
            };
            if worked.is_err() {
                (client, at) = (None, (at + 1) % 3);
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn call(client: &mut Client, words: &[&str]) -> io::Result<String> {
    let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let reply = client.try_call(&args)?;
    assert!(!reply.is_error(), "{words:?} got {reply}: a worker would end");
    Ok(reply.to_string())
}

/// Celery's and RQ's workers end on an error and live on where a connection is lost. `PRIMARY_KILLS=10` is the long form.
#[test]
fn workers_of_a_queue_live_through_kills_of_the_primary_and_lose_no_job() {
    let kills = std::env::var("PRIMARY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let cluster = Mutex::new(Cluster::start_with(perdura().flag("hold-without-primary-ms", 10_000)));
    let ends = AtomicBool::new(false);
    let queue = Queue { cluster: &cluster, ends: &ends };
    let (pushed, done) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let done_more = |jobs: usize| {
        let wanted = done.lock().expect("jobs").len() + jobs;
        wait_for("more jobs are done", LONG, || (done.lock().expect("jobs").len() >= wanted).then_some(()));
    };
    thread::scope(|scope| {
        let _end = End(&ends);
        for at in 0..3 {
            let (queue, pushed, done) = (&queue, &pushed, &done);
            scope.spawn(move || {
                let mut number = 0;
                queue.run(at, |client| {
                    let job = format!("{at}-{number}");
                    call(client, &["LPUSH", "jobs", &job])?;
                    pushed.lock().expect("jobs").insert(job);
                    number += 1;
                    thread::sleep(Duration::from_millis(5));
                    Ok(())
                });
            });
            scope.spawn(move || {
                queue.run(at, |client| {
                    let working = format!("working-{at}");
                    let job = call(client, &["BLMOVE", "jobs", &working, "RIGHT", "LEFT", "1"])?;
                    if job != "nil" {
                        done.lock().expect("jobs").insert(job.clone());
                        call(client, &["LREM", &working, "0", &job])?;
                    }
                    Ok(())
                });
            });
        }
        for _ in 0..kills {
            done_more(20);
            let primary = cluster.lock().expect("the cluster").primary();
            cluster.lock().expect("the cluster").nodes[primary].kill();
            done_more(20);
            cluster.lock().expect("the cluster").nodes[primary].restart();
        }
        done_more(20);
    });
    let cluster = cluster.into_inner().expect("the cluster");
    let mut client = cluster.client(cluster.primary());
    let lists = ["jobs", "working-0", "working-1", "working-2"];
    let left: BTreeSet<String> = lists
        .iter()
        .flat_map(|list| client.run(&format!("LRANGE {list} 0 -1")).items().to_vec())
        .map(|job| job.text())
        .collect();
    let (pushed, done) = (pushed.into_inner().expect("jobs"), done.into_inner().expect("jobs"));
    let lost: Vec<_> = pushed.iter().filter(|job| !done.contains(*job) && !left.contains(*job)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged jobs are lost: {lost:?}", lost.len(), pushed.len());
}

/// What a client does again and again, with a number that names its keys; false where it is known not to have happened.
type Round = fn(&mut Client, usize) -> io::Result<bool>;

fn increment_in_transaction(client: &mut Client, number: usize) -> io::Result<bool> {
    let (one, other) = (format!("t{number}"), format!("u{number}"));
    call(client, &["MULTI"])?;
    call(client, &["INCR", &one])?;
    call(client, &["INCR", &other])?;
    let exec = call(client, &["EXEC"])?;
    assert!(exec.starts_with("[:"), "{exec}");
    Ok(true)
}

fn increment_watched(client: &mut Client, _: usize) -> io::Result<bool> {
    call(client, &["WATCH", "w"])?;
    let value: i64 = call(client, &["GET", "w"])?.parse().unwrap_or(0);
    call(client, &["MULTI"])?;
    call(client, &["SET", "w", &(value + 1).to_string()])?;
    Ok(call(client, &["EXEC"])? == "[+OK]")
}

fn increment_by_script(client: &mut Client, number: usize) -> io::Result<bool> {
    let script = "return redis.call('INCR', KEYS[1])";
    call(client, &["EVAL", script, "1", &format!("s{number}")])?;
    Ok(true)
}

fn hand_over(cluster: &Cluster) {
    let primary = cluster.primary();
    let to = (primary + 1) % 3;
    wait_for("the successor leads", FAILOVER_LIMIT, || {
        let handed = cluster.client(primary).run(&format!("PERDURA HANDOVER {}", to + 1));
        (!handed.is_error()).then_some(())
    });
}

/// EXEC was answered TRYAGAIN, and so was any write on the primary itself: RQ's workers ended.
#[test]
fn transactions_and_scripts_on_any_node_get_no_error_at_a_handover() {
    const HANDOVERS: usize = 6;
    let cluster = Mutex::new(Cluster::start_with(perdura().flag("hold-without-primary-ms", 10_000)));
    let ends = AtomicBool::new(false);
    let queue = Queue { cluster: &cluster, ends: &ends };
    let rounds: [Round; 3] = [increment_in_transaction, increment_by_script, increment_watched];
    let answered: Vec<AtomicUsize> = (0..3 * rounds.len()).map(|_| AtomicUsize::new(0)).collect();
    // How many rounds were acknowledged, and how many may have happened.
    let work = |place: usize| {
        let (at, round) = (place / rounds.len(), rounds[place % rounds.len()]);
        let (mut acknowledged, mut begun) = (0, 0);
        queue.run(at, |client| {
            begun += 1;
            let happened = round(client, at)?;
            answered[place].fetch_add(1, Ordering::Relaxed);
            acknowledged += i64::from(happened);
            begun -= i64::from(!happened);
            Ok(())
        });
        acknowledged..=begun
    };
    let all_go_on = || {
        let before: Vec<usize> = answered.iter().map(|rounds| rounds.load(Ordering::Relaxed)).collect();
        let is_further = |(rounds, before): (&AtomicUsize, &usize)| rounds.load(Ordering::Relaxed) > *before;
        wait_for("every client goes on", LONG, || answered.iter().zip(&before).all(is_further).then_some(()));
    };
    let counted: Vec<_> = thread::scope(|scope| {
        let end = End(&ends);
        let work = &work;
        let places = 0..answered.len();
        let threads: Vec<_> = places.map(|place| scope.spawn(move || work(place))).collect();
        for _ in 0..HANDOVERS {
            all_go_on();
            hand_over(&cluster.lock().expect("the cluster"));
        }
        drop(end);
        threads.into_iter().map(|thread| thread.join().expect("a client")).collect()
    });
    let cluster = cluster.into_inner().expect("the cluster");
    let mut client = cluster.client(cluster.primary());
    let mut value = |key: &str| client.run(&format!("GET {key}")).text().parse::<i64>().expect("a number");
    let (mut least_watched, mut most_watched) = (0, 0);
    for (at, counted) in counted.chunks(rounds.len()).enumerate() {
        let happened = value(&format!("t{at}"));
        assert!(counted[0].contains(&happened), "{happened} transactions, {:?}", counted[0]);
        assert_eq!(value(&format!("u{at}")), happened, "whole or not at all");
        let happened = value(&format!("s{at}"));
        assert!(counted[1].contains(&happened), "{happened} scripts, {:?}", counted[1]);
        (least_watched, most_watched) = (least_watched + counted[2].start(), most_watched + counted[2].end());
    }
    assert!((least_watched..=most_watched).contains(&value("w")));
    assert!(least_watched > 0);
}

#[test]
fn a_blocked_pop_on_a_replica_waits_at_the_next_primary() {
    let cluster = Cluster::start_with(perdura());
    let [primary, next, other] = places(&cluster);
    let mut client = cluster.client(other);
    client.send_line("BLPOP l 0");
    cluster.nodes[primary].wait_for_blocked(1);
    hand_over(&cluster);
    cluster.nodes[next].wait_for_blocked(1);
    cluster.client(next).check("RPUSH l x", ":1");
    client.expect("[l x]");
}
