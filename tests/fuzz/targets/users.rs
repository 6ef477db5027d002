//! Feeds arbitrary rules to ACL SETUSER: `cargo +nightly fuzz run users --fuzz-dir tests/fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perdura::acl::{Access, ChannelAccess, Commands, Request, User};
use perdura::session::table::table;

#[path = "../users_law.rs"]
mod law;

fuzz_target!(|input: &[u8]| law::check(input, table()));
