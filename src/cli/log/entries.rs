//! `perdura log inspect` and `perdura log tail`: entries, one a row.
//!
//! - `inspect` reads and checks the whole log first; `tail` reads no more of it than the segments that hold what it shows.
//! - Stamps never go back in a log. An entry without one, a leader's first, counts as of the time of the one before.

use std::io::Write;
use std::ops::ControlFlow;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use perdura_wal::{LogView, ReadOnlyDisk, WalError};

use super::entry::{EntryRow, write_heading};
use super::folder::Folder;
use super::{Failure, GOOD};
use crate::calendar::parse_utc;

/// What `tail` shows if it is told nothing.
const TAIL_ENTRIES: u64 = 10;

pub fn inspect_command() -> Command {
    Command::new("inspect").about("Show the entries: index, term, time, bytes, place, commands").args([
        index("from", "First index to show"),
        index("to", "Last index to show"),
        moment("from-time", "Show entries of this moment (UTC) or later"),
        moment("to-time", "Show entries before this moment (UTC)"),
        commands(),
    ])
}

pub fn tail_command() -> Command {
    Command::new("tail").about("Show the last entries").args([
        index("from", "First index to show; then all behind it are, or --count of them"),
        Arg::new("count")
            .long("count")
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..))
            .help("How many entries to show [default: 10]"),
        commands(),
    ])
}

fn index(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("INDEX").value_parser(value_parser!(u64)).help(help)
}

fn moment(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TIME").value_parser(parse_utc).help(help)
}

fn commands() -> Arg {
    Arg::new("commands")
        .long("commands")
        .action(ArgAction::SetTrue)
        .help("Show the commands with their arguments, long ones cut and secrets left out")
}

pub fn inspect(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let folder = Folder::open(matches)?;
    let view = folder.view()?;
    let first = matches.get_one::<u64>("from").copied().unwrap_or(0);
    let last = matches.get_one::<u64>("to").copied().unwrap_or(u64::MAX);
    let from_ms = matches.get_one::<i64>("from-time").copied().unwrap_or(i64::MIN);
    let to_ms = matches.get_one::<i64>("to-time").copied().unwrap_or(i64::MAX);
    let mut rows = Rows::begin(matches, out)?;
    let mut last_ms = i64::MIN;
    rows.show(&folder, &view, first, last, |row| {
        last_ms = row.time_ms.unwrap_or(last_ms);
        match last_ms {
            ms if ms >= to_ms => ControlFlow::Break(()),
            ms => ControlFlow::Continue(ms >= from_ms),
        }
    })?;
    Ok(GOOD)
}

pub fn tail(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let folder = Folder::open(matches)?;
    let count = matches.get_one::<u64>("count").copied();
    let from = matches.get_one::<u64>("from").copied();
    let newest = count.unwrap_or(TAIL_ENTRIES);
    let first_shown = |last: u64| from.unwrap_or((last + 1).saturating_sub(newest));
    let view = folder.view_end(first_shown)?;
    let first = first_shown(view.last().index);
    let last = count.map_or(u64::MAX, |count| first.saturating_add(count - 1));
    Rows::begin(matches, out)?.show(&folder, &view, first, last, |_| ControlFlow::Continue(true))?;
    Ok(GOOD)
}

/// Entries on their way to the output.
struct Rows<'a, W> {
    out: &'a mut W,
    json: bool,
    commands: bool,
}

/// Why no more entries are read.
enum Stop {
    Enough,
    Log(WalError),
    Output(Failure),
}

impl From<WalError> for Stop {
    fn from(error: WalError) -> Stop {
        Stop::Log(error)
    }
}

impl<'a, W: Write> Rows<'a, W> {
    fn begin(matches: &ArgMatches, out: &'a mut W) -> Result<Rows<'a, W>, Failure> {
        let (json, commands) = (matches.get_flag("json"), matches.get_flag("commands"));
        if !json {
            write_heading(out)?;
        }
        Ok(Rows { out, json, commands })
    }

    /// Shows the entries from `first` to `last` that `choose` continues with `true` at.
    fn show(
        &mut self,
        folder: &Folder,
        view: &LogView<ReadOnlyDisk>,
        first: u64,
        last: u64,
        mut choose: impl FnMut(&EntryRow) -> ControlFlow<(), bool>,
    ) -> Result<(), Failure> {
        let shown = view.visit_entries(first, last, |record| {
            let row = EntryRow::new(&record, self.commands);
            match choose(&row) {
                ControlFlow::Break(()) => Err(Stop::Enough),
                ControlFlow::Continue(false) => Ok(()),
                ControlFlow::Continue(true) => self.write(&row).map_err(Stop::Output),
            }
        });
        match shown {
            Ok(()) | Err(Stop::Enough) => Ok(()),
            Err(Stop::Log(error)) => Err(folder.failure(error)),
            Err(Stop::Output(failure)) => Err(failure),
        }
    }

    fn write(&mut self, row: &EntryRow) -> Result<(), Failure> {
        if self.json { row.write_json(self.out) } else { row.write_text(self.out) }
    }
}
