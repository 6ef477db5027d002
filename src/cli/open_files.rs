//! The operating system's limit of open files, which is what limits clients first.
//!
//! Some are kept for the log and for peers: no number of clients takes them. A client of a group has two, its own connection and that on
//! which a replica sends its commands to the primary.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no clients: segments, checkpoints, peers, scrapers.
const OTHER_FILES: u64 = 512;

/// Raises the limit for `clients`, which take `each` files, as far as it may be raised.
///
/// Returns how many clients fit: `clients`, or fewer where the hard limit is lower.
pub fn make_room_for(clients: u64, each: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = clients.saturating_mul(each).saturating_add(OTHER_FILES);
    let allowed = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= allowed {
        return fitting(clients, each, current);
    }
    let raised = Rlimit { current: Some(allowed), maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => fitting(clients, each, allowed),
        Err(_) => fitting(clients, each, current),
    }
}

fn fitting(clients: u64, each: u64, open_files: u64) -> u64 {
    clients.min(open_files.saturating_sub(OTHER_FILES) / each).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_fit_and_too_many_are_cut() {
        assert_eq!(fitting(10, 1, 1024), 10);
        assert_eq!(fitting(10_000, 1, 1024), 512);
        assert_eq!(fitting(10_000, 2, 1024), 256);
        assert_eq!(fitting(10_000, 1, 100), 1);
        assert_eq!(make_room_for(1, 2), 1);
    }
}
