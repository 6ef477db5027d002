//! A password: what works before it is given, and what it takes.

use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node, free_port};

use crate::log::said;
use crate::look::{addr, command};
use crate::metrics::get;
use crate::perdura;

const SOON: Duration = Duration::from_secs(20);

const NO_AUTH: &str = "-NOAUTH Authentication required.";
const WRONG_PASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

fn guarded() -> Node {
    perdura().flag("requirepass", "secret").start()
}

#[test]
fn nothing_runs_before_the_password() {
    let node = guarded();
    let mut client = node.client();
    for command in
        ["GET k", "SET k v", "PING", "MULTI", "SUBSCRIBE ch", "INFO", "CONFIG GET requirepass", "NOSUCH"]
    {
        let reply = client.run(command).to_string();
        assert!(
            reply == NO_AUTH || command == "NOSUCH" && reply.starts_with("-ERR unknown"),
            "{command}: {reply}"
        );
    }
    client.check("AUTH wrong", WRONG_PASS);
    client.check("GET k", NO_AUTH);
    client.check("AUTH secret", "+OK");
    client.check("GET k", "nil");
    client.check("AUTH wrong", WRONG_PASS);
    client.check("GET k", "nil");
}

#[test]
fn the_default_user_has_a_name() {
    let node = guarded();
    let mut client = node.client();
    client.check("AUTH nobody secret", WRONG_PASS);
    client.check("AUTH default secret", "+OK");
}

#[test]
fn hello_can_carry_the_password() {
    let node = guarded();
    let mut client = node.client();
    let refusal = client.run("HELLO 3").to_string();
    assert!(
        refusal.starts_with("-NOAUTH HELLO must be called with the client already authenticated"),
        "{refusal}"
    );
    client.check("HELLO 2 AUTH default wrong", WRONG_PASS);
    assert_eq!(client.run("HELLO 2 AUTH default secret SETNAME me").field("proto").integer(), 2);
    client.check("CLIENT GETNAME", "me");
}

#[test]
fn without_a_password_there_is_nothing_to_authenticate() {
    let node = perdura().start();
    let mut client = node.client();
    client.check(
        "AUTH secret",
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?",
    );
    client.check("AUTH default anything", "+OK");
}

#[test]
fn strangers_may_not_fill_memory() {
    let node = guarded();
    let cases: [(&[u8], &str); 2] = [
        (b"*11\r\n", "unauthenticated multibulk length"),
        (b"*1\r\n$16385\r\n", "unauthenticated bulk length"),
    ];
    for (bytes, words) in cases {
        let mut stranger = node.client();
        stranger.send_bytes(bytes);
        stranger.expect(&format!("-ERR Protocol error: {words}"));
        assert_eq!(stranger.read_to_end(), b"");
    }
    let mut friend = node.client();
    friend.check("AUTH secret", "+OK");
    let long = vec![b'x'; 20_000];
    assert_eq!(friend.call(&[b"SET", b"k", &long]).to_string(), "+OK");
    let many: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain([&b"k"[..]; 20]).collect();
    assert_eq!(friend.call(&many).to_string(), ":1");
}

/// RESET forgets who the client was.
#[test]
fn reset_asks_for_the_password_again() {
    let node = guarded();
    let mut client = node.client();
    client.check("AUTH secret", "+OK");
    client.check("RESET", "+RESET");
    client.check("GET k", NO_AUTH);
}

/// It was taken, known to that node alone, and forgotten at the next start: what had been revoked was back.
#[test]
fn a_password_that_a_restart_would_forget_is_refused() {
    let mut node = guarded();
    let mut admin = node.client();
    admin.check("AUTH secret", "+OK");
    let error = admin.run("CONFIG SET requirepass other").to_string();
    assert!(error.starts_with("-ERR CONFIG SET failed") && error.contains("--requirepass-file"), "{error}");
    node.terminate();
    node.restart();
    let mut client = node.client();
    client.check("AUTH other", WRONG_PASS);
    client.check("AUTH secret", "+OK");
}

/// The recipe of docs/operations.md. Commands are taken through replicas at each step, and a restart changes nothing.
#[test]
fn a_password_is_replaced_without_a_moment_in_which_nodes_refuse_each_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |at: usize| dir.path().join(format!("passwords-{at}"));
    let write = |text: &str| {
        (0..3).for_each(|at| {
            let new = dir.path().join("new");
            std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, file(at))).expect("it is written");
        });
    };
    write("old\n");
    let mut cluster =
        Cluster::start_each(&perdura(), |at, spec| spec.flag("requirepass-file", file(at).display()));
    let serve = |cluster: &Cluster, password: &str, refused: &str| {
        for at in 0..3 {
            wait_for("the passwords are read again", Duration::from_secs(10), || {
                let mut client = cluster.client(at);
                let accepts = client.run(&format!("AUTH {password}")).to_string() == "+OK";
                let refuses = client.run(&format!("AUTH {refused}")).to_string() == WRONG_PASS;
                (accepts && refuses).then_some(())
            });
        }
        for at in 0..3 {
            let mut client = cluster.client(at);
            client.check(&format!("AUTH {password}"), "+OK");
            client.check("SET k v", "+OK");
        }
    };
    serve(&cluster, "old", "new");
    write("old\nnew\n");
    serve(&cluster, "new", "neither");
    serve(&cluster, "old", "neither");
    write("new\nold\n");
    serve(&cluster, "old", "neither");
    write("new\n");
    serve(&cluster, "new", "old");
    // A file that can't be used changes nothing.
    let replica = cluster.replica();
    write("");
    wait_for("the log says so", Duration::from_secs(10), || {
        cluster.nodes[replica].log().contains("the passwords stay as they are").then_some(())
    });
    serve(&cluster, "new", "old");
    write("new\n");
    cluster.nodes[replica].terminate();
    cluster.nodes[replica].restart();
    serve(&cluster, "new", "old");
}

/// Node 3 was given another password, and leads: the others hear it, and it refuses what they send.
#[test]
fn node_that_its_primary_refuses_is_not_ready_and_says_why() {
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let password = |at: usize| if at == 2 { "other" } else { "usual" };
    let group = Cluster::start_each(&perdura(), |at, spec| {
        spec.flag("requirepass", password(at)).flag("metrics-addr", format!("127.0.0.1:{}", ports[at]))
    });
    let addrs: Vec<String> = group.nodes.iter().map(addr).collect();
    let ask = |args: &[&str], password: &str| {
        said(&command(args, password).output().expect("the program can be run"))
    };
    // The successor that refuses the program is told as it is known.
    let hand_over = |to: usize| {
        wait_for("it leads", SOON, || {
            let from = group.primary();
            let number = (to + 1).to_string();
            let (text, code) = ask(&["handover", "--addr", &addrs[from], "--to", &number], password(from));
            assert!(!text.contains("term 0"), "{text}");
            (group.primary() == to).then_some((text, code))
        })
    };
    if group.primary() == 2 {
        hand_over(0);
    }
    let (text, code) = hand_over(2);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("node 3 leads in place of") && text.contains("whether it takes writes is not known"),
        "{text}"
    );
    for at in 0..2 {
        let health = wait_for("it is not well", SOON, || {
            get(ports[at], "/healthz").ok().filter(|health| health.starts_with("HTTP/1.1 503 "))
        });
        assert!(health.contains("the primary refuses what this node sends it: WRONGPASS"), "{health}");
        let (text, code) = ask(&["ping", "--ready", "--addr", &addrs[at]], "usual");
        assert!(code == Some(3) && text.contains("node 3, refuses"), "{text}");
        assert_eq!(group.nodes[at].log().matches("the primary refuses what this node sends it").count(), 1);
    }
    let (text, code) = ask(&["status", "--addr", &addrs[0], "--addr", &addrs[1]], "usual");
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("(refused-by-primary)") && text.contains("node 3 leads, as node 1, 2 says"),
        "{text}"
    );
    hand_over(0);
    wait_for("node 2 is well", SOON, || {
        get(ports[1], "/healthz").is_ok_and(|health| health.starts_with("HTTP/1.1 200 ")).then_some(())
    });
    let (text, code) = ask(&["ping", "--ready", "--addr", &addrs[1]], "usual");
    assert_eq!(code, Some(0), "{text}");
}
