//! How far a node may compact its log, and what keeps the rest.
//!
//! - Never beyond the oldest checkpoint that is kept, so that the node can start from each of them; nor beyond a checkpoint that a
//!   follower is fetching.
//! - In a group, `log-keep-bytes` more stay for followers that were away, and four times as much while the leader sends a follower
//!   the log: a follower that lags further is sent a checkpoint. Every node keeps as much, because each may have to lead.
//! - What backups have not shipped stays, up to `backup-log-keep-bytes`.

use std::sync::Arc;

use perdura_wal::Disk;

use super::ServerError;
use crate::checkpoint::transfers::Transfers;
use crate::env::Now;
use crate::persistence::backups::BackupStatus;
use crate::raft::storage::LogStorage;
use crate::shard::log_cuts::{Cut, CutOrder};
use crate::shard::turn::Shard;

/// How many times `log-keep-bytes` stay while a follower is sent the log.
const MORE_FOR_FOLLOWERS: u64 = 4;

/// The last entry that may go, and what keeps the entries after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    pub index: u64,
    pub holder: &'static str,
}

/// What needs entries of the log that checkpoints no longer need.
pub struct Keepers {
    transfers: Arc<Transfers>,
    backup: Arc<BackupStatus>,
    /// Bytes of the log that stay for followers that were away.
    keep_bytes: u64,
}

impl Keepers {
    pub fn new(transfers: Arc<Transfers>, backup: Arc<BackupStatus>, keep_bytes: u64) -> Keepers {
        Keepers { transfers, backup, keep_bytes }
    }

    /// All floors of the log; the lowest holds. `keep_bytes` replaces the setting if an operator names it.
    pub fn floors<D: Disk>(
        &self,
        shard: &Shard<D>,
        oldest_checkpoint: u64,
        keep_bytes: Option<u64>,
    ) -> [Floor; 5] {
        let keep_bytes = keep_bytes.unwrap_or(self.keep_bytes);
        let lent = self.transfers.oldest_lent().unwrap_or(u64::MAX);
        let storage = shard.node().storage();
        let beyond = storage.compactable_beyond(keep_bytes);
        let bound = storage.compactable_beyond(keep_bytes.saturating_mul(MORE_FOR_FOLLOWERS));
        [
            Floor { index: oldest_checkpoint, holder: "checkpoint" },
            Floor { index: lent, holder: "transfer" },
            Floor { index: beyond, holder: "keep-bytes" },
            Floor { index: shard.node().followed_from().max(bound), holder: "follower" },
            Floor { index: self.backed_up(storage), holder: "backup" },
        ]
    }

    /// The last entry that backups no longer need: what is shipped, or more where the log would grow beyond its bound.
    fn backed_up<D: Disk>(&self, storage: &LogStorage<D>) -> u64 {
        let Some((shipped, keep_bytes)) = self.backup.keeps() else { return u64::MAX };
        let bound = storage.compactable_beyond(keep_bytes);
        if bound > shipped {
            tracing::warn!(
                shipped,
                bound,
                "the log is kept no longer for the backup, which lags too far (backup-log-keep-bytes)"
            );
        }
        shipped.max(bound)
    }
}

/// Cuts the log as far as the floors allow, or only says how far that is.
///
/// # Errors
/// The log could not be cut: the node has to end.
pub fn cut<D: Disk>(
    shard: &mut Shard<D>,
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

/// Bytes of the full segments that hold no entry after `index`.
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
