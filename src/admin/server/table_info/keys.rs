//! COMMAND GETKEYS: the keys in a command's arguments, by its key specifications.

use super::resolve;
use super::row::key_flag_names;
use crate::admin::LocalContext;
use crate::admin::table::Table;
use crate::command::spec::{Flags, KeyFlags};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;

/// <https://redis.io/docs/latest/commands/command-getkeys/>
pub(super) fn getkeys(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let found = find(ctx.table, &args[2..])?;
    reply.array(found.len());
    found.iter().for_each(|(key, _)| reply.bulk(key));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/command-getkeysandflags/>
pub(super) fn getkeysandflags(
    ctx: &mut LocalContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let found = find(ctx.table, &args[2..])?;
    reply.array(found.len());
    for (key, flags) in found {
        reply.array(2);
        reply.bulk(key);
        let names = key_flag_names(flags);
        reply.set(names.len());
        names.iter().for_each(|name| reply.simple(name));
    }
    Ok(())
}

fn find<'a>(table: &Table, args: &Args<'a>) -> Result<Vec<(&'a [u8], KeyFlags)>, CommandError> {
    let command = resolve(table, args)?;
    let specs = command.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY));
    if specs.clone().next().is_none() {
        return Err(CommandError::other("ERR The command has no key arguments"));
    }
    let may_have_none = command.flags.contains(Flags::NO_MANDATORY_KEYS);
    if !may_have_none && specs.clone().any(|spec| spec.has_invalid_count(args)) {
        return Err(CommandError::other("ERR Invalid arguments specified for command"));
    }
    // What some do with their keys depends on their options.
    let depends = specs.clone().any(|spec| spec.flags.contains(KeyFlags::VARIABLE_FLAGS));
    let places: Vec<(usize, KeyFlags)> = match depends {
        true => command.asked(args).keys,
        false => specs.flat_map(|spec| spec.places(args).map(|place| (place, spec.flags))).collect(),
    };
    let found: Vec<(&[u8], KeyFlags)> =
        places.into_iter().map(|(place, flags)| (args[place], flags)).collect();
    if found.is_empty() {
        return match may_have_none {
            true => Ok(found),
            false => Err(CommandError::other("ERR Invalid arguments specified for command")),
        };
    }
    Ok(found)
}
