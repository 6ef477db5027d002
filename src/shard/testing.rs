//! One node's shard without sockets and threads, over a simulated disk: tests hand it requests, turn it, and read answers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use perdura_wal::disk::sim::{SimDisk, Tear};
use perdura_wal::{Disk, NewLog, Options, Preparer, Wal};

use super::log_reads::LogReads;
use super::machine::Machine;
use super::port::ShardHandle;
use super::quiet::QuietAsks;
use super::turn::{Seeds, Shard, ShardError};
use crate::apply::Applier;
use crate::command::testing::{show_reply, split_words};
use crate::command::{Handler, ReadContext, lookup_request, statistic_names};
use crate::config::eviction::{Eviction, EvictionPolicy};
use crate::env::Now;
use crate::env::{Clock, ManualClock};
use crate::keyspace::capture::{Capture, CaptureError};
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::view::LockSet;
use crate::keyspace::{Keyspace, digest};
use crate::memory::{Buffers, MachineLimit, MemoryLimits, Usage};
use crate::metrics::Metrics;
use crate::pause::Paused;
use crate::propose::batch::{Batch, Step, Work};
use crate::propose::entry;
use crate::propose::reply::ConnectionId;
use crate::protocol::reply::Resp;
use crate::raft::frame::Frame;
use crate::raft::identity::{GroupKey, Identity, NodeId};
use crate::raft::keepalive::TurnBoard;
use crate::raft::node::{Node, NodeConfig};
use crate::raft::outbox::Outbound;

/// Unix time at which every rig begins.
pub const START_MS: i64 = 1_000_000;
/// Connections are shared out among so many workers.
const WORKERS: usize = 2;

/// A node alone, its disk, and what its clients were answered.
pub struct Rig {
    pub disk: SimDisk,
    preparer: Preparer<SimDisk>,
    shard: Shard<SimDisk>,
    handle: Arc<ShardHandle>,
    clock: Clock,
    hands: Arc<ManualClock>,
    answers: BTreeMap<u32, Answers>,
}

/// What one connection was answered.
#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    count: u32,
}

/// The way to nobody.
struct Nowhere;

impl Outbound for Nowhere {
    fn send(&mut self, _: NodeId, _: &Frame) -> bool {
        false
    }

    fn flush(&mut self) {}
}

impl Rig {
    /// A new node that leads and has nothing left to do.
    pub fn new(seed: u64) -> Rig {
        Rig::open(SimDisk::new(seed, Tear::Sectors, 4096), seed)
    }

    /// The same on a machine with a given memory, of which the data of database 0 takes some, and buffers do.
    pub fn with_memory(seed: u64, bytes: u64) -> Rig {
        Rig::open_with(SimDisk::new(seed, Tear::Sectors, 4096), seed, |keyspace| {
            let machine = MachineLimit { bytes, name: "a small machine", counts_addresses: false };
            let buffers: Arc<OnceLock<Arc<Buffers>>> = Arc::default();
            let own = buffers.clone();
            let limits = MemoryLimits::new([machine], move || {
                let view = keyspace.read(LockSet::ALL);
                let context = ReadContext::new(&view, 0, START_MS, 0);
                let bytes = context.entries().map(|entry| entry.memory_bytes() as u64).sum();
                let allocated = bytes + own.get().map_or(0, |buffers| buffers.bytes());
                Usage { allocated, pages: bytes, addresses: bytes, ..Usage::default() }
            });
            buffers.get_or_init(|| limits.buffers().clone());
            limits
        })
    }

    /// The node whose log is on this disk; all that it committed is applied.
    pub fn open(disk: SimDisk, seed: u64) -> Rig {
        Rig::open_with(disk, seed, |_| MemoryLimits::none())
    }

    fn open_with(disk: SimDisk, seed: u64, memory: impl FnOnce(Arc<Keyspace>) -> MemoryLimits) -> Rig {
        let (clock, hands) = Clock::manual(START_MS);
        let (keyspace, mutator) = Keyspace::create();
        let memory = memory(keyspace.clone());
        let handle = Arc::new(ShardHandle::new(keyspace, WORKERS).with_memory(memory));
        handle.loading.begin(START_MS, 0);
        handle.loading.replay(0, u64::MAX);
        let identity = Identity::new(GroupKey(7), 1, vec![1]).expect("a valid identity");
        let mut wal = open_log(&disk);
        let preparer = wal.take_preparer();
        let node = Node::open(wal, NodeConfig::new(identity), 0, 0).expect("the node opens");
        let machine = Machine::new(
            Applier::new(mutator, TypeLimits::default()),
            handle.clone(),
            TurnBoard::default(),
            clock.clone(),
            Metrics::new(clock.clone(), statistic_names()),
        );
        let shard = Shard::new(node, machine, handle.clone(), Seeds::of_test(seed));
        let mut rig = Rig { disk, preparer, shard, handle, clock, hands, answers: BTreeMap::new() };
        rig.settle();
        assert!(rig.handle.is_primary(), "a node alone leads");
        rig
    }

    /// The same node after its process was killed.
    pub fn restarted(self, seed: u64) -> Rig {
        let disk = self.disk.kill();
        drop(self);
        Rig::open(disk, seed)
    }

    /// The same node after its power failed.
    pub fn after_power_failure(self, seed: u64) -> Rig {
        let disk = self.disk.crash();
        drop(self);
        Rig::open(disk, seed)
    }

    pub fn limit_memory(&mut self, maxmemory: u64) {
        self.shard.limit_memory(maxmemory, Eviction::default());
    }

    /// The same where keys are evicted.
    pub fn evict_over(&mut self, maxmemory: u64, policy: EvictionPolicy) {
        self.shard.limit_memory(maxmemory, Eviction { policy, ..Eviction::default() });
    }

    pub fn limit_entries(&mut self, max_bytes: usize) {
        self.shard.limit_entries(max_bytes);
    }

    pub fn cut_items_over(&mut self, bytes: usize) {
        self.shard.cut_items_over(bytes);
    }

    /// Bytes of an item that comes in parts.
    pub fn staged(&self) -> usize {
        self.shard.machine().applier.effects.staging.len()
    }

    /// Memory of long items that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.shard.long_items.capacity()
    }

    pub fn begin_capture(&mut self) -> Result<Capture, CaptureError> {
        self.shard.begin_capture()
    }

    /// The longest payload in the log.
    pub fn longest_entry(&self) -> usize {
        let storage = self.shard.node().storage();
        let entries = storage.read_entries(storage.first_entry(), storage.last_entry(), u64::MAX);
        entries.expect("a sound disk").iter().map(|entry| entry.data.len()).max().unwrap_or_default()
    }

    pub fn advance_ms(&mut self, ms: u64) {
        self.hands.advance(Duration::from_millis(ms));
    }

    /// Monotonic time does not notice.
    pub fn set_calendar_back_ms(&mut self, ms: i64) {
        self.hands.shift_unix_ms(-ms);
    }

    pub fn turn(&mut self) -> Result<(), ShardError> {
        self.turn_by(self.now())
    }

    /// A turn that began at this time.
    fn turn_by(&mut self, now: Now) -> Result<(), ShardError> {
        let turned = self.shard.turn(now, &mut Vec::new(), &mut Nowhere);
        for port in &self.handle.ports {
            let replies = std::mem::take(&mut *port.replies.lock());
            let mut bytes = &replies.bytes[..];
            for span in replies.spans {
                let (own, rest) = bytes.split_at(span.bytes);
                let answers = self.answers.entry(span.connection.index).or_default();
                answers.bytes.extend_from_slice(own);
                answers.count += span.answers;
                bytes = rest;
            }
        }
        turned
    }

    /// The last entry that was told to be applied since the start.
    pub fn replayed(&self) -> u64 {
        self.handle.loading.progress().expect("nobody ends it").index
    }

    /// Turns as long as there is anything to do.
    pub fn settle(&mut self) {
        const MOST_TURNS: usize = 10_000;
        self.turn().expect("a sound disk");
        for _ in 0..MOST_TURNS {
            if !self.shard.has_work() {
                return;
            }
            self.turn().expect("a sound disk");
        }
        panic!("it finds work for ever");
    }

    /// Settles, and again after the time that the driver lets pass now and then.
    pub fn rest(&mut self) {
        for _ in 0..20 {
            self.settle();
            self.advance_ms(30);
        }
    }

    pub fn log_reads(&self) -> &LogReads {
        &self.handle.log_reads
    }

    /// Serves who reads the log, as the driver does between two turns.
    pub fn serve_log_reads(&self) {
        self.handle.log_reads.serve(&self.shard);
    }

    pub fn quiet(&self) -> &QuietAsks {
        &self.handle.quiet
    }

    /// Answers the request for a quiet moment, as the driver does between two turns.
    pub fn serve_quiet(&mut self) {
        let now = self.now();
        self.handle.quiet.serve(&mut self.shard, now);
    }

    pub fn last_stamp_ms(&self) -> i64 {
        self.shard.machine().applier.last_stamp_ms()
    }

    fn now(&self) -> Now {
        Now { monotonic_ms: self.clock.monotonic_ms(), unix_ms: self.clock.unix_ms() }
    }

    pub fn compact_log(&mut self, index: u64) {
        self.shard.compact_log(index).expect("a sound disk");
    }

    /// Makes the log's next segments, as the thread for that would, if there is space.
    pub fn prepare(&self) {
        while self.preparer.step().expect("a sound disk") {}
    }

    /// From now on no file can be made or grow.
    pub fn fill_disk(&self) {
        let names = self.disk.list().expect("a sound disk");
        let bytes = names.iter().map(|name| self.disk.bytes(name).expect("a file").len() as u64);
        self.disk.set_capacity(Some(bytes.sum()));
        self.prepare();
    }

    /// There is space again.
    pub fn drain_disk(&self) {
        self.disk.set_capacity(None);
        self.prepare();
    }

    /// As CLIENT PAUSE with WRITE, for a minute.
    pub fn pause_writes(&self) {
        self.handle.pause.pause(self.clock.monotonic_ms(), 60_000, Paused::Writes);
    }

    /// Hands over a request: a command line, or several with `;` between, which are a transaction.
    pub fn send(&mut self, connection: u32, line: &str) {
        self.with_batch(connection, |batch| match line.split_once(';') {
            Some(_) => transaction(batch, line),
            None => single(batch, line, None),
        });
    }

    /// Hands over a blocking command that ends waiting at this monotonic time.
    pub fn send_until(&mut self, connection: u32, line: &str, deadline_ms: i64) {
        self.with_batch(connection, |batch| single(batch, line, Some(deadline_ms)));
    }

    pub fn send_work(&mut self, connection: u32, work: Work) {
        self.with_batch(connection, |_| work);
    }

    pub fn watch(&mut self, connection: u32, key: &str) {
        self.send_work(connection, Work::Watch { db: 0, keys: Box::new([key.as_bytes().into()]) });
    }

    fn with_batch(&mut self, connection: u32, make: impl FnOnce(&mut Batch) -> Work) {
        let mut batch = self.handle.ports[connection as usize % WORKERS].batch.lock();
        let work = make(&mut batch);
        batch.push(ConnectionId { index: connection, generation: 0 }, Resp::V2, work);
    }

    /// The bytes that a connection was answered since the last call.
    pub fn answer(&mut self, connection: u32) -> String {
        let answers = self.answers.remove(&connection).unwrap_or_default();
        String::from_utf8_lossy(&answers.bytes).into_owned()
    }

    /// How often a connection was answered since its answers were last taken.
    pub fn answer_count(&self, connection: u32) -> u32 {
        self.answers.get(&connection).map_or(0, |answers| answers.count)
    }

    /// Whether anybody was answered since.
    pub fn nobody_is_answered(&self) -> bool {
        self.answers.is_empty()
    }

    /// Sends, settles, and shows the answer.
    pub fn run(&mut self, connection: u32, line: &str) -> String {
        self.send(connection, line);
        self.settle();
        show_reply(&self.answer(connection))
    }

    /// Lets a turn begin and stall for `ms` before it gathers; the request comes at the end of that. Shows the answer.
    pub fn run_in_stall(&mut self, ms: u64, connection: u32, line: &str) -> String {
        let began = self.now();
        self.advance_ms(ms);
        self.send(connection, line);
        self.turn_by(began).expect("a sound disk");
        self.settle();
        show_reply(&self.answer(connection))
    }

    /// Sends, and turns until there is an answer, whatever else is on its way.
    pub fn run_soon(&mut self, connection: u32, line: &str) -> String {
        self.send(connection, line);
        while self.answer_count(connection) == 0 {
            self.turn().expect("a sound disk");
        }
        show_reply(&self.answer(connection))
    }

    pub fn digest(&self) -> digest::Digest {
        digest::of_keyspace(&self.handle.keyspace)
    }

    pub fn evicted(&self) -> u64 {
        self.handle.evicted_keys.load(Ordering::Relaxed)
    }

    pub fn keys(&self) -> usize {
        self.handle.keyspace.usage(0).keys
    }

    pub fn waiting(&self) -> usize {
        self.shard.machine().waiters.len()
    }

    pub fn watching(&self) -> bool {
        !self.shard.machine().watches.is_empty()
    }

    /// The messages for this node's subscribers since the last call.
    pub fn published(&mut self) -> usize {
        self.shard.take_published().len()
    }

    pub fn hash_seed(&self) -> HashSeed {
        self.shard.machine().applier.hash_seed()
    }

    pub fn applied(&self) -> u64 {
        self.shard.machine().applied
    }
}

fn open_log(disk: &SimDisk) -> Wal<SimDisk> {
    let create = Some(NewLog { log_id: 1, metadata: Vec::new() });
    let options = Options { segment_bytes: 1 << 17, create, ..Options::default() };
    Wal::open(disk.clone(), options).expect("the log opens").0
}

fn single(batch: &mut Batch, line: &str, deadline_ms: Option<i64>) -> Work {
    let words = split_words(line);
    let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    let command = lookup_request(&args).expect("a command").command;
    let bytes = batch.encode_single(0, &args);
    let argc = args.len() as u32;
    match command.handler_for(&args) {
        _ if command.blocking.is_some_and(|blocking| blocking.waits(&args)) => {
            Work::Blocking { bytes, command, argc, deadline_ms }
        }
        Handler::Write(_) => Work::Write { bytes, command, argc },
        _ => Work::Read { bytes, command },
    }
}

fn transaction(batch: &mut Batch, line: &str) -> Work {
    let mut commands = Vec::new();
    let mut steps = Vec::new();
    let mut writes = 0;
    for line in line.split(';') {
        let words = split_words(line.trim());
        let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let command = lookup_request(&args).expect("a command").command;
        if matches!(command.handler_for(&args), Handler::Write(_)) {
            entry::write_command(&mut commands, 0, &args);
            writes += 1;
            steps.push(Step::Write(command));
        } else {
            let args = args.iter().map(|arg| Box::from(*arg)).collect();
            steps.push(Step::Read { command, db: 0, args });
        }
    }
    let start = batch.bytes.len();
    if writes > 0 {
        entry::write_transaction(&mut batch.bytes, writes);
        batch.bytes.extend_from_slice(&commands);
    }
    Work::Transaction { bytes: batch.bytes.len() - start, steps: steps.into() }
}
