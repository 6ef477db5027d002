//! What the server itself logs for process commands: a published message, a mark, the end of a migration.

use super::spec::{Categories, Flags, KeyFlags, keys};
use super::{Args, Command, CommandError, CommandResult, Family, WriteContext};
use crate::keyspace::digest;
use crate::keyspace::entry::Entry;
use crate::protocol::message::{Kind, Message};
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

/// The command under which a message that a transaction publishes is logged.
pub const PUBLISH: &[u8] = b"_publish";

/// What [`PUBLISH`] says of a message in a shard channel.
pub const IN_SHARD_CHANNEL: &[u8] = b"shard";

/// The name under which a mark is logged.
pub const MARK: &[u8] = b"_checkpoint";

/// The command that ends a migration.
pub const DELETE_MIGRATED: &[u8] = b"_delmigrated";

pub const FAMILY: Family = Family {
    group: "server",
    categories: Categories::KEYSPACE,
    commands: &[
        Command::write("_checkpoint", 2, mark).flags(&[Flags::INTERNAL]).docs(
            "0.1.0",
            "O(1)",
            "A mark: every node takes a checkpoint right after this entry.",
        ),
        Command::write("_delmigrated", -4, delete_migrated)
            .flags(&[Flags::INTERNAL])
            .keys(&[keys(2, -2, 2, KeyFlags::RM_DELETE)])
            .docs("", "O(N) where N is the number of keys", "Deletes keys that another server has now."),
        Command::write("_publish", -3, publish).flags(&[Flags::INTERNAL]).docs(
            "0.1.0",
            "O(N) where N is the number of subscribers",
            "A message that a transaction publishes.",
        ),
    ],
};

const CHANGED: &str =
    "ERR a key changed while it was sent: it stays here, and the target has what it was before";

/// Changes nothing. The node that applies it captures its keyspace after the entry.
fn mark(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.set_mark(String::from_utf8_lossy(args[1]).into_owned());
    reply.ok();
    Ok(())
}

/// Of the key, its value and its deadlines. The log holds fingerprints: a program that computes them otherwise must give
/// [`DELETE_MIGRATED`] another name.
pub fn fingerprint(db: usize, entry: &Entry) -> [u8; 16] {
    digest::of_entry(db, entry).to_le_bytes()
}

/// Deletes those of the keys that still have the fingerprint that follows each of them. Its first argument is the error
/// that the client gets, empty for none.
fn delete_migrated(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (pairs, _) = args[2..].as_chunks::<2>();
    let mut changed = false;
    for [key, expected] in pairs {
        let found = ctx.entry(key).map(|entry| fingerprint(ctx.db, entry));
        if found.is_some_and(|found| found == **expected) {
            ctx.remove(key);
        } else {
            changed = true;
        }
    }
    match (args[1], changed) {
        ([], false) => reply.ok(),
        ([], true) => reply.error(CHANGED),
        (error, _) => reply.error(error),
    }
    Ok(())
}

/// Its third argument, if there is one, is the answer: receivers in the group when the transaction was sent. A
/// fourth says that the channel is a shard channel.
fn publish(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let receivers = args.get(3).map_or(Some(0), |count| parse_integer(count));
    let receivers = receivers.ok_or(CommandError::NotInteger)?;
    let kind = if args.get(4) == Some(&IN_SHARD_CHANNEL) { Kind::Shard } else { Kind::Channel };
    ctx.publish(Message::new(kind, args[1], args[2]));
    reply.integer(receivers);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::{TestDb, show_reply};
    use crate::keyspace::types::hash::Hash;
    use crate::keyspace::types::limits::TypeLimits;
    use crate::keyspace::types::list::List;
    use crate::keyspace::types::set::Set;
    use crate::keyspace::types::zset::ZSet;
    use crate::keyspace::value::Object;

    fn of_string(key: &str, text: &str, deadline_ms: Option<i64>) -> [u8; 16] {
        fingerprint(0, &Entry::string(key.as_bytes(), text.as_bytes(), deadline_ms))
    }

    fn end(db: &mut TestDb, error: &str, keys: &[(&str, [u8; 16])]) -> String {
        let mut args = vec![DELETE_MIGRATED, error.as_bytes()];
        keys.iter().for_each(|(key, fingerprint)| args.extend([key.as_bytes(), fingerprint]));
        show_reply(&String::from_utf8_lossy(&db.run_args(&args)))
    }

    #[test]
    fn fingerprints_are_those_that_logs_hold() {
        let limits = TypeLimits::default();
        let mut hash = Hash::new();
        hash.set(b"f", b"v", &limits);
        hash.set_expire_at(b"f", Some(7), &TypeLimits::default());
        let mut zset = ZSet::new();
        zset.insert(b"m", 1.5, &(&limits).into());
        let mut list = List::new();
        list.push_back(b"e", &limits);
        let mut set = Set::new();
        set.insert(b"5", &limits);
        let objects = [Object::Hash(hash), Object::ZSet(zset), Object::List(list), Object::Set(set)];
        let objects = objects.map(|object| digest::of_entry(2, &Entry::object(b"k", object, None)));
        let string = digest::of_entry(2, &Entry::string(b"k", b"v", Some(5)));
        assert_eq!(string, 0x10a64b6d_a24422e8_cfffebd0_cb844f7a);
        assert_eq!(
            objects,
            [
                0x95c2b929_d6850eb4_8725a135_372f43ab,
                0xa3d5ae13_90c72fdb_b1eefa28_c873b458,
                0xda7ecb2b_333c2994_dd1e3882_fe3df80b,
                0x862f93ab_b95f65fc_0f2d6fae_7b332398,
            ]
        );
    }

    #[test]
    fn what_is_still_what_was_sent_is_deleted() {
        let mut db = TestDb::new();
        db.show("MSET a 1 b 2 c 3");
        db.show("PEXPIREAT b 1000005");
        let keys = [("a", of_string("a", "1", None)), ("b", of_string("b", "2", Some(1_000_005)))];
        assert_eq!(end(&mut db, "", &keys), "OK");
        assert_eq!(db.show("MGET a b c"), "[nil nil 3]");
    }

    #[test]
    fn what_changed_stays_and_the_rest_goes_all_the_same() {
        let mut db = TestDb::new();
        db.show("MSET a new b 2 c 3");
        db.show("PEXPIREAT c 1000005");
        let sent = [("a", "1"), ("b", "2"), ("c", "3"), ("gone", "4")];
        let keys = sent.map(|(key, text)| (key, of_string(key, text, None)));
        assert_eq!(end(&mut db, "", &keys), CHANGED);
        assert_eq!(db.show("MGET a b c"), "[new nil 3]");
    }

    #[test]
    fn the_error_that_the_client_gets_travels_through_the_log() {
        let mut db = TestDb::new();
        db.show("SET a 1");
        assert_eq!(end(&mut db, "IOERR why", &[("a", of_string("a", "1", None))]), "IOERR why");
        assert_eq!(db.show("EXISTS a"), "0");
    }
}
