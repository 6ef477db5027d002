//! Keys of all types, and databases. Deadlines are far away, or gone; what is left of them is not compared, when they come is.

use super::grammar::{Templates, integer, line, value};
use super::{Draw, Family, Line, is_same_page, sorted};
use perdura_testkit::Reply;

pub const FAMILY: Family = Family { name: "keys", draw: |draw| line(draw, TEMPLATES, word), is_same };

const TEMPLATES: Templates = &[
    (6, "SET {k} {v}"),
    (3, "RPUSH {k} <{v}>3"),
    (3, "SADD {k} <{v}>3"),
    (3, "HSET {k} <{v} {v}>2"),
    (3, "ZADD {k} 1 {v}"),
    (2, "XADD {k} * f {v}"),
    (5, "DEL <{k}>3"),
    (2, "UNLINK <{k}>3"),
    (4, "EXISTS <{k}>4"),
    (2, "TOUCH <{k}>3"),
    (4, "TYPE {k}"),
    (4, "RENAME {k} {k}"),
    (4, "RENAMENX {k} {k}"),
    (5, "COPY {k} {k} (|REPLACE|DB {db}|DB {db} REPLACE|FOO)"),
    (3, "MOVE {k} {db}"),
    (2, "SWAPDB {db} {db}"),
    (4, "SELECT {db}"),
    (5, "EXPIREAT {k} {at} (|NX|XX|GT|LT|NX XX|GT LT|FOO)"),
    (3, "PEXPIREAT {k} {at}000 (|NX|XX|GT|LT)"),
    (2, "(EXPIRE|PEXPIRE) {k} {i}"),
    (4, "(EXPIRETIME|PEXPIRETIME) {k}"),
    (3, "PERSIST {k}"),
    (3, "(TTL|PTTL) none"),
    (4, "KEYS (*|k*|k[0-3]|?1|[^k]*|k[1-5]*)"),
    (2, "SCAN 0 COUNT 1000 (|MATCH k[0-3]*|TYPE string|TYPE list|TYPE zset|TYPE foo)"),
    (3, "DBSIZE"),
    (2, "OBJECT (ENCODING|REFCOUNT) none"),
    (1, "FLUSHDB (|SYNC|ASYNC|FOO)"),
    (3, "SORT {k} (|BY w* GET # GET v*|ALPHA|DESC|STORE {k})"),
    (1, "GET {k}"),
    (1, "(DEL|RENAME|COPY|EXPIRE|MOVE|SCAN|KEYS|SELECT)"),
    (2, "ECHO {v}"),
];

fn is_same(line: &Line, ours: &Reply, theirs: &Reply) -> bool {
    match &line[0][..] {
        b"KEYS" => sorted(ours) == sorted(theirs),
        b"SCAN" => is_same_page(ours, theirs, sorted),
        // Ids are those of the clock; sets are sorted by SORT alone.
        b"XADD" => ours.is_error() == theirs.is_error(),
        b"SORT" => ours == theirs || !ours.is_error() && sorted(ours) == sorted(theirs),
        _ => ours == theirs,
    }
}

fn word(draw: &mut Draw, name: &str) -> String {
    match name {
        "k" => format!("k{}", draw.below(7)),
        "v" => value(draw),
        "db" => integer(draw, 0..4),
        "i" => integer(draw, -5..0),
        "at" => match draw.below(8) {
            0 => draw.one_of(&["0", "-1", "1", "x", "9223372036854775", "9223372036854775807"]).to_owned(),
            _ => (5_000_000_000 + draw.below(50)).to_string(),
        },
        name => panic!("there is no {name}"),
    }
}
