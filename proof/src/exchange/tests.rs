use super::*;

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

fn queued() -> Reply {
    Reply::Simple("QUEUED".into())
}

fn bulk(number: i64) -> Reply {
    Reply::Bulk(Some(number.to_string().into_bytes()))
}

fn error(text: &str) -> Reply {
    Reply::Error(text.into())
}

fn shown(round: &[Command]) -> Vec<String> {
    let words = |command: &Command| {
        command.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect::<Vec<_>>().join(" ")
    };
    round.iter().map(words).collect()
}

fn after(action: &Action, replies: &[Reply]) -> Outcome {
    let (mut exchange, _) = Exchange::begin(action);
    match exchange.replies(replies) {
        Progress::Done(outcome) => outcome,
        Progress::Send(round) => panic!("it wants more: {:?}", shown(&round)),
    }
}

#[test]
fn a_compare_and_set_watches_and_then_sets() {
    let action = Action::CompareAndSet { key: "r".into(), value: 5 };
    let (mut exchange, round) = Exchange::begin(&action);
    assert_eq!(shown(&round), ["WATCH r", "GET r"]);
    assert!(matches!(exchange.lost("timeout"), Outcome::DidNotHappen(_)));
    let Progress::Send(round) = exchange.replies(&[ok(), bulk(4)]) else { panic!("the set is to come") };
    assert_eq!(shown(&round), ["MULTI", "SET r 5", "EXEC"]);
    assert!(matches!(exchange.lost("timeout"), Outcome::InDoubt(_)));
    let mut rival = exchange.clone();
    let done = exchange.replies(&[ok(), queued(), Reply::Array(Some(vec![ok()]))]);
    assert_eq!(done, Progress::Done(Outcome::Ok(Value::Swapped { seen: Some(4) })));
    let beaten = rival.replies(&[ok(), queued(), Reply::Array(None)]);
    assert!(matches!(beaten, Progress::Done(Outcome::DidNotHappen(_))));
}

#[test]
fn errors_are_taken_at_their_word() {
    let set = Action::Set { key: "r".into(), value: 5 };
    let doubt = "INDOUBT leadership moved while the write was in flight; it may or may not have happened";
    assert!(matches!(after(&set, &[error(doubt)]), Outcome::InDoubt(_)));
    for text in
        ["TRYAGAIN this node is not the primary any more; the command did not happen", "READONLY no", "what"]
    {
        assert!(matches!(after(&set, &[error(text)]), Outcome::DidNotHappen(_)), "{text}");
    }
    let get = Action::Get { key: "r".into() };
    assert!(matches!(after(&get, &[error(doubt)]), Outcome::DidNotHappen(_)));
}

#[test]
fn a_transaction_answers_part_by_part() {
    let action = Action::Transaction {
        micros: vec![Micro::Append { key: "a".into(), value: 9 }, Micro::ReadList { key: "b".into() }],
    };
    let (_, round) = Exchange::begin(&action);
    assert_eq!(shown(&round), ["MULTI", "RPUSH a 9", "LRANGE b 0 -1", "EXEC"]);
    let list = Reply::Array(Some(vec![bulk(3), bulk(4)]));
    let exec = Reply::Array(Some(vec![Reply::Integer(1), list]));
    let value = Value::Transaction(vec![MicroValue::Length(1), MicroValue::List(vec![3, 4])]);
    assert_eq!(after(&action, &[ok(), queued(), queued(), exec]), Outcome::Ok(value));
    let aborted = [ok(), error("OOM"), queued(), error("EXECABORT")];
    assert!(matches!(after(&action, &aborted), Outcome::DidNotHappen(_)));
    let half = Reply::Array(Some(vec![Reply::Integer(1), error("WRONGTYPE")]));
    assert!(matches!(after(&action, &[ok(), queued(), queued(), half]), Outcome::InDoubt(_)));
}

#[test]
fn commands_that_lost_their_multi_may_have_happened() {
    let action = Action::Transaction { micros: vec![Micro::Append { key: "a".into(), value: 9 }] };
    let alone = [error("LOADING"), Reply::Integer(1), error("ERR EXEC without MULTI")];
    assert!(matches!(after(&action, &alone), Outcome::InDoubt(_)));
    let none = [error("LOADING"), error("LOADING"), error("ERR EXEC without MULTI")];
    assert!(matches!(after(&action, &none), Outcome::DidNotHappen(_)));
}

#[test]
fn a_transfer_moves_enters_and_counts() {
    let action = Action::Transfer { bank: "bank-0".into(), id: 77, from: 1, to: 2, amount: 10 };
    let (_, round) = Exchange::begin(&action);
    assert_eq!(
        shown(&round),
        [
            "MULTI",
            "DECRBY bank-0:account:1 10",
            "INCRBY bank-0:account:2 10",
            "RPUSH bank-0:ledger 77",
            "INCR bank-0:moves",
            "EXEC"
        ]
    );
    let exec = Reply::Array(Some([90, 110, 1, 1].map(Reply::Integer).to_vec()));
    let value = Value::Moved { from: 90, to: 110, entered: 1, moves: 1 };
    assert_eq!(after(&action, &[ok(), queued(), queued(), queued(), queued(), exec]), Outcome::Ok(value));
}

#[test]
fn accounts_are_read_with_the_count_of_moves() {
    let action = Action::ReadAccounts { bank: "bank-0".into(), accounts: 2 };
    let (_, round) = Exchange::begin(&action);
    assert_eq!(shown(&round), ["MGET bank-0:account:0 bank-0:account:1 bank-0:moves"]);
    let reply = Reply::Array(Some(vec![bulk(-5), Reply::Bulk(None), bulk(4)]));
    let value = Value::Accounts { balances: vec![Some(-5), None], moves: 4 };
    assert_eq!(after(&action, &[reply]), Outcome::Ok(value));
}

#[test]
fn what_a_command_cannot_answer_is_nonsense() {
    let get = Action::Get { key: "r".into() };
    for reply in [Reply::Integer(3), ok(), Reply::Bulk(Some(b"x1".to_vec()))] {
        assert!(matches!(after(&get, &[reply]), Outcome::Ok(Value::Nonsense(_))));
    }
}
