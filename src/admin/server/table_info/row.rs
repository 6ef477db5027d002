//! A row as COMMAND INFO tells it: ten elements, key specifications and subcommands among them.

use crate::admin::table::TableRow;
use crate::command::spec::{BeginSearch, Categories, FindKeys, Flags, KeyFlags, KeySpec};
use crate::protocol::reply::Reply;

pub(super) fn write(row: &TableRow, reply: &mut Reply<'_>) {
    let command = row.command;
    let legacy = LegacyKeys::of(command.keys);
    let mut flags = command.flags;
    flags.set(Flags::MOVABLEKEYS, flags.contains(Flags::MOVABLEKEYS) || legacy.incomplete);
    reply.array(10);
    reply.bulk(row.full_name.as_bytes());
    reply.integer(i64::from(command.arity));
    write_words(reply, &flag_names(flags));
    reply.integer(legacy.first);
    reply.integer(legacy.last);
    reply.integer(legacy.step);
    write_words(reply, &category_names(row.categories));
    reply.array(0);
    reply.array(command.keys.len());
    command.keys.iter().for_each(|spec| write_spec(spec, reply));
    reply.array(row.subcommands.len());
    row.subcommands.iter().for_each(|subcommand| write(subcommand, reply));
}

/// Flags by Redis' names; the server's own are not told.
fn flag_names(flags: Flags) -> Vec<String> {
    let told = flags.iter_names().filter(|(_, flag)| flag.bits() < Flags::WHILE_SUBSCRIBED.bits());
    told.map(|(name, _)| name.to_ascii_lowercase()).collect()
}

/// `@read`, `@fast` …
fn category_names(categories: Categories) -> Vec<String> {
    categories.iter_names().map(|(name, _)| format!("@{}", name.to_ascii_lowercase())).collect()
}

fn write_words(reply: &mut Reply<'_>, words: &[String]) {
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
}

/// Redis' old way to say where keys are: first, last and step, for what can be said so.
struct LegacyKeys {
    first: i64,
    last: i64,
    step: i64,
    /// There may be keys elsewhere: a client must ask COMMAND GETKEYS.
    incomplete: bool,
}

impl LegacyKeys {
    /// One range is told as it is; of several, those that follow one another with step 1 are told as one.
    fn of(specs: &[KeySpec]) -> LegacyKeys {
        let incomplete = specs.iter().any(|spec| spec.flags.contains(KeyFlags::INCOMPLETE));
        if let [spec] = specs
            && let Some((first, last, step)) = plain_range(spec)
        {
            return LegacyKeys { first, last, step, incomplete };
        }
        let mut keys = LegacyKeys { first: 0, last: 0, step: 0, incomplete };
        for spec in specs {
            match plain_range(spec) {
                Some((first, last, 1)) if keys.last == 0 || keys.last == first - 1 => {
                    keys.first = if keys.first == 0 { first } else { keys.first };
                    (keys.last, keys.step) = (last, 1);
                }
                _ => keys.incomplete = true,
            }
        }
        keys
    }
}

/// First, last (absolute, or negative from the end) and step of a range that begins at a fixed place.
fn plain_range(spec: &KeySpec) -> Option<(i64, i64, i64)> {
    let (BeginSearch::Index(first), FindKeys::Range { last, step }) = (spec.begin, spec.find) else {
        return None;
    };
    let (first, last) = (first as i64, i64::from(last));
    Some((first, if last >= 0 { first + last } else { last }, step as i64))
}

fn write_spec(spec: &KeySpec, reply: &mut Reply<'_>) {
    reply.map(3);
    reply.bulk(b"flags");
    write_words(reply, &key_flag_names(spec.flags));
    reply.bulk(b"begin_search");
    match spec.begin {
        BeginSearch::Index(index) => write_step(reply, "index", &[("index", index as i64)]),
        BeginSearch::LastKeyword { keyword, from } => write_keyword(reply, keyword, from),
        BeginSearch::StreamsOption { from } => write_keyword(reply, "STREAMS", from),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        FindKeys::Range { last, step } => {
            write_step(
                reply,
                "range",
                &[("lastkey", i64::from(last)), ("keystep", step as i64), ("limit", 0)],
            );
        }
        FindKeys::FirstHalf => write_step(reply, "range", &[("lastkey", -1), ("keystep", 1), ("limit", 2)]),
        FindKeys::KeyNum { count_at, first, step } => {
            let fields =
                [("keynumidx", count_at as i64), ("firstkey", first as i64), ("keystep", step as i64)];
            write_step(reply, "keynum", &fields);
        }
    }
}

fn write_keyword(reply: &mut Reply<'_>, keyword: &str, from: usize) {
    write_head(reply, "keyword", 2);
    reply.bulk(b"keyword");
    reply.bulk(keyword.as_bytes());
    reply.bulk(b"startfrom");
    reply.integer(from as i64);
}

fn write_step(reply: &mut Reply<'_>, kind: &str, fields: &[(&str, i64)]) {
    write_head(reply, kind, fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.integer(*value);
    }
}

fn write_head(reply: &mut Reply<'_>, kind: &str, fields: usize) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields);
}

/// `RO`, `access` …: the first four in capitals, as Redis writes them.
pub(super) fn key_flag_names(flags: KeyFlags) -> Vec<String> {
    let name = |(name, flag): (&str, KeyFlags)| {
        let capital = (KeyFlags::RO | KeyFlags::RW | KeyFlags::OW | KeyFlags::RM).contains(flag);
        if capital { name.to_owned() } else { name.to_ascii_lowercase() }
    };
    flags.iter_names().map(name).collect()
}
