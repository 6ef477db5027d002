//! `perdura checkpoint now`: a running node takes a checkpoint.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::cli::complain;
use crate::cli::connection::{self, AskError, Connection, Target};
use crate::cli::failure::{DAMAGE, UNREADABLE};

const TIMEOUT: Duration = Duration::from_secs(10);
/// How often the node is asked whether it is done: BGSAVE answers at once, as Redis's does, and INFO tells the rest.
const POLL: Duration = Duration::from_millis(50);

/// Why there is no new checkpoint.
#[derive(Debug, thiserror::Error)]
enum CheckpointNowError {
    #[error("{0}")]
    Ask(#[from] AskError),
    #[error("the checkpoint failed: {0}; the node's messages say more, and it tries again")]
    Failed(String),
    #[error("this server knows no checkpoints: it is not Perdura")]
    Unknown,
}

impl CheckpointNowError {
    fn exit_code(&self) -> u8 {
        match self {
            CheckpointNowError::Ask(_) | CheckpointNowError::Unknown => UNREADABLE,
            CheckpointNowError::Failed(_) => DAMAGE,
        }
    }
}

/// What a node tells of its newest checkpoint.
#[derive(Debug, Serialize)]
struct Newest {
    index: u64,
    keys: u64,
    bytes_written: u64,
    took_ms: u64,
}

pub fn command() -> Command {
    Command::new("now")
        .about("Take a checkpoint of a running node and wait until it is durable")
        .long_about(
            "Take a checkpoint of a running node and wait until it is durable. The password, if there is one, comes \
             from PERDURA_REQUIREPASS. Exit codes: 0 it is there, 1 it failed, 2 a mistake in what was asked, 4 the node \
             could not be asked.",
        )
        .args([connection::addr(), connection::user()])
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Answer with a JSON document"))
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let target = match Target::of(matches) {
        Ok(target) => target,
        Err(code) => return code,
    };
    match take(&target) {
        Ok(newest) => {
            tell(&newest, matches.get_flag("json"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(format_args!("{}: {error}", target.addr));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Asks for a checkpoint and waits for it. One that runs already does not do: it may lack what was written since it began.
fn take(target: &Target) -> Result<Newest, CheckpointNowError> {
    let mut connection = Connection::open(target, TIMEOUT)?;
    let spinner = ProgressBar::new_spinner().with_message("taking a checkpoint");
    spinner.enable_steady_tick(POLL);
    wait_until_idle(&mut connection)?;
    while let Err(error) = connection.ask(&["BGSAVE"]) {
        match error {
            AskError::Refused(text) if text.contains("in progress") => wait_until_idle(&mut connection)?,
            other => return Err(other.into()),
        }
    }
    wait_until_idle(&mut connection)?;
    spinner.finish_and_clear();
    match connection.info("perdura_checkpoint_failure")? {
        Some(reason) if !reason.is_empty() => Err(CheckpointNowError::Failed(reason)),
        _ => newest(&mut connection),
    }
}

fn wait_until_idle(connection: &mut Connection) -> Result<(), CheckpointNowError> {
    while number(connection, "rdb_bgsave_in_progress")? != 0 {
        thread::sleep(POLL);
    }
    Ok(())
}

fn newest(connection: &mut Connection) -> Result<Newest, CheckpointNowError> {
    Ok(Newest {
        index: number(connection, "perdura_checkpoint_index")?,
        keys: number(connection, "perdura_checkpoint_keys")?,
        bytes_written: number(connection, "perdura_checkpoint_bytes_written")?,
        took_ms: number(connection, "perdura_checkpoint_took_ms")?,
    })
}

fn number(connection: &mut Connection, field: &str) -> Result<u64, CheckpointNowError> {
    let text = connection.info(field)?;
    text.and_then(|text| text.parse().ok()).ok_or(CheckpointNowError::Unknown)
}

fn tell(newest: &Newest, json: bool) {
    if json {
        println!("{}", serde_json::json!(newest));
        return;
    }
    let Newest { index, keys, bytes_written, took_ms } = newest;
    println!("checkpoint {index}: {keys} keys, {bytes_written} bytes written in {took_ms} ms");
}
