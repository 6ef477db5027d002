//! GEOSEARCH, GEOSEARCHSTORE, GEORADIUS and its kind.
//!
//! - Members come in Redis's order: cell by cell, and by score and name within one; sorted by distance where that is asked for,
//!   equal distances in the order in which they were found.
//! - With COUNT no more than twice as many are held at a time.

use std::ops::Bound;

use super::area::covering;
use super::globe::{Position, Shape};
use super::hash;
use super::options::{Form, Order, Query, With};
use super::read::{write_distance, write_position};
use crate::command::cost::{Cost, CostContext, Size, of_bytes};
use crate::command::{Args, CommandResult, ReadContext, WriteContext};
use crate::keyspace::types::zset::{ScoredMember, ZSet, ZSetLimits};
use crate::keyspace::value::Collection;
use crate::protocol::reply::Reply;

/// To decode a position and to compute its distance takes as long as to touch so many elements.
const POINT_STEPS: u64 = 8;
/// Bytes that a found member takes until it is answered or stored.
const POINT_BYTES: u64 = size_of::<Point<'static>>() as u64;
/// The shortest member takes so many bytes of a reply.
const LEAST_REPLY_BYTES: usize = 6;
/// So many beyond twice the count are held before the farthest are dropped.
const SPARE: usize = 64;

/// A member within the shape.
#[derive(Clone, Copy, Debug)]
struct Point<'s> {
    entry: ScoredMember<'s>,
    position: Position,
    /// In meters.
    distance: f64,
}

/// <https://redis.io/docs/latest/commands/geosearch/>
pub fn geosearch(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Form::Search, reply)
}

/// <https://redis.io/docs/latest/commands/geosearchstore/>
pub fn geosearchstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer_or_store(ctx, args, Form::SearchStore, reply)
}

/// <https://redis.io/docs/latest/commands/georadius/>
pub fn georadius(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer_or_store(ctx, args, Form::Radius, reply)
}

/// GEORADIUS without STORE.
pub fn georadius_reading(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Form::Radius, reply)
}

/// <https://redis.io/docs/latest/commands/georadius_ro/>
pub fn georadius_ro(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Form::RadiusRo, reply)
}

/// <https://redis.io/docs/latest/commands/georadiusbymember/>
pub fn georadiusbymember(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    answer_or_store(ctx, args, Form::RadiusByMember, reply)
}

/// GEORADIUSBYMEMBER without STORE.
pub fn georadiusbymember_reading(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    answer(ctx, args, Form::RadiusByMember, reply)
}

/// <https://redis.io/docs/latest/commands/georadiusbymember_ro/>
pub fn georadiusbymember_ro(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Form::RadiusByMemberRo, reply)
}

fn answer(ctx: &ReadContext<'_>, args: &Args<'_>, form: Form, reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<ZSet>(args[form.source_at()])?;
    let query = Query::parse(args, form, set)?;
    let points = set.map_or_else(Vec::new, |set| found(set, &query, reply.room() / LEAST_REPLY_BYTES));
    reply.array(points.len());
    reply.each(points, |reply, point| write_point(&point, &query, reply));
    Ok(())
}

fn answer_or_store(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    form: Form,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let set = ctx.collection::<ZSet>(args[form.source_at()])?;
    let query = Query::parse(args, form, set)?;
    let Some(destination) = query.store else { return answer(&ctx.reader(), args, form, reply) };
    let points = set.map_or_else(Vec::new, |set| found(set, &query, usize::MAX));
    let limits = ZSetLimits::from(ctx.limits);
    let mut result = ZSet::new();
    for Point { entry, distance, .. } in &points {
        let score = if query.stores_distances { distance / query.unit } else { entry.score };
        result.insert(entry.member, score, &limits);
    }
    reply.integer(points.len() as i64);
    ctx.insert(destination, result.wrap(), None);
    Ok(())
}

fn write_point(point: &Point<'_>, query: &Query<'_>, reply: &mut Reply<'_>) {
    let With { distance, hash, position } = query.with;
    let options = [distance, hash, position].into_iter().filter(|is_there| *is_there).count();
    if options > 0 {
        reply.array(1 + options);
    }
    reply.bulk(point.entry.member);
    if distance {
        write_distance(point.distance / query.unit, reply);
    }
    if hash {
        reply.integer(point.entry.score as i64);
    }
    if position {
        write_position(point.position, reply);
    }
}

/// The members that a query is about, in its order. Of more than `most` some are left out: their answer has no room.
fn found<'s>(set: &'s ZSet, query: &Query<'_>, most: usize) -> Vec<Point<'s>> {
    let Some(shape) = query.shape else { return Vec::new() };
    let count = query.count.unwrap_or(usize::MAX);
    let mut points = Vec::new();
    for entry in covering(shape).into_iter().flat_map(|cell| entries(set, cell)) {
        let position = hash::position(entry.score);
        let Some(distance) = shape.distance(position) else { continue };
        points.push(Point { entry, position, distance });
        if query.any && points.len() >= count {
            break;
        }
        if query.count.is_none() && points.len() > most {
            break;
        }
        if !query.any && points.len() >= count.saturating_mul(2).saturating_add(SPARE) {
            sort(&mut points, query.order);
            points.truncate(count);
        }
    }
    sort(&mut points, query.order);
    points.truncate(count);
    points
}

fn entries(set: &ZSet, cell: hash::Cell) -> impl Iterator<Item = ScoredMember<'_>> {
    let (first, end) = cell.scores();
    set.range_by_score(Bound::Included(first), Bound::Excluded(end))
}

fn sort(points: &mut [Point<'_>], order: Option<Order>) {
    match order {
        None => {}
        Some(Order::Ascending) => points.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
        Some(Order::Descending) => points.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
    }
}

/// The members in the cells that cover the shape; what is stored of them.
pub fn cost_of<const FORM: u8>(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let form = Form::of(FORM);
    let cost = Cost::of_args(args);
    let Some(key) = args.get(form.source_at()) else { return cost };
    let all = context.size(key);
    let set = context.reader.collection::<ZSet>(key).ok().flatten();
    let query = Query::parse(args, form, set).ok();
    let is_exact = context.is_exact_for(key);
    let shape = query.as_ref().and_then(|query| query.shape);
    let walked = match (shape, set) {
        (Some(shape), Some(set)) if is_exact => in_cells(set, shape),
        // It will find no key, or be refused.
        _ if is_exact => 0,
        _ => all.elements,
    };
    let taken = query.as_ref().and_then(|query| query.count).map_or(walked, |count| walked.min(count as u64));
    let held = taken.saturating_mul(2).saturating_add(SPARE as u64).min(walked);
    let cost = cost.walking(walked.saturating_mul(POINT_STEPS));
    let cost = Cost { transient: cost.transient.max(held.saturating_mul(POINT_BYTES)), ..cost };
    let stores =
        form == Form::SearchStore || (form.may_name_store() && !super::options::stores_nothing(args));
    if !stores {
        return cost;
    }
    // Any of the members may be among those that are taken, the longest, too.
    let bytes = if walked == 0 { 0 } else { all.bytes };
    cost.walking(taken.saturating_add(of_bytes(bytes))).storing(Size { elements: taken, bytes })
}

fn in_cells(set: &ZSet, shape: Shape) -> u64 {
    let in_cell = |cell: hash::Cell| {
        let (first, end) = cell.scores();
        set.count_by_score(Bound::Included(first), Bound::Excluded(end)) as u64
    };
    covering(shape).into_iter().map(in_cell).sum()
}
