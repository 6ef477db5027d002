//! The loop that turns a shard: waits until there is something to do, turns, and carries out what the turn left over.
//!
//! The loop is one task. In a worker's runtime it runs after the tasks that the same wake-up of the poller made ready, so
//! one turn takes along what all of them gathered; while the turn blocks in the log's write, the next gathers.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use bytes::Bytes;
use perdura_wal::RealDisk;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServerError;
use super::ballast::Ballast;
use super::catch_up::CatchUp;
use super::checkpoints::Checkpoints;
use super::open::Opened;
use super::peers::{PeerPlan, Peers};
use super::scrub::Scrubber;
use super::subscriptions::Subscriptions;
use crate::admin::latency;
use crate::admin::shared::Shared;
use crate::admin::users::{Known, check, refusal};
use crate::command::context::Garbage;
use crate::command::stopwatch::Spike;
use crate::config::Config;
use crate::config::group::Overruled;
use crate::env::Now;
use crate::pubsub::Message;
use crate::raft::cluster::Cluster;
use crate::raft::frame::Frame;
use crate::raft::inbox::{Inbox, PeerEvent};
use crate::raft::keepalive::TurnBoard;
use crate::raft::outbox::Outbound;
use crate::raft::status::{Leadership, Role};
use crate::session::table::lookup;
use crate::shard::port::{PeerStatus, Status};
use crate::shard::turn::Shard;
use crate::version;

/// How often what INFO tells of the shard is brought up to date.
const STATUS_PERIOD_MS: u64 = 20;
/// How long a worker that shares its loop with the driver may keep it from turning, beside the command that it runs.
const LOOP_PATIENCE_MS: u64 = 100;
/// How often clients are ended for what their buffers take: those that were need a moment to end.
const CLIENTS_PERIOD_MS: u64 = 10;
/// How often the data folder is looked for.
const LOOK_PERIOD_MS: u64 = 250;
/// How often rates are sampled.
const SAMPLE_PERIOD_MS: u64 = 1000;
/// How often workers are polled for more requests before a round of the log, at most.
const MAX_POLLS: u32 = 3;
/// How long an ending primary waits for another to take over.
const HANDOVER_MS: u64 = 2000;
/// How long an ending process waits for clients to take their last answers.
const FAREWELL_MS: u64 = 500;

pub struct Driver {
    shard: Shard<RealDisk>,
    checkpoints: Checkpoints,
    catch_up: CatchUp,
    scrubber: Scrubber,
    ballast: Ballast,
    shared: Arc<Shared>,
    inbox: Inbox,
    out: Peers,
    board: TurnBoard,
    garbage: SyncSender<Garbage>,
    subscriptions: Subscriptions,
    /// Whether the first worker's connections run in this loop, too.
    shares_loop: bool,
    events: Vec<(u64, PeerEvent)>,
    next_status_ms: u64,
    /// Who led, and in which epoch, when INFO was last brought up to date: a change of that is told at once.
    told_leadership: (Leadership, u64),
    next_sample_ms: u64,
    next_look_ms: u64,
    next_clients_ms: u64,
    /// What the peers' greetings know: the cluster, and how many logs of members were noted.
    told_peers: Option<(Cluster, u64)>,
    /// The users whose connections were last looked through.
    followed_users: Known,
    /// Clients may wait in commands that their users may not run any more.
    checks_waits: bool,
}

/// What a process is told to end by. What was caught waits until it is looked for.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Must be called within a runtime.
    pub fn catch() -> Result<Signals, ServerError> {
        let catch = |kind| signal(kind).map_err(ServerError::Thread);
        Ok(Signals {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// Returns when the process is to end, by a signal or by SHUTDOWN. A terminal that is closed, or a tool that sends SIGHUP so that
    /// logs or settings are opened again, does not end it.
    pub async fn end(&mut self, shared: &Shared) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                () = shared.shutdown.notified() => return,
                Some(()) = self.hangup.recv() => {
                    tracing::info!("SIGHUP: there is nothing to be read again, the node continues");
                }
            }
        }
    }
}

impl Driver {
    /// Opens the way to the peers. Must be called within the runtime that the driver is to run in.
    pub fn open(
        opened: Opened,
        peers: PeerPlan,
        garbage: SyncSender<Garbage>,
        shares_loop: bool,
    ) -> Result<Self, ServerError> {
        let Opened { shard, checkpoints, catch_up, scrubber, ballast, shared, inbox, board } = opened;
        let followed_users = shared.users();
        let members = peers.members.iter().map(|(id, _)| *id);
        let subscriptions = Subscriptions::new(peers.identity.node_id, members);
        let out = Peers::open(peers, inbox.clone(), board.clone()).map_err(ServerError::Thread)?;
        Ok(Driver {
            shard,
            checkpoints,
            catch_up,
            scrubber,
            ballast,
            shared,
            inbox,
            out,
            board,
            garbage,
            subscriptions,
            shares_loop,
            events: Vec::new(),
            next_status_ms: 0,
            told_leadership: Default::default(),
            next_sample_ms: 0,
            next_look_ms: 0,
            next_clients_ms: 0,
            told_peers: None,
            followed_users,
            checks_waits: false,
        })
    }

    /// Turns until the process is told to end.
    ///
    /// # Errors
    /// The log or apply has failed: the process must end without acknowledging anything more.
    pub async fn run(mut self, signals: Signals) -> Result<(), ServerError> {
        self.begin()?;
        let told_to_end = self.listen(signals);
        while !told_to_end.get() {
            self.turn()?;
            self.wait_for_work().await;
        }
        self.hand_over().await
    }

    /// Becomes true when the process is to end. A task listens, so that a driver with work without end hears it, too: waiting for work
    /// lets other tasks run even if there is some.
    fn listen(&self, mut signals: Signals) -> Rc<Cell<bool>> {
        let told_to_end = Rc::new(Cell::new(false));
        let (shared, told) = (self.shared.clone(), told_to_end.clone());
        tokio::task::spawn_local(async move {
            signals.end(&shared).await;
            told.set(true);
            shared.shard.driver_wake.notify_one();
        });
        told_to_end
    }

    /// Lets workers serve: everything is loaded.
    fn begin(&mut self) -> Result<(), ServerError> {
        self.turn()?;
        let config = self.shared.config.started_with();
        self.shared.shard.loading.end();
        self.say_what_it_is(config);
        Ok(())
    }

    /// In one line, for readers of the messages of several nodes, or of several starts.
    fn say_what_it_is(&self, config: &Config) {
        let members: Vec<String> =
            config.members.iter().map(|member| format!("{}={}", member.id, member.peer_addr)).collect();
        let dir = std::path::absolute(&config.dir).unwrap_or_else(|_| config.dir.clone());
        tracing::info!(
            version = version::VERSION,
            commit = version::COMMIT,
            dir = %dir.display(),
            node = config.node_id,
            cluster = self.shared.shard.cluster().known().map_or("none yet".to_owned(), |id| id.to_string()),
            members = if members.is_empty() { "none: alone".to_owned() } else { members.join(",") },
            addr = %config.announce_addr,
            port = config.port,
            workers = config.workers,
            password = if self.shared.needs_no_password() { "no" } else { "yes" },
            "ready to accept connections"
        );
    }

    /// Waits until a turn has something to do; lets other tasks run meanwhile, however much there is.
    async fn wait_for_work(&self) {
        if self.shard.has_work() {
            return self.gather().await;
        }
        let now_ms = self.shared.clock.monotonic_ms();
        let due = Duration::from_millis(self.shard.next_due_ms().saturating_sub(now_ms));
        let wake = self.shared.shard.driver_wake.clone();
        tokio::select! {
            biased;
            () = wake.notified() => {
                if self.shard.may_propose() && self.shared.shard.gathered() > 0 {
                    self.gather().await;
                }
            }
            () = tokio::time::sleep(due) => {}
        }
    }

    /// Lets the workers read what clients have sent, and goes on as long as that brings more: a round of the log costs
    /// the same for one request as for fifty, and clients that were just answered are about to send their next. It never
    /// waits: the core is offered to whoever wants it (a client, a follower on the same machine), then sockets are polled.
    async fn gather(&self) {
        let mut gathered = self.shared.shard.gathered();
        for _ in 0..MAX_POLLS {
            std::thread::yield_now();
            tokio::task::yield_now().await;
            let before = std::mem::replace(&mut gathered, self.shared.shard.gathered());
            if gathered == before {
                break;
            }
        }
    }

    fn now(&self) -> Now {
        Now { monotonic_ms: self.shared.clock.monotonic_ms(), unix_ms: self.shared.clock.unix_ms() }
    }

    /// Ends or wakes the connections of users that have changed, and ends their waits in commands that they may not run any more: before the
    /// next entry is applied, which might serve those.
    fn follow_users(&mut self) {
        if self.shared.shard.keyspace.users_version() != self.followed_users.version {
            self.shared.follow_users(&self.followed_users.users);
            self.followed_users = self.shared.users();
            self.checks_waits = true;
        }
        if self.checks_waits {
            let users = self.shared.limited_users();
            self.checks_waits = self.shard.end_refused_waits(|connection, args| {
                let (user, row) = (users.get(&connection)?, lookup(args.first()?)?);
                let denied = check(user, row, args).err()?;
                Some(format!("NOPERM {}", refusal(user, row, &denied)))
            });
        }
    }

    /// Names the settings of this node that the group has otherwise.
    fn tell_overruled(&self) {
        for Overruled { name, given, holds } in self.shared.config.group().take_overruled() {
            tracing::warn!(
                %given,
                %holds,
                "--{name} counts at a group's first start only, and this group has another value: CONFIG SET changes it on all nodes"
            );
        }
    }

    fn turn(&mut self) -> Result<(), ServerError> {
        // All of it may take long: applying, loading or removing a checkpoint, cutting the log, reading it for somebody.
        let _busy = self.board.begin_turn();
        self.send_messages();
        self.inbox.take(&mut self.events);
        let now = self.now();
        if self.shares_loop {
            self.shared.shard.set_turn_due(now.monotonic_ms + LOOP_PATIENCE_MS);
        }
        self.look_for_folder(now)?;
        self.limit_clients(now);
        self.carry_files(now)?;
        self.subscriptions.turn(&self.shared.pubsub, &mut self.events, &mut self.out, now.monotonic_ms);
        self.shard.watch_commands(self.shared.watched());
        self.shard.tell_events(self.shared.config.told_events());
        self.shared.shard.tracking.set_max_keys(self.shared.config.tracking_table_max_keys());
        let log_bytes = self.shard.node().storage().recent_bytes() as u64;
        self.shared.shard.memory.buffers().log.store(log_bytes, Ordering::Relaxed);
        self.shard.limit_memory(self.shared.config.maxmemory(), self.shared.config.eviction());
        let may_capture = self.checkpoints.may_begin() && self.shard.node().has_caught_up();
        self.shard.allow_capture(may_capture);
        self.shard.turn(now, &mut self.events, &mut self.out)?;
        if let Some(ms) = self.shard.take_sync_ms() {
            self.shard.note_write_ms(ms);
            self.shared.note_latency(latency::LOG_WRITE, ms, now.unix_ms);
        }
        self.follow_users();
        self.tell_overruled();
        self.tell_greetings();
        for peer in self.shard.node_mut().take_refused() {
            self.out.hang_up(peer);
        }
        self.out.flush();
        for Message { kind, channel, payload } in self.shard.take_published() {
            self.shared.pubsub.publish(kind, &channel, &payload);
        }
        self.note_slow(now);
        self.throw_away();
        self.attend_operators(now)?;
        let leadership = (self.shard.node().leadership(), self.shared.shard.leadership_epoch());
        let watched = self.shared.shard.is_status_watched();
        if now.monotonic_ms >= self.next_status_ms || leadership != self.told_leadership || watched {
            self.told_leadership = leadership;
            self.next_status_ms = now.monotonic_ms + STATUS_PERIOD_MS;
            self.publish_status(now);
        }
        if now.monotonic_ms >= self.next_sample_ms {
            self.next_sample_ms = now.monotonic_ms + SAMPLE_PERIOD_MS;
            self.shared.metrics.sample();
        }
        Ok(())
    }

    /// Leaves what takes long to drop to its thread; drops it here where that thread has too much already.
    fn throw_away(&mut self) {
        let metrics = &self.shared.metrics.lazy_free;
        for garbage in self.shard.take_garbage() {
            let objects = garbage.objects();
            metrics.pending.inc_by(objects);
            if let Err(TrySendError::Full(garbage) | TrySendError::Disconnected(garbage)) =
                self.garbage.try_send(garbage)
            {
                drop(garbage);
                metrics.pending.dec_by(objects);
            }
        }
    }

    /// Ends the largest clients where their buffers take more than they may.
    fn limit_clients(&mut self, now: Now) {
        let config = &self.shared.config;
        let set = config.clients_limit().bytes(config.maxmemory());
        let Some(most) = set.or_else(|| self.shared.shard.memory.most_for_clients()) else { return };
        let bytes = self.shared.shard.memory.buffers().clients.load(Ordering::Relaxed);
        if bytes > most && now.monotonic_ms >= self.next_clients_ms {
            self.next_clients_ms = now.monotonic_ms + CLIENTS_PERIOD_MS;
            let ended = self.shared.clients.end_largest(most);
            self.shared.metrics.clients.evicted.inc_by(ended as u64);
        }
    }

    /// Ends where the data folder is not there any more, before much is acknowledged that nobody will find.
    fn look_for_folder(&mut self, now: Now) -> Result<(), ServerError> {
        if now.monotonic_ms < self.next_look_ms {
            return Ok(());
        }
        self.next_look_ms = now.monotonic_ms + LOOK_PERIOD_MS;
        Ok(self.shard.node().storage().wal().check_place()?)
    }

    /// Lets greetings say which cluster the log belongs to, and refuse logs that members have replaced.
    fn tell_greetings(&mut self) {
        let node = self.shard.node();
        let told = (node.cluster(), node.storage().member_logs_noted());
        if self.told_peers != Some(told) {
            self.out.know(told.0, node.replaced_logs());
            self.told_peers = Some(told);
        }
    }

    /// Takes checkpoints, cuts the log and reads it, as far as that is due or was asked for, and makes up for damage.
    fn attend_operators(&mut self, now: Now) -> Result<(), ServerError> {
        let Driver { shard, checkpoints, scrubber, ballast, shared, .. } = self;
        let handle = &shared.shard;
        if let Some(marked) = shard.take_marked() {
            checkpoints.begin_marked(marked, &handle.persistence, now);
        }
        ballast.turn(shard, checkpoints, &handle.persistence, now);
        checkpoints.turn(shard, &handle.persistence, now)?;
        scrubber.turn(shard, checkpoints, &handle.persistence, now)?;
        checkpoints.cut_by_hand(shard, &handle.log_cuts, now)?;
        handle.log_reads.serve(shard);
        handle.quiet.serve(shard, now);
        handle.handovers.serve(shard, now);
        Ok(())
    }

    /// Lets checkpoints come from and go to peers; puts one that has come in place of all data.
    fn carry_files(&mut self, now: Now) -> Result<(), ServerError> {
        self.catch_up.take_in(&mut self.events);
        let Driver { catch_up, shard, checkpoints, shared, out, .. } = self;
        catch_up.turn(shard, checkpoints, &shared.shard.persistence, out, now)
    }

    fn note_slow(&mut self, now: Now) {
        for (to, run) in self.shard.take_slow() {
            let client = self.shared.clients.of_connection(to.worker, to.connection);
            self.shared.note_command(run, now.unix_ms, client.as_deref());
        }
        for Spike { is_fast, ms } in self.shard.take_spikes() {
            let event = if is_fast { latency::FAST_COMMAND } else { latency::COMMAND };
            self.shared.note_latency(event, ms, now.unix_ms);
        }
    }

    fn publish_tracking(&self) {
        let tracking = &self.shared.shard.tracking;
        let (clients, counts) = (&self.shared.metrics.clients, tracking.counts());
        clients.tracked_keys.set(counts.keys as i64);
        clients.invalidations.inc_by(tracking.take_told());
        self.shared.shard.memory.buffers().tracking.store(counts.bytes as u64, Ordering::Relaxed);
    }

    /// Hands the messages that clients published to the peers.
    fn send_messages(&mut self) {
        let outgoing = std::mem::take(&mut *self.shared.outgoing.lock());
        for message in outgoing.messages {
            // Publishing promises no delivery: what a peer can't take now is lost to it.
            let dropped = self.out.broadcast(&Frame::Publish(Bytes::from(message.encode())));
            self.shared.metrics.clients.dropped_messages.inc_by(dropped);
        }
    }

    fn publish_status(&self, now: Now) {
        let node = self.shard.node().status(now.monotonic_ms);
        let machine = self.shard.machine();
        let status = Status {
            node_id: node.node_id,
            role: node.leadership.role,
            leader_id: node.leadership.leader.unwrap_or(0),
            leader_client_addr: node.leadership.leader.and_then(|leader| self.out.client_addr(leader)),
            leader_silent_ms: node.leader_silent_ms,
            term: node.leadership.term,
            committed: node.committed,
            applied: node.applied,
            first_index: node.first_index,
            last_index: node.last_index,
            peers: node
                .peers
                .iter()
                .map(|peer| PeerStatus {
                    id: peer.id,
                    client_addr: self.out.client_addr(peer.id).unwrap_or_default(),
                    matched: peer.matched,
                    active: peer.recently_active,
                    silent_ms: peer.silent_ms,
                })
                .collect(),
            awaited_members: node.awaited_members,
            members: self.out.members(),
            log_space: node.log_space,
            changes: self.shared.shard.changes.load(Ordering::Acquire),
            watching: !machine.watches.is_empty(),
        };
        self.publish_metrics(&status);
        self.shared.shard.tell_status(status);
    }

    fn publish_metrics(&self, status: &Status) {
        let metrics = &self.shared.metrics;
        let raft = &metrics.raft;
        raft.term.set(status.term);
        raft.last_index.set(status.last_index);
        raft.commit_index.set(status.committed);
        raft.applied_index.set(status.applied);
        raft.apply_lag_entries.set(status.committed.saturating_sub(status.applied));
        if raft.leader_id.set(status.leader_id) != status.leader_id {
            raft.leader_changes.inc();
        }
        raft.set_role(match status.role {
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
        });
        let backup = self.shared.shard.backup.state();
        metrics.backup.shipped_index.set(backup.shipped_index);
        metrics.backup.lag_seconds.set(backup.lag_s(self.shared.clock.monotonic_ms()));
        metrics.backup.missing_pieces.set(backup.missing_pieces);
        metrics.backup.gap_entries.set(backup.gap_entries);
        metrics.backup.checkpoint_index.set(backup.checkpoint_index);
        metrics.backup.bytes.inc_by(backup.bytes - metrics.backup.bytes.get());
        metrics.backup.failures.inc_by(backup.failures - metrics.backup.failures.get());
        metrics.log.ready_bytes.set(status.log_space.ready_bytes);
        metrics.log.disk_full.set(u64::from(status.log_space.is_short));
        let lag = |matched: u64| status.last_index.saturating_sub(matched);
        raft.set_follower_lags(status.peers.iter().map(|peer| (peer.id, lag(peer.matched))));
        let silent = status.peers.iter().filter_map(|peer| Some((peer.id, peer.silent_ms?)));
        let leader = status.leader_silent_ms.map(|ms| (status.leader_id, ms));
        raft.clock_ahead_seconds.set(self.shared.shard.clock_ahead_ms() as f64 / 1000.0);
        raft.set_silence(silent.chain(leader));
        raft.connected_peers.set(status.members.iter().filter(|member| member.is_connected).count() as u64);
        self.publish_checkpoint();
        self.publish_tracking();
        metrics.clients.connected.set(self.shared.clients.len() as i64);
        metrics.clients.dropped_messages.inc_by(self.inbox.take_dropped_news());
        let waiting = self.shard.machine().waiters.len();
        metrics.clients.blocked.set(waiting as i64);
        let expired = self.shared.shard.expired_keys.load(Ordering::Relaxed);
        metrics.expired_keys.inc_by(expired - metrics.expired_keys.get());
        let evicted = self.shared.shard.evicted_keys.load(Ordering::Relaxed);
        metrics.evicted_keys.inc_by(evicted - metrics.evicted_keys.get());
    }

    fn publish_checkpoint(&self) {
        let (to, persistence) = (&self.shared.metrics.checkpoint, &self.shared.shard.persistence);
        let newest = persistence.checkpoints().newest.unwrap_or_default();
        to.index.set(newest.index);
        to.ended_seconds.set(u64::try_from(newest.ended_ms / 1000).unwrap_or(0));
        to.took_seconds.set(newest.took_ms as f64 / 1000.0);
        to.failures.inc_by(persistence.failures() - to.failures.get());
    }

    /// Waits until the workers have sent what the last turn answered, as far as clients take it.
    async fn let_workers_send(&self) {
        let ports = &self.shared.shard.ports;
        let sent: Vec<_> = ports.iter().map(|port| port.say_farewell()).collect();
        let all_sent = async {
            for worker in sent {
                // A worker that is gone sends nothing more.
                let _ = worker.await;
            }
        };
        if tokio::time::timeout(Duration::from_millis(FAREWELL_MS), all_sent).await.is_err() {
            tracing::warn!("some clients do not take their last answers");
        }
    }

    /// Ends in good order: lets another node lead, if there is one, and answers what is still to be answered.
    async fn hand_over(mut self) -> Result<(), ServerError> {
        tracing::info!("ending");
        let deadline_ms = self.shared.clock.monotonic_ms() + HANDOVER_MS;
        if let Some(successor) = self.shard.node().best_transferee() {
            let now_ms = self.shared.clock.monotonic_ms();
            if let Err(error) = self.shard.node_mut().transfer_leadership(successor, now_ms) {
                tracing::warn!(%error, successor, "leadership could not be handed over");
            }
            while self.shared.shard.is_primary() && self.shared.clock.monotonic_ms() < deadline_ms {
                self.turn()?;
                let wake = self.shared.shard.driver_wake.clone();
                // Either way the next turn looks.
                let _ = tokio::time::timeout(Duration::from_millis(5), wake.notified()).await;
            }
        }
        self.turn()?;
        self.let_workers_send().await;
        Ok(())
    }
}
