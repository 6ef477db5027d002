//! `perdura debug bundle`: one file for a bug report, with what nodes say of themselves and without what they hold.
//!
//! - In it: status, INFO, settings, the last messages, what log and checkpoints there are, what `perdura doctor` finds on this machine.
//! - Not in it: keys, values, entries of the log, slow commands, clients' names, passwords. A setting that is a secret is never asked for.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use redis_protocol::resp2::types::OwnedFrame;
use serde::Serialize;
use serde_json::Value;

use super::connection::{AskError, Connection};
use super::doctor::{self, Finding};
use super::failure::{self, DAMAGE, Failure, GOOD};
use super::log::bytes_text;
use super::status::group::{Group, GroupView, Member};
use super::status::{self, targets, timeout};
use super::{MISTAKE, arguments};
use crate::calendar::utc_text;
use crate::config::settings::Settings;
use crate::env::Clock;
use crate::version;

const EXIT_CODES: &str = "\
Exit codes:
  0  the file is written, and has everything
  1  the file is written; it and the messages say what is missing
  2  a mistake in what was asked
  4  the file can't be written";

/// The whole file.
#[derive(Debug, Serialize)]
struct Bundle {
    made_at: String,
    program: &'static str,
    /// Why something is missing.
    missing: Vec<String>,
    group: Option<GroupView>,
    nodes: Vec<NodePart>,
    /// The machine on which the bundle was made.
    machine: Vec<Finding>,
}

/// What one member adds to its status.
#[derive(Debug, Serialize)]
struct NodePart {
    node_id: u64,
    addr: String,
    settings: BTreeMap<String, String>,
    info: Vec<String>,
    messages: Vec<String>,
    log: Value,
    checkpoints: Value,
}

pub fn command() -> Command {
    Command::new("debug")
        .about("Gather what a bug report needs")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("bundle")
                .about("Write one file with what the members of a group say of themselves, without data and passwords")
                .long_about(
                    "Write one file with what the members of a group say of themselves: status, INFO, settings, last messages, log and \
                     checkpoints, and what `perdura doctor` finds on this machine. No keys, no values, no passwords; addresses and \
                     folders are in it: look at it before you send it. The password, if there is one, comes from PERDURA_REQUIREPASS.",
                )
                .after_help(EXIT_CODES)
                .args(status::arguments())
                .args(arguments::settings_named(&["dir", "config"]))
                .arg(
                    Arg::new("out")
                        .long("out")
                        .value_name("FILE")
                        .value_parser(value_parser!(PathBuf))
                        .help("The file; it must not be there yet [default: perdura-bundle-<time>.json]"),
                ),
        )
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let Some(("bundle", matches)) = matches.subcommand() else { return ExitCode::from(MISTAKE) };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = bundle(matches, &mut out);
    failure::end(done, out)
}

fn bundle(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let settings = Settings::resolve(&arguments::flags_of(matches), arguments::environment());
    let dir = settings.and_then(|settings| settings.required("dir", |text| Ok(PathBuf::from(text))));
    let dir = dir.map_err(|error| Failure::Mistake(error.to_string()))?;
    let made_at = utc_text(Clock::system().unix_ms());
    let usual = || PathBuf::from(format!("perdura-bundle-{}.json", made_at.replace(':', "-")));
    let path = matches.get_one::<PathBuf>("out").cloned().unwrap_or_else(usual);
    let mut bundle = Bundle {
        made_at,
        program: version::TEXT,
        missing: Vec::new(),
        group: None,
        nodes: Vec::new(),
        machine: doctor::of_machine(&dir),
    };
    match Group::ask(&targets(matches)?, timeout(matches)) {
        Ok(group) => bundle.add(&group, timeout(matches)),
        Err(failure) => bundle.missing.push(failure.to_string()),
    }
    let bytes =
        bundle.write(&path).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
    for missing in &bundle.missing {
        writeln!(out, "missing: {missing}")?;
    }
    writeln!(
        out,
        "{}: {} nodes, {}. It holds no keys, no values and no passwords, but addresses and folders: look at it before you send it",
        path.display(),
        bundle.nodes.len(),
        bytes_text(bytes)
    )?;
    Ok(if bundle.missing.is_empty() { GOOD } else { DAMAGE })
}

impl Bundle {
    fn add(&mut self, group: &Group, timeout: Duration) {
        let view = group.view(Clock::system().unix_ms());
        for member in view.members.iter().filter(|member| member.report.is_none()) {
            let reason = member.silent.as_deref().unwrap_or_default();
            self.missing.push(format!("node {}: {reason}", member.node_id));
        }
        self.group = Some(view);
        for member in &group.members {
            match NodePart::ask(member, timeout, &mut self.missing) {
                Ok(part) => self.nodes.push(part),
                Err(error) => self.missing.push(format!("node {}: {error}", member.report.node_id)),
            }
        }
    }

    /// Writes a new file, for its owner only; returns its bytes.
    fn write(&self, path: &Path) -> io::Result<u64> {
        let text = serde_json::to_string_pretty(self)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(text.len() as u64)
    }
}

impl NodePart {
    fn ask(member: &Member, timeout: Duration, missing: &mut Vec<String>) -> Result<NodePart, AskError> {
        let node_id = member.report.node_id;
        let mut connection = Connection::open(&member.target, timeout)?;
        let info = lines(connection.ask(&["INFO", "everything"])?);
        let mut ask = |words: &[&str]| match connection.ask(words) {
            Ok(answer) => value_of(answer),
            Err(error) => {
                missing.push(format!("node {node_id}: {}: {error}", words.join(" ")));
                Value::Null
            }
        };
        let settings = ask(&["PERDURA", "SETTINGS"]);
        let (log, checkpoints) =
            (ask(&["PERDURA", "LOG", "STATUS"]), ask(&["PERDURA", "CHECKPOINT", "LIST"]));
        let messages = ask(&["PERDURA", "MESSAGES"]);
        let settings = settings.as_object().into_iter().flatten();
        Ok(NodePart {
            node_id,
            addr: member.target.addr.to_string(),
            settings: settings
                .map(|(name, text)| (name.clone(), text.as_str().unwrap_or_default().to_owned()))
                .collect(),
            info,
            messages: messages.as_str().unwrap_or_default().lines().map(str::to_owned).collect(),
            log,
            checkpoints,
        })
    }
}

fn lines(answer: OwnedFrame) -> Vec<String> {
    value_of(answer).as_str().unwrap_or_default().lines().map(str::to_owned).collect()
}

/// An answer as JSON; an array of names and values by turns is a map.
fn value_of(answer: OwnedFrame) -> Value {
    match answer {
        OwnedFrame::Integer(number) => Value::from(number),
        OwnedFrame::SimpleString(text) | OwnedFrame::BulkString(text) => {
            Value::from(String::from_utf8_lossy(&text).into_owned())
        }
        OwnedFrame::Array(parts) => {
            let is_name =
                |part: &OwnedFrame| matches!(part, OwnedFrame::BulkString(name) if !name.is_empty());
            let is_map =
                !parts.is_empty() && parts.len().is_multiple_of(2) && parts.iter().step_by(2).all(is_name);
            let values: Vec<Value> = parts.into_iter().map(value_of).collect();
            if !is_map {
                return Value::from(values);
            }
            let pairs = values.chunks_exact(2);
            pairs.map(|pair| (pair[0].as_str().unwrap_or_default().to_owned(), pair[1].clone())).collect()
        }
        OwnedFrame::Error(_) | OwnedFrame::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_by_turns_become_a_map() {
        let text = |text: &str| OwnedFrame::BulkString(text.as_bytes().to_vec());
        let answer = OwnedFrame::Array(vec![
            text("index"),
            OwnedFrame::Integer(7),
            text("files"),
            OwnedFrame::Array(vec![text("a"), OwnedFrame::Integer(1), OwnedFrame::Integer(2)]),
        ]);
        assert_eq!(value_of(answer), serde_json::json!({"index": 7, "files": ["a", 1, 2]}));
        assert_eq!(value_of(OwnedFrame::Array(Vec::new())), serde_json::json!([]));
    }
}
