//! Ports for servers under test.
//!
//! - Below the range that the kernel hands to outgoing connections, so that none of those can sit on one.
//! - Never the same twice in one process; another process starts elsewhere in the range.
//!
//! A port that is free now may be taken before the server binds it: the server then fails to start, and says so.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 that nobody listens on.
pub fn free_port() -> u16 {
    let start = std::process::id().wrapping_mul(97) % COUNT;
    (0..COUNT)
        .map(|_| start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT + FIRST)
        .map(|port| u16::try_from(port).expect("the range ends below 65536"))
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a free port among twenty thousand")
}
