//! What each check proves, and what it can't see: for people who read a report and have not read the checks.

/// Of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    pub proves: &'static str,
    pub blind: &'static str,
}

/// The check of this name; none for one that is not known here.
pub fn of(check: &str) -> Option<About> {
    CHECKS.iter().find(|(name, ..)| *name == check).map(|(_, proves, blind)| About { proves, blind })
}

const LINEARIZABLE: &str = "every answer fits an order in which each operation happened at one moment between its call and its return; what was told to \
                            have failed did not happen";
const KEY_BY_KEY: &str =
    "orders between keys (transactions and bank look at those), and keys that no client touched";

#[rustfmt::skip]
const CHECKS: &[(&str, &str, &str)] = &[
    ("values", "each value that was read was written before, by something that was not told to have failed, and each answer has the form that its command can have",
        "additions to counters: they carry no mark of the client that made them"),
    ("linearizable registers", LINEARIZABLE, KEY_BY_KEY),
    ("linearizable counters", LINEARIZABLE, KEY_BY_KEY),
    ("linearizable sets", LINEARIZABLE, KEY_BY_KEY),
    ("linearizable lists", LINEARIZABLE, KEY_BY_KEY),
    ("transactions", "transactions happened one after the other, each between its call and its return: no half of one was seen, and nothing depends on itself in a circle",
        "what no transaction ever read, but for the last reads of everything"),
    ("bank", "the sum never changed, and each balance is exactly what the acknowledged transfers made of it",
        "what is after the longest ledger that was read"),
    ("expiry", "no value was seen after its deadline, and none was gone before it",
        "what happens within the margin that clocks are allowed, and deadlines of writes in doubt"),
    ("replica reads", "what a replica showed is a beginning of what the primary did, and never went back",
        "how far a replica lags: that is not promised"),
    ("durability", "every acknowledged write is there in the end, or what came after it explains why not; no addition was applied twice",
        "keys that expire; an earlier value of a register that a later one has overwritten; power cuts: a killed process leaves what the operating system has taken"),
    ("all nodes hold the same data", "the nodes' digests of all keys and values are equal in the end",
        "a fault in what computes them on all nodes alike"),
    ("nodes stay up", "no node ended but by a fault that the harness made", "a node that hangs, which recovery finds"),
    ("recovery after each fault", "after each fault all nodes answered, one led, the others caught up and a write was acknowledged, within 60 s",
        "how long clients waited meanwhile: see the time without writes and the worst client's pause"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_explained_once() {
        for (at, (name, proves, blind)) in CHECKS.iter().enumerate() {
            assert!(!proves.is_empty() && !blind.is_empty(), "{name}");
            assert!(CHECKS[..at].iter().all(|(other, ..)| other != name), "{name}");
        }
        assert!(of("durability").is_some() && of("no such check").is_none());
    }
}
