//! `perdura handover`: another member of a group becomes the primary, while all run.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde::Serialize;

use super::connection::{AskError, Connection, integer};
use super::failure::{self, DAMAGE, Failure, GOOD, write_json};
use super::status::group::{self, Group, Member};
use super::status::{arguments, targets, timeout};
use crate::admin::report::State;
use crate::env::Clock;

const EXIT_CODES: &str = "\
Exit codes:
  0  the member is the primary, and takes writes
  1  it is not: the message says why, and which node leads
  2  a mistake in what was asked
  4  no member, or not the primary, could be asked";

/// How long the node may take to answer: it answers once another leads, or once it is known that none does.
const HANDOVER_LIMIT: Duration = Duration::from_secs(20);
/// How long the successor may take to serve after it leads.
const SERVING_LIMIT_MS: u64 = 20_000;
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, Serialize)]
struct Report {
    from: u64,
    to: u64,
    /// None where no member that answers knows it.
    term: Option<u64>,
    /// Why the successor could not be asked whether it takes writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_asked: Option<String>,
    /// From the wish to the first moment at which the successor was seen to take writes.
    took_ms: u64,
}

pub fn command() -> Command {
    Command::new("handover")
        .about("Make another member of a group the primary, while all run")
        .long_about(
            "Make another member of a group the primary, while all run: before its machine is restarted, say. Writes that come \
             meanwhile wait, or are answered TRYAGAIN, for some tens of milliseconds. Nothing that was acknowledged is lost. The password, if \
             there is one, comes from PERDURA_REQUIREPASS.",
        )
        .after_help(EXIT_CODES)
        .args(arguments())
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("The member's number [default: the one that can take over soonest]"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Answer with a JSON document"))
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = hand_over(matches, &mut out);
    failure::end(done, out)
}

fn hand_over(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let group = Group::ask(&targets(matches)?, timeout(matches))?;
    let to = matches.get_one::<u64>("to").copied();
    let Some(primary) = group.primary() else {
        let text = "no member that answers is the primary: `perdura status` shows why, and an election needs a majority";
        return Err(Failure::Failed(text.to_owned()));
    };
    if let Some(to) = to.filter(|to| primary.report.members.iter().all(|member| member.node_id != *to)) {
        let members: Vec<String> =
            primary.report.members.iter().map(|member| member.node_id.to_string()).collect();
        let text = format!("--to {to}: no such member; the members are {}", members.join(", "));
        return Err(Failure::Mistake(text));
    }
    if to == Some(primary.report.node_id) {
        writeln!(out, "node {} is the primary already", primary.report.node_id)?;
        return Ok(GOOD);
    }
    let clock = Clock::system();
    let began_ms = clock.monotonic_ms();
    let leader = match ask(primary, to) {
        Ok(leader) => leader,
        Err(AskError::Refused(refusal)) => return refused(out, primary, &refusal),
        Err(error) => return Err(Failure::Node { addr: primary.target.addr.to_string(), error }),
    };
    let (term, not_asked) = match wait_until_it_serves(&group, leader, &clock, timeout(matches))? {
        Some(term) => (Some(term), None),
        None => (term_of(primary, leader, timeout(matches)), Some(group.silence_of(leader))),
    };
    let took_ms = clock.monotonic_ms() - began_ms;
    let is_as_wished = to.is_none_or(|to| to == leader) && not_asked.is_none();
    let report = Report { from: primary.report.node_id, to: leader, term, not_asked, took_ms };
    tell(&report, matches.get_flag("json"), out)?;
    Ok(if is_as_wished { GOOD } else { DAMAGE })
}

fn ask(primary: &Member, to: Option<u64>) -> Result<u64, AskError> {
    let mut connection = Connection::open(&primary.target, HANDOVER_LIMIT)?;
    let to = to.map(|to| to.to_string());
    let words = ["PERDURA", "HANDOVER"].into_iter().chain(to.as_deref());
    let leader = integer(&connection.ask(&words.collect::<Vec<_>>())?)?;
    u64::try_from(leader).map_err(|_| AskError::Foreign)
}

/// The primary did not hand over.
fn refused(out: &mut impl Write, primary: &Member, refusal: &str) -> Result<u8, Failure> {
    let reason = refusal.strip_prefix("ERR ").unwrap_or(refusal);
    writeln!(out, "not handed over by node {}: {reason}", primary.report.node_id)?;
    Ok(DAMAGE)
}

/// The term in which a successor leads that can't be asked itself: as the primary of before knows it.
fn term_of(former: &Member, leader: u64, timeout: Duration) -> Option<u64> {
    let report = group::ask(&former.target, timeout).ok()?;
    (report.leader_id == leader).then_some(report.term)
}

/// Returns the term of the successor. One that can't be asked is not waited for: others have said that it leads.
fn wait_until_it_serves(
    group: &Group,
    leader: u64,
    clock: &Clock,
    timeout: Duration,
) -> Result<Option<u64>, Failure> {
    let until_ms = clock.monotonic_ms() + SERVING_LIMIT_MS;
    let Some(member) = group.members.iter().find(|member| member.report.node_id == leader) else {
        return Ok(None);
    };
    loop {
        match group::ask(&member.target, timeout) {
            Ok(report) if report.state == State::Primary && report.takes_writes => {
                return Ok(Some(report.term));
            }
            Ok(report) if clock.monotonic_ms() > until_ms => {
                let text = format!(
                    "node {leader} leads, but takes no writes yet: `perdura status` shows why ({:?})",
                    report.state
                );
                return Err(Failure::Failed(text));
            }
            Ok(_) => thread::sleep(POLL),
            Err(error) => return Err(Failure::Node { addr: member.target.addr.to_string(), error }),
        }
    }
}

fn tell(report: &Report, as_json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if as_json {
        return write_json(out, report);
    }
    let Report { from, to, term, not_asked, took_ms } = report;
    let term = term.map(|term| format!(", in term {term}")).unwrap_or_default();
    match not_asked {
        None => {
            writeln!(out, "node {to} is the primary, in place of node {from}{term}; it took {took_ms} ms")?;
        }
        Some(reason) => writeln!(
            out,
            "node {to} leads in place of node {from}{term}; whether it takes writes is not known, for it does not tell this program: {reason}"
        )?,
    }
    Ok(())
}
