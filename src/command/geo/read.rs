//! GEOPOS, GEODIST and GEOHASH: what is known of single members.

use super::globe::Position;
use super::{hash, optional_unit};
use crate::command::{Args, CommandResult, ReadContext};
use crate::keyspace::types::zset::ZSet;
use crate::protocol::reply::{Reply, Resp};

/// Where a member is.
pub(super) fn position_of(set: &ZSet, member: &[u8]) -> Option<Position> {
    set.score(member).map(hash::position)
}

/// <https://redis.io/docs/latest/commands/geopos/>
pub fn geopos(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<ZSet>(args[1])?;
    reply.array(args.len() - 2);
    reply.each(&args[2..], |reply, member| match set.and_then(|set| position_of(set, member)) {
        Some(position) => write_position(position, reply),
        None => reply.null_array(),
    });
    Ok(())
}

/// <https://redis.io/docs/latest/commands/geohash/>
pub fn geohash(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<ZSet>(args[1])?;
    reply.array(args.len() - 2);
    reply.each(&args[2..], |reply, member| match set.and_then(|set| position_of(set, member)) {
        Some(position) => reply.bulk(&hash::text(position)),
        None => reply.null(),
    });
    Ok(())
}

/// <https://redis.io/docs/latest/commands/geodist/>
pub fn geodist(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let unit = optional_unit(&args[4..])?;
    let set = ctx.collection::<ZSet>(args[1])?;
    let of = |member| set.and_then(|set| position_of(set, member));
    match of(args[2]).zip(of(args[3])) {
        Some((from, to)) => write_distance(from.distance(to) / unit, reply),
        None => reply.null(),
    }
    Ok(())
}

/// Writes a distance with four digits after the point.
pub(super) fn write_distance(distance: f64, reply: &mut Reply<'_>) {
    let scaled = (distance * 10_000.0).round_ties_even() as i64;
    reply.bulk(format!("{}.{:04}", scaled / 10_000, scaled % 10_000).as_bytes());
}

/// Writes longitude and latitude with up to 17 digits after the point.
pub(super) fn write_position(position: Position, reply: &mut Reply<'_>) {
    reply.array(2);
    for coordinate in [position.longitude, position.latitude] {
        let text = format!("{coordinate:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        match reply.resp() {
            Resp::V2 => reply.bulk(text.as_bytes()),
            Resp::V3 => reply.double_text(text),
        }
    }
}
