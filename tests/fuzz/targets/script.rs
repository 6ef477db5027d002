//! Feeds arbitrary texts to EVAL and FUNCTION LOAD: `cargo +nightly fuzz run script --fuzz-dir tests/fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perdura::apply::Applier;
use perdura::command::context::Stamp;
use perdura::command::script::{Scripts, check_library, check_text};
use perdura::keyspace::Keyspace;
use perdura::keyspace::digest::{Digest, of_keyspace};
use perdura::keyspace::types::limits::TypeLimits;
use perdura::propose::entry::{write_header, write_single};
use perdura::protocol::reply::{Reply, Resp};

#[path = "../script_law.rs"]
mod law;

fuzz_target!(|input: &[u8]| law::check(input));
