//! What an operator should look at. Each warning has a short fixed name, for scripts, and a sentence that says what to do.

use serde::{Deserialize, Serialize};

use super::{BackupReport, NodeReport, State};
use crate::admin::shared::Shared;
use crate::shard::calendars::TOLERATED_MS;

/// Below this share of the disk its free space is low, if a data folder that doubles would not fit, or one of this size.
const LOW_DISK_PERCENT: u64 = 5;
const SMALL_FOLDER_BYTES: u64 = 1 << 30;
/// Above this share of its limit memory is nearly full.
const HIGH_MEMORY_PERCENT: u64 = 90;
/// A backup that lags more than this does not keep up.
const LATE_BACKUP_S: u64 = 60;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Warning {
    pub name: String,
    pub text: String,
}

impl Warning {
    pub fn new(name: &str, text: String) -> Warning {
        Warning { name: name.to_owned(), text }
    }
}

/// All that there is to say about a node, the most urgent first.
pub(super) fn of(report: &NodeReport, shared: &Shared) -> Vec<Warning> {
    let all = [
        primary(report),
        refused(report),
        peers(report),
        disk(report),
        memory(report),
        slow_disk(report),
        clock(report),
        damage(shared),
        checkpoint(shared),
        backup(report),
        set_aside(shared),
    ];
    all.into_iter().flatten().collect()
}

fn primary(report: &NodeReport) -> Option<Warning> {
    match report.state {
        State::Loading => None,
        _ if report.leader_id == 0 && !report.awaited_members.is_empty() => {
            let ids: Vec<String> = report.awaited_members.iter().map(u64::to_string).collect();
            let text = format!(
                "its log is new, and it joins once every other member is heard: start node {}, or look at the network",
                ids.join(", node ")
            );
            Some(Warning::new("new-log-waits", text))
        }
        _ if report.leader_id == 0 => {
            let text = "no primary is known: a majority of the members has to run and to reach each other";
            let refusals =
                refusals(report).map(|(id, why)| format!("; node {id}: {why}")).collect::<String>();
            Some(Warning::new("no-primary", format!("{text}{refusals}")))
        }
        State::Primary if !report.takes_writes && !report.disk.as_ref().is_some_and(|disk| disk.is_full) => {
            Some(Warning::new(
                "no-majority",
                "the primary hears no majority of the members: writes wait".to_owned(),
            ))
        }
        _ => None,
    }
}

/// Members that this node is not connected to because one of the two refuses the other.
fn refusals(report: &NodeReport) -> impl Iterator<Item = (u64, &str)> {
    let cut = report.members.iter().filter(|member| !member.is_connected);
    cut.filter_map(|member| Some((member.node_id, member.refusal.as_deref()?)))
}

fn peers(report: &NodeReport) -> Option<Warning> {
    let all: Vec<String> = refusals(report).map(|(id, why)| format!("node {id}: {why}")).collect();
    let is_told = all.is_empty() || report.state == State::Loading || report.leader_id == 0;
    (!is_told).then(|| {
        let text = format!(
            "it has no connection to a member, for one of the two refuses the other: {}",
            all.join("; ")
        );
        Warning::new("peer-refused", text)
    })
}

fn refused(report: &NodeReport) -> Option<Warning> {
    let answer = report.refused_by_primary.as_ref()?;
    let text = format!(
        "node {} leads, and refuses what this node sends it for clients ({answer}): they can only read here; give all nodes the same \
         --requirepass (or file), or, where the user default is limited, the same --masterauth",
        report.leader_id
    );
    Some(Warning::new("refused-by-primary", text))
}

fn disk(report: &NodeReport) -> Option<Warning> {
    let disk = report.disk.as_ref()?;
    if disk.is_full && report.state != State::Primary {
        let text = "the disk is full: this node takes nothing more from the primary, and would refuse writes if it led; make space on the file \
                    system of --dir, outside the data folder";
        return Some(Warning::new("disk-full", text.to_owned()));
    }
    if disk.is_full {
        let text = "the disk is full, writes are refused: make space on the file system of --dir, outside the data folder";
        return Some(Warning::new("disk-full", text.to_owned()));
    }
    let growth = disk.used_bytes().max(SMALL_FOLDER_BYTES);
    let is_low = disk.free_bytes < growth.min(disk.total_bytes / 100 * LOW_DISK_PERCENT);
    is_low.then(|| {
        let (free, total) = (disk.free_bytes, disk.total_bytes);
        Warning::new(
            "disk-low",
            format!("the disk has {free} of {total} bytes left: a full disk refuses writes"),
        )
    })
}

fn memory(report: &NodeReport) -> Option<Warning> {
    let memory = &report.memory;
    let used = if memory.limit_of == "maxmemory" { memory.used_bytes } else { memory.resident_bytes };
    let is_high = memory.limit_bytes > 0 && used / HIGH_MEMORY_PERCENT > memory.limit_bytes / 100;
    is_high.then(|| {
        let (limit, of) = (memory.limit_bytes, &memory.limit_of);
        let text = format!("memory: {used} of {limit} bytes ({of}) are used, above that writes are refused");
        Warning::new("memory-high", text)
    })
}

fn slow_disk(report: &NodeReport) -> Option<Warning> {
    let ms = report.slow_writes_ms;
    (ms > 0).then(|| {
        let text = format!(
            "the log's last writes took up to {ms} ms: measure the disk of --dir with perdura doctor"
        );
        Warning::new("slow-disk", text)
    })
}

fn clock(report: &NodeReport) -> Option<Warning> {
    let ahead_ms = report.clock_ahead_ms;
    (ahead_ms.unsigned_abs() > TOLERATED_MS.unsigned_abs()).then(|| {
        let (by_s, way) = (ahead_ms.abs() as f64 / 1000.0, if ahead_ms > 0 { "ahead of" } else { "behind" });
        Warning::new("clock", format!("its calendar is {by_s:.1} s {way} those of the others: set its clock"))
    })
}

fn damage(shared: &Shared) -> Option<Warning> {
    let integrity = &shared.metrics.integrity;
    (integrity.damage_unhealed.get() > 0).then(|| {
        let last = integrity.last_found();
        Warning::new("damage", format!("the disk has damaged what this node wrote: {last}"))
    })
}

fn checkpoint(shared: &Shared) -> Option<Warning> {
    let failure = shared.shard.persistence.checkpoints().failure?;
    Some(Warning::new(
        "checkpoint-failed",
        format!("the last checkpoint failed, so the log grows: {failure}"),
    ))
}

fn backup(report: &NodeReport) -> Option<Warning> {
    let backup = report.backup.as_ref()?;
    if !backup.is_shipping {
        return backup_of_replica(report, backup);
    }
    if let Some(failure) = &backup.failure {
        return Some(Warning::new("backup-failed", format!("the last try to back up failed: {failure}")));
    }
    if backup.lag_s > LATE_BACKUP_S {
        let text = format!("the backup lacks what was written in the last {} s", backup.lag_s);
        return Some(Warning::new("backup-late", text));
    }
    if backup.gap_entries > 0 {
        let text = format!(
            "the backup lacks {} entries for good: no time in them can be restored",
            backup.gap_entries
        );
        return Some(Warning::new("backup-gap", text));
    }
    (backup.missing_pieces > 0).then(|| {
        let text = format!("the newest checkpoint in the backup lacks {} pieces", backup.missing_pieces);
        Warning::new("backup-incomplete", text)
    })
}

/// A replica is the next to ship, and sees what the primary ships.
fn backup_of_replica(report: &NodeReport, backup: &BackupReport) -> Option<Warning> {
    if let Some(failure) = &backup.failure {
        let text = format!("it can't look at the backup, and could not ship if it led: {failure}");
        return Some(Warning::new("backup-failed", text));
    }
    (backup.lag_s > LATE_BACKUP_S).then(|| {
        let (primary, lag_s) = (report.leader_id, backup.lag_s);
        let text = format!(
            "node {primary} leads, and ships nothing to the backup of this node for {lag_s} s: give node {primary} the same --backup-to"
        );
        Warning::new("backup-late", text)
    })
}

fn set_aside(shared: &Shared) -> Option<Warning> {
    let count = shared.metrics.integrity.set_aside.get();
    (count > 0).then(|| {
        let text = format!(
            "{count} files or folders are set aside, for they were damaged or a recovery replaced them: look at them (docs/operations.md, What \
             was set aside), then remove them with rm -r"
        );
        Warning::new("set-aside", text)
    })
}
