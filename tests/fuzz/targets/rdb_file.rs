//! Feeds arbitrary bytes to the parser of RDB files: `cargo +nightly fuzz run rdb_file --fuzz-dir tests/fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perdura::keyspace::types::limits::TypeLimits;
use perdura::rdb::file::{FileError, Parser, FileRecord};
use perdura::rdb::load_body;

#[path = "../rdb_file_law.rs"]
mod law;

fuzz_target!(|input: &[u8]| law::check(input));
