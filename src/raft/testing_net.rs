//! A node with everything it has in a process, on a thread of its own, for tests over real sockets.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use perdura_wal::{NewLog, Options, RealDisk, SyncMode, Wal};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::hello::{Greeter, Voice};
use super::identity::{GroupKey, Identity, NodeId};
use super::inbox::{Inbox, PeerEvent};
use super::keepalive::{Keepalive, KeepaliveConfig, TurnBoard};
use super::node::{Node, NodeConfig};
use super::status::NodeStatus;
use super::testing::Ledger;
use super::transport::{Transport, TransportConfig};
use crate::env::Clock;

/// What a test tells a driver to do within its next turn.
pub(super) enum Order {
    /// Block, as a slow disk would.
    Stall(Duration),
    Propose(Vec<u8>),
    Report(Sender<Report>),
    Stop,
}

#[derive(Debug)]
pub(super) struct Report {
    pub status: NodeStatus,
    pub texts: Vec<String>,
}

/// A node on a thread.
pub(super) struct Process {
    orders: Sender<Order>,
    wake: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

/// What a process is made of, before its thread has it.
struct Parts {
    node: Node<RealDisk>,
    machine: Ledger,
    inbox: Inbox,
    board: TurnBoard,
    clock: Clock,
    wake: Arc<Notify>,
    orders: Receiver<Order>,
}

/// Processes 1 to `size` that know each other.
pub(super) fn start_processes(size: u64, busy_bound_ms: u64) -> (Vec<Process>, Vec<TempDir>) {
    let sockets: Vec<_> = (0..size).map(|_| bind()).collect();
    let addresses: Vec<_> = sockets.iter().map(|(_, address)| *address).collect();
    let folders: Vec<_> = (0..size).map(|_| tempfile::tempdir().expect("a folder for a log")).collect();
    let processes = sockets.into_iter().zip(&folders).enumerate();
    let processes = processes.map(|(place, ((socket, _), folder))| {
        Process::start(place as u64 + 1, socket, &addresses, folder, busy_bound_ms)
    });
    (processes.collect(), folders)
}

pub(super) fn bind() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("a non-blocking socket");
    let address = socket.local_addr().expect("its address");
    (socket, address)
}

impl Process {
    fn start(
        id: NodeId,
        socket: TcpListener,
        addresses: &[SocketAddr],
        folder: &TempDir,
        busy_bound_ms: u64,
    ) -> Process {
        let members = (1..=addresses.len() as u64).collect();
        let identity = Identity::new(GroupKey(7), id, members).expect("a valid identity");
        let greeter = Greeter::new(identity.clone(), format!("client{id}:6379"), Voice::default());
        let peers: Vec<_> = (1..)
            .zip(addresses)
            .filter(|(peer, _)| *peer != id)
            .map(|(peer, address)| (peer, address.to_string()))
            .collect();
        let clock = Clock::system();
        let config = NodeConfig::new(identity);
        let timing = config.timing;
        let node = Node::open(open_wal(folder, id), config, 0, clock.monotonic_ms());
        let (orders, take_orders) = channel();
        let wake = Arc::new(Notify::new());
        let parts = Parts {
            node: node.expect("the node opens"),
            machine: Ledger::default(),
            inbox: Inbox::new(wake.clone()),
            board: TurnBoard::default(),
            clock,
            wake: wake.clone(),
            orders: take_orders,
        };
        let keepalive =
            KeepaliveConfig { busy_bound_ms, ..KeepaliveConfig::new(greeter.clone(), peers.clone(), timing) };
        let transport = TransportConfig::new(greeter, peers);
        let thread = std::thread::spawn(move || parts.drive(socket, transport, keepalive));
        Process { orders, wake, thread: Some(thread) }
    }

    pub(super) fn order(&self, order: Order) {
        self.orders.send(order).expect("the process runs");
        self.wake.notify_one();
    }

    /// What the driver says at the end of its next turn.
    pub(super) fn report(&self) -> Report {
        let (sender, receiver) = channel();
        self.order(Order::Report(sender));
        receiver.recv().expect("the process answers")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        self.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open_wal(folder: &TempDir, id: NodeId) -> Wal<RealDisk> {
    let disk = RealDisk::open(folder.path(), SyncMode::Fdatasync).expect("the folder opens");
    let options = Options {
        segment_bytes: 1 << 20,
        create: Some(NewLog { log_id: id, metadata: Vec::new() }),
        ..Options::default()
    };
    Wal::open(disk, options).expect("the log opens").0
}

impl Parts {
    fn drive(mut self, socket: TcpListener, transport: TransportConfig, keepalive: KeepaliveConfig) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let keepalive =
            Keepalive::start(keepalive, self.board.clone(), self.inbox.clone()).expect("a keepalive thread");
        runtime.block_on(async {
            let inbox = self.inbox.clone();
            let transport = Transport::start(transport, socket, inbox, Some(keepalive.handle()));
            let mut transport = transport.expect("a transport");
            while self.turn(&mut transport) {
                let now_ms = self.clock.monotonic_ms();
                let rest_ms = self.node.next_tick_ms().saturating_sub(now_ms);
                let rest = Duration::from_millis(rest_ms);
                let _ = tokio::time::timeout(rest, self.wake.notified()).await;
            }
        });
    }

    /// False when the process is to end.
    fn turn(&mut self, transport: &mut Transport) -> bool {
        let board = self.board.clone();
        let _turn = board.begin_turn();
        let orders: Vec<_> = self.orders.try_iter().collect();
        for order in &orders {
            match order {
                Order::Stall(time) => std::thread::sleep(*time),
                Order::Propose(data) => drop(self.node.propose(data.clone())),
                Order::Report(_) => {}
                Order::Stop => return false,
            }
        }
        self.hear();
        let now_ms = self.clock.monotonic_ms();
        self.node.tick(now_ms);
        let processed = self.node.process(now_ms, transport, &mut self.machine);
        processed.expect("the node goes on");
        board.set_leadership(&self.node.leadership());
        for order in orders {
            if let Order::Report(sender) = order {
                let status = self.node.status(now_ms);
                let texts = self.machine.texts();
                let _ = sender.send(Report { status, texts });
            }
        }
        true
    }

    fn hear(&mut self) {
        let mut events = Vec::new();
        self.inbox.take(&mut events);
        let now_ms = self.clock.monotonic_ms();
        for (from, event) in events {
            if let Some(PeerEvent::Publish(payload)) = self.node.hear(from, event, now_ms) {
                let applied = self.machine.texts().len() as u64;
                tracing::debug!(from, applied, bytes = payload.len(), "published");
            }
        }
    }
}

/// Asks until `done`, for at most 20 seconds.
pub(super) fn wait_for<T>(mut done: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1_000 {
        if let Some(value) = done() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("nothing came of it in 20 seconds");
}

/// The place of the process that serves, and its term.
pub(super) fn wait_for_leader(processes: &[Process]) -> (usize, u64) {
    wait_for(|| {
        let reports = processes.iter().map(|p| p.report().status);
        let serving = reports.enumerate().find(|(_, status)| status.is_serving)?;
        Some((serving.0, serving.1.leadership.term))
    })
}
