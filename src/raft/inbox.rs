//! What peers said and the driver has not yet taken.
//!
//! - Everything from one peer stays in order.
//! - Bounded by bytes: connections stop reading while it is full, so that TCP slows the sender down. Only the tiny signs
//!   of life of keepalive threads never wait; they are dropped while it is full.
//! - Published messages have a bound of their own, so that raft never waits for room that they take: past it they are dropped.
//! - Each arrival wakes the driver, but for the parts of a frame: of those the driver only hears that some came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::frame::{Account, Dispute, Frame, LogProof, RaftFrame};
use super::identity::NodeId;
use crate::checkpoint::ship::Shipment;

/// Something that happened between this node and a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerEvent {
    /// For [`Node::step`](super::node::Node::step).
    Raft(RaftFrame),
    /// A message for the local subscribers.
    Publish(Bytes),
    /// For [`Node::step_rejoin`](super::node::Node::step_rejoin).
    Rejoin { session: u64, round: u8 },
    /// For [`Node::step_account`](super::node::Node::step_account).
    Account { session: u64, round: u8, account: Account },
    /// For [`Node::step_prove`](super::node::Node::step_prove).
    Prove { challenge: u64 },
    /// What a peer's calendar shows.
    Calendar { session: u64, unix_ms: i64 },
    /// For [`Node::step_proof`](super::node::Node::step_proof).
    Proof { session: u64, proof: LogProof },
    /// For [`Node::step_dispute`](super::node::Node::step_dispute).
    Dispute { session: u64, dispute: Dispute },
    /// For whoever sends and fetches checkpoints.
    Shipment(Shipment),
    /// For [`Node::step_beat`](super::node::Node::step_beat): a leader's keepalive thread.
    Beat { term: u64 },
    /// For [`Node::step_beat_answer`](super::node::Node::step_beat_answer).
    BeatAnswer { term: u64 },
    /// A part of a long frame has come from the peer. For [`Node::step_part`](super::node::Node::step_part).
    Part,
    /// The connection to the peer broke; frames may be lost. For
    /// [`Node::report_unreachable`](super::node::Node::report_unreachable).
    Unreachable,
}

/// The bytes that may wait for the driver, beside one frame per connection.
const MAX_WAITING_BYTES: usize = 128 << 20;
/// The bytes of published messages among them, which come on top.
const MAX_NEWS_BYTES: usize = 64 << 20;

/// Shared between connections and driver; clones are the same inbox.
#[derive(Clone, Debug)]
pub struct Inbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    driver_wake: Arc<Notify>,
    room: Notify,
    dropped_news: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    events: Vec<(NodeId, PeerEvent)>,
    bytes: usize,
    news_bytes: usize,
    /// Peers from which parts of frames have come.
    arriving: Vec<NodeId>,
}

impl Inbox {
    /// An empty inbox that notifies `driver_wake` of arrivals.
    pub fn new(driver_wake: Arc<Notify>) -> Inbox {
        Inbox(Arc::new(Shared {
            waiting: Mutex::default(),
            driver_wake,
            room: Notify::new(),
            dropped_news: AtomicU64::new(0),
        }))
    }

    /// Moves all that waits to the end of `events`.
    pub fn take(&self, events: &mut Vec<(NodeId, PeerEvent)>) {
        let mut waiting = self.0.waiting.lock();
        events.append(&mut waiting.events);
        events.extend(waiting.arriving.drain(..).map(|from| (from, PeerEvent::Part)));
        (waiting.bytes, waiting.news_bytes) = (0, 0);
        drop(waiting);
        self.0.room.notify_waiters();
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.waiting.lock().events.is_empty()
    }

    /// Leaves something of about this size; waits first while the inbox is full.
    pub(super) async fn put(&self, from: NodeId, event: PeerEvent, bytes: usize) {
        loop {
            let room = self.0.room.notified();
            if !self.is_full() {
                break;
            }
            room.await;
        }
        self.push(from, event, bytes);
    }

    /// Leaves a published message, unless too many wait already.
    pub(super) fn put_news(&self, from: NodeId, payload: Bytes) {
        let mut waiting = self.0.waiting.lock();
        if waiting.news_bytes >= MAX_NEWS_BYTES {
            self.0.dropped_news.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.news_bytes += payload.len() + size_of::<PeerEvent>();
        waiting.events.push((from, PeerEvent::Publish(payload)));
        drop(waiting);
        self.0.driver_wake.notify_one();
    }

    /// The number of published messages that were dropped since the last call.
    pub fn take_dropped_news(&self) -> u64 {
        self.0.dropped_news.swap(0, Ordering::Relaxed)
    }

    /// Notes that a part of a long frame has come.
    pub(super) fn note_part(&self, from: NodeId) {
        let mut waiting = self.0.waiting.lock();
        if !waiting.arriving.contains(&from) {
            waiting.arriving.push(from);
        }
    }

    /// Leaves something small, unless the inbox is full.
    pub(super) fn put_small(&self, from: NodeId, event: PeerEvent) {
        if !self.is_full() {
            self.push(from, event, size_of::<PeerEvent>());
        }
    }

    fn push(&self, from: NodeId, event: PeerEvent, bytes: usize) {
        let mut waiting = self.0.waiting.lock();
        waiting.events.push((from, event));
        waiting.bytes += bytes;
        drop(waiting);
        self.0.driver_wake.notify_one();
    }

    fn is_full(&self) -> bool {
        self.0.waiting.lock().bytes >= MAX_WAITING_BYTES
    }
}

impl From<Frame> for PeerEvent {
    fn from(frame: Frame) -> PeerEvent {
        match frame {
            Frame::Raft(frame) => PeerEvent::Raft(frame),
            Frame::Publish(payload) => PeerEvent::Publish(payload),
            Frame::Shipment(shipment) => PeerEvent::Shipment(shipment),
            Frame::Rejoin { session, round } => PeerEvent::Rejoin { session, round },
            Frame::Account { session, round, account } => PeerEvent::Account { session, round, account },
            Frame::Prove { challenge } => PeerEvent::Prove { challenge },
            Frame::Proof { session, proof } => PeerEvent::Proof { session, proof },
            Frame::Dispute { session, dispute } => PeerEvent::Dispute { session, dispute },
            Frame::Calendar { session, unix_ms } => PeerEvent::Calendar { session, unix_ms },
            Frame::Beat { term, .. } => PeerEvent::Beat { term },
            Frame::BeatAnswer { term } => PeerEvent::BeatAnswer { term },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_full_inbox_makes_senders_wait_and_drops_signs_of_life() {
        let wake = Arc::new(Notify::new());
        let inbox = Inbox::new(wake.clone());
        inbox.put(1, PeerEvent::Unreachable, MAX_WAITING_BYTES).await;
        wake.notified().await;

        inbox.put_small(2, PeerEvent::Beat { term: 1 });
        let sender = inbox.clone();
        let blocked = tokio::spawn(async move { sender.put(3, PeerEvent::Unreachable, 1).await });
        tokio::task::yield_now().await;
        assert!(!blocked.is_finished());

        let mut events = Vec::new();
        inbox.take(&mut events);
        blocked.await.expect("the sender does not panic");
        inbox.take(&mut events);
        let expected = [(1, PeerEvent::Unreachable), (3, PeerEvent::Unreachable)];
        assert_eq!(events, expected);
        assert!(inbox.is_empty());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn published_messages_take_no_room_from_raft_and_are_counted_when_dropped() {
        let inbox = Inbox::new(Arc::new(Notify::new()));
        let message = Bytes::from(vec![0; 200_000]);
        for _ in 0..1_000 {
            inbox.put_news(1, message.clone());
        }
        let raft = PeerEvent::Raft(RaftFrame::default());
        let put = tokio::time::timeout(std::time::Duration::from_secs(5), inbox.put(1, raft, 1));
        put.await.expect("raft does not wait for published messages");
        inbox.note_part(1);
        inbox.note_part(1);

        let mut events = Vec::new();
        inbox.take(&mut events);
        assert_eq!(events.pop(), Some((1, PeerEvent::Part)));
        assert_eq!(events.pop(), Some((1, PeerEvent::Raft(RaftFrame::default()))));
        assert!((300..340).contains(&events.len()), "{} messages", events.len());
        assert_eq!(inbox.take_dropped_news(), 1_000 - events.len() as u64);
        inbox.put_news(1, message);
        assert!(!inbox.is_empty(), "there is room again");
    }
}
