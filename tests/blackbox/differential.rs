//! The same random commands to Perdura and to redis-server, a family at a time: replies must be equal, but where docs/compatibility.md names
//! a difference, whose commands are not drawn or are compared without it.
//!
//! `DIFFERENTIAL_COMMANDS=200000 cargo test --test blackbox differential` is the long form; `DIFFERENTIAL_SEED=<n>` draws others.
//! redis-server must be installed (`./test` does that), and be 7.0: Debian 12's.

use perdura_testkit::client::encode;
use perdura_testkit::{Client, Reply};

use crate::dump::{Redis, has_reference};
use crate::perdura;

mod bits;
mod geo;
mod grammar;
mod hashes;
mod hyperloglog;
mod keys;
mod lists;
mod sets;
mod sorted_sets;
mod streams;
mod strings;

/// Commands of a family where nothing else is said.
const COMMANDS: usize = 3_000;
/// Commands that are sent before their replies are read.
const BATCH: usize = 50;
/// Data is thrown away after so many.
const ROUND: usize = 2_000;

type Line = Vec<Vec<u8>>;

/// Draws what commands are made of.
struct Draw(u64);

impl Draw {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn within(&mut self, range: std::ops::Range<i64>) -> i64 {
        range.start + self.below((range.end - range.start) as u64) as i64
    }

    fn one_of<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.below(words.len() as u64) as usize]
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    /// A number between both.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (self.next() >> 11) as f64 / (1_u64 << 53) as f64 * (high - low)
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.next() as u8).collect()
    }
}

/// The words of a line, between spaces.
fn words(line: &str) -> Line {
    line.split(' ').filter(|word| !word.is_empty()).map(|word| word.as_bytes().to_vec()).collect()
}

/// A family: what draws its commands, and whether two replies say the same.
struct Family {
    name: &'static str,
    draw: fn(&mut Draw) -> Line,
    is_same: fn(&Line, ours: &Reply, theirs: &Reply) -> bool,
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not {text}")))
}

fn send(client: &mut Client, lines: &[Line]) {
    let encoded = lines.iter().flat_map(|line| {
        let args: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        encode(&args)
    });
    client.send_bytes(&encoded.collect::<Vec<u8>>());
}

fn shown(line: &Line) -> String {
    let shown: Vec<String> = line.iter().map(|word| word.escape_ascii().to_string()).collect();
    shown.join(" ")
}

/// The last commands before a line that name one of its keys.
fn about_the_same<'l>(line: &Line, before: impl DoubleEndedIterator<Item = &'l Line>) -> String {
    let is_about = |other: &&Line| other[1..].iter().any(|word| word.len() > 1 && line[1..].contains(word));
    let mut last: Vec<String> = before.rev().filter(is_about).take(12).map(shown).collect();
    last.reverse();
    last.iter().map(|line| format!("\n  {line}")).collect()
}

fn compare(family: &Family) {
    if !has_reference() {
        return;
    }
    let seed = setting("DIFFERENTIAL_SEED").unwrap_or(1);
    let count = setting("DIFFERENTIAL_COMMANDS").map_or(COMMANDS, |count| count as usize);
    let (redis, node) = (Redis::start(&[]), perdura().start());
    let (mut theirs, mut ours) = (redis.client(), node.client());
    let mut draw = Draw(seed);
    let (mut sent, mut refused, mut since_empty) = (0, 0, Vec::new());
    while sent < count {
        let mut lines: Vec<Line> = (0..BATCH).map(|_| (family.draw)(&mut draw)).collect();
        if sent % ROUND < BATCH {
            lines[0] = words("FLUSHALL");
            since_empty.clear();
        }
        send(&mut theirs, &lines);
        send(&mut ours, &lines);
        for (place, line) in lines.iter().enumerate() {
            let (their, our) = (theirs.read(), ours.read());
            refused += usize::from(their.is_error());
            assert!(
                (family.is_same)(line, &our, &their),
                "{}, seed {seed}, command {}: {}\n ours: {our}\n Redis: {their}\n before it:{}",
                family.name,
                sent + place,
                shown(line),
                about_the_same(line, since_empty.iter().chain(&lines[..place]))
            );
        }
        since_empty.extend(lines);
        sent += BATCH;
    }
    println!("{}: {sent} commands, {refused} refused by both", family.name);
    assert!(refused < sent / 2, "too few commands do anything: {refused} of {sent} are refused");
}

/// The elements of a reply in an order of their own, for where Redis names none.
fn sorted(reply: &Reply) -> Vec<String> {
    let Reply::Array(items) = reply else { return vec![reply.to_string()] };
    let mut shown: Vec<String> = items.iter().map(Reply::to_string).collect();
    shown.sort_unstable();
    shown
}

/// As [`sorted`], two elements at a time.
fn sorted_pairs(reply: &Reply) -> Vec<String> {
    let Reply::Array(items) = reply else { return vec![reply.to_string()] };
    let pair = |pair: &[Reply]| pair.iter().map(Reply::to_string).collect::<Vec<_>>().join(" ");
    let mut shown: Vec<String> = items.chunks(2).map(pair).collect();
    shown.sort_unstable();
    shown
}

/// Whether two pages of a scan hold the same elements, in this order of their own; their cursors differ.
fn is_same_page(ours: &Reply, theirs: &Reply, order: fn(&Reply) -> Vec<String>) -> bool {
    match (ours, theirs) {
        (Reply::Array(our), Reply::Array(their)) => order(&our[1]) == order(&their[1]),
        _ => ours == theirs,
    }
}

#[test]
fn strings() {
    compare(&strings::FAMILY);
}

#[test]
fn lists() {
    compare(&lists::FAMILY);
}

#[test]
fn sets() {
    compare(&sets::FAMILY);
}

#[test]
fn hashes() {
    compare(&hashes::FAMILY);
}

#[test]
fn sorted_sets() {
    compare(&sorted_sets::FAMILY);
}

#[test]
fn streams() {
    compare(&streams::FAMILY);
}

#[test]
fn keys_of_all_types() {
    compare(&keys::FAMILY);
}

#[test]
fn bitmaps() {
    compare(&bits::FAMILY);
}

#[test]
fn hyperloglogs() {
    compare(&hyperloglog::FAMILY);
}

#[test]
fn geo_indexes() {
    compare(&geo::FAMILY);
}
