//! Brings into the processor's caches what the next requests of a burst are about to look up.
//!
//! - A key's table, its cell and its entry lie far from each other, and memory is waited for at each. A pipeline names many keys at
//!   once: one pass touches all their tables, one all cells, one all entries, so that many are waited for together.
//! - A client that names one key again and again gains nothing: after such a look the next few are left out.
//! - Nothing but time depends on it. The first argument of every request is taken for a key, whatever the command; what is locked is passed by.

use smallvec::SmallVec;

use crate::keyspace::Keyspace;
use crate::protocol::request::{Parse, RequestLimits, RequestParser};

/// Requests that are looked at together. More would push each other out of the nearest cache.
const REQUESTS: usize = 16;
/// Input that is looked at together. Where requests are longer they are few, and their own bytes cost more than their keys.
const MOST_BYTES: usize = 16 << 10;

/// Looks that are left out after one that found nothing to be touched together.
const LEFT_OUT: u8 = 15;

#[derive(Default)]
pub struct LookAhead {
    parser: RequestParser,
    left_out: u8,
}

impl LookAhead {
    /// Looks at the requests at the start of `input`, at least one if it is whole; returns how many bytes the next look can leave out.
    pub fn over(&mut self, input: &[u8], limits: &RequestLimits, keyspace: &Keyspace, db: usize) -> usize {
        if self.left_out > 0 {
            self.left_out -= 1;
            return input.len().min(MOST_BYTES);
        }
        let input = &input[..input.len().min(MOST_BYTES)];
        let mut keys = SmallVec::<[&[u8]; REQUESTS]>::new();
        let mut seen = 0;
        for _ in 0..REQUESTS {
            match self.parser.parse(&input[seen..], limits) {
                Parse::Command { consumed } => {
                    let key = self.parser.args().first_in(&input[seen..]);
                    keys.extend(key.filter(|key| keys.last() != Some(key)));
                    seen += consumed;
                }
                Parse::Nothing { consumed } => seen += consumed,
                _ => {
                    // The last request is incomplete, or longer; it will be parsed from its start.
                    self.parser = RequestParser::default();
                    seen = input.len().min(seen.max(1));
                    break;
                }
            }
        }
        match keys.len() {
            0 | 1 => self.left_out = LEFT_OUT,
            _ => keyspace.touch(db, &keys),
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(input: &[u8]) -> usize {
        let (keyspace, _) = Keyspace::create();
        LookAhead::default().over(input, &RequestLimits::default(), &keyspace, 0)
    }

    fn pipeline(requests: usize) -> Vec<u8> {
        (10..10 + requests).flat_map(|n| format!("*2\r\n$3\r\nGET\r\n$2\r\n{n}\r\n").into_bytes()).collect()
    }

    #[test]
    fn a_look_covers_whole_requests_and_so_many_at_most() {
        let request = pipeline(1).len();
        assert_eq!(look(&pipeline(40)), REQUESTS * request);
        assert_eq!(look(&pipeline(3)), 3 * request);
        assert_eq!(
            look(&pipeline(3)[..2 * request + 7]),
            2 * request,
            "the third is looked at again when it is whole"
        );
        assert_eq!(look(&pipeline(1)[..7]), 1);
        assert_eq!(look(b""), 0);
    }

    #[test]
    fn after_a_look_for_one_key_the_next_are_left_out() {
        let (keyspace, _) = Keyspace::create();
        let (mut ahead, limits, same) =
            (LookAhead::default(), RequestLimits::default(), pipeline(1).repeat(5));
        assert_eq!(ahead.over(&same, &limits, &keyspace, 0), same.len());
        for _ in 0..LEFT_OUT {
            assert_eq!(ahead.over(&pipeline(40), &limits, &keyspace, 0), pipeline(40).len());
        }
        assert_eq!(ahead.over(&pipeline(40), &limits, &keyspace, 0), REQUESTS * pipeline(1).len());
    }

    proptest! {
        #[test]
        fn any_input_is_looked_at_and_never_past_its_end(input in "[*$0-9\\r\\na]{0,200}") {
            prop_assert!(look(input.as_bytes()) <= input.len());
        }
    }
}
