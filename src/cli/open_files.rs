//! The operating system's limit of open files, which is what limits clients first.
//!
//! Some are kept for the log and for peers: no number of clients takes them. A client of a group has two, its own connection and that on
//! which a replica sends its commands to the primary.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no clients: segments, checkpoints, peers, scrapers.
const OTHER_FILES: u64 = 512;
/// With room for fewer clients, and fewer than it is to serve, a node does not start.
const LEAST_CLIENTS: u64 = 64;

/// The limit is so low that a node would be of no use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the limit of open files is {limit}: the log, checkpoints and peers take {OTHER_FILES}, and {clients} clients {each} each. \
     Raise it to {needed} or more (ulimit -n, LimitNOFILE=)"
)]
pub struct TooFewFiles {
    limit: u64,
    clients: u64,
    each: u64,
    needed: u64,
}

/// The default of --maxclients.
pub const USUAL_CLIENTS: u64 = 10_000;

/// Files that this number of clients may need, which take `each`.
pub fn wanted(clients: u64, each: u64) -> u64 {
    clients.saturating_mul(each).saturating_add(OTHER_FILES)
}

/// Raises the limit for `clients`, which take `each` files, as far as it may be raised.
///
/// Returns how many clients fit: `clients`, or fewer where the hard limit is lower.
///
/// # Errors
/// Hardly any client fits.
pub fn make_room_for(clients: u64, each: u64) -> Result<u64, TooFewFiles> {
    let limit = raise_limit(clients, each);
    let fitting = fitting(clients, each, limit);
    let least = clients.min(LEAST_CLIENTS);
    if fitting < least {
        return Err(TooFewFiles { limit, clients: least, each, needed: OTHER_FILES + least * each });
    }
    Ok(fitting)
}

/// Returns the limit as it is then.
fn raise_limit(clients: u64, each: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let allowed = wanted(clients, each).min(limit.maximum.unwrap_or(u64::MAX));
    let current = limit.current.unwrap_or(u64::MAX);
    let raised = Rlimit { current: Some(allowed), maximum: limit.maximum };
    match current < allowed && setrlimit(Resource::Nofile, raised).is_ok() {
        true => allowed,
        false => current,
    }
}

fn fitting(clients: u64, each: u64, open_files: u64) -> u64 {
    clients.min(open_files.saturating_sub(OTHER_FILES) / each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_fit_and_too_many_are_cut() {
        assert_eq!(fitting(10, 1, 1024), 10);
        assert_eq!(fitting(10_000, 1, 1024), 512);
        assert_eq!(fitting(10_000, 2, 1024), 256);
        assert_eq!(fitting(10_000, 1, 100), 0);
        assert_eq!(make_room_for(1, 2), Ok(1));
    }
}
