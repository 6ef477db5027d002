//! Checkpoints on their way from one node to another.
//!
//! - Whoever lacks a checkpoint asks for its files piece by piece, the manifest first: a [`Fetch`] decides what to ask for and
//!   when, a [`Dock`] puts the pieces together and publishes them, a [`Lend`] answers on the other side.
//! - Asking sets the pace and survives everything: a lost ask or piece is asked for again, a file that is complete is never
//!   fetched twice, and one that this node has in another checkpoint is not fetched at all.
//! - Nothing is believed that was not proven: pieces carry checksums, files are compared with the manifest, the manifest with
//!   its own, and a checkpoint is published only when all of it is right.
//! - No names of files travel: a file is called by its place in the manifest.
//!
//! | file | subject |
//! |---|---|
//! | `fetch` | what to ask for, and when |
//! | `folder` | a dock on disk |
//! | `lender` | answers from a shelf |
//! | `memory` | both in memory, for simulations |

pub mod fetch;
pub mod folder;
pub mod lender;
pub mod memory;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::error::Result;
use super::manifest::{FileSum, Manifest};

pub use fetch::{Fetch, Pace, Progress, Wanted};

/// The longest piece.
pub const MAX_PIECE_BYTES: u32 = 256 << 10;
/// The file number of the manifest; the n-th file that it names has number n.
pub const MANIFEST_FILE: u32 = 0;

/// Asks for a piece of a published checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The checkpoint.
    pub index: u64,
    pub file: u32,
    pub offset: u64,
    /// At most [`MAX_PIECE_BYTES`].
    pub length: u32,
}

/// Bytes of a file, shorter than asked for only where the file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub index: u64,
    pub file: u32,
    pub offset: u64,
    /// Length of the whole file.
    pub total: u64,
    pub bytes: Bytes,
}

/// What two nodes say to each other about a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shipment {
    Ask(Ask),
    Piece(Piece),
    /// There is no such checkpoint here, or not any more.
    Gone {
        index: u64,
    },
}

/// Where fetched files are put together.
pub trait Dock {
    /// Begins with a checkpoint, or goes on with it. Says of each file of the manifest whether it is there already.
    fn begin(&mut self, manifest: &Manifest) -> Result<Vec<bool>>;

    /// Writes a part of a file.
    fn write(&mut self, file: &FileSum, offset: u64, bytes: &[u8]) -> Result<()>;

    /// All of a file is written. False if it is not what the manifest says: it is gone then.
    fn complete(&mut self, file: &FileSum) -> Result<bool>;

    /// Everything is there: publishes it, durably.
    fn publish(&mut self, manifest: &Manifest) -> Result<()>;
}

/// Where pieces of published checkpoints come from.
pub trait Lend {
    /// A piece; `None` if there is no such checkpoint or file. A checkpoint of which pieces were read stays readable for a
    /// while, whatever becomes of it.
    fn read(&mut self, ask: Ask, now_ms: u64) -> Result<Option<Piece>>;

    /// The oldest checkpoint that is lent: another node is fetching it.
    fn oldest(&self) -> Option<u64>;

    /// Ends the loan of checkpoints that were not read for long enough.
    fn take_back(&mut self, now_ms: u64);
}

/// Answers an ask.
pub fn answer(lend: &mut impl Lend, ask: Ask, now_ms: u64) -> Shipment {
    match lend.read(ask, now_ms) {
        Ok(Some(piece)) => Shipment::Piece(piece),
        Ok(None) => Shipment::Gone { index: ask.index },
        Err(error) => {
            tracing::warn!(%error, index = ask.index, "a checkpoint can't be sent");
            Shipment::Gone { index: ask.index }
        }
    }
}
