//! A simulated disk that forgets what was not synced, tears writes, flips bits, fails, fills up and has sectors that can't be read.
//!
//! - Every file has live bytes, which reads show, and durable bytes, which a crash leaves; so do names.
//! - Everything that happens follows from the seed and the calls: two runs alike are alike to the bit.
//! - Changes are numbered ([`SimDisk::operations`]); at any number a crash or an error can be planned.
//! - [`SimDisk::crash`] and [`SimDisk::kill`] end a life: handles of before are dead, the returned one is
//!   the folder after power or process came back.
//!
//! A durable write is two operations, the write and its sync, so that a crash finds either unfinished.
//! A failed sync may lose what it should have made durable while reads still show it, as page caches do.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::aligned::AlignedBuf;
use super::{Disk, DiskFile, ReadFailure};
use state::{FileId, NameChange, State, Trip};

mod file;
mod state;

pub use file::SimFile;

/// What a crash does to bytes that were written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// Every sector of 512 bytes is the old or the new one.
    Sectors,
    /// The first bytes of each write are new, the others old.
    Bytes,
    /// Every block of 4096 bytes is the old one, the new one, or destroyed with all that was in it.
    Blocks,
}

/// A folder on a simulated disk. Clones are the same folder in the same life.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    life: u64,
}

impl SimDisk {
    /// An empty folder. `granularity` as in [`Disk::write_granularity`].
    pub fn new(seed: u64, tear: Tear, granularity: u64) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(State::new(seed, tear, granularity))), life: 0 }
    }

    /// How many changes have been made or tried so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Plans a power failure in the midst of the operation with this number, the first being 0. From then
    /// on every call fails, until [`SimDisk::crash`].
    pub fn crash_at(&self, operation: u64) {
        self.lock().trips.insert(operation, Trip::Crash);
    }

    /// Plans that the operation with this number fails, possibly half done.
    pub fn fail_at(&self, operation: u64) {
        self.lock().trips.insert(operation, Trip::Fail);
    }

    /// Limits what all files together may hold; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// What all files together may hold.
    pub fn capacity(&self) -> Option<u64> {
        self.lock().capacity
    }

    /// Power failure and restart. What was not synced survives in part, as the seed has it. Nothing
    /// planned is left.
    pub fn crash(&self) -> SimDisk {
        let mut state = self.lock();
        state.lose_power();
        self.next_life(&mut state)
    }

    /// The process ends, the machine stays on: nothing is forgotten, nothing more is durable than before.
    pub fn kill(&self) -> SimDisk {
        let mut state = self.lock();
        self.next_life(&mut state)
    }

    fn next_life(&self, state: &mut State) -> SimDisk {
        state.begin_life();
        SimDisk { state: self.state.clone(), life: state.life }
    }

    /// Bytes of a file as reads show them.
    pub fn bytes(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        let id = state.find(name)?;
        Ok(state.file(id)?.live.clone())
    }

    /// Puts a durable file on the disk behind everybody's back.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.lock();
        state.put(name, bytes);
    }

    /// Changes bytes on the disk behind everybody's back.
    pub fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let id = state.find(name)?;
        state.file(id)?.corrupt(offset, bytes)
    }

    /// Flips one bit of one byte on the disk behind everybody's back.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u32) -> io::Result<()> {
        let mut byte = [0];
        let mut state = self.lock();
        let id = state.find(name)?;
        let file = state.file(id)?;
        file.read(&mut byte, offset)?;
        byte[0] ^= 1_u8.rotate_left(bit);
        file.corrupt(offset, &byte)
    }

    /// Cuts a file short, or extends it with zeros, behind everybody's back.
    pub fn set_length(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        let id = state.find(name)?;
        state.file(id)?.set_length(length as usize);
        Ok(())
    }

    /// From now on, over restarts too, reads that touch these bytes of a file fail as an unreadable sector does. Writing over
    /// them heals them.
    pub fn fail_reads(&self, name: &str, bytes: Range<u64>) -> io::Result<()> {
        let mut state = self.lock();
        let id = state.find(name)?;
        state.file(id)?.spoil(bytes.start as usize..bytes.end as usize);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a call of this life.
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        state.check_alive(self.life)?;
        Ok(state)
    }

    fn change_names(&self, change: NameChange) -> io::Result<()> {
        self.alive()?.change_names(change)
    }

    fn handle(&self, id: FileId) -> SimFile {
        SimFile::new(self.clone(), id)
    }
}

/// Holds a simulated folder.
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.life == self.disk.life {
            state.locked = false;
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Map = Arc<[u8]>;
    type Lock = SimLock;

    fn lock(&self) -> io::Result<SimLock> {
        let mut state = self.alive()?;
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(SimLock { disk: self.clone() })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.live_names.keys().cloned().collect())
    }

    fn create(&self, name: &str, length: u64) -> io::Result<SimFile> {
        let file = {
            let mut state = self.alive()?;
            let id = state.new_file();
            state.change_names(NameChange::Set(name.to_owned(), id))?;
            self.handle(id)
        };
        if length > 0 {
            file.write_durably(&vec![0; length as usize], 0)?;
        }
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let id = self.alive()?.find(name)?;
        Ok(self.handle(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change_names(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change_names(NameChange::Remove(name.to_owned()))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.alive()?.sync_names()
    }

    fn map(&self, name: &str) -> io::Result<Arc<[u8]>> {
        let mut state = self.alive()?;
        let id = state.find(name)?;
        let file = state.file(id)?;
        // Where the real map would end the process with SIGBUS.
        file.check_readable(0..file.live.len()).map_err(|failure| failure.source)?;
        Ok(file.live.as_slice().into())
    }

    fn read_cached(&self, name: &str) -> Result<AlignedBuf, ReadFailure> {
        let mut state = self.alive()?;
        let id = state.find(name)?;
        let file = state.file(id)?;
        file.check_readable(0..file.live.len())?;
        let mut buffer = AlignedBuf::with_capacity(file.live.len());
        buffer.extend_from_slice(&file.live);
        Ok(buffer)
    }

    fn read_all(&self, name: &str) -> Result<AlignedBuf, ReadFailure> {
        let mut state = self.alive()?;
        let id = state.find(name)?;
        let file = state.file(id)?;
        file.check_readable(0..file.live.len())?;
        let medium = file.drop_cache();
        let mut buffer = AlignedBuf::with_capacity(medium.len());
        buffer.extend_from_slice(medium);
        Ok(buffer)
    }

    fn write_granularity(&self) -> u64 {
        self.lock().granularity
    }
}

#[cfg(test)]
mod tests;
