//! `perdura status`: one look at a group. One member is asked for the others, then each is asked for itself.

pub(super) mod group;
mod table;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::connection::{self, Target};
use super::failure::{self, Failure, write_json};
use crate::calendar::utc_text;
use crate::env::Clock;
use group::Group;

const EXIT_CODES: &str = "\
Exit codes:
  0  healthy: all members answer, none has a warning
  1  degraded: writes are taken, but a member does not answer, lags, or has a warning
  2  no member takes writes; also a mistake in what was asked
  4  no member could be asked";

/// Clears a terminal, and puts the cursor at its beginning.
const CLEAR: &str = "\x1b[2J\x1b[H";

pub fn command() -> Command {
    Command::new("status")
        .about("Show all members of a group: roles, lag, versions, disk, memory, backup, warnings")
        .long_about(
            "Show all members of a group: roles, lag, versions, disk, memory, backup, warnings. A member is asked for the others, \
             and each is asked at the address that it announces to clients. The password, if there is one, comes from \
             PERDURA_REQUIREPASS or the file of PERDURA_REQUIREPASS_FILE.",
        )
        .after_help(EXIT_CODES)
        .args(arguments())
        .arg(
            Arg::new("watch")
                .long("watch")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(1..=3600))
                .num_args(0..=1)
                .default_missing_value("2")
                .help("Show it again and again, every SECONDS [default: 2], until it is interrupted"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Answer with a JSON document"))
}

/// The flags of commands that ask a whole group.
pub(super) fn arguments() -> [Arg; 3] {
    [
        connection::user(),
        Arg::new("addr")
            .long("addr")
            .value_name("HOST:PORT")
            .action(ArgAction::Append)
            .help("A member; give several where one may not answer, or may not be reached where it says [default: 127.0.0.1 and PERDURA_PORT, else 6379]"),
        Arg::new("timeout-ms")
            .long("timeout-ms")
            .value_name("MS")
            .value_parser(value_parser!(u64).range(1..=600_000))
            .default_value("3000")
            .help("How long a member may take for each step"),
    ]
}

/// The members that were named.
pub(super) fn targets(matches: &ArgMatches) -> Result<Vec<Target>, Failure> {
    let addrs: Vec<&String> = matches.get_many("addr").into_iter().flatten().collect();
    let found = match addrs.as_slice() {
        [] => Target::find(None, matches).map(|target| vec![target]),
        addrs => addrs.iter().map(|addr| Target::find(Some(addr.as_str()), matches)).collect(),
    };
    found.map_err(Failure::Mistake)
}

pub(super) fn timeout(matches: &ArgMatches) -> Duration {
    Duration::from_millis(matches.get_one("timeout-ms").copied().unwrap_or(3000))
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match matches.get_one::<u64>("watch") {
        Some(seconds) => watch(matches, Duration::from_secs(*seconds), &mut out),
        None => look(matches, &mut out),
    };
    failure::end(done, out)
}

/// One look; returns the exit code.
fn look(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let group = Group::ask(&targets(matches)?, timeout(matches))?;
    let view = group.view(Clock::system().unix_ms());
    if matches.get_flag("json") {
        write_json(out, &view)?;
    } else {
        table::write(&view, out)?;
    }
    Ok(view.health.exit_code())
}

/// Looks until output fails or the process is interrupted; a look that fails is shown, too.
fn watch(matches: &ArgMatches, pause: Duration, out: &mut impl Write) -> Result<u8, Failure> {
    // A mistake is one mistake.
    targets(matches)?;
    let is_terminal = io::stdout().is_terminal();
    loop {
        let mut shown = Vec::new();
        match look(matches, &mut shown) {
            Ok(_) => {}
            Err(failure @ Failure::Output(_)) => return Err(failure),
            Err(failure) => writeln!(shown, "{failure}")?,
        }
        if is_terminal {
            write!(out, "{CLEAR}")?;
        }
        if !matches.get_flag("json") {
            writeln!(out, "{}", utc_text(Clock::system().unix_ms()))?;
        }
        out.write_all(&shown)?;
        out.flush()?;
        thread::sleep(pause);
    }
}
