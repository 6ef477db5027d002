//! Reading the log of a running node, from any thread: the driver owns the log, and reads it for others between two turns.
//!
//! - Only entries are read that are committed and applied here: they are the same on every node of the group, for ever.
//! - Nobody else waits for it: a turn serves few requests and few bytes, and a queue that is full refuses.
//!
//! Caveat: what the page cache does not hold is read from the disk by the driver, a chunk of it at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use perdura_wal::{Disk, HardState, Position, SegmentView, WalError};
use thiserror::Error;
use tokio::sync::{Notify, oneshot};

use super::turn::Shard;
use crate::raft::cluster::ClusterId;
use crate::raft::identity::Identity;

/// Bytes of payloads in one chunk, unless its first entry has more.
pub const MAX_CHUNK_BYTES: u64 = 1 << 20;
/// Requests that may wait.
const MAX_WAITING: usize = 64;
/// Requests served between two turns.
const READS_PER_TURN: usize = 4;

/// An entry as it is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub index: u64,
    pub term: u64,
    /// Empty for a leader's first entry.
    pub payload: Bytes,
}

/// Entries in a row, and where the log stood when they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// None where the first that was asked for is not applied yet.
    pub entries: Vec<LogEntry>,
    /// The first entry that the log still has, or would have.
    pub first_index: u64,
    pub committed_index: u64,
    /// The last that can be read now.
    pub applied_index: u64,
    /// The last that is on this node's disk, committed or not.
    pub last_index: u64,
}

#[derive(Clone, Debug, Error)]
pub enum LogReadError {
    #[error("the log begins with entry {first_index}")]
    Compacted { first_index: u64 },
    #[error("too many are reading the log")]
    Busy,
    #[error("the node is ending")]
    Ended,
    #[error("the log can't be read: {0}")]
    Log(#[from] WalError),
}

/// A log as its node has it.
#[derive(Clone, Debug)]
pub struct LogState {
    pub log_id: u64,
    pub identity: Identity,
    pub cluster: ClusterId,
    pub hard_state: HardState,
    pub committed_index: u64,
    pub applied_index: u64,
    pub first_index: u64,
    pub last: Position,
    /// The last entry that was cut away; index 0 where none was.
    pub base: Position,
    /// The segments in use, oldest first.
    pub segments: Vec<SegmentView>,
    /// Bytes that can be written before another segment has to be made.
    pub ready_bytes: u64,
    /// Unix times of the oldest and the newest stamp.
    pub oldest_ms: Option<i64>,
    pub newest_ms: Option<i64>,
}

type Answer = Result<LogChunk, LogReadError>;

#[derive(Debug)]
enum Request {
    Read { from_index: u64, max_bytes: u64, answer: oneshot::Sender<Answer> },
    Look(oneshot::Sender<Result<LogState, LogReadError>>),
}

/// A chunk on its way.
#[derive(Debug)]
pub struct LogReading(oneshot::Receiver<Answer>);

impl LogReading {
    /// For a task.
    pub async fn chunk(self) -> Answer {
        self.0.await.unwrap_or(Err(LogReadError::Ended))
    }

    /// For a thread that is no worker's; blocks.
    pub fn wait(self) -> Answer {
        self.0.blocking_recv().unwrap_or(Err(LogReadError::Ended))
    }
}

/// See the module.
#[derive(Debug)]
pub struct LogReads {
    queue: Mutex<VecDeque<Request>>,
    driver_wake: Arc<Notify>,
}

impl LogReads {
    /// `driver_wake` wakes the driver.
    pub fn new(driver_wake: Arc<Notify>) -> LogReads {
        LogReads { queue: Mutex::default(), driver_wake }
    }

    /// Asks for the entries from `from_index` on, as many as fit in `max_bytes` of payloads and in [`MAX_CHUNK_BYTES`], but at
    /// least one if there is one.
    ///
    /// # Errors
    /// At once [`LogReadError::Busy`]; the others come with the answer.
    pub fn read(&self, from_index: u64, max_bytes: u64) -> Result<LogReading, LogReadError> {
        let (answer, reading) = oneshot::channel();
        self.ask(Request::Read { from_index, max_bytes: max_bytes.min(MAX_CHUNK_BYTES), answer })?;
        Ok(LogReading(reading))
    }

    /// How the log stands.
    pub async fn look(&self) -> Result<LogState, LogReadError> {
        let (answer, state) = oneshot::channel();
        self.ask(Request::Look(answer))?;
        state.await.unwrap_or(Err(LogReadError::Ended))
    }

    /// The same for a thread that is no worker's; blocks.
    pub fn look_and_wait(&self) -> Result<LogState, LogReadError> {
        let (answer, state) = oneshot::channel();
        self.ask(Request::Look(answer))?;
        state.blocking_recv().unwrap_or(Err(LogReadError::Ended))
    }

    fn ask(&self, request: Request) -> Result<(), LogReadError> {
        let mut queue = self.queue.lock();
        if queue.len() >= MAX_WAITING {
            return Err(LogReadError::Busy);
        }
        queue.push_back(request);
        drop(queue);
        self.driver_wake.notify_one();
        Ok(())
    }

    /// Serves some requests. Wakes the driver again where more of them wait.
    pub fn serve<D: Disk>(&self, shard: &Shard<D>) {
        let mut budget = MAX_CHUNK_BYTES;
        for _ in 0..READS_PER_TURN {
            let Some(request) = self.queue.lock().pop_front() else { return };
            // Who does not wait any more needs nothing.
            match request {
                Request::Read { from_index, max_bytes, answer } => {
                    let chunk = read(shard, from_index, max_bytes.min(budget));
                    budget = budget.saturating_sub(chunk.as_ref().map_or(0, LogChunk::bytes));
                    let _ = answer.send(chunk);
                }
                Request::Look(answer) => {
                    let _ = answer.send(look(shard));
                }
            }
            if budget == 0 {
                break;
            }
        }
        if !self.queue.lock().is_empty() {
            self.driver_wake.notify_one();
        }
    }
}

impl LogChunk {
    /// Bytes of all payloads.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.payload.len() as u64).sum()
    }
}

fn read<D: Disk>(shard: &Shard<D>, from_index: u64, max_bytes: u64) -> Answer {
    let (node, storage) = (shard.node(), shard.node().storage());
    let first_index = storage.first_entry();
    if from_index < first_index {
        return Err(LogReadError::Compacted { first_index });
    }
    let committed_index = node.committed();
    let applied_index = shard.machine().applied.min(committed_index);
    let mut entries = Vec::new();
    if from_index <= applied_index {
        for entry in storage.read_entries(from_index, applied_index, max_bytes)? {
            entries.push(LogEntry { index: entry.index, term: entry.term, payload: entry.data });
        }
    }
    Ok(LogChunk { entries, first_index, committed_index, applied_index, last_index: storage.last_entry() })
}

fn look<D: Disk>(shard: &Shard<D>) -> Result<LogState, LogReadError> {
    let (storage, applied_index) = (shard.node().storage(), shard.machine().applied);
    let wal = storage.wal();
    let last_index = wal.last_index();
    let newest_ms = Some(shard.machine().applier.last_stamp_ms()).filter(|ms| *ms > i64::MIN);
    Ok(LogState {
        log_id: wal.log_id(),
        identity: storage.identity().clone(),
        cluster: storage.cluster().id,
        hard_state: wal.hard_state(),
        committed_index: shard.node().committed(),
        applied_index,
        first_index: wal.first_index(),
        last: Position { index: last_index, term: wal.term(last_index)? },
        base: wal.base(),
        segments: wal.segments().collect(),
        ready_bytes: wal.ready_bytes(),
        oldest_ms: storage.stamp_from(wal.first_index(), last_index)?,
        newest_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::testing::Rig;

    fn chunk(rig: &mut Rig, from_index: u64, max_bytes: u64) -> Answer {
        let reading = rig.log_reads().read(from_index, max_bytes).expect("nobody else reads");
        rig.serve_log_reads();
        reading.wait()
    }

    #[test]
    fn what_is_applied_is_read_piece_by_piece_and_no_more() {
        let mut rig = Rig::new(1);
        for n in 0..40 {
            rig.run(1, &format!("SET key{n} {}", "v".repeat(1000)));
        }
        let applied = rig.applied();
        let mut next = 1;
        let mut chunks = 0;
        while next <= applied {
            let chunk = chunk(&mut rig, next, 5000).expect("the log has it");
            assert!(chunk.bytes() <= 5000 && chunk.applied_index == applied && chunk.first_index == 1);
            for entry in &chunk.entries {
                assert_eq!(entry.index, next);
                next += 1;
            }
            chunks += 1;
        }
        assert!(next == applied + 1 && chunks >= 8, "{next} in {chunks}");
        let beyond = chunk(&mut rig, next, 5000).expect("there is nothing yet");
        assert!(beyond.entries.is_empty() && beyond.committed_index == applied);
        assert_eq!(chunk(&mut rig, 2, 1).expect("one at least").entries.len(), 1);
    }

    #[test]
    fn what_is_cut_off_is_told_apart_from_what_is_not_there_yet() {
        let mut rig = Rig::new(2);
        for n in 0..10 {
            rig.run(1, &format!("SET k {n}"));
        }
        rig.compact_log(5);
        for from_index in [0, 5] {
            let cut_off = chunk(&mut rig, from_index, 10);
            assert!(matches!(cut_off, Err(LogReadError::Compacted { first_index: 6 })), "{cut_off:?}");
        }
        assert_eq!(chunk(&mut rig, 6, 10).expect("it is there").entries[0].index, 6);
    }

    #[test]
    fn a_turn_serves_some_and_a_full_queue_refuses() {
        let mut rig = Rig::new(3);
        rig.run(1, "SET k v");
        let asked: Vec<_> = (0..MAX_WAITING).map(|_| rig.log_reads().read(1, 100).expect("room")).collect();
        assert!(matches!(rig.log_reads().read(1, 100), Err(LogReadError::Busy)));
        rig.serve_log_reads();
        assert_eq!(rig.log_reads().queue.lock().len(), MAX_WAITING - READS_PER_TURN);
        while !rig.log_reads().queue.lock().is_empty() {
            rig.serve_log_reads();
        }
        assert!(asked.into_iter().all(|reading| reading.wait().is_ok()));
        let late = rig.log_reads().read(1, 100).expect("room");
        drop(rig);
        assert!(matches!(late.wait(), Err(LogReadError::Ended)));
    }
}
