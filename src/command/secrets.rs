//! Which arguments of a command are secret: MONITOR, the slow log and `perdura log` show none of them.
//!
//! - They are found by their places in the command's syntax: a host, key or name may be the word "auth".
//! - A command that is written wrongly is shown, too. So after a credential, whatever the syntax does not know is taken for more of
//!   it, such as a password with a space in it; and where the syntax is broken before one, all after the option's name is.
//! - COMMAND GETKEYS and GETKEYSANDFLAGS have another command as their arguments.

use std::ops::Range;

use smallvec::SmallVec;

use super::Args;
use super::args::is;
use crate::config::settings;
use crate::protocol::number::parse_integer;

/// What is shown in place of a secret.
pub const REDACTED: &[u8] = b"(redacted)";

/// Arguments of MIGRATE that are numbers: port, database and timeout. Its options come after them.
const MIGRATE_NUMBERS: [usize; 3] = [2, 4, 5];

/// Places of secret arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretPlaces(SmallVec<[Range<usize>; 2]>);

impl SecretPlaces {
    pub fn contains(&self, place: usize) -> bool {
        self.0.iter().any(|range| range.contains(&place))
    }

    fn push(&mut self, places: Range<usize>) {
        self.0.push(places);
    }
}

/// An option of a command: how many arguments follow it, and whether they are secret.
struct CommandOption {
    name: &'static str,
    arguments: usize,
    is_secret: bool,
}

const fn plain(name: &'static str, arguments: usize) -> CommandOption {
    CommandOption { name, arguments, is_secret: false }
}

const fn secret(name: &'static str, arguments: usize) -> CommandOption {
    CommandOption { name, arguments, is_secret: true }
}

const HELLO: [CommandOption; 2] = [secret("AUTH", 2), plain("SETNAME", 1)];
const MIGRATE: [CommandOption; 5] =
    [plain("COPY", 0), plain("REPLACE", 0), secret("AUTH", 1), secret("AUTH2", 2), plain("KEYS", usize::MAX)];

/// A command and its subcommand.
const HEAD: usize = 2;

/// The places of a request's secret arguments: names of users, passwords, the hash seed.
pub fn secret_places(args: &Args<'_>) -> SecretPlaces {
    let mut begin = 0;
    while let [name, subcommand, _, ..] = &args[begin..]
        && is(name, "COMMAND")
        && (is(subcommand, "GETKEYS") || is(subcommand, "GETKEYSANDFLAGS"))
    {
        begin += HEAD;
    }
    let SecretPlaces(ranges) = places_of(&args[begin..]);
    SecretPlaces(ranges.into_iter().map(|range| range.start + begin..range.end + begin).collect())
}

fn places_of(args: &Args<'_>) -> SecretPlaces {
    match args {
        [name, ..] if is(name, "AUTH") || is(name, "_HASHSEED") => {
            SecretPlaces(std::iter::once(1..args.len()).collect())
        }
        [name, ..] if is(name, "HELLO") => in_options(args, options_begin(args, &[1]), &HELLO),
        [name, ..] if is(name, "MIGRATE") => {
            in_options(args, options_begin(args, &MIGRATE_NUMBERS), &MIGRATE)
        }
        [name, subcommand, ..] if is(name, "ACL") && is(subcommand, "SETUSER") => {
            SecretPlaces(std::iter::once(HEAD..args.len()).collect())
        }
        [name, subcommand, ..] if is(name, "CONFIG") && is(subcommand, "SET") => in_parameters(args),
        _ => SecretPlaces::default(),
    }
}

/// Options begin after the last of these numbers; where one is missing the command is wrong, and they may be anywhere.
fn options_begin(args: &Args<'_>, numbers: &[usize]) -> usize {
    let is_number = |place: &usize| args.get(*place).and_then(|arg| parse_integer(arg)).is_some();
    if numbers.iter().all(is_number) { numbers.iter().max().map_or(1, |last| last + 1) } else { 1 }
}

fn in_options(args: &Args<'_>, begin: usize, options: &[CommandOption]) -> SecretPlaces {
    let (mut places, mut at) = (SecretPlaces::default(), begin);
    while let Some(arg) = args.get(at) {
        let Some(option) = options.iter().find(|option| is(arg, option.name)) else {
            let first = if places.0.is_empty() { after_secret_option(args, options) } else { Some(at) };
            places.push(first.unwrap_or(args.len())..args.len());
            break;
        };
        let end = args.len().min((at + 1).saturating_add(option.arguments));
        if option.is_secret {
            places.push(at + 1..end);
        }
        at = end;
    }
    places
}

/// The place after the first word that is the name of a secret option, wherever it is.
fn after_secret_option(args: &Args<'_>, options: &[CommandOption]) -> Option<usize> {
    let is_secret = |arg: &&[u8]| options.iter().any(|option| option.is_secret && is(arg, option.name));
    args.iter().skip(1).position(is_secret).map(|place| place + 2)
}

/// The values after secret parameters' names.
fn in_parameters(args: &Args<'_>) -> SecretPlaces {
    let (mut places, mut at) = (SecretPlaces::default(), 2);
    while let Some(name) = args.get(at) {
        let setting = settings::SETTINGS.iter().find(|setting| is(name, setting.name));
        match setting {
            Some(setting) if setting.secret => places.push(at + 1..args.len().min(at + 2)),
            None if !places.0.is_empty() => {
                places.push(at..args.len());
                break;
            }
            // The command may be wrong: a name may be anywhere.
            _ if places.0.is_empty() => {
                at += 1;
                continue;
            }
            _ => {}
        }
        at += 2;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(line: &str) -> Vec<&str> {
        let words: Vec<&str> = line.split(' ').collect();
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let places = secret_places(&args);
        words.iter().enumerate().filter(|(place, _)| places.contains(*place)).map(|(_, word)| *word).collect()
    }

    #[test]
    fn users_and_passwords_are_secret() {
        assert_eq!(secrets("auth word"), ["word"]);
        assert_eq!(secrets("_hashseed 0123456789abcdef"), ["0123456789abcdef"]);
        assert_eq!(secrets("AUTH user word"), ["user", "word"]);
        assert_eq!(secrets("ACL SETUSER user >word"), ["user", ">word"]);
        assert!(secrets("ACL GETUSER user").is_empty());
        assert_eq!(secrets("HELLO 3 auth user word SETNAME me"), ["user", "word"]);
        assert_eq!(secrets("MIGRATE host 6379 k 0 5000 COPY AUTH word"), ["word"]);
        assert_eq!(secrets("MIGRATE host 6379 k 0 5000 AUTH2 user word KEYS k"), ["user", "word"]);
        assert_eq!(secrets("CONFIG SET timeout 5 RequirePass word masterauth other"), ["word", "other"]);
    }

    #[test]
    fn a_host_key_or_name_that_is_auth_hides_no_password_from_the_search() {
        assert_eq!(secrets("MIGRATE auth 6379 auth 0 5000 AUTH word"), ["word"]);
        assert_eq!(secrets("MIGRATE auth2 6379 auth 0 5000 AUTH2 user word KEYS auth2 k"), ["user", "word"]);
        assert_eq!(secrets("HELLO 3 SETNAME auth AUTH user word"), ["user", "word"]);
        assert!(secrets("MIGRATE host 6379 k 0 5000 KEYS auth k").is_empty());
    }

    #[test]
    fn passwords_in_commands_that_are_written_wrongly_are_secret() {
        assert_eq!(secrets("HELLO AUTH user word"), ["user", "word"]);
        assert_eq!(secrets("HELLO 3 AUTH user word and more"), ["user", "word", "and", "more"]);
        assert_eq!(secrets("MIGRATE host 6379 k 0 AUTH word"), ["word"]);
        assert_eq!(secrets("CONFIG SET timeout requirepass word"), ["word"]);
        assert_eq!(secrets("CONFIG SET requirepass my word"), ["my", "word"]);
        assert_eq!(secrets("CONFIG SET requirepass word timeout 5"), ["word"]);
        assert_eq!(secrets("MIGRATE host 6379 k AUTH 12345 5000"), ["12345", "5000"]);
        assert_eq!(secrets("MIGRATE host 6379 AUTH word 0 5000"), ["word", "0", "5000"]);
        assert_eq!(secrets("MIGRATE host 6379 k 0 5000 WRONG AUTH2 user word"), ["user", "word"]);
        assert_eq!(secrets("HELLO 3 SETNAME AUTH user word"), ["user", "word"]);
    }

    #[test]
    fn passwords_in_a_command_that_is_the_argument_of_another_are_secret() {
        assert_eq!(secrets("COMMAND GETKEYS AUTH user word"), ["user", "word"]);
        assert_eq!(secrets("COMMAND GETKEYS acl setuser user on >word"), ["user", "on", ">word"]);
        assert_eq!(secrets("command getkeysandflags MIGRATE host 6379 k 0 5000 AUTH word"), ["word"]);
        let nested = format!("{}AUTH word", "COMMAND GETKEYS ".repeat(100_000));
        assert_eq!(secrets(&nested), ["word"]);
        assert!(secrets("COMMAND INFO auth get").is_empty());
        assert!(secrets("COMMAND GETKEYS").is_empty());
    }

    #[test]
    fn nothing_else_is_secret_and_what_is_cut_short_is_not_read_past() {
        for line in [
            "GET auth",
            "AUTH",
            "HELLO 3",
            "HELLO 3 AUTH",
            "MIGRATE host 6379 k 0 5000",
            "CONFIG SET requirepass",
        ] {
            assert!(secrets(line).is_empty(), "{line}");
        }
        assert_eq!(secrets("HELLO 3 AUTH user"), ["user"]);
    }
}
