//! Stories of settings that are right and settings that are refused.

use std::io::Write;

use super::runtime::RuntimeConfig;
use super::settings::{Flags, SETTINGS, Settings, variable_name};
use super::*;

const THREE: &str = "1=127.0.0.1:8001,2=127.0.0.1:8002,3=127.0.0.1:8003";

fn flags(pairs: &[(&'static str, &str)]) -> Flags {
    let mut flags = Flags::new();
    for (name, text) in pairs {
        flags.entry(name).or_default().push((*text).to_owned());
    }
    flags
}

fn build(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
    Config::build(&Settings::resolve(&flags(pairs), [])?)
}

fn refusal(pairs: &[(&'static str, &str)]) -> String {
    build(pairs).expect_err("it must be refused").to_string()
}

#[test]
fn the_defaults_are_one_durable_node_for_this_machine() {
    let config = build(&[]).expect("the defaults are sound");
    assert_eq!((config.node_id, config.port), (1, 6379));
    assert_eq!(config.voters(), [1]);
    assert!(config.members.is_empty() && config.peer_addr.is_none());
    assert!(config.bind.iter().all(|bind| bind.ip.is_loopback()));
    assert_eq!(config.announce_addr.to_string(), "127.0.0.1:6379");
    assert!(config.workers >= 1 && config.protected_mode);
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(
        file,
        "port = 7001\nmaxclients = 50\ntimeout = 9\nbind = [\"127.0.0.1\", \"::1\"]\nprotected-mode = false"
    )
    .expect("written");
    let path = file.path().to_str().expect("a text").to_owned();
    let environment = [
        ("PERDURA_PORT", "7002"),
        ("PERDURA_MAXCLIENTS", "60"),
        ("PERDURA_TIMEOUT", ""),
        ("PERDURA_REQUIREPAS", "typo"),
        ("HOME", "/"),
    ];
    let environment = environment.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let settings = Settings::resolve(&flags(&[("config", &path), ("port", "7003")]), environment)
        .expect("all are known");
    let config = Config::build(&settings).expect("all are sound");
    assert_eq!((config.port, config.maxclients, config.given.values.timeout_s), (7003, 60, 9));
    assert_eq!(config.bind.len(), 2);
    assert!(!config.protected_mode);
    assert_eq!(settings.unknown_variables(), ["PERDURA_REQUIREPAS"]);
}

#[test]
fn a_refusal_names_the_flag_and_where_its_value_came_from() {
    assert_eq!(refusal(&[("port", "70000")]), "--port: '70000' is no port from 1 to 65535");
    let environment = [("PERDURA_LOG_SYNC".to_owned(), "never".to_owned())];
    let settings = Settings::resolve(&Flags::new(), environment).expect("a known name");
    let error = Config::build(&settings).expect_err("a bad value").to_string();
    assert_eq!(error, "--log-sync: 'never' is none of dsync, fdatasync (from PERDURA_LOG_SYNC)");
}

#[test]
fn a_bad_file_is_refused_by_its_name() {
    let resolve = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        let path = file.path().to_str().expect("a text").to_owned();
        Settings::resolve(&flags(&[("config", &path)]), [])
            .and_then(|settings| Config::build(&settings))
            .expect_err("a bad file")
            .to_string()
    };
    assert!(resolve("prot = 1").contains("'prot' in /"));
    assert!(resolve("config = \"other\"").contains("'config' in /"));
    assert!(resolve("timeout = 5\nport = ").contains("is not TOML: line 2 (port): "));
    // Of a line that is wrong its setting is named, and nothing of it is shown: it may be a password's.
    for text in
        ["requirepass = hush", "requirepass = \"hush", "port = 7\nrequirepass = \"hush\" hush", "hush"]
    {
        let refusal = resolve(text);
        assert!(refusal.contains("is not TOML: line ") && !refusal.contains("hush"), "{refusal}");
    }
    let refusal = resolve("port 7\nrequirepass \"hush");
    assert!(
        refusal.contains(": line 2 (requirepass) can't be understood") && !refusal.contains("hush"),
        "{refusal}"
    );
    assert!(resolve("\nrequirepass = hush").contains("line 2 (requirepass): "));
    assert!(resolve("port = 1.5").starts_with("--port: a float is no value for it (from /"));
    assert!(resolve("port = [1, 2]").starts_with("--port: a array is no value"));
    let missing = Settings::resolve(&flags(&[("config", "/no/such")]), []);
    assert!(missing.expect_err("no file").to_string().contains("can't read /no/such"));
}

#[test]
fn a_password_that_is_no_text_is_refused_by_name() {
    for value in ["true", "12345", "1.5", "[\"hush\"]", "{ a = \"hush\" }"] {
        for name in ["requirepass", "masterauth"] {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            writeln!(file, "{name} = {value}").expect("written");
            let path = file.path().to_str().expect("a text").to_owned();
            let refused = Settings::resolve(&flags(&[("config", &path)]), []).expect_err("it is no text");
            let refusal = refused.to_string();
            assert!(refusal.starts_with(&format!("--{name}: a password is a text in quotes")), "{refusal}");
            assert!(!refusal.contains("hush") && !refusal.contains("12345"), "{refusal}");
        }
    }
}

#[test]
fn passwords_are_in_no_debug_text_and_no_refusal() {
    let long = "hush".repeat(200);
    for name in SETTINGS.iter().filter(|setting| setting.secret).map(|setting| setting.name) {
        let settings = Settings::resolve(&flags(&[(name, "hush")]), []).expect("a setting");
        assert_eq!(settings.secrets_in_flags().collect::<Vec<_>>(), [name]);
        let config = Config::build(&settings).expect("it is sound");
        assert!(!format!("{settings:?} {config:?}").contains("hush"), "{name}");
        assert!(
            !format!("{:?}", runtime::RuntimeConfig::new(config, std::sync::Arc::default())).contains("hush"),
            "{name}"
        );
        let refusal = refusal(&[(name, &long)]);
        assert!(refusal.starts_with(&format!("--{name}: ")) && !refusal.contains("hush"), "{refusal}");
    }
}

#[test]
fn a_group_of_three_starts_with_the_flags_of_the_readme() {
    let config = build(&[
        ("node-id", "2"),
        ("port", "7002"),
        ("peer-addr", "127.0.0.1:8002"),
        ("initial-cluster", THREE),
    ])
    .expect("sound");
    assert_eq!(config.voters(), [1, 2, 3]);
    assert_eq!(config.announce_addr.to_string(), "127.0.0.1:7002");
}

#[test]
fn the_peer_address_may_be_left_out_or_be_a_wildcard() {
    let own = build(&[("initial-cluster", THREE)]).expect("sound").peer_addr;
    assert_eq!(own.map(|own| own.to_string()).as_deref(), Some("127.0.0.1:8001"));
    assert!(build(&[("initial-cluster", THREE), ("peer-addr", "0.0.0.0:8001")]).is_ok());
    assert!(build(&[("initial-cluster", THREE), ("peer-addr", "0.0.0.0:8009")]).is_err());
}

#[test]
fn a_group_that_contradicts_itself_is_refused() {
    let twice = "1=a:1,1=b:1";
    let cases = [
        (vec![("initial-cluster", THREE), ("node-id", "4")], "--node-id: node 4 is not in"),
        (vec![("initial-cluster", twice)], "--initial-cluster: node id 1 is there twice"),
        (vec![("initial-cluster", "1=a:1,2=a:1")], "--initial-cluster: address a:1 is there twice"),
        (vec![("initial-cluster", "1=0.0.0.0:1")], "--initial-cluster: node 1 can't be reached"),
        (vec![("initial-cluster", "1=a")], "--initial-cluster: 'a' is no HOST:PORT"),
        (vec![("initial-cluster", "x=a:1")], "--initial-cluster: 'x' is no node id"),
        (
            vec![("initial-cluster", THREE), ("peer-addr", "127.0.0.1:8002")],
            "--peer-addr: 127.0.0.1:8002 is not node 1's",
        ),
        (vec![("peer-addr", "127.0.0.1:8002")], "--peer-addr: a node without --initial-cluster"),
        (vec![("initial-cluster", THREE), ("port", "8001")], "--peer-addr: clients listen on port 8001 too"),
        (vec![("initial-cluster", "1=10.0.0.1:1,2=10.0.0.2:1")], "--bind: nodes on other machines"),
    ];
    for (pairs, expected) in cases {
        let refusal = refusal(&pairs);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn what_is_not_built_is_refused_and_not_ignored() {
    assert!(refusal(&[("databases", "32")]).starts_with("--databases: only "));
    assert!(
        refusal(&[("maxmemory-policy", "all")]).starts_with("--maxmemory-policy: argument(s) must be one of")
    );
    assert!(refusal(&[("election-ticks", "3")]).starts_with("--election-ticks: "));
    assert!(refusal(&[("proto-max-bulk-len", "1gb")]).starts_with("--proto-max-bulk-len: "));
}

#[test]
fn a_replica_authenticates_with_the_password_it_asks_for_unless_told_otherwise() {
    let auth = |pairs: &[(&'static str, &str)]| {
        let config = RuntimeConfig::new(build(pairs).expect("sound"), Default::default());
        config.masterauth().map(|secret| secret.expose().to_owned())
    };
    assert_eq!(auth(&[]), None);
    assert_eq!(auth(&[("requirepass", "a")]).as_deref(), Some("a"));
    assert_eq!(auth(&[("requirepass", "a"), ("masterauth", "b")]).as_deref(), Some("b"));
}

#[test]
fn each_setting_is_read_and_its_name_is_unique() {
    for setting in SETTINGS.iter().filter(|setting| setting.name != "config") {
        let read = build(&[(setting.name, "\u{0}")]);
        let read_whatever = matches!(setting.name, "requirepass" | "masterauth" | "dir");
        assert_eq!(read.is_ok(), read_whatever, "{} is read by nobody", setting.name);
        let twins = SETTINGS.iter().filter(|other| other.name == setting.name);
        assert_eq!(twins.count(), 1, "{}", variable_name(setting.name));
    }
}

#[test]
fn a_cluster_may_have_a_name() {
    let named = build(&[("initial-cluster", THREE), ("cluster-name", "blue")]).expect("sound");
    assert_eq!(named.cluster_name.as_deref(), Some("blue"));
    let alone = build(&[("cluster-name", "blue")]).expect("a node alone may have a name");
    assert_eq!(alone.cluster_name.as_deref(), Some("blue"));
    let long = "b".repeat(101);
    assert!(refusal(&[("initial-cluster", THREE), ("cluster-name", &long)]).starts_with("--cluster-name: "));
}

#[test]
fn backup_in_the_data_folder_is_refused() {
    let scratch = tempfile::tempdir().expect("a folder");
    let dir = scratch.path().join("data");
    let link = scratch.path().join("link");
    std::fs::create_dir(&dir).and_then(|()| std::os::unix::fs::symlink(&dir, &link)).expect("made");
    let at = |place: &std::path::Path| {
        let (dir, url) = (dir.display().to_string(), format!("file://{}", place.display()));
        build(&[("dir", &dir), ("backup-to", &url)]).map(drop).map_err(|error| error.to_string())
    };
    for place in [dir.clone(), dir.join("backups"), link.join("deep/er"), dir.join("../data/x")] {
        let error = at(&place).expect_err("it is in the data folder");
        assert!(error.contains("--backup-to") && error.contains("is in the data folder"), "{error}");
    }
    assert_eq!(at(&scratch.path().join("data-2")), Ok(()));
}

#[test]
fn reset_of_the_default_user_wants_a_password() {
    let error = refusal(&[("reset-default-user", "yes")]);
    assert!(error.contains("--reset-default-user") && error.contains("give --requirepass"), "{error}");
    let config = build(&[("reset-default-user", "yes"), ("requirepass", "hush")]).expect("it has one");
    assert!(config.resets_default_user);
}
