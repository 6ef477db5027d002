//! `perdura checkpoint`: take one, list them, prove them.

mod list;
mod now;
mod verify;

use std::io;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::log::{Folder, RunningNode, bytes_text, common_arguments, node_arguments};
use super::{MISTAKE, failure};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  a checkpoint is damaged
  2  a mistake in what was asked
  3  a running node has the folder
  4  there is no folder, or it can't be read; the node does not answer";

pub fn command() -> Command {
    let of_folder_or_node =
        |command: Command| command.args(common_arguments()).args(node_arguments()).after_help(EXIT_CODES);
    Command::new("checkpoint")
        .about("Take, list and verify checkpoints of the data")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(now::command())
        .subcommand(of_folder_or_node(list::command()))
        .subcommand(of_folder_or_node(verify::command()))
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match matches.subcommand() {
        Some(("now", matches)) => return now::run(matches),
        Some(("list", matches)) => list::run(matches, &mut out),
        Some(("verify", matches)) => verify::run(matches, &mut out),
        _ => return ExitCode::from(MISTAKE),
    };
    failure::end(done, out)
}
