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

use crate::admin::LocalContext;
use crate::admin::table::{ProcessCommand, ProcessFamily, SessionCommand};
use crate::command::logged::fingerprint;
use crate::command::spec::{BeginSearch, Categories, FindKeys, Flags, KeyFlags, KeySpec, key};
use crate::command::{Args, Asked, CommandError, CommandResult, ReadContext};
use crate::keyspace::entry::Entry;
use crate::keyspace::value::ValueRef;
use crate::keyspace::view::LockSet;
use crate::protocol::reply::Reply;
use crate::rdb;
pub use request::{Credentials, MigrateRequest};
pub use room::{MigrationRoom, Reserved};

const MOVED: KeyFlags = KeyFlags::RW_ACCESS_DELETE;

const KEYS_OPTION: KeySpec = KeySpec {
    begin: BeginSearch::LastKeyword { keyword: "KEYS", from: 6 },
    find: FindKeys::Range { last: -1, step: 1 },
    flags: MOVED.union(KeyFlags::INCOMPLETE),
};

pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "generic",
    categories: Categories::KEYSPACE,
    commands: &[
        ProcessCommand::session("migrate", -6, SessionCommand::Migrate, not_here)
            .flags(&[Flags::WRITE, Flags::NO_MULTI, Flags::MOVABLEKEYS, Flags::ON_PRIMARY])
            .categories(Categories::DANGEROUS)
            .keys(&[key(3, MOVED), KEYS_OPTION])
            .asks(asked)
            .docs(
                "2.6.0",
                "A DUMP and a DEL here, and a RESTORE at the target, for each key; O(N) for the bytes that are sent",
                "Atomically transfers a key from one Redis instance to another.",
            ),
    ],
};

/// The keys that the request names: the third argument, unless that is empty, or those behind the option KEYS.
fn asked(args: &Args<'_>) -> Asked {
    let mut asked = Asked::default();
    if !args[3].is_empty() {
        asked.keys.push((3, MOVED));
    }
    let mut at = 6;
    while let Some(word) = args.get(at) {
        match word.to_ascii_uppercase().as_slice() {
            b"AUTH" => at += 2,
            b"AUTH2" => at += 3,
            b"KEYS" => {
                asked.keys.extend((at + 1..args.len()).map(|place| (place, MOVED)));
                break;
            }
            _ => at += 1,
        }
    }
    asked
}

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

/// The session carries it out.
fn not_here(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR Command not allowed inside a transaction"))
}
