//! `perdura log`: what is in the log of a node that does not run, and whether it is sound.
//!
//! - Nothing that these commands do changes a byte of the folder. A folder that a running node holds is refused.
//! - Standard output has the answer, as a table for people or as JSON; messages and progress go to standard error.
//! - What was secret in a command when it was sent is not shown.

mod entries;
mod entry;
mod folder;
mod status;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use perdura_wal::WalError;
use thiserror::Error;

use super::{MISTAKE, arguments, complain};

/// All is well.
const GOOD: u8 = 0;
/// The log is damaged.
const DAMAGE: u8 = 1;
/// A running node has the folder.
const IN_USE: u8 = 3;
/// There is no log, or it can't be read.
const UNREADABLE: u8 = 4;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  the log is damaged
  2  a mistake in what was asked
  3  a running node has the folder
  4  there is no log, or it can't be read

Nothing is changed: the folder is only read. A torn tail (a write that was under way when the node ended, never
acknowledged) is no damage; the next start cuts it.";

/// Why a command could not do what it was to do.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}")]
    Mistake(String),
    #[error("{folder}: {error}")]
    Log { folder: String, error: WalError },
    #[error("{folder}: a running node has it; stop that node, or ask it itself (INFO)")]
    InUse { folder: String },
    #[error("{folder}: there is no log")]
    NoLog { folder: String },
    #[error("{folder}: {source}")]
    Folder { folder: String, source: io::Error },
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Failure::Mistake(_) => MISTAKE,
            Failure::Log { error, .. } if error.is_damage() => DAMAGE,
            Failure::InUse { .. } => IN_USE,
            Failure::Log { .. } | Failure::NoLog { .. } | Failure::Folder { .. } => UNREADABLE,
            // Whoever reads the answer has seen enough of it.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => GOOD,
            Failure::Output(_) => UNREADABLE,
        }
    }
}

pub fn command() -> Command {
    Command::new("log")
        .about("Look into the log of a node that does not run")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(
            [status::command(), entries::inspect_command(), verify::command(), entries::tail_command()]
                .map(|command| command.args(common_arguments()).after_help(EXIT_CODES)),
        )
}

fn common_arguments() -> Vec<Arg> {
    let mut arguments = arguments::settings_named(&["dir", "config"]);
    arguments.push(
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Print JSON: one document, or one a line for entries"),
    );
    arguments
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match matches.subcommand() {
        Some(("status", matches)) => status::run(matches, &mut out),
        Some(("inspect", matches)) => entries::inspect(matches, &mut out),
        Some(("verify", matches)) => verify::run(matches, &mut out),
        Some(("tail", matches)) => entries::tail(matches, &mut out),
        _ => return ExitCode::from(MISTAKE),
    };
    let done = done.and_then(|code| Ok(out.flush().map(|()| code)?));
    ExitCode::from(done.unwrap_or_else(|failure| {
        let code = failure.exit_code();
        if code != GOOD {
            complain(failure);
        }
        code
    }))
}

/// Writes a value as one line of JSON.
fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// Bytes in the unit that fits.
fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if bytes < 1024 { format!("{bytes} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        let texts = [0, 1023, 1024, 1 << 20, 1_073_741_823, 5 << 40].map(bytes_text);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 GiB", "5.0 TiB"]);
    }
}
