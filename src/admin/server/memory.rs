//! MEMORY: what the data and the process take.
//!
//! Source: <https://redis.io/docs/latest/commands/memory-usage/>, <https://redis.io/docs/latest/commands/memory-stats/>.

use std::sync::atomic::Ordering;

use tikv_jemalloc_ctl::{Access, AsName};

use super::ANYTIME;
use crate::admin::LocalContext;
use crate::admin::table::ProcessCommand;
use crate::command::{Args, CommandResult};
use crate::keyspace::DATABASES;
use crate::metrics;
use crate::protocol::reply::Reply;

pub(super) const MEMORY: ProcessCommand = ProcessCommand::container(
    "memory",
    &[
        ProcessCommand::local("doctor", 2, doctor).docs("4.0.0", "O(1)", "Outputs a memory problems report."),
        ProcessCommand::local("help", 2, help).flags(&[ANYTIME]).docs(
            "4.0.0",
            "O(1)",
            "Returns helpful text about the different subcommands.",
        ),
        ProcessCommand::local("malloc-stats", 2, malloc_stats).docs(
            "4.0.0",
            "O(1)",
            "Returns the allocator statistics.",
        ),
        ProcessCommand::local("purge", 2, purge).docs(
            "4.0.0",
            "Depends on how much memory is allocated, could be slow",
            "Asks the allocator to release memory.",
        ),
        ProcessCommand::local("stats", 2, stats).docs("4.0.0", "O(1)", "Returns details about memory usage."),
    ],
)
.docs("4.0.0", "Depends on subcommand.", "A container for memory diagnostics commands.");

const HELP: [&str; 14] = [
    "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DOCTOR",
    "    Return memory problems reports.",
    "MALLOC-STATS",
    "    Return internal statistics report from the memory allocator.",
    "PURGE",
    "    Attempt to purge dirty pages for reclamation by the allocator.",
    "STATS",
    "    Return information about the memory usage of the server.",
    "USAGE <key> [SAMPLES <count>]",
    "    Return memory in bytes used by <key> and its value. Nested values are",
    "    counted, not sampled.",
    "HELP",
    "    Print this help.",
];

enum Number {
    Integer(u64),
    Ratio(f64),
}

fn stats(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let memory = metrics::memory();
    let peak = ctx.shared.metrics.peak_allocated_bytes();
    let keys = (0..DATABASES).map(|db| ctx.shared.shard.keyspace.usage(db).keys as u64).sum::<u64>();
    let ratio = |a: u64, b: u64| Number::Ratio(a as f64 / b.max(1) as f64);
    let buffers = ctx.shared.shard.memory.buffers();
    let overhead = ctx.shared.shard.memory.uncounted_bytes();
    let dataset = memory.allocated.saturating_sub(overhead);
    let fields = [
        ("peak.allocated", Number::Integer(peak)),
        ("total.allocated", Number::Integer(memory.allocated)),
        ("clients.normal", Number::Integer(buffers.clients.load(Ordering::Relaxed))),
        ("aof.buffer", Number::Integer(buffers.log.load(Ordering::Relaxed))),
        ("overhead.total", Number::Integer(overhead)),
        ("keys.count", Number::Integer(keys)),
        ("keys.bytes-per-key", Number::Integer(dataset / keys.max(1))),
        ("dataset.bytes", Number::Integer(dataset)),
        ("dataset.percentage", Number::Ratio(100.0 * dataset as f64 / memory.allocated.max(1) as f64)),
        ("peak.percentage", Number::Ratio(100.0 * memory.allocated as f64 / peak.max(1) as f64)),
        ("allocator.allocated", Number::Integer(memory.allocated)),
        ("allocator.active", Number::Integer(memory.active)),
        ("allocator.resident", Number::Integer(memory.resident)),
        ("allocator-fragmentation.ratio", ratio(memory.active, memory.allocated)),
        ("fragmentation", ratio(memory.resident, memory.allocated)),
        ("fragmentation.bytes", Number::Integer(memory.resident.saturating_sub(memory.allocated))),
    ];
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        match value {
            Number::Integer(value) => reply.integer(value as i64),
            Number::Ratio(value) => reply.double(value),
        }
    }
    Ok(())
}

/// Below this the ratio of resident to allocated bytes says nothing.
const SMALL_BYTES: u64 = 64 << 20;

/// The share of `maxmemory` from which the data has nearly reached it.
const FULL_PERCENT: u64 = 95;

/// Buffers of clients take too much above this share of the memory.
const CLIENTS_SHARE: u64 = 4;

fn doctor(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (memory, config) = (metrics::memory(), &ctx.shared.config);
    let buffers = ctx.shared.shard.memory.buffers();
    let clients = buffers.clients.load(Ordering::Relaxed);
    let data = memory.allocated.saturating_sub(ctx.shared.shard.memory.uncounted_bytes());
    let is_full = config.maxmemory() > 0 && data >= config.maxmemory() / 100 * FULL_PERCENT;
    let mut findings = String::new();
    if is_full && !config.eviction().policy.evicts() {
        findings += "The data has nearly reached maxmemory, and maxmemory-policy is noeviction: writes that need memory \
                     are refused. Raise the limit, delete data, or choose a policy.\n";
    }
    if memory.allocated < SMALL_BYTES {
        findings += "This node holds too little data to say more about its memory.\n";
        reply.verbatim(&findings);
        return Ok(());
    }
    if clients > memory.allocated / CLIENTS_SHARE {
        findings += "Buffers of clients take more than a quarter of the memory: clients read their replies too slowly, or \
                     send very long requests. CLIENT LIST names them, maxmemory-clients limits them.\n";
    }
    if memory.resident > memory.allocated / 2 * 3 {
        findings += "More than half as much again as the data is resident: memory was freed of late, or is fragmented. \
                     MEMORY PURGE gives back what is free.\n";
    }
    reply.verbatim(if findings.is_empty() { "No memory problem is known.\n" } else { &findings });
    Ok(())
}

fn malloc_stats(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let memory = metrics::memory();
    reply.verbatim(&format!(
        "jemalloc: allocated {} bytes, active {} bytes, resident {} bytes\n",
        memory.allocated, memory.active, memory.resident
    ));
    Ok(())
}

/// Pages that an arena no longer needs are kept for a while; setting that while to nothing gives them back at once.
fn purge(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let arenas: u32 = b"arenas.narenas\0".name().read().unwrap_or(0);
    for arena in 0..arenas {
        for kind in ["dirty", "muzzy"] {
            let name = format!("arena.{arena}.{kind}_decay_ms\0");
            // An arena that was never used has no such number, and no pages.
            if let Ok(decay_ms) = name.as_bytes().name().update(0_isize) {
                let _ = name.as_bytes().name().write(decay_ms);
            }
        }
    }
    reply.ok();
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
