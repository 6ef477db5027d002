use super::*;

#[path = "../../tests/fuzz/users_law.rs"]
mod law;

/// `get` 0, `set` 1, `config` 2 with `config|get` 3 and `config|set` 4, `select` 5.
struct Few;

const NAMES: [&str; 6] = ["get", "set", "config", "config|get", "config|set", "select"];

impl Commands for Few {
    fn count(&self) -> usize {
        NAMES.len()
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        NAMES.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }

    fn subcommands(&self, command: usize) -> Vec<usize> {
        if command == 2 { vec![3, 4] } else { Vec::new() }
    }

    fn category(&self, name: &[u8]) -> Option<Vec<usize>> {
        match &name.to_ascii_lowercase()[..] {
            b"read" => Some(vec![0, 3]),
            b"admin" => Some(vec![2, 3, 4]),
            _ => None,
        }
    }
}

fn words(rules: &str) -> Vec<&[u8]> {
    rules.split(' ').filter(|word| !word.is_empty()).map(str::as_bytes).collect()
}

fn user(rules: &str) -> User {
    User::new(b"bob", &Few).changed(&words(rules), &Few).expect("these rules are right")
}

fn described(rules: &str) -> String {
    String::from_utf8(user(rules).describe()).expect("rules are text")
}

fn error(rules: &[&[u8]]) -> String {
    user("").changed(rules, &Few).expect_err("these rules are wrong").to_string()
}

fn may(user: &User, line: &str, keys: &[(usize, Access)]) -> Result<(), Denied> {
    let args = words(line);
    let name = args[0];
    let command = Few.find(name).expect("one of the few");
    user.check(&Request { command, args: &args, keys, reads_any_key: false, channels: ChannelAccess::None })
}

const READ: Access = Access::READ;
const WRITE: Access = Access::WRITE;

#[test]
fn rules_are_shown_as_redis_shows_them() {
    for (rules, shown) in [
        ("", "off resetchannels -@all"),
        ("on nopass allkeys allchannels allcommands", "on nopass ~* &* +@all"),
        (
            "~a* %R~b* &c* +get +@read -set +config|get",
            "off ~a* %R~b* resetchannels &c* -@all +get +@read -set +config|get",
        ),
        ("+config|get +config", "off resetchannels -@all +config"),
        ("+get -get +get", "off resetchannels -@all +get"),
        ("+@all -get", "off resetchannels +@all -get"),
        ("%R~x %W~x", "off ~x resetchannels -@all"),
        ("%R~* %W~*", "off ~* resetchannels -@all"),
        ("%RW~* &a &a", "off ~* resetchannels &a -@all"),
        ("+select|0 +SELECT|1", "off resetchannels -@all +select|0 +select|1"),
        (
            "(+set ~x) ( +get &y )",
            "off resetchannels -@all (~x resetchannels -@all +set) (resetchannels &y -@all +get)",
        ),
        ("(+set ~x) clearselectors", "off resetchannels -@all"),
        ("on >pw +get reset", "off resetchannels -@all"),
    ] {
        assert_eq!(described(rules), shown, "{rules}");
        let again = User::parse(b"bob", shown.as_bytes(), &Few).expect("what is shown can be read");
        assert_eq!(again.describe(), shown.as_bytes(), "{rules}");
    }
}

#[test]
fn wrong_rules_are_refused_in_redis_words() {
    let hash = [b'A'; 64];
    for (rules, text) in [
        (
            &[&b"+foo"[..]][..],
            "ERR Error in ACL SETUSER modifier '+foo': Unknown command or category name in ACL",
        ),
        (
            &[b"+get|a|b"],
            "ERR Error in ACL SETUSER modifier '+get|a|b': Unknown command or category name in ACL",
        ),
        (
            &[b"+config|foo"],
            "ERR Error in ACL SETUSER modifier '+config|foo': Unknown command or category name in ACL",
        ),
        (&[b"+@nope"], "ERR Error in ACL SETUSER modifier '+@nope': Unknown command or category name in ACL"),
        (&[b"%X~a"], "ERR Error in ACL SETUSER modifier '%X~a': Syntax error"),
        (&[b"%~a"], "ERR Error in ACL SETUSER modifier '%~a': Syntax error"),
        (&[b"~a b"], "ERR Error in ACL SETUSER modifier '~a b': Syntax error"),
        (&[b"(on)"], "ERR Error in ACL SETUSER modifier '(on)': Syntax error"),
        (&[b"(+get"], "ERR Unmatched parenthesis in acl selector starting at '(+get'."),
        (
            &[b"<zz"],
            "ERR Error in ACL SETUSER modifier '<zz': The password you are trying to remove from the user does not exist",
        ),
        (&[b"nonsense"], "ERR Error in ACL SETUSER modifier 'nonsense': Syntax error"),
        (&[b""], "ERR Error in ACL SETUSER modifier '': Syntax error"),
    ] {
        assert_eq!(error(rules), text);
    }
    assert!(
        error(&[&[&b"#"[..], &hash].concat()]).ends_with("contain only lowercase hexadecimal characters")
    );
    assert!(error(&[b"~*", b"~a"]).contains("the 'allkeys' flag) is not valid"));
    assert!(error(&[b"&*", b"&a"]).contains("the 'allchannels' flag) is not valid"));
    let long = [b'x'; MAX_RULES_BYTES];
    assert_eq!(
        error(&[&[&b"~"[..], &long].concat()]),
        "ERR the user's rules would have more than 65536 bytes"
    );
}

#[test]
fn a_command_needs_its_permission_or_that_of_a_category_or_container() {
    let bob = user("+get +config|get ~*");
    assert_eq!(may(&bob, "get a", &[(1, READ)]), Ok(()));
    assert_eq!(may(&bob, "config|get", &[]), Ok(()));
    assert_eq!(may(&bob, "config|set", &[]), Err(Denied::Command));
    assert_eq!(may(&bob, "set a 1", &[(1, WRITE)]), Err(Denied::Command));
    assert_eq!(may(&user("+config -config|set"), "config|get", &[]), Ok(()));
    assert_eq!(may(&user("+config -config|set"), "config|set", &[]), Err(Denied::Command));
    assert_eq!(may(&user("+@all -@admin"), "config|get", &[]), Err(Denied::Command));
    let zero = user("+select|0");
    assert_eq!((may(&zero, "select 0", &[]), may(&zero, "select 1", &[])), (Ok(()), Err(Denied::Command)));
    assert_eq!(may(&user("+select|0 -select"), "select 0", &[]), Err(Denied::Command));
}

#[test]
fn a_key_needs_a_pattern_that_allows_all_that_is_done_with_it() {
    let bob = user("+@all %R~r* %W~*w ~both:[ab]");
    let denied = |key: &str| Err(Denied::Key(key.into()));
    assert_eq!(may(&bob, "get r1", &[(1, READ)]), Ok(()));
    assert_eq!(may(&bob, "set r1 x", &[(1, WRITE)]), denied("r1"));
    assert_eq!(may(&bob, "set w x", &[(1, WRITE)]), Ok(()));
    assert_eq!(
        may(&bob, "set rw x", &[(1, READ | WRITE)]),
        denied("rw"),
        "one pattern has to allow all of it"
    );
    assert_eq!(may(&bob, "get r1", &[(1, Access::empty())]), Ok(()), "any pattern will do");
    assert_eq!(may(&bob, "get x", &[(1, Access::empty())]), denied("x"));
    assert_eq!(may(&bob, "set both:a x", &[(1, READ | WRITE)]), Ok(()));
    assert_eq!(may(&bob, "set both:c x", &[(1, WRITE)]), denied("both:c"));
}

#[test]
fn one_selector_has_to_allow_all_of_a_request() {
    let bob = user("+get ~a (+set ~b)");
    assert_eq!(may(&bob, "set b 1", &[(1, WRITE)]), Ok(()));
    assert_eq!(
        may(&bob, "set a 1", &[(1, WRITE)]),
        Err(Denied::Key("a".into())),
        "of the one that came further"
    );
    assert_eq!(may(&bob, "config", &[]), Err(Denied::Command));
    let ann = user("+get ~a (+get ~a ~b)");
    let keys = [(1, READ), (2, READ), (3, READ)];
    assert_eq!(
        may(&ann, "get a b c", &keys),
        Err(Denied::Key("c".into())),
        "the second selector came further"
    );
}

#[test]
fn channels_are_matched_and_patterns_are_compared() {
    let bob = user("&news:* &x");
    let named = |name: &[u8]| bob.check_channels(ChannelAccess::Named(&[name])).is_ok();
    let pattern = |name: &[u8]| bob.check_channels(ChannelAccess::Patterns(&[name])).is_ok();
    assert_eq!((named(b"news:a"), named(b"x"), named(b"y")), (true, true, false));
    assert_eq!((pattern(b"news:*"), pattern(b"news:a"), pattern(b"*")), (true, false, false));
}

#[test]
fn passwords_are_known_by_their_hash() {
    let bob = user("on >one >two");
    assert!(bob.has_password(b"one") && bob.has_password(b"two") && !bob.has_password(b"three"));
    assert!(!bob.describe().windows(3).any(|bytes| bytes == b"one"));
    let hashed = rules_with_hashes(&[b">one", b"<two", b"+get"]);
    let hashed: Vec<&[u8]> = hashed.iter().map(Vec::as_slice).collect();
    assert_eq!(hashed[0], [&b"#"[..], &hash_password(b"one")].concat());
    let one = user("on >two").changed(&hashed, &Few).expect("hashes are as good");
    assert!(one.has_password(b"one") && !one.has_password(b"two"));
    assert!(user("nopass").needs_no_password() && !user("nopass >x").needs_no_password());
    assert!(!user("on").has_password(b"") && !user("on nopass").has_password(b""));
}

#[test]
fn there_is_always_a_default_user_and_rules_of_a_newer_program_allow_nothing() {
    let users = Users::compile([(&b"bob"[..], &b"on nopass +nosuch ~*"[..])], None, &Few);
    assert!(users.get(DEFAULT).is_some_and(|user| user.is_unlimited() && user.is_on()));
    assert!(users.get(b"bob").is_some_and(|user| !user.is_on() && !user.is_unlimited()));
    let users = Users::compile([(DEFAULT, &b"off"[..])], None, &Few);
    assert!(users.get(DEFAULT).is_some_and(|user| !user.is_on()));
    assert_eq!(users.iter().len(), 1);
}

#[test]
fn rules_that_would_be_read_otherwise_are_refused() {
    let refused = |rules: &[&[u8]]| {
        let changed = User::new(b"bob", &Few).changed(rules, &Few);
        changed.and_then(|user| user.to_stored(&Few)).is_err()
    };
    assert!(refused(&[b"+select|0 +@all"]));
    assert!(refused(&[b"%R~*", b"%W~*", b"~b"]));
    assert!(refused(&[b"(~foo) +get)"]));
    assert!(refused(&[b"(a) b)"]));
    assert!(!refused(&[b"~a", b"(~foo +get)"]));
    let many: Vec<String> = (0..2_000).map(|number| format!("~{number}")).collect();
    assert!(refused(&many.iter().map(String::as_bytes).collect::<Vec<_>>()));
}

#[test]
fn who_may_not_read_all_keys_runs_nothing_that_reads_any() {
    let asks = |rules: &str| {
        let request = Request {
            command: 0,
            args: &[b"get"],
            keys: &[],
            reads_any_key: true,
            channels: ChannelAccess::None,
        };
        user(rules).check(&request).is_ok()
    };
    assert!(asks("+get ~*") && asks("+get %R~*") && !asks("+get %W~*") && !asks("+get ~a*"));
}

#[test]
fn the_fuzzers_rules_obey_the_law() {
    perdura_testkit::corpus::each("users", |input| law::check(input, &Few));
}
