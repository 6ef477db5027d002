//! The folder of checkpoints: which are there, whether they are whole, how one comes and goes.
//!
//! ```text
//! work/                  the store that grows; worth nothing after a restart
//! 00000000000000001234/  a published checkpoint, by its index: RocksDB's files and MANIFEST.perdura
//! fetch-…1234/           what has come so far of another node's checkpoint; stays, for it was dear
//! adopting-…1234         a mark: this checkpoint came from another node, and the log does not yet go on behind it
//! damaged-*              found damaged and set aside: for people to look at, and to remove
//! tmp-*                  what is being made, lent or removed; removed at a start
//! ```
//!
//! - A checkpoint appears by one rename, after everything in it was synced; it goes by one rename, too, before its files do. So a
//!   folder with an index for a name is whole, whenever power fails.
//! - Nothing in a published folder is ever written, but that a recovery, while no node runs, exchanges the manifest as a whole
//!   ([`Shelf::change_owner`]). Files are shared with older and newer checkpoints by hard links.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use perdura_wal::Position;
use xxhash_rust::xxh3::Xxh3Default;

use super::error::{CheckpointError, Damage, READ, Result};
use super::manifest::{self, FileSum, Manifest};
use crate::data_folder::{DAMAGED, create_private, free_name};

const WORK: &str = "work";
const TEMPORARY: &str = "tmp-";
const FETCHING: &str = "fetch-";
const ADOPTING: &str = "adopting-";
/// Files of RocksDB that never change; all others are copied rather than linked.
const IMMUTABLE: &str = "sst";
const INDEX_DIGITS: usize = 20;
const READ_BYTES: usize = 1 << 20;

#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
}

/// Files that a pass has proven, by what they are for the file system, with their checksums: checkpoints share them.
#[derive(Debug, Default)]
pub struct Proven(BTreeMap<(u64, u64), u64>);

/// A checkpoint that was passed over, and why.
#[derive(Debug)]
pub struct Rejected {
    pub index: u64,
    pub error: CheckpointError,
}

impl Shelf {
    /// Uses `folder`, which is created if needed. Removes what was not published when the last process ended.
    pub fn open(folder: &Path) -> Result<Shelf> {
        create_private(folder).map_err(CheckpointError::io("create", folder))?;
        let shelf = Shelf { folder: folder.to_owned() };
        for name in shelf.names()? {
            if name.starts_with(TEMPORARY) {
                remove_folder(&shelf.folder.join(name))?;
            }
        }
        Ok(shelf)
    }

    /// A shelf that is looked at only: nothing is created or removed.
    pub fn at(folder: &Path) -> Shelf {
        Shelf { folder: folder.to_owned() }
    }

    /// Indexes of the published checkpoints, oldest first.
    pub fn list(&self) -> Result<Vec<u64>> {
        let mut indexes: Vec<u64> = self.names()?.iter().filter_map(|name| index_of(name)).collect();
        indexes.sort_unstable();
        Ok(indexes)
    }

    /// The folder of a published checkpoint.
    pub fn path(&self, index: u64) -> PathBuf {
        self.folder.join(format!("{index:0INDEX_DIGITS$}"))
    }

    pub fn work(&self) -> PathBuf {
        self.folder.join(WORK)
    }

    /// A folder that vanishes at the next start. It may be left from something that failed.
    pub fn temporary(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{TEMPORARY}{name}"));
        remove_folder(&path)?;
        Ok(path)
    }

    pub fn manifest(&self, index: u64) -> Result<Manifest> {
        let path = self.path(index);
        match manifest::read(&path) {
            Err(CheckpointError::Damaged { damage: Damage::Missing, .. }) if !path.exists() => {
                Err(CheckpointError::NoSuch { index })
            }
            read => read,
        }
    }

    /// Reads every byte of a checkpoint and compares it with the manifest, which is returned. `progress` hears of bytes as they
    /// are read.
    pub fn verify(&self, index: u64, mut progress: impl FnMut(u64)) -> Result<Manifest> {
        self.verify_by(index, |path, expected| check_file(path, expected, &mut progress))
    }

    /// The same from the medium, where the page cache may be dropped, and without the files that were proven already in this pass.
    pub fn scrub(&self, index: u64, proven: &mut Proven, mut progress: impl FnMut(u64)) -> Result<Manifest> {
        self.verify_by(index, |path, expected| {
            let inode = identity(path).ok();
            if inode.is_some_and(|inode| proven.0.get(&inode) == Some(&expected.xxh3)) {
                return Ok(());
            }
            drop_from_cache(path);
            check_file(path, expected, &mut progress)?;
            proven.0.extend(inode.map(|inode| (inode, expected.xxh3)));
            Ok(())
        })
    }

    fn verify_by(
        &self,
        index: u64,
        mut check: impl FnMut(&Path, &FileSum) -> Result<()>,
    ) -> Result<Manifest> {
        let manifest = self.manifest(index)?;
        let folder = self.path(index);
        if manifest.point.index != index {
            let reason = format!("it is of index {}", manifest.point.index);
            let file = folder.join(manifest::FILE_NAME);
            return Err(CheckpointError::damaged(&file, Damage::Content { reason }));
        }
        check_names(&folder, &manifest)?;
        for expected in &manifest.files {
            check(&folder.join(&expected.name), expected)?;
        }
        Ok(manifest)
    }

    /// The newest checkpoint that [`Shelf::verify`] passes, and those newer ones that are damaged. `progress` hears of bytes as
    /// they are read.
    ///
    /// # Errors
    /// One can't be judged: it is of a newer format, or could not be opened. An older one in its place would hide what it holds.
    pub fn newest_good(&self, mut progress: impl FnMut(u64)) -> Result<(Option<Manifest>, Vec<Rejected>)> {
        let mut rejected = Vec::new();
        for index in self.list()?.into_iter().rev() {
            match self.verify(index, &mut progress) {
                Ok(manifest) => return Ok((Some(manifest), rejected)),
                Err(error) if error.is_damage() => rejected.push(Rejected { index, error }),
                Err(error) => return Err(error),
            }
        }
        Ok((None, rejected))
    }

    /// The last entry of the newest whole checkpoint, for a log that begins after damage; `None` where there is none, or where
    /// that can't be told.
    pub fn position_for_log(&self) -> Option<Position> {
        let (newest, _) = self.newest_good(|_| {}).ok()?;
        newest.map(|newest| newest.point.position())
    }

    /// Completes `staged`, a folder of [`Shelf::temporary`] that holds RocksDB's files, with the manifest and publishes it.
    /// `manifest` comes without its files; they are listed here. Files that are the same as in the checkpoint `before`
    /// are not read again: what they were then is what they must be.
    pub fn publish(
        &self,
        staged: &Path,
        mut manifest: Manifest,
        before: Option<&Manifest>,
    ) -> Result<Manifest> {
        let index = manifest.point.index;
        let path = self.path(index);
        if path.exists() {
            return Err(CheckpointError::Exists { index });
        }
        let known = before.map(|before| self.known_files(before)).unwrap_or_default();
        for name in names_in(staged)? {
            let file = staged.join(&name);
            let sum = match known.get(&identity(&file)?) {
                Some(sum) if sum.name == name => sum.clone(),
                _ => sum_and_sync(&file, name)?,
            };
            manifest.files.push(sum);
        }
        let file = staged.join(manifest::FILE_NAME);
        fs::write(&file, manifest.encode()).map_err(CheckpointError::io("write", &file))?;
        sync(&file)?;
        sync(staged)?;
        fs::rename(staged, &path).map_err(CheckpointError::io("publish", &path))?;
        sync(&self.folder)?;
        Ok(manifest)
    }

    /// Where a checkpoint of another node is put together.
    pub fn fetching(&self, index: u64) -> PathBuf {
        self.folder.join(format!("{FETCHING}{index:0INDEX_DIGITS$}"))
    }

    /// What has come of other nodes' checkpoints.
    pub fn fetched(&self) -> Result<Vec<PathBuf>> {
        let names = self.names()?.into_iter().filter(|name| name.starts_with(FETCHING));
        Ok(names.map(|name| self.folder.join(name)).collect())
    }

    /// Proves a checkpoint that came from another node, marks that it is to be adopted, and publishes it.
    pub fn publish_fetched(&self, fetched: &Path, manifest: &Manifest) -> Result<()> {
        let index = manifest.point.index;
        let path = self.path(index);
        if path.exists() {
            return Err(CheckpointError::Exists { index });
        }
        check_names(fetched, manifest)?;
        for file in &manifest.files {
            let path = fetched.join(&file.name);
            check_file(&path, file, &mut |_| {})?;
            sync(&path)?;
        }
        sync(&fetched.join(manifest::FILE_NAME))?;
        sync(fetched)?;
        let mark = self.folder.join(format!("{ADOPTING}{index:0INDEX_DIGITS$}"));
        File::create(&mark).map_err(CheckpointError::io("create", &mark))?;
        sync(&self.folder)?;
        fs::rename(fetched, &path).map_err(CheckpointError::io("publish", &path))?;
        sync(&self.folder)
    }

    /// The checkpoint that came from another node and that the log may not yet go on behind.
    pub fn adopting(&self) -> Result<Option<u64>> {
        Ok(self.marked_for_adoption()?.into_iter().max())
    }

    fn marked_for_adoption(&self) -> Result<Vec<u64>> {
        let names = self.names()?;
        Ok(names.iter().filter_map(|name| index_of(name.strip_prefix(ADOPTING)?)).collect())
    }

    /// The log goes on behind it, or never will.
    pub fn end_adoption(&self) -> Result<()> {
        for name in self.names()?.iter().filter(|name| name.starts_with(ADOPTING)) {
            let mark = self.folder.join(name);
            fs::remove_file(&mark).map_err(CheckpointError::io("remove", &mark))?;
        }
        sync(&self.folder)
    }

    /// Gives the files of a published checkpoint second names, in a temporary folder of the borrower's.
    pub fn lend(&self, index: u64, borrower: &str) -> Result<(PathBuf, Manifest)> {
        let manifest = self.manifest(index)?;
        let folder = self.temporary(&format!("lent-{borrower}-{index}"))?;
        fs::create_dir_all(&folder).map_err(CheckpointError::io("create", &folder))?;
        for file in &manifest.files {
            link_or_copy(&self.path(index).join(&file.name), &folder.join(&file.name))?;
        }
        Ok((folder, manifest))
    }

    /// Removes the folder of a checkpoint that was lent.
    pub fn take_back(&self, lent: &Path) -> Result<()> {
        remove_folder(lent)
    }

    /// Makes the store's folder anew from a published checkpoint; an empty one without.
    pub fn remake_work(&self, from: Option<&Manifest>) -> Result<PathBuf> {
        let work = self.work();
        remove_folder(&work)?;
        fs::create_dir_all(&work).map_err(CheckpointError::io("create", &work))?;
        let Some(manifest) = from else { return Ok(work) };
        let folder = self.path(manifest.point.index);
        for file in &manifest.files {
            link_or_copy(&folder.join(&file.name), &work.join(&file.name))?;
        }
        Ok(work)
    }

    /// Removes all checkpoints but the newest `keep` (at least one). Returns the indexes of those removed. One that came from
    /// another node neither counts nor goes before the log goes on behind it: it may yet be dropped.
    pub fn prune(&self, keep: usize) -> Result<Vec<u64>> {
        let adopting = self.marked_for_adoption()?;
        let mut indexes = self.list()?;
        indexes.retain(|index| !adopting.contains(index));
        indexes.truncate(indexes.len().saturating_sub(keep.max(1)));
        for index in &indexes {
            self.remove(*index)?;
        }
        Ok(indexes)
    }

    /// Takes a damaged checkpoint off the shelf and leaves its files alone, and what was set aside before as well.
    pub fn set_aside(&self, index: u64) -> Result<()> {
        let path = self.path(index);
        let aside = free_name(&self.folder, &format!("{DAMAGED}{index:0INDEX_DIGITS$}"));
        fs::rename(&path, &aside).map_err(CheckpointError::io("set aside", &path))?;
        sync(&self.folder)
    }

    /// Lets a published checkpoint belong to another cluster, in a folder that no node runs on.
    /// `owner` is what older builds would call it, and its id.
    pub fn change_owner(&self, index: u64, owner: (u64, u64), members: &[u64]) -> Result<()> {
        let mut manifest = self.manifest(index)?;
        (manifest.point.cluster_id, manifest.point.cluster) = owner;
        manifest.point.members = members.to_vec();
        let (folder, new) = (self.path(index), self.folder.join(format!("{TEMPORARY}manifest")));
        fs::write(&new, manifest.encode()).map_err(CheckpointError::io("write", &new))?;
        sync(&new)?;
        let file = folder.join(manifest::FILE_NAME);
        fs::rename(&new, &file).map_err(CheckpointError::io("exchange", &file))?;
        sync(&folder)
    }

    /// Removes one checkpoint.
    pub fn remove(&self, index: u64) -> Result<()> {
        let path = self.path(index);
        let doomed = self.temporary(&format!("removed-{index}"))?;
        fs::rename(&path, &doomed).map_err(CheckpointError::io("withdraw", &path))?;
        sync(&self.folder)?;
        remove_folder(&doomed)
    }

    /// The files of a published checkpoint by what they are for the file system.
    fn known_files(&self, manifest: &Manifest) -> BTreeMap<(u64, u64), FileSum> {
        let folder = self.path(manifest.point.index);
        let files = manifest.files.iter();
        files.filter_map(|file| Some((identity(&folder.join(&file.name)).ok()?, file.clone()))).collect()
    }

    fn names(&self) -> Result<Vec<String>> {
        names_in(&self.folder)
    }
}

fn index_of(name: &str) -> Option<u64> {
    let digits = name.len() == INDEX_DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

/// Names in a folder, sorted. What is not text is nobody's of ours.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    };
    read().map_err(CheckpointError::io("list", folder))
}

/// Device and inode.
fn identity(file: &Path) -> Result<(u64, u64)> {
    let metadata = fs::metadata(file).map_err(CheckpointError::io("look at", file))?;
    Ok((metadata.dev(), metadata.ino()))
}

fn check_names(folder: &Path, manifest: &Manifest) -> Result<()> {
    let expected: BTreeSet<&str> = manifest.files.iter().map(|file| &file.name[..]).collect();
    for name in names_in(folder)? {
        if name != manifest::FILE_NAME && !expected.contains(&name[..]) {
            return Err(CheckpointError::damaged(&folder.join(name), Damage::Stray));
        }
    }
    Ok(())
}

fn check_file(path: &Path, expected: &FileSum, progress: &mut impl FnMut(u64)) -> Result<()> {
    let found = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CheckpointError::damaged(path, Damage::Missing));
        }
        Err(error) => return Err(CheckpointError::io("look at", path)(error)),
    };
    if found != expected.bytes {
        return Err(CheckpointError::damaged(path, Damage::Length { expected: expected.bytes, found }));
    }
    let (_, found) = sum(path, progress)?;
    if found != expected.xxh3 {
        return Err(CheckpointError::damaged(path, Damage::Checksum { expected: expected.xxh3, found }));
    }
    Ok(())
}

fn sum_and_sync(file: &Path, name: String) -> Result<FileSum> {
    let (bytes, xxh3) = sum(file, &mut |_| {})?;
    sync(file)?;
    Ok(FileSum { name, bytes, xxh3 })
}

/// Length and checksum of a file.
pub(super) fn sum(path: &Path, progress: &mut impl FnMut(u64)) -> Result<(u64, u64)> {
    let mut file = File::open(path).map_err(CheckpointError::io("open", path))?;
    let mut read = || -> io::Result<(u64, u64)> {
        let mut buffer = vec![0; READ_BYTES];
        let (mut bytes, mut hash) = (0, Xxh3Default::new());
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok((bytes, hash.digest()));
            }
            hash.update(&buffer[..count]);
            bytes += count as u64;
            progress(count as u64);
        }
    };
    read().map_err(CheckpointError::io(READ, path))
}

/// Syncs a file or a folder.
fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(CheckpointError::io("sync", path))
}

/// Lets the next read of a file come from the medium, as far as that can be had: a cache hides what has become of it.
fn drop_from_cache(path: &Path) {
    if let Ok(file) = File::open(path) {
        // A hint: without it the cache is checked.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
}

/// A file system without hard links gets copies.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    let linked =
        from.extension().is_some_and(|extension| extension == IMMUTABLE) && fs::hard_link(from, to).is_ok();
    if !linked {
        fs::copy(from, to).map_err(CheckpointError::io("copy", from))?;
    }
    Ok(())
}

pub(super) fn remove_folder(path: &Path) -> Result<()> {
    let removed = match fs::remove_dir_all(path) {
        // What a crash left of a manifest that was to be exchanged is a file.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CheckpointError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::manifest::Point;
    use crate::checkpoint::testing::Scratch;

    fn manifest(index: u64) -> Manifest {
        let point = Point { index, ..Point::default() };
        let databases = Default::default();
        Manifest {
            point,
            databases,
            generations: BTreeMap::new(),
            next_blob: 0,
            hash_seed: Default::default(),
            files: Vec::new(),
        }
    }

    /// Publishes a checkpoint of two files, one of them taken from the one `before`.
    fn publish(shelf: &Shelf, index: u64, before: Option<&Manifest>) -> Result<Manifest> {
        let staged = shelf.temporary("staged")?;
        fs::create_dir(&staged).expect("the shelf is there");
        fs::write(staged.join("CURRENT"), index.to_string()).expect("the folder was made");
        match before {
            None => fs::write(staged.join("000001.sst"), "sorted").expect("the folder was made"),
            Some(before) => {
                let old = shelf.path(before.point.index).join("000001.sst");
                fs::hard_link(old, staged.join("000001.sst")).expect("one file system");
            }
        }
        shelf.publish(&staged, manifest(index), before)
    }

    #[test]
    fn checkpoints_come_by_a_rename_and_the_oldest_go() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        assert!(shelf.list()?.is_empty());
        let mut last = None;
        for index in [9, 10, 200] {
            last = Some(publish(&shelf, index, last.as_ref())?);
        }
        assert_eq!(shelf.list()?, [9, 10, 200]);
        assert_eq!(last.as_ref(), Some(&shelf.verify(200, |_| {})?));
        assert!(matches!(publish(&shelf, 10, None), Err(CheckpointError::Exists { index: 10 })));
        assert_eq!(shelf.prune(2)?, [9]);
        assert_eq!(shelf.prune(0)?, [10]);
        assert_eq!(shelf.list()?, [200]);
        assert_eq!(shelf.newest_good(|_| {})?.0, last);
        Ok(())
    }

    #[test]
    fn a_manifest_that_a_recovery_did_not_exchange_keeps_no_node_from_starting() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        publish(&shelf, 5, None)?;
        fs::write(scratch.path().join("tmp-manifest"), "left").expect("the shelf is there");
        assert_eq!(Shelf::open(scratch.path())?.names()?, ["00000000000000000005"]);
        Ok(())
    }

    #[test]
    fn what_a_crash_left_is_removed_and_nothing_else() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        publish(&shelf, 5, None)?;
        for name in ["tmp-staged", "tmp-removed-3", "notes"] {
            fs::create_dir_all(scratch.path().join(name)).expect("the shelf is there");
            fs::write(scratch.path().join(name).join("file"), "left").expect("the folder was made");
        }
        let shelf = Shelf::open(scratch.path())?;
        assert_eq!(shelf.names()?, ["00000000000000000005", "notes"]);
        Ok(())
    }

    #[test]
    fn each_kind_of_damage_is_named() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        let damage = |change: &dyn Fn(&Path)| -> (String, Damage) {
            publish(&shelf, 5, None).expect("there is none at 5");
            change(&shelf.path(5));
            let verified = shelf.verify(5, |_| {});
            shelf.remove(5).expect("it was just published");
            match verified {
                Err(CheckpointError::Damaged { file, damage }) => {
                    (file.file_name().expect("a file has one").to_string_lossy().into_owned(), damage)
                }
                other => panic!("expected damage, got {other:?}"),
            }
        };
        let name = "000001.sst".to_owned();
        let missing = damage(&|folder| fs::remove_file(folder.join("000001.sst")).expect("it is there"));
        assert_eq!(missing, (name.clone(), Damage::Missing));
        let short = damage(&|folder| fs::write(folder.join("000001.sst"), "short").expect("it is there"));
        assert_eq!(short, (name.clone(), Damage::Length { expected: 6, found: 5 }));
        let (file, other) =
            damage(&|folder| fs::write(folder.join("000001.sst"), "sOrted").expect("it is there"));
        assert!(file == name && matches!(other, Damage::Checksum { .. }));
        let stray = damage(&|folder| fs::write(folder.join("more"), "").expect("the folder is there"));
        assert_eq!(stray, ("more".to_owned(), Damage::Stray));
        let bare = damage(&|folder| fs::remove_file(folder.join(manifest::FILE_NAME)).expect("it is there"));
        assert_eq!(bare, (manifest::FILE_NAME.to_owned(), Damage::Missing));
        Ok(())
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over_for_an_older_one() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        let old = publish(&shelf, 5, None)?;
        publish(&shelf, 6, None)?;
        fs::write(shelf.path(6).join("CURRENT"), "7").expect("it is there");
        let (good, rejected) = shelf.newest_good(|_| {})?;
        assert_eq!(good, Some(old));
        assert_eq!(rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [6]);
        Ok(())
    }

    #[test]
    fn a_checkpoint_of_a_newer_format_is_not_passed_over() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        publish(&shelf, 5, None)?;
        publish(&shelf, 6, None)?;
        let body = b"{}\n";
        let head = b"perdura checkpoint 5";
        let line = format!(" {:016x}\n", xxhash_rust::xxh3::xxh3_64(&[&head[..], body].concat()));
        let newer = [&head[..], line.as_bytes(), body].concat();
        fs::write(shelf.path(6).join(manifest::FILE_NAME), newer).expect("it is there");
        let damage = match shelf.newest_good(|_| {}) {
            Err(CheckpointError::Damaged { damage, .. }) => damage,
            other => panic!("expected an error, got {other:?}"),
        };
        assert_eq!(damage, Damage::Version { found: 5, supported: manifest::VERSION });
        Ok(())
    }

    #[test]
    fn a_file_that_was_damaged_after_its_first_checkpoint_is_not_blessed_by_the_next() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        let first = publish(&shelf, 5, None)?;
        fs::write(shelf.path(5).join("000001.sst"), "sOrted").expect("it is there");
        publish(&shelf, 6, Some(&first))?;
        assert!(matches!(shelf.verify(6, |_| {}), Err(CheckpointError::Damaged { .. })));
        Ok(())
    }

    #[test]
    fn what_was_set_aside_stays_when_more_is() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        for _ in 0..2 {
            publish(&shelf, 5, None)?;
            shelf.set_aside(5)?;
        }
        publish(&shelf, 6, None)?;
        shelf.set_aside(6)?;
        let names = [
            "damaged-00000000000000000005",
            "damaged-00000000000000000005-2",
            "damaged-00000000000000000006",
        ];
        assert_eq!(Shelf::open(scratch.path())?.names()?, names);
        Ok(())
    }

    /// A file that can't be opened says nothing of what is in it.
    #[test]
    fn an_error_that_is_no_damage_ends_the_search_and_changes_nothing() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        publish(&shelf, 5, None)?;
        publish(&shelf, 6, None)?;
        let file = shelf.path(6).join("000001.sst");
        fs::remove_file(&file).expect("it is there");
        std::os::unix::fs::symlink(&file, &file).expect("a link to itself can be made");
        match shelf.newest_good(|_| {}) {
            Err(error @ CheckpointError::Io { .. }) => assert!(!error.is_damage()),
            other => panic!("expected an error, got {other:?}"),
        }
        assert_eq!(shelf.list()?, [5, 6]);
        Ok(())
    }

    #[test]
    fn a_fetched_checkpoint_takes_no_place_of_ones_own_before_the_log_goes_on_behind_it() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        publish(&shelf, 5, None)?;
        let fetched = publish(&shelf, 9, None)?;
        let staged = shelf.fetching(9);
        fs::rename(shelf.path(9), &staged).expect("it is there");
        shelf.publish_fetched(&staged, &fetched)?;
        publish(&shelf, 6, None)?;
        assert_eq!(shelf.prune(1)?, [5]);
        // The log was faster.
        shelf.remove(9)?;
        shelf.end_adoption()?;
        assert_eq!(shelf.list()?, [6]);
        Ok(())
    }

    #[test]
    fn a_checkpoint_can_get_another_owner() -> Result<()> {
        let scratch = Scratch::new();
        let shelf = Shelf::open(scratch.path())?;
        publish(&shelf, 5, None)?;
        shelf.change_owner(5, (0xAB, 0xCD), &[2])?;
        let point = shelf.verify(5, |_| {})?.point;
        assert_eq!((point.cluster_id, point.members), (0xAB, vec![2]));
        Ok(())
    }
}
