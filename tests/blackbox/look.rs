//! What an operator sees of a whole group with one command.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node, free_port};
use serde_json::Value;

use crate::log::said;
use crate::metrics::get;
use crate::perdura;

const SOON: Duration = Duration::from_secs(20);
const PASSWORD: &str = "hush-hush";

/// The program with these arguments, and this password in the environment.
pub fn command(args: &[&str], password: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command.args(args).env_remove("PERDURA_CONFIG").env("PERDURA_REQUIREPASS", password);
    command
}

pub fn run(args: &[&str]) -> Output {
    command(args, "").output().expect("the program can be run")
}

pub fn addr(node: &Node) -> String {
    node.addr().to_string()
}

/// Asks for the status until it ends with this code.
pub fn status_with_code(addrs: &[String], code: i32) -> String {
    let flags = addrs.iter().flat_map(|addr| ["--addr", addr]);
    let args: Vec<&str> = std::iter::once("status").chain(flags).collect();
    wait_for(&format!("exit code {code}"), SOON, || {
        let (text, found) = said(&run(&args));
        (found == Some(code)).then_some(text)
    })
}

#[test]
fn status_shows_all_members_and_its_code_says_how_the_group_is() {
    let mut group = Cluster::start_with(perdura());
    group.client(group.primary()).check("SET k v", "+OK");
    let addrs: Vec<String> = group.nodes.iter().map(addr).collect();
    let (primary, replica) = (group.primary(), group.replica());
    // One member is asked, and knows the others.
    let text = status_with_code(&addrs[replica..=replica], 0);
    assert!(text.starts_with("healthy: cluster "), "{text}");
    assert!(text.contains(&format!("primary {}", primary + 1)), "{text}");
    assert!(text.lines().nth(1).is_some_and(|head| head.contains("lag") && head.contains("heard")), "{text}");
    for (number, addr) in addrs.iter().enumerate() {
        let role = if number == primary { "primary" } else { "replica" };
        let line = text.lines().find(|line| line.contains(addr)).expect("a line for each member");
        assert!(line.starts_with(&format!("{}  ", number + 1)) && line.contains(role), "{line}");
        assert!(line.contains(env!("CARGO_PKG_VERSION")), "{line}");
    }

    let gone = 3 - primary - replica;
    group.nodes[gone].kill();
    let text = status_with_code(&addrs[primary..=primary], 1);
    assert!(text.starts_with("degraded: ") && text.contains("does not answer"), "{text}");
    assert!(
        text.contains(&format!("WARNING node {}: ", gone + 1)) && text.contains("connection refused"),
        "{text}"
    );

    group.nodes[primary].kill();
    let text = status_with_code(&addrs[replica..=replica], 2);
    assert!(text.starts_with("no writes: ") && text.contains("(no-primary)"), "{text}");

    group.nodes[replica].kill();
    let text = status_with_code(&addrs, 4);
    assert!(addrs.iter().all(|addr| text.contains(addr)), "{text}");
}

#[test]
fn status_names_the_members_that_one_with_an_empty_folder_waits_for() {
    let mut group = Cluster::start_with(perdura());
    group.client(group.primary()).check("SET k v", "+OK");
    let (emptied, gone) = (group.primary(), group.replica());
    group.nodes[gone].kill();
    group.nodes[emptied].kill();
    std::fs::remove_dir_all(group.nodes[emptied].data()).expect("its folder is there");
    group.nodes[emptied].spawn();
    let addrs = [addr(&group.nodes[emptied])];
    let text = wait_for("it says what it waits for", SOON, || {
        let text = said(&run(&["status", "--addr", &addrs[0]])).0;
        let expected = format!(
            "its log is new, and it joins once every other member is heard: start node {},",
            gone + 1
        );
        text.contains(&expected).then_some(text)
    });
    assert!(text.contains("(new-log-waits)"), "{text}");
    group.nodes[gone].spawn();
    status_with_code(&addrs, 0);
    group.client(emptied).check("GET k", "v");
}

#[test]
fn status_as_json_info_and_the_endpoint_say_the_same() {
    let port = free_port();
    let node = perdura().flag("metrics-addr", format!("127.0.0.1:{port}")).start();
    let mut client = node.client();
    client.check("SET k v", "+OK");
    let report = wait_for("the log is open and the disk measured with it", SOON, || {
        let report: Value = serde_json::from_str(&client.run("PERDURA STATUS").text()).expect("it is JSON");
        let is_known = report["cluster_id"].as_str().is_some_and(|id| !id.is_empty());
        let is_measured = report["disk"]["log_bytes"].as_u64() > Some(1 << 20);
        (is_measured && report["takes_writes"] == true && is_known).then_some(report)
    });
    let page = get(port, "/status").expect("it listens");
    let (head, body) = page.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("application/json"), "{head}");
    let shown: Value = serde_json::from_str(body).expect("it is JSON");
    let output = run(&["status", "--json", "--addr", &addr(&node)]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output).0);
    let view: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let of_cli = &view["members"][0]["report"];
    for field in ["node_id", "addr", "cluster_id", "version", "commit", "run_id", "state", "term", "members"]
    {
        assert_eq!((&shown[field], &of_cli[field]), (&report[field], &report[field]), "{field}");
    }
    let info = |name: &str| node.client().info(name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(info("perdura_version"), report["version"].as_str().expect("a text"));
    assert_eq!(info("perdura_commit"), report["commit"].as_str().expect("a text"));
    assert_eq!(info("perdura_cluster_id"), report["cluster_id"].as_str().expect("a text"));
    assert_eq!(info("perdura_takes_writes"), "1");
    let metrics = get(port, "/metrics").expect("it listens");
    for line in ["perdura_disk_log_bytes ", "perdura_connected_peers 0", "perdura_build_info{version="] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn status_wants_the_password_and_says_where_to_give_it() {
    let node = perdura().flag("requirepass", PASSWORD).start();
    let ask = |password: &str| {
        said(
            &command(&["status", "--addr", &addr(&node)], password).output().expect("the program can be run"),
        )
    };
    let (text, code) = ask("");
    assert!(code == Some(4) && text.contains("PERDURA_REQUIREPASS"), "{text}");
    let (text, code) = ask("wrong");
    assert!(code == Some(4) && text.contains("another password"), "{text}");
    wait_for("a healthy node", SOON, || (ask(PASSWORD).1 == Some(0)).then_some(()));
}

#[test]
fn status_watches_until_it_is_interrupted() {
    use std::io::{BufRead, BufReader};
    let node = perdura().start();
    let mut watching = command(&["status", "--watch", "1", "--addr", &addr(&node)], "");
    let mut child = watching.stdout(Stdio::piped()).spawn().expect("the program can be run");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let looks = lines.map_while(Result::ok).filter(|line| line.contains("cluster ")).take(2).count();
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    assert_eq!(looks, 2);
}

#[test]
fn handover_moves_the_primary_and_loses_nothing() {
    let group = Cluster::start_with(perdura());
    let addrs: Vec<String> = group.nodes.iter().map(addr).collect();
    status_with_code(&addrs[..1], 0);
    let (from, to) = (group.primary(), group.replica());
    let mut client = group.client(from);
    for n in 0..100 {
        client.check(&format!("SET k{n} {n}"), "+OK");
    }
    let number = (to + 1).to_string();
    // Any member is asked; it need not be one of the two.
    let asked = &addrs[3 - from - to];
    let hand_over = || said(&run(&["handover", "--addr", asked, "--to", &number]));
    let text = wait_for("the successor has taken over", SOON, || {
        let (text, code) = hand_over();
        (code == Some(0)).then_some(text)
    });
    assert!(text.contains(&format!("node {number} is the primary")), "{text}");
    assert_eq!(group.primary(), to);
    let mut client = group.client(to);
    client.check("DBSIZE", ":100");
    client.check("SET after v", "+OK");
    let (text, code) = hand_over();
    assert!(code == Some(0) && text.contains("is the primary already"), "{text}");

    let (text, code) = said(&run(&["handover", "--addr", asked, "--to", "9"]));
    assert!(code == Some(2) && text.contains("the members are 1, 2, 3"), "{text}");
    client.check("FAILOVER", "-ERR not supported: PERDURA HANDOVER <node-id> hands the leadership over, SHUTDOWN does before the process ends");
}

#[test]
fn handover_to_a_member_that_is_down_begins_nothing() {
    let mut group = Cluster::start_with(perdura());
    let (primary, gone) = (group.primary(), group.replica());
    group.nodes[gone].kill();
    let addr = addr(&group.nodes[primary]);
    let number = (gone + 1).to_string();
    let text = wait_for("the primary notices", SOON, || {
        let (text, code) = said(&run(&["handover", "--addr", &addr, "--to", &number]));
        (code == Some(1) && text.contains("is not heard")).then_some(text)
    });
    assert!(text.contains("not handed over"), "{text}");
    group.client(primary).check("SET k v", "+OK");
}

/// Something that must appear in nothing that leaves the node for a bug report.
const MARKER: &str = "Zq7marker";

#[test]
fn bundle_has_what_a_report_needs_and_no_data_and_no_password() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let password = format!("{MARKER}-password");
    let masterauth = format!("{MARKER}-masterauth");
    let spec =
        perdura().variable("PERDURA_REQUIREPASS", &password).variable("PERDURA_MASTERAUTH", &masterauth);
    let node = spec.flag("log-level", "debug").launch();
    let mut client = wait_for("the password is taken", SOON, || {
        let mut client = perdura_testkit::Client::try_connect(node.addr()).ok()?;
        client.try_call(&[b"AUTH", password.as_bytes()]).ok().filter(|reply| !reply.is_error())?;
        let reply = client.try_call(&[b"PING"]).ok()?;
        (!reply.is_error()).then_some(client)
    });
    // Keys, values, fields, channels, names, commands that are slow, refused, wrong, or unknown.
    client.check("CONFIG SET slowlog-log-slower-than 0", "+OK");
    for line in [
        "CLIENT SETNAME MARK-name",
        "SET MARK-key MARK-value",
        "HSET MARK-hash MARK-field MARK-value",
        "INCR MARK-key",
        "MARK-command MARK-argument",
        "GET",
        "CONFIG SET requirepass MARK-new",
        "AUTH MARK-wrong",
        "PUBLISH MARK-channel MARK-message",
        "DEBUG MARK-debug",
        "OBJECT MARK-sub MARK-key",
        "MIGRATE 127.0.0.1 1 MARK-key 0 100",
        "SUBSCRIBE MARK-channel",
        "BGSAVE",
    ] {
        client.run(&line.replace("MARK", MARKER));
    }
    let file = dir.path().join("bundle.json");
    let path = file.to_string_lossy().into_owned();
    let bundle = |out: &str| {
        let flags =
            ["debug", "bundle", "--addr", &addr(&node), "--out", out, "--dir", &dir.path().to_string_lossy()];
        said(&command(&flags, &password).output().expect("the program can be run"))
    };
    let (text, code) = bundle(&path);
    assert!(code == Some(0) && text.contains("1 nodes"), "{text}");
    let written = std::fs::read_to_string(&file).expect("it is written");
    assert!(!written.contains(MARKER), "{written}");
    let read: Value = serde_json::from_str(&written).expect("it is JSON");
    let part = &read["nodes"][0];
    let messages = part["messages"].as_array().expect("a list");
    assert!(
        messages.iter().any(|line| line.as_str().is_some_and(|line| line.contains("ready to accept"))),
        "{written}"
    );
    assert!(
        part["settings"]["segment-bytes"].as_str().is_some_and(|text| text.starts_with("1048576")),
        "{written}"
    );
    assert!(part["settings"].get("requirepass").is_none() && part["settings"].get("masterauth").is_none());
    assert!(part["log"]["last_index"].as_u64() > Some(0), "{written}");
    assert!(part["info"].as_array().is_some_and(|lines| lines.len() > 100), "{written}");
    assert!(part["checkpoints"].is_array() && read["machine"].as_array().is_some_and(|list| list.len() > 4));
    assert_eq!(read["group"]["members"][0]["report"]["node_id"], 1);
    // A file that is there stays as it is.
    let (text, code) = bundle(&path);
    assert!(code == Some(4) && text.contains("bundle.json"), "{text}");
    assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), written);
}

#[test]
fn doctor_looks_at_machine_folder_and_group() {
    use std::os::unix::fs::PermissionsExt;
    let node = perdura().start();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().to_string_lossy().into_owned();
    let look = |args: &[&str]| {
        let args = [&["doctor", "--json", "--dir", path.as_str()], args].concat();
        let output = run(&args);
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output).0));
        assert_eq!(output.status.code(), Some(if report["good"] == true { 0 } else { 1 }), "{report}");
        report["findings"].as_array().expect("a list").clone()
    };
    let of = |findings: &[Value], name: &str| {
        findings
            .iter()
            .find(|finding| finding["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {findings:?}"))
            .clone()
    };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("our own folder");
    let findings = look(&[]);
    let folder = of(&findings, "folder");
    assert!(
        folder["good"] == false && folder["text"].as_str().is_some_and(|text| text.contains("chmod")),
        "{folder}"
    );
    for name in ["open-files", "memory", "calendar", "space", "sync"] {
        of(&findings, name);
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("our own folder");
    wait_for("the node is well", SOON, || {
        let findings = look(&["--addr", &addr(&node)]);
        let is_good = |name: &str| of(&findings, name)["good"] == true;
        (is_good("folder") && is_good("group") && is_good("clocks")).then_some(())
    });
    assert_eq!(std::fs::read_dir(&path).expect("our own folder").count(), 0, "it leaves nothing behind");
    assert_eq!(run(&["doctor", "--dir", &path, "--addr", "127.0.0.1:1"]).status.code(), Some(4));
}

#[test]
fn ping_ready_is_about_serving_not_about_answering() {
    let mut group = Cluster::start_with(perdura());
    group.client(group.primary()).check("SET k v", "+OK");
    let replica = group.replica();
    let ping = |node: &Node, ready: bool| {
        let flags: &[&str] = if ready { &["--ready"] } else { &[] };
        run(&[&["ping", "--addr", &addr(node)], flags].concat()).status.code()
    };
    for node in &group.nodes {
        wait_for("a member is ready", SOON, || (ping(node, true) == Some(0)).then_some(()));
    }
    let others: Vec<usize> = (0..3).filter(|at| *at != replica).collect();
    for at in others {
        group.nodes[at].kill();
    }
    wait_for("it serves no more", SOON, || (ping(&group.nodes[replica], true) == Some(3)).then_some(()));
    assert_eq!(ping(&group.nodes[replica], false), Some(0));
    group.nodes[replica].kill();
    assert_eq!(ping(&group.nodes[replica], true), Some(1));
}

#[test]
fn start_says_in_one_line_what_the_node_is() {
    let mut node = perdura().flag("requirepass", "hush").start();
    let line = |node: &Node, text: &str| {
        let log = node.log();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect::<Vec<_>>()
    };
    let ready = line(&node, "ready to accept connections");
    let dir = node.data().canonicalize().expect("it is there").display().to_string();
    for part in
        [env!("CARGO_PKG_VERSION"), "commit=", &dir, "node=1", "cluster=", "alone", &addr(&node), "yes"]
    {
        assert!(ready[0].contains(part), "{part} is not in {}", ready[0]);
    }
    let begun = line(&node, "a new log begins in");
    assert!(begun.len() == 1 && begun[0].contains("WARN") && begun[0].contains(&dir), "{begun:?}");
    // A folder that has a log begins none.
    node.try_admin().expect("it runs").check("SET k v", "+OK");
    assert!(node.terminate().success());
    node.restart();
    assert_eq!(line(&node, "a new log begins in").len(), 1);
    // What the start ran again does not count.
    let mut client = node.try_admin().expect("it runs");
    assert_eq!(client.info("cmdstat_set"), None);
}

#[test]
fn digest_compares_members_of_one_cluster_each_once() {
    let (one, other) = (perdura().start(), perdura().start());
    let digest = |nodes: &[&Node]| {
        let addrs: Vec<String> = nodes.iter().map(|node| addr(node)).collect();
        let flags = addrs.iter().flat_map(|addr| ["--addr", addr.as_str()]);
        said(&run(&std::iter::once("digest").chain(flags).collect::<Vec<_>>()))
    };
    let (text, code) = digest(&[&one]);
    assert!(code == Some(0) && text.contains("nothing to compare with") && !text.contains("same"), "{text}");
    let (text, code) = digest(&[&one, &one]);
    assert!(code == Some(2) && text.contains("the same node"), "{text}");
    let id = |node: &Node| {
        wait_for("a cluster's id", SOON, || {
            node.client().info("perdura_cluster_id").filter(|id| !id.is_empty())
        })
    };
    assert_ne!(id(&one), id(&other));
    let before = one.client().info_number("perdura_last_index");
    let (text, code) = digest(&[&one, &other]);
    assert!(code == Some(4) && text.contains("only members of one cluster"), "{text}");
    assert_eq!(one.client().info_number("perdura_last_index"), before, "a refusal sets no mark");
}

#[test]
fn messages_of_commands_say_the_way_out() {
    let mut node = perdura().start();
    node.client().check("SET k v", "+OK");
    let (place, dir) = (addr(&node), node.data().to_string_lossy().into_owned());
    for (args, code, words) in [
        (vec!["log", "verify", "--dir", &dir], 3, "checkpoint verify --addr"),
        (vec!["log", "inspect", "--addr", &place, "--from", "900", "--to", "950"], 2, "the log holds 1 to "),
        (vec!["log", "inspect", "--addr", &place, "--from", "9", "--to", "3"], 2, "is after"),
        (vec!["log", "inspect", "--addr", &place, "--to-time", "10 minutes ago"], 0, "index"),
        (vec!["log", "inspect", "--addr", &place, "--to-time", "soon"], 2, "10 minutes ago"),
        (vec!["log", "compact", "--addr", &place, "--dry-run", "--json"], 0, "\"dry_run\":true"),
        (vec!["log", "status", "--dir", "/no/such/folder"], 4, "--dir names the folder"),
        (vec!["checkpoint", "now", "--addr", "127.0.0.1:1"], 4, "no server listens there"),
        (vec!["status", "--addr", "127.0.0.1:1"], 4, "no server listens there"),
    ] {
        let (text, found) = said(&run(&args));
        assert!(found == Some(code) && text.contains(words), "{args:?}: {found:?}: {text}");
    }
    assert!(node.terminate().success());
    let (text, code) = said(&run(&["log", "inspect", "--dir", &dir, "--from", "900"]));
    assert!(code == Some(2) && text.contains("the log holds 1 to "), "{text}");
}

#[test]
fn errors_that_a_node_makes_itself_are_counted() {
    let mut group = Cluster::start_with(perdura());
    let replica = group.replica();
    let mut client = group.client(replica);
    client.check("SET k v", "+OK");
    let count = |client: &mut perdura_testkit::Client, code: &str| {
        client
            .info(&format!("errorstat_{code}"))
            .map_or(0, |text| text.trim_start_matches("count=").parse::<u64>().expect("a number"))
    };
    let before = count(&mut client, "ERR");
    client.check("EXEC", "-ERR EXEC without MULTI");
    assert_eq!(count(&mut client, "ERR"), before + 1);
    for at in (0..3).filter(|at| *at != replica) {
        group.nodes[at].kill();
    }
    wait_for("it has no primary", SOON, || {
        let mut client = group.client(replica);
        let reply = client.try_call(&[b"SET", b"k", b"w"]).ok()?.to_string();
        (reply.starts_with("-CLUSTERDOWN") && count(&mut client, "CLUSTERDOWN") > 0).then_some(())
    });
}

#[test]
fn a_command_that_fails_or_is_refused_counts_as_such() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("CONFIG SET maxmemory 1", "+OK");
    let failing: [(&[&str], &str, &str, &str); 4] = [
        (&["EVALSHA", "none", "0"], "NOSCRIPT", "evalsha", "rejected_calls=0,failed_calls=1"),
        (
            &["EVAL", "return redis.error_reply('MY error')", "0"],
            "MY",
            "eval",
            "rejected_calls=0,failed_calls=1",
        ),
        (&["EXEC"], "ERR", "exec", "rejected_calls=0,failed_calls=1"),
        (&["SET", "k", "v"], "OOM", "set", "rejected_calls=1,failed_calls=0"),
    ];
    for (words, code, name, counts) in failing {
        client.check("CONFIG RESETSTAT", "+OK");
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let reply = client.call(&args).to_string();
        assert!(reply.starts_with(&format!("-{code} ")), "{reply}");
        assert_eq!(client.info(&format!("errorstat_{code}")).as_deref(), Some("count=1"), "{words:?}");
        let stats = client.info(&format!("cmdstat_{name}")).unwrap_or_default();
        assert!(stats.ends_with(counts), "{words:?}: {stats}");
    }
    client.check("CONFIG RESETSTAT", "+OK");
    let mut waiting = node.client();
    let id = waiting.run("CLIENT ID").to_string();
    waiting.send_line("BLPOP none 0");
    wait_for("it waits", SOON, || (client.info_number("blocked_clients") == 1).then_some(()));
    client.check(&format!("CLIENT UNBLOCK {} ERROR", id.trim_start_matches(':')), ":1");
    assert!(waiting.read().to_string().starts_with("-UNBLOCKED"));
    assert_eq!(client.info("errorstat_UNBLOCKED").as_deref(), Some("count=1"));
    assert!(client.info("cmdstat_blpop").is_some_and(|stats| stats.ends_with("failed_calls=1")));
}

/// Two of three members are gone: what the third one has is looked at before anything is given up.
#[test]
fn member_without_a_majority_shows_its_log_and_checkpoints_and_is_backed_up() {
    let mut group = Cluster::start_with(perdura());
    let mut client = group.client(group.primary());
    client.check("SET k v", "+OK");
    let left = group.replica();
    let own = addr(&group.nodes[left]);
    group.agreed_digest();
    let (text, code) = said(&run(&["checkpoint", "now", "--addr", &own]));
    assert_eq!(code, Some(0), "{text}");
    // After a restart the member does not know whether this was committed: it has not caught up.
    client.check("SET k w", "+OK");
    group.agreed_digest();
    group.nodes.iter_mut().for_each(Node::kill);
    group.nodes[left].spawn();
    let to = tempfile::TempDir::new().expect("a temporary folder");
    let to = format!("file://{}", to.path().join("backup").display());
    let told: [(&[&str], &str); 6] = [
        (&["log", "status", "--addr", &own], "entries"),
        (&["log", "tail", "--commands", "--addr", &own], "SET"),
        (&["checkpoint", "list", "--addr", &own], "Z "),
        (&["checkpoint", "verify", "--addr", &own], "0 damaged"),
        (&["backup", "init", "--addr", &own, "--at", &to], "begun"),
        (&["backup", "create", "--addr", &own, "--to", &to], "checkpoint"),
    ];
    for (args, shown) in told {
        wait_for(&format!("{args:?} is answered"), SOON, || {
            let (text, code) = said(&run(args));
            (code == Some(0) && text.contains(shown)).then_some(())
        });
    }
    let (text, code) = said(&run(&["checkpoint", "now", "--addr", &own]));
    assert!(code == Some(4) && text.contains("a majority of the members has to run"), "{text}");
    wait_for("its log says what it waits for", SOON, || {
        group.nodes[left]
            .log()
            .contains("no primary is known: a majority of the members has to run")
            .then_some(())
    });
    // Where a password is wanted, who does not send it learns nothing.
    group.nodes.iter_mut().for_each(Node::kill);
    group.nodes.iter_mut().for_each(Node::spawn);
    group.nodes.iter_mut().for_each(Node::wait_until_it_answers);
    let mut client = group.client(group.primary());
    client.check("ACL SETUSER admin on >pw ~* &* +@all", "+OK");
    client.check("ACL SETUSER default off", "+OK");
    wait_for("the member knows it", SOON, || {
        (group.client(left).run("GET k").to_string() == "-NOAUTH Authentication required.").then_some(())
    });
    // So that it knows it after a restart, too.
    let as_admin = ["checkpoint", "now", "--user", "admin", "--addr", &own];
    let (text, code) = said(&command(&as_admin, "pw").output().expect("the program can be run"));
    assert_eq!(code, Some(0), "{text}");
    group.nodes.iter_mut().for_each(Node::kill);
    group.nodes[left].spawn();
    wait_for("it has loaded", SOON, || {
        let (text, _) = said(&run(&["log", "status", "--addr", &own]));
        assert!(!text.contains("entries"), "{text}");
        (text.contains("waits for the primary") || text.contains("NOAUTH")).then_some(())
    });
    for (args, shown) in &told[1..] {
        let (text, code) = said(&run(args));
        assert!(code == Some(4) && !text.contains(shown), "{args:?}: {text}");
    }
}

/// `rm -r` under a running node, as the page says.
#[test]
fn what_was_set_aside_is_told_until_it_is_removed() {
    let node = perdura().start();
    node.client().check("SET k v", "+OK");
    let addrs = [addr(&node)];
    status_with_code(&addrs, 0);
    let kept = node.data().join("before-recovery-1");
    std::fs::create_dir(&kept).expect("it can be made");
    let text = status_with_code(&addrs, 1);
    assert!(text.contains("(set-aside)") && text.contains("a recovery replaced them"), "{text}");
    std::fs::remove_dir(&kept).expect("it is there");
    status_with_code(&addrs, 0);
}
