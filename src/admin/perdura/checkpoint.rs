//! PERDURA CHECKPOINT: the published checkpoints of a running node.
//!
//! - Listing and proving run on a thread of their own, one proof at a time.
//! - Another seed of hash tables is in the place of the cluster's, for clients may not know that.
//! - What is read piece by piece is lent by the thread that also sends checkpoints to peers: it stays, whatever becomes of the
//!   checkpoint, until nobody has asked for a minute.

use std::sync::Arc;

use crate::admin::shared::Shared;
use crate::admin::{Answer, Answering};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::shelf::Shelf;
use crate::checkpoint::ship::{Ask, MANIFEST_FILE, MAX_PIECE_BYTES};
use crate::command::args::{count, is};
use crate::command::{Args, CommandError};
use crate::data_folder::CHECKPOINT_FOLDER;
use crate::protocol::reply::Reply;

/// A longer manifest is read by peers alone.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

pub(super) fn checkpoint(shared: &Arc<Shared>, args: &Args<'_>) -> Result<Answering, CommandError> {
    let shared = shared.clone();
    match &args[2..] {
        [word] if is(word, "list") => Ok(Box::pin(list(shared))),
        [word, index] if is(word, "verify") => {
            let index = if is(index, "all") { None } else { Some(count(index)? as u64) };
            Ok(Box::pin(verify(shared, index)))
        }
        [word, index] if is(word, "manifest") => Ok(Box::pin(manifest(shared, count(index)? as u64))),
        [word, index, file, offset, bytes] if is(word, "read") => {
            let file = u32::try_from(count(file)?).map_err(|_| CommandError::NotInteger)?;
            let length = count(bytes)?.min(MAX_PIECE_BYTES as usize) as u32;
            let ask = Ask { index: count(index)? as u64, file, offset: count(offset)? as u64, length };
            Ok(Box::pin(read(shared, ask)))
        }
        _ => Err(CommandError::Syntax),
    }
}

fn shelf(shared: &Shared) -> Shelf {
    Shelf::at(&shared.config.started_with().dir.join(CHECKPOINT_FOLDER))
}

/// Runs on a thread of its own.
async fn beside<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, CommandError> {
    let ran = tokio::task::spawn_blocking(run).await;
    ran.map_err(|_| CommandError::other("ERR the thread that was to do it has failed"))
}

fn refusal(error: CheckpointError) -> CommandError {
    CommandError::other(format!("ERR {error}"))
}

/// A map for each checkpoint, oldest first. One whose manifest can't be read has nothing but `index` and `error`.
async fn list(shared: Arc<Shared>) -> Result<Answer, CommandError> {
    let shelf = shelf(&shared);
    let listed = beside(move || {
        let indexes = shelf.list()?;
        Ok(indexes.into_iter().map(|index| (index, shelf.manifest(index))).collect::<Vec<_>>())
    });
    let mut listed = listed.await?.map_err(refusal)?;
    // One that went away in between is no fault.
    listed.retain(|(_, manifest)| !matches!(manifest, Err(CheckpointError::NoSuch { .. })));
    Ok(Box::new(move |reply| {
        reply.array(listed.len());
        for (index, manifest) in &listed {
            match manifest {
                Ok(manifest) => write_listed(manifest, reply),
                Err(error) => write_unreadable(*index, error, reply),
            }
        }
    }))
}

fn write_listed(manifest: &Manifest, reply: &mut Reply<'_>) {
    reply.map(7);
    for (name, number) in [
        ("index", manifest.point.index as i64),
        ("term", manifest.point.term as i64),
        ("stamp_ms", manifest.point.stamp_ms),
        ("keys", manifest.keys() as i64),
        ("bytes", manifest.bytes() as i64),
        ("files", manifest.files.len() as i64),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer(number);
    }
    reply.bulk(b"digest");
    reply.bulk(format!("{:032x}", manifest.digest()).as_bytes());
}

fn write_unreadable(index: u64, error: &CheckpointError, reply: &mut Reply<'_>) {
    reply.map(2);
    reply.bulk(b"index");
    reply.integer(index as i64);
    reply.bulk(b"error");
    reply.bulk(error.to_string().as_bytes());
}

/// For each checkpoint that was proven, oldest first: its index, and what is wrong with it (empty if nothing).
async fn verify(shared: Arc<Shared>, index: Option<u64>) -> Result<Answer, CommandError> {
    let Ok(turn) = shared.proving.clone().try_lock_owned() else {
        return Err(CommandError::other("ERR checkpoints are being verified already"));
    };
    let shelf = shelf(&shared);
    let verify = move || {
        // Its turn lasts as long as it runs, whoever still waits for it.
        let _turn = turn;
        verify_each(&shelf, index)
    };
    let verified = beside(verify).await?.map_err(refusal)?;
    Ok(Box::new(move |reply| {
        reply.array(verified.len());
        for (index, fault) in &verified {
            reply.array(2);
            reply.integer(*index as i64);
            reply.bulk(fault.as_bytes());
        }
    }))
}

fn verify_each(shelf: &Shelf, index: Option<u64>) -> Result<Vec<(u64, String)>, CheckpointError> {
    let mut verified = Vec::new();
    for index in index.map_or_else(|| shelf.list(), |index| Ok(vec![index]))? {
        match shelf.verify(index, |_| {}) {
            Ok(_) => verified.push((index, String::new())),
            Err(error @ CheckpointError::NoSuch { .. }) => return Err(error),
            // It was removed while it was read.
            Err(_) if !shelf.path(index).exists() => {}
            Err(error) => verified.push((index, error.to_string())),
        }
    }
    Ok(verified)
}

/// The file as clients may read it.
async fn manifest(shared: Arc<Shared>, index: u64) -> Result<Answer, CommandError> {
    let bytes = shown_manifest(&shared, index).await?;
    Ok(Box::new(move |reply| reply.bulk(&bytes)))
}

async fn shown_manifest(shared: &Shared, index: u64) -> Result<Vec<u8>, CommandError> {
    let bytes = manifest_file(shared, index).await?;
    let manifest = Manifest::decode(&bytes)
        .map_err(|damage| CommandError::other(format!("ERR the manifest of checkpoint {index}: {damage}")))?;
    Ok(Manifest { hash_seed: manifest.hash_seed.for_readers(), ..manifest }.encode())
}

/// The bytes of the file, which say how long it is.
async fn manifest_file(shared: &Shared, index: u64) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    loop {
        let ask = Ask { index, file: MANIFEST_FILE, offset: bytes.len() as u64, length: MAX_PIECE_BYTES };
        let (total, piece) = lent(shared, ask).await?;
        if total > MAX_MANIFEST_BYTES {
            return Err(CommandError::other("ERR the manifest is too long to be read by clients"));
        }
        bytes.extend_from_slice(&piece);
        if piece.is_empty() || bytes.len() as u64 >= total {
            return Ok(bytes);
        }
    }
}

async fn read(shared: Arc<Shared>, ask: Ask) -> Result<Answer, CommandError> {
    if ask.file == MANIFEST_FILE {
        let manifest = shown_manifest(&shared, ask.index).await?;
        let start = usize::try_from(ask.offset).unwrap_or(usize::MAX).min(manifest.len());
        let end = start.saturating_add(ask.length as usize).min(manifest.len());
        return Ok(Box::new(move |reply| reply.bulk(&manifest[start..end])));
    }
    let (_, bytes) = lent(&shared, ask).await?;
    Ok(Box::new(move |reply| reply.bulk(&bytes)))
}

/// A piece of a checkpoint's file, and how long the whole file is.
async fn lent(shared: &Shared, ask: Ask) -> Result<(u64, bytes::Bytes), CommandError> {
    let busy = || CommandError::other("ERR too many are asking for that; try again");
    let found = shared.shard.transfers.ask(ask).ok_or_else(busy)?;
    shared.shard.driver_wake.notify_one();
    match found.await.map_err(|_| busy())? {
        Ok(Some(piece)) => Ok((piece.total, piece.bytes)),
        Ok(None) => Err(CommandError::other(format!(
            "ERR there is no such checkpoint or file here, or too many are being read: checkpoint {}, file {}",
            ask.index, ask.file
        ))),
        Err(error) => Err(CommandError::other(format!("ERR {error}"))),
    }
}
