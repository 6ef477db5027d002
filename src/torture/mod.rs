//! `perdura torture`: real processes, real sockets, faults from a seed, and a judgement of everything that clients saw.
//!
//! - [`run()`] starts a group (or takes one that is there), lets clients work on it, injects one fault after the other, mends
//!   everything, reads all data once more, and has `perdura-proof` judge the history. It leaves a folder with the report.
//! - The schedule of faults and the actions of the clients follow from the seed; their timing is that of the machine. A seed
//!   therefore gives the same faults again, not the same run.
//! - Everything but the links (`links.rs`) runs on one thread: nothing here is shared between threads, and times are taken
//!   by one clock.
//! - What is promised about the folder: it is new or empty before, and nothing outside it is touched.
//!
//! Caveat: `kill -9` takes a process away, not a machine. What the operating system has taken over survives; only the network
//! is made to forget (see [`fleet::Fleet::kill`]). Lying disks and lost page caches are the simulator's part.

mod about;
mod availability;
pub mod commands;
mod connection;
mod digests;
pub mod fault;
mod fleet;
mod links;
mod load;
mod monitor;
mod nemesis;
mod operator;
mod pauses;
mod place;
mod process;
mod progress;
mod report;
mod run;
mod schedule;
mod series;
mod small_disk;
pub mod summary;

use std::path::PathBuf;
use std::time::Duration;

use perdura_proof::Kind;

use commands::Commands;
use fault::FaultKind;
pub use fleet::launch::Own;
pub use run::run;

/// What is put to the test.
#[derive(Clone, Debug)]
pub enum System {
    /// A Perdura group of the harness' own.
    Perdura(Own),
    /// Redis servers of the harness' own: a primary and replicas.
    RedisServers(Own),
    /// Nodes that run already, as host:port; the first is the primary, where primaries are appointed.
    Running { nodes: Vec<String>, commands: Commands },
}

/// What a run is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    pub system: System,
    pub length: Duration,
    pub faults: Vec<FaultKind>,
    pub workloads: Vec<Kind>,
    pub seed: u64,
    /// Where everything goes; new or empty.
    pub dir: PathBuf,
    /// Operations a second of all clients.
    pub rate: u32,
    pub clients: u32,
    /// Keep the nodes' data though the run has passed.
    pub keep_data: bool,
    /// Show nothing while it goes on.
    pub quiet: bool,
    /// The line for a shell that repeats it, without secrets.
    pub command: String,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum TortureError {
    #[error("--dir {}: it is there already, and not empty", .0.display())]
    DirInUse(PathBuf),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the nodes can't be started: {0}")]
    Launch(#[source] std::io::Error),
    #[error("the nodes do not become ready: {0}")]
    NotReady(String),
    #[error("the history can't be written: {0}")]
    History(#[from] perdura_proof::HistoryError),
    #[error("the report can't be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
