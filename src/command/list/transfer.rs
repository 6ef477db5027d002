//! LMOVE RPOPLPUSH and the blocking BLMOVE BRPOPLPUSH.

use super::push::push_one;
use super::{End, MOVING, POPPING};
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::keyspace::types::list::List;
use crate::protocol::reply::Reply;

/// LMOVE source destination LEFT|RIGHT LEFT|RIGHT
pub fn lmove(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (from, to) = (End::parse(args[3])?, End::parse(args[4])?);
    transfer_or_null(ctx, args, (from, to), reply)
}

/// RPOPLPUSH source destination
pub fn rpoplpush(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    transfer_or_null(ctx, args, (End::Right, End::Left), reply)
}

/// BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout
pub fn blmove(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (from, to) = (End::parse(args[3])?, End::parse(args[4])?);
    MOVING.timeout_ms(args)?;
    transfer(ctx, args, (from, to), reply).map(drop)
}

/// Says what is wrong with the arguments of BLMOVE but its timeout.
pub fn check_blmove(args: &Args<'_>) -> CommandResult {
    End::parse(args[3]).and(End::parse(args[4])).map(drop)
}

/// BRPOPLPUSH source destination timeout
pub fn brpoplpush(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    POPPING.timeout_ms(args)?;
    transfer(ctx, args, (End::Right, End::Left), reply).map(drop)
}

fn transfer_or_null(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    ends: (End, End),
    reply: &mut Reply<'_>,
) -> CommandResult {
    if !transfer(ctx, args, ends, reply)? {
        reply.null();
    }
    Ok(())
}

/// Moves one element between the keys at arguments 1 and 2 and answers with it; false where the source is missing.
/// Within one list this is a rotation: the list never becomes empty and keeps its deadline.
fn transfer(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    (from, to): (End, End),
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    let (source, destination) = (args[1], args[2]);
    if ctx.collection::<List>(source)?.is_none() {
        return Ok(false);
    }
    ctx.collection::<List>(destination)?;
    let limits = ctx.limits;
    let Some(list) = ctx.collection_mut::<List>(source)? else { return Ok(false) };
    let popped = match from {
        End::Left => list.pop_front(limits),
        End::Right => list.pop_back(limits),
    };
    let element = popped.expect("a key's list has elements");
    reply.bulk(&element);
    let emptied = list.is_empty();
    if source == destination {
        push_one(list, &element, to, limits);
        ctx.call_changes(to.pushed());
        ctx.touch(source);
        ctx.call_changes(from.popped());
        ctx.tell_change(source);
        return Ok(true);
    }
    // As in Redis, the destination's event comes first.
    ctx.call_changes(to.pushed());
    ctx.tell_change(destination);
    ctx.call_changes(from.popped());
    ctx.taken_from(source, emptied);
    ctx.call_changes(to.pushed());
    push_one(ctx.collection_or_new::<List>(destination)?, &element, to, limits);
    ctx.touch_with_another(destination);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    /// As in Redis; WATCH and clients that wait are told of both keys.
    #[test]
    fn a_move_is_one_change_of_two_keys() {
        let mut db = TestDb::new();
        db.run("RPUSH {t}s a b c");
        for (line, touched) in [
            ("LMOVE {t}s {t}d LEFT LEFT", &["{t}s", "{t}d"][..]),
            ("LMOVE {t}s {t}s LEFT LEFT", &["{t}s"]),
            ("RPOPLPUSH {t}s {t}d", &["{t}s", "{t}d"]),
        ] {
            db.take_touched();
            db.effects.changes = 0;
            db.run(line);
            assert_eq!(
                (db.effects.changes, &db.take_touched()[..]),
                (1, &touched.iter().map(|key| key.to_string()).collect::<Vec<_>>()[..]),
                "{line}"
            );
        }
    }

    #[test]
    fn an_element_moves_between_any_two_ends() {
        let cases = [
            ("LEFT LEFT", "a", "[b c]", "[a x y]"),
            ("LEFT RIGHT", "a", "[b c]", "[x y a]"),
            ("RIGHT LEFT", "c", "[a b]", "[c x y]"),
            ("RIGHT RIGHT", "c", "[a b]", "[x y c]"),
        ];
        for (ends, moved, source, destination) in cases {
            let mut db = TestDb::new();
            db.run("RPUSH {t}s a b c");
            db.run("RPUSH {t}d x y");
            assert_eq!(db.show(&format!("LMOVE {{t}}s {{t}}d {ends}")), moved);
            assert_eq!(db.show("LRANGE {t}s 0 -1"), source);
            assert_eq!(db.show("LRANGE {t}d 0 -1"), destination);
        }
    }

    #[test]
    fn one_list_rotates_and_keeps_its_key() {
        let mut db = TestDb::new();
        db.run("RPUSH l a b c");
        assert_eq!(db.show("RPOPLPUSH l l"), "c");
        assert_eq!(db.show("LRANGE l 0 -1"), "[c a b]");
        assert_eq!(db.show("LMOVE l l LEFT RIGHT"), "c");
        assert_eq!(db.show("LMOVE l l LEFT LEFT"), "a");
        assert_eq!(db.show("LRANGE l 0 -1"), "[a b c]");
        db.run("RPUSH single a");
        assert_eq!(db.show("BLMOVE single single RIGHT LEFT 0"), "a");
        assert_eq!(db.show("LRANGE single 0 -1"), "[a]");
    }

    #[test]
    fn the_last_element_takes_the_source_key_along() {
        let mut db = TestDb::new();
        db.run("RPUSH {t}s a");
        db.take_touched();
        assert_eq!(db.show("RPOPLPUSH {t}s {t}d"), "a");
        assert_eq!(db.take_touched(), ["{t}s", "{t}d"]);
        assert_eq!(db.show("LLEN {t}s"), "0");
        assert_eq!(db.show("RPOPLPUSH {t}s {t}d"), "nil");
    }

    #[test]
    fn a_destination_of_another_type_leaves_the_source_alone() {
        let mut db = TestDb::new();
        db.run("SADD {t}d m");
        assert_eq!(db.show("LMOVE {t}s {t}d LEFT LEFT"), "nil");
        db.run("RPUSH {t}s a b");
        assert!(db.run("LMOVE {t}s {t}d LEFT LEFT").starts_with("-WRONGTYPE"));
        assert!(db.run("BRPOPLPUSH {t}s {t}d 0").starts_with("-WRONGTYPE"));
        assert_eq!(db.show("LRANGE {t}s 0 -1"), "[a b]");
    }

    #[test]
    fn the_blocking_forms_wait_for_the_source() {
        let mut db = TestDb::new();
        assert_eq!(db.show("BLMOVE {t}s {t}d LEFT RIGHT 0"), "");
        assert_eq!(db.show("BRPOPLPUSH {t}s {t}d 1"), "");
        assert_eq!(db.run("BLMOVE {t}s {t}d LEFT RIGHT -1"), "-ERR timeout is negative\r\n");
        assert_eq!(db.run("BLMOVE {t}s {t}d UP RIGHT 0"), "-ERR syntax error\r\n");
        db.run("RPUSH {t}s a b");
        assert_eq!(db.show("BLMOVE {t}s {t}d LEFT RIGHT 0"), "a");
        assert_eq!(db.show("BRPOPLPUSH {t}s {t}d 0"), "b");
        assert_eq!(db.show("LRANGE {t}d 0 -1"), "[b a]");
    }
}
