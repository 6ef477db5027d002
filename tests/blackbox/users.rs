//! ACL: users, what they may do, on every node and after restarts.

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster};

use crate::perdura;

const SOON: std::time::Duration = std::time::Duration::from_secs(20);

fn as_user(mut client: Client, user: &str, password: &str) -> Client {
    client.check(&format!("AUTH {user} {password}"), "+OK");
    client
}

#[test]
fn a_user_may_do_what_its_rules_allow_and_nothing_else() {
    let node = perdura().start();
    let mut root = node.client();
    root.check("ACL WHOAMI", "default");
    root.check(
        "ACL SETUSER bob on >pw ~app:* %R~shared:* &news:* +@read +set +publish +subscribe +multi +exec",
        "+OK",
    );
    root.check("SET shared:a 1", "+OK");
    let mut bob = as_user(node.client(), "bob", "pw");
    bob.check("ACL WHOAMI", "-NOPERM User bob has no permissions to run the 'acl|whoami' command");
    bob.check("SET app:a 1", "+OK");
    bob.check("GET app:a", "1");
    bob.check("GET shared:a", "1");
    bob.check("SET shared:a 2", "-NOPERM No permissions to access a key");
    bob.check("GET other", "-NOPERM No permissions to access a key");
    bob.check("MGET app:a other", "-NOPERM No permissions to access a key");
    bob.check("DEL app:a", "-NOPERM User bob has no permissions to run the 'del' command");
    bob.check("CONFIG GET maxmemory", "-NOPERM User bob has no permissions to run the 'config|get' command");
    bob.check("PUBLISH news:a x", ":0");
    bob.check("PUBLISH secret x", "-NOPERM No permissions to access a channel");
    bob.check("SUBSCRIBE secret", "-NOPERM No permissions to access a channel");
    bob.check("MULTI", "+OK");
    bob.check("SET app:b 1", "+QUEUED");
    bob.check("DEL app:b", "-NOPERM User bob has no permissions to run the 'del' command");
    bob.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    let refused = root.run("ACL DRYRUN bob get other").text();
    assert_eq!(refused, "User bob has no permissions to access the 'other' key");
    root.check("ACL DRYRUN bob get app:x", "+OK");
    let info = root.run("INFO stats").text().to_owned();
    assert!(
        info.contains("acl_access_denied_cmd:4\r\n") && info.contains("acl_access_denied_key:3\r\n"),
        "{info}"
    );
    assert!(info.contains("acl_access_denied_channel:2\r\n"), "{info}");
}

#[test]
fn passwords_open_their_user_alone() {
    let node = perdura().start();
    let mut root = node.client();
    root.check("ACL SETUSER bob on >one >two +@all ~*", "+OK");
    root.check("ACL SETUSER off >one +@all ~*", "+OK");
    const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.";
    for (user, password, answer) in [
        ("bob", "one", "+OK"),
        ("bob", "two", "+OK"),
        ("bob", "three", WRONG),
        ("off", "one", WRONG),
        ("nobody", "one", WRONG),
    ] {
        node.client().check(&format!("AUTH {user} {password}"), answer);
    }
    let shown = root.run("ACL LIST").to_string();
    assert!(
        !shown.contains("one")
            && shown.contains("#7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed")
    );
    let log = root.run("ACL LOG").to_string();
    assert!(log.contains("reason auth") && log.contains("username nobody"), "{log}");
    let hello = node.client().run("HELLO 2 AUTH bob two").to_string();
    assert!(hello.contains("proto"), "{hello}");
    root.check("ACL SETUSER default off", "+OK");
    node.client().check("PING", "-NOAUTH Authentication required.");
    root.check("PING", "+PONG");
}

#[test]
fn users_survive_kill_and_checkpoint_and_are_no_keys() {
    let mut node = perdura().start();
    let mut root = node.client();
    root.check("ACL SETUSER bob on >pw ~a* +get", "+OK");
    root.check("FLUSHALL", "+OK");
    root.check("DBSIZE", ":0");
    let before = root.run("ACL LIST").to_string();
    for is_checkpointed in [false, true] {
        if is_checkpointed {
            root.check("SET k v", "+OK");
            let started = root.run("BGSAVE").to_string();
            assert!(started.starts_with('+'), "{started}");
            wait_for("the checkpoint is there", std::time::Duration::from_secs(20), || {
                root.run("INFO persistence").text().contains("rdb_bgsave_in_progress:0\r\n").then_some(())
            });
        }
        node.kill();
        node.restart();
        root = node.client();
        assert_eq!(root.run("ACL LIST").to_string(), before, "after a checkpoint: {is_checkpointed}");
        as_user(node.client(), "bob", "pw")
            .check("SET a 1", "-NOPERM User bob has no permissions to run the 'set' command");
    }
}

#[test]
fn a_change_holds_on_every_node_with_its_answer_and_ends_connections_of_who_is_gone() {
    let cluster = Cluster::start_with(perdura());
    let mut root = cluster.client(cluster.replica());
    root.check("ACL SETUSER bob on >pw ~* +get +set +subscribe +acl|whoami &a", "+OK");
    let mut bobs = Vec::new();
    for node in &cluster.nodes {
        wait_for("the user is known", std::time::Duration::from_secs(5), || {
            (node.client().run("AUTH bob pw").to_string() == "+OK").then_some(())
        });
        let mut bob = as_user(node.client(), "bob", "pw");
        bob.check("SET k v", "+OK");
        bob.check("DEL k", "-NOPERM User bob has no permissions to run the 'del' command");
        bobs.push(bob);
    }
    // What a replica sends on is judged by the primary.
    root.check("ACL SETUSER bob -set", "+OK");
    for bob in &mut bobs {
        let refused = bob.run("SET k w").to_string();
        assert_eq!(refused, "-NOPERM User bob has no permissions to run the 'set' command");
    }
    root.check("ACL DELUSER bob nobody", ":1");
    for bob in &mut bobs {
        wait_for("the connection ends", std::time::Duration::from_secs(5), || {
            bob.try_call(&[b"PING"]).is_err().then_some(())
        });
    }
    root.check("ACL USERS", "[default]");
    root.check("ACL DELUSER default", "-ERR The 'default' user cannot be removed");
}

#[test]
fn a_limited_default_user_does_not_let_clients_pass_for_nodes() {
    let cluster = Cluster::start_with(perdura().flag("masterauth", "nodes"));
    let primary = cluster.primary();
    let replica = cluster.replica();
    let mut root = cluster.client(primary);
    root.check("ACL SETUSER admin on >admin ~* &* +@all", "+OK");
    root.check("ACL SETUSER default -@all +ping +get +perdura|noforward", "+OK");
    let mut stranger = cluster.client(primary);
    for line in
        ["PERDURA NOFORWARD admin x", "PERDURA NOFORWARD admin x hush", "PERDURA NOFORWARD admin x nodes"]
    {
        let refused = stranger.run(line).to_string();
        let is_refused = ["-NOPERM", "-WRONGPASS", "-TRYAGAIN"].iter().any(|code| refused.starts_with(code));
        assert!(is_refused, "{line}: {refused}");
        stranger.check("SET k v", "-NOPERM User default has no permissions to run the 'set' command");
    }
    // A client of a replica goes on by way of the password that nodes share.
    let mut admin = as_user(cluster.client(replica), "admin", "admin");
    admin.check("SET k v", "+OK");
    let mut limited = cluster.client(replica);
    limited.check("GET k", "v");
    limited.check("SET k w", "-NOPERM User default has no permissions to run the 'set' command");
    // So it does where the user default is off.
    admin.check("ACL SETUSER default off", "+OK");
    admin.check("SET k x", "+OK");
    wait_for("the replica knows that the user is off", SOON, || {
        (cluster.client(replica).run("GET k").to_string() == "-NOAUTH Authentication required.").then_some(())
    });
    as_user(cluster.client(replica), "admin", "admin").check("SET k y", "+OK");
}

/// The last user that can change users stays one: the way back would be a restart.
#[test]
fn change_that_leaves_no_administrator_is_refused() {
    let node = perdura().start();
    let mut root = node.client();
    for line in [
        "ACL SETUSER default off",
        "ACL SETUSER default -@all",
        "ACL SETUSER default -acl|setuser",
        "ACL SETUSER default resetpass",
    ] {
        let refused = root.run(line).to_string();
        assert!(
            refused.starts_with("-ERR after this change no user")
                && refused.contains("ACL SETUSER <name> on"),
            "{line}: {refused}"
        );
    }
    root.check("SET k v", "+OK");
    // One that can't authenticate is none.
    root.check("ACL SETUSER bob on ~* &* +@all", "+OK");
    assert!(root.run("ACL SETUSER default off").to_string().starts_with("-ERR after"), "bob has no password");
    root.check("ACL SETUSER bob >pw", "+OK");
    root.check("ACL SETUSER default off", "+OK");
    let mut bob = as_user(node.client(), "bob", "pw");
    for line in ["ACL SETUSER bob off", "ACL DELUSER bob", "ACL SETUSER bob resetpass -@all"] {
        let refused = bob.run(line).to_string();
        assert!(refused.starts_with("-ERR after this change no user"), "{line}: {refused}");
    }
    bob.check("ACL SETUSER carol on >pw -@all +acl", "+OK");
    bob.check("ACL DELUSER bob", ":1");
    as_user(node.client(), "carol", "pw").check("ACL USERS", "[carol default]");
}

#[test]
fn operator_that_is_locked_out_gets_back_in_by_a_restart_and_all_logs_stay_equal() {
    let mut cluster = Cluster::start_with(perdura().flag("masterauth", "nodes"));
    let mut root = cluster.client(cluster.primary());
    root.check("ACL SETUSER admin on >forgotten ~* &* +@all", "+OK");
    root.check("SET k v", "+OK");
    root.check("ACL SETUSER default off -@all resetkeys", "+OK");
    for node in &mut cluster.nodes {
        node.kill();
        node.set_flag("requirepass", "found-again");
        node.set_flag("reset-default-user", "yes");
    }
    cluster.nodes.iter_mut().for_each(perdura_testkit::Node::spawn);
    let mut back = wait_for("one leads, and lets the operator in", SOON, || {
        cluster.nodes.iter().find_map(|node| {
            let mut client = node.try_admin().ok()?;
            let answer = client.try_call(&[b"SET", b"k", b"w"]).ok()?;
            (answer.to_string() == "+OK").then_some(client)
        })
    });
    let shown = back.run("ACL LIST").to_string();
    assert!(shown.contains("user admin on") && shown.contains("user default on #"), "{shown}");
    assert!(!shown.contains("found-again"), "{shown}");
    back.check("ACL SETUSER admin >new", "+OK");
    cluster.agreed_digest();
    let told =
        cluster.nodes.iter().filter(|node| node.log().contains("without --reset-default-user")).count();
    assert_eq!(told, 1, "the one that leads");
    // It is done once: the operator may limit the user again while the flag is still there.
    back.check("ACL SETUSER default -flushall", "+OK");
    back.check("SET k x", "+OK");
    assert!(back.run("ACL LIST").to_string().contains("-flushall"));
}

#[test]
fn reset_of_the_default_user_wants_a_password() {
    let mut node = perdura().flag("reset-default-user", "yes").launch();
    assert_eq!(node.wait_for_exit().code(), Some(2));
    assert!(node.log().contains("give --requirepass or --requirepass-file with it"), "{}", node.log());
}

#[test]
fn commands_of_an_operator_authenticate_as_the_user_that_is_named() {
    let node = perdura().start();
    let mut root = node.client();
    root.check("SET k v", "+OK");
    root.check("ACL SETUSER admin on >hush ~* &* +@all", "+OK");
    root.check("ACL SETUSER default off", "+OK");
    let addr = node.addr().to_string();
    let rdb = node.data().join("out.rdb");
    let rdb = rdb.to_string_lossy();
    let run = |args: &[&str], as_user: bool| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_perdura"));
        command.args(args).args(["--addr", &addr]).env_remove("PERDURA_CONFIG");
        command.env("PERDURA_REQUIREPASS", "hush");
        if as_user {
            command.env("PERDURA_USER", "admin");
        }
        let output = command.output().expect("the program can be run");
        (crate::log::said(&output).0, output.status.code())
    };
    let commands: [&[&str]; 9] = [
        &["ping"],
        &["checkpoint", "now"],
        &["status"],
        &["log", "status"],
        &["log", "tail"],
        &["checkpoint", "list"],
        &["digest"],
        &["doctor"],
        &["export", "--rdb", &rdb],
    ];
    for args in commands {
        let (text, code) = run(args, false);
        assert!(text.contains("WRONGPASS") && text.contains("Locked out"), "{args:?}: {text}");
        assert_ne!(code, Some(0), "{args:?}");
        let (text, _) = run(args, true);
        assert!(!text.contains("WRONGPASS") && !text.contains("NOAUTH"), "{args:?}: {text}");
    }
    let (text, code) = run(&["ping", "--user", "admin"], false);
    assert_eq!(code, Some(0), "{text}");
    let (text, code) = run(&["ping", "--user", "admin2"], true);
    assert!(code == Some(1) && text.contains("WRONGPASS"), "{text}");
}

#[test]
fn what_an_option_names_is_asked_about_and_a_pattern_needs_all_keys() {
    let node = perdura().start();
    let mut root = node.client();
    root.check("ACL SETUSER bob on >pw ~mylist ~a* ~ +@all -@admin", "+OK");
    root.check("RPUSH mylist 1 2", ":2");
    root.check("SET secret_1 top", "+OK");
    let mut bob = as_user(node.client(), "bob", "pw");
    const DENIED: &str = "-NOPERM No permissions to access a key";
    for line in [
        "SORT mylist BY nosort GET secret_*",
        "SORT mylist BY w_*",
        "SORT_RO mylist GET #",
        "SORT mylist STORE secret BY STORE asc",
        "MIGRATE 127.0.0.1 1 \"\" 5 1000 COPY REPLACE KEYS secret_1 KEYS a1",
        "MIGRATE 127.0.0.1 1 secret_1 5 1000",
    ] {
        bob.check(line, DENIED);
    }
    bob.check("SORT mylist BY nosort", "[1 2]");
    bob.check("SORT mylist STORE a", ":2");
    root.check("ACL SETUSER writer on >pw %W~w +set", "+OK");
    let mut writer = as_user(node.client(), "writer", "pw");
    writer.check("SET w 1", "+OK");
    writer.check("SET w 1 GET", DENIED);
    root.check("ACL SETUSER pinger on >pw -@all +@connection", "+OK");
    let refused = as_user(node.client(), "pinger", "pw").run("PERDURA LOG READ 1 100000").to_string();
    assert!(refused.starts_with("-NOPERM"), "{refused}");
    root.check("ACL SETUSER limited on >pw +@all ~a*", "+OK");
    as_user(node.client(), "limited", "pw").check("PERDURA LOG READ 1 100000", DENIED);
}

#[test]
fn changes_of_one_user_in_a_pipeline_come_one_after_the_other() {
    let node = perdura().start();
    let mut root = node.client();
    let lines = [
        "ACL SETUSER bob on >1",
        "ACL SETUSER bob +get ~*",
        "ACL DELUSER bob",
        "ACL SETUSER bob on >2",
        "AUTH bob 2",
    ];
    lines.iter().for_each(|line| root.send_line(line));
    for answer in ["+OK", "+OK", ":1", "+OK", "+OK"] {
        root.expect(answer);
    }
    root.check("GET k", "-NOPERM User bob has no permissions to run the 'get' command");
    let shown = node.client().run("ACL LIST").to_string();
    assert!(shown.contains("user bob on #") && shown.contains("resetchannels -@all"), "{shown}");
}

#[test]
fn a_change_of_one_user_does_not_end_the_subscriptions_of_another() {
    let node = perdura().start();
    let mut root = node.client();
    root.check("ACL SETUSER bob on >pw +subscribe &a (+subscribe &b)", "+OK");
    let mut bob = as_user(node.client(), "bob", "pw");
    bob.check("SUBSCRIBE a", "[subscribe a :1]");
    bob.check("SUBSCRIBE b", "[subscribe b :2]");
    root.check("ACL SETUSER other +get", "+OK");
    root.check("PUBLISH b hello", ":1");
    bob.expect("[message b hello]");
    root.check("ACL SETUSER bob clearselectors", "+OK");
    wait_for("the connection ends", std::time::Duration::from_secs(5), || {
        bob.try_call(&[b"PING"]).is_err().then_some(())
    });
}

/// Whoever is let in may say NOFORWARD; only a node that shows that it is one speaks in its own name behind it.
#[test]
fn a_wait_ends_when_its_user_may_not_read_the_key_any_more() {
    let node = perdura().start();
    let mut root = node.client();
    root.check("ACL SETUSER bob on >pw ~* +@all", "+OK");
    root.check("ACL SETUSER ann on >pw ~* +@all", "+OK");
    let mut bob = as_user(node.client(), "bob", "pw");
    let mut ann = as_user(node.client(), "ann", "pw");
    bob.send_line("BLPOP list 0");
    node.wait_for_blocked(1);
    ann.send_line("BLPOP list 0");
    node.wait_for_blocked(2);
    root.check("ACL SETUSER bob resetkeys", "+OK");
    root.check("RPUSH list a", ":1");
    bob.expect("-NOPERM No permissions to access a key");
    ann.expect("[list a]");
    bob.check("PING", "+PONG");
}

#[test]
fn acl_log_tells_the_command_and_keeps_as_many_entries_as_it_is_told() {
    let node = perdura().start();
    let mut root = node.client();
    root.check("ACL SETUSER bob on >pw ~* +set", "+OK");
    let mut bob = as_user(node.client(), "bob", "pw");
    bob.check("GET a", "-NOPERM User bob has no permissions to run the 'get' command");
    let log = root.run("ACL LOG").to_string();
    assert!(log.contains("cmd=get"), "{log}");
    root.check("ACL LOG RESET", "+OK");
    root.check("CONFIG SET acllog-max-len 1", "+OK");
    for command in ["GET a", "DEL a"] {
        assert!(bob.run(command).to_string().starts_with("-NOPERM"));
    }
    let log = root.run("ACL LOG").to_string();
    assert!(log.contains("cmd=del") && !log.contains("cmd=get"), "{log}");
}

#[test]
fn a_client_that_says_noforward_is_judged_by_its_own_rules() {
    let node = perdura().start();
    node.client().check("ACL SETUSER bob on >pw +ping", "+OK");
    let mut bob = as_user(node.client(), "bob", "pw");
    let answer = bob.run("PERDURA NOFORWARD").to_string();
    assert!(answer.starts_with('+'), "{answer}");
    for (line, command) in
        [("CLIENT UNBLOCK 1", "client|unblock"), ("SELECT 1", "select"), ("MULTI", "multi")]
    {
        let refusal = format!("-NOPERM User bob has no permissions to run the '{command}' command");
        bob.check(line, &refusal);
    }
}
