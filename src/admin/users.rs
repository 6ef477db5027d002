//! The users as this node knows them: compiled from the system database, again once that has changed.
//!
//! - Every node applies the same changes, so each knows a user as soon as it has applied what made it. A change is answered once the
//!   primary has applied it: no later request there is judged by what was before.
//! - The passwords of `requirepass` open the user `default` beside those of its rules; while there are any, `nopass` does not.
//! - While a checkpoint replaces all data the users from before hold; while a node loads none is known, and a connection that no setting
//!   asks for a password is provisional: it is told how the node is, and once users are known it is let in or not.
//! - A connection keeps the user that it has; the session takes the changed one before the next request.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::acl::{self, Access, ChannelAccess, Commands, Denied, Request, User, Users};
use crate::admin::table::{ChannelUse, Table, TableRow};
use crate::command::Args;
use crate::command::script::access_of;
use crate::command::spec::Categories;
use crate::command::system::{USER, all_in_system};
use crate::config::runtime::RuntimeConfig;
use crate::keyspace::Keyspace;
use crate::keyspace::view::LockSet;

/// The users of one version of the keyspace's.
#[derive(Debug, Clone)]
pub struct Known {
    pub version: u64,
    pub users: Arc<Users>,
}

pub struct UserBook {
    table: &'static Table,
    known: Mutex<Known>,
}

impl fmt::Debug for UserBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.known.lock().fmt(f)
    }
}

impl UserBook {
    /// The users of an empty keyspace, for commands of this table.
    pub fn new(table: &'static Table) -> UserBook {
        let users = Arc::new(Users::compile([], None, table));
        UserBook { table, known: Mutex::new(Known { version: 0, users }) }
    }

    /// The users that are in the keyspace now.
    pub fn of(&self, keyspace: &Keyspace) -> Known {
        let mut known = self.known.lock();
        let version = keyspace.users_version();
        if known.version != version {
            // Read after the version: a change meanwhile is compiled again.
            let view = keyspace.read(LockSet::ALL);
            if keyspace.is_replaced() {
                return known.clone();
            }
            let rules: Vec<(Vec<u8>, Vec<u8>)> = all_in_system(&view, USER)
                .into_iter()
                .map(|(name, rules)| (name.to_vec(), rules.to_vec()))
                .collect();
            drop(view);
            let rules = rules.iter().map(|(name, rules)| (&name[..], &rules[..]));
            let users = Arc::new(Users::compile(rules, Some(&known.users), self.table));
            *known = Known { version, users };
        }
        known.clone()
    }
}

/// Whether a password opens a user.
pub fn opens(user: &User, password: &[u8], config: &RuntimeConfig) -> bool {
    if !user.is_on() {
        return false;
    }
    if user.name() != acl::DEFAULT {
        return user.needs_no_password() || user.has_password(password);
    }
    opens_without_password(user, config)
        || user.has_password(password)
        || !config.needs_no_password() && config.accepts_password(password)
}

/// Whether a connection that says nothing has the user `default`.
pub fn opens_without_password(default: &User, config: &RuntimeConfig) -> bool {
    default.is_on() && default.needs_no_password() && config.needs_no_password()
}

/// Whether a user may run a command with these arguments, or what of it is denied.
#[inline]
pub fn check(user: &User, row: &TableRow, args: &Args<'_>) -> Result<(), Denied> {
    if user.is_unlimited() {
        return Ok(());
    }
    check_limited(user, row, args)
}

fn check_limited(user: &User, row: &TableRow, args: &Args<'_>) -> Result<(), Denied> {
    let asked = row.command.asked(args);
    let keys: Vec<(usize, Access)> =
        asked.keys.iter().map(|(place, flags)| (*place, access_of(*flags))).collect();
    let channels = match row.channels {
        ChannelUse::None => ChannelAccess::None,
        ChannelUse::First => ChannelAccess::Named(args.get(1..2).unwrap_or_default()),
        ChannelUse::All => ChannelAccess::Named(&args[1..]),
        ChannelUse::Patterns => ChannelAccess::Patterns(&args[1..]),
    };
    user.check(&Request {
        command: row.index,
        args,
        keys: &keys,
        reads_any_key: asked.reads_any_key,
        channels,
    })
}

/// What is answered to a command that is denied, behind the code NOPERM.
pub fn refusal(user: &User, row: &TableRow, denied: &Denied) -> String {
    match denied {
        Denied::Command => no_command(user, row),
        Denied::Key(_) => "No permissions to access a key".to_owned(),
        Denied::Channel(_) => "No permissions to access a channel".to_owned(),
    }
}

/// The same for ACL DRYRUN, which names what is denied.
pub fn refusal_in_full(user: &User, row: &TableRow, denied: &Denied) -> String {
    let name = shown(user.name());
    match denied {
        Denied::Command => no_command(user, row),
        Denied::Key(key) => format!("User {name} has no permissions to access the '{}' key", shown(key)),
        Denied::Channel(channel) => {
            format!("User {name} has no permissions to access the '{}' channel", shown(channel))
        }
    }
}

fn no_command(user: &User, row: &TableRow) -> String {
    format!("User {} has no permissions to run the '{}' command", shown(user.name()), row.full_name)
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Names of users that differ between two moments, or are gone.
pub fn changed(before: &Users, now: &Users) -> BTreeSet<Box<[u8]>> {
    let differs = |user: &&Arc<User>| {
        now.get(user.name()).is_none_or(|new| !Arc::ptr_eq(user, new) && new.describe() != user.describe())
    };
    before.iter().filter(differs).map(|user| Box::from(user.name())).collect()
}

impl Commands for Table {
    fn count(&self) -> usize {
        self.statistic_names().len()
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        let mut words = name.splitn(2, |byte| *byte == b'|');
        let row = self.lookup(words.next()?).filter(|row| row.is_told())?;
        match words.next() {
            None => Some(row.index),
            Some(sub) => row.subcommand(sub).map(|sub| sub.index),
        }
    }

    fn subcommands(&self, command: usize) -> Vec<usize> {
        let row = self.rows().iter().find(|row| row.index == command);
        row.map(|row| row.subcommands.iter().map(|sub| sub.index).collect()).unwrap_or_default()
    }

    fn category(&self, name: &[u8]) -> Option<Vec<usize>> {
        let mut all = Categories::all().iter_names();
        let (_, wanted) = all.find(|(category, _)| name.eq_ignore_ascii_case(category.as_bytes()))?;
        let told = self.rows().iter().filter(|row| row.is_told());
        let each = told.flat_map(|row| std::iter::once(row).chain(&row.subcommands));
        Some(each.filter(|row| row.categories.contains(wanted)).map(|row| row.index).collect())
    }
}
