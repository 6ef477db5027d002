//! Limits, clocks and memory of this machine.

use std::fs::read_to_string;

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::cli::log::bytes_text;
use crate::cli::open_files;
use crate::memory;

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// Clock sources that are read without a system call.
const QUICK_CLOCKS: [&str; 6] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "ptp", "vdso"];
/// What the kernel says of a calendar that nothing keeps right.
const UNSYNCHRONIZED: i32 = libc::TIME_ERROR;

pub(super) fn look() -> Vec<Finding> {
    let mut findings = vec![open_files(), memory()];
    findings.extend(huge_pages());
    findings.extend(clock_source());
    findings.push(calendar());
    findings
}

fn open_files() -> Finding {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let wanted = open_files::wanted(open_files::USUAL_CLIENTS, 2);
    let text = format!(
        "{limit} files may be open; a member of a group with {} clients wants {wanted}",
        open_files::USUAL_CLIENTS
    );
    match limit >= wanted {
        true => Finding::good("open-files", text),
        false => Finding::look(
            "open-files",
            format!("{text}: raise it (LimitNOFILE= of systemd, ulimit -n), or set --maxclients"),
        ),
    }
}

fn memory() -> Finding {
    let limits: Vec<_> = memory::machine_limits().collect();
    let nearest = limits.iter().min_by_key(|limit| limit.bytes);
    let text = match nearest {
        Some(limit) => format!("{} ({})", bytes_text(limit.bytes), limit.name),
        None => format!("{}, without a limit", bytes_text(memory::total_bytes())),
    };
    Finding::good("memory", format!("{text}; writes are refused above 85% of it"))
}

fn huge_pages() -> Option<Finding> {
    let text = read_to_string(HUGE_PAGES).ok()?;
    let chosen =
        text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(word, _)| word.to_owned())?;
    Some(match chosen.as_str() {
        "always" => Finding::look(
            "huge-pages",
            format!(
                "transparent huge pages are 'always', which costs memory and makes pauses: echo madvise > {HUGE_PAGES}"
            ),
        ),
        _ => Finding::good("huge-pages", format!("transparent huge pages are '{chosen}'")),
    })
}

fn clock_source() -> Option<Finding> {
    let source = read_to_string(CLOCK_SOURCE).ok()?.trim().to_owned();
    let is_quick = QUICK_CLOCKS.contains(&source.as_str());
    let text = match is_quick {
        true => format!("the clock source is {source}"),
        false => format!(
            "the clock source {source} is slow to read, and every request reads it: choose tsc or the hypervisor's own"
        ),
    };
    Some(Finding::of("clock-source", is_quick, text))
}

/// Whether something keeps the calendar right.
fn calendar() -> Finding {
    // SAFETY: all bytes zero is a valid `timex`, and `modes` zero asks the kernel to change nothing: it only fills in the struct that it is
    // given, which outlives the call.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        libc::adjtimex(&mut timex)
    };
    match state {
        UNSYNCHRONIZED => Finding::look(
            "calendar",
            "nothing keeps this machine's calendar right: run chrony or systemd-timesyncd; times to live and restores to a time go by it".to_owned(),
        ),
        0.. => Finding::good("calendar", "the kernel says that the calendar is synchronized".to_owned()),
        _ => Finding::good("calendar", "the kernel does not tell whether the calendar is synchronized".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under `.ci/sanitize`, too: the kernel writes into a struct of ours.
    #[test]
    fn the_kernel_is_asked_for_the_calendar() {
        assert!(format!("{:?}", calendar()).contains("calendar"));
    }
}
