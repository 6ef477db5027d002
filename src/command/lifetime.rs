//! How long a key or a field lives: the options EX, PX, EXAT, PXAT, KEEPTTL and PERSIST, and the arithmetic of EXPIRE.
//!
//! Relative times become absolute by the time of the context, so the entry of a log means the same in every replay.

use super::args::{integer, is};
use super::error::CommandError;

/// How an argument names a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Seconds from now (EX, EXPIRE).
    Seconds,
    /// Milliseconds from now (PX, PEXPIRE).
    Millis,
    /// Unix time in seconds (EXAT, EXPIREAT).
    UnixSeconds,
    /// Unix time in milliseconds (PXAT, PEXPIREAT).
    UnixMillis,
}

impl Timing {
    fn of_option(word: &[u8]) -> Option<Timing> {
        let options = [
            ("EX", Timing::Seconds),
            ("PX", Timing::Millis),
            ("EXAT", Timing::UnixSeconds),
            ("PXAT", Timing::UnixMillis),
        ];
        options.into_iter().find(|(name, _)| is(word, name)).map(|(_, timing)| timing)
    }

    /// Unix time in ms; `None` where 64 bits do not hold it.
    pub fn deadline_ms(self, value: i64, now_ms: i64) -> Option<i64> {
        match self {
            Timing::Seconds => value.checked_mul(1000)?.checked_add(now_ms),
            Timing::Millis => value.checked_add(now_ms),
            Timing::UnixSeconds => value.checked_mul(1000),
            Timing::UnixMillis => Some(value),
        }
    }

    /// Reads the time in `arg`, at least `least` in its own unit; `command` is named in the error.
    pub fn parse(
        self,
        arg: &[u8],
        least: i64,
        now_ms: i64,
        command: &'static str,
    ) -> Result<i64, CommandError> {
        let value = integer(arg)?;
        let deadline_ms = self.deadline_ms(value, now_ms).filter(|_| value >= least);
        deadline_ms.ok_or(CommandError::InvalidExpire(command))
    }
}

/// What becomes of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It stays as it is.
    Keep,
    /// There is none from now on.
    Clear,
    /// It is this one (unix ms), which may have passed already.
    Until(i64),
}

impl Lifetime {
    pub fn has_passed(self, now_ms: i64) -> bool {
        matches!(self, Lifetime::Until(deadline_ms) if deadline_ms <= now_ms)
    }

    /// The deadline that follows on `old`.
    pub fn deadline_ms(self, old: impl FnOnce() -> Option<i64>) -> Option<i64> {
        match self {
            Lifetime::Keep => old(),
            Lifetime::Clear => None,
            Lifetime::Until(deadline_ms) => Some(deadline_ms),
        }
    }
}

/// The lifetime option of a command: one kind of it, and if that is repeated, the last counts.
#[derive(Debug)]
pub struct LifetimeOption<'a> {
    keyword: &'static str,
    without: Lifetime,
    with_keyword: Lifetime,
    given: Option<Given<'a>>,
}

#[derive(Debug)]
enum Given<'a> {
    Keyword,
    At(Timing, &'a [u8]),
}

impl Given<'_> {
    /// Whether both are the same option, whatever the time.
    fn is_like(&self, other: &Given<'_>) -> bool {
        match (self, other) {
            (Given::Keyword, Given::Keyword) => true,
            (Given::At(one, _), Given::At(another, _)) => one == another,
            _ => false,
        }
    }
}

impl<'a> LifetimeOption<'a> {
    /// Of a command that writes a value: a new value lives for ever, unless it says KEEPTTL.
    pub fn of_setting() -> Self {
        LifetimeOption {
            keyword: "KEEPTTL",
            without: Lifetime::Clear,
            with_keyword: Lifetime::Keep,
            given: None,
        }
    }

    /// Of a command that reads a value: its deadline stays, unless it says PERSIST.
    pub fn of_getting() -> Self {
        LifetimeOption {
            keyword: "PERSIST",
            without: Lifetime::Keep,
            with_keyword: Lifetime::Clear,
            given: None,
        }
    }

    /// Takes the option that begins with `word`, its time off the front of `rest`; false if `word` begins none.
    pub fn take(&mut self, word: &[u8], rest: &mut &[&'a [u8]]) -> Result<bool, CommandError> {
        let given = if is(word, self.keyword) {
            Given::Keyword
        } else if let Some(timing) = Timing::of_option(word) {
            let (time, behind) = rest.split_first().ok_or(CommandError::Syntax)?;
            *rest = behind;
            Given::At(timing, time)
        } else {
            return Ok(false);
        };
        let agrees = self.given.as_ref().is_none_or(|before| before.is_like(&given));
        self.given = Some(given);
        agrees.then_some(true).ok_or(CommandError::Syntax)
    }

    /// What the option says; times below `least` are errors that name the command.
    pub fn resolve(&self, least: i64, now_ms: i64, command: &'static str) -> Result<Lifetime, CommandError> {
        match self.given {
            None => Ok(self.without),
            Some(Given::Keyword) => Ok(self.with_keyword),
            Some(Given::At(timing, time)) => timing.parse(time, least, now_ms, command).map(Lifetime::Until),
        }
    }
}

/// When EXPIRE and its kin may set a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireConditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl ExpireConditions {
    /// Reads NX, XX, GT and LT.
    pub fn parse(words: &[&[u8]]) -> Result<Self, CommandError> {
        let mut conditions = ExpireConditions::default();
        for word in words {
            match word.to_ascii_uppercase().as_slice() {
                b"NX" => conditions.nx = true,
                b"XX" => conditions.xx = true,
                b"GT" => conditions.gt = true,
                b"LT" => conditions.lt = true,
                _ => {
                    return Err(CommandError::other(format!(
                        "ERR Unsupported option {}",
                        String::from_utf8_lossy(word)
                    )));
                }
            }
        }
        conditions.check().map(|()| conditions)
    }

    fn check(self) -> Result<(), CommandError> {
        if self.nx && (self.xx || self.gt || self.lt) {
            return Err(CommandError::other(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if self.gt && self.lt {
            return Err(CommandError::other("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(())
    }

    /// Whether a deadline may replace `old`; no deadline counts as one that never comes.
    pub fn allow(self, old: Option<i64>, new: i64) -> bool {
        match old {
            None => !self.xx && !self.gt,
            Some(old) => !self.nx && (!self.gt || new > old) && (!self.lt || new < old),
        }
    }
}

/// Milliseconds as whole seconds, to the nearest one.
pub fn to_seconds(ms: i64) -> i64 {
    ms.saturating_add(500) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_do_not_fit_are_refused() {
        assert_eq!(Timing::Seconds.parse(b"10", 1, 5_000, "set"), Ok(15_000));
        assert_eq!(Timing::UnixMillis.parse(b"10", 1, 5_000, "set"), Ok(10));
        for (timing, text) in [
            (Timing::Seconds, "0"),
            (Timing::Seconds, "-1"),
            (Timing::Seconds, "9223372036854776"),
            (Timing::Millis, "9223372036854775807"),
            (Timing::UnixSeconds, "9223372036854775807"),
        ] {
            let parsed = timing.parse(text.as_bytes(), 1, 5_000, "set");
            assert_eq!(parsed, Err(CommandError::InvalidExpire("set")), "{timing:?} {text}");
        }
    }

    #[test]
    fn conditions_compare_with_the_old_deadline() {
        let conditions =
            |words: &[&[u8]]| ExpireConditions::parse(words).expect("conditions that go together");
        assert!(conditions(&[b"nx"]).allow(None, 5) && !conditions(&[b"NX"]).allow(Some(9), 5));
        assert!(!conditions(&[b"XX"]).allow(None, 5) && conditions(&[b"XX"]).allow(Some(9), 5));
        assert!(!conditions(&[b"GT"]).allow(None, 5) && !conditions(&[b"GT"]).allow(Some(5), 5));
        assert!(conditions(&[b"LT"]).allow(None, 5) && !conditions(&[b"LT"]).allow(Some(5), 5));
        assert!(!conditions(&[b"XX", b"LT"]).allow(None, 5));
        assert!(ExpireConditions::parse(&[b"GT", b"LT"]).is_err());
    }
}
