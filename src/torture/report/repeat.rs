//! What a reader needs to judge the page by: faults that never came, and how to repeat the run.

use super::charts::duration_text;
use super::page::escape;
use crate::torture::pauses::Pause;
use crate::torture::place::Place;
use crate::torture::summary::Summary;

/// Faults that the run says nothing about.
pub(super) fn never_came(summary: &Summary) -> String {
    if summary.never_came.is_empty() {
        return String::new();
    }
    let row = |faults: &[&str], why: &str| {
        format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(&faults.join(", ")), escape(why))
    };
    let rows: String = summary.never_came.iter().map(|never| row(&never.faults, &never.why)).collect();
    format!(
        "<section>\n<h2>Faults that never came</h2>\n<p>The run says nothing about these.</p>\n<div class=\"wide\"><table>\n<thead><tr>\
         <th>fault</th><th>why</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

/// The command, the program, the machine and its disk.
pub(super) fn how(summary: &Summary) -> String {
    let Place { processor, cores, memory_bytes, kernel, sync } = &summary.settings.place;
    let disk = sync.map(|sync| {
        let [p50, p99] = [sync.p50_us, sync.p99_us].map(|us| duration_text(us as f64));
        format!("a write of 4 KiB was on the disk after {p50} (median), {p99} (p99)")
    });
    let pause = summary.worst_pause.map(|Pause { client, from_s, ms }| {
        format!(
            "{}: client {client} from {from_s:.1} s on; its own pace is part of that",
            duration_text(ms * 1000.0)
        )
    });
    let rows = [
        ("command", summary.settings.command.clone()),
        ("program", format!("perdura {}", summary.settings.harness_version)),
        (
            "machine",
            format!(
                "{processor}, {cores} cores, {:.0} GiB, {kernel}",
                *memory_bytes as f64 / f64::powi(2.0, 30)
            ),
        ),
        ("disk, before the load", disk.unwrap_or_default()),
        ("worst client's pause", pause.unwrap_or_default()),
    ];
    let rows: String = rows
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("<tr><th>{name}</th><td>{}</td></tr>\n", escape(value)))
        .collect();
    format!(
        "<section>\n<h2>To repeat it</h2>\n<p>The same seed gives the same faults and the same actions; the machine's timing is what it is.</p>\n\
         <div class=\"wide\"><table class=\"settings\">\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}
