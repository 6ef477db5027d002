//! The page: verdict, checks, curves, outages, faults, settings; one file with nothing from outside.
//!
//! Everything that did not come from this program's own constants is escaped.

use super::charts::{self, duration_text};
use super::repeat;
use crate::calendar::minute_text;
use crate::torture::about;
use crate::torture::fault::FAULTS;
use crate::torture::nemesis::FaultRecord;
use crate::torture::series::{Latency, Series};
use crate::torture::summary::{CheckLine, Outage, Status, Summary, Verdict};

const STYLE: &str = include_str!("style.css");

/// Explanations of a check that are not folded up.
const SHOWN: usize = 2;

/// The check that finds lost writes.
const DURABILITY: &str = "durability";

/// Text as HTML, in elements and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters are not allowed in XML, and show nothing in HTML.
            char if char.is_control() && !char.is_whitespace() => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

/// The whole page.
pub fn page(summary: &Summary, faults: &[FaultRecord], series: &Series) -> String {
    let title = format!("{} under torture: {}", summary.settings.system, summary.verdict.text());
    let sections = [
        header(summary),
        checks(&summary.checks),
        curves(series, faults),
        outages(summary, faults),
        fault_list(faults),
        repeat::never_came(summary),
        repeat::how(summary),
        settings(summary),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        escape(&title),
        sections.concat()
    )
}

fn header(summary: &Summary) -> String {
    let class = verdict_class(summary.verdict);
    let loses = summary.checks.iter().any(|check| check.name == DURABILITY && check.status == Status::Failed);
    let headline = match summary.verdict {
        Verdict::Passed => "Nothing acknowledged was lost",
        Verdict::Failed if loses => "Acknowledged writes were lost",
        Verdict::Failed => "Promises were not kept",
        Verdict::Incomplete => "Not everything could be checked",
    };
    let lead = format!(
        "{} on {} nodes, {} under load: {} faults, {} changes of the primary, {} acknowledged operations.",
        summary.settings.system,
        summary.settings.nodes.len(),
        clock_words(summary.seconds),
        summary.faults,
        summary.failovers,
        grouped(summary.operations.acknowledged),
    );
    let reasons: String =
        summary.reasons.iter().map(|reason| format!("<li>{}</li>\n", escape(reason))).collect();
    let reasons =
        if reasons.is_empty() { reasons } else { format!("<ul class=\"reasons\">\n{reasons}</ul>\n") };
    let worst = summary.outages.iter().map(|outage| outage.max_ms).fold(0.0, f64::max);
    let tiles = [
        ("faults injected", summary.faults.to_string()),
        ("changes of the primary", summary.failovers.to_string()),
        ("writes acknowledged", grouped(summary.operations.acknowledged_writes)),
        ("operations per second", format!("{:.0}", summary.operations_per_second)),
        ("median of the write latency", duration_text(summary.write_latency.p50_us as f64)),
        ("longest time without writes", duration_text(worst * 1000.0)),
        ("worst client's pause", duration_text(summary.worst_pause.map_or(0.0, |pause| pause.ms * 1000.0))),
    ];
    let tiles: String = tiles
        .iter()
        .map(|(name, value)| {
            format!("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", escape(value), escape(name))
        })
        .collect();
    format!(
        "<header class=\"{class}\">\n<p class=\"badge\">{}</p>\n<h1>{headline}</h1>\n<p>{}</p>\n{reasons}</header>\n\
         <section class=\"tiles\">\n{tiles}</section>\n",
        escape(summary.verdict.text()),
        escape(&lead),
    )
}

fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Incomplete => "incomplete",
    }
}

fn status_class(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::Undecided => "incomplete",
    }
}

fn checks(lines: &[CheckLine]) -> String {
    let row = |line: &CheckLine| {
        format!(
            "<tr><td>{}</td><td><span class=\"status {}\">{}</span></td><td class=\"number\">{}</td>\
             <td>{}</td></tr>\n{}{}",
            escape(&line.name),
            status_class(line.status),
            line.status.text(),
            grouped(line.findings),
            escape(&line.scope),
            meaning(&line.name),
            explanations(line),
        )
    };
    let rows: String = lines.iter().map(row).collect();
    format!(
        "<section>\n<h2>Checks</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>check</th><th>result</th>\
         <th class=\"number\">findings</th><th>looked at</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

/// What the check proves, and what it can't see.
fn meaning(check: &str) -> String {
    let row = |about: about::About| {
        let (proves, blind) = (escape(about.proves), escape(about.blind));
        format!(
            "<tr class=\"details\"><td colspan=\"4\"><p>Proves: {proves}.</p><p>Can't see: {blind}.</p></td></tr>\n"
        )
    };
    about::of(check).map(row).unwrap_or_default()
}

/// The first few, and the others folded up.
fn explanations(line: &CheckLine) -> String {
    let items: Vec<String> =
        line.explanations.iter().map(|text| format!("<li><pre>{}</pre></li>\n", escape(text))).collect();
    let (shown, folded) = items.split_at(items.len().min(SHOWN));
    let folded = match folded.len() {
        0 => String::new(),
        more => {
            format!("<details><summary>{more} more</summary>\n<ul>\n{}</ul>\n</details>\n", folded.concat())
        }
    };
    match shown.is_empty() {
        true => String::new(),
        false => format!(
            "<tr class=\"details\"><td colspan=\"4\"><ul>\n{}</ul>\n{folded}</td></tr>\n",
            shown.concat()
        ),
    }
}

fn curves(series: &Series, faults: &[FaultRecord]) -> String {
    format!(
        "<section>\n<h2>Operations per second</h2>\n{}\n<p class=\"legend\"><i class=\"good\"></i> acknowledged \
         <i class=\"bad\"></i> refused, did not happen <i class=\"doubt\"></i> in doubt \
         </p>\n<p class=\"legend\">faults, from beginning to recovery: {}</p>\n</section>\n\
         <section>\n<h2>Latency</h2>\n{}\n<p class=\"legend\"><i class=\"p50\"></i> median <i class=\"p99\"></i> \
         99th percentile, of acknowledged operations</p>\n</section>\n",
        charts::throughput(series, faults),
        groups(),
        charts::latency(series, faults),
    )
}

/// The colours of the groups of faults.
fn groups() -> String {
    let mut names: Vec<&str> = Vec::new();
    for info in FAULTS {
        if !names.contains(&info.group) {
            names.push(info.group);
        }
    }
    names.iter().map(|name| format!("<i class=\"swatch s-{name}\"></i> {name} ")).collect()
}

fn outages(summary: &Summary, faults: &[FaultRecord]) -> String {
    if faults.is_empty() {
        return String::new();
    }
    let row = |outage: &Outage| {
        let Outage { fault, times, p50_ms, p99_ms, max_ms } = outage;
        let [p50, p99, max] = [p50_ms, p99_ms, max_ms].map(|ms| duration_text(ms * 1000.0));
        format!(
            "<tr><td>{fault}</td><td class=\"number\">{times}</td><td class=\"number\">{p50}</td>\
             <td class=\"number\">{p99}</td><td class=\"number\">{max}</td></tr>\n"
        )
    };
    let rows: String = summary.outages.iter().map(row).collect();
    format!(
        "<section>\n<h2>Time without writes</h2>\n<p>For each fault, the longest stretch from its beginning to recovery in \
         which no write of any client was acknowledged.</p>\n{}\n<div class=\"wide\"><table>\n<thead><tr><th>fault</th>\
         <th class=\"number\">times</th><th class=\"number\">p50</th><th class=\"number\">p99</th>\
         <th class=\"number\">max</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
        charts::outages(faults, &summary.outages),
    )
}

fn fault_list(faults: &[FaultRecord]) -> String {
    let number = |node: &Option<u32>| node.map_or("none".to_owned(), |node| node.to_string());
    let row = |fault: &FaultRecord| {
        let nodes: Vec<String> = fault.nodes.iter().map(u32::to_string).collect();
        let seconds = |us: u64| format!("{:.1} s", us as f64 / 1e6);
        let recovery = match fault.recovered_us {
            Some(us) => seconds(us - fault.ended_us),
            None => "never".to_owned(),
        };
        format!(
            "<tr><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td><td>{}</td><td>{} → {}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{recovery}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>\n",
            fault.number,
            seconds(fault.begun_us),
            fault.kind,
            nodes.join(", "),
            number(&fault.primary_before),
            number(&fault.primary_after),
            seconds(fault.ended_us - fault.begun_us),
            duration_text(fault.unavailable_us as f64),
            fault.served_after_end_us.map_or("never".to_owned(), |us| duration_text(us as f64)),
            escape(&fault.notes.join("; ")),
        )
    };
    let rows: String = faults.iter().map(row).collect();
    format!(
        "<section>\n<h2>Faults</h2>\n<details><summary>{} faults, one by one</summary>\n<div class=\"wide\"><table>\n<thead><tr>\
         <th class=\"number\">no.</th><th class=\"number\">at</th><th>fault</th><th>nodes</th><th>primary</th>\
         <th class=\"number\">held</th><th class=\"number\">recovery</th><th class=\"number\">no writes</th><th class=\"number\">write after its end</th><th>notes</th>\
         </tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div></details>\n</section>\n",
        faults.len(),
    )
}

fn settings(summary: &Summary) -> String {
    let settings = &summary.settings;
    let operations = &summary.operations;
    let rows = [
        ("system", settings.system.clone()),
        ("nodes", settings.nodes.join(", ")),
        ("seed", settings.seed.to_string()),
        ("length", clock_words(summary.seconds)),
        ("faults", settings.faults.join(", ")),
        ("workloads", settings.workloads.join(", ")),
        ("clients", format!("{}, {} operations a second together", settings.clients, settings.rate)),
        ("delay of the links between nodes, each way", format!("{} ms", settings.link_delay_ms)),
        (
            "operations",
            format!(
                "{}: {} acknowledged, {} did not happen, {} in doubt; {} read from replicas",
                grouped(operations.all),
                grouped(operations.acknowledged),
                grouped(operations.did_not_happen),
                grouped(operations.in_doubt),
                grouped(operations.replica_reads),
            ),
        ),
        ("write latency, p50 / p99", both(&summary.write_latency)),
        ("read latency, p50 / p99", both(&summary.read_latency)),
        ("started", minute_text(summary.started_unix_ms)),
        ("harness", format!("perdura torture {}", settings.harness_version)),
    ];
    let rows: String = rows
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value)))
        .collect();
    format!(
        "<section>\n<h2>Settings</h2>\n<div class=\"wide\"><table class=\"settings\">\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

fn both(latency: &Latency) -> String {
    format!("{} / {}", duration_text(latency.p50_us as f64), duration_text(latency.p99_us as f64))
}

fn clock_words(seconds: f64) -> String {
    match seconds {
        _ if seconds < 120.0 => format!("{seconds:.0} seconds"),
        _ => format!("{:.1} minutes", seconds / 60.0),
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
