//! Hashes under time: any sequence of commands answers as a map of values and deadlines would.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::command::testing::TestDb;

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8),
    SetWithLifetime(u8, u8, i64),
    Delete(u8),
    Expire(u8, i64),
    Persist(u8),
    Add(u8),
    TakeOut(u8),
    Free,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let field = 0..6_u8;
    prop_oneof![
        (field.clone(), 0..9_u8).prop_map(|(field, value)| Step::Set(field, value)),
        (field.clone(), 0..9_u8, 0..9_i64)
            .prop_map(|(field, value, ms)| Step::SetWithLifetime(field, value, ms)),
        field.clone().prop_map(Step::Delete),
        (field.clone(), 0..9_i64).prop_map(|(field, ms)| Step::Expire(field, ms)),
        field.clone().prop_map(Step::Persist),
        field.clone().prop_map(Step::Add),
        field.prop_map(Step::TakeOut),
        Just(Step::Free),
        (1..6_i64).prop_map(Step::Wait),
    ]
}

/// Fields with their values and deadlines.
#[derive(Default)]
struct Model {
    fields: BTreeMap<u8, (i64, Option<i64>)>,
    now_ms: i64,
}

impl Model {
    fn answer(&mut self, step: &Step) -> String {
        let now_ms = self.now_ms;
        match *step {
            Step::Set(field, value) => {
                i64::from(self.fields.insert(field, (value.into(), None)).is_none()).to_string()
            }
            Step::SetWithLifetime(field, _, 0) => {
                self.fields.remove(&field);
                "1".to_owned()
            }
            Step::SetWithLifetime(field, value, ms) => {
                self.fields.insert(field, (value.into(), Some(now_ms + ms)));
                "1".to_owned()
            }
            Step::Delete(field) => i64::from(self.fields.remove(&field).is_some()).to_string(),
            Step::Expire(field, ms) => format!("[{}]", self.expire(field, ms)),
            Step::Persist(field) => {
                let answer = match self.fields.get_mut(&field) {
                    None => -2,
                    Some((_, deadline_ms)) => {
                        if deadline_ms.take().is_some() {
                            1
                        } else {
                            -1
                        }
                    }
                };
                format!("[{answer}]")
            }
            Step::Add(field) => {
                let (value, _) = self.fields.entry(field).or_default();
                *value += 1;
                value.to_string()
            }
            Step::TakeOut(field) => {
                let taken = self.fields.remove(&field);
                format!("[{}]", taken.map_or("nil".to_owned(), |(value, _)| value.to_string()))
            }
            Step::Free | Step::Wait(_) => String::new(),
        }
    }

    fn expire(&mut self, field: u8, ms: i64) -> i64 {
        match self.fields.get_mut(&field) {
            None => -2,
            Some(_) if ms == 0 => {
                self.fields.remove(&field);
                2
            }
            Some((_, deadline_ms)) => {
                *deadline_ms = Some(self.now_ms + ms);
                1
            }
        }
    }

    fn wait(&mut self, ms: i64) {
        self.now_ms += ms;
        let now_ms = self.now_ms;
        self.fields.retain(|_, (_, deadline_ms)| deadline_ms.is_none_or(|deadline_ms| deadline_ms > now_ms));
    }
}

fn line(step: &Step) -> String {
    match step {
        Step::Set(field, value) => format!("HSET h {field} {value}"),
        Step::SetWithLifetime(field, value, ms) => format!("HSETEX h PX {ms} FIELDS 1 {field} {value}"),
        Step::Delete(field) => format!("HDEL h {field}"),
        Step::Expire(field, ms) => format!("HPEXPIRE h {ms} FIELDS 1 {field}"),
        Step::Persist(field) => format!("HPERSIST h FIELDS 1 {field}"),
        Step::Add(field) => format!("HINCRBY h {field} 1"),
        Step::TakeOut(field) => format!("HGETDEL h FIELDS 1 {field}"),
        Step::Free => "_FREEEXPIRED h".to_owned(),
        Step::Wait(_) => "PING".to_owned(),
    }
}

fn check_reads(db: &mut TestDb, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(db.show("HLEN h"), model.fields.len().to_string());
    let shown = db.show("HGETALL h");
    let words: Vec<&str> = shown.trim_matches(['[', ']']).split_whitespace().collect();
    let found: BTreeMap<&str, &str> =
        words.as_chunks::<2>().0.iter().map(|[field, value]| (*field, *value)).collect();
    let expected: BTreeMap<String, String> =
        model.fields.iter().map(|(field, (value, _))| (field.to_string(), value.to_string())).collect();
    prop_assert!(found.iter().map(|(field, value)| (field.to_string(), value.to_string())).eq(expected));
    for (field, (_, deadline_ms)) in &model.fields {
        let shown = db.show(&format!("HPEXPIRETIME h FIELDS 1 {field}"));
        prop_assert_eq!(shown, format!("[{}]", deadline_ms.unwrap_or(-1)));
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_hash_is_a_map_of_values_and_deadlines(steps in prop::collection::vec(step(), 1..60)) {
        let (mut db, mut model) = (TestDb::new(), Model { now_ms: 1_000_000, ..Model::default() });
        for step in &steps {
            match step {
                Step::Wait(ms) => {
                    model.wait(*ms);
                    db.at(model.now_ms);
                }
                Step::Free => drop(db.show(&line(step))),
                _ => {
                    let expected = model.answer(step);
                    prop_assert_eq!(db.show(&line(step)), expected, "{:?}", step);
                }
            }
            check_reads(&mut db, &model)?;
        }
    }
}
