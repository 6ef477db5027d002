//! Lists. Blocking commands are drawn with a list that is there, or a time that is over soon.

use super::grammar::{Templates, integer, line, value};
use super::{Draw, Family, Line};
use perdura_testkit::Reply;

pub const FAMILY: Family = Family { name: "lists", draw: |draw| line(draw, TEMPLATES, word), is_same };

const TEMPLATES: Templates = &[
    (10, "(LPUSH|RPUSH) {k} <{v}>5"),
    (3, "(LPUSHX|RPUSHX) {k} <{v}>2"),
    (6, "(LPOP|RPOP) {k}"),
    (4, "(LPOP|RPOP) {k} {c}"),
    (3, "LLEN {k}"),
    (8, "LRANGE {k} {i} {i}"),
    (4, "LINDEX {k} {i}"),
    (4, "LSET {k} {i} {v}"),
    (4, "LINSERT {k} (BEFORE|AFTER|after|x) {v} {v}"),
    (4, "LREM {k} {i} {v}"),
    (3, "LTRIM {k} {i} {i}"),
    (4, "LPOS {k} {v}"),
    (5, "LPOS {k} {v} <(RANK {i}|COUNT {c}|MAXLEN {c})>3"),
    (3, "RPOPLPUSH {k} {k}"),
    (4, "LMOVE {k} {k} (LEFT|RIGHT) (LEFT|RIGHT|x)"),
    (4, "LMPOP {n} <{k}>3 (LEFT|RIGHT) (|COUNT {c})"),
    (2, "BLMPOP 0.01 1 full (LEFT|RIGHT) (|COUNT {c})"),
    (2, "(BLPOP|BRPOP) full 0.01"),
    (1, "(BLPOP|BRPOP) wrong full (0.01|-1|x)"),
    (1, "BLMOVE full {k} LEFT RIGHT 0.01"),
    (3, "RPUSH full <{v}>4"),
    (2, "SORT {k} (|ALPHA|DESC|ALPHA DESC|LIMIT {i} {i} ALPHA|BY nosort|BY nosort DESC)"),
    (1, "SORT {k} (|ALPHA) STORE {k}"),
    (2, "DEL {k}"),
    (1, "COPY {k} {k} (|REPLACE)"),
    (1, "RENAME {k} {k}"),
    (1, "TYPE {k}"),
    (1, "SET wrong 1"),
    (1, "(LPUSH|LINDEX|LRANGE|LPOS|LMPOP|LINSERT|LMOVE)"),
];

/// A rank that can't be negated is an error here, as in Redis since.
fn is_same(line: &Line, ours: &Reply, theirs: &Reply) -> bool {
    let has_such_rank = line[0] == b"LPOS" && line.iter().any(|word| word == b"-9223372036854775808");
    ours == theirs || has_such_rank && ours.is_error()
}

fn word(draw: &mut Draw, name: &str) -> String {
    match name {
        "k" if draw.chance(40) => "wrong".to_owned(),
        "k" => format!("l{}", draw.below(4)),
        "v" => value(draw),
        "i" => integer(draw, -12..12),
        "c" => integer(draw, 0..6),
        "n" => integer(draw, 1..4),
        name => panic!("there is no {name}"),
    }
}
