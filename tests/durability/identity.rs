//! Which cluster a node belongs to, and which process a member is: members that were restored to different entries, a majority that was
//! set back, two clusters at the same addresses, members that move, copies of folders and logs that were replaced, folders that go.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use perdura_testkit::clock::{Stopwatch, wait_for};
use perdura_testkit::{Cluster, Node, NodeSpec, free_port};

use crate::backups::{folder, shipping, wait_until_shipped};
use crate::damage::{FIRST_BATCH, flip_byte, segments};
use crate::perdura;
use crate::point_in_time::{Place, ask, run, write};
use crate::restarts::digest;

const LIMIT: Duration = Duration::from_secs(30);

/// Where three members reach each other.
struct Addresses(Vec<String>);

impl Addresses {
    fn new(host: &str) -> Addresses {
        Addresses((1..=3).map(|_| format!("{host}:{}", free_port())).collect())
    }

    fn members(&self) -> String {
        let members: Vec<String> = (1..).zip(&self.0).map(|(id, peer)| format!("{id}={peer}")).collect();
        members.join(",")
    }

    /// A node in this folder, started.
    fn launch(&self, spec: NodeSpec, id: usize, dir: &Path) -> Node {
        let spec = spec.flag("node-id", id).flag("peer-addr", &self.0[id - 1]);
        spec.flag("initial-cluster", self.members()).flag("dir", dir.display()).launch()
    }

    /// Three members in folders of this scratch folder, whose names begin so.
    fn launch_all(&self, scratch: &Path, name: &str) -> Cluster {
        let launch = |id| self.launch(perdura(), id, &scratch.join(format!("{name}{id}")));
        let mut cluster = Cluster { nodes: (1..=3).map(launch).collect() };
        cluster.nodes.iter_mut().for_each(Node::wait_until_it_answers);
        cluster.primary();
        cluster
    }
}

fn says(node: &Node, text: &str) {
    wait_for(text, LIMIT, || node.log().contains(text).then_some(()));
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp can be run").success());
}

/// A write through this node is taken as soon as there is a primary.
fn takes_write(node: &Node, key: &str) {
    wait_for("a write is taken", LIMIT, || {
        let reply = node.try_admin().ok()?.try_call(&[b"SET", key.as_bytes(), b"v"]).ok()?;
        (!reply.is_error()).then_some(())
    });
}

fn applied(node: &Node) -> u64 {
    node.client().run("PERDURA LOG STATUS").field("applied").integer() as u64
}

/// Restores a member of the group to an entry.
fn restore_member(place: &Place, addresses: &Addresses, id: usize, index: u64, dir: &Path) {
    let (text, id, index) = (dir.display().to_string(), id.to_string(), index.to_string());
    let members = addresses.members();
    let arguments = [
        &["restore", "--segment-bytes", "1mb", "--dir", &text, "--node-id", &id][..],
        &["--initial-cluster", &members, "--to-index", &index],
    ];
    let (code, said) = run(&place.with(&arguments.concat(), "--from"), &[]);
    assert!(code == Some(0) && said.contains(&format!("--to-index {index}")), "{said}");
}

/// Without a target each member got what had been shipped by then. They ran, and what had been acknowledged was gone after two failovers.
#[test]
fn members_restored_to_different_entries_refuse_each_other_and_name_both() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let (place, addresses) = (folder(scratch.path()), Addresses::new("127.0.0.1"));
    let source = shipping(&place).start();
    write(&mut source.client(), 1..500);
    wait_until_shipped(&source);
    let last = applied(&source);
    let dir = |name: &str| scratch.path().join(name);
    let members = addresses.members();
    let nowhere = dir("nowhere").display().to_string();
    let group = ["restore", "--dir", &nowhere, "--node-id", "1", "--initial-cluster", &members];
    let (code, said) = run(&place.with(&group, "--from"), &[]);
    assert!(code != Some(0) && said.contains(&format!("--to-index {last}")), "{said}");

    for (id, index) in [(1, last), (2, last), (3, last - 1)] {
        restore_member(&place, &addresses, id, index, &dir(&format!("member{id}")));
    }
    let launch = |id: usize, name: &str| addresses.launch(perdura(), id, &dir(name));
    let mut nodes: Vec<Node> = (1..=3).map(|id| launch(id, &format!("member{id}"))).collect();
    nodes.iter_mut().for_each(Node::wait_until_it_answers);
    takes_write(&nodes[0], "of-two");
    let (later, earlier) = (format!("entry {last} of term"), format!("entry {} of term", last - 1));
    says(&nodes[2], &format!("it was restored or recovered to {later}"));
    says(&nodes[0], &format!("it was restored or recovered to {earlier}"));
    for node in &nodes {
        assert!(
            node.log().contains("restore all members of a group with the same --to-index"),
            "{}",
            node.log()
        );
    }
    let told = nodes[2].log().matches("it was restored or recovered to").count();
    nodes[0].client().check("SET more v", "+OK");
    assert!(told <= 6, "once for each link, and for those who dial: {told}");

    nodes[2].kill();
    restore_member(&place, &addresses, 3, last, &dir("again3"));
    nodes[2] = launch(3, "again3");
    nodes[2].wait_until_it_answers();
    let cluster = Cluster { nodes };
    cluster.agreed_digest();
    cluster.client(2).check("GET of-two", "v");
}

/// The member was LOADING for ever, without an error.
#[test]
fn a_member_that_knows_more_than_a_set_back_majority_ends_and_names_the_entries() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let addresses = Addresses::new("127.0.0.1");
    let dir = |name: &str| scratch.path().join(name);
    let mut cluster = addresses.launch_all(scratch.path(), "member");
    cluster.client(0).check("SET in-copies v", "+OK");
    cluster.agreed_digest();
    for node in &mut cluster.nodes {
        node.kill();
    }
    for id in [1, 2] {
        copy(&dir(&format!("member{id}")), &dir(&format!("copy{id}")));
    }
    cluster.nodes.iter_mut().for_each(Node::restart);
    takes_write(&cluster.nodes[0], "acknowledged");
    write(&mut cluster.client(0), 1..300);
    cluster.agreed_digest();
    for node in &mut cluster.nodes {
        node.kill();
    }
    let mut old: Vec<Node> =
        [1, 2].map(|id| addresses.launch(perdura(), id, &dir(&format!("copy{id}")))).into_iter().collect();
    old.iter_mut().for_each(Node::wait_until_it_answers);
    takes_write(&old[0], "set-back");
    let knowing = &mut cluster.nodes[2];
    knowing.spawn();
    assert!(!knowing.wait_for_exit().success());
    let log = knowing.log();
    assert!(
        log.contains("leads and lacks entries") && log.contains("this node knows were committed"),
        "{log}"
    );
    assert!(!dir("member3").join("damaged-log").exists(), "its folder stays as it is");
    old[1].client().check("SET goes on", "+OK");
    old[1].client().check("GET acknowledged", "nil");
}

/// The histories mixed, and the new group was bricked until all folders were wiped.
#[test]
fn a_stray_of_an_old_cluster_at_a_new_ones_address_is_a_stranger() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let addresses = Addresses::new("127.0.0.1");
    let mut old = addresses.launch_all(scratch.path(), "old");
    write(&mut old.client(0), 1..500);
    old.agreed_digest();
    for node in &mut old.nodes {
        node.kill();
    }
    let mut new = addresses.launch_all(scratch.path(), "new");
    new.client(0).check("SET new v", "+OK");
    let agreed = new.agreed_digest();
    let term = new.client(0).info_number("perdura_term");
    new.nodes[2].kill();
    let mut stray = addresses.launch(perdura(), 3, &scratch.path().join("old3"));
    says(&stray, "it belongs to cluster");
    says(&new.nodes[0], "it belongs to cluster");
    takes_write(&new.nodes[0], "beside-the-stray");
    assert!(!stray.has_ended(), "{}", stray.log());
    stray.kill();
    new.nodes[2].restart();
    assert_ne!(new.agreed_digest(), agreed);
    new.client(2).check("GET beside-the-stray", "v");
    assert!(new.client(0).info_number("perdura_term") <= term + 2, "the stray brought no election");
}

/// Without a --cluster-name a group could not change an address, and 127.0.0.1 written as localhost was another cluster.
#[test]
fn a_group_without_a_name_moves_to_other_addresses() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let mut cluster = Addresses::new("127.0.0.1").launch_all(scratch.path(), "member");
    write(&mut cluster.client(0), 1..200);
    let agreed = cluster.agreed_digest();
    for node in &mut cluster.nodes {
        assert!(node.terminate().success());
    }
    let moved = Addresses::new("localhost").launch_all(scratch.path(), "member");
    assert_eq!(moved.agreed_digest(), agreed);
    moved.client(1).check("SET moved v", "+OK");
}

/// Two clusters with the same settings, begun at the same time, were one to their backups.
#[test]
fn the_backup_of_one_cluster_is_refused_to_another_with_the_same_settings() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let one = shipping(&place).start();
    write(&mut one.client(), 1..100);
    wait_until_shipped(&one);
    let other = shipping(&place).start();
    write(&mut other.client(), 1..100);
    says(&other, "the backup belongs to");
    let listed = ask(&place.with(&["backup", "list"], "--at"), &[]);
    let own = one.client().run("PERDURA LOG STATUS").field("cluster_id").text();
    assert_eq!(listed["cluster_id"], own, "{listed}");
}

/// The copy could vote and acknowledge in the member's name.
#[test]
fn a_process_on_a_copy_of_a_members_folder_is_told_and_counts_for_nothing() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let addresses = Addresses::new("127.0.0.1");
    let mut cluster = addresses.launch_all(scratch.path(), "member");
    write(&mut cluster.client(0), 1..100);
    cluster.agreed_digest();
    cluster.nodes[2].kill();
    copy(&scratch.path().join("member3"), &scratch.path().join("copy3"));
    cluster.nodes[2].restart();
    takes_write(&cluster.nodes[2], "back");
    let elsewhere = Addresses([&addresses.0[..2], &[format!("127.0.0.1:{}", free_port())]].concat());
    let mut stray = elsewhere.launch(perdura(), 3, &scratch.path().join("copy3"));
    says(&stray, "this node runs on a copy of that folder, or has moved");
    says(&cluster.nodes[0], "runs on a copy of its folder");
    let term = cluster.client(0).info_number("perdura_term");
    write(&mut cluster.client(0), 100..300);
    cluster.agreed_digest();
    assert_eq!(cluster.client(0).info_number("perdura_term"), term);
    assert!(!stray.has_ended(), "{}", stray.log());
}

/// It took the damage for its own, set the other member's log aside, and joined; its own folder was void from then on.
#[test]
fn a_damaged_folder_of_another_member_is_refused_as_a_sound_one() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let addresses = Addresses::new("127.0.0.1");
    let mut cluster = addresses.launch_all(scratch.path(), "member");
    write(&mut cluster.client(0), 1..100);
    cluster.agreed_digest();
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let wrong = scratch.path().join("wrong2");
    copy(&scratch.path().join("member3"), &wrong);
    for is_damaged in [false, true] {
        if is_damaged {
            flip_byte(&segments(&wrong)[0], FIRST_BATCH + 600);
        }
        let mut node = addresses.launch(perdura(), 2, &wrong);
        wait_for("it ends", LIMIT, || node.has_ended().then_some(()));
        let log = node.log();
        assert!(log.contains("belongs to node 3"), "{log}");
        assert!(!wrong.join("damaged-log").exists(), "{log}");
    }
}

/// Its words were heard again as soon as the others had been started again.
#[test]
fn a_log_that_was_replaced_is_refused_for_good_and_told_so() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let addresses = Addresses::new("127.0.0.1");
    let mut cluster = addresses.launch_all(scratch.path(), "member");
    write(&mut cluster.client(0), 1..100);
    cluster.agreed_digest();
    cluster.nodes[2].kill();
    let (home, zombie) = (scratch.path().join("member3"), scratch.path().join("zombie3"));
    fs::rename(&home, &zombie).expect("a folder");
    cluster.nodes[2].restart();
    wait_for("it knows everything again", LIMIT, || {
        cluster.nodes[2].log().contains("this node knows again").then_some(())
    });
    takes_write(&cluster.nodes[0], "after");
    cluster.agreed_digest();
    for node in &mut cluster.nodes {
        node.kill();
    }
    for at in [0, 1] {
        cluster.nodes[at].restart();
    }
    let stray = addresses.launch(perdura(), 3, &zombie);
    says(&stray, "has taken the place of this node's log");
    says(&cluster.nodes[0], "has taken the place of its log");
    takes_write(&cluster.nodes[0], "goes-on");
    drop(stray);
    cluster.nodes[2].restart();
    cluster.agreed_digest();
}

/// 100,000 further writes were acknowledged, and found by nobody.
#[test]
fn a_node_whose_folder_is_moved_or_removed_ends_within_a_second() {
    for is_moved in [true, false] {
        let mut node = perdura().start();
        write(&mut node.client(), 1..100);
        let (before, aside) = (digest(&node), node.data().with_extension("moved"));
        let watch = Stopwatch::start();
        if is_moved {
            fs::rename(node.data(), &aside).expect("a folder");
        } else {
            fs::remove_dir_all(node.data()).expect("a folder");
        }
        assert!(!node.wait_for_exit().success());
        assert!(watch.elapsed() < Duration::from_secs(2), "{:?}", watch.elapsed());
        assert!(node.log().contains("the folder was removed, moved or replaced"), "{}", node.log());
        if is_moved {
            fs::rename(&aside, node.data()).expect("a folder");
            node.restart();
            assert_eq!(digest(&node), before);
        }
    }
}

/// "Every byte is sound", and 10,000 keys were gone.
#[test]
fn a_lone_node_without_its_newest_segments_is_refused_by_name() {
    let mut node = perdura().flag("segment-bytes", "64kb").start();
    for n in 0..200 {
        node.client().check(&format!("SET key{n} {}", "v".repeat(1000)), "+OK");
    }
    assert!(node.terminate().success());
    let log = node.data().join("log");
    let segments = || {
        let names = fs::read_dir(&log).expect("a folder").map(|entry| entry.expect("a folder").path());
        let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|of| of == "wal")).collect();
        names.sort();
        names
    };
    let gone = segments().split_off(segments().len() - 3);
    gone.iter().for_each(|segment| fs::remove_file(segment).expect("a segment"));
    let name = gone[0].file_name().expect("a name").to_string_lossy().into_owned();
    let dir = node.data().display().to_string();
    let (code, said) = run(&["log", "verify", "--dir", &dir], &[]);
    assert!(
        code == Some(1) && said.contains(&name) && said.contains("newest segments are missing"),
        "{said}"
    );
    node.spawn();
    assert!(!node.wait_for_exit().success());
    assert!(node.log().contains(&format!("the newest segments are missing, from {name}")), "{}", node.log());
    let (code, said) = run(&["recover", "--force-new-cluster", "--yes", "--dir", &dir], &[]);
    assert!(code == Some(0) && said.contains("newest segments are missing"), "{said}");
    node.restart();
    assert!(node.client().run("DBSIZE").integer() > 0);
}
