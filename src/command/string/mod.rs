//! Strings: the table of the family; reading strings and changing them in place.
//!
//! - No string outgrows [`MAX_STRING_BYTES`](super::args::MAX_STRING_BYTES); what would is refused before anything changes.
//! - Overwriting in place (APPEND, SETRANGE, INCR) keeps the deadline, setting anew clears it.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=string>.

mod count;
mod lcs;
mod many;
mod set;

use super::args::{index_range, integer, string_len};
use super::cost::{self, CostKind};
use super::spec::{BeginSearch, Categories, FindKeys, Flags, KeyFlags, KeySpec, key, keys};
use super::{Args, Asked, Command, CommandError, CommandResult, Family, OfString, ReadContext, WriteContext};
use crate::protocol::reply::Reply;

const OOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;

/// `numkeys key value key value …`
const NUMBERED_PAIRS: KeySpec = KeySpec {
    begin: BeginSearch::Index(1),
    find: FindKeys::KeyNum { count_at: 0, first: 1, step: 2 },
    flags: KeyFlags::OW_UPDATE,
};

/// SET reads its key only where it answers what was there.
fn asked_by_set(args: &Args<'_>) -> Asked {
    let gets = args.iter().skip(3).any(|option| option.eq_ignore_ascii_case(b"GET"));
    let flags = if gets { KeyFlags::RW_ACCESS_UPDATE } else { KeyFlags::OW_UPDATE };
    Asked { keys: vec![(1, flags)], reads_any_key: false }
}

pub const FAMILY: Family = Family {
    group: "string",
    categories: Categories::STRING,
    commands: &[
        Command::write("append", 3, append).cost(CostKind::Measured(cost::append))
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_INSERT)])
            .docs("2.0.0", "O(1) amortized", "Appends a string to the value of a key. Creates the key if it doesn't exist."),
        Command::write("decr", 2, count::decr)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("1.0.0", "O(1)", "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist."),
        Command::write("decrby", 3, count::decrby)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("1.0.0", "O(1)", "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist."),
        Command::write("delifeq", 3, set::delifeq)
            .keys(&[key(1, KeyFlags::RM_ACCESS_DELETE)])
            .docs("9.0.0", "O(1)", "Deletes a key if its value equals the given string."),
        Command::read("get", 2, get)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("1.0.0", "O(1)", "Returns the string value of a key."),
        Command::write("getdel", 2, set::getdel)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE)])
            .docs("6.2.0", "O(1)", "Returns the string value of a key after deleting the key."),
        Command::write("getex", -2, set::getex)
            .reads_when(|args| args.len() == 2, get)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("6.2.0", "O(1)", "Returns the string value of a key after setting its expiration time."),
        Command::read("getrange", 4, getrange).answers(OfString::Part)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.4.0", "O(N) where N is the length of the returned string", "Returns a substring of the string stored at a key."),
        Command::write("getset", 3, set::getset)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("1.0.0", "O(1)", "Returns the previous string value of a key after setting it to a new value."),
        Command::write("incr", 2, count::incr)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("1.0.0", "O(1)", "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist."),
        Command::write("incrby", 3, count::incrby)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("1.0.0", "O(1)", "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist."),
        Command::write("incrbyfloat", 3, count::incrbyfloat)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("2.6.0", "O(1)", "Increments the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist."),
        Command::read("lcs", -3, lcs::lcs).cost(CostKind::Measured(lcs::cost_of_lcs))
            .keys(&[keys(1, 1, 1, KeyFlags::RO_ACCESS)])
            .docs("7.0.0", "O(N*M) where N and M are the lengths of the strings", "Finds the longest common subsequence of two strings."),
        Command::read("mget", -2, many::mget)
            .flags(&[FAST])
            .keys(&[keys(1, -1, 1, KeyFlags::RO_ACCESS)])
            .docs("1.0.0", "O(N) where N is the number of keys", "Atomically returns the string values of one or more keys."),
        Command::write("mset", -3, many::mset)
            .flags(&[OOM])
            .keys(&[keys(1, -1, 2, KeyFlags::OW_UPDATE)])
            .docs("1.0.1", "O(N) where N is the number of keys", "Atomically creates or modifies the string values of one or more keys."),
        Command::write("msetex", -4, many::msetex)
            .flags(&[OOM, Flags::MOVABLEKEYS])
            .keys(&[NUMBERED_PAIRS])
            .docs("9.1.0", "O(N) where N is the number of keys", "Atomically sets the string values and a shared expiration time of one or more keys."),
        Command::write("msetnx", -3, many::msetnx)
            .flags(&[OOM])
            .keys(&[keys(1, -1, 2, KeyFlags::OW_INSERT)])
            .docs("1.0.1", "O(N) where N is the number of keys", "Atomically sets the string values of one or more keys only when all keys don't exist."),
        Command::write("psetex", 4, set::psetex)
            .flags(&[OOM])
            .keys(&[key(1, KeyFlags::OW_UPDATE)])
            .docs("2.6.0", "O(1)", "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist."),
        Command::write("set", -3, set::set)
            .flags(&[OOM])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE.union(KeyFlags::VARIABLE_FLAGS))])
            .asks(asked_by_set)
            .docs("1.0.0", "O(1)", "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist."),
        Command::write("setex", 4, set::setex)
            .flags(&[OOM])
            .keys(&[key(1, KeyFlags::OW_UPDATE)])
            .docs("2.0.0", "O(1)", "Sets the string value and expiration time of a key. The key is created if it doesn't exist."),
        Command::write("setnx", 3, set::setnx)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::OW_INSERT)])
            .docs("1.0.0", "O(1)", "Sets the string value of a key only when the key doesn't exist."),
        Command::write("setrange", 4, setrange)
            .cost(CostKind::Measured(cost::setrange))
            .reads_when(|args| args[3].is_empty(), set_empty_range)
            .flags(&[OOM])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("2.2.0", "O(N) where N is the length of the value", "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist."),
        Command::read("strlen", 2, strlen)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("2.2.0", "O(1)", "Returns the length of a string value."),
        Command::read("substr", 4, getrange).answers(OfString::Part)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("1.0.0", "O(N) where N is the length of the returned string", "Returns a substring from a string value."),
    ],
};

/// <https://redis.io/docs/latest/commands/get/>
fn get(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let value = ctx.string(args[1])?;
    reply.bulk_or_null(value);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/strlen/>
fn strlen(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let value = ctx.string(args[1])?;
    reply.integer(value.map_or(0, <[u8]>::len) as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/getrange/>, and SUBSTR, its old name.
fn getrange(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (start, end) = (integer(args[2])?, integer(args[3])?);
    let value = ctx.string(args[1])?.unwrap_or_default();
    reply.bulk(&value[byte_range(start, end, value.len())]);
    Ok(())
}

/// As [`index_range`], but an end before the first byte means the first byte, unless the start lies behind that end.
fn byte_range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let crossed = start < 0 && end < 0 && start > end;
    let before_first = end < 0 && end.unsigned_abs() > len as u64;
    match (crossed, before_first) {
        (true, _) => 0..0,
        (false, true) => index_range(start, 0, len),
        (false, false) => index_range(start, end, len),
    }
}

/// <https://redis.io/docs/latest/commands/append/>
fn append(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (key, tail) = (args[1], args[2]);
    let Some(old_len) = ctx.string(key)?.map(<[u8]>::len) else {
        ctx.set_string(key, tail, None);
        reply.integer(tail.len() as i64);
        return Ok(());
    };
    let len = string_len(old_len, tail.len())?;
    ctx.resize_string(key, len)?[old_len..].copy_from_slice(tail);
    reply.integer(len as i64);
    Ok(())
}

fn range_offset(arg: &[u8]) -> Result<usize, CommandError> {
    usize::try_from(integer(arg)?).map_err(|_| CommandError::other("ERR offset is out of range"))
}

/// SETRANGE of nothing.
fn set_empty_range(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    range_offset(args[2])?;
    strlen(ctx, args, reply)
}

/// <https://redis.io/docs/latest/commands/setrange/>
fn setrange(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (key, part) = (args[1], args[3]);
    let offset = range_offset(args[2])?;
    let old_len = ctx.string(key)?.map_or(0, <[u8]>::len);
    if part.is_empty() {
        reply.integer(old_len as i64);
        return Ok(());
    }
    let end = string_len(offset, part.len())?;
    let len = end.max(old_len);
    ctx.resize_string(key, len)?[offset..end].copy_from_slice(part);
    reply.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::byte_range;
    use crate::command::testing::TestDb;

    proptest! {
        /// The manual's rules one after the other: count from the end, clamp to the string, take nothing where they cross.
        #[test]
        fn getrange_follows_the_rules_of_the_manual(start in -12_i64..12, end in -12_i64..12, len in 0_usize..8) {
            let signed = len as i64;
            let place = |index: i64| if index < 0 { (index + signed).max(0) } else { index };
            let (first, last) = (place(start), place(end).min(signed - 1));
            let nothing = (start < 0 && end < 0 && start > end) || first > last || len == 0;
            let expected = if nothing { 0..0 } else { first as usize..last as usize + 1 };
            prop_assert_eq!(byte_range(start, end, len), expected);
        }
    }

    #[test]
    fn a_string_is_set_read_measured_and_cut() {
        let mut db = TestDb::new();
        assert_eq!(db.run("SET k Hello"), "+OK\r\n");
        assert_eq!(db.run("GET k"), "$5\r\nHello\r\n");
        assert_eq!(db.run("GET none"), "$-1\r\n");
        assert_eq!(db.show("STRLEN k"), "5");
        assert_eq!(db.show("STRLEN none"), "0");
        assert_eq!(db.show("GETRANGE k 1 -2"), "ell");
        assert_eq!(db.show("SUBSTR k -100 1"), "He");
        assert_eq!(db.show("GETRANGE k 5 9"), "");
        assert_eq!(db.show("GETRANGE k 0 -100"), "H");
        assert_eq!(db.show("GETRANGE k -1 -100"), "");
        assert_eq!(db.show("GETRANGE none 0 -1"), "");
        assert_eq!(TestDb::resp3().run("GET none"), "_\r\n");
    }

    #[test]
    fn append_and_setrange_grow_a_string_and_keep_its_deadline() {
        let mut db = TestDb::new();
        assert_eq!(db.show("APPEND k ab"), "2");
        db.show("PEXPIRE k 5000");
        assert_eq!(db.show("APPEND k cd"), "4");
        assert_eq!(db.show("SETRANGE k 6 yz"), "8");
        assert_eq!(db.run("GET k"), "$8\r\nabcd\0\0yz\r\n");
        assert_eq!(db.show("SETRANGE k 0 X"), "8");
        assert_eq!(db.show("PTTL k"), "5000");
    }

    #[test]
    fn setrange_refuses_impossible_places() {
        let mut db = TestDb::new();
        assert_eq!(db.show("SETRANGE k -1 x"), "ERR offset is out of range");
        assert_eq!(
            db.show("SETRANGE k 536870912 x"),
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        );
        assert_eq!(
            db.show("SETRANGE k 9223372036854775807 x"),
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        );
        assert_eq!(db.show("SETRANGE k 3 \"\""), "0");
        assert_eq!(db.show("EXISTS k"), "0");
    }
}
