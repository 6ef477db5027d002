//! LATENCY: how long commands take.
//!
//! Histograms come from the statistics of commands. Spikes are not recorded as events (`latency-monitor-threshold` is 0), so
//! there are none to be told of.
//!
//! Source: <https://redis.io/docs/latest/commands/latency-histogram/>.

use std::collections::BTreeSet;

use super::{ANYTIME, OPERATORS};
use crate::admin::LocalContext;
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

const HELP: [&str; 12] = [
    "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "HISTOGRAM [COMMAND ...]",
    "    Return a cumulative distribution of commands latencies in histogram format.",
    "    If no commands are specified then all histograms are replied.",
    "LATEST, HISTORY <event>, RESET [<event> ...]",
    "    Samples of latency events; no events are recorded.",
    "DOCTOR",
    "    Return a human readable latency analysis report.",
    "GRAPH <event>",
    "    Return an ASCII latency graph for the <event> class.",
    "HELP",
    "    Print this help.",
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

fn latest(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.array(0);
    Ok(())
}

fn history(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.array(0);
    Ok(())
}

/// Answers the number of events that were reset.
fn reset(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(0);
    Ok(())
}

fn graph(_: &mut LocalContext<'_>, args: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    let event = String::from_utf8_lossy(args[2]);
    Err(CommandError::other(format!("ERR No samples available for event '{event}'")))
}

fn doctor(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.verbatim(
        "No latency events are recorded. See LATENCY HISTOGRAM and SLOWLOG GET, and the histograms of the log at the \
         metrics endpoint.\n",
    );
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
