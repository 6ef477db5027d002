//! A group as a table for people.

use std::io::{self, Write};

use super::group::{GroupView, MemberView};
use crate::admin::report::{MemoryReport, NodeReport, State};
use crate::cli::log::bytes_text;

const HEAD: [&str; 11] =
    ["id", "address", "role", "term", "applied", "lag", "heard", "version", "disk", "memory", "backup"];

/// Writes a line about the whole, a line a member, a line a warning.
pub fn write(view: &GroupView, out: &mut impl Write) -> io::Result<()> {
    let primary = match view.primary_id {
        0 => "no primary".to_owned(),
        id => format!("primary {id}"),
    };
    let cluster = if view.cluster_id.is_empty() { "not known yet" } else { &view.cluster_id };
    writeln!(out, "{}: cluster {cluster}, {primary}, term {}", view.health.text(), view.term)?;
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(view.members.iter().map(row));
    write_rows(&rows, out)?;
    for warning in &view.warnings {
        let place = match warning.node_id {
            0 => "group".to_owned(),
            id => format!("node {id}"),
        };
        writeln!(out, "WARNING {place}: {} ({})", warning.warning.text, warning.warning.name)?;
    }
    Ok(())
}

fn write_rows(rows: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
    // A column that no member fills is left out.
    let is_filled = |at: usize| rows[1..].iter().any(|row| !row[at].is_empty());
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let columns: Vec<(usize, usize)> =
        (0..HEAD.len()).filter(|at| is_filled(*at)).map(|at| (at, width(at))).collect();
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|(at, width)| format!("{:width$}", row[*at])).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn row(member: &MemberView) -> Vec<String> {
    let addr = member.addr.clone().unwrap_or_else(|| "not known".to_owned());
    let head = [member.node_id.to_string(), addr];
    let Some(report) = &member.report else {
        let lag = member.lag_entries.map(|entries| format!("{entries} entries")).unwrap_or_default();
        let rest = ["does not answer".to_owned(), String::new(), String::new(), lag, heard(member)];
        return head.into_iter().chain(rest).chain(std::iter::repeat_n(String::new(), 4)).collect();
    };
    let rest = [
        role(report).to_owned(),
        report.term.to_string(),
        report.applied.to_string(),
        lag(member),
        heard(member),
        format!("{} ({})", report.version, report.commit),
        disk(report),
        memory(&report.memory),
        backup(report),
    ];
    head.into_iter().chain(rest).collect()
}

fn role(report: &NodeReport) -> &'static str {
    match report.state {
        State::Loading => "loading",
        State::Primary => "primary",
        State::Replica => "replica",
        State::Candidate => "candidate",
    }
}

fn lag(member: &MemberView) -> String {
    member.lag_seconds.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default()
}

/// How long ago another member heard it last.
fn heard(member: &MemberView) -> String {
    member.heard_seconds.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default()
}

fn disk(report: &NodeReport) -> String {
    let Some(disk) = &report.disk else { return String::new() };
    format!("{}, {} free", bytes_text(disk.used_bytes()), bytes_text(disk.free_bytes))
}

fn memory(memory: &MemoryReport) -> String {
    match memory.limit_bytes {
        0 => bytes_text(memory.resident_bytes),
        limit => format!("{} of {}", bytes_text(memory.resident_bytes), bytes_text(limit)),
    }
}

/// Only the primary ships, and knows how far the backup is.
fn backup(report: &NodeReport) -> String {
    match &report.backup {
        Some(backup) if backup.failure.is_some() => "fails".to_owned(),
        Some(backup) if backup.is_shipping => format!("{} s", backup.lag_s),
        _ => String::new(),
    }
}
