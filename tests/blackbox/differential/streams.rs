//! Streams, with ids that the client chooses. Times since deliveries are left out of what is compared, and what Redis 7.2 answers otherwise
//! than 7.0 is not drawn (docs/compatibility.md).

use super::grammar::{Templates, integer, line, value};
use super::{Draw, Family, Line};
use perdura_testkit::Reply;

pub const FAMILY: Family = Family { name: "streams", draw: |draw| line(draw, TEMPLATES, word), is_same };

const TEMPLATES: Templates = &[
    (20, "XADD {k} {new} <{f} {v}>3"),
    (4, "XADD {k} (NOMKSTREAM|MAXLEN {c}|MAXLEN = {c}|MINID {id}|MINID = {id}) {new} {f} {v}"),
    (1, "XADD {k} (MAXLEN|MAXLEN x|MAXLEN 1 MINID 1|LIMIT 3|MAXLEN = 3 LIMIT 2) {new} {f} {v}"),
    (1, "XADD {k} {new} {f}"),
    (4, "XLEN {k}"),
    (8, "XRANGE {k} {from} {to} (|COUNT {c})"),
    (6, "XREVRANGE {k} {to} {from} (|COUNT {c})"),
    (5, "XDEL {k} <{id}>3"),
    (3, "XTRIM {k} (MAXLEN|MAXLEN =) {c}"),
    (3, "XTRIM {k} (MINID|MINID =) {id}"),
    (5, "XREAD (|COUNT {c}) STREAMS {k} {id}"),
    (3, "XREAD (|COUNT {c}) STREAMS {k} {k} {id} {id}"),
    (3, "XREAD COUNT 2 BLOCK 1 STREAMS {k} {id}"),
    (5, "XGROUP CREATE {k} {g} ({id}|$|0) (|MKSTREAM|ENTRIESREAD {c})"),
    (1, "XGROUP (SETID {k} {g} ({id}|$)|DESTROY {k} {g})"),
    (10, "XREADGROUP GROUP {g} {who} COUNT {n} (|NOACK) STREAMS {full} >"),
    (4, "XREADGROUP GROUP {g} {who} (|COUNT {n}) STREAMS {full} {id}"),
    (5, "XACK {k} {g} <{id}>3"),
    (4, "XPENDING {k} {g}"),
    (4, "XPENDING {k} {g} {from} {to} {n} (|{who})"),
    (4, "XCLAIM {full} {g} {who} 0 <{id}>3 (|JUSTID|FORCE|RETRYCOUNT 5|FORCE JUSTID|LASTID {id})"),
    (4, "XAUTOCLAIM {full} {g} {who} 0 {id} (|COUNT {n}) (|JUSTID)"),
    (2, "XINFO STREAM {k}"),
    (3, "XINFO GROUPS {k}"),
    (2, "XSETID {k} 99999999-0"),
    (1, "DEL {k}"),
    (1, "SET wrong 1"),
    (1, "XADD full {new} {f} {v}"),
    (1, "(XADD|XRANGE|XREAD|XGROUP|XREADGROUP|XCLAIM|XPENDING|XINFO|XTRIM)"),
];

fn is_same(line: &Line, ours: &Reply, theirs: &Reply) -> bool {
    match &line[0][..] {
        b"XINFO" if line.get(1).is_some_and(|word| word == b"GROUPS") => groups(ours) == groups(theirs),
        b"XINFO" => without(ours, "radix-tree") == without(theirs, "radix-tree"),
        b"XPENDING" if line.len() > 3 => without_idle(ours) == without_idle(theirs),
        _ => ours == theirs,
    }
}

/// Each group without the number of its consumers: here a consumer that found nothing counts, too.
fn groups(reply: &Reply) -> Vec<Vec<Reply>> {
    let Reply::Array(groups) = reply else { return vec![vec![reply.clone()]] };
    groups.iter().map(|group| without(group, "consumers")).collect()
}

/// Names and values without those whose name begins so.
fn without(reply: &Reply, prefix: &str) -> Vec<Reply> {
    let Reply::Array(items) = reply else { return vec![reply.clone()] };
    let pairs = items
        .chunks(2)
        .filter(|pair| !matches!(&pair[0], Reply::Bulk(_) if pair[0].text().starts_with(prefix)));
    pairs.flatten().cloned().collect()
}

fn without_idle(reply: &Reply) -> Vec<Reply> {
    let Reply::Array(items) = reply else { return vec![reply.clone()] };
    let each = items.iter().flat_map(|item| match item {
        Reply::Array(fields) if fields.len() == 4 => {
            vec![fields[0].clone(), fields[1].clone(), fields[3].clone()]
        }
        other => vec![other.clone()],
    });
    each.collect()
}

fn id(draw: &mut Draw) -> String {
    match draw.below(40) {
        0 => draw
            .one_of(&["x", "0-0", "18446744073709551615-18446744073709551615", "1-x", "-1", "0"])
            .to_owned(),
        1..20 => format!("{}-{}", draw.below(40), draw.below(4)),
        _ => draw.below(40).to_string(),
    }
}

fn word(draw: &mut Draw, name: &str) -> String {
    match name {
        "k" if draw.chance(40) => "wrong".to_owned(),
        "k" | "full" => format!("x{}", draw.below(3)),
        "new" if draw.chance(6) => draw.one_of(&["5-*", "20-*", "39-*", "0-*", "0-0", "x"]).to_owned(),
        "new" | "id" => id(draw),
        "from" => match draw.below(4) {
            0 => "-".to_owned(),
            1 => format!("({}", id(draw)),
            _ => id(draw),
        },
        "to" => match draw.below(4) {
            0 => "+".to_owned(),
            1 => format!("({}", id(draw)),
            _ => id(draw),
        },
        "f" => format!("f{}", draw.below(4)),
        "v" => value(draw),
        "g" => format!("g{}", draw.below(2)),
        "who" => format!("w{}", draw.below(3)),
        "c" => integer(draw, 0..9),
        "n" => integer(draw, 1..5),
        name => panic!("there is no {name}"),
    }
}
