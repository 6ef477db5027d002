//! Perdura: a durable, Redis-compatible, in-memory database.
//!
//! A room (a folder, or a file beside the folders) imports from lower floors only, and from its own floor without a circle:
//! `tests/floors.rs` has the floors and holds that. `docs/architecture.md` is the map.

pub mod access;
pub mod acl;
pub mod admin;
pub mod apply;
pub mod backup;
mod calendar;
pub mod checkpoint;
pub mod cli;
pub mod command;
pub mod config;
pub mod data_folder;
pub mod env;
pub mod glob;
pub mod guesses;
pub mod keyspace;
pub mod loading;
pub mod logging;
pub mod memory;
pub mod messages;
pub mod metrics;
pub mod net;
pub mod pause;
pub mod persistence;
pub mod planted;
pub mod propose;
pub mod protocol;
pub mod pubsub;
pub mod raft;
pub mod rdb;
mod replay;
pub mod server;
pub mod session;
pub mod shard;
pub mod space;
pub mod sync_probe;
pub mod torture;
pub mod version;
