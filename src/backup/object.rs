//! The bytes of an object in a repository: a header, a body, and a checksum over both and the object's name.
//!
//! ```text
//!  0  8  magic "PERDURAB"
//!  8  1  version = 1
//!  9  1  kind: 1 = log, 2 = checkpoint, 3 = piece of a file, 4 = latest restorable time
//! 10  1  flags: 1 = the content is LZ4, 2 = the body is encrypted
//! 11  5  zero
//! 16  8  bytes of content, before LZ4
//! 24  8  bytes of the body
//! 32 16  salt of the object's key; zero where nothing is encrypted
//! 48 16  checksum: XXH3-128 of the name, bytes 0..48, and the body
//! 64     body
//! ```
//!
//! - The checksum is over what is stored, so an object can be checked by who has no key. It is bound to the name: an object in
//!   another's place does not pass.
//! - An object longer than its kind can be is not fetched, and content longer than that is refused before memory is allocated for it:
//!   LZ4 makes up to 255 bytes of one.

use xxhash_rust::xxh3::Xxh3Default;

use super::error::Damage;
use super::key::{Key, SALT_BYTES, new_salt, sealed_bytes};
use super::{checkpoint, entries, latest};

pub const VERSION: u8 = 1;
pub const HEADER_BYTES: usize = 64;

const MAGIC: &[u8; 8] = b"PERDURAB";
const LZ4: u8 = 1;
const ENCRYPTED: u8 = 2;
/// Bytes that a checksum covers, and encryption binds.
const COVERED: usize = 48;
/// Bytes that one byte of LZ4 can stand for, at most.
const LZ4_RATIO: u64 = 255;
/// What short content may be longer than by the ratio.
const LZ4_SLACK: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Log = 1,
    Checkpoint = 2,
    Piece = 3,
    Latest = 4,
}

impl Kind {
    /// The longest content that an object of this kind can have.
    pub const fn most_content(self) -> u64 {
        match self {
            Kind::Log => entries::MAX_CONTENT_BYTES,
            Kind::Checkpoint => checkpoint::MAX_CONTENT_BYTES,
            Kind::Piece => checkpoint::PIECE_BYTES as u64,
            Kind::Latest => latest::CONTENT_BYTES as u64,
        }
    }

    /// The longest object of this kind.
    pub const fn most_bytes(self) -> u64 {
        most_bytes(self.most_content())
    }
}

/// The longest object that content of this length makes.
pub const fn most_bytes(content: u64) -> u64 {
    HEADER_BYTES as u64 + sealed_bytes(content)
}

/// Makes an object of content.
pub fn encode(name: &str, kind: Kind, content: &[u8], key: Option<&Key>) -> Vec<u8> {
    encode_with_salt(name, kind, content, key.map(|key| (key, new_salt())))
}

fn encode_with_salt(
    name: &str,
    kind: Kind,
    content: &[u8],
    key: Option<(&Key, [u8; SALT_BYTES])>,
) -> Vec<u8> {
    // Files of checkpoints are compressed already.
    let compressed = (kind != Kind::Piece).then(|| lz4_flex::block::compress(content));
    let compressed = compressed.filter(|compressed| compressed.len() < content.len());
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..10].copy_from_slice(&[VERSION, kind as u8]);
    header[10] = if compressed.is_some() { LZ4 } else { 0 } | if key.is_some() { ENCRYPTED } else { 0 };
    header[16..24].copy_from_slice(&(content.len() as u64).to_le_bytes());
    let plain = compressed.as_deref().unwrap_or(content);
    let sealed = key.map(|(key, salt)| {
        header[32..COVERED].copy_from_slice(&salt);
        key.seal(&salt, &bound(name, &header), plain)
    });
    let body = sealed.as_deref().unwrap_or(plain);
    header[24..32].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let checksum = checksum(name, &header, body);
    header[COVERED..].copy_from_slice(&checksum.to_le_bytes());
    [&header, body].concat()
}

/// An object whose checksum is right.
#[derive(Debug)]
pub struct Checked<'a> {
    name: &'a str,
    kind: Kind,
    header: &'a [u8; HEADER_BYTES],
    body: &'a [u8],
}

/// Checks an object as far as that can be done without a key.
pub fn check<'a>(name: &'a str, kind: Kind, bytes: &'a [u8]) -> Result<Checked<'a>, Damage> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Damage::Header)?;
    if &header[..8] != MAGIC {
        return Err(Damage::Header);
    }
    let expected = u128::from_le_bytes(*header[COVERED..].first_chunk().ok_or(Damage::Header)?);
    let found = checksum(name, header, body);
    if found != expected {
        return Err(Damage::Checksum { expected, found });
    }
    if header[8] != VERSION {
        return Err(Damage::Version { found: header[8].into(), supported: VERSION.into() });
    }
    if header[9] != kind as u8 || header[10] & !(LZ4 | ENCRYPTED) != 0 || header[11..16] != [0; 5] {
        return Err(Damage::Header);
    }
    let length = number(header, 24);
    if length != body.len() as u64 {
        return Err(Damage::Length { expected: length, found: body.len() as u64 });
    }
    Ok(Checked { name, kind, header, body })
}

impl Checked<'_> {
    pub fn is_encrypted(&self) -> bool {
        self.header[10] & ENCRYPTED != 0
    }

    /// What the object was made of; refused before memory is allocated for it where that is longer than `most` bytes.
    pub fn content_within(&self, most: u64, key: Option<&Key>) -> Result<Vec<u8>, Damage> {
        let bytes = number(self.header, 16);
        if bytes > most { Err(Damage::TooLong { bytes, most }) } else { self.content(key) }
    }

    /// What the object was made of.
    pub fn content(&self, key: Option<&Key>) -> Result<Vec<u8>, Damage> {
        let opened;
        let plain = match key {
            None if !self.is_encrypted() => self.body,
            Some(key) if self.is_encrypted() => {
                let salt = self.header[32..].first_chunk().ok_or(Damage::Header)?;
                opened = key.open(salt, &bound(self.name, self.header), self.body)?;
                &opened
            }
            _ => return Err(Damage::Mixed),
        };
        let (expected, most) = (number(self.header, 16), self.kind.most_content());
        if expected > most {
            return Err(Damage::TooLong { bytes: expected, most });
        }
        if self.header[10] & LZ4 == 0 {
            let found = plain.len() as u64;
            return if found == expected {
                Ok(plain.to_vec())
            } else {
                Err(Damage::Length { expected, found })
            };
        }
        if expected > plain.len() as u64 * LZ4_RATIO + LZ4_SLACK {
            return Err(Damage::content("it claims more content than it can hold"));
        }
        let content = lz4_flex::block::decompress(plain, expected as usize).map_err(Damage::content)?;
        let found = content.len() as u64;
        if found == expected { Ok(content) } else { Err(Damage::Length { expected, found }) }
    }
}

/// Checks an object and returns what it was made of.
pub fn decode(name: &str, kind: Kind, bytes: &[u8], key: Option<&Key>) -> Result<Vec<u8>, Damage> {
    check(name, kind, bytes)?.content(key)
}

fn checksum(name: &str, header: &[u8; HEADER_BYTES], body: &[u8]) -> u128 {
    let mut hash = Xxh3Default::new();
    hash.update(name.as_bytes());
    hash.update(&header[..COVERED]);
    hash.update(body);
    hash.digest128()
}

/// What encryption binds a body to: its name, and the header but for the body's own length and checksum.
fn bound(name: &str, header: &[u8; HEADER_BYTES]) -> Vec<u8> {
    [&header[..24], &header[32..COVERED], name.as_bytes()].concat()
}

fn number(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(*header[at..].first_chunk().expect("it lies in the header"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backup::key::testing::key;

    const NAME: &str = "log/1-2";

    fn samples() -> Vec<Vec<u8>> {
        let noise: Vec<u8> = (0..5000u64).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect();
        vec![Vec::new(), b"x".to_vec(), vec![b'v'; 200_000], noise]
    }

    #[test]
    fn content_comes_back_and_repeats_are_stored_once() {
        let secret = key(3);
        for content in samples() {
            for kind in [Kind::Log, Kind::Piece] {
                for key in [None, Some(&secret)] {
                    let object = encode(NAME, kind, &content, key);
                    assert_eq!(decode(NAME, kind, &object, key).as_ref(), Ok(&content));
                    let other = if key.is_some() { None } else { Some(&secret) };
                    assert_eq!(decode(NAME, kind, &object, other), Err(Damage::Mixed));
                }
            }
        }
        assert!(encode(NAME, Kind::Log, &[7; 100_000], None).len() < 2000);
    }

    #[test]
    fn an_object_counts_under_its_own_name_and_kind_only() {
        let secret = key(3);
        for key in [None, Some(&secret)] {
            let object = encode(NAME, Kind::Log, b"content", key);
            assert!(matches!(check("log/1-3", Kind::Log, &object), Err(Damage::Checksum { .. })));
            assert!(matches!(check(NAME, Kind::Piece, &object), Err(Damage::Header)));
        }
        let object = encode(NAME, Kind::Log, b"content", Some(&secret));
        assert_eq!(decode(NAME, Kind::Log, &object, Some(&key(4))), Err(Damage::Sealed));
    }

    /// An object with a right checksum that claims content of this length.
    fn claiming(kind: Kind, content: u64) -> Vec<u8> {
        let mut object = encode(NAME, kind, &[7; 100_000], None);
        object[16..24].copy_from_slice(&content.to_le_bytes());
        let header: [u8; HEADER_BYTES] = *object.first_chunk().expect("it has a header");
        let right = checksum(NAME, &header, &object[HEADER_BYTES..]);
        object[COVERED..HEADER_BYTES].copy_from_slice(&right.to_le_bytes());
        object
    }

    #[test]
    fn content_longer_than_its_kind_can_be_is_refused_before_it_is_decompressed() {
        for kind in [Kind::Log, Kind::Checkpoint, Kind::Piece, Kind::Latest] {
            let most = kind.most_content();
            let refused = decode(NAME, kind, &claiming(kind, most + 1), None);
            assert_eq!(refused, Err(Damage::TooLong { bytes: most + 1, most }), "{kind:?}");
        }
        let amplified = claiming(Kind::Checkpoint, Kind::Checkpoint.most_content());
        assert!(matches!(decode(NAME, Kind::Checkpoint, &amplified, None), Err(Damage::Content { .. })));
    }

    #[test]
    fn no_object_is_longer_than_its_content_allows() {
        let secret = key(3);
        for content in samples() {
            for key in [None, Some(&secret)] {
                let bytes = encode(NAME, Kind::Piece, &content, key).len() as u64;
                assert!(bytes <= most_bytes(content.len() as u64), "{bytes}");
            }
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut object = encode(NAME, Kind::Log, b"content", None);
        object[8] = 2;
        let header: [u8; HEADER_BYTES] = *object.first_chunk().expect("it has a header");
        let right = checksum(NAME, &header, &object[HEADER_BYTES..]);
        object[COVERED..HEADER_BYTES].copy_from_slice(&right.to_le_bytes());
        let found = check(NAME, Kind::Log, &object).map(drop);
        assert_eq!(found, Err(Damage::Version { found: 2, supported: 1 }));
    }

    #[test]
    fn the_bytes_never_change_between_releases() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let plain = encode_with_salt(NAME, Kind::Checkpoint, b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", None);
        assert_eq!(
            hex(&plain),
            "5045524455524142010201000000000020000000000000000c0000000000000000000000000000000000000000000000\
             ab9f19d22b05e4af1d194e97fcf3fecf1f6101000660616161616161"
        );
        let sealed = encode_with_salt(NAME, Kind::Piece, b"piece", Some((&key(1), [9; SALT_BYTES])));
        assert_eq!(
            hex(&sealed),
            "5045524455524142010302000000000005000000000000001500000000000000090909090909090909090909090909096a63\
             173fbd7fce78d594279d44bd41c420c32cf286ad569103750c9043b0f37632b6c53515"
        );
        assert_eq!(decode(NAME, Kind::Piece, &sealed, Some(&key(1))), Ok(b"piece".to_vec()));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_found(at in any::<proptest::sample::Index>(), bit in 0..8u8, encrypted: bool) {
            let secret = key(3);
            let key = encrypted.then_some(&secret);
            let mut object = encode(NAME, Kind::Log, &samples()[3], key);
            let at = at.index(object.len());
            object[at] ^= 1u8 << bit;
            prop_assert!(check(NAME, Kind::Log, &object).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(check(NAME, Kind::Log, &bytes).is_err());
        }
    }
}
