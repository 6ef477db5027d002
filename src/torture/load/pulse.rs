//! The pulse: one small write after the other to one node, by a client of little patience.

use std::rc::Rc;
use std::time::Duration;

use perdura_proof::{Action, ReadsFrom};

use super::{Load, Next, PULSE_LIMIT, Seat};
use crate::torture::connection::NodeConnection;

/// Between two writes, and after one that failed.
const PERIOD: Duration = Duration::from_millis(30);
/// Writes to one key, so that no key's history gets long.
const WRITES_PER_KEY: u64 = 500;
/// Values from here on are the pulses'; the workload counts its own from 1.
const FIRST_VALUE: u64 = 1 << 40;
/// Distance between the values of two pulses.
const VALUES_PER_NODE: u64 = 1 << 32;

/// Writes to `node` until the load ends; where the primary is appointed, one pulse follows it and the others rest.
pub async fn beat(load: Rc<Load>, process: u32, node: usize) {
    if !load.elects && node > 0 {
        return;
    }
    let mut connection = None;
    let mut count = 0;
    while !load.is_ending.get() {
        tokio::time::sleep(PERIOD).await;
        let at = load.seat(node);
        if connection.is_none() {
            connection = NodeConnection::open(&load.nodes[at]).await.ok().map(|open| (open, at));
        }
        let Some((open, at)) = &mut connection else { continue };
        let action = write(&load, node, count);
        count += 1;
        let seat = Seat { process, node: *at, reads_from: ReadsFrom::Primary };
        let (_, next) = load.perform(open, seat, &action, PULSE_LIMIT).await;
        if next != Next::Stay {
            connection = None;
        }
    }
}

fn write(load: &Load, node: usize, count: u64) -> Action {
    let key = format!("pulse-{}-{}", node + 1, count / WRITES_PER_KEY);
    if count.is_multiple_of(WRITES_PER_KEY) {
        load.journal.borrow_mut().pulse_keys.push(key.clone());
    }
    Action::Set { key, value: FIRST_VALUE + node as u64 * VALUES_PER_NODE + count }
}
