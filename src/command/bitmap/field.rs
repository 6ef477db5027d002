//! BITFIELD and BITFIELD_RO: integers of 1 to 64 bits at any bit of a string.
//!
//! - The string grows up to the last bit that is written, also where OVERFLOW FAIL then refuses the write.
//! - Overflows are Redis's to the bit, with its odd answer to a saturated SET of a number far below what the field holds: its
//!   arithmetic wraps there, and the field gets its greatest value.

use super::{BAD_OFFSET, window};
use crate::command::args::{MAX_STRING_BYTES, integer, is};
use crate::command::spec::KeyFlags;
use crate::command::{Args, Asked, CommandError, CommandResult, ReadContext, WriteContext};
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

/// Where an integer is, and of which type it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    offset: u64,
    width: u32,
    is_signed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    field: Field,
    action: Action,
}

impl Step {
    /// The first bit after what it writes; 0 if it reads.
    pub(super) fn written_end(self) -> u64 {
        if self.action == Action::Get { 0 } else { self.field.end() }
    }
}

impl Field {
    /// `i<bits>` or `u<bits>`, then an offset in bits or, after `#`, in fields.
    fn parse(kind: &[u8], offset: &[u8]) -> Result<Field, CommandError> {
        const BAD_TYPE: &str = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
        let (is_signed, width) = match kind {
            [b'i', width @ ..] => (true, parse_integer(width).filter(|width| (1..=64).contains(width))),
            [b'u', width @ ..] => (false, parse_integer(width).filter(|width| (1..=63).contains(width))),
            _ => (false, None),
        };
        let width = width.ok_or(CommandError::other(BAD_TYPE))? as u32;
        let offset = match offset {
            [b'#', number @ ..] => parse_integer(number).and_then(|number| number.checked_mul(width.into())),
            number => parse_integer(number),
        };
        let offset = offset.and_then(|offset| u64::try_from(offset).ok());
        let offset = offset.filter(|offset| offset / 8 < MAX_STRING_BYTES as u64).ok_or(BAD_OFFSET)?;
        Ok(Field { offset, width, is_signed })
    }

    fn end(self) -> u64 {
        self.offset + u64::from(self.width)
    }

    /// The integer, its sign in all upper bits.
    fn read(self, bytes: &[u8]) -> i64 {
        let bits = window::read(bytes, self.offset, self.width);
        if self.is_signed { sign_extended(bits, self.width) } else { bits as i64 }
    }

    /// What `value + increment` becomes in this field, and whether that overflows; `None` where OVERFLOW FAIL refuses it.
    fn fit(self, value: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        let limit = if self.is_signed {
            signed_overflow(value, increment, self.width)
        } else {
            unsigned_overflow(value as u64, increment, self.width).map(|limit| limit as i64)
        };
        let sum = value.wrapping_add(increment);
        match (limit, overflow) {
            (None, _) => Some(sum),
            (Some(_), Overflow::Fail) => None,
            (Some(limit), Overflow::Saturate) => Some(limit),
            (Some(_), Overflow::Wrap) if self.is_signed => Some(sign_extended(sum as u64, self.width)),
            (Some(_), Overflow::Wrap) => Some((sum as u64 & (u64::MAX >> (64 - self.width))) as i64),
        }
    }
}

fn sign_extended(bits: u64, width: u32) -> i64 {
    let unused = 64 - width;
    (bits << unused) as i64 >> unused
}

/// The limit that the sum passes, if it passes one. `checkUnsignedBitfieldOverflow` in Redis.
fn unsigned_overflow(value: u64, increment: i64, width: u32) -> Option<u64> {
    let max = u64::MAX >> (64 - width);
    if value > max || (increment > 0 && increment > (max - value) as i64) {
        Some(max)
    } else if increment < 0 && increment < (value as i64).wrapping_neg() {
        Some(0)
    } else {
        None
    }
}

/// The limit that the sum passes, if it passes one. `checkSignedBitfieldOverflow` in Redis, whose differences wrap.
fn signed_overflow(value: i64, increment: i64, width: u32) -> Option<i64> {
    let max = i64::MAX >> (64 - width);
    let min = -max - 1;
    let (most, least) = (max.wrapping_sub(value), min.wrapping_sub(value));
    let is_narrow = width < 64;
    if value > max || (is_narrow && increment > most) || (value >= 0 && increment > 0 && increment > most) {
        Some(max)
    } else if value < min
        || (is_narrow && increment < least)
        || (value < 0 && increment < 0 && increment < least)
    {
        Some(min)
    } else {
        None
    }
}

/// Reads the subcommands, at `args` after the key.
pub(super) fn parse(args: &Args<'_>) -> Result<Vec<Step>, CommandError> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut rest = args;
    while let [word, after @ ..] = rest {
        rest = match after {
            [kind, offset, after @ ..] if is(word, "GET") => {
                steps.push(Step { field: Field::parse(kind, offset)?, action: Action::Get });
                after
            }
            [kind, offset, value, after @ ..] if is(word, "SET") || is(word, "INCRBY") => {
                let field = Field::parse(kind, offset)?;
                let value = integer(value)?;
                let adds = is(word, "INCRBY");
                let action = if adds { Action::Add(value, overflow) } else { Action::Set(value, overflow) };
                steps.push(Step { field, action });
                after
            }
            [name, after @ ..] if is(word, "OVERFLOW") => {
                overflow = overflow_named(name)?;
                after
            }
            _ => return Err(CommandError::Syntax),
        };
    }
    Ok(steps)
}

fn overflow_named(name: &[u8]) -> Result<Overflow, CommandError> {
    let names = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
    let named = names.into_iter().find(|(known, _)| is(name, known)).map(|(_, overflow)| overflow);
    named.ok_or(CommandError::other("ERR Invalid OVERFLOW type specified"))
}

/// The first bit after all that is written; 0 if nothing is.
pub(super) fn written_end(steps: &[Step]) -> u64 {
    steps.iter().map(|step| step.written_end()).max().unwrap_or(0)
}

/// Whether BITFIELD with these arguments changes nothing.
pub(super) fn only_reads(args: &Args<'_>) -> bool {
    parse(&args[2..]).map_or(true, |steps| written_end(&steps) == 0)
}

/// BITFIELD writes its key only where a subcommand does.
pub(super) fn asked_by_bitfield(args: &Args<'_>) -> Asked {
    let flags = if only_reads(args) { KeyFlags::RO_ACCESS } else { KeyFlags::RW_ACCESS_UPDATE };
    Asked { keys: vec![(1, flags)], reads_any_key: false }
}

/// <https://redis.io/docs/latest/commands/bitfield_ro/>
pub(super) fn bitfield_ro(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let steps = parse(&args[2..])?;
    if written_end(&steps) > 0 {
        return Err(CommandError::other("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    let bytes = ctx.string(args[1])?.unwrap_or_default();
    reply.array(steps.len());
    reply.each(&steps, |reply, step| reply.integer(step.field.read(bytes)));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/bitfield/>
pub(super) fn bitfield(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let key = args[1];
    let steps = parse(&args[2..])?;
    let end = written_end(&steps);
    if end == 0 {
        return bitfield_ro(&ctx.reader(), args, reply);
    }
    let needed = end.div_ceil(8) as usize;
    if needed > MAX_STRING_BYTES {
        return Err(BAD_OFFSET);
    }
    let old_len = ctx.string(key)?.map(<[u8]>::len);
    let grows = old_len.is_none_or(|len| len < needed);
    let mut answers = Vec::with_capacity(steps.len());
    let mut changed = false;
    let bytes =
        if grows { ctx.resize_string(key, needed)? } else { ctx.string_mut(key)?.unwrap_or_default() };
    for step in &steps {
        let (answer, changes) = run(bytes, step);
        answers.push(answer);
        changed |= changes;
    }
    if changed && !grows {
        ctx.touch(key);
    }
    reply.array(answers.len());
    reply.each(answers, |reply, answer| match answer {
        Some(value) => reply.integer(value),
        None => reply.null(),
    });
    Ok(())
}

/// What a step answers, null where it fails, and whether it changed a bit.
fn run(bytes: &mut [u8], Step { field, action }: &Step) -> (Option<i64>, bool) {
    let old = field.read(bytes);
    let (new, answers_old) = match *action {
        Action::Get => return (Some(old), false),
        Action::Set(value, overflow) => (field.fit(value, 0, overflow), true),
        Action::Add(increment, overflow) => (field.fit(old, increment, overflow), false),
    };
    let Some(new) = new else { return (None, false) };
    window::write(bytes, field.offset, field.width, new as u64);
    (Some(if answers_old { old } else { new }), old != new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::testing::TestDb;

    #[test]
    fn fields_are_set_added_to_and_read() {
        let mut db = TestDb::new();
        assert_eq!(db.show("BITFIELD k SET i8 0 -100 GET u8 0 GET i8 #0 GET i4 4"), "[0 156 -100 -4]");
        assert_eq!(db.show("BITFIELD k INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 7"), "[1 3]");
        assert_eq!(db.show("STRLEN k"), "13");
        assert_eq!(db.show("BITFIELD k OVERFLOW FAIL INCRBY u2 102 1 GET u2 102"), "[nil 3]");
        assert_eq!(db.show("BITFIELD k SET u8 #3 300"), "[0]");
        assert_eq!(db.show("BITFIELD k GET u8 24"), "[44]");
        assert_eq!(db.show("BITFIELD_RO k GET i64 4294967290 GET u1 4294967295"), "[0 0]");
        assert_eq!(db.show("BITFIELD none GET u8 0"), "[0]");
        assert_eq!(db.show("BITFIELD none"), "[]");
        assert_eq!(db.show("EXISTS none"), "0");
    }

    #[test]
    fn all_is_checked_before_anything_changes() {
        let mut db = TestDb::new();
        let bad_type = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
        for kind in ["u64", "i65", "i0", "u0", "U8", "8", "\"\"", "i", "i-1", "i+8", "i08"] {
            assert_eq!(db.show(&format!("BITFIELD k SET u8 0 1 GET {kind} 0")), bad_type, "{kind}");
        }
        let bad_offset = "ERR bit offset is not an integer or out of range";
        for offset in ["-1", "#-1", "x", "#", "4294967296", "#536870912", "#9223372036854775807", "\"\""] {
            assert_eq!(db.show(&format!("BITFIELD k SET u8 0 1 SET u8 {offset} 1")), bad_offset, "{offset}");
        }
        assert_eq!(db.show("BITFIELD k SET i64 4294967295 1"), bad_offset);
        assert_eq!(db.show("BITFIELD k SET u8 0 x"), "ERR value is not an integer or out of range");
        assert_eq!(db.show("BITFIELD k OVERFLOW x SET u8 0 1"), "ERR Invalid OVERFLOW type specified");
        for line in ["GET u8", "SET u8 0", "INCRBY u8 0", "OVERFLOW", "NONE u8 0"] {
            assert_eq!(db.show(&format!("BITFIELD k SET u8 0 1 {line}")), "ERR syntax error", "{line}");
        }
        let only_get = "ERR BITFIELD_RO only supports the GET subcommand";
        assert_eq!(db.show("BITFIELD_RO k GET u8 0 SET u8 0 1"), only_get);
        db.show("RPUSH l a");
        assert!(db.show("BITFIELD l SET u8 0 1").starts_with("WRONGTYPE"));
        assert!(db.show("BITFIELD l GET u8 0").starts_with("WRONGTYPE"));
        assert_eq!(db.show("EXISTS k"), "0");
    }

    #[test]
    fn only_changes_are_announced() {
        let mut db = TestDb::new();
        db.show("BITFIELD k SET u8 0 7");
        assert_eq!(db.take_touched(), ["k"]);
        db.show("BITFIELD k SET u8 0 7 INCRBY u8 0 0 OVERFLOW FAIL INCRBY u8 0 255");
        assert!(db.take_touched().is_empty());
        db.show("BITFIELD k INCRBY u8 0 1");
        assert_eq!(db.take_touched(), ["k"]);
        db.show("BITFIELD k OVERFLOW FAIL INCRBY u8 80 300");
        assert_eq!(db.take_touched(), ["k"]);
        assert_eq!(db.show("STRLEN k"), "11");
    }

    /// What a field of 128 bits would hold, and the limits of one of `width`.
    fn model(value: i128, increment: i128, is_signed: bool, width: u32, overflow: Overflow) -> Option<i128> {
        let (min, max) = match is_signed {
            true => (-(1_i128 << (width - 1)), (1_i128 << (width - 1)) - 1),
            false => (0, (1_i128 << width) - 1),
        };
        let sum = value + increment;
        match overflow {
            _ if (min..=max).contains(&sum) => Some(sum),
            Overflow::Fail => None,
            Overflow::Saturate => Some(sum.clamp(min, max)),
            Overflow::Wrap => Some((sum - min).rem_euclid(1 << width) + min),
        }
    }

    fn overflows() -> impl Strategy<Value = Overflow> {
        prop::sample::select(vec![Overflow::Wrap, Overflow::Saturate, Overflow::Fail])
    }

    proptest! {
        #[test]
        fn increments_overflow_as_wide_numbers_say(
            old: u64, increment in prop_oneof![any::<i64>(), -300_i64..300, Just(i64::MIN), Just(i64::MAX)],
            is_signed: bool, width in 1_u32..=63, overflow in overflows(),
        ) {
            let field = Field { offset: 3, width, is_signed };
            let mut bytes = vec![0; 20];
            window::write(&mut bytes, field.offset, width, old);
            let old = field.read(&bytes);
            let expected = model(old.into(), increment.into(), is_signed, width, overflow);
            let (answer, _) = run(&mut bytes, &Step { field, action: Action::Add(increment, overflow) });
            prop_assert_eq!(answer.map(i128::from), expected);
            prop_assert_eq!(i128::from(field.read(&bytes)), expected.unwrap_or(old.into()));
        }

        #[test]
        fn the_widest_field_overflows_as_wide_numbers_say(old: i64, increment: i64, overflow in overflows()) {
            let field = Field { offset: 0, width: 64, is_signed: true };
            let expected = model(old.into(), increment.into(), true, 64, overflow);
            prop_assert_eq!(field.fit(old, increment, overflow).map(i128::from), expected);
        }
    }

    #[test]
    fn a_saturated_set_far_below_the_least_number_answers_as_redis_does() {
        let mut db = TestDb::new();
        assert_eq!(db.show("BITFIELD k OVERFLOW SAT SET i8 0 -1000 GET i8 0"), "[0 -128]");
        assert_eq!(db.show("BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0"), "[-128 127]");
        assert_eq!(db.show("BITFIELD k OVERFLOW SAT SET u8 0 -1 GET u8 0"), "[127 255]");
    }
}
