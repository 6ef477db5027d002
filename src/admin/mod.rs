//! Process commands: about the connection, the process, the log, the cluster; and what all workers share, of which they tell.
//!
//! A row of [`table::ProcessCommand`] says how a command runs: on the worker at once, in its own time, or by the session.

pub mod acl;
pub mod client;
pub mod connection;
pub mod functions;
#[cfg(test)]
mod hostile;
pub mod latency;
pub mod migrate;
pub mod monitor;
pub mod perdura;
pub mod primary_refusal;
pub mod pubsub;
pub mod rdb_file;
pub mod report;
pub mod scripts;
pub mod server;
pub mod shared;
pub mod slowlog;
pub mod table;
#[cfg(test)]
pub mod testing;
pub mod tracking;
pub mod transaction;
pub mod users;

use std::pin::Pin;
use std::sync::Arc;

use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;
use client::Client;
pub use connection::foreseen_protocol;
pub use perdura::MAX_MARK_BYTES;
pub use server::AcksWanted;
use shared::Shared;
use table::Table;

pub type LocalHandler = fn(&mut LocalContext<'_>, &Args<'_>, &mut Reply<'_>) -> CommandResult;

/// Writes the one reply.
pub type Answer = Box<dyn FnOnce(&mut Reply<'_>)>;
/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Answer, CommandError>>>>;
pub type AwaitedHandler = fn(&Arc<Shared>, &Args<'_>) -> Result<Answering, CommandError>;

/// What a command that does not touch the keyspace works with.
pub struct LocalContext<'a> {
    pub client: &'a mut Client,
    pub shared: &'a Shared,
    pub table: &'static Table,
}
