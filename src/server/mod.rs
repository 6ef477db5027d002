//! The process: puts the parts together, runs them, and ends them in good order.
//!
//! - Worker threads each have a current-thread runtime; the log driver turns in the first worker's loop or in a thread of
//!   its own, as configured.
//! - The first error of the log, of apply or of a listener ends the process; nothing is acknowledged after it.

mod backups;
mod ballast;
pub mod catch_up;
pub mod checkpoint_writer;
pub mod checkpoints;
mod compaction;
mod driver;
mod folder;
mod open;
mod passwords;
mod peers;
mod progress;
mod repair;
mod scrub;
mod space;
mod subscriptions;
pub mod transfer_worker;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::admin::report::NodeReport;
use crate::admin::shared::Shared;
use crate::checkpoint::error::CheckpointError;
use crate::command::context::Garbage;
use crate::config::Config;
use crate::config::value::LogDriver;
use crate::metrics::Metrics;
use crate::net::{listener, metrics_http, upstream, worker::Worker};
use crate::raft::node::NodeError;
use crate::shard::turn::ShardError;
use driver::{Driver, Signals};
use open::{Opened, Prepared};
use peers::PeerPlan;

#[derive(Debug, Error)]
pub enum ServerError {
    #[error("--dir {dir}: {source}")]
    Dir { dir: String, source: io::Error },
    #[error("the log: {0}")]
    Log(#[from] perdura_wal::WalError),
    #[error("{0}")]
    DataFolder(#[from] crate::data_folder::DataFolderError),
    #[error("{0}")]
    Identity(#[from] crate::raft::identity::IdentityError),
    #[error("{0}")]
    Node(#[from] NodeError),
    #[error("{0}")]
    Shard(#[from] ShardError),
    #[error("{0}. The log is set aside; start the node again, and it learns from the others what was in it")]
    LogSetAside(Box<ServerError>),
    /// Of a node that ran.
    #[error("DAMAGE in the log of a running node: {why}. {next} (docs/operations.md, A segment is damaged)")]
    LogDamaged { why: Box<ServerError>, next: &'static str },
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("{flag} {addr}: {source}")]
    Listen { flag: &'static str, addr: String, source: io::Error },
    #[error("this program was built with planted bugs, to test its tests: it serves nobody")]
    PlantedBugs,
    #[error("users for the group's first start: {0}")]
    Users(String),
    #[error("a thread or runtime: {0}")]
    Thread(#[source] io::Error),
}

/// Garbage that may wait for the thread that drops it.
const MAX_GARBAGE: usize = 4096;

/// Runs a node until it is told to end.
///
/// # Errors
/// Whatever keeps the node from starting, or makes it unsafe to go on.
pub fn run(config: Config) -> Result<(), ServerError> {
    if cfg!(feature = "planted-bugs") {
        return Err(ServerError::PlantedBugs);
    }
    let told = config.clone();
    run_node(config).map_err(|why| repair::at_end(&told, why))
}

fn run_node(config: Config) -> Result<(), ServerError> {
    let workers = config.workers;
    let in_worker = match config.log_driver {
        LogDriver::Auto => std::thread::available_parallelism().map_or(1, usize::from) < 4,
        LogDriver::Worker => true,
        LogDriver::Thread => false,
    };
    let mut listeners = (0..workers).map(|_| Vec::new()).collect::<Vec<_>>();
    let runtimes: Vec<Runtime> = (0..workers).map(|_| runtime()).collect::<Result<_, _>>()?;
    let signals = catch_signals(&runtimes[0])?;
    bind(&config, &runtimes, &mut listeners)?;
    let listener = peers::listen(&config)?;
    let prepared = open::prepare(config)?;
    let shared = prepared.shared.clone();
    if let Some(addr) = shared.config.started_with().metrics_addr {
        let refused = |source| ServerError::Listen { flag: "--metrics-addr", addr: addr.to_string(), source };
        metrics_http::start(addr, source(&shared)).map_err(refused)?;
    }
    let garbage = dropper(shared.metrics.clone())?;
    progress::show(shared.shard.clone(), shared.clock.clone())?;
    passwords::watch(shared.clone())?;
    space::watch(shared.clone())?;
    let loaded = load(prepared, listener)?;
    let drive = {
        let shared = shared.clone();
        move || drive(shared, loaded, signals, garbage, in_worker)
    };
    let mut runtimes = runtimes.into_iter();
    let mut listeners = listeners.into_iter();
    let (Some(first), Some(first_listeners)) = (runtimes.next(), listeners.next()) else { return Ok(()) };
    for (index, (runtime, listeners)) in runtimes.zip(listeners).enumerate() {
        let shared = shared.clone();
        spawn(format!("worker-{}", index + 1), move || {
            let local = LocalSet::new();
            let worker = Worker::new(index + 1, shared);
            local.spawn_local(serve(worker, listeners));
            local.block_on(&runtime, std::future::pending::<()>());
        })?;
    }
    let worker = Worker::new(0, shared.clone());
    let local = LocalSet::new();
    local.spawn_local(upstream::watch_primary(shared.clone()));
    local.spawn_local(serve(worker, first_listeners));
    if in_worker {
        return local.block_on(&first, drive());
    }
    let (ended, end) = oneshot::channel();
    let driver_runtime = runtime()?;
    spawn("log".to_owned(), move || {
        let run = LocalSet::new().block_on(&driver_runtime, drive());
        // The first worker waits for this; if it is gone, so is the process.
        let _ = ended.send(run);
    })?;
    local.block_on(&first, end).unwrap_or_else(|_| Err(gone("the thread of the log")))
}

/// What the endpoint of `--metrics-addr` shows.
fn source(shared: &Arc<Shared>) -> metrics_http::Source {
    let (health, status) = (shared.clone(), shared.clone());
    metrics_http::Source {
        metrics: shared.metrics.clone(),
        health: Arc::new(move || health.health()),
        status: Arc::new(move || NodeReport::of(&status).json()),
    }
}

/// Before anybody can know that the node is there, and before any runtime turns: a signal that comes while nobody listens for it
/// yet is dropped by the runtime that hears it, one that comes before ends the process without a word.
fn catch_signals(runtime: &Runtime) -> Result<Signals, ServerError> {
    let _guard = runtime.enter();
    Signals::catch()
}

/// What comes of loading.
type Loaded = Result<(Opened, PeerPlan), ServerError>;

/// Loads in a thread of its own, so that workers can answer meanwhile.
fn load(
    prepared: Prepared,
    listener: Option<std::net::TcpListener>,
) -> Result<oneshot::Receiver<Loaded>, ServerError> {
    let (loaded, outcome) = oneshot::channel();
    spawn("loading".to_owned(), move || {
        // Whoever does not wait for it any more was told to end.
        let _ = loaded.send(open::load(prepared, listener));
    })?;
    Ok(outcome)
}

/// Waits until everything is loaded, and turns the log until the process is told to end.
async fn drive(
    shared: Arc<Shared>,
    loaded: oneshot::Receiver<Loaded>,
    mut signals: Signals,
    garbage: SyncSender<Garbage>,
    shares_loop: bool,
) -> Result<(), ServerError> {
    tokio::select! {
        biased;
        loaded = loaded => {
            let (opened, peers) = loaded.map_err(|_| gone("the thread that loads"))??;
            Driver::open(opened, peers, garbage, shares_loop)?.run(signals).await
        }
        () = signals.end(&shared) => {
            tracing::info!("ending before everything was loaded");
            Ok(())
        }
    }
}

/// Accepts at once; while the node loads, all that a client gets is LOADING.
async fn serve(worker: Rc<Worker>, listeners: Vec<std::net::TcpListener>) {
    tokio::task::spawn_local(worker.clone().deliver());
    for listener in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => drop(tokio::task::spawn_local(listener::accept(worker.clone(), listener))),
            Err(error) => tracing::error!(%error, "a listener can't be used"),
        }
    }
}

/// Listens at every address for every worker, before anything else is touched.
fn bind(
    config: &Config,
    runtimes: &[Runtime],
    listeners: &mut [Vec<std::net::TcpListener>],
) -> Result<(), ServerError> {
    let several = listeners.len() > 1;
    for bind in &config.bind {
        let addr = SocketAddr::new(bind.ip, config.port);
        let listen = |shared_port| listener::listen(addr, shared_port).and_then(TcpListener::into_std);
        if several {
            // A port shared between workers would be shared with another process, too: see that nobody has it.
            let _guard = runtimes[0].enter();
            match listen(false) {
                Ok(probe) => drop(probe),
                Err(_) if bind.optional => continue,
                Err(source) => return Err(cannot_listen(addr, source)),
            }
        }
        for (listeners, runtime) in listeners.iter_mut().zip(runtimes) {
            let _guard = runtime.enter();
            match listen(several) {
                Ok(listener) => listeners.push(listener),
                Err(_) if bind.optional => {}
                Err(source) => return Err(cannot_listen(addr, source)),
            }
        }
    }
    Ok(())
}

fn cannot_listen(addr: SocketAddr, source: io::Error) -> ServerError {
    ServerError::Listen { flag: "--port", addr: addr.to_string(), source }
}

fn gone(thread: &str) -> ServerError {
    ServerError::Thread(io::Error::other(format!("{thread} is gone")))
}

fn runtime() -> Result<Runtime, ServerError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServerError::Thread)
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<(), ServerError> {
    std::thread::Builder::new().name(name).spawn(run).map(drop).map_err(ServerError::Thread)
}

/// A thread that drops what takes long to drop.
fn dropper(metrics: Arc<Metrics>) -> Result<SyncSender<Garbage>, ServerError> {
    let (sender, received) = sync_channel::<Garbage>(MAX_GARBAGE);
    let free = move |garbage: Garbage| {
        let objects = garbage.objects();
        drop(garbage);
        metrics.lazy_free.freed.inc_by(objects);
        metrics.lazy_free.pending.dec_by(objects);
    };
    spawn("dropper".to_owned(), move || received.into_iter().for_each(free))?;
    Ok(sender)
}
