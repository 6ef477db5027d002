//! LLEN LINDEX LRANGE LPOS.

use crate::command::args::{at_least, index_in, index_range, integer, is, signed_count};
use crate::command::{Args, CommandError, CommandResult, ReadContext};
use crate::keyspace::types::list::List;
use crate::protocol::reply::Reply;

pub fn llen(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let list = ctx.collection::<List>(args[1])?;
    reply.integer(list.map_or(0, List::len) as i64);
    Ok(())
}

/// LINDEX key index
pub fn lindex(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let Some(list) = ctx.collection::<List>(args[1])? else {
        reply.null();
        return Ok(());
    };
    let index = index_in(integer(args[2])?, list.len());
    reply.bulk_or_null(index.and_then(|index| list.get(index)));
    Ok(())
}

/// LRANGE key start stop
pub fn lrange(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (start, stop) = (integer(args[2])?, integer(args[3])?);
    let Some(list) = ctx.collection::<List>(args[1])? else {
        reply.array(0);
        return Ok(());
    };
    let range = index_range(start, stop, list.len());
    reply.array(range.len());
    reply.each(list.range(range), Reply::bulk);
    Ok(())
}

/// LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]
pub fn lpos(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let search = Search::parse(args)?;
    let found = ctx.collection::<List>(args[1])?.map_or(Vec::new(), |list| search.run(list));
    match (search.wanted, found.first()) {
        (None, None) => reply.null(),
        (None, Some(first)) => reply.integer(*first as i64),
        (Some(_), _) => {
            reply.array(found.len());
            reply.each(found, |reply, index| reply.integer(index as i64));
        }
    }
    Ok(())
}

/// What LPOS looks for.
struct Search<'a> {
    element: &'a [u8],
    /// Matches to pass over first.
    skip: usize,
    from_tail: bool,
    /// `None`: one match, answered by itself. `Some(0)`: all.
    wanted: Option<usize>,
    /// Elements to compare; 0 for all.
    max_len: usize,
}

impl<'a> Search<'a> {
    fn parse(args: &Args<'a>) -> Result<Self, CommandError> {
        let mut search = Search { element: args[2], skip: 0, from_tail: false, wanted: None, max_len: 0 };
        for option in args[3..].chunks(2) {
            match *option {
                [name, rank] if is(name, "RANK") => {
                    let rank = parse_rank(rank)?;
                    (search.skip, search.from_tail) = (rank.unsigned_abs() as usize - 1, rank < 0);
                }
                [name, count] if is(name, "COUNT") => {
                    search.wanted = Some(at_least(0, count, "ERR COUNT can't be negative")?);
                }
                [name, len] if is(name, "MAXLEN") => {
                    search.max_len = at_least(0, len, "ERR MAXLEN can't be negative")?
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(search)
    }

    /// The indexes of the matches, in the direction of the search.
    fn run(&self, list: &List) -> Vec<usize> {
        let len = list.len();
        if self.from_tail {
            self.matches(list.range(0..len).rev().enumerate().map(|(at, element)| (len - 1 - at, element)))
        } else {
            self.matches(list.range(0..len).enumerate())
        }
    }

    fn matches<'l>(&self, elements: impl Iterator<Item = (usize, &'l [u8])>) -> Vec<usize> {
        let compared = elements.take(or_all(self.max_len));
        let matching = compared.filter(|(_, element)| *element == self.element).map(|(index, _)| index);
        matching.skip(self.skip).take(or_all(self.wanted.unwrap_or(1))).collect()
    }
}

fn or_all(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

fn parse_rank(arg: &[u8]) -> Result<i64, CommandError> {
    const ZERO: &str = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                        or use negative to start from the end of the list";
    let rank = signed_count(arg)?;
    (rank != 0).then_some(rank).ok_or(CommandError::other(ZERO))
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn ranges_and_indexes_count_from_both_ends() {
        let mut db = TestDb::new();
        db.run("RPUSH l 0 1 2 3 4 5 6 7 8 9");
        for (line, shown) in [
            ("LRANGE l 1 -2", "[1 2 3 4 5 6 7 8]"),
            ("LRANGE l -3 -1", "[7 8 9]"),
            ("LRANGE l 4 4", "[4]"),
            ("LRANGE l -1000 2", "[0 1 2]"),
            ("LRANGE l 8 1000", "[8 9]"),
            ("LRANGE l 5 4", "[]"),
            ("LRANGE l 1000 2000", "[]"),
            ("LRANGE missing 0 -1", "[]"),
            ("LINDEX l 0", "0"),
            ("LINDEX l -1", "9"),
            ("LINDEX l 10", "nil"),
            ("LINDEX l -11", "nil"),
            ("LINDEX missing 0", "nil"),
            ("LINDEX l -9223372036854775808", "nil"),
            ("LLEN l", "10"),
            ("LLEN missing", "0"),
        ] {
            assert_eq!(db.show(line), shown, "{line}");
        }
        assert_eq!(db.run("LRANGE l a 1"), "-ERR value is not an integer or out of range\r\n");
    }

    #[test]
    fn lpos_finds_matches_by_rank_count_and_length() {
        let mut db = TestDb::new();
        db.run("RPUSH l a b c 1 2 3 c c");
        for (line, shown) in [
            ("LPOS l a", "0"),
            ("LPOS l c", "2"),
            ("LPOS l x", "nil"),
            ("LPOS l c RANK 2", "6"),
            ("LPOS l c RANK 4", "nil"),
            ("LPOS l c RANK -1", "7"),
            ("LPOS l c RANK -2", "6"),
            ("LPOS l c COUNT 0", "[2 6 7]"),
            ("LPOS l c COUNT 1", "[2]"),
            ("LPOS l c COUNT 2", "[2 6]"),
            ("LPOS l c COUNT 100", "[2 6 7]"),
            ("LPOS l c COUNT 0 RANK 2", "[6 7]"),
            ("LPOS l c COUNT 0 RANK -1", "[7 6 2]"),
            ("LPOS l c COUNT 0 RANK -1 MAXLEN 3", "[7 6]"),
            ("LPOS l c COUNT 0 RANK -1 MAXLEN 6", "[7 6 2]"),
            ("LPOS l c COUNT 0 RANK -1 MAXLEN 5", "[7 6]"),
            ("LPOS l a COUNT 0 MAXLEN 1", "[0]"),
            ("LPOS l c COUNT 0 MAXLEN 1", "[]"),
            ("LPOS l c MAXLEN 1", "nil"),
            ("LPOS l d COUNT 0", "[]"),
            ("LPOS missing a", "nil"),
            ("LPOS missing a COUNT 0", "[]"),
        ] {
            assert_eq!(db.show(line), shown, "{line}");
        }
    }

    #[test]
    fn lpos_says_what_is_wrong_with_its_options() {
        let mut db = TestDb::new();
        for (line, error) in [
            (
                "LPOS l a RANK 0",
                "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
            ),
            (
                "LPOS l a RANK -9223372036854775808",
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ),
            ("LPOS l a RANK x", "ERR value is not an integer or out of range"),
            ("LPOS l a COUNT -1", "ERR COUNT can't be negative"),
            ("LPOS l a MAXLEN -1", "ERR MAXLEN can't be negative"),
            ("LPOS l a COUNT", "ERR syntax error"),
            ("LPOS l a FIRST 1", "ERR syntax error"),
        ] {
            assert_eq!(db.run(line), format!("-{error}\r\n"), "{line}");
        }
    }
}
