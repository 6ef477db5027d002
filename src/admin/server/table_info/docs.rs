//! COMMAND DOCS: what each command is for.

use super::{Named, check_count, told};
use crate::command::{Args, CommandResult, LocalContext};
use crate::protocol::reply::Reply;

/// Names that are no command's are left out. <https://redis.io/docs/latest/commands/command-docs/>
pub(super) fn docs(_: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    check_count(&args[2..])?;
    let asked: Vec<Named> = match &args[2..] {
        [] => told(),
        names => names.iter().filter_map(|name| Named::find(name)).collect(),
    };
    reply.map(asked.len());
    reply.each(&asked, |reply, named| write(named, reply));
    Ok(())
}

fn write(named: &Named, reply: &mut Reply<'_>) {
    let command = named.command();
    let subcommands = named.subcommands();
    let fields = [
        ("summary", command.docs.summary),
        ("since", command.docs.since),
        ("group", named.row.family.group),
        ("complexity", command.docs.complexity),
    ];
    reply.bulk(named.full_name().as_bytes());
    reply.map(fields.len() + usize::from(subcommands.len() > 0));
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if subcommands.len() > 0 {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        subcommands.for_each(|subcommand| write(&subcommand, reply));
    }
}
