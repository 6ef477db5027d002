//! The real disk: one folder of the file system.
//!
//! - [`SyncMode::Dsync`] writes whole blocks with `O_DIRECT | O_DSYNC`: one call writes and syncs, past the
//!   page cache. [`SyncMode::Fdatasync`] writes through the page cache and calls `fdatasync`.
//! - Sealed segments are read through memory maps; nothing is ever written through one, because a failed
//!   write-back could not be reported.
//! - The whole of a file is read past the page cache where the file system can do that, because after a
//!   failed sync the cache may show bytes that the disk never got. What the cache holds of it is dropped then, so that
//!   a log that was recovered from the medium is not read from the cache.
//!
//! Caveat: if somebody cuts a mapped file short, reading the map ends the process (`mapped.rs`). The lock keeps
//! other instances of this program out; nothing keeps `truncate` out.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::Errno;

use super::aligned::AlignedBuf;
use super::mapped::MappedFile;
use super::{Disk, DiskFile, ReadFailure};
use crate::format::BLOCK_BYTES;

pub(super) const LOCK_FILE: &str = "LOCK";
const PROBE_FILE: &str = "probe.tmp";
/// The log is for its owner only.
const FOLDER_MODE: u32 = 0o700;
/// Zeros written per call while a segment is prepared.
const FILL_BYTES: usize = 1 << 20;
/// Bytes read per call from a file that is read whole; direct I/O takes whole blocks.
const READ_BYTES: usize = 1 << 20;
/// Zeros left to the page cache between two syncs while a segment is prepared without direct I/O: a burst
/// much larger would hold up the syncs of the segment in use.
const FILL_SYNC_BYTES: u64 = 8 << 20;

/// How a write is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// `pwrite` with `O_DIRECT | O_DSYNC`, whole blocks.
    Dsync,
    /// `pwrite` through the page cache, then `fdatasync`.
    Fdatasync,
    /// `pwrite` through the page cache and nothing else: survives a killed process, not a power loss.
    /// For measuring, and for data that may be lost.
    None,
}

/// A folder of the file system.
#[derive(Debug, Clone)]
pub struct RealDisk {
    folder: Arc<PathBuf>,
    mode: SyncMode,
    direct: bool,
}

impl RealDisk {
    /// Uses `folder`, which is created if needed. Where the file system has no direct I/O, says so once
    /// and goes without.
    pub fn open(folder: impl Into<PathBuf>, mode: SyncMode) -> io::Result<RealDisk> {
        let folder = folder.into();
        create_folder(&folder)?;
        let direct = supports_direct(&folder)?;
        if !direct && mode == SyncMode::Dsync {
            tracing::warn!(folder = %folder.display(), "no direct I/O here; the log is written through the page cache");
        }
        Ok(RealDisk { folder: Arc::new(folder), mode, direct })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn direct_flag(&self) -> i32 {
        if self.direct { libc::O_DIRECT } else { 0 }
    }
}

/// Makes a folder for its owner only, with those above it that are missing, so that their names survive a power failure. One that is
/// there stays as it is.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folder(above)?;
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        created => created?,
    }
    File::open(above)?.sync_all()
}

/// Whether one block can be written with direct I/O. The file systems that cannot answer `EINVAL`, some
/// at open, some at the write.
fn supports_direct(folder: &Path) -> io::Result<bool> {
    let path = folder.join(PROBE_FILE);
    let result = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path)
        .and_then(|file| file.write_all_at(AlignedBuf::zeroed(BLOCK_BYTES as usize).as_ref(), 0));
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(false),
        // The disk is full, so nothing was learnt; where direct I/O fails, the first commit will say so.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

impl Disk for RealDisk {
    type File = RealFile;
    type Map = MappedFile;
    type Lock = File;

    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.path(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        names_in(&self.folder)
    }

    fn create(&self, name: &str, length: u64) -> io::Result<RealFile> {
        let filler = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(self.direct_flag())
            .open(self.path(name))?;
        // On a full disk this fails at once, where filling would first take from everybody what is left.
        match fallocate(&filler, FallocateFlags::empty(), 0, length) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        fill_with_zeros(&filler, length)?;
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        let flags = match self.mode {
            SyncMode::Dsync => self.direct_flag() | libc::O_DSYNC,
            SyncMode::Fdatasync | SyncMode::None => 0,
        };
        let path = self.path(name);
        Ok(RealFile {
            writer: OpenOptions::new().write(true).custom_flags(flags).open(&path)?,
            reader: File::open(&path)?,
            sync_after_write: self.mode == SyncMode::Fdatasync,
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        if self.mode == SyncMode::None {
            return Ok(());
        }
        File::open(&*self.folder)?.sync_all()
    }

    fn map(&self, name: &str) -> io::Result<MappedFile> {
        MappedFile::open(&File::open(self.path(name))?, name)
    }

    fn read_cached(&self, name: &str) -> Result<AlignedBuf, ReadFailure> {
        read_file(&File::open(self.path(name))?, &mut |_| {})
    }

    fn read_all(&self, name: &str) -> Result<AlignedBuf, ReadFailure> {
        read_whole(&self.path(name), self.direct, &mut |_| {})
    }

    fn is_in_place(&self, lock: &File, name: &str, file: &RealFile) -> io::Result<bool> {
        Ok(is_named(lock, &self.path(LOCK_FILE))? && is_named(&file.reader, &self.path(name))?)
    }

    fn write_granularity(&self) -> u64 {
        match self.mode {
            SyncMode::Dsync => BLOCK_BYTES,
            SyncMode::Fdatasync | SyncMode::None => 1,
        }
    }
}

/// Whether a path still leads to an open file.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The names in a folder.
pub(super) fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        // A name that is no UTF-8 is none of ours.
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Reads a whole file, past the page cache if `direct`, and drops what the cache holds of it. `pace` hears of bytes as they come.
pub(super) fn read_whole(
    path: &Path,
    direct: bool,
    pace: &mut dyn FnMut(u64),
) -> Result<AlignedBuf, ReadFailure> {
    let flags = if direct { libc::O_DIRECT } else { 0 };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let bytes = read_file(&file, pace)?;
    fadvise(&file, 0, None, Advice::DontNeed).map_err(io::Error::from)?;
    Ok(bytes)
}

fn read_file(file: &File, pace: &mut dyn FnMut(u64)) -> Result<AlignedBuf, ReadFailure> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut buffer = AlignedBuf::zeroed(length.next_multiple_of(BLOCK_BYTES as usize));
    let filled = read_to_end(file, buffer.as_mut(), pace)?;
    buffer.resize(filled.min(length));
    Ok(buffer)
}

/// Where a piece can't be read, reads block by block to name the block.
fn read_to_end(file: &File, bytes: &mut [u8], pace: &mut dyn FnMut(u64)) -> Result<usize, ReadFailure> {
    let (mut filled, mut step) = (0, READ_BYTES);
    while filled < bytes.len() {
        let end = bytes.len().min(filled + step);
        match file.read_at(&mut bytes[filled..end], filled as u64) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                pace(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if step > BLOCK_BYTES as usize => step = BLOCK_BYTES as usize,
            Err(source) => return Err(ReadFailure { offset: filled as u64, source }),
        }
    }
    Ok(filled)
}

/// A file open twice: for durable writes, and for reads through the page cache.
#[derive(Debug)]
pub struct RealFile {
    writer: File,
    reader: File,
    sync_after_write: bool,
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.reader.metadata()?.len())
    }

    fn write_durably(&self, bytes: &[u8], offset: u64) -> io::Result<u32> {
        let calls = write_all(&self.writer, bytes, offset)?;
        if self.sync_after_write {
            self.writer.sync_data()?;
        }
        Ok(calls)
    }

    fn sync(&self) -> io::Result<()> {
        self.writer.sync_all()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.reader.read_exact_at(bytes, offset)
    }
}

/// Lengths are whole blocks wherever direct I/O asks for it: segments are.
fn fill_with_zeros(file: &File, length: u64) -> io::Result<()> {
    let zeros = AlignedBuf::zeroed(FILL_BYTES);
    let mut offset = 0;
    while offset < length {
        let count = (length - offset).min(FILL_BYTES as u64);
        write_all(file, &zeros.as_ref()[..count as usize], offset)?;
        offset += count;
        if offset.is_multiple_of(FILL_SYNC_BYTES) {
            file.sync_data()?;
        }
    }
    file.sync_all()
}

/// A call that was interrupted before it wrote anything is no failed write.
fn write_all(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<u32> {
    let mut calls = 0;
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                calls += 1;
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(calls)
}
