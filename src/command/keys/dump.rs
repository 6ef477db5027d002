//! DUMP and RESTORE: values as bytes that Redis and Valkey understand, and back.
//!
//! - The log holds the payload as it was sent. What it means is decided in apply, by the entry's time and the limits of the
//!   types, which are the same on every node.
//! - A payload that is refused changes nothing.
//! - When keys were used is each node's own: IDLETIME and FREQ are kept by each node that applies the entry, where its policy keeps such.

use crate::command::args::{integer, is};
use crate::command::cost::{Cost, CostContext, Size};
use crate::command::lifetime::Timing;
use crate::command::reader::ToldUse;
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::keyspace::value::Object;
use crate::protocol::reply::Reply;
use crate::rdb::{self, RdbError, Value};

/// <https://redis.io/docs/latest/commands/dump/>
pub(super) fn dump(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if reply.is_over() {
        return Ok(());
    }
    match ctx.entry(args[1]).map(|entry| rdb::dump_within(entry.value(), reply.room())) {
        Some(Some(payload)) => reply.bulk(&payload),
        Some(None) => reply.give_up(),
        None => reply.null(),
    }
    Ok(())
}

/// A deadline that has passed leaves no key, and OK is answered all the same.
/// <https://redis.io/docs/latest/commands/restore/>
pub(super) fn restore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (key, payload) = (args[1], args[3]);
    let options = RestoreOptions::parse(&args[4..])?;
    if !options.replace && ctx.exists(key) {
        return Err(CommandError::other("BUSYKEY Target key name already exists."));
    }
    let deadline_ms = options.deadline_ms(args[2], ctx.now_ms)?;
    let value = rdb::load(payload, ctx.limits).map_err(refusal)?;
    if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= ctx.now_ms) {
        ctx.remove(key);
    } else {
        put(ctx, key, value, deadline_ms);
        if let Some(told) = options.told_use {
            ctx.note_use_as_told(key, told);
        }
    }
    reply.ok();
    Ok(())
}

/// A small payload may become very many elements.
pub(super) fn cost_of_restore(_: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let rdb::Bound { elements, bytes } =
        args.get(3).map_or(rdb::Bound::default(), |payload| rdb::bound(payload));
    Cost { growth: cost.growth.plus(Size { elements, bytes }), ..cost.walking(elements) }
}

fn put(ctx: &mut WriteContext<'_>, key: &[u8], value: Value, deadline_ms: Option<i64>) {
    match value {
        Value::String(text) => ctx.set_string(key, &text, deadline_ms),
        Value::Object(mut object) => {
            if let Object::Hash(hash) = &mut object
                && hash.earliest_deadline().is_some()
            {
                hash.remove_expired(ctx.now_ms, usize::MAX);
            }
            ctx.insert(key, object, deadline_ms);
        }
    }
}

fn refusal(error: RdbError) -> CommandError {
    CommandError::other(match error {
        RdbError::Footer => "ERR DUMP payload version or checksum are wrong",
        RdbError::Truncated | RdbError::UnknownType(_) | RdbError::Malformed(_) => "ERR Bad data format",
    })
}

#[derive(Debug, Default)]
struct RestoreOptions {
    replace: bool,
    absttl: bool,
    told_use: Option<ToldUse>,
}

impl RestoreOptions {
    fn parse(words: &[&[u8]]) -> Result<RestoreOptions, CommandError> {
        let mut options = RestoreOptions::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            if is(word, "REPLACE") {
                options.replace = true;
            } else if is(word, "ABSTTL") {
                options.absttl = true;
            } else if is(word, "IDLETIME") && !matches!(options.told_use, Some(ToldUse::Frequency(_))) {
                options.told_use = Some(idle_time(rest.next().ok_or(CommandError::Syntax)?)?);
            } else if is(word, "FREQ") && !matches!(options.told_use, Some(ToldUse::IdleSeconds(_))) {
                options.told_use = Some(frequency(rest.next().ok_or(CommandError::Syntax)?)?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// Zero is no deadline.
    fn deadline_ms(&self, ttl: &[u8], now_ms: i64) -> Result<Option<i64>, CommandError> {
        let ttl_ms = integer(ttl)?;
        if ttl_ms < 0 {
            return Err(CommandError::other("ERR Invalid TTL value, must be >= 0"));
        }
        let timing = if self.absttl { Timing::UnixMillis } else { Timing::Millis };
        let deadline_ms = timing.deadline_ms(ttl_ms, now_ms).ok_or(CommandError::InvalidExpire("restore"))?;
        Ok((ttl_ms > 0).then_some(deadline_ms))
    }
}

fn idle_time(seconds: &[u8]) -> Result<ToldUse, CommandError> {
    match integer(seconds)? {
        seconds @ 0.. => Ok(ToldUse::IdleSeconds(seconds)),
        _ => Err(CommandError::other("ERR Invalid IDLETIME value, must be >= 0")),
    }
}

fn frequency(count: &[u8]) -> Result<ToldUse, CommandError> {
    let count = u8::try_from(integer(count)?);
    count
        .map(ToldUse::Frequency)
        .map_err(|_| CommandError::other("ERR Invalid FREQ value, must be >= 0 and <= 255"))
}

#[cfg(test)]
mod tests {
    use crate::access::AccessRule;
    use crate::command::testing::{TestDb, show_reply};

    /// `SET k 10`, as the page of DUMP shows it.
    const TEN: &[u8] = b"\x00\xC0\n\n\x00n\x9FWE\x0E\xAEc\xBB";

    fn dumped(db: &mut TestDb, key: &str) -> Vec<u8> {
        let reply = db.run_args(&[b"DUMP", key.as_bytes()]);
        let start = reply.iter().position(|byte| *byte == b'\n').expect("a bulk string's length") + 1;
        reply[start..reply.len() - 2].to_vec()
    }

    fn restore(db: &mut TestDb, key: &str, ttl: &str, payload: &[u8], options: &str) -> String {
        let mut args = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), payload];
        args.extend(options.split_whitespace().map(str::as_bytes));
        show_reply(&String::from_utf8_lossy(&db.run_args(&args)))
    }

    #[test]
    fn no_more_of_a_payload_is_made_than_a_reply_has_room_for() {
        let mut db = TestDb::new();
        db.show(&format!("RPUSH list{}", " element".repeat(10_000)));
        let whole = db.run_args(&[b"DUMP", b"list"]).len();
        for (most, fits) in [(0, false), (1000, false), (whole - 1, false), (whole, true)] {
            db.most = most;
            assert_eq!(db.run_bounded(&[b"DUMP", b"list"]).is_some(), fits, "{most} bytes");
        }
    }

    #[test]
    fn a_value_of_each_type_comes_back_under_another_key() {
        let mut db = TestDb::new();
        db.show("SET string v");
        db.show("RPUSH list a 1 b");
        db.show("SADD set a 1 b");
        db.show("HSET hash f v g 1");
        db.show("ZADD zset 1.5 a -inf b");
        for (key, show, shown) in [
            ("string", "GET copy", "v"),
            ("list", "LRANGE copy 0 -1", "[a 1 b]"),
            ("set", "SMISMEMBER copy a 1 b", "[1 1 1]"),
            ("hash", "HGETALL copy", "[f v g 1]"),
            ("zset", "ZRANGE copy 0 -1 WITHSCORES", "[b -inf a 1.5]"),
        ] {
            let payload = dumped(&mut db, key);
            assert_eq!(restore(&mut db, "copy", "0", &payload, "REPLACE"), "OK", "{key}");
            assert_eq!(db.show(show), shown);
            assert_eq!(db.show("TTL copy"), "-1");
        }
        assert_eq!(db.show("DUMP none"), "nil");
    }

    #[test]
    fn a_key_that_is_there_is_replaced_only_on_demand() {
        let mut db = TestDb::new();
        db.show("SET k old");
        db.take_touched();
        assert_eq!(restore(&mut db, "k", "0", TEN, ""), "BUSYKEY Target key name already exists.");
        assert!(db.take_touched().is_empty());
        assert_eq!(restore(&mut db, "k", "0", TEN, "replace"), "OK");
        assert_eq!(db.take_touched(), ["k"]);
        assert_eq!(db.show("GET k"), "10");
    }

    #[test]
    fn a_lifetime_counts_from_now_or_names_its_end() {
        let mut db = TestDb::new();
        assert_eq!(restore(&mut db, "k", "100", TEN, ""), "OK");
        assert_eq!(db.show("PEXPIRETIME k"), "1000100");
        assert_eq!(restore(&mut db, "k", "1000200", TEN, "ABSTTL REPLACE"), "OK");
        assert_eq!(db.show("PEXPIRETIME k"), "1000200");
        assert_eq!(restore(&mut db, "k", "1000000", TEN, "ABSTTL REPLACE"), "OK");
        assert_eq!(db.show("EXISTS k"), "0");
        assert_eq!(restore(&mut db, "k", "5", TEN, "ABSTTL"), "OK");
        assert_eq!(db.show("EXISTS k"), "0");
        assert_eq!(restore(&mut db, "k", "-1", TEN, ""), "ERR Invalid TTL value, must be >= 0");
        let too_long = restore(&mut db, "k", "9223372036854775807", TEN, "");
        assert_eq!(too_long, "ERR invalid expire time in 'restore' command");
    }

    #[test]
    fn deadlines_of_fields_travel_along_and_dead_fields_do_not() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2 c 3");
        db.show("HPEXPIRE h 10 FIELDS 1 a");
        db.show("HPEXPIRE h 20 FIELDS 1 b");
        let payload = dumped(&mut db, "h");
        assert_eq!(restore(&mut db, "copy", "0", &payload, ""), "OK");
        assert_eq!(db.show("HPEXPIRETIME copy FIELDS 3 a b c"), "[1000010 1000020 -1]");
        db.at(1_000_010);
        assert_eq!(restore(&mut db, "later", "0", &payload, ""), "OK");
        assert_eq!(db.show("HGETALL later"), "[b 2 c 3]");
        db.show("HSET h2 a 1");
        db.show("HPEXPIRE h2 10 FIELDS 1 a");
        let payload = dumped(&mut db, "h2");
        db.at(1_000_020);
        assert_eq!(restore(&mut db, "dead", "0", &payload, ""), "OK");
        assert_eq!(db.show("EXISTS dead"), "0");
    }

    #[test]
    fn idle_time_and_frequency_are_checked_and_one_of_them_is_enough() {
        let mut db = TestDb::new();
        for (options, answer) in [
            ("IDLETIME 5", "OK"),
            ("REPLACE FREQ 255", "OK"),
            ("IDLETIME -1", "ERR Invalid IDLETIME value, must be >= 0"),
            ("FREQ 256", "ERR Invalid FREQ value, must be >= 0 and <= 255"),
            ("FREQ x", "ERR value is not an integer or out of range"),
            ("IDLETIME", "ERR syntax error"),
            ("IDLETIME 1 FREQ 1", "ERR syntax error"),
            ("NEVER", "ERR syntax error"),
        ] {
            assert_eq!(restore(&mut db, "k", "0", TEN, options), answer, "{options}");
        }
    }

    #[test]
    fn a_restored_key_was_used_when_and_as_often_as_the_client_says() {
        let mut db = TestDb::new();
        assert_eq!(restore(&mut db, "k", "0", TEN, "IDLETIME 700"), "OK");
        assert_eq!(db.show("OBJECT IDLETIME k"), "700");
        assert_eq!(restore(&mut db, "k", "0", TEN, "REPLACE FREQ 9"), "OK");
        assert_eq!(db.show("OBJECT IDLETIME k"), "0", "uses are not counted");
        db.effects.access = AccessRule { by_frequency: true, log_factor: 0, decay_minutes: 1 };
        assert_eq!(restore(&mut db, "k", "0", TEN, "REPLACE FREQ 100"), "OK");
        assert_eq!(db.show("OBJECT FREQ k"), "100");
        assert_eq!(restore(&mut db, "new", "0", TEN, "IDLETIME 700"), "OK");
        assert_eq!(db.show("OBJECT FREQ new"), "5", "times are not kept");
    }

    #[test]
    fn what_is_not_a_payload_changes_nothing() {
        const WRONG: &str = "ERR DUMP payload version or checksum are wrong";
        let mut db = TestDb::new();
        db.show("SET k old");
        let mut damaged = TEN.to_vec();
        damaged[2] ^= 1;
        let newer = crate::rdb::with_footer(b"\x00\xC0\n", 13);
        for payload in [&damaged[..], b"", b"short", &newer] {
            assert_eq!(restore(&mut db, "k", "0", payload, "REPLACE"), WRONG);
        }
        let empty_list = crate::rdb::with_footer(b"\x01\x00", 9);
        assert_eq!(restore(&mut db, "k", "0", &empty_list, "REPLACE"), "ERR Bad data format");
        let stream = crate::rdb::with_footer(b"\x0F\x00\x00\x00", 9);
        assert_eq!(restore(&mut db, "k", "0", &stream, "REPLACE"), "ERR Bad data format");
        assert_eq!(db.show("GET k"), "old");
    }
}
