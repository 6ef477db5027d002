//! Seeds that once found something in our own code, with what it was. They run for ever.

use crate::runner::run_seed;

struct Found {
    seed: u64,
    what: &'static str,
}

const FOUND: &[Found] = &[
    Found {
        seed: 216,
        what: "A replica went back in time when it was restarted: it answered READONLY reads as soon as it had applied what its \
               disk knew to be committed, which lags behind what it had applied before.",
    },
    Found { seed: 623, what: "The same, on a register." },
    Found {
        seed: 10_000_448,
        what: "The first cure of it: such reads were sent on to the primary, whose answers were newer than the replica's next.",
    },
];

#[test]
fn what_was_found_once_is_not_found_again() {
    for Found { seed, what } in FOUND {
        let run = run_seed(*seed, false);
        assert!(run.findings.is_empty(), "seed {seed} ({what}): {}", run.findings.join("\n"));
    }
}
