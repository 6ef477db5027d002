//! Where workers and a shard's driver meet: a mailbox for each worker, and what workers may know without asking.
//!
//! - A worker's batch and its replies are swapped under short locks; the same code serves a driver inside the worker's
//!   own loop and one in a thread of its own.
//! - `readable_until_ms` is the leader's lease as the driver last published it: a worker may answer reads from the
//!   keyspace while its monotonic clock is below it. Zero means "not the primary, or not yet serving".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::acks::AckWaits;
use super::calendars::{Comparison, corrected_ms};
use super::handovers::Handovers;
use super::log_cuts::LogCuts;
use super::log_reads::LogReads;
use super::marks::Marks;
use super::quiet::QuietAsks;
use super::tracking::{SendPush, Tracking};
use super::waiters::WaiterCounts;
use super::watches::Watcher;
use crate::checkpoint::transfers::Transfers;
use crate::command::script::Scripts;
use crate::config::output_bounds::OutputBounds;
use crate::env::Now;
use crate::keyspace::Keyspace;
use crate::loading::Loading;
use crate::memory::MemoryLimits;
use crate::pause::Pause;
use crate::persistence::Persistence;
use crate::persistence::backups::BackupStatus;
use crate::planted::{self, Bug};
use crate::propose::batch::Batch;
use crate::propose::reply::{ConnectionId, ReplyBatch};
use crate::protocol::invalidation::PushRoute;
use crate::raft::cluster::ClusterId;
use crate::raft::status::{LogSpace, Role};

/// How fast time passes in a group that is ahead of its calendars, in eighths: slower than any monotonic clock is wrong.
const PACE_EIGHTHS: u64 = 7;

/// No calendar but this node's is known.
const NO_BASE: i64 = i64::MIN;

fn slowed(monotonic_ms: u64) -> i64 {
    let (eighths, rest) = (monotonic_ms / 8, monotonic_ms % 8);
    i64::try_from(eighths * PACE_EIGHTHS + rest * PACE_EIGHTHS / 8).unwrap_or(i64::MAX)
}

/// One worker's mailbox at one shard.
#[derive(Debug, Default)]
pub struct Port {
    pub batch: Mutex<Batch>,
    pub replies: Mutex<ReplyBatch>,
    bounds: Arc<OutputBounds>,
    /// Wakes the worker: there are replies.
    pub replies_ready: Notify,
    /// For the worker to answer, once, when it has sent what it found here before.
    farewell: Mutex<Option<oneshot::Sender<()>>>,
}

impl Port {
    fn new(bounds: Arc<OutputBounds>) -> Port {
        Port { bounds, ..Port::default() }
    }

    /// Asks the worker to send all that it was left, for it is the last; what is returned becomes ready when it has.
    pub fn say_farewell(&self) -> oneshot::Receiver<()> {
        let (sent, is_sent) = oneshot::channel();
        *self.farewell.lock() = Some(sent);
        self.replies_ready.notify_one();
        is_sent
    }

    /// Whom to tell that everything is sent, once the replies that are here now are.
    pub fn take_farewell(&self) -> Option<oneshot::Sender<()>> {
        self.farewell.lock().take()
    }

    /// Leaves a message of client-side caching for a connection, and wakes the worker.
    fn push_invalidation(&self, connection: ConnectionId, bytes: &[u8], route: PushRoute) {
        self.replies.lock().push_invalidation(connection, bytes, self.bounds.messages(), route);
        self.replies_ready.notify_one();
    }

    /// Leaves a message, which answers no request, for a connection. The worker is not woken.
    pub fn push_message(&self, connection: ConnectionId, bytes: &[u8]) {
        self.replies.lock().push_message(connection, bytes, self.bounds.messages());
    }
}

/// A peer as the primary sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    pub id: u64,
    pub client_addr: String,
    pub matched: u64,
    pub active: bool,
    /// For how long it has not been heard; `None` if it never was.
    pub silent_ms: Option<u64>,
}

/// A member of the group, this node excepted, as this node's connections know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberStatus {
    pub id: u64,
    /// As it said when it was greeted; `None` until then.
    pub client_addr: Option<String>,
    /// There is a connection on which this node sends to it.
    pub is_connected: bool,
    /// Why the two refused each other last, where they did.
    pub refusal: Option<String>,
}

/// What INFO, ROLE and the metrics tell of a shard.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub node_id: u64,
    pub role: Role,
    /// Zero where none is known.
    pub leader_id: u64,
    pub leader_client_addr: Option<String>,
    /// For how long the leader has not been heard, where it is another node.
    pub leader_silent_ms: Option<u64>,
    pub term: u64,
    pub committed: u64,
    pub applied: u64,
    /// The first entry that the log still has.
    pub first_index: u64,
    pub last_index: u64,
    pub peers: Vec<PeerStatus>,
    /// Members that have to be heard before this node, whose log is new, joins them.
    pub awaited_members: Vec<u64>,
    pub members: Vec<MemberStatus>,
    pub log_space: LogSpace,
    /// As [`ShardHandle::changes`] was at that moment.
    pub changes: u64,
    pub watching: bool,
}

/// What the process shares of a shard.
#[derive(Debug)]
pub struct ShardHandle {
    pub keyspace: Arc<Keyspace>,
    pub ports: Box<[Arc<Port>]>,
    /// Wakes the driver: a batch has something in it, or a peer has sent something.
    pub driver_wake: Arc<Notify>,
    pub status: Mutex<Status>,
    /// Wakes those who wait for a change of the status, each time it is told.
    pub status_told: Notify,
    /// Wakes those who wait for another primary.
    primary_told: Notify,
    pub ack_waits: Arc<AckWaits>,
    watches: AtomicUsize,
    /// CLIENT PAUSE: while writes are paused the primary proposes none of its own either.
    pub pause: Pause,
    /// How far the start is.
    pub loading: Loading,
    pub memory: MemoryLimits,
    pub persistence: Persistence,
    pub log_reads: LogReads,
    pub log_cuts: LogCuts,
    pub handovers: Handovers,
    pub quiet: QuietAsks,
    pub marks: Arc<Marks>,
    pub transfers: Arc<Transfers>,
    pub backup: Arc<BackupStatus>,
    pub output_bounds: Arc<OutputBounds>,
    pub scripts: Arc<Scripts>,
    /// What this node's clients may have cached.
    pub tracking: Tracking,
    pub waiter_counts: Arc<WaiterCounts>,
    readable_until_ms: AtomicU64,
    /// By when the driver wants to turn again, in monotonic ms; never where it has a thread of its own.
    turn_due_ms: AtomicU64,
    stamp_ms: AtomicI64,
    /// What the time that has passed is added to, slowed down: see [`ShardHandle::reading_ms`].
    pace_base_ms: AtomicI64,
    /// How far this node's calendar is ahead of the group's, and the base of the group's ([`NO_BASE`] while none is known).
    clock_ahead_ms: AtomicI64,
    group_base_ms: AtomicI64,
    /// What log writes take lately, in ms, where they are slow.
    slow_writes_ms: AtomicU32,
    /// The latest time by which a read told of deaths that no entry has.
    told_ms: AtomicI64,
    caught_up: AtomicBool,
    /// This node leads and has no space for writes.
    refuses_writes: AtomicBool,
    /// Grows whenever leadership is won or lost; what a session knew under another number is void.
    leadership_epoch: AtomicU64,
    /// The epoch when the status was told last.
    told_epoch: AtomicU64,
    pub expired_keys: AtomicU64,
    pub evicted_keys: AtomicU64,
    pub changes: AtomicU64,
    /// That the log belongs to; 0 for none yet.
    cluster: AtomicU64,
}

/// Leaves messages of client-side caching in the workers' mailboxes.
pub struct PushByPort<'p>(pub &'p [Arc<Port>]);

impl SendPush for PushByPort<'_> {
    fn send_push(&mut self, (worker, connection): Watcher, message: &[u8], route: PushRoute) {
        self.0[worker].push_invalidation(connection, message, route);
    }
}

/// See [`ShardHandle::watch_status`].
#[derive(Debug)]
pub struct StatusWatch(Arc<ShardHandle>);

impl Drop for StatusWatch {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ShardHandle {
    pub fn new(keyspace: Arc<Keyspace>, workers: usize) -> Self {
        let driver_wake = Arc::<Notify>::default();
        let output_bounds = keyspace.group().output_bounds.clone();
        ShardHandle {
            keyspace,
            ports: (0..workers).map(|_| Arc::new(Port::new(output_bounds.clone()))).collect(),
            loading: Loading::default(),
            memory: MemoryLimits::none(),
            persistence: Persistence::new(driver_wake.clone()),
            log_reads: LogReads::new(driver_wake.clone()),
            log_cuts: LogCuts::new(driver_wake.clone()),
            handovers: Handovers::new(driver_wake.clone()),
            quiet: QuietAsks::new(driver_wake.clone()),
            marks: Arc::default(),
            driver_wake,
            transfers: Arc::default(),
            backup: Arc::default(),
            status: Mutex::default(),
            status_told: Notify::new(),
            primary_told: Notify::new(),
            ack_waits: Arc::default(),
            watches: AtomicUsize::new(0),
            pause: Pause::default(),
            output_bounds,
            scripts: Arc::default(),
            tracking: Tracking::default(),
            waiter_counts: Arc::default(),
            readable_until_ms: AtomicU64::new(0),
            turn_due_ms: AtomicU64::new(u64::MAX),
            stamp_ms: AtomicI64::new(i64::MIN),
            pace_base_ms: AtomicI64::new(i64::MIN / 2),
            clock_ahead_ms: AtomicI64::new(0),
            group_base_ms: AtomicI64::new(NO_BASE),
            slow_writes_ms: AtomicU32::new(0),
            told_ms: AtomicI64::new(i64::MIN),
            caught_up: AtomicBool::new(false),
            refuses_writes: AtomicBool::new(false),
            leadership_epoch: AtomicU64::new(0),
            told_epoch: AtomicU64::new(0),
            expired_keys: AtomicU64::new(0),
            evicted_keys: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            cluster: AtomicU64::new(0),
        }
    }

    /// The cluster that the log belongs to.
    pub fn cluster(&self) -> ClusterId {
        ClusterId(self.cluster.load(Ordering::Acquire))
    }

    pub(super) fn set_cluster(&self, id: ClusterId) {
        self.cluster.store(id.0, Ordering::Release);
    }

    /// The most bytes of replies that a connection may be owed; what is applied does not depend on it.
    pub fn reply_limit(&self) -> usize {
        self.output_bounds.replies()
    }

    /// The same where memory is limited.
    pub fn with_memory(self, memory: MemoryLimits) -> Self {
        if let Some(guard) = memory.guard() {
            self.output_bounds.follow_guard(guard.bytes());
        }
        ShardHandle { memory, ..self }
    }

    /// Requests that wait for the driver.
    pub fn gathered(&self) -> usize {
        self.ports.iter().map(|port| port.batch.lock().items.len()).sum()
    }

    /// Tells how the shard is.
    pub fn tell_status(&self, status: Status) {
        let active = status.peers.iter().filter(|peer| peer.active);
        let matched = active.map(|peer| peer.matched).collect();
        let addr = status.leader_client_addr.clone();
        let before = std::mem::replace(&mut *self.status.lock(), status);
        if before.leader_client_addr != addr {
            self.primary_told.notify_waiters();
        }
        let epoch = self.leadership_epoch();
        let is_same_leadership = self.told_epoch.swap(epoch, Ordering::Relaxed) == epoch;
        if is_same_leadership && self.is_primary() {
            self.ack_waits.note_matched(matched);
        } else {
            self.ack_waits.wake_all();
        }
        self.status_told.notify_waiters();
    }

    /// While anybody holds what this returns, the status is told after every turn.
    pub fn watch_status(self: &Arc<Self>) -> StatusWatch {
        self.watches.fetch_add(1, Ordering::Relaxed);
        StatusWatch(self.clone())
    }

    pub fn is_status_watched(&self) -> bool {
        self.watches.load(Ordering::Relaxed) > 0
    }

    /// Where clients reach the primary, if one is known.
    pub fn primary_addr(&self) -> Option<String> {
        self.status.lock().leader_client_addr.clone()
    }

    /// Returns once the primary's address is another than `addr`: no primary has none.
    pub async fn primary_changes(&self, addr: Option<&str>) {
        loop {
            // Made before the look at the status: what is told in between is noticed.
            let told = self.primary_told.notified();
            if self.status.lock().leader_client_addr.as_deref() != addr {
                return;
            }
            told.await;
        }
    }

    /// Whether the primary's lease allows reads at this monotonic time.
    pub fn is_readable_at(&self, now_ms: u64) -> bool {
        now_ms < self.readable_until_ms.load(Ordering::Acquire)
    }

    /// Whether the driver shares the first worker's loop and has not turned for too long at this monotonic time: what else runs
    /// there is to let it.
    pub fn is_turn_overdue(&self, now_ms: u64) -> bool {
        now_ms > self.turn_due_ms.load(Ordering::Relaxed)
    }

    pub fn set_turn_due(&self, due_ms: u64) {
        self.turn_due_ms.store(due_ms, Ordering::Relaxed);
    }

    /// The newest stamp that was applied, unix ms; deaths up to it are settled.
    pub fn stamp_ms(&self) -> i64 {
        self.stamp_ms.load(Ordering::Acquire)
    }

    /// The time by which commands are judged, where the clocks show this: the calendar's, corrected where it is not the group's. It never
    /// goes back behind what was told or applied. Where the calendar is behind that, time passes all the same, by the monotonic clock and
    /// somewhat slower: so deadlines come, and the calendar catches up.
    pub fn reading_ms(&self, now: Now) -> i64 {
        let calendar_ms = match self.group_base_ms.load(Ordering::Acquire) {
            NO_BASE => now.unix_ms,
            _ if planted::is(Bug::TrustOwnCalendar) => now.unix_ms,
            group_base_ms => corrected_ms(now.unix_ms, now.monotonic_ms, group_base_ms),
        };
        let paced_ms = match planted::is(Bug::ClockStandsStill) {
            true => i64::MIN,
            false => self.pace_base_ms.load(Ordering::Acquire).saturating_add(slowed(now.monotonic_ms)),
        };
        calendar_ms.max(paced_ms).max(self.stamp_ms()).max(self.told_ms())
    }

    /// How far this node's calendar is ahead of the group's, in ms.
    pub fn clock_ahead_ms(&self) -> i64 {
        self.clock_ahead_ms.load(Ordering::Relaxed)
    }

    /// What this node's log writes take lately, in ms, where they are slow ([`super::slow_log`]); 0 otherwise.
    pub fn slow_writes_ms(&self) -> u32 {
        self.slow_writes_ms.load(Ordering::Relaxed)
    }

    pub(super) fn set_slow_writes(&self, ms: u32) {
        self.slow_writes_ms.store(ms, Ordering::Relaxed);
    }

    pub(super) fn set_group_calendar(&self, found: &Comparison) {
        self.clock_ahead_ms.store(found.ahead_ms, Ordering::Relaxed);
        self.group_base_ms.store(found.group_base_ms.unwrap_or(NO_BASE), Ordering::Release);
    }

    pub(super) fn told_ms(&self) -> i64 {
        self.told_ms.load(Ordering::Acquire)
    }

    /// Notes that a read told of deaths by this time which no entry has, since none could be logged.
    pub fn note_told(&self, now_ms: i64) {
        self.told_ms.fetch_max(now_ms, Ordering::AcqRel);
    }

    /// An entry with this timestamp is applied at this monotonic time, which must not be before the timestamp was taken.
    pub(super) fn set_stamp(&self, stamp_ms: i64, now_ms: u64) {
        self.stamp_ms.store(stamp_ms, Ordering::Release);
        if stamp_ms > i64::MIN {
            self.pace_base_ms.fetch_max(stamp_ms.saturating_sub(slowed(now_ms)), Ordering::AcqRel);
        }
    }

    /// Whether this node shows, to who reads from a replica, no less than it did before it was restarted.
    pub fn has_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    pub(super) fn set_caught_up(&self, caught_up: bool) {
        self.caught_up.store(caught_up, Ordering::Release);
    }

    /// Whether this node leads and refuses writes, as its disk is full.
    pub fn refuses_writes(&self) -> bool {
        self.refuses_writes.load(Ordering::Relaxed)
    }

    /// Notes whether writes are refused; an operator is told of each change.
    pub(super) fn refuse_writes(&self, refuses: bool) {
        if self.refuses_writes.swap(refuses, Ordering::Relaxed) == refuses {
            return;
        }
        if refuses {
            tracing::error!(
                "the disk is full: writes are refused until there is space (docs/operations.md, The disk is full)"
            );
        } else {
            tracing::info!("writes are taken again");
        }
    }

    pub fn is_primary(&self) -> bool {
        self.leadership_epoch() % 2 == 1
    }

    /// Odd while this node is the primary.
    pub fn leadership_epoch(&self) -> u64 {
        self.leadership_epoch.load(Ordering::Acquire)
    }

    pub(crate) fn set_readable_until(&self, until_ms: u64) {
        self.readable_until_ms.store(until_ms, Ordering::Release);
    }

    /// Moves to the next epoch if this changes anything.
    pub(crate) fn set_primary(&self, primary: bool) {
        if primary != self.is_primary() {
            self.leadership_epoch.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic_ms: u64, unix_ms: i64) -> Now {
        Now { monotonic_ms, unix_ms }
    }

    #[test]
    fn time_passes_in_a_group_that_is_ahead_until_the_calendar_has_caught_up() {
        let handle = ShardHandle::new(Keyspace::create().0, 1);
        assert_eq!(handle.reading_ms(at(0, 1000)), 1000);
        handle.set_stamp(9000, 0);
        assert_eq!(handle.reading_ms(at(8, 1008)), 9007);
        assert_eq!(handle.reading_ms(at(4000, 5000)), 9000 + 3500);
        // Another entry by that time changes nothing.
        handle.set_stamp(12_500, 4000);
        assert_eq!(handle.reading_ms(at(8000, 9000)), 9000 + 7000);
        assert_eq!(handle.reading_ms(at(64_000, 65_000)), 9000 + 56_000);
        assert_eq!(handle.reading_ms(at(80_000, 81_000)), 81_000);
    }

    #[test]
    fn a_node_that_is_off_goes_by_the_calendar_of_the_others() {
        let handle = ShardHandle::new(Keyspace::create().0, 1);
        let group = |group_base_ms| Comparison {
            group_base_ms,
            ahead_ms: 0,
            stands_last: false,
            off_peers: Vec::new(),
        };
        handle.set_group_calendar(&group(Some(3000)));
        assert_eq!(handle.reading_ms(at(0, 10_000)), 3000);
        assert_eq!(handle.reading_ms(at(500, 3900)), 3900);
        assert_eq!(handle.reading_ms(at(1000, 90_000)), 4000, "its clock was set");
        handle.set_group_calendar(&group(None));
        assert_eq!(handle.reading_ms(at(1500, 9000)), 9000);
    }
}
