//! `perdura backup`: backups in a folder or an object store: begin, make, list, prove and prune them.
//!
//! - Standard output has the answer, as text for people or as JSON; messages and progress go to standard error.
//! - Nothing is removed before it was said what, and asked; `--yes` answers, and a run that no one watches needs it.

mod check;
mod copy;
mod create;
mod init;
mod list;
mod node;
mod prune;
mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressStyle};

use super::MISTAKE;
use super::failure::{self, Failure, GOOD};
use crate::backup::key::Key;
use crate::backup::repository::Repository;

pub const EXIT_CODES: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  something is damaged or missing
  2  a mistake in what was asked
  3  a running node has the folder
  4  it could not be done

URL is file:///folder or s3://bucket/prefix. Credentials and endpoint of an object store come from AWS_ACCESS_KEY_ID, \
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and the other usual variables.";

pub fn command() -> Command {
    Command::new("backup")
        .about("Back up data and log to a folder or an object store; list, verify, prune backups")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(
            [
                init::command(),
                create::command(),
                check::command(),
                list::command(),
                verify::command(),
                prune::command(),
                copy::command(),
                create_key(),
            ]
            .map(|command| command.after_help(EXIT_CODES)),
        )
}

fn create_key() -> Command {
    Command::new("create-key")
        .about("Make a file with a new random key, to encrypt backups with; without it they are lost")
        .arg(Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf)))
}

/// Arguments that say which repository.
pub fn repository_arguments(url: &'static str) -> [Arg; 3] {
    let aliases: &[&str] = if url == "at" { &["from", "to"] } else { &[] };
    [
        Arg::new("url")
            .long(url)
            .aliases(aliases.iter().copied())
            .value_name("URL")
            .required(true)
            .help("Where the backups are: file:///folder or s3://bucket/prefix"),
        Arg::new("key-file")
            .long("key-file")
            .value_name("FILE")
            .env("PERDURA_BACKUP_KEY_FILE")
            .hide_env_values(true)
            .value_parser(value_parser!(PathBuf))
            .help("The key that the backups are encrypted with; see create-key"),
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON document"),
    ]
}

pub fn url(matches: &ArgMatches) -> &str {
    matches.get_one::<String>("url").map_or("", String::as_str)
}

pub fn key_file(matches: &ArgMatches) -> Option<&Path> {
    matches.get_one::<PathBuf>("key-file").map(PathBuf::as_path)
}

pub fn open(matches: &ArgMatches) -> Result<Repository, Failure> {
    Ok(Repository::open(url(matches), key_file(matches))?)
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match matches.subcommand() {
        Some(("init", matches)) => init::run(matches, &mut out),
        Some(("check", matches)) => check::run(matches, &mut out),
        Some(("create", matches)) => create::run(matches, &mut out),
        Some(("list", matches)) => list::run(matches, &mut out),
        Some(("verify", matches)) => verify::run(matches, &mut out),
        Some(("copy", matches)) => copy::run(matches, &mut out),
        Some(("prune", matches)) => prune::run(matches, &mut out),
        Some(("create-key", matches)) => make_key(matches),
        _ => return ExitCode::from(MISTAKE),
    };
    failure::end(done, out)
}

fn make_key(matches: &ArgMatches) -> Result<u8, Failure> {
    if let Some(path) = matches.get_one::<PathBuf>("file") {
        Key::create(path)?;
    }
    Ok(GOOD)
}

/// A bar on a terminal; `what` is said before it.
pub fn progress_bar(what: &str, template: &str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    // A template that can't be parsed leaves the usual one.
    if let Ok(style) = ProgressStyle::with_template(&format!("{what} {template}")) {
        bar.set_style(style);
    }
    bar
}
