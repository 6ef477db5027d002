//! The keys that a blocking command waits for, each once: to wait for a key twice changes nothing and costs twice as much.

use std::collections::BTreeSet;

use crate::command::spec::FindKeys;
use crate::command::{Args, Command};

/// A blocking command's arguments without keys that were named before, where there are any.
pub struct OnceEach<'a> {
    args: Vec<&'a [u8]>,
    /// Where the arguments say how many keys there are: the place, and the number now.
    count: Option<(usize, String)>,
}

impl<'a> OnceEach<'a> {
    pub fn of(command: &Command, args: &Args<'a>) -> Option<OnceEach<'a>> {
        // Each of its keys has an id.
        if matches!(command.keys.first()?.find, FindKeys::FirstHalf) {
            return None;
        }
        let mut seen = BTreeSet::new();
        let places: Vec<usize> = command.awaited_places(args).collect();
        let keys: Vec<&[u8]> =
            places.iter().map(|place| args[*place]).filter(|key| seen.insert(*key)).collect();
        let (first, last) = (*places.first()?, *places.last()?);
        if keys.len() == places.len() {
            return None;
        }
        let is_counted = matches!(command.keys[0].find, FindKeys::KeyNum { .. });
        let count = is_counted.then(|| (first - 1, keys.len().to_string()));
        let args = [&args[..first], &keys, &args[last + 1..]].concat();
        Some(OnceEach { args, count })
    }

    pub fn args(&self) -> Vec<&[u8]> {
        let mut args = self.args.clone();
        if let Some((place, count)) = &self.count {
            args[*place] = count.as_bytes();
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lookup;

    fn narrowed(line: &str) -> String {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let command = lookup(args[0]).expect("a command").command;
        let once = OnceEach::of(command, &args);
        let args = once.as_ref().map_or(args, OnceEach::args);
        args.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_key_is_waited_for_once() {
        for (line, once) in [
            ("BLPOP a b a a b c 5", "BLPOP a b c 5"),
            ("BLPOP a b 5", "BLPOP a b 5"),
            ("BZPOPMIN a a 0", "BZPOPMIN a 0"),
            ("BLMPOP 0 3 a b a LEFT COUNT 2", "BLMPOP 0 2 a b LEFT COUNT 2"),
            ("BLMOVE a a LEFT RIGHT 0", "BLMOVE a a LEFT RIGHT 0"),
            ("XREAD BLOCK 0 STREAMS a a 1 2", "XREAD BLOCK 0 STREAMS a a 1 2"),
        ] {
            assert_eq!(narrowed(line), once);
        }
    }
}
