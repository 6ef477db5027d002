//! The process' memory: what the allocator handed out, and what the kernel sees.

use std::sync::atomic::{AtomicU64, Ordering};

use tikv_jemalloc_ctl::{Access, AsName, epoch, stats};

use crate::memory::Usage;

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Handed out by the allocator and not given back. What threads' caches keep for their next requests is not among it.
    pub allocated: u64,
    /// In pages that the allocator holds for the above, packing lost included.
    pub active: u64,
    /// Resident, as the kernel counts it.
    pub resident: u64,
}

/// Free memory in the caches of all threads: up to some MB each, more with a thread's first requests.
const CACHED: &str = "stats.arenas.4096.tcache_bytes\0";

/// What is in use now. A number that can't be had is zero.
pub fn memory() -> Memory {
    let _ = epoch::advance();
    Memory {
        allocated: stats::allocated::read().unwrap_or_default().saturating_sub(cached()) as u64,
        active: stats::active::read().unwrap_or_default() as u64,
        resident: resident().unwrap_or_default(),
    }
}

fn cached() -> usize {
    CACHED.as_bytes().name().read().unwrap_or_default()
}

/// What the process needs of the machine now.
pub fn usage() -> Usage {
    let Memory { allocated, active, .. } = memory();
    let bytes = |read: Result<usize, _>| -> u64 { read.unwrap_or_default() as u64 };
    let allocators = bytes(stats::resident::read()).max(active);
    let [addresses, resident, shared] = statm().unwrap_or_default();
    // Of the allocator's own pages those without allocations in them can be had again.
    let others = resident.saturating_sub(shared).saturating_sub(allocators);
    let spare = bytes(stats::retained::read()) + (allocators - active);
    let pages = active + others;
    Usage { allocated, pages, addresses, spare_addresses: spare.min(addresses), ..Usage::default() }
}

/// Raises `peak` to what is allocated now, and returns it.
pub(super) fn note_peak(peak: &AtomicU64) -> u64 {
    let allocated = memory().allocated;
    peak.fetch_max(allocated, Ordering::Relaxed).max(allocated)
}

fn resident() -> Option<u64> {
    statm().map(|[_, resident, _]| resident)
}

/// Bytes of addresses, of resident pages, and of those that files back.
fn statm() -> Option<[u64; 3]> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split_whitespace().map_while(|pages| pages.parse::<u64>().ok());
    let mut bytes = || Some(pages.next()? * rustix::param::page_size() as u64);
    Some([bytes()?, bytes()?, bytes()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_part_of_what_is_used() {
        let usage = usage();
        assert!(usage.allocated > 0 && usage.pages >= usage.allocated && usage.addresses >= usage.pages);
        assert!(usage.spare_addresses <= usage.addresses);
    }
}
