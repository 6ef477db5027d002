//! What leaves a node: messages gathered into frames, one per peer for what carries the log and one for the rest, which does not
//! wait for it (`lanes.rs`).

use raft::eraftpb::Message;

use super::frame::{Frame, MAX_FRAME_ENTRIES, MAX_FRAME_MESSAGES, RaftFrame, carries_log};
use super::identity::NodeId;

/// Where a node's frames go.
pub trait Outbound {
    /// Takes a frame for a peer. False if it was dropped: the peer is not connected, or too much waits for it already.
    fn send(&mut self, to: NodeId, frame: &Frame) -> bool;

    /// Sends what was taken, now: the node is about to block.
    fn flush(&mut self);
}

/// Frames are cut at about this size, so that one peer's backlog is not one frame.
const FRAME_BYTES: usize = 8 << 20;
/// Likewise: receivers refuse frames with more than twice as many.
const FRAME_ENTRIES: usize = MAX_FRAME_ENTRIES / 2;
const FRAME_MESSAGES: usize = MAX_FRAME_MESSAGES / 2;

/// A frame that more messages may join.
struct Open {
    to: NodeId,
    frame: RaftFrame,
    bytes: usize,
    entries: usize,
}

impl Open {
    fn takes(&self, message: &Message) -> bool {
        self.frame.messages.len() < FRAME_MESSAGES
            && self.bytes + data_bytes(message) <= FRAME_BYTES
            && self.entries + message.entries.len() <= FRAME_ENTRIES
    }

    fn is_for(&self, message: &Message) -> bool {
        let first = self.frame.messages.first();
        self.to == message.to && first.is_some_and(|first| carries_log(first) == carries_log(message))
    }
}

/// The messages in frames; the order of those that carry the log is kept for each peer, and that of the others.
pub(super) fn group_by_peer(messages: Vec<Message>) -> Vec<(NodeId, RaftFrame)> {
    let mut frames: Vec<Open> = Vec::with_capacity(4);
    for message in messages {
        let place = frames.iter().rposition(|open| open.is_for(&message));
        let place = place.filter(|&place| frames[place].takes(&message));
        let place = place.unwrap_or_else(|| {
            frames.push(Open { to: message.to, frame: RaftFrame::default(), bytes: 0, entries: 0 });
            frames.len() - 1
        });
        let open = &mut frames[place];
        open.bytes += data_bytes(&message);
        open.entries += message.entries.len();
        open.frame.messages.push(message);
    }
    frames.into_iter().map(|open| (open.to, open.frame)).collect()
}

fn data_bytes(message: &Message) -> usize {
    message.entries.iter().map(|entry| entry.data.len()).sum()
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::{Entry, MessageType};

    use super::*;

    fn message(to: NodeId, index: u64, bytes: usize) -> Message {
        let entry = Entry { data: vec![0; bytes].into(), ..Entry::default() };
        let mut message = Message::default();
        (message.to, message.index) = (to, index);
        message.set_msg_type(MessageType::MsgAppend);
        message.set_entries(vec![entry]);
        message
    }

    #[test]
    fn each_peer_gets_one_frame_in_order_and_long_ones_are_cut() {
        let messages = vec![
            message(2, 1, 10),
            message(3, 1, 10),
            message(2, 2, FRAME_BYTES),
            message(2, 3, 10),
            message(3, 2, 10),
        ];
        let frames = group_by_peer(messages);
        let shape: Vec<_> = frames
            .iter()
            .map(|(to, f)| (*to, f.messages.iter().map(|m| m.index).collect::<Vec<_>>()))
            .collect();
        let expected = [(2, vec![1]), (3, vec![1, 2]), (2, vec![2]), (2, vec![3])];
        assert_eq!(shape, expected);
    }

    #[test]
    fn signs_of_life_do_not_share_a_frame_with_entries() {
        let mut beat = Message { to: 2, ..Message::default() };
        beat.set_msg_type(MessageType::MsgHeartbeat);
        let frames = group_by_peer(vec![message(2, 1, 10), beat.clone(), message(2, 2, 10), beat]);
        let carries = frames.iter().map(|(_, frame)| frame.messages.iter().map(carries_log).collect());
        let carries: Vec<Vec<bool>> = carries.collect();
        assert_eq!(carries, [vec![true; 2], vec![false; 2]]);
    }

    #[test]
    fn no_frame_holds_more_entries_than_a_receiver_takes() {
        let message = |index| {
            let mut message = message(2, index, 1);
            message.set_entries(vec![Entry::default(); 40_000]);
            message
        };
        let frames = group_by_peer((0..10).map(message).collect());
        let entries = frames.iter().map(|(_, frame)| frame.messages.iter().map(|m| m.entries.len()).sum());
        assert!(entries.max().is_some_and(|most: usize| most <= FRAME_ENTRIES));
    }
}
