//! The longest time that one client had to do without an acknowledgement: what its user feels of all faults together.
//!
//! The pulses, which give up soon, are left out; so are the last reads, which begin when the clients have ended.

use std::collections::BTreeMap;

use perdura_proof::History;
use serde::Serialize;

/// A stretch in which a client's operations were not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pause {
    pub client: u32,
    /// Seconds since the run began.
    pub from_s: f64,
    pub ms: f64,
}

/// The worst of all clients, whose numbers are below `clients`; a client that was never served has paused from its first call to the
/// end at `length_us`.
pub fn worst(history: &History, clients: u32, length_us: u64) -> Option<Pause> {
    let mut since_us = BTreeMap::new();
    let mut worst: Option<(u64, u32, u64)> = None;
    let mut note = |client: u32, from_us: u64, until_us: u64| {
        let pause = (until_us.saturating_sub(from_us), client, from_us);
        worst = worst.max(Some(pause));
    };
    let of_clients = history.operations.iter().filter(|operation| !operation.is_final);
    for operation in of_clients.filter(|operation| operation.process < clients) {
        let since = since_us.entry(operation.process).or_insert(operation.called_us);
        if let Some(returned_us) = operation.returned_us.filter(|_| operation.is_acknowledged()) {
            note(operation.process, *since, returned_us);
            *since = returned_us;
        }
    }
    since_us.iter().for_each(|(client, since)| note(*client, *since, length_us));
    worst.map(|(us, client, from_us)| Pause { client, from_s: from_us as f64 / 1e6, ms: us as f64 / 1e3 })
}

#[cfg(test)]
mod tests {
    use perdura_proof::{Action, Outcome, ReadsFrom, Recorder, Value};

    use super::*;

    #[test]
    fn worst_pause_is_between_acknowledgements_or_until_the_end() {
        let mut recorder = Recorder::new();
        let mut step = |process: u32, called_us: u64, returned_us: u64, is_ok: bool| {
            let action = Action::Get { key: "k".to_owned() };
            let id = recorder.call(process, 1, ReadsFrom::Primary, action, called_us);
            let outcome = if is_ok {
                Outcome::Ok(Value::Register(None))
            } else {
                Outcome::DidNotHappen("no".to_owned())
            };
            recorder.done(id, returned_us, outcome);
        };
        step(0, 0, 1_000, true);
        step(1, 0, 2_000, true);
        step(0, 2_000, 3_000, false);
        step(9, 2_000, 900_000, true);
        step(0, 4_000, 50_000, true);
        step(1, 40_000, 41_000, true);
        let history = recorder.finish();
        let pause = worst(&history, 2, 60_000).expect("there were operations");
        assert_eq!((pause.client, pause.ms), (0, 49.0));
        let pause = worst(&history, 2, 200_000).expect("there were operations");
        assert_eq!((pause.client, pause.ms), (1, 159.0));
        assert_eq!(worst(&History::default(), 2, 5), None);
    }
}
