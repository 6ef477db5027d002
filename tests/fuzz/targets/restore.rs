//! Feeds arbitrary payloads to RESTORE's reader: `cargo +nightly fuzz run restore --fuzz-dir tests/fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perdura::keyspace::types::limits::TypeLimits;
use perdura::keyspace::value::ValueRef;
use perdura::rdb::{Value, bound, dump, footer, load};

#[path = "../restore_law.rs"]
mod law;

fuzz_target!(|input: &[u8]| law::check(input));
