//! The order of the values of each list, as the longest read tells it.

use std::collections::{BTreeMap, HashMap};

use super::{appends, parts, reads};
use crate::check::describe;
use crate::check::judge::Judge;
use crate::check::model::list::repeated;
use crate::check::objects::{called, returned};
use crate::history::{Micro, MicroValue, Operation};

/// The transactions, with what their reads tell about the lists.
pub struct Orders<'a> {
    pub operations: Vec<&'a Operation>,
    pub lists: BTreeMap<&'a str, Order<'a>>,
    /// Who appends a value to a list, by place in `operations`.
    pub writers: HashMap<(&'a str, u64), usize>,
}

pub struct Order<'a> {
    pub values: &'a [u64],
    /// The transaction that has read them.
    read: &'a Operation,
    /// Place of each value, from 0.
    places: HashMap<u64, usize>,
    /// All reads are beginnings of `values`, and none is in it twice.
    pub agreed: bool,
}

impl<'a> Orders<'a> {
    pub fn of(operations: &[&'a Operation], judge: &mut Judge) -> Orders<'a> {
        let mut longest: BTreeMap<&str, (&[u64], &Operation)> = BTreeMap::new();
        for &operation in operations {
            for (key, list) in reads(operation) {
                let known = longest.entry(key).or_insert((list, operation));
                if list.len() > known.0.len() {
                    *known = (list, operation);
                }
            }
        }
        let mut lists: BTreeMap<&str, Order> = longest
            .into_iter()
            .map(|(key, (values, read))| (key, Order::new(key, values, read, judge)))
            .collect();
        for &operation in operations {
            for (key, list) in reads(operation) {
                if let Some(order) = lists.get_mut(key) {
                    order.compare(key, list, operation, judge);
                }
            }
        }
        let mut writers = HashMap::new();
        for (place, operation) in operations.iter().enumerate().filter(|(_, one)| !one.did_not_happen()) {
            writers.extend(appends(operation).map(|append| (append, place)));
        }
        Orders { operations: operations.to_vec(), lists, writers }
    }

    /// Whether a value is in the longest list that was read.
    pub fn is_seen(&self, key: &str, value: u64) -> bool {
        self.lists.get(key).is_some_and(|order| order.places.contains_key(&value))
    }

    /// Acknowledged, or in doubt and something of it was seen.
    pub fn has_happened(&self, operation: &Operation) -> bool {
        let seen = || appends(operation).any(|(key, value)| self.is_seen(key, value));
        operation.is_acknowledged() || (operation.is_in_doubt() && seen())
    }

    /// Looks for reads that end amid what one transaction has appended (G1b).
    pub fn judge_intermediate(&self, judge: &mut Judge) {
        let mut last_appends: HashMap<(usize, &str), u64> = HashMap::new();
        for (writer, operation) in self.operations.iter().enumerate() {
            last_appends.extend(appends(operation).map(|(key, value)| ((writer, key), value)));
        }
        for (reader, operation) in self.operations.iter().enumerate() {
            for (key, list) in reads(operation) {
                let Some(value) = list.last() else { continue };
                let Some(&writer) = self.writers.get(&(key, *value)) else { continue };
                if writer != reader && last_appends.get(&(writer, key)) != Some(value) {
                    let writer = self.operations[writer];
                    judge.find("G1b, intermediate read", vec![writer.id, operation.id], || {
                        let (reader, writer) = (describe::operation(operation), describe::operation(writer));
                        format!("{reader} has read {key} amid {writer}")
                    });
                }
            }
        }
    }

    /// Holds the lengths that appends were answered with against the order, and looks for appends that are lost.
    pub fn judge_places(&self, judge: &mut Judge) {
        let last_reads = self.last_reads();
        for operation in &self.operations {
            for (micro, answer) in parts(operation) {
                let (Micro::Append { key, value }, MicroValue::Length(length)) = (micro, answer) else {
                    continue;
                };
                let Some(order) = self.lists.get(key.as_str()) else { continue };
                match order.places.get(value) {
                    Some(place) if *place as u64 + 1 == *length => {}
                    Some(_) => {
                        judge.find("an append out of place", vec![operation.id, order.read.id], || {
                            let (append, read) =
                                (describe::operation(operation), describe::operation(order.read));
                            format!("{value} is not where {append} was told, as {read} shows")
                        })
                    }
                    None => {
                        let Some(read) = last_reads.get(key.as_str()) else { continue };
                        if called(read) > returned(operation) {
                            judge.find("a lost append", vec![operation.id, read.id], || {
                                let (append, read) =
                                    (describe::operation(operation), describe::operation(read));
                                format!("{append} was over before {read} began, which lacks {value} in {key}")
                            });
                        }
                    }
                }
            }
        }
    }

    /// By key, the read that began last.
    fn last_reads(&self) -> HashMap<&'a str, &'a Operation> {
        let mut last: HashMap<&str, &Operation> = HashMap::new();
        for &operation in &self.operations {
            last.extend(reads(operation).map(|(key, _)| (key, operation)));
        }
        last
    }
}

impl<'a> Order<'a> {
    fn new(key: &str, values: &'a [u64], read: &'a Operation, judge: &mut Judge) -> Order<'a> {
        let twice = repeated(values);
        if let Some(value) = twice {
            judge.find("applied twice", vec![read.id], || {
                format!("{value} is twice in the list {key}, as {} has read it", describe::operation(read))
            });
        }
        let places = values.iter().enumerate().map(|(place, value)| (*value, place)).collect();
        Order { values, read, places, agreed: twice.is_none() }
    }

    fn compare(&mut self, key: &str, list: &[u64], read: &Operation, judge: &mut Judge) {
        if !self.values.starts_with(list) {
            self.agreed = false;
            judge.find("incompatible orders", vec![read.id, self.read.id], || {
                let (read, longest) = (describe::operation(read), describe::operation(self.read));
                format!("the list {key} in {read} is no beginning of that in {longest}")
            });
        }
    }
}
