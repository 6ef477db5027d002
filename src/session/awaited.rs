//! Commands whose answer takes a while: they wait for the driver or for a thread, and hold up their own connection alone.

use super::table::table;
use super::{Line, Session, Verdict};
use crate::admin::table::Way;
use crate::admin::{Answer, Answering, MAX_MARK_BYTES};
use crate::command::{Args, CommandError, MARK};
use crate::loading::REFUSAL;
use crate::protocol::reply::Reply;

impl Session {
    /// Its turn comes when everything before it on the connection is answered.
    pub(super) fn take_awaited(line: &Line) -> Verdict {
        if line.has_unanswered() { Verdict::Wait } else { Verdict::Await }
    }

    /// Begins what is to be waited for.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub fn begin_awaited(&self, args: &Args<'_>) -> Result<Answering, CommandError> {
        match table().find(args).map(|row| row.way) {
            Some(Way::Awaited(handler)) => handler(&self.shared, args),
            _ => Err(CommandError::Syntax),
        }
    }

    /// Answers.
    pub fn end_awaited(&mut self, answer: Result<Answer, CommandError>, line: &mut Line) {
        // What was read while this node did not know its group's users may be newer than those that let the client in.
        let may_have = !self.client.is_provisional || self.look_at_user() && self.may_read_own_data();
        let answer = if may_have { answer } else { Err(CommandError::other(REFUSAL)) };
        let error = answer.as_ref().err().cloned();
        self.answer(line, |reply: &mut Reply<'_>| match answer {
            Ok(write) => write(reply),
            Err(error) => reply.error(error.to_string()),
        });
        self.note_end(self.index, error);
        line.settle();
    }

    /// Counts a SYNC that has ended; an error was answered where there was a refusal.
    pub fn note_sent_file(&mut self, refusal: Option<&str>) {
        self.note_end(self.index, refusal.map(|reason| CommandError::other(reason.to_owned())));
    }

    /// PERDURA MARK: the primary logs it under its own name.
    pub(super) fn mark(&mut self, args: &Args<'_>, line: &mut Line) -> Verdict {
        if args[2].len() > MAX_MARK_BYTES {
            let error = format!("ERR a mark's name has at most {MAX_MARK_BYTES} bytes");
            return self.refuse_here(line, &error);
        }
        if !self.shared.shard.is_primary() {
            return self.forward_or_refuse(line);
        }
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        self.enqueue_own(line, &[MARK, args[2]])
    }
}
