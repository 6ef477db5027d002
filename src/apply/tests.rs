//! What the fuzzer began with obeys the laws.

use perdura_testkit::corpus;

use super::bulk::{Indexed, apply as bulk_apply};
use super::*;
use crate::command::cost::{CostContext, Forecast, of_command};
use crate::command::script::{Scripts, check_library, check_text};
use crate::command::spec::Flags;
use crate::command::{lookup, lookup_subcommand};
use crate::keyspace::digest::{Digest, of_keyspace};
use crate::propose::entry::{write_header, write_single};

#[path = "../../tests/fuzz/apply_law.rs"]
mod apply_law;
#[path = "../../tests/fuzz/script_law.rs"]
mod script_law;

#[test]
fn the_fuzzers_lines_obey_the_law_of_apply() {
    corpus::each("apply", apply_law::check);
}

#[test]
fn the_fuzzers_scripts_obey_the_law_of_scripts() {
    corpus::each("script", script_law::check);
}
