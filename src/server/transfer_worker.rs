//! Sends and fetches the files of checkpoints, beside the driver.
//!
//! - A worker takes requests of the driver and leaves events for it. It never waits for the driver's turn, nor the driver for a file:
//!   the driver asks again for what the worker had no room for.
//! - The server's worker is a thread that reads and writes files.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::Notify;

use super::{ServerError, spawn};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::shelf::Shelf;
use crate::checkpoint::ship::folder::FolderDock;
use crate::checkpoint::ship::lender::Lender;
use crate::checkpoint::ship::{Ask, Dock, Fetch, Lend, MANIFEST_FILE, Pace, Shipment, Wanted, answer};
use crate::checkpoint::transfers::{LocalAsk, Transfers};
use crate::env::Clock;
use crate::raft::identity::NodeId;
use crate::shard::port::ShardHandle;

/// Requests that may wait for the thread, and events that may wait for the driver.
const MAX_WAITING: usize = 64;
/// How often the thread looks for something due when no request comes.
const IDLE: Duration = Duration::from_secs(1);

/// What the driver asks of the worker.
pub enum Request {
    /// Fetch this checkpoint, or none.
    Want(Option<Wanted>),
    /// A peer sent this.
    Receive(NodeId, Shipment),
    /// A backup or an operator reads a checkpoint of this node.
    Lend(LocalAsk),
}

/// What the worker leaves for the driver.
pub enum Event {
    /// This is for a peer.
    Send(NodeId, Shipment),
    /// A checkpoint is fetched, whole and published; the log may not continue after it yet.
    Fetched(Box<Manifest>),
}

/// The driver's view of a worker.
pub trait Transferring {
    /// False if the worker has no room for the request.
    fn request(&mut self, request: Request) -> bool;

    fn poll(&mut self) -> Option<Event>;

    /// Removes a published checkpoint.
    ///
    /// # Errors
    /// The disk fails.
    fn remove(&mut self, index: u64) -> Result<(), CheckpointError>;

    /// The log continues after the checkpoint that was fetched, or never will.
    ///
    /// # Errors
    /// The disk fails.
    fn end_adoption(&mut self) -> Result<(), CheckpointError>;
}

/// What a worker does. It knows no thread and no clock.
pub struct TransferWorker<K: Dock, L> {
    fetch: Fetch<K>,
    lender: L,
    transfers: Arc<Transfers>,
    events: VecDeque<Event>,
}

impl<K: Dock, L: Lend> TransferWorker<K, L> {
    pub fn new(dock: K, pace: Pace, lender: L, transfers: Arc<Transfers>) -> TransferWorker<K, L> {
        TransferWorker { fetch: Fetch::new(dock, pace), lender, transfers, events: VecDeque::new() }
    }

    pub fn handle(&mut self, request: Request, now_ms: u64) {
        match request {
            Request::Want(wanted) => self.fetch.want(wanted),
            Request::Lend(LocalAsk { ask, answer }) => {
                // The asker may have gone, and needs nothing then.
                let _ = answer.send(self.lender.read(ask, now_ms).map_err(|error| error.to_string()));
            }
            Request::Receive(from, Shipment::Ask(ask)) => self.answer(from, ask, now_ms),
            Request::Receive(from, shipment) => {
                if let Some(manifest) = self.fetch.take(from, shipment, now_ms) {
                    self.finish(manifest);
                }
            }
        }
    }

    /// Does what is due by itself: asks for the next pieces, ends what was lent for long enough, reports.
    pub fn step(&mut self, now_ms: u64) {
        let events = &mut self.events;
        self.fetch.turn(now_ms, |to, ask| events.push_back(Event::Send(to, Shipment::Ask(ask))));
        self.lender.take_back(now_ms);
        self.transfers.tell(self.fetch.received_bytes(), self.fetch.progress(), self.lender.oldest());
    }

    /// The monotonic time at which a step is due at the latest.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.fetch.next_due_ms()
    }

    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn answer(&mut self, to: NodeId, ask: Ask, now_ms: u64) {
        let shipment = answer(&mut self.lender, ask, now_ms);
        if let Shipment::Piece(piece) = &shipment {
            self.transfers.count_sent(piece.bytes.len() as u64);
            if (piece.file, piece.offset) == (MANIFEST_FILE, 0) {
                tracing::info!(index = piece.index, to, "sending a checkpoint");
            }
        }
        self.events.push_back(Event::Send(to, shipment));
    }

    fn finish(&mut self, manifest: Manifest) {
        let (index, bytes) = (manifest.point.index, manifest.bytes());
        tracing::info!(index, bytes, "a checkpoint is fetched and whole");
        self.fetch.want(None);
        self.events.push_back(Event::Fetched(Box::new(manifest)));
    }
}

/// The server's worker: the driver's handle to a thread.
pub struct TransferThread {
    requests: SyncSender<Request>,
    events: Receiver<Event>,
    shelf: Shelf,
}

impl TransferThread {
    /// Starts the thread, for a node with this shelf.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        shelf: Shelf,
        pace: Pace,
        handle: &ShardHandle,
        clock: Clock,
    ) -> Result<TransferThread, ServerError> {
        let (requests, received) = sync_channel(MAX_WAITING);
        let (sender, events) = sync_channel(MAX_WAITING);
        let (dock, lender) = (FolderDock::new(shelf.clone()), Lender::new(shelf.clone()));
        let worker = TransferWorker::new(dock, pace, lender, handle.transfers.clone());
        let driver_wake = handle.driver_wake.clone();
        spawn("catch-up".to_owned(), move || run(worker, &clock, &received, &sender, &driver_wake))?;
        Ok(TransferThread { requests, events, shelf })
    }
}

impl Transferring for TransferThread {
    fn request(&mut self, request: Request) -> bool {
        match self.requests.try_send(request) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("the thread that sends and fetches checkpoints is gone");
                false
            }
        }
    }

    fn poll(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    fn remove(&mut self, index: u64) -> Result<(), CheckpointError> {
        self.shelf.remove(index)
    }

    fn end_adoption(&mut self) -> Result<(), CheckpointError> {
        self.shelf.end_adoption()
    }
}

/// The thread. Ends when the driver does.
fn run<K: Dock, L: Lend>(
    mut worker: TransferWorker<K, L>,
    clock: &Clock,
    requests: &Receiver<Request>,
    events: &SyncSender<Event>,
    driver_wake: &Notify,
) {
    loop {
        let due_ms = worker.next_due_ms().unwrap_or(u64::MAX);
        let wait = Duration::from_millis(due_ms.saturating_sub(clock.monotonic_ms())).min(IDLE);
        match requests.recv_timeout(wait) {
            Ok(request) => worker.handle(request, clock.monotonic_ms()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        worker.step(clock.monotonic_ms());
        while let Some(event) = worker.take_event() {
            if events.send(event).is_err() {
                return;
            }
            driver_wake.notify_one();
        }
    }
}
