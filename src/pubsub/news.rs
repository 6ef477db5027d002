//! What nodes tell each other of their subscriptions: the bytes. They travel as published messages do, with kinds of their own.
//!
//! ```text
//! changes = 2 run:u64 sequence:u64 {item}                       counts that have changed; the sender's `sequence`th such news
//! beat    = 3 run:u64 sequence:u64                              the sender lives, and has sent so many changes
//! ask     = 4                                                   all of the receiver's counts are wanted
//! part    = 5 run:u64 sequence:u64 number:u32 last:u8 {item}    all counts as they are after so many changes, in parts
//! item    = kind:u8 count:u32 length:u32 name                   kind 0: a channel, 1: a shard channel, 2: a pattern
//! ```
//! All numbers are little-endian. `run` differs from process to process.

use super::Kind;

const CHANGES: u8 = 2;
const BEAT: u8 = 3;
const ASK: u8 = 4;
const PART: u8 = 5;

/// Bytes past which changes, or all counts, are cut into several.
const PART_BYTES: usize = 256 << 10;

/// How many subscribers a node has in a channel, or for a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub kind: Kind,
    pub name: Vec<u8>,
    pub subscribers: u32,
}

/// Where a node is in the sequence of its changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub run: u64,
    pub sequence: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Changes { at: Place, counts: Vec<Count> },
    Beat { at: Place },
    Ask,
    Part { at: Place, number: u32, is_last: bool, counts: Vec<Count> },
}

impl News {
    /// Whether bytes that came as a published message are news.
    pub fn is_news(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(&(CHANGES..=PART)))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            News::Changes { at, counts } => {
                begin(&mut out, CHANGES, *at);
                counts.iter().for_each(|count| write_count(&mut out, count));
            }
            News::Beat { at } => begin(&mut out, BEAT, *at),
            News::Ask => out.push(ASK),
            News::Part { at, number, is_last, counts } => {
                begin(&mut out, PART, *at);
                out.extend_from_slice(&number.to_le_bytes());
                out.push(u8::from(*is_last));
                counts.iter().for_each(|count| write_count(&mut out, count));
            }
        }
        out
    }

    /// `None` where the bytes are no news.
    pub fn decode(bytes: &[u8]) -> Option<News> {
        let (kind, mut rest) = bytes.split_first()?;
        if *kind == ASK {
            return rest.is_empty().then_some(News::Ask);
        }
        let at = Place { run: take_u64(&mut rest)?, sequence: take_u64(&mut rest)? };
        match *kind {
            CHANGES => Some(News::Changes { at, counts: read_counts(rest)? }),
            BEAT => rest.is_empty().then_some(News::Beat { at }),
            PART => {
                let number = take_u32(&mut rest)?;
                let (last, rest) = rest.split_first()?;
                Some(News::Part { at, number, is_last: *last != 0, counts: read_counts(rest)? })
            }
            _ => None,
        }
    }
}

/// Cuts counts into pieces of a bounded size; at least one, which may be empty.
pub fn in_parts(counts: Vec<Count>) -> Vec<Vec<Count>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], 0);
    for count in counts {
        if bytes > PART_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += count.name.len();
        parts.last_mut().into_iter().for_each(|part| part.push(count.clone()));
    }
    parts
}

fn begin(out: &mut Vec<u8>, kind: u8, at: Place) {
    out.push(kind);
    out.extend_from_slice(&at.run.to_le_bytes());
    out.extend_from_slice(&at.sequence.to_le_bytes());
}

fn write_count(out: &mut Vec<u8>, count: &Count) {
    out.push(match count.kind {
        Kind::Channel => 0,
        Kind::Shard => 1,
        Kind::Pattern => 2,
    });
    out.extend_from_slice(&count.subscribers.to_le_bytes());
    out.extend_from_slice(&(count.name.len() as u32).to_le_bytes());
    out.extend_from_slice(&count.name);
}

fn read_counts(mut bytes: &[u8]) -> Option<Vec<Count>> {
    let mut counts = Vec::new();
    while let Some((kind, mut rest)) = bytes.split_first() {
        let kind = match kind {
            0 => Kind::Channel,
            1 => Kind::Shard,
            2 => Kind::Pattern,
            _ => return None,
        };
        let subscribers = take_u32(&mut rest)?;
        let length = take_u32(&mut rest)? as usize;
        let (name, after) = rest.split_at_checked(length)?;
        counts.push(Count { kind, name: name.to_vec(), subscribers });
        bytes = after;
    }
    Some(counts)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const AT: Place = Place { run: 7, sequence: 258 };

    fn counts() -> Vec<Count> {
        [(Kind::Channel, "a"), (Kind::Shard, ""), (Kind::Pattern, "a*")]
            .map(|(kind, name)| Count { kind, name: name.into(), subscribers: 3 })
            .into()
    }

    #[test]
    fn the_bytes_are_golden() {
        let at = b"\x07\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0";
        let items = b"\0\x03\0\0\0\x01\0\0\0a\x01\x03\0\0\0\0\0\0\0\x02\x03\0\0\0\x02\0\0\0a*";
        for (news, bytes) in [
            (News::Changes { at: AT, counts: counts() }, [&b"\x02"[..], at, items].concat()),
            (News::Beat { at: AT }, [&b"\x03"[..], at].concat()),
            (News::Ask, b"\x04".to_vec()),
            (
                News::Part { at: AT, number: 1, is_last: true, counts: counts() },
                [&b"\x05"[..], at, b"\x01\0\0\0\x01", items].concat(),
            ),
        ] {
            assert_eq!(news.encode(), bytes);
            assert!(News::is_news(&bytes));
            assert_eq!(News::decode(&bytes), Some(news));
        }
        assert!(!News::is_news(b"\x01\x04\0\0\0newshi") && !News::is_news(b""));
    }

    #[test]
    fn many_counts_are_cut_into_parts() {
        let count = Count { kind: Kind::Channel, name: vec![b'x'; 1 << 10], subscribers: 1 };
        let parts = in_parts(vec![count; 1000]);
        assert!((3..6).contains(&parts.len()) && parts.iter().map(Vec::len).sum::<usize>() == 1000);
        assert_eq!(in_parts(Vec::new()), [Vec::new()]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_news_or_refused(mut bytes in vec(any::<u8>(), 1..200), kind in 0..7_u8) {
            bytes[0] = kind;
            if let Some(news) = News::decode(&bytes) {
                prop_assert_eq!(News::decode(&news.encode()), Some(news));
            }
        }
    }
}
