//! What waits for one peer, in three lanes, and the order in which its bytes leave.
//!
//! - *Express*: heartbeats, votes, answers. It waits behind at most a few parts of the other lanes, whatever they hold.
//! - *Freight*: entries, snapshots and pieces of checkpoints, in their order.
//! - *News*: published messages, below the other two: while freight waits they get a small share. A full lane drops its own
//!   frames only.
//! - A frame longer than [`PART_BYTES`] leaves in parts, so that the other lanes' frames go between them.
//! - A long append is not sent again on the same connection while its answer may be on the way: raft repeats an append whenever
//!   a follower that it probes gives a sign of life, and a follower that is being sent 500 MB gives many.
//!
//! So a heartbeat may overtake an append that was sent before it, which raft and the lease allow: a heartbeat commits nothing that
//! the follower is not known to have, and the newest stamp counts. Appends never overtake each other.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::byte_chain::ByteChain;
use super::frame::{Frame, FrameError, Lane, PART_BYTES, carries_log, put_part_head};

/// Slices of one write.
pub(super) const MAX_SLICES: usize = 32;
/// So many repetitions of a long append that has left are left out before one is sent, and one more for each MiB of it, for it
/// takes time to be written: a follower that had no room for it may have by then.
const REPETITIONS: usize = 30;
/// What news get of a window while freight waits.
const NEWS_SHARE_BYTES: usize = PART_BYTES / 8;

/// The bytes that may wait in each lane, beside the long frame that is leaving in parts and the one that fills the lane.
#[derive(Clone, Copy, Debug)]
pub struct LaneBounds {
    pub express: usize,
    pub freight: usize,
    pub news: usize,
}

impl Default for LaneBounds {
    fn default() -> LaneBounds {
        LaneBounds { express: 4 << 20, freight: 64 << 20, news: 32 << 20 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// What leaves next, whatever comes.
    leaving: ByteChain,
    express: ByteChain,
    freight: Queue,
    news: Queue,
    last_long: Option<LastLong>,
}

/// The long append that was taken last.
#[derive(Debug)]
struct LastLong {
    append: LongAppend,
    /// Repetitions that are still to be left out once it has left.
    left_out: usize,
}

/// What tells one long append from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LongAppend {
    term: u64,
    previous: u64,
    last: u64,
}

/// A lane whose frames may be long.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
enum Waiting {
    /// Whole frames.
    Frames(ByteChain),
    /// What is left of the kind and body of one that leaves in parts.
    Parts(ByteChain),
}

impl Lanes {
    /// Takes a frame; false if its lane is full.
    pub(super) fn push(&mut self, frame: &Frame, bounds: &LaneBounds) -> Result<bool, FrameError> {
        let long = LongAppend::of(frame);
        if long.is_some_and(|long| self.repeats(long)) {
            return Ok(true);
        }
        let (waiting, bound) = match frame.lane() {
            Lane::Express => (self.express.len(), bounds.express),
            Lane::Freight => (self.freight.waiting_bytes(), bounds.freight),
            Lane::News => (self.news.bytes, bounds.news),
        };
        if waiting >= bound {
            return Ok(false);
        }
        match frame.lane() {
            Lane::Express => frame.chain(&mut self.express)?,
            Lane::Freight => self.freight.push(frame)?,
            Lane::News => self.news.push(frame)?,
        }
        if let Some(long) = long {
            self.last_long = Some(LastLong { append: long, left_out: REPETITIONS + (frame.bytes() >> 20) });
        }
        Ok(true)
    }

    /// Whether this was the last long append, too, and need not be sent again yet.
    fn repeats(&mut self, long: LongAppend) -> bool {
        let waits = !self.freight.waiting.is_empty() || !self.leaving.is_empty();
        let Some(last) = self.last_long.as_mut().filter(|last| last.append == long) else { return false };
        if waits {
            return true;
        }
        let is_left_out = last.left_out > 0;
        last.left_out = last.left_out.saturating_sub(1);
        is_left_out
    }

    /// The next bytes to be written, in several places; none if nothing waits. Returns the number of slices filled.
    pub(super) fn next<'a>(&'a mut self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        if self.leaving.is_empty() {
            self.leaving.append(&mut self.express);
            self.freight.leave(PART_BYTES, Lane::Freight, &mut self.leaving);
            let share = if self.freight.waiting.is_empty() { PART_BYTES } else { NEWS_SHARE_BYTES };
            self.news.leave(share, Lane::News, &mut self.leaving);
        }
        self.leaving.slices(slices)
    }

    /// So many of these bytes were written.
    pub(super) fn written(&mut self, bytes: usize) {
        self.leaving.advance(bytes);
    }
}

impl LongAppend {
    fn of(frame: &Frame) -> Option<LongAppend> {
        let Frame::Raft(raft) = frame else { return None };
        match &raft.messages[..] {
            [message] if carries_log(message) && frame.is_long() => {
                let last = message.entries.last()?.index;
                Some(LongAppend { term: message.term, previous: message.index, last })
            }
            _ => None,
        }
    }
}

impl Queue {
    fn push(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let (is_long, bytes) = (frame.is_long(), frame.bytes());
        let open = match self.waiting.back_mut() {
            Some(Waiting::Frames(frames)) if !is_long && frames.len() < PART_BYTES => Some(frames),
            _ => None,
        };
        match open {
            Some(frames) => frame.chain(frames)?,
            None if is_long => {
                let mut body = ByteChain::default();
                frame.chain_body(&mut body)?;
                self.waiting.push_back(Waiting::Parts(body));
            }
            None => {
                let mut frames = ByteChain::default();
                frame.chain(&mut frames)?;
                self.waiting.push_back(Waiting::Frames(frames));
            }
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Bytes that wait beside the long frame that is first: on a slow link that alone may be more than the bound, and small
    /// appends after it have to find room, or raft takes the peer for unreachable.
    fn waiting_bytes(&self) -> usize {
        let leaving = self.waiting.front().filter(|first| matches!(first, Waiting::Parts(_)));
        self.bytes - leaving.map_or(0, Waiting::bytes)
    }

    /// Moves frames and parts of frames to `leaving`, about as many bytes as `window`.
    fn leave(&mut self, window: usize, lane: Lane, leaving: &mut ByteChain) {
        let before = leaving.len();
        while leaving.len() - before < window
            && let Some(first) = self.waiting.front_mut()
        {
            let is_done = match first {
                Waiting::Frames(frames) => {
                    leaving.append(frames);
                    true
                }
                Waiting::Parts(body) => {
                    let count = body.len().min(window);
                    put_part_head(lane, count, body.len() - count, leaving.tail());
                    body.move_first(count, leaving);
                    body.is_empty()
                }
            };
            if is_done {
                self.waiting.pop_front();
            }
        }
        self.bytes = self.waiting.iter().map(Waiting::bytes).sum();
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        let (Waiting::Frames(chain) | Waiting::Parts(chain)) = self;
        chain.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes};
    use raft::eraftpb::{Entry, Message, MessageType};

    use super::*;
    use crate::raft::frame::{Arrival, FrameReader, RaftFrame};

    const BOUNDS: LaneBounds = LaneBounds { express: 1 << 10, freight: 64 << 20, news: 1 << 20 };

    fn append(index: u64, bytes: usize) -> Frame {
        let mut message = Message { index: index - 1, term: 1, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        let entry = Entry { index, term: 1, data: vec![7; bytes].into(), ..Entry::default() };
        message.set_entries(vec![entry]);
        Frame::Raft(RaftFrame { messages: vec![message], ..RaftFrame::default() })
    }

    fn beat() -> Frame {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgHeartbeat);
        Frame::Raft(RaftFrame { messages: vec![message], ..RaftFrame::default() })
    }

    fn news(bytes: usize) -> Frame {
        Frame::Publish(Bytes::from(vec![1; bytes]))
    }

    fn push(lanes: &mut Lanes, frame: &Frame) -> bool {
        lanes.push(frame, &BOUNDS).expect("it is short enough")
    }

    /// Writes the next bytes, at most `count`.
    fn write(lanes: &mut Lanes, count: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let filled = lanes.next(&mut slices);
        let bytes: Vec<u8> =
            slices[..filled].iter().flat_map(|slice| slice.iter().copied()).take(count).collect();
        lanes.written(bytes.len());
        bytes
    }

    /// What arrives of all that is written, `step` bytes at a time, but for parts.
    fn arrivals(lanes: &mut Lanes, step: usize) -> Vec<Frame> {
        let (mut reader, mut arrived) = (FrameReader::default(), Vec::new());
        loop {
            let bytes = write(lanes, step);
            if bytes.is_empty() {
                return arrived;
            }
            reader.space().put_slice(&bytes);
            while let Some(arrival) = reader.next().expect("frames") {
                if let Arrival::Frame(frame, _) = arrival {
                    arrived.push(frame);
                }
            }
        }
    }

    #[test]
    fn a_heartbeat_does_not_wait_for_a_large_entry() {
        let mut lanes = Lanes::default();
        assert!(push(&mut lanes, &append(1, 50 << 20)) && push(&mut lanes, &append(2, 10)));
        assert_eq!(write(&mut lanes, 1_000).len(), 1_000);
        assert!(push(&mut lanes, &beat()));
        // The rest of what had begun to leave.
        write(&mut lanes, usize::MAX);
        let (mut reader, mut passed) = (FrameReader::default(), 0);
        let heard = loop {
            let bytes = write(&mut lanes, 10_000);
            passed += bytes.len();
            reader.space().put_slice(&bytes);
            if let Some(Arrival::Frame(frame, _)) = reader.next().expect("frames") {
                break frame;
            }
        };
        assert_eq!(heard, beat());
        assert!(passed <= 2 * PART_BYTES, "{passed} bytes");
    }

    #[test]
    fn long_frames_arrive_whole_and_in_order_however_they_are_written() {
        for step in [997, 65_536, usize::MAX] {
            let mut lanes = Lanes::default();
            let freight = [append(1, 300_000), append(2, 10), append(3, PART_BYTES), append(4, 20)];
            assert!(freight.iter().all(|frame| push(&mut lanes, frame)));
            assert!(
                push(&mut lanes, &news(200_000)) && push(&mut lanes, &beat()) && push(&mut lanes, &news(5))
            );
            let arrived = arrivals(&mut lanes, step);
            let of_lane = |lane| arrived.iter().filter(move |frame| frame.lane() == lane).cloned();
            assert_eq!(of_lane(Lane::Freight).collect::<Vec<_>>(), freight);
            assert_eq!(of_lane(Lane::News).collect::<Vec<_>>(), [news(200_000), news(5)]);
            assert_eq!(arrived[0], beat(), "it overtakes all that waits");
            assert_eq!(lanes.freight.bytes, 0);
        }
    }

    #[test]
    fn small_appends_have_room_after_one_that_is_longer_than_the_bound() {
        let mut lanes = Lanes::default();
        assert!(push(&mut lanes, &append(1, BOUNDS.freight + 1)) && push(&mut lanes, &append(2, 10)));
        assert!(push(&mut lanes, &append(3, BOUNDS.freight + 1)));
        assert!(!push(&mut lanes, &append(4, 10)), "a second long one fills the lane");
    }

    #[test]
    fn published_messages_by_many_clients_drop_no_raft_frame() {
        let mut lanes = Lanes::default();
        let taken = (0..32).filter(|_| push(&mut lanes, &news(200_000))).count();
        assert_eq!(taken, 6, "the lane is bounded");
        assert!(push(&mut lanes, &append(1, 100)) && push(&mut lanes, &beat()));
        let arrived = arrivals(&mut lanes, usize::MAX);
        assert_eq!(arrived[..2], [beat(), append(1, 100)]);
        assert_eq!(arrived.len(), 2 + taken);
    }

    #[test]
    fn a_long_append_is_not_repeated_with_each_sign_of_life() {
        let mut lanes = Lanes::default();
        let long = append(1, 1 << 20);
        let pushed = (0..1000).filter(|_| push(&mut lanes, &long)).count();
        assert_eq!(pushed, 1000, "raft takes all of them for sent");
        assert_eq!(arrivals(&mut lanes, usize::MAX).len(), 1);
        let pushed = (0..=REPETITIONS).filter(|_| push(&mut lanes, &long)).count();
        assert_eq!(pushed, 1 + REPETITIONS);
        assert_eq!(arrivals(&mut lanes, usize::MAX).len(), 0, "it may not be written yet");
        assert!(push(&mut lanes, &long));
        assert_eq!(arrivals(&mut lanes, usize::MAX).len(), 1, "one is repeated in the end");
        assert!(push(&mut lanes, &append(2, 1 << 20)) && push(&mut lanes, &long));
        assert_eq!(arrivals(&mut lanes, usize::MAX).len(), 2);
    }
}
