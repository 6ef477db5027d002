//! MIGRATE: moves keys to another server, which may be Redis.
//!
//! - The connection carries it out and no handler does, for it talks to the other server: the keys are read under their locks
//!   at one moment ([`Migration::pack`]), sent as RESTORE commands while nobody is held up but the client, and then deleted
//!   by a command in the log.
//! - A key is deleted here only after the target has answered OK to it, and only if it is still the key that was sent: same
//!   value, same deadlines. Otherwise it stays, and an error says so; the target then has what it was when it was read.
//! - A target that turns out to be this very database is refused: its key is the one that would be deleted. The target is asked
//!   for the run_id of its primary, and it is this process that reads, sends and deletes, throughout one leadership.
//! - Nothing is lost at any moment. A key may be in both places: after a copy, after an error, and for the client of another
//!   connection between the target's OK and the deletion.
//!
//! - What keys on their way take is bounded for all migrations together ([`MigrationRoom`]).
//!
//! Not in a transaction, whose commands all happen at one moment. Each MIGRATE makes a connection of its own.
//!
//! Source: <https://redis.io/docs/latest/commands/migrate/>.

mod request;
mod room;

use crate::command::spec::{
    BeginSearch, Categories, FindKeys, Flags, KeyFlags, KeySpec, SessionCommand, key, keys,
};
use crate::command::{
    Args, Command, CommandError, CommandResult, Family, LocalContext, ReadContext, WriteContext,
};
use crate::keyspace::digest;
use crate::keyspace::entry::Entry;
use crate::keyspace::value::ValueRef;
use crate::keyspace::view::LockSet;
use crate::protocol::reply::Reply;
use crate::rdb;
pub use request::{Credentials, MigrateRequest};
pub use room::{MigrationRoom, Reserved};

/// The command that ends a migration in the log.
pub const DELETE_MIGRATED: &[u8] = b"_delmigrated";

const MOVED: KeyFlags = KeyFlags::RW_ACCESS_DELETE;

const KEYS_OPTION: KeySpec = KeySpec {
    begin: BeginSearch::LastKeyword { keyword: "KEYS", from: 6 },
    find: FindKeys::Range { last: -1, step: 1 },
    flags: MOVED.union(KeyFlags::INCOMPLETE),
};

pub const FAMILY: Family = Family {
    group: "generic",
    categories: Categories::KEYSPACE,
    commands: &[
        Command::local("migrate", -6, not_here)
            .session(SessionCommand::Migrate)
            .flags(&[Flags::WRITE, Flags::NO_MULTI, Flags::MOVABLEKEYS, Flags::ON_PRIMARY])
            .categories(Categories::DANGEROUS)
            .keys(&[key(3, MOVED), KEYS_OPTION])
            .docs(
                "2.6.0",
                "A DUMP and a DEL here, and a RESTORE at the target, for each key; O(N) for the bytes that are sent",
                "Atomically transfers a key from one Redis instance to another.",
            ),
        Command::write("_delmigrated", -4, delete_migrated)
            .flags(&[Flags::INTERNAL])
            .keys(&[keys(2, -2, 2, KeyFlags::RM_DELETE)])
            .docs("", "O(N) where N is the number of keys", "Deletes keys that another server has now."),
    ],
};

const CHANGED: &str =
    "ERR a key changed while it was sent: it stays here, and the target has what it was before";

/// A key on its way.
#[derive(Debug)]
pub struct Traveller {
    pub key: Box<[u8]>,
    /// What is left of its life, in ms; 0 is for ever, as for RESTORE.
    pub ttl_ms: i64,
    /// Empty once it is sent.
    pub payload: Vec<u8>,
    pub fingerprint: [u8; 16],
}

/// A MIGRATE that has read its keys.
#[derive(Debug)]
pub struct Migration {
    pub request: MigrateRequest,
    /// The database that the keys leave.
    pub db: usize,
    /// The leadership epoch in which they were read.
    pub epoch: u64,
    /// Those of the request's keys that exist.
    pub travellers: Vec<Traveller>,
    /// For their payloads; none once all are sent.
    pub room: Option<Reserved>,
}

impl Migration {
    /// Reads the keys, which the context has locked; none where they need more room by now.
    pub fn pack(
        request: &MigrateRequest,
        epoch: u64,
        ctx: &ReadContext<'_>,
        room: Reserved,
    ) -> Option<Migration> {
        if request.bytes_on_the_way(ctx) > room.bytes {
            return None;
        }
        let travellers = request.keys.iter().filter_map(|key| traveller(ctx, key)).collect();
        Some(Migration { request: request.clone(), db: ctx.db, epoch, travellers, room: Some(room) })
    }
}

/// What a key on its way takes beside its name and its payload.
const TRAVELLER_BYTES: u64 = 128;
/// What a payload takes at most while it is made, by bytes of the value: of a string it is made twice where it may be compressed; the
/// elements of other types may be packed more densely in memory, and the payload grows by doubling.
const PAYLOAD_OF_STRING: u64 = 2;
const PAYLOAD_OF_OBJECT: u64 = 4;

fn payload_bytes(entry: &Entry) -> u64 {
    let factor = match entry.value() {
        ValueRef::String(_) => PAYLOAD_OF_STRING,
        ValueRef::Object(_) => PAYLOAD_OF_OBJECT,
    };
    (entry.memory_bytes() as u64).saturating_mul(factor)
}

impl MigrateRequest {
    pub fn lock_set(&self) -> LockSet {
        self.keys.iter().fold(LockSet::NONE, |set, key| set.union(LockSet::of_key(key)))
    }

    /// Memory that its keys take on their way, at most, as they are now.
    pub fn bytes_on_the_way(&self, ctx: &ReadContext<'_>) -> u64 {
        let bytes = self.keys.iter().map(|key| {
            let payload = ctx.entry(key).map_or(0, payload_bytes);
            payload.saturating_add(key.len() as u64 + TRAVELLER_BYTES)
        });
        bytes.fold(0, u64::saturating_add)
    }
}

fn traveller(ctx: &ReadContext<'_>, key: &[u8]) -> Option<Traveller> {
    let entry = ctx.entry(key)?;
    Some(Traveller {
        key: key.into(),
        ttl_ms: entry.deadline_ms().map_or(0, |deadline_ms| deadline_ms - ctx.now_ms),
        payload: rdb::dump(entry.value()),
        fingerprint: fingerprint(ctx.db, entry),
    })
}

/// Of the key, its value and its deadlines. The log holds fingerprints: a program that computes them otherwise must give
/// the command in the log another name.
fn fingerprint(db: usize, entry: &Entry) -> [u8; 16] {
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
        (error, _) => reply.error(&String::from_utf8_lossy(error)),
    }
    Ok(())
}

/// The session carries it out.
fn not_here(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR Command not allowed inside a transaction"))
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
