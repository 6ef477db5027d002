//! What a run comes to: the verdict, and the figures behind it. Stable as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::fault::{FAULTS, FaultInfo, FaultKind};
use super::nemesis::{FaultRecord, Trouble};
use super::pauses::Pause;
use super::place::Place;
use super::series::{Latency, quantile};

/// Explanations of a check that a terminal shows.
const SHOWN: usize = 2;
/// Bytes of an explanation that a reason quotes, about.
const QUOTED: usize = 160;

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check ran, decided, and found nothing.
    Passed,
    /// Some promise was not kept.
    Failed,
    /// Nothing was found, but not everything was checked.
    Incomplete,
}

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Passed,
    Failed,
    Undecided,
}

/// One line of the table of checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    pub name: String,
    pub status: Status,
    /// How much it has looked at, in words.
    pub scope: String,
    /// All findings, of which not all may be explained.
    pub findings: u64,
    /// What was found or could not be decided, for people.
    pub explanations: Vec<String>,
}

/// What a run was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    pub system: String,
    pub nodes: Vec<String>,
    pub faults: Vec<&'static str>,
    pub workloads: Vec<String>,
    pub seed: u64,
    pub minutes: f64,
    pub rate: u32,
    pub clients: u32,
    pub link_delay_ms: u64,
    /// Release and commit of the harness.
    pub harness_version: &'static str,
    /// What repeats the run.
    pub command: String,
    pub place: Place,
}

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Operations {
    pub all: u64,
    pub acknowledged: u64,
    pub acknowledged_writes: u64,
    pub did_not_happen: u64,
    pub in_doubt: u64,
    pub replica_reads: u64,
}

/// How long writes were not served, by kind of fault, in ms.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outage {
    pub fault: &'static str,
    pub times: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// A fault that was asked for and could not be had.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    pub faults: Vec<&'static str>,
    pub why: String,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub verdict: Verdict,
    /// Why it is no better.
    pub reasons: Vec<String>,
    pub started_unix_ms: i64,
    pub seconds: f64,
    pub settings: Settings,
    pub checks: Vec<CheckLine>,
    pub operations: Operations,
    pub operations_per_second: f64,
    pub write_latency: Latency,
    pub read_latency: Latency,
    pub faults: usize,
    pub failovers: u32,
    pub outages: Vec<Outage>,
    pub skipped: Vec<Skipped>,
    /// Faults that the run says nothing about.
    pub never_came: Vec<Skipped>,
    /// The longest time that one client was not served.
    pub worst_pause: Option<Pause>,
}

/// Faults of which there is no record, with the reason: they could not be had, were not asked for, or there was no time.
pub fn never_came(records: &[FaultRecord], asked: &[FaultKind], skipped: &[Skipped]) -> Vec<Skipped> {
    let is_skipped = |name: &str| skipped.iter().any(|skipped| skipped.faults.contains(&name));
    let came = |kind: FaultKind| records.iter().any(|record| record.kind == kind);
    let of = |why: &str, pick: &dyn Fn(&FaultInfo) -> bool| {
        let left = FAULTS.iter().filter(|info| !came(info.kind) && !is_skipped(info.name) && pick(info));
        Skipped { faults: left.map(|info| info.name).collect(), why: why.to_owned() }
    };
    let asked_for = |info: &FaultInfo| asked.contains(&info.kind);
    let mut never = skipped.to_vec();
    never.push(of("there was no time for it", &asked_for));
    never.push(of("not asked for", &|info| !asked_for(info)));
    never.retain(|never| !never.faults.is_empty());
    never
}

/// The outages by kind, in the order of the list of faults.
pub fn outages(records: &[FaultRecord]) -> Vec<Outage> {
    let mut by_kind: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for record in records {
        by_kind.entry(record.kind).or_default().push(record.unavailable_us);
    }
    let ms = |us: Option<u64>| us.unwrap_or(0) as f64 / 1000.0;
    let outage = |(kind, mut times): (super::fault::FaultKind, Vec<u64>)| {
        times.sort_unstable();
        Outage {
            fault: kind.name(),
            times: times.len(),
            p50_ms: ms(quantile(&times, 50)),
            p99_ms: ms(quantile(&times, 99)),
            max_ms: ms(times.last().copied()),
        }
    };
    by_kind.into_iter().map(outage).collect()
}

/// The judgement of the history, as lines.
pub fn history_lines(report: &perdura_proof::Report) -> Vec<CheckLine> {
    let mut lines: Vec<CheckLine> = report
        .checks
        .iter()
        .map(|check| CheckLine {
            name: check.name.clone(),
            status: Status::Passed,
            scope: match check.objects {
                0 | 1 => format!("{} operations", check.operations),
                objects => format!("{} operations on {objects} objects", check.operations),
            },
            findings: check.findings,
            explanations: Vec::new(),
        })
        .collect();
    let mut add = |name: &str, status: Status, text: String| {
        let at = lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            lines.push(CheckLine::new(name, Status::Passed, "", Vec::new()));
            lines.len() - 1
        });
        let line = &mut lines[at];
        line.status = line.status.worse(status);
        line.explanations.push(text);
        if status == Status::Failed {
            let explained = line.explanations.len() as u64;
            line.findings = line.findings.max(explained);
        }
    };
    for finding in &report.findings {
        add(&finding.check, Status::Failed, format!("{}: {}", finding.name, finding.explanation));
    }
    for open in &report.unchecked {
        add(&open.check, Status::Undecided, format!("not decided: {}", open.why));
    }
    lines
}

/// What the harness itself has seen, as lines.
pub fn harness_lines(trouble: &[Trouble], faults: usize) -> Vec<CheckLine> {
    let texts = |pick: fn(&Trouble) -> Option<&String>| -> Vec<String> {
        trouble.iter().filter_map(pick).cloned().collect()
    };
    let line = |name: &str, bad: Status, explanations: Vec<String>| {
        let status = if explanations.is_empty() { Status::Passed } else { bad };
        CheckLine::new(name, status, &format!("{faults} faults"), explanations)
    };
    let exits = texts(|t| if let Trouble::Exit(text) = t { Some(text) } else { None });
    let no_recoveries = texts(|t| if let Trouble::NoRecovery(text) = t { Some(text) } else { None });
    let harness = texts(|t| if let Trouble::Harness(text) = t { Some(text) } else { None });
    let mut lines = vec![
        line("nodes stay up", Status::Failed, exits),
        line("recovery after each fault", Status::Failed, no_recoveries),
    ];
    if !harness.is_empty() {
        lines.push(line("the harness' own work", Status::Undecided, harness));
    }
    lines
}

impl Verdict {
    /// Of checks that all ran.
    pub fn of(lines: &[CheckLine]) -> Verdict {
        match lines.iter().fold(Status::Passed, |worst, line| worst.worse(line.status)) {
            Status::Passed => Verdict::Passed,
            Status::Failed => Verdict::Failed,
            Status::Undecided => Verdict::Incomplete,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::Incomplete => "incomplete",
        }
    }
}

impl Status {
    pub fn text(self) -> &'static str {
        match self {
            Status::Passed => "passed",
            Status::Failed => "FAILED",
            Status::Undecided => "not decided",
        }
    }

    fn worse(self, other: Status) -> Status {
        match (self, other) {
            (Status::Failed, _) | (_, Status::Failed) => Status::Failed,
            (Status::Undecided, _) | (_, Status::Undecided) => Status::Undecided,
            _ => Status::Passed,
        }
    }
}

impl CheckLine {
    /// Why the verdict is no better, in one line; none where nothing is wrong.
    pub fn reason(&self) -> Option<String> {
        let first = self.explanations.first().and_then(|text| text.lines().next()).unwrap_or_default();
        let quoted: String = first.chars().take(QUOTED).collect();
        let rest = if quoted.len() < first.len() { "…" } else { "" };
        let name = &self.name;
        match (self.status, self.findings) {
            (Status::Passed, _) => None,
            (Status::Undecided, _) | (_, 1) => Some(format!("{name}: {quoted}{rest}")),
            (Status::Failed, findings) => {
                Some(format!("{name}: {findings} findings, the first: {quoted}{rest}"))
            }
        }
    }

    /// A line whose findings are all explained.
    pub fn new(name: &str, status: Status, scope: &str, explanations: Vec<String>) -> CheckLine {
        let findings = if status == Status::Failed { explanations.len() as u64 } else { 0 };
        CheckLine { name: name.to_owned(), status, scope: scope.to_owned(), findings, explanations }
    }
}

/// For a terminal.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        writeln!(f, "{} on {}: {}", settings.system, settings.nodes.join(", "), self.verdict.text())?;
        self.reasons.iter().try_for_each(|reason| writeln!(f, "  {reason}"))?;
        writeln!(
            f,
            "\n{:.0} s, seed {}, {} faults, {} failovers; {} operations ({:.0}/s), {} acknowledged, {} in doubt",
            self.seconds,
            settings.seed,
            self.faults,
            self.failovers,
            self.operations.all,
            self.operations_per_second,
            self.operations.acknowledged,
            self.operations.in_doubt,
        )?;
        for never in &self.never_came {
            writeln!(f, "never came: {}: {}", never.faults.join(", "), never.why)?;
        }
        if let Some(Pause { client, from_s, ms }) = self.worst_pause {
            writeln!(f, "worst pause of a client: {ms:.0} ms (client {client}, at {from_s:.1} s)")?;
        }
        writeln!(f, "to repeat it: {}", settings.command)?;
        writeln!(f, "\n{:<32} {:<12} {:>9}  scope", "check", "", "findings")?;
        for check in &self.checks {
            let CheckLine { name, status, findings, scope, .. } = check;
            writeln!(f, "{name:<32} {:<12} {findings:>9}  {scope}", status.text())?;
            for explanation in check.explanations.iter().take(SHOWN) {
                writeln!(f, "    {}", explanation.replace('\n', "\n    "))?;
            }
            match check.explanations.len().saturating_sub(SHOWN) {
                0 => {}
                more => writeln!(f, "    and {more} more, in report.html")?,
            }
        }
        writeln!(
            f,
            "\n{:<16} {:>6} {:>10} {:>10} {:>10}",
            "no writes for", "times", "p50 ms", "p99 ms", "max ms"
        )?;
        for Outage { fault, times, p50_ms, p99_ms, max_ms } in &self.outages {
            writeln!(f, "{fault:<16} {times:>6} {p50_ms:>10.0} {p99_ms:>10.0} {max_ms:>10.0}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use perdura_proof::{Check, Finding, Report, Unchecked};

    use super::*;

    fn check(name: &str, findings: u64) -> Check {
        Check { name: name.to_owned(), operations: 5, objects: 2, steps: 0, findings }
    }

    #[test]
    fn findings_and_what_is_open_stand_with_their_check() {
        let report = Report {
            checks: vec![check("bank", 0), check("durability", 12)],
            findings: vec![Finding {
                check: "durability".to_owned(),
                name: "lost writes".to_owned(),
                explanation: "12 of 40".to_owned(),
                operations: vec![1],
            }],
            unchecked: vec![Unchecked { check: "registers".to_owned(), why: "too long".to_owned() }],
            ..Report::default()
        };
        let lines = history_lines(&report);
        let told: Vec<_> =
            lines.iter().map(|line| (line.name.as_str(), line.status, line.findings)).collect();
        let expected = [
            ("bank", Status::Passed, 0),
            ("durability", Status::Failed, 12),
            ("registers", Status::Undecided, 0),
        ];
        assert_eq!(told, expected);
        assert_eq!(lines[1].explanations, ["lost writes: 12 of 40"]);
        assert_eq!(Verdict::of(&lines), Verdict::Failed);
        assert_eq!(Verdict::of(&lines[2..]), Verdict::Incomplete);
        assert_eq!(Verdict::of(&lines[..1]), Verdict::Passed);
    }

    #[test]
    fn a_reason_fits_a_line() {
        let line = |status, text: String| CheckLine::new("bank", status, "", vec![text.clone(), text]);
        assert_eq!(line(Status::Passed, String::new()).reason(), None);
        let long = line(Status::Failed, "ü".repeat(500)).reason().expect("it failed");
        assert!(long.starts_with("bank: 2 findings, the first: ü") && long.ends_with('…'));
        let open = line(Status::Undecided, "not decided: why\nand more".to_owned()).reason();
        assert_eq!(open.as_deref(), Some("bank: not decided: why"));
    }

    #[test]
    fn a_node_that_died_by_itself_fails_the_run() {
        let lines = harness_lines(&[Trouble::Exit("node 2".to_owned())], 7);
        assert_eq!(Verdict::of(&lines), Verdict::Failed);
        assert_eq!(Verdict::of(&harness_lines(&[], 7)), Verdict::Passed);
        let lines = harness_lines(&[Trouble::Harness("no ptrace".to_owned())], 7);
        assert_eq!(Verdict::of(&lines), Verdict::Incomplete);
    }

    #[test]
    fn faults_that_never_came_have_a_reason() {
        let skipped = vec![Skipped { faults: vec!["full-disk"], why: "it needs root".to_owned() }];
        let asked = [FaultKind::KillPrimary, FaultKind::KillAll];
        let never = never_came(&[record(FaultKind::KillPrimary, 1)], &asked, &skipped);
        let told: Vec<_> = never.iter().map(|never| (never.why.as_str(), never.faults.len())).collect();
        assert_eq!(
            told,
            [("it needs root", 1), ("there was no time for it", 1), ("not asked for", FAULTS.len() - 3)]
        );
        assert_eq!(never[1].faults, ["kill-all"]);
    }

    fn record(kind: FaultKind, unavailable_us: u64) -> FaultRecord {
        FaultRecord {
            number: 1,
            kind,
            nodes: Vec::new(),
            primary_before: None,
            primary_after: None,
            begun_us: 0,
            ended_us: 0,
            recovered_us: None,
            unavailable_us,
            served_after_end_us: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn outages_are_told_by_kind() {
        let records = [record(FaultKind::KillPrimary, 1000), record(FaultKind::KillPrimary, 3000)];
        let expected = Outage { fault: "kill-primary", times: 2, p50_ms: 1.0, p99_ms: 3.0, max_ms: 3.0 };
        assert_eq!(outages(&records), [expected]);
    }
}
