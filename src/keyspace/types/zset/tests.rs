use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Small enough for a short history to cross them.
const SMALL: ZSetLimits = ZSetLimits {
    max_packed_entries: 12,
    max_packed_member_bytes: 40,
    hash_seed: HashSeed::new(7, 0),
    ..ZSetLimits::DEFAULT
};

fn board(entries: &[(&str, f64)]) -> ZSet {
    let mut set = ZSet::new();
    for (member, score) in entries {
        set.insert(member.as_bytes(), *score, &ZSetLimits::DEFAULT);
    }
    set
}

fn numbered(count: usize) -> ZSet {
    let mut set = ZSet::new();
    for i in 0..count {
        set.insert(format!("member:{i:06}").as_bytes(), (i / 10) as f64, &ZSetLimits::DEFAULT);
    }
    set
}

fn names<'a>(entries: impl Iterator<Item = ScoredMember<'a>>) -> Vec<String> {
    entries.map(|entry| String::from_utf8_lossy(entry.member).into_owned()).collect()
}

#[test]
fn a_leaderboard_is_read_from_both_ends() {
    let mut set = board(&[("ann", 30.0), ("bob", 10.0), ("cem", 20.0), ("dia", 20.0)]);
    assert_eq!(names(set.iter()), ["bob", "cem", "dia", "ann"]);
    assert_eq!(names(set.by_rank(0..2).rev()), ["cem", "bob"]);
    assert_eq!((set.rank(b"ann"), set.rank(b"eve")), (Some(3), None));
    assert_eq!(set.insert(b"bob", 40.0, &ZSetLimits::DEFAULT), Inserted::Updated);
    assert_eq!(set.insert(b"bob", 40.0, &ZSetLimits::DEFAULT), Inserted::Same);
    assert_eq!(set.pop_max(), Some((b"bob".to_vec(), 40.0)));
    assert_eq!(set.pop_min(), Some((b"cem".to_vec(), 20.0)));
    assert_eq!((set.remove(b"ann"), set.remove(b"ann"), set.len()), (Some(30.0), None, 1));
}

#[test]
fn a_copy_goes_its_own_way() {
    for count in [10, 1000] {
        let set = numbered(count);
        let mut copy = set.clone();
        copy.remove(b"member:000000");
        copy.insert(b"member:000001", 9.5, &ZSetLimits::DEFAULT);
        assert_eq!((set.len(), copy.len()), (count, count - 1));
        assert_eq!((set.score(b"member:000001"), set.rank(b"member:000000")), (Some(0.0), Some(0)));
    }
}

#[test]
fn the_limits_are_those_of_all_types() {
    assert_eq!(ZSetLimits::from(&TypeLimits::default()), ZSetLimits::DEFAULT);
}

#[test]
fn infinities_bound_nothing_out() {
    let set = board(&[("low", f64::NEG_INFINITY), ("mid", 0.0), ("top", f64::INFINITY)]);
    let (low, top) = (f64::NEG_INFINITY, f64::INFINITY);
    assert_eq!(set.count_by_score(Bound::Included(low), Bound::Included(top)), 3);
    assert_eq!(set.count_by_score(Bound::Excluded(low), Bound::Excluded(top)), 1);
    assert_eq!(set.count_by_score(Bound::Included(top), Bound::Included(low)), 0);
}

#[test]
fn the_sign_of_zero_is_kept_but_does_not_order() {
    for filler in [0, 200] {
        let mut set = numbered(filler);
        set.insert(b"a", 0.0, &ZSetLimits::DEFAULT);
        set.insert(b"b", -0.0, &ZSetLimits::DEFAULT);
        assert!(set.rank(b"a") < set.rank(b"b"));
        assert_eq!(set.score(b"b").map(f64::to_bits), Some((-0.0f64).to_bits()));
        assert_eq!(set.insert(b"a", -0.0, &ZSetLimits::DEFAULT), Inserted::Same);
    }
}

#[test]
fn it_converts_past_128_entries_or_64_bytes_and_never_back() {
    let mut set = numbered(128);
    assert_eq!(set.encoding_name(), "listpack");
    set.insert(b"one more", 0.0, &ZSetLimits::DEFAULT);
    assert_eq!(set.encoding_name(), "skiplist");
    while set.len() > 1 {
        set.pop_min();
    }
    assert_eq!(set.encoding_name(), "skiplist");

    let mut set = board(&[(&"x".repeat(64), 1.0)]);
    assert_eq!(set.encoding_name(), "listpack");
    set.insert("x".repeat(65).as_bytes(), 1.0, &ZSetLimits::DEFAULT);
    assert_eq!((set.encoding_name(), set.len()), ("skiplist", 2));
}

#[test]
fn an_update_at_the_limit_stays_packed() {
    let mut set = numbered(128);
    set.insert(b"member:000003", 99.0, &ZSetLimits::DEFAULT);
    assert_eq!((set.encoding_name(), set.rank(b"member:000003")), ("listpack", Some(127)));
}

#[test]
fn ranges_of_members_take_every_kind_of_bound() {
    for prefix in ["", "a member too long for the packed encoding, so that the set is indexed"] {
        let mut set = board(&["a", "b", "c", "d"].map(|member| (member, 0.0)));
        set.insert(prefix.as_bytes(), 0.0, &ZSetLimits::DEFAULT);
        set.remove(prefix.as_bytes());
        let range = |min, max| names(set.range_by_lex(min, max)).concat();
        assert_eq!(range(Bound::Unbounded, Bound::Unbounded), "abcd");
        assert_eq!(range(Bound::Included(b"b"), Bound::Excluded(b"d")), "bc");
        assert_eq!(range(Bound::Excluded(b"b"), Bound::Unbounded), "cd");
        assert_eq!(range(Bound::Unbounded, Bound::Included(b"bb")), "ab");
        assert_eq!(range(Bound::Included(b"c"), Bound::Included(b"a")), "");
    }
}

#[test]
fn ranges_of_members_agree_across_encodings_though_scores_differ() {
    let limits = ZSetLimits { max_packed_entries: 0, ..ZSetLimits::DEFAULT };
    let (mut packed, mut indexed) = (ZSet::new(), ZSet::new());
    for i in 0..100u32 {
        let member = format!("{}", i * 7919 % 100);
        packed.insert(member.as_bytes(), f64::from(i % 5), &ZSetLimits::DEFAULT);
        indexed.insert(member.as_bytes(), f64::from(i % 5), &limits);
    }
    assert_ne!(packed.encoding_name(), indexed.encoding_name());
    for min in ["1", "35", "9"] {
        for max in ["2", "40", "98"] {
            let (min, max) = (Bound::Included(min.as_bytes()), Bound::Excluded(max.as_bytes()));
            assert_eq!(packed.ranks_by_lex(min, max), indexed.ranks_by_lex(min, max));
        }
    }
}

#[test]
fn a_scan_of_a_packed_set_is_one_call() {
    let mut seen = 0;
    assert_eq!(numbered(100).scan(0, 10, |_| seen += 1), 0);
    assert_eq!(seen, 100);
}

#[test]
fn a_scan_of_a_big_set_meets_every_element_once_if_nothing_changes() {
    let set = numbered(5000);
    let (mut seen, mut cursor, mut calls) = (Vec::new(), 0, 0);
    loop {
        cursor = set.scan(cursor, 10, |entry| seen.push(entry.member.to_vec()));
        calls += 1;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!((calls, seen.len()), (500, 5000));
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 5000);
}

#[test]
fn memory_comes_back_when_a_big_set_shrinks() {
    let mut set = numbered(100_000);
    let full = set.memory_bytes();
    assert!(set.is_large());
    set.remove_by_rank(1_000..100_000);
    assert!(set.memory_bytes() < full / 20, "{} of {full}", set.memory_bytes());
    assert_eq!(set.get_by_rank(999).map(|entry| entry.member), Some(&b"member:000999"[..]));
    assert_eq!(set.score(b"member:000123"), Some(12.0));
}

#[test]
fn an_emptied_big_set_can_be_filled_again() {
    let mut set = numbered(3_000);
    assert_eq!(set.remove_by_rank(0..usize::MAX), 3_000);
    assert_eq!(
        (set.iter().count(), set.scan(0, 10, |_| panic!("nothing is left")), set.pop_min()),
        (0, 0, None)
    );
    set.insert(b"again", 1.0, &ZSetLimits::DEFAULT);
    assert_eq!((set.len(), set.rank(b"again"), set.encoding_name()), (1, Some(0), "skiplist"));
}

#[test]
fn remains_are_dropped_in_steps() {
    let mut remains = numbered(100_000).into_remains();
    let steps = (1..).find(|_| remains.drop_some(100)).expect("it ends");
    assert!((30..100).contains(&steps), "{steps}");
    assert!(board(&[("a", 1.0)]).into_remains().drop_some(1));
}

#[test]
fn remains_that_a_clone_shares_are_counts_only() {
    let set = numbered(100_000);
    let mut remains = set.clone().into_remains();
    let drops = (1..).find(|_| remains.drop_some(1)).expect("it ends");
    assert!(drops < 400, "{drops}");
    drop(remains);
    assert_eq!((set.len(), set.rank(b"member:099999")), (100_000, Some(99_999)));
    let mut remains = set.into_remains();
    let drops = (1..).find(|_| remains.drop_some(1)).expect("it ends");
    assert!(drops > 3000, "{drops}");
}

#[test]
fn memory_comes_back_when_members_go_one_by_one() {
    for (step, kept) in [(1, 2_000), (7919, 2_000)] {
        let mut set = numbered(50_000);
        let full = set.memory_bytes();
        for i in 0..50_000 - kept {
            set.remove(format!("member:{:06}", i * step % 50_000).as_bytes());
        }
        assert_eq!(set.len(), kept);
        assert!(set.memory_bytes() < full / 8, "{} of {full}", set.memory_bytes());
    }
}

/// The plainest sorted set there is.
#[derive(Default)]
struct Model {
    scores: BTreeMap<Vec<u8>, f64>,
}

impl Model {
    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = self.scores.iter().map(|(member, score)| (member.clone(), *score)).collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        all
    }
}

#[derive(Debug, Clone)]
enum Op {
    Insert(Vec<u8>, f64),
    Remove(Vec<u8>),
    PopMin,
    PopMax,
    RemoveRanks(usize, usize),
    RemoveScores(Bound<f64>, Bound<f64>),
    RemoveMembers(Bound<Vec<u8>>, Bound<Vec<u8>>),
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => (0u8..60).prop_map(|i| vec![b'a' + i % 7; 1 + i as usize / 7]),
        1 => (0usize..3).prop_map(|i| vec![b'z'; 38 + i]),
        1 => (0usize..3).prop_map(|i| vec![b'y'; arena::MAX_SLOT_MEMBER - 1 + i]),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-5i32..5).prop_map(|i| f64::from(i.max(-4))),
        2 => prop::sample::select(vec![0.5, -2.25, 1e18, f64::INFINITY, f64::NEG_INFINITY]),
    ]
}

fn bound<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Bound<T>> {
    (value, 0..5).prop_map(|(value, kind)| match kind {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Excluded(value),
        _ => Bound::Included(value),
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => (member(), score()).prop_map(|(member, score)| Op::Insert(member, score)),
        8 => member().prop_map(Op::Remove),
        1 => Just(Op::PopMin),
        1 => Just(Op::PopMax),
        1 => (0usize..40, 0usize..6).prop_map(|(start, len)| Op::RemoveRanks(start, start + len)),
        1 => (bound(score()), bound(score())).prop_map(|(min, max)| Op::RemoveScores(min, max)),
        1 => (bound(member()), bound(member())).prop_map(|(min, max)| Op::RemoveMembers(min, max)),
    ]
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

fn within<T: PartialOrd + ?Sized>(value: &T, min: Bound<&T>, max: Bound<&T>) -> bool {
    let low = match min {
        Bound::Unbounded => true,
        Bound::Included(min) => value >= min,
        Bound::Excluded(min) => value > min,
    };
    low && match max {
        Bound::Unbounded => true,
        Bound::Included(max) => value <= max,
        Bound::Excluded(max) => value < max,
    }
}

/// What removing the sorted elements that `chosen` picks leaves behind, and how many it picked.
fn remove_where(model: &mut Model, chosen: impl Fn(usize, &[u8], f64) -> bool) -> usize {
    let before = model.scores.len();
    for (rank, (member, score)) in model.sorted().into_iter().enumerate() {
        if chosen(rank, &member, score) {
            model.scores.remove(&member);
        }
    }
    before - model.scores.len()
}

fn insert_in_model(model: &mut Model, member: &[u8], score: f64) -> Inserted {
    match model.scores.insert(member.to_vec(), score) {
        None => Inserted::Added,
        Some(old) if old == score => Inserted::Same,
        Some(_) => Inserted::Updated,
    }
}

fn apply(set: &mut ZSet, model: &mut Model, op: &Op) {
    match op {
        Op::Insert(member, score) => {
            assert_eq!(set.insert(member, *score, &SMALL), insert_in_model(model, member, *score));
        }
        Op::Remove(member) => assert_eq!(set.remove(member), model.scores.remove(member)),
        Op::PopMin => {
            let first = model.sorted().first().cloned();
            remove_where(model, |rank, _, _| rank == 0);
            assert_eq!(set.pop_min(), first);
        }
        Op::PopMax => {
            let last = model.sorted().last().cloned();
            remove_where(model, |_, member, _| last.as_ref().is_some_and(|last| last.0 == member));
            assert_eq!(set.pop_max(), last);
        }
        Op::RemoveRanks(start, end) => {
            let removed = remove_where(model, |rank, _, _| (*start..*end).contains(&rank));
            assert_eq!(set.remove_by_rank(*start..*end), removed);
        }
        Op::RemoveScores(min, max) => {
            let removed = remove_where(model, |_, _, score| within(&score, min.as_ref(), max.as_ref()));
            assert_eq!(set.remove_by_score(*min, *max), removed);
        }
        Op::RemoveMembers(min, max) => remove_members(set, model, as_slice(min), as_slice(max)),
    }
}

/// Only where all scores are one does a range of members mean what it says.
fn remove_members(set: &mut ZSet, model: &mut Model, min: Bound<&[u8]>, max: Bound<&[u8]>) {
    let sorted = model.sorted();
    if sorted.first().map(|first| first.1) == sorted.last().map(|last| last.1) {
        let removed = remove_where(model, |_, member, _| within(member, min, max));
        assert_eq!(set.count_by_lex(min, max), removed);
        assert_eq!(set.remove_by_lex(min, max), removed);
    }
}

fn compare(set: &ZSet, model: &Model) {
    let sorted = model.sorted();
    let own = |entry: ScoredMember| (entry.member.to_vec(), entry.score);
    assert_eq!(set.len(), sorted.len());
    assert_eq!(set.iter().map(own).collect::<Vec<_>>(), sorted);
    let backwards: Vec<_> = set.iter().rev().map(own).collect();
    assert!(backwards.iter().eq(sorted.iter().rev()));
    for (rank, (member, score)) in sorted.iter().enumerate() {
        assert_eq!((set.rank(member), set.score(member)), (Some(rank), Some(*score)));
        assert_eq!(set.get_by_rank(rank).map(own).as_ref(), Some(&sorted[rank]));
        let at = Bound::Included(*score);
        assert_eq!(set.count_by_score(at, at), sorted.iter().filter(|other| other.1 == *score).count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_history_ends_as_the_model_says(ops in prop::collection::vec(op(), 0..150)) {
        let (mut set, mut model) = (ZSet::new(), Model::default());
        for op in &ops {
            apply(&mut set, &mut model, op);
        }
        compare(&set, &model);
    }

    #[test]
    fn sets_of_one_score_are_cut_by_member(
        members in prop::collection::btree_set(member(), 0..40),
        min in bound(member()),
        max in bound(member()),
    ) {
        let (mut set, mut model) = (ZSet::new(), Model::default());
        for member in members {
            set.insert(&member, 1.0, &SMALL);
            model.scores.insert(member, 1.0);
        }
        remove_members(&mut set, &mut model, as_slice(&min), as_slice(&max));
        compare(&set, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn long_histories_keep_a_big_set_whole(seed in any::<u64>()) {
        let (mut set, mut model) = (ZSet::new(), Model::default());
        let mut state = seed | 1;
        for step in 0..12_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (member, score) = (format!("m{}", (state >> 33) % 4_000), (state >> 50) as f64);
            // Grows for the first half, shrinks for the second.
            if (state >> 20) % 8 < if step < 6_000 { 7 } else { 1 } {
                set.insert(member.as_bytes(), score, &SMALL);
                model.scores.insert(member.into_bytes(), score);
            } else {
                prop_assert_eq!(set.remove(member.as_bytes()), model.scores.remove(member.as_bytes()));
            }
        }
        compare(&set, &model);
    }
}
