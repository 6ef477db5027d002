//! Actions as Redis commands, and replies as outcomes. Sans-IO.
//!
//! - An [`Exchange`] goes in rounds: all commands of a round are sent on one connection, in order, as a pipeline; when each has
//!   its reply, the exchange wants another round or has its outcome. Only [`Action::CompareAndSet`] takes two.
//! - An outcome is never better than what the replies prove: a reply that the command can't have becomes
//!   [`Value::Nonsense`], which is a finding of its own.
//! - An error is taken at its word ([`classify`]). If its word is false, the checks show it.

mod keys;

use crate::history::{Action, Micro, MicroValue, Outcome, Value};
use crate::resp::Reply;
use keys::{account_key, ledger_key, moves_key};

/// The name and the arguments.
pub type Command = Vec<Vec<u8>>;

/// What an error reply says about the command that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    DidNotHappen,
    InDoubt,
}

/// What an error reply says. Perdura's INDOUBT leaves it open; all other errors of Perdura and all of Redis are given by a
/// server that has not run the command, and so are texts that nobody knows: a false one is to be found, not to be excused.
pub fn classify(error: &str) -> Says {
    if error.starts_with("INDOUBT") || error.contains("may or may not have happened") {
        Says::InDoubt
    } else {
        Says::DidNotHappen
    }
}

/// What comes after a round of replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another round, on the same connection.
    Send(Vec<Command>),
    Done(Outcome),
}

/// One action on its way.
#[derive(Clone, Debug)]
pub struct Exchange<'a> {
    action: &'a Action,
    /// What the first round of a compare-and-set has read.
    seen: Option<Option<u64>>,
}

impl<'a> Exchange<'a> {
    /// The exchange and its first round.
    pub fn begin(action: &'a Action) -> (Exchange<'a>, Vec<Command>) {
        (Exchange { action, seen: None }, first_round(action))
    }

    /// Takes the replies to all commands of the round, in order.
    pub fn replies(&mut self, replies: &[Reply]) -> Progress {
        if let (Action::CompareAndSet { key, value }, None) = (self.action, self.seen) {
            return match watched(replies) {
                Ok(seen) => {
                    self.seen = Some(seen);
                    let set = command(["SET".into(), key.clone(), value.to_string()]);
                    Progress::Send(vec![word("MULTI"), set, word("EXEC")])
                }
                Err(outcome) => Progress::Done(outcome),
            };
        }
        Progress::Done(self.outcome(replies))
    }

    /// The connection was lost, or patience, before all replies of the round had come. To be asked only if something of the
    /// round may have been sent; else nothing happened.
    pub fn lost(&self, why: &str) -> Outcome {
        let only_watched = matches!(self.action, Action::CompareAndSet { .. }) && self.seen.is_none();
        if self.action.is_read() || only_watched {
            Outcome::DidNotHappen(why.to_owned())
        } else {
            Outcome::InDoubt(why.to_owned())
        }
    }

    fn outcome(&self, replies: &[Reply]) -> Outcome {
        let answer = match self.action {
            Action::CompareAndSet { .. } | Action::Transaction { .. } | Action::Transfer { .. } => {
                executed(replies)
            }
            _ => single(replies),
        };
        match answer {
            Ok(reply) => {
                Outcome::Ok(self.value(&reply).unwrap_or_else(|| Value::Nonsense(reply.to_string())))
            }
            Err(Outcome::InDoubt(why)) if self.action.is_read() => Outcome::DidNotHappen(why),
            Err(outcome) => outcome,
        }
    }

    /// What a reply that is no error means, or `None` if the command can't have it.
    fn value(&self, reply: &Reply) -> Option<Value> {
        match self.action {
            Action::Get { .. } | Action::GetExpiring { .. } => optional_number(reply).map(Value::Register),
            Action::Set { .. } | Action::SetExpiring { .. } => reply.is_ok().then_some(Value::Done),
            Action::OpenBank { .. } => integer(reply).map(|_| Value::Done),
            Action::CompareAndSet { .. } => {
                let [set] = array(reply)? else { return None };
                set.is_ok().then_some(Value::Swapped { seen: self.seen? })
            }
            Action::Add { .. } => integer(reply).map(Value::Counter),
            Action::ReadCounter { .. } => {
                optional_signed(reply).map(|total| Value::Counter(total.unwrap_or(0)))
            }
            Action::Append { .. } => length(reply).map(Value::Length),
            Action::ReadList { .. } | Action::ReadLedger { .. } => numbers(reply).map(Value::List),
            Action::SetAdd { .. } | Action::SetRemove { .. } => changed(reply).map(Value::Changed),
            Action::ReadSet { .. } => members(reply),
            Action::Transaction { micros } => transaction(micros, reply),
            Action::Transfer { .. } => moved(reply),
            Action::ReadAccounts { accounts, .. } => balances(reply, *accounts),
        }
    }
}

fn first_round(action: &Action) -> Vec<Command> {
    let one = |parts: Vec<String>| vec![command(parts)];
    match action {
        Action::Get { key } | Action::ReadCounter { key } | Action::GetExpiring { key } => {
            one(vec!["GET".into(), key.clone()])
        }
        Action::Set { key, value } => one(vec!["SET".into(), key.clone(), value.to_string()]),
        Action::CompareAndSet { key, .. } => {
            vec![command(["WATCH".into(), key.clone()]), command(["GET".into(), key.clone()])]
        }
        Action::Add { key, by } => one(vec!["INCRBY".into(), key.clone(), by.to_string()]),
        Action::Append { key, value } => vec![append(key, *value)],
        Action::ReadList { key } => vec![read_list(key)],
        Action::SetAdd { key, value } => one(vec!["SADD".into(), key.clone(), value.to_string()]),
        Action::SetRemove { key, value } => one(vec!["SREM".into(), key.clone(), value.to_string()]),
        Action::ReadSet { key } => one(vec!["SMEMBERS".into(), key.clone()]),
        Action::Transaction { micros } => in_transaction(micros.iter().map(micro).collect()),
        Action::OpenBank { bank, accounts, balance } => vec![open_bank(bank, *accounts, *balance)],
        Action::Transfer { bank, id, from, to, amount } => in_transaction(vec![
            command(["DECRBY".into(), account_key(bank, *from), amount.to_string()]),
            command(["INCRBY".into(), account_key(bank, *to), amount.to_string()]),
            append(&ledger_key(bank), *id),
            command(["INCR".into(), moves_key(bank)]),
        ]),
        Action::ReadAccounts { bank, accounts } => vec![read_accounts(bank, *accounts)],
        Action::ReadLedger { bank } => vec![read_list(&ledger_key(bank))],
        Action::SetExpiring { key, value, ttl_ms } => {
            one(vec!["SET".into(), key.clone(), value.to_string(), "PX".into(), ttl_ms.to_string()])
        }
    }
}

fn command(parts: impl IntoIterator<Item = String>) -> Command {
    parts.into_iter().map(String::into_bytes).collect()
}

fn word(name: &str) -> Command {
    command([name.to_owned()])
}

fn append(key: &str, value: u64) -> Command {
    command(["RPUSH".into(), key.to_owned(), value.to_string()])
}

fn read_list(key: &str) -> Command {
    command(["LRANGE".into(), key.to_owned(), "0".into(), "-1".into()])
}

fn micro(micro: &Micro) -> Command {
    match micro {
        Micro::Append { key, value } => append(key, *value),
        Micro::ReadList { key } => read_list(key),
    }
}

fn in_transaction(commands: Vec<Command>) -> Vec<Command> {
    let mut round = vec![word("MULTI")];
    round.extend(commands);
    round.push(word("EXEC"));
    round
}

/// Should it happen late, because nobody knew whether it had, it changes nothing.
fn open_bank(bank: &str, accounts: u32, balance: i64) -> Command {
    let pairs = (0..accounts).flat_map(|number| [account_key(bank, number), balance.to_string()]);
    command(std::iter::once("MSETNX".to_owned()).chain(pairs))
}

fn read_accounts(bank: &str, accounts: u32) -> Command {
    let keys = (0..accounts).map(|number| account_key(bank, number));
    command(std::iter::once("MGET".to_owned()).chain(keys).chain([moves_key(bank)]))
}

/// The one reply to a single command.
fn single(replies: &[Reply]) -> Result<Reply, Outcome> {
    match replies {
        [Reply::Error(error)] => Err(failed(error)),
        [reply] => Ok(reply.clone()),
        _ => Ok(Reply::Array(Some(replies.to_vec()))),
    }
}

/// What EXEC has answered, or why nothing or who knows what was executed.
fn executed(replies: &[Reply]) -> Result<Reply, Outcome> {
    let (Some(multi), Some(exec)) = (replies.first(), replies.last()) else {
        return Err(Outcome::InDoubt("no replies".into()));
    };
    if !multi.is_ok() {
        return Err(without_multi(replies));
    }
    match exec {
        Reply::Error(error) => Err(failed(error)),
        Reply::Array(None) | Reply::Bulk(None) => {
            Err(Outcome::DidNotHappen("EXEC did nothing: a watched key had changed".into()))
        }
        Reply::Array(Some(parts)) => match parts.iter().find_map(Reply::error) {
            Some(error) => Err(Outcome::InDoubt(format!("a part of the transaction failed: {error}"))),
            None => Ok(exec.clone()),
        },
        other => Ok(other.clone()),
    }
}

/// MULTI was refused, so that each command behind it stood alone.
fn without_multi(replies: &[Reply]) -> Outcome {
    let refused =
        replies.iter().all(|reply| reply.error().is_some_and(|text| classify(text) == Says::DidNotHappen));
    let why = format!("MULTI was answered with {}", replies[0]);
    if refused { Outcome::DidNotHappen(why) } else { Outcome::InDoubt(why) }
}

fn failed(error: &str) -> Outcome {
    match classify(error) {
        Says::DidNotHappen => Outcome::DidNotHappen(error.to_owned()),
        Says::InDoubt => Outcome::InDoubt(error.to_owned()),
    }
}

/// What WATCH and GET have found, or the outcome if they have not.
fn watched(replies: &[Reply]) -> Result<Option<u64>, Outcome> {
    if let Some(error) = replies.iter().find_map(Reply::error) {
        return Err(Outcome::DidNotHappen(error.to_owned()));
    }
    let seen = replies.get(1).and_then(optional_number);
    seen.ok_or_else(|| Outcome::Ok(Value::Nonsense(Reply::Array(Some(replies.to_vec())).to_string())))
}

fn parse<N: std::str::FromStr>(bytes: &[u8]) -> Option<N> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn optional<N: std::str::FromStr>(reply: &Reply) -> Option<Option<N>> {
    match reply {
        Reply::Bulk(None) => Some(None),
        Reply::Bulk(Some(bytes)) => parse(bytes).map(Some),
        _ => None,
    }
}

fn optional_number(reply: &Reply) -> Option<Option<u64>> {
    optional(reply)
}

fn optional_signed(reply: &Reply) -> Option<Option<i64>> {
    optional(reply)
}

fn integer(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Integer(number) => Some(*number),
        _ => None,
    }
}

fn length(reply: &Reply) -> Option<u64> {
    integer(reply).and_then(|length| u64::try_from(length).ok())
}

fn changed(reply: &Reply) -> Option<bool> {
    match reply {
        Reply::Integer(0) => Some(false),
        Reply::Integer(1) => Some(true),
        _ => None,
    }
}

fn array(reply: &Reply) -> Option<&[Reply]> {
    match reply {
        Reply::Array(Some(parts)) => Some(parts),
        _ => None,
    }
}

fn numbers(reply: &Reply) -> Option<Vec<u64>> {
    array(reply)?.iter().map(|part| optional_number(part).flatten()).collect()
}

fn members(reply: &Reply) -> Option<Value> {
    let mut members = numbers(reply)?;
    members.sort_unstable();
    Some(Value::Members(members))
}

fn transaction(micros: &[Micro], reply: &Reply) -> Option<Value> {
    let parts = array(reply)?;
    if parts.len() != micros.len() {
        return None;
    }
    let answers = micros.iter().zip(parts).map(|(micro, part)| match micro {
        Micro::Append { .. } => length(part).map(MicroValue::Length),
        Micro::ReadList { .. } => numbers(part).map(MicroValue::List),
    });
    answers.collect::<Option<Vec<_>>>().map(Value::Transaction)
}

fn moved(reply: &Reply) -> Option<Value> {
    let [from, to, entered, moves] = array(reply)? else { return None };
    Some(Value::Moved {
        from: integer(from)?,
        to: integer(to)?,
        entered: length(entered)?,
        moves: integer(moves)?,
    })
}

fn balances(reply: &Reply, accounts: u32) -> Option<Value> {
    let (moves, balances) = array(reply)?.split_last()?;
    if balances.len() != accounts as usize {
        return None;
    }
    let balances = balances.iter().map(optional_signed).collect::<Option<Vec<_>>>()?;
    Some(Value::Accounts { balances, moves: optional_signed(moves)?.unwrap_or(0) })
}

#[cfg(test)]
mod tests;
