//! What a script may call: judged by the rules of the user that sent it, as the system database has them when it runs.
//!
//! - The entry of a limited user's script names the user. The system database is part of the data, so every node reads the same rules, at
//!   every restart. A user that was deleted before the entry is applied runs nothing.
//! - Rules name commands by the table of all commands. The program names that table once, at its start ([`know_commands`]); an entry that
//!   needs it is not applied without.
//! - To compare keys with patterns takes steps.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use super::lua;
use crate::acl::{self, Access, ChannelAccess, Commands, Denied, Request, User};
use crate::command::spec::KeyFlags;
use crate::command::system::USER;
use crate::command::{Args, Command, CommandError};

/// Redis' texts.
const NO_COMMAND: &str = "ERR The user executing the script can't run this command or subcommand";
const NO_KEY: &str = "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments";
const NO_CHANNEL: &str =
    "ERR The user executing the script can't publish to the channel mentioned in the command";

/// Compiled users that a thread keeps.
const KEPT_USERS: usize = 16;
/// Steps of a judgement, of a pattern, and of a byte that is compared with one.
const CHECK_STEPS: u64 = 100;
const PATTERN_STEPS: u64 = 4;
const BYTE_STEPS: u64 = 2;

static COMMANDS: OnceLock<&'static (dyn Commands + Sync)> = OnceLock::new();

/// Names the table of all commands, which is the same as long as the program runs.
pub fn know_commands(commands: &'static (dyn Commands + Sync)) {
    COMMANDS.get_or_init(|| commands);
}

/// Whether scripts of limited users can run.
pub fn knows_commands() -> bool {
    COMMANDS.get().is_some()
}

/// A user's compiled rules, and what they were compiled from.
struct Compiled {
    rules: Box<[u8]>,
    user: Arc<User>,
}

thread_local! {
    /// The one that was used last is the last.
    static USERS: RefCell<Vec<Compiled>> = const { RefCell::new(Vec::new()) };
}

fn compiled(name: &[u8], rules: &[u8], commands: &dyn Commands) -> Arc<User> {
    USERS.with_borrow_mut(|users| {
        let known = users.iter().rposition(|one| one.user.name() == name && *one.rules == *rules);
        let one = known.map(|place| users.remove(place)).unwrap_or_else(|| {
            // As sessions do: rules that this program does not understand allow nothing.
            let user = User::parse(name, rules, commands).unwrap_or_else(|_| User::new(name, commands));
            Compiled { rules: rules.into(), user: Arc::new(user) }
        });
        let user = one.user.clone();
        users.push(one);
        if users.len() > KEPT_USERS {
            users.remove(0);
        }
        user
    })
}

/// Judges the calls of a script.
pub struct Judge {
    user: Arc<User>,
    commands: &'static dyn Commands,
    /// How many patterns a key is compared with.
    patterns: u64,
}

impl Judge {
    /// Of a user and its rules; none where it may do everything.
    ///
    /// # Errors
    /// The user is gone.
    pub fn new(name: &[u8], rules: Option<&[u8]>) -> Result<Option<Judge>, CommandError> {
        let gone = || {
            let name = String::from_utf8_lossy(name);
            CommandError::other(format!("NOPERM the user {name} is gone: its script did not run"))
        };
        let commands = *COMMANDS.get().ok_or_else(gone)?;
        let user = match rules {
            Some(rules) => compiled(name, rules, commands),
            None if name == acl::DEFAULT => return Ok(None),
            None => return Err(gone()),
        };
        let patterns = user.patterns() as u64;
        Ok((!user.is_unlimited()).then_some(Judge { user, commands, patterns }))
    }

    /// Whether a data command may be called, by its index.
    ///
    /// # Errors
    /// Redis' text.
    pub fn data(&self, index: usize, command: &Command, args: &Args<'_>) -> Result<(), &'static str> {
        let asked = command.asked(args);
        let keys: Vec<(usize, Access)> =
            asked.keys.iter().map(|(place, flags)| (*place, access_of(*flags))).collect();
        self.check(&Request {
            command: index,
            args,
            keys: &keys,
            reads_any_key: asked.reads_any_key,
            channels: ChannelAccess::None,
        })
    }

    /// The same for a command that names no keys: `publish`, `config|get` …
    ///
    /// # Errors
    /// Redis' text.
    pub fn process(&self, name: &[u8], args: &Args<'_>, publishes: bool) -> Result<(), &'static str> {
        let channels = match publishes {
            true => ChannelAccess::Named(args.get(1..2).unwrap_or_default()),
            false => ChannelAccess::None,
        };
        let command = self.commands.find(name).ok_or(NO_COMMAND)?;
        self.check(&Request { command, args, keys: &[], reads_any_key: false, channels })
    }

    fn check(&self, request: &Request<'_>) -> Result<(), &'static str> {
        let keys = request.keys.iter().map(|(place, _)| request.args[*place].len() as u64);
        let channels = match request.channels {
            ChannelAccess::Named(names) => names.iter().map(|name| name.len() as u64).sum(),
            _ => 0,
        };
        let bytes = keys.map(|len| PATTERN_STEPS + BYTE_STEPS * len).sum::<u64>();
        let steps = CHECK_STEPS + self.patterns * (PATTERN_STEPS + bytes + BYTE_STEPS * channels);
        lua::take_steps(i64::try_from(steps).unwrap_or(i64::MAX / 4).min(i64::MAX / 4));
        self.user.check(request).map_err(|denied| match denied {
            Denied::Command => NO_COMMAND,
            Denied::Key(_) => NO_KEY,
            Denied::Channel(_) => NO_CHANNEL,
        })
    }
}

/// The number of a process command or its subcommand, by the table of all commands: whether there is such a one.
pub fn names_process_command(args: &Args<'_>) -> bool {
    let (Some(commands), Some(name)) = (COMMANDS.get(), args.first()) else { return true };
    let Some(number) = commands.find(name).filter(|_| !name.contains(&b'|')) else { return false };
    match args.get(1) {
        Some(sub) if !commands.subcommands(number).is_empty() => {
            commands.find(&full_name(name, sub)).is_some()
        }
        _ => true,
    }
}

/// `config|get` of `config get`, where that is a subcommand; else the name alone.
pub fn name_in_rules(args: &Args<'_>) -> Vec<u8> {
    let name = args.first().copied().unwrap_or_default();
    let Some(sub) = args.get(1) else { return name.to_vec() };
    let full = full_name(name, sub);
    let is_known = COMMANDS.get().is_some_and(|commands| commands.find(&full).is_some());
    if is_known { full } else { name.to_vec() }
}

fn full_name(name: &[u8], sub: &[u8]) -> Vec<u8> {
    [name, b"|", sub].concat()
}

/// What a command does with a key, as patterns of keys tell it.
pub fn access_of(flags: KeyFlags) -> Access {
    let writes = KeyFlags::INSERT.union(KeyFlags::DELETE).union(KeyFlags::UPDATE);
    let read = if flags.contains(KeyFlags::ACCESS) { Access::READ } else { Access::empty() };
    let write = if flags.intersects(writes) { Access::WRITE } else { Access::empty() };
    read | write
}

/// The name under which the system database has a user's rules.
pub fn rules_of(name: &[u8]) -> Vec<u8> {
    [USER, name].concat()
}
