//! XREADGROUP.
//!
//! - It is a write, with BLOCK too: the consumer is there from then on, and its time is noted.
//! - One that finds nothing writes nothing where BLOCK is given. A client that waits is served by what makes its stream longer;
//!   a group or a key that is gone is an error then, as it is when the command comes.

use super::options::{After, ReadOptions};
use super::read::{begin_stream, begin_streams};
use super::{NEW_CONSUMER, ids, tell, write_entry};
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::keyspace::types::stream::{Group, Pending, Stream, StreamEntry, StreamId};
use crate::protocol::reply::Reply;

/// Entries that the group has not read are counted up to so many.
const MOST_UNREAD: u64 = 1 << 12;

/// What a consumer reads of one stream.
struct Read<'a> {
    key: &'a [u8],
    /// What is pending behind this id, or what no consumer got yet.
    history: Option<StreamId>,
}

fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    let text =
        format!("NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option");
    CommandError::other(text)
}

fn reads<'a>(
    ctx: &ReadContext<'_>,
    options: &ReadOptions<'_, 'a>,
    group: &[u8],
) -> Result<Vec<Read<'a>>, CommandError> {
    let streams = options.keys.iter().zip(options.ids);
    let reads = streams.map(|(key, id)| {
        let stream = ctx.collection::<Stream>(key)?;
        if stream.is_none_or(|stream| stream.group(group).is_none()) {
            return Err(no_group(key, group));
        }
        Ok(Read { key, history: After::of_group(id)? })
    });
    reads.collect()
}

fn has_news(stream: &Stream, group: &Group) -> bool {
    stream.last_entry_id().is_some_and(|last| last > group.last_id)
}

/// How many clients would be answered now that send XREADGROUP with these arguments: as many as there are entries that the group
/// has not read, or all of them with an error.
pub fn group_reads_ready(ctx: &ReadContext<'_>, args: &Args<'_>) -> usize {
    let Ok(options) = ReadOptions::parse(args, true) else { return usize::MAX };
    let Some((name, _)) = options.group else { return usize::MAX };
    let Ok(reads) = reads(ctx, &options, name) else { return usize::MAX };
    let unread = reads.iter().map(|read| {
        let stream = ctx.collection::<Stream>(read.key).ok().flatten();
        let group = stream.and_then(|stream| Some((stream, stream.group(name)?)));
        group.map_or(0, |(stream, group)| match group.last_id.next() {
            Some(start) => stream.count(start, StreamId::MAX, MOST_UNREAD),
            None => 0,
        })
    });
    unread.fold(0, u64::saturating_add) as usize
}

/// <https://redis.io/docs/latest/commands/xreadgroup/>
pub(super) fn xreadgroup(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let options = ReadOptions::parse(args, true)?;
    let (name, consumer) = options.group.ok_or(CommandError::Syntax)?;
    let reads = reads(&ctx.reader(), &options, name)?;
    let mut out = Vec::new();
    let mut answers = Reply::bounded(&mut out, reply.resp(), reply.room());
    let mut served = 0;
    for read in reads {
        let now_ms = ctx.now_ms;
        let stream = ctx.collection_or_new::<Stream>(read.key)?;
        let answers = &mut answers;
        let is_new = stream.group(name).is_some_and(|group| group.consumer(consumer).is_none());
        let is_served = stream.edit_group(name, |group, stream| {
            let delivery = Delivery { group, stream, consumer, now_ms };
            delivery.run(&read, &options, answers)
        });
        served += usize::from(is_served.unwrap_or(false));
        if is_new {
            tell(ctx, NEW_CONSUMER, read.key);
        }
    }
    ctx.count_change();
    let is_cut = answers.is_over();
    if served > 0 {
        begin_streams(reply, served);
        reply.raw(&out);
        if is_cut {
            reply.give_up();
        }
    } else if options.block_ms.is_none() {
        reply.null_array();
    }
    Ok(())
}

/// One stream's entries on their way to a consumer.
struct Delivery<'d> {
    group: &'d mut Group,
    stream: &'d Stream,
    consumer: &'d [u8],
    now_ms: i64,
}

impl Delivery<'_> {
    /// True if anything was answered.
    fn run(mut self, read: &Read<'_>, options: &ReadOptions<'_, '_>, reply: &mut Reply<'_>) -> bool {
        self.group.see(self.consumer, self.now_ms);
        match read.history {
            Some(behind) => {
                begin_stream(reply, read.key);
                self.repeat(behind, options.most(), reply);
            }
            None if has_news(self.stream, self.group) => {
                begin_stream(reply, read.key);
                self.deliver(options, reply);
            }
            None => return false,
        }
        true
    }

    /// What is pending for the consumer, once more.
    fn repeat(&mut self, behind: StreamId, most: u64, reply: &mut Reply<'_>) {
        let start = behind.next().unwrap_or(behind);
        let pending = self.group.consumer(self.consumer).into_iter().flat_map(|own| own.pending_from(start));
        let pending: Vec<StreamId> = pending.take(usize::try_from(most).unwrap_or(usize::MAX)).collect();
        reply.array(pending.len());
        for id in pending {
            let Some(entry) = self.stream.get(id) else {
                reply.array(2);
                ids::write(reply, id);
                reply.null_array();
                continue;
            };
            write_entry(reply, entry);
            let now_ms = self.now_ms;
            self.group.edit_pending(id, |pending| {
                pending.delivered_ms = now_ms;
                pending.deliveries = pending.deliveries.wrapping_add(1);
            });
        }
    }

    /// What no consumer of the group got yet.
    fn deliver(&mut self, options: &ReadOptions<'_, '_>, reply: &mut Reply<'_>) {
        let start = self.group.last_id.next().unwrap_or(StreamId::MAX);
        let found = self.stream.count(start, StreamId::MAX, options.most()) as usize;
        let consumer = self.group.name_of(self.consumer);
        reply.array(found);
        for entry in self.stream.range(start, StreamId::MAX).take(found) {
            self.advance(&entry);
            if !options.no_ack {
                let pending =
                    Pending { consumer: consumer.clone(), delivered_ms: self.now_ms, deliveries: 1 };
                self.group.pend(entry.id, pending);
            }
            if !reply.is_over() {
                write_entry(reply, entry);
            }
        }
        if !options.no_ack && found > 0 {
            self.group.activate(self.consumer, self.now_ms);
        }
    }

    /// The group has read up to this entry.
    fn advance(&mut self, entry: &StreamEntry<'_>) {
        let known = self.group.entries_read.filter(|_| !self.stream.has_deleted_from(entry.id));
        match known {
            Some(read) => self.group.entries_read = Some(read.wrapping_add(1)),
            None if self.stream.counters().entries_added > 0 => {
                self.group.entries_read = self.stream.entries_up_to(entry.id);
            }
            None => {}
        }
        self.group.last_id = entry.id;
    }
}
