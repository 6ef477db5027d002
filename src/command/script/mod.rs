//! Scripts: Lua 5.1 over the keyspace.
//!
//! - A script that may write is one logged command, which holds its text: it runs in apply, on every node, at every restart, with the same
//!   result. Time and randomness come from its entry, the order of every reply from the data, limits from constants.
//! - One that runs away ends the same way everywhere, and what it had changed is put back. One that raises an error leaves what it had
//!   changed before, as in Redis. Why: docs/decisions/0014-scripts.md.
//! - One that only reads runs on the worker, under the same limits.
//! - While a script runs it has the whole keyspace: it may touch keys that its client did not name.

mod api;
mod arena;
mod bits;
mod cjson;
mod cmsgpack;
mod elsewhere;
mod executor;
mod family;
mod function_family;
mod functions;
mod host;
mod judge;
mod known;
mod library;
mod lua;
mod pack;
mod sandbox;
mod scripts;
mod shebang;
mod to_lua;
mod to_reply;
mod vm;

pub use elsewhere::is_process_command;
#[cfg(test)]
mod tests;

pub use arena::ARENA_BYTES;
pub use family::{
    FAMILY, NO_SCRIPT, SCRIPT_STORE, check, check_text, limited_name, script_named, usual_steps,
};
pub use function_family::{
    FUNCTION_REMOVE, FUNCTION_STORE, FUNCTIONS, check_call, check_library, collision_of, function_flags,
    libraries_of,
};
pub use functions::{
    Library, all as all_libraries, exists as has_library, library_code, totals as library_totals,
};
pub use judge::{access_of, know_commands, knows_commands};
pub use scripts::{Script, Scripts};
pub use shebang::ScriptFlags;

/// Steps that a script may take; about as many take a second. Part of what the log means: it must never change.
pub const SCRIPT_STEPS: i64 = 200_000_000;
/// Steps that all scripts of one entry may take together: other clients, and signs of life, come before more.
pub const ENTRY_STEPS: i64 = 2 * SCRIPT_STEPS;
/// Bytes that the scripts of one entry may write, and keep so that it can be undone.
pub const MAX_GROWTH_BYTES: usize = 64 << 20;
/// Bytes of a reply to a script's command.
pub const MAX_REPLY_BYTES: usize = 16 << 20;

/// Steps that a command in a script takes for each element that it may touch, and for each key that it passes on a walk over all keys.
pub const STEPS_PER_ELEMENT: u64 = 64;
pub const STEPS_PER_KEY: u64 = 16;
/// Steps of a script in the time that the log's driver gives a command for an element.
pub const PLANNED_STEPS_PER_ELEMENT: u64 = 16;

/// What the scripts of one entry may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptBudget {
    pub steps: i64,
    /// Bytes by which they may let the data grow.
    pub growth: i64,
    /// Bytes that are kept so that they can be undone.
    pub kept: i64,
}

impl Default for ScriptBudget {
    fn default() -> Self {
        let bytes = MAX_GROWTH_BYTES as i64;
        ScriptBudget { steps: ENTRY_STEPS, growth: bytes, kept: bytes }
    }
}
