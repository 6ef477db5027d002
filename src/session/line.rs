//! A connection's replies in the making: what is to be sent, and what is still to be answered by others.
//!
//! - A request is unanswered while the log or the primary has it; answers come in the order of requests.
//! - Replies are bounded by the client's output limit; one that is not is left out, and the client is closed.
//! - What CLIENT REPLY turns off is thrown away where it would be written, so what was written before is sent all the same.
//! - The answer to an EXEC some of whose commands run here is kept until the session has put their answers into it. Messages that
//!   come meanwhile are kept, too: they follow it.

use crate::admin::client::Blocked;
use crate::protocol::invalidation::PushForm;
use crate::session::transaction::{Merge, Part};

/// Which answers are thrown away (CLIENT REPLY). Messages to a subscriber are no answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mute {
    #[default]
    Nothing,
    /// Until everything is answered.
    Next,
    Everything,
}

#[derive(Debug, Default)]
pub struct Line {
    /// Bytes to be sent.
    pub out: Vec<u8>,
    /// Requests handed to the log and not yet answered.
    pub pending: u32,
    /// Requests on their way to the primary.
    pub forwarded: u32,
    /// No further request until everything is answered: a client that blocks, or whose reply is skipped.
    pub barrier: bool,
    /// The client waits, or may be about to wait, in a blocking command.
    pub blocking: bool,
    pub mute: Mute,
    /// Bytes of finished replies that wait for their place.
    pub waiting_bytes: usize,
    /// Bytes that the log is to answer to reads, as far as can be told.
    pub owed_bytes: usize,
    /// The longest request that the log has and has not answered, but for those that only read.
    pub longest_written: usize,
    /// A reply was left out, for it was more than the client's output limit: the client is to be closed. One that is thrown away
    /// may be longer.
    pub is_cut: bool,
    /// The client is closed in place of an answer that nobody can give: see [`Line::answer_overtaken`].
    pub is_lost: bool,
    /// Whether it is.
    pub closes_on_doubt: bool,
    /// What the connection can be sent of messages of client-side caching.
    pub push_form: PushForm,
    pub exec: Option<Exec>,
    /// An EXEC that was answered, and whose commands that run here have not all run.
    pub merge: Option<Merge>,
}

/// An EXEC some of whose commands run on this connection once the others are carried out.
#[derive(Debug)]
pub struct Exec {
    /// One for each queued command.
    pub parts: Vec<Part>,
    /// What the log or the primary has answered; nothing where the answer was left out.
    pub answer: Option<Vec<u8>>,
    /// Messages that came after the answer.
    pub later_messages: Vec<u8>,
}

/// Past so many bytes of finished replies that wait for their place, requests wait instead.
const MAX_WAITING_BYTES: usize = 1 << 20;

impl Line {
    pub fn is_muted(&self) -> bool {
        self.mute != Mute::Nothing
    }

    /// Where the client waits, as CLIENT LIST shows it.
    pub fn blocked(&self) -> Blocked {
        match self {
            Line { blocking: true, pending: 1.., .. } => Blocked::Here,
            Line { blocking: true, forwarded: 1.., .. } => Blocked::OnPrimary,
            _ => Blocked::Nowhere,
        }
    }

    /// Whether no further finished reply may wait for its place.
    pub fn has_enough_waiting(&self) -> bool {
        self.waiting_bytes > MAX_WAITING_BYTES
    }

    pub fn has_unanswered(&self) -> bool {
        self.pending + self.forwarded > 0
    }

    /// The next answer is that of an EXEC some of whose commands run here: nothing else is unanswered, and no other request
    /// follows before the session has taken it.
    pub fn expect_exec(&mut self, parts: Vec<Part>) {
        debug_assert!(self.exec.is_none() && !self.barrier, "one EXEC at a time, and nothing after it");
        (self.exec, self.barrier) = (Some(Exec { parts, answer: None, later_messages: Vec::new() }), true);
    }

    /// Whether there is an EXEC for the session to take.
    pub fn has_answered_exec(&self) -> bool {
        self.merge.is_some() || self.exec.as_ref().is_some_and(|exec| exec.answer.is_some())
    }

    /// Takes an EXEC that [`expect_exec`](Self::expect_exec) waits for, once it is answered.
    pub fn take_answered_exec(&mut self) -> Option<Exec> {
        self.exec.take_if(|exec| exec.answer.is_some())
    }

    /// Takes an answer: writes it, unless answers are thrown away.
    pub fn answer(&mut self, bytes: &[u8]) {
        if self.is_lost {
            return;
        }
        if let Some(exec) = &mut self.exec {
            exec.answer = Some(bytes.to_vec());
        } else if !self.is_muted() && !self.is_cut {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Takes the error to a command that a change of the primary overtook. Where clients are closed in its place, this one is, once
    /// it has what came before.
    pub fn answer_overtaken(&mut self, error: &[u8]) {
        if self.closes_on_doubt {
            self.is_lost = true;
        } else {
            self.answer(error);
        }
    }

    /// As [`answer`](Self::answer), without a copy where nothing is unsent.
    pub fn answer_long(&mut self, bytes: Vec<u8>) {
        if self.is_muted() || self.is_cut {
            return;
        }
        match self.out.is_empty() {
            true => self.out = bytes,
            false => self.out.extend_from_slice(&bytes),
        }
    }

    /// Takes a message to a subscriber, which is no answer.
    pub fn message(&mut self, bytes: &[u8]) {
        match (&mut self.merge, &mut self.exec) {
            (Some(merge), _) => merge.later_messages.extend_from_slice(bytes),
            (None, Some(exec)) if exec.answer.is_some() => exec.later_messages.extend_from_slice(bytes),
            _ => self.out.extend_from_slice(bytes),
        }
    }

    /// Bytes of messages that wait for the answer to an EXEC.
    pub fn waiting_message_bytes(&self) -> usize {
        let of_exec = self.exec.as_ref().map_or(0, |exec| exec.later_messages.len());
        of_exec + self.merge.as_ref().map_or(0, |merge| merge.later_messages.len())
    }

    /// To be called after requests were answered: lets the next request in if it had to wait for that.
    pub fn settle(&mut self) {
        if self.has_unanswered() || self.exec.is_some() || self.merge.is_some() {
            return;
        }
        (self.barrier, self.blocking) = (false, false);
        (self.waiting_bytes, self.owed_bytes, self.longest_written) = (0, 0, 0);
        if self.mute == Mute::Next {
            self.mute = Mute::Nothing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_answer_is_thrown_away_and_the_next_is_not() {
        let mut line = Line { pending: 2, barrier: true, mute: Mute::Next, ..Line::default() };
        line.answer(b"+1\r\n");
        line.pending = 1;
        line.settle();
        assert!(line.barrier && line.is_muted());
        line.answer(b"+2\r\n");
        line.pending = 0;
        line.settle();
        assert!(!line.barrier && !line.is_muted());
        line.answer(b"+3\r\n");
        assert_eq!(line.out, b"+3\r\n");
    }

    #[test]
    fn the_answer_to_an_exec_waits_for_the_session() {
        let mut line = Line { pending: 1, ..Line::default() };
        line.expect_exec(vec![Part::Sent]);
        assert!(line.barrier && line.take_answered_exec().is_none());
        line.pending = 0;
        line.answer(b"*1\r\n+OK\r\n");
        line.settle();
        assert!(line.barrier && line.out.is_empty());
        assert_eq!(line.take_answered_exec().and_then(|exec| exec.answer), Some(b"*1\r\n+OK\r\n".to_vec()));
        line.settle();
        assert!(!line.barrier);
    }

    #[test]
    fn a_message_that_comes_after_the_answer_to_an_exec_waits_with_it() {
        let mut line = Line { pending: 1, ..Line::default() };
        line.expect_exec(vec![Part::Sent]);
        line.message(b"+before\r\n");
        line.pending = 0;
        line.answer(b"*1\r\n+OK\r\n");
        line.message(b"+after\r\n");
        assert_eq!(line.out, b"+before\r\n");
        assert_eq!(line.waiting_message_bytes(), 8);
        assert_eq!(line.take_answered_exec().map(|exec| exec.later_messages), Some(b"+after\r\n".to_vec()));
    }

    #[test]
    fn nothing_follows_the_answer_that_a_client_is_closed_for() {
        for (closes_on_doubt, out) in [(true, "+1\r\n"), (false, "+1\r\n-INDOUBT\r\n+3\r\n")] {
            let mut line = Line { closes_on_doubt, ..Line::default() };
            line.answer(b"+1\r\n");
            line.answer_overtaken(b"-INDOUBT\r\n");
            line.answer(b"+3\r\n");
            assert_eq!((line.out.as_slice(), line.is_lost), (out.as_bytes(), closes_on_doubt));
        }
    }

    #[test]
    fn what_is_off_stays_off_and_what_was_written_stays_written() {
        let mut line = Line { out: b"+0\r\n".to_vec(), mute: Mute::Everything, ..Line::default() };
        line.answer(b"+1\r\n");
        line.settle();
        assert!(line.is_muted());
        assert_eq!(line.out, b"+0\r\n");
    }
}
