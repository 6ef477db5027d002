//! `perdura log status`: whose log it is, what it holds, what it takes.

use std::io::Write;

use clap::{ArgMatches, Command};
use perdura_wal::{LogView, ReadOnlyDisk, SegmentView, TornTail, WalError};
use redis_protocol::resp2::types::OwnedFrame;
use serde::Serialize;

use super::folder::Folder;
use super::node::RunningNode;
use super::{Failure, GOOD, bytes_text, write_json};
use crate::calendar::utc_text;
use crate::cli::connection::{AskError, Fields, integer, parts};
use crate::propose::entry::EntryReader;
use crate::raft::identity::Identity;
use crate::raft::memo::Memo;

/// Entries looked at for a stamp. Only a leader's first entry has none; elections in which nothing was written may stand
/// in a row.
const STAMPS_LOOKED_FOR: usize = 64;

#[derive(Debug, Serialize)]
struct Status {
    /// The folder, or the address of the running node.
    #[serde(flatten)]
    place: Whereabouts,
    log_id: String,
    node: Option<NodeStatus>,
    /// How often the log has been opened; a running node does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<u32>,
    /// The last entry that a running node has applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<u64>,
    entries: u64,
    first_index: u64,
    last_index: u64,
    last_term: u64,
    /// The last entry that was compacted away; index 0 where none was.
    compacted: Place,
    hard_state: HardState,
    segments: Vec<Segment>,
    bytes: u64,
    used_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    spares: Option<Spares>,
    /// Bytes that a running node can write before it has to make another segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_bytes: Option<u64>,
    oldest_ms: Option<i64>,
    newest_ms: Option<i64>,
    torn_tail: Option<Torn>,
    /// What is wrong with old segments, which the next start sets aside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    old_damage: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Whereabouts {
    Folder(String),
    Addr(String),
}

#[derive(Debug, Serialize)]
struct NodeStatus {
    cluster_id: String,
    node_id: u64,
    members: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Place {
    index: u64,
    term: u64,
}

#[derive(Debug, Serialize)]
struct HardState {
    term: u64,
    /// 0 is nobody.
    vote: u64,
    /// Known to be committed when it was written; more may be.
    commit: u64,
}

#[derive(Debug, Serialize)]
struct Segment {
    file: String,
    bytes: u64,
    used_bytes: u64,
    first_index: Option<u64>,
    last_index: Option<u64>,
    oldest_ms: Option<i64>,
    newest_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Spares {
    segments: usize,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Torn {
    file: String,
    offset: u64,
    bytes: u64,
    fault: String,
}

pub fn command() -> Command {
    Command::new("status").about("Show whose log it is, what it holds and what it takes")
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let status = match RunningNode::named(matches)? {
        Some(mut node) => {
            let answer = node.ask(&["PERDURA", "LOG", "STATUS"])?;
            Status::of_node(&node.addr, answer).map_err(|error| node.failure(error))?
        }
        None => {
            let folder = Folder::open(matches)?;
            let view = folder.view()?;
            Status::of(&folder, &view).map_err(|error| folder.failure(error))?
        }
    };
    if matches.get_flag("json") {
        write_json(out, &status)?
    } else {
        status.write_text(out)?
    }
    Ok(GOOD)
}

impl Status {
    fn of(folder: &Folder, view: &LogView<ReadOnlyDisk>) -> Result<Status, WalError> {
        let segments: Vec<Segment> =
            view.segments().map(|segment| Segment::of(view, segment)).collect::<Result<_, _>>()?;
        let (last, base, hard_state, prepared) =
            (view.last(), view.base(), view.hard_state(), view.prepared());
        Ok(Status {
            place: Whereabouts::Folder(folder.name()),
            log_id: format!("{:#018x}", view.recovery().log_id),
            node: Identity::decode(view.metadata()).ok().map(|identity| NodeStatus {
                cluster_id: Memo::decode(view.metadata()).cluster.id.to_string(),
                node_id: identity.node_id,
                members: identity.members,
            }),
            opened: Some(view.epoch()),
            applied: None,
            entries: last.index + 1 - view.first_index(),
            first_index: view.first_index(),
            last_index: last.index,
            last_term: last.term,
            compacted: Place { index: base.index, term: base.term },
            hard_state: HardState { term: hard_state.term, vote: hard_state.vote, commit: hard_state.commit },
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            used_bytes: segments.iter().map(|segment| segment.used_bytes).sum(),
            spares: Some(Spares { segments: prepared.segments, bytes: prepared.bytes }),
            ready_bytes: None,
            oldest_ms: segments.iter().find_map(|segment| segment.oldest_ms),
            newest_ms: segments.iter().rev().find_map(|segment| segment.newest_ms),
            torn_tail: view.recovery().torn_tail.as_ref().map(Torn::of),
            old_damage: view
                .recovery()
                .left_out
                .iter()
                .flat_map(|left_out| left_out.damage.iter().cloned())
                .collect(),
            segments,
        })
    }

    fn of_node(addr: &str, answer: OwnedFrame) -> Result<Status, AskError> {
        let mut fields = Fields::of(answer)?;
        let members = parts(fields.take("members")?)?;
        let segments = parts(fields.take("segments")?)?;
        let number = |name| fields.number(name);
        let (first_index, last_index) = (number("first_index")?, number("last_index")?);
        Ok(Status {
            place: Whereabouts::Addr(addr.to_owned()),
            log_id: fields.text("log_id")?,
            node: Some(NodeStatus {
                cluster_id: fields.text("cluster_id")?,
                node_id: number("node_id")?,
                members: members.iter().map(|id| Ok(integer(id)? as u64)).collect::<Result<_, AskError>>()?,
            }),
            opened: None,
            applied: Some(number("applied")?),
            entries: last_index + 1 - first_index,
            first_index,
            last_index,
            last_term: number("last_term")?,
            compacted: Place { index: number("compacted_index")?, term: number("compacted_term")? },
            hard_state: HardState {
                term: number("term")?,
                vote: number("vote")?,
                commit: number("committed")?,
            },
            segments: segments.into_iter().map(Segment::of_node).collect::<Result<_, _>>()?,
            bytes: number("bytes")?,
            used_bytes: number("used_bytes")?,
            spares: None,
            ready_bytes: Some(number("ready_bytes")?),
            oldest_ms: fields.signed("oldest_ms")?,
            newest_ms: fields.signed("newest_ms")?,
            torn_tail: None,
            old_damage: Vec::new(),
        })
    }

    fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        let (Whereabouts::Folder(place) | Whereabouts::Addr(place)) = &self.place;
        writeln!(out, "log        {} in {place}", self.log_id)?;
        match &self.node {
            Some(node) => writeln!(
                out,
                "node       {} of {:?}, cluster {}",
                node.node_id, node.members, node.cluster_id
            )?,
            None => writeln!(out, "node       none yet: the log has no identity")?,
        }
        writeln!(
            out,
            "entries    {} ({} to {}), last term {}",
            self.entries, self.first_index, self.last_index, self.last_term
        )?;
        let HardState { term, vote, commit } = self.hard_state;
        let known = match self.applied {
            Some(applied) => format!("applied {applied}"),
            None => "as far as was noted".to_owned(),
        };
        writeln!(out, "state      term {term}, vote {vote}, committed {commit}, {known}")?;
        writeln!(out, "times      {} to {}", moment(self.oldest_ms), moment(self.newest_ms))?;
        let (used, bytes) = (bytes_text(self.used_bytes), bytes_text(self.bytes));
        write!(out, "space      {} segments, {used} of {bytes} used; ", self.segments.len())?;
        match (&self.spares, self.ready_bytes) {
            (Some(spares), _) => writeln!(out, "{} spare, {}", spares.segments, bytes_text(spares.bytes))?,
            (None, ready) => writeln!(out, "{} ready", bytes_text(ready.unwrap_or(0)))?,
        }
        if let Some(opened) = self.opened {
            writeln!(out, "opened     {opened} times")?;
        }
        match &self.torn_tail {
            None if self.applied.is_some() => {}
            None => writeln!(out, "torn tail  none")?,
            Some(torn) => writeln!(
                out,
                "torn tail  {} bytes at byte {} of {}: {}. The next start cuts it; it was never acknowledged",
                torn.bytes, torn.offset, torn.file, torn.fault
            )?,
        }
        for damage in &self.old_damage {
            writeln!(
                out,
                "damage     {damage}. The next start sets old segments aside; a checkpoint has their entries"
            )?;
        }
        self.write_segments(out)
    }

    fn write_segments(&self, out: &mut impl Write) -> Result<(), Failure> {
        let (file, first, last, used) = ("segment", "first", "last", "used");
        writeln!(out, "\n{file:<24}  {first:>10}  {last:>10}  {used:>10}  {:<24}  newest", "oldest")?;
        for segment in &self.segments {
            let index = |index: Option<u64>| index.map_or("-".to_owned(), |index| index.to_string());
            writeln!(
                out,
                "{:<24}  {:>10}  {:>10}  {:>10}  {:<24}  {}",
                segment.file,
                index(segment.first_index),
                index(segment.last_index),
                bytes_text(segment.used_bytes),
                moment(segment.oldest_ms),
                moment(segment.newest_ms)
            )?;
        }
        Ok(())
    }
}

impl Segment {
    /// Without times, for which a running node would have to read.
    fn of_node(segment: OwnedFrame) -> Result<Segment, AskError> {
        let [file, bytes, used_bytes, first, last] =
            <[OwnedFrame; 5]>::try_from(parts(segment)?).map_err(|_| AskError::Foreign)?;
        let OwnedFrame::BulkString(file) = file else { return Err(AskError::Foreign) };
        let entry = |frame| integer(frame).map(|index| Some(index as u64).filter(|index| *index > 0));
        Ok(Segment {
            file: String::from_utf8_lossy(&file).into_owned(),
            bytes: integer(&bytes)? as u64,
            used_bytes: integer(&used_bytes)? as u64,
            first_index: entry(&first)?,
            last_index: entry(&last)?,
            oldest_ms: None,
            newest_ms: None,
        })
    }

    fn of(view: &LogView<ReadOnlyDisk>, segment: SegmentView) -> Result<Segment, WalError> {
        let (oldest_ms, newest_ms) = match segment.entries {
            Some((first, last)) => {
                (stamp_of_any(view, first..=last)?, stamp_of_any(view, (first..=last).rev())?)
            }
            None => (None, None),
        };
        Ok(Segment {
            file: segment.file,
            bytes: segment.file_bytes,
            used_bytes: segment.used_bytes,
            first_index: segment.entries.map(|(first, _)| first),
            last_index: segment.entries.map(|(_, last)| last),
            oldest_ms,
            newest_ms,
        })
    }
}

impl Torn {
    fn of(torn: &TornTail) -> Torn {
        let (file, fault) = (torn.file.clone(), torn.fault.to_string());
        Torn { file, offset: torn.offset, bytes: torn.bytes, fault }
    }
}

/// The stamp of the first of these entries that has one.
fn stamp_of_any(
    view: &LogView<ReadOnlyDisk>,
    indexes: impl Iterator<Item = u64>,
) -> Result<Option<i64>, WalError> {
    for index in indexes.take(STAMPS_LOOKED_FOR) {
        let Some(record) = view.entry(index)? else { continue };
        if let Ok((stamp, _)) = EntryReader::open(&record.payload) {
            return Ok(Some(stamp.now_ms));
        }
    }
    Ok(None)
}

fn moment(unix_ms: Option<i64>) -> String {
    unix_ms.map_or("-".to_owned(), utc_text)
}
