//! What each section of INFO says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::REDIS_VERSION;
use super::super::replication::{active_followers, primary_address};
use super::Fields;
use super::host::{cpu_seconds, human_bytes};
use crate::admin::acl::log::Reason;
use crate::admin::client::{Blocked, ClientInfo};
use crate::admin::report::NodeReport;
use crate::admin::shared::Shared;
use crate::checkpoint::ship::Progress;
use crate::keyspace::DATABASES;
use crate::loading;
use crate::memory::{self, Guard};
use crate::metrics::{self, CommandTotals};
use crate::pause::Paused;
use crate::pubsub::Kind;
use crate::raft::identity::GroupKey;
use crate::shard::port::Status;
use crate::version;

pub(super) fn server(shared: &Shared, fields: &mut Fields) {
    let config = shared.config.started_with();
    let uptime_s = shared.metrics.uptime_s();
    fields.add("redis_version", REDIS_VERSION);
    fields.add("perdura_version", version::VERSION);
    fields.add("perdura_commit", version::COMMIT);
    fields.add("redis_git_sha1", version::COMMIT);
    fields.add("redis_mode", "standalone");
    fields.add("os", format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    fields.add("arch_bits", usize::BITS);
    fields.add("process_id", std::process::id());
    fields.add("process_supervised", "no");
    fields.add("run_id", &shared.run_id);
    fields.add("tcp_port", config.port);
    fields.add("server_time_usec", shared.clock.unix_us());
    fields.add("uptime_in_seconds", uptime_s);
    fields.add("uptime_in_days", uptime_s / 86_400);
    fields.add("io_threads_active", u8::from(config.workers > 1));
    fields.add("listener0", listener(shared));
    fields.add("perdura_workers", config.workers);
}

/// Where clients connect, as Redis tells it.
fn listener(shared: &Shared) -> String {
    let config = shared.config.started_with();
    let binds: String = config.bind.iter().map(|bind| format!(",bind={bind}")).collect();
    format!("name=tcp{binds},port={}", config.port)
}

pub(super) fn clients(shared: &Shared, fields: &mut Fields) {
    let all = shared.clients.all();
    let subscribers = all.iter().filter(|info| {
        let details = info.details.lock();
        details.channels + details.patterns + details.shard_channels > 0
    });
    fields.add("connected_clients", all.len());
    fields.add("maxclients", shared.config.maxclients());
    let waits_elsewhere = |info: &&Arc<ClientInfo>| {
        let details = info.details.lock();
        details.delayed.is_some() || details.blocked == Blocked::OnPrimary
    };
    let elsewhere = all.iter().filter(waits_elsewhere).count();
    let waiting = &shared.shard.waiter_counts;
    fields.add("blocked_clients", waiting.clients.load(Ordering::Relaxed) + elsewhere);
    fields.add("total_blocking_keys", waiting.keys.load(Ordering::Relaxed));
    fields.add("total_blocking_keys_on_nokey", waiting.keys_of_groups.load(Ordering::Relaxed));
    fields.add("tracking_clients", shared.shard.tracking.counts().clients);
    fields.add("cluster_connections", 0);
    fields.add("pubsub_clients", subscribers.count());
    fields.add("watching_clients", all.iter().filter(|info| info.details.lock().watching).count());
    pause(shared, fields);
}

fn pause(shared: &Shared, fields: &mut Fields) {
    let (now_ms, pause) = (shared.clock.monotonic_ms(), &shared.shard.pause);
    let (reason, actions) = match pause.at(now_ms) {
        Paused::Nothing => ("none", "none"),
        Paused::Writes => ("client_pause", "write"),
        Paused::Everything => ("client_pause", "all"),
    };
    fields.add("paused_reason", reason);
    fields.add("paused_actions", actions);
    fields.add("paused_timeout_milliseconds", pause.left_ms(now_ms));
}

pub(super) fn memory(shared: &Shared, fields: &mut Fields) {
    let now = metrics::memory();
    let maxmemory = shared.config.maxmemory();
    let guard = shared.shard.memory.guard();
    let peak = shared.metrics.peak_allocated_bytes();
    let machine = memory::total_bytes();
    let ratio = |a: u64, b: u64| a as f64 / b.max(1) as f64;
    fields.add("used_memory", now.allocated);
    fields.add("used_memory_human", human_bytes(now.allocated));
    fields.add("used_memory_rss", now.resident);
    fields.add("used_memory_rss_human", human_bytes(now.resident));
    fields.add("used_memory_peak", peak);
    fields.add("used_memory_peak_human", human_bytes(peak));
    fields.add("used_memory_peak_perc", format_args!("{:.2}%", 100.0 * ratio(now.allocated, peak)));
    fields.add("allocator_allocated", now.allocated);
    fields.add("allocator_active", now.active);
    fields.add("allocator_frag_ratio", format_args!("{:.2}", ratio(now.active, now.allocated)));
    fields.add("allocator_frag_bytes", now.active.saturating_sub(now.allocated));
    for name in ["mem_clients_slaves", "mem_cluster_links", "mem_replication_backlog"] {
        fields.add(name, 0);
    }
    fields.add("number_of_cached_scripts", shared.shard.scripts.size().0);
    fields.add("total_system_memory", machine);
    fields.add("total_system_memory_human", human_bytes(machine));
    fields.add("maxmemory", maxmemory);
    fields.add("maxmemory_human", human_bytes(maxmemory));
    fields.add("maxmemory_policy", shared.config.eviction().policy.name());
    fields.add("memory_guard", guard.map_or(0, Guard::bytes));
    fields.add("memory_guard_of", guard.map_or("", |guard| guard.machine.name));
    fields.add("mem_fragmentation_ratio", format_args!("{:.2}", ratio(now.resident, now.allocated)));
    fields.add("mem_fragmentation_bytes", now.resident.saturating_sub(now.allocated));
    let buffers = shared.shard.memory.buffers();
    fields.add("mem_not_counted_for_evict", shared.shard.memory.uncounted_bytes());
    fields.add("mem_clients_normal", buffers.clients.load(Ordering::Relaxed));
    fields.add("mem_allocator", "jemalloc");
    fields.add("active_defrag_running", 0);
    fields.add("lazyfree_pending_objects", shared.metrics.lazy_free.pending.get());
    let freed = shared.metrics.lazy_free.freed.get();
    fields.add(LAZY_FREED, shared.metrics.since_reset(LAZY_FREED, freed));
}

/// The log is an append-only file that is never off. What Redis tells of snapshots
/// is told of checkpoints.
pub(super) fn persistence(shared: &Shared, fields: &mut Fields) {
    let checkpoints = shared.shard.persistence.checkpoints();
    let newest = checkpoints.newest.unwrap_or_default();
    let loading = shared.shard.loading.progress();
    fields.add("loading", u8::from(loading.is_some()));
    fields.add("async_loading", 0);
    if let Some(progress) = loading {
        start(shared, &progress, fields);
    }
    fields.add("rdb_changes_since_last_save", shared.shard.changes.load(Ordering::Relaxed));
    fields.add("rdb_bgsave_in_progress", u8::from(shared.shard.persistence.is_busy()));
    fields.add("rdb_last_save_time", last_save_s(shared));
    fields.add("rdb_last_bgsave_status", if checkpoints.failure.is_some() { "err" } else { "ok" });
    fields.add("rdb_last_bgsave_time_sec", newest.took_ms / 1000);
    fields.add("aof_enabled", 1);
    fields.add("aof_rewrite_in_progress", 0);
    fields.add("aof_rewrite_scheduled", 0);
    fields.add("aof_last_bgrewrite_status", if checkpoints.failure.is_some() { "err" } else { "ok" });
    if let Some(disk) = NodeReport::of(shared).disk {
        fields.add("aof_current_size", disk.log_bytes);
        fields.add("aof_base_size", disk.checkpoint_bytes);
    }
    // No process is forked, and no write waits for a sync beside its own.
    for name in [
        "rdb_last_cow_size",
        "aof_last_cow_size",
        "aof_pending_rewrite",
        "aof_buffer_length",
        "aof_pending_bio_fsync",
        "aof_delayed_fsync",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
        "current_cow_peak",
        "current_cow_size",
        "current_cow_size_age",
    ] {
        fields.add(name, 0);
    }
    let space = shared.shard.status.lock().log_space;
    fields.add("aof_last_write_status", if space.is_short { "err" } else { "ok" });
    fields.add("perdura_log_ready_bytes", space.ready_bytes);
    fields.add("perdura_log_disk_full", u8::from(space.is_short));
    fields.add("perdura_checkpoint_index", newest.index);
    fields.add("perdura_checkpoint_running_index", checkpoints.running.map_or(0, |running| running.index));
    fields.add("perdura_checkpoint_keys", newest.keys);
    fields.add("perdura_checkpoint_bytes_written", newest.bytes_written);
    fields.add("perdura_checkpoint_took_ms", newest.took_ms);
    let integrity = &shared.metrics.integrity;
    fields.add("perdura_scrub_passes", integrity.scrub_passes.get());
    fields.add("perdura_scrub_bytes", integrity.scrub_bytes.get());
    fields.add("perdura_damage_found", integrity.damage_found.get());
    fields.add("perdura_damage_unhealed", integrity.damage_unhealed.get());
    fields.add("perdura_set_aside", integrity.set_aside.get());
    fields.add("perdura_damage_last", integrity.last_found());
    fields.add("perdura_checkpoint_failure", checkpoints.failure.as_deref().unwrap_or(""));
    backup(shared, fields);
}

/// Backups, where the node makes any.
fn backup(shared: &Shared, fields: &mut Fields) {
    let (state, now_ms) = (shared.shard.backup.state(), shared.clock.monotonic_ms());
    fields.add("perdura_backup_enabled", u8::from(state.is_on));
    if !state.is_on {
        return;
    }
    fields.add("perdura_backup_shipping", u8::from(state.is_shipping));
    fields.add("perdura_backup_shipped_index", state.shipped_index);
    fields.add("perdura_backup_lag_seconds", state.lag_s(now_ms));
    fields.add("perdura_backup_checkpoint_index", state.checkpoint_index);
    fields.add("perdura_backup_missing_pieces", state.missing_pieces);
    fields.add("perdura_backup_gap_entries", state.gap_entries);
    fields.add("perdura_backup_latest_restorable_ms", state.latest_ms);
    fields.add("perdura_backup_written_bytes", state.bytes);
    fields.add("perdura_backup_failures", state.failures);
    fields.add("perdura_backup_failure", state.failure.as_deref().unwrap_or(""));
    let places = shared.shard.backup.places();
    fields.add("perdura_backup_places", places.len());
    for (number, place) in places.iter().enumerate() {
        let (url, shipped, lag_s) = (&place.url, place.shipped_index, place.lag_s(now_ms));
        let (checkpoint, gap, failures) = (place.checkpoint_index, place.gap_entries, place.failures);
        fields.add(
            &format!("perdura_backup_place_{number}"),
            format_args!(
                "url={url},shipped_index={shipped},lag_seconds={lag_s},checkpoint_index={checkpoint},gap_entries={gap},failures={failures}"
            ),
        );
    }
}

/// When the newest checkpoint ended; where there is none, when the process began. Unix time in seconds.
pub fn last_save_s(shared: &Shared) -> i64 {
    let newest = shared.shard.persistence.checkpoints().newest;
    let began_s = || shared.clock.unix_ms() / 1000 - shared.metrics.uptime_s() as i64;
    newest.map_or_else(began_s, |newest| newest.ended_ms / 1000)
}

/// A start that is under way.
fn start(shared: &Shared, progress: &loading::Progress, fields: &mut Fields) {
    fields.add("loading_start_time", progress.began_ms / 1000);
    fields.add("loading_total_bytes", progress.total_bytes);
    fields.add("loading_loaded_bytes", progress.loaded_bytes);
    fields.add("loading_loaded_perc", format_args!("{:.2}", progress.percent()));
    fields.add("loading_eta_seconds", progress.eta_s(shared.clock.monotonic_ms()));
    fields.add("perdura_loading_stage", progress.stage.text());
    fields.add("perdura_loading_log_index", progress.index);
    fields.add("perdura_loading_log_last_index", progress.last_index);
}

const LAZY_FREED: &str = "lazyfreed_objects";

/// INFO's counters that CONFIG RESETSTAT resets, beside commands and errors, each counted since the start.
pub fn counters(shared: &Shared) -> [(&'static str, u64); 7] {
    let clients = &shared.metrics.clients;
    [
        ("total_connections_received", clients.accepted.get()),
        ("rejected_connections", clients.rejected.get()),
        ("expired_keys", shared.shard.expired_keys.load(Ordering::Relaxed)),
        ("evicted_keys", shared.shard.evicted_keys.load(Ordering::Relaxed)),
        ("evicted_clients", clients.evicted.get()),
        ("client_output_buffer_limit_disconnections", clients.cut_off.get()),
        (LAZY_FREED, shared.metrics.lazy_free.freed.get()),
    ]
}

pub(super) fn stats(shared: &Shared, fields: &mut Fields) {
    let (totals, rates) = (shared.metrics.totals(), shared.metrics.rates());
    let clients = &shared.metrics.clients;
    let errors: u64 = shared.metrics.errors().iter().map(|(_, count)| count).sum();
    for (name, count) in counters(shared).into_iter().filter(|(name, _)| *name != LAZY_FREED) {
        fields.add(name, shared.metrics.since_reset(name, count));
    }
    fields.add("acl_access_denied_auth", clients.wrong_passwords.get());
    for (name, reason) in [("cmd", Reason::Command), ("key", Reason::Key), ("channel", Reason::Channel)] {
        fields.add(&format!("acl_access_denied_{name}"), shared.acl_log.count(reason));
    }
    fields.add("total_commands_processed", totals.calls);
    fields.add("instantaneous_ops_per_sec", rates.commands.round() as u64);
    fields.add("total_net_input_bytes", totals.input_bytes);
    fields.add("total_net_output_bytes", totals.output_bytes);
    fields.add("instantaneous_input_kbps", format_args!("{:.2}", rates.input_bytes / 1024.0));
    fields.add("instantaneous_output_kbps", format_args!("{:.2}", rates.output_bytes / 1024.0));
    fields.add("keyspace_hits", totals.hits);
    fields.add("keyspace_misses", totals.misses);
    fields.add("pubsub_channels", shared.pubsub.count(Kind::Channel));
    fields.add("pubsub_patterns", shared.pubsub.count(Kind::Pattern));
    fields.add("pubsubshard_channels", shared.pubsub.count(Kind::Shard));
    let tracked = shared.shard.tracking.counts();
    fields.add("tracking_total_keys", tracked.keys);
    fields.add("tracking_total_items", tracked.items);
    fields.add("tracking_total_prefixes", tracked.prefixes);
    // A connection to the target of a MIGRATE ends with it, the allocator is not defragmented, and no replica expires keys by itself.
    for name in [
        "migrate_cached_sockets",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
        "slave_expires_tracked_keys",
        "unexpected_error_replies",
    ] {
        fields.add(name, 0);
    }
    fields.add("total_forks", 0);
    fields.add("latest_fork_usec", 0);
    fields.add("total_error_replies", errors);
}

pub(super) fn replication(shared: &Shared, fields: &mut Fields) {
    let status = shared.shard.status.lock().clone();
    if shared.shard.is_primary() {
        primary(&status, fields);
    } else {
        follower(&status, shared.shard.transfers.fetching(), fields);
    }
    fields.add("master_failover_state", "no-failover");
    fields.add("master_replid", replication_id(shared));
    fields.add("master_repl_offset", status.committed);
    fields.add("master_replid2", "0".repeat(40));
    fields.add("second_repl_offset", -1);
    // The log is what a replica continues from.
    let config = shared.config.started_with();
    fields.add("repl_backlog_active", u8::from(!config.members.is_empty()));
    fields.add("repl_backlog_size", config.checkpoints.log_keep_bytes);
    fields.add("repl_backlog_first_byte_offset", status.first_index);
    fields.add("repl_backlog_histlen", (status.last_index + 1).saturating_sub(status.first_index));
    fields.add("perdura_node_id", status.node_id);
    fields.add("perdura_leader_id", status.leader_id);
    fields.add("perdura_term", status.term);
    fields.add("perdura_clock_ahead_ms", shared.shard.clock_ahead_ms());
    fields.add("perdura_first_index", status.first_index);
    fields.add("perdura_last_index", status.last_index);
    fields.add("perdura_committed_index", status.committed);
    fields.add("perdura_applied_index", status.applied);
    fields.add("perdura_checkpoint_sent_bytes", shared.shard.transfers.sent_bytes());
    fields.add("perdura_checkpoint_received_bytes", shared.shard.transfers.received_bytes());
}

/// A follower's lag is the time since it was heard last, in seconds.
fn primary(status: &Status, fields: &mut Fields) {
    fields.add("role", "master");
    fields.add("connected_slaves", active_followers(status).count());
    fields.add("min_slaves_good_slaves", active_followers(status).count());
    for (number, (peer, addr)) in active_followers(status).enumerate() {
        let (ip, port, offset) = (&addr.host, addr.port, peer.matched);
        let lag_s = peer.silent_ms.unwrap_or(0) / 1000;
        let line = format!("ip={ip},port={port},state=online,offset={offset},lag={lag_s}");
        fields.add(&format!("slave{number}"), line);
    }
    for (number, peer) in status.peers.iter().enumerate() {
        let (id, addr, matched) = (peer.id, &peer.client_addr, peer.matched);
        let heard = peer.silent_ms.map_or("never".to_owned(), |ms| ms.to_string());
        let line = format!("id={id},addr={addr},matched_index={matched},last_heard_ms={heard}");
        fields.add(&format!("perdura_peer{number}"), line);
    }
}

fn follower(status: &Status, fetching: Option<Progress>, fields: &mut Fields) {
    fields.add("role", "slave");
    let primary = primary_address(status);
    if let Some(addr) = &primary {
        fields.add("master_host", &addr.host);
        fields.add("master_port", addr.port);
    }
    fields.add("master_link_status", if primary.is_some() { "up" } else { "down" });
    let io_s = status.leader_silent_ms.map_or(-1, |ms| (ms / 1000) as i64);
    fields.add("master_last_io_seconds_ago", io_s);
    fields.add("master_sync_in_progress", u8::from(fetching.is_some()));
    if let Some(Progress { bytes, total_bytes, .. }) = fetching {
        fields.add("master_sync_total_bytes", total_bytes);
        fields.add("master_sync_read_bytes", bytes);
        fields.add("master_sync_left_bytes", total_bytes - bytes);
        let percent = 100.0 * bytes as f64 / total_bytes.max(1) as f64;
        fields.add("master_sync_perc", format_args!("{percent:.2}"));
    }
    fields.add("slave_read_repl_offset", status.last_index);
    fields.add("slave_repl_offset", status.applied);
    fields.add("slave_priority", 100);
    fields.add("slave_read_only", 1);
    fields.add("replica_announced", 1);
    fields.add("connected_slaves", 0);
}

/// Forty digits that all nodes of the group share: its history is one.
fn replication_id(shared: &Shared) -> String {
    let members = &shared.config.started_with().members;
    let members: Vec<_> = members.iter().map(|member| (member.id, member.peer_addr.to_string())).collect();
    format!("{:040x}", GroupKey::derive("", &members).0)
}

pub(super) fn cpu(_: &Shared, fields: &mut Fields) {
    let [own, children, main] = cpu_seconds();
    for (name, (system, user)) in [("", own), ("_children", children), ("_main_thread", main)] {
        fields.add(&format!("used_cpu_sys{name}"), format_args!("{system:.6}"));
        fields.add(&format!("used_cpu_user{name}"), format_args!("{user:.6}"));
    }
}

/// Statistics of what clients can send; the server's own commands begin with `_`.
fn clients_commands(shared: &Shared) -> impl Iterator<Item = (String, CommandTotals)> {
    shared.metrics.totals().commands.into_iter().filter(|(name, _)| !name.starts_with('_'))
}

pub(super) fn commandstats(shared: &Shared, fields: &mut Fields) {
    for (name, totals) in clients_commands(shared) {
        let per_call = totals.micros as f64 / totals.calls.max(1) as f64;
        let (calls, micros, rejected, failed) = (totals.calls, totals.micros, totals.rejected, totals.failed);
        let line = format!(
            "calls={calls},usec={micros},usec_per_call={per_call:.2},rejected_calls={rejected},failed_calls={failed}"
        );
        fields.add(&format!("cmdstat_{name}"), line);
    }
}

pub(super) fn errorstats(shared: &Shared, fields: &mut Fields) {
    for (code, count) in shared.metrics.errors() {
        fields.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

pub(super) fn latencystats(shared: &Shared, fields: &mut Fields) {
    if !shared.config.shows_latencies() {
        return;
    }
    let percentiles = shared.config.latency_percentiles();
    for (name, totals) in clients_commands(shared) {
        let micros = |percentile: f64| totals.latencies.percentile_micros(percentile / 100.0).unwrap_or(0);
        let each = percentiles.iter().map(|percentile| format!("p{percentile}={}.000", micros(*percentile)));
        fields.add(&format!("latency_percentiles_usec_{name}"), each.collect::<Vec<_>>().join(","));
    }
}

pub(super) fn cluster(_: &Shared, fields: &mut Fields) {
    fields.add("cluster_enabled", 0);
}

/// Databases that hold keys; times to live are not sampled, which Redis too says with a zero.
pub(super) fn keyspace(shared: &Shared, fields: &mut Fields) {
    if shared.shard.loading.is_under_way() {
        return;
    }
    for db in 0..DATABASES {
        let usage = shared.shard.keyspace.usage(db);
        if usage.keys > 0 {
            let line = format!("keys={},expires={},avg_ttl=0", usage.keys, usage.with_deadline);
            fields.add(&format!("db{db}"), line);
        }
    }
}

/// What PERDURA STATUS says, as far as no other section says it.
pub(super) fn perdura(shared: &Shared, fields: &mut Fields) {
    let report = NodeReport::of(shared);
    fields.add("perdura_cluster_id", &report.cluster_id);
    fields.add("perdura_takes_writes", u8::from(report.takes_writes));
    let connected = report.members.iter().filter(|member| member.is_connected).count();
    fields.add("perdura_members", report.members.len());
    fields.add("perdura_connected_peers", connected.saturating_sub(1));
    if let Some(disk) = &report.disk {
        fields.add("perdura_disk_log_bytes", disk.log_bytes);
        fields.add("perdura_disk_checkpoint_bytes", disk.checkpoint_bytes);
        fields.add("perdura_disk_other_bytes", disk.other_bytes);
        fields.add("perdura_disk_free_bytes", disk.free_bytes);
        fields.add("perdura_disk_total_bytes", disk.total_bytes);
    }
    fields.add("perdura_warnings", report.warnings.len());
    for (number, warning) in report.warnings.iter().enumerate() {
        fields.add(&format!("perdura_warning{number}"), format_args!("{}: {}", warning.name, warning.text));
    }
}
