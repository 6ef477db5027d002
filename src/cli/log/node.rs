//! The log of a running node, by way of its PERDURA LOG.

use std::time::Duration;

use clap::{Arg, ArgMatches};
use redis_protocol::resp2::types::OwnedFrame;

use crate::cli::connection::{self, AskError, Connection, Target, integer, parts};
use crate::cli::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(30);
/// For answers that take reading all checkpoints.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// Bytes of payloads that are read at once.
const CHUNK_BYTES: &str = "1048576";
/// How the refusal of an entry that is cut off begins.
const CUT_OFF: &str = "ERR the log begins with entry ";

/// A running node.
pub struct RunningNode {
    pub addr: String,
    connection: Connection,
}

/// An entry as a node sends it.
pub struct SentEntry {
    pub index: u64,
    pub term: u64,
    pub payload: Vec<u8>,
}

/// What reading from an index came to.
pub enum Sent {
    /// None where the node has nothing there yet.
    Entries(Vec<SentEntry>),
    /// The node's log begins later.
    CutOff { first_index: u64 },
}

/// The flags that name a running node in place of a folder, and the user as which it is asked.
pub fn node_arguments() -> [Arg; 2] {
    let addr = Arg::new("addr")
        .long("addr")
        .value_name("HOST:PORT")
        .conflicts_with_all(["dir", "config"])
        .help("Ask this running node; the password, if there is one, comes from PERDURA_REQUIREPASS");
    [addr, connection::user().requires("addr")]
}

impl RunningNode {
    /// The node that was named, if one was.
    pub fn named(matches: &ArgMatches) -> Result<Option<RunningNode>, Failure> {
        if !matches.contains_id("addr") {
            return Ok(None);
        }
        let target = Target::named(matches).map_err(Failure::Mistake)?;
        let addr = target.addr.to_string();
        match Connection::open(&target, TIMEOUT) {
            Ok(connection) => Ok(Some(RunningNode { addr, connection })),
            Err(error) => Err(Failure::Node { addr, error }),
        }
    }

    /// From now on an answer may take very long.
    pub fn be_patient(&mut self) -> Result<(), AskError> {
        self.connection.set_timeout(PATIENCE)
    }

    /// Sends one command and waits for its answer.
    pub fn ask(&mut self, words: &[&str]) -> Result<OwnedFrame, Failure> {
        self.connection.ask(words).map_err(|error| self.failure(error))
    }

    /// The entries from `from` on, as many as come at once.
    pub fn read(&mut self, from: u64) -> Result<Sent, Failure> {
        let answer = match self.connection.ask(&["PERDURA", "LOG", "READ", &from.to_string(), CHUNK_BYTES]) {
            Ok(answer) => answer,
            Err(AskError::Refused(refusal)) => {
                let first_index = refusal.strip_prefix(CUT_OFF).and_then(|index| index.parse().ok());
                let cut_off = first_index.map(|first_index| Sent::CutOff { first_index });
                return cut_off.ok_or_else(|| self.failure(AskError::Refused(refusal)));
            }
            Err(error) => return Err(self.failure(error)),
        };
        let entries = parts(answer).and_then(|entries| entries.into_iter().map(sent_entry).collect());
        Ok(Sent::Entries(entries.map_err(|error| self.failure(error))?))
    }

    pub fn failure(&self, error: AskError) -> Failure {
        Failure::Node { addr: self.addr.clone(), error }
    }
}

fn sent_entry(frame: OwnedFrame) -> Result<SentEntry, AskError> {
    let [index, term, payload] = <[OwnedFrame; 3]>::try_from(parts(frame)?).map_err(|_| AskError::Foreign)?;
    let OwnedFrame::BulkString(payload) = payload else { return Err(AskError::Foreign) };
    Ok(SentEntry { index: integer(&index)? as u64, term: integer(&term)? as u64, payload })
}
