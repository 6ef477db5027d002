//! ZCARD ZSCORE ZMSCORE ZRANK ZREVRANK ZCOUNT ZLEXCOUNT ZSCAN.

use super::bounds::{LexRange, ScoreRange};
use crate::command::args::is;
use crate::command::scan::{Page, ScanOptions, Scanned, cursor, write_nothing};
use crate::command::{Args, CommandError, CommandResult, ReadContext};
use crate::keyspace::types::zset::ZSet;
use crate::protocol::number::double_text;
use crate::protocol::reply::Reply;

pub fn zcard(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.collection::<ZSet>(args[1])?.map_or(0, ZSet::len) as i64);
    Ok(())
}

/// ZSCORE key member
pub fn zscore(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<ZSet>(args[1])?;
    write_score(set, args[2], reply);
    Ok(())
}

/// ZMSCORE key member [member …]
pub fn zmscore(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<ZSet>(args[1])?;
    reply.array(args.len() - 2);
    args[2..].iter().for_each(|member| write_score(set, member, reply));
    Ok(())
}

fn write_score(set: Option<&ZSet>, member: &[u8], reply: &mut Reply<'_>) {
    match set.and_then(|set| set.score(member)) {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

/// ZRANK key member [WITHSCORE]
pub fn zrank(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    rank(ctx, args, reply, "zrank", |rank, _| rank)
}

/// ZREVRANK key member [WITHSCORE]
pub fn zrevrank(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    rank(ctx, args, reply, "zrevrank", |rank, len| len - 1 - rank)
}

fn rank(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    name: &'static str,
    counted: fn(usize, usize) -> usize,
) -> CommandResult {
    let with_score = match args {
        [_, _, _] => false,
        [_, _, _, option] if is(option, "WITHSCORE") => true,
        [_, _, _, _] => return Err(CommandError::Syntax),
        _ => return Err(CommandError::Arity(name.into())),
    };
    let set = ctx.collection::<ZSet>(args[1])?;
    let found = set.and_then(|set| Some((counted(set.rank(args[2])?, set.len()), set.score(args[2])?)));
    match found {
        None if with_score => reply.null_array(),
        None => reply.null(),
        Some((rank, score)) if with_score => {
            reply.array(2);
            reply.integer(rank as i64);
            reply.double(score);
        }
        Some((rank, _)) => reply.integer(rank as i64),
    }
    Ok(())
}

/// ZCOUNT key min max
pub fn zcount(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let range = ScoreRange::parse(args[2], args[3])?;
    let set = ctx.collection::<ZSet>(args[1])?;
    reply.integer(set.map_or(0, |set| range.ranks(set).len()) as i64);
    Ok(())
}

/// ZLEXCOUNT key min max
pub fn zlexcount(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let range = LexRange::parse(args[2], args[3])?;
    let set = ctx.collection::<ZSet>(args[1])?;
    reply.integer(set.map_or(0, |set| range.ranks(set).len()) as i64);
    Ok(())
}

/// ZSCAN key cursor [MATCH pattern] [COUNT count] [NOSCORES]; scores are bulk strings in RESP3, too.
pub fn zscan(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let cursor = cursor(args[2])?;
    let Some(set) = ctx.collection::<ZSet>(args[1])? else {
        write_nothing(reply);
        return Ok(());
    };
    let options = ScanOptions::parse(Scanned::SortedSet, &args[3..])?;
    let mut page = Page::of(reply);
    let next = set.scan(cursor, options.count, |entry| {
        if options.accepts(entry.member) {
            page.push(entry.member);
            if !options.alone {
                page.push(&double_text(entry.score));
            }
        }
    });
    page.write(next, reply);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::command::testing::TestDb;

    fn letters() -> TestDb {
        let mut db = TestDb::new();
        db.run("ZADD z 1 a 2 b 3 c 4 d 5 e");
        db
    }

    #[test]
    fn scores_and_ranks() {
        let mut db = letters();
        for (line, shown) in [
            ("ZCARD z", "5"),
            ("ZSCORE z c", "3"),
            ("ZSCORE z x", "nil"),
            ("ZMSCORE z a x e", "[1 nil 5]"),
            ("ZRANK z a", "0"),
            ("ZRANK z e", "4"),
            ("ZRANK z x", "nil"),
            ("ZREVRANK z a", "4"),
            ("ZRANK z b WITHSCORE", "[1 2]"),
            ("ZREVRANK z b withscore", "[3 2]"),
            ("ZCARD missing", "0"),
            ("ZSCORE missing a", "nil"),
            ("ZMSCORE missing a b", "[nil nil]"),
            ("ZRANK missing a", "nil"),
        ] {
            assert_eq!(db.show(line), shown, "{line}");
        }
        assert_eq!(db.run("ZRANK z x"), "$-1\r\n");
        assert_eq!(db.run("ZRANK z x WITHSCORE"), "*-1\r\n");
        assert_eq!(db.run("ZRANK z b WITHSCORES"), "-ERR syntax error\r\n");
        assert_eq!(
            db.run("ZREVRANK z b WITHSCORE x"),
            "-ERR wrong number of arguments for 'zrevrank' command\r\n"
        );
    }

    #[test]
    fn counts_by_score_and_member() {
        let mut db = letters();
        for (line, count) in [
            ("ZCOUNT z 2 4", "3"),
            ("ZCOUNT z (2 (4", "1"),
            ("ZCOUNT z -inf +inf", "5"),
            ("ZCOUNT z 4 2", "0"),
            ("ZCOUNT z (3 (3", "0"),
            ("ZCOUNT missing 2 4", "0"),
            ("ZLEXCOUNT missing - +", "0"),
        ] {
            assert_eq!(db.show(line), count, "{line}");
        }
        db.run("ZADD lex 0 alpha 0 bar 0 cool 0 down");
        for (line, count) in [
            ("ZLEXCOUNT lex - +", "4"),
            ("ZLEXCOUNT lex + -", "0"),
            ("ZLEXCOUNT lex + [c", "0"),
            ("ZLEXCOUNT lex [bar +", "3"),
            ("ZLEXCOUNT lex (bar (down", "1"),
            ("ZLEXCOUNT lex [bar [down", "3"),
        ] {
            assert_eq!(db.show(line), count, "{line}");
        }
        assert_eq!(db.run("ZCOUNT z x 1"), "-ERR min or max is not a float\r\n");
        assert_eq!(db.run("ZLEXCOUNT z x [b"), "-ERR min or max not valid string range item\r\n");
    }

    #[test]
    fn scores_are_doubles_in_resp3() {
        let mut db = TestDb::resp3();
        db.run("ZADD z 1.5 a inf b");
        assert_eq!(db.run("ZSCORE z a"), ",1.5\r\n");
        assert_eq!(db.run("ZMSCORE z b x"), "*2\r\n,inf\r\n_\r\n");
        assert_eq!(db.run("ZRANK z b WITHSCORE"), "*2\r\n:1\r\n,inf\r\n");
        assert_eq!(db.run("ZRANK z x WITHSCORE"), "_\r\n");
        assert_eq!(db.show("ZSCAN z 0 MATCH a NOSCORES"), "[0 [a]]");
        assert_eq!(db.run("ZSCAN z 0 MATCH a"), "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$3\r\n1.5\r\n");
    }

    #[test]
    fn a_scan_shows_every_element() {
        let mut db = TestDb::new();
        for number in 0..500 {
            db.run(&format!("ZADD z {number} m{number}"));
        }
        let mut seen = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let page = db.show(&format!("ZSCAN z {cursor} COUNT 20"));
            let (next, elements) = page[1..].split_once(' ').expect("a cursor and elements");
            let elements: Vec<&str> = elements.trim_matches(['[', ']']).split(' ').collect();
            seen.extend(elements.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())));
            cursor = next.to_owned();
            if cursor == "0" {
                break;
            }
        }
        let all = (0..500).map(|number| (format!("m{number}"), number.to_string()));
        assert_eq!(seen, all.collect());
    }
}
