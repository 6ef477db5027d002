//! `perdura backup list`: what is in a backup, and to what it can be restored.

use std::io::Write;

use clap::{ArgMatches, Command};
use serde::Serialize;

use crate::backup::inventory::{Inventory, Span, Unusable};
use crate::backup::repository::Repository;
use crate::calendar::utc_text;
use crate::cli::failure::{DAMAGE, Failure, GOOD, write_json};
use crate::cli::log::bytes_text;

pub fn command() -> Command {
    Command::new("list")
        .about("Show checkpoints, the log, and to which points in time one can go back")
        .args(super::repository_arguments("at"))
}

#[derive(Serialize)]
struct Answer {
    cluster_id: String,
    log_id: Option<String>,
    encrypted: bool,
    checkpoints: Vec<CheckpointRow>,
    /// Checkpoints that can't be restored: they lack pieces, or their description is damaged.
    incomplete: Vec<u64>,
    /// Why, in the same order, and what else is wrong.
    problems: Vec<String>,
    log_objects: usize,
    log_bytes: u64,
    /// The end of the last of these.
    latest_restorable_time: Option<String>,
    restorable: Vec<SpanRow>,
    gaps: Vec<GapRow>,
}

#[derive(Serialize)]
struct CheckpointRow {
    index: u64,
    term: u64,
    time: String,
    keys: u64,
    bytes: u64,
}

/// Everything between two entries.
#[derive(Serialize)]
pub struct SpanRow {
    first_index: u64,
    last_index: u64,
    first_time: String,
    last_time: String,
}

/// Entries that are missing.
#[derive(Serialize)]
pub struct GapRow {
    pub first_index: u64,
    pub last_index: u64,
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let repository = super::open(matches)?;
    let inventory = repository.inventory()?;
    let answer = answer(&repository, &inventory);
    if matches.get_flag("json") {
        write_json(out, &answer)?;
    } else {
        tell(out, &repository, &answer)?;
    }
    let is_whole = answer.gaps.is_empty() && answer.problems.is_empty();
    Ok(if is_whole { GOOD } else { DAMAGE })
}

fn answer(repository: &Repository, inventory: &Inventory) -> Answer {
    let checkpoints = inventory.checkpoints.iter().map(|one| CheckpointRow {
        index: one.index,
        term: one.term,
        time: utc_text(one.stamp_ms),
        keys: one.keys,
        bytes: one.bytes,
    });
    let spans = inventory.spans();
    Answer {
        cluster_id: format!("{:016x}", repository.owner().cluster_id),
        log_id: repository.owner().log_id.map(|log_id| format!("{log_id:016x}")),
        encrypted: repository.is_encrypted(),
        checkpoints: checkpoints.collect(),
        incomplete: inventory.unusable.iter().map(|one| one.index).collect(),
        problems: problems(repository, inventory),
        log_objects: inventory.logs.len(),
        log_bytes: inventory.logs.iter().map(|log| log.bytes).sum(),
        latest_restorable_time: spans.last().map(|span| utc_text(span.last_ms)),
        restorable: span_rows(&spans),
        gaps: gap_rows(&inventory.gaps()),
    }
}

fn problems(repository: &Repository, inventory: &Inventory) -> Vec<String> {
    let unusable = inventory
        .unusable
        .iter()
        .map(|Unusable { index, why }| format!("INCOMPLETE: checkpoint {index} can't be restored: {why}"));
    let header = repository.header_problem().map(|problem| {
        format!("DAMAGED: {problem}; its copy is used, and the next node that ships mends it")
    });
    unusable.chain(header).collect()
}

pub fn span_rows(spans: &[Span]) -> Vec<SpanRow> {
    let row = |span: &Span| SpanRow {
        first_index: span.first,
        last_index: span.last,
        first_time: utc_text(span.first_ms),
        last_time: utc_text(span.last_ms),
    };
    spans.iter().map(row).collect()
}

pub fn gap_rows(gaps: &[(u64, u64)]) -> Vec<GapRow> {
    gaps.iter().map(|(first, last)| GapRow { first_index: *first, last_index: *last }).collect()
}

fn tell(out: &mut impl Write, repository: &Repository, answer: &Answer) -> Result<(), Failure> {
    let encrypted = if answer.encrypted { "encrypted" } else { "not encrypted" };
    writeln!(out, "backups of {}, {encrypted}", repository.owner())?;
    writeln!(out, "\n{:>20}  {:<24}  {:>12}  {:>10}", "checkpoint", "time (UTC)", "keys", "bytes")?;
    for CheckpointRow { index, time, keys, bytes, .. } in &answer.checkpoints {
        writeln!(out, "{index:>20}  {time:<24}  {keys:>12}  {:>10}", bytes_text(*bytes))?;
    }
    for problem in &answer.problems {
        writeln!(out, "{problem}")?;
    }
    writeln!(out, "\nlog: {} in {} objects", bytes_text(answer.log_bytes), answer.log_objects)?;
    if let Some(time) = &answer.latest_restorable_time {
        writeln!(out, "latest restorable time: {time}")?;
    }
    tell_spans(out, &answer.restorable, &answer.gaps)
}

pub fn tell_spans(out: &mut impl Write, spans: &[SpanRow], gaps: &[GapRow]) -> Result<(), Failure> {
    for SpanRow { first_index, last_index, first_time, last_time } in spans {
        writeln!(out, "can be restored: entries {first_index} to {last_index}, {first_time} to {last_time}")?;
    }
    if spans.is_empty() {
        writeln!(out, "nothing can be restored yet")?;
    }
    for GapRow { first_index, last_index } in gaps {
        writeln!(out, "MISSING: entries {first_index} to {last_index}")?;
    }
    Ok(())
}
