//! What a replica shows is the beginning of what the primary did, and never goes back.
//!
//! - A read on a replica sees the state after some beginning of the log. Which one is not known, but the writes that a read has
//!   seen are in it, and an acknowledged write that it certainly lacks is not. The log follows the clock: a write that was over before
//!   another one began stands before it.
//! - Proves, for each node and each two reads on it of which one was over before the other began:
//!   - on the same key, the later one has not gone back: a list is not shorter, a counter not smaller, a member of a set that
//!     nobody removed not gone, the value of a register not one that was overwritten before the value seen first was written;
//!   - on any keys, if the earlier one has seen a write, the later one lacks no acknowledged write that was over before that
//!     write began.
//! - Proves: a list on a replica is a beginning of the list on the primary. So an entry that was never committed is not shown.
//! - All processes that read on a node are taken together. A node that restarts is held to what it has shown before, unless the
//!   restart is among [`Options::restarts`].
//! - Can't see: how far behind a replica is, which is not promised; nor, on registers, what an order by the clock alone leaves
//!   open. Sums and balances on replicas are judged with the [bank](super::bank), deadlines with the [expiry](super::expiry).

mod knowledge;
mod view;

use std::collections::{BTreeMap, HashMap};

use super::judge::Judge;
use super::objects::{Objects, by_primary, called, returned};
use super::{Options, Report, describe};
use crate::history::{History, Operation};
use knowledge::Knowledge;
use view::{View, views};

pub fn check(history: &History, objects: &Objects, options: &Options, report: &mut Report) {
    let mut nodes: BTreeMap<(u32, usize), Vec<&Operation>> = BTreeMap::new();
    for read in history.operations.iter().filter(|read| !by_primary(read) && read.is_acknowledged()) {
        let before = |&&(node, at_us): &&(u32, u64)| node == read.node && at_us <= read.called_us;
        let life = options.restarts.iter().filter(before).count();
        nodes.entry((read.node, life)).or_default().push(read);
    }
    if nodes.is_empty() {
        return;
    }
    let mut judge = Judge::new("replica reads", options, report);
    let knowledge = Knowledge::of(objects);
    for ((node, _), reads) in nodes {
        judge.object(reads.len());
        judge_node(node, reads, &knowledge, &mut judge);
    }
    judge.finish();
}

/// Goes through the reads on one node by the clock.
fn judge_node(node: u32, mut reads: Vec<&Operation>, knowledge: &Knowledge, judge: &mut Judge) {
    reads.sort_by_key(|read| (read.called_us, read.id));
    let mut by_return = reads.clone();
    by_return.sort_by_key(|read| (returned(read), read.id));
    let mut over = by_return.into_iter().peekable();
    let mut shown = Shown::default();
    for read in reads {
        while let Some(earlier) = over.next_if(|earlier| returned(earlier) < called(read)) {
            views(earlier, knowledge).for_each(|view| shown.take(earlier, view));
        }
        for view in views(read, knowledge) {
            judge_list(node, read, &view, judge);
            shown.judge(node, read, &view, judge);
        }
    }
}

fn judge_list(node: u32, read: &Operation, view: &View, judge: &mut Judge) {
    if let Some(longest) = view.contradicts {
        judge.find("a list that the primary never had", vec![read.id, longest.id], || {
            let (read, longest) = (describe::operation(read), describe::operation(longest));
            format!("on node {node} {read} has seen in {} no beginning of {longest}", view.key)
        });
    }
}

/// What a node has shown so far.
#[derive(Default)]
struct Shown<'a> {
    /// The write with the latest call, and the read that has seen it.
    latest: Option<(&'a Operation, &'a Operation)>,
    keys: HashMap<&'a str, ShownKey<'a>>,
}

#[derive(Default)]
struct ShownKey<'a> {
    /// The furthest place in the order of the key's states, and the read that has seen it.
    furthest: Option<(u64, &'a Operation)>,
    /// For registers: the write with the latest call, and the read that has seen it.
    written: Option<(&'a Operation, &'a Operation)>,
    /// Members of a set and who has seen them first.
    members: HashMap<u64, &'a Operation>,
}

impl<'a> Shown<'a> {
    fn take(&mut self, read: &'a Operation, view: View<'a>) {
        raise(&mut self.latest, view.sees, read);
        let key = self.keys.entry(view.key).or_default();
        if let Some(place) = view.place
            && key.furthest.is_none_or(|(furthest, _)| place > furthest)
        {
            key.furthest = Some((place, read));
        }
        raise(&mut key.written, view.written, read);
        view.members.iter().for_each(|member| {
            key.members.entry(*member).or_insert(read);
        });
    }

    fn judge(&self, node: u32, read: &Operation, view: &View, judge: &mut Judge) {
        let earlier = self.went_back(read, view);
        if let Some(earlier) = earlier {
            judge.find("a replica that went back", vec![earlier.id, read.id], || {
                let (earlier, read) = (describe::operation(earlier), describe::operation(read));
                format!(
                    "on node {node} {read} sees less of {} than {earlier}, which was over before",
                    view.key
                )
            });
            return;
        }
        if let (Some((write, earlier)), Some(lacks)) = (self.latest, view.lacks)
            && returned(lacks) < called(write)
        {
            judge.find("a replica that went back", vec![lacks.id, write.id, earlier.id, read.id], || {
                format!(
                    "on node {node} {} has seen {}, so it had {} too, which was over before that began; but {} lacks it",
                    describe::operation(earlier),
                    describe::operation(write),
                    describe::operation(lacks),
                    describe::operation(read),
                )
            });
        }
    }

    /// An earlier read that has seen more of the same key.
    fn went_back(&self, read: &Operation, view: &View) -> Option<&'a Operation> {
        let key = self.keys.get(view.key)?;
        if let (Some((furthest, earlier)), Some(place)) = (key.furthest, view.place)
            && place < furthest
        {
            return Some(earlier);
        }
        if let Some((write, earlier)) = key.written {
            let overwritten = view.written.is_some_and(|older| returned(older) < called(write));
            if overwritten || view.is_empty_register {
                return Some(earlier);
            }
        }
        let set = view.set?;
        let mut gone = key.members.iter().filter(|(member, _)| view.members.binary_search(member).is_err());
        let unexplained = gone.find(|(member, _)| !set.may_be_removed(**member, read));
        unexplained.map(|(_, earlier)| *earlier)
    }
}

/// Keeps the write with the latest call.
fn raise<'a>(
    latest: &mut Option<(&'a Operation, &'a Operation)>,
    write: Option<&'a Operation>,
    read: &'a Operation,
) {
    if let Some(write) = write
        && latest.is_none_or(|(known, _)| called(write) > called(known))
    {
        *latest = Some((write, read));
    }
}

#[cfg(test)]
mod tests;
