//! A log that can't be used at a start, and the member of a group that goes on without it.
//!
//! - A node alone has nobody to learn from: it refuses to start, and nothing is changed.
//! - A member of a group sets the log aside and begins a new one, behind its own newest whole checkpoint if it has any. What it
//!   said with the lost log counts elsewhere, so it joins by the rules of `raft/node/rejoin.rs`: it is silent until all others
//!   know, and votes for nobody before it knows again what it may have acknowledged.
//! - Only for what is proven: bytes that are not what their checksums say, files that are missing, a log that does not meet any
//!   whole checkpoint. An error of the operating system, a newer format, another node's folder stay what they are: a damaged log whose
//!   sound parts name another node or other members is refused as a sound one is.
//! - The new log is marked, in the same write that lets it begin behind a checkpoint. A crash before leaves a log that nothing was
//!   written to, and the one set aside beside it: then the mark follows at the next start.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use perdura_wal::{Disk, Position, RealDisk, SyncMode, Wal, WalError, sound_metadata};

use super::{ServerError, open};
use crate::config::Config;
use crate::data_folder::{LOG_FOLDER, free_name};
use crate::metrics::IntegrityMetrics;
use crate::raft::cluster::{Cluster, ClusterId};
use crate::raft::identity::Identity;
use crate::raft::node::NodeError;
use crate::raft::storage::{StorageFault, begin_after_loss, is_new};
use crate::shard::turn::ShardError;

/// Where a log lies that could not be used, or with a number after it: for people to look at, and to remove. All are kept.
pub const LOG_SET_ASIDE: &str = "damaged-log";

/// What a node does about damage at its start.
pub struct Repair<'a> {
    dir: &'a Path,
    identity: &'a Identity,
    is_member: bool,
    may_repair: bool,
    /// Where damage is counted; nowhere when the process is about to end.
    integrity: Option<&'a IntegrityMetrics>,
}

impl<'a> Repair<'a> {
    pub fn of(config: &'a Config, identity: &'a Identity) -> Repair<'a> {
        let is_member = identity.members.len() > 1;
        let may_repair = is_member && config.repair_from_peers;
        Repair { dir: &config.dir, identity, is_member, may_repair, integrity: None }
    }

    /// The same, where what is found is counted.
    pub fn counting(self, integrity: &'a IntegrityMetrics) -> Repair<'a> {
        Repair { integrity: Some(integrity), ..self }
    }

    /// Sets the log aside that could not be opened, so that a new one can be begun. Nobody may have it open.
    ///
    /// False, and nothing has happened, if `why` is no proven damage, or nobody could help.
    pub fn set_log_aside(&self, why: &ServerError) -> Result<bool, ServerError> {
        if !self.may_repair || !is_damage(why) {
            return Ok(false);
        }
        let disk = RealDisk::open(self.dir.join(LOG_FOLDER), SyncMode::Dsync).map_err(|e| self.io(e))?;
        let _held = disk.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => WalError::InUse.into(),
            _ => self.io(error),
        })?;
        if let Some(metadata) = sound_metadata(&disk) {
            Identity::decode(&metadata)?.check_same(self.identity)?;
        }
        let aside = free_name(self.dir, LOG_SET_ASIDE);
        tracing::error!(
            reason = %why,
            set_aside = %aside.display(),
            "THE LOG CAN'T BE USED: this node sets it aside and learns again from the other members; look at the disk"
        );
        self.move_to(&aside).map_err(|error| self.io(error))?;
        self.integrity.into_iter().for_each(|integrity| integrity.found(why.to_string()));
        Ok(true)
    }

    fn move_to(&self, aside: &Path) -> io::Result<()> {
        fs::rename(self.dir.join(LOG_FOLDER), aside)?;
        File::open(self.dir)?.sync_all()
    }

    /// Marks a log that is new, and that another one came before. It then begins behind `newest`, the newest whole checkpoint.
    /// That is one of cluster `of`, or of none that has an id.
    pub fn mark_loss(
        &self,
        wal: &mut Wal<RealDisk>,
        of: ClusterId,
        newest: Option<Position>,
    ) -> Result<(), ServerError> {
        let had_another = self.dir.join(LOG_SET_ASIDE).exists() || self.may_repair && newest.is_some();
        if !self.is_member || !had_another || !is_new(wal) {
            return Ok(());
        }
        let index = newest.map_or(0, |newest| newest.index);
        tracing::warn!(
            index,
            "a new log begins, and waits for what all other members know; this was its newest checkpoint"
        );
        begin_after_loss(wal, self.identity, Cluster::of(of), newest)
            .map_err(|fault| NodeError::from(fault).into())
    }

    fn io(&self, source: io::Error) -> ServerError {
        ServerError::Dir { dir: self.dir.display().to_string(), source }
    }
}

/// What a node that ran ends with: one that has heard from its leader that its log is not what it was sets it aside. One that could
/// not read its log says what comes next: a start reads all of it, and decides.
pub fn at_end(config: &Config, why: ServerError) -> ServerError {
    if let Some(next) = after_damage(&why, config.members.len() > 1) {
        return ServerError::LogDamaged { why: Box::new(why), next };
    }
    if !matches!(why, ServerError::Shard(ShardError::Node(NodeError::LogLost { .. }))) {
        return why;
    }
    let Ok(identity) = open::identity(config) else { return why };
    match Repair::of(config, &identity).set_log_aside(&why) {
        Ok(true) => ServerError::LogSetAside(Box::new(why)),
        Ok(false) => why,
        Err(error) => error,
    }
}

/// What an operator does about a log that a running node found to be damaged.
fn after_damage(why: &ServerError, is_member: bool) -> Option<&'static str> {
    let ServerError::Shard(ShardError::Node(NodeError::Storage(StorageFault::Log(error)))) = why else {
        return None;
    };
    error.is_damage().then_some(match is_member {
        true => {
            "Start the node again: what the newest whole checkpoint covers is set aside, and for the rest the node learns again from \
             the other members; then look at the disk"
        }
        false => {
            "Start the node again: what the newest whole checkpoint covers is set aside; if it does not start, put an undamaged copy of \
             this file in its place; then look at the disk"
        }
    })
}

/// Whether it is proven that the log is not what was written, or does not go on where any checkpoint ends.
fn is_damage(error: &ServerError) -> bool {
    match error {
        ServerError::Log(error) => error.is_damage(),
        ServerError::Node(NodeError::Storage(fault)) => {
            matches!(fault, StorageFault::CheckpointOutsideLog { .. })
        }
        ServerError::Shard(ShardError::Node(NodeError::LogLost { .. })) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn ended_by(error: WalError) -> ServerError {
        ShardError::Node(error.into()).into()
    }

    /// A running node ended with the error of the operating system and no word of what comes next.
    #[test]
    fn a_sector_that_a_running_node_cant_read_is_named_with_what_to_do() {
        let source = Arc::new(io::Error::from_raw_os_error(libc::EIO));
        let file = "00000000000000000007.wal".to_owned();
        let failed = |operation| {
            ended_by(WalError::Io { operation, file: file.clone(), offset: 4096, source: source.clone() })
        };
        for is_member in [true, false] {
            let why = failed("read");
            let next = after_damage(&why, is_member).expect("it is damage");
            let text = ServerError::LogDamaged { why: Box::new(why), next }.to_string();
            assert!(text.contains("00000000000000000007.wal at byte 4096"), "{text}");
            assert!(text.contains("Start the node again") && text.contains("A segment is damaged"), "{text}");
            assert_eq!(text.contains("other members"), is_member, "{text}");
        }
        assert_eq!(after_damage(&failed("write"), true), None, "that says nothing of what was written");
        assert_eq!(after_damage(&ended_by(WalError::InUse), true), None);
    }
}
