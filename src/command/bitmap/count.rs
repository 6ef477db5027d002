//! BITCOUNT and BITPOS.
//!
//! As in Valkey, arguments are checked before the key is looked at, and BITCOUNT takes a start without an end.

use std::ops::RangeInclusive;

use super::window;
use crate::command::args::{integer, is};
use crate::command::{Args, CommandError, CommandResult, ReadContext};
use crate::protocol::reply::Reply;

/// `[start [end [BYTE | BIT]]]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: i64,
    /// The last element if missing.
    end: Option<i64>,
    in_bits: bool,
}

impl Span {
    const WHOLE: Span = Span { start: 0, end: None, in_bits: false };

    pub(super) fn parse(args: &Args<'_>) -> Result<Span, CommandError> {
        let [start, ends @ ..] = args else { return Ok(Span::WHOLE) };
        let start = integer(start)?;
        let in_bits = match ends {
            [] | [_] => false,
            [_, unit] if is(unit, "BIT") => true,
            [_, unit] if is(unit, "BYTE") => false,
            _ => return Err(CommandError::Syntax),
        };
        let end = ends.first().map(|end| integer(end)).transpose()?;
        Ok(Span { start, end, in_bits })
    }

    /// The bits that it selects of a string of so many bytes; `None` for none.
    pub(super) fn bits(self, len: usize) -> Option<RangeInclusive<u64>> {
        let total = if self.in_bits { len as i64 * 8 } else { len as i64 };
        let from_end = |index: i64| if index < 0 { index.saturating_add(total).max(0) } else { index };
        let start = from_end(self.start);
        let end = self.end.map_or(total - 1, |end| from_end(end).min(total - 1));
        if start > end {
            return None;
        }
        let (start, end) = (start as u64, end as u64);
        Some(if self.in_bits { start..=end } else { start * 8..=end * 8 + 7 })
    }

    /// Whether both ends are counted from the string's end, and the last one comes first.
    fn is_crossed(self) -> bool {
        self.end.is_some_and(|end| self.start < 0 && end < 0 && self.start > end)
    }
}

/// <https://valkey.io/commands/bitcount/>
pub(super) fn bitcount(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let span = Span::parse(&args[2..])?;
    let bytes = ctx.string(args[1])?.unwrap_or_default();
    let bits = span.bits(bytes.len()).filter(|_| !span.is_crossed());
    reply.integer(bits.map_or(0, |bits| window::count(bytes, bits)) as i64);
    Ok(())
}

/// <https://valkey.io/commands/bitpos/>
pub(super) fn bitpos(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let bit = match integer(args[2])? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::other("ERR The bit argument must be 1 or 0.")),
    };
    let span = Span::parse(&args[3..])?;
    // A missing key is an endless row of zeros.
    let Some(bytes) = ctx.string(args[1])? else {
        reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let place = span.bits(bytes.len()).and_then(|bits| {
        // Zeros follow a string unless an end was given.
        let after = (!bit && span.end.is_none()).then_some(bytes.len() as u64 * 8);
        window::first(bytes, bits, bit).or(after)
    });
    reply.integer(place.map_or(-1, |place| place as i64));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::command::testing::TestDb;

    fn with(bytes: &[u8]) -> TestDb {
        let mut db = TestDb::new();
        db.run_args(&[b"SET", b"k", bytes]);
        db
    }

    #[test]
    fn bitcount_counts_ranges_of_bytes_and_bits() {
        let mut db = with(b"foobar");
        for (range, count) in [
            ("", "26"),
            ("0 0", "4"),
            ("1 1", "6"),
            ("1", "22"),
            ("-1", "4"),
            ("1 1 BYTE", "6"),
            ("5 30 BIT", "17"),
            ("5 -30 bit", "10"),
            ("-3 -5", "0"),
            ("-9 -8", "4"),
            ("6 9", "0"),
            ("-9223372036854775808 9223372036854775807 BIT", "26"),
        ] {
            assert_eq!(db.show(&format!("BITCOUNT k {range}")), count, "{range}");
        }
        assert_eq!(db.show("BITCOUNT none 0 -1"), "0");
    }

    #[test]
    fn bitpos_finds_the_first_bit_of_a_kind() {
        let mut db = with(b"\xff\xf0\x00");
        for (rest, place) in [
            ("0", "12"),
            ("1", "0"),
            ("0 0", "12"),
            ("0 0 0", "-1"),
            ("0 2", "16"),
            ("1 2", "-1"),
            ("1 1 -1", "8"),
            ("0 0 11 BIT", "-1"),
            ("0 0 12 BIT", "12"),
            ("1 10 20 BIT", "10"),
            ("0 5 2", "-1"),
        ] {
            assert_eq!(db.show(&format!("BITPOS k {rest}")), place, "{rest}");
        }
        let mut db = with(b"\xff\xff");
        assert_eq!(db.show("BITPOS k 0"), "16");
        assert_eq!(db.show("BITPOS k 0 1"), "16");
        assert_eq!(db.show("BITPOS k 0 0 -1"), "-1");
        assert_eq!(db.show("BITPOS k 0 7"), "-1");
        assert_eq!(db.show("BITPOS none 0"), "0");
        assert_eq!(db.show("BITPOS none 1"), "-1");
        assert_eq!(with(b"").show("BITPOS k 0"), "-1");
    }

    #[test]
    fn bad_arguments_are_errors_whether_there_is_a_key_or_not() {
        let mut db = with(b"foobar");
        db.show("RPUSH l a");
        let number = "ERR value is not an integer or out of range";
        for key in ["k", "none", "l"] {
            assert_eq!(db.show(&format!("BITCOUNT {key} a 0")), number);
            assert_eq!(db.show(&format!("BITCOUNT {key} 0 b")), number);
            assert_eq!(db.show(&format!("BITCOUNT {key} 0 1 hello")), "ERR syntax error");
            assert_eq!(db.show(&format!("BITCOUNT {key} 0 1 BIT more")), "ERR syntax error");
            assert_eq!(db.show(&format!("BITPOS {key} x")), number);
            assert_eq!(db.show(&format!("BITPOS {key} 2")), "ERR The bit argument must be 1 or 0.");
            assert_eq!(db.show(&format!("BITPOS {key} 0 1 1 hello")), "ERR syntax error");
        }
        assert!(db.show("BITCOUNT l 0 1").starts_with("WRONGTYPE"));
        assert!(db.show("BITPOS l 1").starts_with("WRONGTYPE"));
    }

    proptest! {
        /// The manual's rules: count from the end, clamp, take nothing where the ends cross.
        #[test]
        fn ranges_select_what_the_manual_says(
            bytes in prop::collection::vec(any::<u8>(), 0..5),
            (start, end) in (-50_i64..50, -50_i64..50),
            in_bits: bool,
            bit: bool,
        ) {
            let row: Vec<bool> =
                bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0)).collect();
            let total = if in_bits { row.len() } else { bytes.len() } as i64;
            let place = |index: i64| if index < 0 { (index + total).max(0) } else { index };
            let (first, last) = (place(start), place(end).min(total - 1));
            let scale = if in_bits { 1 } else { 8 };
            let chosen = if first > last { 0..0 } else { first as usize * scale..(last as usize + 1) * scale };
            let unit = if in_bits { "BIT" } else { "BYTE" };
            let mut db = with(&bytes);
            let ones = row[chosen.clone()].iter().filter(|bit| **bit).count();
            let crossed = start < 0 && end < 0 && start > end;
            let expected = if crossed { 0 } else { ones };
            prop_assert_eq!(db.show(&format!("BITCOUNT k {start} {end} {unit}")), expected.to_string());
            let found = row[chosen.clone()].iter().position(|one| *one == bit);
            let expected = found.map_or(-1, |place| (chosen.start + place) as i64);
            let answer = db.show(&format!("BITPOS k {} {start} {end} {unit}", u8::from(bit)));
            prop_assert_eq!(answer, expected.to_string());
        }
    }
}
