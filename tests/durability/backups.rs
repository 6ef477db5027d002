//! Backups of running nodes: what is acknowledged is soon elsewhere, whoever is killed meanwhile.
//!
//! `DURABILITY_ROUNDS` says how often.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node, NodeSpec, free_port};

use crate::checkpoints::checkpoint;
use crate::point_in_time::{Place, ask, command, last_write, run, write};
use crate::restarts::digest;
use crate::{perdura, s3};

/// A prune that was killed while it removed pieces has left a mark, and a node waits for so long until it takes it for given up.
const PATIENCE_WITH_A_KILLED_PRUNE: Duration = Duration::from_secs(300);
pub const LIMIT: Duration = Duration::from_secs(60);

pub fn rounds() -> u64 {
    std::env::var("DURABILITY_ROUNDS").ok().map_or(5, |text| text.parse().expect("a number of rounds"))
}

pub fn folder(scratch: &Path) -> Place {
    let url = format!("file://{}", scratch.join("backups").display());
    Place { url, key_file: None, variables: Vec::new() }
}

/// A node that ships to this place.
pub fn shipping(place: &Place) -> NodeSpec {
    let spec = perdura().flag("backup-to", &place.url).flag("backup-interval-ms", 20);
    let spec = match &place.key_file {
        Some(path) => spec.flag("backup-key-file", path.display()),
        None => spec,
    };
    place.variables.iter().fold(spec, |spec, (name, value)| spec.variable(name, value))
}

/// Where a backup in a folder has its files.
pub fn repository(place: &Place) -> &Path {
    Path::new(&place.url["file://".len()..])
}

pub fn wait_until_shipped(node: &Node) {
    let mut client = node.client();
    let applied = client.applied_index();
    wait_for("everything is shipped", LIMIT, || {
        (client.info_number("perdura_backup_shipped_index") >= applied).then_some(())
    });
}

pub fn assert_good(place: &Place) {
    let verified = ask(&place.with(&["backup", "verify"], "--at"), &place.variables);
    assert_eq!(verified["good"], true, "{verified}");
}

/// Restores all there is and returns the digest.
pub fn restored_digest(place: &Place, scratch: &Path) -> String {
    place.restore(scratch, &[]).1["debug_digest"].as_str().expect("it was replayed").to_owned()
}

#[test]
fn what_a_node_applies_is_shipped_with_its_checkpoints() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let node = shipping(&place).flag("backup-checkpoint-seconds", 1).start();
    write(&mut node.client(), 1..2000);
    for _ in 0..2 {
        let index = checkpoint(&node);
        write(&mut node.client(), 2000..3000);
        wait_for("the checkpoint is stored", LIMIT, || {
            (node.client().info_number("perdura_backup_checkpoint_index") >= index).then_some(())
        });
    }
    wait_until_shipped(&node);
    let restored = place.restore(scratch.path(), &[]).1;
    assert_eq!(restored["debug_digest"].as_str(), Some(&digest(&node)[..]));
    let shown = ask(&["digest", "--addr", &node.addr().to_string()], &[]);
    assert_eq!(
        (&restored["digest"], &restored["keys"]),
        (&shown["nodes"][0]["digest"], &shown["nodes"][0]["keys"])
    );
    assert_good(&place);
    assert_eq!(node.client().info_number("perdura_backup_failures"), 0);
    let listed = ask(&place.with(&["backup", "list"], "--at"), &[]);
    assert!(listed["checkpoints"].as_array().is_some_and(|all| all.len() >= 2), "{listed}");
    assert!(
        listed["restorable"][0]["first_index"] == 1 && listed["gaps"] == serde_json::json!([]),
        "{listed}"
    );
}

#[test]
fn an_object_store_is_shipped_to_encrypted() {
    let server = s3::Server::start();
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let key_file = scratch.path().join("key");
    assert_eq!(run(&["backup", "create-key", &key_file.display().to_string()], &[]).0, Some(0));
    let place = Place { url: server.url("node"), key_file: Some(key_file), variables: server.variables() };
    let node = shipping(&place).start();
    write(&mut node.client(), 1..1000);
    checkpoint(&node);
    write(&mut node.client(), 1000..2000);
    wait_until_shipped(&node);
    assert_eq!(restored_digest(&place, scratch.path()), digest(&node));
    assert_good(&place);
}

#[test]
fn a_killed_node_goes_on_where_its_backup_ends() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let mut node = shipping(&place).flag("backup-checkpoint-seconds", 1).start();
    let mut next = 1;
    for round in 0..rounds() {
        let more = 200 + round * 170 % 600;
        write(&mut node.client(), next..next + more);
        next += more;
        if round % 2 == 1 {
            // The node may be taking one for its backup.
            node.client().run("BGSAVE");
        }
        if round > 0 {
            let header = repository(&place).join("HEADER.perdura");
            wait_for("the repository is begun", LIMIT, || header.exists().then_some(()));
        }
        // Whatever it was about to ship is lost with the process.
        node.kill();
        node.restart();
        if round % 3 == 2 {
            wait_until_shipped(&node);
            assert_good(&place);
        }
    }
    wait_until_shipped(&node);
    assert_good(&place);
    assert_eq!(restored_digest(&place, scratch.path()), digest(&node));
    assert_eq!(last_write(&node), next - 1);
}

#[test]
fn the_next_primary_goes_on_where_the_last_one_stopped() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let mut cluster = Cluster::start_with(shipping(&place));
    let mut next = 1;
    for _ in 0..3 {
        let primary = cluster.primary();
        write(&mut cluster.client(primary), next..next + 500);
        next += 500;
        cluster.nodes[primary].kill();
        let heir = cluster.primary();
        write(&mut cluster.client(heir), next..next + 100);
        next += 100;
        cluster.nodes[primary].restart();
    }
    let primary = cluster.primary();
    let agreed = cluster.agreed_digest();
    wait_until_shipped(&cluster.nodes[primary]);
    assert_good(&place);
    assert_eq!(restored_digest(&place, scratch.path()), agreed);
    // A replica knows how far the backup is, for it keeps its log for it.
    let replica = cluster.replica();
    let shipped = cluster.client(primary).info_number("perdura_backup_shipped_index");
    wait_for("a replica has looked", LIMIT, || {
        (cluster.client(replica).info_number("perdura_backup_shipped_index") >= shipped).then_some(())
    });
}

#[test]
fn a_running_node_is_backed_up_by_hand() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let node = perdura().start();
    let addr = node.addr().to_string();
    let back_up = || ask(&place.with(&["backup", "create", "--addr", &addr], "--to"), &[]);
    write(&mut node.client(), 1..3000);
    ask(&place.with(&["backup", "init", "--addr", &addr], "--at"), &[]);
    let created = back_up();
    assert!(created["checkpoint"].is_null() && created["index_before"] == 0, "{created}");
    for round in 1..=2 {
        let index = checkpoint(&node);
        write(&mut node.client(), 3000 * round..3000 * round + 500);
        let created = back_up();
        assert_eq!(created["checkpoint"].as_u64(), Some(index), "{created}");
        assert_eq!(restored_digest(&place, scratch.path()), digest(&node));
    }
    let again = back_up();
    assert!(again["checkpoint"].is_null() && again["log_bytes"] == 0, "{again}");
    let listed = ask(&place.with(&["backup", "list"], "--at"), &[]);
    assert_eq!(listed["checkpoints"].as_array().map(Vec::len), Some(2), "{listed}");
    let checked = ask(&place.with(&["backup", "check"], "--at"), &[]);
    assert_eq!(checked["repository_id"].as_str().map(str::len), Some(16), "{checked}");
}

/// The same backup, restored for three nodes, makes a group that takes writes and elects anew.
#[test]
fn a_group_is_restored() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let node = shipping(&place).start();
    write(&mut node.client(), 1..500);
    checkpoint(&node);
    write(&mut node.client(), 500..800);
    wait_until_shipped(&node);
    let peers: Vec<String> = (1..=3).map(|id| format!("{id}=127.0.0.1:{}", free_port())).collect();
    let members = peers.join(",");
    let last = node.client().run("PERDURA LOG STATUS").field("applied").integer().to_string();
    let mut restored = |id: usize| -> Node {
        let own = scratch.path().join(id.to_string());
        let group = ["--initial-cluster", &members, "--cluster-name", "again", "--to-index", &last];
        let id = id.to_string();
        let (dir, _) = place.restore(&own, &[&["--node-id", &id][..], &group[..]].concat());
        perdura().flag("dir", dir.display()).flag("node-id", &id).flag("initial-cluster", &members).launch()
    };
    let mut cluster = Cluster { nodes: (1..=3).map(&mut restored).collect() };
    cluster.nodes.iter_mut().for_each(Node::wait_until_it_answers);
    assert_eq!(cluster.agreed_digest(), digest(&node));
    let primary = cluster.primary();
    write(&mut cluster.client(primary), 800..900);
    cluster.agreed_digest();
    cluster.nodes[primary].kill();
    let heir = cluster.primary();
    assert_eq!(last_write(&cluster.nodes[heir]), 899);
    // It takes back a member with an empty folder, as any group does.
    let lost = &mut cluster.nodes[primary];
    fs::remove_dir_all(scratch.path().join((primary + 1).to_string())).expect("it can be removed");
    lost.spawn();
    wait_for("the member knows everything again", LIMIT, || {
        lost.log().contains("this node knows again").then_some(())
    });
    cluster.agreed_digest();
}

pub fn start(arguments: &[&str]) -> Child {
    let mut command = command(arguments, &[]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program can be run")
}

/// Ends it as a power cut would, if it has not ended by then.
fn kill_after(mut child: Child, pause: Duration) {
    std::thread::sleep(pause);
    // It may have ended.
    let _ = child.kill();
    child.wait().expect("our own child can be waited for");
}

/// As long as somebody's mark says that pieces are being removed, a checkpoint may not count on any of them.
#[test]
fn a_checkpoint_waits_while_the_backup_is_pruned_and_the_log_goes_on() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let node = shipping(&place).flag("backup-checkpoint-seconds", 1).start();
    write(&mut node.client(), 1..100);
    wait_until_shipped(&node);
    let marks = repository(&place).join("doomed");
    let mark = marks.join("0123456789abcdef");
    std::fs::create_dir_all(&marks).expect("the backup is there");
    std::fs::write(&mark, "pieces are being removed\n").expect("the folder is there");
    let index = checkpoint(&node);
    wait_for("the node waits", LIMIT, || node.log().contains("the backup is being pruned").then_some(()));
    write(&mut node.client(), 100..200);
    wait_until_shipped(&node);
    let stored = || node.client().info_number("perdura_backup_checkpoint_index");
    assert!(stored() < index, "it does not wait");
    std::fs::remove_file(&mark).expect("nobody else removes it");
    wait_for("the checkpoint is stored", LIMIT, || (stored() >= index).then_some(()));
    assert_good(&place);
}

#[test]
fn prune_and_restore_may_be_killed_at_any_moment() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let mut node = shipping(&place).flag("backup-checkpoint-seconds", 1).start();
    let (mut next, mut indexes) = (1, Vec::new());
    for round in 0..rounds() {
        write(&mut node.client(), next..next + 400);
        next += 400;
        let index = checkpoint(&node);
        indexes.push(index);
        wait_for("the checkpoint is stored", LIMIT + PATIENCE_WITH_A_KILLED_PRUNE, || {
            (node.client().info_number("perdura_backup_checkpoint_index") >= index).then_some(())
        });
        wait_until_shipped(&node);
        let pause = Duration::from_millis(3 + round * 7 % 40);
        let prune = place.with(&["backup", "prune", "--keep", "2", "--yes"], "--at");
        kill_after(start(&prune), pause);
        assert_good(&place);
        let dir = scratch.path().join(format!("killed{round}"));
        let text = dir.display().to_string();
        let restore = place.with(&["restore", "--segment-bytes", "1mb", "--dir", &text], "--from");
        kill_after(start(&restore), pause);
        if dir.join("RESTORING").exists() {
            let serve = ["serve", "--dir", &text, "--port", &free_port().to_string()];
            let (code, said) = run(&serve, &[]);
            assert!(code == Some(1) && said.contains("not finished"), "{said}");
        }
        if !dir.join("cluster-name").exists() || dir.join("RESTORING").exists() {
            let answer = ask(&restore, &[]);
            assert_eq!(answer["debug_digest"].as_str(), Some(&digest(&node)[..]), "{answer}");
        }
    }
    let prune = ask(&place.with(&["backup", "prune", "--keep", "1", "--yes"], "--at"), &[]);
    assert_eq!(prune["dry_run"], false);
    assert_good(&place);
    let listed = ask(&place.with(&["backup", "list"], "--at"), &[]);
    assert_eq!(listed["restorable"][0]["first_index"].as_u64(), indexes.last().copied(), "{listed}");
    node.kill();
}

#[test]
fn the_log_waits_for_a_backup_that_can_not_be_reached_but_not_for_ever() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let in_the_way: PathBuf = scratch.path().join("backups");
    std::fs::write(&in_the_way, "a file where the folder should be").expect("the folder is there");
    let spec = shipping(&place).flag("segment-bytes", "64kb").flag("backup-log-keep-bytes", "256kb");
    let node = spec.flag("checkpoints-kept", 1).start();
    let value = "v".repeat(1000);
    let fill = |count: u64| {
        let mut client = node.client();
        (0..count).for_each(|n| client.check(&format!("SET filler:{n} {value}"), "+OK"));
        checkpoint(&node);
    };
    fill(100);
    let failures = || node.client().info_number("perdura_backup_failures");
    wait_for("it has failed", LIMIT, || (failures() > 0).then_some(()));
    assert_eq!(node.client().info_number("perdura_first_index"), 1, "the log was cut");
    assert!(node.log().contains("the backup does not go on"), "{}", node.log());
    fill(500);
    let first_index = || node.client().info_number("perdura_first_index");
    wait_for("the log is cut beyond its bound", LIMIT, || (first_index() > 1).then_some(()));
    assert!(node.log().contains("backup-log-keep-bytes"), "{}", node.log());
    std::fs::remove_file(&in_the_way).expect("it is there");
    wait_until_shipped(&node);
    assert_good(&place);
    assert_eq!(restored_digest(&place, scratch.path()), digest(&node));
    assert!(node.log().contains("a checkpoint is stored"), "{}", node.log());
}

#[test]
fn others_are_refused_and_so_are_wrong_keys() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let keys = ["right", "wrong"].map(|name| scratch.path().join(name));
    for key in &keys {
        assert_eq!(run(&["backup", "create-key", &key.display().to_string()], &[]).0, Some(0));
    }
    let [right, wrong] = keys;
    let place = Place { key_file: Some(right), ..folder(scratch.path()) };
    let mut own = perdura().start();
    write(&mut own.client(), 1..50);
    own.kill();
    place.back_up(&own.data());
    let mut other = perdura().start();
    write(&mut other.client(), 1..100);
    other.kill();
    let dir = other.data().display().to_string();
    let (code, said) = run(&place.with(&["backup", "create", "--dir", &dir], "--to"), &[]);
    assert!(code == Some(4) && said.contains("belongs to"), "{said}");
    let target = scratch.path().join("restored").display().to_string();
    let with_wrong = Place { key_file: Some(wrong), ..folder(scratch.path()) };
    let (code, said) = run(&with_wrong.with(&["restore", "--dir", &target], "--from"), &[]);
    assert!(code == Some(4) && said.contains("not the key"), "{said}");
    let without = folder(scratch.path());
    let (code, said) = run(&without.with(&["backup", "verify"], "--at"), &[]);
    assert!(code == Some(4) && said.contains("a key file is needed"), "{said}");
    // What was restored can't come back into the old cluster: it is another one, whatever its name.
    let (dir, answer) = place.restore(scratch.path(), &[]);
    assert!(answer["cluster_name"].as_str().is_some_and(|name| name.starts_with("restored-")), "{answer}");
    let mut node = perdura().flag("dir", dir.display()).flag("cluster-name", "another").start();
    let id = node.client().run("PERDURA LOG STATUS").field("cluster_id").text();
    assert_eq!(answer["cluster_id"], id);
    node.kill();
    let dir = dir.display().to_string();
    let (code, said) = run(&place.with(&["backup", "create", "--dir", &dir], "--to"), &[]);
    assert!(code == Some(4) && said.contains("belongs to"), "{said}");
}
