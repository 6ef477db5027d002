//! What the client's user may do: asked before each command, by the users as this node knows them now.
//!
//! - ACL SETUSER and DELUSER go through the log: what is logged is the user's rules as they will be, with the hashes of passwords, and
//!   the rules that they were made from. A change that another one overtook is answered TRYAGAIN.
//! - A change that leaves no user with which users can be changed is refused.
//! - A client whose user is gone is disconnected, and so is one that listens to channels which its user may not use any more.

use std::sync::Arc;

use super::table::table;
use super::{Line, Session, Verdict};
use crate::acl::{
    self, ChannelAccess, Denied, MAX_ALL_RULES_BYTES, MAX_USERS, StoredUser, User, Users, rules_with_hashes,
};
use crate::admin::acl::check_name;
use crate::admin::acl::log::Reason;
use crate::admin::client::Queued;
use crate::admin::table::{SessionCommand, TableRow};
use crate::admin::users::{Known, check, opens_without_password, refusal};
use crate::command::args::is;
use crate::command::spec::Flags;
use crate::command::system;
use crate::command::{Args, CommandError, CommandResult};
use crate::config::runtime::RuntimeConfig;
use crate::loading::REFUSAL;
use crate::protocol::number::parse_integer;

/// What a node answers that has loaded its own data, and has not heard of its group.
const USERS_UNKNOWN: &str = "LOADING this node does not know the users of its group yet: it waits for the primary, so a majority of the members \
                             has to run and to reach each other";

impl Session {
    /// Takes the user as it is now, if users have changed. False if the connection has to end.
    pub fn look_at_user(&mut self) -> bool {
        let is_current = self.shared.shard.keyspace.users_version() == self.client.users_version;
        if is_current && !self.client.is_provisional {
            return true;
        }
        self.take_changed_user()
    }

    #[cold]
    fn take_changed_user(&mut self) -> bool {
        let Known { version, users } = self.shared.users();
        self.client.users_version = version;
        let user = users.get(self.client.user.name()).cloned();
        let is_there = user.is_some();
        let before = self.client.user.clone();
        self.client.user = user.unwrap_or_else(|| before.clone());
        if self.client.is_provisional && self.shared.knows_users() {
            let shared = self.shared.clone();
            shared.settle(&mut self.client);
        }
        let is_same = Arc::ptr_eq(&before, &self.client.user);
        let is_stranger = !self.client.authenticated && self.client.is_listener();
        let may_stay = is_there && !is_stranger && (is_same || self.may_listen());
        if !may_stay {
            self.client.info.kill();
        }
        may_stay
    }

    /// Whether the client's user may use all channels that the client listens to.
    fn may_listen(&self) -> bool {
        let client = &self.client;
        let may = |channels: ChannelAccess<'_>| client.user.check_channels(channels).is_ok();
        let mut named = client.channels.iter().chain(&client.shard_channels);
        named.all(|name| may(ChannelAccess::Named(&[name])))
            && client.patterns.iter().all(|pattern| may(ChannelAccess::Patterns(&[pattern])))
    }

    /// Whether the client's user may run a command with these arguments.
    #[inline]
    pub(super) fn permit(&self, row: &'static TableRow, args: &Args<'_>) -> Result<(), String> {
        if self.client.is_nodes && is_said_by_relays(row) {
            return Ok(());
        }
        check(&self.client.user, row, args).map_err(|denied| self.deny(row, &denied))
    }

    /// What EXEC answers where a queued command is not allowed any more.
    pub(super) fn no_longer_permitted(&self, queued: &[Queued]) -> Option<String> {
        let refused = queued.iter().find_map(|one| self.permit(one.command.0, &one.slices()).err())?;
        Some(format!(
            "EXECABORT Transaction discarded because of: ACLs rules changed between the moment the transaction was accumulated and \
             the EXEC call: {refused}"
        ))
    }

    /// Refuses what a client may not send while it is not known whether it has to authenticate: this node does not know the users that its
    /// group has now.
    pub(super) fn wait_for_users(&self, row: &TableRow, args: &Args<'_>) -> Result<(), String> {
        let flags = row.command.flags;
        let waits =
            self.client.is_provisional && flags.contains(Flags::ADMIN) && !flags.contains(Flags::TELLS_STATE);
        if !waits {
            return Ok(());
        }
        if self.shared.shard.loading.is_under_way() {
            return Err(REFUSAL.to_owned());
        }
        let reads = flags.contains(Flags::READS_OWN_DATA) && self.is_read_of_own_data(args);
        if reads && self.may_read_own_data() { Ok(()) } else { Err(USERS_UNKNOWN.to_owned()) }
    }

    /// Whether this node's own users, which are as old as its data, let in a client that has said nothing.
    pub(super) fn may_read_own_data(&self) -> bool {
        let (shared, user) = (&self.shared, &self.client.user);
        !shared.shard.keyspace.is_replaced() && opens_without_password(user, &shared.config)
    }

    /// Whether a command reads nothing newer than this node's users: not a checkpoint that it has fetched and not yet loaded.
    fn is_read_of_own_data(&self, args: &Args<'_>) -> bool {
        let is_applied = |index: &[u8]| {
            let index = parse_integer(index).and_then(|index| u64::try_from(index).ok());
            index.is_some_and(|index| index <= self.shared.shard.status.lock().applied)
        };
        match args[2..] {
            [word] => is(word, "status") || is(word, "list"),
            [word, _] if is(word, "verify") => true,
            [word, _, _] if is(word, "read") => true,
            [word, index, ..] if is(word, "manifest") || is(word, "read") => is_applied(index),
            _ => false,
        }
    }

    /// Notes a denial, and says it.
    #[cold]
    fn deny(&self, row: &TableRow, denied: &Denied) -> String {
        let user = &self.client.user;
        let (reason, object) = match denied {
            Denied::Command => (Reason::Command, row.full_name.as_bytes()),
            Denied::Key(key) => (Reason::Key, &key[..]),
            Denied::Channel(channel) => (Reason::Channel, &channel[..]),
        };
        self.client.info.details.lock().last_command = table().statistic_name(self.index);
        self.shared.note_denial(&self.client, reason, object, user.name());
        format!("NOPERM {}", refusal(user, row, denied))
    }

    /// ACL SETUSER.
    pub(super) fn set_user(&mut self, args: &Args<'_>, line: &mut Line) -> Verdict {
        if !self.shared.shard.is_primary() {
            return self.forward_or_refuse(line);
        }
        if line.has_unanswered() {
            return Verdict::Wait;
        }
        let users = self.shared.users().users;
        let logged = rules_to_log(&users, args[2], &args[3..]);
        let checked =
            logged.and_then(|logged| self.check_changed(&users, args[2], &logged.1).map(|()| logged));
        match checked {
            Ok((old, new)) => {
                let name = [system::USER, args[2]].concat();
                let verdict = self.enqueue_own(line, &[system::SET, &name, &old, &new]);
                line.barrier = verdict == Verdict::Taken;
                verdict
            }
            Err(error) => self.refuse_here(line, &error.to_string()),
        }
    }

    /// Refuses rules of a user that leave no administrator.
    fn check_changed(&self, users: &Users, name: &[u8], rules: &[u8]) -> CommandResult {
        let changed =
            User::parse(name, rules, table()).map_err(|error| CommandError::other(error.to_string()))?;
        let others = users.iter().filter(|user| user.name() != name).map(|user| &**user);
        let after: Vec<&User> = others.chain([&changed]).collect();
        check_administrator(&self.shared.config, users, &after)
    }

    /// ACL DELUSER.
    pub(super) fn delete_users(&mut self, args: &Args<'_>, line: &mut Line) -> Verdict {
        if args[2..].contains(&acl::DEFAULT) {
            return self.refuse_here(line, "ERR The 'default' user cannot be removed");
        }
        if !self.shared.shard.is_primary() {
            return self.forward_or_refuse(line);
        }
        let names: Vec<Vec<u8>> = args[2..].iter().map(|name| [system::USER, name].concat()).collect();
        let own: Vec<&[u8]> =
            std::iter::once(system::DELETE).chain(names.iter().map(Vec::as_slice)).collect();
        if line.has_unanswered() {
            return Verdict::Wait;
        }
        let users = self.shared.users().users;
        let after: Vec<&User> =
            users.iter().map(|user| &**user).filter(|user| !args[2..].contains(&user.name())).collect();
        if let Err(error) = check_administrator(&self.shared.config, &users, &after) {
            return self.refuse_here(line, &error.to_string());
        }
        let verdict = self.enqueue_own(line, &own);
        line.barrier = verdict == Verdict::Taken;
        verdict
    }
}

/// What a node says on a connection that carries its client's commands, in its own name: the client was asked there.
fn is_said_by_relays(row: &TableRow) -> bool {
    use SessionCommand as Known;
    matches!(
        row.session(),
        Some(
            Known::Select
                | Known::Unwatch
                | Known::Multi
                | Known::Exec
                | Known::Discard
                | Known::Unblock
                | Known::LogIndex
        )
    )
}

/// The first users of a group, as the log holds them: names with their rules.
///
/// # Errors
/// The first user whose name or rules are wrong, with the reason.
pub fn first_users(users: &[(String, Vec<String>)]) -> Result<Vec<StoredUser>, String> {
    let nobody = Users::compile([], None, table());
    let mut stored: Vec<StoredUser> = Vec::with_capacity(users.len());
    for (name, rules) in users {
        let rules: Vec<&[u8]> = rules.iter().map(|rule| rule.as_bytes()).collect();
        let logged = rules_to_log(&nobody, name.as_bytes(), &rules);
        let (_, rules) = logged.map_err(|error| format!("user {name}: {error}"))?;
        if stored.iter().any(|(other, _)| other == name.as_bytes()) {
            return Err(format!("user {name}: it is there twice"));
        }
        stored.push((name.as_bytes().to_vec(), rules));
    }
    match stored.len() > MAX_USERS
        || stored.iter().map(|(_, rules)| rules.len()).sum::<usize>() > MAX_ALL_RULES_BYTES
    {
        true => Err("these are too many users".to_owned()),
        false => Ok(stored),
    }
}

/// The rules of a user `default` that may do everything with this password.
///
/// # Errors
/// The password's hash can't be part of a rule; there is no such password.
pub fn open_default(password: &str) -> Result<Vec<u8>, String> {
    let password = [b">", password.as_bytes()].concat();
    let rules = [&b"reset"[..], b"on", &password, b"~*", b"&*", b"+@all"];
    let logged = rules_to_log(&Users::compile([], None, table()), acl::DEFAULT, &rules);
    logged.map(|(_, rules)| rules).map_err(|error| error.to_string())
}

/// Refuses a change after which no user that can authenticate may run ACL SETUSER, where one may now: the way back would be a restart.
fn check_administrator(config: &RuntimeConfig, users: &Users, after: &[&User]) -> CommandResult {
    let is_one = |user: &User| {
        let can_come = user.needs_no_password()
            || !user.passwords().is_empty()
            || user.name() == acl::DEFAULT && !config.needs_no_password();
        user.is_on() && can_come && may_change_users(user)
    };
    let is_there_one = users.iter().any(|user| is_one(user));
    if !is_there_one || after.iter().any(|user| is_one(user)) {
        return Ok(());
    }
    Err(CommandError::other(
        "ERR after this change no user that can authenticate may run ACL SETUSER, and users could not be changed any more: first let another \
         user do so (ACL SETUSER <name> on ><password> ~* &* +@all)",
    ))
}

fn may_change_users(user: &User) -> bool {
    let args: [&[u8]; 3] = [b"ACL", b"SETUSER", b"default"];
    let row = table().lookup(args[0]).and_then(|row| row.subcommand(args[1]));
    row.is_some_and(|row| check(user, row, &args).is_ok())
}

/// The rules of a user that are in the system database, and those that will be after these.
fn rules_to_log(users: &Users, name: &[u8], rules: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), CommandError> {
    check_name(name)?;
    let known = users.get(name);
    if known.is_none() && users.iter().len() >= MAX_USERS {
        return Err(CommandError::other(format!("ERR there are {MAX_USERS} users, more are refused")));
    }
    let old = users.stored_rules(name).unwrap_or_default().to_vec();
    let fresh = User::new(name, table());
    let user = known.map_or(&fresh, |user| &**user);
    let hashed = rules_with_hashes(rules);
    let hashed: Vec<&[u8]> = hashed.iter().map(Vec::as_slice).collect();
    // Errors show the rules as they came.
    user.changed(rules, table()).map_err(|error| CommandError::other(error.to_string()))?;
    let changed = user.changed(&hashed, table()).map_err(|error| CommandError::other(error.to_string()))?;
    let new = changed.to_stored(table()).map_err(|error| CommandError::other(error.to_string()))?;
    if users.stored_bytes() + new.len() > MAX_ALL_RULES_BYTES {
        return Err(CommandError::other("ERR the rules of all users would take too much memory"));
    }
    Ok((old, new))
}
