//! HyperLogLogs, whose strings are compared without the cached estimate: here PFCOUNT writes none. Corrupt ones are not drawn: here every
//! command refuses them.

use perdura_testkit::Reply;

use super::{Draw, Family, Line, words};

pub const FAMILY: Family = Family { name: "HyperLogLogs", draw, is_same };

fn is_same(_: &Line, ours: &Reply, theirs: &Reply) -> bool {
    match (ours, theirs) {
        (Reply::Bulk(ours), Reply::Bulk(theirs)) => without_estimate(ours) == without_estimate(theirs),
        _ => ours == theirs,
    }
}

fn without_estimate(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.starts_with(b"HYLL") && value.len() > 16 {
        value[8..16].fill(0);
    }
    value
}

fn key(draw: &mut Draw) -> String {
    match draw.below(80) {
        0 => "list".to_owned(),
        1 => "text".to_owned(),
        _ => format!("h{}", draw.below(8)),
    }
}

fn keys(draw: &mut Draw, most: u64) -> String {
    let names: Vec<String> = (0..1 + draw.below(most)).map(|_| key(draw)).collect();
    names.join(" ")
}

fn elements(draw: &mut Draw) -> String {
    let count = match draw.below(12) {
        0 => 0,
        1 => 100 + draw.below(600),
        2..4 => 20 + draw.below(40),
        _ => 1 + draw.below(4),
    };
    let most = [50, 5_000, 1_000_000][draw.below(3) as usize];
    let drawn: Vec<String> = (0..count).map(|_| format!("e{}", draw.below(most))).collect();
    drawn.join(" ")
}

fn draw(draw: &mut Draw) -> Line {
    words(&match draw.below(30) {
        0..14 => format!("PFADD {} {}", key(draw), elements(draw)),
        14..18 => format!("PFCOUNT {}", key(draw)),
        18..20 => format!("PFCOUNT {}", keys(draw, 4)),
        20..22 => format!("PFMERGE {}", keys(draw, 3)),
        22 => format!("PFDEBUG DECODE {}", key(draw)),
        23 => format!("PFDEBUG ENCODING {}", key(draw)),
        24 if draw.chance(4) => {
            format!("PFDEBUG {} {}", draw.one_of(&["GETREG", "TODENSE", "NONE"]), key(draw))
        }
        24..27 => format!("GET {}", key(draw)),
        27 => format!("STRLEN {}", key(draw)),
        28 => format!("DEL {}", key(draw)),
        _ => draw.one_of(&["RPUSH list x", "SET text hello", "SET text 12345678901234567890"]).to_owned(),
    })
}
