//! Keys whatever they hold: the table of the family; existence, types and deletion.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=generic>.

mod cluster_id;
mod dump;
mod evict;
mod expire;
mod free;
mod hash_seed;
mod object;
pub(super) mod sort;
mod staged;
mod transfer;
mod walk;

use super::cost::{self, CostKind, reads};
use super::spec::{Categories, Flags, KeyFlags, key, keys};
use super::{Args, Command, CommandResult, Family, ReadContext, WriteContext};
use crate::protocol::reply::Reply;
pub use cluster_id::CLUSTER_ID;
pub use hash_seed::HASH_SEED;
pub use object::encoding_name;
pub use staged::{PART, STAGED, Staging};

const FAST: Flags = Flags::FAST;

/// Commands that find keys by themselves lock everything.
const WALKS: Flags = Flags::WHOLE_KEYSPACE;

pub const FAMILY: Family = Family {
    group: "generic",
    categories: Categories::KEYSPACE,
    commands: &[
        Command::write("copy", -3, transfer::copy).cost(CostKind::Stores(cost::copy)).in_other_database(transfer::copied_elsewhere)
            .flags(&[Flags::DENYOOM])
            .keys(&[key(1, KeyFlags::RO_ACCESS), key(2, KeyFlags::OW_UPDATE)])
            .docs(
                "6.2.0",
                "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
                "Copies the value of a key to a new key.",
            ),
        Command::write("del", -2, del).keys(&[keys(1, -1, 1, KeyFlags::RM_DELETE)]).docs(
            "1.0.0",
            "O(N) where N is the number of keys; large values are freed beside the command",
            "Deletes one or more keys.",
        ),
        Command::read("dump", 2, dump::dump).cost(reads::DUMP).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.6.0",
            "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1).",
            "Returns a serialized representation of the value stored at a key.",
        ),
        Command::read("exists", -2, count_existing)
            .flags(&[FAST, Flags::LOOKS_ONLY])
            .keys(&[keys(1, -1, 1, KeyFlags::RO)])
            .docs("1.0.0", "O(N) where N is the number of keys", "Determines whether one or more keys exist."),
        Command::write("expire", -3, expire::expire)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("1.0.0", "O(1)", "Sets the expiration time of a key in seconds."),
        Command::write("expireat", -3, expire::expireat)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("1.2.0", "O(1)", "Sets the expiration time of a key to a Unix timestamp."),
        Command::read("expiretime", 2, expire::expiretime)
            .flags(&[FAST, Flags::LOOKS_ONLY])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("7.0.0", "O(1)", "Returns the expiration time of a key as a Unix timestamp."),
        Command::write("_freeexpired", -2, free::free_expired)
            .flags(&[Flags::INTERNAL, Flags::LOOKS_ONLY])
            .keys(&[keys(1, -1, 1, KeyFlags::RM_DELETE)])
            .docs("", "O(N) where N is the number of keys and fields freed", "Frees what is dead by the entry's time."),
        Command::write("_evict", -2, evict::evict)
            .flags(&[Flags::INTERNAL])
            .keys(&[keys(1, -1, 1, KeyFlags::RM_DELETE)])
            .docs("", "O(N) where N is the number of keys", "Removes keys that the primary chose, to make room."),
        hash_seed::COMMAND,
        cluster_id::COMMAND,
        staged::PART_COMMAND,
        staged::STAGED_COMMAND,
        Command::read("keys", 2, walk::keys).in_scripts(walk::keys_by_name).cost(reads::KEYS).flags(&[WALKS]).categories(Categories::DANGEROUS).docs(
            "1.0.0",
            "O(N) where N is the number of keys in the database",
            "Returns all key names that match a pattern.",
        ),
        Command::write("move", 3, transfer::move_to_database).cost(CostKind::Carries(cost::move_to_database)).in_other_database(transfer::moved_elsewhere)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)])
            .docs("1.0.0", "O(1)", "Moves a key to another database."),
        Command::container("object", object::SUBCOMMANDS).docs(
            "2.2.3",
            "Depends on subcommand.",
            "A container for object introspection commands.",
        ),
        Command::write("persist", 2, expire::persist)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("2.2.0", "O(1)", "Removes the expiration time of a key."),
        Command::write("pexpire", -3, expire::pexpire)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("2.6.0", "O(1)", "Sets the expiration time of a key in milliseconds."),
        Command::write("pexpireat", -3, expire::pexpireat)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("2.6.0", "O(1)", "Sets the expiration time of a key to a Unix milliseconds timestamp."),
        Command::read("pexpiretime", 2, expire::pexpiretime)
            .flags(&[FAST, Flags::LOOKS_ONLY])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("7.0.0", "O(1)", "Returns the expiration time of a key as a Unix milliseconds timestamp."),
        Command::read("pttl", 2, expire::pttl)
            .flags(&[FAST, Flags::LOOKS_ONLY])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("2.6.0", "O(1)", "Returns the expiration time in milliseconds of a key."),
        Command::read("randomkey", 1, walk::randomkey).in_scripts(walk::random_by_name).cost(reads::RANDOM_KEY)
            .flags(&[WALKS])
            .docs("1.0.0", "O(1)", "Returns a random key name from the database."),
        Command::write("rename", 3, transfer::rename)
            .cost(CostKind::Carries(cost::rename))
            .reads_when(is_own_name, transfer::rename_nothing)
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE), key(2, KeyFlags::OW_UPDATE)])
            .docs("1.0.0", "O(1)", "Renames a key and overwrites the destination."),
        Command::write("renamenx", 3, transfer::renamenx)
            .cost(CostKind::Carries(cost::rename))
            .reads_when(is_own_name, transfer::rename_nothing_nx)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE), key(2, KeyFlags::OW_INSERT)])
            .docs("1.0.0", "O(1)", "Renames a key only when the target key name doesn't exist."),
        Command::write("restore", -4, dump::restore).cost(CostKind::Measured(dump::cost_of_restore))
            .flags(&[Flags::DENYOOM])
            .categories(Categories::DANGEROUS)
            .keys(&[key(1, KeyFlags::OW_UPDATE)])
            .docs(
                "2.6.0",
                "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).",
                "Creates a key from the serialized representation of a value.",
            ),
        Command::read("scan", -2, walk::scan).in_scripts(walk::scan_by_slot).cost(reads::SCAN).flags(&[WALKS]).docs(
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, where N is the number of keys in the database.",
            "Iterates over the key names in the database.",
        ),
        Command::read("touch", -2, count_existing)
            .flags(&[FAST])
            .keys(&[keys(1, -1, 1, KeyFlags::RO)])
            .docs("3.2.1", "O(N) where N is the number of keys", "Returns the number of existing keys out of those specified."),
        Command::read("ttl", 2, expire::ttl)
            .flags(&[FAST, Flags::LOOKS_ONLY])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("1.0.0", "O(1)", "Returns the expiration time in seconds of a key."),
        Command::read("type", 2, value_type)
            .flags(&[FAST, Flags::LOOKS_ONLY])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("1.0.0", "O(1)", "Determines the type of value stored at a key."),
        Command::write("unlink", -2, del).flags(&[FAST]).keys(&[keys(1, -1, 1, KeyFlags::RM_DELETE)]).docs(
            "4.0.0",
            "O(N) where N is the number of keys; large values are freed beside the command",
            "Asynchronously deletes one or more keys.",
        ),
    ],
};

fn is_own_name(args: &Args<'_>) -> bool {
    args[1] == args[2]
}

/// DEL and UNLINK are the same: both free large values beside apply. <https://redis.io/docs/latest/commands/del/>
fn del(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let removed = args[1..].iter().filter(|key| ctx.remove(key)).count();
    reply.integer(removed as i64);
    Ok(())
}

/// EXISTS, and TOUCH, which uses the keys by looking them up. A key named twice counts twice.
/// <https://redis.io/docs/latest/commands/exists/>
fn count_existing(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let existing = args[1..].iter().filter(|key| ctx.exists(key)).count();
    reply.integer(existing as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/type/>
fn value_type(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.simple(ctx.value_type(args[1]).map_or("none", |value_type| value_type.name()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn keys_are_counted_typed_and_deleted() {
        let mut db = TestDb::new();
        db.show("MSET a 1 b 2 c 3");
        assert_eq!(db.show("EXISTS a a none"), "2");
        assert_eq!(db.show("TOUCH a b none"), "2");
        assert_eq!(db.run("TYPE a"), "+string\r\n");
        assert_eq!(db.run("TYPE none"), "+none\r\n");
        assert_eq!(db.show("DEL a a none"), "1");
        assert_eq!(db.show("UNLINK b c"), "2");
        assert_eq!(db.show("DBSIZE"), "0");
    }

    #[test]
    fn only_what_was_there_is_announced() {
        let mut db = TestDb::new();
        db.show("SET a 1");
        db.take_touched();
        db.show("DEL a none");
        assert_eq!(db.take_touched(), ["a"]);
    }
}
