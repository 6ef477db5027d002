//! Checkpoints on their way into a repository, and out of it.
//!
//! ```text
//! content of checkpoints/<index> = JSON
//!   manifest   the text of MANIFEST.perdura
//!   files      name, and the names of its pieces in order, for each file that the manifest names
//! ```
//!
//! - A file is stored in pieces of 8 MiB, so that no object is large and little is in memory.
//! - A checkpoint is described last, when all its pieces are there. What was stored before a crash is found by the next attempt. One
//!   that was described and lacks a piece all the same is stored again.
//! - What is stored was proven: a file that is not what its manifest says is refused.
//! - A prune may run at the same time. So a checkpoint is described under `storing/` first, by each attempt under a name of its own (the same
//!   checkpoint of another node has other files): from then on no prune that begins removes
//!   its pieces. The node that stores it waits until no prune that began before removes any, and stores again what has gone.
//!   [`prune`](super::prune) has the other half.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::error::{BackupError, Damage, Result};
use super::inventory::HeldCheckpoint;
use super::names::{self, PieceName, StoringName};
use super::object::Kind;
use super::repository::Repository;
use crate::checkpoint::error::{CheckpointError, Damage as FileDamage};
use crate::checkpoint::manifest::{self, FileSum, Manifest};
use crate::checkpoint::throttle::Throttle;
use crate::env::{self, Clock};

pub const PIECE_BYTES: usize = 8 << 20;
/// The longest description: of a million pieces, 8 TiB.
pub const MAX_CONTENT_BYTES: u64 = 64 << 20;
/// How often it is looked whether pieces are still being removed: a store tells nobody of what changes in it.
const DOOM_POLL: Duration = Duration::from_millis(500);
/// A pause is taken in steps of so much, with what goes on meanwhile in between.
const STEP: Duration = Duration::from_millis(100);
/// A removal that makes no progress for so long was given up by who began it.
const DOOM_PATIENCE_MS: u64 = 300_000;

/// A checkpoint as the repository has it.
#[derive(Debug)]
pub struct StoredCheckpoint {
    pub manifest: Manifest,
    /// The pieces of each of the manifest's files.
    pub files: Vec<Vec<PieceName>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    manifest: String,
    files: Vec<FilePieces>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePieces {
    name: String,
    pieces: Vec<PieceName>,
}

impl StoredCheckpoint {
    pub(super) fn encode(&self) -> Vec<u8> {
        let files = self
            .manifest
            .files
            .iter()
            .zip(&self.files)
            .map(|(file, pieces)| FilePieces { name: file.name.clone(), pieces: pieces.clone() });
        let manifest = String::from_utf8_lossy(&self.manifest.encode()).into_owned();
        serde_json::to_vec(&Description { manifest, files: files.collect() }).expect("it is made of texts")
    }

    pub fn decode(content: &[u8]) -> Result<StoredCheckpoint, Damage> {
        let Description { manifest, files } = serde_json::from_slice(content).map_err(Damage::content)?;
        let manifest = Manifest::decode(manifest.as_bytes()).map_err(damage_of)?;
        if files.len() != manifest.files.len() {
            return Err(Damage::content("not all files are described"));
        }
        let mut all = Vec::with_capacity(files.len());
        for (file, sum) in files.into_iter().zip(&manifest.files) {
            let bytes: u64 = file.pieces.iter().map(|piece| piece.bytes).sum();
            let is_plain = Path::new(&sum.name).file_name().is_some_and(|name| name == &sum.name[..]);
            if file.name != sum.name || bytes != sum.bytes || !is_plain {
                return Err(Damage::content(format_args!("file '{}' is not described", sum.name)));
            }
            all.push(file.pieces);
        }
        Ok(StoredCheckpoint { manifest, files: all })
    }

    /// All its pieces, each once.
    pub fn pieces(&self) -> BTreeSet<PieceName> {
        self.files.iter().flatten().copied().collect()
    }

    /// What an inventory tells of it.
    pub fn held(&self) -> HeldCheckpoint {
        let (manifest, point) = (&self.manifest, &self.manifest.point);
        let (keys, bytes) = (manifest.keys(), manifest.bytes());
        HeldCheckpoint { index: point.index, term: point.term, stamp_ms: point.stamp_ms, keys, bytes }
    }

    /// How many of its pieces are not among these.
    pub fn missing(&self, there: &BTreeSet<PieceName>) -> usize {
        self.pieces().difference(there).count()
    }

    /// Writes its files into a folder, and a manifest that may differ in its point. `progress` hears of bytes.
    pub fn write_to(
        &self,
        repository: &Repository,
        folder: &Path,
        manifest: &Manifest,
        mut progress: impl FnMut(u64),
    ) -> Result<()> {
        fs::create_dir_all(folder).map_err(BackupError::io("create", folder))?;
        for (file, pieces) in self.manifest.files.iter().zip(&self.files) {
            let path = folder.join(&file.name);
            let mut out = File::create(&path).map_err(BackupError::io("create", &path))?;
            repository.each_piece(pieces, |content| {
                let content = content?;
                progress(content.len() as u64);
                out.write_all(&content).map_err(BackupError::io("write", &path))?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let path = folder.join(manifest::FILE_NAME);
        fs::write(&path, manifest.encode()).map_err(BackupError::io("write", &path))
    }
}

/// A checkpoint that stays where it is while it is stored.
#[derive(Debug)]
pub struct Lent {
    pub folder: PathBuf,
    pub manifest: Manifest,
    /// The folder was made for this, and goes with it.
    pub is_temporary: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.is_temporary && fs::remove_dir_all(&self.folder).is_err() {
            tracing::warn!(folder = %self.folder.display(), "a checkpoint that was lent can't be removed; the next start does");
        }
    }
}

/// What storing a checkpoint came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub index: u64,
    /// Of all its files.
    pub bytes: u64,
    /// Of the objects that were written for it.
    pub written_bytes: u64,
}

/// How a checkpoint is stored.
pub struct Storing<'a> {
    pub repository: &'a Repository,
    pub clock: &'a Clock,
    /// Zero is no limit.
    pub bytes_per_second: u64,
    /// Called between pieces, with how many bytes were read.
    pub between: &'a mut dyn FnMut(u64) -> Result<()>,
}

impl Storing<'_> {
    /// Stores a checkpoint; one that is there already, with all its pieces, is left alone.
    pub fn store(&mut self, lent: &Lent) -> Result<Stored> {
        let (index, bytes) = (lent.manifest.point.index, lent.manifest.bytes());
        let mut stored = Stored { index, bytes, written_bytes: 0 };
        let known = self.known_pieces()?;
        match self.repository.checkpoint(index) {
            Ok(Some(there)) if there.missing(&known) == 0 => return Ok(stored),
            // One that can't be read is described again.
            Ok(_) => {}
            Err(error) if error.is_worthless_object() => {}
            Err(error) => return Err(error),
        }
        let files = self.store_files(lent, &known, &mut stored)?;
        let checkpoint = StoredCheckpoint { manifest: lent.manifest.clone(), files };
        let content = checkpoint.encode();
        let storing = StoringName { index, token: Some(env::random_seed()) }.path();
        stored.written_bytes += self.repository.write(&storing, Kind::Checkpoint, &content)?;
        self.wait_until_nothing_is_doomed()?;
        let left = self.known_pieces()?;
        if checkpoint.missing(&left) > 0 {
            self.store_files(lent, &left, &mut stored)?;
        }
        let path = names::checkpoint_path(index);
        stored.written_bytes += self.repository.write(&path, Kind::Checkpoint, &content)?;
        self.repository.remove(&storing)?;
        Ok(stored)
    }

    fn known_pieces(&self) -> Result<BTreeSet<PieceName>> {
        Ok(self.repository.pieces()?.into_keys().collect())
    }

    fn store_files(
        &mut self,
        lent: &Lent,
        known: &BTreeSet<PieceName>,
        stored: &mut Stored,
    ) -> Result<Vec<Vec<PieceName>>> {
        let mut throttle = Throttle::new(self.bytes_per_second, self.clock.monotonic_ns());
        let mut files = Vec::new();
        for sum in &lent.manifest.files {
            files.push(self.store_file(&lent.folder, sum, known, stored, &mut throttle)?);
        }
        Ok(files)
    }

    fn store_file(
        &mut self,
        folder: &Path,
        sum: &FileSum,
        known: &BTreeSet<PieceName>,
        stored: &mut Stored,
        throttle: &mut Throttle,
    ) -> Result<Vec<PieceName>> {
        let path = folder.join(&sum.name);
        let mut file = File::open(&path).map_err(BackupError::io("open", &path))?;
        let (mut pieces, mut hash, mut bytes) = (Vec::new(), Xxh3Default::new(), 0);
        loop {
            let piece = read_piece(&mut file).map_err(BackupError::io("read", &path))?;
            if piece.is_empty() {
                break;
            }
            hash.update(&piece);
            bytes += piece.len() as u64;
            let name = self.repository.piece_name(&piece);
            if !known.contains(&name) && !pieces.contains(&name) {
                let written = self.repository.write(&name.path(), Kind::Piece, &piece)?;
                stored.written_bytes += written;
                let price = throttle.wrote(written, self.clock.monotonic_ns());
                self.pause(price)?;
            }
            pieces.push(name);
            (self.between)(piece.len() as u64)?;
        }
        check_sum(&path, sum, bytes, hash.digest())?;
        Ok(pieces)
    }

    fn pause(&mut self, mut left: Duration) -> Result<()> {
        while !left.is_zero() {
            let step = left.min(STEP);
            std::thread::sleep(step);
            left -= step;
            (self.between)(0)?;
        }
        Ok(())
    }

    /// Waits for as long as somebody removes pieces.
    fn wait_until_nothing_is_doomed(&mut self) -> Result<()> {
        let mut seen = BTreeSet::new();
        let mut patience_ends_ms = 0;
        loop {
            let doomed: BTreeSet<String> =
                self.repository.store().list(names::DOOMED)?.into_iter().map(|one| one.name).collect();
            let now_ms = self.clock.monotonic_ms();
            if doomed.is_empty() {
                return Ok(());
            }
            if doomed != seen {
                if seen.is_empty() {
                    let patience_s = DOOM_PATIENCE_MS / 1000;
                    tracing::info!(
                        patience_s,
                        "the backup is being pruned: a checkpoint waits, not for ever if that was given up"
                    );
                }
                (seen, patience_ends_ms) = (doomed, now_ms + DOOM_PATIENCE_MS);
            } else if now_ms >= patience_ends_ms {
                tracing::warn!("a prune of the backup was begun and given up; what it left is removed");
                let left = seen.iter().map(|name| format!("{}/{name}", names::DOOMED));
                return left.into_iter().try_for_each(|path| self.repository.remove(&path));
            }
            self.pause(DOOM_POLL)?;
        }
    }
}

/// A newer version is not told as damaged content: it must be told apart.
fn damage_of(manifest: FileDamage) -> Damage {
    match manifest {
        FileDamage::Version { found, supported } => Damage::Version { found, supported },
        damage => Damage::content(damage),
    }
}

fn read_piece(file: &mut File) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    file.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

fn check_sum(path: &Path, sum: &FileSum, bytes: u64, xxh3: u64) -> Result<()> {
    let damage = if bytes != sum.bytes {
        FileDamage::Length { expected: sum.bytes, found: bytes }
    } else if xxh3 != sum.xxh3 {
        FileDamage::Checksum { expected: sum.xxh3, found: xxh3 }
    } else {
        return Ok(());
    };
    Err(CheckpointError::Damaged { file: path.to_owned(), damage }.into())
}
