//! Random picks among the elements of a collection, by place.

use std::collections::BTreeSet;

use super::error::CommandError;
use super::random::Random;
use crate::protocol::reply::{MAX_REPLY_BYTES, Reply};

/// Bytes that the shortest bulk string takes in a reply.
const MIN_BULK_BYTES: usize = 6;

fn too_much() -> CommandError {
    CommandError::other("ERR value is out of range")
}

/// `count` different places below `len` (all of them where there are no more), ascending, every subset equally likely.
///
/// Source: Floyd's algorithm in Bentley, "Programming Pearls: a sample of brilliance", CACM 30(9), 1987.
pub fn distinct(random: &mut Random, count: usize, len: usize) -> BTreeSet<usize> {
    let mut places = BTreeSet::new();
    for last in len - count.min(len)..len {
        let place = random.below(last + 1);
        if !places.insert(place) {
            places.insert(last);
        }
    }
    places
}

/// Refuses a count of repetitions whose parts 64 bits do not hold, whether there is anything to pick from or not.
pub fn in_range(count: i64, parts_per_element: i64) -> Result<(), CommandError> {
    (count.unsigned_abs() <= (i64::MAX / parts_per_element) as u64).then_some(()).ok_or_else(too_much)
}

/// How many elements a negative count asks for (with repetition); `None` for a count that is not negative. An error
/// where already the shortest elements would make too long a reply.
pub fn repetitions(count: i64, parts_per_element: usize) -> Result<Option<usize>, CommandError> {
    if count >= 0 {
        return Ok(None);
    }
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if wanted > MAX_REPLY_BYTES / MIN_BULK_BYTES / parts_per_element {
        return Err(too_much());
    }
    Ok(Some(wanted))
}

/// Writes an array of `parts` parts by calling `write` for each of `wanted` picks, until the reply is over.
pub fn write_repeated(
    reply: &mut Reply<'_>,
    parts: usize,
    wanted: usize,
    mut write: impl FnMut(&mut Reply<'_>),
) {
    reply.array(parts);
    for _ in 0..wanted {
        if reply.is_over() {
            return;
        }
        write(reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_places_are_as_many_as_wanted_and_all_there() {
        let mut random = Random::from_seed(1);
        for (count, len) in [(0, 0), (3, 0), (0, 9), (1, 9), (5, 9), (9, 9), (99, 9)] {
            let places = distinct(&mut random, count, len);
            assert_eq!(places.len(), count.min(len));
            assert!(places.iter().all(|place| *place < len));
        }
    }

    #[test]
    fn every_place_has_its_share() {
        let mut random = Random::from_seed(2);
        let mut hits = [0; 10];
        for _ in 0..10_000 {
            distinct(&mut random, 3, 10).into_iter().for_each(|place| hits[place] += 1);
        }
        assert!(hits.iter().all(|hits| (2800..3200).contains(hits)), "{hits:?}");
    }

    #[test]
    fn a_count_that_asks_for_too_much_is_refused() {
        assert_eq!(repetitions(5, 1), Ok(None));
        assert_eq!(repetitions(-5, 1), Ok(Some(5)));
        assert!(repetitions(i64::MIN, 1).is_err());
        assert!(repetitions(-(MAX_REPLY_BYTES as i64 / 10), 2).is_err());
    }
}
