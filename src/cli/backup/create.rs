//! `perdura backup create`: one backup now, of a running node or of the folder of one that does not run.

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgMatches, Command};
use serde::Serialize;

use super::node::NodeSource;
use super::progress_bar;
use crate::backup::create::{Created, create};
use crate::backup::folder::FolderSource;
use crate::backup::repository::{Owner, Repository};
use crate::backup::ship::Source;
use crate::cli::arguments;
use crate::cli::failure::{Failure, GOOD, write_json};
use crate::cli::log::{RunningNode, bytes_text, node_arguments, with_progress};
use crate::config::settings::Settings;
use crate::env::Clock;

pub fn command() -> Command {
    Command::new("create")
        .about("Store what is new: the newest checkpoint, and the log as far as it is committed")
        .args(super::repository_arguments("to"))
        .args(arguments::settings_named(&["dir", "config"]))
        .args(node_arguments())
}

#[derive(Serialize)]
struct Answer {
    /// The checkpoint that was stored; null where there is no new one.
    checkpoint: Option<u64>,
    checkpoint_bytes: u64,
    checkpoint_written_bytes: u64,
    /// The last entry before, and now.
    index_before: u64,
    index: u64,
    log_bytes: u64,
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let created = match source(matches)? {
        Which::Node(source) => {
            let repository = open(matches, source.owners())?;
            let known = repository.checkpoint_indexes()?;
            store(&repository, &mut source.without(known))?
        }
        Which::Folder(mut source) => store(&open(matches, &source.owners())?, &mut *source)?,
    };
    if matches.get_flag("json") {
        tell_json(out, &created)?
    } else {
        tell(out, &created)?
    }
    Ok(GOOD)
}

/// A node that runs, or the folder of one that does not.
pub enum Which {
    Node(NodeSource),
    Folder(Box<FolderSource>),
}

/// The node that was named by its address, or by its folder.
pub fn source(matches: &ArgMatches) -> Result<Which, Failure> {
    if let Some(node) = RunningNode::named(matches)? {
        return Ok(Which::Node(NodeSource::of(node)?));
    }
    let settings = Settings::resolve(&arguments::flags_of(matches), arguments::environment())?;
    let dir = settings.required("dir", |text| Ok(PathBuf::from(text)))?;
    let source = with_progress(|progress| FolderSource::open(&dir, progress))?;
    let source = source.ok_or_else(|| Failure::NoLog { folder: dir.display().to_string() })?;
    Ok(Which::Folder(Box::new(source)))
}

fn open(matches: &ArgMatches, (owner, older): &(Owner, Owner)) -> Result<Repository, Failure> {
    Ok(Repository::open_for_either(super::url(matches), super::key_file(matches), owner, older)?)
}

fn store(repository: &Repository, source: &mut dyn Source) -> Result<Created, Failure> {
    let bar = progress_bar("storing the checkpoint", "{bar:40} {bytes} of {total_bytes}");
    let created = create(repository, source, &Clock::system(), |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok(created?)
}

fn tell_json(out: &mut impl Write, created: &Created) -> Result<(), Failure> {
    let stored = created.checkpoint.unwrap_or_default();
    let Created { index_before, index, log_bytes, .. } = *created;
    write_json(
        out,
        &Answer {
            checkpoint: created.checkpoint.map(|stored| stored.index),
            checkpoint_bytes: stored.bytes,
            checkpoint_written_bytes: stored.written_bytes,
            index_before,
            index,
            log_bytes,
        },
    )
}

fn tell(out: &mut impl Write, created: &Created) -> Result<(), Failure> {
    match created.checkpoint {
        None => writeln!(out, "no new checkpoint")?,
        Some(stored) => writeln!(
            out,
            "checkpoint {}: {}, {} written for it",
            stored.index,
            bytes_text(stored.bytes),
            bytes_text(stored.written_bytes)
        )?,
    }
    let Created { index_before, index, log_bytes, .. } = created;
    let new = index - index_before.min(index);
    Ok(writeln!(out, "log: up to entry {index}, {new} of them new in {}", bytes_text(*log_bytes))?)
}
