//! A checkpoint as an RDB file: the databases that clients can select, with values and deadlines.
//!
//! - Bytes are handed out as they are made. In memory are one entry and what Redis writes for it, however large the checkpoint is.
//! - The same checkpoint makes the same bytes, so that their number can be known before the first is sent.
//! - The file is of version 10, which Redis 7.0 reads; only where fields of hashes have deadlines it is of version 12, for Redis 7.4.
//! - Keys that are dead and not yet freed are in it, with their deadlines.
//! - Function libraries are in it; users, scripts and parameters are not.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::Result;
use super::load;
use super::manifest::Manifest;
use super::records::Records;
use super::shelf::Shelf;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::value::ValueRef;
use crate::rdb::file::FileWriter;
use crate::version;

/// Bytes that are handed out at once, unless one value has more.
const CHUNK_BYTES: usize = 256 << 10;

/// Keys of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Keys {
    keys: u64,
    with_deadline: u64,
}

/// The code of a function library, where a key and a value of the system database are those of one.
pub type LibraryCode = fn(&[u8], &[u8]) -> Option<Vec<u8>>;

/// A checkpoint that is to become a file.
pub struct RdbExport {
    library_code: LibraryCode,
    records: Records,
    manifest: Manifest,
    databases: BTreeMap<usize, Keys>,
    has_field_deadlines: bool,
}

/// What an export has made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub keys: u64,
    pub bytes: u64,
}

impl RdbExport {
    /// Opens a published checkpoint and counts its keys.
    pub fn of_published(shelf: &Shelf, index: u64, library_code: LibraryCode) -> Result<RdbExport> {
        RdbExport::open(&shelf.path(index), shelf.manifest(index)?, library_code)
    }

    /// Opens a folder with the files of a checkpoint and counts its keys.
    pub fn open(folder: &Path, manifest: Manifest, library_code: LibraryCode) -> Result<RdbExport> {
        let records = Records::open_read_only(folder)?;
        let (mut databases, mut has_field_deadlines) = (BTreeMap::<usize, Keys>::new(), false);
        load::visit_heads(&records, &manifest, &mut |db, root| {
            let keys = databases.entry(db).or_default();
            keys.keys += 1;
            keys.with_deadline += u64::from(root.deadline_ms.is_some());
            has_field_deadlines |= root.field_deadlines;
        })?;
        Ok(RdbExport { library_code, records, manifest, databases, has_field_deadlines })
    }

    /// The entry of the log up to which everything is in it.
    pub fn index(&self) -> u64 {
        self.manifest.point.index
    }

    /// The version of the file.
    pub fn version(&self) -> u16 {
        if self.has_field_deadlines { FileWriter::VERSION_WITH_FIELD_DEADLINES } else { FileWriter::VERSION }
    }

    /// Keys that will be in it.
    pub fn keys(&self) -> u64 {
        self.databases.values().map(|keys| keys.keys).sum()
    }

    /// Makes the file and hands it to `sink`, piece by piece, with what was made so far. An error of the sink's ends it.
    pub fn write(&self, sink: &mut dyn FnMut(Vec<u8>, Exported) -> Result<()>) -> Result<Exported> {
        let created_s = (self.manifest.point.stamp_ms / 1000).to_string();
        let about = [
            ("redis-ver", version::REDIS_VERSION),
            ("redis-bits", "64"),
            ("ctime", &created_s),
            ("perdura-version", version::VERSION),
        ];
        let mut writer = FileWriter::new(self.version(), &about);
        let mut made = Exported::default();
        let limits = TypeLimits::default();
        load::visit_system(&self.records, &self.manifest, &limits, &mut |entry| {
            if let ValueRef::String(value) = entry.value()
                && let Some(code) = (self.library_code)(entry.key(), value)
            {
                writer.put_functions(&code);
            }
            Ok(())
        })?;
        load::visit(&self.records, &self.manifest, &limits, &mut |db, entry| {
            if writer.db() != Some(db) {
                let Keys { keys, with_deadline } = self.databases.get(&db).copied().unwrap_or_default();
                writer.select(db, keys, with_deadline);
            }
            writer.put(entry.key(), entry.value(), entry.deadline_ms());
            made.keys += 1;
            if writer.waiting_bytes() >= CHUNK_BYTES {
                let piece = writer.take();
                made.bytes += piece.len() as u64;
                sink(piece, made)?;
            }
            Ok(())
        })?;
        let rest = writer.end();
        made.bytes += rest.len() as u64;
        sink(rest, made)?;
        Ok(made)
    }

    /// How many bytes the file has: it is made for that.
    pub fn count_bytes(&self, go_on: &dyn Fn() -> Result<()>) -> Result<u64> {
        Ok(self.write(&mut |_, _| go_on())?.bytes)
    }
}
