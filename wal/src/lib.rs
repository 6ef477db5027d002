//! The write-ahead log: bytes, indexes and terms on a disk that may lose power at any moment.
//!
//! - [`Wal`] stages records and commits everything staged with one write and one sync (group commit).
//! - What [`Wal::commit`] returned `Ok` for survives a crash; what it did not is cut or kept, as a whole.
//! - A failed write or sync poisons the log: every later call returns the same error, nothing is retried. A full disk is
//!   noticed before that by whoever asks for room ([`Wal::secure_room`]).
//! - [`Wal::open`] cuts a torn tail, which was never acknowledged, leaves out old segments that are damaged and that a checkpoint
//!   makes needless, and refuses anything else that is wrong.
//! - [`LogView`] and [`verify_folder`] look at a log that nobody has open, and change nothing.
//! - All access to files goes through [`Disk`]: [`RealDisk`], [`ReadOnlyDisk`] or the simulated [`SimDisk`].
//!
//! The byte layout is `docs/log-format.md` and [`mod@format`]; what is promised, and on which assumptions about
//! the disk, is `docs/durability.md`. The crate reads no clock and draws no random numbers.

#![deny(unsafe_code)]

mod batch;
pub mod disk;
mod error;
pub mod format;
mod index;
pub mod planted;
mod read;
mod recovery;
mod replay;
mod salvage;
mod segment;
mod spares;
mod verify;
mod view;
mod wal;

pub use disk::read_only::ReadOnlyDisk;
pub use disk::real::{RealDisk, SyncMode, create_folder};
pub use disk::sim::{SimDisk, Tear};
pub use disk::{Disk, DiskFile, ReadFailure};
pub use error::WalError;
pub use format::Fault;
pub use index::{HardState, Position};
pub use read::{OwnedRecord, Verified, verify_sealed};
pub use recovery::{LeftOut, Progress, Recovery, Sources, TornTail};
pub use salvage::{Salvage, Salvaged, sound_metadata};
pub use spares::Preparer;
pub use verify::{Verdict, verify_folder};
pub use view::{LogView, PlacedRecord, Prepared, SegmentView};
pub use wal::{CommitStats, MAX_BATCH_BYTES, MAX_METADATA_BYTES, Needed, NewLog, Options, Record, Wal};
