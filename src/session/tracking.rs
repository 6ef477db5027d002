//! Client-side caching: which keys a request reads, and what of them is remembered (`shard/tracking`).
//!
//! - What this node answers itself is remembered under the locks of the read. What the log answers, the log's machine remembers.
//! - What is sent on to the primary is remembered before it is sent, and ended once its answer is given to the client: a key that has changed
//!   here meanwhile is told after the answer. The keys of a script are those that it is called with.
//! - A client whose connection to the primary is lost drops all that it has cached.

use super::table::table;
use super::transaction::SentRequest;
use super::{SentTransaction, Session, Verdict};
use crate::admin::table::TableRow;
use crate::command::reads::ReadKeys;
use crate::command::spec::Flags;
use crate::command::{Args, Command};
use crate::shard::port::PushByPort;

/// Bytes of keys of one client's reads that are sent on and not answered. Of more it is not known what they read.
const MAX_BEGUN_BYTES: usize = 4 << 20;
/// What is kept of a key beside its name.
const KEY_BYTES: usize = 64;

/// What a request reads that is sent on.
#[derive(Debug, Default)]
pub enum Begun {
    #[default]
    Nothing,
    Keys(Vec<Box<[u8]>>),
    /// More than is kept.
    TooMany,
}

fn bytes_of<'k>(keys: impl Iterator<Item = &'k [u8]>) -> usize {
    keys.map(|key| key.len() + KEY_BYTES).sum()
}

/// The places of the keys that a command reads for a client that caches them; none where it may write, as in Redis.
fn places_read(command: &Command, args: &Args<'_>) -> Vec<usize> {
    let reads = command.flags.contains(Flags::READONLY) || command.script.is_some();
    if reads { command.key_places(args).collect() } else { Vec::new() }
}

impl Session {
    /// A request is about to be carried out.
    #[inline]
    pub(super) fn begin_tracking(&mut self) {
        self.tracks = self.client.tracking.as_ref().is_some_and(|choice| choice.tracks_reads());
    }

    /// A request was offered. Once it is taken, CLIENT CACHING was about it.
    #[inline]
    pub(super) fn spend_caching(&mut self, row: &TableRow, verdict: Verdict) {
        if self.client.tracking.is_some() {
            let comes_again = matches!(verdict, Verdict::Wait | Verdict::Full | Verdict::Delayed);
            if !comes_again && !row.full_name.starts_with("client|") {
                self.spend_caching_on_refused();
            }
        }
    }

    /// The same for a request that is not carried out.
    pub(super) fn spend_caching_on_refused(&mut self) {
        let gathers = self.client.transaction.is_some();
        if let Some(choice) = self.client.tracking.as_mut().filter(|_| !gathers) {
            choice.spend_caching();
        }
    }

    /// Remembers what a command has read whose locks are still held; `reads` are those of a script.
    #[inline]
    pub(super) fn remember_reads(&self, command: &Command, args: &Args<'_>, reads: &ReadKeys) {
        if self.tracks {
            self.remember_tracked(command, args, reads);
        }
    }

    fn remember_tracked(&self, command: &Command, args: &Args<'_>, reads: &ReadKeys) {
        let (shard, client) = (&self.shared.shard, self.client.listener_id());
        let mut wakes = reads.take_too_many();
        if wakes {
            shard.tracking.note_missed();
        }
        for (key, _) in reads.take() {
            wakes |= shard.tracking.remember(&key, client);
        }
        if command.script.is_none() && command.flags.contains(Flags::READONLY) {
            for place in command.key_places(args) {
                wakes |= shard.tracking.remember(args[place], client);
            }
        }
        if wakes {
            shard.driver_wake.notify_one();
        }
    }

    /// A request is about to be sent to the primary.
    pub fn begin_forwarded(&mut self, args: &Args<'_>) -> Begun {
        if self.client.tracking.is_none() {
            return Begun::Nothing;
        }
        let Some(row) = table().find(args) else { return Begun::Nothing };
        let places = places_read(row.command, args);
        self.begin_reads(places.iter().map(|place| args[*place]))
    }

    /// The same for a transaction.
    pub fn begin_forwarded_transaction(&mut self, sent: &SentTransaction) -> Begun {
        if self.client.tracking.is_none() {
            return Begun::Nothing;
        }
        let mut keys: Vec<&[u8]> = Vec::new();
        for request in &sent.requests {
            if let SentRequest::Queued(queued) = request {
                let args = queued.slices();
                let places = places_read(queued.command.0.command, &args);
                keys.extend(places.into_iter().map(|place| args[place]));
            }
        }
        self.begin_reads(keys.into_iter())
    }

    fn begin_reads<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]> + Clone) -> Begun {
        let client = self.client.listener_id();
        let Some(choice) = self.client.tracking.as_mut() else { return Begun::Nothing };
        if !self.tracks && !choice.broadcasts {
            return Begun::Nothing;
        }
        if choice.begun_bytes + bytes_of(keys.clone()) > MAX_BEGUN_BYTES {
            return Begun::TooMany;
        }
        let begun = self.shared.shard.tracking.begin_reads(keys, client);
        choice.begun_bytes += bytes_of(begun.iter().map(|key| &**key));
        if begun.is_empty() { Begun::Nothing } else { Begun::Keys(begun) }
    }

    /// Requests that were sent to the primary are answered.
    pub fn end_forwarded(&mut self, ended: Vec<Begun>) {
        let client = self.client.listener_id();
        let shard = &self.shared.shard;
        let mut out = PushByPort(&shard.ports);
        for begun in ended {
            match begun {
                Begun::Nothing => {}
                Begun::TooMany => shard.tracking.tell_all_stale_to(client, &mut out),
                Begun::Keys(keys) => {
                    shard.tracking.end_reads(&keys, client, &mut out);
                    if let Some(choice) = &mut self.client.tracking {
                        let bytes = bytes_of(keys.iter().map(|key| &**key));
                        choice.begun_bytes = choice.begun_bytes.saturating_sub(bytes);
                    }
                }
            }
        }
    }

    /// The connection to the primary is lost, and this number of requests will be taken again: those that are left are not answered.
    pub fn lose_forwarded_reads(&mut self, left: Vec<Begun>, again: usize) {
        self.end_forwarded(left);
        if let Some(choice) = &mut self.client.tracking {
            choice.again = again;
            let shard = &self.shared.shard;
            shard.tracking.tell_all_stale_to(
                (self.client.worker, self.client.connection),
                &mut PushByPort(&shard.ports),
            );
        }
    }
}
