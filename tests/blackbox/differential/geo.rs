//! Places. Scores that STOREDIST stored are compared but for their last bits: sines are computed otherwise here.

use perdura_testkit::Reply;

use super::{Draw, Family, Line, words};

pub const FAMILY: Family = Family { name: "places", draw, is_same };

fn is_same(line: &Line, ours: &Reply, theirs: &Reply) -> bool {
    ours == theirs || (line[0] == b"ZRANGE" && is_near(ours, theirs))
}

/// Whether both have the same texts, or numbers that differ in their last digits.
fn is_near(ours: &Reply, theirs: &Reply) -> bool {
    match (ours, theirs) {
        (Reply::Array(ours), Reply::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_near(ours, theirs))
        }
        (Reply::Bulk(_), Reply::Bulk(_)) => {
            let (our, their) = (ours.text().parse::<f64>(), theirs.text().parse::<f64>());
            let is_near = |(our, their): (f64, f64)| (our - their).abs() <= 1e-12 * their.abs();
            ours == theirs || our.ok().zip(their.ok()).is_some_and(is_near)
        }
        _ => ours == theirs,
    }
}

fn key(draw: &mut Draw) -> String {
    match draw.below(100) {
        0 => "text".to_owned(),
        1 => "none".to_owned(),
        _ => format!("g{}", draw.below(4)),
    }
}

fn member(draw: &mut Draw) -> String {
    format!("m{}", draw.below(250))
}

fn longitude(draw: &mut Draw) -> String {
    match draw.below(40) {
        0 => draw.one_of(&["180", "-180", "0", "180.1", "x", "inf", "-0", "1e-300"]).to_owned(),
        1..20 => draw.between(10.0, 20.0).to_string(),
        _ => draw.between(-180.0, 180.0).to_string(),
    }
}

fn latitude(draw: &mut Draw) -> String {
    match draw.below(40) {
        0 => draw.one_of(&["85.05112878", "-85.05112878", "0", "86", "x", "-inf", "-0"]).to_owned(),
        1..20 => draw.between(40.0, 50.0).to_string(),
        _ => draw.between(-85.0, 85.0).to_string(),
    }
}

fn radius(draw: &mut Draw) -> String {
    match draw.below(30) {
        0 => draw.one_of(&["0", "-1", "x", "1e300", "25000", "inf", "1e-9"]).to_owned(),
        1..10 => draw.between(0.0, 15_000.0).to_string(),
        _ => draw.between(0.0, 800.0).to_string(),
    }
}

fn unit(draw: &mut Draw) -> &'static str {
    if draw.chance(50) { "x" } else { draw.one_of(&["km", "KM", "mi", "km", "ft", "m"]) }
}

fn options(draw: &mut Draw, with: bool) -> String {
    let mut options = vec![draw.one_of(&["", "ASC", "DESC", "desc"]).to_owned()];
    if draw.chance(3) {
        let count = if draw.chance(30) { "0".to_owned() } else { (1 + draw.below(30)).to_string() };
        options.push(format!("COUNT {count}"));
        options.push(draw.one_of(&["", "", "ANY"]).to_owned());
    }
    for word in ["WITHDIST", "WITHHASH", "WITHCOORD"] {
        if with && draw.chance(3) {
            options.push(word.to_owned());
        }
    }
    options.join(" ")
}

/// Where GEOSEARCH looks.
fn area(draw: &mut Draw) -> String {
    let center = match draw.below(2) {
        0 => format!("FROMMEMBER {}", member(draw)),
        _ => format!("FROMLONLAT {} {}", longitude(draw), latitude(draw)),
    };
    let extent = match draw.below(2) {
        0 => format!("BYRADIUS {} {}", radius(draw), unit(draw)),
        _ => format!("BYBOX {} {} {}", radius(draw), radius(draw), unit(draw)),
    };
    if draw.chance(2) { format!("{center} {extent}") } else { format!("{extent} {center}") }
}

/// GEORADIUS and its kind, up to the unit.
fn circle(draw: &mut Draw, suffix: &str) -> String {
    let key = key(draw);
    let center = match draw.below(2) {
        0 => format!("GEORADIUS{suffix} {key} {} {}", longitude(draw), latitude(draw)),
        _ => format!("GEORADIUSBYMEMBER{suffix} {key} {}", member(draw)),
    };
    format!("{center} {} {}", radius(draw), unit(draw))
}

fn geoadd(draw: &mut Draw) -> String {
    let options = match draw.below(8) {
        0 => draw.one_of(&["NX", "XX", "CH", "XX CH", "NX CH", "NX XX"]),
        _ => "",
    };
    let count = if draw.chance(6) { 40 } else { 1 + draw.below(3) };
    let places = (0..count).map(|_| format!("{} {} {}", longitude(draw), latitude(draw), member(draw)));
    let places: Vec<String> = places.collect();
    format!("GEOADD {} {options} {}", key(draw), places.join(" "))
}

fn draw(draw: &mut Draw) -> Line {
    words(&match draw.below(40) {
        0..12 => geoadd(draw),
        12..15 => format!("GEODIST {} {} {} {}", key(draw), member(draw), member(draw), unit(draw)),
        15..17 => format!("GEOPOS {} {} {}", key(draw), member(draw), member(draw)),
        17 => format!("GEOHASH {} {} {}", key(draw), member(draw), member(draw)),
        18..27 => format!("GEOSEARCH {} {} {}", key(draw), area(draw), options(draw, true)),
        27..30 => {
            let distances = draw.one_of(&["", "STOREDIST"]);
            format!(
                "GEOSEARCHSTORE d{} {} {} {} {distances}",
                draw.below(3),
                key(draw),
                area(draw),
                options(draw, false)
            )
        }
        30..33 => format!("{} {}", circle(draw, ""), options(draw, true)),
        33 => format!("{} {}", circle(draw, "_RO"), options(draw, true)),
        34 => {
            let store = draw.one_of(&["STORE", "STOREDIST"]);
            format!("{} {} {store} d{}", circle(draw, ""), options(draw, false), draw.below(3))
        }
        35..38 => format!("ZRANGE d{} 0 -1 WITHSCORES", draw.below(3)),
        38 => format!("ZREM {} {}", key(draw), member(draw)),
        _ => "SET text x".to_owned(),
    })
}
