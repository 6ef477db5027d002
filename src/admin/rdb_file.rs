//! SYNC and PSYNC: an RDB file of this node's data, for a client that wants it once; and the REPLCONF that such clients send before.
//!
//! - The file is made of a checkpoint that is taken for it: everything is in it that this node had applied before. A thread reads it and
//!   hands out pieces as the client takes them, so that memory is bounded by the longest value.
//! - One file is sent at a time. The checkpoint is lent meanwhile: its files stay, whatever becomes of it.
//! - After the file the connection ends. A replica that wants to stay is refused: Perdura's own replicas follow the log.
//!
//! Source: <https://redis.io/docs/latest/operate/oss_and_stack/management/replication/> and `replication.c` of Redis.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::LocalContext;
use super::shared::Shared;
use super::table::{ProcessCommand, SessionCommand};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::export::RdbExport;
use crate::checkpoint::shelf::Shelf;
use crate::command::args::is;
use crate::command::script::library_code;
use crate::command::spec::Flags;
use crate::command::{Args, CommandError, CommandResult};
use crate::data_folder::CHECKPOINT_FOLDER;
use crate::protocol::reply::Reply;

/// Pieces that wait until the client takes them.
const WAITING_PIECES: usize = 4;
const BORROWER: &str = "sync";

const STAYS: &str = "ERR a Redis replica can't follow Perdura, whose replicas follow its log: redis-cli --rdb and perdura export take an RDB file";
const BUSY: &str = "ERR another client is being sent an RDB file; try again when that has ended";

pub const SYNC: ProcessCommand = ProcessCommand::session("sync", 1, SessionCommand::Sync, never)
    .flags(&[Flags::ADMIN, Flags::NOSCRIPT, Flags::NO_MULTI])
    .docs("1.0.0", "O(N) where N is the number of keys", "Sends an RDB file and closes the connection.");
pub const PSYNC: ProcessCommand = ProcessCommand::session("psync", -3, SessionCommand::Sync, never)
    .flags(&[Flags::ADMIN, Flags::NOSCRIPT, Flags::NO_MULTI])
    .docs("2.8.0", "O(N) where N is the number of keys", "Sends an RDB file and closes the connection.");
pub const REPLCONF: ProcessCommand = ProcessCommand::local("replconf", -1, replconf)
    .flags(&[Flags::ADMIN, Flags::NOSCRIPT, Flags::LOADING, Flags::STALE])
    .docs("3.0.0", "O(1)", "Says what a client that will send SYNC understands.");

/// What a client has said of itself by REPLCONF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaTraits {
    /// It knows a file's end by a mark.
    pub knows_marks: bool,
    /// It has told where it would listen: it wants to stay.
    pub is_replica: bool,
    /// It wants no more than the file.
    pub wants_file_alone: bool,
}

/// The session carries SYNC out.
fn never(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::Syntax)
}

/// Pairs of a name and a value; what is not known is refused as Redis refuses it.
fn replconf(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let mut traits = ctx.client.replica;
    for pair in args[1..].chunks_exact(2) {
        let (name, value) = (pair[0], pair[1]);
        if is(name, "capa") {
            traits.knows_marks |= is(value, "eof");
        } else if is(name, "listening-port") {
            crate::command::args::integer(value)?;
            traits.is_replica = true;
        } else if is(name, "rdb-only") {
            traits.wants_file_alone = crate::command::args::integer(value)? == 1;
        } else if is(name, "rdb-filter-only") {
            return Err(CommandError::other(
                "ERR Perdura sends whole files alone: rdb-filter-only is not supported",
            ));
        } else if !is(name, "ip-address") && !is(name, "version") {
            let name = String::from_utf8_lossy(&name[..name.len().min(64)]);
            return Err(CommandError::other(format!("ERR Unrecognized REPLCONF option: {name}")));
        }
    }
    ctx.client.replica = traits;
    reply.ok();
    Ok(())
}

/// What the thread that reads the checkpoint hands out.
#[derive(Debug)]
pub enum FilePiece {
    /// The file begins; its length, where the client does not know marks.
    Begins(Option<u64>),
    Bytes(Vec<u8>),
    /// The file is whole.
    Ends,
    /// It can't be made, or not to its end.
    Fails(String),
}

/// The right to be sent a file.
#[derive(Debug)]
pub struct FileTurn {
    _held: OwnedMutexGuard<()>,
}

impl FileTurn {
    /// # Errors
    /// The client wants to stay, or another is being sent one.
    pub fn take(shared: &Shared, traits: ReplicaTraits) -> Result<FileTurn, CommandError> {
        if traits.is_replica && !traits.wants_file_alone {
            return Err(CommandError::other(STAYS));
        }
        let held = shared.sending_file.clone().try_lock_owned();
        held.map(|held| FileTurn { _held: held }).map_err(|_| CommandError::other(BUSY))
    }
}

/// Makes a checkpoint and a file of it. Dropping the receiver ends it.
pub async fn begin(shared: &Arc<Shared>, turn: FileTurn, with_mark: bool) -> Receiver<FilePiece> {
    let (pieces, received) = channel(WAITING_PIECES);
    match shared.shard.persistence.fresh().await {
        Ok(index) => {
            let shelf = Shelf::at(&shared.config.started_with().dir.join(CHECKPOINT_FOLDER));
            tokio::task::spawn_blocking(move || {
                // Its turn lasts as long as the checkpoint is read.
                let _turn = turn;
                run(&shelf, index, with_mark, &pieces);
            });
        }
        Err(reason) => {
            // The channel has room: nothing was sent on it.
            let _ = pieces.try_send(FilePiece::Fails(format!("the checkpoint failed: {reason}")));
        }
    }
    received
}

/// A client that is gone needs no more pieces.
fn send(pieces: &Sender<FilePiece>, piece: FilePiece) -> Result<(), CheckpointError> {
    pieces.blocking_send(piece).map_err(|_| CheckpointError::GivenUp)
}

fn run(shelf: &Shelf, index: u64, with_mark: bool, pieces: &Sender<FilePiece>) {
    let made = Lent::of(shelf, index).and_then(|lent| make(&lent, with_mark, pieces));
    let last = match made {
        Ok(()) => FilePiece::Ends,
        Err(CheckpointError::GivenUp) => return,
        Err(error) => FilePiece::Fails(error.to_string()),
    };
    // A client that is gone needs no end.
    let _ = send(pieces, last);
}

fn make(lent: &Lent, with_mark: bool, pieces: &Sender<FilePiece>) -> Result<(), CheckpointError> {
    let export = RdbExport::open(&lent.folder, lent.manifest.clone(), library_code)?;
    let is_wanted = || if pieces.is_closed() { Err(CheckpointError::GivenUp) } else { Ok(()) };
    let length = if with_mark { None } else { Some(export.count_bytes(&is_wanted)?) };
    send(pieces, FilePiece::Begins(length))?;
    export.write(&mut |piece, _| send(pieces, FilePiece::Bytes(piece)))?;
    Ok(())
}

/// A checkpoint whose files have second names until this is dropped.
struct Lent {
    shelf: Shelf,
    folder: PathBuf,
    manifest: crate::checkpoint::manifest::Manifest,
}

impl Lent {
    fn of(shelf: &Shelf, index: u64) -> Result<Lent, CheckpointError> {
        let (folder, manifest) = shelf.lend(index, BORROWER)?;
        Ok(Lent { shelf: shelf.clone(), folder, manifest })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Err(error) = self.shelf.take_back(&self.folder) {
            tracing::warn!(%error, "a checkpoint that was lent can't be removed; the next start does");
        }
    }
}
