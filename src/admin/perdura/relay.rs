//! PERDURA NOFORWARD: another node says that the connection carries its client's commands, and as which user.
//!
//! - A node shows that it is one by `masterauth`, or by `requirepass` as long as that opens everything: the primary then takes its word
//!   for the user, and judges by its own rules, which are never older.
//! - Where nodes share no password, the user `default` has to be open and unlimited: then everybody may do everything here.

use crate::admin::LocalContext;
use crate::admin::acl::log::Reason;
use crate::admin::users::{self, Known};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;

const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_SECRET: &str = "NOPERM nodes need a password that they share to send their clients' commands: --masterauth, which the \
    primary has as --requirepass, or as --masterauth";

/// `PERDURA NOFORWARD [user [password]]`: answers the connection's number. What its client wrote by way of other connections is
/// before the end of the log.
pub(super) fn noforward(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args[2..] {
        [] if ctx.client.authenticated => {}
        [] => return Err(CommandError::other("NOAUTH Authentication required.")),
        [user] => take_user(ctx, user, None)?,
        [user, password] => take_user(ctx, user, Some(password))?,
        _ => return Err(CommandError::Arity("perdura|noforward".into())),
    }
    ctx.client.forwarded = true;
    ctx.client.info.note_answer(ctx.shared.shard.status.lock().last_index);
    reply.simple(&ctx.client.info.id.to_string());
    Ok(())
}

fn take_user(ctx: &mut LocalContext<'_>, user: &[u8], password: Option<&[u8]>) -> CommandResult {
    let shared = ctx.shared;
    let Known { version, users } = shared.users();
    let default = users.default_user();
    let is_open = default.is_unlimited() && users::opens_without_password(default, &shared.config);
    let is_node = password.is_some_and(|password| {
        shared.config.is_masterauth(password)
            || default.is_unlimited()
                && !shared.config.needs_no_password()
                && shared.config.accepts_password(password)
    });
    if !is_node && !is_open {
        let Some(_) = password else { return Err(CommandError::other(NO_SECRET)) };
        ctx.client.wrong_passwords = ctx.client.wrong_passwords.saturating_add(1);
        shared.metrics.clients.wrong_passwords.inc();
        shared.guesses.note(shared.clock.monotonic_ms(), &ctx.client.info.addr);
        shared.note_denial(ctx.client, Reason::Auth, b"PERDURA NOFORWARD", user);
        return Err(CommandError::other(WRONG_PASS));
    }
    let user = users.get(user).ok_or(CommandError::other(WRONG_PASS))?;
    shared.let_in(ctx.client, user.clone(), version);
    Ok(())
}
