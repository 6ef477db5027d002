//! LCS: the longest common subsequence of two strings, by dynamic programming.
//!
//! - Two rows of lengths are kept, of the shorter string, and where more than the length is asked for a bit for each pair of bytes: at
//!   most 16 MiB. Redis keeps four bytes for each, and refuses more than 512 MiB of them, as is done here.
//! - Of several longest subsequences Redis' own is chosen: from the end, a tie steps back in the second string.
//!
//! Source: <https://redis.io/docs/latest/commands/lcs/>.

use std::ops::Range;

use crate::command::args::{MAX_STRING_BYTES, integer, is};
use crate::command::cost::{Cost, CostContext};
use crate::command::{Args, CommandError, CommandResult, ReadContext};
use crate::protocol::reply::Reply;

/// Pairs of bytes that are compared at most.
const MAX_CELLS: u64 = (MAX_STRING_BYTES / size_of::<u32>()) as u64;

/// So many are compared in the time in which an element is touched.
const CELLS_PER_STEP: u64 = 8;

#[derive(Debug, Default)]
struct Options {
    length_only: bool,
    indexes: bool,
    with_match_len: bool,
    min_match_len: usize,
}

impl Options {
    fn parse(mut rest: &Args<'_>) -> Result<Self, CommandError> {
        let mut options = Options::default();
        while let [word, behind @ ..] = rest {
            rest = behind;
            if is(word, "LEN") {
                options.length_only = true;
            } else if is(word, "IDX") {
                options.indexes = true;
            } else if is(word, "WITHMATCHLEN") {
                options.with_match_len = true;
            } else if is(word, "MINMATCHLEN")
                && let [len, behind @ ..] = rest
            {
                options.min_match_len = integer(len)?.max(0) as usize;
                rest = behind;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.length_only && options.indexes {
            return Err(CommandError::other(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

pub(super) fn cost_of_lcs(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let [_, a, b, ..] = args else { return cost };
    let cells = cells(context.most_string_bytes(a), context.most_string_bytes(b));
    cost.walking(cells.min(MAX_CELLS) / CELLS_PER_STEP)
}

/// One for each pair of prefixes.
fn cells(a: u64, b: u64) -> u64 {
    a.saturating_add(1).saturating_mul(b.saturating_add(1))
}

pub(super) fn lcs(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let not_strings = |_| CommandError::other("ERR The specified keys must contain string values");
    let a = ctx.string(args[1]).map_err(not_strings)?.unwrap_or_default();
    let b = ctx.string(args[2]).map_err(not_strings)?.unwrap_or_default();
    let options = Options::parse(&args[3..])?;
    if cells(a.len() as u64, b.len() as u64) > MAX_CELLS {
        return Err(CommandError::other(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    if options.length_only {
        reply.integer(length(a, b).into());
        return Ok(());
    }
    let table = Table::new(a, b);
    if options.indexes {
        write_matches(&table, &options, reply);
    } else {
        let text: Vec<u8> =
            table.matches().iter().rev().flat_map(|run| &a[run.in_a.clone()]).copied().collect();
        reply.bulk(&text);
    }
    Ok(())
}

fn write_matches(table: &Table<'_>, options: &Options, reply: &mut Reply<'_>) {
    let mut matches = table.matches();
    matches.retain(|run| run.in_a.len() >= options.min_match_len);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.len());
    for run in matches {
        reply.array(2 + usize::from(options.with_match_len));
        write_range(&run.in_a, reply);
        write_range(&run.in_b, reply);
        if options.with_match_len {
            reply.integer(run.in_a.len() as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(table.len.into());
}

fn write_range(range: &Range<usize>, reply: &mut Reply<'_>) {
    reply.array(2);
    reply.integer(range.start as i64);
    reply.integer(range.end as i64 - 1);
}

/// A run of bytes that both strings share.
struct Match {
    in_a: Range<usize>,
    in_b: Range<usize>,
}

/// How one longest common subsequence is found from the end: a bit for each pair of prefixes, neither of them empty.
struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    /// Whether the longest of a pair is found by leaving out the last byte of `a`, rather than of `b`; where both end with the
    /// same byte, it means nothing.
    leaves_out_a: Vec<u64>,
    len: u32,
}

impl<'a> Table<'a> {
    fn new(a: &'a [u8], b: &'a [u8]) -> Self {
        let mut leaves_out_a = vec![0; (a.len() * b.len()).div_ceil(64)];
        let len = fill(a, b, |pair, bit| leaves_out_a[pair / 64] |= u64::from(bit) << (pair % 64));
        Table { a, b, leaves_out_a, len }
    }

    /// Whether the longest of the first `i` bytes of `a` and the first `j` of `b` is found without the last of `a`.
    fn leaves_out_a(&self, i: usize, j: usize) -> bool {
        let pair = match self.a.len() <= self.b.len() {
            true => (j - 1) * self.a.len() + i - 1,
            false => (i - 1) * self.b.len() + j - 1,
        };
        self.leaves_out_a[pair / 64] >> (pair % 64) & 1 == 1
    }

    /// The runs of one longest common subsequence, the last one first.
    fn matches(&self) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                i -= 1;
                j -= 1;
                match matches.last_mut() {
                    Some(run) if run.in_a.start == i + 1 && run.in_b.start == j + 1 => {
                        run.in_a.start = i;
                        run.in_b.start = j;
                    }
                    _ => matches.push(Match { in_a: i..i + 1, in_b: j..j + 1 }),
                }
            } else if self.leaves_out_a(i, j) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        matches
    }
}

fn length(a: &[u8], b: &[u8]) -> u32 {
    fill(a, b, |_, _| ())
}

/// The length of the longest common subsequence. Calls `note` for each pair of bytes, numbered row by row of the shorter string, with
/// whether what precedes in `a` has a longer one than what precedes in `b`. Holds two rows.
fn fill(a: &[u8], b: &[u8], mut note: impl FnMut(usize, bool)) -> u32 {
    let rows_of_a = a.len() <= b.len();
    let (inner, outer) = if rows_of_a { (a, b) } else { (b, a) };
    let mut above = vec![0; inner.len() + 1];
    let mut current = above.clone();
    let mut pair = 0;
    for byte in outer {
        for (column, other) in inner.iter().enumerate() {
            let (left, up) = (current[column], above[column + 1]);
            current[column + 1] = if byte == other { above[column] + 1 } else { up.max(left) };
            note(pair, if rows_of_a { left > up } else { up > left });
            pair += 1;
        }
        std::mem::swap(&mut above, &mut current);
    }
    above[inner.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Table, length};
    use crate::command::testing::TestDb;

    /// The longest common subsequence by the definition.
    fn by_recursion(a: &[u8], b: &[u8]) -> u32 {
        match (a, b) {
            ([], _) | (_, []) => 0,
            ([x, a @ ..], [y, b @ ..]) if x == y => 1 + by_recursion(a, b),
            ([_, rest_a @ ..], [_, rest_b @ ..]) => by_recursion(rest_a, b).max(by_recursion(a, rest_b)),
        }
    }

    proptest! {
        #[test]
        fn the_matches_are_common_and_as_long_as_can_be(a in "[abc]{0,8}", b in "[abc]{0,8}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let (table, expected) = (Table::new(a, b), by_recursion(a, b));
            prop_assert_eq!(table.len, expected);
            prop_assert_eq!(length(a, b), expected);
            let matches = table.matches();
            prop_assert_eq!(matches.iter().map(|run| run.in_a.len() as u32).sum::<u32>(), expected);
            prop_assert!(matches.iter().all(|run| a[run.in_a.clone()] == b[run.in_b.clone()]));
            prop_assert!(matches.windows(2).all(|pair| pair[1].in_a.end <= pair[0].in_a.start));
            prop_assert!(matches.windows(2).all(|pair| pair[1].in_b.end <= pair[0].in_b.start));
        }
    }

    #[test]
    fn the_example_of_the_manual() {
        let mut db = TestDb::new();
        db.show("MSET a ohmytext b mynewtext");
        assert_eq!(db.show("LCS a b"), "mytext");
        assert_eq!(db.show("LCS a b LEN"), "6");
        assert_eq!(db.show("LCS a b IDX"), "[matches [[[4 7] [5 8]] [[2 3] [0 1]]] len 6]");
        assert_eq!(db.show("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN"), "[matches [[[4 7] [5 8] 4]] len 6]");
        assert_eq!(db.show("LCS a none"), "");
        assert_eq!(db.show("LCS none none2 LEN"), "0");
        db.resp = crate::protocol::reply::Resp::V3;
        assert_eq!(db.show("LCS a b IDX MINMATCHLEN 9"), "{matches [] len 6}");
    }

    /// Of several longest subsequences the one that Redis' table leads to, whichever string is the longer.
    #[test]
    fn ties_are_broken_as_in_redis() {
        /// Redis' own way, with the whole table.
        fn by_table(a: &[u8], b: &[u8]) -> Vec<u8> {
            let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
            for (i, x) in a.iter().enumerate() {
                for (j, y) in b.iter().enumerate() {
                    table[i + 1][j + 1] =
                        if x == y { table[i][j] + 1 } else { table[i][j + 1].max(table[i + 1][j]) };
                }
            }
            let (mut i, mut j, mut found) = (a.len(), b.len(), Vec::new());
            while i > 0 && j > 0 {
                if a[i - 1] == b[j - 1] {
                    (i, j) = (i - 1, j - 1);
                    found.push(a[i]);
                } else if table[i - 1][j] > table[i][j - 1] {
                    i -= 1;
                } else {
                    j -= 1;
                }
            }
            found.reverse();
            found
        }
        let mut random = crate::command::random::Random::from_seed(5);
        for _ in 0..300 {
            let mut word = || -> Vec<u8> {
                let len = random.below(30);
                (0..len).map(|_| b"abcd"[random.below(4)]).collect()
            };
            let (a, b) = (word(), word());
            let found: Vec<u8> = {
                let table = Table::new(&a, &b);
                table.matches().iter().rev().flat_map(|run| &a[run.in_a.clone()]).copied().collect()
            };
            assert_eq!(found, by_table(&a, &b), "{} {}", a.escape_ascii(), b.escape_ascii());
        }
    }

    #[test]
    fn options_and_sizes_are_checked() {
        let mut db = TestDb::new();
        assert_eq!(
            db.show("LCS a b LEN IDX"),
            "ERR If you want both the length and indexes, please just use IDX."
        );
        assert_eq!(db.show("LCS a b MINMATCHLEN"), "ERR syntax error");
        db.show("SETRANGE a 20000 x");
        db.show("SETRANGE b 20000 x");
        let error = db.show("LCS a b");
        assert_eq!(error, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
    }
}
