//! CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO: what a client wants to know of what it may have cached.
//!
//! - Arguments are looked at in Redis' order, and errors are its own.
//! - A connection's prefixes are bounded.
//!
//! Source: <https://redis.io/docs/latest/commands/client-tracking/> and the pages beside it.

use std::sync::atomic::Ordering;

use super::on_off;
use crate::admin::LocalContext;
use crate::admin::client::Client;
use crate::admin::shared::Shared;
use crate::admin::tracking::{CachedReads, TrackingChoice};
use crate::command::args::{integer, is};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;
use crate::shard::tracking::TrackingWish;

/// Prefixes of one connection, and their bytes.
const MAX_PREFIXES: usize = 256;
const MAX_PREFIX_BYTES: usize = 16 << 10;

const ONE_REDIRECTION: &str = "ERR A client can only redirect to a single other client";
const NO_SUCH_TARGET: &str = "ERR The client ID you want redirect to does not exist";
const PREFIX_NEEDS_BCAST: &str = "ERR PREFIX option requires BCAST mode to be enabled";
const BCAST_STAYS: &str = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.";
const BCAST_ALONE: &str = "ERR OPTIN and OPTOUT are not compatible with BCAST";
const ONE_MODE: &str = "ERR You can't specify both OPTIN mode and OPTOUT mode";
const MODE_STAYS: &str = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.";
const NOT_SELECTING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled";
const YES_NEEDS_OPTIN: &str = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
const NO_NEEDS_OPTOUT: &str = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";

/// The options of CLIENT TRACKING.
#[derive(Default)]
struct Options<'a> {
    redirect: Option<u64>,
    prefixes: Vec<&'a [u8]>,
    broadcasts: bool,
    opts_in: bool,
    opts_out: bool,
    no_loop: bool,
}

impl<'a> Options<'a> {
    fn parse(mut args: &Args<'a>, shared: &Shared) -> Result<Options<'a>, CommandError> {
        let mut options = Options::default();
        while let Some((option, rest)) = args.split_first() {
            args = rest;
            match rest {
                [id, rest @ ..] if is(option, "REDIRECT") => {
                    options.add_redirection(id, shared)?;
                    args = rest;
                }
                [prefix, rest @ ..] if is(option, "PREFIX") => {
                    options.prefixes.push(*prefix);
                    args = rest;
                }
                _ if is(option, "BCAST") => options.broadcasts = true,
                _ if is(option, "OPTIN") => options.opts_in = true,
                _ if is(option, "OPTOUT") => options.opts_out = true,
                _ if is(option, "NOLOOP") => options.no_loop = true,
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(options)
    }

    fn add_redirection(&mut self, id: &[u8], shared: &Shared) -> CommandResult {
        if self.redirect.is_some() {
            return Err(CommandError::other(ONE_REDIRECTION));
        }
        let id = u64::try_from(integer(id)?).ok().filter(|id| shared.clients.get(*id).is_some());
        self.redirect = Some(id.ok_or(CommandError::other(NO_SUCH_TARGET))?);
        Ok(())
    }

    /// Whether they go together, and with what the client has chosen before.
    fn check(&self, before: Option<&TrackingChoice>) -> CommandResult {
        let refusal = match before {
            _ if !self.broadcasts && !self.prefixes.is_empty() => PREFIX_NEEDS_BCAST,
            Some(before) if before.broadcasts != self.broadcasts => BCAST_STAYS,
            _ if self.broadcasts && (self.opts_in || self.opts_out) => BCAST_ALONE,
            _ if self.opts_in && self.opts_out => ONE_MODE,
            Some(before) if self.opts_in && before.reads == CachedReads::OptOut => MODE_STAYS,
            Some(before) if self.opts_out && before.reads == CachedReads::OptIn => MODE_STAYS,
            _ => return Ok(()),
        };
        Err(CommandError::other(refusal))
    }

    fn reads(&self) -> CachedReads {
        match (self.opts_in, self.opts_out) {
            (true, _) => CachedReads::OptIn,
            (_, true) => CachedReads::OptOut,
            _ => CachedReads::All,
        }
    }
}

/// Prefixes that no key has both of, within the bounds.
fn check_prefixes(prefixes: &[&[u8]], before: &[Box<[u8]>]) -> CommandResult {
    let bytes = prefixes.iter().map(|prefix| prefix.len()).sum::<usize>()
        + before.iter().map(|prefix| prefix.len()).sum::<usize>();
    if prefixes.len() + before.len() > MAX_PREFIXES || bytes > MAX_PREFIX_BYTES {
        return Err(CommandError::other(format!(
            "ERR A client can have at most {MAX_PREFIXES} prefixes, and {MAX_PREFIX_BYTES} bytes of them"
        )));
    }
    let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    let refusal = |one: &[u8], which: &str, other: &[u8]| {
        let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
        CommandError::other(format!(
            "ERR Prefix '{one}' overlaps with {which} prefix '{other}'. Prefixes for a single client must not overlap."
        ))
    };
    for (nth, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = before.iter().find(|other| overlap(prefix, other)) {
            return Err(refusal(prefix, "an existing", other));
        }
        if let Some(other) = prefixes[nth + 1..].iter().find(|other| overlap(prefix, other)) {
            return Err(refusal(prefix, "another provided", other));
        }
    }
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-tracking/>
pub(super) fn tracking(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let options = Options::parse(&args[3..], ctx.shared)?;
    if on_off(args[2])? {
        begin_tracking(ctx, options)?;
    } else {
        end_tracking(ctx.client, ctx.shared);
    }
    reply.ok();
    Ok(())
}

fn begin_tracking(ctx: &mut LocalContext<'_>, options: Options<'_>) -> CommandResult {
    let (client, clients) = (&mut *ctx.client, &ctx.shared.clients);
    let (tracking, listener) = (&ctx.shared.shard.tracking, client.listener_id());
    let before = client.tracking.as_deref();
    options.check(before)?;
    let is_on = before.is_some();
    let begun_bytes = before.map_or(0, |before| before.begun_bytes);
    check_prefixes(&options.prefixes, &if is_on { tracking.prefixes(listener) } else { Vec::new() })?;
    let target = options.redirect.and_then(|id| clients.get(id));
    let every_key: &[&[u8]] = if options.broadcasts { &[b""] } else { &[] };
    let prefixes = if options.prefixes.is_empty() { every_key } else { &options.prefixes[..] };
    let wish = TrackingWish {
        broadcasts: options.broadcasts,
        no_loop: options.no_loop,
        prefixes: prefixes.iter().map(|prefix| Box::from(*prefix)).collect(),
        redirect: target.as_ref().map(|info| (info.id, (info.worker, info.connection))),
    };
    let is_broken = &client.info.redirection_is_broken;
    tracking.enable(listener, wish, is_broken);
    // It may have gone before its end was noted for this client.
    if options.redirect.is_some_and(|id| clients.get(id).is_none()) {
        is_broken.store(true, Ordering::Relaxed);
    }
    client.tracking = Some(Box::new(TrackingChoice {
        broadcasts: options.broadcasts,
        reads: options.reads(),
        no_loop: options.no_loop,
        redirect: options.redirect,
        begun_bytes,
        ..TrackingChoice::default()
    }));
    Ok(())
}

/// The client caches nothing any more.
pub(in crate::admin::connection) fn end_tracking(client: &mut Client, shared: &Shared) {
    if client.tracking.take().is_some() {
        shared.shard.tracking.disable(client.listener_id());
    }
}

/// <https://redis.io/docs/latest/commands/client-caching/>
pub(super) fn caching(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let choice = ctx.client.tracking.as_mut().ok_or(CommandError::other(NOT_SELECTING))?;
    match args[2] {
        yes if is(yes, "YES") && choice.reads != CachedReads::OptIn => {
            return Err(CommandError::other(YES_NEEDS_OPTIN));
        }
        no if is(no, "NO") && choice.reads != CachedReads::OptOut => {
            return Err(CommandError::other(NO_NEEDS_OPTOUT));
        }
        given if is(given, "YES") || is(given, "NO") => choice.caching = true,
        _ => return Err(CommandError::Syntax),
    }
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-getredir/>
pub(super) fn getredir(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(redirection(ctx.client));
    Ok(())
}

/// Redis' number: -1 without tracking, 0 without a redirection.
fn redirection(client: &Client) -> i64 {
    let shown = client.tracking.as_ref().map(|choice| choice.shown().redirect);
    shown.map_or(-1, |id| i64::try_from(id).unwrap_or(i64::MAX))
}

/// <https://redis.io/docs/latest/commands/client-trackinginfo/>
pub(super) fn trackinginfo(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let client = &*ctx.client;
    let flags = shown_flags(client);
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.integer(redirection(client));
    reply.bulk(b"prefixes");
    let is_on = client.tracking.is_some();
    let prefixes = if is_on { ctx.shared.shard.tracking.prefixes(client.listener_id()) } else { Vec::new() };
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}

fn shown_flags(client: &Client) -> Vec<&'static str> {
    let Some(choice) = &client.tracking else { return vec!["off"] };
    let (opts_in, opts_out) = (choice.reads == CachedReads::OptIn, choice.reads == CachedReads::OptOut);
    let flags = [
        ("on", true),
        ("bcast", choice.broadcasts),
        ("optin", opts_in),
        ("caching-yes", opts_in && choice.caching),
        ("optout", opts_out),
        ("caching-no", opts_out && choice.caching),
        ("noloop", choice.no_loop),
        ("broken_redirect", client.info.redirection_is_broken.load(Ordering::Relaxed)),
    ];
    flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag).collect()
}
