//! A packed node of a stream: a listpack with the very bytes that Redis would have.
//!
//! ```text
//! total:u32 elements:u16 master entry* FF                elements of `listpack.rs`
//! master   live deleted n field{n} 0                     how many entries there are; the fields of the first
//! entry    flags ms seq value{n} count                   flags 2 (same fields as the master), or 3 (deleted)
//! entry    flags ms seq m (field value){m} count         flags 0, or 1 (deleted)
//! ```
//!
//! - An entry's id is that of the node plus `ms` and `seq`; `count` is its number of elements before that one.
//! - An entry that is deleted stays, flagged. A node always has one that is not: its owner drops it with the last.
//! - When a node is full is Redis' own rule, deleted entries included, for trimming takes whole nodes.
//! - Clones share bytes; a change copies them first, unless no clone shares them.

use super::super::limits::NodeLimits;
use super::super::listpack::{self, END, StreamText};
use super::super::shared::SharedBytes;
use super::id::StreamId;
use super::ordered::Weigh;

const HEADER_BYTES: usize = 6;
const LIVE_AT: usize = HEADER_BYTES;

const DELETED: u8 = 1;
const SAME_FIELDS: u8 = 2;

#[derive(Clone, Debug)]
pub struct Node(SharedBytes);

/// What a node says of itself.
#[derive(Clone, Copy)]
struct Head {
    live: u64,
    deleted: u64,
    deleted_at: usize,
    fields: usize,
    fields_at: usize,
    entries_at: usize,
}

/// An entry of a node.
#[derive(Clone, Copy, Debug)]
pub struct StreamEntry<'a> {
    pub id: StreamId,
    node: &'a Node,
    /// Where its flags are.
    at: usize,
    flags: u8,
    /// How many fields it has, where the master's are if it shares them, and where its own elements begin.
    fields: usize,
    master_at: usize,
    values_at: usize,
}

impl Weigh for Node {
    /// Its entries that are not deleted.
    fn weight(&self) -> u64 {
        number(&self.0, LIVE_AT).map_or(0, |(live, _)| live)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

fn number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (element, next) = listpack::read(bytes, at)?;
    Some((u64::try_from(element.integer()?).ok()?, next))
}

impl Node {
    /// A node without entries, for entries with these fields.
    pub(super) fn new<'f>(fields: impl ExactSizeIterator<Item = &'f [u8]>) -> Node {
        let mut listpack = vec![0; HEADER_BYTES];
        listpack::put_integer(&mut listpack, 0);
        listpack::put_integer(&mut listpack, 0);
        listpack::put_integer(&mut listpack, fields.len() as i64);
        let elements = fields.len() + 4;
        fields.for_each(|field| listpack::put(&mut listpack, field));
        listpack::put_integer(&mut listpack, 0);
        listpack.push(END);
        let mut bytes = SharedBytes::with_room_for(listpack.len());
        bytes.bytes_mut()[..listpack.len()].copy_from_slice(&listpack);
        let mut node = Node(bytes);
        node.set_header(listpack.len(), elements);
        node
    }

    /// The bytes, as Redis has them.
    pub fn listpack(&self) -> &[u8] {
        self.0.get(..self.used()).unwrap_or_default()
    }

    fn used(&self) -> usize {
        self.0.first_chunk().map_or(0, |total| u32::from_le_bytes(*total) as usize)
    }

    fn elements(&self) -> usize {
        self.0.get(4..6).map_or(0, |count| usize::from(u16::from_le_bytes([count[0], count[1]])))
    }

    /// A number of elements that two bytes do not hold is told as unknown, and stays so.
    fn set_header(&mut self, used: usize, elements: usize) {
        let used = u32::try_from(used).expect("an entry has less than 2 GiB");
        let elements = u16::try_from(elements).unwrap_or(u16::MAX);
        let bytes = self.0.bytes_mut();
        bytes[..4].copy_from_slice(&used.to_le_bytes());
        bytes[4..6].copy_from_slice(&elements.to_le_bytes());
    }

    fn head(&self) -> Option<Head> {
        let bytes = self.listpack();
        let (live, deleted_at) = number(bytes, LIVE_AT)?;
        let (deleted, at) = number(bytes, deleted_at)?;
        let (fields, fields_at) = number(bytes, at)?;
        let fields = usize::try_from(fields).ok()?;
        let entries_at = listpack::skip(bytes, fields_at, fields.checked_add(1)?)?;
        Some(Head { live, deleted, deleted_at, fields, fields_at, entries_at })
    }

    /// Entries, the deleted ones included.
    pub fn all_entries(&self) -> u64 {
        let counts = number(&self.0, LIVE_AT).and_then(|(live, at)| Some(live + number(&self.0, at)?.0));
        counts.unwrap_or(0)
    }

    /// Whether an entry with so many bytes of fields and values may be added.
    pub(super) fn has_room_for(&self, bytes: usize, limits: NodeLimits) -> bool {
        self.used().saturating_add(bytes) < limits.bytes && self.all_entries() < limits.entries
    }

    /// Adds an entry of fields and values in turn, whose id is above all others; `master` is the node's id.
    pub(super) fn push(&mut self, master: StreamId, id: StreamId, pairs: &[&[u8]]) {
        let Some(head) = self.head() else { return };
        let fields = pairs.len() / 2;
        let is_same = head.fields == fields && self.has_fields(&head, pairs);
        let (ms, seq) = id.minus(master);
        let mut entry = Vec::new();
        listpack::put_integer(&mut entry, i64::from(if is_same { SAME_FIELDS } else { 0 }));
        listpack::put_integer(&mut entry, ms);
        listpack::put_integer(&mut entry, seq);
        if is_same {
            pairs.iter().skip(1).step_by(2).for_each(|value| listpack::put(&mut entry, value));
        } else {
            listpack::put_integer(&mut entry, fields as i64);
            pairs.iter().for_each(|text| listpack::put(&mut entry, text));
        }
        let count = 3 + fields + if is_same { 0 } else { fields + 1 };
        listpack::put_integer(&mut entry, count as i64);
        let (used, elements) = (self.used(), self.elements());
        let bytes = self.0.splice(used, used - 1, 0, entry.len());
        bytes[used - 1..][..entry.len()].copy_from_slice(&entry);
        let known = if elements == usize::from(u16::MAX) { elements } else { elements + count + 1 };
        self.set_header(used + entry.len(), known);
        self.replace(LIVE_AT, head.live + 1);
    }

    fn has_fields(&self, head: &Head, pairs: &[&[u8]]) -> bool {
        let mut at = head.fields_at;
        pairs.iter().step_by(2).all(|field| match listpack::read(self.listpack(), at) {
            Some((own, next)) => {
                at = next;
                own.is(field)
            }
            None => false,
        })
    }

    /// Gives the integer at `at` another value.
    fn replace(&mut self, at: usize, value: u64) {
        let Some((_, next)) = listpack::read(self.listpack(), at) else { return };
        let mut encoded = Vec::with_capacity(10);
        listpack::put_integer(&mut encoded, value as i64);
        let (used, elements) = (self.used(), self.elements());
        let bytes = self.0.splice(used, at, next - at, encoded.len());
        bytes[at..at + encoded.len()].copy_from_slice(&encoded);
        self.set_header(used - (next - at) + encoded.len(), elements);
    }

    /// Entries in order, the deleted ones included.
    fn entries_with_deleted(&self, master: StreamId) -> impl Iterator<Item = StreamEntry<'_>> {
        let head = self.head();
        let mut at = head.map_or(usize::MAX, |head| head.entries_at);
        std::iter::from_fn(move || {
            let (entry, next) = self.entry_at(master, &head?, at)?;
            at = next;
            Some(entry)
        })
    }

    fn entry_at(&self, master: StreamId, head: &Head, at: usize) -> Option<(StreamEntry<'_>, usize)> {
        let bytes = self.listpack();
        let (flags, ms_at) = number(bytes, at)?;
        let (ms, seq_at) = listpack::read(bytes, ms_at)?;
        let (seq, mut values_at) = listpack::read(bytes, seq_at)?;
        let id = master.plus((ms.integer()?, seq.integer()?));
        let flags = u8::try_from(flags).ok()?;
        let (mut fields, mut own) = (head.fields, head.fields);
        if flags & SAME_FIELDS == 0 {
            let (count, next) = number(bytes, values_at)?;
            fields = usize::try_from(count).ok()?;
            own = fields.checked_mul(2)?;
            values_at = next;
        }
        let next = listpack::skip(bytes, values_at, own.checked_add(1)?)?;
        let entry = StreamEntry { id, node: self, at, flags, fields, master_at: head.fields_at, values_at };
        Some((entry, next))
    }

    /// Entries in order.
    pub fn entries(&self, master: StreamId) -> impl Iterator<Item = StreamEntry<'_>> {
        self.entries_with_deleted(master).filter(|entry| entry.flags & DELETED == 0)
    }

    /// The id of the last entry, deleted or not.
    pub(super) fn last_id(&self, master: StreamId) -> Option<StreamId> {
        self.entries_with_deleted(master).last().map(|entry| entry.id)
    }

    pub(super) fn find(&self, master: StreamId, id: StreamId) -> Option<StreamEntry<'_>> {
        self.entries(master).find(|entry| entry.id == id)
    }

    /// Flags entries as deleted: at most `most`, from the first on, those for which `is_meant` holds. Returns how many.
    pub(super) fn delete(&mut self, master: StreamId, most: u64, is_meant: impl Fn(StreamId) -> bool) -> u64 {
        let meant = self.entries(master).filter(|entry| is_meant(entry.id)).map(|entry| entry.at);
        let places: Vec<usize> = meant.take(usize::try_from(most).unwrap_or(usize::MAX)).collect();
        let Some(head) = self.head().filter(|_| !places.is_empty()) else { return 0 };
        let bytes = self.0.bytes_mut();
        places.iter().for_each(|at| bytes[*at] |= DELETED);
        let count = places.len() as u64;
        self.replace(head.deleted_at, head.deleted + count);
        self.replace(LIVE_AT, head.live - count);
        count
    }

    /// The node that has these bytes; `None` where they are not those of a node, or it has no entry that is not deleted.
    pub fn from_listpack(master: StreamId, listpack: &[u8]) -> Option<Node> {
        let mut bytes = SharedBytes::with_room_for(listpack.len());
        bytes.bytes_mut().get_mut(..listpack.len())?.copy_from_slice(listpack);
        let node = Node(bytes);
        node.is_well_formed(master, listpack.len()).then_some(node)
    }

    /// Whether bytes are those of a node that has only deleted entries, as far as its head tells: Redis may keep such a one.
    pub fn is_empty_listpack(listpack: &[u8]) -> bool {
        number(listpack, LIVE_AT).is_some_and(|(live, _)| live == 0) && listpack.last() == Some(&END)
    }

    fn is_well_formed(&self, master: StreamId, len: usize) -> bool {
        let listpack = self.listpack();
        if len < HEADER_BYTES + 1 || listpack.len() != len {
            return false;
        }
        let (mut at, mut elements) = (HEADER_BYTES, 0_usize);
        while let Some((_, next)) = listpack::checked(listpack, at) {
            (at, elements) = (next, elements + 1);
        }
        let known = self.elements();
        let is_counted = known == elements || known == usize::from(u16::MAX);
        let is_whole = at + 1 == len && listpack[at] == END && is_counted;
        is_whole && self.entries_are_well_formed(master, at).is_some()
    }

    /// Flags, counts and the order of ids.
    fn entries_are_well_formed(&self, master: StreamId, end: usize) -> Option<()> {
        let head = self.head()?;
        let (zero, _) =
            listpack::read(self.listpack(), listpack::skip(self.listpack(), head.fields_at, head.fields)?)?;
        let (mut live, mut deleted, mut at, mut last) = (0, 0, head.entries_at, None);
        while at < end {
            let (entry, next) = self.entry_at(master, &head, at)?;
            if entry.flags & DELETED == 0 {
                live += 1;
                last = Some(entry.id).filter(|id| last.is_none_or(|last| last < *id));
                last?;
            } else {
                deleted += 1;
            }
            (entry.flags <= 3 && next <= end).then_some(())?;
            at = next;
        }
        let counts = zero.integer()? == 0 && (live, deleted) == (head.live, head.deleted);
        (counts && live > 0).then_some(())
    }
}

impl<'a> StreamEntry<'a> {
    /// The number of its fields.
    pub fn field_count(&self) -> usize {
        self.fields
    }

    /// Fields and values in turn.
    pub fn texts(&self) -> impl Iterator<Item = StreamText<'a>> + use<'a> {
        let bytes = self.node.listpack();
        let is_same = self.flags & SAME_FIELDS != 0;
        let (mut field_at, mut at) = (self.master_at, self.values_at);
        (0..self.fields * 2).map_while(move |number| {
            let place = if is_same && number % 2 == 0 { &mut field_at } else { &mut at };
            let (element, next) = listpack::read(bytes, *place)?;
            *place = next;
            Some(element)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(entries: &[(StreamId, &str)]) -> Node {
        let mut node: Option<Node> = None;
        for (id, line) in entries {
            let pairs: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let fields: Vec<&[u8]> = pairs.iter().copied().step_by(2).collect();
            node.get_or_insert_with(|| Node::new(fields.into_iter())).push(entries[0].0, *id, &pairs);
        }
        node.expect("an entry")
    }

    fn shown(node: &Node, master: StreamId) -> Vec<String> {
        let show = |entry: StreamEntry<'_>| {
            let texts: Vec<String> =
                entry.texts().map(|text| String::from_utf8_lossy(&text.to_vec()).into_owned()).collect();
            format!("{} {}", entry.id, texts.join(" "))
        };
        node.entries(master).map(show).collect()
    }

    const IDS: [StreamId; 3] = [StreamId::new(5, 1), StreamId::new(5, 2), StreamId::new(900, 0)];

    fn sample() -> Node {
        node(&[(IDS[0], "name Ada age 36"), (IDS[1], "name Bob age 200"), (IDS[2], "other 1")])
    }

    #[test]
    fn fields_that_the_first_entry_has_are_not_repeated() {
        let node = sample();
        assert_eq!(shown(&node, IDS[0]), ["5-1 name Ada age 36", "5-2 name Bob age 200", "900-0 other 1"]);
        let names = node.listpack().windows(4).filter(|four| *four == b"name").count();
        assert_eq!((names, node.weight()), (1, 3));
    }

    /// The bytes that redis-server 7.0 puts into a DUMP of `XADD s 5-1 a b` and `XADD s 5-2 a 7`.
    #[test]
    fn bytes_are_those_of_redis() {
        let node = node(&[(IDS[0], "a b"), (IDS[1], "a 7")]);
        let expected = [
            39, 0, 0, 0, 15, 0, 2, 1, 0, 1, 1, 1, 0x81, b'a', 2, 0, 1, 2, 1, 0, 1, 0, 1, 0x81, b'b', 2, 4, 1,
            2, 1, 0, 1, 1, 1, 7, 1, 4, 1, 0xFF,
        ];
        assert_eq!(node.listpack(), expected);
    }

    #[test]
    fn deleted_entries_stay_and_count() {
        let mut node = sample();
        let clone = node.clone();
        assert_eq!(node.delete(IDS[0], 9, |id| id == IDS[1]), 1);
        assert_eq!(node.delete(IDS[0], 9, |id| id == IDS[1]), 0);
        assert_eq!((node.weight(), node.all_entries()), (2, 3));
        assert!(node.find(IDS[0], IDS[1]).is_none() && node.find(IDS[0], IDS[2]).is_some());
        assert_eq!(node.last_id(IDS[0]), Some(IDS[2]));
        assert_eq!(shown(&clone, IDS[0]).len(), 3);
    }

    #[test]
    fn only_bytes_of_a_node_are_read_back() {
        let mut node = sample();
        node.delete(IDS[0], 1, |_| true);
        let bytes = node.listpack().to_vec();
        let back = Node::from_listpack(IDS[0], &bytes).expect("a node");
        assert_eq!((back.listpack(), shown(&back, IDS[0])), (node.listpack(), shown(&node, IDS[0])));
        for len in 0..bytes.len() {
            assert!(Node::from_listpack(IDS[0], &bytes[..len]).is_none(), "{len}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                if let Some(mut other) = Node::from_listpack(IDS[0], &flipped) {
                    assert!(other.weight() > 0 && !shown(&other, IDS[0]).is_empty());
                    other.push(IDS[0], StreamId::new(1000, 0), &[b"f", b"v"]);
                    other.delete(IDS[0], 2, |_| true);
                }
            }
        }
        node.delete(IDS[0], 9, |_| true);
        assert!(Node::from_listpack(IDS[0], node.listpack()).is_none());
    }

    #[test]
    fn a_node_is_full_by_entries_and_by_bytes() {
        let mut small = node(&[(IDS[0], "a b")]);
        (1..100).for_each(|seq| small.push(IDS[0], StreamId::new(6, seq), &[b"a", b"b"]));
        assert!(!small.has_room_for(2, NodeLimits::DEFAULT) && small.all_entries() == 100);
        let mut large = node(&[(IDS[0], "a b")]);
        assert!(large.has_room_for(4000, NodeLimits::DEFAULT));
        large.push(IDS[0], IDS[1], &[b"a", &[b'x'; 4000]]);
        assert!(large.has_room_for(10, NodeLimits::DEFAULT) && !large.has_room_for(60, NodeLimits::DEFAULT));
        assert!(Node::from_listpack(IDS[0], small.listpack()).is_some_and(|node| node.weight() == 100));
    }
}
