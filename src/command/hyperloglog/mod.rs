//! HyperLogLogs: strings that estimate how many different elements they have seen, byte for byte as Redis keeps them.
//!
//! - The estimate in the header is cached as Redis caches it, but only read: a PFCOUNT is never logged, so it writes none.
//! - A sparse string whose runs do not cover exactly all registers is corrupt, and every command refuses it before it changes
//!   anything. Redis notices it in those alone that read all of it.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=hyperloglog>.

mod cost;
mod debug;
mod dense;
mod estimate;
mod form;
mod growing;
mod hash;
mod sparse;

use super::cost::CostKind;
use super::spec::{Categories, Flags, KeyFlags, key, keys};
use super::{Args, Command, CommandResult, Family, OfString, ReadContext, WriteContext};
use crate::protocol::reply::Reply;
use form::{Encoding, Registers};
use growing::Growing;

const OOM: Flags = Flags::DENYOOM;

pub const FAMILY: Family = Family {
    group: "hyperloglog",
    categories: Categories::HYPERLOGLOG,
    commands: &[
        Command::write("pfadd", -2, pfadd)
            .cost(CostKind::Measured(cost::pfadd))
            .flags(&[OOM, Flags::FAST])
            .keys(&[key(1, KeyFlags::RW_INSERT)])
            .docs("2.8.9", "O(1) to add every element.", "Adds elements to a HyperLogLog key. Creates the key if it doesn't exist."),
        Command::read("pfcount", -2, pfcount).answers(OfString::Numbers)
            .cost(CostKind::Measured(cost::pfcount))
            .flags(&[Flags::MAY_REPLICATE])
            .keys(&[keys(1, -1, 1, KeyFlags::RW_ACCESS)])
            .docs(
                "2.8.9",
                "O(1) with a very small average constant time when called with a single key. O(N) with N being the number of keys, and much bigger constant times, when called with multiple keys.",
                "Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s).",
            ),
        Command::write("pfdebug", 3, debug::pfdebug)
            .reads_when(debug::only_reads, debug::pfdebug_reading)
            .cost(CostKind::Measured(cost::pfdebug))
            .flags(&[OOM, Flags::ADMIN])
            .keys(&[key(2, KeyFlags::RW_ACCESS)])
            .docs("2.8.9", "N/A", "Internal commands for debugging HyperLogLog values."),
        Command::write("pfmerge", -2, pfmerge)
            .cost(CostKind::Measured(cost::pfmerge))
            .flags(&[OOM])
            .keys(&[key(1, KeyFlags::RW_ACCESS.union(KeyFlags::INSERT)), keys(2, -1, 1, KeyFlags::RO_ACCESS)])
            .docs(
                "2.8.9",
                "O(N) to merge N HyperLogLogs, but with high constant times.",
                "Merges one or more HyperLogLog values into a single key.",
            ),
        Command::read("pfselftest", 1, debug::pfselftest)
            .cost(CostKind::Measured(cost::pfselftest))
            .flags(&[Flags::ADMIN])
            .docs("2.8.9", "N/A", "An internal command for testing HyperLogLog values."),
    ],
};

/// From so many elements on all registers are unpacked first, so that those that change nothing cost no search.
const UNPACK_FROM: usize = 32;

/// <https://redis.io/docs/latest/commands/pfadd/>
fn pfadd(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let most = ctx.limits.hll_sparse_max_bytes;
    let (key, elements) = (args[1], &args[2..]);
    let changed = match ctx.string(key)? {
        Some(value) if Encoding::of(value)? == Encoding::Dense => add_to_dense(ctx, key, elements)?,
        value => {
            let is_new = value.is_none();
            let mut growing = Growing::of(value, elements.len() >= UNPACK_FROM)?.sparse_up_to(most);
            let added = elements.iter().fold(false, |added, element| growing.add(element) | added);
            if is_new || added {
                store(ctx, key, growing)?;
            }
            is_new || added
        }
    };
    reply.integer(i64::from(changed));
    Ok(())
}

/// True if a register rose.
fn add_to_dense(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    elements: &Args<'_>,
) -> Result<bool, super::CommandError> {
    let value = ctx.string_mut(key)?.unwrap_or_default();
    let mut changed = false;
    for element in elements {
        let (index, count) = hash::pattern(element);
        if count > dense::get(form::registers_of(value), index) {
            dense::set(form::registers_of_mut(value), index, count);
            changed = true;
        }
    }
    if changed {
        form::forget_estimate(value);
        ctx.touch(key);
    }
    Ok(changed)
}

/// Puts a value in its place; a deadline stays.
fn store(ctx: &mut WriteContext<'_>, key: &[u8], growing: Growing) -> CommandResult {
    let mut bytes = growing.into_bytes();
    form::forget_estimate(&mut bytes);
    ctx.resize_string(key, bytes.len())?.copy_from_slice(&bytes);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/pfcount/>
fn pfcount(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if let [_, key] = args {
        let Some(value) = ctx.string(key)? else {
            reply.integer(0);
            return Ok(());
        };
        let encoding = Encoding::of(value)?;
        let cached = form::estimate(value);
        reply.integer(match cached {
            Some(cached) => cached,
            None => estimate::of_histogram(&encoding.histogram(value)?),
        });
        return Ok(());
    }
    let mut registers = Registers::default();
    for key in &args[1..] {
        if let Some(value) = ctx.string(key)? {
            registers.unite(value)?;
        }
    }
    reply.integer(estimate::of_histogram(&registers.histogram()));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/pfmerge/>
fn pfmerge(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let key = args[1];
    let most = ctx.limits.hll_sparse_max_bytes;
    let mut registers = Registers::default();
    let mut is_dense = false;
    for key in &args[1..] {
        if let Some(value) = ctx.string(key)? {
            is_dense |= registers.unite(value)? == Encoding::Dense;
        }
    }
    let mut growing = Growing::of(ctx.string(key)?, true)?.sparse_up_to(most);
    if is_dense {
        growing.become_dense();
    }
    for (index, count) in registers.risen() {
        growing.raise(index, count);
    }
    store(ctx, key, growing)?;
    reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests;
