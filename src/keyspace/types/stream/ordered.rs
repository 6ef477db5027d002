//! A sorted map in pieces that clones share: the nodes of a stream, its groups, their consumers, what is pending.
//!
//! - Entries stand in leaves of at most [`LEAF`], leaves in segments of at most [`SEGMENT`]. No leaf and no segment is empty.
//! - A clone costs one count for each segment. A change copies its segment (counts) and its leaf first, unless no clone
//!   shares them; so keys and values must be cheap to clone.
//! - Appending fills leaves and segments; a full one in the middle splits. A leaf that became small joins the next one of its
//!   segment, a segment that became small the next one.
//! - A value has a weight and bytes on the heap; a segment knows the sum of its weights, so that whole ones can be passed or taken.

use std::borrow::Borrow;
use std::mem::size_of;
use std::sync::Arc;

use super::super::shared::COUNTS_BYTES;

const LEAF: usize = 64;
const SEGMENT: usize = 64;
/// What is this small joins its neighbour, if both together are no more than [`JOINED`].
const SMALL: usize = 16;
const JOINED: usize = 48;

/// What an entry's key or value counts beside itself.
pub trait Weigh: Clone {
    fn weight(&self) -> u64 {
        0
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

type Leaf<K, V> = Vec<(K, V)>;

#[derive(Debug)]
pub struct Ordered<K, V> {
    segments: Vec<Segment<K, V>>,
    sums: Sums,
}

#[derive(Debug)]
struct Segment<K, V> {
    leaves: Arc<Vec<Arc<Leaf<K, V>>>>,
    sums: Sums,
}

/// What entries are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    len: usize,
    weight: u64,
    leaves: usize,
    /// Entries that the leaves have room for.
    slots: usize,
    /// What keys and values have on the heap.
    content: usize,
}

impl Sums {
    fn of<K: Weigh, V: Weigh>(leaves: &[Arc<Leaf<K, V>>]) -> Sums {
        let mut sums = Sums { leaves: leaves.len(), ..Sums::default() };
        for leaf in leaves {
            (sums.len, sums.slots) = (sums.len + leaf.len(), sums.slots + leaf.capacity());
            for (key, value) in leaf.iter() {
                sums.weight += value.weight();
                sums.content += key.heap_bytes() + value.heap_bytes();
            }
        }
        sums
    }

    fn add(&mut self, other: Sums) {
        self.len += other.len;
        self.weight += other.weight;
        self.leaves += other.leaves;
        self.slots += other.slots;
        self.content += other.content;
    }

    fn subtract(&mut self, other: Sums) {
        self.len -= other.len;
        self.weight -= other.weight;
        self.leaves -= other.leaves;
        self.slots -= other.slots;
        self.content -= other.content;
    }
}

/// Where an entry is. That of the end has the number of segments as its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: usize,
    leaf: usize,
    at: usize,
}

impl<K, V> Clone for Ordered<K, V> {
    fn clone(&self) -> Self {
        Ordered { segments: self.segments.clone(), sums: self.sums }
    }
}

impl<K, V> Clone for Segment<K, V> {
    fn clone(&self) -> Self {
        Segment { leaves: self.leaves.clone(), sums: self.sums }
    }
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Ordered { segments: Vec::new(), sums: Sums::default() }
    }
}

impl<K: Weigh + Ord, V: Weigh> Segment<K, V> {
    fn last(&self) -> Option<&K> {
        self.leaves.last()?.last().map(|(key, _)| key)
    }
}

impl<K: Weigh + Ord, V: Weigh> Ordered<K, V> {
    pub fn len(&self) -> usize {
        self.sums.len
    }

    pub fn is_empty(&self) -> bool {
        self.sums.len == 0
    }

    /// The weights of all values.
    pub fn weight(&self) -> u64 {
        self.sums.weight
    }

    /// Changes the sums of a segment and of the map.
    fn count(&mut self, segment: usize, change: impl Fn(&mut Sums)) {
        change(&mut self.segments[segment].sums);
        change(&mut self.sums);
    }

    /// Bytes allocated on the heap, by the map and by what it holds.
    pub fn heap_bytes(&self) -> usize {
        let each_segment = COUNTS_BYTES + size_of::<Vec<Arc<Leaf<K, V>>>>();
        let each_leaf = size_of::<Arc<Leaf<K, V>>>() + COUNTS_BYTES + size_of::<Leaf<K, V>>();
        self.segments.capacity() * size_of::<Segment<K, V>>()
            + self.segments.len() * each_segment
            + self.sums.leaves * each_leaf
            + self.sums.slots * size_of::<(K, V)>()
            + self.sums.content
    }

    /// The first place whose key is not `before`, which holds for keys up to some place.
    fn place(&self, before: impl Fn(&K) -> bool) -> Place {
        let is_before = |key: Option<&K>| key.is_some_and(&before);
        let segment = self.segments.partition_point(|segment| is_before(segment.last()));
        let Some(found) = self.segments.get(segment) else { return Place { segment, leaf: 0, at: 0 } };
        let leaf = found.leaves.partition_point(|leaf| is_before(leaf.last().map(|(key, _)| key)));
        let at = found.leaves.get(leaf).map_or(0, |leaf| leaf.partition_point(|(key, _)| before(key)));
        Place { segment, leaf, at }
    }

    fn at(&self, place: Place) -> Option<&(K, V)> {
        self.segments.get(place.segment)?.leaves.get(place.leaf)?.get(place.at)
    }

    fn place_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Place>
    where
        K: Borrow<Q>,
    {
        let place = self.place(|other| other.borrow() < key);
        self.at(place).is_some_and(|(found, _)| found.borrow() == key).then_some(place)
    }

    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.at(self.place_of(key)?).map(|(_, value)| value)
    }

    pub fn get_entry<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.at(self.place_of(key)?).map(|(key, value)| (key, value))
    }

    pub fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    pub fn last(&self) -> Option<(&K, &V)> {
        let (key, value) = self.segments.last()?.leaves.last()?.last()?;
        Some((key, value))
    }

    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { map: self, next: Place { segment: 0, leaf: 0, at: 0 } }
    }

    /// Entries from the first on whose key is not `before`.
    pub fn iter_from(&self, before: impl Fn(&K) -> bool) -> Iter<'_, K, V> {
        Iter { map: self, next: self.place(before) }
    }

    /// Entries backwards, from the last one on whose key is `upto`; that holds for keys up to some place.
    pub fn iter_back(&self, upto: impl Fn(&K) -> bool) -> IterBack<'_, K, V> {
        IterBack { map: self, after: self.place(upto) }
    }

    /// Adds an entry, or gives an entry another value; returns what it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let place = self.place(|other| *other < key);
        if self.at(place).is_some_and(|(found, _)| *found == key) {
            return self.edit_at(place, |old| std::mem::replace(old, value));
        }
        let (weight, bytes) = (value.weight(), key.heap_bytes() + value.heap_bytes());
        let place = self.make_room(place);
        let leaf = &mut Arc::make_mut(&mut self.segments[place.segment].leaves)[place.leaf];
        let before = leaf.capacity();
        let entries = Arc::make_mut(leaf);
        entries.insert(place.at, (key, value));
        let slots = entries.capacity();
        self.count(place.segment, |sums| {
            (sums.len, sums.weight) = (sums.len + 1, sums.weight + weight);
            (sums.slots, sums.content) = (sums.slots + slots - before, sums.content + bytes);
        });
        None
    }

    /// A place in a leaf that has room, for an entry that is to stand before the one at `place`.
    fn make_room(&mut self, place: Place) -> Place {
        if place.segment == self.segments.len() {
            return self.place_behind_all();
        }
        let Place { segment, leaf, at } = place;
        if self.segments[segment].leaves[leaf].len() < LEAF {
            return place;
        }
        self.split_leaf(segment, leaf);
        let half = LEAF / 2;
        let place = if at > half { Place { leaf: leaf + 1, at: at - half, ..place } } else { place };
        self.split_segment(place)
    }

    fn place_behind_all(&mut self) -> Place {
        let is_full = self.segments.last().is_none_or(|segment| {
            segment.leaves.len() >= SEGMENT && segment.leaves.last().is_none_or(|leaf| leaf.len() >= LEAF)
        });
        if is_full {
            self.segments.push(Segment { leaves: Arc::default(), sums: Sums::default() });
        }
        let number = self.segments.len() - 1;
        let leaves = Arc::make_mut(&mut self.segments[number].leaves);
        let is_new = leaves.last().is_none_or(|leaf| leaf.len() >= LEAF);
        if is_new {
            leaves.push(Arc::default());
        }
        let leaf = leaves.len() - 1;
        let place = Place { segment: number, leaf, at: leaves[leaf].len() };
        self.count(number, |sums| sums.leaves += usize::from(is_new));
        place
    }

    fn split_leaf(&mut self, segment: usize, leaf: usize) {
        let leaves = Arc::make_mut(&mut self.segments[segment].leaves);
        let before = leaves[leaf].capacity();
        let entries = Arc::make_mut(&mut leaves[leaf]);
        let tail = entries.split_off(LEAF / 2);
        let slots = entries.capacity() + tail.capacity();
        leaves.insert(leaf + 1, Arc::new(tail));
        self.count(segment, |sums| {
            (sums.leaves, sums.slots) = (sums.leaves + 1, sums.slots + slots - before);
        });
    }

    /// Splits the segment of a place if it has too many leaves; returns where the place is then.
    fn split_segment(&mut self, place: Place) -> Place {
        let segment = &mut self.segments[place.segment];
        if segment.leaves.len() <= SEGMENT {
            return place;
        }
        let half = SEGMENT / 2;
        let tail = Arc::make_mut(&mut segment.leaves).split_off(half);
        let sums = Sums::of(&tail);
        segment.sums.subtract(sums);
        self.segments.insert(place.segment + 1, Segment { leaves: Arc::new(tail), sums });
        match place.leaf.checked_sub(half) {
            Some(leaf) => Place { segment: place.segment + 1, leaf, ..place },
            None => place,
        }
    }

    /// Changes the value of a key.
    pub fn edit<Q: Ord + ?Sized, T>(&mut self, key: &Q, change: impl FnOnce(&mut V) -> T) -> Option<T>
    where
        K: Borrow<Q>,
    {
        self.edit_at(self.place_of(key)?, change)
    }

    /// Changes the last value.
    pub fn edit_last<T>(&mut self, change: impl FnOnce(&mut V) -> T) -> Option<T> {
        let segment = self.segments.len().checked_sub(1)?;
        let leaf = self.segments[segment].leaves.len().checked_sub(1)?;
        let at = self.segments[segment].leaves[leaf].len().checked_sub(1)?;
        self.edit_at(Place { segment, leaf, at }, change)
    }

    fn edit_at<T>(&mut self, place: Place, change: impl FnOnce(&mut V) -> T) -> Option<T> {
        let segment = self.segments.get_mut(place.segment)?;
        let leaf = Arc::make_mut(&mut segment.leaves).get_mut(place.leaf)?;
        let before = leaf.capacity();
        let entries = Arc::make_mut(leaf);
        let slots = entries.capacity();
        let (_, value) = entries.get_mut(place.at)?;
        let (weight, bytes) = (value.weight(), value.heap_bytes());
        let result = change(value);
        let (new_weight, new_bytes) = (value.weight(), value.heap_bytes());
        self.count(place.segment, |sums| {
            sums.slots = sums.slots + slots - before;
            sums.weight = sums.weight + new_weight - weight;
            sums.content = sums.content + new_bytes - bytes;
        });
        Some(result)
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.place_of(key)?;
        let leaves = Arc::make_mut(&mut self.segments[place.segment].leaves);
        let before = leaves[place.leaf].capacity();
        let entries = Arc::make_mut(&mut leaves[place.leaf]);
        let (key, value) = entries.remove(place.at);
        if entries.len() * 4 <= entries.capacity() {
            entries.shrink_to(entries.len() * 2);
        }
        let slots = entries.capacity();
        let (weight, bytes) = (value.weight(), key.heap_bytes() + value.heap_bytes());
        self.count(place.segment, |sums| {
            (sums.len, sums.weight) = (sums.len - 1, sums.weight - weight);
            (sums.slots, sums.content) = (sums.slots + slots - before, sums.content - bytes);
        });
        self.tidy_leaf(place.segment, place.leaf);
        self.tidy_segment(place.segment);
        Some(value)
    }

    /// Drops a leaf that is empty, or joins a small one with the next.
    fn tidy_leaf(&mut self, number: usize, leaf: usize) {
        let leaves = &self.segments[number].leaves;
        let len = leaves[leaf].len();
        let joins = len < SMALL && leaves.get(leaf + 1).is_some_and(|next| len + next.len() <= JOINED);
        if len > 0 && !joins {
            return;
        }
        let leaves = Arc::make_mut(&mut self.segments[number].leaves);
        let (before, after);
        if len == 0 {
            (before, after) = (leaves[leaf].capacity(), 0);
            leaves.remove(leaf);
        } else {
            let next = leaves.remove(leaf + 1);
            before = leaves[leaf].capacity() + next.capacity();
            let entries = Arc::make_mut(&mut leaves[leaf]);
            entries.extend_from_slice(&next);
            after = entries.capacity();
        }
        self.count(number, |sums| {
            (sums.leaves, sums.slots) = (sums.leaves - 1, sums.slots + after - before);
        });
    }

    /// Drops a segment that is empty, or joins a small one with the next.
    fn tidy_segment(&mut self, number: usize) {
        let len = self.segments[number].leaves.len();
        if len == 0 {
            self.segments.remove(number);
        } else if len < SMALL
            && self.segments.get(number + 1).is_some_and(|next| len + next.leaves.len() <= JOINED)
        {
            let next = self.segments.remove(number + 1);
            let segment = &mut self.segments[number];
            Arc::make_mut(&mut segment.leaves).extend_from_slice(&next.leaves);
            segment.sums.add(next.sums);
        }
        if self.segments.capacity() > self.segments.len() * 4 {
            self.segments.shrink_to(self.segments.len() * 2);
        }
    }

    /// Takes whole segments off the front, as long as `takes` holds for the weight of each and its last entry; their entries
    /// are not walked.
    pub fn take_front(&mut self, mut takes: impl FnMut(u64, &K, &V) -> bool) -> Ordered<K, V> {
        let mut is_taken = |segment: &Segment<K, V>| {
            let last = segment.leaves.last().and_then(|leaf| leaf.last());
            last.is_some_and(|(key, value)| takes(segment.sums.weight, key, value))
        };
        let count = self.segments.iter().take_while(|segment| is_taken(segment)).count();
        let mut taken = Ordered { segments: self.segments.drain(..count).collect(), sums: Sums::default() };
        taken.segments.iter().for_each(|segment| taken.sums.add(segment.sums));
        self.sums.subtract(taken.sums);
        taken
    }
}

/// Entries in order.
pub struct Iter<'a, K, V> {
    map: &'a Ordered<K, V>,
    next: Place,
}

impl<'a, K: Weigh + Ord, V: Weigh> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let segment = self.map.segments.get(self.next.segment)?;
        let leaf = segment.leaves.get(self.next.leaf)?;
        let (key, value) = leaf.get(self.next.at)?;
        self.next.at += 1;
        if self.next.at == leaf.len() {
            (self.next.leaf, self.next.at) = (self.next.leaf + 1, 0);
        }
        if self.next.leaf == segment.leaves.len() {
            (self.next.segment, self.next.leaf) = (self.next.segment + 1, 0);
        }
        Some((key, value))
    }
}

/// Entries in reverse order.
pub struct IterBack<'a, K, V> {
    map: &'a Ordered<K, V>,
    /// The entry before this place comes next.
    after: Place,
}

impl<'a, K: Weigh + Ord, V: Weigh> Iterator for IterBack<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let Place { mut segment, mut leaf, mut at } = self.after;
        if at == 0 {
            if leaf == 0 {
                segment = segment.checked_sub(1)?;
                leaf = self.map.segments[segment].leaves.len();
            }
            leaf -= 1;
            at = self.map.segments[segment].leaves[leaf].len();
        }
        self.after = Place { segment, leaf, at: at - 1 };
        self.map.at(self.after).map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Number(u64);

    impl Weigh for Number {
        fn weight(&self) -> u64 {
            self.0 % 7
        }

        fn heap_bytes(&self) -> usize {
            self.0 as usize % 5
        }
    }

    impl Ordered<Number, Number> {
        fn check(&self, model: &BTreeMap<u64, u64>) {
            let entries: Vec<(u64, u64)> = self.iter().map(|(key, value)| (key.0, value.0)).collect();
            assert!(entries.iter().copied().eq(model.iter().map(|(key, value)| (*key, *value))));
            let backwards: Vec<u64> = self.iter_back(|_| true).map(|(key, _)| key.0).collect();
            assert!(backwards.into_iter().eq(model.keys().rev().copied()));
            let leaves = || self.segments.iter().flat_map(|segment| segment.leaves.iter());
            assert!(leaves().all(|leaf| (1..=LEAF).contains(&leaf.len())));
            let mut sums = Sums::default();
            for segment in &self.segments {
                assert!((1..=SEGMENT).contains(&segment.leaves.len()));
                assert_eq!(segment.sums, Sums::of(&segment.leaves));
                sums.add(segment.sums);
            }
            assert_eq!((self.sums, self.len()), (sums, model.len()));
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Append(u64),
        Insert(u64, u64),
        Edit(u64, u64),
        Remove(u64),
        RemoveRange(u64, u64),
        Clone,
    }

    fn op() -> impl Strategy<Value = Op> {
        let key = 0..20_000_u64;
        prop_oneof![
            4 => (1..400_u64).prop_map(Op::Append),
            3 => (key.clone(), any::<u64>()).prop_map(|(key, value)| Op::Insert(key, value >> 8)),
            1 => (key.clone(), any::<u64>()).prop_map(|(key, value)| Op::Edit(key, value >> 8)),
            1 => key.clone().prop_map(Op::Remove),
            1 => (key, 0..3000_u64).prop_map(|(key, count)| Op::RemoveRange(key, count)),
            1 => Just(Op::Clone),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn behaves_like_a_sorted_map_and_clones_keep_what_they_saw(ops in prop::collection::vec(op(), 0..60)) {
            let (mut map, mut model) = (Ordered::<Number, Number>::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for op in ops {
                match op {
                    Op::Append(count) => for _ in 0..count {
                        let key = model.keys().next_back().map_or(0, |last: &u64| last + 3);
                        map.insert(Number(key), Number(key));
                        model.insert(key, key);
                    },
                    Op::Insert(key, value) => {
                        let old = map.insert(Number(key), Number(value)).map(|old| old.0);
                        prop_assert_eq!(old, model.insert(key, value));
                    }
                    Op::Edit(key, value) => {
                        let old = map.edit(&Number(key), |old| std::mem::replace(&mut old.0, value));
                        prop_assert_eq!(old, model.get_mut(&key).map(|old| std::mem::replace(old, value)));
                    }
                    Op::Remove(key) => {
                        prop_assert_eq!(map.remove(&Number(key)).map(|value| value.0), model.remove(&key));
                    }
                    Op::RemoveRange(key, count) => for key in key..key + count {
                        prop_assert_eq!(map.remove(&Number(key)).is_some(), model.remove(&key).is_some());
                    },
                    Op::Clone => clones.push((map.clone(), model.clone())),
                }
                let middle = model.len() as u64;
                let from = map.iter_from(|key| key.0 < middle).next().map(|(key, _)| key.0);
                prop_assert_eq!(from, model.range(middle..).next().map(|(key, _)| *key));
                let upto = map.iter_back(|key| key.0 <= middle).next().map(|(key, _)| key.0);
                prop_assert_eq!(upto, model.range(..=middle).next_back().map(|(key, _)| *key));
            }
            clones.push((map, model));
            clones.iter().for_each(|(map, model)| map.check(model));
        }
    }

    #[test]
    fn whole_segments_are_taken_off_the_front() {
        let mut map = Ordered::<Number, Number>::default();
        for key in 0..20_000 {
            map.insert(Number(key), Number(1));
        }
        let (len, bytes) = (map.len(), map.heap_bytes());
        let taken = map.take_front(|_, key, _| key.0 < 10_000);
        assert_eq!((taken.len(), map.len()), (8192, len - 8192));
        assert_eq!(map.first().map(|(key, _)| key.0), Some(8192));
        assert!(map.heap_bytes() < bytes * 2 / 3 && map.heap_bytes() > bytes / 3);
        assert_eq!(map.take_front(|_, _, _| true).len(), len - 8192);
        assert!(map.is_empty() && map.sums == Sums::default());
    }
}
