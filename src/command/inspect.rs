//! MEMORY USAGE, DEBUG OBJECT and DEBUG DIGEST-VALUE: what a key takes, and what its value is.
//!
//! - A digest is ours, not Redis': 128 bits, written as Redis writes its 160.
//! - The other subcommands of MEMORY and DEBUG are about the process (`admin/server`).
//!
//! Source: <https://redis.io/docs/latest/commands/memory-usage/>, `DEBUG HELP` of Redis 7.2.

use super::args::{integer, is};
use super::cost::{Size, reads};
use super::keys::encoding_name;
use super::spec::{Categories, Flags, KeyFlags, KeySpec, key, keys};
use super::{Args, Command, CommandError, CommandResult, Family, ReadContext};
use crate::keyspace::digest::{Digest, of_value};
use crate::protocol::reply::Reply;

/// What is for operators alone.
const OPERATORS: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::ADMIN).union(Flags::NOSCRIPT);

const KEY: &[KeySpec] = &[key(2, KeyFlags::RO)];
const KEYS: &[KeySpec] = &[keys(2, -1, 1, KeyFlags::RO)];

pub const FAMILY: Family = Family {
    group: "server",
    categories: Categories::empty(),
    commands: &[
        Command::container(
            "debug",
            &[
                Command::read("digest-value", -2, digest_value)
                    .cost(reads::DIGESTS)
                    .flags(&[OPERATORS])
                    .keys(KEYS)
                    .docs(
                        "1.0.0",
                        "O(N) where N is the size of the values",
                        "Returns a digest of the value of each key.",
                    ),
                Command::read("object", 3, object).flags(&[OPERATORS]).keys(KEYS).docs(
                    "1.0.0",
                    "O(1)",
                    "Returns how the value of a key lies in memory.",
                ),
            ],
        ),
        Command::container(
            "memory",
            &[Command::read("usage", -3, usage)
                .in_scripts(usage_by_content)
                .flags(&[Flags::READONLY, Flags::LOOKS_ONLY])
                .keys(KEY)
                .docs("4.0.0", "O(1)", "Estimates the memory usage of a key.")],
        ),
    ],
};

/// Bytes of a key's place in its table.
const TABLE_PLACE_BYTES: usize = size_of::<usize>();

/// A digest as it is answered.
pub fn hex(digest: Digest) -> String {
    format!("{digest:040x}")
}

/// Sizes are kept, not sampled: SAMPLES is read and makes no difference.
fn usage(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args[3..] {
        [] => {}
        [option, samples] if is(option, "SAMPLES") => {
            if integer(samples)? < 0 {
                return Err(CommandError::Syntax);
            }
        }
        _ => return Err(CommandError::Syntax),
    }
    match ctx.entry(args[2]) {
        Some(entry) => reply.integer((TABLE_PLACE_BYTES + entry.memory_bytes()) as i64),
        None => reply.null(),
    }
    Ok(())
}

/// MEMORY USAGE for scripts: what is allocated for a value differs from node to node, what it holds does not.
fn usage_by_content(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match ctx.entry(args[2]) {
        Some(entry) => reply.integer((TABLE_PLACE_BYTES as u64 + Size::by_content(entry).bytes) as i64),
        None => reply.null(),
    }
    Ok(())
}

/// A missing key's digest is zero.
fn digest_value(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.array(args.len() - 2);
    for key in &args[2..] {
        reply.simple(hex(ctx.entry(key).map_or(0, |entry| of_value(entry.value()))));
    }
    Ok(())
}

fn object(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let entry = ctx.entry(args[2]).ok_or(CommandError::NoSuchKey)?;
    reply.simple(format!("Value refcount:1 encoding:{}", encoding_name(entry)));
    Ok(())
}
