//! All access to files: the real disk, a view of it that changes nothing, and a simulated one that forgets, tears and fails.
//!
//! - A [`Disk`] is one flat folder. Handles are cloneable and refer to the same folder.
//! - A name is durable only after [`Disk::sync_dir`]; bytes are durable when a durable write returned.
//! - Nobody retries a failed write or sync, here or above.

pub mod aligned;
pub mod mapped;
pub mod read_only;
pub mod real;
pub mod sim;

use std::fmt::Debug;
use std::io;

use aligned::AlignedBuf;
use thiserror::Error;

/// A read that failed, and where in the file.
#[derive(Debug, Error)]
#[error("at byte {offset}: {source}")]
pub struct ReadFailure {
    pub offset: u64,
    pub source: io::Error,
}

impl From<io::Error> for ReadFailure {
    fn from(source: io::Error) -> ReadFailure {
        ReadFailure { offset: 0, source }
    }
}

/// One folder of files.
pub trait Disk: Clone + Debug + Send + Sync + 'static {
    type File: DiskFile;
    /// A file's bytes, read-only. A later write to the file may or may not show in them.
    type Map: AsRef<[u8]> + Debug + Send + Sync;
    /// Holds the folder until it is dropped.
    type Lock: Debug + Send + Sync;

    /// Claims the folder; `WouldBlock` when somebody else has it.
    fn lock(&self) -> io::Result<Self::Lock>;
    /// Names of all files, in no particular order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a new file of `length` zero bytes that are allocated and durable; replaces an old one.
    fn create(&self, name: &str, length: u64) -> io::Result<Self::File>;
    fn open(&self, name: &str) -> io::Result<Self::File>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    fn map(&self, name: &str) -> io::Result<Self::Map>;
    /// Reads a whole file, from the cache as far as it is there. A sector that the medium can't give back is an error here, where
    /// a map would end the process.
    fn read_cached(&self, name: &str) -> Result<AlignedBuf, ReadFailure>;
    /// Reads a whole file from the medium rather than from a cache that may hold what a failed sync lost, and drops what
    /// the cache holds of it: later reads show the same bytes.
    fn read_all(&self, name: &str) -> Result<AlignedBuf, ReadFailure>;
    /// The same at the caller's pace: `pace` is called with the number of bytes that were just read, and may take its time.
    fn read_all_at_pace(&self, name: &str, pace: &mut dyn FnMut(u64)) -> Result<AlignedBuf, ReadFailure> {
        let bytes = self.read_all(name)?;
        pace(bytes.as_ref().len() as u64);
        Ok(bytes)
    }
    /// Whether the lock and an open file are still what their names stand for: not where the folder was removed, moved or replaced.
    fn is_in_place(&self, _lock: &Self::Lock, _name: &str, _file: &Self::File) -> io::Result<bool> {
        Ok(true)
    }
    /// Offsets and lengths of durable writes are multiples of this: 4096, or 1 for "anything goes".
    fn write_granularity(&self) -> u64;
}

/// One open file.
pub trait DiskFile: Debug + Send + Sync + 'static {
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Writes all of `bytes` and returns when they are durable, with the number of write calls it took.
    fn write_durably(&self, bytes: &[u8], offset: u64) -> io::Result<u32>;
    /// Makes earlier writes of other handles and processes durable, too.
    fn sync(&self) -> io::Result<()>;
    /// Fills `bytes` from `offset` on; `UnexpectedEof` when the file ends before.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}
