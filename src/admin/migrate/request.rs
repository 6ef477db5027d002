//! What a MIGRATE asks for.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::command::args::{integer, is};
use crate::command::{Args, CommandError};

/// What a timeout that is not positive stands for.
const DEFAULT_TIMEOUT_MS: u64 = 1000;

const KEY_BESIDE_KEYS: &str =
    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";

/// The password to tell the target, and perhaps the user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub user: Option<Box<[u8]>>,
    pub password: Box<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrateRequest {
    pub host: String,
    pub port: u16,
    /// The target's database.
    pub db: i64,
    /// How long the target may take for each step.
    pub timeout: Duration,
    /// The keys stay here.
    pub copy: bool,
    /// Keys of the same names are replaced there.
    pub replace: bool,
    pub credentials: Option<Credentials>,
    /// Each once.
    pub keys: Vec<Box<[u8]>>,
}

impl MigrateRequest {
    /// Reads `MIGRATE host port key db timeout …`; the number of arguments fits the command's arity.
    pub fn parse(args: &Args<'_>) -> Result<MigrateRequest, CommandError> {
        let mut request = MigrateRequest {
            host: String::from_utf8_lossy(args[1]).into_owned(),
            port: u16::try_from(integer(args[2])?).map_err(|_| CommandError::NotInteger)?,
            db: integer(args[4])?,
            timeout: timeout(integer(args[5])?),
            copy: false,
            replace: false,
            credentials: None,
            keys: vec![args[3].into()],
        };
        request.parse_options(args[3], &args[6..])?;
        Ok(request)
    }

    fn parse_options(&mut self, key: &[u8], mut rest: &Args<'_>) -> Result<(), CommandError> {
        while let [word, behind @ ..] = rest {
            rest = behind;
            if is(word, "COPY") {
                self.copy = true;
            } else if is(word, "REPLACE") {
                self.replace = true;
            } else if is(word, "AUTH")
                && let [password, behind @ ..] = rest
            {
                self.credentials = Some(Credentials { user: None, password: (*password).into() });
                rest = behind;
            } else if is(word, "AUTH2")
                && let [user, password, behind @ ..] = rest
            {
                let (user, password) = (Some((*user).into()), (*password).into());
                self.credentials = Some(Credentials { user, password });
                rest = behind;
            } else if is(word, "KEYS") && !rest.is_empty() {
                if !key.is_empty() {
                    return Err(CommandError::other(KEY_BESIDE_KEYS));
                }
                let distinct: BTreeSet<&[u8]> = rest.iter().copied().collect();
                self.keys = distinct.into_iter().map(Box::from).collect();
                return Ok(());
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(())
    }
}

fn timeout(timeout_ms: i64) -> Duration {
    let positive = u64::try_from(timeout_ms).ok().filter(|timeout_ms| *timeout_ms > 0);
    Duration::from_millis(positive.unwrap_or(DEFAULT_TIMEOUT_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<MigrateRequest, CommandError> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        MigrateRequest::parse(&words)
    }

    #[test]
    fn one_key_or_many_with_all_options() {
        let one = parse("MIGRATE h 6379 k 2 0").expect("a request");
        assert_eq!((one.host.as_str(), one.port, one.db), ("h", 6379, 2));
        assert_eq!(one.timeout, Duration::from_millis(1000));
        assert_eq!(one.keys, [Box::from(*b"k")]);
        let many = parse("MIGRATE h 1  0 5 COPY REPLACE AUTH2 KEYS auth KEYS a copy a").expect("a request");
        assert!(many.copy && many.replace);
        assert_eq!(many.timeout, Duration::from_millis(5));
        let credentials = Credentials { user: Some(Box::from(*b"KEYS")), password: Box::from(*b"auth") };
        assert_eq!(many.credentials, Some(credentials));
        assert_eq!(many.keys, [Box::from(&b"a"[..]), Box::from(&b"copy"[..])]);
    }

    #[test]
    fn nonsense_is_refused() {
        for (line, error) in [
            ("MIGRATE h x k 0 5", CommandError::NotInteger),
            ("MIGRATE h 65536 k 0 5", CommandError::NotInteger),
            ("MIGRATE h 1 k x 5", CommandError::NotInteger),
            ("MIGRATE h 1 k 0 5 AUTH", CommandError::Syntax),
            ("MIGRATE h 1 k 0 5 AUTH2 u", CommandError::Syntax),
            ("MIGRATE h 1 k 0 5 WRONG", CommandError::Syntax),
            ("MIGRATE h 1  0 5 KEYS", CommandError::Syntax),
            ("MIGRATE h 1 k 0 5 KEYS a", CommandError::other(KEY_BESIDE_KEYS)),
        ] {
            assert_eq!(parse(line), Err(error), "{line}");
        }
    }
}
