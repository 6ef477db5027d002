//! Clients that wait for many keys end some with each turn, so that others are answered in between.

use crate::propose::batch::Work;
use crate::shard::testing::Rig;

const WAITERS: u32 = 30;
const KEYS: usize = 15_000;

/// Clients that wait for the same keys, until a monotonic time.
fn with_waiters(deadline_ms: i64) -> Rig {
    let mut rig = Rig::new(1);
    let keys: String = (0..KEYS).map(|n| format!(" k{n}")).collect();
    let line = format!("BLPOP{keys} 0");
    (1..=WAITERS).for_each(|client| rig.send_until(client, &line, deadline_ms));
    rig.settle();
    assert_eq!(rig.waiting(), WAITERS as usize);
    rig
}

#[test]
fn hang_ups_of_many_waiters_are_spread_over_turns() {
    let mut rig = with_waiters(i64::MAX);
    (1..=WAITERS).for_each(|client| rig.send_work(client, Work::Forget));
    rig.turn().expect("a sound disk");
    assert!((1..WAITERS as usize).contains(&rig.waiting()), "{} wait", rig.waiting());
    rig.settle();
    assert_eq!(rig.waiting(), 0);
    assert_eq!(rig.run(1, "RPUSH k0 x"), "1");
}

#[test]
fn timeouts_of_many_waiters_are_spread_over_turns() {
    let mut rig = with_waiters(100);
    rig.advance_ms(200);
    let mut turns = 0;
    while rig.waiting() > 0 {
        rig.turn().expect("a sound disk");
        turns += 1;
        assert!(turns <= WAITERS, "{} wait", rig.waiting());
    }
    assert!(turns > 1);
    rig.settle();
    assert!((1..=WAITERS).all(|client| rig.answer(client) == "*-1\r\n"));
}

#[test]
fn long_answers_to_many_readers_are_spread_over_turns() {
    const READERS: u32 = 6;
    let mut rig = Rig::new(1);
    (1..=READERS).for_each(|client| rig.send_until(client, "XREAD BLOCK 0 STREAMS s $", i64::MAX));
    rig.settle();
    assert_eq!(rig.waiting(), READERS as usize);
    rig.send(9, &format!("XADD s 1-1 f {}", "x".repeat(7 << 20)));
    let mut turns = 0;
    while rig.waiting() == READERS as usize {
        rig.turn().expect("a sound disk");
        turns += 1;
        assert!(turns < 100, "nobody is served");
    }
    assert!(rig.waiting() > 0, "all are served at once");
    rig.settle();
    assert_eq!(rig.waiting(), 0);
    assert!((1..=READERS).all(|client| rig.answer(client).len() > 7 << 20));
}
