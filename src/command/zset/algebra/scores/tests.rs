use proptest::prelude::*;

use crate::command::testing::TestDb;

/// The result of ZUNIONSTORE or ZINTERSTORE as Redis makes it: sources sorted by size, each score added as its turn comes.
fn as_redis_does(sets: &[Vec<(u8, f64)>], names: &[(usize, f64)], all: bool) -> Vec<(u8, u64)> {
    let mut order = names.to_vec();
    order.sort_by_key(|(set, _)| sets[*set].len());
    let score_in =
        |set: usize, member| sets[set].iter().find(|(one, _)| *one == member).map(|(_, score)| *score);
    let zero_for_nan = |score: f64| if score.is_nan() { 0.0 } else { score };
    let total_of = |member| {
        let mut total = None;
        for (set, weight) in &order {
            match score_in(*set, member) {
                Some(score) => {
                    let score = zero_for_nan(weight * score);
                    total = Some(total.map_or(score, |total: f64| zero_for_nan(total + score)));
                }
                None if all => return None,
                None => {}
            }
        }
        total
    };
    let totals = (b'a'..=b'h').filter_map(|member| Some((member, total_of(member)?)));
    totals.map(|(member, total)| (member, (total + 0.0).to_bits())).collect()
}

fn as_perdura_does(sets: &[Vec<(u8, f64)>], names: &[(usize, f64)], command: &str) -> Vec<(u8, u64)> {
    let mut db = TestDb::new();
    for (nth, set) in sets.iter().enumerate() {
        for (member, score) in set {
            db.run(&format!("ZADD {{t}}{nth} {score} {}", char::from(*member)));
        }
    }
    let keys: Vec<String> = names.iter().map(|(set, _)| format!("{{t}}{set}")).collect();
    let weights: Vec<String> = names.iter().map(|(_, weight)| weight.to_string()).collect();
    let (count, keys, weights) = (names.len(), keys.join(" "), weights.join(" "));
    db.run(&format!("{command} {{t}}d {count} {keys} WEIGHTS {weights}"));
    let mut score = |member: u8| db.show(&format!("ZSCORE {{t}}d {}", char::from(member)));
    let scores = (b'a'..=b'h').map(|member| (member, score(member)));
    let found = scores.filter_map(|(member, score)| Some((member, score.parse::<f64>().ok()?)));
    found.map(|(member, score)| (member, (score + 0.0).to_bits())).collect()
}

fn check(sets: &[Vec<(u8, f64)>], names: &[(usize, f64)]) {
    for (command, all) in [("ZUNIONSTORE", false), ("ZINTERSTORE", true)] {
        let found = as_perdura_does(sets, names, command);
        assert_eq!(found, as_redis_does(sets, names, all), "{command} {names:?} of {sets:?}");
    }
}

/// Two names of one set were added to each other before anything else was added.
#[test]
fn a_source_that_is_named_again_is_added_where_it_is_named() {
    let one = |score| vec![(b'a', score)];
    let sets = [one(1e308), one(-1e308), one(1e16), one(1.0), vec![(b'a', 1.0), (b'b', 0.1)]];
    let plain = |names: &[usize]| names.iter().map(|set| (*set, 1.0)).collect::<Vec<_>>();
    for names in [
        &[0, 1, 0][..],
        &[1, 0, 0],
        &[0, 1, 0, 1, 0],
        &[2, 3, 2],
        &[3, 2, 3, 3, 2],
        &[3, 4, 4],
        &[1, 4, 0, 4, 0],
        &[4, 2, 4, 4, 3, 2, 3],
    ] {
        check(&sets, &plain(names));
    }
    let found = as_perdura_does(&sets, &plain(&[0, 1, 0]), "ZUNIONSTORE");
    assert_eq!(found, [(b'a', 1e308_f64.to_bits())], "(1e308 - 1e308) + 1e308");
}

/// So many of one size that each is walked again.
#[test]
fn many_sources_that_alternate_are_added_where_they_are_named() {
    let sets: Vec<_> = (0..12).map(|n| vec![(b'a' + n % 3, 0.1 + f64::from(n)), (b'h', 1e15)]).collect();
    let names: Vec<_> = (0..60).map(|n| (n * 7 % 12, 1.5)).collect();
    check(&sets, &names);
}

fn score() -> impl Strategy<Value = f64> {
    const HOSTILE: [f64; 12] = [
        1e308,
        -1e308,
        1e16,
        1.0,
        0.1,
        0.2,
        -0.3,
        1e-300,
        9_007_199_254_740_991.0,
        3.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    prop::sample::select(HOSTILE.to_vec())
}

proptest! {
    #[test]
    fn sums_are_those_of_redis_bit_for_bit(
        sets in prop::collection::vec(prop::collection::btree_map(b'a'..=b'h', score(), 1..4), 1..5),
        names in prop::collection::vec((0_usize..4, prop::sample::select(vec![1.0, 1.0, 1.0, 0.5, -1.0, 0.1])), 1..12),
    ) {
        let names: Vec<_> = names.into_iter().map(|(set, weight)| (set % sets.len(), weight)).collect();
        let sets: Vec<Vec<(u8, f64)>> = sets.into_iter().map(|set| set.into_iter().collect()).collect();
        check(&sets, &names);
    }
}
