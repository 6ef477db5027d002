//! A repository: the backups of one cluster, or of one node alone, in one place.
//!
//! ```text
//! HEADER.perdura     which repository it is, whose backups these are, and how they are encrypted, see `header`; HEADER-COPY.perdura
//!                    has the same bytes
//! LATEST.perdura     up to when it is known that nothing more was written, see `latest`
//! log/…              committed entries
//! checkpoints/…      what a checkpoint's manifest says, and of which pieces its files are made
//! files/…            pieces of files, by what is in them: what two checkpoints share is there once
//! doomed/…           for the moment in which pieces are removed, see `prune`
//! storing/…          a checkpoint's description until all its pieces are there, see `checkpoint`
//! ```
//!
//! - The place of a repository is made once, when the repository is begun ([`Repository::begin`]), and by nothing else: an
//!   empty folder in its place is one whose disk is not mounted, and stays empty.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use super::checkpoint::StoredCheckpoint;
use super::entries::Entries;
use super::error::{BackupError, Damage, Result};
use super::header::{Header, StoredHeader};
use super::inventory::{HeldLog, Inventory, Unusable};
use super::key::{Key, open_name_of};
use super::latest::Latest;
use super::names::{self, LogName, PieceName, StoringName};
use super::object::{self, Kind};
use super::store::{Listed, Store, Wanted};
use crate::env;
use crate::raft::cluster::ClusterId;
use crate::raft::identity::Identity;

/// Whose backups they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub cluster_id: u64,
    /// Of older builds only: there all nodes that run alone and have no name belong to one cluster id, and their logs tell them apart.
    pub log_id: Option<u64>,
}

impl Owner {
    /// The cluster of this id.
    pub const fn cluster(id: ClusterId) -> Owner {
        Owner { cluster_id: id.0, log_id: None }
    }

    /// What older builds took for the owner: they knew clusters by settings only.
    pub fn of_older_build(identity: &Identity, log_id: u64) -> Owner {
        let is_alone = identity.members.len() == 1;
        Owner { cluster_id: identity.older_key.0, log_id: is_alone.then_some(log_id) }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {:016x}", self.cluster_id)?;
        self.log_id.map_or(Ok(()), |log_id| write!(f, ", a node alone with log {log_id:016x}"))
    }
}

/// An encrypted repository of which the key is not at hand: names and checksums can be looked at, contents can't.
#[derive(Debug)]
pub struct Sealed(Repository);

impl Sealed {
    /// Opens what is at a URL; `None` if it is not encrypted.
    pub fn open(url: &str) -> Result<Option<Sealed>> {
        let store = Store::open(url, false)?;
        let header = StoredHeader::read(&store)?;
        let is_encrypted = header.header.encryption.is_some();
        Ok(is_encrypted.then_some(Sealed(Repository { store, key: None, header })))
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
    header: StoredHeader,
}

impl Repository {
    /// Opens what is at a URL.
    pub fn open(url: &str, key_file: Option<&Path>) -> Result<Repository> {
        let store = Store::open(url, false)?;
        Repository::of(store, key_file.map(Key::read).transpose()?)
    }

    /// Opens what is at a URL, for this owner to write to; mends its header.
    pub fn open_for(url: &str, key_file: Option<&Path>, owner: &Owner) -> Result<Repository> {
        Repository::open_for_either(url, key_file, owner, owner)
    }

    /// The same, also where an older build has begun it for the same cluster. It stays what it is: the history in it tells whether it is
    /// this log's.
    pub fn open_for_either(
        url: &str,
        key_file: Option<&Path>,
        owner: &Owner,
        older: &Owner,
    ) -> Result<Repository> {
        let mut repository = Repository::open(url, key_file)?;
        if repository.owner() != owner && repository.owner() != older {
            let (stored, own) = (repository.owner().to_string(), owner.to_string());
            return Err(BackupError::OtherOwner { stored, own });
        }
        if let Some(problem) = repository.header.problem() {
            tracing::warn!(%problem, url, "the header of the backup is mended from its other copy");
        }
        if repository.header.flaw.take().is_some() {
            repository.header.mend(&repository.store)?;
        }
        Ok(repository)
    }

    /// Begins a repository at a URL, if there is none, and opens it for this owner.
    pub fn begin(url: &str, key_file: Option<&Path>, owner: &Owner) -> Result<Repository> {
        match Repository::open_for(url, key_file, owner) {
            Err(BackupError::NoRepository { .. }) => {}
            opened => return opened,
        }
        let key = key_file.map(Key::read).transpose()?;
        let store = Store::open(url, true)?;
        let header = Header::new(env::random_seed(), owner, key.as_ref());
        // Another node may begin it at the same time: what is there counts.
        store.create(names::HEADER, header.encode())?;
        Repository::open_for(url, key_file, owner)
    }

    /// Opens what is at a URL for its objects as they are stored; that takes no key.
    pub fn open_stored(url: &str) -> Result<Repository> {
        let mut store = Store::open(url, false)?;
        let header = StoredHeader::read(&store)?;
        store.write_only_beside([names::HEADER, names::HEADER_COPY]);
        Ok(Repository { store, key: None, header })
    }

    /// Opens the copy of a repository at a URL; begins it if there is nothing.
    pub fn begin_copy(url: &str, source: &Repository) -> Result<Repository> {
        match Repository::open_stored(url) {
            Err(BackupError::NoRepository { .. }) => {
                let store = Store::open(url, true)?;
                let of_source = source.header.header.clone();
                let (repository_id, copy_of) = (env::random_seed(), Some(source.id()));
                store.create(names::HEADER, Header { repository_id, copy_of, ..of_source }.encode())?;
            }
            opened => drop(opened?),
        }
        let copy = Repository::open_stored(url)?;
        if copy.header.header.copy_of != Some(source.id()) {
            let (url, found, source_id) = (url.to_owned(), copy.id(), source.id());
            return Err(BackupError::NoCopy { url, found, source_id });
        }
        copy.header.mend(&copy.store)?;
        Ok(copy)
    }

    fn of(mut store: Store, key: Option<Key>) -> Result<Repository> {
        let header = StoredHeader::read(&store)?;
        header.header.check_key(key.as_ref())?;
        store.write_only_beside([names::HEADER, names::HEADER_COPY]);
        Ok(Repository { store, key, header })
    }

    /// Sees that the place still has this repository, and mends a header that has lost one of its objects.
    ///
    /// # Errors
    /// [`BackupError::Gone`] and [`BackupError::OtherRepository`].
    pub fn check_is_there(&self) -> Result<()> {
        if self.header.is_first_in(&self.store)? {
            return Ok(());
        }
        let (url, expected) = (self.store.url().to_owned(), self.id());
        let found = match StoredHeader::read(&self.store) {
            Err(BackupError::NoRepository { .. }) => {
                return Err(BackupError::Gone { url, repository_id: expected });
            }
            found => found?.header.repository_id,
        };
        if found != expected {
            return Err(BackupError::OtherRepository { url, expected, found });
        }
        tracing::warn!(url, "the header of the backup is mended from its other copy");
        self.header.mend(&self.store)
    }

    /// Tells it from every other repository.
    pub fn id(&self) -> u64 {
        self.header.header.repository_id
    }

    pub fn owner(&self) -> &Owner {
        &self.header.header.owner
    }

    /// What is wrong with its header, of which one object is enough.
    pub fn header_problem(&self) -> Option<BackupError> {
        self.header.problem()
    }

    pub fn is_encrypted(&self) -> bool {
        self.key.is_some()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What can be restored.
    pub fn inventory(&self) -> Result<Inventory> {
        let (mut checkpoints, mut unusable) = (Vec::new(), Vec::new());
        let indexes = self.checkpoint_indexes()?;
        let there = self.pieces()?.into_keys().collect();
        for index in indexes {
            match self.checkpoint(index) {
                Ok(Some(checkpoint)) => match checkpoint.missing(&there) {
                    0 => checkpoints.push(checkpoint.held()),
                    missing => unusable.push(Unusable { index, why: Damage::Pieces { missing } }),
                },
                Err(BackupError::Damaged { damage, .. }) => unusable.push(Unusable { index, why: damage }),
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
        Ok(Inventory { logs: self.logs()?, checkpoints, unusable, latest, damaged: Vec::new() })
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

    /// Whether an object of the log is there, and its checksum is right. Costs no more memory than what is stored.
    pub fn has_sound(&self, name: LogName) -> Result<bool> {
        let wanted = of_kind(name.path(), Kind::Log);
        match self.store.get(&wanted) {
            Ok(bytes) => {
                Ok(bytes.is_some_and(|bytes| object::check(&wanted.name, Kind::Log, &bytes).is_ok()))
            }
            Err(error) if error.is_worthless_object() => Ok(false),
            Err(error) => Err(error),
        }
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

fn of_kind(name: String, kind: Kind) -> Wanted {
    Wanted { name, most_bytes: kind.most_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner { cluster_id: 0xAB, log_id: Some(1) };

    #[test]
    fn a_repository_belongs_to_one_owner_and_one_key() -> Result<()> {
        let folder = tempfile::tempdir().expect("tests have a folder for temporary files");
        let url = |name: &str| format!("file://{}/{name}", folder.path().display());
        let keys = ["a", "b"].map(|name| folder.path().join(name));
        keys.iter().try_for_each(|path| Key::create(path))?;
        let other = Owner { log_id: Some(2), ..OWNER };
        Repository::begin(&url("plain"), None, &OWNER)?;
        Repository::begin(&url("plain"), None, &OWNER)?;
        let refused = Repository::begin(&url("plain"), None, &other);
        assert!(matches!(refused, Err(BackupError::OtherOwner { .. })));
        let refused = Repository::open(&url("plain"), Some(&keys[0]));
        assert!(matches!(refused, Err(BackupError::KeyNotNeeded)));
        Repository::begin(&url("sealed"), Some(&keys[0]), &OWNER)?;
        assert!(Repository::open(&url("sealed"), Some(&keys[0]))?.is_encrypted());
        assert!(matches!(Repository::open(&url("sealed"), Some(&keys[1])), Err(BackupError::WrongKey)));
        assert!(matches!(Repository::open(&url("sealed"), None), Err(BackupError::KeyNeeded)));
        assert!(matches!(Repository::open(&url("none"), None), Err(BackupError::NoRepository { .. })));
        Ok(())
    }
}
