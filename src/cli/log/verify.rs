//! `perdura log verify`: is every byte what was written?

use std::io::Write;

use clap::{Arg, ArgAction, ArgMatches, Command};
use perdura_wal::{Fault, Recovery, Verdict, WalError, verify_folder};
use serde::Serialize;

use super::deep::{self, DeepReport};
use super::folder::Folder;
use super::{DAMAGE, Failure, GOOD, bytes_text, write_json};

#[derive(Debug, Serialize)]
struct Report {
    folder: String,
    sound: bool,
    /// What a node that starts reads; none where no node starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<Read>,
    findings: Vec<Finding>,
    /// What replaying it came to, where that was asked for and all bytes are sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    deep: Option<DeepReport>,
}

#[derive(Debug, Serialize)]
struct Read {
    segments: usize,
    batches: u64,
    records: u64,
    bytes: u64,
    first_index: u64,
    last_index: u64,
    /// Whether a write that was under way when the node ended stands behind the last batch.
    torn_tail: bool,
}

#[derive(Debug, Serialize)]
struct Finding {
    file: Option<String>,
    offset: Option<u64>,
    expected: Option<String>,
    found: Option<String>,
    text: String,
}

pub fn command() -> Command {
    Command::new("verify")
        .about("Check every byte: checksums, the chain of batches, indexes, segments")
        .long_about(
            "Check every byte: checksums, the chain of batches, indexes, segments. Names all that is wrong by file and \
             offset, with what was expected and what was found, and says whether a node starts on the log: one does if all is \
             sound, and if only segments are damaged whose entries a whole checkpoint holds. With --deep the oldest checkpoint is loaded, the log applied to it, and keys and digest compared with what each \
             newer checkpoint says: that takes as much memory and time as a start.",
        )
        .arg(
            Arg::new("deep")
                .long("deep")
                .action(ArgAction::SetTrue)
                .help("Also replay the log from the oldest checkpoint, and compare with every newer one"),
        )
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let folder = Folder::open(matches)?;
    let verdict = folder.with_sources(|sources| verify_folder(&folder.disk, sources));
    let verdict = folder.found(verdict).map_err(|failure| match failure {
        Failure::InUse { folder } => Failure::Verified { folder },
        other => other,
    });
    let mut report = Report::of(&folder, verdict?);
    if report.sound && matches.get_flag("deep") {
        let deep = deep::verify(&folder)?;
        report.sound = deep.is_sound();
        report.deep = Some(deep);
    }
    if matches.get_flag("json") {
        write_json(out, &report)?
    } else {
        report.write_text(out)?
    }
    Ok(if report.sound { GOOD } else { DAMAGE })
}

impl Report {
    fn of(folder: &Folder, verdict: Verdict) -> Report {
        let folder = folder.name();
        match verdict {
            Verdict::Sound(recovery) => Report {
                folder,
                sound: true,
                read: Some(Read::of(&recovery)),
                findings: Vec::new(),
                deep: None,
            },
            Verdict::OldDamage(errors, recovery) => Report {
                folder,
                sound: false,
                read: Some(Read::of(&recovery)),
                findings: errors.iter().map(Finding::of).collect(),
                deep: None,
            },
            Verdict::Damaged(errors) => {
                let findings = errors.iter().map(Finding::of).collect();
                Report { folder, sound: false, read: None, findings, deep: None }
            }
        }
    }

    fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        for finding in &self.findings {
            writeln!(out, "DAMAGED  {}", finding.text)?;
        }
        let count = self.findings.len();
        let findings = if count == 1 { "finding" } else { "findings" };
        let Some(read) = &self.read else {
            writeln!(out, "{}: {count} {findings}; no node starts on this log", self.folder)?;
            return Ok(());
        };
        if !self.findings.is_empty() {
            writeln!(
                out,
                "{}: {count} {findings}, only in old segments whose entries a checkpoint holds: a node starts, sets them aside, \
                 and keeps entries {} to {}",
                self.folder, read.first_index, read.last_index
            )?;
            return Ok(());
        }
        writeln!(
            out,
            "{}: every byte is sound. {} segments, {} batches, {} records, {}; entries {} to {}",
            self.folder,
            read.segments,
            read.batches,
            read.records,
            bytes_text(read.bytes),
            read.first_index,
            read.last_index
        )?;
        if read.torn_tail {
            writeln!(
                out,
                "Behind them is a torn tail, which was never acknowledged; the next start cuts it"
            )?;
        }
        if let Some(deep) = &self.deep {
            deep.write_text(out)?;
        }
        Ok(())
    }
}

impl Read {
    fn of(recovery: &Recovery) -> Read {
        Read {
            segments: recovery.segments,
            batches: recovery.batches,
            records: recovery.records,
            bytes: recovery.bytes,
            first_index: recovery.first_index,
            last_index: recovery.last_index,
            torn_tail: recovery.torn_tail.is_some() || recovery.wiped.is_some(),
        }
    }
}

impl Finding {
    fn of(error: &WalError) -> Finding {
        let pair = |expected: String, found: String| (Some(expected), Some(found));
        let (expected, found) = match error {
            WalError::Damaged { fault, .. } => expected_and_found(fault),
            WalError::MissingSegment { missing, found } => pair(missing.clone(), found.clone()),
            WalError::MissingEntries { expected, found, .. } => pair(expected.to_string(), found.to_string()),
            WalError::Foreign { expected, found, .. } => {
                pair(format!("{expected:#018x}"), format!("{found:#018x}"))
            }
            WalError::CommitBeyondLog { commit, last } => pair(commit.to_string(), last.to_string()),
            _ => (None, None),
        };
        let offset = if let WalError::Damaged { offset, .. } = error { Some(*offset) } else { None };
        Finding { file: error.file().map(str::to_owned), offset, expected, found, text: error.to_string() }
    }
}

fn expected_and_found(fault: &Fault) -> (Option<String>, Option<String>) {
    let checksum = |crc: &u32| Some(format!("{crc:#010x}"));
    let number = |number: &u64| Some(number.to_string());
    match fault {
        Fault::Checksum { expected, found } | Fault::Chain { expected, found } => {
            (checksum(expected), checksum(found))
        }
        Fault::Index { expected, found }
        | Fault::Sequence { expected, found }
        | Fault::End { expected, found } => (number(expected), number(found)),
        Fault::Count { expected, found } => (Some(expected.to_string()), Some(found.to_string())),
        Fault::Length { announced, room } => (Some(format!("at most {room} bytes")), number(announced)),
        Fault::Term { floor, found } => (Some(format!("{floor} or more")), number(found)),
        Fault::LogId { expected, found } => {
            (Some(format!("{expected:#018x}")), Some(format!("{found:#018x}")))
        }
        Fault::Type { found } => (None, Some(found.to_string())),
        Fault::Version { found } => (None, Some(found.to_string())),
        Fault::Magic { found } => (None, Some(format!("{found:02x?}"))),
        Fault::Unwritten => (Some("a batch".to_owned()), Some("zeros".to_owned())),
    }
}
