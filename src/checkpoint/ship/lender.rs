//! Answers from a shelf.
//!
//! - A checkpoint that is asked for is lent: its files get second names in a folder of their own, so that removing the
//!   checkpoint does not take them away. It is taken back when nobody has asked for [`KEPT_MS`].
//! - A few checkpoints are lent at a time, each with one open file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};

use super::{Ask, Lend, MANIFEST_FILE, MAX_PIECE_BYTES, Piece};
use crate::checkpoint::error::{CheckpointError, Result};
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::shelf::{Shelf, remove_folder};

/// How long after the last ask a checkpoint stays lent.
pub const KEPT_MS: u64 = 60_000;
const MAX_LENT: usize = 4;
const BORROWER: &str = "peers";

#[derive(Debug)]
pub struct Lender {
    shelf: Shelf,
    lent: Vec<Lent>,
}

#[derive(Debug)]
struct Lent {
    manifest: Manifest,
    manifest_bytes: Bytes,
    folder: PathBuf,
    /// The file that was read last, by its number.
    open: Option<(u32, File)>,
    asked_ms: u64,
}

impl Lender {
    pub fn new(shelf: Shelf) -> Lender {
        Lender { shelf, lent: Vec::new() }
    }

    /// Lends a checkpoint if it is not lent already; `None` if it is not there, or too many are lent.
    fn find(&mut self, index: u64, now_ms: u64) -> Result<Option<&mut Lent>> {
        let known = self.lent.iter().position(|lent| lent.manifest.point.index == index);
        let place = match known {
            Some(place) => place,
            None if self.lent.len() == MAX_LENT => return Ok(None),
            None => match self.shelf.lend(index, BORROWER) {
                Ok((folder, manifest)) => {
                    let manifest_bytes = manifest.encode().into();
                    self.lent.push(Lent { manifest, manifest_bytes, folder, open: None, asked_ms: now_ms });
                    self.lent.len() - 1
                }
                Err(CheckpointError::NoSuch { .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        self.lent[place].asked_ms = now_ms;
        Ok(Some(&mut self.lent[place]))
    }
}

impl Lend for Lender {
    fn read(&mut self, ask: Ask, now_ms: u64) -> Result<Option<Piece>> {
        self.take_back(now_ms);
        match self.find(ask.index, now_ms)? {
            Some(lent) => lent.read(ask),
            None => Ok(None),
        }
    }

    fn oldest(&self) -> Option<u64> {
        self.lent.iter().map(|lent| lent.manifest.point.index).min()
    }

    fn take_back(&mut self, now_ms: u64) {
        for lent in self.lent.extract_if(.., |lent| now_ms >= lent.asked_ms + KEPT_MS) {
            if let Err(error) = remove_folder(&lent.folder) {
                tracing::warn!(%error, "a checkpoint that was lent can't be removed; the next start does");
            }
        }
    }
}

impl Lent {
    fn read(&mut self, ask: Ask) -> Result<Option<Piece>> {
        let Ask { index, file, offset, length } = ask;
        let total = match file {
            MANIFEST_FILE => self.manifest_bytes.len() as u64,
            file => match self.manifest.files.get(file as usize - 1) {
                Some(file) => file.bytes,
                None => return Ok(None),
            },
        };
        let length = total.saturating_sub(offset).min(u64::from(length.min(MAX_PIECE_BYTES)));
        let bytes = match file {
            _ if length == 0 => Bytes::new(),
            MANIFEST_FILE => self.manifest_bytes.slice(offset as usize..(offset + length) as usize),
            file => self.read_file(file, offset, length as usize)?,
        };
        Ok(Some(Piece { index, file, offset, total, bytes }))
    }

    fn read_file(&mut self, file: u32, offset: u64, length: usize) -> Result<Bytes> {
        let path = self.folder.join(&self.manifest.files[file as usize - 1].name);
        if self.open.as_ref().is_none_or(|(open, _)| *open != file) {
            let opened = File::open(&path).map_err(CheckpointError::io("open", &path))?;
            self.open = Some((file, opened));
        }
        let mut bytes = BytesMut::zeroed(length);
        if let Some((_, opened)) = &self.open {
            opened.read_exact_at(&mut bytes, offset).map_err(CheckpointError::io("read", &path))?;
        }
        Ok(bytes.freeze())
    }
}
