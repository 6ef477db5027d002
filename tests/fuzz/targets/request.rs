//! Feeds arbitrary bytes to the request parser: `cargo +nightly fuzz run request --fuzz-dir tests/fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perdura::protocol::request::{Parse, RequestError, RequestLimits, RequestParser};

#[path = "../request_law.rs"]
mod law;

fuzz_target!(|input: &[u8]| law::check(input));
