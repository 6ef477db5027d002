//! Data, passwords and the process belong to one user: what others of the machine can see, and what does not end a node.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Node, Signal};

use crate::perdura;

const LIMIT: Duration = Duration::from_secs(30);

/// The soft limit of core files, as the system shows it.
fn core_limit(node: &Node) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.pid())).expect("the node runs");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("Linux has it");
    line.split_whitespace().nth(4).expect("it has a soft limit").to_owned()
}

#[test]
fn sighup_does_not_end_a_node() {
    let node = perdura().start();
    for _ in 0..2 {
        node.signal(Signal::HUP);
    }
    wait_for("the node has heard it", LIMIT, || node.log().contains("SIGHUP").then_some(()));
    node.client().check("SET k v", "+OK");
}

#[test]
fn a_crash_leaves_no_core_file_unless_that_is_wanted() {
    assert_eq!(core_limit(&perdura().start()), "0");
    let inherited = std::fs::read_to_string("/proc/self/limits").expect("Linux has it");
    let wanted = perdura().flag("core-dumps", "yes").start();
    let limit = core_limit(&wanted);
    assert!(inherited.lines().any(|line| line.starts_with("Max core file size") && line.contains(&limit)));
}

#[test]
fn a_data_folder_that_others_may_look_into_is_told_at_start() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let dir = scratch.path().join("data");
    let told = "other users of this machine may look into the data folder";
    let mut node = perdura().flag("dir", dir.display()).start();
    let mode = std::fs::metadata(&dir).expect("the node made it").permissions().mode() & 0o777;
    assert!(mode == 0o700 && !node.log().contains(told), "{mode:o}: {}", node.log());
    node.kill();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    node.restart();
    assert!(node.log().contains(told), "{}", node.log());
    node.client().check("PING", "+PONG");
}

#[test]
fn a_password_in_the_command_line_is_told_and_not_shown() {
    let node = perdura().flag("requirepass", "hush-hush").start();
    let log = node.log();
    assert!(
        log.contains("a password in the command line is shown by ps") && !log.contains("hush-hush"),
        "{log}"
    );
}

#[test]
fn a_connection_name_longer_than_512_bytes_is_refused() {
    let node = perdura().start();
    let mut client = node.client();
    client.check(&format!("CLIENT SETNAME {}", "n".repeat(512)), "+OK");
    let refused = "-ERR Client names cannot be longer than 512 bytes.";
    client.check(&format!("CLIENT SETNAME {}", "n".repeat(513)), refused);
    client.check(&format!("HELLO 2 SETNAME {}", "n".repeat(513)), refused);
    let library = client.run(&format!("CLIENT SETINFO lib-name {}", "n".repeat(513))).to_string();
    assert!(library.starts_with("-ERR lib-name cannot be longer"), "{library}");
}
