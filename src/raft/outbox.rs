//! What leaves a node: messages gathered into one frame per peer.

use raft::eraftpb::Message;

use super::frame::{Frame, RaftFrame};
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

/// The messages in frames, one per peer unless it grows too long; their order per peer is kept.
pub(super) fn group_by_peer(messages: Vec<Message>) -> Vec<(NodeId, RaftFrame)> {
    let mut frames: Vec<(NodeId, RaftFrame)> = Vec::with_capacity(4);
    let mut sizes: Vec<usize> = Vec::with_capacity(4);
    for message in messages {
        let bytes = data_bytes(&message);
        let open = frames.iter().rposition(|(to, _)| *to == message.to);
        match open.filter(|&place| sizes[place] + bytes <= FRAME_BYTES) {
            Some(place) => {
                sizes[place] += bytes;
                frames[place].1.messages.push(message);
            }
            None => {
                sizes.push(bytes);
                frames.push((message.to, frame_with(message)));
            }
        }
    }
    frames
}

fn frame_with(message: Message) -> RaftFrame {
    RaftFrame { messages: vec![message], ..RaftFrame::default() }
}

fn data_bytes(message: &Message) -> usize {
    message.entries.iter().map(|entry| entry.data.len()).sum()
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::Entry;

    use super::*;

    fn message(to: NodeId, index: u64, bytes: usize) -> Message {
        let entry = Entry { data: vec![0; bytes], ..Entry::default() };
        let mut message = Message::default();
        (message.to, message.index) = (to, index);
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
}
