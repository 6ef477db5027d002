//! `perdura backup create`: one backup now, of the folder of a node that does not run.

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgMatches, Command};
use serde::Serialize;

use super::progress_bar;
use crate::backup::create::{Created, create};
use crate::backup::folder::FolderSource;
use crate::backup::repository::Repository;
use crate::cli::arguments;
use crate::cli::failure::{Failure, GOOD, write_json};
use crate::cli::log::{bytes_text, with_progress};
use crate::config::settings::Settings;
use crate::env::Clock;

pub fn command() -> Command {
    Command::new("create")
        .about("Store what is new: the newest checkpoint, and the log as far as it is committed")
        .args(super::repository_arguments("to"))
        .args(arguments::settings_named(&["dir", "config"]))
}

#[derive(Serialize)]
struct Answer {
    /// The newest checkpoint in the backup.
    checkpoint: Option<u64>,
    checkpoint_bytes: u64,
    checkpoint_written_bytes: u64,
    /// The last entry before, and now.
    index_before: u64,
    index: u64,
    log_bytes: u64,
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let settings = Settings::resolve(&arguments::flags_of(matches), arguments::environment())?;
    let dir = settings.required("dir", |text| Ok(PathBuf::from(text)))?;
    let source = with_progress(|progress| FolderSource::open(&dir, progress))?;
    let mut source = source.ok_or_else(|| Failure::NoLog { folder: dir.display().to_string() })?;
    let repository =
        Repository::open_or_begin(super::url(matches), super::key_file(matches), &source.owner())?;
    let bar = progress_bar("storing the checkpoint", "{bar:40} {bytes} of {total_bytes}");
    let created = create(&repository, &mut source, &Clock::system(), |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let created = created?;
    if matches.get_flag("json") {
        tell_json(out, &created)?
    } else {
        tell(out, &created)?
    }
    Ok(GOOD)
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
        None => writeln!(out, "no checkpoint: there is none in the folder")?,
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
