//! The system database as handlers see it: named byte strings that every node has alike, and that no client can reach by a key.
//!
//! - Only commands that write change it, so it is logged, captured, digested and backed up as keys are.
//! - FLUSHALL, SWAPDB, SCAN and DBSIZE pass it by; nothing in it has a deadline.
//! - A name begins with what it is about (`user:`). Who reads all that begin so locks the whole keyspace.
//! - What is made from it is made anew by whoever needs it, once the keyspace says that it has changed.

use super::spec::{Categories, Flags, KeyFlags, key, keys};
use super::{Args, Command, CommandError, CommandResult, Family};
use crate::command::context::{ReadContext, WriteContext};
use crate::keyspace::SYSTEM;
pub use crate::keyspace::system::all_in_system;
use crate::keyspace::system::{HAS_PARAMETERS, PARAMETER, bytes_of};
use crate::protocol::reply::Reply;

/// What the names of users begin with; the values are their rules.
pub const USER: &[u8] = b"user:";

/// Puts a value under a name: `_sysset name old new`, where `old` is what is there, empty where nothing is.
pub const SET: &[u8] = b"_sysset";
/// Takes names out: `_sysdel name...`.
pub const DELETE: &[u8] = b"_sysdel";

/// Sets parameters of the group: `_parameters SET name text...`. `FIRST` in place of `SET` does so where none were ever set, and notes
/// that the group has its parameters from then on.
pub const PARAMETERS: &[u8] = b"_parameters";
/// See [`PARAMETERS`].
pub const SET_PARAMETERS: &[u8] = b"SET";
/// See [`PARAMETERS`].
pub const FIRST_PARAMETERS: &[u8] = b"FIRST";

pub const FAMILY: Family = Family {
    group: "server",
    categories: Categories::KEYSPACE,
    commands: &[
        // No other command runs beside it: limits of encodings are among what it sets.
        Command::write("_parameters", -2, set_parameters)
            .flags(&[Flags::INTERNAL, Flags::WHOLE_KEYSPACE])
            .docs("", "O(N) where N is the number of names", "Sets parameters of the group."),
        Command::write("_sysdel", -2, delete)
            .flags(&[Flags::INTERNAL])
            .keys(&[keys(1, -1, 1, KeyFlags::RM_DELETE)])
            .docs("", "O(N) where N is the number of names", "Takes names out of the system database."),
        Command::write("_sysset", 4, set)
            .flags(&[Flags::INTERNAL])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs("", "O(1)", "Puts a value under a name of the system database."),
    ],
};

/// Two clients that change the same at once: the second one's change was made from what is not there any more.
const CHANGED_MEANWHILE: &str = "TRYAGAIN another client changed the same at this moment, nothing was done";

fn set(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if ctx.system(args[1]).unwrap_or_default() != args[2] {
        return Err(CommandError::other(CHANGED_MEANWHILE));
    }
    ctx.set_system(args[1], args[3]);
    reply.ok();
    Ok(())
}

fn set_parameters(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (pairs, []) = args[2..].as_chunks::<2>() else { return Err(CommandError::Syntax) };
    if args[1] == FIRST_PARAMETERS {
        if ctx.system(HAS_PARAMETERS).is_some() {
            reply.ok();
            return Ok(());
        }
        ctx.set_system(HAS_PARAMETERS, b"1");
    } else if args[1] != SET_PARAMETERS {
        return Err(CommandError::Syntax);
    }
    for [name, text] in pairs {
        ctx.set_system(&[PARAMETER, name].concat(), text);
    }
    reply.ok();
    Ok(())
}

fn delete(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let deleted = args[1..].iter().filter(|name| ctx.remove_system(name)).count();
    reply.integer(deleted as i64);
    Ok(())
}

impl<'a> ReadContext<'a> {
    /// What the system database has under a name. The command locks the name's range.
    pub fn system(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.entry_in(SYSTEM, name).and_then(bytes_of)
    }

    /// What it has under names that begin so, by name, the beginning cut off. The command locks the whole keyspace.
    pub fn all_in_system(&self, beginning: &[u8]) -> Vec<(&'a [u8], &'a [u8])> {
        all_in_system(self.ranges(), beginning)
    }
}

impl WriteContext<'_> {
    /// As [`ReadContext::system`].
    pub fn system(&self, name: &[u8]) -> Option<&[u8]> {
        self.entry_in(SYSTEM, name).and_then(bytes_of)
    }

    /// As [`ReadContext::all_in_system`].
    pub fn all_in_system(&self, beginning: &[u8]) -> Vec<(&[u8], &[u8])> {
        all_in_system(self.ranges(), beginning)
    }

    /// Puts bytes under a name of the system database.
    pub fn set_system(&mut self, name: &[u8], value: &[u8]) {
        self.note_system_change(name);
        self.in_database(SYSTEM, |system| system.set_string(name, value, None));
    }

    /// Takes a name out of the system database; false where there was none.
    pub fn remove_system(&mut self, name: &[u8]) -> bool {
        self.note_system_change(name);
        self.in_database(SYSTEM, |system| system.remove(name))
    }

    fn note_system_change(&mut self, name: &[u8]) {
        if name.starts_with(USER) {
            self.note_users_changed();
        } else if name.starts_with(PARAMETER) || name == HAS_PARAMETERS {
            self.note_parameters_changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::context::{ReadContext, Stamp, WriteContext};
    use crate::command::testing::TestDb;
    use crate::keyspace::SYSTEM;
    use crate::keyspace::view::LockSet;

    fn change(db: &mut TestDb, change: impl FnOnce(&mut WriteContext<'_>)) {
        db.write(LockSet::ALL, Stamp { now_ms: 1_000_000, seed: 1 }, change);
    }

    fn all(db: &TestDb) -> Vec<String> {
        let view = db.keyspace().read(LockSet::ALL);
        let context = ReadContext::new(&view, 0, 0, 0);
        let named = context.all_in_system(b"user:").into_iter();
        named.map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii())).collect()
    }

    #[test]
    fn what_clients_do_to_all_databases_leaves_the_system_database_as_it_is() {
        let mut db = TestDb::seeded();
        let empty = db.digest();
        change(&mut db, |context| {
            context.set_system(b"user:b", b"2");
            context.set_system(b"user:a", b"1");
            context.set_system(b"script:c", b"3");
            assert_eq!(context.system(b"user:a"), Some(&b"1"[..]));
            assert_eq!((context.db, context.exists(b"user:a")), (0, false), "it is no key");
        });
        assert_ne!(db.digest(), empty, "digests are of it, too");
        let before = db.digest();
        for line in ["FLUSHALL", "SWAPDB 0 1", "FLUSHDB"] {
            assert_eq!(db.show(line), "OK");
        }
        assert_eq!((db.digest(), all(&db)), (before, vec!["a=1".to_owned(), "b=2".to_owned()]));
        for (line, reply) in
            [("DBSIZE", "0"), ("SCAN 0 COUNT 1000", "[0 []]"), ("KEYS *", "[]"), ("RANDOMKEY", "nil")]
        {
            assert_eq!(db.show(line), reply, "{line}");
        }
        assert_eq!(db.show("SWAPDB 0 16"), "ERR DB index is out of range");
        assert_eq!(db.show("MOVE a 16"), "ERR DB index is out of range");
        assert!(std::mem::take(&mut db.effects.users_changed));
        change(&mut db, |context| {
            assert!(context.remove_system(b"user:a"));
            assert!(!context.remove_system(b"user:a"));
        });
        assert_eq!(all(&db), ["b=2"]);
        assert_eq!(db.keyspace().usage(SYSTEM).keys, 2);
        assert!(db.effects.users_changed);
    }

    #[test]
    fn parameters_are_set_and_the_first_ones_once() {
        let mut db = TestDb::new();
        assert_eq!(db.show("_parameters FIRST timeout 5 maxmemory 100"), "OK");
        assert_eq!(db.show("_parameters FIRST timeout 6"), "OK");
        assert!(std::mem::take(&mut db.effects.parameters_changed));
        let parameters = |db: &TestDb| {
            db.keyspace().compile_parameters();
            let group = db.keyspace().group();
            (group.has_begun(), group.timeout_s(), group.maxmemory())
        };
        assert_eq!(parameters(&db), (true, 5, 100));
        assert_eq!(db.show("_parameters SET timeout 7"), "OK");
        assert_eq!(parameters(&db), (true, 7, 100));
        let digest = db.digest();
        for line in ["_parameters SET timeout", "_parameters CLEAR timeout 1"] {
            assert_eq!(db.show(line), "ERR syntax error");
        }
        assert_eq!((db.digest(), db.show("FLUSHALL")), (digest, "OK".to_owned()));
        assert_eq!(parameters(&db), (true, 7, 100));
    }

    #[test]
    fn a_change_that_was_made_from_another_value_is_refused() {
        let mut db = TestDb::new();
        assert_eq!(db.show("_sysset user:a \"\" 1"), "OK");
        assert!(db.show("_sysset user:a \"\" 2").starts_with("TRYAGAIN"));
        assert!(db.show("_sysset user:a 2 3").starts_with("TRYAGAIN"));
        assert_eq!(db.show("_sysset user:a 1 3"), "OK");
        assert_eq!(all(&db), ["a=3"]);
        assert_eq!(db.show("_sysdel user:a user:b"), "1");
    }
}
