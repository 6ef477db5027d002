use std::collections::{BTreeMap, BTreeSet};

use super::*;

struct Fixture<S = HashSeed> {
    arena: Arena,
    index: Index<S>,
    handles: BTreeMap<u32, Handle>,
}

/// Hashes all members to one of two neighbours.
struct Collide;

impl Hashing for Collide {
    fn hash(&self, member: &[u8]) -> u64 {
        member.last().map_or(0, |byte| u64::from(byte & 1))
    }
}

impl Fixture {
    fn with(count: u32) -> Fixture {
        Fixture::filled(Index::new(HashSeed::new(1, 0)), count)
    }
}

impl<S: Hashing> Fixture<S> {
    fn filled(index: Index<S>, count: u32) -> Fixture<S> {
        let mut fixture = Fixture { arena: Arena::default(), index, handles: BTreeMap::new() };
        (0..count).for_each(|id| fixture.insert(id));
        fixture
    }

    fn insert(&mut self, id: u32) {
        let handle = self.arena.add(&id.to_be_bytes(), 0.0);
        self.index.insert(&self.arena, self.index.hash(&id.to_be_bytes()), handle);
        self.handles.insert(id, handle);
    }

    fn remove(&mut self, id: u32) {
        let handle = self.handles.remove(&id).expect("inserted before");
        self.index.remove(self.index.hash(&id.to_be_bytes()), handle);
        self.arena.free(handle);
    }

    fn find(&self, id: u32) -> Option<Handle> {
        self.index.find(&self.arena, self.index.hash(&id.to_be_bytes()), &id.to_be_bytes())
    }

    fn scan(&self, cursor: u64, count: usize, seen: &mut Vec<u32>) -> u64 {
        self.index.scan(&self.arena, cursor, count, |handle| {
            let bytes = self.arena.member(handle).try_into().expect("four bytes");
            seen.push(u32::from_be_bytes(bytes));
        })
    }

    fn check(&self) {
        assert_eq!(self.index.directory.len(), 1 << self.index.depth);
        let deepest = self.index.buckets.iter().filter(|bucket| bucket.depth == self.index.depth).count();
        assert_eq!(self.index.deepest, deepest);
        for (row, id) in self.index.directory.iter().enumerate() {
            let bucket = self.index.bucket(*id as usize);
            assert_eq!(row >> (self.index.depth - bucket.depth), bucket.prefix as usize);
        }
        let entries: usize = self.index.buckets.iter().map(|bucket| bucket.handles().count()).sum();
        assert_eq!(entries, self.handles.len());
        let overflowing: usize = self.index.buckets.iter().map(|bucket| bucket.overflowing()).sum();
        assert_eq!(overflowing, self.index.overflowing);
    }
}

#[test]
fn a_bucket_fills_its_size_class() {
    assert_eq!(COUNTS_BYTES + size_of::<Bucket>(), 384);
}

#[test]
fn members_are_found_while_it_grows_and_shrinks() {
    let mut fixture = Fixture::with(20_000);
    fixture.check();
    assert!(fixture.index.overflowing == 0 && fixture.index.depth >= 8);
    for (id, handle) in &fixture.handles {
        assert_eq!(fixture.find(*id), Some(*handle));
    }
    assert_eq!(fixture.find(20_000), None);
    let full = fixture.index.heap_bytes();
    for id in 50..20_000 {
        fixture.remove(id);
    }
    fixture.check();
    assert_eq!((fixture.find(50), fixture.find(49)), (None, fixture.handles.get(&49).copied()));
    assert!(fixture.index.directory.len() <= 64 && fixture.index.heap_bytes() < full / 20);
}

#[test]
fn colliding_hashes_overflow_and_come_back() {
    let mut fixture = Fixture::filled(Index::with_hashing(Collide), 1000);
    fixture.check();
    assert!(fixture.index.overflowing > 900 && fixture.index.directory.len() <= 128);
    let moved = fixture.arena.add(&7u32.to_be_bytes(), 0.0);
    let old = fixture.handles.insert(7, moved).expect("inserted before");
    fixture.index.replace(1, old, moved);
    for (id, handle) in &fixture.handles {
        assert_eq!(fixture.find(*id), Some(*handle));
    }
    let mut seen = Vec::new();
    assert_eq!(fixture.scan(0, 1, &mut seen), 0);
    // By hash, which is the last bit, then by member.
    assert_eq!(seen, (0..1000).step_by(2).chain((1..1000).step_by(2)).collect::<Vec<_>>());
    (0..1000).for_each(|id| fixture.remove(id));
    fixture.check();
    assert!(fixture.index.overflowing == 0 && fixture.index.directory.len() <= 4);
}

#[test]
fn scans_return_what_stays_though_the_table_grows() {
    let mut fixture = Fixture::with(1000);
    let (mut cursor, mut seen, mut next) = (0, Vec::new(), 1000);
    loop {
        cursor = fixture.scan(cursor, 10, &mut seen);
        if cursor == 0 {
            break;
        }
        for _ in 0..50 {
            fixture.insert(next);
            next += 1;
        }
    }
    let seen: BTreeSet<u32> = seen.into_iter().collect();
    assert!((0..1000).all(|id| seen.contains(&id)));
}

#[test]
fn scans_return_what_stays_though_the_table_shrinks() {
    let mut fixture = Fixture::with(6000);
    let (mut cursor, mut seen, mut next) = (0, Vec::new(), 100);
    loop {
        cursor = fixture.scan(cursor, 7, &mut seen);
        if cursor == 0 {
            break;
        }
        for id in next..(next + 40).min(6000) {
            fixture.remove(id);
        }
        next = (next + 40).min(6000);
    }
    let seen: BTreeSet<u32> = seen.into_iter().collect();
    assert!((0..100).all(|id| seen.contains(&id)));
}

#[test]
fn a_scan_depends_on_the_members_alone() {
    let (mut grown, fresh) = (Fixture::with(5000), Fixture::with(300));
    for id in (300..5000).rev() {
        grown.remove(id);
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let (mut at_a, mut at_b) = (grown.scan(0, 13, &mut a), fresh.scan(0, 13, &mut b));
    while at_a != 0 {
        assert_eq!((at_a, a.len()), (at_b, b.len()));
        at_a = grown.scan(at_a, 13, &mut a);
        at_b = fresh.scan(at_b, 13, &mut b);
    }
    assert_eq!((a, at_b), (b, 0));
}

#[test]
fn cursors_fit_a_double() {
    let fixture = Fixture::with(500);
    let cursor = fixture.scan(0, 499, &mut Vec::new());
    assert!(cursor > 0 && cursor < 1 << 53);
    assert_eq!(fixture.scan(u64::MAX, 10, &mut Vec::new()), 0);
}

/// Hashes members to what agrees in all bits that choose a bucket, and in the tag.
struct NearlyCollide;

impl Hashing for NearlyCollide {
    fn hash(&self, member: &[u8]) -> u64 {
        member.iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte)) << 8
    }
}

#[test]
fn members_that_collide_in_all_that_a_bucket_looks_at_are_found_without_a_search() {
    const MEMBERS: u32 = 30_000;
    let began_ns = crate::env::thread_cpu_ns();
    let mut fixture = Fixture::filled(Index::with_hashing(NearlyCollide), MEMBERS);
    assert!(fixture.index.overflowing > MEMBERS as usize * 9 / 10);
    assert!((0..MEMBERS).all(|id| fixture.find(id).is_some()) && fixture.find(MEMBERS).is_none());
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = fixture.scan(cursor, 10, &mut seen);
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, (0..MEMBERS).collect::<Vec<_>>(), "in the order of their hashes");
    (0..MEMBERS).for_each(|id| fixture.remove(id));
    fixture.check();
    let took_ns = crate::env::thread_cpu_ns() - began_ns;
    assert!(took_ns < 5_000_000_000, "{took_ns} ns");
}
