//! What is in an object of the log: committed entries in a row.
//!
//! ```text
//! content =  0  8  index of the first entry
//!            8  8  index of the last entry
//!           16  8  term of the entry before the first
//!           24  8  checksum of the entry before the first; 0 = not known
//!           32  8  stamp of the first entry that has one, unix ms; 0 = none has
//!           40  8  stamp of the last entry that has one
//!           48     record+
//! record  =  0  8  term
//!            8  4  bytes of payload
//!           12     payload, as the log has it
//! ```
//!
//! - An entry's checksum is XXH3-64 of its index, term and payload. It chains an object to the one before, wherever their
//!   boundaries are: two nodes cut the log at different places, and what they write fits together.
//! - Integers are little-endian.

use xxhash_rust::xxh3::Xxh3Default;

use super::error::Damage;
use super::names::LogName;
use crate::propose::entry::EntryReader;
use crate::propose::seed::brings_seed;

pub const HEADER_BYTES: usize = 48;
pub const RECORD_HEADER_BYTES: usize = 12;
/// The longest entry, and more than what an object has beside it.
pub const MAX_CONTENT_BYTES: u64 = (1 << 30) + (64 << 20);

/// The entry after which something goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tip {
    pub index: u64,
    pub term: u64,
    /// Of the entry; 0 where it is not known, and of an entry that brings the seed of hash tables: that is another where the entry was
    /// read through a client's connection.
    pub checksum: u64,
}

impl Tip {
    pub fn of(index: u64, term: u64, payload: &[u8]) -> Tip {
        if brings_seed(payload) {
            return Tip { index, term, checksum: 0 };
        }
        let mut hash = Xxh3Default::new();
        hash.update(&index.to_le_bytes());
        hash.update(&term.to_le_bytes());
        hash.update(payload);
        // Zero has another meaning.
        Tip { index, term, checksum: hash.digest().max(1) }
    }

    /// Whether both can be the same entry.
    pub fn agrees_with(&self, other: &Tip) -> bool {
        let is_same = self.checksum == other.checksum || self.checksum == 0 || other.checksum == 0;
        self.index == other.index && self.term == other.term && is_same
    }
}

/// The stamp of an entry; a leader's first has none.
pub fn stamp_ms(payload: &[u8]) -> Option<i64> {
    EntryReader::open(payload).ok().map(|(stamp, _)| stamp.now_ms)
}

/// Appends an entry's record.
pub fn push_record(out: &mut Vec<u8>, term: u64, payload: &[u8]) {
    let bytes = u32::try_from(payload.len()).expect("the log takes no longer entries");
    out.extend_from_slice(&term.to_le_bytes());
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(payload);
}

/// Content of an object that holds these records, which begin behind `before`.
pub fn encode(before: Tip, name: LogName, records: &[u8]) -> Vec<u8> {
    let numbers = [name.first, name.last, before.term, before.checksum, name.first_ms, name.last_ms];
    let mut content = Vec::with_capacity(HEADER_BYTES + records.len());
    numbers.iter().for_each(|number| content.extend_from_slice(&number.to_le_bytes()));
    content.extend_from_slice(records);
    content
}

/// Content of an object, checked.
#[derive(Debug)]
pub struct Entries {
    pub name: LogName,
    /// The entry before the first.
    pub before: Tip,
    /// The last entry.
    pub last: Tip,
    content: Vec<u8>,
}

/// An entry in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub index: u64,
    pub term: u64,
    pub payload: &'a [u8],
}

impl Entries {
    pub fn decode(name: LogName, content: Vec<u8>) -> Result<Entries, Damage> {
        let (header, _) = content.split_first_chunk::<HEADER_BYTES>().ok_or(Damage::Header)?;
        let number =
            |at: usize| u64::from_le_bytes(*header[at..].first_chunk().expect("it lies in the header"));
        let inside = LogName { first: number(0), last: number(8), first_ms: number(32), last_ms: number(40) };
        if inside != name {
            return Err(Damage::content(format_args!("it holds {inside}")));
        }
        let before = Tip { index: name.first - 1, term: number(16), checksum: number(24) };
        let mut entries = Entries { name, before, last: before, content };
        entries.last = entries.check()?;
        Ok(entries)
    }

    /// The bytes of all records.
    pub fn records(&self) -> &[u8] {
        &self.content[HEADER_BYTES..]
    }

    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let (mut rest, mut index) = (self.records(), self.name.first);
        std::iter::from_fn(move || {
            let entry = next_record(&mut rest, index)?;
            index += 1;
            Some(entry)
        })
    }

    /// Sees that these entries go on behind `tip`, or hold it.
    pub fn check_follows(&self, tip: Tip) -> Result<(), Damage> {
        let same = if self.before.index == tip.index {
            self.before.agrees_with(&tip)
        } else {
            let held = self.iter().find(|entry| entry.index == tip.index);
            held.is_some_and(|entry| Tip::of(entry.index, entry.term, entry.payload).agrees_with(&tip))
        };
        if same { Ok(()) } else { Err(Damage::Chain { index: tip.index }) }
    }

    /// Reads all records; the last entry.
    fn check(&self) -> Result<Tip, Damage> {
        let (mut rest, mut last) = (self.records(), self.before);
        for index in self.name.first..=self.name.last {
            let entry = next_record(&mut rest, index)
                .ok_or_else(|| Damage::content(format_args!("entry {index} is cut off")))?;
            if entry.term < last.term {
                return Err(Damage::content(format_args!("the term goes back at entry {index}")));
            }
            last = Tip { index, term: entry.term, checksum: 0 };
            if index == self.name.last {
                last = Tip::of(index, entry.term, entry.payload);
            }
        }
        if rest.is_empty() { Ok(last) } else { Err(Damage::content("there is more behind the last entry")) }
    }
}

fn next_record<'a>(rest: &mut &'a [u8], index: u64) -> Option<Entry<'a>> {
    let (header, behind) = rest.split_first_chunk::<RECORD_HEADER_BYTES>()?;
    let term = u64::from_le_bytes(*header.first_chunk()?);
    let bytes = u32::from_le_bytes(*header.last_chunk()?) as usize;
    let (payload, behind) = behind.split_at_checked(bytes)?;
    *rest = behind;
    Some(Entry { index, term, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Tip = Tip { index: 6, term: 2, checksum: 77 };
    const NAME: LogName = LogName { first: 7, last: 9, first_ms: 5, last_ms: 6 };

    fn content(terms: [u64; 3]) -> Vec<u8> {
        let mut records = Vec::new();
        for (term, payload) in terms.into_iter().zip([&b""[..], b"first", &[1; 300]]) {
            push_record(&mut records, term, payload);
        }
        encode(BEFORE, NAME, &records)
    }

    #[test]
    fn entries_come_back_with_their_ends() {
        let entries = Entries::decode(NAME, content([2, 2, 3])).expect("it was just made");
        let all: Vec<_> =
            entries.iter().map(|entry| (entry.index, entry.term, entry.payload.len())).collect();
        assert_eq!(all, [(7, 2, 0), (8, 2, 5), (9, 3, 300)]);
        assert_eq!((entries.before, entries.last), (BEFORE, Tip::of(9, 3, &[1; 300])));
    }

    #[test]
    fn the_bytes_never_change_between_releases() {
        let name = LogName { first: 7, last: 7, ..NAME };
        let mut records = Vec::new();
        push_record(&mut records, 2, b"ab");
        let numbers = [7u64, 7, 2, 77, 5, 6, 2].map(u64::to_le_bytes).concat();
        assert_eq!(encode(BEFORE, name, &records), [&numbers[..], &[2, 0, 0, 0], b"ab"].concat());
        assert_eq!(Tip::of(7, 2, b"ab").checksum, 4_537_079_980_496_767_419);
    }

    #[test]
    fn content_that_makes_no_sense_is_refused() {
        let whole = content([2, 2, 3]);
        for cut in 0..whole.len() {
            assert!(Entries::decode(NAME, whole[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        assert!(Entries::decode(NAME, [&whole[..], b"x"].concat()).is_err());
        assert!(Entries::decode(NAME, content([2, 1, 3])).is_err());
        assert!(Entries::decode(NAME, content([1, 2, 3])).is_err());
        assert!(Entries::decode(LogName { last_ms: 7, ..NAME }, whole).is_err());
    }

    #[test]
    fn what_follows_is_told_from_another_history() {
        let entries = Entries::decode(NAME, content([2, 2, 3])).expect("it was just made");
        assert_eq!(entries.check_follows(BEFORE), Ok(()));
        assert_eq!(entries.check_follows(Tip { checksum: 78, ..BEFORE }), Err(Damage::Chain { index: 6 }));
        assert_eq!(entries.check_follows(Tip::of(8, 2, b"first")), Ok(()));
        assert_eq!(entries.check_follows(Tip::of(8, 2, b"other")), Err(Damage::Chain { index: 8 }));
        assert_eq!(entries.check_follows(Tip::of(5, 2, b"")), Err(Damage::Chain { index: 5 }));
    }

    #[test]
    fn what_is_not_known_agrees_with_anything() {
        let tip = Tip::of(5, 1, b"payload");
        assert!(tip.agrees_with(&Tip { checksum: 0, ..tip }) && tip.agrees_with(&tip));
        assert!(!tip.agrees_with(&Tip { term: 2, checksum: 0, ..tip }));
        assert!(!tip.agrees_with(&Tip::of(5, 1, b"another")));
    }
}
