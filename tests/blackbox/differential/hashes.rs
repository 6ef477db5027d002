//! Hashes, with the commands of Redis 7.0: deadlines of fields are not among them. Fields come in any order.

use super::grammar::{Templates, float, integer, line, value};
use super::{Draw, Family, Line, is_same_page, sorted, sorted_pairs};
use perdura_testkit::Reply;

pub const FAMILY: Family = Family { name: "hashes", draw: |draw| line(draw, TEMPLATES, word), is_same };

const TEMPLATES: Templates = &[
    (12, "HSET {k} <{f} {v}>4"),
    (2, "HMSET {k} <{f} {v}>3"),
    (1, "(HSET|HMSET) {k} {f} {v} {f}"),
    (4, "HSETNX {k} {f} {v}"),
    (6, "HGET {k} {f}"),
    (4, "HMGET {k} <{f}>4"),
    (4, "HGETALL {k}"),
    (4, "(HKEYS|HVALS) {k}"),
    (3, "HLEN {k}"),
    (3, "HEXISTS {k} {f}"),
    (3, "HSTRLEN {k} {f}"),
    (5, "HDEL {k} <{f}>3"),
    (5, "HINCRBY {k} {f} {i}"),
    (5, "HINCRBYFLOAT {k} {f} {d}"),
    (2, "HRANDFIELD {k} (1000|0|1000 WITHVALUES|x|1 FOO)"),
    (2, "HSCAN {k} 0 COUNT 1000 (|MATCH f1*|MATCH *[0-5])"),
    (2, "DEL {k}"),
    (1, "COPY {k} {k} (|REPLACE)"),
    (1, "SET wrong 1"),
    (1, "(HSET|HGET|HMGET|HINCRBY|HRANDFIELD|HSCAN|HSETNX)"),
];

fn is_same(line: &Line, ours: &Reply, theirs: &Reply) -> bool {
    match &line[0][..] {
        b"HGETALL" => sorted_pairs(ours) == sorted_pairs(theirs),
        b"HRANDFIELD" if line.len() > 3 => sorted_pairs(ours) == sorted_pairs(theirs),
        b"HKEYS" | b"HVALS" | b"HRANDFIELD" => sorted(ours) == sorted(theirs),
        b"HSCAN" => is_same_page(ours, theirs, sorted_pairs),
        _ => ours == theirs,
    }
}

fn word(draw: &mut Draw, name: &str) -> String {
    match name {
        "k" if draw.chance(40) => "wrong".to_owned(),
        "k" => format!("h{}", draw.below(4)),
        "f" if draw.chance(30) => value(draw),
        "f" => format!("f{}", draw.below(12)),
        "v" if draw.chance(4) => float(draw),
        "v" => value(draw),
        "i" => integer(draw, -12..20),
        "d" => float(draw),
        name => panic!("there is no {name}"),
    }
}
