//! What one check has to say, on its way into the report.

use super::{Check, Finding, Options, Report, Unchecked};

/// A check at work. Its part of the report is complete when it has been [finished](Judge::finish).
pub struct Judge<'r> {
    check: Check,
    report: &'r mut Report,
    max_findings: u64,
}

impl<'r> Judge<'r> {
    pub fn new(name: &str, options: &Options, report: &'r mut Report) -> Judge<'r> {
        let check = Check { name: name.to_owned(), ..Check::default() };
        Judge { check, report, max_findings: options.max_findings_per_check as u64 }
    }

    /// Another key, bank, node or graph, with its operations.
    pub fn object(&mut self, operations: usize) {
        self.check.objects += 1;
        self.check.operations += operations as u64;
    }

    pub fn steps(&mut self, steps: u64) {
        self.check.steps += steps;
    }

    /// A broken promise. The explanation is not made if there are too many already.
    pub fn find(&mut self, name: &str, operations: Vec<u64>, explain: impl FnOnce() -> String) {
        self.check.findings += 1;
        if self.check.findings <= self.max_findings {
            let explanation = explain();
            let (check, name) = (self.check.name.clone(), name.to_owned());
            self.report.findings.push(Finding { check, name, explanation, operations });
        }
    }

    pub fn undecided(&mut self, why: String) {
        self.report.unchecked.push(Unchecked { check: self.check.name.clone(), why });
    }

    /// A check that had nothing to look at leaves no trace.
    pub fn finish(self) {
        if self.check.objects > 0 {
            self.report.checks.push(self.check);
        }
    }
}
