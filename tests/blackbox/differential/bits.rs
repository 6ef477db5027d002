//! Bitmaps. What Redis 7.0 does not check of a missing key, and operations that it does not know, are not drawn.

use super::{Draw, Family, Line, words};

pub const FAMILY: Family = Family { name: "bitmaps", draw, is_same: |_, ours, theirs| ours == theirs };

fn key(draw: &mut Draw) -> String {
    if draw.chance(60) { "list".to_owned() } else { format!("b{}", draw.below(6)) }
}

fn offset(draw: &mut Draw) -> String {
    match draw.below(40) {
        0 => draw.one_of(&["-1", "x", "4294967296", "9223372036854775807", "1e3", "01", "+1"]).to_owned(),
        1 => draw.below(100_000).to_string(),
        _ => draw.below(400).to_string(),
    }
}

/// A range of bytes or bits, complete.
fn range(draw: &mut Draw) -> String {
    let unit = draw.one_of(&["", " BIT", " byte"]);
    let (start, end) = (draw.within(-70..400), draw.within(-70..400));
    match draw.below(40) {
        0 => format!("-9223372036854775808 {end}{unit}"),
        1 => format!("{start} 9223372036854775807{unit}"),
        _ => format!("{start} {end}{unit}"),
    }
}

fn number(draw: &mut Draw) -> String {
    match draw.below(6) {
        0 => draw
            .one_of(&["-9223372036854775808", "9223372036854775807", "9223372036854775808", "x", "0", "-1"])
            .to_owned(),
        1 => (draw.next() as i64).to_string(),
        _ => draw.within(-300..300).to_string(),
    }
}

fn field(draw: &mut Draw) -> String {
    let kind = match draw.below(30) {
        0 => draw.one_of(&["u64", "i65", "u0", "i0", "x8", "U8", "i-1"]).to_owned(),
        1..5 => draw.one_of(&["u63", "i64", "u1", "i1"]).to_owned(),
        _ => format!("{}{}", draw.one_of(&["u", "i"]), 1 + draw.below(63)),
    };
    let place = match draw.below(4) {
        0 => format!("#{}", draw.below(20)),
        _ => offset(draw),
    };
    format!("{kind} {place}")
}

fn bitfield(draw: &mut Draw) -> String {
    let mut line = format!("BITFIELD {}", key(draw));
    for _ in 0..1 + draw.below(4) {
        let step = match draw.below(10) {
            0..3 => format!("GET {}", field(draw)),
            3..6 => format!("SET {} {}", field(draw), number(draw)),
            6..9 => format!("INCRBY {} {}", field(draw), number(draw)),
            _ => format!("OVERFLOW {}", draw.one_of(&["WRAP", "SAT", "FAIL", "wrap", "sat", "fail", "none"])),
        };
        line = format!("{line} {step}");
    }
    line
}

fn draw(draw: &mut Draw) -> Line {
    let name = key(draw);
    words(&match draw.below(30) {
        0..6 => format!("SETBIT {name} {} {}", offset(draw), draw.one_of(&["0", "1", "1", "2"])),
        6..9 => format!("GETBIT {name} {}", offset(draw)),
        9 => format!("BITCOUNT {name}"),
        10..12 => format!("BITCOUNT {name} {}", range(draw)),
        12 => format!("BITPOS {name} {}", draw.below(2)),
        13 => format!("BITPOS {name} {} {}", draw.below(2), draw.within(-50..50)),
        14..16 => format!("BITPOS {name} {} {}", draw.below(2), range(draw)),
        16..20 => {
            let sources: Vec<String> = (0..1 + draw.below(4)).map(|_| key(draw)).collect();
            let operation = draw.one_of(&["AND", "OR", "XOR", "NOT", "and", "or", "xor"]);
            format!("BITOP {operation} {name} {}", sources.join(" "))
        }
        20..25 => bitfield(draw),
        25 => format!("BITFIELD_RO {name} GET {} GET {}", field(draw), field(draw)),
        26 => format!("GET {name}"),
        27 => format!("STRLEN {name}"),
        28 => return vec![b"SET".to_vec(), name.into_bytes(), draw.bytes(60)],
        _ if draw.chance(2) => format!("DEL {name}"),
        _ => "RPUSH list x".to_owned(),
    })
}
