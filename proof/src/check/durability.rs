//! Every acknowledged append is in its list at the end.

use std::collections::{HashMap, HashSet};

use super::{Check, Finding, Options, Report};
use crate::history::{Action, History, Value};

pub fn check(history: &History, _options: &Options, report: &mut Report) {
    let mut last: HashMap<&str, HashSet<u64>> = HashMap::new();
    for operation in history.operations.iter().filter(|operation| operation.is_final) {
        if let (Action::ReadList { key }, Some(Value::List(values))) = (&operation.action, operation.value())
        {
            last.insert(key, values.iter().copied().collect());
        }
    }
    let mut check = Check { name: "durability".into(), objects: last.len() as u64, ..Check::default() };
    let mut lost = Vec::new();
    for operation in history.operations.iter().filter(|operation| operation.is_acknowledged()) {
        let Action::Append { key, value } = &operation.action else { continue };
        check.operations += 1;
        if last.get(key.as_str()).is_some_and(|values| !values.contains(value)) {
            lost.push(operation.id);
        }
    }
    if !lost.is_empty() {
        check.findings = 1;
        report.findings.push(Finding {
            check: check.name.clone(),
            name: "lost writes".into(),
            explanation: format!(
                "{} of {} acknowledged appends are not there at the end",
                lost.len(),
                check.operations
            ),
            operations: lost,
        });
    }
    report.checks.push(check);
}
