//! Which arguments of a command are secret: they are shown to nobody, neither by MONITOR nor in the slow log.

use std::ops::Range;

use super::Args;
use super::args::is;

/// What is shown in place of a secret.
pub const REDACTED: &[u8] = b"(redacted)";

/// The places of a request's secret arguments: names of users and passwords.
pub fn secret_places(args: &Args<'_>) -> Range<usize> {
    match args {
        [name, ..] if is(name, "AUTH") => 1..args.len(),
        [name, ..] if is(name, "HELLO") => behind(args, "AUTH", 2),
        [name, ..] if is(name, "MIGRATE") => {
            let places = behind(args, "AUTH2", 2);
            if places.is_empty() { behind(args, "AUTH", 1) } else { places }
        }
        _ => 0..0,
    }
}

/// The places of up to `count` arguments behind a keyword.
fn behind(args: &Args<'_>, keyword: &str, count: usize) -> Range<usize> {
    match args.iter().skip(1).position(|arg| is(arg, keyword)) {
        Some(place) => place + 2..args.len().min(place + 2 + count),
        None => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(line: &str) -> Vec<&str> {
        let words: Vec<&str> = line.split(' ').collect();
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        words[secret_places(&args)].to_vec()
    }

    #[test]
    fn users_and_passwords_are_secret() {
        assert_eq!(secrets("auth word"), ["word"]);
        assert_eq!(secrets("AUTH user word"), ["user", "word"]);
        assert_eq!(secrets("HELLO 3 auth user word SETNAME me"), ["user", "word"]);
        assert_eq!(secrets("MIGRATE host 6379 k 0 5000 COPY AUTH word"), ["word"]);
        assert_eq!(secrets("MIGRATE host 6379 k 0 5000 AUTH2 user word KEYS k"), ["user", "word"]);
    }

    #[test]
    fn nothing_else_is_secret_and_what_is_cut_short_is_not_read_past() {
        for line in ["GET auth", "AUTH", "HELLO 3", "HELLO 3 AUTH", "MIGRATE host 6379 k 0 5000"] {
            assert!(secrets(line).is_empty(), "{line}");
        }
        assert_eq!(secrets("HELLO 3 AUTH user"), ["user"]);
    }
}
