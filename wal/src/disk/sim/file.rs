//! One file of the simulated disk, seen through a handle.

use std::io;

use super::state::{Effect, FileId};
use super::{DiskFile, SimDisk};

/// An open file; dead when its life is over.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    id: FileId,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, id: FileId) -> SimFile {
        SimFile { disk, id }
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.alive()?;
        state.check_capacity(self.id, offset + bytes.len() as u64)?;
        let effect = state.begin_operation();
        let kept = match effect {
            Effect::Whole | Effect::PowerOff => bytes.len(),
            Effect::Failed => state.random.below(bytes.len() as u64 + 1) as usize,
        };
        state.file(self.id)?.write(&bytes[..kept], offset);
        state.end_operation(effect)
    }

    fn sync_writes(&self) -> io::Result<()> {
        let mut state = self.disk.alive()?;
        let effect = state.begin_operation();
        match effect {
            Effect::Whole => state.file(self.id)?.sync(),
            Effect::Failed => state.lose_some_writes(self.id)?,
            Effect::PowerOff => {}
        }
        state.end_operation(effect)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.alive()?.file(self.id)?.live.len() as u64)
    }

    fn write_durably(&self, bytes: &[u8], offset: u64) -> io::Result<u32> {
        let granularity = self.disk.lock().granularity;
        assert!(
            offset.is_multiple_of(granularity) && (bytes.len() as u64).is_multiple_of(granularity),
            "a direct write must be whole blocks: {} bytes at {offset}",
            bytes.len()
        );
        self.write(bytes, offset)?;
        self.sync_writes()?;
        Ok(1)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_writes()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.alive()?.file(self.id)?.read(bytes, offset)
    }
}
