//! `perdura backup check`: can a place be used? Writes, reads and removes a small object.

use std::io::Write;

use clap::{ArgMatches, Command};
use serde::Serialize;

use crate::backup::error::BackupError;
use crate::backup::probe::{Probed, probe};
use crate::backup::repository::Repository;
use crate::backup::store::Store;
use crate::cli::failure::{DAMAGE, Failure, GOOD, write_json};
use crate::env::Clock;

pub fn command() -> Command {
    Command::new("check")
        .about("See whether a place can be used: write, read and remove a small object there, and read the backup's header")
        .args(super::repository_arguments("at"))
}

#[derive(Serialize)]
struct Answer {
    write_ms: u64,
    read_ms: u64,
    remove_ms: u64,
    /// Null where no backup was begun yet.
    repository_id: Option<String>,
    encrypted: bool,
    problem: Option<String>,
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let (url, clock) = (super::url(matches), Clock::system());
    let repository = match Repository::open(url, super::key_file(matches)) {
        Err(BackupError::NoRepository { .. }) => None,
        opened => Some(opened?),
    };
    let Probed { write_ms, read_ms, remove_ms } = match &repository {
        Some(repository) => probe(repository.store(), &clock)?,
        // A folder that is not there is an error: a check makes none.
        None => probe(&Store::open(url, false)?, &clock)?,
    };
    let problem = repository.as_ref().and_then(Repository::header_problem).map(|problem| problem.to_string());
    let answer = Answer {
        write_ms,
        read_ms,
        remove_ms,
        repository_id: repository.as_ref().map(|repository| format!("{:016x}", repository.id())),
        encrypted: repository.as_ref().is_some_and(Repository::is_encrypted),
        problem,
    };
    let code = if answer.problem.is_some() { DAMAGE } else { GOOD };
    match matches.get_flag("json") {
        true => write_json(out, &answer)?,
        false => tell(out, &answer)?,
    }
    Ok(code)
}

fn tell(out: &mut impl Write, answer: &Answer) -> Result<(), Failure> {
    let Answer { write_ms, read_ms, remove_ms, repository_id, problem, .. } = answer;
    writeln!(out, "an object was written in {write_ms} ms, read in {read_ms} ms, removed in {remove_ms} ms")?;
    match repository_id {
        Some(id) => writeln!(out, "repository {id} is there")?,
        None => writeln!(
            out,
            "no backup was begun here; the first start with --backup-to begins one, and so does `perdura backup init`. Where there was one, mount its disk or share"
        )?,
    }
    if let Some(problem) = problem {
        writeln!(out, "DAMAGED: {problem}; its copy is used, and the next node that ships mends it")?;
    }
    Ok(())
}
