//! Sets. What picks at random is drawn where it has to take all; members come in any order. Redis 7.0 does not pack sets.

use super::grammar::{Templates, integer, line, value};
use super::{Draw, Family, Line, is_same_page, sorted};
use perdura_testkit::Reply;

pub const FAMILY: Family = Family { name: "sets", draw: |draw| line(draw, TEMPLATES, word), is_same };

const TEMPLATES: Templates = &[
    (12, "SADD {k} <{v}>6"),
    (5, "SREM {k} <{v}>3"),
    (4, "SISMEMBER {k} {v}"),
    (3, "SMISMEMBER {k} <{v}>3"),
    (4, "SMEMBERS {k}"),
    (3, "SCARD {k}"),
    (3, "SMOVE {k} {k} {v}"),
    (3, "(SINTER|SUNION|SDIFF) <{k}>4"),
    (4, "(SINTERSTORE|SUNIONSTORE|SDIFFSTORE) {k} <{k}>3"),
    (4, "SINTERCARD {n} <{k}>3 (|LIMIT {c}|LIMIT|FOO)"),
    (2, "SPOP {k} (1000|0|-1|x)"),
    (2, "SRANDMEMBER {k} (1000|0|x)"),
    (2, "SSCAN {k} 0 COUNT 1000 (|MATCH v1*|MATCH *[0-5])"),
    (2, "SORT {k} (ALPHA|ALPHA DESC)"),
    (1, "SORT {k} ALPHA LIMIT {c} {c}"),
    (2, "DEL {k}"),
    (1, "COPY {k} {k} (|REPLACE)"),
    (1, "SET wrong 1"),
    (1, "(SADD|SREM|SMOVE|SINTERCARD|SINTERSTORE|SSCAN)"),
];

fn is_same(line: &Line, ours: &Reply, theirs: &Reply) -> bool {
    match &line[0][..] {
        b"SMEMBERS" | b"SINTER" | b"SUNION" | b"SDIFF" | b"SPOP" | b"SRANDMEMBER" => {
            sorted(ours) == sorted(theirs)
        }
        b"SSCAN" => is_same_page(ours, theirs, sorted),
        _ => ours == theirs,
    }
}

fn word(draw: &mut Draw, name: &str) -> String {
    match name {
        "k" if draw.chance(40) => "wrong".to_owned(),
        "k" => format!("s{}", draw.below(5)),
        "v" if draw.chance(3) => integer(draw, -20..40),
        "v" => value(draw),
        "c" => integer(draw, 0..6),
        "n" => integer(draw, 1..4),
        name => panic!("there is no {name}"),
    }
}
