//! LZF, the compression of strings in RDB: literal runs, and copies of what came before. Own code, for no crate of it is
//! maintained, and it is this short.
//!
//! ```text
//! 000nnnnn bytes{n+1}                 literals
//! lllddddd dddddddd                   l+2 bytes from d+1 back, l in 1..=6
//! 111ddddd llllllll dddddddd          l+9 bytes from d+1 back
//! ```
//!
//! A copy may reach into itself: a run of one byte is that byte and a copy from one back.
//!
//! Source: `lzf_c.c` and `lzf_d.c` of <http://oldhome.schmorp.de/marc/liblzf.html>.

const MAX_LITERALS: usize = 32;
const MIN_COPY: usize = 3;
const MAX_COPY: usize = 264;
/// Lengths from here on take a byte of their own.
const LONG_COPY: usize = 9;
const MAX_DISTANCE: usize = 1 << 13;

/// Three bytes unpack to [`MAX_COPY`] at most.
pub const MAX_RATIO: usize = MAX_COPY / 3;

/// Unpacks to exactly `len` bytes; `None` where the bytes do not say so many, or nothing at all.
pub fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > packed.len().saturating_mul(MAX_RATIO) {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = packed;
    while let Some((head, behind)) = rest.split_first() {
        let head = usize::from(*head);
        rest = if head < MAX_LITERALS {
            let (literals, behind) = behind.split_at_checked(head + 1)?;
            out.extend_from_slice(literals);
            behind
        } else {
            copy(&mut out, head, behind)?
        };
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

/// Does the copy that begins with `head`; returns what is behind it.
fn copy<'a>(out: &mut Vec<u8>, head: usize, behind: &'a [u8]) -> Option<&'a [u8]> {
    let (len, behind) = match head >> 5 {
        7 => behind.split_first().map(|(more, behind)| (LONG_COPY + usize::from(*more), behind))?,
        short => (short + MIN_COPY - 1, behind),
    };
    let (low, behind) = behind.split_first()?;
    let distance = ((head & 0x1F) << 8 | usize::from(*low)) + 1;
    let start = out.len().checked_sub(distance)?;
    if distance >= len {
        out.extend_from_within(start..start + len);
    } else {
        (start..start + len).for_each(|at| out.push(out[at]));
    }
    Some(behind)
}

/// Packs; `None` where that takes more than `max_len` bytes.
pub fn compress(input: &[u8], max_len: usize) -> Option<Vec<u8>> {
    let places = input.len().next_power_of_two().clamp(1 << 6, 1 << 14);
    // For each hash of three bytes where they last began, plus one.
    let mut seen = vec![0_usize; places];
    let mut out = Vec::new();
    let (mut at, mut literals_from) = (0, 0);
    while let Some(bytes) = input[at..].first_chunk::<MIN_COPY>() {
        let before = std::mem::replace(&mut seen[place_of(bytes, places)], at + 1);
        match before.checked_sub(1).and_then(|from| Some((from, copy_len(input, from, at)?))) {
            Some((from, len)) => {
                write_literals(&mut out, &input[literals_from..at]);
                write_copy(&mut out, at - from, len);
                at += len;
                literals_from = at;
            }
            None => at += 1,
        }
        if out.len() + (at - literals_from) > max_len {
            return None;
        }
    }
    write_literals(&mut out, &input[literals_from..]);
    (out.len() <= max_len).then_some(out)
}

fn place_of([a, b, c]: &[u8; MIN_COPY], places: usize) -> usize {
    let word = u32::from_le_bytes([*a, *b, *c, 0]);
    (word.wrapping_mul(0x9E37_79B1) >> 18) as usize & (places - 1)
}

/// How many bytes at `at` are those at `from`, if they are worth a copy.
fn copy_len(input: &[u8], from: usize, at: usize) -> Option<usize> {
    let pairs = input[from..].iter().zip(&input[at..]).take(MAX_COPY);
    let len = pairs.take_while(|(old, new)| old == new).count();
    (len >= MIN_COPY && at - from <= MAX_DISTANCE).then_some(len)
}

fn write_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(MAX_LITERALS) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

fn write_copy(out: &mut Vec<u8>, distance: usize, len: usize) {
    let [high, low] = ((distance - 1) as u16).to_be_bytes();
    if len < LONG_COPY {
        out.extend_from_slice(&[((len - MIN_COPY + 1) as u8) << 5 | high, low]);
    } else {
        out.extend_from_slice(&[7 << 5 | high, (len - LONG_COPY) as u8, low]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn copies_of_each_kind_are_read() {
        assert_eq!(decompress(b"\x02abc\x20\x02", 6).as_deref(), Some(&b"abcabc"[..]));
        assert_eq!(decompress(b"\x00a\xE0\x00\x00", 10).as_deref(), Some(&b"aaaaaaaaaa"[..]));
        assert_eq!(decompress(b"\x00a\xE0\xFF\x00", 265), Some(vec![b'a'; 265]));
    }

    #[test]
    fn what_reaches_before_the_beginning_or_says_another_length_is_refused() {
        assert_eq!(decompress(b"\x00a\x20\x01", 4), None);
        assert_eq!(decompress(b"\x00a\x20", 4), None);
        assert_eq!(decompress(b"\x05abc", 6), None);
        assert_eq!(decompress(b"\x02abc", 4), None);
        assert_eq!(decompress(b"\x02abc", 2), None);
        assert_eq!(decompress(b"\x00a\xE0\xFF\x00", usize::MAX), None);
    }

    #[test]
    fn a_run_shrinks_to_almost_nothing() {
        let packed = compress(&[7; 100_000], 100_000).expect("it shrinks");
        assert!(packed.len() < 100_000 / MAX_RATIO + 10, "{} bytes", packed.len());
        assert_eq!(decompress(&packed, 100_000), Some(vec![7; 100_000]));
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks_to_the_same(
            words in proptest::collection::vec(proptest::collection::vec(0_u8..4, 1..40), 0..200),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..400),
        ) {
            let picked = order.iter().filter(|_| !words.is_empty()).map(|index| index.get(&words));
            let text: Vec<u8> = picked.flatten().copied().collect();
            if let Some(packed) = compress(&text, text.len()) {
                prop_assert!(packed.len() <= text.len());
                prop_assert_eq!(decompress(&packed, text.len()), Some(text));
            }
        }

        #[test]
        fn any_bytes_are_unpacked_or_refused(
            packed in proptest::collection::vec(any::<u8>(), 0..100),
            len in 0_usize..2000,
        ) {
            if let Some(unpacked) = decompress(&packed, len) {
                prop_assert_eq!(unpacked.len(), len);
            }
        }
    }
}
