//! `perdura export`: an RDB file of a node's data, which Redis and Valkey load.
//!
//! - Of a node that does not run its newest checkpoint is exported; a running node (`--addr`) takes one now and sends it, as it does
//!   for `redis-cli --rdb`.
//! - The file appears whole or not at all: it is written beside its place, synced, and renamed.

mod received;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::connection::Target;
use super::failure::{self, Failure, GOOD, write_json};
use super::log::{Folder, bytes_text, common_arguments, node_arguments};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::export::RdbExport;
use crate::command::script::library_code;

const EXIT_CODES: &str = "\
Exit codes:
  0  the file is written and synced
  1  the checkpoint is damaged
  2  a mistake in what was asked
  3  a running node has the folder: name it by --addr
  4  there is no checkpoint, the node does not answer or refuses, or the file can't be written";

pub fn command() -> Command {
    Command::new("export")
        .about("Write an RDB file of a node's data, which Redis 7 and Valkey load")
        .long_about(
            "Write an RDB file of a node's data. Of a data folder on which no node runs (--dir) the newest checkpoint is exported: \
             what was written after it is in the log alone. A running node (--addr) takes a checkpoint first, so that everything is in \
             the file that was acknowledged before; it goes on serving. Redis 7.0 reads the file, unless fields of hashes have \
             deadlines: then it takes Redis 7.4.",
        )
        .after_help(EXIT_CODES)
        .args(common_arguments())
        .args(node_arguments())
        .args([
            Arg::new("rdb")
                .long("rdb")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The file; one that is there is replaced once the new one is whole"),
            Arg::new("index")
                .long("index")
                .value_name("INDEX")
                .value_parser(value_parser!(u64))
                .conflicts_with("addr")
                .help("This checkpoint of the folder [default: the newest]"),
        ])
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = export(matches).and_then(|answer| {
        match matches.get_flag("json") {
            true => write_json(&mut out, &answer)?,
            false => answer.write_text(&mut out)?,
        }
        Ok(GOOD)
    });
    failure::end(done, out)
}

#[derive(Debug, Serialize)]
struct Answer {
    rdb: String,
    version: u16,
    keys: u64,
    bytes: u64,
    /// The last entry of the log that is in it, where a folder was exported.
    index: Option<u64>,
}

impl Answer {
    fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Answer { rdb, version, keys, bytes, index } = self;
        writeln!(out, "{rdb}: {keys} keys, {}, RDB version {version}", bytes_text(*bytes))?;
        if let Some(index) = index {
            writeln!(out, "as of entry {index}: what the log has after it is not in the file")?;
        }
        Ok(())
    }
}

fn export(matches: &ArgMatches) -> Result<Answer, Failure> {
    let Some(path) = matches.get_one::<PathBuf>("rdb") else {
        return Err(Failure::Mistake("--rdb: say where the file is to be".to_owned()));
    };
    let mut file = NewFile::beside(path)?;
    let answer = match matches.get_one::<String>("addr") {
        Some(_) => {
            let target = Target::named(matches).map_err(Failure::Mistake)?;
            let received = received::receive(&target, &mut |bytes| file.write(bytes))?;
            let received::Received { version, keys, bytes } = received;
            Answer { rdb: path.display().to_string(), version, keys, bytes, index: None }
        }
        None => export_folder(matches, path, &mut file)?,
    };
    file.publish()?;
    Ok(answer)
}

fn export_folder(matches: &ArgMatches, path: &Path, file: &mut NewFile) -> Result<Answer, Failure> {
    let folder = Folder::open(matches)?;
    let (_held, shelf) = (folder.lock()?, folder.shelf());
    let newest = folder.checkpoints()?.last().copied();
    let index = matches.get_one::<u64>("index").copied().or(newest).ok_or_else(|| {
        let reason = "there is no checkpoint: BGSAVE of a running node makes one, or export by --addr";
        Failure::Failed(format!("{}: {reason}", folder.name()))
    })?;
    let export = RdbExport::of_published(&shelf, index, library_code)?;
    let bar = ProgressBar::new(export.keys());
    // A template that can't be parsed leaves the usual one.
    if let Ok(style) = ProgressStyle::with_template("exporting {bar:40} {pos} of {len} keys") {
        bar.set_style(style);
    }
    let mut failed = None;
    let written = export.write(&mut |piece, made| {
        bar.set_position(made.keys);
        file.write(&piece).map_err(|failure| {
            failed = Some(failure);
            CheckpointError::GivenUp
        })
    });
    bar.finish_and_clear();
    if let Some(failure) = failed {
        return Err(failure);
    }
    let made = written?;
    Ok(Answer {
        rdb: path.display().to_string(),
        version: export.version(),
        keys: made.keys,
        bytes: made.bytes,
        index: Some(export.index()),
    })
}

/// A file that is not yet in its place; dropping it removes what was written.
struct NewFile {
    file: File,
    /// Where it is until it is whole.
    temporary: PathBuf,
    folder: PathBuf,
    path: PathBuf,
    is_published: bool,
}

impl NewFile {
    fn beside(path: &Path) -> Result<NewFile, Failure> {
        let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(Failure::Mistake(format!("--rdb: {} is no name of a file", path.display())));
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new(".")).to_owned();
        let name = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let temporary = folder.join(name);
        let file = File::create(&temporary).map_err(|error| failed(&temporary, error))?;
        Ok(NewFile { file, temporary, folder, path: path.to_owned(), is_published: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| failed(&self.temporary, error))
    }

    /// Syncs it and gives it its name.
    fn publish(mut self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| failed(&self.temporary, error))?;
        fs::rename(&self.temporary, &self.path).map_err(|error| failed(&self.path, error))?;
        self.is_published = true;
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failed(&self.folder, error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_published {
            // The export has failed, and has said why.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn failed(path: &Path, error: io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
