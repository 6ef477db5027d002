//! A folder that is looked at: nothing that is done through this disk changes a byte of it.
//!
//! - Files are read whole past the page cache where the file system can do that: what is shown is what the medium holds,
//!   and a block that can't be read is an error, where a memory map would end the process.
//! - The lock is shared between those who look, and refused while somebody writes. The LOCK file is not made where it is
//!   missing: a folder without one (a copy, a backup) is nobody's.
//! - Whatever would change something fails with `ReadOnlyFilesystem`.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::aligned::AlignedBuf;
use super::real::{LOCK_FILE, names_in, read_whole};
use super::{Disk, DiskFile, ReadFailure};

/// A folder of the file system, for reading only.
#[derive(Debug, Clone)]
pub struct ReadOnlyDisk {
    folder: Arc<PathBuf>,
}

impl ReadOnlyDisk {
    /// Looks at `folder`, which must be there.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<ReadOnlyDisk> {
        let folder = folder.into();
        if !std::fs::metadata(&folder)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(ReadOnlyDisk { folder: Arc::new(folder) })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnlyDisk {
    type File = ReadOnlyFile;
    type Map = AlignedBuf;
    type Lock = Option<File>;

    fn lock(&self) -> io::Result<Option<File>> {
        let file = match File::open(self.folder.join(LOCK_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        names_in(&self.folder)
    }

    fn create(&self, _name: &str, _length: u64) -> io::Result<ReadOnlyFile> {
        refused()
    }

    fn open(&self, name: &str) -> io::Result<ReadOnlyFile> {
        File::open(self.folder.join(name)).map(|file| ReadOnlyFile { file })
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self) -> io::Result<()> {
        refused()
    }

    fn map(&self, name: &str) -> io::Result<AlignedBuf> {
        self.read_all(name).map_err(|failure| failure.source)
    }

    fn read_cached(&self, name: &str) -> Result<AlignedBuf, ReadFailure> {
        self.read_all(name)
    }

    fn read_all(&self, name: &str) -> Result<AlignedBuf, ReadFailure> {
        self.read_all_at_pace(name, &mut |_| {})
    }

    fn read_all_at_pace(&self, name: &str, pace: &mut dyn FnMut(u64)) -> Result<AlignedBuf, ReadFailure> {
        let path = self.folder.join(name);
        match read_whole(&path, true, pace) {
            // The file system has no direct I/O.
            Err(failure) if failure.source.kind() == io::ErrorKind::InvalidInput => {
                read_whole(&path, false, pace)
            }
            read => read,
        }
    }

    /// Nothing is written, and nothing read is kept for a later write.
    fn write_granularity(&self) -> u64 {
        1
    }
}

/// An open file, for reading only.
#[derive(Debug)]
pub struct ReadOnlyFile {
    file: File,
}

impl DiskFile for ReadOnlyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn write_durably(&self, _bytes: &[u8], _offset: u64) -> io::Result<u32> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}
