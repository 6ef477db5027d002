//! Catching up by checkpoints: a node whose next entry no other node has any more fetches a checkpoint, and others fetch theirs here.
//!
//! - A worker reads and writes all files (`transfer_worker.rs`). The driver passes on what peers send.
//! - Once a checkpoint is fetched, proven and on the shelf, the driver puts its content in place of all data, between two turns,
//!   and raft continues after it. Meanwhile the node answers only its peers: the keepalive thread stands in, up to its bound.
//! - The shelf is marked from before the checkpoint appears there until the log continues after it. A process that ends in between
//!   finds the mark at its next start, and truncates the log then.

use std::sync::Arc;

use perdura_wal::{Disk, Position};

use super::ServerError;
use super::checkpoint_writer::CheckpointWriter;
use super::checkpoints::Checkpoints;
use super::transfer_worker::{Event, Request, TransferThread, Transferring};
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::ship::Wanted;
use crate::checkpoint::transfers::Transfers;
use crate::env::Now;
use crate::persistence::Persistence;
use crate::raft::cluster::{Cluster, ClusterId};
use crate::raft::frame::Frame;
use crate::raft::identity::NodeId;
use crate::raft::inbox::PeerEvent;
use crate::raft::outbox::Outbound;
use crate::shard::turn::Shard;

/// The driver's view.
pub struct CatchUp<T = TransferThread> {
    worker: T,
    transfers: Arc<Transfers>,
    /// What the worker was last asked to fetch.
    asked: Option<Wanted>,
    /// On the shelf, and not yet in place.
    fetched: Option<Box<Manifest>>,
    /// In place, and not yet what the log begins with.
    placed: Option<u64>,
}

impl<T: Transferring> CatchUp<T> {
    pub fn new(worker: T, transfers: Arc<Transfers>) -> CatchUp<T> {
        CatchUp { worker, transfers, asked: None, fetched: None, placed: None }
    }

    /// Takes out of the events what is about files.
    pub fn take_in(&mut self, events: &mut Vec<(NodeId, PeerEvent)>) {
        let is_shipment = |(_, event): &mut (NodeId, PeerEvent)| matches!(event, PeerEvent::Shipment(_));
        for (from, event) in events.extract_if(.., is_shipment) {
            if let PeerEvent::Shipment(shipment) = event {
                self.worker.request(Request::Receive(from, shipment));
            }
        }
    }

    /// Carries out what the worker left, and asks it for what the node lacks.
    ///
    /// # Errors
    /// A checkpoint that was fetched can't be loaded: the node has to end.
    pub fn turn<D: Disk, W: CheckpointWriter>(
        &mut self,
        shard: &mut Shard<D>,
        checkpoints: &mut Checkpoints<W>,
        persistence: &Persistence,
        out: &mut impl Outbound,
        now: Now,
    ) -> Result<(), ServerError> {
        while let Some(ask) = self.transfers.take_ask() {
            // The asker hears that an ask was dropped for which the worker has no room.
            self.worker.request(Request::Lend(ask));
        }
        while let Some(event) = self.worker.poll() {
            match event {
                // What is lost is asked for again.
                Event::Send(to, shipment) => {
                    out.send(to, &Frame::Shipment(shipment));
                }
                Event::Fetched(manifest) => {
                    // The worker fetches nothing any more, also where a newer offer had come meanwhile.
                    (self.fetched, self.asked) = (Some(manifest), None);
                }
            }
        }
        if self.placed.is_some_and(|index| shard.machine().applied >= index) {
            self.worker.end_adoption()?;
            self.placed = None;
        }
        if self.fetched.is_some() {
            return self.put_in_place(shard, checkpoints, persistence, now);
        }
        let offer = shard.node().offer();
        self.want(offer.map(|offer| Wanted { from: offer.from, index: offer.checkpoint.index }));
        Ok(())
    }

    fn put_in_place<D: Disk, W: CheckpointWriter>(
        &mut self,
        shard: &mut Shard<D>,
        checkpoints: &mut Checkpoints<W>,
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
            self.worker.remove(position.index)?;
            self.worker.end_adoption()?;
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
        if wanted != self.asked && self.worker.request(Request::Want(wanted)) {
            self.asked = wanted;
        }
    }
}
