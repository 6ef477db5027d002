//! PERDURA: an operator looks into a running node, cuts its log, and compares nodes.

use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node, Reply};

use crate::perdura;

const LIMIT: Duration = Duration::from_secs(30);

/// Takes a checkpoint; returns its index.
pub fn checkpoint(client: &mut Client) -> i64 {
    client.check("BGSAVE", "+Background saving started");
    wait_for("the checkpoint is published", LIMIT, || {
        (client.info_number("rdb_bgsave_in_progress") == 0).then_some(())
    });
    client.info_number("perdura_checkpoint_index") as i64
}

/// A node that has written `rounds` times a hundred keys, with a checkpoint behind each round.
pub fn node_with_checkpoints(rounds: usize) -> (Node, Vec<i64>) {
    let node = perdura().flag("segment-bytes", "64kb").flag("checkpoints-kept", 2).start();
    let mut client = node.client();
    let mut indexes = Vec::new();
    for round in 0..rounds {
        for n in 0..100 {
            client.check(&format!("SET key{n} {round}{}", "v".repeat(1000)), "+OK");
        }
        indexes.push(checkpoint(&mut client));
    }
    (node, indexes)
}

fn status(client: &mut Client) -> Reply {
    client.run("PERDURA LOG STATUS")
}

/// All entries from `from` on, read in pieces.
fn read_log(client: &mut Client, mut from: i64) -> Vec<(i64, Vec<u8>)> {
    let mut entries = Vec::new();
    loop {
        let chunk = client.run(&format!("PERDURA LOG READ {from} 20000"));
        assert!(!chunk.is_error(), "{chunk}");
        if chunk.items().is_empty() {
            return entries;
        }
        for entry in chunk.items() {
            let [index, _, payload] = entry.items() else { panic!("three parts") };
            assert_eq!(index.integer(), from);
            entries.push((from, payload.bytes().to_vec()));
            from += 1;
        }
    }
}

/// With the seed, members of a sorted set and keys could be made to collide.
#[test]
fn clients_can_not_read_the_hash_seed() {
    const NAME: &[u8] = b"_hashseed\x10";
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET a 1", "+OK");
    let entries = read_log(&mut client, 1);
    let index = checkpoint(&mut client);
    let folder = node.data().join(format!("checkpoints/{index:020}"));
    let own = std::fs::read_to_string(folder.join("MANIFEST.perdura")).expect("it is there");
    let shown: Vec<String> = entries
        .iter()
        .filter_map(|(_, payload)| {
            let at = payload.windows(NAME.len()).position(|bytes| bytes == NAME)? + NAME.len();
            let seed = payload[at..at + 16].iter().rev().map(|byte| format!("{byte:02x}"));
            Some(seed.collect())
        })
        .collect();
    assert_eq!(shown.len(), 1, "one entry brings it");
    assert!(!own.contains(&shown[0]), "it is not the one that the node has");
    let manifest = client.run(&format!("PERDURA CHECKPOINT MANIFEST {index}"));
    assert!(manifest.text().contains(&shown[0]), "log and checkpoint agree");
}

#[test]
fn the_log_of_a_running_node_is_looked_at_and_read() {
    let node = perdura().flag("segment-bytes", "64kb").start();
    let mut client = node.client();
    for n in 0..200 {
        client.check(&format!("SET key{n} {}", "v".repeat(1000)), "+OK");
    }
    let state = status(&mut client);
    let number = |name: &str| state.field(name).integer();
    assert_eq!((number("node_id"), number("first_index")), (1, 1));
    assert!(number("applied") > 200 && number("committed") == number("last_index"));
    assert!(number("oldest_ms") > 1_600_000_000_000 && number("newest_ms") >= number("oldest_ms"));
    let segments = state.field("segments").items();
    assert!(segments.len() >= 3);
    assert_eq!(segments[0].items()[3].integer(), 1, "the first segment begins with the first entry");
    let entries = read_log(&mut client, 1);
    assert_eq!(entries.len() as i64, number("applied"));
    assert!(entries.iter().any(|(_, payload)| payload.windows(6).any(|part| part == b"key199")));
}

#[test]
fn what_is_wrong_is_refused() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET k v", "+OK");
    client.check("PERDURA LOG READ 0 100", "-ERR the log begins with entry 1");
    client.check("PERDURA LOG READ x 100", "-ERR value is out of range, must be positive");
    client.check("PERDURA LOG", "-ERR wrong number of arguments for 'perdura|log' command");
    client.check("PERDURA LOG COMPACT KEEPBYTES", "-ERR syntax error");
    client.check("PERDURA CHECKPOINT VERIFY 77", "-ERR checkpoint: there is none at index 77");
    client.check("MULTI", "+OK");
    client.check("PERDURA LOG STATUS", "-ERR Command not allowed inside a transaction");
    client.check("PERDURA MARK m", "-ERR Command not allowed inside a transaction");
    assert!(client.run("EXEC").is_error());
    client.check("_CHECKPOINT m", "-ERR unknown command '_CHECKPOINT', with args beginning with: 'm' ");
    assert!(client.run("PERDURA HELP").items().len() > 10);
}

#[test]
fn answers_that_take_a_while_keep_their_place_in_a_pipeline() {
    let node = perdura().start();
    let mut client = node.client();
    for line in ["SET k 1", "PERDURA LOG STATUS", "INCR k", "PERDURA CHECKPOINT LIST", "GET k"] {
        client.send_line(line);
    }
    client.expect("+OK");
    assert_eq!(client.read().field("node_id").integer(), 1);
    client.expect(":2");
    client.expect("[]");
    client.expect("2");
    for line in ["CLIENT REPLY SKIP", "PERDURA LOG STATUS", "GET k"] {
        client.send_line(line);
    }
    client.expect("2");
}

#[test]
fn checkpoints_are_listed_proven_and_read() {
    let (node, indexes) = node_with_checkpoints(3);
    let mut client = node.client();
    let listed = client.run("PERDURA CHECKPOINT LIST");
    let listed: Vec<i64> = listed.items().iter().map(|one| one.field("index").integer()).collect();
    assert_eq!(listed, indexes[1..], "two are kept");
    let newest = indexes[2];
    client.check("PERDURA CHECKPOINT VERIFY ALL", &format!("[[:{} ''] [:{newest} '']]", indexes[1]));

    let manifest = client.run(&format!("PERDURA CHECKPOINT MANIFEST {newest}")).bytes().to_vec();
    let folder = node.data().join(format!("checkpoints/{newest:020}"));
    let json_of = |manifest: Vec<u8>| -> serde_json::Value {
        let text = String::from_utf8(manifest).expect("it is text");
        let (_, json) = text.split_once('\n').expect("a line before the JSON");
        serde_json::from_str(json).expect("JSON")
    };
    let piecewise = client.run(&format!("PERDURA CHECKPOINT READ {newest} 0 0 100000"));
    assert_eq!(piecewise.bytes(), manifest);
    let mut json = json_of(manifest);
    let own = json_of(std::fs::read(folder.join("MANIFEST.perdura")).expect("it is there"));
    assert_ne!(json["hash_seed"], own["hash_seed"], "clients can't read the seed");
    json["hash_seed"] = own["hash_seed"].clone();
    assert_eq!(json, own);
    for (number, file) in json["files"].as_array().expect("files").iter().enumerate() {
        let name = file["name"].as_str().expect("a name");
        let mut read = Vec::new();
        loop {
            let ask = format!("PERDURA CHECKPOINT READ {newest} {} {} 1000", number + 1, read.len());
            let piece = client.run(&ask);
            if piece.bytes().is_empty() {
                break;
            }
            read.extend_from_slice(piece.bytes());
        }
        assert_eq!(read, std::fs::read(folder.join(name)).expect("it is there"), "{name}");
    }
    assert!(client.run("PERDURA CHECKPOINT READ 1 1 0 10").is_error());
}

#[test]
fn a_checkpoint_that_is_read_stays_although_newer_ones_take_its_place() {
    let (node, indexes) = node_with_checkpoints(1);
    let mut client = node.client();
    let ask = format!("PERDURA CHECKPOINT READ {} 1 0 1000", indexes[0]);
    let before = client.run(&ask);
    for n in 0..3 {
        client.check(&format!("SET k {n}"), "+OK");
        checkpoint(&mut client);
    }
    let listed = client.run("PERDURA CHECKPOINT LIST");
    assert!(listed.items().iter().all(|one| one.field("index").integer() > indexes[0]));
    assert_eq!(client.run(&ask).bytes(), before.bytes());
}

#[test]
fn damage_in_a_checkpoint_is_named() {
    let (node, indexes) = node_with_checkpoints(1);
    let folder = node.data().join(format!("checkpoints/{:020}", indexes[0]));
    let file = std::fs::read_dir(&folder).expect("it is there").map(|entry| entry.expect("listed").path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|e| e == "sst")).expect("a table");
    crate::log::damage(&file);
    let verified = node.client().run(&format!("PERDURA CHECKPOINT VERIFY {}", indexes[0]));
    let fault = verified.items()[0].items()[1].text();
    assert!(fault.contains("is damaged") && fault.contains(".sst"), "{fault}");
}

/// A group whose logs keep everything that settings can keep.
fn group() -> Cluster {
    Cluster::start_with(perdura().flag("segment-bytes", "64kb").flag("log-keep-bytes", "1gb"))
}

#[test]
fn the_log_is_cut_by_hand_behind_the_oldest_checkpoint_and_no_further() {
    let group = group();
    let primary = group.primary();
    let mut client = group.client(primary);
    for n in 0..200 {
        client.check(&format!("SET key{n} {}", "v".repeat(1000)), "+OK");
    }
    let cut = client.run("PERDURA LOG COMPACT KEEPBYTES 0");
    assert_eq!(cut.field("first_index").integer(), 1, "there is no checkpoint");
    assert_eq!(cut.field("kept_by").text(), "checkpoint");
    let index = checkpoint(&mut client);
    assert_eq!(status(&mut client).field("first_index").integer(), 1, "the settings keep a GiB");
    client.check("SET after it", "+OK");

    let cut = client.run("PERDURA LOG COMPACT");
    assert_eq!((cut.field("first_index").integer(), cut.field("kept_by").text()), (1, "keep-bytes".into()));
    let cut = client.run("PERDURA LOG COMPACT KEEPBYTES 0 KEEPSECONDS 3600");
    assert_eq!((cut.field("first_index").integer(), cut.field("kept_by").text()), (1, "keep-time".into()));
    let told = client.run("PERDURA LOG COMPACT KEEPBYTES 0 DRYRUN");
    assert_eq!(status(&mut client).field("first_index").integer(), 1, "nothing was cut");
    let last_line = group.nodes[primary].log().lines().last().unwrap_or_default().to_owned();
    assert!(last_line.contains("nothing was cut"), "the node's messages agree: {last_line}");
    let cut = client.run("PERDURA LOG COMPACT KEEPBYTES 0");
    assert_eq!(cut.to_string(), told.to_string());
    assert_eq!(cut.field("first_index").integer(), index + 1);
    assert_eq!(cut.field("kept_by").text(), "checkpoint");
    assert!(cut.field("freed_bytes").integer() >= 64 << 10);
    assert_eq!(status(&mut client).field("first_index").integer(), index + 1);
    client.check(
        &format!("PERDURA LOG READ {index} 1"),
        &format!("-ERR the log begins with entry {}", index + 1),
    );
    group.agreed_digest();
}

/// What a node tells of a mark once it is done with it.
fn done(client: &mut Client, name: &str) -> Reply {
    wait_for("the mark's checkpoint", LIMIT, || {
        let told = client.run(&format!("PERDURA DIGEST {name}"));
        (!matches!(told.field("state").text().as_str(), "unknown" | "writing")).then_some(told)
    })
}

#[test]
fn nodes_take_a_checkpoint_of_one_index_and_agree() {
    let group = group();
    let replica = group.replica();
    let mut writer = group.client(group.primary());
    let mut seen = Vec::new();
    for name in ["first", "second"] {
        for n in 0..50 {
            writer.check(&format!("SET {name}{n} x"), "+OK");
        }
        group.client(replica).check(&format!("PERDURA MARK {name}"), "+OK");
        // What comes behind the mark is in no node's checkpoint of it.
        writer.check("INCR behind", &format!(":{}", seen.len() + 1));
        let told: Vec<Reply> = (0..3).map(|at| done(&mut group.client(at), name)).collect();
        for one in &told {
            assert_eq!(one.field("state").text(), "done", "{one}");
            for field in ["index", "keys", "digest"] {
                assert_eq!(one.field(field).to_string(), told[0].field(field).to_string(), "{field}");
            }
        }
        // The system database's note that the group has its parameters is one.
        let keys = 1 + 50 * (seen.len() as i64 + 1) + seen.len().min(1) as i64;
        assert_eq!(told[0].field("keys").integer(), keys);
        seen.push(told[0].field("digest").text());
    }
    assert_ne!(seen[0], seen[1]);
}
