//! A connection's requests on their way to the primary, and what becomes of them where that changes.
//!
//! - A request that no primary can be sent waits for one, within the bound of the connection's [`Hold`](super::Hold). Nothing is read meanwhile.
//! - What the next primary may be sent again is taken again, as if it had just been read.

use super::super::upstream::{Transfer, Upstream};
use super::ConnectionTask;
use crate::admin::client::Blocked;
use crate::command::Args;
use crate::protocol::request::RequestParser;
use crate::session::Forward;

impl ConnectionTask {
    /// Sends a request to the primary, connecting to it first where need be; answers the error where that fails. True
    /// if it waited for the connection.
    pub(super) async fn forward(&mut self, what: Forward, args: &Args<'_>) -> bool {
        if self.upstream.as_ref().is_some_and(|upstream| !upstream.is_of(&self.session.client.user)) {
            // The client has become another user: what the connection watched there is lost with it.
            self.lose_upstream();
            self.session.lose_forwarded_watches();
        }
        let connects = self.upstream.is_none();
        if connects {
            if !self.send_before_waiting().await {
                return true;
            }
            let connected = tokio::select! {
                connected = Upstream::connect(&self.session, &mut self.hold) => connected,
                () = self.connection.killed() => return true,
            };
            match connected {
                Ok(upstream) => self.upstream = Some(upstream),
                Err(error) => {
                    if what == Forward::Transaction {
                        self.session.drop_transaction();
                    }
                    // A WATCH among the requests that did not leave watches nothing: its EXEC must find that out.
                    self.session.lose_forwarded_watches();
                    let error = error.to_string();
                    self.session.count_error(&error);
                    self.refuse(&error);
                    return true;
                }
            }
        }
        let Some(upstream) = &mut self.upstream else { return connects };
        let mut line = self.connection.line.borrow_mut();
        let answers = match what {
            Forward::Request => {
                let begun = self.session.begin_forwarded(args);
                let answers = upstream.send(&self.session.client, args, &line);
                upstream.relay.note_begun(begun);
                answers
            }
            Forward::Transaction => {
                let watched = self.session.client.watching_epoch.is_some();
                let sent = self.session.take_transaction(&mut line);
                let begun = self.session.begin_forwarded_transaction(&sent);
                let answers = upstream.send_transaction(&self.session.client, watched, sent, &line);
                upstream.relay.note_begun(begun);
                answers
            }
        };
        line.forwarded += answers;
        self.session.note_group_changes(upstream.relay.group_changes);
        connects
    }

    /// Passes on what the primary answered, and lets go of a connection to what is not the primary any more.
    pub(super) fn attend_upstream(&mut self) {
        let Some(upstream) = &mut self.upstream else { return };
        let mut line = self.connection.line.borrow_mut();
        let blocked = line.blocked() == Blocked::OnPrimary;
        let transfer = if self.connection.has_room(&line) {
            upstream.transfer(&mut line, &mut self.worker.scratch.borrow_mut())
        } else {
            Transfer::Open
        };
        let waiting = line.forwarded > 0;
        if blocked && !waiting {
            self.connection.info.details.lock().blocked = Blocked::Nowhere;
        }
        drop(line);
        self.session.end_forwarded(upstream.relay.take_ended());
        self.session.note_group_changes(upstream.relay.group_changes);
        if std::mem::take(&mut upstream.relay.has_served) {
            self.hold.end();
        }
        let is_over =
            upstream.relay.is_outdated(&self.session.shared, waiting) || upstream.relay.has_only_unserved();
        if transfer == Transfer::Unexpected {
            self.give_up("the primary said what is no answer to what it was sent");
        }
        if transfer != Transfer::Open || is_over {
            self.lose_upstream();
        }
    }

    /// Lets go of the connection to the primary. Requests that may be sent to the next are put before what is read and not yet taken.
    fn lose_upstream(&mut self) {
        let Some(mut upstream) = self.upstream.take() else { return };
        self.session.forget_unknown_changes();
        let (begun, requests) = upstream.relay.take_begun();
        let mut line = self.connection.line.borrow_mut();
        let again = upstream.relay.give_up(&mut self.hold, &mut self.session, &mut line);
        self.connection.settle(&mut line);
        drop(line);
        self.session.lose_forwarded_reads(begun, if again.is_some() { requests } else { 0 });
        if let Some(requests) = again {
            self.input.splice(..0, requests);
            (self.parser, self.input_wanted) = (RequestParser::new(), 0);
        }
    }
}
