//! One worker: its connections by number, its scratch buffer, and the delivery of what the log answers.
//!
//! - A number is used again for a later connection, with another generation; answers to the earlier one are dropped.
//! - Idle connections hold no read buffer: reading goes through the worker's one scratch buffer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;

use super::answers::Connection;
use crate::admin::shared::Shared;
use crate::metrics::Lane;
use crate::propose::reply::{ConnectionId, ReplyBatch};

/// Bytes read from a socket at once.
pub const SCRATCH_BYTES: usize = 64 << 10;

pub struct Worker {
    pub index: usize,
    pub shared: Arc<Shared>,
    pub lane: Lane,
    pub scratch: RefCell<Box<[u8]>>,
    connections: RefCell<Slab<Rc<Connection>>>,
    generation: Cell<u32>,
}

impl Worker {
    pub fn new(index: usize, shared: Arc<Shared>) -> Rc<Worker> {
        Rc::new(Worker {
            index,
            lane: shared.metrics.lane(),
            shared,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            connections: RefCell::default(),
            generation: Cell::new(0),
        })
    }

    /// Makes a connection and gives it a number.
    pub fn add(&self, make: impl FnOnce(ConnectionId) -> Connection) -> Rc<Connection> {
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let mut connections = self.connections.borrow_mut();
        let vacant = connections.vacant_entry();
        let id = ConnectionId { index: vacant.key() as u32, generation };
        vacant.insert(Rc::new(make(id))).clone()
    }

    pub fn remove(&self, id: ConnectionId) {
        self.connections.borrow_mut().try_remove(id.index as usize);
    }

    /// Brings answers from the log to their connections, for ever.
    pub async fn deliver(self: Rc<Self>) {
        let port = self.shared.shard.ports[self.index].clone();
        let mut batch = ReplyBatch::default();
        loop {
            port.replies_ready.notified().await;
            // Taken first: whoever said it has left its last replies before.
            let farewell = port.take_farewell();
            std::mem::swap(&mut batch, &mut port.replies.lock());
            self.deliver_batch(&batch);
            batch.clear();
            if let Some(all_sent) = farewell {
                self.send_the_rest().await;
                // Who does not wait for it any more ends the process anyway.
                let _ = all_sent.send(());
            }
        }
    }

    /// Sends what is left, one connection after the other.
    async fn send_the_rest(&self) {
        let connections: Vec<Rc<Connection>> =
            self.connections.borrow().iter().map(|(_, connection)| connection.clone()).collect();
        for connection in connections {
            connection.send_the_rest().await;
        }
    }

    fn deliver_batch(&self, batch: &ReplyBatch) {
        let connections = self.connections.borrow();
        let mut rest = &batch.bytes[..];
        let mut touched: Vec<u32> = Vec::with_capacity(batch.spans.len());
        for span in &batch.spans {
            let (bytes, behind) = rest.split_at(span.bytes);
            rest = behind;
            let connection = connections.get(span.connection.index as usize);
            let Some(connection) = connection.filter(|connection| connection.id == span.connection) else {
                continue;
            };
            if connection.answered(bytes, span, batch.applied) {
                touched.push(span.connection.index);
            }
        }
        let sent: usize =
            touched.iter().filter_map(|index| connections.get(*index as usize)).map(|c| c.deliver()).sum();
        self.lane.sent(sent);
    }
}
