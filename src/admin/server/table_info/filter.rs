//! COMMAND LIST: names of commands, by category or pattern.

use super::{Named, told};
use crate::command::args::is;
use crate::command::glob::{Case, Glob};
use crate::command::table::category;
use crate::command::{Args, CommandError, CommandResult, LocalContext};
use crate::protocol::reply::Reply;

/// Commands and their subcommands that fit, if a filter is given; commands alone without one.
/// <https://redis.io/docs/latest/commands/command-list/>
pub(super) fn list(_: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let commands = told();
    let names: Vec<String> = match args[2..] {
        [] => commands.iter().map(Named::full_name).collect(),
        [filterby, kind, wanted] if is(filterby, "FILTERBY") => {
            let fits = filter(kind, wanted)?;
            let all = commands.iter().flat_map(|named| std::iter::once(*named).chain(named.subcommands()));
            all.filter(|named| fits(named)).map(|named| named.full_name()).collect()
        }
        _ => return Err(CommandError::Syntax),
    };
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

type Fits<'a> = Box<dyn Fn(&Named) -> bool + 'a>;

/// A module or category that does not exist fits nothing.
fn filter<'a>(kind: &[u8], wanted: &'a [u8]) -> Result<Fits<'a>, CommandError> {
    match kind {
        kind if is(kind, "MODULE") => Ok(Box::new(|_| false)),
        kind if is(kind, "ACLCAT") => {
            let category = category(wanted);
            Ok(Box::new(move |named| {
                category.is_some_and(|category| named.row.categories_of(named.command()).contains(category))
            }))
        }
        kind if is(kind, "PATTERN") => {
            let glob = Glob::new(wanted, Case::Insensitive);
            Ok(Box::new(move |named| glob.matches(named.full_name().as_bytes())))
        }
        _ => Err(CommandError::Syntax),
    }
}
