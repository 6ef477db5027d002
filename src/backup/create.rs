//! A backup all at once: the newest checkpoint, and the log as far as it is committed.

use super::checkpoint::{Stored, Storing};
use super::error::{BackupError, Result};
use super::repository::Repository;
use super::ship::{Shipper, Source, fill_gaps};
use crate::env::Clock;

/// What was stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// The source's newest checkpoint, with what it took.
    pub checkpoint: Option<Stored>,
    /// Entries that the repository had, and has.
    pub index_before: u64,
    pub index: u64,
    pub log_bytes: u64,
}

/// Brings a repository up to date. `progress` hears of bytes of the checkpoint, so far and in all.
pub fn create(
    repository: &Repository,
    source: &mut dyn Source,
    clock: &Clock,
    mut progress: impl FnMut(u64, u64),
) -> Result<Created> {
    let mut created = Created::default();
    if let Some(lent) = source.newest_checkpoint()? {
        let (mut done, all) = (0, lent.manifest.bytes());
        let mut between = |bytes| {
            done += bytes;
            progress(done, all);
            Ok(())
        };
        let mut storing = Storing { repository, clock, bytes_per_second: 0, between: &mut between };
        // A history that has parted from the repository's is found before anything is stored.
        Shipper::resume(repository, source)?;
        created.checkpoint = Some(storing.store(&lent)?);
    }
    let Some(mut shipper) = Shipper::resume(repository, source)? else {
        let first_index = source.read(1, 1)?.first_index;
        return Err(BackupError::Gap { next: repository.inventory()?.last_index() + 1, first_index });
    };
    created.index_before = shipper.shipped_index();
    let (_, bytes) = shipper.catch_up(repository, source)?;
    created.log_bytes = bytes + shipper.flush(repository)?;
    created.log_bytes += fill_gaps(repository, source)?;
    created.index = shipper.shipped_index();
    Ok(created)
}
