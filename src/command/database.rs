//! Whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=server>.

use super::args::{database, is};
use super::spec::{Categories, Flags};
use super::{Args, Command, CommandError, CommandResult, Elsewhere, Family, ReadContext, WriteContext};
use crate::keyspace::DATABASES;
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

const WHOLE: Flags = Flags::WHOLE_KEYSPACE;

pub const FAMILY: Family = Family {
    group: "server",
    categories: Categories::KEYSPACE,
    commands: &[
        Command::read("dbsize", 1, dbsize).flags(&[Flags::FAST, WHOLE]).docs(
            "1.0.0",
            "O(1)",
            "Returns the number of keys in the database.",
        ),
        Command::write("flushall", -1, flushall).flags(&[WHOLE]).categories(Categories::DANGEROUS).docs(
            "1.0.0",
            "O(1); the keys are freed beside the command",
            "Removes all keys from all databases.",
        ),
        Command::write("flushdb", -1, flushdb).flags(&[WHOLE]).categories(Categories::DANGEROUS).docs(
            "1.0.0",
            "O(1); the keys are freed beside the command",
            "Removes all keys from the current database.",
        ),
        Command::write("swapdb", 3, swapdb)
            .in_other_database(swapped)
            .flags(&[Flags::FAST, WHOLE])
            .categories(Categories::DANGEROUS)
            .docs("4.0.0", "O(1)", "Swaps two databases."),
    ],
};

/// Counts keys that are dead but not yet freed, as Redis does. <https://redis.io/docs/latest/commands/dbsize/>
fn dbsize(ctx: &ReadContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.usage(ctx.db).keys as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/flushdb/>
fn flushdb(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    check_mode(args)?;
    ctx.flush_database(ctx.db);
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/flushall/>
fn flushall(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    check_mode(args)?;
    (0..DATABASES).for_each(|db| ctx.flush_database(db));
    reply.ok();
    Ok(())
}

/// SYNC and ASYNC make no difference here: memory is always freed beside apply.
fn check_mode(args: &Args<'_>) -> CommandResult {
    match args[1..] {
        [] => Ok(()),
        [mode] if is(mode, "SYNC") || is(mode, "ASYNC") => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

/// <https://redis.io/docs/latest/commands/swapdb/>
fn swapdb(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let is_int = |arg: &[u8]| parse_integer(arg).is_some_and(|number| i32::try_from(number).is_ok());
    let checked = |arg, error| if is_int(arg) { Ok(()) } else { Err(CommandError::other(error)) };
    checked(args[1], "ERR invalid first DB index")?;
    checked(args[2], "ERR invalid second DB index")?;
    let (a, b) = (database(args[1])?, database(args[2])?);
    if a != b {
        ctx.swap_databases(a, b);
    }
    reply.ok();
    Ok(())
}

fn swapped(args: &Args<'_>) -> Option<Elsewhere> {
    let [_, a, b] = args else { return None };
    Some(Elsewhere::Swapped(database(a).ok()?, database(b).ok()?))
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn databases_are_counted_swapped_and_flushed_as_a_whole() {
        let mut db = TestDb::new();
        db.show("MSET a 1 b 2");
        db.db = 5;
        db.show("SET c 3");
        assert_eq!(db.show("DBSIZE"), "1");
        assert_eq!(db.show("SWAPDB 0 5"), "OK");
        assert_eq!(db.show("DBSIZE"), "2");
        assert_eq!(db.show("FLUSHDB async"), "OK");
        assert_eq!(db.show("DBSIZE"), "0");
        db.db = 0;
        assert_eq!(db.show("GET c"), "3");
        assert_eq!(db.show("FLUSHALL"), "OK");
        assert_eq!(db.show("DBSIZE"), "0");
    }

    #[test]
    fn arguments_are_checked() {
        let mut db = TestDb::new();
        assert_eq!(db.show("FLUSHALL NOW"), "ERR syntax error");
        assert_eq!(db.show("FLUSHDB SYNC SYNC"), "ERR syntax error");
        assert_eq!(db.show("SWAPDB x 1"), "ERR invalid first DB index");
        assert_eq!(db.show("SWAPDB 1 x"), "ERR invalid second DB index");
        assert_eq!(db.show("SWAPDB 0 16"), "ERR DB index is out of range");
        assert_eq!(db.show("SWAPDB 0 2147483648"), "ERR invalid second DB index");
        assert_eq!(db.show("SWAPDB 0 0"), "OK");
    }
}
