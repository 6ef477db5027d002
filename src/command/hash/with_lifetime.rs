//! Fields with their lifetimes: HSETEX, HGETEX, HGETDEL.
//!
//! Source: <https://valkey.io/commands/hsetex/>, <https://valkey.io/commands/hgetex/>,
//! <https://valkey.io/commands/hgetdel/>.

use super::live::{open, open_or_new};
use super::split_fields;
use crate::command::args::{is, pairs};
use crate::command::events::Event;
use crate::command::lifetime::{Lifetime, LifetimeOption};
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::limits::TypeLimits;
use crate::protocol::reply::Reply;

/// What must hold for HSETEX to set: of the key (NX, XX) and of every field (FNX, FXX).
#[derive(Debug)]
struct SetOptions<'a> {
    key_exists: Option<bool>,
    fields_exist: Option<bool>,
    lifetime: LifetimeOption<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(mut rest: &Args<'a>) -> Result<Self, CommandError> {
        let lifetime = LifetimeOption::of_setting();
        let mut options = SetOptions { key_exists: None, fields_exist: None, lifetime };
        while let [word, behind @ ..] = rest {
            rest = behind;
            let (condition, wanted) = match word.to_ascii_uppercase().as_slice() {
                b"NX" => (&mut options.key_exists, false),
                b"XX" => (&mut options.key_exists, true),
                b"FNX" => (&mut options.fields_exist, false),
                b"FXX" => (&mut options.fields_exist, true),
                _ if options.lifetime.take(word, &mut rest)? => continue,
                _ => return Err(CommandError::Syntax),
            };
            if condition.replace(wanted).is_some_and(|earlier| earlier != wanted) {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    fn hold<'f>(&self, hash: Option<&Hash>, mut fields: impl Iterator<Item = &'f [u8]>) -> bool {
        let exists = |field: &[u8]| hash.is_some_and(|hash| hash.contains(field));
        self.key_exists.is_none_or(|wanted| hash.is_some() == wanted)
            && self.fields_exist.is_none_or(|wanted| fields.all(|field| exists(field) == wanted))
    }
}

/// Answers 1 where all fields are set, 0 where a condition held that back.
pub(super) fn hsetex(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (key, limits) = (args[1], ctx.limits);
    let (words, data) = split_fields(&args[2..], 2)?;
    let options = SetOptions::parse(words)?;
    let lifetime = options.lifetime.resolve(0, ctx.now_ms, "hsetex")?;
    let pairs = pairs(data, "hsetex")?;
    let holds = options.hold(open(ctx, key)?.as_deref(), pairs.clone().map(|(field, _)| field));
    if holds && lifetime.has_passed(ctx.now_ms) {
        ctx.call_changes("hdel");
        remove_fields(ctx, key, pairs.map(|(field, _)| field))?;
    } else if holds {
        let hash = open_or_new(ctx, key)?;
        for (field, value) in pairs {
            let deadline_ms = lifetime.deadline_ms(|| hash.expire_at(field));
            hash.set(field, value, limits);
            if deadline_ms.is_some() {
                hash.set_expire_at(field, deadline_ms, limits);
            }
        }
        ctx.touch(key);
        if let Lifetime::Until(_) = lifetime {
            ctx.tell(ctx.db, Event::FIELDS_EXPIRE, key);
        }
        ctx.note_field_deadlines(key);
    }
    reply.integer(i64::from(holds));
    Ok(())
}

fn remove_fields<'f>(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    fields: impl Iterator<Item = &'f [u8]>,
) -> CommandResult {
    let removed = open(ctx, key)?.map_or(0, |hash| fields.filter(|field| hash.remove(field)).count());
    if removed > 0 {
        ctx.touch(key);
        ctx.remove_if_empty(key);
    }
    Ok(())
}

pub(super) fn hgetex(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (mut words, fields) = split_fields(&args[2..], 1)?;
    let mut option = LifetimeOption::of_getting();
    while let [word, behind @ ..] = words {
        words = behind;
        option.take(word, &mut words)?.then_some(()).ok_or(CommandError::Syntax)?;
    }
    let (now_ms, limits) = (ctx.now_ms, ctx.limits);
    let lifetime = option.resolve(0, now_ms, "hgetex")?;
    match lifetime {
        Lifetime::Clear => ctx.call_changes("hpersist"),
        _ if lifetime.has_passed(now_ms) => ctx.call_changes("hdel"),
        Lifetime::Keep | Lifetime::Until(_) => {}
    }
    get_and_change(ctx, args[1], fields, reply, |hash, field| {
        live_for(hash, field, lifetime, now_ms, limits)
    })?;
    ctx.note_field_deadlines(args[1]);
    Ok(())
}

/// Gives a field another lifetime and says whether that changed anything.
fn live_for(hash: &mut Hash, field: &[u8], lifetime: Lifetime, now_ms: i64, limits: &TypeLimits) -> bool {
    if lifetime.has_passed(now_ms) {
        return hash.remove(field);
    }
    let old = hash.expire_at(field);
    let new = lifetime.deadline_ms(|| old);
    new != old && hash.set_expire_at(field, new, limits)
}

pub(super) fn hgetdel(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if !is(args[2], "FIELDS") {
        return Err(CommandError::Syntax);
    }
    let (_, fields) = split_fields(&args[2..], 1)?;
    get_and_change(ctx, args[1], fields, reply, |hash, field| hash.remove(field))
}

/// Answers with the values of the fields; `change` is done to each that is there, and says whether it did anything.
fn get_and_change(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    fields: &Args<'_>,
    reply: &mut Reply<'_>,
    change: impl Fn(&mut Hash, &[u8]) -> bool,
) -> CommandResult {
    let mut hash = open(ctx, key)?;
    let mut changed = false;
    reply.array(fields.len());
    for field in fields {
        let value = hash.as_ref().and_then(|hash| hash.get(field));
        reply.bulk_or_null(value);
        if value.is_some()
            && let Some(hash) = &mut hash
        {
            changed |= change(hash, field);
        }
    }
    if changed {
        ctx.touch(key);
        ctx.remove_if_empty(key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn hsetex_sets_values_with_their_lifetime() {
        let mut db = TestDb::new();
        assert_eq!(db.show("HSETEX h EX 10 FIELDS 2 a 1 b 2"), "1");
        assert_eq!(db.show("HTTL h FIELDS 2 a b"), "[10 10]");
        assert_eq!(db.show("HSETEX h KEEPTTL FIELDS 1 a 3"), "1");
        assert_eq!(db.show("HSETEX h FIELDS 1 b 4"), "1");
        assert_eq!(db.show("HTTL h FIELDS 2 a b"), "[10 -1]");
        assert_eq!(db.show("HGETALL h"), "[a 3 b 4]");
        assert_eq!(db.show("HSETEX h PX 0 FIELDS 2 a 1 b 1"), "1");
        assert_eq!(db.show("EXISTS h"), "0");
        assert_eq!(db.show("HSETEX h PXAT 5 FIELDS 1 a 1"), "1");
        assert_eq!(db.show("EXISTS h"), "0");
    }

    #[test]
    fn hsetex_obeys_conditions_of_key_and_fields() {
        let mut db = TestDb::new();
        assert_eq!(db.show("HSETEX h XX EX 10 FIELDS 1 a 1"), "0");
        assert_eq!(db.show("HSETEX h FXX EX 10 FIELDS 1 a 1"), "0");
        assert_eq!(db.show("EXISTS h"), "0");
        assert_eq!(db.show("HSETEX h NX FNX EX 10 FIELDS 1 a 1"), "1");
        assert_eq!(db.show("HSETEX h NX EX 10 FIELDS 1 b 1"), "0");
        assert_eq!(db.show("HSETEX h FNX EX 10 FIELDS 2 b 1 a 1"), "0");
        assert_eq!(db.show("HSETEX h XX FNX EX 10 FIELDS 1 b 2"), "1");
        assert_eq!(db.show("HSETEX h FXX EX 10 FIELDS 2 a 5 b 6"), "1");
        assert_eq!(db.show("HGETALL h"), "[a 5 b 6]");
        for line in [
            "HSETEX h NX XX FIELDS 1 a 1",
            "HSETEX h FNX FXX FIELDS 1 a 1",
            "HSETEX h EX 1 PX 1 FIELDS 1 a 1",
        ] {
            assert_eq!(db.show(line), "ERR syntax error", "{line}");
        }
        assert_eq!(db.show("HSETEX h PX FIELDS 1 a 1"), "ERR syntax error");
        assert_eq!(
            db.show("HSETEX h PX 100 FIELDS 1 a 1 extra"),
            "ERR numfields should be greater than 0 and match the provided number of fields"
        );
        assert_eq!(db.show("HSETEX h EX -1 FIELDS 1 a 1"), "ERR invalid expire time in 'hsetex' command");
    }

    #[test]
    fn hgetex_changes_lifetimes_of_what_it_reads() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2");
        assert_eq!(db.show("HGETEX h EX 10 FIELDS 2 a none"), "[1 nil]");
        assert_eq!(db.show("HTTL h FIELDS 2 a b"), "[10 -1]");
        db.take_touched();
        assert_eq!(db.show("HGETEX h FIELDS 1 a"), "[1]");
        assert!(db.take_touched().is_empty());
        assert_eq!(db.show("HGETEX h PERSIST FIELDS 1 a"), "[1]");
        assert_eq!(db.show("HTTL h FIELDS 1 a"), "[-1]");
        assert_eq!(db.show("HGETEX h PXAT 1 FIELDS 2 a b"), "[1 2]");
        assert_eq!(db.show("EXISTS h"), "0");
        assert_eq!(db.show("HGETEX h FIELDS 2 a b"), "[nil nil]");
    }

    #[test]
    fn hgetdel_takes_fields_out() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2");
        assert_eq!(db.show("HGETDEL h FIELDS 3 a a none"), "[1 nil nil]");
        assert_eq!(db.show("HGETDEL h FIELDS 1 b"), "[2]");
        assert_eq!(db.show("EXISTS h"), "0");
        assert_eq!(db.show("HGETDEL h FIELDS 1 b"), "[nil]");
        assert_eq!(db.show("HGETDEL h NOPE 1 b"), "ERR syntax error");
    }
}
