//! The arguments of commands, as COMMAND DOCS tells them: command lines make hints of them.
//!
//! They are facts in a text beside this file, read once; nothing here decides what a command takes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::protocol::reply::Reply;

const TEXT: &str = include_str!("arguments.txt");

static ALL: LazyLock<BTreeMap<&'static str, Vec<Argument>>> = LazyLock::new(|| read(TEXT));

/// An argument, or several that belong together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Argument {
    level: usize,
    name: &'static str,
    kind: &'static str,
    key_spec: Option<i64>,
    token: Option<&'static str>,
    since: Option<&'static str>,
    deprecated_since: Option<&'static str>,
    flags: Vec<&'static str>,
    within: Vec<Argument>,
}

/// An empty line ends the header.
fn read(text: &'static str) -> BTreeMap<&'static str, Vec<Argument>> {
    let mut all = BTreeMap::new();
    let mut command = "";
    let (_, lines) = text.split_once("\n\n").unwrap_or_default();
    for line in lines.lines() {
        match argument(line) {
            None => command = line,
            Some(argument) => add(all.entry(command).or_default(), argument),
        }
    }
    all
}

/// Puts an argument behind the last one, or into that.
fn add(arguments: &mut Vec<Argument>, argument: Argument) {
    match arguments.last_mut() {
        Some(last) if last.level < argument.level => add(&mut last.within, argument),
        _ => arguments.push(argument),
    }
}

/// `None` for a command's name.
fn argument(line: &'static str) -> Option<Argument> {
    let mut words = line.split(' ');
    let level = words.next()?.parse().ok()?;
    let mut argument = Argument { level, name: words.next()?, kind: words.next()?, ..Argument::default() };
    for word in words {
        match word.split_at_checked(1)? {
            ("#", index) => argument.key_spec = index.parse().ok(),
            ("=", token) => argument.token = Some(token),
            ("@", since) => argument.since = Some(since),
            ("~", since) => argument.deprecated_since = Some(since),
            ("?", _) => argument.flags.push("optional"),
            ("*", _) => argument.flags.push("multiple"),
            ("+", _) => argument.flags.push("multiple_token"),
            _ => {}
        }
    }
    Some(argument)
}

/// Writes the field `arguments` of a command that has some, by its full name.
pub(super) fn write(command: &str, reply: &mut Reply<'_>) {
    if let Some(arguments) = ALL.get(command) {
        reply.bulk(b"arguments");
        write_all(arguments, reply);
    }
}

/// Whether a command has arguments, by its full name.
pub(super) fn are_known(command: &str) -> bool {
    ALL.contains_key(command)
}

fn write_all(arguments: &[Argument], reply: &mut Reply<'_>) {
    reply.array(arguments.len());
    arguments.iter().for_each(|argument| write_one(argument, reply));
}

fn write_one(argument: &Argument, reply: &mut Reply<'_>) {
    let texts = [
        ("token", argument.token),
        ("since", argument.since),
        ("deprecated_since", argument.deprecated_since),
    ];
    let texts = || texts.iter().filter_map(|(name, text)| Some((name, (*text)?)));
    let others = [argument.key_spec.is_some(), !argument.flags.is_empty(), !argument.within.is_empty()];
    reply.map(2 + texts().count() + others.iter().filter(|there| **there).count());
    for (name, text) in [("name", argument.name), ("type", argument.kind)] {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if let Some(index) = argument.key_spec {
        reply.bulk(b"key_spec_index");
        reply.integer(index);
    }
    for (name, text) in texts() {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if !argument.flags.is_empty() {
        reply.bulk(b"flags");
        reply.set(argument.flags.len());
        argument.flags.iter().for_each(|flag| reply.simple(flag));
    }
    if !argument.within.is_empty() {
        reply.bulk(b"arguments");
        write_all(&argument.within, reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_nested_by_their_level() {
        let all = read(
            "header\n\nset\n1 key key #0\n1 how oneof ? @2.6.12\n2 nx pure-token =NX\n1 v string *\nget\n1 key key",
        );
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), ["get", "set"]);
        let set = &all["set"];
        assert_eq!(set.iter().map(|one| one.name).collect::<Vec<_>>(), ["key", "how", "v"]);
        assert_eq!(
            (set[0].key_spec, set[1].since, &set[1].flags[..]),
            (Some(0), Some("2.6.12"), &["optional"][..])
        );
        assert_eq!((set[1].within[0].token, &set[2].flags[..]), (Some("NX"), &["multiple"][..]));
    }

    #[test]
    fn each_line_of_the_text_is_understood() {
        const TYPES: [&str; 9] =
            ["string", "integer", "double", "key", "pattern", "unix-time", "pure-token", "oneof", "block"];
        fn check(arguments: &[Argument], level: usize) -> usize {
            let each = arguments.iter().map(|one| {
                assert!(TYPES.contains(&one.kind), "{one:?}");
                assert_eq!(one.level, level, "{one:?}");
                assert_eq!(!one.within.is_empty(), ["oneof", "block"].contains(&one.kind), "{one:?}");
                1 + check(&one.within, level + 1)
            });
            each.sum()
        }
        let count: usize = ALL.values().map(|arguments| check(arguments, 1)).sum();
        assert!(ALL.len() > 200 && count > 900, "{} commands, {count} arguments", ALL.len());
    }
}
