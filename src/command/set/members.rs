//! SADD SREM SMOVE SCARD SISMEMBER SMISMEMBER SMEMBERS SSCAN.

use crate::command::scan::{Page, ScanOptions, Scanned, cursor, write_nothing};
use crate::command::{Args, CommandResult, ReadContext, WriteContext};
use crate::keyspace::types::set::Set;
use crate::protocol::reply::Reply;

/// SADD key member [member …]
pub fn sadd(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let limits = ctx.limits;
    let set = ctx.collection_or_new::<Set>(args[1])?;
    set.expect(args.len() - 2, limits);
    let added = args[2..].iter().filter(|member| set.insert(member, limits)).count();
    if added > 0 {
        ctx.touch(args[1]);
    }
    reply.integer(added as i64);
    Ok(())
}

/// SREM key member [member …]
pub fn srem(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let Some(set) = ctx.collection_mut::<Set>(args[1])? else {
        reply.integer(0);
        return Ok(());
    };
    let removed = args[2..].iter().filter(|member| set.remove(member)).count();
    let emptied = set.is_empty();
    if removed > 0 {
        ctx.taken_from(args[1], emptied);
    }
    reply.integer(removed as i64);
    Ok(())
}

/// SMOVE source destination member
pub fn smove(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let [_, source, destination, member] = *args else { return Ok(()) };
    let Some(from) = ctx.collection::<Set>(source)? else {
        reply.integer(0);
        return Ok(());
    };
    let is_member = from.contains(member);
    ctx.collection::<Set>(destination)?;
    if is_member && source != destination {
        transfer(ctx, source, destination, member)?;
    }
    reply.integer(i64::from(is_member));
    Ok(())
}

/// SMOVE from a set to itself.
pub fn move_nowhere(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<Set>(args[1])?;
    reply.integer(i64::from(set.is_some_and(|set| set.contains(args[3]))));
    Ok(())
}

/// Moves a member that is in the source.
fn transfer(ctx: &mut WriteContext<'_>, source: &[u8], destination: &[u8], member: &[u8]) -> CommandResult {
    let limits = ctx.limits;
    if let Some(set) = ctx.collection_mut::<Set>(source)? {
        set.remove(member);
        let emptied = set.is_empty();
        ctx.call_changes("srem");
        ctx.taken_from(source, emptied);
    }
    ctx.call_changes("sadd");
    let set = ctx.collection_or_new::<Set>(destination)?;
    set.expect(1, limits);
    if set.insert(member, limits) {
        ctx.touch(destination);
    }
    Ok(())
}

pub fn scard(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.collection::<Set>(args[1])?.map_or(0, Set::len) as i64);
    Ok(())
}

/// SISMEMBER key member
pub fn sismember(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<Set>(args[1])?;
    reply.integer(set.is_some_and(|set| set.contains(args[2])).into());
    Ok(())
}

/// SMISMEMBER key member [member …]
pub fn smismember(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<Set>(args[1])?;
    reply.array(args.len() - 2);
    for member in &args[2..] {
        reply.integer(set.is_some_and(|set| set.contains(member)).into());
    }
    Ok(())
}

pub fn smembers(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<Set>(args[1])?;
    reply.set(set.map_or(0, Set::len));
    reply.each(set.into_iter().flat_map(Set::iter), |reply, member| reply.bulk(&member));
    Ok(())
}

/// SSCAN key cursor [MATCH pattern] [COUNT count]
pub fn sscan(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let cursor = cursor(args[2])?;
    let Some(set) = ctx.collection::<Set>(args[1])? else {
        write_nothing(reply);
        return Ok(());
    };
    let options = ScanOptions::parse(Scanned::Set, &args[3..])?;
    let mut page = Page::of(reply);
    let next = set.scan(cursor, options.count, |member| {
        if options.accepts(member) {
            page.push(member);
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
    fn members_are_counted_once() {
        let mut db = TestDb::new();
        assert_eq!(db.run("SADD s a b a"), ":2\r\n");
        assert_eq!(db.run("SADD s b c"), ":1\r\n");
        db.take_touched();
        assert_eq!(db.run("SADD s a"), ":0\r\n");
        assert!(db.take_touched().is_empty());
        assert_eq!(db.run("SCARD s"), ":3\r\n");
        assert_eq!(db.run("SISMEMBER s a"), ":1\r\n");
        assert_eq!(db.run("SISMEMBER s x"), ":0\r\n");
        assert_eq!(db.show("SMISMEMBER s a x c"), "[1 0 1]");
        assert_eq!(db.show("SMEMBERS s"), "[a b c]");
    }

    #[test]
    fn a_missing_set_is_an_empty_one() {
        let mut db = TestDb::new();
        for (line, shown) in [
            ("SCARD s", "0"),
            ("SISMEMBER s a", "0"),
            ("SMISMEMBER s a b", "[0 0]"),
            ("SMEMBERS s", "[]"),
            ("SREM s a", "0"),
            ("SSCAN s 0", "[0 []]"),
            ("SMOVE s s a", "0"),
        ] {
            assert_eq!(db.show(line), shown, "{line}");
        }
    }

    #[test]
    fn members_are_a_set_in_resp3() {
        let mut db = TestDb::resp3();
        db.run("SADD s 1");
        assert_eq!(db.run("SMEMBERS s"), "~1\r\n$1\r\n1\r\n");
        assert_eq!(db.run("SMEMBERS missing"), "~0\r\n");
        assert_eq!(db.run("SISMEMBER s 1"), ":1\r\n");
    }

    #[test]
    fn integers_live_with_words() {
        let mut db = TestDb::new();
        db.run("SADD s 16 -3 9223372036854775807");
        assert_eq!(db.show("SMEMBERS s"), "[-3 16 9223372036854775807]");
        assert_eq!(db.run("SADD s 016 word"), ":2\r\n");
        assert_eq!(db.show("SMISMEMBER s 16 016 -3 word 3"), "[1 1 1 1 0]");
    }

    #[test]
    fn removing_the_last_member_removes_the_key() {
        let mut db = TestDb::new();
        db.run("SADD s a b c");
        assert_eq!(db.run("SREM s x"), ":0\r\n");
        assert_eq!(db.run("SREM s a x b"), ":2\r\n");
        assert_eq!(db.run("SREM s c c c"), ":1\r\n");
        db.run("RPUSH s now-a-list");
        assert!(db.run("SADD s a").starts_with("-WRONGTYPE"));
    }

    #[test]
    fn smove_carries_a_member_over() {
        let mut db = TestDb::new();
        db.run("SADD {t}a 1 x");
        db.run("SADD {t}b 2 x");
        assert_eq!(db.run("SMOVE {t}a {t}b y"), ":0\r\n");
        assert_eq!(db.run("SMOVE {t}a {t}a x"), ":1\r\n");
        assert_eq!(db.run("SMOVE {t}a {t}b x"), ":1\r\n");
        assert_eq!(db.show("SMEMBERS {t}a"), "[1]");
        db.take_touched();
        assert_eq!(db.run("SMOVE {t}a {t}b 1"), ":1\r\n");
        assert_eq!(db.take_touched(), ["{t}a", "{t}b"]);
        assert_eq!(db.run("SCARD {t}a"), ":0\r\n");
        assert_eq!(db.run("SCARD {t}b"), ":3\r\n");
    }

    #[test]
    fn smove_wants_sets_on_both_sides() {
        let mut db = TestDb::new();
        db.run("RPUSH {t}l 1");
        db.run("SADD {t}s 1");
        assert_eq!(db.run("SMOVE {t}missing {t}l 1"), ":0\r\n");
        assert!(db.run("SMOVE {t}s {t}l 9").starts_with("-WRONGTYPE"));
        assert!(db.run("SMOVE {t}l {t}s 1").starts_with("-WRONGTYPE"));
        assert_eq!(db.run("SCARD {t}s"), ":1\r\n");
    }

    #[test]
    fn a_scan_shows_every_member() {
        let mut db = TestDb::new();
        for number in 0..1000 {
            db.run(&format!("SADD s member:{number}"));
        }
        let mut seen = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let page = db.show(&format!("SSCAN s {cursor} COUNT 50 MATCH *:?5*"));
            let (next, members) = page[1..].split_once(' ').expect("a cursor and members");
            seen.extend(
                members.trim_matches(['[', ']']).split(' ').map(str::to_owned).filter(|m| !m.is_empty()),
            );
            cursor = next.to_owned();
            if cursor == "0" {
                break;
            }
        }
        let matching =
            (0..1000).map(|number| number.to_string()).filter(|text| text.as_bytes().get(1) == Some(&b'5'));
        assert_eq!(seen, matching.map(|text| format!("member:{text}")).collect());
    }
}
