//! `perdura backup copy`: a backup, or what is new in it, to another place.

use std::io::Write;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;

use super::progress_bar;
use crate::backup::copy::{Copied, copy};
use crate::backup::error::BackupError;
use crate::backup::repository::Repository;
use crate::cli::failure::{DAMAGE, Failure, GOOD, write_json};
use crate::cli::log::bytes_text;

pub fn command() -> Command {
    let url = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("URL").required(true).help(help)
    };
    Command::new("copy")
        .about("Copy a backup to another place, or what is new in it since the last copy; an encrypted one takes no key")
        .args([
            url("from", "The backup: file:///folder or s3://bucket/prefix"),
            url("to", "Where the copy is, or is to be; it is made if missing"),
            Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON document"),
        ])
}

#[derive(Serialize)]
struct Answer {
    repository_id: String,
    copy_of: String,
    objects: u64,
    bytes: u64,
    /// Objects that the copy had already.
    known_objects: u64,
    problems: Vec<String>,
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let url = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let from = Repository::open_stored(url("from"))?;
    let to = Repository::begin_copy(url("to"), &from)?;
    let bar = progress_bar("copying", "{bar:40} {pos} of {len} objects");
    let copied = copy(&from, &to, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let Copied { objects, bytes, known, problems } = copied?;
    let answer = Answer {
        repository_id: format!("{:016x}", to.id()),
        copy_of: format!("{:016x}", from.id()),
        objects,
        bytes,
        known_objects: known,
        problems: problems.iter().map(BackupError::to_string).collect(),
    };
    match matches.get_flag("json") {
        true => write_json(out, &answer)?,
        false => tell(out, &answer)?,
    }
    Ok(if answer.problems.is_empty() { GOOD } else { DAMAGE })
}

fn tell(out: &mut impl Write, answer: &Answer) -> Result<(), Failure> {
    let Answer { repository_id, objects, bytes, known_objects, problems, .. } = answer;
    writeln!(
        out,
        "repository {repository_id}: {objects} objects copied, {}; {known_objects} were there",
        bytes_text(*bytes)
    )?;
    for problem in problems {
        writeln!(out, "DAMAGED: {problem}; it was not copied")?;
    }
    Ok(())
}
