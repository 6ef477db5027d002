use proptest::prelude::*;

use super::*;

fn limits() -> TypeLimits {
    TypeLimits { hash_max_listpack_entries: 8, hash_max_listpack_value_bytes: 16, ..TypeLimits::default() }
}

fn pairs(hash: &Hash) -> Vec<(Vec<u8>, Vec<u8>)> {
    hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect()
}

#[test]
fn a_hash_is_two_words() {
    assert_eq!(size_of::<Hash>(), 2 * size_of::<usize>());
}

#[test]
fn the_ninth_field_makes_a_table_and_removal_does_not_undo_it() {
    let limits = limits();
    let mut hash = Hash::new();
    for i in 0..8 {
        assert!(hash.set(format!("f{i}").as_bytes(), b"v", &limits));
    }
    assert!(!hash.set(b"f3", b"other", &limits));
    assert_eq!((hash.encoding_name(), hash.get(b"f3")), ("listpack", Some(&b"other"[..])));
    assert!(hash.set(b"f8", b"v", &limits));
    assert_eq!((hash.encoding_name(), hash.len()), ("hashtable", 9));
    assert!(hash.remove(b"f0") && !hash.remove(b"f0"));
    assert_eq!(hash.encoding(), Encoding::Hashtable);
    assert_eq!(hash.get_at(0), Some((&b"f8"[..], &b"v"[..])));
    assert_eq!(hash.get_at(8), None);
}

#[test]
fn one_long_value_makes_a_table() {
    let mut hash = Hash::new();
    hash.set(b"f", &[b'x'; 16], &limits());
    assert_eq!(hash.encoding(), Encoding::Listpack);
    hash.set(b"f", &[b'x'; 17], &limits());
    assert_eq!(hash.encoding(), Encoding::Hashtable);
    assert_eq!(hash.get(b"f"), Some(&[b'x'; 17][..]));
}

#[test]
fn deadlines_follow_their_fields() {
    let limits = limits();
    for mut hash in [Hash::new(), Hash::new_table(&limits)] {
        for field in [b"a", b"b", b"c", b"d"] {
            hash.set(field, b"1", &limits);
        }
        assert_eq!((hash.earliest_deadline(), hash.remove_expired(i64::MAX, 9)), (None, 0));
        assert!(!hash.set_expire_at(b"nobody", Some(5), &TypeLimits::default()));
        for (field, at_ms) in [(b"a", 30), (b"b", 10), (b"c", 20), (b"d", 20)] {
            assert!(hash.set_expire_at(field, Some(at_ms), &TypeLimits::default()));
        }
        assert_eq!((hash.expire_at(b"b"), hash.earliest_deadline()), (Some(10), Some(10)));
        assert_ne!(hash.encoding_name(), "listpack");

        hash.set_keeping_deadline(b"b", b"2", &limits);
        hash.set(b"c", b"2", &limits);
        assert!(hash.set_expire_at(b"d", None, &TypeLimits::default()));
        assert_eq!((hash.expire_at(b"c"), hash.expire_at(b"d")), (None, None));

        assert!(!hash.is_expired(b"b", 9) && hash.is_expired(b"b", 10));
        assert_eq!((hash.expired_len(9), hash.expired_len(30)), (0, 2));
        assert_eq!((hash.remove_expired(30, 1), hash.get(b"b")), (1, None));
        assert_eq!((hash.remove_expired(30, 9), hash.len()), (1, 2));
        assert_eq!((hash.earliest_deadline(), hash.expired_len(i64::MAX)), (None, 0));
    }
}

#[test]
fn a_removed_field_takes_its_deadline_along() {
    let mut hash = Hash::new();
    hash.set(b"f", b"1", &limits());
    hash.set_expire_at(b"f", Some(10), &TypeLimits::default());
    hash.remove(b"f");
    hash.set(b"f", b"2", &limits());
    assert_eq!(hash.expire_at(b"f"), None);
}

#[test]
fn a_packed_hash_with_deadlines_becomes_a_table_and_keeps_them() {
    let mut hash = Hash::new();
    hash.set(b"f", b"1", &limits());
    hash.set_expire_at(b"f", Some(10), &TypeLimits::default());
    hash.set(b"g", &[b'x'; 99], &limits());
    assert_eq!((hash.encoding(), hash.expire_at(b"f")), (Encoding::Hashtable, Some(10)));
}

#[derive(Debug, Clone)]
enum Op {
    Set(u8, usize),
    Remove(u8),
    Expire(u8, Option<i64>),
    RemoveExpired(i64),
}

fn op() -> impl Strategy<Value = Op> {
    let field = || 0..40u8;
    prop_oneof![
        6 => (field(), prop_oneof![8 => 0..17usize, 1 => 200..400usize]).prop_map(|(field, len)| Op::Set(field, len)),
        3 => field().prop_map(Op::Remove),
        1 => (field(), prop::option::of(0..100i64)).prop_map(|(field, at_ms)| Op::Expire(field, at_ms)),
        1 => (0..100i64).prop_map(Op::RemoveExpired),
    ]
}

/// Fields in dense order, each with its value and its deadline.
#[derive(Default)]
struct Model(Vec<(Vec<u8>, Vec<u8>, Option<i64>)>);

impl Model {
    fn position(&self, field: &[u8]) -> Option<usize> {
        self.0.iter().position(|(other, ..)| other == field)
    }

    fn set(&mut self, field: &[u8], value: Vec<u8>) -> bool {
        match self.position(field) {
            Some(position) => self.0[position] = (field.to_vec(), value, None),
            None => {
                self.0.push((field.to_vec(), value, None));
                return true;
            }
        }
        false
    }

    fn remove(&mut self, field: &[u8], encoding: Encoding) -> bool {
        match (self.position(field), encoding) {
            (None, _) => return false,
            (Some(position), Encoding::Hashtable) => drop(self.0.swap_remove(position)),
            (Some(position), _) => drop(self.0.remove(position)),
        }
        true
    }

    fn remove_expired(&mut self, now_ms: i64, encoding: Encoding) -> usize {
        let mut passed: Vec<_> = self
            .0
            .iter()
            .filter_map(|(field, _, at_ms)| Some(((*at_ms)?, field.clone())))
            .filter(|(at_ms, _)| *at_ms <= now_ms)
            .collect();
        passed.sort();
        for (_, field) in &passed {
            self.remove(field, encoding);
        }
        passed.len()
    }
}

fn apply(hash: &mut Hash, model: &mut Model, op: Op) {
    let name = |field: u8| format!("field{field}").into_bytes();
    match op {
        Op::Set(field, len) => {
            let value = vec![field; len];
            let new = hash.set(&name(field), &value, &limits());
            assert_eq!(new, model.set(&name(field), value));
        }
        Op::Remove(field) => {
            let encoding = hash.encoding();
            assert_eq!(hash.remove(&name(field)), model.remove(&name(field), encoding));
        }
        Op::Expire(field, at_ms) => {
            let found = model.position(&name(field));
            assert_eq!(hash.set_expire_at(&name(field), at_ms, &TypeLimits::default()), found.is_some());
            if let Some(position) = found {
                model.0[position].2 = at_ms;
            }
        }
        Op::RemoveExpired(now_ms) => {
            let removed = model.remove_expired(now_ms, hash.encoding());
            assert_eq!(hash.remove_expired(now_ms, usize::MAX), removed);
        }
    }
}

fn check(hash: &Hash, model: &Model) {
    let expected: Vec<_> = model.0.iter().map(|(field, value, _)| (field.clone(), value.clone())).collect();
    assert_eq!(pairs(hash), expected);
    assert_eq!(hash.len(), expected.len());
    for (position, (field, value, at_ms)) in model.0.iter().enumerate() {
        assert_eq!(hash.get_at(position), Some((&field[..], &value[..])));
        assert_eq!((hash.get(field), hash.expire_at(field)), (Some(&value[..]), *at_ms));
    }
    let earliest = model.0.iter().filter_map(|(_, _, at_ms)| *at_ms).min();
    assert_eq!(hash.earliest_deadline(), earliest);
    let mut scanned = 0;
    let mut cursor = 0;
    loop {
        cursor = hash.scan(cursor, 5, |_, _| scanned += 1);
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned, hash.len());
}

proptest! {
    #[test]
    fn behaves_like_a_list_of_fields(ops in prop::collection::vec(op(), 0..150)) {
        let (mut hash, mut model) = (Hash::new(), Model::default());
        for op in ops {
            apply(&mut hash, &mut model, op);
            check(&hash, &model);
        }
    }

    #[test]
    fn a_restored_hash_has_the_same_order(ops in prop::collection::vec(op(), 0..150)) {
        let (mut hash, mut model) = (Hash::new(), Model::default());
        for op in ops {
            apply(&mut hash, &mut model, op);
        }
        let mut restored = match hash.encoding() {
            Encoding::Hashtable => Hash::new_table(&limits()),
            _ => Hash::new(),
        };
        for (field, value) in hash.iter() {
            restored.set(field, value, &limits());
        }
        prop_assert_eq!(pairs(&restored), pairs(&hash));
        prop_assert_eq!(restored.encoding(), hash.encoding());
    }
}
