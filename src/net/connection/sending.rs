//! SYNC: an RDB file on its way to a client, after which the connection ends.
//!
//! - While the checkpoint is made the client is sent empty lines, as Redis does: it knows that the node is still there.
//! - Pieces are sent as fast as the client takes them. One that takes nothing for a minute is cut off.
//! - An error before the file is answered; after its beginning it can only be told by an end of the connection before the file's.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::ConnectionTask;
use crate::admin::rdb_file::{self, FilePiece, FileTurn};
use crate::command::Args;
use crate::env;

/// How often an empty line is sent.
const SIGN_PERIOD: Duration = Duration::from_secs(1);
/// How long a client may take for [`MOST_AT_ONCE`].
const PATIENCE: Duration = Duration::from_secs(60);
const MOST_AT_ONCE: usize = 256 << 10;

/// Why no more is sent.
enum Stop {
    /// The client can be answered: nothing of the file was sent.
    Refused(String),
    Broken(&'static str),
}

impl ConnectionTask {
    pub(super) async fn send_file(&mut self, args: &Args<'_>) {
        if !self.send_before_waiting().await {
            return;
        }
        let sent = match FileTurn::take(&self.session.shared, self.session.client.replica) {
            Err(error) => Err(Stop::Refused(error.to_string())),
            Ok(turn) => tokio::select! {
                sent = self.send_made(args, turn) => sent,
                () = self.connection.killed() => Err(Stop::Broken("it was killed")),
            },
        };
        let refusal = match &sent {
            Err(Stop::Refused(reason)) => Some(reason.as_str()),
            Ok(()) | Err(Stop::Broken(_)) => None,
        };
        self.session.note_sent_file(refusal);
        match sent {
            Ok(()) => self.session.client.close_after_reply = true,
            Err(Stop::Refused(reason)) => self.refuse(&reason),
            Err(Stop::Broken(reason)) => {
                tracing::warn!(
                    client = self.connection.info.id,
                    "an RDB file was not sent to its end: {reason}"
                );
                self.connection.give_up();
            }
        }
    }

    async fn send_made(&self, args: &Args<'_>, turn: FileTurn) -> Result<(), Stop> {
        let shared = self.session.shared.clone();
        if args.len() > 1 {
            self.put(format!("+FULLRESYNC {} 0\r\n", shared.run_id).as_bytes());
            self.send_put().await?;
        }
        let with_mark = self.session.client.replica.knows_marks;
        let beginning = async {
            let mut pieces = rdb_file::begin(&shared, turn, with_mark).await;
            let first = pieces.recv().await;
            (pieces, first)
        };
        tokio::pin!(beginning);
        let (pieces, first) = loop {
            tokio::select! {
                begun = &mut beginning => break begun,
                () = tokio::time::sleep(SIGN_PERIOD) => {
                    self.put(b"\n");
                    self.send_put().await?;
                }
            }
        };
        let mark = format!(
            "{:016x}{:016x}{:08x}",
            env::random_seed(),
            env::random_seed(),
            env::random_seed() as u32
        );
        match first {
            Some(FilePiece::Begins(None)) => self.put(format!("$EOF:{mark}\r\n").as_bytes()),
            Some(FilePiece::Begins(Some(length))) => self.put(format!("${length}\r\n").as_bytes()),
            Some(FilePiece::Fails(reason)) => return Err(Stop::Refused(format!("ERR {reason}"))),
            _ => return Err(Stop::Refused("ERR the thread that makes the file has failed".to_owned())),
        }
        self.send_pieces(pieces).await?;
        if with_mark {
            self.put(mark.as_bytes());
        }
        self.send_put().await
    }

    async fn send_pieces(&self, mut pieces: Receiver<FilePiece>) -> Result<(), Stop> {
        loop {
            match pieces.recv().await {
                Some(FilePiece::Bytes(piece)) => {
                    for some in piece.chunks(MOST_AT_ONCE) {
                        self.put(some);
                        self.send_put().await?;
                    }
                }
                Some(FilePiece::Ends) => return Ok(()),
                Some(FilePiece::Fails(reason)) => {
                    tracing::error!(%reason, "an RDB file can't be made to its end");
                    return Err(Stop::Broken("it could not be made"));
                }
                Some(FilePiece::Begins(_)) | None => return Err(Stop::Broken("its thread has failed")),
            }
        }
    }

    fn put(&self, bytes: &[u8]) {
        self.connection.line.borrow_mut().out.extend_from_slice(bytes);
    }

    /// Sends what was put.
    async fn send_put(&self) -> Result<(), Stop> {
        self.connection.flush();
        if self.connection.unsent() > 0 {
            let sent = tokio::time::timeout(PATIENCE, self.connection.send_the_rest()).await;
            sent.map_err(|_| Stop::Broken("its client takes nothing"))?;
        }
        if self.connection.broken.get() { Err(Stop::Broken("its client is gone")) } else { Ok(()) }
    }
}
