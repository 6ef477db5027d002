//! Replication: one raft group over the write-ahead log.
//!
//! | file | subject |
//! |---|---|
//! | `node` | a member of the group: pure, no socket, no clock, no thread; `node/offer`: checkpoints in place of entries; `node/rejoin`: a member whose log is new |
//! | `storage` | the log as raft sees it |
//! | `lease` | when a leader may answer reads alone, and why that is right |
//! | `timing` | ticks, heartbeats, election timeouts, leases |
//! | `identity`, `cluster` | node id and members, and how nodes find each other; which cluster a log belongs to; `memo`: what a log remembers of its node beside that |
//! | `outbox` | what leaves a node |
//! | `inbox` | what arrived and waits for the driver |
//! | `transport`, `link`, `listener`, `greetings` | TCP between nodes |
//! | `lanes`, `byte_chain` | what waits for a peer: signs of life never wait for long entries, and long entries are not copied |
//! | `hello`, `frame` | the bytes they exchange |
//! | `keepalive` | signs of life while the driver is busy |
//! | `status` | what a node tells of itself |

mod byte_chain;
pub mod cluster;
pub mod frame;
mod greetings;
pub mod hello;
pub mod identity;
pub mod inbox;
pub mod keepalive;
mod lanes;
pub mod lease;
mod link;
mod listener;
mod logger;
pub mod memo;
pub mod node;
pub mod outbox;
#[cfg(test)]
mod simulation;
mod socket;
pub mod status;
pub mod storage;
#[cfg(test)]
mod stories;
mod task;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod testing_net;
pub mod timing;
pub mod transport;
