//! What bitmap commands cost: the bytes that they look at, and those by which a string grows.

use super::count::Span;
use super::{bit_offset, field};
use crate::command::Args;
use crate::command::args::MAX_STRING_BYTES;
use crate::command::cost::{self, Cost, CostContext, Size};

/// To count bits takes this many times as long as to copy them.
const COUNTING: u64 = 2;

pub(super) fn setbit(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let end = args.get(2).and_then(|offset| bit_offset(offset).ok()).map_or(0, |offset| offset / 8 + 1);
    cost::grown_string(context, args, end)
}

pub(super) fn bitfield(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let steps = field::parse(args.get(2..).unwrap_or_default()).unwrap_or_default();
    let end = field::written_end(&steps).div_ceil(8);
    // What would be longer is refused.
    cost::grown_string(context, args, if end <= MAX_STRING_BYTES as u64 { end } else { 0 })
}

/// Each named source is walked, and the result is made beside them.
pub(super) fn bitop(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let (mut walked, mut longest) = (0_u64, 0);
    for key in args.get(3..).unwrap_or_default() {
        let bytes = context.most_string_bytes(key);
        walked = walked.saturating_add(bytes);
        longest = longest.max(bytes);
    }
    // The result is zeroed, filled and copied into its place.
    let walked = walked.saturating_add(longest.saturating_mul(3));
    let room = Size { elements: 0, bytes: cost::allocated(longest) - longest };
    let cost = Cost::of_args(args).walking(cost::of_bytes(walked)).growing(room);
    let transient = longest.saturating_mul(2);
    Cost { transient: cost.transient.max(transient), ..cost.storing(Size { elements: 1, bytes: longest }) }
}

pub(super) fn bitcount(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    of_span(context, args, 2)
}

pub(super) fn bitpos(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    of_span(context, args, 3)
}

/// What it takes to look at a part of a string, which the arguments from a place on name.
fn of_span(context: &CostContext<'_, '_>, args: &Args<'_>, at: usize) -> Cost {
    let cost = Cost::of_args(args);
    let Some(key) = args.get(1) else { return cost };
    let len = context.most_string_bytes(key);
    let bits = Span::parse(args.get(at..).unwrap_or_default()).ok().map(|span| span.bits(len as usize));
    let bytes = match bits {
        // It will be refused.
        None => 0,
        Some(bits) if context.is_exact_for(key) => bits.map_or(0, |bits| (bits.end() - bits.start()) / 8 + 1),
        Some(_) => len,
    };
    cost.walking(cost::of_bytes(bytes.saturating_mul(COUNTING)))
}

#[cfg(test)]
mod tests {
    use crate::command::cost::{Cost, Forecast};
    use crate::command::testing::{TestDb, split_words};

    fn cost(db: &TestDb, line: &str) -> Cost {
        let words = split_words(line);
        let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        db.cost(&args, &Forecast::default())
    }

    #[test]
    fn a_string_that_grows_costs_its_bytes() {
        let mut db = TestDb::new();
        db.run("SETRANGE k 999999 x");
        for line in ["SETBIT none 79999999 1", "BITFIELD none SET u8 79999992 1 GET u8 0"] {
            let cost = cost(&db, line);
            assert!((10_000_000..10_001_000).contains(&cost.growth.bytes), "{line}: {cost:?}");
            assert!(cost.steps >= 150_000, "{line}: {cost:?}");
        }
        for line in [
            "SETBIT k 7999999 1",
            "BITFIELD k SET u8 0 1",
            "SETBIT k 4294967296 1",
            "BITFIELD k GET u8 4294967295",
        ] {
            let cost = cost(&db, line);
            assert!(cost.growth.bytes < 1000 && cost.steps < 20, "{line}: {cost:?}");
        }
        assert!(cost(&db, "SETBIT none 4294967295 1").growth.bytes >= 512 << 20);
    }

    #[test]
    fn a_part_of_a_string_costs_its_bytes() {
        let mut db = TestDb::new();
        db.run("SETRANGE k 6399999 x");
        for whole in ["BITCOUNT k", "BITPOS k 1", "BITPOS k 1 0", "BITCOUNT k 0 -1 BIT"] {
            assert!((200_000..201_000).contains(&cost(&db, whole).steps), "{whole}");
        }
        for part in
            ["BITCOUNT k 0 100", "BITPOS k 1 -100 -1", "BITCOUNT k x 0", "BITCOUNT none", "GETBIT k 0"]
        {
            assert!(cost(&db, part).steps < 30, "{part}");
        }
    }

    #[test]
    fn bitop_costs_each_source_that_it_names() {
        let mut db = TestDb::new();
        db.run("SETRANGE k 6399999 x");
        let once = cost(&db, "BITOP OR d k");
        assert!(once.steps >= 300_000 && once.growth.bytes >= 6_400_000 && once.transient >= 12_800_000);
        let often = format!("BITOP OR d{}", " k".repeat(2000));
        assert!(cost(&db, &often).refusal("command").is_some());
        assert!(cost(&db, "BITOP OR d none").steps < 10);
    }
}
