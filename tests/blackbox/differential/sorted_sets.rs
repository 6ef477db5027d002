//! Sorted sets. What picks at random is drawn where it has to take all; ranges of words are asked of sets whose scores are equal.

use super::grammar::{Templates, float, integer, line};
use super::{Draw, Family, Line, is_same_page, sorted, sorted_pairs};
use perdura_testkit::Reply;

pub const FAMILY: Family = Family { name: "sorted sets", draw: |draw| line(draw, TEMPLATES, word), is_same };

const TEMPLATES: Templates = &[
    (12, "ZADD {k} <{f} {m}>5"),
    (5, "ZADD {k} (NX|XX|GT|LT|CH|XX GT CH|XX LT|NX CH) <{f} {m}>3"),
    (2, "ZADD {k} (INCR|XX INCR|NX INCR|GT INCR) {f} {m}"),
    (1, "ZADD {k} (NX XX|GT LT|NX GT|INCR 1 a 2|FOO) {f} {m}"),
    (5, "ZADD {q} <0 {m}>4"),
    (4, "ZINCRBY {k} {f} {m}"),
    (4, "ZREM {k} <{m}>3"),
    (3, "ZCARD {k}"),
    (4, "ZSCORE {k} {m}"),
    (3, "ZMSCORE {k} <{m}>3"),
    (5, "(ZRANK|ZREVRANK) {k} {m}"),
    (4, "ZCOUNT {k} {b} {b}"),
    (4, "ZLEXCOUNT {q} {x} {x}"),
    (6, "(ZRANGE|ZREVRANGE) {k} {i} {i} (|WITHSCORES)"),
    (4, "ZRANGE {k} {b} {b} BYSCORE (|REV) (|LIMIT {i} {i}) (|WITHSCORES)"),
    (3, "ZRANGE {q} {x} {x} BYLEX (|REV) (|LIMIT {i} {i})"),
    (1, "ZRANGE {q} {x} {x} (BYLEX WITHSCORES|LIMIT 1 2|BYLEX BYSCORE|FOO|REV REV)"),
    (4, "(ZRANGEBYSCORE|ZREVRANGEBYSCORE) {k} {b} {b} (|WITHSCORES) (|LIMIT {i} {i})"),
    (4, "(ZRANGEBYLEX|ZREVRANGEBYLEX) {q} {x} {x} (|LIMIT {i} {i})"),
    (3, "ZRANGESTORE {k} {k} {i} {i} (|REV)"),
    (2, "ZRANGESTORE {k} {k} {b} {b} BYSCORE (|REV) (|LIMIT {i} {i})"),
    (2, "ZREMRANGEBYRANK {k} {i} {i}"),
    (2, "ZREMRANGEBYSCORE {k} {b} {b}"),
    (2, "ZREMRANGEBYLEX {q} {x} {x}"),
    (4, "(ZPOPMIN|ZPOPMAX) {k} (|{c})"),
    (3, "ZMPOP {n} <{k}>3 (MIN|MAX) (|COUNT {c})"),
    (1, "BZMPOP 0.01 1 full (MIN|MAX) (|COUNT {c})"),
    (1, "(BZPOPMIN|BZPOPMAX) full 0.01"),
    (2, "ZADD full <{f} {m}>3"),
    (4, "(ZUNION|ZINTER) {n} <{k}>3 (|AGGREGATE (SUM|MIN|MAX)) (|WITHSCORES)"),
    (2, "(ZUNION|ZINTER) 2 {k} {k} WEIGHTS {f} {f} (|AGGREGATE (SUM|MIN|MAX)) WITHSCORES"),
    (4, "(ZUNIONSTORE|ZINTERSTORE) {k} {n} <{k}>3 (|AGGREGATE (SUM|MIN|MAX))"),
    (2, "(ZUNIONSTORE|ZINTERSTORE) {k} 2 {k} plain WEIGHTS {f} {f}"),
    (2, "SADD plain <{m}>3"),
    (3, "ZDIFF {n} <{k}>3 (|WITHSCORES)"),
    (2, "ZDIFFSTORE {k} {n} <{k}>3"),
    (3, "ZINTERCARD {n} <{k}>3 (|LIMIT {c}|FOO)"),
    (2, "ZRANDMEMBER {k} (1000|0|1000 WITHSCORES|x)"),
    (2, "ZSCAN {k} 0 COUNT 1000 (|MATCH m1*)"),
    (2, "OBJECT ENCODING {k}"),
    (2, "DEL {k}"),
    (1, "COPY {k} {k} (|REPLACE)"),
    (1, "SET wrong 1"),
    (1, "(ZADD|ZRANGE|ZUNION|ZINTERSTORE|ZRANGEBYSCORE|ZMPOP|ZINCRBY)"),
];

fn is_same(line: &Line, ours: &Reply, theirs: &Reply) -> bool {
    let (ours, theirs) = (canonical(ours), canonical(theirs));
    match &line[0][..] {
        b"ZRANDMEMBER" if line.len() > 3 => sorted_pairs(&ours) == sorted_pairs(&theirs),
        b"ZRANDMEMBER" => sorted(&ours) == sorted(&theirs),
        b"ZSCAN" => is_same_page(&ours, &theirs, sorted_pairs),
        _ => ours == theirs,
    }
}

/// The reply with its numbers in one form: Redis 7.0 shows 17 digits, and -0.
fn canonical(reply: &Reply) -> Reply {
    match reply {
        Reply::Array(items) => Reply::Array(items.iter().map(canonical).collect()),
        Reply::Bulk(_) => match reply.text().parse::<f64>() {
            Ok(number) => Reply::bulk((number + 0.0).to_string()),
            Err(_) => reply.clone(),
        },
        other => other.clone(),
    }
}

fn word(draw: &mut Draw, name: &str) -> String {
    match name {
        "k" if draw.chance(40) => "wrong".to_owned(),
        "k" => format!("z{}", draw.below(5)),
        "q" => format!("q{}", draw.below(2)),
        "m" if draw.chance(50) => "m".repeat(1 + draw.below(80) as usize),
        "m" => format!("m{}", draw.below(14)),
        "f" if draw.chance(200) => "1e400".to_owned(),
        "f" => float(draw),
        "b" => match draw.below(10) {
            0 => draw.one_of(&["-inf", "+inf", "(-inf", "(inf", "x", "(", "\\0"]).to_owned(),
            1..4 => format!("({}", float(draw)),
            _ => float(draw),
        },
        "x" => match draw.below(10) {
            0 => draw.one_of(&["-", "+", "m1", "(", "[", "\\0", "(-"]).to_owned(),
            1 | 2 => draw.one_of(&["-", "+"]).to_owned(),
            _ => format!("{}m{}", draw.one_of(&["(", "["]), draw.below(14)),
        },
        "i" => integer(draw, -12..12),
        "c" => integer(draw, 0..6),
        "n" => integer(draw, 1..4),
        name => panic!("there is no {name}"),
    }
}
