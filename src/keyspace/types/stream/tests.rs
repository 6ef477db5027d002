//! Streams against the plainest thing that behaves like one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<StreamId, Vec<Vec<u8>>>;

fn shown(entry: StreamEntry<'_>) -> (StreamId, Vec<Vec<u8>>) {
    (entry.id, entry.texts().map(StreamText::to_vec).collect())
}

fn check(stream: &Stream, model: &Model) {
    let all: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).map(shown).collect();
    assert!(all.iter().map(|(id, texts)| (id, texts)).eq(model.iter()));
    let back: Vec<_> = stream.range_back(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect();
    assert!(back.iter().eq(model.keys().rev()));
    assert_eq!(stream.len(), model.len() as u64);
    assert_eq!(stream.first_id(), model.keys().next().copied().unwrap_or_default());
    assert_eq!(stream.last_entry_id(), model.keys().next_back().copied());
    stream.groups().for_each(|(_, group)| group.check());
    for (master, node) in stream.nodes() {
        assert!(Node::from_listpack(master, node.listpack()).is_some());
    }
}

#[derive(Clone, Debug)]
enum Op {
    Append(u64, u64, u8, usize),
    Delete(u64),
    MaxLen(u64, bool, u64),
    MinId(u64, bool),
    Range(u64, u64, u64),
    Clone,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..20_u64, 1..120_u64, 0..4_u8, 0..300_usize)
            .prop_map(|(skip, count, form, len)| Op::Append(skip, count, form, len)),
        3 => (0..3000_u64).prop_map(Op::Delete),
        1 => (0..2000_u64, any::<bool>(), 0..400_u64).prop_map(|(len, near, limit)| Op::MaxLen(len, near, limit)),
        1 => (0..3000_u64, any::<bool>()).prop_map(|(id, near)| Op::MinId(id, near)),
        3 => (0..3000_u64, 0..3000_u64, 0..300_u64).prop_map(|(start, end, most)| Op::Range(start, end, most)),
        1 => Just(Op::Clone),
    ]
}

fn pairs(form: u8, len: usize, number: u64) -> Vec<Vec<u8>> {
    let value = |number: u64| match form {
        0 => number.to_string().into_bytes(),
        _ => vec![number as u8; len],
    };
    let fields: &[&[u8]] = match form {
        0 | 1 => &[b"temperature", b"-5"],
        2 => &[b"temperature"],
        _ => &[b"", b"other", b"12345678901"],
    };
    fields.iter().flat_map(|field| [field.to_vec(), value(number)]).collect()
}

fn append(stream: &mut Stream, model: &mut Model, id: StreamId, texts: Vec<Vec<u8>>) {
    let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    stream.append(id, &slices, NodeLimits::DEFAULT);
    model.insert(id, texts);
}

/// Exact trimming leaves what the model says; approximate leaves no less, and takes the oldest.
fn trim(stream: &mut Stream, model: &mut Model, trim: &Trim) {
    let (before, wanted) = (
        model.len() as u64,
        match trim.to {
            TrimTo::MaxLen(most) => (model.len() as u64).saturating_sub(most),
            TrimTo::MinId(id) => model.range(..id).count() as u64,
        },
    );
    let (gone, _) = stream.trim(trim);
    if trim.is_approximate {
        assert!(gone <= wanted && (trim.limit == 0 || gone <= trim.limit));
    } else {
        assert_eq!(gone, wanted);
    }
    (0..gone).for_each(|_| drop(model.pop_first()));
    assert_eq!(model.len() as u64, before - gone);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_a_sorted_map_and_clones_keep_what_they_saw(ops in prop::collection::vec(op(), 0..60)) {
        let (mut stream, mut model) = (Stream::new(), Model::new());
        let mut clones = Vec::new();
        let mut next = 1;
        for op in ops {
            match op {
                Op::Append(skip, count, form, len) => for number in 0..count {
                    next += 1 + skip * u64::from(number == 0);
                    let id = StreamId::new(next / 4, next % 4);
                    append(&mut stream, &mut model, id, pairs(form, len, number));
                },
                Op::Delete(number) => {
                    let id = StreamId::new(number / 4, number % 4);
                    let was_there = model.remove(&id).is_some();
                    prop_assert_eq!(stream.get(id).is_some(), was_there);
                    prop_assert_eq!(stream.delete(id), was_there);
                }
                Op::MaxLen(most, is_approximate, limit) => {
                    let limit = if is_approximate { limit } else { 0 };
                    trim(&mut stream, &mut model, &Trim { to: TrimTo::MaxLen(most), is_approximate, limit });
                }
                Op::MinId(number, is_approximate) => {
                    let to = TrimTo::MinId(StreamId::new(number / 4, number % 4));
                    trim(&mut stream, &mut model, &Trim { to, is_approximate, limit: 0 });
                }
                Op::Range(start, end, most) => {
                    let [start, end] = [start, end].map(|number| StreamId::new(number / 4, number % 4));
                    let wanted: Vec<StreamId> = match start <= end {
                        true => model.range(start..=end).map(|(id, _)| *id).collect(),
                        false => Vec::new(),
                    };
                    let found = || stream.range(start, end).map(|entry| entry.id);
                    prop_assert!(found().eq(wanted.iter().copied()));
                    prop_assert!(stream.range_back(start, end).map(|entry| entry.id).eq(wanted.iter().rev().copied()));
                    prop_assert_eq!(stream.count(start, end, most), (wanted.len() as u64).min(most));
                    let walked = (wanted.len() as u64).min(most);
                    prop_assert!(stream.size_between(start, end, most).0 >= walked);
                    prop_assert!(stream.size_before(end, start, most).0 >= walked);
                }
                Op::Clone => clones.push((stream.clone(), model.clone())),
            }
        }
        clones.push((stream, model));
        clones.iter().for_each(|(stream, model)| check(stream, model));
    }
}

fn filled(count: u64) -> Stream {
    let mut stream = Stream::new();
    (1..=count).for_each(|ms| stream.append(StreamId::new(ms, 0), &[b"f", b"value"], NodeLimits::DEFAULT));
    stream
}

#[test]
fn an_entry_takes_the_bytes_that_it_takes_in_redis() {
    let stream = filled(100_000);
    let each = stream.memory_bytes() / 100_000;
    // Flags, two parts of the id, a value of five bytes and a count; a hundredth of a node's own.
    assert!((15..18).contains(&each), "{each} bytes");
    let small = filled(1).memory_bytes();
    assert!(small < 800, "{small} bytes");
}

/// Scripts take steps by these numbers, on every node.
#[test]
fn what_a_range_passes_counts_nodes_of_deleted_entries_and_no_spare_room() {
    let mut stream = filled(3_000);
    (1..=3_000).filter(|ms| ms % 100 != 0).for_each(|ms| assert!(stream.delete(StreamId::new(ms, 0))));
    let (all, few) = (u64::MAX, 25);
    let (entries, bytes) = stream.size_between(StreamId::MIN, StreamId::MAX, all);
    assert_eq!((entries, stream.len()), (3_000, 30));
    assert!(stream.size_between(StreamId::MIN, StreamId::MAX, few).0 >= 2_500);
    assert!(stream.size_before(StreamId::MAX, StreamId::MIN, few).0 >= 2_500);
    let mut loaded = Stream::new();
    for (master, node) in stream.nodes() {
        let node = Node::from_listpack(master, node.listpack()).expect("a node");
        assert!(loaded.restore_node(master, node));
    }
    for stream in [&stream, &loaded] {
        assert_eq!(stream.size_before(StreamId::MAX, StreamId::MIN, all), (entries, bytes));
        let node = stream.size_before(StreamId::new(250, 0), StreamId::new(240, 0), all);
        assert_eq!(node, stream.size_between(StreamId::new(240, 0), StreamId::new(250, 0), all));
    }
    assert_eq!(
        loaded.size_before(StreamId::new(99, 0), StreamId::MIN, few),
        stream.size_before(StreamId::new(99, 0), StreamId::MIN, few)
    );
}

#[test]
fn a_million_entries_are_trimmed_without_a_walk_over_them() {
    let mut stream = filled(1_000_000);
    let began_ns = crate::env::thread_cpu_ns();
    let (gone, removed) = stream.trim(&Trim { to: TrimTo::MaxLen(10), is_approximate: false, limit: 0 });
    let took_ns = crate::env::thread_cpu_ns() - began_ns;
    assert_eq!((gone, stream.len()), (999_990, 10));
    assert!(removed.is_some_and(|removed| removed.len() > 500_000));
    assert!(took_ns < 100_000_000, "took {took_ns} ns");
    assert_eq!(stream.first_id(), StreamId::new(999_991, 0));
}

#[test]
fn groups_keep_what_is_pending_by_consumer() {
    let mut stream = filled(300);
    assert!(stream.add_group(b"g", Group::new(StreamId::MIN, Some(0))));
    assert!(!stream.add_group(b"g", Group::new(StreamId::MIN, None)));
    let clone = stream.clone();
    stream.edit_group(b"g", |group, stream| {
        let names = [b"ada", b"bob"].map(|name| group.see(name, 5));
        for (number, entry) in stream.range(StreamId::MIN, StreamId::MAX).enumerate() {
            let consumer = names[number % 2].clone();
            group.pend(entry.id, Pending { consumer, delivered_ms: 5, deliveries: 1 });
        }
        let id = StreamId::new(1, 0);
        group.pend(id, Pending { consumer: names[1].clone(), delivered_ms: 6, deliveries: 2 });
        assert!(group.acknowledge(StreamId::new(3, 0)) && !group.acknowledge(StreamId::new(3, 0)));
    });
    let group = stream.group(b"g").expect("the group");
    let pending = |name: &[u8]| group.consumer(name).map(Consumer::pending);
    assert_eq!((pending(b"ada"), pending(b"bob"), pending(b"eve")), (Some(148), Some(151), None));
    assert_eq!(stream.parts(), 300 + 1 + 2 + 299);
    group.check();
    stream.edit_group(b"g", |group, _| assert_eq!(group.remove_consumer(b"bob"), Some(151)));
    let group = stream.group(b"g").expect("the group");
    assert_eq!((group.pending_count(), group.consumer_count()), (148, 1));
    group.check();
    assert_eq!(clone.group(b"g").map(Group::pending_count), Some(0));
    assert!(stream.remove_group(b"g").is_some() && stream.groups().len() == 0);
}

#[test]
fn nodes_come_back_only_in_their_order() {
    let mut stream = filled(250);
    stream.delete(StreamId::new(7, 0));
    let nodes: Vec<(StreamId, Node)> = stream.nodes().map(|(id, node)| (id, node.clone())).collect();
    let mut back = Stream::new();
    assert!(nodes.iter().all(|(id, node)| back.restore_node(*id, node.clone())));
    assert!(!back.restore_node(nodes[1].0, nodes[1].1.clone()));
    let counters = stream.counters();
    assert!(!back.set_counters(Counters { last_id: StreamId::new(9, 0), ..counters }));
    assert!(back.set_counters(counters));
    assert_eq!((back.len(), back.first_id()), (249, stream.first_id()));
    assert!(
        back.nodes().map(|(_, node)| node.listpack()).eq(stream.nodes().map(|(_, node)| node.listpack()))
    );
}
