//! Which program this is.

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of Redis whose commands, replies and errors these are: clients choose by it what they send.
pub const REDIS_VERSION: &str = "7.4.0";

/// The commit that it was built from; `debug` in a build for tests, `unknown` where there was no repository.
pub const COMMIT: &str = env!("PERDURA_COMMIT");

/// Both, as people read them.
pub const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PERDURA_COMMIT"), ")");

/// What `perdura --version` says: both, and the numbers that tell which programs and data folders go together (docs/operations.md, Upgrade).
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("PERDURA_COMMIT"),
    ")\n",
    "peer protocol 6; log 1, entries 1, checkpoints 4, backups 2"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backup, checkpoint, propose, raft};

    #[test]
    fn long_version_tells_the_numbers_of_this_program() {
        let numbers = format!(
            "peer protocol {}; log {}, entries {}, checkpoints {}, backups {}",
            raft::hello::PROTOCOL_VERSION,
            perdura_wal::format::VERSION,
            propose::entry::VERSION,
            checkpoint::manifest::VERSION,
            backup::header::VERSION,
        );
        assert_eq!(LONG.lines().nth(1), Some(numbers.as_str()));
        assert_eq!(LONG.lines().next(), Some(TEXT));
    }
}
