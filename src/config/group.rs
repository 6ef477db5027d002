//! The parameters that are the same on every node of a group: CONFIG SET logs them.
//!
//! - The system database has each that was set, as text under its name (`param:timeout`). What holds is compiled from that by whoever
//!   changes it, which is apply or the loading of a checkpoint: a client that gets OK finds its change everywhere on that node.
//! - What a node was started with counts where the group has no parameters yet: the first entry of a new group brings them
//!   ([`GroupParameters::first`]). From then on no flag or file of a node changes what holds; one that says otherwise is told once.
//! - Apply reads [`GroupParameters::applied_encodings`] alone, in which nothing of this node has a part.
//! - A text is checked before it is proposed, so it can be read. A name or a text that can't is a newer program's: the node must not
//!   apply what comes after.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::encodings::Encodings;
use super::group_values::{GROUP_PARAMETERS, GroupValues, group_parameter};
use super::output_bounds::OutputBounds;
use crate::access::AccessRule;

/// What this node was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub values: GroupValues,
    /// The parameters that a flag, the environment or the file named.
    pub names: Vec<&'static str>,
}

/// Parameters as they hold on this node, shared by all threads.
#[derive(Debug, Default)]
pub struct GroupParameters {
    state: RwLock<State>,
    /// Another number after each change; 0 as long as there was none.
    version: AtomicU64,
    often_read: OftenRead,
    pub output_bounds: Arc<OutputBounds>,
}

#[derive(Debug, Default)]
struct State {
    given: Given,
    values: Arc<GroupValues>,
    applied: Option<Encodings>,
    has_begun: bool,
    unreadable: Option<String>,
    /// Given here, and not what holds.
    overruled: Vec<Overruled>,
}

/// A parameter that this node was given and that the group has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overruled {
    pub name: &'static str,
    pub given: String,
    pub holds: String,
}

/// What is read for each command or connection.
#[derive(Debug, Default)]
struct OftenRead {
    maxmemory: AtomicU64,
    /// Packed.
    access: AtomicU64,
    timeout_s: AtomicU64,
    proto_max_bulk_len: AtomicU64,
    slowlog_slower_than_us: AtomicI64,
    latency_threshold_ms: AtomicU64,
    large_request_bytes: AtomicI64,
    large_reply_bytes: AtomicI64,
}

impl OftenRead {
    fn follow(&self, values: &GroupValues) {
        self.maxmemory.store(values.maxmemory, Ordering::Relaxed);
        self.access.store(values.eviction.access().pack(), Ordering::Relaxed);
        self.timeout_s.store(values.timeout_s, Ordering::Relaxed);
        self.proto_max_bulk_len.store(values.proto_max_bulk_len, Ordering::Relaxed);
        self.slowlog_slower_than_us.store(values.slowlog_slower_than_us, Ordering::Relaxed);
        self.latency_threshold_ms.store(values.latency_monitor_threshold_ms, Ordering::Relaxed);
        self.large_request_bytes.store(values.large_request_bytes, Ordering::Relaxed);
        self.large_reply_bytes.store(values.large_reply_bytes, Ordering::Relaxed);
    }
}

impl GroupParameters {
    /// Takes what this node was started with; it holds until the group has parameters.
    pub fn start_with(&self, given: Given) {
        let mut state = self.state.write();
        assert!(!state.has_begun, "a node takes its settings before it loads what the group has set");
        state.values = Arc::new(given.values.clone());
        state.given = given;
        self.follow(&state);
    }

    /// What the first entry of a group says: everything in which this node's settings differ from the defaults.
    pub fn first(&self) -> Vec<(&'static str, String)> {
        let (state, defaults) = (self.state.read(), GroupValues::default());
        let given = &state.given.values;
        let texts = GROUP_PARAMETERS.iter().map(|row| (row.name, (row.get)(given), (row.get)(&defaults)));
        texts.filter(|(_, given, default)| given != default).map(|(name, given, _)| (name, given)).collect()
    }

    /// Takes what the system database has: names with their texts, and whether the group has had its first parameters.
    pub fn compile<'a>(&self, set: impl Iterator<Item = (&'a [u8], &'a [u8])>, has_begun: bool) {
        let set: BTreeMap<&[u8], &[u8]> = set.collect();
        let is_set = !set.is_empty();
        let mut state = self.state.write();
        let mut values = if has_begun { GroupValues::default() } else { state.given.values.clone() };
        let mut applied = GroupValues::default();
        state.unreadable = None;
        for (name, text) in set {
            let is_read = read(&mut values, name, text) && read(&mut applied, name, text);
            if !is_read {
                state.unreadable = Some(String::from_utf8_lossy(name).into_owned());
            }
        }
        if has_begun && !state.has_begun {
            state.overruled = overruled(&state.given, &values);
        }
        state.has_begun = has_begun;
        state.applied = is_set.then_some(applied.encodings);
        state.values = Arc::new(values);
        self.follow(&state);
    }

    /// Sets what the system database would have.
    #[cfg(test)]
    pub fn set_in_test(&self, texts: &[(&'static str, String)]) {
        let mut state = self.state.write();
        let mut values = (*state.values).clone();
        texts.iter().for_each(|(name, text)| assert!(read(&mut values, name.as_bytes(), text.as_bytes())));
        state.values = Arc::new(values);
        self.follow(&state);
    }

    fn follow(&self, state: &State) {
        self.often_read.follow(&state.values);
        self.output_bounds.follow(state.values.output_limits);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// What holds now.
    pub fn values(&self) -> Arc<GroupValues> {
        self.state.read().values.clone()
    }

    /// What the types follow, if any parameter was set.
    pub fn applied_encodings(&self) -> Option<Encodings> {
        self.state.read().applied.clone()
    }

    /// Whether the group has had its first parameters.
    pub fn has_begun(&self) -> bool {
        self.state.read().has_begun
    }

    /// Another number after each change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The name of a parameter that only a newer program can read.
    pub fn unreadable(&self) -> Option<String> {
        self.state.read().unreadable.clone()
    }

    /// What this node was given and does not hold, once.
    pub fn take_overruled(&self) -> Vec<Overruled> {
        if self.state.read().overruled.is_empty() {
            return Vec::new();
        }
        std::mem::take(&mut self.state.write().overruled)
    }

    /// Bytes; zero is no limit but the guard.
    pub fn maxmemory(&self) -> u64 {
        self.often_read.maxmemory.load(Ordering::Relaxed)
    }

    /// How access words of keys are kept.
    pub fn access(&self) -> AccessRule {
        AccessRule::unpack(self.often_read.access.load(Ordering::Relaxed))
    }

    /// Zero is never.
    pub fn timeout_s(&self) -> u64 {
        self.often_read.timeout_s.load(Ordering::Relaxed)
    }

    pub fn proto_max_bulk_len(&self) -> u64 {
        self.often_read.proto_max_bulk_len.load(Ordering::Relaxed)
    }

    /// Commands slower than this go to the slow log; negative is none, zero is all.
    pub fn slowlog_slower_than_us(&self) -> i64 {
        self.often_read.slowlog_slower_than_us.load(Ordering::Relaxed)
    }

    /// Requests from so many bytes on are kept; negative is none.
    pub fn large_request_bytes(&self) -> i64 {
        self.often_read.large_request_bytes.load(Ordering::Relaxed)
    }

    /// Commands with replies from so many bytes on are kept; negative is none.
    pub fn large_reply_bytes(&self) -> i64 {
        self.often_read.large_reply_bytes.load(Ordering::Relaxed)
    }

    /// Events that take as long are sampled; zero is none.
    pub fn latency_threshold_ms(&self) -> u64 {
        self.often_read.latency_threshold_ms.load(Ordering::Relaxed)
    }
}

/// False where this program can't read it.
fn read(values: &mut GroupValues, name: &[u8], text: &[u8]) -> bool {
    let (Ok(name), Ok(text)) = (std::str::from_utf8(name), std::str::from_utf8(text)) else { return false };
    group_parameter(name).is_some_and(|row| (row.set)(values, text).is_ok())
}

fn overruled(given: &Given, holds: &GroupValues) -> Vec<Overruled> {
    let rows = given.names.iter().filter_map(|name| group_parameter(name));
    let all = rows.map(|row| Overruled {
        name: row.name,
        given: (row.get)(&given.values),
        holds: (row.get)(holds),
    });
    all.filter(|one| one.given != one.holds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&'static str, &str)]) -> Given {
        let mut values = GroupValues::default();
        for (name, text) in pairs {
            let row = group_parameter(name).expect("a parameter");
            (row.set)(&mut values, text).expect("a good value");
        }
        Given { values, names: pairs.iter().map(|(name, _)| *name).collect() }
    }

    fn compile(parameters: &GroupParameters, set: &[(&str, &str)], has_begun: bool) {
        let set = set.iter().map(|(name, text)| (name.as_bytes(), text.as_bytes()));
        parameters.compile(set, has_begun);
    }

    #[test]
    fn a_nodes_settings_hold_until_the_group_has_parameters() {
        let parameters = GroupParameters::default();
        parameters.start_with(given(&[("timeout", "30"), ("hash-max-listpack-entries", "2")]));
        assert_eq!(parameters.timeout_s(), 30);
        assert_eq!(parameters.values().encodings.hash_max_listpack_entries, 2);
        assert_eq!(parameters.applied_encodings(), None, "apply knows nothing of it");
        let first = [("hash-max-listpack-entries", "2".to_owned()), ("timeout", "30".to_owned())];
        assert_eq!(parameters.first(), first);
        compile(&parameters, &[("timeout", "60")], true);
        assert_eq!((parameters.timeout_s(), parameters.has_begun()), (60, true));
        assert_eq!(parameters.values().encodings, Encodings::DEFAULT);
        let texts = |one: &Overruled| format!("{} {} {}", one.name, one.given, one.holds);
        let overruled: Vec<String> = parameters.take_overruled().iter().map(texts).collect();
        assert_eq!(overruled, ["timeout 30 60", "hash-max-listpack-entries 2 128"]);
        assert!(parameters.take_overruled().is_empty(), "it is told once");
    }

    #[test]
    fn what_a_newer_program_has_set_is_named() {
        let parameters = GroupParameters::default();
        compile(&parameters, &[("timeout", "5"), ("warp-factor", "9")], true);
        assert_eq!(parameters.unreadable().as_deref(), Some("warp-factor"));
        compile(&parameters, &[("timeout", "never")], true);
        assert_eq!(parameters.unreadable().as_deref(), Some("timeout"));
        compile(&parameters, &[("timeout", "5")], true);
        assert_eq!(parameters.unreadable(), None);
    }
}
