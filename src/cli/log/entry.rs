//! One entry of the log, taken apart for people: its time, its commands, its place.

use std::io::Write;

use perdura_wal::PlacedRecord;
use serde::Serialize;

use super::{Failure, write_json};
use crate::admin::monitor::push_quoted;
use crate::calendar::utc_text;
use crate::command::stopwatch::shortened;
use crate::propose::entry::{EntryArgs, EntryError, EntryReader, Item};

/// Kinds of commands that a row names.
const NAMES_SHOWN: usize = 6;
/// Bytes of a command's name that are shown.
const NAME_BYTES: usize = 32;

/// An entry as JSON has it.
#[derive(Debug, Serialize)]
pub struct EntryRow {
    index: u64,
    term: u64,
    /// Unix time of its stamp; a leader's first entry has none.
    pub time_ms: Option<i64>,
    time: Option<String>,
    /// Commands in all.
    commands: u64,
    /// Kinds of commands with their numbers, in the order in which they come first.
    names: Vec<NameCount>,
    /// Bytes of the entry.
    bytes: usize,
    /// Where its record lies, where that is known.
    #[serde(flatten)]
    place: Option<Place>,
    /// Why it can't be taken apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<ItemRow>>,
}

#[derive(Debug, Serialize)]
struct Place {
    segment: String,
    /// Where the record begins in the segment.
    offset: u64,
}

#[derive(Debug, Serialize)]
struct NameCount {
    name: String,
    count: u64,
}

/// A command alone, or a transaction.
#[derive(Debug, Serialize)]
struct ItemRow {
    transaction: bool,
    commands: Vec<CommandRow>,
}

#[derive(Debug, Serialize)]
struct CommandRow {
    db: usize,
    /// Name and arguments, long ones cut, what is not printable escaped.
    args: Vec<String>,
}

impl EntryRow {
    /// Takes a record apart, with its commands if they are wanted.
    pub fn new(record: &PlacedRecord, with_commands: bool) -> EntryRow {
        let place = Place { segment: record.file.clone(), offset: record.offset };
        let row = EntryRow::unplaced(record.index, record.term, &record.payload, with_commands);
        EntryRow { place: Some(place), ..row }
    }

    /// Takes an entry apart that came from a running node.
    pub fn unplaced(index: u64, term: u64, payload: &[u8], with_commands: bool) -> EntryRow {
        let mut row = EntryRow {
            index,
            term,
            time_ms: None,
            time: None,
            commands: 0,
            names: Vec::new(),
            bytes: payload.len(),
            place: None,
            unreadable: None,
            items: with_commands.then(Vec::new),
        };
        if !payload.is_empty() {
            row.unreadable = row.read(payload).err().map(|error| error.to_string());
        }
        row
    }

    fn read(&mut self, payload: &[u8]) -> Result<(), EntryError> {
        let (stamp, mut reader) = EntryReader::open(payload)?;
        self.time_ms = Some(stamp.now_ms);
        self.time = Some(utc_text(stamp.now_ms));
        let mut args = EntryArgs::new();
        while let Some(item) = reader.next_item()? {
            let count = if let Item::Transaction(count) = item { count } else { 1 };
            let mut commands = Vec::new();
            for _ in 0..count {
                let db = reader.command(&mut args)?;
                self.count(args[0]);
                if self.items.is_some() {
                    commands.push(CommandRow { db, args: shown(&args) });
                }
            }
            if let Some(items) = &mut self.items {
                items.push(ItemRow { transaction: item != Item::Single, commands });
            }
        }
        Ok(())
    }

    fn count(&mut self, name: &[u8]) {
        let name = escaped(&name[..name.len().min(NAME_BYTES)]).to_uppercase();
        self.commands += 1;
        match self.names.iter_mut().find(|known| known.name == name) {
            Some(known) => known.count += 1,
            None => self.names.push(NameCount { name, count: 1 }),
        }
    }

    pub fn write_json(&self, out: &mut impl Write) -> Result<(), Failure> {
        write_json(out, self)
    }

    /// One line, and one for each command if they were wanted.
    pub fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        let EntryRow { index, term, bytes, .. } = self;
        let place = self.place.as_ref().map(|Place { segment, offset }| format!("{segment}:{offset}"));
        let time = self.time.as_deref().unwrap_or("");
        let summary = self.summary();
        writeln!(
            out,
            "{index:>10}  {term:>5}  {time:<24}  {bytes:>9}  {:<36}  {summary}",
            place.as_deref().unwrap_or("-")
        )?;
        for item in self.items.iter().flatten() {
            if item.transaction {
                writeln!(out, "{:>10}  MULTI of {}", "", item.commands.len())?;
            }
            for command in &item.commands {
                let args: Vec<String> = command.args.iter().map(|arg| format!("\"{arg}\"")).collect();
                writeln!(out, "{:>10}  db{} {}", "", command.db, args.join(" "))?;
            }
        }
        Ok(())
    }

    fn summary(&self) -> String {
        if let Some(why) = &self.unreadable {
            return why.clone();
        }
        if self.bytes == 0 {
            return "(a leader's first entry)".to_owned();
        }
        let named = self.names.iter().take(NAMES_SHOWN).map(|known| match known.count {
            1 => known.name.clone(),
            count => format!("{} x{count}", known.name),
        });
        let mut parts: Vec<String> = named.collect();
        if self.names.len() > NAMES_SHOWN {
            parts.push(format!("{} other kinds", self.names.len() - NAMES_SHOWN));
        }
        parts.join(", ")
    }
}

/// The heading of the rows.
pub fn write_heading(out: &mut impl Write) -> Result<(), Failure> {
    let (index, term, time, bytes) = ("index", "term", "time (UTC)", "bytes");
    Ok(writeln!(out, "{index:>10}  {term:>5}  {time:<24}  {bytes:>9}  {:<36}  commands", "place")?)
}

/// Name and arguments as the slow log keeps them: cut, and without secrets.
fn shown(args: &[&[u8]]) -> Vec<String> {
    shortened(args).iter().map(|arg| escaped(arg)).collect()
}

/// Bytes as printable text of one line.
fn escaped(bytes: &[u8]) -> String {
    let mut quoted = Vec::new();
    push_quoted(&mut quoted, bytes);
    let inside = quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(&quoted);
    String::from_utf8_lossy(inside).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::context::Stamp;
    use crate::propose::entry::{write_command, write_header, write_single, write_transaction};

    fn record(payload: Vec<u8>) -> PlacedRecord {
        PlacedRecord { index: 7, term: 2, payload, file: "00000000000000000001.wal".to_owned(), offset: 4200 }
    }

    fn entry(items: impl FnOnce(&mut Vec<u8>)) -> PlacedRecord {
        let mut payload = Vec::new();
        write_header(&mut payload, Stamp { now_ms: 1_763_740_800_123, seed: 1 });
        items(&mut payload);
        record(payload)
    }

    fn text(record: &PlacedRecord, with_commands: bool) -> String {
        let mut out = Vec::new();
        EntryRow::new(record, with_commands).write_text(&mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("rows are text")
    }

    fn json(record: &PlacedRecord) -> serde_json::Value {
        let mut out = Vec::new();
        EntryRow::new(record, true).write_json(&mut out).expect("a vector takes everything");
        serde_json::from_slice(&out).expect("a line is JSON")
    }

    #[test]
    fn a_row_tells_when_what_and_where() {
        let record = entry(|out| {
            write_single(out, 0, &[b"set", b"k", b"v"]);
            write_single(out, 0, &[b"SET", b"k", b"w"]);
            write_transaction(out, 2);
            write_command(out, 3, &[b"del", b"k"]);
            write_command(out, 3, &[b"set", b"k", b"x"]);
        });
        let row = text(&record, false);
        for part in
            ["  7      2  2025-11-21T16:00:00.123Z", "00000000000000000001.wal:4200", "  SET x3, DEL\n"]
        {
            assert!(row.contains(part), "{part} in {row}");
        }
        let row = json(&record);
        assert_eq!((&row["commands"], &row["items"][2]["transaction"]), (&4.into(), &true.into()));
        assert_eq!(row["items"][2]["commands"][0], serde_json::json!({ "db": 3, "args": ["del", "k"] }));
    }

    #[test]
    fn commands_are_shown_in_full_but_cut_escaped_and_without_secrets() {
        let record = entry(|out| {
            write_single(out, 1, &[b"SET", b"k\n", &[b'v'; 200]]);
            write_single(out, 0, &[b"MIGRATE", b"host", b"6379", b"k", b"0", b"5", b"AUTH", b"hush"]);
        });
        let rows = text(&record, true);
        assert!(rows.contains("  db1 \"SET\" \"k\\n\" \"vvv"), "{rows}");
        assert!(rows.contains("v... (72 more bytes)\"\n"), "{rows}");
        assert!(rows.contains("\"AUTH\" \"(redacted)\"") && !rows.contains("hush"), "{rows}");
    }

    #[test]
    fn what_can_not_be_taken_apart_is_told_and_shown_as_far_as_it_goes() {
        assert!(text(&record(Vec::new()), true).contains("(a leader's first entry)"));
        assert!(text(&record(vec![99; 40]), false).contains("has version 99"));
        let broken = entry(|out| out.push(77));
        assert!(text(&broken, false).contains("2025-11-21T16:00:00.123Z"));
        assert!(json(&broken)["unreadable"].as_str().is_some_and(|why| why.contains("malformed")));
    }
}
