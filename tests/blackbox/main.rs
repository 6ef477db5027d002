//! Black-box tests: the real binary, real sockets, real files. One subject a file; each test is a story.
//!
//! One binary, since linking is what costs. `ORACLE=redis-server cargo test --test blackbox` tells to Redis itself what
//! is meant to hold for it too, which checks the tests.

mod acknowledgements;
mod administration;
mod authentication;
mod bits;
mod blocking;
mod clients;
mod command_line;
mod connections;
mod costs;
mod differential;
mod drills;
mod dump;
mod eviction;
mod forwarding;
mod functions;
mod limits;
mod loading;
mod log;
mod long_transactions;
mod look;
mod memory;
mod metrics;
mod migrate;
mod monitor;
mod notifications;
mod observability;
mod operations;
mod operators;
mod outages;
mod parameters;
mod pausing;
mod pipelining;
mod privacy;
mod protocol;
mod pubsub;
mod rdb;
mod replication;
mod replies;
mod scan;
mod scripts;
mod stories;
mod strangers;
mod streams;
mod tracking;
mod transactions;
mod users;

use perdura_testkit::NodeSpec;

/// A node of the binary under test.
fn perdura() -> NodeSpec {
    NodeSpec::new(env!("CARGO_BIN_EXE_perdura"))
}
