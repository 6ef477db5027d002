//! A repository: the backups of one cluster, or of one node alone, in one place.
//!
//! ```text
//! HEADER.perdura     whose backups these are, and how they are encrypted
//! LATEST.perdura     up to when it is known that nothing more was written, see `latest`
//! log/…              committed entries
//! checkpoints/…      what a checkpoint's manifest says, and of which pieces its files are made
//! files/…            pieces of files, by what is in them: what two checkpoints share is there once
//! doomed/…           for the moment in which pieces are removed, see `prune`
//! storing/…          a checkpoint's description until all its pieces are there, see `checkpoint`
//!
//! HEADER.perdura
//! line 1   = "perdura backup " version " " checksum LF        as in a checkpoint's manifest
//! the rest = JSON
//!   cluster_id   of the cluster
//!   log_id       of a node alone, which has no cluster to tell it from others; else null
//!   encryption   null, or the cipher, and what tells the right key
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::checkpoint::StoredCheckpoint;
use super::entries::Entries;
use super::error::{BackupError, Damage, Result};
use super::inventory::{HeldLog, Inventory};
use super::key::{Key, open_name_of};
use super::latest::Latest;
use super::names::{self, LogName, PieceName, StoringName};
use super::object::{self, Kind};
use super::store::{Listed, Store, Wanted};
use crate::raft::identity::Identity;

const VERSION: u32 = 1;
const MAGIC: &str = "perdura backup ";
const CIPHER: &str = "AES-256-GCM";
const MAX_HEADER_BYTES: u64 = 64 << 10;

/// Whose backups they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub cluster_id: u64,
    /// All nodes that run alone and have no name belong to one cluster id: their logs tell them apart.
    pub log_id: Option<u64>,
}

impl Owner {
    pub fn new(identity: &Identity, log_id: u64) -> Owner {
        let is_alone = identity.members.len() == 1;
        Owner { cluster_id: identity.cluster_id.0, log_id: is_alone.then_some(log_id) }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {:016x}", self.cluster_id)?;
        self.log_id.map_or(Ok(()), |log_id| write!(f, ", a node alone with log {log_id:016x}"))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    cluster_id: String,
    log_id: Option<String>,
    encryption: Option<Encryption>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encryption {
    cipher: String,
    key_check: String,
}

/// An encrypted repository of which the key is not at hand: names and checksums can be looked at, contents can't.
#[derive(Debug)]
pub struct Sealed(Repository);

impl Sealed {
    /// Opens what is at a URL; `None` if it is not encrypted.
    pub fn open(url: &str) -> Result<Option<Sealed>> {
        let store = Store::open(url, false)?;
        let (owner, encryption) = read_header(&store)?;
        Ok(encryption.map(|_| Sealed(Repository { store, key: None, owner })))
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.0
    }
}

/// See the module.
#[derive(Debug)]
pub struct Repository {
    store: Store,
    key: Option<Key>,
    owner: Owner,
}

impl Repository {
    /// Opens what is at a URL.
    pub fn open(url: &str, key_file: Option<&Path>) -> Result<Repository> {
        let store = Store::open(url, false)?;
        Repository::of(store, key_file.map(Key::read).transpose()?)
    }

    /// Opens what is at a URL, for this owner; begins it if there is nothing.
    pub fn open_or_begin(url: &str, key_file: Option<&Path>, owner: &Owner) -> Result<Repository> {
        let key = key_file.map(Key::read).transpose()?;
        let store = Store::open(url, true)?;
        if store.get(&header())?.is_none() {
            // Somebody else may begin it at the same time: what is there counts.
            store.create(names::HEADER, encode_header(owner, key.as_ref()))?;
        }
        let repository = Repository::of(store, key)?;
        if repository.owner != *owner {
            let (stored, own) = (repository.owner.to_string(), owner.to_string());
            return Err(BackupError::OtherOwner { stored, own });
        }
        Ok(repository)
    }

    fn of(store: Store, key: Option<Key>) -> Result<Repository> {
        let (owner, encryption) = read_header(&store)?;
        match (&encryption, &key) {
            (None, None) => {}
            (None, Some(_)) => return Err(BackupError::KeyNotNeeded),
            (Some(_), None) => return Err(BackupError::KeyNeeded),
            (Some(encryption), Some(key)) if encryption.cipher == CIPHER => {
                if encryption.key_check != key.check() {
                    return Err(BackupError::WrongKey);
                }
            }
            (Some(other), Some(_)) => {
                let damage = Damage::content(format_args!("its cipher is '{}'", other.cipher));
                return Err(BackupError::damaged(names::HEADER, damage));
            }
        }
        Ok(Repository { store, key, owner })
    }

    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    pub fn is_encrypted(&self) -> bool {
        self.key.is_some()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What can be restored.
    pub fn inventory(&self) -> Result<Inventory> {
        let (mut checkpoints, mut incomplete) = (Vec::new(), Vec::new());
        let indexes = self.checkpoint_indexes()?;
        let there = self.pieces()?.into_keys().collect();
        for index in indexes {
            match self.checkpoint(index) {
                Ok(Some(checkpoint)) if checkpoint.missing(&there) == 0 => {
                    checkpoints.push(checkpoint.held())
                }
                Ok(Some(_)) => incomplete.push(index),
                Err(error) if error.is_worthless_object() => incomplete.push(index),
                // It was pruned since.
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        let latest = match Latest::read(self) {
            // Without it everything can be restored all the same; who verifies is told.
            Err(BackupError::Damaged { .. }) => None,
            latest => latest?,
        };
        Ok(Inventory { logs: self.logs()?, checkpoints, incomplete, latest })
    }

    /// Objects of the log, by their first entries.
    pub fn logs(&self) -> Result<Vec<HeldLog>> {
        let listed = self.store.list(names::LOG)?;
        let held = |Listed { name, bytes, .. }: Listed| Some(HeldLog { name: LogName::parse(&name)?, bytes });
        Ok(listed.into_iter().filter_map(held).collect())
    }

    /// Oldest first.
    pub fn checkpoint_indexes(&self) -> Result<Vec<u64>> {
        let listed = self.store.list(names::CHECKPOINTS)?;
        Ok(listed.iter().filter_map(|one| names::checkpoint_index(&one.name)).collect())
    }

    /// Pieces of files, with the time at which they were written, unix ms.
    pub fn pieces(&self) -> Result<BTreeMap<PieceName, i64>> {
        let listed = self.store.list(names::FILES)?;
        Ok(listed.iter().filter_map(|one| Some((PieceName::parse(&one.name)?, one.written_ms))).collect())
    }

    /// Reads an object of the log; `None` if it is not there any more.
    ///
    /// # Errors
    /// Content of more than `most_content` bytes is damage: [`Damage::TooLong`].
    pub fn entries(&self, name: LogName, most_content: u64) -> Result<Option<Entries>> {
        let most_bytes = object::most_bytes(most_content);
        let wanted = Wanted { name: name.path(), most_bytes };
        let Some(bytes) = self.store.get(&wanted)? else { return Ok(None) };
        let entries = object::check(&wanted.name, Kind::Log, &bytes)
            .and_then(|checked| checked.content_within(most_content, self.key.as_ref()))
            .and_then(|content| Entries::decode(name, content));
        entries.map(Some).map_err(|damage| BackupError::damaged(&wanted.name, damage))
    }

    /// Reads objects of the log, several at a time, and hands them to `take` in their order, one that is not there or damaged as
    /// an error, until it says to stop. It must not call the repository.
    pub fn each_entries(
        &self,
        names: &[LogName],
        mut take: impl FnMut(LogName, Result<Entries>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let wanted: Vec<Wanted> = names.iter().map(|name| of_kind(name.path(), Kind::Log)).collect();
        self.store.get_each(&wanted, |number, stored| {
            let (name, path) = (names[number], &wanted[number].name);
            let stored = match stored {
                Err(error @ BackupError::Damaged { .. }) => return take(name, Err(error)),
                stored => stored?,
            };
            let entries = stored
                .ok_or(Damage::Missing)
                .and_then(|stored| object::decode(path, Kind::Log, &stored, self.key.as_ref()))
                .and_then(|content| Entries::decode(name, content));
            take(name, entries.map_err(|damage| BackupError::damaged(path, damage)))
        })
    }

    /// Reads pieces, several at a time, and hands their contents to `take` in their order, one that is missing or damaged as an
    /// error, until it says to stop. It must not call the repository.
    pub fn each_piece(
        &self,
        names: &[PieceName],
        mut take: impl FnMut(Result<Vec<u8>>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let wanted = |name: &PieceName| Wanted {
            name: name.path(),
            most_bytes: object::most_bytes(name.bytes.min(Kind::Piece.most_content())),
        };
        let wanted: Vec<Wanted> = names.iter().map(wanted).collect();
        self.store.get_each(&wanted, |number, stored| match stored {
            Err(error @ BackupError::Damaged { .. }) => take(Err(error)),
            stored => take(self.piece_content(names[number], stored?.as_deref())),
        })
    }

    /// Reads a checkpoint's description; `None` if it is not there.
    pub fn checkpoint(&self, index: u64) -> Result<Option<StoredCheckpoint>> {
        self.description(index, &names::checkpoint_path(index))
    }

    fn description(&self, index: u64, path: &str) -> Result<Option<StoredCheckpoint>> {
        let Some(content) = self.read(path, Kind::Checkpoint)? else { return Ok(None) };
        let checkpoint =
            StoredCheckpoint::decode(&content).and_then(|checkpoint| match checkpoint.manifest.point.index {
                found if found == index => Ok(checkpoint),
                found => Err(Damage::content(format_args!("it is of index {found}"))),
            });
        checkpoint.map(Some).map_err(|damage| BackupError::damaged(path, damage))
    }

    /// The name that content goes by.
    pub fn piece_name(&self, content: &[u8]) -> PieceName {
        let hash = self.key.as_ref().map_or_else(|| open_name_of(content), |key| key.name_of(content));
        PieceName { hash, bytes: content.len() as u64 }
    }

    /// What a stored piece holds, proven to be what its name says.
    fn piece_content(&self, name: PieceName, stored: Option<&[u8]>) -> Result<Vec<u8>> {
        let path = name.path();
        let content = stored
            .ok_or(Damage::Missing)
            .and_then(|stored| object::decode(&path, Kind::Piece, stored, self.key.as_ref()))
            .map_err(|damage| BackupError::damaged(&path, damage))?;
        match self.piece_name(&content) {
            found if found == name => Ok(content),
            found => {
                let damage = Damage::Checksum { expected: name.hash, found: found.hash };
                Err(BackupError::damaged(&path, damage))
            }
        }
    }

    /// Attempts to store checkpoints, those that were given up included, and when their descriptions were written, unix ms.
    pub fn attempts(&self) -> Result<Vec<(StoringName, i64)>> {
        let listed = self.store.list(names::STORING)?;
        Ok(listed.iter().filter_map(|one| Some((StoringName::parse(&one.name)?, one.written_ms))).collect())
    }

    /// Reads the description of a checkpoint that an attempt stores; `None` if it is not there.
    pub fn storing(&self, attempt: StoringName) -> Result<Option<StoredCheckpoint>> {
        self.description(attempt.index, &attempt.path())
    }

    /// Reads an object's content; `None` if it is not there.
    pub fn read(&self, path: &str, kind: Kind) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = self.store.get(&of_kind(path.to_owned(), kind))? else { return Ok(None) };
        let content = object::decode(path, kind, &bytes, self.key.as_ref());
        content.map(Some).map_err(|damage| BackupError::damaged(path, damage))
    }

    /// Writes an object; bytes that it takes in the store.
    pub fn write(&self, path: &str, kind: Kind, content: &[u8]) -> Result<u64> {
        let object = object::encode(path, kind, content, self.key.as_ref());
        let bytes = object.len() as u64;
        self.store.put(path, object)?;
        Ok(bytes)
    }

    pub fn remove(&self, path: &str) -> Result<()> {
        self.store.delete(path)
    }
}

fn read_header(store: &Store) -> Result<(Owner, Option<Encryption>)> {
    let bytes = store.get(&header())?;
    let bytes = bytes.ok_or_else(|| BackupError::NoRepository { url: store.url().to_owned() })?;
    let damaged = |damage| BackupError::damaged(names::HEADER, damage);
    let Header { cluster_id, log_id, encryption } = decode_header(&bytes).map_err(damaged)?;
    let number = |text: &String| {
        u64::from_str_radix(text, 16).map_err(|_| damaged(Damage::content("an id is no number")))
    };
    let owner = Owner { cluster_id: number(&cluster_id)?, log_id: log_id.as_ref().map(number).transpose()? };
    Ok((owner, encryption))
}

fn header() -> Wanted {
    Wanted { name: names::HEADER.to_owned(), most_bytes: MAX_HEADER_BYTES }
}

fn of_kind(name: String, kind: Kind) -> Wanted {
    Wanted { name, most_bytes: kind.most_bytes() }
}

fn encode_header(owner: &Owner, key: Option<&Key>) -> Vec<u8> {
    let header = Header {
        cluster_id: format!("{:016x}", owner.cluster_id),
        log_id: owner.log_id.map(|log_id| format!("{log_id:016x}")),
        encryption: key.map(|key| Encryption { cipher: CIPHER.to_owned(), key_check: key.check() }),
    };
    let mut body = serde_json::to_vec_pretty(&header).expect("it is made of texts");
    body.push(b'\n');
    let head = format!("{MAGIC}{VERSION}");
    let line = format!("{head} {:016x}\n", xxh3_64(&[head.as_bytes(), &body].concat()));
    [line.as_bytes(), &body].concat()
}

fn decode_header(bytes: &[u8]) -> Result<Header, Damage> {
    let line_end = bytes.iter().take(100).position(|byte| *byte == b'\n').ok_or(Damage::Header)?;
    let (line, body) = (&bytes[..line_end], &bytes[line_end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| Damage::Header)?;
    let (head, expected) = line.rsplit_once(' ').ok_or(Damage::Header)?;
    let version = head.strip_prefix(MAGIC).ok_or(Damage::Header)?;
    let found = format!("{:016x}", xxh3_64(&[head.as_bytes(), body].concat()));
    if found != expected {
        let number = |text: &str| u128::from_str_radix(text, 16).unwrap_or(0);
        return Err(Damage::Checksum { expected: number(expected), found: number(&found) });
    }
    match version.parse() {
        Ok(VERSION) => serde_json::from_slice(body).map_err(Damage::content),
        Ok(found) => Err(Damage::Version { found, supported: VERSION }),
        Err(_) => Err(Damage::Header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::key::testing::key;

    const OWNER: Owner = Owner { cluster_id: 0xAB, log_id: Some(1) };

    #[test]
    fn the_header_is_what_it_was_in_the_first_release() {
        let expected = "perdura backup 1 0c38d15dcbb94f36\n{\n  \"cluster_id\": \"00000000000000ab\",\n  \
                        \"log_id\": \"0000000000000001\",\n  \"encryption\": null\n}\n";
        assert_eq!(String::from_utf8_lossy(&encode_header(&OWNER, None)), expected);
        let sealed = encode_header(&OWNER, Some(&key(1)));
        let decoded = decode_header(&sealed).expect("it was just made");
        assert_eq!(decoded.encryption.map(|encryption| encryption.key_check), Some(key(1).check()));
    }

    #[test]
    fn a_header_with_any_bit_flipped_is_refused() {
        let header = encode_header(&OWNER, Some(&key(1)));
        for at in 0..header.len() {
            for bit in 0..8 {
                let mut damaged = header.clone();
                damaged[at] ^= 1 << bit;
                assert!(decode_header(&damaged).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_repository_belongs_to_one_owner_and_one_key() -> Result<()> {
        let folder = tempfile::tempdir().expect("tests have a folder for temporary files");
        let url = |name: &str| format!("file://{}/{name}", folder.path().display());
        let keys = ["a", "b"].map(|name| folder.path().join(name));
        keys.iter().try_for_each(|path| Key::create(path))?;
        let other = Owner { log_id: Some(2), ..OWNER };
        Repository::open_or_begin(&url("plain"), None, &OWNER)?;
        Repository::open_or_begin(&url("plain"), None, &OWNER)?;
        let refused = Repository::open_or_begin(&url("plain"), None, &other);
        assert!(matches!(refused, Err(BackupError::OtherOwner { .. })));
        let refused = Repository::open(&url("plain"), Some(&keys[0]));
        assert!(matches!(refused, Err(BackupError::KeyNotNeeded)));
        Repository::open_or_begin(&url("sealed"), Some(&keys[0]), &OWNER)?;
        assert!(Repository::open(&url("sealed"), Some(&keys[0]))?.is_encrypted());
        assert!(matches!(Repository::open(&url("sealed"), Some(&keys[1])), Err(BackupError::WrongKey)));
        assert!(matches!(Repository::open(&url("sealed"), None), Err(BackupError::KeyNeeded)));
        assert!(matches!(Repository::open(&url("none"), None), Err(BackupError::NoRepository { .. })));
        Ok(())
    }
}
