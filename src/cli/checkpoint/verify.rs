//! `perdura checkpoint verify`: is every byte what was written? With `--deep`: does every record make the key that it was made of?

use std::io::Write;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use redis_protocol::resp2::types::OwnedFrame;
use serde::Serialize;

use super::{Folder, RunningNode, bytes_text};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::load::{Loading, verify_records};
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::shelf::Shelf;
use crate::cli::connection::{AskError, integer, parts};
use crate::cli::failure::{DAMAGE, Failure, GOOD, write_json};
use crate::keyspace::types::limits::TypeLimits;

#[derive(Debug, Serialize)]
struct Report {
    /// The folder, or the address of the node.
    place: String,
    sound: bool,
    deep: bool,
    checkpoints: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    index: u64,
    sound: bool,
    /// Keys and bytes that were proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

pub fn command() -> Command {
    Command::new("verify").about("Check every byte of the checkpoints: files, lengths, checksums").args([
        Arg::new("index")
            .long("index")
            .value_name("INDEX")
            .value_parser(value_parser!(u64))
            .help("Only this checkpoint [default: all]"),
        Arg::new("deep")
            .long("deep")
            .action(ArgAction::SetTrue)
            .conflicts_with("addr")
            .help("Also read every record, make the key of it, and compare digests: key by key, and of all"),
    ])
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let index = matches.get_one::<u64>("index").copied();
    let deep = matches.get_flag("deep");
    let (place, checkpoints) = match RunningNode::named(matches)? {
        Some(mut node) => {
            let which = index.map_or_else(|| "ALL".to_owned(), |index| index.to_string());
            // It reads all of them before it answers.
            node.be_patient().map_err(|error| node.failure(error))?;
            let verified = node.ask(&["PERDURA", "CHECKPOINT", "VERIFY", &which])?;
            let rows = parts(verified).and_then(|rows| rows.into_iter().map(Row::of_node).collect());
            (node.addr.clone(), rows.map_err(|error| node.failure(error))?)
        }
        None => {
            let folder = Folder::open(matches)?;
            (folder.checkpoint_folder(), verify_folder(&folder, index, deep)?)
        }
    };
    let report = Report { place, sound: checkpoints.iter().all(|row| row.sound), deep, checkpoints };
    if matches.get_flag("json") {
        write_json(out, &report)?
    } else {
        report.write_text(out)?
    }
    Ok(if report.sound { GOOD } else { DAMAGE })
}

fn verify_folder(folder: &Folder, index: Option<u64>, deep: bool) -> Result<Vec<Row>, Failure> {
    let (_held, shelf) = (folder.lock()?, folder.shelf());
    let indexes = match index {
        Some(index) => vec![index],
        None => folder.checkpoints()?,
    };
    indexes.into_iter().map(|index| Row::of(index, verify_one(&shelf, index, deep))).collect()
}

fn verify_one(shelf: &Shelf, index: u64, deep: bool) -> Result<Manifest, CheckpointError> {
    let bytes = shelf.manifest(index)?.bytes();
    let bar = ProgressBar::new(bytes);
    let style = ProgressStyle::with_template("checkpoint {msg} {bar:40} {bytes} of {total_bytes}");
    // A template that can't be parsed leaves the usual one.
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(index.to_string());
    let manifest = shelf.verify(index, |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    if !deep {
        return manifest;
    }
    let manifest = manifest?;
    let spinner = ProgressBar::new_spinner().with_message(format!("checkpoint {index}: its keys"));
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let loading = Loading { threads, limits: &TypeLimits::default() };
    let verified = verify_records(shelf, &manifest, &loading);
    spinner.finish_and_clear();
    verified.map(|_| manifest)
}

impl Row {
    fn of(index: u64, verified: Result<Manifest, CheckpointError>) -> Result<Row, Failure> {
        let row = Row { index, sound: false, keys: None, bytes: None, fault: None };
        match verified {
            Ok(manifest) => {
                let (keys, bytes) = (Some(manifest.keys()), Some(manifest.bytes()));
                Ok(Row { sound: true, keys, bytes, ..row })
            }
            Err(error) if error.is_damage() => Ok(Row { fault: Some(error.to_string()), ..row }),
            Err(error) => Err(error.into()),
        }
    }

    fn of_node(frame: OwnedFrame) -> Result<Row, AskError> {
        let [index, fault] = <[OwnedFrame; 2]>::try_from(parts(frame)?).map_err(|_| AskError::Foreign)?;
        let OwnedFrame::BulkString(fault) = fault else { return Err(AskError::Foreign) };
        let fault = Some(String::from_utf8_lossy(&fault).into_owned()).filter(|fault| !fault.is_empty());
        Ok(Row { index: integer(&index)? as u64, sound: fault.is_none(), keys: None, bytes: None, fault })
    }
}

impl Report {
    fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        for Row { index, keys, bytes, fault, .. } in &self.checkpoints {
            match (fault, keys, bytes) {
                (Some(fault), ..) => writeln!(out, "DAMAGED  {index}: {fault}")?,
                (None, Some(keys), Some(bytes)) => {
                    writeln!(out, "sound    {index}: {keys} keys, {}", bytes_text(*bytes))?;
                }
                _ => writeln!(out, "sound    {index}")?,
            }
        }
        let damaged = self.checkpoints.iter().filter(|row| !row.sound).count();
        let how = if self.deep { "key by key" } else { "byte by byte" };
        writeln!(
            out,
            "{}: {} checkpoints read {how}, {damaged} damaged",
            self.place,
            self.checkpoints.len()
        )?;
        Ok(())
    }
}
