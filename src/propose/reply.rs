//! Replies on their way back to a worker: bytes, and whose they are.
//!
//! - What one connection is owed in a batch is bounded by its output limit, give or take a quarter. A reply past that is left
//!   out as a whole, and its span says so: its client is closed.

use std::collections::BTreeMap;

use crate::protocol::invalidation::PushRoute;
use crate::protocol::reply::{Reply, Resp};

/// A connection of one worker. A number is used again for a later connection, with another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub index: u32,
    pub generation: u32,
}

/// A run of reply bytes for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub connection: ConnectionId,
    pub bytes: usize,
    /// How many pending requests of the connection these bytes answer.
    pub answers: u32,
    /// Some of it is left out, for it was more than the connection's output limit: its client is to be closed.
    pub is_cut: bool,
    /// These bytes are one error, in whose place the client may be closed: leadership ended before its command was answered.
    pub may_close: bool,
    /// These bytes are a message of client-side caching.
    pub push: Option<PushRoute>,
}

/// Capacity that is kept when a batch was taken.
const KEPT_BYTES: usize = 4 << 20;

/// What one turn of the log answers to one worker.
#[derive(Debug, Default)]
pub struct ReplyBatch {
    pub bytes: Vec<u8>,
    pub spans: Vec<Span>,
    /// The index of the newest entry that was applied when these answers were given.
    pub applied: u64,
    /// What each connection is owed; empty as long as all are owed less than any limit.
    owed: BTreeMap<ConnectionId, usize>,
}

impl ReplyBatch {
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Runs `write`, which answers one request of `connection` with a reply that leaves it within `most` bytes.
    pub fn answer<T>(
        &mut self,
        connection: ConnectionId,
        resp: Resp,
        most: usize,
        write: impl FnOnce(&mut Reply<'_>) -> T,
    ) -> T {
        let start = self.bytes.len();
        let (result, is_cut) = self.write(connection, resp, most, write);
        self.answered(connection, start, is_cut);
        result
    }

    /// As [`answer`](Self::answer), with an error in whose place the client may be closed.
    pub fn answer_or_close(
        &mut self,
        connection: ConnectionId,
        resp: Resp,
        most: usize,
        write: impl FnOnce(&mut Reply<'_>),
    ) {
        let start = self.bytes.len();
        let ((), is_cut) = self.write(connection, resp, most, write);
        let bytes = self.bytes.len() - start;
        self.note_owed(connection, bytes, is_cut);
        self.spans.push(Span { connection, bytes, answers: 1, is_cut, may_close: true, push: None });
    }

    /// As [`answer`](Self::answer), where writing nothing answers nothing. Returns as well whether the request is answered.
    pub fn answer_if_written<T>(
        &mut self,
        connection: ConnectionId,
        resp: Resp,
        most: usize,
        write: impl FnOnce(&mut Reply<'_>) -> T,
    ) -> (T, bool) {
        let start = self.bytes.len();
        let (result, is_cut) = self.write(connection, resp, most, write);
        let answers = is_cut || self.bytes.len() > start;
        if answers {
            self.answered(connection, start, is_cut);
        }
        (result, answers)
    }

    /// Runs `write`; returns as well whether its reply was too long, and is left out.
    fn write<T>(
        &mut self,
        connection: ConnectionId,
        resp: Resp,
        most: usize,
        write: impl FnOnce(&mut Reply<'_>) -> T,
    ) -> (T, bool) {
        let start = self.bytes.len();
        let room = self.room(connection, most);
        let mut reply = Reply::bounded(&mut self.bytes, resp, room);
        let result = write(&mut reply);
        let is_cut = reply.is_over();
        if is_cut {
            self.bytes.truncate(start);
        }
        (result, is_cut)
    }

    /// Adds a message, which answers no request, if that leaves its connection within `most` bytes.
    pub fn push_message(&mut self, connection: ConnectionId, bytes: &[u8], most: usize) {
        self.push_unasked(connection, bytes, most, None);
    }

    /// The same for a message of client-side caching.
    pub fn push_invalidation(
        &mut self,
        connection: ConnectionId,
        bytes: &[u8],
        most: usize,
        route: PushRoute,
    ) {
        self.push_unasked(connection, bytes, most, Some(route));
    }

    fn push_unasked(&mut self, connection: ConnectionId, bytes: &[u8], most: usize, push: Option<PushRoute>) {
        let room = self.room(connection, most);
        let is_cut = bytes.len() > room;
        if !is_cut {
            self.bytes.extend_from_slice(bytes);
        } else if self.owed.get(&connection) == Some(&usize::MAX) {
            return;
        }
        let len = if is_cut { 0 } else { bytes.len() };
        self.note_owed(connection, len, is_cut);
        self.spans.push(Span { connection, bytes: len, answers: 0, is_cut, may_close: false, push });
    }

    /// Bytes that a connection may still be owed.
    fn room(&mut self, connection: ConnectionId, most: usize) -> usize {
        if self.owed.is_empty() {
            if self.bytes.len() <= most / 4 {
                return most;
            }
            self.count_owed();
        }
        most.saturating_sub(self.owed.get(&connection).copied().unwrap_or(0))
    }

    fn count_owed(&mut self) {
        for span in &self.spans {
            *self.owed.entry(span.connection).or_default() += span.bytes;
        }
    }

    fn note_owed(&mut self, connection: ConnectionId, bytes: usize, is_cut: bool) {
        if is_cut {
            if self.owed.is_empty() {
                self.count_owed();
            }
            self.owed.insert(connection, usize::MAX);
        } else if !self.owed.is_empty() {
            let owed = self.owed.entry(connection).or_default();
            *owed = owed.saturating_add(bytes);
        }
    }

    /// The bytes from `start` to the end answer one request of `connection`.
    fn answered(&mut self, connection: ConnectionId, start: usize, is_cut: bool) {
        let bytes = self.bytes.len() - start;
        self.note_owed(connection, bytes, is_cut);
        match self.spans.last_mut() {
            Some(last) if last.connection == connection && last.answers > 0 && !last.may_close => {
                last.bytes += bytes;
                last.answers += 1;
                last.is_cut |= is_cut;
            }
            _ => {
                self.spans.push(Span { connection, bytes, answers: 1, is_cut, may_close: false, push: None })
            }
        }
    }

    /// Puts a later batch behind this one.
    pub fn append(&mut self, later: &mut ReplyBatch) {
        let applied = self.applied.max(later.applied);
        if self.is_empty() {
            std::mem::swap(self, later);
        } else {
            self.bytes.append(&mut later.bytes);
            self.spans.append(&mut later.spans);
        }
        later.clear();
        self.owed.clear();
        self.applied = applied;
    }

    /// Forgets everything, for it was taken.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.spans.clear();
        self.owed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(index: u32) -> ConnectionId {
        ConnectionId { index, generation: 1 }
    }

    fn owe(batch: &mut ReplyBatch, index: u32, bytes: usize) {
        batch.answer(connection(index), Resp::V2, 1000, |reply| reply.raw(&vec![b'x'; bytes]));
    }

    #[test]
    fn a_connection_past_its_limit_is_cut_and_others_are_not() {
        let mut batch = ReplyBatch::default();
        (0..20).for_each(|_| owe(&mut batch, 1, 100));
        (0..20).for_each(|index| owe(&mut batch, 100 + index, 900));
        owe(&mut batch, 1, 1);
        let of_first = batch.spans.iter().filter(|span| span.connection == connection(1));
        let bytes: usize = of_first.clone().map(|span| span.bytes).sum();
        let answers: u32 = of_first.clone().map(|span| span.answers).sum();
        assert!((1000..=1250).contains(&bytes), "{bytes} bytes");
        assert_eq!((answers, of_first.filter(|span| span.is_cut).count()), (21, 2));
        let of_others: Vec<_> = batch.spans.iter().filter(|span| span.connection != connection(1)).collect();
        assert!(of_others.len() == 20 && of_others.iter().all(|span| span.bytes == 900 && !span.is_cut));
        assert_eq!(batch.bytes.len(), batch.spans.iter().map(|span| span.bytes).sum::<usize>());
    }

    #[test]
    fn what_is_left_out_is_left_out_as_a_whole() {
        let mut batch = ReplyBatch::default();
        owe(&mut batch, 1, 10);
        batch.answer(connection(2), Resp::V2, 1000, |reply| {
            reply.array(2);
            reply.bulk(&[b'x'; 800]);
            reply.bulk(&[b'x'; 800]);
        });
        assert_eq!(batch.bytes.len(), 10);
        assert!(batch.spans[1].is_cut && batch.spans[1].answers == 1);
        let ((), answers) = batch.answer_if_written(connection(3), Resp::V2, 1000, |_| ());
        assert!(!answers);
    }
}
