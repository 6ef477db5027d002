//! PERDURA NOFORWARD and INDEX: another node says that the connection carries its client's commands, and as which user, and asks which
//! index it has to apply to have everything that was answered.
//!
//! - A node shows that it is one by `masterauth`, or by a password that clients have, too, as long as that opens everything: the primary
//!   then takes its word for the user, if both know the user in the same state, and judges by its own rules.
//! - Where nodes share no password, the user `default` has to be open and unlimited: then everybody may do everything here.

use crate::admin::LocalContext;
use crate::admin::acl::log::Reason;
use crate::admin::users::{self, Known};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;

const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_SECRET: &str = "NOPERM nodes need a password that they share to send their clients' commands: --masterauth, which the \
    primary has as --requirepass, or as --masterauth";

const OTHER_STATE: &str =
    "TRYAGAIN this node knows another state of the user than the one that sends its commands";

/// `PERDURA NOFORWARD [user state [password]]`: answers the connection's number. What its client wrote by way of other connections
/// is before the end of the log. The state is [`User::state`], as the sending node knows it: one that has missed a change, or has no
/// data yet, can't let in a client here that it should not have let in there.
pub(super) fn noforward(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args[2..] {
        [] if ctx.client.authenticated => {}
        [] => return Err(CommandError::other("NOAUTH Authentication required.")),
        [user, state] => take_user(ctx, (user, state), None)?,
        [user, state, password] => take_user(ctx, (user, state), Some(password))?,
        _ => return Err(CommandError::Arity("perdura|noforward".into())),
    }
    ctx.client.forwarded = true;
    ctx.client.info.note_answer(ctx.shared.shard.status.lock().last_index);
    reply.simple(ctx.client.info.id.to_string());
    Ok(())
}

/// `PERDURA INDEX`: the entries of all answers on this connection are at this index of the log, or before it.
pub(super) fn index(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.client.info.answered_index() as i64);
    Ok(())
}

fn take_user(
    ctx: &mut LocalContext<'_>,
    (user, state): (&[u8], &[u8]),
    password: Option<&[u8]>,
) -> CommandResult {
    let shared = ctx.shared;
    let Known { version, users } = shared.users();
    let default = users.default_user();
    let default_opens_all = default.is_on() && default.is_unlimited();
    let is_node = match password {
        Some(password) => {
            let is_clients = !shared.config.needs_no_password() && shared.config.accepts_password(password);
            // A password that clients have, too, proves no more than what clients may do with it.
            if is_clients { default_opens_all } else { shared.config.is_masterauth(password) }
        }
        None => false,
    };
    let is_open = default_opens_all && users::opens_without_password(default, &shared.config);
    if !is_node && !is_open {
        return Err(refuse(ctx, user, password.is_some()));
    }
    let known = users.get(user).ok_or(CommandError::other(OTHER_STATE))?;
    if *known.state() != *state {
        return Err(CommandError::other(OTHER_STATE));
    }
    shared.let_in(ctx.client, known.clone(), version);
    ctx.client.is_nodes = true;
    Ok(())
}

fn refuse(ctx: &mut LocalContext<'_>, user: &[u8], has_password: bool) -> CommandError {
    let shared = ctx.shared;
    if !has_password {
        return CommandError::other(NO_SECRET);
    }
    ctx.client.wrong_passwords = ctx.client.wrong_passwords.saturating_add(1);
    shared.metrics.clients.wrong_passwords.inc();
    shared.guesses.note(shared.clock.monotonic_ms(), &ctx.client.info.addr);
    shared.note_denial(ctx.client, Reason::Auth, b"PERDURA NOFORWARD", user);
    CommandError::other(WRONG_PASS)
}
