//! COMMAND LIST: names of commands, by category or pattern.

use super::told;
use crate::admin::LocalContext;
use crate::admin::table::TableRow;
use crate::command::args::is;
use crate::command::spec::Categories;
use crate::command::{Args, CommandError, CommandResult};
use crate::glob::{Case, Glob};
use crate::protocol::reply::Reply;

/// Commands and their subcommands; those that fit, if a filter is given.
/// <https://redis.io/docs/latest/commands/command-list/>
pub(super) fn list(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let commands = told(ctx.table);
    let fits: Fits<'_> = match args[2..] {
        [] => Box::new(|_| true),
        [filterby, kind, wanted] if is(filterby, "FILTERBY") => filter(kind, wanted)?,
        _ => return Err(CommandError::Syntax),
    };
    let all = commands.iter().flat_map(|row| std::iter::once(*row).chain(&row.subcommands));
    let names: Vec<String> = all.filter(|row| fits(row)).map(|row| row.full_name.clone()).collect();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

type Fits<'a> = Box<dyn Fn(&TableRow) -> bool + 'a>;

/// A module or category that does not exist fits nothing.
fn filter<'a>(kind: &[u8], wanted: &'a [u8]) -> Result<Fits<'a>, CommandError> {
    match kind {
        kind if is(kind, "MODULE") => Ok(Box::new(|_| false)),
        kind if is(kind, "ACLCAT") => {
            let category = category(wanted);
            Ok(Box::new(move |row| category.is_some_and(|category| row.categories.contains(category))))
        }
        kind if is(kind, "PATTERN") => {
            let glob = Glob::new(wanted, Case::Insensitive);
            Ok(Box::new(move |row| glob.matches(row.full_name.as_bytes())))
        }
        _ => Err(CommandError::Syntax),
    }
}

/// The ACL category of a name without its `@`, in any case.
fn category(name: &[u8]) -> Option<Categories> {
    let mut all = Categories::all().iter_names();
    all.find(|(category, _)| name.eq_ignore_ascii_case(category.as_bytes())).map(|(_, category)| category)
}
