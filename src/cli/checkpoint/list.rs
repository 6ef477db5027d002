//! `perdura checkpoint list`: which there are, of which entry and time, how large.

use std::io::Write;

use clap::{ArgMatches, Command};
use redis_protocol::resp2::types::OwnedFrame;
use serde::Serialize;

use super::{Folder, RunningNode, bytes_text};
use crate::calendar::utc_text;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::manifest::Manifest;
use crate::cli::connection::{AskError, Fields, parts};
use crate::cli::failure::{DAMAGE, Failure, GOOD, write_json};

#[derive(Debug, Serialize)]
struct Row {
    index: u64,
    #[serde(flatten)]
    said: Option<Said>,
    /// Why nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What a checkpoint says of itself.
#[derive(Debug, Serialize)]
struct Said {
    term: u64,
    /// Unix time of the newest stamp that is in it.
    stamp_ms: i64,
    keys: u64,
    /// Bytes of its files; most are shared with other checkpoints.
    bytes: u64,
    files: u64,
    digest: String,
}

pub fn command() -> Command {
    Command::new("list").about("Show the checkpoints: entry, time, keys, bytes")
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let rows = match RunningNode::named(matches)? {
        Some(mut node) => {
            let listed = node.ask(&["PERDURA", "CHECKPOINT", "LIST"])?;
            let rows = parts(listed).and_then(|listed| listed.into_iter().map(Row::of_node).collect());
            rows.map_err(|error| node.failure(error))?
        }
        None => rows_of_folder(&Folder::open(matches)?)?,
    };
    if matches.get_flag("json") {
        write_json(out, &rows)?
    } else {
        write_text(&rows, out)?
    }
    Ok(if rows.iter().all(|row| row.error.is_none()) { GOOD } else { DAMAGE })
}

fn rows_of_folder(folder: &Folder) -> Result<Vec<Row>, Failure> {
    let (_held, shelf) = (folder.lock()?, folder.shelf());
    let indexes = folder.checkpoints()?.into_iter();
    Ok(indexes.map(|index| Row::of(index, shelf.manifest(index))).collect())
}

impl Row {
    fn of(index: u64, manifest: Result<Manifest, CheckpointError>) -> Row {
        match manifest {
            Ok(manifest) => Row { index, said: Some(Said::of(&manifest)), error: None },
            Err(error) => Row { index, said: None, error: Some(error.to_string()) },
        }
    }

    fn of_node(frame: OwnedFrame) -> Result<Row, AskError> {
        let fields = Fields::of(frame)?;
        let index = fields.number("index")?;
        if fields.has("error") {
            return Ok(Row { index, said: None, error: Some(fields.text("error")?) });
        }
        let said = Said {
            term: fields.number("term")?,
            stamp_ms: fields.signed("stamp_ms")?.unwrap_or(i64::MIN),
            keys: fields.number("keys")?,
            bytes: fields.number("bytes")?,
            files: fields.number("files")?,
            digest: fields.text("digest")?,
        };
        Ok(Row { index, said: Some(said), error: None })
    }
}

impl Said {
    fn of(manifest: &Manifest) -> Said {
        Said {
            term: manifest.point.term,
            stamp_ms: manifest.point.stamp_ms,
            keys: manifest.keys(),
            bytes: manifest.bytes(),
            files: manifest.files.len() as u64,
            digest: format!("{:032x}", manifest.digest()),
        }
    }
}

fn write_text(rows: &[Row], out: &mut impl Write) -> Result<(), Failure> {
    let (index, term, keys, bytes, time) = ("index", "term", "keys", "bytes", "newest (UTC)");
    writeln!(out, "{index:>10}  {term:>5}  {time:<24}  {keys:>12}  {bytes:>10}  digest")?;
    for Row { index, said, error } in rows {
        match said {
            Some(Said { term, stamp_ms, keys, bytes, digest, .. }) => {
                let (time, bytes) = (utc_text(*stamp_ms), bytes_text(*bytes));
                writeln!(out, "{index:>10}  {term:>5}  {time:<24}  {keys:>12}  {bytes:>10}  {digest}")?;
            }
            None => writeln!(out, "{index:>10}  {}", error.as_deref().unwrap_or_default())?,
        }
    }
    Ok(())
}
