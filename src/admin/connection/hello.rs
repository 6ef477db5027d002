//! HELLO and AUTH: who the client is, and which protocol it speaks.
//!
//! - A client names its user and one of its passwords; with a password alone it is the user `default` (`admin/users.rs`).
//! - HELLO answers in the protocol that it chooses, and changes nothing if any part of it is refused.

use std::sync::Arc;

use super::client::check_name;
use crate::acl::{self, User};
use crate::admin::LocalContext;
use crate::admin::acl::log::Reason;
use crate::admin::client::Client;
use crate::admin::server::REDIS_VERSION;
use crate::admin::shared::Shared;
use crate::admin::users::{self, Known};
use crate::command::args::is;
use crate::command::{Args, CommandError, CommandResult};
use crate::loading::REFUSAL;
use crate::protocol::number::parse_integer;
use crate::protocol::reply::{Reply, Resp};
use crate::pubsub::Kind;

const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the default user. \
    Are you sure your configuration is correct?";
const HELLO_NO_AUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
    HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
    version at the same time";

/// <https://redis.io/docs/latest/commands/auth/>
pub(super) fn auth(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args[1..] {
        [_] if ctx.shared.needs_no_password() => return Err(CommandError::other(NO_PASSWORD)),
        [password] => authenticate(ctx, acl::DEFAULT, password)?,
        [user, password] => authenticate(ctx, user, password)?,
        _ => return Err(CommandError::Syntax),
    }
    reply.ok();
    Ok(())
}

/// Lets the client have a user, if the password opens it.
fn authenticate(ctx: &mut LocalContext<'_>, user: &[u8], password: &[u8]) -> CommandResult {
    let (user, version) = opened(ctx, user, password)?;
    ctx.shared.let_in(ctx.client, user, version);
    Ok(())
}

/// The user that a password opens, and the version of the users that it was looked up in. A wrong one is counted.
fn opened(
    ctx: &mut LocalContext<'_>,
    user: &[u8],
    password: &[u8],
) -> Result<(Arc<User>, u64), CommandError> {
    let shared = ctx.shared;
    if !shared.knows_users() && user != acl::DEFAULT {
        return Err(CommandError::other(REFUSAL));
    }
    if let Some(opened) = find_opened(shared, user, password) {
        return Ok(opened);
    }
    ctx.client.wrong_passwords = ctx.client.wrong_passwords.saturating_add(1);
    shared.metrics.clients.wrong_passwords.inc();
    shared.guesses.note(shared.clock.monotonic_ms(), &ctx.client.info.addr);
    shared.note_denial(ctx.client, Reason::Auth, b"AUTH", user);
    Err(CommandError::other(WRONG_PASS))
}

fn find_opened(shared: &Shared, user: &[u8], password: &[u8]) -> Option<(Arc<User>, u64)> {
    let Known { version, users } = shared.users();
    let user = users.get(user).filter(|user| users::opens(user, password, &shared.config))?;
    Some((user.clone(), version))
}

/// The protocol that a client, which is authenticated, will speak after this HELLO; `None` where it stays the same.
pub fn foreseen_protocol(shared: &Shared, args: &Args<'_>) -> Option<Resp> {
    let greeting = parse(&args[1..]).ok()?;
    let may =
        greeting.credentials.is_none_or(|(user, password)| find_opened(shared, user, password).is_some());
    let is_named = greeting.name.is_none_or(|name| check_name(name).is_ok());
    greeting.resp.filter(|_| may && is_named)
}

/// What a HELLO asks for.
#[derive(Default)]
struct Greeting<'a> {
    resp: Option<Resp>,
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

/// <https://redis.io/docs/latest/commands/hello/>
pub(super) fn hello(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let greeting = parse(&args[1..])?;
    let opened = match greeting.credentials {
        Some((user, password)) => Some(opened(ctx, user, password)?),
        None if ctx.client.authenticated => None,
        None => return Err(CommandError::other(HELLO_NO_AUTH)),
    };
    greeting.name.map_or(Ok(()), check_name)?;
    if let Some((user, version)) = opened {
        ctx.shared.let_in(ctx.client, user, version);
    }
    if let Some(name) = greeting.name {
        ctx.client.info.details.lock().name = name.to_vec();
    }
    if let Some(resp) = greeting.resp {
        speak(ctx.client, ctx.shared, resp);
    }
    let mut encoded = Vec::new();
    introduce(ctx, &mut Reply::new(&mut encoded, ctx.client.resp));
    reply.raw(&encoded);
    Ok(())
}

fn parse<'a>(args: &Args<'a>) -> Result<Greeting<'a>, CommandError> {
    let Some((version, mut rest)) = args.split_first() else { return Ok(Greeting::default()) };
    let mut greeting = Greeting { resp: Some(protocol(version)?), ..Greeting::default() };
    while let Some(option) = rest.first() {
        match *rest {
            [option, user, password, ..] if is(option, "AUTH") => {
                greeting.credentials = Some((user, password));
                rest = &rest[3..];
            }
            [option, name, ..] if is(option, "SETNAME") => {
                greeting.name = Some(name);
                rest = &rest[2..];
            }
            _ => {
                let option = String::from_utf8_lossy(&option[..option.len().min(128)]).into_owned();
                return Err(CommandError::other(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        }
    }
    Ok(greeting)
}

fn protocol(version: &[u8]) -> Result<Resp, CommandError> {
    match parse_integer(version) {
        Some(2) => Ok(Resp::V2),
        Some(3) => Ok(Resp::V3),
        Some(_) => Err(CommandError::other("NOPROTO unsupported protocol version")),
        None => Err(CommandError::other("ERR Protocol version is not an integer or out of range")),
    }
}

/// Changes the protocol, of messages to come as well.
fn speak(client: &mut Client, shared: &Shared, resp: Resp) {
    client.resp = resp;
    let subscriber = (client.worker, client.connection);
    for (kind, names) in [
        (Kind::Channel, &client.channels),
        (Kind::Pattern, &client.patterns),
        (Kind::Shard, &client.shard_channels),
    ] {
        names.iter().for_each(|name| shared.pubsub.subscribe(kind, name, subscriber, resp));
    }
}

fn introduce(ctx: &LocalContext<'_>, reply: &mut Reply<'_>) {
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(if ctx.client.resp == Resp::V3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(ctx.client.info.id as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(if ctx.shared.shard.is_primary() { b"master" } else { b"replica" });
    reply.bulk(b"modules");
    reply.array(0);
}
