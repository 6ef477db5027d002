//! Reading hashes.

use super::live::LiveHash;
use super::split_fields;
use crate::command::scan::{Page, ScanOptions, Scanned, cursor, write_nothing};
use crate::command::{Args, CommandError, CommandResult, ReadContext};
use crate::protocol::reply::Reply;

/// <https://redis.io/docs/latest/commands/hget/>
pub(super) fn hget(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk_or_null(live_field(ctx, args[1], args[2])?);
    Ok(())
}

/// The value of a field that lives, of a key that is a hash.
pub(in crate::command) fn live_field<'a>(
    ctx: &ReadContext<'a>,
    key: &[u8],
    field: &[u8],
) -> Result<Option<&'a [u8]>, CommandError> {
    Ok(LiveHash::of(ctx, key)?.and_then(|hash| hash.get(field)))
}

/// <https://redis.io/docs/latest/commands/hmget/>
pub(super) fn hmget(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_values(LiveHash::of(ctx, args[1])?, &args[2..], reply);
    Ok(())
}

/// HGETEX without an option.
pub(super) fn hgetex(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (_, fields) = split_fields(&args[2..], 1)?;
    write_values(LiveHash::of(ctx, args[1])?, fields, reply);
    Ok(())
}

fn write_values(hash: Option<LiveHash<'_>>, fields: &Args<'_>, reply: &mut Reply<'_>) {
    reply.array(fields.len());
    reply.each(fields, |reply, field| reply.bulk_or_null(hash.and_then(|hash| hash.get(field))));
}

/// <https://redis.io/docs/latest/commands/hexists/>
pub(super) fn hexists(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(i64::from(live_field(ctx, args[1], args[2])?.is_some()));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/hstrlen/>
pub(super) fn hstrlen(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(live_field(ctx, args[1], args[2])?.map_or(0, <[u8]>::len) as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/hlen/>
pub(super) fn hlen(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(LiveHash::of(ctx, args[1])?.map_or(0, LiveHash::len) as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/hgetall/>
pub(super) fn hgetall(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let hash = LiveHash::of(ctx, args[1])?;
    reply.map(hash.map_or(0, LiveHash::len));
    reply.each(hash.into_iter().flat_map(LiveHash::iter), |reply, (field, value)| {
        reply.bulk(field);
        reply.bulk(value);
    });
    Ok(())
}

/// <https://redis.io/docs/latest/commands/hkeys/>
pub(super) fn hkeys(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let hash = LiveHash::of(ctx, args[1])?;
    reply.array(hash.map_or(0, LiveHash::len));
    reply.each(hash.into_iter().flat_map(LiveHash::iter), |reply, (field, _)| reply.bulk(field));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/hvals/>
pub(super) fn hvals(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let hash = LiveHash::of(ctx, args[1])?;
    reply.array(hash.map_or(0, LiveHash::len));
    reply.each(hash.into_iter().flat_map(LiveHash::iter), |reply, (_, value)| reply.bulk(value));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/hscan/>
pub(super) fn hscan(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let cursor = cursor(args[2])?;
    let Some(hash) = LiveHash::of(ctx, args[1])? else {
        write_nothing(reply);
        return Ok(());
    };
    let options = ScanOptions::parse(Scanned::Hash, &args[3..])?;
    let mut page = Page::of(reply);
    let next = hash.scan(cursor, options.count, |field, value| {
        if options.accepts(field) {
            page.push(field);
            if !options.alone {
                page.push(value);
            }
        }
    });
    page.write(next, reply);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::command::testing::TestDb;

    #[test]
    fn a_hash_is_read_by_field_and_as_a_whole() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 22");
        assert_eq!(db.show("HGET h b"), "22");
        assert_eq!(db.show("HGET h none"), "nil");
        assert_eq!(db.show("HMGET h b none a"), "[22 nil 1]");
        assert_eq!(db.show("HEXISTS h a"), "1");
        assert_eq!(db.show("HSTRLEN h b"), "2");
        assert_eq!(db.show("HLEN h"), "2");
        assert_eq!(db.show("HGETALL h"), "[a 1 b 22]");
        assert_eq!(db.show("HKEYS h"), "[a b]");
        assert_eq!(db.show("HVALS h"), "[1 22]");
        db.resp = crate::protocol::reply::Resp::V3;
        assert_eq!(db.show("HGETALL h"), "{a 1 b 22}");
        assert_eq!(db.show("HGETALL none"), "{}");
    }

    #[test]
    fn a_missing_hash_is_an_empty_one() {
        let mut db = TestDb::new();
        assert_eq!(db.show("HGET h a"), "nil");
        assert_eq!(db.show("HMGET h a b"), "[nil nil]");
        assert_eq!(db.show("HLEN h"), "0");
        assert_eq!(db.show("HGETALL h"), "[]");
        assert_eq!(db.show("HSCAN h 0"), "[0 []]");
        assert_eq!(db.show("HSTRLEN h a"), "0");
    }

    #[test]
    fn other_types_are_refused() {
        let mut db = TestDb::new();
        db.show("SET s v");
        for line in [
            "HGET s a",
            "HMGET s a",
            "HLEN s",
            "HGETALL s",
            "HSCAN s 0",
            "HEXISTS s a",
            "HSET s a 1",
            "HDEL s a",
        ] {
            assert!(db.show(line).starts_with("WRONGTYPE"), "{line}");
        }
        db.show("HSET h a 1");
        for line in ["GET h", "APPEND h x", "INCR h", "SET h v GET", "GETRANGE h 0 1", "STRLEN h"] {
            assert!(db.show(line).starts_with("WRONGTYPE"), "{line}");
        }
        assert_eq!(db.show("MGET h"), "[nil]");
        assert_eq!(db.show("LCS h h"), "ERR The specified keys must contain string values");
        assert_eq!(db.show("TYPE h"), "hash");
        assert_eq!(db.show("OBJECT ENCODING h"), "listpack");
        assert_eq!(db.show("SET h v"), "OK");
    }

    #[test]
    fn a_scan_sees_every_field_of_small_and_big_hashes() {
        let mut db = TestDb::new();
        for fields in [5, 1000] {
            db.show("DEL h");
            (0..fields).for_each(|n| drop(db.show(&format!("HSET h f{n} v{n}"))));
            let (mut cursor, mut seen) = ("0".to_owned(), BTreeSet::new());
            loop {
                let shown = db.show(&format!("HSCAN h {cursor} NOVALUES COUNT 20"));
                let (next, page) = shown[1..shown.len() - 2].split_once(" [").expect("cursor and page");
                seen.extend(page.split_whitespace().map(str::to_owned));
                cursor = next.to_owned();
                if cursor == "0" {
                    break;
                }
            }
            assert_eq!(seen.len(), fields);
        }
    }

    #[test]
    fn a_scan_shows_values_unless_told_not_to() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2 aa 3");
        assert_eq!(db.show("HSCAN h 0"), "[0 [a 1 b 2 aa 3]]");
        assert_eq!(db.show("HSCAN h 0 MATCH a* NOVALUES"), "[0 [a aa]]");
        assert_eq!(db.show("HSCAN h 0 TYPE hash"), "ERR syntax error");
    }
}
