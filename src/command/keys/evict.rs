//! Eviction: the primary proposes this command where the data has reached `maxmemory`, no client may send it.
//!
//! The keys are named, so every node and every replay removes the same ones, whatever its own memory and clock are.

use crate::command::{Args, CommandResult, WriteContext};
use crate::protocol::reply::Reply;

/// Removes the keys; answers how many were there. One that is dead by the entry's stamp counts as expired.
pub(super) fn evict(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let evicted = args[1..].iter().filter(|key| ctx.evict(key)).count();
    reply.integer(evicted as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn named_keys_are_removed_and_counted_and_the_dead_among_them_have_expired() {
        let mut db = TestDb::new();
        db.show("MSET a 1 b 2");
        db.show("SET dead 1 PX 10");
        db.show("RPUSH l 1 2 3");
        assert_eq!(db.at(1_000_010).show("_EVICT a none l dead"), "2");
        assert_eq!(db.show("DBSIZE"), "1");
        assert_eq!((db.effects.evicted, db.effects.expired), (2, 1));
    }
}
