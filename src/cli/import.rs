//! `perdura import`: the keys of an RDB file into a running node, through its log, by commands that any client may send.
//!
//! - A file is read to its end before the first key is sent: a damaged one changes nothing. What comes through a pipe or from an object
//!   store is read once; damage is found where it is.
//! - Keys go by RESTORE, pipelined, each whole and at once. Longer collections go in parts (`--whole-bytes`).
//! - What was left out is told with its reason, at the end.
//! - An import that stopped can be begun again: with `--replace`, or with `--skip` if nothing was in parts.

mod importer;
mod pipe;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use serde::Serialize;

use super::connection::{self, Target};
use super::failure::{self, DAMAGE, Failure, GOOD, write_json};
use super::log::bytes_text;
use crate::env::Clock;
use crate::rdb::file::{FileError, FileFault, FileRecord, MOST_WHOLE_BYTES, Parser};
use importer::{Importer, Policy};
use source::RdbSource;

const EXIT_CODES: &str = "\
Exit codes:
  0  every key was taken, or passed over as asked
  1  the file is damaged, or something of it was left out
  2  a mistake in what was asked
  4  the file can't be read, the node does not answer or refuses, or a key was there already (--fail)";

/// Bytes of the file that are read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes of a mark at a file's end.
const MARK_BYTES: usize = 40;
/// How often progress is told.
const PROGRESS_MS: u64 = 5000;

pub fn command() -> Command {
    let policy = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("import")
        .about("Bring the keys of an RDB file into a running node")
        .long_about(
            "Bring the keys of an RDB file, as Redis, Valkey, ElastiCache and MemoryDB write them, into a running node: through its log, \
             so that they are on every node of its group. Other clients are served meanwhile. The password, if there is one, comes \
             from PERDURA_REQUIREPASS.",
        )
        .after_help(EXIT_CODES)
        .args([
            Arg::new("rdb")
                .long("rdb")
                .value_name("FILE|-|s3://BUCKET/KEY")
                .required(true)
                .help("The file; - is standard input"),
            connection::addr(),
            connection::user(),
            policy("replace", "Keys that are there already are replaced"),
            policy("skip", "Keys that are there already stay as they are"),
            policy("fail", "Stop at a key that is there already [default]"),
            Arg::new("db")
                .long("db")
                .value_name("NUMBER")
                .action(ArgAction::Append)
                .value_parser(value_parser!(u64))
                .help("Only this database; may be given more than once [default: all]"),
            Arg::new("whole-bytes")
                .long("whole-bytes")
                .value_name("BYTES")
                .value_parser(value_parser!(u64).range(1024..=512 << 20))
                .help("Lists, sets, hashes and sorted sets that take more of the file come in parts [default: 33554432]"),
            Arg::new("json").long("json").action(ArgAction::SetTrue).help("Answer with a JSON document"),
        ])
        .group(ArgGroup::new("policy").args(["replace", "skip", "fail"]))
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = import(matches).and_then(|summary| {
        match matches.get_flag("json") {
            true => write_json(&mut out, &summary)?,
            false => summary.write_text(&mut out)?,
        }
        Ok(if summary.left_out.is_empty() { GOOD } else { DAMAGE })
    });
    failure::end(done, out)
}

/// What came of an import.
#[derive(Debug, Default, Serialize)]
pub(super) struct ImportSummary {
    rdb: String,
    version: u16,
    /// The program that wrote the file, if it says so.
    written_by: Option<String>,
    bytes: u64,
    keys: u64,
    /// Of the keys, those that came in parts.
    keys_in_parts: u64,
    function_libraries: u64,
    /// Those that were there and stayed.
    libraries_skipped: u64,
    /// Keys that were there and stayed.
    skipped: u64,
    /// Keys whose deadline had passed.
    expired: u64,
    /// Keys of databases that were not asked for.
    of_other_databases: u64,
    left_out: BTreeMap<String, LeftOut>,
}

/// What was left out for one reason.
#[derive(Debug, Default, Serialize)]
pub(super) struct LeftOut {
    count: u64,
    /// The first few, by their keys.
    examples: Vec<String>,
}

impl ImportSummary {
    const MAX_EXAMPLES: usize = 5;
    const MAX_REASONS: usize = 100;

    fn leave_out(&mut self, reason: &str, example: Option<&[u8]>) {
        // Reasons are few; a node could answer as many as there are keys.
        let is_known = self.left_out.len() < Self::MAX_REASONS || self.left_out.contains_key(reason);
        let reason = if is_known { reason } else { "other reasons" };
        let left_out = self.left_out.entry(reason.to_owned()).or_default();
        left_out.count += 1;
        if left_out.examples.len() < Self::MAX_EXAMPLES {
            left_out.examples.extend(example.map(shown_key));
        }
    }

    fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        let by = self.written_by.as_ref().map(|by| format!(", written by {by}")).unwrap_or_default();
        writeln!(out, "{}: version {}{by}, {}", self.rdb, self.version, bytes_text(self.bytes))?;
        writeln!(out, "{} keys taken, {} of them in parts", self.keys, self.keys_in_parts)?;
        for (count, what) in [
            (self.function_libraries, "function libraries taken"),
            (self.libraries_skipped, "function libraries skipped: they were there"),
            (self.skipped, "keys skipped: they were there"),
            (self.expired, "keys passed over: their deadlines have passed"),
            (self.of_other_databases, "keys passed over: they are in other databases"),
        ] {
            if count > 0 {
                writeln!(out, "{count} {what}")?;
            }
        }
        for (reason, LeftOut { count, examples }) in &self.left_out {
            let examples =
                if examples.is_empty() { String::new() } else { format!(" ({})", examples.join(", ")) };
            writeln!(out, "LEFT OUT: {count}, {reason}{examples}")?;
        }
        Ok(())
    }
}

/// A key as messages show it.
pub(super) fn shown_key(key: &[u8]) -> String {
    const SHOWN_BYTES: usize = 100;
    format!("\"{}\"", key[..key.len().min(SHOWN_BYTES)].escape_ascii())
}

fn policy(matches: &ArgMatches) -> Policy {
    match (matches.get_flag("replace"), matches.get_flag("skip")) {
        (true, _) => Policy::Replace,
        (_, true) => Policy::Skip,
        _ => Policy::Fail,
    }
}

fn import(matches: &ArgMatches) -> Result<ImportSummary, Failure> {
    let source = RdbSource::named(matches.get_one::<String>("rdb").map_or("", String::as_str))?;
    let target = Target::named(matches).map_err(Failure::Mistake)?;
    let whole_bytes = matches.get_one::<u64>("whole-bytes").map_or(MOST_WHOLE_BYTES, |bytes| *bytes as usize);
    let databases: BTreeSet<u64> = matches.get_many("db").into_iter().flatten().copied().collect();
    if source.can_be_read_twice() {
        eprintln!("checking {source}");
        for_each_record(&source, Parser::new(), &mut Watch::new("checked"), &mut |_| Ok(()))?;
    }
    let mut importer = Importer::connect(target, policy(matches), databases)?;
    let mut watch = Watch::new("read");
    let parser = Parser::dividing_beyond(whole_bytes);
    let read = for_each_record(&source, parser, &mut watch, &mut |record| importer.take(record));
    let (bytes, version) = match read.and_then(|read| importer.finish().map(|()| read)) {
        Ok(read) => read,
        Err(failure) => return Err(importer.stopped(failure)),
    };
    let mut summary = importer.into_summary();
    (summary.rdb, summary.bytes, summary.version) = (source.to_string(), bytes, version);
    Ok(summary)
}

/// Reads the whole file; returns its length and its version.
fn for_each_record(
    source: &RdbSource,
    mut parser: Parser,
    watch: &mut Watch,
    take: &mut dyn FnMut(FileRecord<'_>) -> Result<(), Failure>,
) -> Result<(u64, u16), Failure> {
    let (mut file, length) = source.open()?;
    let damaged = |error: FileError| Failure::Damage(format!("{source}: {error}"));
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut bytes, mut keys) = (0, 0);
    let mut after_end: Option<Vec<u8>> = None;
    loop {
        let count = file.read(&mut chunk).map_err(|error| source.failure(error))?;
        if count == 0 {
            break;
        }
        if let Some(after_end) = &mut after_end {
            after_end.extend(chunk[..count].iter().take(MARK_BYTES + 1));
            continue;
        }
        bytes += count as u64;
        parser.feed(&chunk[..count]);
        while after_end.is_none()
            && let Some(record) = parser.next_record().map_err(damaged)?
        {
            keys += u64::from(matches!(&record, FileRecord::Value(part) if part.is_last));
            let is_end = record == FileRecord::End;
            take(record)?;
            after_end = is_end.then(|| parser.after_end().to_vec());
        }
        watch.tell(bytes, length, keys);
    }
    parser.finish().map_err(damaged)?;
    match after_end {
        Some(after_end) if !after_end.is_empty() && !is_mark(&after_end) => {
            Err(Failure::Damage(format!("{source}: {}", FileFault::Trailing)))
        }
        _ => Ok((bytes, parser.version())),
    }
}

/// Whether this is the mark by which a replica knows the end: `redis-cli --rdb -` leaves it in what it prints.
fn is_mark(after_end: &[u8]) -> bool {
    after_end.len() == MARK_BYTES && after_end.iter().all(u8::is_ascii_alphanumeric)
}

/// Tells on standard error, from time to time, how far it is.
struct Watch {
    what: &'static str,
    clock: Clock,
    began_ms: u64,
    told_ms: u64,
}

impl Watch {
    fn new(what: &'static str) -> Watch {
        let clock = Clock::system();
        let now_ms = clock.monotonic_ms();
        Watch { what, clock, began_ms: now_ms, told_ms: now_ms }
    }

    fn tell(&mut self, bytes: u64, length: Option<u64>, keys: u64) {
        let now_ms = self.clock.monotonic_ms();
        if now_ms < self.told_ms + PROGRESS_MS {
            return;
        }
        self.told_ms = now_ms;
        let of = length.map(|length| format!(" of {}", bytes_text(length))).unwrap_or_default();
        let rate = keys * 1000 / (now_ms - self.began_ms).max(1);
        eprintln!("{}{of} {}: {keys} keys, {rate} a second", bytes_text(bytes), self.what);
    }
}
