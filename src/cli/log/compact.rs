//! `perdura log compact`: drops the head of a log, behind the oldest checkpoint.
//!
//! - A node cuts its log by itself behind each checkpoint. By hand it is cut where it was kept for followers, or to make space.
//! - Of a folder only a checkpoint counts that was read and is whole: what the log still has makes up for a damaged one.
//! - Nothing is dropped before somebody has seen what, and said yes (`--yes`).

use std::io::Write;

use clap::{Arg, ArgAction, ArgMatches, Command};
use perdura_wal::{LogView, Options, ReadOnlyDisk, RealDisk, SegmentView, SyncMode, Wal, WalError};
use serde::Serialize;

use super::folder::Folder;
use super::node::RunningNode;
use super::{Failure, GOOD, bytes_text, write_json};
use crate::calendar::parse_span_ms;
use crate::cli::confirm::confirm;
use crate::cli::connection::{AskError, Fields};
use crate::cli::{arguments, complain};
use crate::config::Config;
use crate::config::settings::Settings;
use crate::config::value::parse_bytes;
use crate::data_folder;
use crate::env::Clock;
use crate::propose::entry::EntryReader;

#[derive(Debug, Serialize)]
struct Cut {
    /// The folder, or the address of the node.
    place: String,
    /// Nothing was dropped: this is what would be.
    dry_run: bool,
    first_index_before: u64,
    first_index: u64,
    last_index: u64,
    oldest_checkpoint: Option<u64>,
    freed_bytes: u64,
    /// What keeps the rest.
    kept_by: String,
}

pub fn command() -> Command {
    Command::new("compact")
        .about("Drop the head of the log, behind the oldest checkpoint")
        .long_about(
            "Drop the head of the log, behind the oldest checkpoint. A running node cuts its log by itself; by hand it is cut \
             further where it was kept for followers that were away: those then have to fetch a checkpoint.",
        )
        .args([
            Arg::new("keep-bytes")
                .long("keep-bytes")
                .value_name("BYTES")
                .value_parser(|text: &str| parse_bytes(text))
                .help("Keep at least so much of the log [default: what the node's log-keep-bytes says; of a folder: 0]"),
            Arg::new("keep-time")
                .long("keep-time")
                .value_name("SPAN")
                .value_parser(parse_span_ms)
                .help("Keep everything of the last 90s, 15m, 36h, 7d"),
            Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help("Only tell what would go"),
            Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Do not ask"),
        ])
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let keep = Keep {
        bytes: matches.get_one::<u64>("keep-bytes").copied(),
        ms: matches.get_one::<u64>("keep-time").copied(),
    };
    let mut cut = match RunningNode::named(matches)? {
        Some(mut node) => {
            let plan = ask_node(&mut node, keep, true)?;
            if may_cut(matches, &plan)? { ask_node(&mut node, keep, false)? } else { plan }
        }
        None => {
            let folder = Folder::open(matches)?;
            let plan = plan(&folder, keep)?;
            if may_cut(matches, &plan)? { cut_folder(matches, &folder, plan)? } else { plan }
        }
    };
    // Where there was nothing to drop there was no question: plan and deed are the same.
    cut.dry_run = matches.get_flag("dry-run") || cut.dry_run && cut.first_index > cut.first_index_before;
    if matches.get_flag("json") {
        write_json(out, &cut)?
    } else {
        cut.write_text(out)?
    }
    Ok(GOOD)
}

/// What is to stay, whatever could go.
#[derive(Clone, Copy)]
struct Keep {
    bytes: Option<u64>,
    ms: Option<u64>,
}

/// Whether to go on from plan to deed.
fn may_cut(matches: &ArgMatches, plan: &Cut) -> Result<bool, Failure> {
    if matches.get_flag("dry-run") || plan.first_index == plan.first_index_before {
        return Ok(false);
    }
    if matches.get_flag("yes") {
        return Ok(true);
    }
    confirm(&format!("{}: drop {}?", plan.place, plan.dropped()))
}

fn ask_node(node: &mut RunningNode, keep: Keep, dry_run: bool) -> Result<Cut, Failure> {
    let mut words: Vec<String> = ["PERDURA", "LOG", "COMPACT"].map(str::to_owned).into();
    if let Some(bytes) = keep.bytes {
        words.extend(["KEEPBYTES".to_owned(), bytes.to_string()]);
    }
    if let Some(ms) = keep.ms {
        words.extend(["KEEPSECONDS".to_owned(), ms.div_ceil(1000).to_string()]);
    }
    if dry_run {
        words.push("DRYRUN".to_owned());
    }
    let answer = node.ask(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let cut = Fields::of(answer).and_then(|fields| Cut::of_node(&node.addr, dry_run, &fields));
    cut.map_err(|error| node.failure(error))
}

/// What would go of a folder.
fn plan(folder: &Folder, keep: Keep) -> Result<Cut, Failure> {
    let view = folder.view()?;
    let oldest_checkpoint = oldest_whole_checkpoint(folder)?;
    let mut floors = vec![
        (oldest_checkpoint.unwrap_or(0), "checkpoint"),
        (beyond(&view, keep.bytes.unwrap_or(0)), "keep-bytes"),
        (view.last().index, "checkpoint"),
    ];
    if let Some(ms) = keep.ms {
        let before_ms = Clock::system().unix_ms().saturating_sub_unsigned(ms);
        let index = last_before(&view, before_ms).map_err(|error| folder.failure(error))?;
        floors.push((index, "keep-time"));
    }
    let (floor, kept_by) = floors.into_iter().min_by_key(|(index, _)| *index).unwrap_or((0, "checkpoint"));
    let segments: Vec<SegmentView> = view.segments().collect();
    let full = segments.iter().take(segments.len().saturating_sub(1));
    let goes = full.take_while(|segment| segment.entries.is_none_or(|(_, last)| last <= floor));
    Ok(Cut {
        place: folder.name(),
        dry_run: true,
        first_index_before: view.first_index(),
        first_index: view.first_index().max(floor + 1),
        last_index: view.last().index,
        oldest_checkpoint,
        freed_bytes: goes.map(|segment| segment.file_bytes).sum(),
        kept_by: kept_by.to_owned(),
    })
}

/// Damaged ones are passed over: nobody can start from them.
fn oldest_whole_checkpoint(folder: &Folder) -> Result<Option<u64>, Failure> {
    let shelf = folder.shelf();
    for index in folder.checkpoints()? {
        match shelf.verify(index, |_| {}) {
            Ok(_) => return Ok(Some(index)),
            Err(error) if error.is_damage() => complain(&error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The last entry that can go so that segments with so many bytes stay.
fn beyond(view: &LogView<ReadOnlyDisk>, keep_bytes: u64) -> u64 {
    if keep_bytes == 0 {
        return view.last().index;
    }
    let mut kept = 0;
    let mut oldest_kept = view.last().index + 1;
    for segment in view.segments().collect::<Vec<_>>().into_iter().rev() {
        if kept >= keep_bytes {
            return oldest_kept - 1;
        }
        kept += segment.used_bytes;
        oldest_kept = segment.entries.map_or(oldest_kept, |(first, _)| first);
    }
    view.base().index
}

/// The last entry that is older than this. Stamps never go back.
fn last_before(view: &LogView<ReadOnlyDisk>, before_ms: i64) -> Result<u64, WalError> {
    let (mut low, mut high) = (view.first_index(), view.last().index + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if stamp_from(view, middle)?.is_some_and(|stamp_ms| stamp_ms < before_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low - 1)
}

/// The stamp of an entry, or of the next that has one: a leader's first has none.
fn stamp_from(view: &LogView<ReadOnlyDisk>, index: u64) -> Result<Option<i64>, WalError> {
    for index in index..=view.last().index.min(index.saturating_add(64)) {
        let Some(record) = view.entry(index)? else { continue };
        if let Ok((stamp, _)) = EntryReader::open(&record.payload) {
            return Ok(Some(stamp.now_ms));
        }
    }
    Ok(None)
}

/// Opens the log as a node does, and drops what was planned.
fn cut_folder(matches: &ArgMatches, folder: &Folder, plan: Cut) -> Result<Cut, Failure> {
    let settings = Settings::resolve(&arguments::flags_of(matches), arguments::environment());
    let config = settings.and_then(|settings| Config::build(&settings));
    let config = config.map_err(|error| Failure::Mistake(error.to_string()))?;
    data_folder::check_is_whole(&config.dir).map_err(|error| Failure::Failed(error.to_string()))?;
    let disk = RealDisk::open(config.dir.join(data_folder::LOG_FOLDER), SyncMode::Fdatasync)
        .map_err(|source| Failure::Folder { folder: folder.name(), source })?;
    let options = Options {
        segment_bytes: config.segment_bytes,
        pad_to_block: config.log_pad_to_block,
        spare_segments: 0,
        create: None,
    };
    let cut = || -> Result<(), WalError> {
        let (mut wal, _) = folder.with_sources(|sources| Wal::open_with(disk, options, sources))?;
        wal.compact_prefix(plan.first_index - 1)?;
        wal.commit()?;
        Ok(())
    };
    cut().map_err(|error| folder.failure(error))?;
    Ok(Cut { dry_run: false, ..plan })
}

impl Cut {
    fn of_node(addr: &str, dry_run: bool, fields: &Fields) -> Result<Cut, AskError> {
        Ok(Cut {
            place: addr.to_owned(),
            dry_run,
            first_index_before: fields.number("first_index_before")?,
            first_index: fields.number("first_index")?,
            last_index: fields.number("last_index")?,
            oldest_checkpoint: Some(fields.number("oldest_checkpoint")?).filter(|index| *index > 0),
            freed_bytes: fields.number("freed_bytes")?,
            kept_by: fields.text("kept_by")?,
        })
    }

    fn dropped(&self) -> String {
        let (first, last) = (self.first_index_before, self.first_index - 1);
        format!("entries {first} to {last} ({})", bytes_text(self.freed_bytes))
    }

    fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Cut { place, first_index, last_index, .. } = self;
        match (self.first_index > self.first_index_before, self.dry_run) {
            (false, _) => writeln!(out, "{place}: nothing can be dropped")?,
            (true, true) => writeln!(out, "{place}: would drop {}", self.dropped())?,
            (true, false) => writeln!(out, "{place}: dropped {}", self.dropped())?,
        }
        match first_index <= last_index {
            true => writeln!(out, "{}: entries {first_index} to {last_index} stay", self.reason())?,
            false => writeln!(out, "{}: no entry stays behind it", self.reason())?,
        }
        Ok(())
    }

    fn reason(&self) -> String {
        match (self.kept_by.as_str(), self.oldest_checkpoint) {
            ("checkpoint", None) => "There is no checkpoint to start from".to_owned(),
            ("checkpoint", Some(index)) => format!("The oldest checkpoint is of entry {index}"),
            ("transfer", _) => {
                "A checkpoint is being fetched, and what is behind it will be needed".to_owned()
            }
            ("backup", _) => "The rest is not backed up yet".to_owned(),
            ("keep-bytes", _) => "So many bytes are to be kept".to_owned(),
            ("keep-time", _) => "So much time is to be kept".to_owned(),
            ("full-disk", _) => "The disk is too full even to note a cut".to_owned(),
            (other, _) => format!("{other} needs the rest"),
        }
    }
}
