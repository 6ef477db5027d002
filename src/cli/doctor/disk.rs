//! The disk of the data folder, and the folder itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Finding;
use crate::cli::log::bytes_text;
use crate::data_folder;
use crate::sync_probe::{self, SyncTimes};

/// Above this 99th percentile writes are felt to be slow; above ten times that elections come of it.
const SLOW_US: u64 = 10_000;
/// No disk is that fast: nothing is synced at all.
const TOO_QUICK_US: u64 = 15;
/// Below this share of it the file system is nearly full.
const LOW_PERCENT: u64 = 5;

pub(super) fn look(dir: &Path) -> Vec<Finding> {
    let Some(place) = existing(dir) else {
        return vec![Finding::look("folder", format!("{}: no folder above it exists", dir.display()))];
    };
    let mut findings = vec![folder(dir)];
    findings.extend(space(&place));
    findings.extend(file_system(&place));
    findings.push(sync(&place));
    findings
}

/// The folder, or the nearest one above it that exists.
fn existing(dir: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(dir).ok()?;
    absolute.ancestors().find(|path| path.is_dir()).map(Path::to_owned)
}

fn folder(dir: &Path) -> Finding {
    let shown = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).display().to_string();
    let Ok(metadata) = fs::metadata(dir) else {
        return Finding::good("folder", format!("{shown} is not there; a start makes it"));
    };
    let mode = metadata.permissions().mode() & 0o777;
    let user = rustix::process::geteuid().as_raw();
    if mode & 0o077 != 0 {
        return Finding::look(
            "folder",
            format!("{shown}: other users may look into it ({mode:04o}): chmod -R go= {shown}"),
        );
    }
    if metadata.uid() != user && user != 0 {
        return Finding::look(
            "folder",
            format!("{shown} belongs to user {}, this is user {user}: run it as that user", metadata.uid()),
        );
    }
    if let Err(error) = data_folder::check_is_whole(dir) {
        return Finding::look("folder", error.to_string());
    }
    let set_aside = data_folder::set_aside(dir);
    if let [first, ..] = set_aside.as_slice() {
        let text = format!(
            "{} was set aside ({} in all): look at it, then remove it",
            first.display(),
            set_aside.len()
        );
        return Finding::look("folder", text);
    }
    Finding::good("folder", format!("{shown} is its owner's alone"))
}

fn space(place: &Path) -> Option<Finding> {
    let system = rustix::fs::statvfs(place).ok()?;
    let (free, total) =
        (system.f_bavail.saturating_mul(system.f_frsize), system.f_blocks.saturating_mul(system.f_frsize));
    let text = format!("{} of {} are free", bytes_text(free), bytes_text(total));
    Some(match free >= total / 100 * LOW_PERCENT {
        true => Finding::good("space", text),
        false => {
            Finding::look("space", format!("{text}: a full disk refuses writes; make space, or enlarge it"))
        }
    })
}

/// Kinds of file systems that keep nothing, or for which others answer.
fn file_system(place: &Path) -> Option<Finding> {
    const KINDS: [(i64, &str, &str); 5] = [
        (0x0102_1994, "tmpfs", "it is gone with the machine"),
        (0x794c_7630, "overlayfs", "it goes with its container: mount a volume"),
        (0x6969, "NFS", "a lock or a sync is as good as its server"),
        (0xff53_4d42, "CIFS", "a lock or a sync is as good as its server"),
        (0x6573_5546, "FUSE", "a sync is as good as the program that serves it"),
    ];
    let kind = rustix::fs::statfs(place).ok()?.f_type as i64;
    let (_, name, why) = KINDS.into_iter().find(|(number, ..)| *number == kind)?;
    Some(Finding::look("file-system", format!("the data folder is on {name}: {why}")))
}

/// How long the disk takes to have a small write for good.
fn sync(place: &Path) -> Finding {
    let SyncTimes { writes, p50_us: p50, p99_us: p99 } = match sync_probe::measure(place) {
        Ok(times) => times,
        Err(error) => {
            return Finding::look(
                "sync",
                format!("{}: no file can be written there: {error}", place.display()),
            );
        }
    };
    let ms = |us: u64| us as f64 / 1000.0;
    let text = format!(
        "a write of 4 KiB is on the disk after {:.2} ms (median of {}), {:.2} ms (p99)",
        ms(p50),
        writes,
        ms(p99)
    );
    if p50 < TOO_QUICK_US {
        return Finding::look(
            "sync",
            format!("{text}: no disk is that fast, so nothing is synced; what is acknowledged may be lost"),
        );
    }
    if p99 > SLOW_US {
        return Finding::look(
            "sync",
            format!(
                "{text}: every write waits for that; find out what else uses this disk, or take a faster one"
            ),
        );
    }
    Finding::good("sync", text)
}
