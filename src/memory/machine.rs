//! What the machine lets a process have: memory of the machine or of its control group, and addresses.
//!
//! Source: `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst` of Linux, `getrlimit(2)`.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// A limit that ends a process which passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineLimit {
    pub bytes: u64,
    /// What it is, for messages.
    pub name: &'static str,
    /// It limits addresses, not memory in use.
    pub counts_addresses: bool,
}

/// The limits of this process.
pub fn machine_limits() -> impl Iterator<Item = MachineLimit> {
    let own = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_limit(Path::new(CGROUP_ROOT), &own);
    let (bytes, name) = match total_bytes() {
        0 => (group, "the control group's memory"),
        total if group.is_some_and(|group| group < total) => (group, "the control group's memory"),
        total => (Some(total), "the machine's memory"),
    };
    let memory = bytes.map(|bytes| MachineLimit { bytes, name, counts_addresses: false });
    let addresses = getrlimit(Resource::As).current;
    let addresses = addresses.map(|bytes| MachineLimit { bytes, name: "RLIMIT_AS", counts_addresses: true });
    memory.into_iter().chain(addresses)
}

/// The machine's memory in bytes; zero where the kernel does not tell.
pub fn total_bytes() -> u64 {
    let meminfo = read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
    kib.map_or(0, |kib: u64| kib * 1024)
}

/// The lowest limit of the control groups that a process is in; `own` is its `/proc/self/cgroup`. A group limits the groups below it.
fn group_limit(root: &Path, own: &str) -> Option<u64> {
    own.lines().filter_map(|line| memory_group(root, line)).filter_map(lowest_limit).min()
}

struct MemoryGroup {
    root: PathBuf,
    /// Without a leading slash.
    path: PathBuf,
    file: &'static str,
}

/// A line is `0::/path` for version 2, `N:controller,…:/path` for version 1.
fn memory_group(root: &Path, line: &str) -> Option<MemoryGroup> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let path = PathBuf::from(path.trim_start_matches('/'));
    if number == "0" && controllers.is_empty() {
        return Some(MemoryGroup { root: root.to_owned(), path, file: "memory.max" });
    }
    let counts_memory = controllers.split(',').any(|controller| controller == "memory");
    counts_memory.then(|| MemoryGroup { root: root.join("memory"), path, file: "memory.limit_in_bytes" })
}

/// In a container the path may not be there, but the container's own group is at the root.
fn lowest_limit(group: MemoryGroup) -> Option<u64> {
    let limits = group.path.ancestors().filter_map(|path| {
        let text = read_to_string(group.root.join(path).join(group.file)).ok()?;
        // Version 2 says "max" for no limit, version 1 a number that no machine has.
        text.trim().parse().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};

    use super::*;

    #[test]
    fn the_lowest_limit_on_the_way_up_holds() {
        let root = tempfile::tempdir().expect("a folder");
        let groups = [("a/b", "max\n"), ("a", "1000\n"), ("", "5000\n"), ("other", "1\n")];
        for (path, limit) in groups {
            create_dir_all(root.path().join(path)).expect("a folder");
            write(root.path().join(path).join("memory.max"), limit).expect("a file");
        }
        assert_eq!(group_limit(root.path(), "0::/a/b\n"), Some(1000));
        assert_eq!(group_limit(root.path(), "0::/not/here\n"), Some(5000));
        assert_eq!(group_limit(root.path(), ""), None);
    }

    #[test]
    fn version_1_is_understood() {
        let root = tempfile::tempdir().expect("a folder");
        create_dir_all(root.path().join("memory/x")).expect("a folder");
        write(root.path().join("memory/x/memory.limit_in_bytes"), "777\n").expect("a file");
        assert_eq!(group_limit(root.path(), "3:cpu,cpuacct:/x\n5:memory:/x\n"), Some(777));
        assert_eq!(group_limit(root.path(), "3:cpu:/x\n0::/\n"), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(total_bytes() > 1 << 20);
        assert!(machine_limits().next().is_some_and(|limit| limit.bytes > 1 << 20));
    }
}
