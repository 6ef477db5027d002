use proptest::prelude::*;

use super::*;

fn limits() -> TypeLimits {
    TypeLimits {
        set_max_intset_entries: 10,
        set_max_listpack_entries: 8,
        set_max_listpack_value_bytes: 16,
        ..TypeLimits::default()
    }
}

fn members(set: &Set) -> Vec<Vec<u8>> {
    set.iter().map(|member| member.to_vec()).collect()
}

fn set_of<'a>(members: impl IntoIterator<Item = &'a str>) -> Set {
    let mut set = Set::new();
    for member in members {
        set.insert(member.as_bytes(), &limits());
    }
    set
}

#[test]
fn integers_are_sorted_and_found_in_one_spelling() {
    let set = set_of(["300", "-5", "70000"]);
    assert_eq!(set.encoding_name(), "intset");
    assert_eq!(members(&set), [&b"-5"[..], b"300", b"70000"]);
    assert!(set.contains(b"300") && !set.contains(b"0300") && !set.contains(b"x"));
}

#[test]
fn a_word_makes_a_small_intset_a_listpack_and_a_big_one_a_table() {
    assert_eq!(set_of(["2", "1", "x"]).encoding_name(), "listpack");
    assert_eq!(members(&set_of(["2", "1", "x"])), [b"1", b"2", b"x"]);
    let digits = ["1", "2", "3", "4", "5", "6", "7", "8"];
    assert_eq!(set_of(digits).encoding_name(), "intset");
    assert_eq!(set_of(digits.into_iter().chain(["x"])).encoding_name(), "hashtable");
    assert_eq!(set_of(["1", "a member of 17 b."]).encoding_name(), "hashtable");
}

#[test]
fn the_eleventh_integer_makes_a_table() {
    let digits: Vec<String> = (0..11).map(|digit| digit.to_string()).collect();
    let ten = set_of(digits[..10].iter().map(String::as_str));
    assert_eq!((ten.encoding_name(), ten.len()), ("intset", 10));
    let eleven = set_of(digits.iter().map(String::as_str));
    assert_eq!((eleven.encoding_name(), eleven.len()), ("hashtable", 11));
}

#[test]
fn members_are_taken_out_by_position() {
    let mut set = set_of(["a", "b", "c"]);
    assert_eq!(set.remove_at(1).as_deref(), Some(&b"b"[..]));
    assert_eq!(set.remove_at(2), None);
    assert_eq!(members(&set), [b"a", b"c"]);
    let mut ints = set_of(["3", "1", "2"]);
    assert_eq!(ints.remove_at(0).as_deref(), Some(&b"1"[..]));
    assert_eq!(ints.len(), 2);
}

#[test]
fn a_table_of_few_integers_is_restored_as_a_table() {
    let mut set = Set::with_encoding(Encoding::Hashtable, &limits());
    for member in [b"9", b"1", b"5"] {
        set.insert(member, &limits());
    }
    assert_eq!(
        (set.encoding_name(), members(&set)),
        ("hashtable", vec![b"9".into(), b"1".into(), b"5".into()])
    );
}

#[derive(Debug, Clone)]
enum Op {
    Insert(Vec<u8>),
    Remove(Vec<u8>),
    RemoveAt(usize),
}

/// Scripts of three kinds: only integers, also words, also long words.
fn script() -> impl Strategy<Value = Vec<Op>> {
    (0..3u8).prop_flat_map(|kind| {
        let member = move || {
            (0..kind + 1, 0..40i64).prop_map(|(kind, number)| match kind {
                0 => (number * 3000).to_string().into_bytes(),
                1 => format!("word{number}").into_bytes(),
                _ => vec![number as u8; 300],
            })
        };
        let op = prop_oneof![
            4 => member().prop_map(Op::Insert),
            2 => member().prop_map(Op::Remove),
            1 => any::<usize>().prop_map(Op::RemoveAt),
        ];
        prop::collection::vec(op, 0..120)
    })
}

fn remove_from(model: &mut Vec<Vec<u8>>, position: usize, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Hashtable => model.swap_remove(position),
        _ => model.remove(position),
    }
}

fn apply(set: &mut Set, model: &mut Vec<Vec<u8>>, op: Op) {
    let encoding = set.encoding();
    match op {
        Op::Insert(member) => {
            let new = !model.contains(&member);
            assert_eq!(set.insert(&member, &limits()), new);
            if new {
                model.push(member);
            }
            if set.encoding() == Encoding::Intset {
                model.sort_by_key(|member| String::from_utf8_lossy(member).parse::<i64>().ok());
            }
            // What an intset sorted before it became something else is sorted in the model, too: all but the last.
        }
        Op::Remove(member) => {
            let found = model.iter().position(|other| *other == member);
            assert_eq!(set.remove(&member), found.is_some());
            found.map(|position| remove_from(model, position, encoding));
        }
        Op::RemoveAt(at) if !model.is_empty() => {
            let position = at % model.len();
            assert_eq!(set.remove_at(position), Some(remove_from(model, position, encoding)));
        }
        Op::RemoveAt(at) => assert_eq!(set.remove_at(at), None),
    }
}

proptest! {
    #[test]
    fn behaves_like_a_list_of_members(ops in script()) {
        let (mut set, mut model) = (Set::new(), Vec::new());
        for op in ops {
            let before = set.encoding();
            apply(&mut set, &mut model, op);
            if (before, set.encoding()) == (Encoding::Intset, Encoding::Hashtable) {
                model = members(&set);
            }
            prop_assert_eq!(&members(&set), &model);
            prop_assert_eq!(set.len(), model.len());
            for (position, member) in model.iter().enumerate() {
                prop_assert!(set.contains(member));
                let found = set.get_at(position);
                prop_assert_eq!(found.as_deref(), Some(&member[..]));
            }
            let mut scanned = Vec::new();
            let mut cursor = 0;
            loop {
                cursor = set.scan(cursor, 7, |member| scanned.push(member.to_vec()));
                if cursor == 0 {
                    break;
                }
            }
            scanned.sort();
            let mut sorted = model.clone();
            sorted.sort();
            prop_assert_eq!(scanned, sorted);
        }
    }

    #[test]
    fn a_restored_set_has_the_same_order(ops in script()) {
        let (mut set, mut model) = (Set::new(), Vec::new());
        for op in ops {
            apply(&mut set, &mut model, op);
            model = members(&set);
        }
        let mut restored = Set::with_encoding(set.encoding(), &limits());
        for member in set.iter() {
            restored.insert(&member, &limits());
        }
        prop_assert_eq!(members(&restored), members(&set));
        prop_assert_eq!(restored.encoding(), set.encoding());
    }
}
