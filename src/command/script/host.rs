//! What a script runs its commands on.

use std::borrow::Cow;

use crate::protocol::reply::Resp;

/// Redis' texts.
pub const UNKNOWN_COMMAND: &str = "ERR Unknown Redis command called from script";
pub const WRONG_ARITY: &str = "ERR Wrong number of args calling Redis command from script";
pub const NOT_ALLOWED: &str = "ERR This Redis command is not allowed from script";
pub const READ_ONLY: &str = "ERR Write commands are not allowed from read-only scripts.";

/// Why a script may not go on. What it changed is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Steps,
    /// Of the script itself.
    Memory,
    /// Of what it writes.
    Growth,
    /// Of a command's reply.
    Reply,
}

impl Over {
    /// The error that its client is answered.
    pub fn text(self) -> String {
        use super::{ARENA_BYTES, MAX_GROWTH_BYTES, MAX_REPLY_BYTES, SCRIPT_STEPS};
        const UNDONE: &str = "it was ended and has changed nothing";
        match self {
            Over::Steps => format!("ERR the script takes more than {SCRIPT_STEPS} steps: {UNDONE}"),
            Over::Memory => format!("ERR the script needs more than {ARENA_BYTES} bytes of memory: {UNDONE}"),
            Over::Growth => format!("ERR the script writes more than {MAX_GROWTH_BYTES} bytes: {UNDONE}"),
            Over::Reply => {
                format!("ERR a reply to the script takes more than {MAX_REPLY_BYTES} bytes: {UNDONE}")
            }
        }
    }
}

/// What became of a command.
#[derive(Debug)]
pub enum Called {
    /// Its reply was written; an error may be one.
    Replied,
    /// It did not run: the text of the error.
    Refused(Cow<'static, str>),
    Over(Over),
}

pub trait Host {
    /// Runs a command, whose name comes first; writes its reply in this version of the protocol.
    fn call(&mut self, args: &[&[u8]], resp: Resp, reply: &mut Vec<u8>) -> Called;

    /// Whether the user may run a command, as `redis.acl_check_cmd` says; `None` where there is no such command.
    fn is_callable(&self, args: &[&[u8]]) -> Option<bool>;
}
