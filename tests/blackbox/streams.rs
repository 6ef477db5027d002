//! Streams: who waits for entries and how that ends, groups over restarts and failovers, and answers compared with redis-server's.
//!
//! `STREAM_COMMANDS=200000 cargo test --test blackbox streams::` compares more; `STREAM_SEED=<n>` draws others. redis-server must be
//! installed (`./test` does that).

use std::time::Duration;

use perdura_testkit::clock::{Stopwatch, wait_for};
use perdura_testkit::{Client, Cluster, Node, Reply};

use crate::dump::{Redis, has_reference};
use crate::perdura;

/// Sends `line` and waits until `blocked` clients wait in all.
fn block(node: &Node, line: &str, blocked: usize) -> Client {
    let mut client = node.client();
    client.send_line(line);
    node.wait_for_blocked(blocked);
    client
}

/// The index of the last entry that was applied, once that rests.
fn applied(client: &mut Client) -> u64 {
    let mut index = client.info_number("perdura_applied_index");
    loop {
        assert!(client.is_silent_for(Duration::from_millis(120)));
        let next = client.info_number("perdura_applied_index");
        if next == index {
            return index;
        }
        index = next;
    }
}

#[test]
fn all_who_wait_in_xread_get_the_entry_and_nothing_is_logged_for_them() {
    let node = perdura().start();
    let mut writer = node.client();
    writer.check("XADD s 1-1 f old", "1-1");
    let before = applied(&mut writer);
    let lines = [
        "XREAD BLOCK 0 STREAMS s $",
        "XREAD BLOCK 60000 STREAMS none s 0 1-1",
        "XREAD COUNT 1 BLOCK 0 STREAMS s 1-1",
    ];
    let mut readers: Vec<Client> =
        lines.iter().enumerate().map(|(number, line)| block(&node, line, number + 1)).collect();
    assert_eq!(applied(&mut writer), before);
    for line in ["XADD other 1-1 f v", "XTRIM s MAXLEN 0", "EXPIRE s 1000"] {
        assert!(!writer.run(line).is_error());
    }
    assert!(readers[0].is_silent_for(Duration::from_millis(50)));
    writer.check("XADD s 1-2 f new", "1-2");
    readers.iter_mut().for_each(|reader| reader.expect("[[s [[1-2 [f new]]]]]"));
    node.wait_for_blocked(0);
    let mut at_once = node.client();
    at_once.check("XREAD BLOCK 0 STREAMS s 1-1", "[[s [[1-2 [f new]]]]]");
    at_once.check("XREAD BLOCK 0 STREAMS s +", "[[s [[1-2 [f new]]]]]");
}

#[test]
fn waiting_in_xread_ends_at_the_timeout_by_unblock_and_with_the_connection() {
    let node = perdura().start();
    let watch = Stopwatch::start();
    node.client().check("XREAD BLOCK 200 STREAMS s $", "nil");
    assert!(watch.elapsed() >= Duration::from_millis(195), "{:?}", watch.elapsed());
    let mut operator = node.client();
    for (reason, reply) in [("", "nil"), (" ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK")] {
        let mut reader = node.client();
        let id = reader.run("CLIENT ID").integer();
        reader.send_line("XREAD BLOCK 0 STREAMS s $");
        node.wait_for_blocked(1);
        operator.check(&format!("CLIENT UNBLOCK {id}{reason}"), ":1");
        reader.expect(reply);
        node.wait_for_blocked(0);
    }
    drop(block(&node, "XREAD BLOCK 0 STREAMS s $", 1));
    node.wait_for_blocked(0);
    operator.check("MULTI", "+OK");
    operator.check("XREAD BLOCK 0 STREAMS s $", "+QUEUED");
    operator.check("EXEC", "[nil]");
}

/// An entry that comes by another way than XADD, and one that a transaction takes back.
#[test]
fn readers_are_woken_by_whatever_makes_their_stream_longer() {
    let node = perdura().start();
    let mut writer = node.client();
    for (db, line, key, wake) in [
        (0, "XREAD BLOCK 0 STREAMS to 0", "to", "RENAME from to"),
        (0, "XREAD BLOCK 0 STREAMS to 0", "to", "COPY from to"),
        (1, "XREAD BLOCK 0 STREAMS from $", "from", "MOVE from 1"),
        (1, "XREAD BLOCK 0 STREAMS from $", "from", "SWAPDB 0 1"),
    ] {
        writer.check("FLUSHALL", "+OK");
        writer.check("XADD from 5-5 f v", "5-5");
        let mut reader = node.client();
        reader.check(&format!("SELECT {db}"), "+OK");
        reader.send_line(line);
        node.wait_for_blocked(1);
        assert!(!writer.run(wake).is_error());
        reader.expect(&format!("[[{key} [[5-5 [f v]]]]]"));
        node.wait_for_blocked(0);
    }
    let mut reader = block(&node, "XREAD BLOCK 0 STREAMS t $", 1);
    for line in ["MULTI", "XADD t 1-1 f v", "XDEL t 1-1", "EXEC"] {
        assert!(!writer.run(line).is_error());
    }
    assert!(reader.is_silent_for(Duration::from_millis(50)));
    writer.check("XADD t 1-2 f w", "1-2");
    reader.expect("[[t [[1-2 [f w]]]]]");
}

#[test]
fn an_entry_goes_to_one_consumer_of_each_group_first_come_first() {
    let node = perdura().start();
    let mut writer = node.client();
    for group in ["g", "h"] {
        writer.check(&format!("XGROUP CREATE s {group} $ MKSTREAM"), "+OK");
    }
    let mut first = block(&node, "XREADGROUP GROUP g ada BLOCK 0 STREAMS s >", 1);
    let mut second = block(&node, "XREADGROUP GROUP g bob BLOCK 0 STREAMS s >", 2);
    let mut other = block(&node, "XREADGROUP GROUP h eve BLOCK 0 STREAMS s >", 3);
    writer.check("XADD s 1-1 f v", "1-1");
    first.expect("[[s [[1-1 [f v]]]]]");
    other.expect("[[s [[1-1 [f v]]]]]");
    node.wait_for_blocked(1);
    writer.check("XADD s 1-2 f w", "1-2");
    second.expect("[[s [[1-2 [f w]]]]]");
    node.wait_for_blocked(0);
    writer.check("XPENDING s g", "[:2 1-1 1-2 [[ada 1] [bob 1]]]");
    // Nothing is logged while they wait, and what they do not get makes nobody ready again.
    let _waiting = block(&node, "XREADGROUP GROUP g ada BLOCK 0 STREAMS s >", 1);
    writer.check("XTRIM s MAXLEN 1", ":1");
    let before = applied(&mut writer);
    assert!(first.is_silent_for(Duration::from_millis(150)));
    assert_eq!(applied(&mut writer), before);
}

#[test]
fn many_consumers_share_many_entries() {
    const CONSUMERS: usize = 150;
    let node = perdura().start();
    let mut writer = node.client();
    writer.check("XGROUP CREATE s g $ MKSTREAM", "+OK");
    let line = |number| format!("XREADGROUP GROUP g c{number} COUNT 1 BLOCK 0 STREAMS s >");
    let mut consumers: Vec<Client> =
        (0..CONSUMERS).map(|number| block(&node, &line(number), number + 1)).collect();
    writer.send_line("MULTI");
    (1..=CONSUMERS).for_each(|seq| writer.send_line(&format!("XADD s 1-{seq} f v")));
    writer.send_line("EXEC");
    for (seq, consumer) in (1..).zip(&mut consumers) {
        consumer.expect(&format!("[[s [[1-{seq} [f v]]]]]"));
    }
    node.wait_for_blocked(0);
}

#[test]
fn a_group_or_a_key_that_goes_is_told_to_its_consumers() {
    let node = perdura().start();
    let mut writer = node.client();
    let gone = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for (end, error) in [
        ("XGROUP DESTROY s g", gone),
        ("DEL s", gone),
        ("UNLINK s", gone),
        ("RENAME s t", gone),
        ("FLUSHALL", gone),
        ("SET s text", wrong),
        ("PEXPIRE s 1", gone),
    ] {
        writer.check("FLUSHALL", "+OK");
        writer.check("XGROUP CREATE s g $ MKSTREAM", "+OK");
        let mut consumers =
            [1, 2, 3].map(|n| block(&node, &format!("XREADGROUP GROUP g c{n} BLOCK 0 STREAMS s >"), n));
        let mut reader = block(&node, "XREAD BLOCK 0 STREAMS s $", 4);
        assert!(!writer.run(end).is_error(), "{end}");
        consumers.iter_mut().for_each(|consumer| consumer.expect(error));
        node.wait_for_blocked(1);
        assert!(reader.is_silent_for(Duration::from_millis(20)));
        drop(reader);
        node.wait_for_blocked(0);
    }
    node.client()
        .check("XREADGROUP GROUP g c BLOCK 0 STREAMS none >", gone.replace("'s'", "'none'").as_str());
}

#[test]
fn a_consumer_that_waits_is_there_and_a_transaction_does_not_wait() {
    let node = perdura().start();
    let mut writer = node.client();
    writer.check("XGROUP CREATE s g $ MKSTREAM", "+OK");
    writer.check("XREADGROUP GROUP g ada BLOCK 1 STREAMS s >", "nil");
    writer.check("XGROUP CREATECONSUMER s g ada", ":0");
    for (line, reply) in [
        ("MULTI", "+OK"),
        ("XREADGROUP GROUP g bob BLOCK 0 STREAMS s >", "+QUEUED"),
        ("XADD s 1-1 f v", "+QUEUED"),
        ("XREADGROUP GROUP g bob BLOCK 0 STREAMS s >", "+QUEUED"),
        ("EXEC", "[nil 1-1 [[s [[1-1 [f v]]]]]]"),
    ] {
        writer.check(line, reply);
    }
}

#[test]
fn readers_and_consumers_wait_through_any_node() {
    let cluster = Cluster::start_with(perdura());
    cluster.client(0).check("XGROUP CREATE s g $ MKSTREAM", "+OK");
    for (number, (waits, adds)) in (1..).zip([(0, 1), (1, 2), (2, 0)]) {
        let mut reader = cluster.client(waits);
        reader.check("READONLY", "+OK");
        reader.send_line("XREAD BLOCK 20000 STREAMS s $");
        let mut consumer = cluster.client(waits);
        consumer.send_line("XREADGROUP GROUP g c BLOCK 20000 STREAMS s >");
        cluster.nodes[cluster.primary()].wait_for_blocked(2);
        cluster.client(adds).check(&format!("XADD s {number}-1 f v"), &format!("{number}-1"));
        for client in [&mut reader, &mut consumer] {
            client.expect(&format!("[[s [[{number}-1 [f v]]]]]"));
        }
        cluster.nodes[cluster.primary()].wait_for_blocked(0);
    }
    cluster.agreed_digest();
}

#[test]
fn groups_survive_a_restart_and_are_the_same_on_every_node() {
    let mut cluster = Cluster::start_with(perdura());
    let mut client = cluster.client(0);
    client.check("XGROUP CREATE s g 0 MKSTREAM", "+OK");
    for number in 1..=300 {
        let id = client.run(&format!("XADD s MAXLEN ~ 200 * number {number}")).text();
        assert!(id.contains('-'));
    }
    let read = client.run("XREADGROUP GROUP g ada COUNT 20 STREAMS s >");
    assert_eq!(read.items()[0].items()[1].items().len(), 20);
    let pending = client.run("XPENDING s g").to_string();
    let info = client.run("XINFO GROUPS s").to_string();
    let digest = cluster.agreed_digest();
    for node in &mut cluster.nodes {
        node.kill();
    }
    cluster.nodes.iter_mut().for_each(Node::spawn);
    cluster.nodes.iter_mut().for_each(Node::wait_until_it_answers);
    let mut client = wait_for("a primary", Duration::from_secs(20), || {
        let mut client = cluster.client(0);
        (client.run("XPENDING s g").to_string() == pending).then_some(client)
    });
    client.check("XINFO GROUPS s", &info);
    assert_eq!(cluster.agreed_digest(), digest);
}

/// A pseudorandom sequence.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }

    fn of<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.below(words.len() as u64) as usize]
    }

    fn key(&mut self) -> &'static str {
        self.of(&["s", "s", "s", "s", "t", "t", "none", "text"])
    }

    fn id(&mut self) -> String {
        match self.below(20) {
            0 => self.of(&["0", "-", "+", "$", "x", "(3", "5-", "-1", "1-2-3"]).to_owned(),
            1 => self.below(400).to_string(),
            _ => format!("{}-{}", self.below(400), self.below(4)),
        }
    }

    /// Redis 7.0 does not know `+` where entries are read.
    fn read_id(&mut self) -> String {
        Some(self.id()).filter(|id| id != "+").unwrap_or("7".to_owned())
    }

    fn maybe(&mut self, word: impl FnOnce(&mut Dice) -> String) -> String {
        if self.below(3) == 0 { format!(" {}", word(self)) } else { String::new() }
    }

    fn trim(&mut self) -> String {
        let how = self.of(&["", "=", "~"]);
        let limit =
            if how == "~" { self.maybe(|dice| format!("LIMIT {}", dice.below(300))) } else { String::new() };
        match self.below(2) {
            0 => format!("MAXLEN {how} {}{limit}", self.below(500)),
            _ => format!("MINID {how} {}{limit}", self.id()),
        }
    }

    fn group(&mut self) -> &'static str {
        self.of(&["g", "g", "g", "h", "h", "none"])
    }

    fn consumer(&mut self) -> &'static str {
        self.of(&["ada", "bob", "eve"])
    }

    /// The next command; `top` is above the ids of all entries.
    fn line(&mut self, top: &mut u64) -> String {
        let (key, group, consumer) = (self.key(), self.group(), self.consumer());
        let count = self.maybe(|dice| format!("COUNT {}", dice.below(30)));
        match self.below(34) {
            0..=9 => {
                *top += self.below(2);
                let id = match self.below(12) {
                    0 => self.of(&["0", "0-0", "0-*", "x", "5-", "NOMKSTREAM *x"]).to_owned(),
                    1 => format!("{}-{}", *top, self.below(200)),
                    _ => format!("{top}-*"),
                };
                let trim = if self.below(8) == 0 { self.trim() } else { String::new() };
                let value = "v".repeat(self.below(300) as usize);
                let other = self.maybe(|dice| format!("{} {}", dice.of(&["b", "7"]), dice.below(1 << 40)));
                format!("XADD {key} {trim} {id} field {value}x{other}")
            }
            10 => format!("XTRIM {key} {}", self.trim()),
            11..=12 => format!("XDEL {key} {} {}", self.id(), self.id()),
            13 => format!("XRANGE {key} {} {}{count}", self.id(), self.id()),
            14 => format!("XREVRANGE {key} {} {}{count}", self.id(), self.id()),
            15 => format!("XREAD{count} STREAMS {key} {}", self.read_id()),
            16..=19 => {
                let no_ack = self.maybe(|_| "NOACK".to_owned());
                let id = if self.below(4) == 0 { self.read_id() } else { ">".to_owned() };
                format!("XREADGROUP GROUP {group} {consumer}{count}{no_ack} STREAMS {key} {id}")
            }
            20..=21 => format!("XACK {key} {group} {} {}", self.id(), self.id()),
            22 => format!("XPENDING {key} {group}"),
            23 => format!("XPENDING {key} {group} {} {} {}", self.id(), self.id(), self.below(9)),
            24..=25 => {
                let options = self
                    .maybe(|dice| dice.of(&["FORCE", "JUSTID", "RETRYCOUNT 5", "LASTID 9-9", "FOO"]).into());
                let idle = self.of(&["0", "0", "1000000", "x"]);
                format!("XCLAIM {key} {group} {consumer} {idle} {} {}{options}", self.id(), self.id())
            }
            26..=27 => {
                let options = self.maybe(|_| "JUSTID".to_owned());
                format!("XAUTOCLAIM {key} {group} {consumer} 0 {}{count}{options}", self.id())
            }
            28 => {
                let options =
                    self.maybe(|dice| dice.of(&["MKSTREAM", "ENTRIESREAD 5", "ENTRIESREAD -2", "X"]).into());
                format!("XGROUP CREATE {key} {group} {}{options}", self.id())
            }
            29 => {
                let read = self.maybe(|dice| format!("ENTRIESREAD {}", dice.below(99)));
                format!("XGROUP SETID {key} {group} {}{read}", self.id())
            }
            30 => format!("XGROUP {} {key} {group} {consumer}", self.of(&["CREATECONSUMER", "DELCONSUMER"])),
            31 => format!("XINFO GROUPS {key}"),
            32 => format!("XINFO CONSUMERS {key} {group}"),
            _ => match self.below(40) {
                0 => format!("DEL {key}"),
                1 => format!("XGROUP DESTROY {key} {group}"),
                2..=4 => {
                    *top += 1;
                    format!("XSETID {key} {top}-0")
                }
                _ => format!("XLEN {key}"),
            },
        }
    }
}

/// An answer without the times in it, and without what Redis 7.0 does not tell.
fn told(line: &str, reply: &Reply) -> String {
    if reply.is_error() {
        // Of two errors Redis 7.2 tells the other first.
        let shown = if line.starts_with("XSETID") { "an error".to_owned() } else { reply.to_string() };
        return shown;
    }
    let items = || reply.items().iter();
    if line.starts_with("XPENDING") && line.split(' ').count() > 3 {
        let shown = items().map(|item| {
            let parts = item.items();
            format!("{} {} {}", parts[0], parts[1], parts[3])
        });
        return shown.collect::<Vec<_>>().join(" ");
    }
    // From Redis 7.2 on a consumer that finds nothing is there all the same.
    if line.starts_with("XINFO CONSUMERS") {
        let shown = items().map(|item| format!("{} {}", item.items()[1], item.items()[3]));
        return shown.filter(|shown| !shown.ends_with(":0")).collect::<Vec<_>>().join(" ");
    }
    if line.starts_with("XINFO GROUPS") {
        let shown = items().map(|item| {
            let fields = item.items();
            let told = fields[..2].iter().chain(&fields[4..]).map(ToString::to_string);
            told.collect::<Vec<_>>().join(" ")
        });
        return shown.collect::<Vec<_>>().join(", ");
    }
    if line.starts_with("XGROUP CREATECONSUMER") {
        return String::new();
    }
    reply.to_string()
}

/// Commands that are sent before the first is answered.
const PIPELINED: usize = 100;

#[test]
fn answers_are_those_of_redis() {
    if !has_reference() {
        return;
    }
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (seed, count) = (setting("STREAM_SEED").unwrap_or(16), setting("STREAM_COMMANDS").unwrap_or(6_000));
    let (redis, node) = (Redis::start(&[]), perdura().start());
    let (mut oracle, mut ours) = (redis.client(), node.client());
    let (mut dice, mut top) = (Dice(seed), 1);
    let mut number = 0;
    while number < count {
        // Ids stay among those that are drawn.
        if top > 390 || number == 0 {
            top = 1;
            for client in [&mut oracle, &mut ours] {
                client.run("DEL s t none text");
                client.check("SET text x", "+OK");
                client.check("XGROUP CREATE s g 0 MKSTREAM", "+OK");
                client.check("XGROUP CREATE t h $ MKSTREAM", "+OK");
            }
        }
        let mut lines: Vec<String> = (0..PIPELINED).map(|_| dice.line(&mut top)).collect();
        lines.extend(["s", "t"].map(|key| format!("XRANGE {key} - +")));
        for client in [&mut oracle, &mut ours] {
            lines.iter().for_each(|line| client.send_line(line));
        }
        for line in lines {
            let (expected, answered) = (oracle.read(), ours.read());
            assert_eq!(
                told(&line, &answered),
                told(&line, &expected),
                "STREAM_SEED={seed}, command {number}: {line}"
            );
            number += 1;
        }
    }
}
