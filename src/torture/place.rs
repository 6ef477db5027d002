//! Where a run took place: what a reader needs to compare its figures with another's, or to repeat it.

use std::path::Path;

use serde::Serialize;

use crate::memory;
use crate::sync_probe::{self, SyncTimes};

/// See the module. What can't be found out is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    pub processor: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    /// Of the disk under the run's folder, before the load began.
    pub sync: Option<SyncTimes>,
}

impl Place {
    /// This machine, and the disk under `dir`.
    pub fn of(dir: &Path) -> Place {
        let name = rustix::system::uname();
        Place {
            processor: processor().unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory::total_bytes(),
            kernel: format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()),
            sync: sync_probe::measure(dir).ok(),
        }
    }
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
