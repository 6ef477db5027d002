//! One set of permissions: commands, keys and channels. A user has one at its root, and any number of further ones.

use std::collections::BTreeMap;

use bitflags::bitflags;

use super::commands::{CommandSet, Commands};
use super::error::RuleError;
use super::pattern::Pattern;

bitflags! {
    /// What a command does with a key, or a pattern allows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u8 {
        const READ = 1;
        const WRITE = 2;
    }
}

/// What a command asks for, with its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The command's number.
    pub command: usize,
    /// Its arguments, its name first.
    pub args: &'a [&'a [u8]],
    /// Its keys: place among the arguments, and what it does with each.
    pub keys: &'a [(usize, Access)],
    /// It may read keys that it does not name.
    pub reads_any_key: bool,
    /// Its channels: places among the arguments.
    pub channels: ChannelAccess<'a>,
}

/// The channels that a command names.
#[derive(Clone, Copy, Debug)]
pub enum ChannelAccess<'a> {
    None,
    Named(&'a [&'a [u8]]),
    /// PSUBSCRIBE: they are patterns, of which each has to be one of the user's.
    Patterns(&'a [&'a [u8]]),
}

/// What was asked for and is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    Command,
    Key(Vec<u8>),
    Channel(Vec<u8>),
}

impl Denied {
    /// How far the command got: of several selectors the one that allowed most says why.
    fn depth(&self) -> usize {
        match self {
            Denied::Command => 0,
            Denied::Key(_) => 1,
            Denied::Channel(_) => 2,
        }
    }

    /// Of two reasons the one that came later among the checks: of two keys the later of the request's.
    pub(super) fn or(self, other: Denied, place_of: impl Fn(&[u8]) -> Option<usize>) -> Denied {
        let is_later = match (&self, &other) {
            (Denied::Key(key), Denied::Key(other)) => place_of(other) > place_of(key),
            _ => other.depth() > self.depth(),
        };
        if is_later { other } else { self }
    }
}

/// More patterns of keys, or of channels, are refused: each may be asked about each key.
const MAX_PATTERNS: usize = 1_000;

#[derive(Clone, Debug)]
struct KeyPattern {
    pattern: Pattern,
    access: Access,
}

#[derive(Clone, Debug)]
pub struct Selector {
    commands: CommandSet,
    /// Commands that are not in any table yet are allowed, too: the rules begin with `+@all`.
    future_commands: bool,
    /// What changes `+@all` or `-@all` to what is allowed, in the order of the rules.
    command_rules: Vec<String>,
    /// Commands that are allowed with one of these first arguments only.
    first_args: BTreeMap<usize, Vec<Box<[u8]>>>,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Pattern>,
}

impl Selector {
    /// Allows nothing.
    pub fn new(commands: &dyn Commands) -> Selector {
        Selector {
            commands: CommandSet::new(commands.count(), false),
            future_commands: false,
            command_rules: Vec::new(),
            first_args: BTreeMap::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels: false,
            channels: Vec::new(),
        }
    }

    /// Whether it allows everything.
    pub fn is_unlimited(&self) -> bool {
        self.future_commands && self.command_rules.is_empty() && self.all_keys && self.all_channels
    }

    /// How many patterns of keys and channels it has.
    pub fn patterns(&self) -> usize {
        self.keys.len() + self.channels.len()
    }

    pub fn all_channels(&self) -> bool {
        self.all_channels
    }

    /// Takes one rule.
    pub fn take(&mut self, rule: &[u8], commands: &dyn Commands) -> Result<(), RuleError> {
        let word = rule.to_ascii_lowercase();
        match &word[..] {
            b"allkeys" | b"~*" => {
                self.all_keys = true;
                self.keys.clear();
            }
            b"resetkeys" => {
                self.all_keys = false;
                self.keys.clear();
            }
            b"allchannels" | b"&*" => {
                self.all_channels = true;
                self.channels.clear();
            }
            b"resetchannels" => {
                self.all_channels = false;
                self.channels.clear();
            }
            b"allcommands" | b"+@all" => self.take_all_commands(true, commands),
            b"nocommands" | b"-@all" => self.take_all_commands(false, commands),
            _ => return self.take_pattern_or_command(rule, commands),
        }
        Ok(())
    }

    fn take_all_commands(&mut self, all: bool, commands: &dyn Commands) {
        self.commands = CommandSet::new(commands.count(), all);
        self.future_commands = all;
        self.command_rules.clear();
        self.first_args.clear();
    }

    fn take_pattern_or_command(&mut self, rule: &[u8], commands: &dyn Commands) -> Result<(), RuleError> {
        match rule {
            [b'~', pattern @ ..] => self.take_key(pattern, Access::all()),
            [b'%', rest @ ..] => {
                let tilde = rest.iter().position(|byte| *byte == b'~').ok_or(RuleError::Syntax)?;
                let access = access(&rest[..tilde])?;
                self.take_key(&rest[tilde + 1..], access)
            }
            [b'&', pattern @ ..] => self.take_channel(pattern),
            [sign @ (b'+' | b'-'), b'@', category @ ..] => {
                self.take_category(*sign == b'+', category, commands)
            }
            [sign @ (b'+' | b'-'), name @ ..] => self.take_command(*sign == b'+', name, commands),
            _ => Err(RuleError::Syntax),
        }
    }

    fn take_key(&mut self, pattern: &[u8], access: Access) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeyAfterAll);
        }
        check_pattern(pattern)?;
        if pattern == b"*" && access == Access::all() {
            self.all_keys = true;
            self.keys.clear();
            return Ok(());
        }
        let is_full = self.keys.len() >= MAX_PATTERNS;
        match self.keys.iter_mut().find(|known| known.pattern.text() == pattern) {
            Some(known) => known.access |= access,
            None if is_full => return Err(RuleError::TooManyPatterns),
            None => self.keys.push(KeyPattern { pattern: Pattern::new(pattern), access }),
        }
        // As one rule would: what comes after it is refused then, too.
        if self.keys.iter().any(|known| known.pattern.text() == b"*" && known.access == Access::all()) {
            self.all_keys = true;
            self.keys.clear();
        }
        Ok(())
    }

    fn take_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelAfterAll);
        }
        check_pattern(pattern)?;
        if !self.channels.iter().any(|known| known.text() == pattern) {
            if self.channels.len() >= MAX_PATTERNS {
                return Err(RuleError::TooManyPatterns);
            }
            self.channels.push(Pattern::new(pattern));
        }
        Ok(())
    }

    fn take_category(&mut self, allow: bool, name: &[u8], commands: &dyn Commands) -> Result<(), RuleError> {
        let members = commands.category(name).ok_or(RuleError::UnknownCommand)?;
        for member in members {
            self.commands.set(member, allow);
            self.first_args.remove(&member);
        }
        self.note_command_rule(allow, &format!("@{}", lower(name)));
        Ok(())
    }

    fn take_command(&mut self, allow: bool, name: &[u8], commands: &dyn Commands) -> Result<(), RuleError> {
        let Some(command) = commands.find(name) else { return self.take_first_arg(allow, name, commands) };
        self.commands.set(command, allow);
        self.first_args.remove(&command);
        for sub in commands.subcommands(command) {
            self.commands.set(sub, allow);
        }
        self.note_command_rule(allow, &lower(name));
        Ok(())
    }

    /// `+select|0`: a command is allowed with one first argument.
    fn take_first_arg(&mut self, allow: bool, name: &[u8], commands: &dyn Commands) -> Result<(), RuleError> {
        let bar = name.iter().position(|byte| *byte == b'|').ok_or(RuleError::UnknownCommand)?;
        let (command, first_arg) = (&name[..bar], &name[bar + 1..]);
        let number = commands.find(command).ok_or(RuleError::UnknownCommand)?;
        let subcommand = first_arg.iter().position(|byte| *byte == b'|').map(|end| &first_arg[..end]);
        if subcommand.is_some_and(|sub| commands.find(&[command, b"|", sub].concat()).is_some()) {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if !allow || subcommand.is_some() || !commands.subcommands(number).is_empty() {
            return Err(RuleError::UnknownCommand);
        }
        check_pattern(first_arg)?;
        if first_arg.is_empty() {
            return Err(RuleError::Syntax);
        }
        let known = self.first_args.entry(number).or_default();
        if !known.iter().any(|one| one.eq_ignore_ascii_case(first_arg)) {
            known.push(first_arg.into());
        }
        self.note_command_rule(true, &lower(name));
        Ok(())
    }

    /// Adds a rule to the text, in place of those that it overrides.
    fn note_command_rule(&mut self, allow: bool, rule: &str) {
        let is_overridden = |known: &str| {
            let rest = known[1..].strip_prefix(rule);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        };
        self.command_rules.retain(|known| !is_overridden(known));
        self.command_rules.push(format!("{}{rule}", if allow { '+' } else { '-' }));
    }

    /// Whether a request is allowed, or what of it is not.
    pub fn check(&self, request: &Request<'_>) -> Result<(), Denied> {
        if !self.allows_command(request) {
            return Err(Denied::Command);
        }
        self.check_keys(request)?;
        self.check_channels(request.channels)
    }

    fn allows_command(&self, request: &Request<'_>) -> bool {
        let is_first_arg = |known: &[Box<[u8]>]| {
            request.args.get(1).is_some_and(|arg| known.iter().any(|one| one.eq_ignore_ascii_case(arg)))
        };
        self.commands.contains(request.command)
            || self.first_args.get(&request.command).is_some_and(|known| is_first_arg(known))
    }

    fn check_keys(&self, request: &Request<'_>) -> Result<(), Denied> {
        if self.all_keys {
            return Ok(());
        }
        if request.reads_any_key && !self.reads_all_keys() {
            return Err(Denied::Key(b"*".to_vec()));
        }
        for (place, access) in request.keys {
            let key = request.args[*place];
            if !self.allows_key(key, *access) {
                return Err(Denied::Key(key.to_vec()));
            }
        }
        Ok(())
    }

    fn reads_all_keys(&self) -> bool {
        self.keys.iter().any(|known| known.pattern.text() == b"*" && known.access.contains(Access::READ))
    }

    /// One pattern has to allow all of it.
    fn allows_key(&self, key: &[u8], access: Access) -> bool {
        self.keys.iter().any(|known| known.access.contains(access) && known.pattern.matches(key))
    }

    /// Whether channels may be used as they are named.
    pub fn check_channels(&self, channels: ChannelAccess<'_>) -> Result<(), Denied> {
        if self.all_channels {
            return Ok(());
        }
        let (names, are_patterns) = match channels {
            ChannelAccess::None => return Ok(()),
            ChannelAccess::Named(names) => (names, false),
            ChannelAccess::Patterns(names) => (names, true),
        };
        let allows = |known: &Pattern, name: &[u8]| {
            if are_patterns { known.text() == name } else { known.matches(name) }
        };
        let denied = names.iter().find(|name| !self.channels.iter().any(|known| allows(known, name)));
        denied.map_or(Ok(()), |name| Err(Denied::Channel(name.to_vec())))
    }

    /// `+@all -get`, as ACL GETUSER shows it.
    pub fn command_rules(&self) -> String {
        let all = if self.future_commands { "+@all" } else { "-@all" };
        std::iter::once(all)
            .chain(self.command_rules.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// `~a* %R~b*`.
    pub fn key_rules(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let rules = self.keys.iter().map(|key| {
            let sign: &[u8] = match (key.access.contains(Access::READ), key.access.contains(Access::WRITE)) {
                (true, false) => b"%R~",
                (false, true) => b"%W~",
                _ => b"~",
            };
            [sign, key.pattern.text()].concat()
        });
        rules.collect::<Vec<_>>().join(&b' ')
    }

    /// `&a* &b`.
    pub fn channel_rules(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let rules = self.channels.iter().map(|pattern| [&b"&"[..], pattern.text()].concat());
        rules.collect::<Vec<_>>().join(&b' ')
    }

    /// All rules that make it from nothing, as ACL LIST shows them.
    pub fn describe(&self) -> Vec<u8> {
        let keys = self.key_rules();
        let channels = match (self.all_channels, self.channels.is_empty()) {
            (true, _) => b"&*".to_vec(),
            (false, true) => b"resetchannels".to_vec(),
            (false, false) => [&b"resetchannels "[..], &self.channel_rules()].concat(),
        };
        let parts = [keys, channels, self.command_rules().into_bytes()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(&b' ')
    }
}

fn access(letters: &[u8]) -> Result<Access, RuleError> {
    let each = letters.iter().map(|letter| match letter.to_ascii_uppercase() {
        b'R' => Ok(Access::READ),
        b'W' => Ok(Access::WRITE),
        _ => Err(RuleError::Syntax),
    });
    let access = each.collect::<Result<Vec<_>, _>>()?.into_iter().fold(Access::empty(), Access::union);
    if access.is_empty() { Err(RuleError::Syntax) } else { Ok(access) }
}

fn check_pattern(pattern: &[u8]) -> Result<(), RuleError> {
    let is_apart = pattern.iter().any(|byte| byte.is_ascii_whitespace() || *byte == 0);
    if is_apart { Err(RuleError::Syntax) } else { Ok(()) }
}

fn lower(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}
