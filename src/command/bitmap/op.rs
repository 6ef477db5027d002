//! BITOP: one string out of others, bit by bit; a shorter one counts as filled up with zeros.
//!
//! AND, OR, XOR and NOT are Redis's; DIFF, DIFF1, ANDOR and ONE came with its version 8.2.

use crate::command::args::is;
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::protocol::reply::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// Bits of the first that no other has.
    Diff,
    /// Bits of any other that the first does not have.
    DiffOfFirst,
    /// Bits of the first that any other has.
    AndOr,
    /// Bits that exactly one has.
    One,
}

impl Operation {
    fn parse(arg: &[u8]) -> Option<Operation> {
        let names = [
            ("AND", Operation::And),
            ("OR", Operation::Or),
            ("XOR", Operation::Xor),
            ("NOT", Operation::Not),
            ("DIFF", Operation::Diff),
            ("DIFF1", Operation::DiffOfFirst),
            ("ANDOR", Operation::AndOr),
            ("ONE", Operation::One),
        ];
        names.into_iter().find(|(name, _)| is(arg, name)).map(|(_, operation)| operation)
    }

    /// Whether it can work on so many sources.
    fn check(self, name: &[u8], sources: usize) -> CommandResult {
        if self == Operation::Not && sources != 1 {
            return Err(CommandError::other("ERR BITOP NOT must be called with a single source key."));
        }
        let sets_first_apart = matches!(self, Operation::Diff | Operation::DiffOfFirst | Operation::AndOr);
        if sets_first_apart && sources < 2 {
            let name = String::from_utf8_lossy(name).to_ascii_uppercase();
            let text = format!("ERR BITOP {name} must be called with at least two source keys.");
            return Err(CommandError::other(text));
        }
        Ok(())
    }

    /// The result; as long as the longest source.
    fn result(self, sources: &[&[u8]]) -> Vec<u8> {
        let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
        let Some((first, others)) = sources.split_first() else { return Vec::new() };
        let mut result = first.to_vec();
        result.resize(len, 0);
        match self {
            Operation::And => others.iter().for_each(|source| and(&mut result, source)),
            Operation::Or => others.iter().for_each(|source| merge(&mut result, source, |a, b| a | b)),
            Operation::Xor => others.iter().for_each(|source| merge(&mut result, source, |a, b| a ^ b)),
            Operation::Not => result.iter_mut().for_each(|byte| *byte = !*byte),
            Operation::Diff => others.iter().for_each(|source| merge(&mut result, source, |a, b| a & !b)),
            Operation::DiffOfFirst => {
                result = united(others, len);
                merge(&mut result, first, |a, b| a & !b);
            }
            Operation::AndOr => and(&mut result, &united(others, len)),
            Operation::One => {
                let mut more_than_one = vec![0; len];
                for source in others {
                    for ((more, one), byte) in more_than_one.iter_mut().zip(&mut result).zip(*source) {
                        *more |= *one & byte;
                        *one |= byte;
                    }
                }
                merge(&mut result, &more_than_one, |a, b| a & !b);
            }
        }
        result
    }
}

/// What any of them has.
fn united(sources: &[&[u8]], len: usize) -> Vec<u8> {
    let mut all = vec![0; len];
    sources.iter().for_each(|source| merge(&mut all, source, |a, b| a | b));
    all
}

/// Combines as many bytes as the source has; the others keep what zeros would leave.
fn merge(result: &mut [u8], source: &[u8], combine: impl Fn(u8, u8) -> u8) {
    result.iter_mut().zip(source).for_each(|(a, b)| *a = combine(*a, *b));
}

fn and(result: &mut [u8], source: &[u8]) {
    merge(result, source, |a, b| a & b);
    result[source.len()..].fill(0);
}

/// <https://redis.io/docs/latest/commands/bitop/>
pub(super) fn bitop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let operation = Operation::parse(args[1]).ok_or(CommandError::Syntax)?;
    let (target, keys) = (args[2], &args[3..]);
    operation.check(args[1], keys.len())?;
    let sources: Result<Vec<&[u8]>, CommandError> =
        keys.iter().map(|key| Ok(ctx.string(key)?.unwrap_or_default())).collect();
    let result = operation.result(&sources?);
    if result.is_empty() {
        ctx.remove(target);
    } else {
        ctx.set_string(target, &result, None);
    }
    reply.integer(result.len() as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::testing::TestDb;

    /// What each operation makes of the bits that the sources have at one place.
    fn bit(operation: Operation, bits: &[bool]) -> bool {
        let any_other = bits[1..].iter().any(|bit| *bit);
        let count = bits.iter().filter(|bit| **bit).count();
        match operation {
            Operation::And => count == bits.len(),
            Operation::Or => count > 0,
            Operation::Xor => count % 2 == 1,
            Operation::Not => !bits[0],
            Operation::Diff => bits[0] && !any_other,
            Operation::DiffOfFirst => !bits[0] && any_other,
            Operation::AndOr => bits[0] && any_other,
            Operation::One => count == 1,
        }
    }

    fn operations() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["AND", "or", "XOR", "NOT", "DIFF", "diff1", "ANDOR", "ONE"])
    }

    proptest! {
        #[test]
        fn each_bit_follows_the_operation(
            name in operations(),
            sources in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 2..6),
        ) {
            let operation = Operation::parse(name.as_bytes()).expect("an operation");
            let sources = if operation == Operation::Not { &sources[..1] } else { &sources[..] };
            let slices: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let result = operation.result(&slices);
            let len = slices.iter().map(|source| source.len()).max().unwrap_or(0);
            prop_assert_eq!(result.len(), len);
            for place in 0..len * 8 {
                let at = |bytes: &[u8]| bytes.get(place / 8).is_some_and(|byte| byte & (0x80 >> (place % 8)) != 0);
                let bits: Vec<bool> = slices.iter().map(|source| at(source)).collect();
                prop_assert_eq!(at(&result), bit(operation, &bits), "{} at {}", name, place);
            }
        }
    }

    #[test]
    fn the_result_takes_the_place_of_anything() {
        let mut db = TestDb::new();
        db.show("SET a abc");
        db.show("SET b ab");
        db.show("RPUSH d x");
        assert_eq!(db.show("BITOP AND d a b none"), "3");
        assert_eq!(db.run("GET d"), "$3\r\n\0\0\0\r\n");
        assert_eq!(db.show("BITOP or d a b"), "3");
        assert_eq!(db.show("GET d"), "abc");
        assert_eq!(db.show("EXPIRE a 100"), "1");
        assert_eq!(db.show("BITOP XOR a a b"), "3");
        assert_eq!(db.show("TTL a"), "-1");
        assert_eq!(db.run("GET a"), "$3\r\n\0\0c\r\n");
        assert_eq!(db.show("BITOP NOT d none"), "0");
        assert_eq!(db.show("EXISTS d"), "0");
    }

    #[test]
    fn a_bad_request_changes_nothing() {
        let mut db = TestDb::new();
        db.show("SET a abc");
        db.show("RPUSH l x");
        assert_eq!(db.show("BITOP NAND a a"), "ERR syntax error");
        assert_eq!(db.show("BITOP NOT a a a"), "ERR BITOP NOT must be called with a single source key.");
        let text = "ERR BITOP DIFF1 must be called with at least two source keys.";
        assert_eq!(db.show("BITOP diff1 a a"), text);
        assert!(db.show("BITOP OR a a l").starts_with("WRONGTYPE"));
        assert_eq!(db.show("GET a"), "abc");
    }
}
