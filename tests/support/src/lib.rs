//! What black-box tests stand on: server processes, a blocking client, replies as text, stories.
//!
//! - Nothing here knows the server's insides: processes, sockets, signals and files only.
//! - Every wait has an end. A test that would hang fails and shows what the server logged.
//! - Failures panic with what was expected and what was seen: this is code for tests alone.

pub mod client;
pub mod clock;
pub mod cluster;
pub mod corpus;
pub mod hostile;
pub mod memory;
pub mod node;
mod ports;
pub mod preload;
pub mod reply;
pub mod signal;
pub mod story;

pub use client::Client;
pub use cluster::Cluster;
pub use node::{Node, NodeSpec};
pub use ports::free_port;
pub use preload::Preload;
pub use reply::Reply;
pub use signal::{Signal, send_signal};
