use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The entries, in the simplest form.
#[derive(Debug, Default)]
struct Model {
    base: Position,
    entries: BTreeMap<u64, (u64, Place)>,
}

impl Model {
    fn last(&self) -> Position {
        let last = self.entries.last_key_value();
        last.map_or(self.base, |(&index, &(term, _))| Position { index, term })
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append { count: u64, term_ahead: u64, bytes: u64 },
    NextSegment,
    Truncate { part: f64 },
    Compact { part: f64 },
    Reset { ahead: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40_u64, 0..2_u64, 28..9000_u64)
            .prop_map(|(count, term_ahead, bytes)| Step::Append { count, term_ahead, bytes }),
        2 => Just(Step::NextSegment),
        2 => (0.0..1.0).prop_map(|part| Step::Truncate { part }),
        2 => (0.0..1.0).prop_map(|part| Step::Compact { part }),
        1 => (0..50_u64).prop_map(|ahead| Step::Reset { ahead }),
    ]
}

fn record(kind: Kind, at: Position) -> RawRecord<'static> {
    RawRecord { kind, index: at.index, term: at.term, payload: &[] }
}

/// An index and its model, driven alike.
struct Pair {
    index: LogIndex,
    model: Model,
    place: Place,
}

impl Pair {
    fn new() -> Pair {
        let place = Place { sequence: 1, batch_offset: 4096, offset: 4128 };
        Pair { index: LogIndex::starting_at(1), model: Model::default(), place }
    }

    fn apply(&mut self, kind: Kind, at: Position) {
        self.index.apply(&record(kind, at), self.place).expect("valid");
    }

    fn take(&mut self, step: Step) {
        let (base, last) = (self.model.base, self.model.last());
        let some = |part: f64| ((last.index - base.index) as f64 * part) as u64;
        match step {
            Step::Append { count, term_ahead, bytes } => self.append(count, last.term + term_ahead, bytes),
            Step::NextSegment => {
                self.place = Place { sequence: self.place.sequence + 1, batch_offset: 4096, offset: 4128 };
            }
            Step::Truncate { part } => {
                let from = base.index + 1 + some(part);
                self.apply(Kind::Truncate, Position { index: from, term: 0 });
                self.model.entries.split_off(&from);
            }
            Step::Compact { part } => self.compact(base.index + some(part)),
            Step::Reset { ahead } => {
                let base = Position { index: last.index + ahead, term: last.term };
                self.apply(Kind::Reset, base);
                self.model = Model { base, entries: BTreeMap::new() };
            }
        }
    }

    fn append(&mut self, count: u64, term: u64, bytes: u64) {
        for _ in 0..count {
            let index = self.model.last().index + 1;
            self.apply(Kind::Entry, Position { index, term });
            self.model.entries.insert(index, (term, self.place));
            self.place.offset += bytes;
        }
    }

    fn compact(&mut self, index: u64) {
        let Some(&(term, _)) = self.model.entries.get(&index) else {
            return;
        };
        let base = Position { index, term };
        self.apply(Kind::Compact, base);
        self.model.entries = self.model.entries.split_off(&(index + 1));
        self.model.base = base;
    }

    fn check(&self) {
        let (index, model) = (&self.index, &self.model);
        assert_eq!(index.base(), model.base);
        assert_eq!(index.last(), model.last());
        assert_eq!(index.term(model.base.index), Some(model.base.term));
        assert_eq!(index.term(model.last().index + 1), None);
        for (&entry, &(term, place)) in &model.entries {
            assert_eq!(index.term(entry), Some(term));
            let (group, end) = index.group_of(entry).expect("every entry has a group");
            assert!(group.first_index <= entry && entry < end);
            assert_eq!(group.place.sequence, place.sequence);
            assert!(group.place.offset <= place.offset);
            assert!(place.offset - group.place.offset < GROUP_BYTES);
            assert!(entry - group.first_index < GROUP_ENTRIES);
            assert!(index.oldest_sequence() <= Some(place.sequence));
        }
    }
}

proptest! {
    #[test]
    fn bounds_terms_and_places_are_those_of_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.take(step);
            pair.check();
        }
    }
}

#[test]
fn a_million_small_entries_take_little_memory() {
    let mut pair = Pair::new();
    pair.append(100_000, 1, 128);
    assert_eq!(pair.index.groups.len(), 100_000 / 16);
    assert_eq!(pair.index.terms.len(), 1);
    assert!(size_of::<Group>() <= 32);
}

#[test]
fn what_contradicts_the_log_changes_nothing() {
    let mut pair = Pair::new();
    pair.append(3, 2, 100);
    let refused = [
        (Kind::Entry, 3, 2),
        (Kind::Entry, 5, 2),
        (Kind::Entry, 4, 1),
        (Kind::Truncate, 5, 0),
        (Kind::Truncate, 0, 0),
        (Kind::Compact, 4, 2),
        (Kind::Reset, u64::MAX, 2),
        (Kind::HardState, 0, 0),
    ];
    for (kind, index, term) in refused {
        let result = pair.index.apply(&record(kind, Position { index, term }), pair.place);
        assert!(result.is_err(), "{kind:?} {index}");
        pair.check();
    }
}
