//! Strings. Options and commands that Redis 7.0 does not have are not drawn, nor are times that pass meanwhile.

use super::grammar::{Templates, float, integer, line, value};
use super::{Draw, Family, Line};
use perdura_testkit::Reply;

pub const FAMILY: Family = Family { name: "strings", draw: |draw| line(draw, TEMPLATES, word), is_same };

const TEMPLATES: Templates = &[
    (12, "SET {k} {v}"),
    (4, "SET {k} {v} (NX|XX|GET|NX GET|XX GET|KEEPTTL|EX 1000|PX 100000|EXAT 5000000000|PXAT 5000000000000)"),
    (1, "SET {k} {v} (EX {t}|PX {t}|NX XX|EX 10 PX 10|KEEPTTL EX 10|FOO|EX|GET GET)"),
    (4, "SETNX {k} {v}"),
    (2, "SETEX {k} {t} {v}"),
    (2, "PSETEX {k} (100000|{t}) {v}"),
    (8, "GET {k}"),
    (3, "GETSET {k} {v}"),
    (3, "GETDEL {k}"),
    (3, "GETEX {k} (PERSIST|EX 1000|EXAT 5000000000||EX {t}|PERSIST EX 3)"),
    (4, "APPEND {k} {v}"),
    (4, "STRLEN {k}"),
    (5, "GETRANGE {k} {i} {i}"),
    (2, "SUBSTR {k} {i} {i}"),
    (4, "SETRANGE {k} {o} {v}"),
    (6, "(INCR|DECR) {k}"),
    (6, "(INCRBY|DECRBY) {k} {i}"),
    (4, "INCRBYFLOAT {k} {f}"),
    (3, "MGET <{k}>4"),
    (3, "MSET <{k} {v}>3"),
    (3, "MSETNX <{k} {v}>3"),
    (1, "MSET {k} {v} {k}"),
    (3, "LCS {k} {k} (|LEN|IDX|IDX WITHMATCHLEN|IDX MINMATCHLEN {i}|LEN IDX|FOO)"),
    (2, "OBJECT ENCODING {k}"),
    (2, "EXPIRETIME {k}"),
    (2, "PERSIST {k}"),
    (2, "DEL <{k}>2"),
    (2, "EXISTS <{k}>3"),
    (1, "TYPE {k}"),
    (1, "RPUSH wrong 1"),
    (1, "(STRLEN|GET|INCR|GETRANGE|SETRANGE|APPEND|LCS|MSETNX|SETEX|GETEX)"),
];

/// A whole number that INCRBYFLOAT made is an `int` here, and lists are packed.
fn is_same(line: &Line, ours: &Reply, theirs: &Reply) -> bool {
    let encodings = (line[0] == b"OBJECT").then(|| (ours.to_string(), theirs.to_string()));
    let is_named = encodings.is_some_and(|(ours, theirs)| {
        matches!((&ours[..], &theirs[..]), ("int", "embstr") | ("listpack", "quicklist"))
    });
    ours == theirs || is_named
}

fn word(draw: &mut Draw, name: &str) -> String {
    match name {
        "k" if draw.chance(40) => "wrong".to_owned(),
        "k" => format!("k{}", draw.below(5)),
        "v" if draw.chance(4) => float(draw),
        "v" => value(draw),
        "i" => integer(draw, -12..20),
        "o" if draw.chance(30) => draw.one_of(&["-1", "536870912", "x", "9223372036854775807"]).to_owned(),
        "o" => draw.below(40).to_string(),
        "t" => draw
            .one_of(&["0", "-1", "x", "1e3", "9223372036854775807", "9223372036854775", "1000", "100000"])
            .to_owned(),
        "f" => float(draw),
        name => panic!("there is no {name}"),
    }
}
