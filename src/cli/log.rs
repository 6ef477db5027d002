//! `perdura log`: what is in a node's log, and whether it is sound; and cutting it.
//!
//! - Of a node that does not run its data folder is read; a folder that a running node holds is refused. A running node is asked
//!   itself (`--addr`).
//! - Nothing but `compact` changes a byte of the folder.
//! - Standard output has the answer, as a table for people or as JSON; messages and progress go to standard error.
//! - What was secret in a command when it was sent is not shown.

mod compact;
mod deep;
mod entries;
mod entry;
mod folder;
mod node;
mod status;
mod verify;

use std::io;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

pub(super) use folder::{Folder, with_progress};
pub(super) use node::{RunningNode, Sent, node_arguments};

use super::failure::{self, DAMAGE, Failure, GOOD, write_json};
use super::{MISTAKE, arguments};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  the log is damaged
  2  a mistake in what was asked
  3  a running node has the folder
  4  there is no log, or it can't be read

Nothing but compact changes anything: the folder is only read. A torn tail (a write that was under way when the node ended, never
acknowledged) is no damage; the next start cuts it.";

pub fn command() -> Command {
    Command::new("log")
        .about("Look into a node's log, verify it, cut it")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(
            [
                status::command().args(node::node_arguments()),
                entries::inspect_command().args(node::node_arguments()),
                verify::command(),
                compact::command().args(node::node_arguments()),
                entries::tail_command().args(node::node_arguments()),
            ]
            .map(|command| command.args(common_arguments()).after_help(EXIT_CODES)),
        )
}

pub(super) fn common_arguments() -> Vec<Arg> {
    let mut arguments = arguments::settings_named(&["dir", "config"]);
    arguments.push(
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Print JSON: one document, or one a line for entries"),
    );
    arguments
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match matches.subcommand() {
        Some(("status", matches)) => status::run(matches, &mut out),
        Some(("inspect", matches)) => entries::inspect(matches, &mut out),
        Some(("verify", matches)) => verify::run(matches, &mut out),
        Some(("compact", matches)) => compact::run(matches, &mut out),
        Some(("tail", matches)) => entries::tail(matches, &mut out),
        _ => return ExitCode::from(MISTAKE),
    };
    failure::end(done, out)
}

/// Bytes in the unit that fits.
pub(super) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if bytes < 1024 { format!("{bytes} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        let texts = [0, 1023, 1024, 1 << 20, 1_073_741_823, 5 << 40].map(bytes_text);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 GiB", "5.0 TiB"]);
    }
}
