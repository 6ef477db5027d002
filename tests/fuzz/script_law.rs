//! The law of scripts: a text of any bytes is refused before it is logged or ends, in a reply and in data that are the same on every node.
//!
//! Included by the unit tests of apply and by the fuzz target, which bring the names into scope.

use super::{
    Applier, Digest, Keyspace, Reply, Resp, Scripts, Stamp, TypeLimits, check_library, check_text,
    of_keyspace, write_header, write_single,
};

/// Functions that texts of the corpus register.
const FUNCTIONS: [&[u8]; 2] = [b"f", b"g"];
const MOST_REPLY_BYTES: usize = 16 << 20;

/// What begins as a library does is one.
pub fn check(text: &[u8]) {
    if text.starts_with(b"#!lua name=") { check_library_of(text) } else { check_script(text) }
}

/// A client's EVAL of any text, with a key and an argument.
fn check_script(text: &[u8]) {
    if check_text(&Scripts::default(), text).is_err() {
        return;
    }
    same_everywhere(&[&[b"SET", b"key", b"7"], &[b"EVAL", text, b"1", b"key", b"10"]]);
}

/// FUNCTION LOAD of any text, and calls of what it may have registered.
fn check_library_of(code: &[u8]) {
    if check_library(code).is_err() {
        return;
    }
    let calls = FUNCTIONS.map(|name| [&b"FCALL"[..], name, b"1", b"key", b"10"]);
    same_everywhere(&[&[b"_function", b"LOAD", code], &calls[0], &calls[1]]);
}

fn same_everywhere(lines: &[&[&[u8]]]) {
    let one = outcome(lines);
    let other = outcome(lines);
    assert!(one == other, "two nodes differ");
}

/// What is answered, and the data afterwards.
fn outcome(lines: &[&[&[u8]]]) -> (Vec<u8>, Digest) {
    let mut applier = Applier::new(Keyspace::create().1, TypeLimits::default());
    let mut replies = Vec::new();
    for (nth, args) in lines.iter().enumerate() {
        let mut payload = Vec::new();
        write_header(&mut payload, Stamp { now_ms: nth as i64, seed: 7 });
        write_single(&mut payload, 0, args);
        let mut run = applier.begin(&payload).expect("an entry");
        let mut reply = Reply::bounded(&mut replies, Resp::V3, MOST_REPLY_BYTES);
        applier.run_single(&mut run, &mut reply).expect("it can be understood");
    }
    (replies, of_keyspace(applier.keyspace()))
}
