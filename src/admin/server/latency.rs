//! LATENCY: how long commands take.
//!
//! Histograms come from the statistics of commands. Spikes are those that took `latency-monitor-threshold` on this node
//! (`admin/latency.rs`).
//!
//! Source: <https://redis.io/docs/latest/commands/latency-histogram/>.

use std::collections::BTreeSet;

use super::{ANYTIME, OPERATORS};
use crate::admin::LocalContext;
use crate::admin::latency::{FAST_COMMAND, LOG_WRITE, Sample};
use crate::admin::table::{ProcessCommand, Table};
use crate::command::{Args, CommandError, CommandResult};
use crate::metrics::CommandTotals;
use crate::protocol::reply::Reply;

pub(super) const LATENCY: ProcessCommand = ProcessCommand::container(
    "latency",
    &[
        ProcessCommand::local("doctor", 2, doctor).flags(&[OPERATORS]).docs(
            "2.8.13",
            "O(1)",
            "Returns a human-readable latency analysis report.",
        ),
        ProcessCommand::local("graph", 3, graph).flags(&[OPERATORS]).docs(
            "2.8.13",
            "O(1)",
            "Returns a latency graph for an event.",
        ),
        ProcessCommand::local("help", 2, help).flags(&[ANYTIME]).docs(
            "2.8.13",
            "O(1)",
            "Returns helpful text about the different subcommands.",
        ),
        ProcessCommand::local("histogram", -2, histogram).flags(&[OPERATORS]).docs(
            "7.0.0",
            "O(N) where N is the number of commands with latency information being retrieved.",
            "Returns the cumulative distribution of latencies of a subset or all commands.",
        ),
        ProcessCommand::local("history", 3, history).flags(&[OPERATORS]).docs(
            "2.8.13",
            "O(1)",
            "Returns timestamp-latency samples for an event.",
        ),
        ProcessCommand::local("latest", 2, latest).flags(&[OPERATORS]).docs(
            "2.8.13",
            "O(1)",
            "Returns the latest latency samples for all events.",
        ),
        ProcessCommand::local("reset", -2, reset).flags(&[OPERATORS]).docs(
            "2.8.13",
            "O(1)",
            "Resets the latency data for one or more events.",
        ),
    ],
)
.docs("2.8.13", "Depends on subcommand.", "A container for latency diagnostics commands.");

const HELP: [&str; 17] = [
    "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DOCTOR",
    "    Return a human readable latency analysis report.",
    "GRAPH <event>",
    "    Return an ASCII latency graph for the <event> class.",
    "HISTORY <event>",
    "    Return time-latency samples for the <event> class.",
    "LATEST",
    "    Return the latest latency samples for all events.",
    "RESET [<event> ...]",
    "    Reset latency data of one or more <event> classes.",
    "    (default: reset all data for all event classes)",
    "HISTOGRAM [COMMAND ...]",
    "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
    "    If no commands are specified then all histograms are replied.",
    "HELP",
    "    Prints this help.",
];

/// Commands that were called, and for each how many calls took at most so many µs.
fn histogram(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let wanted = wanted_names(ctx.table, &args[2..]);
    let totals = ctx.shared.metrics.totals();
    let called: Vec<&(String, CommandTotals)> = totals
        .commands
        .iter()
        .filter(|(name, totals)| {
            totals.calls > 0 && wanted.as_ref().is_none_or(|wanted| wanted.contains(name))
        })
        .collect();
    reply.map(called.len());
    for (name, totals) in called {
        reply.bulk(name.as_bytes());
        write_distribution(totals, reply);
    }
    Ok(())
}

fn write_distribution(totals: &CommandTotals, reply: &mut Reply<'_>) {
    let points = totals.latencies.cumulative_by_doubling();
    reply.map(2);
    reply.bulk(b"calls");
    reply.integer(totals.calls as i64);
    reply.bulk(b"histogram_usec");
    reply.map(points.len());
    for (limit_us, calls) in points {
        reply.integer(limit_us as i64);
        reply.integer(calls as i64);
    }
}

/// All where none is named. A container stands for its subcommands; what is no command is passed over.
fn wanted_names(table: &Table, args: &Args<'_>) -> Option<BTreeSet<String>> {
    if args.is_empty() {
        return None;
    }
    let whole = args.iter().filter_map(|name| table.lookup(name));
    let own = whole.flat_map(|row| std::iter::once(row).chain(&row.subcommands));
    let subcommands = table.rows().iter().flat_map(|row| &row.subcommands);
    let named =
        subcommands.filter(|sub| args.iter().any(|arg| arg.eq_ignore_ascii_case(sub.full_name.as_bytes())));
    Some(own.chain(named).map(|row| row.full_name.clone()).collect())
}

/// <https://redis.io/docs/latest/commands/latency-latest/>
fn latest(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let events = ctx.shared.latency.all();
    reply.array(events.len());
    for (name, series) in events {
        let Sample { at_s, ms } = series.latest().unwrap_or_default();
        reply.array(4);
        reply.bulk(name.as_bytes());
        reply.integer(at_s);
        reply.integer(shown(ms));
        reply.integer(shown(series.max_ms));
    }
    Ok(())
}

fn shown(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// <https://redis.io/docs/latest/commands/latency-history/>
fn history(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let samples = ctx.shared.latency.of(args[2]).unwrap_or_default().samples;
    reply.array(samples.len());
    for Sample { at_s, ms } in samples {
        reply.array(2);
        reply.integer(at_s);
        reply.integer(shown(ms));
    }
    Ok(())
}

/// Answers the number of events that were reset.
fn reset(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.shared.latency.reset(&args[2..]) as i64);
    Ok(())
}

fn graph(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let event = String::from_utf8_lossy(args[2]);
    let series = ctx
        .shared
        .latency
        .of(args[2])
        .ok_or_else(|| CommandError::other(format!("ERR No samples available for event '{event}'")))?;
    reply.verbatim(&series.graph(&event, ctx.shared.clock.unix_ms().div_euclid(1000)));
    Ok(())
}

/// What each event says of this node, in words.
fn doctor(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let threshold_ms = ctx.shared.config.group().latency_threshold_ms();
    if threshold_ms == 0 {
        reply.verbatim(
            "Latency monitoring is off on this group. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n",
        );
        return Ok(());
    }
    let events = ctx.shared.latency.all();
    let mut report = match events.len() {
        0 => format!("No event of this node took {threshold_ms} ms.\n"),
        _ => format!("Events of this node that took {threshold_ms} ms or more:\n\n"),
    };
    for (name, series) in events {
        let count = series.samples.len();
        let average = series.samples.iter().map(|sample| sample.ms).sum::<u64>() / count.max(1) as u64;
        let advice = advice(name);
        let max = series.max_ms;
        report.push_str(&format!(
            "{name}: {count} seconds with a spike, {average} ms on average, {max} ms at worst. {advice}\n"
        ));
    }
    reply.verbatim(&report);
    Ok(())
}

fn advice(event: &str) -> &'static str {
    match event {
        LOG_WRITE => "The disk of the log is slow to sync: every write waits for it. See `perdura doctor`.",
        FAST_COMMAND => {
            "Commands that are fast by nature were slow: the machine is short of processors or of memory."
        }
        _ => "Commands ran long: SLOWLOG GET names them.",
    }
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
