//! What a command answers when it can't do what it was asked. An error is decided before anything is changed.

use std::borrow::Cow;

use thiserror::Error;

/// A command's error; its text is the reply, code first. The texts are Redis's own, for clients match on them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR value is not a valid float")]
    NotFloat,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR index out of range")]
    IndexOutOfRange,
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(Cow<'static, str>),
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    #[error("ERR DB index is out of range")]
    DatabaseOutOfRange,
    #[error("ERR invalid cursor")]
    InvalidCursor,
    /// Any other text, with its code.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl CommandError {
    /// The error's code: the first word of its text.
    pub fn code(&self) -> String {
        self.to_string().split(' ').next().unwrap_or_default().to_owned()
    }

    /// An error of any text; `text` starts with its code.
    pub fn other(text: impl Into<Cow<'static, str>>) -> Self {
        CommandError::Other(text.into())
    }
}

pub type CommandResult = Result<(), CommandError>;
