//! The names of objects, which say what is in them without a look.
//!
//! ```text
//! log/<first index>-<last index>-<first stamp>-<last stamp>      20, 20, 15, 15 decimal digits; stamps are unix ms
//! checkpoints/<index>                                            20 decimal digits
//! files/<hash>-<bytes>                                           32 hexadecimal digits, decimal
//! doomed/<token>                                                 16 hexadecimal digits
//! storing/<index>-<token>                                        20 decimal digits, 16 hexadecimal digits
//! PROBE-<token>                                                  16 hexadecimal digits; there for a moment
//! ```
//!
//! They sort as their numbers do. What has another name is nobody's of ours.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::checkpoint::PIECE_BYTES;

pub const HEADER: &str = "HEADER.perdura";
/// The same bytes once more.
pub const HEADER_COPY: &str = "HEADER-COPY.perdura";
pub const LATEST: &str = "LATEST.perdura";
pub const LOG: &str = "log";
pub const CHECKPOINTS: &str = "checkpoints";
pub const FILES: &str = "files";
pub const DOOMED: &str = "doomed";
pub const STORING: &str = "storing";

/// Entries in a row. Stamps are those of the first and the last entry that have one, 0 where none has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogName {
    pub first: u64,
    pub last: u64,
    pub first_ms: u64,
    pub last_ms: u64,
}

impl LogName {
    pub fn parse(name: &str) -> Option<LogName> {
        let mut parts = name.split('-');
        let mut number = |digits| parts.next().and_then(|part| decimal(part, digits));
        let parsed =
            LogName { first: number(20)?, last: number(20)?, first_ms: number(15)?, last_ms: number(15)? };
        (parts.next().is_none() && 0 < parsed.first && parsed.first <= parsed.last).then_some(parsed)
    }

    /// Whether all that the other holds is in this one, too.
    pub fn covers(&self, other: &LogName) -> bool {
        self != other && self.first <= other.first && other.last <= self.last
    }

    pub fn path(&self) -> String {
        format!("{LOG}/{self}")
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogName { first, last, first_ms, last_ms } = self;
        write!(f, "{first:020}-{last:020}-{first_ms:015}-{last_ms:015}")
    }
}

/// A piece of a file, by what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PieceName {
    pub hash: u128,
    pub bytes: u64,
}

impl PieceName {
    pub fn parse(name: &str) -> Option<PieceName> {
        let (hash, bytes) = name.split_once('-')?;
        let is_hex = hash.len() == 32 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let parsed = PieceName { hash: u128::from_str_radix(hash, 16).ok()?, bytes: bytes.parse().ok()? };
        let is_short = parsed.bytes <= PIECE_BYTES as u64;
        (is_hex && is_short && bytes == parsed.bytes.to_string()).then_some(parsed)
    }

    pub fn path(&self) -> String {
        format!("{FILES}/{self}")
    }
}

impl TryFrom<String> for PieceName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<PieceName, &'static str> {
        PieceName::parse(&name).ok_or("a piece has another name")
    }
}

impl From<PieceName> for String {
    fn from(name: PieceName) -> String {
        name.to_string()
    }
}

impl fmt::Display for PieceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}", self.hash, self.bytes)
    }
}

pub fn checkpoint_index(name: &str) -> Option<u64> {
    decimal(name, 20)
}

pub fn checkpoint_path(index: u64) -> String {
    format!("{CHECKPOINTS}/{index:020}")
}

/// One attempt to store a checkpoint. Others may store the same checkpoint at the same time, in other pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoringName {
    pub index: u64,
    /// The attempt's own; `None` of an older build, whose attempts shared a name.
    pub token: Option<u64>,
}

impl StoringName {
    pub fn parse(name: &str) -> Option<StoringName> {
        let Some((index, token)) = name.split_once('-') else {
            return Some(StoringName { index: decimal(name, 20)?, token: None });
        };
        let parsed = StoringName { index: decimal(index, 20)?, token: u64::from_str_radix(token, 16).ok() };
        (parsed.to_string() == name).then_some(parsed)
    }

    /// Where the checkpoint is described until the attempt has ended.
    pub fn path(&self) -> String {
        format!("{STORING}/{self}")
    }
}

impl fmt::Display for StoringName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.index)?;
        self.token.map_or(Ok(()), |token| write!(f, "-{token:016x}"))
    }
}

pub fn doomed_path(token: u64) -> String {
    format!("{DOOMED}/{token:016x}")
}

/// What a check writes and removes again.
pub fn probe_path(token: u64) -> String {
    format!("PROBE-{token:016x}")
}

fn decimal(text: &str, digits: usize) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_not_ours() {
        let log = LogName { first: 1, last: 950, first_ms: 0, last_ms: 1_763_740_800_123 };
        assert_eq!(
            log.path(),
            "log/00000000000000000001-00000000000000000950-000000000000000-001763740800123"
        );
        assert_eq!(LogName::parse(&log.to_string()), Some(log));
        let swapped = LogName { first: 5, last: 4, ..log };
        assert_eq!(LogName::parse(&swapped.to_string()), None);
        assert_eq!(LogName::parse(&format!("{log}#1")), None);
        let piece = PieceName { hash: 0xAB, bytes: 8 << 20 };
        assert_eq!(piece.path(), "files/000000000000000000000000000000ab-8388608");
        assert_eq!(PieceName::parse(&piece.to_string()), Some(piece));
        for name in ["", "ab-1", "000000000000000000000000000000AB-1", "000000000000000000000000000000ab-01"]
        {
            assert_eq!(PieceName::parse(name), None, "{name}");
        }
        let long = PieceName { bytes: (8 << 20) + 1, ..piece };
        assert_eq!(PieceName::parse(&long.to_string()), None);
        assert_eq!(checkpoint_index(checkpoint_path(77).split_at(12).1), Some(77));
        assert_eq!(checkpoint_index("77"), None);
        let storing = StoringName { index: 77, token: Some(0xAB) };
        assert_eq!(storing.path(), "storing/00000000000000000077-00000000000000ab");
        for storing in [storing, StoringName { token: None, ..storing }] {
            assert_eq!(StoringName::parse(&storing.to_string()), Some(storing));
        }
        for name in [
            "77",
            "00000000000000000077-",
            "00000000000000000077-ab",
            "00000000000000000077-00000000000000AB",
        ] {
            assert_eq!(StoringName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn one_covers_another_but_not_itself() {
        let name = |first, last| LogName { first, last, first_ms: 0, last_ms: 0 };
        assert!(name(1, 9).covers(&name(3, 9)) && !name(1, 9).covers(&name(1, 9)));
        assert!(!name(2, 9).covers(&name(1, 3)));
    }
}
