//! `perdura doctor`: what on this machine, or in a group, makes trouble sooner or later.
//!
//! - Of this machine: limits, clock, memory, the disk of the data folder, the folder itself. Of a group that is asked (`--addr`): what
//!   `perdura status` warns of, and how far the members' calendars are apart.
//! - It changes nothing. To measure the disk it writes a small file, which it removes, into the data folder or beside where that will be.

mod clocks;
mod disk;
mod machine;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;

use super::arguments;
use super::failure::{self, DAMAGE, Failure, GOOD, write_json};
use super::status::group::Group;
use super::status::{self, targets, timeout};
use crate::config::settings::Settings;
use crate::env::Clock;
use crate::version;

const EXIT_CODES: &str = "\
Exit codes:
  0  nothing to do
  1  there is something to do: each LOOK says what
  2  a mistake in what was asked
  4  no member could be asked";

/// What was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Short and fixed, for scripts.
    pub name: &'static str,
    pub good: bool,
    /// What was found and, where that is not good, what to do.
    pub text: String,
}

impl Finding {
    pub fn good(name: &'static str, text: String) -> Finding {
        Finding { name, good: true, text }
    }

    pub fn look(name: &'static str, text: String) -> Finding {
        Finding { name, good: false, text }
    }

    fn of(name: &'static str, good: bool, text: String) -> Finding {
        Finding { name, good, text }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    good: bool,
    program: &'static str,
    findings: Vec<Finding>,
}

pub fn command() -> Command {
    Command::new("doctor")
        .about("Look for what makes trouble: limits, clocks, memory, the disk, the data folder")
        .long_about(
            "Look for what makes trouble on this machine: limits, clocks, memory, how fast the disk of the data folder syncs, the \
             folder itself. With --addr, also at a group: what its members warn of, and how far their calendars are apart. It \
             changes nothing. The password, if there is one, comes from PERDURA_REQUIREPASS.",
        )
        .after_help(EXIT_CODES)
        .args(arguments::settings_named(&["dir", "config"]))
        .args(status::arguments())
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Answer with a JSON document"))
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = look(matches).and_then(|report| {
        if matches.get_flag("json") {
            write_json(&mut out, &report)?;
        } else {
            report.write_text(&mut out)?;
        }
        Ok(if report.good { GOOD } else { DAMAGE })
    });
    failure::end(done, out)
}

fn look(matches: &ArgMatches) -> Result<Report, Failure> {
    let settings = Settings::resolve(&arguments::flags_of(matches), arguments::environment());
    let dir = settings.and_then(|settings| settings.required("dir", |text| Ok(PathBuf::from(text))));
    let dir = dir.map_err(|error| Failure::Mistake(error.to_string()))?;
    let mut findings = of_machine(&dir);
    if matches.contains_id("addr") {
        let group = Group::ask(&targets(matches)?, timeout(matches))?;
        findings.extend(of_group(&group, timeout(matches)));
    }
    let good = findings.iter().all(|finding| finding.good);
    Ok(Report { good, program: version::TEXT, findings })
}

/// What is found on this machine.
pub fn of_machine(dir: &std::path::Path) -> Vec<Finding> {
    let mut findings = machine::look();
    findings.extend(disk::look(dir));
    findings
}

fn of_group(group: &Group, timeout: std::time::Duration) -> Vec<Finding> {
    let view = group.view(Clock::system().unix_ms());
    let mut findings: Vec<Finding> = view
        .warnings
        .iter()
        .map(|of_member| {
            let place = match of_member.node_id {
                0 => "the group".to_owned(),
                id => format!("node {id}"),
            };
            let warning = &of_member.warning;
            Finding::look("group", format!("{place}: {} ({})", warning.text, warning.name))
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::good("group", format!("all {} members are well", view.members.len())));
    }
    findings.push(clocks::look(group, timeout));
    findings
}

impl Report {
    fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        writeln!(out, "perdura {}", self.program)?;
        for Finding { name, good, text } in &self.findings {
            let word = if *good { "good" } else { "LOOK" };
            writeln!(out, "{word}  {name:<14}  {text}")?;
        }
        Ok(())
    }
}
