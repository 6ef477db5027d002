//! `perdura backup verify`: is everything in a backup what was stored, and is nothing missing?

use std::io::Write;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;

use super::list::{GapRow, SpanRow, gap_rows, span_rows, tell_spans};
use super::progress_bar;
use crate::backup::error::BackupError;
use crate::backup::repository::Sealed;
use crate::backup::sealed::{SealedReport, UNPROVEN, verify_sealed};
use crate::backup::verify::{Report, verify, verify_deeply};
use crate::cli::failure::{DAMAGE, Failure, GOOD, UNREADABLE, write_json};
use crate::cli::log::bytes_text;
use crate::data_folder::create_private;

pub fn command() -> Command {
    Command::new("verify")
        .about("Read and check every object, and that none is missing; of an encrypted backup without its key what can be seen without")
        .args(super::repository_arguments("at"))
        .arg(Arg::new("deep").long("deep").action(ArgAction::SetTrue).help(
            "Load the oldest checkpoint, replay the log, and compare digests at each later checkpoint; takes the data's memory",
        ))
}

#[derive(Serialize)]
struct Answer {
    good: bool,
    checkpoints: u64,
    log_objects: u64,
    pieces: u64,
    spare_pieces: u64,
    bytes: u64,
    replayed_checkpoints: u64,
    restorable: Vec<SpanRow>,
    gaps: Vec<GapRow>,
    /// Entries that only damaged objects have.
    lost: Vec<GapRow>,
    problems: Vec<String>,
}

/// What an encrypted backup shows without its key.
#[derive(Serialize)]
struct SealedAnswer {
    /// Nothing is wrong that can be seen.
    clean: bool,
    key: bool,
    unproven: [&'static str; 4],
    checkpoints: u64,
    log_objects: u64,
    pieces: u64,
    stored_bytes: u64,
    gaps: Vec<GapRow>,
    problems: Vec<String>,
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let sealed = if super::key_file(matches).is_none() { Sealed::open(super::url(matches))? } else { None };
    match sealed {
        Some(sealed) => run_sealed(matches, &sealed, out),
        None => run_open(matches, out),
    }
}

/// Looks at what can be seen without the key. That never ends as if all had been proven.
fn run_sealed(matches: &ArgMatches, sealed: &Sealed, out: &mut impl Write) -> Result<u8, Failure> {
    let bar = progress_bar("verifying", "{bar:40} {pos} of {len} objects");
    let verified = verify_sealed(sealed, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = verified?;
    tell_sealed(matches.get_flag("json"), out, &report)?;
    Ok(if report.is_clean() { UNREADABLE } else { DAMAGE })
}

fn tell_sealed(json: bool, out: &mut impl Write, report: &SealedReport) -> Result<(), Failure> {
    let answer = SealedAnswer {
        clean: report.is_clean(),
        key: false,
        unproven: UNPROVEN,
        checkpoints: report.checkpoints,
        log_objects: report.logs,
        pieces: report.pieces,
        stored_bytes: report.bytes,
        gaps: gap_rows(&report.gaps),
        problems: report.problems.iter().map(BackupError::to_string).collect(),
    };
    if json {
        return write_json(out, &answer);
    }
    let SealedAnswer { checkpoints, pieces, log_objects, stored_bytes, .. } = answer;
    let bytes = bytes_text(stored_bytes);
    writeln!(
        out,
        "read {bytes}: {checkpoints} checkpoints, {pieces} pieces, {log_objects} objects of the log"
    )?;
    for GapRow { first_index, last_index } in &answer.gaps {
        writeln!(out, "MISSING: entries {first_index} to {last_index}")?;
    }
    for problem in &answer.problems {
        writeln!(out, "DAMAGED: {problem}")?;
    }
    writeln!(
        out,
        "{}",
        if answer.clean { "checksums are right, and no entry is missing" } else { "something is wrong" }
    )?;
    writeln!(out, "the backup is encrypted: a key file is needed to prove")?;
    Ok(answer.unproven.iter().try_for_each(|what| writeln!(out, "- {what}"))?)
}

fn run_open(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let repository = super::open(matches)?;
    let bar = progress_bar("verifying", "{bar:40} {pos} of {len} objects");
    let verified = verify(&repository, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let mut report = verified?;
    if matches.get_flag("deep") && report.is_good() {
        let scratch = scratch_folder()?;
        let bar = progress_bar("replaying", "{bar:40} {pos} of {len} entries");
        let replayed = verify_deeply(&repository, &mut report, &scratch, |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        // It is in the folder for temporary files: what can't be removed goes with that.
        let _ = std::fs::remove_dir_all(&scratch);
        replayed?;
    }
    tell(matches.get_flag("json"), out, &report)?;
    Ok(if report.is_good() { GOOD } else { DAMAGE })
}

fn scratch_folder() -> Result<std::path::PathBuf, Failure> {
    let folder = std::env::temp_dir().join(format!("perdura-verify-{:016x}", crate::env::random_seed()));
    let created = create_private(&folder);
    created.map_err(|source| BackupError::Io { operation: "create", path: folder.clone(), source })?;
    Ok(folder)
}

fn tell(json: bool, out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    let answer = Answer {
        good: report.is_good(),
        checkpoints: report.checkpoints,
        log_objects: report.logs,
        pieces: report.pieces,
        spare_pieces: report.spare_pieces,
        bytes: report.bytes,
        replayed_checkpoints: report.replayed_checkpoints,
        restorable: span_rows(&report.spans),
        gaps: gap_rows(&report.gaps),
        lost: gap_rows(&report.lost),
        problems: report.problems.iter().map(BackupError::to_string).collect(),
    };
    if json {
        return write_json(out, &answer);
    }
    writeln!(
        out,
        "read {}: {} checkpoints in {} pieces, {} objects of the log",
        bytes_text(answer.bytes),
        answer.checkpoints,
        answer.pieces,
        answer.log_objects
    )?;
    if answer.replayed_checkpoints > 0 {
        writeln!(out, "replayed: the same data at {} later checkpoints", answer.replayed_checkpoints)?;
    }
    tell_spans(out, &answer.restorable, &answer.gaps)?;
    for GapRow { first_index, last_index } in &answer.lost {
        writeln!(out, "LOST: only damaged objects have entries {first_index} to {last_index}")?;
    }
    for problem in &answer.problems {
        writeln!(out, "DAMAGED: {problem}")?;
    }
    Ok(writeln!(out, "{}", if answer.good { "all is well" } else { "something is wrong" })?)
}
