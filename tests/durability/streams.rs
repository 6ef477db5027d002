//! A stream with a group of consumers, while primaries are killed: no entry that was acknowledged is lost, each is delivered until a
//! consumer has acknowledged it, and no two consumers are told that they did.
//!
//! `STREAM_KILLS=30 cargo test --test durability streams:: -- --nocapture` is the long form.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node, Reply};

use crate::perdura;

const PRODUCERS: usize = 2;
const CONSUMERS: usize = 3;
/// How long producers and consumers work before each kill.
const WORK: Duration = Duration::from_millis(700);
/// A client gives up a command that is not answered by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// Commands on a connection to one node after another.
struct Caller {
    addrs: Vec<SocketAddr>,
    at: usize,
    client: Option<Client>,
}

impl Caller {
    fn new(addrs: &[SocketAddr], at: usize) -> Caller {
        Caller { addrs: addrs.to_vec(), at, client: None }
    }

    /// The reply if it is no error; else the next command goes to the next node.
    fn call(&mut self, line: &str) -> Option<Reply> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        if self.client.is_none() {
            self.at = (self.at + 1) % self.addrs.len();
            self.client = Client::try_connect(self.addrs[self.at]).ok();
            self.client.iter_mut().for_each(|client| client.set_limit(PATIENCE));
        }
        let reply = self.client.as_mut()?.try_call(&args).ok().filter(|reply| !reply.is_error());
        if reply.is_none() {
            self.client = None;
        }
        reply
    }
}

/// Adds jobs until told to stop; returns those that were acknowledged. Each try is another job.
fn produce(addrs: &[SocketAddr], number: usize, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    let (mut caller, stop) = (Caller::new(addrs, number), stop.clone());
    thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for job in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let job = format!("{number}:{job}");
            if caller.call(&format!("XADD jobs * job {job}")).is_some() {
                acknowledged.push(job);
            }
        }
        acknowledged
    })
}

/// What a consumer has acknowledged: what it knows, and what it does not know.
#[derive(Default)]
struct Acknowledged {
    sure: BTreeSet<String>,
    in_doubt: BTreeSet<String>,
}

/// Reads and acknowledges until told to stop; takes over what others leave.
fn consume(addrs: &[SocketAddr], number: usize, stop: &Arc<AtomicBool>) -> JoinHandle<Acknowledged> {
    let (mut caller, stop) = (Caller::new(addrs, number), stop.clone());
    thread::spawn(move || {
        let mut acknowledged = Acknowledged::default();
        let read = format!("XREADGROUP GROUP g c{number} COUNT 10 BLOCK 100 STREAMS jobs >");
        let claim = format!("XAUTOCLAIM jobs g c{number} 500 0 COUNT 10");
        for round in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let claims = round % 5 == 4;
            let reply = caller.call(if claims { &claim } else { &read });
            for id in reply.map_or_else(Vec::new, |reply| delivered(&reply, claims)) {
                match caller.call(&format!("XACK jobs g {id}")) {
                    Some(count) if count.integer() == 1 => drop(acknowledged.sure.insert(id)),
                    Some(_) => {}
                    None => drop(acknowledged.in_doubt.insert(id)),
                }
            }
        }
        acknowledged
    })
}

/// The ids that a consumer got.
fn delivered(reply: &Reply, claims: bool) -> Vec<String> {
    if reply.to_string() == "nil" {
        return Vec::new();
    }
    let entries = if claims { &reply.items()[1] } else { &reply.items()[0].items()[1] };
    entries.items().iter().map(|entry| entry.items()[0].text()).collect()
}

fn is_drained(client: &mut Client) -> bool {
    let groups = client.run("XINFO GROUPS jobs");
    !groups.is_error() && {
        let group = groups.items()[0].to_string();
        group.contains("pending :0 ") && group.contains("lag :0]")
    }
}

#[test]
fn no_entry_is_lost_and_none_is_acknowledged_by_two_consumers() {
    let kills = std::env::var("STREAM_KILLS").ok().map_or(2, |text| text.parse().expect("a number"));
    let mut cluster = Cluster::start_with(perdura().flag("checkpoint-log-bytes", "200kb"));
    let addrs: Vec<SocketAddr> = cluster.nodes.iter().map(Node::addr).collect();
    cluster.client(0).check("XGROUP CREATE jobs g 0 MKSTREAM", "+OK");
    let (no_more, end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let producers: Vec<_> = (0..PRODUCERS).map(|number| produce(&addrs, number, &no_more)).collect();
    let consumers: Vec<_> = (0..CONSUMERS).map(|number| consume(&addrs, number, &end)).collect();
    for _ in 0..kills {
        thread::sleep(WORK);
        let primary = cluster.primary();
        cluster.nodes[primary].kill();
        cluster.nodes[primary].restart();
    }
    thread::sleep(WORK);
    no_more.store(true, Ordering::Relaxed);
    let jobs: Vec<String> =
        producers.into_iter().flat_map(|producer| producer.join().expect("it ends")).collect();
    let mut client = cluster.client(cluster.primary());
    wait_for("all is acknowledged", Duration::from_secs(30), || is_drained(&mut client).then_some(()));
    end.store(true, Ordering::Relaxed);
    let consumers: Vec<Acknowledged> =
        consumers.into_iter().map(|consumer| consumer.join().expect("it ends")).collect();
    check(&mut client, &jobs, &consumers);
    cluster.agreed_digest();
}

fn check(client: &mut Client, jobs: &[String], consumers: &[Acknowledged]) {
    let stream = client.run("XRANGE jobs - +");
    let entry = |entry: &Reply| (entry.items()[1].items()[1].text(), entry.items()[0].text());
    let there: BTreeMap<String, String> = stream.items().iter().map(entry).collect();
    println!("{} jobs were acknowledged, {} are there", jobs.len(), there.len());
    assert!(jobs.len() > 50, "only {} jobs were added", jobs.len());
    assert_eq!(there.len(), stream.items().len(), "a job is there twice");
    let lost: Vec<&String> = jobs.iter().filter(|job| !there.contains_key(*job)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let mut sure = BTreeSet::new();
    for id in consumers.iter().flat_map(|consumer| &consumer.sure) {
        assert!(sure.insert(id), "{id} was acknowledged by two consumers");
    }
    let in_doubt: BTreeSet<&String> = consumers.iter().flat_map(|consumer| &consumer.in_doubt).collect();
    let missed: Vec<&String> =
        there.values().filter(|id| !sure.contains(id) && !in_doubt.contains(id)).collect();
    assert!(missed.is_empty(), "nobody was told to have acknowledged: {missed:?}");
}
