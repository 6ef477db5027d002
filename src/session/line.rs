//! A connection's replies in the making: what is to be sent, and what is still to be answered by others.
//!
//! - A request is unanswered while the log or the primary has it; answers come in the order of requests.
//! - Replies are bounded by the client's output limit; one that is not is left out, and the client is closed.
//! - What CLIENT REPLY turns off is thrown away where it would be written, so what was written before is sent all the same.

use crate::client::Blocked;

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
    /// The database before an EXEC that changes it and is not answered yet.
    pub db_before_exec: Option<usize>,
    /// Such an EXEC was not carried out: the database is this one again.
    pub db_again: Option<usize>,
    /// Bytes of finished replies that wait for their place.
    pub waiting_bytes: usize,
    /// A reply was left out, for it was more than the client's output limit: the client is to be closed.
    pub is_cut: bool,
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

    /// The one unanswered request is an EXEC that changes the database, which was `db` before: no other request follows it
    /// before its answer tells whether it was carried out.
    pub fn expect_exec(&mut self, db: usize) {
        (self.db_before_exec, self.barrier) = (Some(db), true);
    }

    /// The database that is to be selected again, if the last EXEC has changed it in vain.
    pub fn take_db_again(&mut self) -> Option<usize> {
        self.db_again.take()
    }

    /// Writes an answer, unless answers are thrown away.
    pub fn answer(&mut self, bytes: &[u8]) {
        if let Some(db) = self.db_before_exec.take() {
            self.db_again = (!is_array(bytes)).then_some(db);
        }
        if !self.is_muted() && !self.is_cut {
            self.out.extend_from_slice(bytes);
        }
    }

    /// To be called after requests were answered: lets the next request in if it had to wait for that.
    pub fn settle(&mut self) {
        if self.has_unanswered() {
            return;
        }
        (self.barrier, self.blocking, self.waiting_bytes) = (false, false, 0);
        if self.mute == Mute::Next {
            self.mute = Mute::Nothing;
        }
    }
}

/// Whether a reply is one that EXEC gives when it has carried its commands out.
fn is_array(reply: &[u8]) -> bool {
    reply.starts_with(b"*") && !reply.starts_with(b"*-")
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
    fn an_exec_that_is_not_carried_out_gives_the_database_back() {
        for (answer, again) in [
            (&b"*1\r\n+OK\r\n"[..], None),
            (b"*0\r\n", None),
            (b"*-1\r\n", Some(2)),
            (b"_\r\n", Some(2)),
            (b"-INDOUBT\r\n", Some(2)),
        ] {
            let mut line = Line { pending: 1, ..Line::default() };
            line.expect_exec(2);
            assert!(line.barrier);
            line.answer(answer);
            assert_eq!(line.take_db_again(), again, "{}", answer.escape_ascii());
            assert_eq!(line.take_db_again(), None);
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
