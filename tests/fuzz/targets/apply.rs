//! Feeds arbitrary command lines to apply: `cargo +nightly fuzz run apply --fuzz-dir tests/fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perdura::apply::Applier;
use perdura::apply::bulk::{Indexed, apply as bulk_apply};
use perdura::command::context::Stamp;
use perdura::command::cost::{CostContext, Forecast, of_command};
use perdura::command::spec::Flags;
use perdura::command::{Command, ReadContext, lookup, lookup_subcommand};
use perdura::keyspace::Keyspace;
use perdura::keyspace::digest::{Digest, of_keyspace};
use perdura::keyspace::types::limits::TypeLimits;
use perdura::propose::entry::{write_header, write_single};

#[path = "../apply_law.rs"]
mod law;

fuzz_target!(|input: &[u8]| law::check(input));
