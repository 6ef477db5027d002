//! How long the disk under a folder takes to have a small write for good: what an unloaded SET waits for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;

use crate::env::Clock;

/// Writes that are measured, and how long that may take.
const WRITES: usize = 200;
const LIMIT_US: u64 = 3_000_000;
const WRITE_BYTES: usize = 4096;

/// Of all that were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SyncTimes {
    pub writes: usize,
    pub p50_us: u64,
    pub p99_us: u64,
}

/// Measures in a new file, of which nothing is left behind.
pub fn measure(folder: &Path) -> io::Result<SyncTimes> {
    let clock = Clock::system();
    let now_us = || clock.monotonic_ns() / 1000;
    let mut file = nameless(folder)?;
    let began_us = now_us();
    let mut took_us = Vec::new();
    while took_us.is_empty() || took_us.len() < WRITES && now_us() - began_us < LIMIT_US {
        let before_us = now_us();
        file.write_all(&[0x5a; WRITE_BYTES])?;
        took_us.push(now_us() - before_us);
    }
    took_us.sort_unstable();
    let writes = took_us.len();
    Ok(SyncTimes { writes, p50_us: took_us[writes / 2], p99_us: took_us[writes * 99 / 100] })
}

/// A file whose every write is synced, and whose name is gone already: it goes with the process, whatever comes.
fn nameless(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!(".perdura-probe-{}", std::process::id()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .custom_flags(libc::O_DSYNC)
        .mode(0o600)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let times = measure(dir.path()).expect("it can be written to");
        assert!(times.writes > 0 && times.p50_us <= times.p99_us, "{times:?}");
        assert_eq!(fs::read_dir(dir.path()).expect("it is there").count(), 0);
        assert!(measure(&dir.path().join("nothing")).is_err());
    }
}
