//! A running node as a source for a backup: its log and its newest checkpoint, asked for by PERDURA.
//!
//! - Only what the node has applied is read, as far as it had when it was asked first.
//! - A checkpoint comes into a folder for temporary files first, and is proven on its way from there.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use redis_protocol::resp2::types::OwnedFrame;

use crate::backup::checkpoint::Lent;
use crate::backup::error::{BackupError, Result};
use crate::backup::repository::Owner;
use crate::backup::ship::{Reading, Source, log_entry};
use crate::checkpoint::manifest::{FileSum, Manifest};
use crate::cli::connection::{AskError, Fields, integer, parts};
use crate::cli::failure::Failure;
use crate::cli::log::{RunningNode, Sent};
use crate::data_folder::create_private;
use crate::env;
use crate::raft::cluster::ClusterId;

const READ_BYTES: &str = "262144";

pub struct NodeSource {
    node: RunningNode,
    /// The log's owner, and what older builds took for it.
    owners: (Owner, Owner),
    first_index: u64,
    applied_index: u64,
    /// Checkpoints that nobody needs: the backup has them.
    known: Vec<u64>,
}

impl NodeSource {
    pub fn of(mut node: RunningNode) -> Result<NodeSource, Failure> {
        let status = node.ask(&["PERDURA", "LOG", "STATUS"])?;
        let (owners, first_index, applied_index) =
            read_status(status).map_err(|error| node.failure(error))?;
        Ok(NodeSource { node, owners, first_index, applied_index, known: Vec::new() })
    }

    pub fn owners(&self) -> &(Owner, Owner) {
        &self.owners
    }

    /// Leaves out these checkpoints.
    pub fn without(self, known: Vec<u64>) -> NodeSource {
        NodeSource { known, ..self }
    }

    fn newest_index(&mut self) -> Result<Option<u64>, Failure> {
        let listed = self.node.ask(&["PERDURA", "CHECKPOINT", "LIST"])?;
        let newest = parts(listed).and_then(|mut all| all.pop().map(Fields::of).transpose());
        let index = newest.and_then(|newest| newest.map(|fields| fields.number("index")).transpose());
        index.map_err(|error| self.node.failure(error))
    }

    fn bytes(&mut self, words: &[&str]) -> Result<Vec<u8>, Failure> {
        match self.node.ask(words)? {
            OwnedFrame::BulkString(bytes) => Ok(bytes),
            _ => Err(self.node.failure(AskError::Foreign)),
        }
    }

    fn fetch_file(&mut self, index: u64, number: usize, sum: &FileSum, path: &Path) -> Result<()> {
        let mut file = File::create(path).map_err(BackupError::io("create", path))?;
        let (index, number) = (index.to_string(), number.to_string());
        let mut offset = 0;
        while offset < sum.bytes {
            let words = ["PERDURA", "CHECKPOINT", "READ", &index, &number, &offset.to_string(), READ_BYTES];
            let piece = self.bytes(&words).map_err(refusal)?;
            if piece.is_empty() {
                return Err(refusal(self.node.failure(AskError::Foreign)));
            }
            file.write_all(&piece).map_err(BackupError::io("write", path))?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}

/// The log's owners, its first entry, and the last that is applied.
fn read_status(answer: OwnedFrame) -> Result<((Owner, Owner), u64, u64), AskError> {
    let mut fields = Fields::of(answer)?;
    let hex =
        |text: String| u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|_| AskError::Foreign);
    let members = parts(fields.take("members")?)?;
    members.iter().try_for_each(|member| integer(member).map(drop))?;
    let log_id = hex(fields.text("log_id")?)?;
    let older = Owner {
        cluster_id: hex(fields.text("older_cluster_id")?)?,
        log_id: (members.len() == 1).then_some(log_id),
    };
    let id = ClusterId(hex(fields.text("cluster_id")?)?);
    let owner = id.known().map_or_else(|| older.clone(), Owner::cluster);
    Ok(((owner, older), fields.number("first_index")?, fields.number("applied")?))
}

fn refusal(failure: Failure) -> BackupError {
    BackupError::Node { reason: failure.to_string() }
}

impl Source for NodeSource {
    fn read(&mut self, from: u64, _max_bytes: u64) -> Result<Reading> {
        let (mut first_index, last_index) = (self.first_index, self.applied_index);
        if from > last_index {
            return Ok(Reading { entries: Vec::new(), first_index, last_index });
        }
        let entries = match self.node.read(from).map_err(refusal)? {
            Sent::Entries(entries) => entries,
            Sent::CutOff { first_index: cut } => {
                first_index = cut;
                Vec::new()
            }
        };
        self.first_index = first_index;
        let entries = entries.into_iter().map(|entry| log_entry(entry.index, entry.term, entry.payload));
        Ok(Reading { entries: entries.collect(), first_index, last_index })
    }

    fn newest_checkpoint(&mut self) -> Result<Option<Lent>> {
        let newest = self.newest_index().map_err(refusal)?;
        let Some(index) = newest.filter(|index| !self.known.contains(index)) else { return Ok(None) };
        let bytes =
            self.bytes(&["PERDURA", "CHECKPOINT", "MANIFEST", &index.to_string()]).map_err(refusal)?;
        let manifest = Manifest::decode(&bytes)
            .map_err(|damage| BackupError::Node { reason: format!("its checkpoint {index}: {damage}") })?;
        let folder = std::env::temp_dir().join(format!("perdura-backup-{:016x}", env::random_seed()));
        create_private(&folder).map_err(BackupError::io("create", &folder))?;
        let lent = Lent { folder, manifest, is_temporary: true };
        for (number, sum) in (1..).zip(&lent.manifest.files) {
            if Path::new(&sum.name).file_name().is_none_or(|name| name != &sum.name[..]) {
                return Err(BackupError::Node { reason: format!("'{}' is no name of a file", sum.name) });
            }
            self.fetch_file(index, number, sum, &lent.folder.join(&sum.name))?;
        }
        Ok(Some(lent))
    }
}
