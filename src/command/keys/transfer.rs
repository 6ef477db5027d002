//! Values that change their key or database: RENAME, RENAMENX, COPY, MOVE. Deadlines travel along.

use crate::command::args::{database, is};
use crate::command::{Args, CommandError, CommandResult, Elsewhere, ReadContext, WriteContext};
use crate::protocol::reply::Reply;

const SAME_OBJECT: &str = "ERR source and destination objects are the same";

/// <https://redis.io/docs/latest/commands/rename/>
pub(super) fn rename(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if !ctx.exists(args[1]) {
        return Err(CommandError::NoSuchKey);
    }
    move_value(ctx, args[1], args[2]);
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/renamenx/>
pub(super) fn renamenx(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if !ctx.exists(args[1]) {
        return Err(CommandError::NoSuchKey);
    }
    let free = !ctx.exists(args[2]);
    if free {
        move_value(ctx, args[1], args[2]);
    }
    reply.integer(i64::from(free));
    Ok(())
}

/// RENAME of a key to its own name.
pub(super) fn rename_nothing(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.exists(args[1]).then_some(()).ok_or(CommandError::NoSuchKey)?;
    reply.ok();
    Ok(())
}

/// RENAMENX of a key to its own name.
pub(super) fn rename_nothing_nx(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    ctx.exists(args[1]).then_some(()).ok_or(CommandError::NoSuchKey)?;
    reply.integer(0);
    Ok(())
}

fn move_value(ctx: &mut WriteContext<'_>, from: &[u8], to: &[u8]) {
    if from == to {
        return;
    }
    ctx.call_changes("rename_from");
    if let Some(entry) = ctx.take(from) {
        ctx.call_changes("rename_to");
        ctx.insert_entry_in(ctx.db, entry.renamed(to));
    }
}

/// <https://redis.io/docs/latest/commands/copy/>
pub(super) fn copy(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (from, to) = (args[1], args[2]);
    let CopyOptions { db, replace } = CopyOptions::parse(&args[3..])?;
    let db = db.unwrap_or(ctx.db);
    if db == ctx.db && from == to {
        return Err(CommandError::other(SAME_OBJECT));
    }
    let free = replace || !exists_in(ctx, db, to);
    let copied = ctx.entry(from).filter(|_| free).map(|entry| entry.copied(to));
    reply.integer(i64::from(copied.is_some()));
    if let Some(entry) = copied {
        ctx.insert_entry_in(db, entry);
    }
    Ok(())
}

#[derive(Default)]
struct CopyOptions {
    db: Option<usize>,
    replace: bool,
}

impl CopyOptions {
    fn parse(mut rest: &Args<'_>) -> Result<Self, CommandError> {
        let mut options = CopyOptions::default();
        while let [word, behind @ ..] = rest {
            rest = behind;
            if is(word, "REPLACE") {
                options.replace = true;
            } else if is(word, "DB")
                && let [number, behind @ ..] = rest
            {
                options.db = Some(database(number)?);
                rest = behind;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

/// Where COPY puts its value, if it names a database.
pub(super) fn copied_elsewhere(args: &Args<'_>) -> Option<Elsewhere> {
    let options = CopyOptions::parse(args.get(3..)?).ok()?;
    Some(Elsewhere::Put { db: options.db?, key_at: 2 })
}

/// Where MOVE puts its value.
pub(super) fn moved_elsewhere(args: &Args<'_>) -> Option<Elsewhere> {
    Some(Elsewhere::Put { db: database(args.get(2)?).ok()?, key_at: 1 })
}

/// <https://redis.io/docs/latest/commands/move/>
pub(super) fn move_to_database(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let (key, db) = (args[1], database(args[2])?);
    if db == ctx.db {
        return Err(CommandError::other(SAME_OBJECT));
    }
    ctx.call_changes("move_from");
    let taken = if exists_in(ctx, db, key) { None } else { ctx.take(key) };
    reply.integer(i64::from(taken.is_some()));
    if let Some(entry) = taken {
        ctx.call_changes("move_to");
        ctx.insert_entry_in(db, entry);
    }
    Ok(())
}

fn exists_in(ctx: &WriteContext<'_>, db: usize, key: &[u8]) -> bool {
    ctx.reader().entry_in(db, key).is_some()
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn rename_carries_value_and_deadline_over_whatever_was_there() {
        let mut db = TestDb::new();
        db.show("SET a 1 PX 100");
        db.show("SET b 2");
        assert_eq!(db.show("RENAMENX a b"), "0");
        assert_eq!(db.show("RENAME a b"), "OK");
        assert_eq!(db.show("MGET a b"), "[nil 1]");
        assert_eq!(db.show("PTTL b"), "100");
        assert_eq!(db.show("RENAME a b"), "ERR no such key");
        assert_eq!(db.show("RENAMENX a b"), "ERR no such key");
        assert_eq!(db.show("RENAME b b"), "OK");
        assert_eq!(db.show("RENAMENX b b"), "0");
        assert_eq!(db.show("RENAMENX b c"), "1");
        assert_eq!(db.show("GET c"), "1");
    }

    #[test]
    fn a_dead_key_can_neither_be_renamed_nor_stand_in_the_way() {
        let mut db = TestDb::new();
        db.show("SET dead 1 PX 5");
        db.show("SET k v");
        db.at(1_000_005);
        assert_eq!(db.show("RENAME dead x"), "ERR no such key");
        assert_eq!(db.show("RENAMENX k dead"), "1");
        assert_eq!(db.show("TTL dead"), "-1");
    }

    #[test]
    fn copy_leaves_the_original() {
        let mut db = TestDb::new();
        db.show("SET a 1 PX 100");
        assert_eq!(db.show("COPY a b"), "1");
        assert_eq!(db.show("PTTL b"), "100");
        db.show("SET a 2");
        assert_eq!(db.show("COPY a b"), "0");
        assert_eq!(db.show("COPY a b REPLACE"), "1");
        assert_eq!(db.show("MGET a b"), "[2 2]");
        assert_eq!(db.show("COPY none c"), "0");
        assert_eq!(db.show("COPY a a"), "ERR source and destination objects are the same");
        assert_eq!(db.show("COPY a a DB 3"), "1");
        assert_eq!(db.show("COPY a b DB 16"), "ERR DB index is out of range");
        assert_eq!(db.show("COPY a b DB x"), "ERR value is not an integer or out of range");
        assert_eq!(db.show("COPY a b DB"), "ERR syntax error");
        db.db = 3;
        assert_eq!(db.show("GET a"), "2");
    }

    #[test]
    fn move_changes_the_database_unless_the_key_is_taken_there() {
        let mut db = TestDb::new();
        db.show("SET k v PX 100");
        assert_eq!(db.show("MOVE k 0"), "ERR source and destination objects are the same");
        assert_eq!(db.show("MOVE k 99"), "ERR DB index is out of range");
        assert_eq!(db.show("MOVE k 9"), "1");
        assert_eq!(db.show("MOVE k 9"), "0");
        db.show("SET k other");
        assert_eq!(db.show("MOVE k 9"), "0");
        db.db = 9;
        assert_eq!(db.show("GET k"), "v");
        assert_eq!(db.show("PTTL k"), "100");
    }
}
