//! The header of a repository: which one it is, whose backups are in it, and how they are encrypted.
//!
//! ```text
//! HEADER.perdura, HEADER-COPY.perdura
//! line 1   = "perdura backup " version " " checksum LF        as in a checkpoint's manifest
//! the rest = JSON
//!   repository_id  16 hexadecimal digits, drawn when the repository was begun; not in version 1
//!   copy_of        the repository that this one is a copy of; only in a copy
//!   cluster_id     of the cluster: random, its log brings it; by older builds: made of settings
//!   log_id         null; by older builds: of a node alone, which had no cluster to tell it from others
//!   encryption     null, or the cipher, and what tells the right key
//! ```
//!
//! - It is stored twice, the same bytes under two names: one damaged object does not make the backup unreadable. Where both are sound and
//!   differ, `HEADER.perdura` counts.
//! - A repository of version 1 has no id of its own: the checksum of its header's bytes takes the place. Its header is left as it
//!   is, so that nodes of older programs can still ship to it.
//! - A reader ignores fields that it does not know. What a reader must not ignore takes a new version.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::error::{BackupError, Damage, Result};
use super::key::Key;
use super::names;
use super::repository::Owner;
use super::store::{Store, Wanted};

pub const VERSION: u32 = 2;
/// The oldest version that is read.
const OLDEST: u32 = 1;
const MAGIC: &str = "perdura backup ";
const CIPHER: &str = "AES-256-GCM";
const MAX_BYTES: u64 = 64 << 10;
/// Both objects.
const NAMES: [&str; 2] = [names::HEADER, names::HEADER_COPY];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub repository_id: u64,
    pub copy_of: Option<u64>,
    pub owner: Owner,
    pub encryption: Option<Encryption>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    cipher: String,
    key_check: String,
}

#[derive(Serialize, Deserialize)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copy_of: Option<String>,
    cluster_id: String,
    log_id: Option<String>,
    encryption: Option<Encryption>,
}

impl Header {
    /// The header of a new repository.
    pub fn new(repository_id: u64, owner: &Owner, key: Option<&Key>) -> Header {
        let encryption = key.map(|key| Encryption { cipher: CIPHER.to_owned(), key_check: key.check() });
        Header { repository_id, copy_of: None, owner: owner.clone(), encryption }
    }

    /// Sees that the key is the one that the backups are encrypted with, or that none is needed.
    pub fn check_key(&self, key: Option<&Key>) -> Result<()> {
        match (&self.encryption, key) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(BackupError::KeyNotNeeded),
            (Some(_), None) => Err(BackupError::KeyNeeded),
            (Some(encryption), Some(key)) if encryption.cipher == CIPHER => {
                if encryption.key_check == key.check() { Ok(()) } else { Err(BackupError::WrongKey) }
            }
            (Some(other), Some(_)) => {
                let damage = Damage::content(format_args!("its cipher is '{}'", other.cipher));
                Err(BackupError::damaged(names::HEADER, damage))
            }
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let fields = Fields { repository_id: Some(digits(self.repository_id)), ..self.fields() };
        encode(VERSION, &fields)
    }

    fn fields(&self) -> Fields {
        Fields {
            repository_id: None,
            copy_of: self.copy_of.map(digits),
            cluster_id: digits(self.owner.cluster_id),
            log_id: self.owner.log_id.map(digits),
            encryption: self.encryption.clone(),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Header, Damage> {
        let (version, body) = split(bytes)?;
        let Fields { repository_id, copy_of, cluster_id, log_id, encryption } =
            serde_json::from_slice(body).map_err(Damage::content)?;
        let repository_id = match (version, repository_id) {
            (OLDEST, _) => xxh3_64(bytes),
            (_, Some(id)) => number(&id)?,
            (_, None) => return Err(Damage::content("it has no repository_id")),
        };
        let owner =
            Owner { cluster_id: number(&cluster_id)?, log_id: log_id.as_deref().map(number).transpose()? };
        Ok(Header { repository_id, copy_of: copy_of.as_deref().map(number).transpose()?, owner, encryption })
    }
}

fn digits(id: u64) -> String {
    format!("{id:016x}")
}

fn number(text: &str) -> Result<u64, Damage> {
    u64::from_str_radix(text, 16).map_err(|_| Damage::content("an id is no number"))
}

fn encode(version: u32, fields: &Fields) -> Vec<u8> {
    let mut body = serde_json::to_vec_pretty(fields).expect("it is made of texts");
    body.push(b'\n');
    let head = format!("{MAGIC}{version}");
    let line = format!("{head} {:016x}\n", xxh3_64(&[head.as_bytes(), &body].concat()));
    [line.as_bytes(), &body].concat()
}

/// The version, and the bytes after line 1.
fn split(bytes: &[u8]) -> Result<(u32, &[u8]), Damage> {
    let line_end = bytes.iter().take(100).position(|byte| *byte == b'\n').ok_or(Damage::Header)?;
    let (line, body) = (&bytes[..line_end], &bytes[line_end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| Damage::Header)?;
    let (head, expected) = line.rsplit_once(' ').ok_or(Damage::Header)?;
    let version = head.strip_prefix(MAGIC).ok_or(Damage::Header)?;
    let found = digits(xxh3_64(&[head.as_bytes(), body].concat()));
    if found != expected {
        let number = |text: &str| u128::from_str_radix(text, 16).unwrap_or(0);
        return Err(Damage::Checksum { expected: number(expected), found: number(&found) });
    }
    match version.parse() {
        Ok(version @ OLDEST..=VERSION) => Ok((version, body)),
        Ok(found) => Err(Damage::Version { found, supported: VERSION }),
        Err(_) => Err(Damage::Header),
    }
}

/// What a store has of a header.
#[derive(Debug)]
pub struct StoredHeader {
    pub header: Header,
    /// As they are stored.
    pub bytes: Vec<u8>,
    /// One of its two objects is damaged or missing, and the other one counts.
    pub flaw: Option<(&'static str, Damage)>,
}

impl StoredHeader {
    /// Reads the header.
    ///
    /// # Errors
    /// [`BackupError::NoRepository`] where neither object is there.
    pub fn read(store: &Store) -> Result<StoredHeader> {
        let first = read_one(store, names::HEADER)?;
        let second = read_one(store, names::HEADER_COPY)?;
        let damaged = |name, damage| Err(BackupError::damaged(name, damage));
        match (first, second) {
            (Found::Sound(header, bytes), second) => {
                let flaw = match second {
                    Found::Sound(_, copy) if copy == bytes => None,
                    Found::Sound(..) => Some(Damage::content("it is the header of another backup")),
                    Found::Missing => Some(Damage::Missing),
                    Found::Damaged(damage) => Some(damage),
                };
                Ok(StoredHeader { header, bytes, flaw: flaw.map(|damage| (names::HEADER_COPY, damage)) })
            }
            (Found::Missing, Found::Sound(header, bytes)) => {
                Ok(StoredHeader { header, bytes, flaw: Some((names::HEADER, Damage::Missing)) })
            }
            (Found::Damaged(damage), Found::Sound(header, bytes)) => {
                Ok(StoredHeader { header, bytes, flaw: Some((names::HEADER, damage)) })
            }
            (Found::Damaged(damage), _) => damaged(names::HEADER, damage),
            (Found::Missing, Found::Damaged(damage)) => damaged(names::HEADER_COPY, damage),
            (Found::Missing, Found::Missing) => {
                Err(BackupError::NoRepository { url: store.url().to_owned() })
            }
        }
    }

    /// Writes both objects as they are to be.
    pub fn mend(&self, store: &Store) -> Result<()> {
        NAMES.iter().try_for_each(|name| match store.get(&wanted(name)) {
            Ok(Some(there)) if there == self.bytes => Ok(()),
            Ok(_) => store.put(name, self.bytes.clone()),
            Err(error) if error.is_worthless_object() => store.put(name, self.bytes.clone()),
            Err(error) => Err(error),
        })
    }

    /// Whether `HEADER.perdura` has these bytes.
    pub fn is_first_in(&self, store: &Store) -> Result<bool> {
        match store.get(&wanted(names::HEADER)) {
            Ok(there) => Ok(there.is_some_and(|there| there == self.bytes)),
            Err(error) if error.is_worthless_object() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is wrong, if anything is. A repository of version 1 was begun without a copy, and that is no damage.
    pub fn problem(&self) -> Option<BackupError> {
        let (name, damage) = self.flaw.as_ref()?;
        let is_older = matches!(split(&self.bytes), Ok((OLDEST, _)));
        let is_usual = is_older && *name == names::HEADER_COPY && *damage == Damage::Missing;
        (!is_usual).then(|| BackupError::damaged(name, damage.clone()))
    }
}

enum Found {
    Missing,
    Sound(Header, Vec<u8>),
    Damaged(Damage),
}

/// # Errors
/// One of a newer version is sound, and can't be read: the other one does not count in its place.
fn read_one(store: &Store, name: &str) -> Result<Found> {
    let decoded = match store.get(&wanted(name)) {
        Ok(Some(bytes)) => Header::decode(&bytes).map(|header| Found::Sound(header, bytes.to_vec())),
        Ok(None) => return Ok(Found::Missing),
        Err(BackupError::Damaged { damage, .. }) => Err(damage),
        Err(error) => return Err(error),
    };
    match decoded {
        Err(damage @ Damage::Version { .. }) => Err(BackupError::damaged(name, damage)),
        decoded => Ok(decoded.unwrap_or_else(Found::Damaged)),
    }
}

fn wanted(name: &str) -> Wanted {
    Wanted { name: name.to_owned(), most_bytes: MAX_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::key::testing::key;

    const OWNER: Owner = Owner { cluster_id: 0xAB, log_id: Some(1) };
    /// What the first release wrote.
    const VERSION_1: &str = "perdura backup 1 0c38d15dcbb94f36\n{\n  \"cluster_id\": \"00000000000000ab\",\n  \
                             \"log_id\": \"0000000000000001\",\n  \"encryption\": null\n}\n";

    #[test]
    fn the_header_never_changes_between_releases() {
        let header = Header::new(0xCD, &OWNER, None);
        let expected = "perdura backup 2 dfe7272b8243f488\n{\n  \"repository_id\": \"00000000000000cd\",\n  \
                        \"cluster_id\": \"00000000000000ab\",\n  \"log_id\": \"0000000000000001\",\n  \
                        \"encryption\": null\n}\n";
        assert_eq!(String::from_utf8_lossy(&header.encode()), expected);
        assert_eq!(Header::decode(expected.as_bytes()), Ok(header));
        let sealed = Header { copy_of: Some(5), ..Header::new(0xCD, &OWNER, Some(&key(1))) };
        assert_eq!(Header::decode(&sealed.encode()), Ok(sealed));
    }

    #[test]
    fn the_header_of_the_first_release_is_read_and_goes_by_its_bytes() {
        let header = Header::decode(VERSION_1.as_bytes()).expect("the first release wrote it");
        assert_eq!((header.owner, header.encryption), (OWNER, None));
        assert_eq!(header.repository_id, xxh3_64(VERSION_1.as_bytes()));
        assert_eq!(encode(1, &Header::new(0, &OWNER, None).fields()), VERSION_1.as_bytes());
    }

    #[test]
    fn a_field_of_a_later_release_is_ignored_and_a_later_version_is_not() {
        let later = |version: u32| {
            let body = "{\"repository_id\":\"cd\",\"cluster_id\":\"ab\",\"log_id\":null,\"encryption\":null,\"more\":7}";
            let head = format!("{MAGIC}{version}");
            format!("{head} {}\n{body}", digits(xxh3_64(format!("{head}{body}").as_bytes())))
        };
        assert_eq!(Header::decode(later(VERSION).as_bytes()).map(|header| header.repository_id), Ok(0xCD));
        let refused = Header::decode(later(VERSION + 1).as_bytes());
        assert_eq!(refused, Err(Damage::Version { found: VERSION + 1, supported: VERSION }));
    }

    #[test]
    fn a_header_with_any_bit_flipped_is_refused() {
        let header = Header::new(0xCD, &OWNER, Some(&key(1))).encode();
        for at in 0..header.len() {
            for bit in 0..8 {
                let mut damaged = header.clone();
                damaged[at] ^= 1 << bit;
                assert!(Header::decode(&damaged).is_err(), "bit {bit} of byte {at}");
            }
        }
    }
}
