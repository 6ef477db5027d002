//! A line of CLIENT LIST: `name=value` fields as Redis orders them.
//!
//! Fields about what this server does not have hold what means "none": there are no file descriptors to be told of (-1), and buffers that are not kept per client count as empty.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use crate::admin::client::{Client, ClientDetails, ClientInfo};

/// Brings what is shown of the asking connection up to date.
pub(super) fn refresh(client: &Client, command: &'static str) {
    let mut details = client.info.details.lock();
    client.write_details(&mut details);
    details.last_command = command;
}

/// The asking connection's line, without its end.
pub fn line_of(client: &Client, now_ms: u64) -> String {
    client.write_details(&mut client.info.details.lock());
    let mut line = String::new();
    write_line(&mut line, &client.info, now_ms);
    line.truncate(line.trim_end().len());
    line
}

/// Appends a connection's line. `now_ms` is monotonic.
pub(super) fn write_line(text: &mut String, info: &ClientInfo, now_ms: u64) {
    let details = info.details.lock();
    let unsent_bytes = info.unsent_bytes.load(Ordering::Relaxed);
    let seconds_since = |ms: u64| now_ms.saturating_sub(ms) / 1000;
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} watch={} \
         qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={} oll=0 omem={} tot-mem={} events=r cmd={} \
         user={} redir={} resp={} lib-name={} lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
        info.id,
        info.addr,
        info.local_addr,
        name(&details.name),
        seconds_since(info.connected_at_ms),
        seconds_since(info.last_active_ms.load(Ordering::Relaxed)),
        flags(&details, info.redirection_is_broken.load(Ordering::Relaxed)),
        details.db,
        details.channels,
        details.patterns,
        details.shard_channels,
        details.multi.map_or(-1, |queued| queued as i64),
        u8::from(details.watching),
        details.query_buffer_bytes,
        unsent_bytes,
        unsent_bytes,
        details.query_buffer_bytes as u64 + unsent_bytes,
        if details.last_command.is_empty() { "NULL" } else { details.last_command },
        name(&details.user),
        details.tracking.map_or(-1, |shown| i64::try_from(shown.redirect).unwrap_or(i64::MAX)),
        if details.resp3 { 3 } else { 2 },
        name(&details.lib_name),
        name(&details.lib_ver),
        info.taken_bytes.load(Ordering::Relaxed),
        info.sent_bytes.load(Ordering::Relaxed),
        details.commands,
    );
}

/// Redis' letters: O a monitor, P subscribed, x in a transaction, b blocked, t tracking, R its
/// redirection is broken, B it broadcasts, e not to be evicted, T touches nothing; N for none of them.
fn flags(details: &ClientDetails, redirection_is_broken: bool) -> String {
    let subscribed = details.channels + details.patterns + details.shard_channels > 0;
    let letters = [
        ('O', details.monitors),
        ('P', subscribed),
        ('x', details.multi.is_some()),
        ('b', details.is_blocked()),
        ('t', details.tracking.is_some()),
        ('R', redirection_is_broken),
        ('B', details.tracking.is_some_and(|shown| shown.broadcasts)),
        ('e', details.no_evict),
        ('T', details.no_touch),
    ];
    let flags: String = letters.iter().filter(|(_, set)| *set).map(|(letter, _)| *letter).collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}
