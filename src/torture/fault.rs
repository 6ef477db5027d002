//! The faults there are: names, groups, what each does, and what it needs of the system under test.
//!
//! - A fault has a beginning and an end; between them it holds. What it names ("the primary") is looked up when it begins.
//! - [`FAULTS`] is the only list: the command line, the schedule and the report all read it.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A kind of fault; its name on the command line and in reports is in kebab case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    KillPrimary,
    KillReplica,
    KillAll,
    PausePrimary,
    PauseReplica,
    RestartPrimary,
    RestartReplica,
    IsolatePrimary,
    IsolateReplica,
    MutePrimary,
    DeafPrimary,
    CutLink,
    SlowLinks,
    ResetLinks,
    StutterPrimary,
    FullDisk,
}

/// What a fault is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// SIGKILL, or the command given for it.
    Kill,
    /// SIGTERM, or the command given for it.
    Stop,
    /// SIGSTOP and SIGCONT, or the commands given for them.
    Pause,
    /// The proxies between the nodes.
    Links,
    /// A small file system of its own under one node.
    SmallDisk,
}

/// One row of [`FAULTS`].
#[derive(Debug)]
pub struct FaultInfo {
    pub kind: FaultKind,
    pub name: &'static str,
    pub group: &'static str,
    pub means: Means,
    /// The primary can't serve while it holds: another must take over.
    pub costs_primary: bool,
    /// How often it comes in a round of the schedule.
    pub weight: u32,
    pub about: &'static str,
}

const fn fault(
    kind: FaultKind,
    name: &'static str,
    group: &'static str,
    means: Means,
    about: &'static str,
) -> FaultInfo {
    FaultInfo { kind, name, group, means, costs_primary: false, weight: 1, about }
}

const fn costs_primary(fault: FaultInfo) -> FaultInfo {
    FaultInfo { costs_primary: true, ..fault }
}

const fn twice(fault: FaultInfo) -> FaultInfo {
    FaultInfo { weight: 2, ..fault }
}

/// Every kind of fault.
#[rustfmt::skip]
pub const FAULTS: &[FaultInfo] = &[
    twice(costs_primary(fault(FaultKind::KillPrimary, "kill-primary", "kill", Means::Kill,
        "kill -9 of the primary; what it had on the way to other nodes is lost, as when a machine dies"))),
    fault(FaultKind::KillReplica, "kill-replica", "kill", Means::Kill,
        "kill -9 of a replica"),
    costs_primary(fault(FaultKind::KillAll, "kill-all", "kill", Means::Kill,
        "kill -9 of all nodes at once")),
    costs_primary(fault(FaultKind::PausePrimary, "pause-primary", "pause", Means::Pause,
        "SIGSTOP of the primary for longer than an election, then SIGCONT: it wakes up believing that it leads")),
    fault(FaultKind::PauseReplica, "pause-replica", "pause", Means::Pause,
        "SIGSTOP of a replica, then SIGCONT"),
    costs_primary(fault(FaultKind::RestartPrimary, "restart-primary", "restart", Means::Stop,
        "SIGTERM of the primary, which hands its office over, and a start after that")),
    fault(FaultKind::RestartReplica, "restart-replica", "restart", Means::Stop,
        "SIGTERM of a replica and a start after that"),
    twice(costs_primary(fault(FaultKind::IsolatePrimary, "isolate-primary", "partition", Means::Links,
        "the primary is cut off from all other nodes, not from its clients"))),
    fault(FaultKind::IsolateReplica, "isolate-replica", "partition", Means::Links,
        "a replica is cut off from all other nodes, not from its clients"),
    costs_primary(fault(FaultKind::MutePrimary, "mute-primary", "partition", Means::Links,
        "nothing that the primary sends reaches other nodes; it hears them")),
    costs_primary(fault(FaultKind::DeafPrimary, "deaf-primary", "partition", Means::Links,
        "nothing that other nodes send reaches the primary; they hear it")),
    fault(FaultKind::CutLink, "cut-link", "partition", Means::Links,
        "the primary and one replica are cut off from each other, and from nobody else"),
    fault(FaultKind::SlowLinks, "slow-links", "slow", Means::Links,
        "everything between nodes takes 20 to 120 ms longer each way"),
    fault(FaultKind::ResetLinks, "reset-links", "partition", Means::Links,
        "connections between nodes break again and again"),
    fault(FaultKind::StutterPrimary, "stutter-primary", "slow", Means::Pause,
        "the primary stands still for 120 ms of every 160, as on a disk or a machine that hardly gets on"),
    fault(FaultKind::FullDisk, "full-disk", "disk", Means::SmallDisk,
        "the disk under one node is full; it must go on without losing anything, and write again once there is room"),
];

impl FaultInfo {
    /// A group of one node can't have it.
    pub fn needs_others(&self) -> bool {
        self.means == Means::Links || self.name.ends_with("-replica")
    }
}

impl FaultKind {
    /// Its row.
    pub fn info(self) -> &'static FaultInfo {
        // The test below sees to it that every kind has one.
        FAULTS.iter().find(|info| info.kind == self).unwrap_or(&FAULTS[0])
    }

    pub fn name(self) -> &'static str {
        self.info().name
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The faults that one word of the command line stands for: `all`, `none`, a group, or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSelection(pub Vec<FaultKind>);

impl FromStr for FaultSelection {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let wanted = |info: &&FaultInfo| word == "all" || info.group == word || info.name == word;
        let kinds: Vec<FaultKind> = FAULTS.iter().filter(wanted).map(|info| info.kind).collect();
        match kinds.is_empty() && word != "none" {
            false => Ok(FaultSelection(kinds)),
            true => Err(format!("'{word}' is no fault; there are all, none, {}", known_words().join(", "))),
        }
    }
}

/// Groups, then names.
pub fn known_words() -> Vec<&'static str> {
    let mut words: Vec<&str> = Vec::new();
    for word in FAULTS.iter().map(|info| info.group).chain(FAULTS.iter().map(|info| info.name)) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_kind_and_its_name() {
        for info in FAULTS {
            assert_eq!(info.kind.name(), info.name);
            assert_eq!(info.name.parse(), Ok(FaultSelection(vec![info.kind])));
            let json = serde_json::to_string(&info.kind).expect("a name");
            assert_eq!(json, format!("\"{}\"", info.name));
        }
    }

    #[test]
    fn words_stand_for_one_for_several_for_all_or_for_none() {
        let count = |word: &str| word.parse::<FaultSelection>().map(|selection| selection.0.len());
        assert_eq!(count("all"), Ok(FAULTS.len()));
        assert_eq!(count("none"), Ok(0));
        assert_eq!(count("kill"), Ok(3));
        assert!(count("explode").is_err_and(|error| error.contains("kill-primary")));
    }
}
