//! XGROUP and XACK. What changes a group alone is no change that WATCH sees, as in Redis.

use super::ids;
use super::{NEW_CONSUMER, NO_KEY_FOR_GROUP, discard, no_group_of_key, tell};
use crate::command::args::{integer, is};
use crate::command::events::Event;
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::config::events::Classes;
use crate::keyspace::types::stream::{Group, Stream, StreamId};
use crate::protocol::reply::Reply;

/// Options of CREATE and SETID.
#[derive(Default)]
struct Options {
    makes_stream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn parse(args: &Args<'_>, creates: bool) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut rest = &args[5..];
        loop {
            rest = match rest {
                [] => return Ok(options),
                [option, rest @ ..] if creates && is(option, "MKSTREAM") => {
                    options.makes_stream = true;
                    rest
                }
                [option, value, rest @ ..] if is(option, "ENTRIESREAD") => {
                    let read = integer(value)?;
                    if read < -1 {
                        return Err(CommandError::other("ERR value for ENTRIESREAD must be positive or -1"));
                    }
                    options.entries_read = Some(read).filter(|read| *read >= 0);
                    rest
                }
                _ => return Err(super::subcommand_syntax(args[0], args[1])),
            }
        }
    }
}

fn named_id(arg: &[u8], stream: Option<&Stream>) -> Result<StreamId, CommandError> {
    match arg {
        b"$" => Ok(stream.map_or(StreamId::MIN, |stream| stream.counters().last_id)),
        _ => ids::exact(arg, 0),
    }
}

/// <https://redis.io/docs/latest/commands/xgroup-create/>
pub(super) fn create(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let options = Options::parse(args, true)?;
    let (key, name) = (args[2], args[3]);
    let stream = ctx.collection::<Stream>(key)?;
    let is_new = stream.is_none();
    if is_new && !options.makes_stream {
        return Err(NO_KEY_FOR_GROUP);
    }
    if args.len() > 8 {
        return Err(super::subcommand_syntax(args[0], args[1]));
    }
    let id = named_id(args[4], stream)?;
    if stream.is_some_and(|stream| stream.group(name).is_some()) {
        return Err(CommandError::other("BUSYGROUP Consumer Group name already exists"));
    }
    ctx.collection_or_new::<Stream>(key)?.add_group(name, Group::new(id, options.entries_read));
    if is_new {
        ctx.touch_as(key, Event { class: Classes::STREAM, name: "xgroup-create" });
    } else {
        ctx.count_change();
        tell(ctx, "xgroup-create", key);
    }
    reply.ok();
    Ok(())
}

/// The stream of a subcommand that needs a group which is there.
fn with_group<'c>(ctx: &'c mut WriteContext<'_>, args: &Args<'_>) -> Result<&'c mut Stream, CommandError> {
    let stream = ctx.collection_mut::<Stream>(args[2])?.ok_or(NO_KEY_FOR_GROUP)?;
    if stream.group(args[3]).is_none() {
        return Err(no_group_of_key(args[3], args[2]));
    }
    Ok(stream)
}

/// <https://redis.io/docs/latest/commands/xgroup-setid/>
pub(super) fn setid(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let options = Options::parse(args, false)?;
    let stream = with_group(ctx, args)?;
    if !matches!(args.len(), 5 | 7) {
        return Err(super::subcommand_syntax(args[0], args[1]));
    }
    let id = match args[4] {
        b"-" => StreamId::MIN,
        b"+" => StreamId::MAX,
        arg => named_id(arg, Some(stream))?,
    };
    stream.edit_group(args[3], |group, _| (group.last_id, group.entries_read) = (id, options.entries_read));
    ctx.count_change();
    tell(ctx, "xgroup-setid", args[2]);
    reply.ok();
    Ok(())
}

/// Clients that wait for entries of the group are told: so the key is said to have changed.
/// <https://redis.io/docs/latest/commands/xgroup-destroy/>
pub(super) fn destroy(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let stream = ctx.collection_mut::<Stream>(args[2])?.ok_or(NO_KEY_FOR_GROUP)?;
    let removed = stream.remove_group(args[3]);
    reply.integer(i64::from(removed.is_some()));
    if removed.is_some() {
        ctx.touch_as(args[2], Event { class: Classes::STREAM, name: "xgroup-destroy" });
    }
    discard(ctx, removed);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/xgroup-createconsumer/>
pub(super) fn createconsumer(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let now_ms = ctx.now_ms;
    let stream = with_group(ctx, args)?;
    let is_new = stream.edit_group(args[3], |group, _| group.add_consumer(args[4], now_ms)).unwrap_or(false);
    if is_new {
        ctx.count_change();
        tell(ctx, NEW_CONSUMER, args[2]);
    }
    reply.integer(i64::from(is_new));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/xgroup-delconsumer/>
pub(super) fn delconsumer(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let stream = with_group(ctx, args)?;
    let pending = stream.edit_group(args[3], |group, _| group.remove_consumer(args[4])).flatten();
    if pending.is_some() {
        ctx.count_change();
        tell(ctx, "xgroup-delconsumer", args[2]);
    }
    reply.integer(pending.unwrap_or(0) as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/xgroup-help/>
pub(super) fn help(_: &ReadContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&[
        "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        "HELP",
        "    Print this help.",
    ]);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/xack/>
pub(super) fn xack(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let stream = ctx.collection::<Stream>(args[1])?;
    if stream.is_none_or(|stream| stream.group(args[2]).is_none()) {
        reply.integer(0);
        return Ok(());
    }
    let ids = ids::all(&args[3..])?;
    let acknowledge = |group: &mut Group, _: &Stream| ids.iter().filter(|id| group.acknowledge(**id)).count();
    let stream = ctx.collection_or_new::<Stream>(args[1])?;
    let acknowledged = stream.edit_group(args[2], acknowledge).unwrap_or(0);
    if acknowledged > 0 {
        ctx.count_change();
    }
    reply.integer(acknowledged as i64);
    Ok(())
}
