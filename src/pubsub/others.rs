//! How many subscribers the other nodes of the group have, as they told it.
//!
//! - A node tells what changes as it changes, and with every beat how many changes it has told. Where one is missing, the
//!   receiver asks for all counts: the channel between nodes may drop what it can't take.
//! - Counts are absolute, so hearing one twice changes nothing.
//! - A node that is silent for [`SILENCE_MS`] counts for nothing.
//!
//! Caveat: counts lag by the time that news take; for a node that died, by that silence.

use std::collections::BTreeMap;

use super::Kind;
use super::news::{Count, News, Place};
use crate::glob::KeptGlob;

/// A node of the group, by its number.
pub type NodeNumber = u64;

/// How long a node may be silent.
pub const SILENCE_MS: u64 = 5000;
/// How often a node is asked for all of its counts.
const ASK_PERIOD_MS: u64 = 1000;
/// Bytes of names that are kept of one node; what goes past that is not counted.
const MAX_NAME_BYTES: usize = 64 << 20;

type Names = BTreeMap<(Kind, Vec<u8>), u32>;

#[derive(Debug, Default)]
pub(super) struct Others {
    nodes: BTreeMap<NodeNumber, Node>,
    /// Sums over all nodes.
    totals: Totals,
}

type Totals = BTreeMap<Kind, BTreeMap<Vec<u8>, Total>>;

/// Subscribers of a name on all other nodes.
#[derive(Debug)]
struct Total {
    subscribers: u64,
    /// Of a pattern.
    glob: Option<KeptGlob>,
}

#[derive(Debug, Default)]
struct Node {
    at: Place,
    heard_ms: u64,
    asked_ms: Option<u64>,
    names: Names,
    name_bytes: usize,
    arriving: Option<Arriving>,
}

/// All counts of a node, of which parts have come.
#[derive(Debug)]
struct Arriving {
    at: Place,
    next: u32,
    counts: Vec<Count>,
    bytes: usize,
}

impl Others {
    /// Takes in what a node tells of itself. True if it is to be asked for all.
    pub fn take_in(&mut self, from: NodeNumber, news: News, now_ms: u64) -> bool {
        let node = self.nodes.entry(from).or_default();
        node.heard_ms = now_ms;
        let is_current = match news {
            News::Changes { at, counts } => {
                let follows = Place { sequence: node.at.sequence + 1, ..node.at } == at;
                if follows {
                    node.at = at;
                    counts.into_iter().for_each(|count| self.set(from, count));
                }
                follows
            }
            News::Beat { at } => node.at == at,
            News::Part { at, number, is_last, counts } => {
                return self.take_part(from, at, number, is_last, counts);
            }
            News::Ask => true,
        };
        !is_current && self.may_ask(from, now_ms)
    }

    fn may_ask(&mut self, from: NodeNumber, now_ms: u64) -> bool {
        let Some(node) = self.nodes.get_mut(&from) else { return false };
        let is_due = node.asked_ms.is_none_or(|asked_ms| now_ms >= asked_ms + ASK_PERIOD_MS);
        if is_due {
            node.asked_ms = Some(now_ms);
        }
        is_due
    }

    fn take_part(
        &mut self,
        from: NodeNumber,
        at: Place,
        number: u32,
        is_last: bool,
        counts: Vec<Count>,
    ) -> bool {
        let Some(node) = self.nodes.get_mut(&from) else { return false };
        if number == 0 {
            node.arriving = Some(Arriving { at, next: 0, counts: Vec::new(), bytes: 0 });
        }
        let Some(arriving) = node.arriving.as_mut().filter(|one| one.at == at && one.next == number) else {
            // A part is missing: the next beat asks again.
            node.arriving = None;
            return false;
        };
        arriving.next += 1;
        arriving.bytes += counts.iter().map(|count| count.name.len() + size_of::<Count>()).sum::<usize>();
        if arriving.bytes <= 2 * MAX_NAME_BYTES {
            arriving.counts.extend(counts);
        }
        if is_last && let Some(Arriving { at, counts, .. }) = node.arriving.take() {
            self.forget(from);
            let node = self.nodes.entry(from).or_default();
            node.at = at;
            counts.into_iter().for_each(|count| self.set(from, count));
        }
        false
    }

    fn set(&mut self, from: NodeNumber, count: Count) {
        let Some(node) = self.nodes.get_mut(&from) else { return };
        let Count { kind, name, subscribers } = count;
        let key = (kind, name);
        let before = node.names.get(&key).copied().unwrap_or(0);
        if before == 0 && node.name_bytes + key.1.len() > MAX_NAME_BYTES {
            return;
        }
        self.totals.entry(kind).or_default();
        change_total(&mut self.totals, &key, before, subscribers);
        match (before, subscribers) {
            (0, 0) => {}
            (0, _) => node.name_bytes += key.1.len(),
            (_, 0) => node.name_bytes -= key.1.len(),
            _ => {}
        }
        match subscribers {
            0 => drop(node.names.remove(&key)),
            _ => drop(node.names.insert(key, subscribers)),
        }
    }

    /// Drops all counts of a node, and keeps when it was heard.
    fn forget(&mut self, from: NodeNumber) {
        let Some(node) = self.nodes.get_mut(&from) else { return };
        node.name_bytes = 0;
        for (key, count) in std::mem::take(&mut node.names) {
            change_total(&mut self.totals, &key, count, 0);
        }
    }

    /// Nodes that have been silent for too long count for nothing.
    pub fn drop_silent(&mut self, now_ms: u64) {
        let is_silent = |node: &Node| now_ms.saturating_sub(node.heard_ms) > SILENCE_MS;
        let silent: Vec<_> =
            self.nodes.iter().filter(|(_, node)| is_silent(node)).map(|(id, _)| *id).collect();
        for id in silent {
            self.forget(id);
            self.nodes.remove(&id);
        }
    }

    pub fn subscribers_of(&self, kind: Kind, name: &[u8]) -> usize {
        self.totals.get(&kind).and_then(|names| names.get(name)).map_or(0, |total| total.subscribers as usize)
    }

    /// How many of their subscriptions a message in a channel reaches.
    pub fn receivers(&self, kind: Kind, channel: &[u8]) -> usize {
        let direct = self.subscribers_of(kind, channel);
        if kind == Kind::Shard {
            return direct;
        }
        let patterns = self.totals.get(&Kind::Pattern).into_iter().flatten();
        let matching = patterns.filter(|(pattern, total)| {
            total.glob.as_ref().is_some_and(|glob| glob.matches(pattern, channel))
        });
        direct + matching.map(|(_, total)| total.subscribers as usize).sum::<usize>()
    }

    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Vec<u8>> {
        self.totals.get(&kind).into_iter().flat_map(BTreeMap::keys)
    }
}

fn change_total(totals: &mut Totals, (kind, name): &(Kind, Vec<u8>), before: u32, after: u32) {
    let names = totals.entry(*kind).or_default();
    if let Some(total) = names.get_mut(name) {
        total.subscribers = total.subscribers + u64::from(after) - u64::from(before);
        if total.subscribers == 0 {
            names.remove(name);
        }
    } else if after > 0 {
        let glob = (*kind == Kind::Pattern).then(|| KeptGlob::new(name));
        names.insert(name.clone(), Total { subscribers: u64::from(after), glob });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(kind: Kind, name: &str, subscribers: u32) -> Count {
        Count { kind, name: name.into(), subscribers }
    }

    fn changes(run: u64, sequence: u64, counts: Vec<Count>) -> News {
        News::Changes { at: Place { run, sequence }, counts }
    }

    fn all(run: u64, sequence: u64, counts: Vec<Count>) -> News {
        News::Part { at: Place { run, sequence }, number: 0, is_last: true, counts }
    }

    #[test]
    fn counts_of_several_nodes_add_up() {
        let mut others = Others::default();
        assert!(!others.take_in(1, all(7, 0, vec![count(Kind::Channel, "c", 2)]), 0));
        assert!(!others.take_in(
            2,
            all(8, 3, vec![count(Kind::Pattern, "c*", 1), count(Kind::Shard, "c", 5)]),
            0
        ));
        assert!(!others.take_in(2, changes(8, 4, vec![count(Kind::Channel, "c", 1)]), 0));
        assert_eq!(
            (others.subscribers_of(Kind::Channel, b"c"), others.receivers(Kind::Channel, b"c")),
            (3, 4)
        );
        assert_eq!((others.receivers(Kind::Shard, b"c"), others.receivers(Kind::Channel, b"cc")), (5, 1));
        assert!(!others.take_in(1, changes(7, 1, vec![count(Kind::Channel, "c", 0)]), 0));
        assert!(!others.take_in(2, changes(8, 5, vec![count(Kind::Channel, "c", 0)]), 0));
        assert_eq!((others.subscribers_of(Kind::Channel, b"c"), others.names(Kind::Channel).count()), (0, 0));
    }

    #[test]
    fn a_missing_change_and_another_run_are_asked_about_once_a_second() {
        let mut others = Others::default();
        others.take_in(1, all(7, 0, vec![count(Kind::Channel, "c", 2)]), 0);
        assert!(!others.take_in(1, News::Beat { at: Place { run: 7, sequence: 0 } }, 1));
        assert!(others.take_in(1, changes(7, 2, vec![count(Kind::Channel, "d", 1)]), 2));
        assert_eq!(others.subscribers_of(Kind::Channel, b"d"), 0);
        assert!(!others.take_in(1, News::Beat { at: Place { run: 7, sequence: 2 } }, 3));
        assert!(others.take_in(1, News::Beat { at: Place { run: 9, sequence: 2 } }, 1002));
        assert!(!others.take_in(1, all(9, 2, vec![count(Kind::Channel, "d", 4)]), 1003));
        assert_eq!(
            (others.subscribers_of(Kind::Channel, b"c"), others.subscribers_of(Kind::Channel, b"d")),
            (0, 4)
        );
        assert!(!others.take_in(1, News::Beat { at: Place { run: 9, sequence: 2 } }, 9000));
    }

    #[test]
    fn all_counts_hold_once_every_part_has_come() {
        let mut others = Others::default();
        let at = Place { run: 7, sequence: 1 };
        let part = |number, is_last, name: &str| {
            let counts = vec![count(Kind::Channel, name, 1)];
            News::Part { at, number, is_last, counts }
        };
        others.take_in(1, part(0, false, "a"), 0);
        others.take_in(1, part(2, true, "c"), 0);
        assert_eq!(others.names(Kind::Channel).count(), 0);
        others.take_in(1, part(0, false, "a"), 0);
        others.take_in(1, part(1, true, "b"), 0);
        assert_eq!(others.names(Kind::Channel).cloned().collect::<Vec<_>>(), [b"a", b"b"]);
    }

    #[test]
    fn a_node_that_is_silent_counts_for_nothing() {
        let mut others = Others::default();
        others.take_in(1, all(7, 0, vec![count(Kind::Channel, "c", 2)]), 0);
        others.drop_silent(SILENCE_MS);
        assert_eq!(others.subscribers_of(Kind::Channel, b"c"), 2);
        others.drop_silent(SILENCE_MS + 1);
        assert_eq!(others.subscribers_of(Kind::Channel, b"c"), 0);
    }

    #[test]
    fn names_past_the_bound_are_not_kept() {
        let mut others = Others::default();
        let long = |n: usize| Count { kind: Kind::Channel, name: vec![n as u8; 1 << 20], subscribers: 1 };
        others.take_in(1, all(7, 0, (0..100).map(long).collect()), 0);
        assert_eq!(others.names(Kind::Channel).count(), MAX_NAME_BYTES >> 20);
    }
}
