//! Black-box tests: the real binary, real sockets, real files. One subject a file; each test is a story.
//!
//! One binary, since linking is what costs. `PERDURA_ORACLE=redis-server cargo test --test blackbox stories` tells the
//! stories to Redis itself.

mod stories;

use perdura_testkit::NodeSpec;

/// A node of the binary under test.
fn perdura() -> NodeSpec {
    NodeSpec::new(env!("CARGO_BIN_EXE_perdura"))
}
