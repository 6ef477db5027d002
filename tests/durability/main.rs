//! Durability, shown on the real binary: kill -9 under load, torn and damaged logs, clean stops, and the harness that users run.
//!
//! `DURABILITY_ROUNDS=25 cargo test --release --test durability -- --nocapture` is the long form; it prints a table.

mod backup_places;
mod backups;
mod bit_flips;
mod catch_up;
mod checkpoints;
mod damage;
mod full_disk;
mod golden;
mod hostile;
mod identity;
mod kills;
mod ledger;
mod point_in_time;
mod rdb_import;
mod recover;
mod repair;
mod restarts;
mod restorable;
mod s3;
mod scrub;
mod slow_link;
mod streams;
mod torture;
mod writers;

use perdura_testkit::NodeSpec;

/// A node of the binary under test, with segments small enough that a test fills several.
fn perdura() -> NodeSpec {
    NodeSpec::new(env!("CARGO_BIN_EXE_perdura"))
}
