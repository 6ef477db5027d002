//! COMMAND DOCS: what each command is for.

mod arguments;

use super::{check_count, find, told};
use crate::admin::LocalContext;
use crate::admin::table::TableRow;
use crate::command::{Args, CommandResult};
use crate::protocol::reply::Reply;

/// Names that are no command's are left out. <https://redis.io/docs/latest/commands/command-docs/>
pub(super) fn docs(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    check_count(ctx.table, &args[2..])?;
    let asked: Vec<&TableRow> = match &args[2..] {
        [] => told(ctx.table),
        names => names.iter().filter_map(|name| find(ctx.table, name)).collect(),
    };
    reply.map(asked.len());
    reply.each(&asked, |reply, row| write(row, reply));
    Ok(())
}

fn write(row: &TableRow, reply: &mut Reply<'_>) {
    let (command, subcommands) = (row.command, &row.subcommands);
    let fields = [
        ("summary", command.docs.summary),
        ("since", command.docs.since),
        ("group", row.group),
        ("complexity", command.docs.complexity),
    ];
    reply.bulk(row.full_name.as_bytes());
    let has_arguments = arguments::are_known(&row.full_name);
    reply.map(fields.len() + usize::from(has_arguments) + usize::from(!subcommands.is_empty()));
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    arguments::write(&row.full_name, reply);
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        subcommands.iter().for_each(|subcommand| write(subcommand, reply));
    }
}
