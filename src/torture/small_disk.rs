//! A small file system under one node, so that its disk can be full without anybody else's being full.
//!
//! - An ext4 image in the run's folder, mounted through a loop device: the node's writes still end on the disk under test.
//!   The image is sparse and takes only what is written.
//! - It takes root, `mkfs.ext4` and loop devices. Where they are not to be had, [`SmallDisk::mount`] says what is missing, and
//!   the fault is reported as skipped.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

const IMAGE_BYTES: u64 = 2 << 30;
const BALLAST: &str = "ballast";

/// A mounted image; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    mounted_at: PathBuf,
}

impl SmallDisk {
    /// Makes the image `at`.img and mounts it at `at`.
    ///
    /// # Errors
    /// What is missing.
    pub fn mount(at: &Path) -> io::Result<SmallDisk> {
        let image = at.with_extension("img");
        std::fs::create_dir_all(at)?;
        File::create_new(&image)?.set_len(IMAGE_BYTES)?;
        let mounted = run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))
            .and_then(|()| run(Command::new("mount").args(["-o", "loop,noatime"]).arg(&image).arg(at)));
        if let Err(error) = mounted {
            std::fs::remove_file(&image)?;
            return Err(error);
        }
        Ok(SmallDisk { mounted_at: at.to_owned() })
    }

    /// Takes all the room there is.
    pub fn fill(&self) -> io::Result<()> {
        let ballast = File::create(self.mounted_at.join(BALLAST))?;
        let mut taken = 0;
        // What is left over after each try is taken in smaller pieces.
        loop {
            let room = statvfs(&self.mounted_at)?;
            let free = room.f_bavail * room.f_frsize;
            if free == 0 || fallocate(&ballast, FallocateFlags::empty(), taken, free).is_err() {
                return Ok(());
            }
            taken += free;
        }
    }

    /// Gives the room back.
    pub fn drain(&self) -> io::Result<()> {
        std::fs::remove_file(self.mounted_at.join(BALLAST))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg("-l").arg(&self.mounted_at)) {
            tracing::warn!(%error, "the small disk stays mounted at {}", self.mounted_at.display());
        }
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| named(&name, &error))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(named(&name, &said.lines().next().unwrap_or("it failed")))
        }
    }
}

fn named(name: &str, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{name}: {error}"))
}
