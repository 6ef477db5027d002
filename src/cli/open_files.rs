//! The operating system's limit of open files, which is what limits clients first.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no clients: segments, checkpoints, peers, scrapers.
const OTHER_FILES: u64 = 512;

/// Raises the limit for `clients` as far as it may be raised.
///
/// Returns how many clients fit: `clients`, or fewer where the hard limit is lower.
pub fn make_room_for(clients: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = clients.saturating_add(OTHER_FILES);
    let allowed = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= allowed {
        return fitting(clients, current);
    }
    let raised = Rlimit { current: Some(allowed), maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => fitting(clients, allowed),
        Err(_) => fitting(clients, current),
    }
}

fn fitting(clients: u64, open_files: u64) -> u64 {
    clients.min(open_files.saturating_sub(OTHER_FILES)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_fit_and_too_many_are_cut() {
        assert_eq!(fitting(10, 1024), 10);
        assert_eq!(fitting(10_000, 1024), 512);
        assert_eq!(fitting(10_000, 100), 1);
        assert_eq!(make_room_for(1), 1);
    }
}
