//! The arguments of XREAD and XREADGROUP: options, and streams with the ids behind which they are read.

use super::ids;
use crate::command::args::{integer, is, timeout_ms};
use crate::command::{Args, CommandError};
use crate::keyspace::types::stream::StreamId;

/// A time beyond this can't be waited for, by Redis' own arithmetic.
const MAX_BLOCK_MS: u64 = (i64::MAX / 2) as u64;

pub(super) struct ReadOptions<'b, 'a> {
    /// How long to wait; 0 is for ever.
    pub block_ms: Option<u64>,
    /// How many entries of each stream; 0 is all.
    pub count: u64,
    /// Group and consumer.
    pub group: Option<(&'a [u8], &'a [u8])>,
    pub no_ack: bool,
    pub keys: &'b Args<'a>,
    pub ids: &'b Args<'a>,
}

impl<'b, 'a> ReadOptions<'b, 'a> {
    pub(super) fn parse(args: &'b Args<'a>, of_group: bool) -> Result<Self, CommandError> {
        let mut options =
            ReadOptions { block_ms: None, count: 0, group: None, no_ack: false, keys: &[], ids: &[] };
        let mut rest = &args[1..];
        while let [option, tail @ ..] = rest {
            rest = tail;
            if is(option, "STREAMS") && !rest.is_empty() {
                options.take_streams(rest, of_group)?;
                break;
            }
            rest = options.take(option, rest, of_group)?;
        }
        if options.keys.is_empty() {
            return Err(CommandError::Syntax);
        }
        if of_group && options.group.is_none() {
            return Err(CommandError::other("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(options)
    }

    /// Reads one option; returns what is behind it.
    fn take(
        &mut self,
        option: &[u8],
        rest: &'b Args<'a>,
        of_group: bool,
    ) -> Result<&'b Args<'a>, CommandError> {
        let not_here = |option| {
            let text =
                format!("ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.");
            CommandError::other(text)
        };
        match rest {
            [value, rest @ ..] if is(option, "BLOCK") => {
                let block_ms = timeout_ms(value)?;
                if block_ms > MAX_BLOCK_MS {
                    return Err(CommandError::other("ERR timeout is out of range"));
                }
                self.block_ms = Some(block_ms);
                Ok(rest)
            }
            [value, rest @ ..] if is(option, "COUNT") => {
                self.count = integer(value)?.max(0) as u64;
                Ok(rest)
            }
            [_, _, ..] if is(option, "GROUP") && !of_group => Err(not_here("GROUP")),
            [group, consumer, rest @ ..] if is(option, "GROUP") => {
                self.group = Some((group, consumer));
                Ok(rest)
            }
            _ if is(option, "NOACK") && !of_group => Err(not_here("NOACK")),
            _ if is(option, "NOACK") => {
                self.no_ack = true;
                Ok(rest)
            }
            _ => Err(CommandError::Syntax),
        }
    }

    fn take_streams(&mut self, rest: &'b Args<'a>, of_group: bool) -> Result<(), CommandError> {
        if !rest.len().is_multiple_of(2) {
            let (name, symbol) = if of_group { ("xreadgroup", '>') } else { ("xread", '$') };
            let text = format!(
                "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
            );
            return Err(CommandError::other(text));
        }
        (self.keys, self.ids) = rest.split_at(rest.len() / 2);
        Ok(())
    }

    /// The most entries of each stream.
    pub(super) fn most(&self) -> u64 {
        if self.count == 0 { u64::MAX } else { self.count }
    }
}

/// Behind what a stream is read without a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// `$`: what comes from now on.
    LastId,
    /// `+`: the last entry and what comes after it.
    LastEntry,
    Id(StreamId),
}

impl After {
    pub(super) fn of_read(arg: &[u8]) -> Result<After, CommandError> {
        match arg {
            b"$" => Ok(After::LastId),
            b"+" => Ok(After::LastEntry),
            b">" => Err(CommandError::other(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            )),
            _ => ids::exact(arg, 0).map(After::Id),
        }
    }

    /// What a consumer reads of its group: `None` is what no consumer got yet, an id what is pending behind that.
    pub(super) fn of_group(arg: &[u8]) -> Result<Option<StreamId>, CommandError> {
        let meaningless = |symbol| {
            let text = format!(
                "ERR The {symbol} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The {symbol} ID would just return an empty result set."
            );
            Err(CommandError::other(text))
        };
        match arg {
            b"$" => meaningless('$'),
            b"+" => meaningless('+'),
            b">" => Ok(None),
            _ => Ok(Some(ids::exact(arg, 0)?).filter(|id| *id != StreamId::MAX)),
        }
    }
}
