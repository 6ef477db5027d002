//! PFDEBUG and PFSELFTEST.

use super::form::{self, Encoding, REGISTERS, Registers};
use super::growing::Growing;
use super::sparse::Run;
use super::{dense, estimate};
use crate::command::args::is;
use crate::command::random::Random;
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::protocol::reply::Reply;

const MISSING: &str = "ERR The specified key does not exist";

/// Whether a subcommand leaves the encoding as it is.
pub(super) fn only_reads(args: &Args<'_>) -> bool {
    !is(args[1], "GETREG") && !is(args[1], "TODENSE")
}

/// `PFDEBUG DECODE key`, `PFDEBUG ENCODING key`
pub(super) fn pfdebug_reading(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let value = ctx.string(args[2])?.ok_or(CommandError::other(MISSING))?;
    let encoding = Encoding::of(value)?;
    if is(args[1], "ENCODING") {
        reply.simple(if encoding == Encoding::Dense { "dense" } else { "sparse" });
    } else if is(args[1], "DECODE") {
        if encoding == Encoding::Dense {
            return Err(CommandError::other("ERR HLL encoding is not sparse"));
        }
        reply.bulk(&decoded(value)?);
    } else {
        let text = format!("ERR Unknown PFDEBUG subcommand '{}'", String::from_utf8_lossy(args[1]));
        return Err(CommandError::other(text));
    }
    Ok(())
}

/// `Z:100 v:3,1 z:5`: long and short runs of zeros, and values with the lengths of their runs.
fn decoded(value: &[u8]) -> Result<Vec<u8>, CommandError> {
    super::sparse::check(form::registers_of(value))?;
    let mut rest = form::registers_of(value);
    let mut runs = Vec::new();
    while let Some(run) = Run::first(rest) {
        runs.push(match run.value {
            0 if run.is_long() => format!("Z:{}", run.len),
            0 => format!("z:{}", run.len),
            value => format!("v:{value},{}", run.len),
        });
        rest = &rest[if run.is_long() { 2 } else { 1 }..];
    }
    Ok(runs.join(" ").into_bytes())
}

/// `PFDEBUG GETREG key` and `PFDEBUG TODENSE key` make the value dense first.
pub(super) fn pfdebug(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if only_reads(args) {
        return pfdebug_reading(&ctx.reader(), args, reply);
    }
    let key = args[2];
    let value = ctx.string(key)?.ok_or(CommandError::other(MISSING))?;
    let converts = Encoding::of(value)? == Encoding::Sparse;
    let mut registers = Registers::default();
    registers.unite(value)?;
    if converts {
        let mut growing = Growing::of(Some(value), false)?;
        growing.become_dense();
        let bytes = growing.into_bytes();
        ctx.resize_string(key, bytes.len())?.copy_from_slice(&bytes);
    }
    if is(args[1], "GETREG") {
        reply.array(REGISTERS);
        reply.each(0..REGISTERS, |reply, index| reply.integer(registers.get(index).into()));
    } else {
        reply.integer(i64::from(converts));
    }
    Ok(())
}

/// Elements that the self-test adds.
pub(super) const TESTED: u64 = 20_000;

/// Redis's own test, with fewer elements: a worker has clients that wait.
pub(super) fn pfselftest(_: &ReadContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    check_registers()?;
    check_estimates()?;
    reply.ok();
    Ok(())
}

fn check_registers() -> CommandResult {
    let mut random = Random::from_seed(1);
    let mut registers = vec![0; form::DENSE_BYTES - form::HEADER_BYTES];
    let values: Vec<u8> = (0..REGISTERS).map(|_| random.next_u64() as u8 & dense::MAX).collect();
    values.iter().enumerate().for_each(|(index, value)| dense::set(&mut registers, index, *value));
    for (index, value) in values.iter().enumerate() {
        let found = dense::get(&registers, index);
        if found != *value {
            let text = format!("ERR TESTFAILED Register {index} should be {value} but is {found}");
            return Err(CommandError::other(text));
        }
    }
    Ok(())
}

/// Both encodings estimate the same, and not too far from the truth.
fn check_estimates() -> CommandResult {
    let relative_error = 1.04 / (REGISTERS as f64).sqrt();
    let mut sparse = Growing::of(None, true)?;
    let mut registers = Registers::default();
    let mut checkpoint = 1;
    for number in 1..=TESTED {
        let element = (number ^ 0x5bd1_e995_1234_5678).to_le_bytes();
        let (index, count) = super::hash::pattern(&element);
        registers.set(index, registers.get(index).max(count));
        sparse.raise(index, count);
        if number != checkpoint {
            continue;
        }
        let bytes = sparse.as_bytes();
        let of_bytes = estimate::of_histogram(&Encoding::of(bytes)?.histogram(bytes)?);
        if of_bytes != estimate::of_histogram(&registers.histogram()) {
            return Err(CommandError::other("ERR TESTFAILED dense/sparse disagree"));
        }
        let most = if number == 10 { 1 } else { (relative_error * 6.0 * number as f64).ceil() as u64 };
        let error = of_bytes.unsigned_abs().abs_diff(number);
        if error > most {
            let text = format!("ERR TESTFAILED Too big error. card:{number} abserr:{error}");
            return Err(CommandError::other(text));
        }
        checkpoint *= 10;
    }
    Ok(())
}
