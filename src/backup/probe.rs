//! Whether a place can be used: a small object is written, read back, and removed.

use bytes::Bytes;

use super::error::{BackupError, Damage, Result};
use super::names;
use super::store::{Store, Wanted};
use crate::env::{self, Clock};

/// Longer than what a link or a proxy in between keeps by accident.
const PROBE_BYTES: usize = 4096;

/// How long each step took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    pub write_ms: u64,
    pub read_ms: u64,
    pub remove_ms: u64,
}

/// Writes, reads and removes an object.
///
/// # Errors
/// Of the first step that fails. An object that can't be read back is damaged.
pub fn probe(store: &Store, clock: &Clock) -> Result<Probed> {
    let path = names::probe_path(env::random_seed());
    let bytes: Vec<u8> = (0..PROBE_BYTES / 8).flat_map(|_| env::random_seed().to_le_bytes()).collect();
    let began_ms = clock.monotonic_ms();
    store.put(&path, bytes.clone())?;
    let written_ms = clock.monotonic_ms();
    let read = store.get(&Wanted { name: path.clone(), most_bytes: PROBE_BYTES as u64 });
    let read_ms = clock.monotonic_ms();
    // What it holds does not matter any more.
    let removed = store.delete(&path);
    let compared = compare(&path, &bytes, read);
    removed.and(compared)?;
    let ended_ms = clock.monotonic_ms();
    Ok(Probed {
        write_ms: written_ms - began_ms,
        read_ms: read_ms - written_ms,
        remove_ms: ended_ms - read_ms,
    })
}

fn compare(path: &str, written: &[u8], read: Result<Option<Bytes>>) -> Result<()> {
    let damage = match read? {
        Some(read) if read == written => return Ok(()),
        Some(_) => Damage::content("it holds other bytes than were written a moment ago"),
        None => Damage::Missing,
    };
    Err(BackupError::damaged(path, damage))
}
