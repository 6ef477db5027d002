//! The passwords that clients may authenticate with: none, one, or two while one takes the place of another.
//!
//! - They come from `--requirepass`, or from the file of `--requirepass-file`, which is read again when it changes. Nothing else
//!   changes them, so a restart changes nothing.
//! - A replica authenticates at the primary with the first, unless `--masterauth` says otherwise; a primary takes either.

use std::path::Path;

use super::value::Secret;

/// Most passwords at a time.
const MAX_PASSWORDS: usize = 2;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passwords(Vec<Secret>);

impl Passwords {
    pub fn of(password: Option<Secret>) -> Passwords {
        Passwords(password.into_iter().collect())
    }

    /// Reads a file that has one password a line.
    ///
    /// # Errors
    /// What is wrong with the file, without what stands in it.
    pub fn read(path: &Path) -> Result<Passwords, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Passwords::parse(&text).map_err(|reason| format!("{}: {reason}", path.display()))
    }

    fn parse(text: &str) -> Result<Passwords, String> {
        let lines: Vec<&str> = text.lines().collect();
        if !(1..=MAX_PASSWORDS).contains(&lines.len()) {
            return Err(format!("it must have one line, or {MAX_PASSWORDS}, with a password each"));
        }
        let secrets: Vec<Secret> =
            lines.into_iter().map(Secret::parse).collect::<Result<Option<Vec<_>>, _>>()?.unwrap_or_default();
        if secrets.is_empty() {
            return Err("it has an empty line".to_owned());
        }
        Ok(Passwords(secrets))
    }

    /// The one that this node itself authenticates with.
    pub fn first(&self) -> Option<&Secret> {
        self.0.first()
    }

    /// Whether clients need none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares with all of them, in a time that depends on their lengths only.
    pub fn accept(&self, attempt: &[u8]) -> bool {
        self.0.iter().fold(false, |accepted, secret| accepted | secret.matches(attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_password_or_two() {
        let two = Passwords::parse("new\nold word\n").expect("two lines");
        assert_eq!(two.first().map(Secret::expose), Some("new"));
        assert!(two.accept(b"new") && two.accept(b"old word") && !two.accept(b"old") && !two.accept(b""));
        let one = Passwords::parse("new").expect("one line");
        assert!(one.accept(b"new") && !one.accept(b"old word"));
        for text in ["", "\n", "hush\n\n", "hush\nhush\nhush\n", &"hush".repeat(Secret::MAX_LEN)] {
            let error = Passwords::parse(text).expect_err("refused");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
