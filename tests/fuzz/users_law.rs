//! The law of users' rules: any words of ACL SETUSER are refused, and change nothing, or make a user that is stored as a text from which
//! every node compiles a user that may do the same.
//!
//! Included by the unit tests of users and by the fuzz target, which bring the names into scope.

use super::{Access, ChannelAccess, Commands, Request, User};

const KEYS: [&[u8]; 5] = [b"a", b"key:1", b"", b"\xff", b"{tag}x"];
const ACCESSES: [Access; 3] = [Access::READ, Access::WRITE, Access::all()];

/// `input` is words, one a line.
pub fn check(input: &[u8], commands: &dyn Commands) {
    let words: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let (first, second) = words.split_at(words.len() / 2);
    let mut user = User::new(b"user", commands);
    for rules in [first, second] {
        let before = user.describe();
        match user.changed(rules, commands) {
            Ok(changed) => user = changed,
            Err(error) => assert!(!error.to_string().is_empty() && user.describe() == before),
        }
    }
    let Ok(stored) = user.to_stored(commands) else { return };
    let compiled = User::parse(b"user", &stored, commands).expect("what is stored can be read");
    assert!(compiled.describe() == user.describe(), "the stored rules say something else");
    assert!(compiled.is_on() == user.is_on() && compiled.passwords() == user.passwords());
    (0..commands.count()).for_each(|command| may_the_same(&user, &compiled, command));
}

fn may_the_same(one: &User, other: &User, command: usize) {
    for (nth, name) in KEYS.iter().enumerate() {
        let args = [b"command", *name, KEYS[(nth + 1) % KEYS.len()]];
        for access in ACCESSES {
            for channels in
                [ChannelAccess::None, ChannelAccess::Named(&args[1..2]), ChannelAccess::Patterns(&args[1..])]
            {
                let keys = [(1, access)];
                let request =
                    Request { command, args: &args, keys: &keys, reads_any_key: nth == 0, channels };
                assert!(
                    one.check(&request) == other.check(&request),
                    "a user may do other things after a restart"
                );
            }
        }
    }
}
