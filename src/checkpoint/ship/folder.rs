//! A dock on disk: `fetch-<index>` on the shelf.
//!
//! - A file has its name once it is complete and was compared with the manifest; until then it is called `….part`. So after a
//!   restart complete files are kept, and partial ones are begun again.
//! - Files that this node has in a checkpoint of its own, or in a fetch that came to nothing, are taken from there, known by
//!   length and checksum.
//! - There is one such folder at a time; it survives restarts, for it is worth what it cost to fetch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::Dock;
use crate::checkpoint::error::{CheckpointError, Result};
use crate::checkpoint::manifest::{self, FileSum, Manifest};
use crate::checkpoint::shelf::{Shelf, link_or_copy, remove_folder, sum};

const PARTIAL: &str = ".part";
const MAX_NAME_BYTES: usize = 200;
/// Of the disk, one part in so many is never filled by what is fetched: a log that finds no room takes no writes.
const KEPT_SHARE: u64 = 20;

#[derive(Debug)]
pub struct FolderDock {
    shelf: Shelf,
    folder: PathBuf,
    /// Files that are being written, by name.
    open: BTreeMap<String, File>,
}

/// Files that are at hand, by length and checksum.
type AtHand = BTreeMap<(u64, u64), PathBuf>;

impl FolderDock {
    pub fn new(shelf: Shelf) -> FolderDock {
        FolderDock { shelf, folder: PathBuf::new(), open: BTreeMap::new() }
    }

    /// Everything that need not be fetched.
    fn at_hand(&self, fetched_before: &[PathBuf]) -> Result<AtHand> {
        let published = self.shelf.list()?.into_iter().map(|index| self.shelf.path(index));
        let mut at_hand = AtHand::new();
        for folder in fetched_before.iter().cloned().chain(published) {
            let Ok(manifest) = manifest::read(&folder) else { continue };
            for file in manifest.files {
                let path = folder.join(&file.name);
                if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == file.bytes) {
                    at_hand.insert((file.bytes, file.xxh3), path);
                }
            }
        }
        Ok(at_hand)
    }

    /// Makes the folder, unless it is there for this very checkpoint; returns what is there of others.
    fn clear_way(&mut self, manifest: &Manifest) -> Result<Vec<PathBuf>> {
        self.folder = self.shelf.fetching(manifest.point.index);
        self.open.clear();
        let mut others = self.shelf.fetched()?;
        if manifest::read(&self.folder).is_ok_and(|found| found == *manifest) {
            others.retain(|folder| *folder != self.folder);
            return Ok(others);
        }
        if self.folder.exists() {
            let aside = self.shelf.temporary("fetched")?;
            fs::rename(&self.folder, &aside).map_err(CheckpointError::io("move", &self.folder))?;
            others.retain(|folder| *folder != self.folder);
            others.push(aside);
        }
        fs::create_dir_all(&self.folder).map_err(CheckpointError::io("create", &self.folder))?;
        let file = self.folder.join(manifest::FILE_NAME);
        fs::write(&file, manifest.encode()).map_err(CheckpointError::io("write", &file))?;
        Ok(others)
    }

    fn partial(&self, file: &FileSum) -> PathBuf {
        self.folder.join(format!("{}{PARTIAL}", file.name))
    }
}

impl Dock for FolderDock {
    fn begin(&mut self, manifest: &Manifest) -> Result<Vec<bool>> {
        check_names(manifest)?;
        let others = self.clear_way(manifest)?;
        remove_partial(&self.folder)?;
        let at_hand = self.at_hand(&others)?;
        let mut there = Vec::with_capacity(manifest.files.len());
        for file in &manifest.files {
            let path = self.folder.join(&file.name);
            if !path.exists()
                && let Some(known) = at_hand.get(&(file.bytes, file.xxh3))
            {
                link_or_copy(known, &path)?;
            }
            there.push(path.exists());
        }
        others.iter().try_for_each(|folder| remove_folder(folder))?;
        let missing = manifest.files.iter().zip(&there).filter(|(_, there)| !**there);
        check_room(&self.folder, missing.map(|(file, _)| file.bytes))?;
        Ok(there)
    }

    fn write(&mut self, file: &FileSum, offset: u64, bytes: &[u8]) -> Result<()> {
        let path = self.partial(file);
        if !self.open.contains_key(&file.name) {
            let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            self.open.insert(file.name.clone(), opened.map_err(CheckpointError::io("create", &path))?);
        }
        match self.open.get(&file.name) {
            Some(opened) => opened.write_all_at(bytes, offset).map_err(CheckpointError::io("write", &path)),
            None => Ok(()),
        }
    }

    fn complete(&mut self, file: &FileSum) -> Result<bool> {
        self.open.remove(&file.name);
        let path = self.partial(file);
        if sum(&path, &mut |_| {})? != (file.bytes, file.xxh3) {
            fs::remove_file(&path).map_err(CheckpointError::io("remove", &path))?;
            return Ok(false);
        }
        fs::rename(&path, self.folder.join(&file.name)).map_err(CheckpointError::io("name", &path))?;
        Ok(true)
    }

    fn publish(&mut self, manifest: &Manifest) -> Result<()> {
        let published = self.shelf.publish_fetched(&self.folder, manifest);
        if let Err(CheckpointError::Damaged { file, .. }) = &published {
            // What a crash left of a file that was complete: it is fetched again.
            let _ = fs::remove_file(file);
        }
        published
    }
}

/// Sees that files of these lengths fit on the disk, before the first byte is fetched, and leave the log some room.
fn check_room(folder: &Path, mut lengths: impl Iterator<Item = u64>) -> Result<()> {
    let refused = |reason: String| Err(CheckpointError::Fetched { reason });
    let Some(needed) = lengths.try_fold(0u64, |sum, bytes| sum.checked_add(bytes)) else {
        return refused("its manifest's lengths make no sense".to_owned());
    };
    let disk =
        statvfs(folder).map_err(|error| CheckpointError::io("look at the disk of", folder)(error.into()))?;
    let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let kept = all / KEPT_SHARE;
    if needed > free.saturating_sub(kept) {
        return refused(format!(
            "{needed} bytes of its files are to be fetched, and of the disk's {free} that are free {kept} are kept for the log"
        ));
    }
    Ok(())
}

/// Names that come from another node become names of files here.
fn check_names(manifest: &Manifest) -> Result<()> {
    let mut seen = BTreeSet::new();
    for FileSum { name, .. } in &manifest.files {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let is_reserved = name.starts_with('.') || name.ends_with(PARTIAL) || name == manifest::FILE_NAME;
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !is_plain || is_reserved || !seen.insert(name) {
            let reason = format!("its manifest names a file \"{}\"", name.escape_default());
            return Err(CheckpointError::Fetched { reason });
        }
    }
    Ok(())
}

fn remove_partial(folder: &Path) -> Result<()> {
    let list = || fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>();
    for entry in list().map_err(CheckpointError::io("list", folder))? {
        if entry.file_name().to_string_lossy().ends_with(PARTIAL) {
            let path = entry.path();
            fs::remove_file(&path).map_err(CheckpointError::io("remove", &path))?;
        }
    }
    Ok(())
}
