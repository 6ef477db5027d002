//! Hashes: the table of the family, and how handlers come to a hash.
//!
//! - A field whose deadline has passed is missing to every command. Reads pass over it ([`LiveHash`]); writes free all
//!   such fields of the hash before they look at it ([`free_dead_fields`]).
//! - A hash that lost its last field loses its key. One whose fields are all dead but not yet freed still counts as a
//!   key (EXISTS, SCAN), as in Redis.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=hash>; deadlines of fields as in Valkey 9.

mod deadline;
mod live;
mod number;
mod random;
mod read;
#[cfg(test)]
mod tests;
mod with_lifetime;
mod write;

pub(super) use live::free_dead_fields;
pub(super) use read::live_field;

use super::args::{integer, is};
use super::cost::reads;
use super::error::CommandError;
use super::spec::{Categories, Flags, KeyFlags, key};
use super::{Args, Command, Family};

const OOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;
const PER_FIELD: &str = "O(N) where N is the number of specified fields";
const WHOLE_HASH: &str = "O(N) where N is the size of the hash";

pub const FAMILY: Family = Family {
    group: "hash",
    categories: Categories::HASH,
    commands: &[
        Command::write("hdel", -3, write::hdel)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_DELETE)])
            .docs("2.0.0", PER_FIELD, "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain."),
        Command::read("hexists", 3, read::hexists)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("2.0.0", "O(1)", "Determines whether a field exists in a hash."),
        Command::write("hexpire", -6, deadline::hexpire)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("9.0.0", PER_FIELD, "Sets the expiration time of hash fields in seconds."),
        Command::write("hexpireat", -6, deadline::hexpireat)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("9.0.0", PER_FIELD, "Sets the expiration time of hash fields to a Unix timestamp."),
        Command::read("hexpiretime", -5, deadline::hexpiretime)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("9.0.0", PER_FIELD, "Returns the expiration time of hash fields as a Unix timestamp."),
        Command::read("hget", 3, read::hget)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.0.0", "O(1)", "Returns the value of a field in a hash."),
        Command::read("hgetall", 2, read::hgetall).cost(reads::WHOLE_VALUE)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.0.0", WHOLE_HASH, "Returns all fields and values in a hash."),
        Command::write("hgetdel", -5, with_lifetime::hgetdel)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE)])
            .docs("9.1.0", PER_FIELD, "Returns the values of one or more fields and deletes them from the hash."),
        Command::write("hgetex", -5, with_lifetime::hgetex)
            .reads_when(|args| is(args[2], "FIELDS"), read::hgetex)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS)])
            .docs("9.0.0", PER_FIELD, "Returns the values of one or more fields and sets their expiration time."),
        Command::write("hincrby", 4, number::hincrby)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("2.0.0", "O(1)", "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist."),
        Command::write("hincrbyfloat", 4, number::hincrbyfloat)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("2.6.0", "O(1)", "Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist."),
        Command::read("hkeys", 2, read::hkeys).cost(reads::WHOLE_VALUE)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.0.0", WHOLE_HASH, "Returns all fields in a hash."),
        Command::read("hlen", 2, read::hlen)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("2.0.0", "O(1)", "Returns the number of fields in a hash."),
        Command::read("hmget", -3, read::hmget)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.0.0", PER_FIELD, "Returns the values of all specified fields in a hash."),
        Command::write("hmset", -4, write::hmset)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("2.0.0", PER_FIELD, "Sets the values of multiple fields."),
        Command::write("hpersist", -5, deadline::hpersist)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("9.0.0", PER_FIELD, "Removes the expiration time of hash fields."),
        Command::write("hpexpire", -6, deadline::hpexpire)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("9.0.0", PER_FIELD, "Sets the expiration time of hash fields in milliseconds."),
        Command::write("hpexpireat", -6, deadline::hpexpireat)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("9.0.0", PER_FIELD, "Sets the expiration time of hash fields to a Unix milliseconds timestamp."),
        Command::read("hpexpiretime", -5, deadline::hpexpiretime)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("9.0.0", PER_FIELD, "Returns the expiration time of hash fields as a Unix milliseconds timestamp."),
        Command::read("hpttl", -5, deadline::hpttl)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("9.0.0", PER_FIELD, "Returns the remaining time to live of hash fields in milliseconds."),
        Command::read("hrandfield", -2, random::hrandfield).cost(reads::PICKS)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("6.2.0", "O(N) where N is the number of fields returned", "Returns one or more random fields from a hash."),
        Command::read("hscan", -3, read::hscan).cost(reads::SCAN_OF_KEY)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.8.0", "O(1) for every call. O(N) for a complete iteration, where N is the number of fields", "Iterates over fields and values of a hash."),
        Command::write("hset", -4, write::hset)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("2.0.0", PER_FIELD, "Creates or modifies the value of a field in a hash."),
        Command::write("hsetex", -6, with_lifetime::hsetex)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_INSERT)])
            .docs("9.0.0", PER_FIELD, "Sets the values of one or more fields of a hash, and optionally their expiration time."),
        Command::write("hsetnx", 4, write::hsetnx)
            .flags(&[OOM, FAST])
            .keys(&[key(1, KeyFlags::RW_INSERT)])
            .docs("2.0.0", "O(1)", "Sets the value of a field in a hash only when the field doesn't exist."),
        Command::read("hstrlen", 3, read::hstrlen)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("3.2.0", "O(1)", "Returns the length of the value of a field."),
        Command::read("httl", -5, deadline::httl)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("9.0.0", PER_FIELD, "Returns the remaining time to live of hash fields in seconds."),
        Command::read("hvals", 2, read::hvals).cost(reads::WHOLE_VALUE)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.0.0", WHOLE_HASH, "Returns all values in a hash."),
    ],
};

/// Splits `options FIELDS numfields data…` into the options and the data, of which there are `per_field` arguments for
/// each of the `numfields` fields.
fn split_fields<'s, 'a>(
    args: &'s Args<'a>,
    per_field: usize,
) -> Result<(&'s Args<'a>, &'s Args<'a>), CommandError> {
    let mismatch =
        CommandError::other("ERR numfields should be greater than 0 and match the provided number of fields");
    let place = args.iter().position(|word| is(word, "FIELDS")).ok_or(mismatch.clone())?;
    let (options, fields) = args.split_at(place);
    let [_, count, data @ ..] = fields else { return Err(mismatch) };
    let count = usize::try_from(integer(count)?).ok().filter(|count| *count > 0);
    let expected = count.and_then(|count| count.checked_mul(per_field));
    if expected == Some(data.len()) { Ok((options, data)) } else { Err(mismatch) }
}
