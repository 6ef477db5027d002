//! Copying a repository to another place: what is sound, as it is stored.
//!
//! - It takes no key: objects are bound to their names, not to their place. Each is checked by its checksum on the way; a damaged one is
//!   named and not copied, so that a sound one in the copy stays.
//! - An object that the copy has under its name and with its length is not read again: pieces are named by their content, and entries never
//!   change. Descriptions of checkpoints and the latest restorable time are read each time.
//! - Pieces come before the descriptions that need them, and the header comes first: a copy that was interrupted is one that verifies, and
//!   the next one goes on.
//! - A node may ship to the source meanwhile, and a prune may remove from it. What has gone is looked for under its new name.
//! - The copy is a repository of its own, which says of which one it is a copy.
//!
//! Caveat: nothing is removed from the copy but objects of the log that others cover. It has its own prune, which must not run at the
//! same time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::error::{BackupError, Damage, Result};
use super::names;
use super::object::{self, Kind};
use super::repository::Repository;
use super::ship::tidy;
use super::store::{Listed, Wanted};

/// Objects that are in memory at once.
const AT_ONCE: usize = 4;
/// How often a list is read again because objects on it have gone, or are missing in the copy.
const MAX_LISTS: usize = 5;

/// What was copied.
#[derive(Debug, Default)]
pub struct Copied {
    pub objects: u64,
    pub bytes: u64,
    /// Objects that the copy had already.
    pub known: u64,
    /// Objects that are damaged, and are not copied.
    pub problems: Vec<BackupError>,
}

/// Copies what the copy lacks. `progress` hears of objects, so far and in all.
pub fn copy(from: &Repository, to: &Repository, mut progress: impl FnMut(u64, u64)) -> Result<Copied> {
    let mut copying =
        Copying { from, to, copied: Copied::default(), done: 0, all: 0, progress: &mut progress };
    // One that is described now has its pieces, unless a prune takes the description before it takes them.
    let checkpoints = from.store().list(names::CHECKPOINTS)?;
    copying.all = (checkpoints.len() + from.store().list(names::FILES)?.len()) as u64;
    copying.all += from.store().list(names::LOG)?.len() as u64;
    copying.new_objects(names::FILES, Kind::Piece)?;
    let checkpoints = checkpoints.iter().filter(|one| names::checkpoint_index(&one.name).is_some());
    let descriptions: Vec<String> =
        checkpoints.map(|one| format!("{}/{}", names::CHECKPOINTS, one.name)).collect();
    copying.objects(&descriptions, Kind::Checkpoint)?;
    copying.new_objects(names::LOG, Kind::Log)?;
    copying.objects(&[names::LATEST.to_owned()], Kind::Latest)?;
    tidy(to)?;
    Ok(copying.copied)
}

struct Copying<'a> {
    from: &'a Repository,
    to: &'a Repository,
    copied: Copied,
    done: u64,
    all: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Copying<'_> {
    /// Copies what is new in a folder. Lists are read until nothing on them has gone.
    fn new_objects(&mut self, folder: &str, kind: Kind) -> Result<()> {
        for round in 0..MAX_LISTS {
            let there = by_name(self.to.store().list(folder)?);
            let listed = self.from.store().list(folder)?;
            let is_new = |one: &&Listed| there.get(&one.name) != Some(&one.bytes);
            let new: Vec<String> =
                listed.iter().filter(is_new).map(|one| format!("{folder}/{}", one.name)).collect();
            let known = (listed.len() - new.len()) as u64;
            if round == 0 {
                (self.copied.known, self.done) = (self.copied.known + known, self.done + known);
            }
            if self.objects(&new, kind)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Copies objects by their names; how many are not there any more.
    fn objects(&mut self, paths: &[String], kind: Kind) -> Result<usize> {
        let mut gone = 0;
        for paths in paths.chunks(AT_ONCE) {
            let wanted: Vec<Wanted> = paths
                .iter()
                .map(|path| Wanted { name: path.clone(), most_bytes: kind.most_bytes() })
                .collect();
            let mut read: Vec<Result<Option<Bytes>>> = Vec::new();
            self.from.store().get_each(&wanted, |_, bytes| {
                read.push(bytes);
                Ok(ControlFlow::Continue(()))
            })?;
            for (path, bytes) in paths.iter().zip(read) {
                gone += usize::from(!self.object(path, kind, bytes)?);
                self.done += 1;
                self.all = self.all.max(self.done);
                (self.progress)(self.done, self.all);
            }
        }
        Ok(gone)
    }

    /// Copies an object, unless it is damaged. False if it is not there any more.
    fn object(&mut self, path: &str, kind: Kind, bytes: Result<Option<Bytes>>) -> Result<bool> {
        let bytes = match bytes {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(false),
            Err(error @ BackupError::Damaged { .. }) => {
                self.copied.problems.push(error);
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        match object::check(path, kind, &bytes).map(drop) {
            // What a newer program wrote is for a newer program to judge.
            Ok(()) | Err(Damage::Version { .. }) => {
                self.copied.objects += 1;
                self.copied.bytes += bytes.len() as u64;
                self.to.store().put(path, bytes.to_vec())?;
            }
            Err(damage) => self.copied.problems.push(BackupError::damaged(path, damage)),
        }
        Ok(true)
    }
}

fn by_name(listed: Vec<Listed>) -> BTreeMap<String, u64> {
    listed.into_iter().map(|one| (one.name, one.bytes)).collect()
}
