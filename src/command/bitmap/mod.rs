//! Bitmaps: strings as sequences of bits. The table of the family; SETBIT and GETBIT.
//!
//! - Bit 0 is the highest of the first byte. A bit past the string's end is 0.
//! - A write grows the string up to its last bit, and no further than [`MAX_STRING_BYTES`].
//! - A write that leaves every bit as it was, and the length, announces no change.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=bitmap>.

mod cost;
mod count;
mod field;
mod op;
mod window;

use super::args::MAX_STRING_BYTES;
use super::cost::CostKind;
use super::spec::{Categories, Flags, KeyFlags, key, keys};
use super::{Args, Command, CommandError, CommandResult, Family, OfString, ReadContext, WriteContext};
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

const OOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;

pub const FAMILY: Family = Family {
    group: "bitmap",
    categories: Categories::BITMAP,
    commands: &[
        Command::read("bitcount", -2, count::bitcount)
            .answers(OfString::Numbers)
            .cost(CostKind::Measured(cost::bitcount))
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.6.0", "O(N)", "Counts the number of set bits (population counting) in a string."),
        Command::write("bitfield", -2, field::bitfield)
            .answers(OfString::Numbers)
            .reads_when(field::only_reads, field::bitfield_ro)
            .cost(CostKind::Measured(cost::bitfield))
            .flags(&[OOM])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE.union(KeyFlags::VARIABLE_FLAGS))])
            .asks(field::asked_by_bitfield)
            .docs(
                "3.2.0",
                "O(1) for each subcommand specified",
                "Performs arbitrary bitfield integer operations on strings.",
            ),
        Command::read("bitfield_ro", -2, field::bitfield_ro)
            .answers(OfString::Numbers)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs(
                "6.0.0",
                "O(1) for each subcommand specified",
                "Performs arbitrary read-only bitfield integer operations on strings.",
            ),
        Command::write("bitop", -4, op::bitop)
            .cost(CostKind::Stores(cost::bitop))
            .flags(&[OOM])
            .keys(&[key(2, KeyFlags::OW_UPDATE), keys(3, -1, 1, KeyFlags::RO_ACCESS)])
            .docs("2.6.0", "O(N)", "Performs bitwise operations on multiple strings, and stores the result."),
        Command::read("bitpos", -3, count::bitpos)
            .answers(OfString::Numbers)
            .cost(CostKind::Measured(cost::bitpos))
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.8.7", "O(N)", "Finds the first set (1) or clear (0) bit in a string."),
        Command::read("getbit", 3, getbit)
            .answers(OfString::Numbers)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.2.0", "O(1)", "Returns a bit value by offset."),
        Command::write("setbit", 4, setbit)
            .cost(CostKind::Measured(cost::setbit))
            .flags(&[OOM])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs(
                "2.2.0",
                "O(1)",
                "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.",
            ),
    ],
};

const BAD_OFFSET: CommandError =
    CommandError::Other(std::borrow::Cow::Borrowed("ERR bit offset is not an integer or out of range"));

/// The number of a bit that a string may have.
fn bit_offset(arg: &[u8]) -> Result<u64, CommandError> {
    let offset = parse_integer(arg).and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < MAX_STRING_BYTES as u64).ok_or(BAD_OFFSET)
}

/// The byte of a bit, and the mask of the bit within it.
fn place_of(offset: u64) -> (usize, u8) {
    ((offset / 8) as usize, 0x80 >> (offset % 8))
}

/// <https://redis.io/docs/latest/commands/getbit/>
fn getbit(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (byte, mask) = place_of(bit_offset(args[2])?);
    let bytes = ctx.string(args[1])?.unwrap_or_default();
    reply.integer(i64::from(bytes.get(byte).is_some_and(|byte| byte & mask != 0)));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/setbit/>
fn setbit(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let key = args[1];
    let (place, mask) = place_of(bit_offset(args[2])?);
    let bit = match parse_integer(args[3]) {
        Some(0) => 0,
        Some(1) => mask,
        _ => return Err(CommandError::other("ERR bit is not an integer or out of range")),
    };
    let old = ctx.string(key)?.and_then(|bytes| bytes.get(place)).copied();
    let had = old.unwrap_or_default() & mask;
    if old.is_none() || had != bit {
        let len = ctx.string(key)?.map_or(0, <[u8]>::len).max(place + 1);
        let byte = &mut ctx.resize_string(key, len)?[place];
        *byte = *byte & !mask | bit;
    }
    reply.integer(i64::from(had != 0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn a_bit_is_set_and_read() {
        let mut db = TestDb::new();
        assert_eq!(db.show("SETBIT k 7 1"), "0");
        assert_eq!(db.show("GET k"), "\u{1}");
        assert_eq!(db.show("SETBIT k 7 0"), "1");
        assert_eq!(db.show("GETBIT k 7"), "0");
        assert_eq!(db.show("SETBIT k 17 1"), "0");
        assert_eq!(db.show("STRLEN k"), "3");
        assert_eq!(db.show("GETBIT k 17"), "1");
        assert_eq!(db.show("GETBIT k 4294967295"), "0");
        assert_eq!(db.show("GETBIT none 0"), "0");
    }

    #[test]
    fn setbit_keeps_the_deadline_and_announces_changes_alone() {
        let mut db = TestDb::new();
        db.show("SET k a PX 5000");
        db.take_touched();
        assert_eq!(db.show("SETBIT k 1 1"), "1");
        assert!(db.take_touched().is_empty());
        assert_eq!(db.show("SETBIT k 100 0"), "0");
        assert_eq!(db.take_touched(), ["k"]);
        assert_eq!(db.show("PTTL k"), "5000");
        assert_eq!(db.show("STRLEN k"), "13");
    }

    #[test]
    fn offsets_and_bits_have_limits() {
        let mut db = TestDb::new();
        let text = "ERR bit offset is not an integer or out of range";
        for offset in ["-1", "x", "4294967296", "9223372036854775807", "9223372036854775808", "1.0", "\"\""] {
            assert_eq!(db.show(&format!("SETBIT k {offset} 1")), text);
            assert_eq!(db.show(&format!("GETBIT k {offset}")), text);
        }
        for bit in ["2", "-1", "x", "01"] {
            assert_eq!(db.show(&format!("SETBIT k 0 {bit}")), "ERR bit is not an integer or out of range");
        }
        db.show("RPUSH l a");
        assert!(db.show("SETBIT l 0 1").starts_with("WRONGTYPE"));
        assert!(db.show("GETBIT l 0").starts_with("WRONGTYPE"));
        assert_eq!(db.show("EXISTS k"), "0");
    }
}
