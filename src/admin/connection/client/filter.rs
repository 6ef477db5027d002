//! Which connections CLIENT LIST shows and CLIENT KILL ends: those that all given options fit.

use std::collections::BTreeSet;

use crate::admin::client::ClientInfo;
use crate::command::CommandError;
use crate::command::args::is;
use crate::protocol::number::parse_integer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientType {
    Normal,
    Pubsub,
    /// A node's link to another: those are no clients here, so nobody is of this type.
    Node,
}

/// No option fits everybody.
#[derive(Debug, Default)]
pub(super) struct Filter<'a> {
    client_type: Option<ClientType>,
    ids: Option<BTreeSet<u64>>,
    addr: Option<&'a [u8]>,
    local_addr: Option<&'a [u8]>,
    min_age_s: Option<u64>,
    spare_me: bool,
    user: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// CLIENT LIST's options.
    pub fn of_list(args: &[&'a [u8]]) -> Result<Filter<'a>, CommandError> {
        let mut filter = Filter::default();
        let mut rest = args;
        while let Some(option) = rest.first() {
            match *rest {
                [_, kind, ref behind @ ..] if is(option, "TYPE") => {
                    filter.client_type = Some(client_type(kind)?);
                    rest = behind;
                }
                [_, _, ..] if is(option, "ID") => {
                    let ids = rest[1..].iter().map(|id| client_id(id, "ERR Invalid client ID"));
                    filter.ids = Some(ids.collect::<Result<_, _>>()?);
                    rest = &[];
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(filter)
    }

    /// CLIENT KILL's only argument in its old form, which spares nobody.
    pub fn of_addr(addr: &'a [u8]) -> Filter<'a> {
        Filter { addr: Some(addr), ..Filter::default() }
    }

    /// CLIENT KILL's options.
    pub fn of_kill(args: &[&'a [u8]]) -> Result<Filter<'a>, CommandError> {
        let mut filter = Filter { spare_me: true, ..Filter::default() };
        let (pairs, []) = args.as_chunks::<2>() else { return Err(CommandError::Syntax) };
        for [option, value] in pairs {
            filter.add_kill_option(option, value)?;
        }
        Ok(filter)
    }

    fn add_kill_option(&mut self, option: &[u8], value: &'a [u8]) -> Result<(), CommandError> {
        match option {
            option if is(option, "ID") => {
                self.ids =
                    Some(BTreeSet::from([client_id(value, "ERR client-id should be greater than 0")?]));
            }
            option if is(option, "TYPE") => self.client_type = Some(client_type(value)?),
            option if is(option, "ADDR") => self.addr = Some(value),
            option if is(option, "LADDR") => self.local_addr = Some(value),
            option if is(option, "MAXAGE") => {
                let age = parse_integer(value)
                    .ok_or(CommandError::other("ERR maxage is not an integer or out of range"))?;
                let age = u64::try_from(age).ok().filter(|age| *age > 0);
                self.min_age_s = Some(age.ok_or(CommandError::other("ERR maxage should be greater than 0"))?);
            }
            option if is(option, "USER") => self.user = Some(value),
            option if is(option, "SKIPME") && is(value, "YES") => self.spare_me = true,
            option if is(option, "SKIPME") && is(value, "NO") => self.spare_me = false,
            _ => return Err(CommandError::Syntax),
        }
        Ok(())
    }

    /// The user whose connections are meant.
    pub fn user(&self) -> Option<&'a [u8]> {
        self.user
    }

    pub fn skips_me(&self) -> bool {
        self.spare_me
    }

    /// Whether a connection fits, at this monotonic time.
    pub fn matches(&self, info: &ClientInfo, now_ms: u64) -> bool {
        let age_s = now_ms.saturating_sub(info.connected_at_ms) / 1000;
        self.ids.as_ref().is_none_or(|ids| ids.contains(&info.id))
            && self.addr.is_none_or(|addr| addr == info.addr.as_bytes())
            && self.local_addr.is_none_or(|addr| addr == info.local_addr.as_bytes())
            && self.min_age_s.is_none_or(|age| age_s >= age)
            && self.user.is_none_or(|user| user == info.details.lock().user)
            && self.client_type.is_none_or(|wanted| wanted == type_of(info))
    }
}

fn type_of(info: &ClientInfo) -> ClientType {
    let details = info.details.lock();
    let subscriptions = details.channels + details.patterns + details.shard_channels;
    if subscriptions > 0 { ClientType::Pubsub } else { ClientType::Normal }
}

fn client_type(word: &[u8]) -> Result<ClientType, CommandError> {
    match word {
        word if is(word, "NORMAL") => Ok(ClientType::Normal),
        word if is(word, "PUBSUB") => Ok(ClientType::Pubsub),
        word if ["MASTER", "PRIMARY", "REPLICA", "SLAVE"].iter().any(|node| is(word, node)) => {
            Ok(ClientType::Node)
        }
        word => {
            let word = String::from_utf8_lossy(word);
            Err(CommandError::other(format!("ERR Unknown client type '{word}'")))
        }
    }
}

fn client_id(arg: &[u8], error: &'static str) -> Result<u64, CommandError> {
    let id = parse_integer(arg).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
    id.ok_or(CommandError::other(error))
}
