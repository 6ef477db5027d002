//! GEOADD.

use super::{hash, position};
use crate::command::args::is;
use crate::command::zset::{Changes, add_scores};
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::protocol::reply::Reply;

/// `GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member …]`
///
/// <https://redis.io/docs/latest/commands/geoadd/>
pub fn geoadd(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let mut changes = Changes::default();
    let mut rest = &args[2..];
    while let [word, after @ ..] = rest {
        match word {
            _ if is(word, "NX") => changes.only_new = true,
            _ if is(word, "XX") => changes.only_known = true,
            _ if is(word, "CH") => changes.counts_updates = true,
            _ => break,
        }
        rest = after;
    }
    let (places, odd) = rest.as_chunks::<3>();
    if places.is_empty() || !odd.is_empty() || (changes.only_new && changes.only_known) {
        return Err(CommandError::Syntax);
    }
    let scored = places
        .iter()
        .map(|[longitude, latitude, member]| Ok((hash::score(position(longitude, latitude)?), *member)));
    let pairs: Result<Vec<(f64, &[u8])>, CommandError> = scored.collect();
    reply.integer(add_scores(ctx, args[1], changes, &pairs?)?);
    Ok(())
}
