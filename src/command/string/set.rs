//! Setting and taking a whole string: SET and its short forms, GETEX, GETDEL, DELIFEQ.

use crate::command::args::is;
use crate::command::events::Event;
use crate::command::lifetime::{Lifetime, LifetimeOption, Timing};
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::protocol::reply::Reply;

/// What must hold for SET to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    Missing,
    Present,
    Equals(&'a [u8]),
}

#[derive(Debug)]
struct SetOptions<'a> {
    condition: Condition<'a>,
    returns_old: bool,
    lifetime: LifetimeOption<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(mut rest: &[&'a [u8]]) -> Result<Self, CommandError> {
        let lifetime = LifetimeOption::of_setting();
        let mut options = SetOptions { condition: Condition::Always, returns_old: false, lifetime };
        while let [word, behind @ ..] = rest {
            rest = behind;
            if is(word, "GET") {
                options.returns_old = true;
            } else if !options.take_condition(word, &mut rest)? && !options.lifetime.take(word, &mut rest)? {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    fn take_condition(&mut self, word: &[u8], rest: &mut &[&'a [u8]]) -> Result<bool, CommandError> {
        let condition = if is(word, "NX") {
            Condition::Missing
        } else if is(word, "XX") {
            Condition::Present
        } else if is(word, "IFEQ") {
            let (value, behind) = rest.split_first().ok_or(CommandError::Syntax)?;
            *rest = behind;
            Condition::Equals(value)
        } else {
            return Ok(false);
        };
        let repeats = self.condition == condition || self.condition == Condition::Always;
        self.condition = condition;
        repeats.then_some(true).ok_or(CommandError::Syntax)
    }
}

impl Condition<'_> {
    fn holds(self, ctx: &WriteContext<'_>, key: &[u8]) -> Result<bool, CommandError> {
        Ok(match self {
            Condition::Always => true,
            Condition::Missing => !ctx.exists(key),
            Condition::Present => ctx.exists(key),
            Condition::Equals(value) => ctx.string(key)? == Some(value),
        })
    }
}

/// <https://valkey.io/commands/set/>
pub(super) fn set(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (key, value) = (args[1], args[2]);
    if args.len() == 3 {
        ctx.set_string(key, value, None);
        reply.ok();
        return Ok(());
    }
    let options = SetOptions::parse(&args[3..])?;
    let lifetime = options.lifetime.resolve(1, ctx.now_ms, "set")?;
    let holds = options.condition.holds(ctx, key)?;
    if options.returns_old {
        reply.bulk_or_null(ctx.string(key)?);
    } else if holds {
        reply.ok();
    } else {
        reply.null();
    }
    if holds {
        set_for(ctx, key, value, lifetime);
    }
    Ok(())
}

/// Sets a string; a lifetime that has passed already removes the key instead.
pub(super) fn set_for(ctx: &mut WriteContext<'_>, key: &[u8], value: &[u8], lifetime: Lifetime) {
    if lifetime.has_passed(ctx.now_ms) {
        ctx.remove(key);
    } else {
        let deadline_ms = lifetime.deadline_ms(|| ctx.deadline_ms(key));
        ctx.set_string(key, value, deadline_ms);
        if let Lifetime::Until(_) = lifetime {
            ctx.tell(ctx.db, Event::EXPIRES, key);
        }
    }
}

/// <https://redis.io/docs/latest/commands/setnx/>
pub(super) fn setnx(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let missing = !ctx.exists(args[1]);
    if missing {
        ctx.set_string(args[1], args[2], None);
    }
    reply.integer(i64::from(missing));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/setex/>
pub(super) fn setex(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_with_deadline(ctx, args, Timing::Seconds, "setex", reply)
}

/// <https://redis.io/docs/latest/commands/psetex/>
pub(super) fn psetex(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_with_deadline(ctx, args, Timing::Millis, "psetex", reply)
}

fn set_with_deadline(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    timing: Timing,
    command: &'static str,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let deadline_ms = timing.parse(args[2], 1, ctx.now_ms, command)?;
    ctx.set_string(args[1], args[3], Some(deadline_ms));
    ctx.tell(ctx.db, Event::EXPIRES, args[1]);
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/getset/>
pub(super) fn getset(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk_or_null(ctx.string(args[1])?);
    ctx.set_string(args[1], args[2], None);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/getdel/>
pub(super) fn getdel(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk_or_null(ctx.string(args[1])?);
    ctx.remove(args[1]);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/getex/>
pub(super) fn getex(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let key = args[1];
    let mut option = LifetimeOption::of_getting();
    let mut rest = &args[2..];
    while let [word, behind @ ..] = rest {
        rest = behind;
        option.take(word, &mut rest)?.then_some(()).ok_or(CommandError::Syntax)?;
    }
    // Of a missing key Redis does not look at the time.
    let Some(value) = ctx.string(key)? else {
        reply.null();
        return Ok(());
    };
    let lifetime = option.resolve(1, ctx.now_ms, "getex")?;
    reply.bulk(value);
    live_for(ctx, key, lifetime);
    Ok(())
}

/// Gives a live key another lifetime.
fn live_for(ctx: &mut WriteContext<'_>, key: &[u8], lifetime: Lifetime) {
    let old = ctx.deadline_ms(key);
    let new = lifetime.deadline_ms(|| old);
    if lifetime.has_passed(ctx.now_ms) {
        ctx.remove(key);
    } else if new != old {
        ctx.set_deadline(key, new);
    }
}

/// <https://valkey.io/commands/delifeq/>
pub(super) fn delifeq(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let equal = ctx.string(args[1])? == Some(args[2]);
    if equal {
        ctx.remove(args[1]);
    }
    reply.integer(i64::from(equal));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn set_obeys_its_conditions() {
        let mut db = TestDb::new();
        assert_eq!(db.show("SET k a XX"), "nil");
        assert_eq!(db.show("SET k a NX"), "OK");
        assert_eq!(db.show("set k b nx"), "nil");
        assert_eq!(db.show("SET k b xx"), "OK");
        assert_eq!(db.show("SET k c IFEQ a"), "nil");
        assert_eq!(db.show("SET k c IFEQ b"), "OK");
        assert_eq!(db.show("SET none c IFEQ b"), "nil");
        assert_eq!(db.show("GET k"), "c");
        for line in [
            "SET k v NX XX",
            "SET k v XX IFEQ a",
            "SET k v IFEQ",
            "SET k v EX",
            "SET k v EX 1 PX 1",
            "SET k v EX 1 KEEPTTL",
            "SET k v PERSIST",
            "SET k v NY",
        ] {
            assert_eq!(db.show(line), "ERR syntax error", "{line}");
        }
    }

    #[test]
    fn set_with_get_answers_the_old_value_whether_it_sets_or_not() {
        let mut db = TestDb::new();
        assert_eq!(db.show("SET k a GET"), "nil");
        assert_eq!(db.show("SET k b NX GET"), "a");
        assert_eq!(db.show("SET k b GET XX"), "a");
        assert_eq!(db.show("GETSET k c"), "b");
        assert_eq!(db.show("GET k"), "c");
    }

    #[test]
    fn a_new_value_lives_for_ever_unless_it_says_otherwise() {
        let mut db = TestDb::new();
        db.show("SET k a EX 20 EX 10");
        assert_eq!(db.show("PTTL k"), "10000");
        db.show("SET k a KEEPTTL");
        assert_eq!(db.show("PTTL k"), "10000");
        db.show("SET k a");
        assert_eq!(db.show("PTTL k"), "-1");
        db.show("SET k a PXAT 1000500");
        assert_eq!(db.show("PTTL k"), "500");
        assert_eq!(db.at(1_000_500).show("GET k"), "nil");
        assert_eq!(db.show("SET k a EXAT 1"), "OK");
        assert_eq!(db.show("EXISTS k"), "0");
    }

    #[test]
    fn lifetimes_are_checked() {
        let mut db = TestDb::new();
        for line in [
            "SET k v EX 0",
            "SET k v PX -1",
            "SET k v EX 9223372036854775807",
            "SET k v EXAT 9223372036854775807",
        ] {
            assert_eq!(db.show(line), "ERR invalid expire time in 'set' command", "{line}");
        }
        assert_eq!(db.show("SET k v EX ten"), "ERR value is not an integer or out of range");
        assert_eq!(db.show("SET k v EX 1 PX 1"), "ERR syntax error");
        assert_eq!(db.show("SET k v EX 1 KEEPTTL"), "ERR syntax error");
        assert_eq!(db.show("SETEX k 0 v"), "ERR invalid expire time in 'setex' command");
        assert_eq!(db.show("PSETEX k -5 v"), "ERR invalid expire time in 'psetex' command");
        assert_eq!(db.show("EXISTS k"), "0");
    }

    #[test]
    fn short_forms_do_their_part_of_set() {
        let mut db = TestDb::new();
        assert_eq!(db.show("SETNX k a"), "1");
        assert_eq!(db.show("SETNX k b"), "0");
        assert_eq!(db.show("SETEX k 5 b"), "OK");
        assert_eq!(db.show("TTL k"), "5");
        assert_eq!(db.show("PSETEX k 700 c"), "OK");
        assert_eq!(db.show("PTTL k"), "700");
        assert_eq!(db.show("GETDEL k"), "c");
        assert_eq!(db.show("GETDEL k"), "nil");
    }

    #[test]
    fn getex_changes_the_deadline_of_what_it_reads() {
        let mut db = TestDb::new();
        db.show("SET k v");
        assert_eq!(db.show("GETEX none EX 0"), "nil");
        assert_eq!(db.show("GETEX none EX x"), "nil");
        assert_eq!(db.show("GETEX k EX 1 EX 10"), "v");
        assert_eq!(db.show("TTL k"), "10");
        assert_eq!(db.show("GETEX k"), "v");
        assert_eq!(db.show("TTL k"), "10");
        assert_eq!(db.show("GETEX k PERSIST"), "v");
        assert_eq!(db.show("TTL k"), "-1");
        assert_eq!(db.show("GETEX k PXAT 5"), "v");
        assert_eq!(db.show("GETEX k"), "nil");
        assert_eq!(db.show("GETEX k KEEPTTL"), "ERR syntax error");
        assert_eq!(db.show("GETEX k EX 1 PERSIST"), "ERR syntax error");
    }

    #[test]
    fn delifeq_deletes_only_what_it_expects() {
        let mut db = TestDb::new();
        db.show("SET lock token1");
        assert_eq!(db.show("DELIFEQ lock token2"), "0");
        assert_eq!(db.show("DELIFEQ lock token1"), "1");
        assert_eq!(db.show("DELIFEQ lock token1"), "0");
    }

    #[test]
    fn a_reading_write_announces_nothing() {
        let mut db = TestDb::new();
        db.show("SET k v");
        db.take_touched();
        db.show("GETEX k");
        db.show("GETEX k PERSIST");
        db.show("SET k w NX");
        assert!(db.take_touched().is_empty());
    }

    #[test]
    fn a_large_collection_that_is_overwritten_is_dropped_beside_apply() {
        let mut db = TestDb::new();
        let members: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        db.show(&format!("SADD k {}", members.join(" ")));
        db.show("SET k v EX 10");
        assert_eq!(db.effects.garbage.len(), 1);
        assert_eq!(db.show("GET k"), "v");
        assert_eq!(db.show("DBSIZE"), "1");
        assert_eq!(db.show("TTL k"), "10");
    }
}
