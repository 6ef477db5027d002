//! What is wrong with a rule, in the words of redis-server.

use thiserror::Error;

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RuleError {
    #[error("Syntax error")]
    Syntax,
    #[error("Unknown command or category name in ACL")]
    UnknownCommand,
    #[error("Allowing first-arg of a subcommand is not supported")]
    FirstArgOfSubcommand,
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
    )]
    KeyAfterAll,
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
    )]
    ChannelAfterAll,
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
    )]
    PasswordHash,
    #[error("There are too many patterns")]
    TooManyPatterns,
}

/// Why a user's rules are refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SetUserError {
    #[error("ERR Error in ACL SETUSER modifier '{rule}': {error}")]
    Rule { rule: String, error: RuleError },
    #[error("ERR Unmatched parenthesis in acl selector starting at '{0}'.")]
    Unmatched(String),
    #[error("ERR these rules can't be written down as they were meant")]
    Ambiguous,
    #[error("ERR the user's rules would have more than {} bytes", super::MAX_RULES_BYTES)]
    TooLong,
}
