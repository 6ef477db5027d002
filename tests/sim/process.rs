//! One node's process: the real log, raft node, shard, keyspace and sessions, put together as `src/server/open.rs` does it,
//! over a simulated disk and a clock that the simulation moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use perdura::admin::shared::Shared;
use perdura::apply::Applier;
use perdura::checkpoint::memory::MemoryShelf;
use perdura::config::Config;
use perdura::config::settings::{Flags, Settings};
use perdura::env::Now;
use perdura::env::{Clock, ManualClock};
use perdura::keyspace::Keyspace;
use perdura::keyspace::types::limits::TypeLimits;
use perdura::metrics::Metrics;
use perdura::raft::cluster::{Cluster, ClusterId};
use perdura::raft::frame::Frame;
use perdura::raft::identity::{GroupKey, Identity, NodeId};
use perdura::raft::inbox::PeerEvent;
use perdura::raft::keepalive::{Pulse, Turn, TurnBoard};
use perdura::raft::memo::Memo;
use perdura::raft::node::{Node, NodeConfig, NodeError};
use perdura::raft::outbox::Outbound;
use perdura::raft::status::{Leadership, LogSpace};
use perdura::raft::storage::{begin_after_loss, is_new};
use perdura::raft::timing::RaftTiming;
use perdura::server::ServerError;
use perdura::server::catch_up::CatchUp;
use perdura::server::checkpoints::Checkpoints;
use perdura::session::table;
use perdura::shard::machine::Machine;
use perdura::shard::port::{ShardHandle, Status};
use perdura::shard::turn::{Seeds, Shard, ShardError};
use perdura_wal::{NewLog, Options, Preparer, Recovery, SimDisk, Sources, Wal, WalError};
use raft::eraftpb::{Message, MessageType};

use crate::checkpoints::{self, Plan, StepTransfers, StepWriter, Witness};
use crate::connection::ServerConnection;
use crate::coverage::Seen;
use crate::queue::Micros;
use crate::scenario::Scenario;

/// How long a driver may be in one turn before its keepalive gives up on it, in milliseconds: the server's own bound.
const BUSY_BOUND_MS: u64 = 10_000;
/// How often what a node tells of itself is brought up to date.
const STATUS_PERIOD_MS: u64 = 20;

pub struct Process {
    pub shard: Shard<SimDisk>,
    pub shared: Arc<Shared>,
    pub hands: Arc<ManualClock>,
    pub pulse: Pulse,
    /// Gone once it has failed, as its thread would be.
    pub preparer: Option<Preparer<SimDisk>>,
    checkpoints: Checkpoints<StepWriter>,
    catch_up: CatchUp<StepTransfers>,
    pub witness: Witness,
    pub inbox: Vec<(NodeId, PeerEvent)>,
    pub connections: BTreeMap<u32, ServerConnection>,
    pub next_connection: u32,
    /// While the driver is in a turn.
    pub turn: Option<Turn>,
    /// The time and the frames of a turn that stalls.
    taken: Option<(Now, Vec<(NodeId, PeerEvent)>)>,
    /// When the next turn begins, and the token of its event.
    pub next_turn: Option<(Micros, u64)>,
    pub next_token: u64,
    /// The log is replayed; clients are let in.
    pub accepts: bool,
    /// The process ends in good order, at this moment at the latest.
    pub ends_by: Option<Micros>,
    tells_calendar: bool,
    board: TurnBoard,
    next_status_ms: u64,
    told_leadership: (Leadership, u64),
    space: LogSpace,
    refused_commands: u64,
}

/// What keeps a process from starting.
#[derive(Debug)]
pub enum OpenError {
    Log(WalError),
    Node(NodeError),
}

/// A frame on its way out.
pub struct Letter {
    pub to: NodeId,
    pub bytes: Vec<u8>,
    /// Disk operations that the turn had done before the frame left.
    pub operations: u64,
    /// Whether it asks its receiver to campaign.
    pub hands_over: bool,
}

/// Frames of one turn.
pub struct Letters {
    pub sent: Vec<Letter>,
    disk: SimDisk,
    operations_before: u64,
    reachable: Vec<bool>,
    tells_calendar: bool,
}

impl Outbound for Letters {
    fn send(&mut self, to: NodeId, frame: &Frame) -> bool {
        let is_kept_back = matches!(frame, Frame::Calendar { .. }) && !self.tells_calendar;
        if is_kept_back || !self.reachable[to as usize - 1] {
            return false;
        }
        let operations = self.disk.operations() - self.operations_before;
        self.sent.push(Letter { to, bytes: encode(frame), operations, hands_over: hands_over(frame) });
        true
    }

    fn flush(&mut self) {}
}

fn hands_over(frame: &Frame) -> bool {
    let is_request = |message: &Message| message.get_msg_type() == MessageType::MsgTimeoutNow;
    matches!(frame, Frame::Raft(frame) if frame.messages.iter().any(is_request))
}

/// A frame in the bytes in which it travels.
pub fn encode(frame: &Frame) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    frame.encode(&mut bytes).expect("a simulated frame is short enough to be sent");
    bytes.to_vec()
}

/// Where clients reach a node.
pub fn client_addr(node: usize) -> String {
    format!("10.0.0.{}:6379", node + 1)
}

/// The node at a client address.
pub fn node_at(addr: &str) -> Option<usize> {
    let id: usize = addr.strip_prefix("10.0.0.")?.strip_suffix(":6379")?.parse().ok()?;
    id.checked_sub(1)
}

/// What a process is started with.
pub struct Birth {
    pub timing: RaftTiming,
    pub disk: SimDisk,
    pub shelf: MemoryShelf,
    pub knows_of_loss: bool,
    pub unix_ms: i64,
    /// The process' randomness.
    pub seed: u64,
}

impl Process {
    /// Opens the log on the disk and makes everything that stands on it.
    pub fn open(scenario: &Scenario, node: usize, with: Birth) -> Result<(Process, Recovery), OpenError> {
        let Birth { timing, disk, shelf, knows_of_loss, unix_ms, seed } = with;
        let (clock, hands) = Clock::manual(unix_ms);
        let node_config = NodeConfig { timing, secret: seed, ..node_config(scenario, node) };
        let log_id = seed | 1;
        let (keyspace, mut mutator) = Keyspace::create();
        let (store, start) = checkpoints::open(shelf.clone(), &mut mutator);
        let mut newest = || start.map(|start| start.checkpoint);
        let mut sources = Sources { progress: &mut |_| {}, checkpoint: &mut newest };
        let metadata = Memo::default().encode(&node_config.identity);
        let options = log_options(scenario, log_id, metadata);
        let (mut wal, recovery) = Wal::open_with(disk, options, &mut sources).map_err(OpenError::Log)?;
        let preparer = wal.take_preparer();
        while preparer.step().map_err(OpenError::Log)? {}
        if knows_of_loss && is_new(&wal) {
            let checkpoint = start.map(|start| start.checkpoint);
            let of = Cluster::of(start.map_or(ClusterId::NONE, |start| start.cluster));
            let marked = begin_after_loss(&mut wal, &node_config.identity, of, checkpoint);
            marked.map_err(|fault| OpenError::Node(fault.into()))?;
        }
        let adopted = checkpoints::finish_adoption(&shelf, start, &mut wal);
        adopted.map_err(|fault| OpenError::Node(fault.into()))?;
        let handle = Arc::new(ShardHandle::new(keyspace.clone(), scenario.workers));
        let shared = shared(scenario, node, &clock, &handle, seed);
        let applied = start.map_or(0, |start| start.checkpoint.index);
        let opened = Node::open(wal, node_config, applied, clock.monotonic_ms());
        let mut raft_node = opened.map_err(OpenError::Node)?;
        let (plan, witness) = (scenario.checkpoints, Witness::default());
        let writer = StepWriter::new(store, shelf.clone(), keyspace, plan, witness.clone());
        let (policy, identity, now_ms) = (Plan::policy(plan), identity(scenario, node), clock.monotonic_ms());
        let checkpoints = Checkpoints::new(writer, &handle, policy, identity, now_ms);
        let checkpoints = checkpoints.expect("a shelf in memory can be read");
        let transfers = handle.transfers.clone();
        let worker = StepTransfers::new(shelf, plan, transfers.clone(), clock.clone(), witness.clone());
        let catch_up = CatchUp::new(worker, transfers);
        let board = TurnBoard::default();
        let stamp_ms = start.map_or(i64::MIN, |start| start.stamp_ms);
        table::know_commands();
        let applier = Applier::after(mutator, TypeLimits::default(), stamp_ms);
        if let Some(start) = start {
            raft_node.checkpoint_published(start.checkpoint);
            witness.see(Seen::StartsFromCheckpoints);
        }
        let mut machine = Machine::new(applier, handle.clone(), board.clone(), clock, shared.metrics.clone());
        machine.applied = applied;
        let mut shard = Shard::new(raft_node, machine, handle, Seeds::of_test(seed.rotate_left(17)));
        shard.cut_items_over(scenario.long_bytes);
        let known = shard.know_cluster(start.map_or(ClusterId::NONE, |start| start.cluster));
        known.map_err(|error| match error {
            ShardError::Node(error) => OpenError::Node(error),
            ShardError::Apply(error) => panic!("nothing is applied: {error}"),
        })?;
        let process = Process {
            shard,
            shared,
            hands,
            pulse: Pulse::new(board.clone(), &timing, BUSY_BOUND_MS),
            preparer: Some(preparer),
            checkpoints,
            catch_up,
            witness,
            tells_calendar: scenario.tells_calendars,
            inbox: Vec::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            turn: None,
            taken: None,
            next_turn: None,
            next_token: 0,
            accepts: false,
            ends_by: None,
            board,
            next_status_ms: 0,
            told_leadership: Default::default(),
            space: LogSpace::default(),
            refused_commands: 0,
        };
        Ok((process, recovery))
    }

    pub fn now(&self) -> Now {
        Now { monotonic_ms: self.shared.clock.monotonic_ms(), unix_ms: self.shared.clock.unix_ms() }
    }

    pub fn handle(&self) -> &ShardHandle {
        &self.shared.shard
    }

    /// The driver begins a turn: it takes what has arrived, and the time. False if it has begun already.
    pub fn take_time(&mut self) -> bool {
        if self.taken.is_some() {
            return false;
        }
        self.turn = Some(self.board.begin_turn());
        self.taken = Some((self.now(), std::mem::take(&mut self.inbox)));
        true
    }

    /// One turn of the driver. Returns the frames that it sent, also where it failed.
    pub fn run_turn(&mut self, disk: &SimDisk, reachable: Vec<bool>) -> (Letters, Result<(), ShardError>) {
        let operations_before = disk.operations();
        let (disk, tells_calendar) = (disk.clone(), self.tells_calendar);
        let mut letters = Letters { sent: Vec::new(), disk, operations_before, reachable, tells_calendar };
        self.take_time();
        let (now, mut events) = self.taken.take().unwrap_or_default();
        let carried = self.carry_files(&mut events, &mut letters, now);
        let turned = carried.and_then(|()| self.shard.turn(now, &mut events, &mut letters));
        let turned = turned.and_then(|()| self.attend_checkpoints(now));
        (letters, turned)
    }

    fn carry_files(
        &mut self,
        events: &mut Vec<(NodeId, PeerEvent)>,
        out: &mut Letters,
        now: Now,
    ) -> Result<(), ShardError> {
        self.catch_up.take_in(events);
        let persistence = &self.shared.shard.persistence;
        let before = persistence.checkpoints().newest;
        let turned = self.catch_up.turn(&mut self.shard, &mut self.checkpoints, persistence, out, now);
        if persistence.checkpoints().newest != before {
            self.witness.see(Seen::CheckpointsFetched);
        }
        turned.map_err(shard_error)
    }

    fn attend_checkpoints(&mut self, now: Now) -> Result<(), ShardError> {
        self.checkpoints.turn(&mut self.shard, &self.shared.shard.persistence, now).map_err(shard_error)
    }

    /// The turn is over: brings what others may know of the node up to date, as the server's driver does.
    pub fn end_turn(&mut self, node: usize) {
        self.turn = None;
        drop(self.shard.take_published());
        drop(self.shard.take_garbage());
        drop(self.shard.take_slow());
        let now = self.now();
        let leadership = (self.shard.node().leadership(), self.handle().leadership_epoch());
        if now.monotonic_ms >= self.next_status_ms || leadership != self.told_leadership {
            self.told_leadership = leadership;
            self.next_status_ms = now.monotonic_ms + STATUS_PERIOD_MS;
            self.shared.shard.tell_status(status(node, leadership.0));
        }
    }
}

impl Process {
    /// Whether the node has just found that there is no space for another segment, and how many commands it has refused
    /// for that since this was asked last.
    pub fn take_shortage(&mut self) -> (bool, u64) {
        let before = std::mem::replace(&mut self.space, self.shard.node().log_space());
        let refused = self.shared.metrics.log.refused_commands.get();
        let refused_before = std::mem::replace(&mut self.refused_commands, refused);
        (self.space.is_short && !before.is_short, refused - refused_before)
    }
}

/// A shelf in memory never fails.
fn shard_error(error: ServerError) -> ShardError {
    match error {
        ServerError::Shard(error) => error,
        ServerError::Node(error) => ShardError::Node(error),
        other => panic!("a simulated checkpoint is whole: {other}"),
    }
}

fn status(node: usize, leadership: Leadership) -> Status {
    Status {
        node_id: node as u64 + 1,
        role: leadership.role,
        leader_id: leadership.leader.unwrap_or(0),
        leader_client_addr: leadership.leader.map(|leader| client_addr(leader as usize - 1)),
        term: leadership.term,
        ..Status::default()
    }
}

pub fn identity(scenario: &Scenario, node: usize) -> Identity {
    let members = (1..=scenario.nodes as u64).collect();
    Identity::new(GroupKey(7), node as u64 + 1, members).expect("node ids are sound")
}

fn node_config(scenario: &Scenario, node: usize) -> NodeConfig {
    NodeConfig {
        trust_clocks: scenario.trust_clocks,
        skip_commit_broadcast: scenario.skip_commit_broadcast,
        max_append_bytes: scenario.max_append_bytes,
        entry_cache_bytes: scenario.entry_cache_bytes,
        max_inflight_appends: scenario.max_inflight_appends,
        catch_up_bytes_per_second: scenario.catch_up_bytes_per_second,
        ..NodeConfig::new(identity(scenario, node))
    }
}

pub fn log_options(scenario: &Scenario, log_id: u64, metadata: Vec<u8>) -> Options {
    Options {
        segment_bytes: scenario.segment_bytes,
        pad_to_block: scenario.pads_to_block(),
        spare_segments: 1,
        create: Some(NewLog { log_id, metadata }),
    }
}

fn shared(
    scenario: &Scenario,
    node: usize,
    clock: &Clock,
    handle: &Arc<ShardHandle>,
    seed: u64,
) -> Arc<Shared> {
    let metrics = Metrics::new(clock.clone(), table::statistic_names());
    let run_id = format!("{seed:040x}");
    Arc::new(Shared::new(
        config(scenario, node),
        clock.clone(),
        metrics,
        handle.clone(),
        run_id,
        table::table(),
    ))
}

fn config(scenario: &Scenario, node: usize) -> Config {
    let members = (1..=scenario.nodes).map(|id| format!("{id}=127.0.0.1:{}", 7000 + id));
    let mut flags: Flags = [("node-id", vec![(node + 1).to_string()])].into_iter().collect();
    if scenario.nodes > 1 {
        flags.insert("initial-cluster", vec![members.collect::<Vec<_>>().join(",")]);
        flags.insert("peer-addr", vec![format!("127.0.0.1:{}", 7001 + node)]);
    }
    flags.insert("on-doubt", vec![if scenario.closes_on_doubt { "close" } else { "error" }.to_owned()]);
    let settings = Settings::resolve(&flags, []).expect("the settings of a simulation exist");
    Config::build(&settings).expect("the settings of a simulation are sound")
}
