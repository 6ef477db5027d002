//! Giving back the space of what has died: the server proposes this command, no client may send it.

use crate::command::hash::free_dead_fields;
use crate::command::{Args, CommandResult, WriteContext};
use crate::protocol::reply::Reply;

/// Most fields of one hash that one command frees.
const MAX_FIELDS: usize = 1000;

/// Frees those of the keys whose deadline has passed by the entry's stamp, and of the other hashes among them the fields
/// that have died; answers how many of both.
pub(super) fn free_expired(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let mut free =
        |key: &[u8]| if ctx.free_if_dead(key) { 1 } else { free_dead_fields(ctx, key, MAX_FIELDS) };
    let freed: usize = args[1..].iter().map(|key| free(key)).sum();
    reply.integer(freed as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn only_the_dead_are_freed() {
        let mut db = TestDb::new();
        db.show("SET a 1 PX 10");
        db.show("SET b 1 PX 20");
        assert_eq!(db.at(1_000_010).show("DBSIZE"), "2");
        assert_eq!(db.show("_FREEEXPIRED a b none"), "1");
        assert_eq!(db.show("DBSIZE"), "1");
        assert_eq!(db.effects.expired, 1);
    }
}
