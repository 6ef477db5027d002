//! A group as its members describe it: which of them answer, and what that makes of the whole.
//!
//! - Members are asked at the same time, each with a limit of time, so one that stands still delays the answer once.
//! - What a member says of itself counts; what others say of it fills in where it does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use redis_protocol::resp2::types::OwnedFrame;
use serde::Serialize;

use crate::admin::report::{MemberReport, NodeReport, State, Warning};
use crate::cli::connection::{AskError, Connection, Target};
use crate::cli::failure::Failure;

/// A replica that lags more than this is worth a warning.
const LATE_REPLICA_MS: i64 = 10_000;

/// What a group can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    Healthy,
    Degraded,
    NoWrites,
}

impl Health {
    pub fn exit_code(self) -> u8 {
        match self {
            Health::Healthy => 0,
            Health::Degraded => 1,
            Health::NoWrites => 2,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::NoWrites => "no writes",
        }
    }
}

/// A member that answered.
#[derive(Debug)]
pub struct Member {
    /// Where it was asked.
    pub target: Target,
    pub report: NodeReport,
}

/// See the module.
#[derive(Debug)]
pub struct Group {
    pub members: Vec<Member>,
    /// The others: number, address if one is known, why there is no answer.
    silent: Vec<Silent>,
    strangers: Vec<Warning>,
}

#[derive(Debug)]
struct Silent {
    node_id: u64,
    addr: Option<String>,
    reason: String,
    /// It runs, and has refused to answer.
    has_refused: bool,
}

/// What is shown of a group.
#[derive(Debug, Serialize)]
pub struct GroupView {
    pub health: Health,
    pub cluster_id: String,
    /// 0 where no member that answers is the primary.
    pub primary_id: u64,
    pub term: u64,
    pub members: Vec<MemberView>,
    pub warnings: Vec<MemberWarning>,
}

#[derive(Debug, Serialize)]
pub struct MemberView {
    pub node_id: u64,
    pub addr: Option<String>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
    /// Of a replica: how much older its last applied entry is than the primary's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// Entries that it has not applied and the primary has; of a silent one, entries that are not known to be on its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_entries: Option<u64>,
    /// How long ago another member heard it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<NodeReport>,
}

#[derive(Clone, Debug, Serialize)]
pub struct MemberWarning {
    /// 0 where it concerns the group.
    pub node_id: u64,
    #[serde(flatten)]
    pub warning: Warning,
}

impl Group {
    /// Asks `seeds`, then all members that they know.
    pub fn ask(seeds: &[Target], timeout: Duration) -> Result<Group, Failure> {
        let answers = ask_all(seeds.to_vec(), timeout);
        let mut group = Group { members: Vec::new(), silent: Vec::new(), strangers: Vec::new() };
        let mut failures = Vec::new();
        for (target, answer) in answers {
            match answer {
                Ok(report) => group.add(target, report),
                Err(error) => failures.push((target, error)),
            }
        }
        if group.members.is_empty() {
            return Err(no_answer(failures));
        }
        group.ask_others(&failures, timeout);
        group.note_unmatched(&failures);
        group.members.sort_by_key(|member| member.report.node_id);
        Ok(group)
    }

    fn add(&mut self, target: Target, report: NodeReport) {
        if self
            .members
            .iter()
            .any(|member| member.report.node_id == report.node_id && is_same(&member.report, &report))
        {
            return;
        }
        let first = self.members.first().map(|member| &member.report);
        if let Some(first) = first.filter(|first| is_stranger(first, &report)) {
            let text = format!(
                "{}: node {} of cluster {} answers, which is not of cluster {}: give the addresses of one group",
                target.addr, report.node_id, report.cluster_id, first.cluster_id
            );
            self.strangers.push(Warning::new("other-cluster", text));
            return;
        }
        self.members.push(Member { target, report });
    }

    /// Asks the members that have not answered, where the others know an address.
    fn ask_others(&mut self, failures: &[(Target, AskError)], timeout: Duration) {
        let Some(asked) = self.members.first().map(|member| member.target.clone()) else { return };
        let (mut targets, mut ids) = (Vec::new(), Vec::new());
        for (node_id, addr) in self.missing() {
            let failed = failures.iter().find(|(target, _)| addr.as_ref() == Some(&target.addr.to_string()));
            let target = addr.as_deref().map(|addr| asked.at(addr));
            match (failed, target) {
                (Some((_, error)), _) => self.have_failed(node_id, addr, error),
                (None, Some(Ok(target))) => {
                    targets.push(target);
                    ids.push(node_id);
                }
                (None, Some(Err(mistake))) => self.be_silent(node_id, addr, mistake),
                (None, None) => {
                    let reason = "no member that answers has met it: name it with --addr";
                    self.be_silent(node_id, None, reason.to_owned());
                }
            }
        }
        for (node_id, (target, answer)) in ids.into_iter().zip(ask_all(targets, timeout)) {
            let addr = Some(target.addr.to_string());
            match answer {
                Ok(report) if report.node_id == node_id => self.add(target, report),
                Ok(report) => {
                    let reason = format!(
                        "node {} answers there: --announce-addr of node {node_id} has to be its own address",
                        report.node_id
                    );
                    self.be_silent(node_id, addr, reason);
                }
                Err(error) => self.have_failed(node_id, addr, &error),
            }
        }
    }

    /// Addresses that were given, do not answer, and are no member's as far as the others know.
    fn note_unmatched(&mut self, failures: &[(Target, AskError)]) {
        for (target, error) in failures {
            let addr = target.addr.to_string();
            if self.silent.iter().all(|silent| silent.addr.as_ref() != Some(&addr)) {
                self.strangers.push(Warning::new("silent", format!("{addr} does not answer: {error}")));
            }
        }
    }

    /// Members that have not answered, with the addresses that the others know.
    fn missing(&self) -> BTreeMap<u64, Option<String>> {
        let mut missing = BTreeMap::<u64, Option<String>>::new();
        for known in self.members.iter().flat_map(|member| &member.report.members) {
            if self.members.iter().all(|member| member.report.node_id != known.node_id) {
                let addr = missing.entry(known.node_id).or_default();
                *addr = addr.take().or_else(|| known.addr.clone());
            }
        }
        missing
    }

    fn be_silent(&mut self, node_id: u64, addr: Option<String>, reason: String) {
        self.silent.push(Silent { node_id, addr, reason, has_refused: false });
    }

    fn have_failed(&mut self, node_id: u64, addr: Option<String>, error: &AskError) {
        let has_refused = matches!(error, AskError::Refused(text) if !text.starts_with("LOADING "));
        self.silent.push(Silent { node_id, addr, reason: error.to_string(), has_refused });
    }

    /// A member that leads as a majority says, itself counted, and that runs, but does not tell this program how it is.
    fn refusing_primary(&self) -> Option<(u64, Vec<u64>)> {
        let refusing = self.silent.iter().find(|silent| {
            let followers = self.followers_of(silent.node_id);
            silent.has_refused && followers.len() + 1 > (self.members.len() + self.silent.len()) / 2
        })?;
        Some((refusing.node_id, self.followers_of(refusing.node_id)))
    }

    fn followers_of(&self, node_id: u64) -> Vec<u64> {
        let reports = self.members.iter().map(|member| &member.report);
        let follows = |report: &&NodeReport| report.state == State::Replica && report.leader_id == node_id;
        reports.filter(follows).map(|report| report.node_id).collect()
    }

    /// Why a member does not answer.
    pub fn silence_of(&self, node_id: u64) -> String {
        let silent = self.silent.iter().find(|silent| silent.node_id == node_id);
        silent.map_or_else(|| "it is not known".to_owned(), |silent| silent.reason.clone())
    }

    /// The member that leads, by the highest term where several say so.
    pub fn primary(&self) -> Option<&Member> {
        let primaries = self.members.iter().filter(|member| member.report.state == State::Primary);
        primaries.max_by_key(|member| member.report.term)
    }

    /// What is shown of it at this time.
    pub fn view(&self, now_ms: i64) -> GroupView {
        let primary = self.primary().map(|member| &member.report);
        let takes_writes = self.members.iter().any(|member| member.report.takes_writes);
        let mut members: Vec<MemberView> =
            self.members.iter().map(|member| MemberView::of(member, primary)).collect();
        members.extend(self.silent.iter().map(|silent| MemberView::silent(silent, primary)));
        members.sort_by_key(|member| member.node_id);
        members.iter_mut().for_each(|member| member.heard_seconds = self.heard_seconds(member.node_id));
        let warnings = self.warnings(&members, now_ms);
        let may_take_writes = takes_writes || self.refusing_primary().is_some();
        let health = match (may_take_writes, warnings.is_empty()) {
            (false, _) => Health::NoWrites,
            (true, true) => Health::Healthy,
            (true, false) => Health::Degraded,
        };
        let known = self.members.iter().map(|member| &member.report.cluster_id).find(|id| !id.is_empty());
        GroupView {
            health,
            cluster_id: known.cloned().unwrap_or_default(),
            primary_id: primary.map_or(0, |report| report.node_id),
            term: self.members.iter().map(|member| member.report.term).max().unwrap_or(0),
            members,
            warnings,
        }
    }

    fn warnings(&self, members: &[MemberView], now_ms: i64) -> Vec<MemberWarning> {
        let mut warnings = Vec::new();
        let mut add = |node_id, warning| warnings.push(MemberWarning { node_id, warning });
        self.strangers.iter().for_each(|stranger| add(0, stranger.clone()));
        for member in members {
            own_warnings(member).into_iter().for_each(|warning| add(member.node_id, warning));
        }
        match (self.primary(), self.refusing_primary()) {
            (Some(_), _) => {}
            (None, Some((node_id, followers))) => {
                let followers: Vec<String> = followers.iter().map(u64::to_string).collect();
                let text = format!(
                    "node {node_id} leads, as node {} says, and refuses to tell how it is: whether it takes writes is not known",
                    followers.join(", ")
                );
                add(0, Warning::new("primary-unknown", text));
            }
            (None, None) => {
                let text = "no member that answers is the primary: writes are refused until one is";
                add(0, Warning::new("no-primary", text.to_owned()));
            }
        }
        if let Some(warning) = self.versions() {
            add(0, warning);
        }
        self.backups().into_iter().for_each(|(node_id, warning)| add(node_id, warning));
        for member in &self.members {
            self.links(&member.report).into_iter().for_each(|warning| add(member.report.node_id, warning));
        }
        if let Some(warning) = clock(self.primary().map(|member| &member.report), now_ms) {
            add(0, warning);
        }
        warnings
    }

    /// How long ago another member heard this one last, as far as those that answer know.
    fn heard_seconds(&self, node_id: u64) -> Option<f64> {
        let others = self.members.iter().flat_map(|member| &member.report.members);
        let silent_ms =
            others.filter(|known| known.node_id == node_id).filter_map(|known| known.silent_ms).min();
        silent_ms.map(|ms| ms as f64 / 1000.0)
    }

    fn versions(&self) -> Option<Warning> {
        let version = |member: &Member| format!("{} ({})", member.report.version, member.report.commit);
        let mut versions: Vec<String> = self.members.iter().map(version).collect();
        versions.sort();
        versions.dedup();
        (versions.len() > 1).then(|| {
            let text = format!("members run different programs: {}; end the upgrade", versions.join(", "));
            Warning::new("mixed-versions", text)
        })
    }

    /// Members that do not know of a place to which another one backs up: nothing goes there while they lead.
    fn backups(&self) -> Vec<(u64, Warning)> {
        let reports = self.members.iter().map(|member| &member.report);
        let told: Vec<&NodeReport> = reports.filter(|report| tells_places(report)).collect();
        let all: BTreeSet<&str> = told.iter().flat_map(|report| places(report)).collect();
        let lacking = |report: &NodeReport| -> Option<(u64, Warning)> {
            let missing: Vec<&str> = all.difference(&places(report)).copied().collect();
            let has = |other: &&&NodeReport| missing.iter().any(|url| places(other).contains(url));
            let having: Vec<String> =
                told.iter().filter(has).map(|other| other.node_id.to_string()).collect();
            let (urls, others) = (missing.join(", "), having.join(", "));
            let warning = match report.state {
                _ if missing.is_empty() => return None,
                State::Primary => Warning::new(
                    "backup-nowhere",
                    format!(
                        "it leads, and ships nothing to {urls}, which is in --backup-to of node {others} alone: start it with the same \
                         --backup-to, or hand over to node {} (perdura handover --to {})",
                        having[0], having[0]
                    ),
                ),
                _ => Warning::new(
                    "backup-differs",
                    format!(
                        "it does not have --backup-to {urls} as node {others} does: while it leads nothing is shipped there; start all \
                         members with the same --backup-to"
                    ),
                ),
            };
            Some((report.node_id, warning))
        };
        told.iter().filter_map(|report| lacking(report)).collect()
    }

    /// Members that this one has no connection to, though they answer.
    fn links(&self, report: &NodeReport) -> Vec<Warning> {
        let is_heard =
            |id: u64| self.members.iter().any(|m| m.report.node_id == id && m.report.state != State::Loading);
        // Of those that it refuses, or that refuse it, it tells itself.
        let is_cut =
            |known: &&MemberReport| !known.is_connected && known.refusal.is_none() && is_heard(known.node_id);
        let cut = report.members.iter().filter(is_cut);
        let text = |id: u64, addr: &str| {
            format!(
                "it has no connection to node {id} at {addr}, which answers clients: look at the network between the two"
            )
        };
        match report.state {
            State::Loading => Vec::new(),
            _ => cut
                .map(|known| Warning::new("not-connected", text(known.node_id, &known.peer_addr)))
                .collect(),
        }
    }
}

/// Whether two reports are of one process, asked at two addresses.
fn is_same(one: &NodeReport, other: &NodeReport) -> bool {
    one.run_id == other.run_id
}

/// Whether two reports are of different groups. A node that still opens its log does not know its group.
fn is_stranger(one: &NodeReport, other: &NodeReport) -> bool {
    let both_known = !one.cluster_id.is_empty() && !other.cluster_id.is_empty();
    both_known && one.cluster_id != other.cluster_id
}

/// Whether a member has said to which places it backs up. A program of before the field does not, and a node that loads knows none yet.
fn tells_places(report: &NodeReport) -> bool {
    report.state != State::Loading && report.backup.as_ref().is_none_or(|backup| !backup.places.is_empty())
}

/// Where it backs up to. URLs that differ at their ends only name the same place.
fn places(report: &NodeReport) -> BTreeSet<&str> {
    let urls = report.backup.iter().flat_map(|backup| &backup.places);
    urls.map(|url| url.trim_end_matches('/')).collect()
}

fn own_warnings(member: &MemberView) -> Vec<Warning> {
    let Some(report) = &member.report else {
        let reason = member.silent.clone().unwrap_or_default();
        return vec![Warning::new("silent", format!("it does not answer: {reason}"))];
    };
    let mut warnings = report.warnings.clone();
    if let Some(loading) = &report.loading {
        let text =
            format!("it starts: {}, {}%, some {} s left", loading.stage, loading.percent, loading.eta_s);
        warnings.push(Warning::new("loading", text));
    }
    if let Some(fetching) = &report.fetching {
        let text = format!("it fetches a checkpoint: {} of {} bytes", fetching.bytes, fetching.total_bytes);
        warnings.push(Warning::new("fetching", text));
    }
    let is_late = member.lag_seconds.is_some_and(|lag| lag * 1000.0 > LATE_REPLICA_MS as f64);
    if is_late {
        let (seconds, entries) = (member.lag_seconds.unwrap_or(0.0), member.lag_entries.unwrap_or(0));
        let text = format!("it lags by {seconds:.1} s, {entries} entries");
        warnings.push(Warning::new("late", text));
    }
    warnings
}

/// A calendar that is before the newest checkpoint is wrong, here or there.
fn clock(primary: Option<&NodeReport>, now_ms: i64) -> Option<Warning> {
    let checkpoint = primary?.checkpoint.as_ref()?;
    let ahead_s = (checkpoint.ended_ms - now_ms) / 1000;
    (ahead_s > 1).then(|| {
        let text = format!(
            "the newest checkpoint is of a time {ahead_s} s after this machine's: compare the clocks"
        );
        Warning::new("clock", text)
    })
}

impl MemberView {
    fn of(member: &Member, primary: Option<&NodeReport>) -> MemberView {
        let report = &member.report;
        let primary = primary.filter(|primary| primary.node_id != report.node_id);
        let lag_entries = primary.map(|primary| primary.applied.saturating_sub(report.applied));
        let lag_ms = primary.and_then(|primary| match (primary.applied_ms, report.applied_ms) {
            _ if primary.applied <= report.applied => Some(0),
            (Some(newest), Some(last)) => Some((newest - last).max(0)),
            _ => None,
        });
        MemberView {
            node_id: report.node_id,
            addr: Some(member.target.addr.to_string()),
            silent: None,
            lag_seconds: lag_ms.map(|ms| ms as f64 / 1000.0),
            lag_entries,
            heard_seconds: None,
            report: Some(report.clone()),
        }
    }

    fn silent(silent: &Silent, primary: Option<&NodeReport>) -> MemberView {
        let known = primary.and_then(|primary| {
            let matched = primary.members.iter().find(|member| member.node_id == silent.node_id)?.matched?;
            Some(primary.last_index.saturating_sub(matched))
        });
        MemberView {
            node_id: silent.node_id,
            addr: silent.addr.clone(),
            silent: Some(silent.reason.clone()),
            lag_seconds: None,
            lag_entries: known,
            heard_seconds: None,
            report: None,
        }
    }
}

/// The failure where no seed answers: each with its reason.
fn no_answer(mut failures: Vec<(Target, AskError)>) -> Failure {
    match failures.len() {
        1 => {
            let (target, error) = failures.remove(0);
            Failure::Node { addr: target.addr.to_string(), error }
        }
        _ => {
            let told = failures.iter().map(|(target, error)| format!("{}: {error}", target.addr));
            Failure::Failed(told.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Asks all at the same time; answers come in the order of targets.
fn ask_all(targets: Vec<Target>, timeout: Duration) -> Vec<(Target, Result<NodeReport, AskError>)> {
    thread::scope(|scope| {
        let asks: Vec<_> = targets.iter().map(|target| scope.spawn(move || ask(target, timeout))).collect();
        let answers: Vec<_> =
            asks.into_iter().map(|ask| ask.join().unwrap_or(Err(AskError::Closed))).collect();
        targets.iter().cloned().zip(answers).collect()
    })
}

/// What one node says of itself.
pub fn ask(target: &Target, timeout: Duration) -> Result<NodeReport, AskError> {
    match Connection::open(target, timeout)?.ask(&["PERDURA", "STATUS"])? {
        OwnedFrame::BulkString(text) => serde_json::from_slice(&text).map_err(|_| AskError::Foreign),
        _ => Err(AskError::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::report::BackupReport;
    use crate::config::value::HostPort;

    fn report(node_id: u64, state: State, applied: u64) -> NodeReport {
        let members =
            (1..=3).map(|id| MemberReport { node_id: id, is_connected: true, ..MemberReport::default() });
        NodeReport {
            node_id,
            run_id: format!("run {node_id}"),
            cluster_id: "c".to_owned(),
            state,
            takes_writes: state == State::Primary,
            applied,
            applied_ms: Some(1000 * applied as i64),
            members: members.collect(),
            ..NodeReport::default()
        }
    }

    fn group(reports: Vec<NodeReport>) -> Group {
        let mut group = Group { members: Vec::new(), silent: Vec::new(), strangers: Vec::new() };
        for report in reports {
            let port = report.node_id as u16;
            group.add(Target::new(HostPort::new("127.0.0.1", port), None), report);
        }
        group
    }

    fn names(view: &GroupView) -> Vec<&str> {
        view.warnings.iter().map(|warning| warning.warning.name.as_str()).collect()
    }

    #[test]
    fn health_follows_from_what_members_say() {
        use State::{Candidate, Loading, Primary, Replica};
        let whole = group(vec![report(1, Primary, 20), report(2, Replica, 20), report(3, Replica, 19)]);
        let view = whole.view(0);
        assert_eq!((view.health, view.primary_id), (Health::Healthy, 1), "{:?}", view.warnings);
        assert_eq!((view.members[2].lag_seconds, view.members[2].lag_entries), (Some(1.0), Some(1)));

        let late = group(vec![report(1, Primary, 20), report(2, Replica, 20), report(3, Replica, 1)]);
        assert_eq!((late.view(0).health, names(&late.view(0))), (Health::Degraded, vec!["late"]));

        let mut one_gone = group(vec![report(1, Primary, 20), report(2, Replica, 20)]);
        one_gone.be_silent(3, None, "refused".to_owned());
        assert_eq!((one_gone.view(0).health, names(&one_gone.view(0))), (Health::Degraded, vec!["silent"]));

        let leaderless = group(vec![report(1, Candidate, 20), report(2, Replica, 20), report(3, Loading, 0)]);
        assert_eq!(leaderless.view(0).health, Health::NoWrites);
        assert!(names(&leaderless.view(0)).contains(&"no-primary"));
    }

    #[test]
    fn primary_that_refuses_to_answer_is_no_group_without_writes() {
        let follows = |node_id| NodeReport { leader_id: 3, ..report(node_id, State::Replica, 20) };
        let mut refused = group(vec![follows(1), follows(2)]);
        let wrong = AskError::Refused("WRONGPASS invalid username-password pair".to_owned());
        refused.have_failed(3, None, &wrong);
        let view = refused.view(0);
        assert_eq!((view.health, names(&view)), (Health::Degraded, vec!["silent", "primary-unknown"]));
        assert!(view.warnings[1].warning.text.contains("node 3 leads, as node 1, 2 says"), "{view:?}");
        let mut gone = group(vec![follows(1), follows(2)]);
        gone.have_failed(3, None, &AskError::Closed);
        assert_eq!(gone.view(0).health, Health::NoWrites, "they may not have noticed yet");
        let mut alone = group(vec![follows(1)]);
        alone.have_failed(2, None, &wrong);
        alone.have_failed(3, None, &wrong);
        assert_eq!(alone.view(0).health, Health::Degraded, "two of three");
    }

    #[test]
    fn node_of_another_group_is_left_out_by_name() {
        let stranger = NodeReport { cluster_id: "d".to_owned(), ..report(2, State::Primary, 9) };
        let group = group(vec![report(1, State::Primary, 20), stranger]);
        assert_eq!(group.members.len(), 1);
        assert_eq!(names(&group.view(0))[0], "other-cluster");
    }

    #[test]
    fn member_that_does_not_know_of_a_backup_is_told_and_first_of_all_the_primary() {
        let backs_up = |urls: &[&str], report: NodeReport| {
            let places = urls.iter().map(|url| (*url).to_owned()).collect();
            NodeReport { backup: Some(BackupReport { places, ..BackupReport::default() }), ..report }
        };
        let (one, two, three) =
            (report(1, State::Primary, 20), report(2, State::Replica, 20), report(3, State::Replica, 20));
        let some = group(vec![one.clone(), backs_up(&["file:///a"], two.clone()), three.clone()]);
        assert_eq!(names(&some.view(0)), ["backup-nowhere", "backup-differs"]);
        let text = &some.view(0).warnings[0].warning.text;
        assert!(text.contains("file:///a") && text.contains("handover --to 2"), "{text}");
        let differ = group(vec![
            backs_up(&["file:///a", "file:///b"], one.clone()),
            backs_up(&["file:///b", "file:///a/"], two.clone()),
            backs_up(&["file:///b"], three.clone()),
        ]);
        let view = differ.view(0);
        assert_eq!((names(&view), view.warnings[0].node_id), (vec!["backup-differs"], 3));
        let older = backs_up(&[], two);
        let alike = group(vec![backs_up(&["file:///a"], one), older, backs_up(&["file:///a"], three)]);
        assert_eq!(names(&alike.view(0)), Vec::<&str>::new(), "an older program does not tell its places");
    }

    #[test]
    fn mixed_versions_and_cut_links_are_told() {
        let mut other = report(2, State::Replica, 20);
        other.version = "9.9.9".to_owned();
        other.members[0].is_connected = false;
        let group = group(vec![report(1, State::Primary, 20), other, report(3, State::Replica, 20)]);
        assert_eq!(names(&group.view(0)), ["mixed-versions", "not-connected"]);
    }
}
