//! The process' memory: what the allocator handed out, and what the kernel sees.

use std::sync::atomic::{AtomicU64, Ordering};

use tikv_jemalloc_ctl::{epoch, stats};

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Handed out by the allocator and not given back.
    pub allocated: u64,
    /// In pages that the allocator holds for the above, packing lost included.
    pub active: u64,
    /// Resident, as the kernel counts it.
    pub resident: u64,
}

/// What is in use now. A number that can't be had is zero.
pub fn memory() -> Memory {
    let _ = epoch::advance();
    Memory {
        allocated: stats::allocated::read().unwrap_or_default() as u64,
        active: stats::active::read().unwrap_or_default() as u64,
        resident: resident().unwrap_or_default(),
    }
}

/// Raises `peak` to what is allocated now, and returns it.
pub(super) fn note_peak(peak: &AtomicU64) -> u64 {
    let allocated = memory().allocated;
    peak.fetch_max(allocated, Ordering::Relaxed).max(allocated)
}

fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
