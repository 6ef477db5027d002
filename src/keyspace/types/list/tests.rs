use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn elements(list: &List) -> Vec<Vec<u8>> {
    list.iter().map(<[u8]>::to_vec).collect()
}

fn numbers(count: u32) -> List {
    let mut list = List::new();
    for number in 0..count {
        list.push_back(&number.to_be_bytes(), &TypeLimits::default());
    }
    list
}

#[test]
fn a_list_is_two_words() {
    assert_eq!(size_of::<List>(), 2 * size_of::<usize>());
}

#[test]
fn a_list_is_packed_up_to_eight_kib() {
    let limits = TypeLimits::default();
    let mut list = List::new();
    for _ in 0..81 {
        list.push_back(&[b'x'; 98], &limits);
    }
    assert_eq!(list.encoding_name(), "listpack");
    list.push_front(&[b'x'; 98], &limits);
    assert_eq!((list.encoding_name(), list.len()), ("quicklist", 82));
    while list.len() > 41 {
        list.pop_back(&limits);
    }
    assert_eq!(list.encoding_name(), "quicklist");
    while list.len() > 39 {
        list.pop_back(&limits);
    }
    assert_eq!(list.encoding_name(), "listpack", "half of the limit holds it");
    list.push_back(&[b'x'; 98], &limits);
    while list.pop_back(&limits).is_some() {}
    assert_eq!((list.encoding_name(), list.is_empty()), ("listpack", true));
}

#[test]
fn chunks_may_be_bounded_by_elements() {
    let limits = TypeLimits { list_max_listpack_entries: 4, ..TypeLimits::default() };
    let mut list = List::new();
    (0..4_u8).for_each(|element| list.push_back(&[element], &limits));
    assert_eq!(list.encoding_name(), "listpack");
    (4..40_u8).for_each(|element| list.push_front(&[element], &limits));
    assert_eq!(list.encoding_name(), "quicklist");
    check_chunks(&list, &limits);
    list.trim(10..12, &limits);
    assert_eq!((list.encoding_name(), list.len()), ("listpack", 2));
    list.set(0, &[7; 9000], &limits);
    assert_eq!(list.encoding_name(), "quicklist");
    list.set(0, &[7], &limits);
    assert_eq!(list.encoding_name(), "listpack");
}

#[test]
fn an_element_beyond_a_chunk_lies_in_its_own() {
    let limits = TypeLimits::default();
    let mut list = numbers(10);
    list.insert(5, &[7; 20_000], &limits);
    assert_eq!((list.encoding_name(), list.len()), ("quicklist", 11));
    assert_eq!(list.get(5).map(<[u8]>::len), Some(20_000));
    assert_eq!(list.get(6), Some(&5u32.to_be_bytes()[..]));
    assert!(list.set(5, &[8; 30_000], &limits) && list.set(4, &[9; 9_000], &limits));
    assert!(!list.set(11, b"beyond", &limits));
    let lens: Vec<_> = list.range(3..7).map(<[u8]>::len).collect();
    assert_eq!(lens, [4, 9_000, 30_000, 4]);
}

#[test]
fn a_long_list_is_reached_from_both_ends() {
    let list = numbers(100_000);
    for index in [0, 1, 1365, 49_999, 50_000, 50_001, 98_634, 99_999] {
        assert_eq!(list.get(index), Some(&(index as u32).to_be_bytes()[..]));
    }
    assert_eq!(list.get(100_000), None);
    let backwards: Vec<_> = list.range(59_000..61_000).rev().take(2).collect();
    assert_eq!(backwards, [60_999u32.to_be_bytes(), 60_998u32.to_be_bytes()]);
    assert_eq!(list.range(99_999..200_000).count(), 1);
}

#[test]
fn elements_go_before_and_after_their_pivots() {
    let limits = TypeLimits::default();
    let mut list = List::new();
    list.push_back(b"b", &limits);
    assert!(list.insert_before(b"b", b"a", &limits) && list.insert_after(b"b", b"c", &limits));
    assert!(!list.insert_after(b"x", b"y", &limits));
    assert_eq!(elements(&list), [b"a", b"b", b"c"]);
    assert_eq!((list.front(), list.back()), (Some(&b"a"[..]), Some(&b"c"[..])));
}

#[test]
fn thinning_a_list_out_gives_its_memory_back() {
    let limits = TypeLimits::default();
    let mut list = numbers(100_000);
    let full = list.memory_bytes();
    for index in (0..100_000).rev().filter(|index| index % 50 != 0) {
        list.remove_range(index..index + 1, &limits);
    }
    assert_eq!(list.len(), 2000);
    assert!(list.memory_bytes() < full / 20, "{} of {full}", list.memory_bytes());
}

#[derive(Debug, Clone)]
enum Op {
    PushFront(Vec<u8>),
    PushBack(Vec<u8>),
    PopFront,
    PopBack,
    Insert(usize, Vec<u8>),
    Set(usize, Vec<u8>),
    RemoveMatching(Vec<u8>, usize, bool),
    RemoveRange(usize, usize),
    Trim(usize, usize),
    InsertBefore(Vec<u8>, Vec<u8>),
}

/// Short elements of few values, some long ones, now and then one beyond a chunk.
fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => (0..5u8).prop_map(|byte| vec![byte; 3]),
        5 => (0..5u8, 100..1500usize).prop_map(|(byte, len)| vec![byte; len]),
        1 => (0..5u8, 4000..9000usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let index = || 0..200usize;
    prop_oneof![
        4 => element().prop_map(Op::PushFront),
        8 => element().prop_map(Op::PushBack),
        1 => Just(Op::PopFront),
        1 => Just(Op::PopBack),
        8 => (index(), element()).prop_map(|(at, value)| Op::Insert(at, value)),
        3 => (index(), element()).prop_map(|(at, value)| Op::Set(at, value)),
        1 => (element(), 1..6usize, any::<bool>()).prop_map(|(value, max, back)| Op::RemoveMatching(value, max, back)),
        1 => (index(), 0..20usize).prop_map(|(at, count)| Op::RemoveRange(at, count)),
        1 => (0..10usize, 40..200usize).prop_map(|(from, to)| Op::Trim(from, to)),
        1 => (element(), element()).prop_map(|(pivot, value)| Op::InsertBefore(pivot, value)),
    ]
}

fn remove_matching(model: &mut VecDeque<Vec<u8>>, value: &[u8], max: usize, from_back: bool) -> usize {
    let mut matching: Vec<usize> = (0..model.len()).filter(|&at| model[at] == value).collect();
    if from_back {
        matching.reverse();
    }
    matching.truncate(max);
    matching.sort();
    for at in matching.iter().rev() {
        model.remove(*at);
    }
    matching.len()
}

fn apply(list: &mut List, model: &mut VecDeque<Vec<u8>>, limits: &TypeLimits, op: Op) {
    match op {
        Op::PushFront(value) => {
            list.push_front(&value, limits);
            model.push_front(value);
        }
        Op::PushBack(value) => {
            list.push_back(&value, limits);
            model.push_back(value);
        }
        Op::PopFront => assert_eq!(list.pop_front(limits), model.pop_front()),
        Op::PopBack => assert_eq!(list.pop_back(limits), model.pop_back()),
        Op::Insert(at, value) => {
            list.insert(at, &value, limits);
            model.insert(at.min(model.len()), value);
        }
        Op::Set(at, value) => {
            assert_eq!(list.set(at, &value, limits), at < model.len());
            if let Some(element) = model.get_mut(at) {
                *element = value;
            }
        }
        Op::RemoveMatching(value, max, from_back) => {
            let removed = remove_matching(model, &value, max, from_back);
            assert_eq!(list.remove_matching(&value, max, from_back, limits), removed);
        }
        Op::RemoveRange(at, count) => {
            list.remove_range(at..at + count, limits);
            let end = (at + count).min(model.len());
            model.drain(at.min(end)..end);
        }
        Op::Trim(from, to) => {
            list.trim(from..to, limits);
            model.truncate(to);
            model.drain(..from.min(model.len()));
        }
        Op::InsertBefore(pivot, value) => {
            let found = model.iter().position(|element| *element == pivot);
            assert_eq!(list.insert_before(&pivot, &value, limits), found.is_some());
            if let Some(at) = found {
                model.insert(at, value);
            }
        }
    }
}

fn check_chunks(list: &List, limits: &TypeLimits) {
    let Form::Chunks(chunks) = &list.0 else { return };
    let mut bytes = 0;
    chunks.chunks().check();
    for number in 0..chunks.chunks().len() {
        let chunk = chunks.chunk(number);
        assert!(chunk.len() == 1 || chunk.end() <= limits.list_max_listpack_bytes);
        assert!(!chunk.is_empty());
        bytes += chunk.heap_bytes();
    }
    assert_eq!(chunks.chunks().bytes(), bytes);
}

proptest! {
    #[test]
    fn behaves_like_a_deque(
        chunk_bytes in prop_oneof![Just(8192), Just(4096), Just(64), Just(300)],
        ops in prop::collection::vec(op(), 0..200),
    ) {
        let limits = TypeLimits { list_max_listpack_bytes: chunk_bytes, ..TypeLimits::default() };
        let (mut list, mut model) = (List::new(), VecDeque::new());
        for op in ops {
            apply(&mut list, &mut model, &limits, op);
            prop_assert!(list.iter().eq(model.iter()));
            prop_assert!(list.iter().rev().eq(model.iter().rev()));
            prop_assert_eq!(list.len(), model.len());
            check_chunks(&list, &limits);
        }
        for (index, element) in model.iter().enumerate() {
            prop_assert_eq!(list.get(index), Some(&element[..]));
        }
        let third = model.len() / 3;
        prop_assert!(list.range(third..2 * third).eq(model.range(third..2 * third)));
    }
}
