//! Taking entries off the front of a stream.
//!
//! Whole segments of nodes go at once, however many entries they have; they are handed out, for to free them may take long.

use super::id::StreamId;
use super::ordered::{Ordered, Weigh};
use super::{Node, Stream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// At most so many entries stay.
    MaxLen(u64),
    /// Entries below this id go.
    MinId(StreamId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub to: TrimTo,
    /// Only whole nodes go.
    pub is_approximate: bool,
    /// No more than so many entries go; 0 is no limit.
    pub limit: u64,
}

impl Trim {
    fn allows(&self, gone: u64, more: u64) -> bool {
        self.limit == 0 || gone.saturating_add(more) <= self.limit
    }

    /// Whether nodes may go whole that have `weight` of `left` entries, the last of them this.
    fn covers(&self, left: u64, weight: u64, master: StreamId, last: &Node) -> bool {
        match self.to {
            TrimTo::MaxLen(most) => left - weight >= most,
            TrimTo::MinId(id) => last.last_id(master).is_some_and(|last| last < id),
        }
    }

    fn is_over(&self, left: u64) -> bool {
        matches!(self.to, TrimTo::MaxLen(most) if left <= most)
    }
}

impl Stream {
    /// Trims; returns how many entries went, and what is to be freed where that stalls nobody.
    pub fn trim(&mut self, trim: &Trim) -> (u64, Option<Stream>) {
        let before = self.len();
        let (mut left, mut gone) = (before, 0);
        let segments = self.0.nodes.take_front(|weight, master, last| {
            let goes = trim.allows(gone, weight) && trim.covers(left, weight, *master, last);
            if goes {
                (left, gone) = (left - weight, gone + weight);
            }
            goes
        });
        while let Some((&master, node)) = self.0.nodes.first() {
            let weight = node.weight();
            if trim.is_over(left) || !trim.allows(gone, weight) {
                break;
            }
            if !trim.covers(left, weight, master, node) {
                if !trim.is_approximate {
                    self.trim_within(master, trim, left);
                }
                break;
            }
            self.0.nodes.remove(&master);
            (left, gone) = (left - weight, gone + weight);
        }
        let gone = before - self.len();
        if gone > 0 {
            self.find_first();
        }
        (gone, (!segments.is_empty()).then(|| Stream::of_nodes(segments)))
    }

    /// Flags the entries of the first node that go.
    fn trim_within(&mut self, master: StreamId, trim: &Trim, left: u64) {
        let goes = |id: StreamId| !matches!(trim.to, TrimTo::MinId(min) if id >= min);
        let most = match trim.to {
            TrimTo::MaxLen(most) => left - most,
            TrimTo::MinId(_) => u64::MAX,
        };
        let is_whole = self.0.nodes.get(&master).is_some_and(|node| {
            let meant = node.entries(master).filter(|entry| goes(entry.id)).count() as u64;
            meant.min(most) == node.weight()
        });
        if is_whole {
            self.0.nodes.remove(&master);
        } else {
            self.0.nodes.edit(&master, |node| node.delete(master, most, goes));
        }
    }

    pub(super) fn of_nodes(nodes: Ordered<StreamId, Node>) -> Stream {
        let mut stream = Stream::new();
        stream.0.nodes = nodes;
        stream
    }
}
