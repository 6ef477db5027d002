//! Bytes in and out: listeners, connections, and the connections on which a client's commands go to the primary,
//! or its keys to another server.
//!
//! Each worker is one thread with a current-thread runtime. It accepts for itself, owns its connections, and hands nothing
//! of them to anybody: what comes back from the log is addressed by number.

mod answers;
pub mod connection;
pub mod hold;
pub mod listener;
mod look_ahead;
pub mod metrics_http;
mod migrate;
pub mod reading;
pub mod relay;
pub mod upstream;
pub mod worker;
