//! Users and what they may do: rules as ACL SETUSER takes them, compiled for the check before each command. Pure.
//!
//! - A user's rules are kept as one text, the same that ACL LIST shows; a password stands in it as its SHA-256.
//! - A command is known by its number in the table of commands, a subcommand by one of its own; see [`Commands`].
//! - There is always a user `default`, whom a connection has before it authenticates. Where its rules were never changed it may
//!   do everything without a password.
//! - The root permissions and each selector are asked in turn; a command needs one of them that allows all of it.
//!
//! Source: <https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>, the texts of errors redis-server's.

mod commands;
mod error;
mod pattern;
mod selector;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use commands::{CommandSet, Commands};
pub use error::{RuleError, SetUserError};
pub use selector::{Access, ChannelAccess, Denied, Request, Selector};
pub use user::{PASSWORD_HASH_DIGITS, User, hash_password, rules_with_hashes};

/// A user's name, and the rules as the log has them.
pub type StoredUser = (Vec<u8>, Vec<u8>);

/// The user of a connection that has not authenticated.
pub const DEFAULT: &[u8] = b"default";
/// A longer name of a user is refused.
pub const MAX_NAME_BYTES: usize = 1024;
/// More users are refused.
pub const MAX_USERS: usize = 10_000;
/// The rules of all users may have so many bytes together.
pub const MAX_ALL_RULES_BYTES: usize = 16 << 20;
/// A user's rules may have so many bytes together.
pub const MAX_RULES_BYTES: usize = 64 << 10;

/// All users at one moment, compiled.
#[derive(Debug)]
pub struct Users {
    by_name: BTreeMap<Box<[u8]>, Arc<User>>,
    /// The rules that they were compiled from.
    stored: BTreeMap<Box<[u8]>, Box<[u8]>>,
    default: Arc<User>,
}

impl Users {
    /// Compiles all users from their names and rules, but for those that `before` has from the same rules. Rules that this program does not understand, which a newer one may have
    /// written, allow nothing.
    pub fn compile<'a>(
        rules: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        before: Option<&Users>,
        commands: &dyn Commands,
    ) -> Users {
        let stored: BTreeMap<Box<[u8]>, Box<[u8]>> =
            rules.into_iter().map(|(name, rules)| (name.into(), rules.into())).collect();
        let known = |name: &[u8], rules: &[u8]| {
            let before = before?;
            (before.stored.get(name).map(|known| &**known) == Some(rules))
                .then(|| before.get(name).cloned())?
        };
        let compiled = stored.iter().map(|(name, rules)| {
            if let Some(user) = known(name, rules) {
                return (name.clone(), user);
            }
            let user = User::parse(name, rules, commands).unwrap_or_else(|_| User::new(name, commands));
            (name.clone(), Arc::new(user))
        });
        let mut by_name: BTreeMap<Box<[u8]>, Arc<User>> = compiled.collect();
        let open = before
            .map(|before| &before.default)
            .filter(|user| user.is_unlimited() && user.needs_no_password());
        let unlimited = || open.cloned().unwrap_or_else(|| Arc::new(User::unlimited(DEFAULT, commands)));
        let default = by_name.entry(DEFAULT.into()).or_insert_with(unlimited).clone();
        Users { by_name, stored, default }
    }

    /// The user of a connection that has not authenticated.
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The rules of a user as they are stored; none where they are those that the user `default` begins with.
    pub fn stored_rules(&self, name: &[u8]) -> Option<&[u8]> {
        self.stored.get(name).map(|rules| &**rules)
    }

    /// Bytes of all rules.
    pub fn stored_bytes(&self) -> usize {
        self.stored.iter().map(|(name, rules)| name.len() + rules.len()).sum()
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.by_name.values()
    }
}

/// Whether a user may be called so.
pub fn is_name(name: &[u8]) -> bool {
    name.len() <= MAX_NAME_BYTES && !name.iter().any(|byte| byte.is_ascii_whitespace() || *byte == 0)
}

#[cfg(test)]
mod tests;
