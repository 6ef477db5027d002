//! Clients that wait in XREAD. What they read is not logged: they are answered right after the command that made their stream
//! longer, inside the same step of apply.
//!
//! - A reader waits for entries above an id at each of its keys; `$` and `+` are looked up when it begins to wait.
//! - One step answers [`ANSWERED_AT_ONCE`] bytes and little more; whoever is left is answered with the next turns, from what its
//!   stream has then.

use std::collections::{BTreeSet, VecDeque};

use super::machine::Machine;
use super::plan::{Addressee, Waiting};
use super::waiters::{StreamsAwaited, WaitKey, WaiterId};
use crate::apply::ApplyError;
use crate::command::context::Stamp;
use crate::command::{ReadContext, stream};
use crate::keyspace::types::stream::StreamId;
use crate::keyspace::view::LockSet;
use crate::propose::entry::{EntryArgs, EntryReader, write_single};
use crate::protocol::reply::Reply;

/// Bytes of answers to waiting readers that one step makes.
const ANSWERED_AT_ONCE: usize = 16 << 20;

/// Keys that changed while clients wait in XREAD, each once.
#[derive(Debug, Default)]
pub struct ChangedStreams {
    keys: VecDeque<WaitKey>,
    queued: BTreeSet<WaitKey>,
}

impl ChangedStreams {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn add(&mut self, key: &WaitKey) {
        if self.queued.insert(key.clone()) {
            self.keys.push_back(key.clone());
        }
    }

    pub fn clear(&mut self) {
        self.keys.clear();
        self.queued.clear();
    }

    fn pop(&mut self) {
        if let Some(key) = self.keys.pop_front() {
            self.queued.remove(&key);
        }
    }
}

/// Answers a client's XREAD, or lets the client wait if there is nothing to read.
pub(super) fn read_or_wait(
    machine: &mut Machine,
    stamp: Stamp,
    to: Addressee,
    waiting: Waiting,
) -> Result<(), ApplyError> {
    let mut args = EntryArgs::new();
    let db = EntryReader::read_single(&waiting.encoded, &mut args)?;
    if machine.read_if_any(to, (waiting.command, db, &args), stamp) {
        return Ok(());
    }
    machine.take_back_count(waiting.command);
    let view = machine.applier.keyspace().read(waiting.command.lock_set(&args));
    let resolved = stream::resolved(&ReadContext::new(&view, db, stamp.now_ms, 0), &args);
    drop(view);
    let mut encoded = Vec::new();
    if let Some(resolved) = resolved {
        let args: EntryArgs<'_> = resolved.iter().map(Vec::as_slice).collect();
        write_single(&mut encoded, db, &args);
    }
    drop(args);
    machine.wait(to, Waiting { encoded: encoded.into(), ..waiting }).map(drop)
}

/// Answers the readers that wait for what has changed.
pub(super) fn serve(machine: &mut Machine) {
    let stamp = Stamp { now_ms: machine.applier.last_stamp_ms(), seed: 0 };
    let mut answered = 0;
    while let Some(key) = machine.changed.keys.front() {
        let ids = ready(machine, key, stamp);
        for id in ids {
            if answered >= ANSWERED_AT_ONCE {
                return;
            }
            answered += serve_one(machine, id, stamp);
        }
        machine.changed.pop();
    }
}

/// Readers for which a key has an entry, in the order in which they came.
fn ready(machine: &Machine, key: &WaitKey, stamp: Stamp) -> Vec<WaiterId> {
    let view = machine.applier.keyspace().read(LockSet::of_key(&key.1));
    let last = stream::last_entry(&ReadContext::new(&view, key.0, stamp.now_ms, 0), &key.1);
    let Some(last) = last else { return Vec::new() };
    let waiting = machine.waiters.waiting_for(key).filter(|(_, waiter)| match &waiter.streams {
        Some(StreamsAwaited::Behind(ids)) => is_behind(&waiter.keys, ids, key, last),
        _ => false,
    });
    waiting.map(|(id, _)| id).collect()
}

fn is_behind(keys: &[WaitKey], ids: &[StreamId], key: &WaitKey, last: StreamId) -> bool {
    keys.iter().zip(ids).any(|(own, id)| own == key && *id < last)
}

/// Runs a reader's command; returns how many bytes it is answered.
fn serve_one(machine: &mut Machine, id: WaiterId, stamp: Stamp) -> usize {
    let Some(waiter) = machine.waiters.get(id) else { return 0 };
    let to = waiter.addressee();
    let (command, encoded) = (waiter.command, waiter.encoded.clone());
    let mut args = EntryArgs::new();
    let Ok(db) = EntryReader::read_single(&encoded, &mut args) else { return 0 };
    let mut out = Vec::new();
    let mut reply = Reply::bounded(&mut out, to.resp, machine.reply_limit());
    machine.want_reads(to);
    machine.run_read(&mut reply, (command, db, &args), stamp);
    machine.note_slow(to);
    let is_cut = reply.is_over();
    machine.remember_reads(to);
    if out.is_empty() && !is_cut {
        machine.take_back_count(command);
        return 0;
    }
    machine.waiters.remove(id);
    machine.answer_with(to, |reply| if is_cut { reply.give_up() } else { reply.raw(&out) });
    out.len()
}
