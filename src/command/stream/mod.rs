//! Streams: <https://redis.io/docs/latest/commands/?group=stream>.
//!
//! - Ids that the server gives come from the entry's timestamp, so they are the same on every node.
//! - A client that waits in XREAD writes nothing to the log; XREADGROUP is a write.

mod add;
mod claim;
mod cost;
mod group;
mod group_read;
mod ids;
mod info;
mod options;
mod pending;
mod read;
#[cfg(test)]
mod tests;

pub use group_read::group_reads_ready;

use super::cost::CostKind;
use super::events::Event;
use super::spec::{BeginSearch, Categories, FindKeys, Flags, KeyFlags, KeySpec, key};
use super::{Args, Blocking, Command, CommandError, Family, ReadContext, WriteContext};
use crate::config::events::Classes;
use crate::keyspace::entry::Entry;
use crate::keyspace::types::stream::{Group, Stream, StreamEntry, StreamId};
use crate::keyspace::value::Object;
use crate::protocol::reply::Reply;
use options::ReadOptions;

const DENYOOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;
const HELP: [Flags; 2] = [Flags::LOADING, Flags::STALE];

const fn streams(from: usize) -> KeySpec {
    KeySpec {
        begin: BeginSearch::StreamsOption { from },
        find: FindKeys::FirstHalf,
        flags: KeyFlags::RO_ACCESS,
    }
}

pub const FAMILY: Family = Family {
    group: "stream",
    categories: Categories::STREAM,
    commands: &[
        Command::write("xack", -4, group::xack).flags(&[FAST]).keys(&[key(1, KeyFlags::RW_UPDATE)]).docs(
            "5.0.0",
            "O(1) for each message ID processed.",
            "Returns the number of messages that were successfully acknowledged by the consumer group member of a stream.",
        ),
        Command::write("xadd", -5, add::xadd).weighs(cost::weight_of_trim).readies_readers().flags(&[DENYOOM, FAST]).keys(&[key(1, KeyFlags::RW_UPDATE)]).docs(
            "5.0.0",
            "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
            "Appends a new message to a stream. Creates the key if it doesn't exist.",
        ),
        Command::write("xautoclaim", -6, claim::xautoclaim)
            .cost(CostKind::Measured(cost::auto_claim))
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE)])
            .docs(
                "6.2.0",
                "O(1) if COUNT is small.",
                "Changes, or acquires, ownership of messages in a consumer group, as if the messages were delivered to as consumer group member.",
            ),
        Command::write("xclaim", -6, claim::xclaim)
            .cost(CostKind::Measured(cost::claim))
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_UPDATE)])
            .docs(
                "5.0.0",
                "O(log N) with N being the number of messages in the PEL of the consumer group.",
                "Changes, or acquires, ownership of a message in a consumer group, as if the message was delivered a consumer group member.",
            ),
        Command::write("xdel", -3, add::xdel).weighs(cost::weight_of_deletion).flags(&[FAST]).keys(&[key(1, KeyFlags::RW_DELETE)]).docs(
            "5.0.0",
            "O(1) for each single item to delete in the stream, regardless of the stream size.",
            "Returns the number of messages after removing them from a stream.",
        ),
        Command::container("xgroup", XGROUP).docs("5.0.0", "Depends on subcommand.", "A container for consumer groups commands."),
        Command::container("xinfo", XINFO).docs("5.0.0", "Depends on subcommand.", "A container for stream introspection commands."),
        Command::read("xlen", 2, read::xlen)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("5.0.0", "O(1)", "Return the number of messages in a stream."),
        Command::read("xpending", -3, pending::xpending)
            .cost(CostKind::Measured(cost::pending))
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs(
                "5.0.0",
                "O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the command returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for iterating every consumer.",
                "Returns the information and entries from a stream consumer group's pending entries list.",
            ),
        Command::read("xrange", -4, read::xrange)
            .cost(CostKind::Measured(cost::range::<false>))
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs(
                "5.0.0",
                "O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).",
                "Returns the messages from a stream within a range of IDs.",
            ),
        Command::read("xread", -4, read::xread)
            .cost(CostKind::Measured(cost::read))
            .flags(&[Flags::MOVABLEKEYS])
            .keys(&[streams(1)])
            .blocking(Blocking::of_streams(|args| ReadOptions::parse(args, false).map(drop)))
            .docs(
                "5.0.0",
                "For each stream mentioned: O(N) with N being the number of elements being returned, it means that XREAD-ing with a fixed COUNT is O(1). Note that when the BLOCK option is used, XADD will pay O(M) time in order to serve the M clients blocked on the stream getting new data.",
                "Returns messages from multiple streams with IDs greater than the ones requested. Blocks until a message is available otherwise.",
            ),
        Command::write("xreadgroup", -7, group_read::xreadgroup)
            .cost(CostKind::Measured(cost::read_group))
            .flags(&[Flags::MOVABLEKEYS])
            .keys(&[streams(4)])
            .blocking(Blocking::of_streams(|args| ReadOptions::parse(args, true).map(drop)))
            .docs(
                "5.0.0",
                "For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting new data.",
                "Returns new or historical messages from a stream for a consumer in a group. Blocks until a message is available otherwise.",
            ),
        Command::read("xrevrange", -4, read::xrevrange)
            .cost(CostKind::Measured(cost::range::<true>))
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs(
                "5.0.0",
                "O(N) with N being the number of elements returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).",
                "Returns the messages from a stream within a range of IDs in reverse order.",
            ),
        Command::write("xsetid", -3, add::xsetid).flags(&[DENYOOM, FAST]).keys(&[key(1, KeyFlags::RW_UPDATE)]).docs(
            "5.0.0",
            "O(1)",
            "An internal command for replicating stream values.",
        ),
        Command::write("xtrim", -4, add::xtrim).weighs(cost::weight_of_trim).keys(&[key(1, KeyFlags::RW_DELETE)]).docs(
            "5.0.0",
            "O(N), with N being the number of evicted entries. Constant times are very small however, since entries are organized in macro nodes containing multiple entries that can be released with a single deallocation.",
            "Deletes messages from the beginning of a stream.",
        ),
    ],
};

const XGROUP: &[Command] = &[
    Command::write("create", -5, group::create).flags(&[DENYOOM]).keys(&[key(2, KeyFlags::RW_INSERT)]).docs(
        "5.0.0",
        "O(1)",
        "Creates a consumer group.",
    ),
    Command::write("createconsumer", 5, group::createconsumer)
        .flags(&[DENYOOM])
        .keys(&[key(2, KeyFlags::RW_INSERT)])
        .docs("6.2.0", "O(1)", "Creates a consumer in a consumer group."),
    Command::write("delconsumer", 5, group::delconsumer)
        .cost(CostKind::Measured(cost::delete_consumer))
        .keys(&[key(2, KeyFlags::RW_DELETE)])
        .docs("5.0.0", "O(1)", "Deletes a consumer from a consumer group."),
    Command::write("destroy", 4, group::destroy)
        .weighs(cost::weight_of_destruction)
        .readies_readers()
        .keys(&[key(2, KeyFlags::RW_DELETE)])
        .docs(
            "5.0.0",
            "O(N) where N is the number of entries in the group's pending entries list (PEL).",
            "Destroys a consumer group.",
        ),
    Command::read("help", 2, group::help).flags(&HELP).docs(
        "5.0.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    Command::write("setid", -5, group::setid).keys(&[key(2, KeyFlags::RW_UPDATE)]).docs(
        "5.0.0",
        "O(1)",
        "Sets the last-delivered ID of a consumer group.",
    ),
];

const XINFO: &[Command] = &[
    Command::read("consumers", 4, info::consumers)
        .cost(CostKind::Measured(cost::info))
        .keys(&[key(2, KeyFlags::RO_ACCESS)])
        .docs("5.0.0", "O(1)", "Returns a list of the consumers in a consumer group."),
    Command::read("groups", 3, info::groups)
        .cost(CostKind::Measured(cost::info))
        .keys(&[key(2, KeyFlags::RO_ACCESS)])
        .docs("5.0.0", "O(1)", "Returns a list of the consumer groups of a stream."),
    Command::read("help", 2, info::help).flags(&HELP).docs(
        "5.0.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    Command::read("stream", -3, info::stream)
        .cost(CostKind::Measured(cost::info))
        .keys(&[key(2, KeyFlags::RO_ACCESS)])
        .docs("5.0.0", "O(1)", "Returns information about a stream."),
];

const NO_KEY_FOR_GROUP: CommandError = CommandError::Other(std::borrow::Cow::Borrowed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
));

fn no_group_of_key(group: &[u8], key: &[u8]) -> CommandError {
    let (group, key) = (String::from_utf8_lossy(group), String::from_utf8_lossy(key));
    CommandError::other(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

fn subcommand_syntax(container: &[u8], name: &[u8]) -> CommandError {
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]);
    let container = String::from_utf8_lossy(container).to_ascii_uppercase();
    CommandError::other(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP."
    ))
}

/// What must be there.
fn lookup<T>(found: Option<T>) -> Result<T, CommandError> {
    found.ok_or(CommandError::NoSuchKey)
}

/// A group that must be there, with its stream.
fn lookup_group<'a>(
    ctx: &ReadContext<'a>,
    key: &[u8],
    name: &[u8],
) -> Result<(&'a Stream, &'a Group), CommandError> {
    let stream = ctx.collection::<Stream>(key)?;
    let found = stream.and_then(|stream| Some((stream, stream.group(name)?)));
    found.ok_or_else(|| {
        let (key, name) = (String::from_utf8_lossy(key), String::from_utf8_lossy(name));
        CommandError::other(format!("NOGROUP No such key '{key}' or consumer group '{name}'"))
    })
}

/// Answers an entry: its id, and its fields and values in turn.
fn write_entry(reply: &mut Reply<'_>, entry: StreamEntry<'_>) {
    let mut digits = itoa::Buffer::new();
    reply.array(2);
    ids::write(reply, entry.id);
    reply.array(entry.field_count() * 2);
    reply.each(entry.texts(), |reply, text| reply.bulk(text.text(&mut digits)));
}

/// Tells of a change that is not the command's own, or that WATCH does not see.
fn tell(ctx: &mut WriteContext<'_>, name: &'static str, key: &[u8]) {
    ctx.tell(ctx.db, Event { class: Classes::STREAM, name }, key);
}

/// What XREADGROUP and its kind tell that make a consumer.
const NEW_CONSUMER: &str = "xgroup-createconsumer";

/// Drops what was taken out of a stream, beside apply if that may take long.
fn discard(ctx: &mut WriteContext<'_>, removed: Option<Stream>) {
    if let Some(removed) = removed {
        ctx.discard(Entry::object(b"", Object::Stream(removed), None));
    }
}

/// For how many ms a command waits, 0 for ever; `None` where it does not.
pub fn block_ms(args: &Args<'_>) -> Option<u64> {
    let of_group = args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"xreadgroup"));
    ReadOptions::parse(args, of_group).ok()?.block_ms
}

/// The group in which a command waits for entries; `None` for XREAD.
pub fn awaited_group<'a>(args: &Args<'a>) -> Option<&'a [u8]> {
    Some(ReadOptions::parse(args, true).ok()?.group?.0)
}

/// The arguments of XREAD with `$` and `+` looked up.
pub fn resolved(ctx: &ReadContext<'_>, args: &Args<'_>) -> Option<Vec<Vec<u8>>> {
    let options = ReadOptions::parse(args, false).ok()?;
    let ids = read::ids_behind(ctx, &options).ok()?;
    let before = &args[..args.len() - ids.len()];
    let texts = ids.iter().map(|id| id.to_string().into_bytes());
    Some(before.iter().map(|arg| arg.to_vec()).chain(texts).collect())
}

/// The ids behind which XREAD reads, once they are looked up.
pub fn read_behind(args: &Args<'_>) -> Option<Vec<StreamId>> {
    let options = ReadOptions::parse(args, false).ok()?;
    options.ids.iter().map(|id| ids::exact(id, 0).ok()).collect()
}

/// The last entry of a key's stream.
pub fn last_entry(ctx: &ReadContext<'_>, key: &[u8]) -> Option<StreamId> {
    ctx.collection::<Stream>(key).ok().flatten().and_then(Stream::last_entry_id)
}
