//! Writes a file: its bytes gather here until they are taken.

use super::super::CRC;
use super::super::save::{kind_of, write_content};
use super::super::string::{write_length, write_string};
use super::opcode;
use crate::keyspace::value::ValueRef;

type Crc = crc::Digest<'static, u64, crc::Table<16>>;

/// See the module.
pub struct FileWriter {
    out: Vec<u8>,
    crc: Crc,
    db: Option<usize>,
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter").field("waiting_bytes", &self.out.len()).finish_non_exhaustive()
    }
}

impl FileWriter {
    /// The version that has every value but hashes whose fields have deadlines: Redis 7.0 reads it.
    pub const VERSION: u16 = 10;
    /// The version that has those as well: Redis 7.4 reads it.
    pub const VERSION_WITH_FIELD_DEADLINES: u16 = 12;

    /// Begins a file; `about` are names and values that say something about it.
    pub fn new(version: u16, about: &[(&str, &str)]) -> FileWriter {
        let mut out = format!("REDIS{version:04}").into_bytes();
        for (name, value) in about {
            out.push(opcode::AUX);
            write_string(&mut out, name.as_bytes());
            write_string(&mut out, value.as_bytes());
        }
        FileWriter { out, crc: CRC.digest(), db: None }
    }

    /// How many bytes wait to be taken.
    pub fn waiting_bytes(&self) -> usize {
        self.out.len()
    }

    /// Takes what was written so far.
    pub fn take(&mut self) -> Vec<u8> {
        self.crc.update(&self.out);
        std::mem::take(&mut self.out)
    }

    /// A library of functions; they come before the databases.
    pub fn put_functions(&mut self, code: &[u8]) {
        self.out.push(opcode::FUNCTION);
        write_string(&mut self.out, code);
    }

    /// A database begins, with so many keys, and so many of them that have deadlines.
    pub fn select(&mut self, db: usize, keys: u64, deadlines: u64) {
        self.db = Some(db);
        self.out.push(opcode::SELECT_DB);
        write_length(&mut self.out, db as u64);
        self.out.push(opcode::RESIZE_DB);
        write_length(&mut self.out, keys);
        write_length(&mut self.out, deadlines);
    }

    /// The database that was selected last.
    pub fn db(&self) -> Option<usize> {
        self.db
    }

    pub fn put(&mut self, key: &[u8], value: ValueRef<'_>, deadline_ms: Option<i64>) {
        if let Some(deadline_ms) = deadline_ms {
            self.out.push(opcode::DEADLINE_MS);
            self.out.extend_from_slice(&deadline_ms.to_le_bytes());
        }
        self.out.push(kind_of(value));
        write_string(&mut self.out, key);
        write_content(&mut self.out, value, usize::MAX);
    }

    /// Ends the file; returns the rest of it.
    pub fn end(mut self) -> Vec<u8> {
        self.out.push(opcode::END);
        let mut rest = self.take();
        rest.extend_from_slice(&self.crc.finalize().to_le_bytes());
        rest
    }
}
