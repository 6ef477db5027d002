//! Tells the other nodes how many subscribers this one has, and takes in what they tell (`pubsub/others.rs`).

use bytes::Bytes;

use crate::env;
use crate::pubsub::news::{News, Place, in_parts};
use crate::pubsub::{Changes, PubSub};
use crate::raft::frame::Frame;
use crate::raft::inbox::PeerEvent;
use crate::raft::outbox::Outbound;

/// How often the others are told how many changes there were.
const BEAT_PERIOD_MS: u64 = 1000;

pub struct Subscriptions {
    /// The other nodes.
    peers: Vec<u64>,
    at: Place,
    next_beat_ms: u64,
}

impl Subscriptions {
    pub fn new(node_id: u64, members: impl Iterator<Item = u64>) -> Subscriptions {
        let at = Place { run: env::random_seed(), sequence: 0 };
        Subscriptions { peers: members.filter(|id| *id != node_id).collect(), at, next_beat_ms: 0 }
    }

    /// Takes news out of what peers sent; sends what has changed here.
    pub fn turn(
        &mut self,
        pubsub: &PubSub,
        events: &mut Vec<(u64, PeerEvent)>,
        out: &mut impl Outbound,
        now_ms: u64,
    ) {
        if self.peers.is_empty() {
            return;
        }
        self.tell_changes(pubsub, out);
        let is_news = |event: &PeerEvent| matches!(event, PeerEvent::Publish(bytes) if News::is_news(bytes));
        if events.iter().any(|(_, event)| is_news(event)) {
            for (from, event) in events.extract_if(.., |(_, event)| is_news(event)) {
                if let PeerEvent::Publish(bytes) = event {
                    self.take_in(pubsub, from, &bytes, out, now_ms);
                }
            }
        }
        if now_ms >= self.next_beat_ms {
            self.next_beat_ms = now_ms + BEAT_PERIOD_MS;
            self.tell_all(&News::Beat { at: self.at }, out);
            pubsub.drop_silent_nodes(now_ms);
        }
    }

    fn tell_changes(&mut self, pubsub: &PubSub, out: &mut impl Outbound) {
        match pubsub.take_changes() {
            Changes::None => {}
            // The others find one missing, and ask.
            Changes::TooMany => self.at.sequence += 1,
            Changes::Some(counts) => {
                for counts in in_parts(counts) {
                    self.at.sequence += 1;
                    self.tell_all(&News::Changes { at: self.at, counts }, out);
                }
            }
        }
    }

    fn take_in(&self, pubsub: &PubSub, from: u64, bytes: &[u8], out: &mut impl Outbound, now_ms: u64) {
        match News::decode(bytes) {
            None => {}
            Some(News::Ask) => self.tell_everything(pubsub, from, out),
            Some(news) => {
                let is_to_be_asked = pubsub.take_in(from, news, now_ms);
                // Where it can't be asked now, the next beat asks again.
                let _ = is_to_be_asked && out.send(from, &frame(&News::Ask));
            }
        }
    }

    fn tell_everything(&self, pubsub: &PubSub, to: u64, out: &mut impl Outbound) {
        let parts = in_parts(pubsub.all_counts());
        let last = parts.len() - 1;
        for (number, counts) in parts.into_iter().enumerate() {
            let part = News::Part { at: self.at, number: number as u32, is_last: number == last, counts };
            out.send(to, &frame(&part));
        }
    }

    /// A node that can't be told now finds out by a later beat.
    fn tell_all(&self, news: &News, out: &mut impl Outbound) {
        let frame = frame(news);
        for peer in &self.peers {
            out.send(*peer, &frame);
        }
    }
}

fn frame(news: &News) -> Frame {
    Frame::Publish(Bytes::from(news.encode()))
}
