use proptest::prelude::*;

use super::*;

/// A register that starts with 0.
struct Register(Vec<Does>);

#[derive(Clone, Copy, Debug)]
enum Does {
    Write(u64),
    Read(u64),
}

impl Model for Register {
    fn initial(&self) -> State {
        0
    }

    fn step(&mut self, state: State, operation: usize) -> Option<State> {
        match self.0[operation] {
            Does::Write(value) => Some(value),
            Does::Read(value) => (value == state).then_some(state),
        }
    }

    fn is_passive(&self, operation: usize) -> bool {
        matches!(self.0[operation], Does::Read(_))
    }

    fn show(&self, state: State) -> String {
        state.to_string()
    }
}

fn happened(called: i64, returned: i64) -> Call {
    Call { called, must: Must::HappenBy(returned) }
}

fn decide(operations: &[(Call, Does)]) -> Verdict {
    let calls: Vec<Call> = operations.iter().map(|(call, _)| *call).collect();
    let mut model = Register(operations.iter().map(|(_, does)| *does).collect());
    search(&calls, &mut model, 100_000, &mut 0)
}

#[test]
fn concurrent_operations_find_their_order() {
    let operations = [
        (happened(0, 10), Does::Write(1)),
        (happened(2, 4), Does::Read(1)),
        (happened(5, 6), Does::Write(2)),
        (happened(7, 9), Does::Read(2)),
    ];
    assert_eq!(decide(&operations), Verdict::Order(vec![0, 1, 2, 3]));
}

#[test]
fn a_stale_read_has_no_place() {
    let operations =
        [(happened(0, 1), Does::Write(1)), (happened(2, 3), Does::Write(2)), (happened(4, 5), Does::Read(1))];
    let Verdict::NoOrder(stuck) = decide(&operations) else { panic!("the read is stale") };
    assert_eq!(stuck, Stuck { operation: 2, before: vec![0, 1], state: 2 });
}

#[test]
fn what_is_in_doubt_happens_late_or_never() {
    let doubt = Call { called: 0, must: Must::InDoubt { class: 1 } };
    let seen_late =
        [(doubt, Does::Write(1)), (happened(5, 6), Does::Read(0)), (happened(7, 8), Does::Read(1))];
    assert_eq!(decide(&seen_late), Verdict::Order(vec![1, 0, 2]));
    let never = [(doubt, Does::Write(1)), (happened(5, 6), Does::Read(0))];
    assert_eq!(decide(&never), Verdict::Order(vec![1]));
    let gone_again =
        [(doubt, Does::Write(1)), (happened(5, 6), Does::Read(1)), (happened(7, 8), Does::Read(0))];
    assert!(matches!(decide(&gone_again), Verdict::NoOrder(_)));
}

#[test]
fn a_search_that_gets_long_is_given_up() {
    let writes = (1..20).map(|value| (happened(0, 100), Does::Write(value)));
    let operations: Vec<_> = writes.chain([(happened(200, 201), Does::Read(77))]).collect();
    let calls: Vec<Call> = operations.iter().map(|(call, _)| *call).collect();
    let mut model = Register(operations.iter().map(|(_, does)| *does).collect());
    let mut steps = 0;
    assert_eq!(search(&calls, &mut model, 1_000, &mut steps), Verdict::GaveUp);
    assert_eq!(steps, 1_001);
}

/// Tries all orders of all subsets that leave out only what is in doubt.
fn by_brute_force(operations: &[(Call, Does)], in_order: &mut Vec<usize>, state: State) -> bool {
    let must = |(call, _): &(Call, Does)| matches!(call.must, Must::HappenBy(_));
    let rest: Vec<usize> = (0..operations.len()).filter(|place| !in_order.contains(place)).collect();
    if !rest.iter().any(|place| must(&operations[*place])) {
        return true;
    }
    let first_return = rest.iter().filter_map(|place| match operations[*place].0.must {
        Must::HappenBy(time) => Some(time),
        Must::InDoubt { .. } => None,
    });
    let first_return = first_return.min().expect("one must happen");
    rest.into_iter().any(|place| {
        let (call, does) = operations[place];
        let after = match does {
            Does::Write(value) => value,
            Does::Read(value) if value == state => state,
            Does::Read(_) => return false,
        };
        if call.called > first_return {
            return false;
        }
        in_order.push(place);
        let found = by_brute_force(operations, in_order, after);
        in_order.pop();
        found
    })
}

fn any_operation() -> impl Strategy<Value = (Call, Does)> {
    let does = prop_oneof![(1..4_u64).prop_map(Does::Write), (0..4_u64).prop_map(Does::Read)];
    (0..12_i64, 0..6_i64, 0..5, does).prop_map(|(called, length, doubt, does)| {
        // The effect is the class; a read in doubt has none.
        let must = match does {
            Does::Write(class) if doubt == 0 => Must::InDoubt { class },
            _ => Must::HappenBy(called + length),
        };
        (Call { called, must }, does)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_search_decides_as_brute_force_does(operations in prop::collection::vec(any_operation(), 0..7)) {
        let found = matches!(decide(&operations), Verdict::Order(_));
        prop_assert_eq!(found, by_brute_force(&operations, &mut Vec::new(), 0));
    }
}
