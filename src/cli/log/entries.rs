//! `perdura log inspect` and `perdura log tail`: entries, one a row.
//!
//! - Of a folder, `inspect` reads and checks the whole log first; `tail` reads no more of it than the segments that hold what it
//!   shows. A running node is asked for what it has applied, and for nothing that is not committed.
//! - Stamps never go back in a log. An entry without one, a leader's first, counts as of the time of the one before.

use std::io::Write;
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use perdura_wal::{LogView, ReadOnlyDisk, WalError};

use super::entry::{EntryRow, write_heading};
use super::folder::Folder;
use super::node::{RunningNode, Sent, SentEntry};
use super::{Failure, GOOD};
use crate::calendar::parse_moment;
use crate::cli::complain;
use crate::cli::connection::Fields;

/// What `tail` shows if it is told nothing.
const TAIL_ENTRIES: u64 = 10;
/// How often a node is asked whether there is more.
const FOLLOW_PERIOD: Duration = Duration::from_millis(100);

pub fn inspect_command() -> Command {
    Command::new("inspect").about("Show the entries: index, term, time, bytes, place, commands").args([
        index("from", "First index to show"),
        index("to", "Last index to show"),
        moment("from-time", "Show entries of this moment or later: 2025-11-21T16:00 (UTC), 2025-11-21T18:00+02:00, '10 minutes ago'"),
        moment("to-time", "Show entries before this moment"),
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
        Arg::new("follow")
            .long("follow")
            .short('f')
            .action(ArgAction::SetTrue)
            .help("Go on with what the running node commits, until --count entries are shown or for ever"),
        commands(),
    ])
}

fn index(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("INDEX").value_parser(value_parser!(u64)).help(help)
}

fn moment(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TIME").value_parser(parse_moment).help(help)
}

fn commands() -> Arg {
    Arg::new("commands")
        .long("commands")
        .action(ArgAction::SetTrue)
        .help("Show the commands with their arguments, long ones cut and secrets left out")
}

pub fn inspect(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let first = matches.get_one::<u64>("from").copied().unwrap_or(0);
    let last = matches.get_one::<u64>("to").copied().unwrap_or(u64::MAX);
    let from_ms = matches.get_one::<i64>("from-time").copied().unwrap_or(i64::MIN);
    let to_ms = matches.get_one::<i64>("to-time").copied().unwrap_or(i64::MAX);
    let mut last_ms = i64::MIN;
    let choose = |row: &EntryRow| {
        last_ms = row.time_ms.unwrap_or(last_ms);
        match last_ms {
            ms if ms >= to_ms => ControlFlow::Break(()),
            ms => ControlFlow::Continue(ms >= from_ms),
        }
    };
    if let Some(mut node) = RunningNode::named(matches)? {
        let (held, applied) = held_by(&mut node)?;
        check_range((first, last), (held, applied))?;
        let mut rows = Rows::begin(matches, out)?;
        rows.show_of_node(&mut node, first.max(held), last.min(applied), choose)?;
        return Ok(GOOD);
    }
    let folder = Folder::open(matches)?;
    let view = folder.view()?;
    check_range((first, last), (view.first_index(), view.last().index))?;
    Rows::begin(matches, out)?.show(&folder, &view, first, last, choose)?;
    Ok(GOOD)
}

/// Refuses a range of which the log holds nothing, and says which part of one is not there.
fn check_range((first, last): (u64, u64), (held, newest): (u64, u64)) -> Result<(), Failure> {
    let older = "older ones are in the checkpoints only, or in a backup (`perdura backup list`)";
    let holds = match newest < held {
        true => "the log holds no entry: the newest checkpoint has all that was written".to_owned(),
        false => format!("the log holds {held} to {newest}; {older}"),
    };
    let (names_first, names_last) = (first > 0, last < u64::MAX);
    if first > last {
        return Err(Failure::Mistake(format!("--from {first} is after --to {last}")));
    }
    if (names_first || names_last) && (newest < held || last < held || first > newest) {
        return Err(Failure::Mistake(format!("none of these entries is there: {holds}")));
    }
    if newest < held {
        complain(holds);
    } else if names_first && first < held {
        complain(format_args!("entries {first} to {} are not there: {holds}", held - 1));
    } else if names_last && last > newest {
        complain(format_args!("entries {} to {last} are not there yet: {holds}", newest + 1));
    }
    Ok(())
}

pub fn tail(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let count = matches.get_one::<u64>("count").copied();
    let from = matches.get_one::<u64>("from").copied();
    let newest = count.unwrap_or(TAIL_ENTRIES);
    let first_shown = |last: u64| from.unwrap_or((last + 1).saturating_sub(newest));
    let last_shown = |first: u64| count.map_or(u64::MAX, |count| first.saturating_add(count - 1));
    let all = |_: &EntryRow| ControlFlow::Continue(true);
    if let Some(mut node) = RunningNode::named(matches)? {
        let (held, applied) = held_by(&mut node)?;
        let follow = matches.get_flag("follow");
        // Who follows wants so many new ones, not so many old ones.
        let newest_first = if follow && count.is_some() { applied + 1 } else { first_shown(applied) };
        let first = from.unwrap_or(newest_first).max(held);
        let last = if follow { last_shown(first) } else { last_shown(first).min(applied) };
        Rows::begin(matches, out)?.show_of_node(&mut node, first, last, all)?;
        return Ok(GOOD);
    }
    if matches.get_flag("follow") {
        let reason = "--follow: a log that nobody writes to does not grow; name a running node by --addr";
        return Err(Failure::Mistake(reason.to_owned()));
    }
    let folder = Folder::open(matches)?;
    let view = folder.view_end(first_shown)?;
    let first = first_shown(view.last().index);
    Rows::begin(matches, out)?.show(&folder, &view, first, last_shown(first), all)?;
    Ok(GOOD)
}

/// The first entry that a running node's log still has, and the last that it has applied.
fn held_by(node: &mut RunningNode) -> Result<(u64, u64), Failure> {
    let fields = Fields::of(node.ask(&["PERDURA", "LOG", "STATUS"])?);
    let held = fields.and_then(|fields| Ok((fields.number("first_index")?, fields.number("applied")?)));
    held.map_err(|error| node.failure(error))
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
            self.offer(&EntryRow::new(&record, self.commands), &mut choose)
        });
        match shown {
            Ok(()) | Err(Stop::Enough) => Ok(()),
            Err(Stop::Log(error)) => Err(folder.failure(error)),
            Err(Stop::Output(failure)) => Err(failure),
        }
    }

    /// The same of a running node. Entries up to `last` that are not there yet are waited for.
    fn show_of_node(
        &mut self,
        node: &mut RunningNode,
        first: u64,
        last: u64,
        mut choose: impl FnMut(&EntryRow) -> ControlFlow<(), bool>,
    ) -> Result<(), Failure> {
        let mut next = first;
        while next <= last {
            let entries = match node.read(next)? {
                Sent::Entries(entries) => entries,
                Sent::CutOff { first_index } => {
                    complain(format_args!("entries {next} to {} were cut off meanwhile", first_index - 1));
                    next = first_index;
                    continue;
                }
            };
            if entries.is_empty() {
                self.out.flush()?;
                thread::sleep(FOLLOW_PERIOD);
            }
            for SentEntry { index, term, payload } in entries {
                if index > last {
                    return Ok(());
                }
                next = index + 1;
                match self.offer(&EntryRow::unplaced(index, term, &payload, self.commands), &mut choose) {
                    Ok(()) => {}
                    Err(Stop::Output(failure)) => return Err(failure),
                    Err(_) => return Ok(()),
                }
            }
        }
        Ok(())
    }

    fn offer(
        &mut self,
        row: &EntryRow,
        choose: &mut impl FnMut(&EntryRow) -> ControlFlow<(), bool>,
    ) -> Result<(), Stop> {
        match choose(row) {
            ControlFlow::Break(()) => Err(Stop::Enough),
            ControlFlow::Continue(false) => Ok(()),
            ControlFlow::Continue(true) => self.write(row).map_err(Stop::Output),
        }
    }

    fn write(&mut self, row: &EntryRow) -> Result<(), Failure> {
        if self.json { row.write_json(self.out) } else { row.write_text(self.out) }
    }
}
