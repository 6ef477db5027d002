//! LPUSH RPUSH LPUSHX RPUSHX.

use super::End;
use crate::command::{Args, CommandResult, WriteContext};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::list::List;
use crate::protocol::reply::Reply;

pub fn lpush(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    push(ctx, args, reply, End::Left)
}

pub fn rpush(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    push(ctx, args, reply, End::Right)
}

pub fn lpushx(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    push_if_exists(ctx, args, reply, End::Left)
}

pub fn rpushx(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    push_if_exists(ctx, args, reply, End::Right)
}

fn push_if_exists(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    end: End,
) -> CommandResult {
    if ctx.exists(args[1]) {
        return push(ctx, args, reply, end);
    }
    reply.integer(0);
    Ok(())
}

fn push(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>, end: End) -> CommandResult {
    let limits = ctx.limits;
    let list = ctx.collection_or_new::<List>(args[1])?;
    for element in &args[2..] {
        push_one(list, element, end, limits);
    }
    reply.integer(list.len() as i64);
    ctx.touch(args[1]);
    Ok(())
}

pub(super) fn push_one(list: &mut List, element: &[u8], end: End, limits: &TypeLimits) {
    match end {
        End::Left => list.push_front(element, limits),
        End::Right => list.push_back(element, limits),
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn elements_line_up_from_either_end() {
        let mut db = TestDb::new();
        assert_eq!(db.run("LPUSH l b a"), ":2\r\n");
        assert_eq!(db.run("RPUSH l c d"), ":4\r\n");
        assert_eq!(db.show("LRANGE l 0 -1"), "[a b c d]");
        assert_eq!(db.take_touched(), ["l"]);
    }

    #[test]
    fn the_x_forms_push_only_to_what_exists() {
        let mut db = TestDb::new();
        assert_eq!(db.run("LPUSHX l a"), ":0\r\n");
        assert_eq!(db.run("RPUSHX l a"), ":0\r\n");
        assert_eq!(db.show("LRANGE l 0 -1"), "[]");
        assert!(db.take_touched().is_empty());
        db.run("RPUSH l b");
        assert_eq!(db.run("LPUSHX l a"), ":2\r\n");
        assert_eq!(db.run("RPUSHX l c d"), ":4\r\n");
        assert_eq!(db.show("LRANGE l 0 -1"), "[a b c d]");
    }

    #[test]
    fn a_key_of_another_type_is_refused_and_kept() {
        let mut db = TestDb::new();
        db.run("SADD s m");
        for line in ["LPUSH s a", "RPUSHX s a", "LLEN s", "LPOP s", "LRANGE s 0 1", "LREM s 0 a", "BLPOP s 0"]
        {
            let reply = db.run(line);
            assert_eq!(
                reply, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
                "{line}"
            );
        }
        assert_eq!(db.show("SMEMBERS s"), "[m]");
    }

    #[test]
    fn a_list_outgrows_its_packed_form_without_losing_order() {
        let mut db = TestDb::new();
        let element = "x".repeat(1000);
        for number in 0..40 {
            db.run(&format!("RPUSH l {number}:{element}"));
        }
        assert_eq!(db.run("LLEN l"), ":40\r\n");
        assert_eq!(db.show("LINDEX l 33"), format!("33:{element}"));
        assert_eq!(db.show("LINDEX l -1"), format!("39:{element}"));
    }
}
