//! Which arguments of a command are secret: MONITOR, the slow log and `perdura log` show none of them.
//!
//! - They are found by their places in the command's syntax: a host, key or name may be the word "auth".
//! - A command that is written wrongly is shown, too. So after a credential, whatever the syntax does not know is taken for more of
//!   it, such as a password with a space in it.

use std::ops::Range;

use smallvec::SmallVec;

use super::Args;
use super::args::is;
use crate::config::settings;
use crate::protocol::number::parse_integer;

/// What is shown in place of a secret.
pub const REDACTED: &[u8] = b"(redacted)";

/// Arguments of MIGRATE before its options: its name, host, port, key, database and timeout.
const MIGRATE_FIXED: usize = 6;

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

/// The places of a request's secret arguments: names of users, passwords, the hash seed.
pub fn secret_places(args: &Args<'_>) -> SecretPlaces {
    match args {
        [name, ..] if is(name, "AUTH") || is(name, "_HASHSEED") => {
            SecretPlaces(std::iter::once(1..args.len()).collect())
        }
        [name, ..] if is(name, "HELLO") => in_options(args, options_begin(args, 1), &HELLO),
        [name, ..] if is(name, "MIGRATE") => {
            in_options(args, options_begin(args, MIGRATE_FIXED - 1), &MIGRATE)
        }
        [name, subcommand, ..] if is(name, "CONFIG") && is(subcommand, "SET") => in_parameters(args),
        _ => SecretPlaces::default(),
    }
}

/// Options begin behind a number; where there is none the command is wrong, and they may be anywhere.
fn options_begin(args: &Args<'_>, number_place: usize) -> usize {
    match args.get(number_place).and_then(|arg| parse_integer(arg)) {
        Some(_) => number_place + 1,
        None => 1,
    }
}

fn in_options(args: &Args<'_>, begin: usize, options: &[CommandOption]) -> SecretPlaces {
    let (mut places, mut at) = (SecretPlaces::default(), begin);
    while let Some(arg) = args.get(at) {
        let Some(option) = options.iter().find(|option| is(arg, option.name)) else {
            if places.0.is_empty() {
                at += 1;
                continue;
            }
            places.push(at..args.len());
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

/// The values behind secret parameters' names.
fn in_parameters(args: &Args<'_>) -> SecretPlaces {
    let mut places = SecretPlaces::default();
    for (place, name) in args.iter().enumerate().skip(2) {
        let setting = settings::SETTINGS.iter().find(|setting| is(name, setting.name));
        if setting.is_some_and(|setting| setting.secret) {
            places.push(place + 1..args.len().min(place + 2));
        }
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
