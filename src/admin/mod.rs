//! Process commands: about the connection, the process, the log, the cluster; and what all workers share, of which they tell.

pub mod client;
pub mod connection;
pub mod migrate;
pub mod monitor;
pub mod perdura;
pub mod pubsub;
pub mod report;
pub mod server;
pub mod shared;
pub mod slowlog;
#[cfg(test)]
pub mod testing;
pub mod transaction;

pub use connection::foreseen_protocol;
pub use perdura::{MARK, MAX_MARK_BYTES};
pub use pubsub::IN_SHARD_CHANNEL;
pub use server::AcksWanted;
