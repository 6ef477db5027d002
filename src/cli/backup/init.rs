//! `perdura backup init`: begins a backup at a place where there is none.
//!
//! Nothing else begins one but the first start of a node with `--backup-to`, so that the empty folder of a disk that is not
//! mounted is never filled.

use std::io::Write;

use clap::{ArgMatches, Command};
use serde::Serialize;

use super::create::{Which, source};
use crate::backup::error::BackupError;
use crate::backup::repository::Repository;
use crate::cli::arguments;
use crate::cli::failure::{Failure, GOOD, write_json};
use crate::cli::log::node_arguments;

pub fn command() -> Command {
    Command::new("init")
        .about("Begin a backup of a node's cluster, where there is none: makes the folder, and stores nothing yet")
        .args(super::repository_arguments("at"))
        .args(arguments::settings_named(&["dir", "config"]))
        .args(node_arguments())
}

#[derive(Serialize)]
struct Answer {
    repository_id: String,
    /// It was there before.
    existed: bool,
    encrypted: bool,
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let source = source(matches)?;
    let (owner, older) = match &source {
        Which::Node(node) => node.owners().clone(),
        Which::Folder(folder) => folder.owners(),
    };
    let (url, key_file) = (super::url(matches), super::key_file(matches));
    let (repository, existed) = match Repository::open_for_either(url, key_file, &owner, &older) {
        Err(BackupError::NoRepository { .. }) => (Repository::begin(url, key_file, &owner)?, false),
        opened => (opened?, true),
    };
    let (id, encrypted) = (format!("{:016x}", repository.id()), repository.is_encrypted());
    if matches.get_flag("json") {
        write_json(out, &Answer { repository_id: id, existed, encrypted })?;
        return Ok(GOOD);
    }
    let done =
        if existed { "there is a backup already, and nothing was changed" } else { "a backup is begun" };
    let how = if encrypted { "encrypted" } else { "not encrypted" };
    writeln!(out, "{done}: repository {id} of {owner}, {how}")?;
    Ok(GOOD)
}
