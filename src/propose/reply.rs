//! Replies on their way back to a worker: bytes, and whose they are.

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
}

/// What one turn of the log answers to one worker.
#[derive(Debug, Default)]
pub struct ReplyBatch {
    pub bytes: Vec<u8>,
    pub spans: Vec<Span>,
    /// The index of the newest entry that was applied when these answers were given.
    pub applied: u64,
}

impl ReplyBatch {
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Says that the bytes from `start` to the end answer one request of `connection`.
    pub fn answered(&mut self, connection: ConnectionId, start: usize) {
        let bytes = self.bytes.len() - start;
        match self.spans.last_mut() {
            Some(last) if last.connection == connection => {
                last.bytes += bytes;
                last.answers += 1;
            }
            _ => self.spans.push(Span { connection, bytes, answers: 1 }),
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
        self.applied = applied;
    }
}
