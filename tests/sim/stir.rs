//! Commands that no history records: they stir the keyspace, so that equal digests mean something for every type, for random
//! picks, for deadlines of keys and fields, and for clients that wait.

use perdura_proof::{Reply, encode};

use crate::dice::Dice;

/// Keys of each type.
const KEYS: u64 = 3;
/// The largest value, where wires have a bandwidth.
const MAX_VALUE_BYTES: u64 = 200_000;

/// The next request of a stirring client, in bytes, and how many replies it has; a large value now and then.
pub fn request(dice: &mut Dice, large: bool) -> (Vec<u8>, usize) {
    if large && dice.chance(30) {
        let bytes = dice.magnitude(10_000..MAX_VALUE_BYTES);
        return (
            bytes_of(&format!("SET stir:string:{} {}", dice.below(KEYS), "x".repeat(bytes as usize))),
            1,
        );
    }
    if dice.chance(150) {
        let inner: Vec<String> = (0..dice.within(2..5)).map(|_| command(dice)).collect();
        let lines = ["MULTI".to_owned()].into_iter().chain(inner).chain(["EXEC".to_owned()]);
        let lines: Vec<String> = lines.collect();
        return (lines.iter().flat_map(|line| bytes_of(line)).collect(), lines.len());
    }
    (bytes_of(&command(dice)), 1)
}

/// A command line; no argument holds a space.
fn command(dice: &mut Dice) -> String {
    let key = dice.below(KEYS);
    let (a, b) = (dice.below(12), dice.below(12));
    let other = dice.below(KEYS);
    match dice.below(47) {
        0..4 => format!("SADD stir:set:{key} {a} {b} m{a} m{b}"),
        4 => format!("SPOP stir:set:{key}"),
        5 => format!("SPOP stir:set:{key} 2"),
        6 => format!("SMOVE stir:set:{key} stir:set:{other} {a}"),
        7 => format!("SUNIONSTORE stir:set:{key} stir:set:{key} stir:set:{other}"),
        8..11 => format!("RPUSH stir:list:{key} {a} {b}"),
        11 => format!("LPOP stir:list:{key}"),
        12 => format!("LMOVE stir:list:{key} stir:list:{other} LEFT RIGHT"),
        13..15 => format!("BLPOP stir:list:{key} stir:list:{other} 0.{}", 1 + a % 5),
        15 => format!("BLMOVE stir:list:{key} stir:list:{other} RIGHT LEFT 0.2"),
        16..18 => format!("HSET stir:hash:{key} f{a} {b} f{b} {a}"),
        18 => format!("HINCRBY stir:hash:{key} n{a} {b}"),
        19 => format!("HPEXPIRE stir:hash:{key} {} FIELDS 1 f{a}", 10 + b * 100),
        20 => format!("HDEL stir:hash:{key} f{a}"),
        21..23 => format!("ZADD stir:zset:{key} {a} m{b} {b} m{a}"),
        23 => format!("ZPOPMIN stir:zset:{key}"),
        24 => format!("ZINCRBY stir:zset:{key} 1.5 m{a}"),
        25 => format!("SET stir:string:{key} {a} PX {}", 10 + b * 150),
        26 => format!("APPEND stir:string:{key} {b}"),
        27 => format!("PEXPIRE stir:set:{key} {}", 50 + b * 100),
        28 => format!("COPY stir:zset:{key} stir:zset:{other} REPLACE"),
        29 => format!("SETBIT stir:bits:{key} {} {}", a * 9, b % 2),
        30 => format!("BITFIELD stir:bits:{key} OVERFLOW SAT INCRBY u5 {a} 3 GET i7 {b}"),
        31 => format!("BITOP XOR stir:bits:{other} stir:bits:{key} stir:bits:{other}"),
        32 => format!("PFADD stir:loglog:{key} {a} {b} m{a}"),
        33 => format!("PFMERGE stir:loglog:{other} stir:loglog:{key}"),
        34 => format!("GEOADD stir:geo:{key} {a}.5 {b}.25 m{a}"),
        35 => format!(
            "GEOSEARCHSTORE stir:zset:{other} stir:geo:{key} FROMLONLAT 5 5 BYRADIUS 700 km STOREDIST"
        ),
        36..39 => format!("XADD stir:stream:{key} MAXLEN ~ {} * f{} {b}", 90 + a, a % 3),
        39 => format!("XADD stir:stream:{key} MAXLEN {} * f {b}", 5 + a),
        40 => format!("XGROUP CREATE stir:stream:{key} g{} 0 MKSTREAM", a % 2),
        41..43 => format!(
            "XREADGROUP GROUP g{} c{} COUNT 3 BLOCK {} STREAMS stir:stream:{key} >",
            a % 2,
            b % 3,
            1 + a * 40
        ),
        43 => format!("XREAD BLOCK {} STREAMS stir:stream:{key} $", 1 + b * 40),
        44 => format!("XAUTOCLAIM stir:stream:{key} g{} c{} 0 0 COUNT 2", a % 2, b % 3),
        45 => format!("XREADGROUP GROUP g{} c{} COUNT 3 STREAMS stir:stream:{key} 0", a % 2, b % 3),
        _ => format!("DEL stir:hash:{key} stir:string:{other}"),
    }
}

fn bytes_of(line: &str) -> Vec<u8> {
    let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    encode(&words)
}

/// Whether a reply says that a command is not one: the stirring would be for nothing.
pub fn is_refused(reply: &Reply) -> bool {
    let refusals = ["ERR unknown", "ERR wrong number", "ERR syntax", "WRONGTYPE"];
    reply.error().is_some_and(|error| refusals.iter().any(|refusal| error.starts_with(refusal)))
}
