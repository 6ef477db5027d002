//! The sorted files of one run, before RocksDB takes them in.
//!
//! - Keys come almost in order: by generation and slot, but a slot with many changes comes in several pieces, each sorted for
//!   itself. So a few files are open at once, and a key goes to the first that ends below it.
//! - No key comes twice, so it does not matter which file is taken in first.
//! - A finished file is synced, and its bytes are on their way long before: what gathers in the page cache holds up the log's own
//!   syncs when it leaves at once.

use std::fs::File;
use std::path::{Path, PathBuf};

use rocksdb::SstFileWriter;

use super::error::{CheckpointError, Result};
use super::options::{FILE_BYTES, SORTED_FILES};

/// Files that are open at once: as many pieces of one slot may interleave before files get short.
const MAX_OPEN: usize = 4;
/// Bytes that may gather in the page cache for each of them.
const SYNC_BYTES: u64 = 4 << 20;

pub struct SortedFiles {
    /// Where they are, and what their names begin with.
    stem: PathBuf,
    open: Vec<OpenFile>,
    finished: Vec<PathBuf>,
    finished_bytes: u64,
}

struct OpenFile {
    writer: SstFileWriter<'static>,
    path: PathBuf,
    last_key: Vec<u8>,
    synced_bytes: u64,
}

impl SortedFiles {
    pub fn new(folder: &Path, family: &str) -> SortedFiles {
        SortedFiles { stem: folder.join(family), open: Vec::new(), finished: Vec::new(), finished_bytes: 0 }
    }

    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.add(key, |writer| writer.put(key, value))
    }

    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.add(key, |writer| writer.delete(key))
    }

    /// Bytes written so far, without what is still in buffers.
    pub fn bytes(&self) -> u64 {
        let open: u64 = self.open.iter().map(|file| file.writer.file_size()).sum();
        self.finished_bytes + open
    }

    /// Ends all files; returns them.
    pub fn finish(&mut self) -> Result<Vec<PathBuf>> {
        while !self.open.is_empty() {
            self.finish_one(0)?;
        }
        Ok(std::mem::take(&mut self.finished))
    }

    fn add(
        &mut self,
        key: &[u8],
        write: impl FnOnce(&mut SstFileWriter<'static>) -> std::result::Result<(), rocksdb::Error>,
    ) -> Result<()> {
        let number = self.file_for(key)?;
        let file = &mut self.open[number];
        write(&mut file.writer).map_err(CheckpointError::rocks("write a sorted file"))?;
        file.last_key.clear();
        file.last_key.extend_from_slice(key);
        file.sync_from_time_to_time()?;
        if file.writer.file_size() >= FILE_BYTES { self.finish_one(number) } else { Ok(()) }
    }

    /// The number of an open file that ends below `key`.
    fn file_for(&mut self, key: &[u8]) -> Result<usize> {
        if let Some(number) = self.open.iter().position(|file| file.last_key[..] < *key) {
            return Ok(number);
        }
        if self.open.len() == MAX_OPEN {
            self.finish_one(0)?;
        }
        let number = self.finished.len() + self.open.len();
        let path = self.stem.with_extension(format!("{number:06}.sst"));
        let writer = SstFileWriter::create(&SORTED_FILES);
        writer.open(&path).map_err(CheckpointError::rocks("begin a sorted file"))?;
        self.open.push(OpenFile { writer, path, last_key: Vec::new(), synced_bytes: 0 });
        Ok(self.open.len() - 1)
    }

    fn finish_one(&mut self, number: usize) -> Result<()> {
        let mut file = self.open.remove(number);
        file.writer.finish().map_err(CheckpointError::rocks("finish a sorted file"))?;
        self.finished_bytes += file.writer.file_size();
        self.finished.push(file.path);
        Ok(())
    }
}

impl OpenFile {
    fn sync_from_time_to_time(&mut self) -> Result<()> {
        let bytes = self.writer.file_size();
        if bytes - self.synced_bytes < SYNC_BYTES {
            return Ok(());
        }
        self.synced_bytes = bytes;
        File::open(&self.path)
            .and_then(|file| file.sync_data())
            .map_err(CheckpointError::io("sync", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::options::ROOTS;
    use crate::checkpoint::records::{Family, Records};
    use crate::checkpoint::testing::Scratch;

    #[test]
    fn keys_in_any_order_end_up_in_few_files_that_hold_them_all() -> Result<()> {
        let scratch = Scratch::new();
        let mut files = SortedFiles::new(scratch.path(), ROOTS);
        let pieces: Vec<Vec<u32>> =
            (0..12u32).map(|piece| (0..100).map(|n| n * 12 + piece).collect()).collect();
        for key in pieces.iter().flatten() {
            files.put(&key.to_be_bytes(), b"value")?;
        }
        assert_eq!(files.open.len(), MAX_OPEN);
        let finished = files.finish()?;
        assert!((3..=12).contains(&finished.len()), "{} files", finished.len());
        let records = Records::open(&scratch.path().join("db"), 0)?;
        records.ingest(Family::Roots, &finished)?;
        assert_eq!(records.count_roots()?, 1200);
        Ok(())
    }
}
