//! ACL: who the one user is, and the categories of commands.
//!
//! There is one user, `default`, who may do everything; users and rules of their own are not built.
//!
//! Source: <https://redis.io/docs/latest/commands/acl-cat/>, <https://redis.io/docs/latest/commands/acl-whoami/>.

use super::super::spec::{Categories, Flags};
use super::super::table::{category, commands};
use super::super::{Args, Command, CommandError, CommandResult, LocalContext};
use super::{ANYTIME, OPERATORS};
use crate::protocol::reply::Reply;

const QUESTION: Flags = ANYTIME.union(Flags::NOSCRIPT);

pub(super) const ACL: Command = Command::container(
    "acl",
    &[
        Command::local("cat", -2, cat).flags(&[QUESTION]).docs(
            "6.0.0",
            "O(1) since the categories and commands are a fixed set.",
            "Lists the ACL categories, or the commands inside a category.",
        ),
        Command::local("users", 2, users).flags(&[OPERATORS]).docs("6.0.0", "O(1)", "Lists all ACL users."),
        Command::local("whoami", 2, whoami).flags(&[QUESTION]).docs(
            "6.0.0",
            "O(1)",
            "Returns the authenticated username of the current connection.",
        ),
    ],
)
.docs("6.0.0", "Depends on subcommand.", "A container for Access List Control commands.");

fn cat(_: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let names: Vec<String> = match args[2..] {
        [] => Categories::all().iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect(),
        [name] => {
            let unknown = || format!("ERR Unknown category '{}'", String::from_utf8_lossy(name));
            members(category(name).ok_or_else(|| CommandError::other(unknown()))?)
        }
        _ => return Err(CommandError::Arity("acl|cat".into())),
    };
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

/// Commands of a category; of a container its subcommands.
fn members(category: Categories) -> Vec<String> {
    let mut names = Vec::new();
    for row in commands().filter(|row| !row.command.flags.contains(Flags::INTERNAL)) {
        let subcommands = row.command.subcommands.iter().zip(row.subcommand_names());
        let own = std::iter::once((row.command, row.command.name.to_owned()));
        let fitting =
            own.chain(subcommands).filter(|(command, _)| row.categories_of(command).contains(category));
        names.extend(fitting.map(|(_, name)| name));
    }
    names
}

fn users(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.array(1);
    reply.bulk(b"default");
    Ok(())
}

fn whoami(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk(b"default");
    Ok(())
}
