//! Streams of all kinds for tests of what writes and reads them.

use proptest::prelude::*;

use super::*;

/// Streams with gaps, other fields, groups, consumers and entries that are pending. Consumers were seen when they last got something.
pub fn some_stream() -> impl Strategy<Value = Stream> {
    let entry = (prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..4), 0..3_u64);
    let group = (any::<bool>(), 0..40_u64, prop::collection::vec((0..40_u64, 0..3_usize, 0..5_u64), 0..20));
    let parts = (
        prop::collection::vec(entry, 0..40),
        prop::collection::vec(0..40_usize, 0..10),
        prop::collection::vec(group, 0..3),
    );
    parts.prop_map(|(entries, deleted, groups)| {
        let mut stream = Stream::new();
        let mut ids = Vec::new();
        for (texts, skip) in &entries {
            let last = stream.counters().last_id;
            let id = StreamId::new(last.ms + skip, if *skip == 0 { last.seq + 1 } else { 0 });
            let pairs: Vec<&[u8]> = texts.iter().flat_map(|text| [b"field", text.as_slice()]).collect();
            stream.append(id, &pairs, NodeLimits::DEFAULT);
            ids.push(id);
        }
        for id in deleted.iter().filter_map(|place| ids.get(*place)) {
            stream.delete(*id);
        }
        for (number, (is_known, last_ms, pending)) in groups.iter().enumerate() {
            let read = is_known.then_some(*last_ms as i64);
            let mut group = Group::new(StreamId::new(*last_ms, 0), read);
            let names = [&b"ada"[..], b"", b"1234"];
            for name in names {
                group.restore_consumer(name, 7, 7);
            }
            for (ms, consumer, deliveries) in pending {
                let consumer = group.name_of(names[*consumer]);
                let pending = Pending { consumer, delivered_ms: *ms as i64 - 3, deliveries: *deliveries };
                group.pend(StreamId::new(*ms, 1), pending);
            }
            stream.add_group(format!("group {number}").as_bytes(), group);
        }
        stream
    })
}
