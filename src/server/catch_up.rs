//! Catching up by checkpoints: a node whose next entry no other has any more fetches a checkpoint, and others fetch theirs here.
//!
//! - A thread reads and writes all files. The driver passes on what peers say, and is never kept waiting for a file: what the
//!   thread has no room for is dropped, and asked for again.
//! - When a checkpoint is fetched, proven and on the shelf, the driver puts its content in place of all data, between two turns,
//!   and raft goes on behind it. Meanwhile the node answers nobody but its peers: the keepalive thread stands in, up
//!   to its bound.
//! - The shelf is marked from before the checkpoint appears there until the log goes on behind it. A process that ends in between
//!   finds the mark at its next start, and cuts the log then.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use perdura_wal::{Position, RealDisk};
use tokio::sync::Notify;

use super::checkpoints::Checkpoints;
use super::{ServerError, spawn};
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::shelf::Shelf;
use crate::checkpoint::ship::folder::FolderDock;
use crate::checkpoint::ship::lender::Lender;
use crate::checkpoint::ship::{Ask, Fetch, Lend, Pace, Shipment, Wanted, answer};
use crate::checkpoint::transfers::{LocalAsk, Transfers};
use crate::env::Clock;
use crate::env::Now;
use crate::persistence::Persistence;
use crate::raft::cluster::{Cluster, ClusterId};
use crate::raft::frame::Frame;
use crate::raft::identity::NodeId;
use crate::raft::inbox::PeerEvent;
use crate::raft::outbox::Outbound;
use crate::shard::port::ShardHandle;
use crate::shard::turn::Shard;

/// What may wait for the thread, and what of its own may wait for the driver.
const MAX_WAITING: usize = 64;
/// How often the thread looks around when nothing is to be done.
const IDLE: Duration = Duration::from_secs(1);

/// For the thread.
enum Order {
    Want(Option<Wanted>),
    Hear(NodeId, Shipment),
    /// For somebody who is no peer: a backup, an operator.
    Lend(LocalAsk),
}

/// From the thread.
enum Outcome {
    Say(NodeId, Shipment),
    Fetched(Box<Manifest>),
}

/// The driver's end.
pub struct CatchUp {
    orders: SyncSender<Order>,
    outcomes: Receiver<Outcome>,
    transfers: Arc<Transfers>,
    shelf: Shelf,
    /// What the thread knows to be wanted.
    told: Option<Wanted>,
    /// On the shelf, and not yet in place.
    fetched: Option<Box<Manifest>>,
    /// In place, and not yet what the log begins with.
    placed: Option<u64>,
}

impl CatchUp {
    /// Starts the thread, for a node with this shelf.
    pub fn start(
        shelf: Shelf,
        pace: Pace,
        handle: &ShardHandle,
        clock: Clock,
    ) -> Result<CatchUp, ServerError> {
        let (orders, ordered) = sync_channel(MAX_WAITING);
        let (outcome, outcomes) = sync_channel(MAX_WAITING);
        let porter = Porter {
            fetch: Fetch::new(FolderDock::new(shelf.clone()), pace),
            lender: Lender::new(shelf.clone()),
            clock,
            outcomes: outcome,
            transfers: handle.transfers.clone(),
            driver_wake: handle.driver_wake.clone(),
        };
        spawn("catch-up".to_owned(), move || porter.run(&ordered))?;
        let transfers = handle.transfers.clone();
        Ok(CatchUp { orders, outcomes, transfers, shelf, told: None, fetched: None, placed: None })
    }

    /// Takes out of the events what is about files.
    pub fn take_in(&mut self, events: &mut Vec<(NodeId, PeerEvent)>) {
        let is_shipment = |(_, event): &mut (NodeId, PeerEvent)| matches!(event, PeerEvent::Shipment(_));
        for (from, event) in events.extract_if(.., is_shipment) {
            if let PeerEvent::Shipment(shipment) = event {
                self.order(Order::Hear(from, shipment));
            }
        }
    }

    /// Carries out what the thread left, and tells it what is wanted.
    ///
    /// # Errors
    /// A checkpoint that was fetched can't be loaded: the node has to end.
    pub fn turn(
        &mut self,
        shard: &mut Shard<RealDisk>,
        checkpoints: &mut Checkpoints,
        persistence: &Persistence,
        out: &mut impl Outbound,
        now: Now,
    ) -> Result<(), ServerError> {
        while let Some(ask) = self.transfers.take_ask() {
            // One that the thread has no room for is answered that it was dropped.
            self.order(Order::Lend(ask));
        }
        while let Ok(outcome) = self.outcomes.try_recv() {
            match outcome {
                // What is lost is asked for again.
                Outcome::Say(to, shipment) => {
                    out.send(to, &Frame::Shipment(shipment));
                }
                Outcome::Fetched(manifest) => {
                    // The thread wants nothing any more, also where a newer offer had come meanwhile.
                    (self.fetched, self.told) = (Some(manifest), None);
                }
            }
        }
        if self.placed.is_some_and(|index| shard.machine().applied >= index) {
            self.shelf.end_adoption()?;
            self.placed = None;
        }
        if self.fetched.is_some() {
            return self.put_in_place(shard, checkpoints, persistence, now);
        }
        let offer = shard.node().offer();
        self.want(offer.map(|offer| Wanted { from: offer.from, index: offer.checkpoint.index }));
        Ok(())
    }

    fn put_in_place(
        &mut self,
        shard: &mut Shard<RealDisk>,
        checkpoints: &mut Checkpoints,
        persistence: &Persistence,
        now: Now,
    ) -> Result<(), ServerError> {
        let Some(manifest) = &self.fetched else { return Ok(()) };
        let position = Position { index: manifest.point.index, term: manifest.point.term };
        let (own, other) = (shard.node().cluster(), Cluster::of(ClusterId(manifest.point.cluster)));
        let is_strange = !own.may_be(&other);
        if is_strange || !shard.node().lacks(position) {
            if is_strange {
                tracing::error!(index = position.index, cluster = %other.id, own = %own.id, "dropped a checkpoint of another cluster");
            } else {
                tracing::info!(
                    index = position.index,
                    "the log was faster than the checkpoint that was fetched"
                );
            }
            self.shelf.remove(position.index)?;
            self.shelf.end_adoption()?;
            self.fetched = None;
            checkpoints.resume();
            return Ok(());
        }
        if !shard.node().has_room_to_restore() || !checkpoints.give_up() {
            return Ok(());
        }
        checkpoints.adopt(shard, persistence, position.index, now)?;
        checkpoints.resume();
        shard.node_mut().restore(position);
        (self.fetched, self.placed) = (None, Some(position.index));
        Ok(())
    }

    fn want(&mut self, wanted: Option<Wanted>) {
        if wanted != self.told && self.order(Order::Want(wanted)) {
            self.told = wanted;
        }
    }

    /// False if the thread has no room for it.
    fn order(&self, order: Order) -> bool {
        match self.orders.try_send(order) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("the thread that sends and fetches checkpoints is gone");
                false
            }
        }
    }
}

/// The thread's end.
struct Porter {
    fetch: Fetch<FolderDock>,
    lender: Lender,
    clock: Clock,
    outcomes: SyncSender<Outcome>,
    transfers: Arc<Transfers>,
    driver_wake: Arc<Notify>,
}

impl Porter {
    /// Ends when the driver does.
    fn run(mut self, orders: &Receiver<Order>) {
        let mut is_open = true;
        while is_open {
            is_open = match orders.recv_timeout(self.wait()) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            is_open &= self.ask();
            self.lender.take_back(self.clock.monotonic_ms());
            self.transfers.tell(self.fetch.received_bytes(), self.fetch.progress(), self.lender.oldest());
        }
    }

    fn wait(&self) -> Duration {
        let due_ms = self.fetch.next_due_ms().unwrap_or(u64::MAX);
        Duration::from_millis(due_ms.saturating_sub(self.clock.monotonic_ms())).min(IDLE)
    }

    fn obey(&mut self, order: Order) -> bool {
        let now_ms = self.clock.monotonic_ms();
        match order {
            Order::Want(wanted) => {
                self.fetch.want(wanted);
                true
            }
            Order::Lend(LocalAsk { ask, answer }) => {
                // Who does not wait any more needs nothing.
                let _ = answer.send(self.lender.read(ask, now_ms).map_err(|error| error.to_string()));
                true
            }
            Order::Hear(from, Shipment::Ask(ask)) => self.answer(from, ask, now_ms),
            Order::Hear(from, shipment) => match self.fetch.take(from, shipment, now_ms) {
                Some(manifest) => self.fetched(manifest),
                None => true,
            },
        }
    }

    fn answer(&mut self, to: NodeId, ask: Ask, now_ms: u64) -> bool {
        let shipment = answer(&mut self.lender, ask, now_ms);
        if let Shipment::Piece(piece) = &shipment {
            self.transfers.count_sent(piece.bytes.len() as u64);
            if (piece.file, piece.offset) == (crate::checkpoint::ship::MANIFEST_FILE, 0) {
                tracing::info!(index = piece.index, to, "sending a checkpoint");
            }
        }
        self.tell(Outcome::Say(to, shipment))
    }

    fn fetched(&mut self, manifest: Manifest) -> bool {
        let (index, bytes) = (manifest.point.index, manifest.bytes());
        tracing::info!(index, bytes, "a checkpoint is fetched and whole");
        self.fetch.want(None);
        self.tell(Outcome::Fetched(Box::new(manifest)))
    }

    fn ask(&mut self) -> bool {
        let mut asks = Vec::new();
        self.fetch.turn(self.clock.monotonic_ms(), |to, ask| asks.push((to, ask)));
        asks.into_iter().all(|(to, ask)| self.tell(Outcome::Say(to, Shipment::Ask(ask))))
    }

    /// False if the driver is gone.
    fn tell(&self, outcome: Outcome) -> bool {
        let told = self.outcomes.send(outcome).is_ok();
        self.driver_wake.notify_one();
        told
    }
}
