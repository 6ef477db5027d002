//! How far a log may be cut, and for whose sake no further.
//!
//! - Never beyond the oldest checkpoint that is kept, so that each of them can be started from; nor beyond one that somebody is
//!   fetching.
//! - What stays beyond that is for followers that were away, or for people who want to look.

use perdura_wal::{Disk, RealDisk};

use super::ServerError;
use crate::env::Now;
use crate::raft::storage::LogStorage;
use crate::shard::log_cuts::{Cut, CutOrder};
use crate::shard::turn::Shard;

/// The last entry that may go, and what keeps those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    pub index: u64,
    pub holder: &'static str,
}

/// Cuts the log as far as the floors allow, or only says how far that is.
///
/// # Errors
/// The log could not be cut: the node has to end.
pub fn cut(
    shard: &mut Shard<RealDisk>,
    order: CutOrder,
    oldest_checkpoint: u64,
    mut floors: Vec<Floor>,
    now: Now,
) -> Result<Cut, ServerError> {
    if let Some(keep_ms) = order.keep_ms {
        let before_ms = now.unix_ms.saturating_sub_unsigned(keep_ms);
        let index = last_before(shard.node().storage(), shard.machine().applied, before_ms)?;
        floors.push(Floor { index, holder: "keep-time" });
    }
    let lowest = floors.iter().min_by_key(|floor| floor.index).copied();
    let floor = lowest.unwrap_or(Floor { index: 0, holder: "checkpoint" });
    assert!(floor.index <= oldest_checkpoint, "each checkpoint that is kept can be started from");
    let storage = shard.node().storage();
    let (first_index_before, last_index) = (storage.first_entry(), storage.last_entry());
    let mut cut = Cut {
        first_index_before,
        first_index: first_index_before.max(floor.index + 1),
        last_index,
        oldest_checkpoint: (oldest_checkpoint > 0).then_some(oldest_checkpoint),
        freed_bytes: bytes_up_to(storage, floor.index),
        kept_by: floor.holder,
    };
    if !order.dry_run && cut.first_index > first_index_before {
        shard.compact_log(floor.index)?;
        if shard.node().storage().first_entry() == first_index_before {
            (cut.first_index, cut.freed_bytes, cut.kept_by) = (first_index_before, 0, "full-disk");
        }
    }
    Ok(cut)
}

/// Bytes of the full segments that hold no entry behind `index`.
fn bytes_up_to<D: Disk>(storage: &LogStorage<D>, index: u64) -> u64 {
    let segments: Vec<_> = storage.wal().segments().collect();
    let full = segments.iter().take(segments.len().saturating_sub(1));
    let goes = full.take_while(|segment| segment.entries.is_none_or(|(_, last)| last <= index));
    goes.map(|segment| segment.file_bytes).sum()
}

/// The last entry, of those up to `applied`, that is older than this; the entry before the first if none is. Stamps never go
/// back.
fn last_before<D: Disk>(storage: &LogStorage<D>, applied: u64, before_ms: i64) -> Result<u64, ServerError> {
    let (mut low, mut high) = (storage.first_entry(), applied + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if storage.stamp_from(middle, applied)?.is_some_and(|stamp_ms| stamp_ms < before_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low - 1)
}
