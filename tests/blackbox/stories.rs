//! What one connection sees, family by family: told to one node, to a replica of three, and in both protocols.

use perdura_testkit::{Client, Cluster, story};

use crate::perdura;

const STORIES: [(&str, &str); 9] = [
    ("strings", include_str!("stories/strings.story")),
    ("keys", include_str!("stories/keys.story")),
    ("hashes", include_str!("stories/hashes.story")),
    ("lists", include_str!("stories/lists.story")),
    ("sets", include_str!("stories/sets.story")),
    ("sorted-sets", include_str!("stories/sorted-sets.story")),
    ("transactions", include_str!("stories/transactions.story")),
    ("server", include_str!("stories/server.story")),
    ("answers", include_str!("stories/answers.story")),
];

const RESP3: &str = include_str!("stories/resp3.story");

fn story_of(name: &str) -> &'static str {
    STORIES.iter().find(|(known, _)| *known == name).expect("a story of that name").1
}

fn tell_one_node(name: &str) {
    let node = perdura().start();
    story::tell(name, story_of(name), &mut node.client());
}

#[test]
fn strings() {
    tell_one_node("strings");
}

#[test]
fn keys() {
    tell_one_node("keys");
}

#[test]
fn answers_are_those_of_redis() {
    tell_one_node("answers");
}

#[test]
fn hashes() {
    tell_one_node("hashes");
}

#[test]
fn lists() {
    tell_one_node("lists");
}

#[test]
fn sets() {
    tell_one_node("sets");
}

#[test]
fn sorted_sets() {
    tell_one_node("sorted-sets");
}

#[test]
fn transactions() {
    tell_one_node("transactions");
}

#[test]
fn server() {
    tell_one_node("server");
}

#[test]
fn resp3() {
    let node = perdura().start();
    let mut client = node.client();
    client.hello3();
    story::tell("resp3", RESP3, &mut client);
}

/// Any client may connect to any node: a replica answers as if it were the primary.
#[test]
fn every_story_through_a_replica() {
    let cluster = Cluster::start_with(perdura());
    let replica = cluster.replica();
    for (name, story) in STORIES {
        story::tell(&format!("{name} through a replica"), story, &mut fresh_client(&cluster, replica));
    }
    let mut client = fresh_client(&cluster, replica);
    client.hello3();
    story::tell("resp3 through a replica", RESP3, &mut client);
    cluster.agreed_digest();
}

fn fresh_client(cluster: &Cluster, at: usize) -> Client {
    let mut client = cluster.client(at);
    client.check("FLUSHALL", "+OK");
    client
}
