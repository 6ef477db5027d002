//! The family against what redis-server 7.0.15 answers, and against a walk over all members.

use proptest::prelude::*;

use super::globe::Position;
use super::hash;
use crate::command::cost::{Cost, Forecast};
use crate::command::testing::{TestDb, split_words};

fn sicily() -> TestDb {
    let mut db = TestDb::new();
    let line = "GEOADD s 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.758489 38.788135 edge1 17.241510 38.788135 edge2";
    assert_eq!(db.show(line), "4");
    db
}

#[test]
fn members_have_positions_distances_and_hashes() {
    let mut db = sicily();
    assert_eq!(db.show("ZSCORE s Palermo"), "3479099956230698");
    let palermo = "13.36138933897018433 38.11555639549629859";
    assert_eq!(db.show("GEOPOS s Palermo none"), format!("[[{palermo}] nil]"));
    assert_eq!(db.show("GEOHASH s Palermo Catania none"), "[sqc8b49rny0 sqdtr74hyu0 nil]");
    assert_eq!(db.show("GEODIST s Palermo Catania"), "166274.1516");
    assert_eq!(db.show("GEODIST s Palermo Catania km"), "166.2742");
    assert_eq!(db.show("GEODIST s Palermo Catania MI"), "103.3182");
    assert_eq!(db.show("GEODIST s Palermo Palermo ft"), "0.0000");
    assert_eq!(db.show("GEODIST s Palermo none"), "nil");
    assert_eq!(db.show("GEODIST none a b"), "nil");
    assert_eq!(db.show("GEOPOS none a"), "[nil]");
    assert_eq!(db.show("GEOPOS s"), "[]");
    db.resp = crate::protocol::reply::Resp::V3;
    let doubles = "*1\r\n*2\r\n,13.36138933897018433\r\n,38.11555639549629859\r\n";
    assert_eq!(db.run("GEOPOS s Palermo"), doubles);
    assert_eq!(db.run("GEODIST s Palermo Palermo"), "$6\r\n0.0000\r\n");
}

#[test]
fn searches_answer_as_redis_does() {
    let mut db = sicily();
    for (line, answer) in [
        ("GEORADIUS s 15 37 200 km ASC", "[Catania Palermo]"),
        ("GEORADIUS_RO s 15 37 200 km DESC", "[Palermo Catania]"),
        ("GEORADIUS s 15 37 200 km COUNT 1 WITHDIST WITHHASH", "[[Catania 56.4413 3479447370796909]]"),
        ("GEORADIUSBYMEMBER s Palermo 100 km", "[Palermo edge1]"),
        ("GEORADIUSBYMEMBER_RO s Palermo 0 m WITHDIST", "[[Palermo 0.0000]]"),
        ("GEOSEARCH s FROMLONLAT 15 37 BYBOX 400 400 km ASC", "[Catania Palermo edge2 edge1]"),
        ("GEOSEARCH s FROMLONLAT 15 37 BYBOX 400 400 km DESC COUNT 2", "[edge1 edge2]"),
        ("GEOSEARCH s FROMMEMBER Catania BYRADIUS 1 m", "[Catania]"),
        ("GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 20000 km COUNT 1 ANY", "[Palermo]"),
        ("GEOSEARCH none FROMMEMBER x BYRADIUS 1 m", "[]"),
        ("GEORADIUSBYMEMBER none x y z", "[]"),
    ] {
        assert_eq!(db.show(line), answer, "{line}");
    }
    let all = "GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 60 km WITHCOORD WITHDIST WITHHASH";
    let catania = "[[Catania 56.4413 3479447370796909 [15.08726745843887329 37.50266842333162032]]]";
    assert_eq!(db.show(all), catania);
}

#[test]
fn results_are_stored() {
    let mut db = sicily();
    assert_eq!(db.show("GEOSEARCHSTORE d s FROMLONLAT 15 37 BYBOX 400 400 km ASC COUNT 3"), "3");
    assert_eq!(db.show("GEOHASH d Catania edge1"), "[sqdtr74hyu0 nil]");
    assert_eq!(db.show("GEOSEARCHSTORE d s FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST"), "2");
    assert!(db.show("ZRANGE d 0 -1 WITHSCORES").starts_with("[Catania 56.44125787"));
    assert_eq!(db.show("GEORADIUS s 15 37 200 km STORE d STOREDIST e"), "2");
    assert!(db.show("ZSCORE e Palermo").starts_with("190.442"));
    assert_eq!(db.show("GEORADIUSBYMEMBER s Palermo 1 km STORE d"), "1");
    assert_eq!(db.show("ZRANGE d 0 -1"), "[Palermo]");
    assert_eq!(db.show("GEORADIUS none 15 37 200 km STORE d"), "0");
    assert_eq!(db.show("EXISTS d"), "0");
    assert_eq!(db.show("GEOSEARCHSTORE s s FROMLONLAT 0 0 BYRADIUS 1 km"), "0");
    assert_eq!(db.show("EXISTS s"), "0");
}

#[test]
fn geoadd_obeys_its_conditions() {
    let mut db = TestDb::new();
    assert_eq!(db.show("GEOADD g 1 1 a 2 2 b"), "2");
    assert_eq!(db.show("GEOADD g NX 3 3 a 3 3 c"), "1");
    assert_eq!(db.show("GEOADD g xx ch 3 3 a 4 4 d"), "1");
    assert_eq!(db.show("GEOADD g CH 5 5 a 5 5 e"), "2");
    assert_eq!(db.show("GEOADD none XX 5 5 a"), "0");
    assert_eq!(db.show("EXISTS none"), "0");
    for line in ["GEOADD g 1 1", "GEOADD g NX XX 1 1 a", "GEOADD g 1 1 a 1", "GEOADD g CH NX XX"] {
        let error = db.show(line);
        assert!(error == "ERR syntax error" || error.contains("wrong number"), "{line}: {error}");
    }
    assert_eq!(db.show("GEOADD g 1 x a"), "ERR value is not a valid float");
    let outside = "ERR invalid longitude,latitude pair 181.000000,1.000000";
    assert_eq!(db.show("GEOADD g 1 1 f 181 1 a"), outside);
    let endless = "ERR invalid longitude,latitude pair inf,-inf";
    assert_eq!(db.show("GEOADD g inf -inf a"), endless);
    assert_eq!(db.show("GEOPOS g f"), "[nil]");
    db.show("SET s x");
    assert!(db.show("GEOADD s 1 1 a").starts_with("WRONGTYPE"));
    assert_eq!(db.show("GEOADD s 1 100 a"), "ERR invalid longitude,latitude pair 1.000000,100.000000");
}

#[test]
fn faults_are_answered_as_redis_does() {
    let mut db = sicily();
    db.show("SET text x");
    for (line, error) in [
        ("GEORADIUS s 15 37 x km", "ERR need numeric radius"),
        ("GEORADIUS s 15 37 -1 km", "ERR radius cannot be negative"),
        ("GEORADIUS s 15 37 1 x", "ERR unsupported unit provided. please use M, KM, FT, MI"),
        ("GEORADIUS s 15 97 1 km", "ERR invalid longitude,latitude pair 15.000000,97.000000"),
        ("GEORADIUS s 15 37 1 km COUNT 0", "ERR COUNT must be > 0"),
        ("GEORADIUS s 15 37 1 km COUNT x", "ERR value is not an integer or out of range"),
        ("GEORADIUS s 15 37 1 km ANY", "ERR the ANY argument requires COUNT argument"),
        ("GEORADIUS s 15 37 1 km STORE", "ERR syntax error"),
        ("GEORADIUS_RO s 15 37 1 km STORE d", "ERR syntax error"),
        (
            "GEORADIUS s 15 37 1 km WITHDIST STORE d",
            "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        ("GEORADIUSBYMEMBER s none 1 km", "ERR could not decode requested zset member"),
        ("GEOSEARCH s FROMMEMBER none BYRADIUS 1 km", "ERR could not decode requested zset member"),
        (
            "GEOSEARCH s FROMLONLAT 1 1 ASC DESC ASC",
            "ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
        ),
        (
            "geosearch s BYRADIUS 1 km ASC ASC",
            "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch",
        ),
        ("GEOSEARCH s FROMLONLAT 1 1 FROMMEMBER Palermo BYRADIUS 1 m", "ERR syntax error"),
        ("GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m BYBOX 1 1 m", "ERR syntax error"),
        ("GEOSEARCH s FROMLONLAT 1 1 BYBOX x 1 m", "ERR need numeric width"),
        ("GEOSEARCH s FROMLONLAT 1 1 BYBOX 1 x m", "ERR need numeric height"),
        ("GEOSEARCH s FROMLONLAT 1 1 BYBOX 1 -1 m", "ERR height or width cannot be negative"),
        ("GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m STOREDIST", "ERR syntax error"),
        (
            "GEOSEARCHSTORE d s FROMLONLAT 1 1 BYRADIUS 1 m WITHHASH",
            "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        ("GEODIST s Palermo Catania x", "ERR unsupported unit provided. please use M, KM, FT, MI"),
        ("GEODIST s Palermo Catania m m", "ERR syntax error"),
    ] {
        assert_eq!(db.show(line), error, "{line}");
    }
    for line in [
        "GEOPOS text a",
        "GEODIST text a b",
        "GEOHASH text a",
        "GEORADIUS text 1 1 1 x",
        "GEOSEARCH text x y z z z",
    ] {
        assert!(db.show(line).starts_with("WRONGTYPE"), "{line}");
    }
}

/// Scores that no position has, endless shapes, poles, opposite places: an answer, never a panic.
#[test]
fn odd_places_are_answered() {
    let mut db = TestDb::new();
    db.run("ZADD z inf a -inf b -5 c 1e300 d 4503599627370496 e 4503599627370495 f 0 g");
    db.run("GEOADD z 180 85.05112878 h -180 -85.05112878 i 0 0 j 180 0 k -180 0 l");
    for radius in ["0", "1e-320", "1", "1e7", "30000000", "1e300", "1.7e308", "inf"] {
        for center in ["0 0", "180 85.05112878", "-180 -85.05112878", "180 -85", "-0 0"] {
            for shape in [
                format!("BYRADIUS {radius} mi"),
                format!("BYBOX {radius} 1 mi"),
                format!("BYBOX 1 {radius} m"),
            ] {
                let line = format!("GEOSEARCH z FROMLONLAT {center} {shape} ASC WITHDIST WITHCOORD WITHHASH");
                assert!(db.run(&line).starts_with('*'), "{line}");
                let store = format!("GEOSEARCHSTORE d z FROMLONLAT {center} {shape} STOREDIST");
                assert!(db.run(&store).starts_with(':'), "{store}");
            }
        }
    }
    for member in ["a", "b", "c", "d", "e", "f", "h", "i", "k", "l"] {
        assert!(db.run(&format!("GEODIST z j {member}")).starts_with('$'));
        assert!(db.run(&format!("GEOPOS z {member}")).starts_with("*1\r\n*2"));
    }
}

fn drawn() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((-150.0..150.0, -60.0..60.0), 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every member whose distance is less than the radius, and no other, nearest first.
    #[test]
    fn a_circle_holds_what_is_near(
        places in drawn(), center in (-150.0..150.0, -60.0..60.0), kilometers in 1.0..2000.0, count in 1_usize..40,
    ) {
        let mut db = TestDb::new();
        for (number, (longitude, latitude)) in places.iter().enumerate() {
            db.run(&format!("GEOADD z {longitude} {latitude} m{number}"));
        }
        let center = Position { longitude: center.0, latitude: center.1 };
        let mut near: Vec<(f64, String)> = places
            .iter()
            .enumerate()
            .map(|(number, (longitude, latitude))| {
                let stored = hash::position(hash::score(Position { longitude: *longitude, latitude: *latitude }));
                (center.distance(stored), format!("m{number}"))
            })
            .filter(|(distance, _)| *distance <= kilometers * 1000.0)
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        let names: Vec<&str> = near.iter().map(|(_, name)| name.as_str()).collect();
        let line = format!("GEOSEARCH z FROMLONLAT {} {} BYRADIUS {kilometers} km", center.longitude, center.latitude);
        prop_assert_eq!(db.show(&format!("{line} ASC")), format!("[{}]", names.join(" ")));
        let few = &names[..count.min(names.len())];
        prop_assert_eq!(db.show(&format!("{line} COUNT {count}")), format!("[{}]", few.join(" ")));
    }

    /// What is computed here is what the sines of this machine say, but for their last bits.
    #[test]
    fn distances_are_those_of_the_haversine(
        a in (-180.0..180.0, -85.0..85.0), b in (-180.0..180.0, -85.0..85.0),
    ) {
        let position = |(longitude, latitude)| Position { longitude, latitude };
        let (from, to): (Position, Position) = (position(a), position(b));
        let half = |x: f64, y: f64| ((y - x).to_radians() / 2.0).sin().powi(2);
        let across = from.latitude.to_radians().cos() * to.latitude.to_radians().cos();
        let square = half(from.latitude, to.latitude) + across * half(from.longitude, to.longitude);
        let expected = 2.0 * super::globe::EARTH_RADIUS * square.sqrt().min(1.0).asin();
        prop_assert!((from.distance(to) - expected).abs() <= 1e-6 * (1.0 + expected));
    }
}

fn cost(db: &TestDb, line: &str) -> Cost {
    let words = split_words(line);
    let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    db.cost(&args, &Forecast::default())
}

#[test]
fn a_search_costs_the_members_of_its_cells() {
    let mut db = TestDb::new();
    let places: String = (0..3000).map(|n| format!(" {}.5 {}.5 m{n}", n % 100, n / 100)).collect();
    db.run(&format!("GEOADD z{places}"));
    assert!(cost(&db, "GEOSEARCH z FROMLONLAT 50.5 20.5 BYRADIUS 1 km").steps < 200);
    assert!(cost(&db, "GEOSEARCH z FROMMEMBER m5 BYRADIUS 20000 km").steps >= 24_000);
    assert!(cost(&db, "GEOSEARCH z FROMMEMBER none BYRADIUS 20000 km").steps < 20);
    assert!(cost(&db, "GEOSEARCH none FROMMEMBER m5 BYRADIUS 20000 km").steps < 20);
    let stored = cost(&db, "GEOSEARCHSTORE d z FROMMEMBER m5 BYRADIUS 20000 km");
    assert!(stored.growth.elements >= 3000 && stored.growth.bytes > 30_000);
    let few = cost(&db, "GEOSEARCHSTORE d z FROMMEMBER m5 BYRADIUS 20000 km COUNT 10");
    assert!(few.growth.elements < 100 && few.result.elements == 10);
    assert!(
        cost(&db, "GEORADIUS z 50 20 1000 km STORE d").growth.elements
            > cost(&db, "GEORADIUS z 50 20 1000 km").growth.elements
    );
}
