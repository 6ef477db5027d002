//! Keys leave where the data has reached its limit: by entries that name them, so that a replay removes the same ones.

use std::collections::BTreeSet;

use crate::command::random::Random;
use crate::config::eviction::EvictionPolicy;
use crate::shard::testing::Rig;

const MACHINE_BYTES: u64 = 10_000_000;
const LIMIT: u64 = 200_000;
/// Clients whose commands one turn takes.
const CLIENTS: u32 = 32;

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

fn rig(policy: EvictionPolicy) -> Rig {
    let mut rig = Rig::with_memory(1, MACHINE_BYTES);
    rig.evict_over(LIMIT, policy);
    rig
}

/// Writes keys from `first` on, some at a time, each of about 200 bytes; `options` are SET's.
fn fill(rig: &mut Rig, keys: std::ops::Range<usize>, options: &str) {
    let value = "v".repeat(180);
    for number in keys {
        let client = 1 + number as u32 % CLIENTS;
        rig.send(client, &format!("SET key:{number} {value} {options}"));
        if client == CLIENTS {
            rig.settle();
        }
    }
    rig.settle();
    (1..=CLIENTS)
        .for_each(|client| assert!(rig.answer(client).replace("+OK\r\n", "").is_empty(), "all are taken"));
}

#[test]
fn writes_at_the_limit_are_taken_and_the_data_stays_within_it() {
    let mut rig = rig(EvictionPolicy::AllKeysRandom);
    fill(&mut rig, 0..3000, "");
    let kept = rig.keys();
    assert!((900..=1060).contains(&kept), "{kept} keys of 195 bytes");
    assert_eq!(rig.evicted(), 3000 - kept as u64);
    assert_eq!(rig.run(1, "EXISTS key:2999"), "1", "the newest is there");
}

#[test]
fn a_replay_removes_the_keys_that_were_evicted() {
    for policy in [EvictionPolicy::AllKeysRandom, EvictionPolicy::VolatileTtl] {
        let mut rig = rig(policy);
        fill(&mut rig, 0..2500, "EX 1000");
        let (digest, keys) = (rig.digest(), rig.keys());
        assert!(rig.evicted() > 1000);
        // It has another limit, none, and evicts nothing of its own accord.
        let mut again = rig.restarted(2);
        again.settle();
        assert_eq!((again.digest(), again.keys()), (digest, keys));
    }
}

#[test]
fn volatile_policies_leave_keys_without_deadlines_and_end_in_oom() {
    for policy in [EvictionPolicy::VolatileRandom, EvictionPolicy::VolatileTtl] {
        let mut rig = rig(policy);
        fill(&mut rig, 0..500, "");
        fill(&mut rig, 500..2000, "EX 1000");
        assert_eq!(rig.run(1, "SCARD none"), "0");
        let permanent: Vec<String> = (0..500).map(|number| format!("key:{number}")).collect();
        assert_eq!(rig.run(1, &format!("EXISTS {}", permanent.join(" "))), "500");
        assert_eq!(rig.run(1, &format!("SETRANGE large {} x", LIMIT / 4)), (LIMIT / 4 + 1).to_string());
        let mut answer = String::new();
        for number in 0.. {
            answer = rig.run(1, &format!("SET permanent:{number} {}", "v".repeat(180)));
            if answer != "OK" {
                break;
            }
        }
        assert_eq!(answer, OOM, "no key with a deadline is left");
        assert_eq!(rig.run(1, &format!("SET key:0 {}", "v".repeat(180))), OOM);
        assert_eq!(rig.run(1, "DEL large"), "1");
        assert_eq!(rig.run(1, "SET key:0 x"), "OK");
    }
}

#[test]
fn the_nearest_deadlines_go_first() {
    let mut rig = rig(EvictionPolicy::VolatileTtl);
    let value = "v".repeat(180);
    for number in 0..900 {
        // The later a key is written, the sooner it dies.
        assert_eq!(rig.run(1, &format!("SET key:{number} {value} EX {}", 10_000 - number)), "OK");
    }
    for number in 0..300 {
        assert_eq!(rig.run(1, &format!("SET other:{number} {value}")), "OK");
    }
    let alive = |rig: &mut Rig, numbers: std::ops::Range<usize>| -> usize {
        let keys: Vec<String> = numbers.map(|number| format!("key:{number}")).collect();
        rig.run(1, &format!("EXISTS {}", keys.join(" "))).parse().expect("a number")
    };
    let (far, near) = (alive(&mut rig, 0..450), alive(&mut rig, 450..900));
    assert!(near < 300 && far > 420, "{near} of those that die sooner, {far} of those that die later");
}

#[test]
fn a_command_that_needs_much_waits_until_enough_is_evicted() {
    let mut rig = rig(EvictionPolicy::AllKeysRandom);
    fill(&mut rig, 0..2000, "");
    assert_eq!(rig.run(1, &format!("SETRANGE large {} x", LIMIT / 2)), (LIMIT / 2 + 1).to_string());
    assert!(rig.keys() < 600, "{} keys beside it", rig.keys());
    assert_eq!(rig.run(1, &format!("SETRANGE larger {} x", 2 * LIMIT)), OOM, "it can't fit, whatever leaves");
    assert!(rig.keys() > 300, "nothing was evicted for it");
    assert_eq!(rig.run(2, "SET a 1 ; RPUSH l 1 2 3 ; GET a"), "[OK 3 1]");
}

#[test]
fn a_lower_limit_is_reached_though_nothing_is_written() {
    let mut rig = rig(EvictionPolicy::AllKeysRandom);
    fill(&mut rig, 0..900, "");
    assert_eq!(rig.evicted(), 0);
    rig.evict_over(LIMIT / 4, EvictionPolicy::AllKeysRandom);
    rig.rest();
    assert!(rig.keys() < 260, "{} keys are left", rig.keys());
    rig.evict_over(LIMIT / 100, EvictionPolicy::NoEviction);
    let keys = rig.keys();
    rig.rest();
    assert_eq!(rig.keys(), keys);
    assert_eq!(rig.run(1, "SET a 1"), OOM);
}

#[test]
fn nothing_is_evicted_while_writes_are_paused() {
    let mut rig = rig(EvictionPolicy::AllKeysRandom);
    fill(&mut rig, 0..900, "");
    rig.pause_writes();
    rig.evict_over(LIMIT / 4, EvictionPolicy::AllKeysRandom);
    rig.rest();
    assert_eq!(rig.evicted(), 0);
}

/// A client that watches a key learns that it was evicted, and one that waits goes on waiting.
#[test]
fn watchers_are_told_and_waiters_wait_on() {
    let mut rig = rig(EvictionPolicy::AllKeysRandom);
    rig.send(49, "BLPOP list 0");
    fill(&mut rig, 0..900, "");
    rig.watch(51, "key:3");
    rig.settle();
    rig.answer(51);
    rig.evict_over(LIMIT / 100, EvictionPolicy::AllKeysRandom);
    rig.rest();
    assert!(rig.keys() < 20);
    let evicted = rig.run(53, "EXISTS key:3") == "0";
    assert_eq!(rig.run(51, "SET key:3 x ; GET key:3") == "nil", evicted);
    assert_eq!(rig.waiting(), 1);
    assert_eq!(rig.run(53, "RPUSH list x"), "1");
    assert!(rig.answer(49).contains("list"));
}

#[test]
fn a_transaction_that_watches_and_a_long_item_come_through_while_keys_are_evicted() {
    let mut rig = rig(EvictionPolicy::AllKeysRandom);
    rig.cut_items_over(2000);
    fill(&mut rig, 0..2000, "");
    rig.watch(61, "{t}watched");
    let long = format!("SET long {}", "x".repeat(20_000));
    rig.send(63, &long);
    for number in 0..200 {
        rig.send(1, &format!("SET more:{number} {}", "v".repeat(180)));
        if number == 100 {
            rig.send(61, "SET {t}watched x ; GET {t}watched");
        }
        rig.turn().expect("a sound disk");
    }
    rig.settle();
    assert_eq!(rig.answer(63), "+OK\r\n");
    assert!(rig.answer(61).contains("$1\r\nx"));
}

/// Reads keys as a worker does.
fn touch(rig: &mut Rig, keys: impl Iterator<Item = usize>) {
    for number in keys {
        let client = 1 + number as u32 % CLIENTS;
        rig.send(client, &format!("TOUCH key:{number}"));
    }
    rig.settle();
    (1..=CLIENTS).for_each(|client| drop(rig.answer(client)));
}

fn alive(rig: &mut Rig, numbers: std::ops::Range<usize>) -> usize {
    let keys: Vec<String> = numbers.map(|number| format!("key:{number}")).collect();
    rig.run(1, &format!("EXISTS {}", keys.join(" "))).parse().expect("a number")
}

#[test]
fn what_was_used_lately_stays_by_lru() {
    for policy in [EvictionPolicy::AllKeysLru, EvictionPolicy::VolatileLru] {
        let mut rig = rig(policy);
        fill(&mut rig, 0..900, "EX 10000");
        for _ in 0..10 {
            rig.advance_ms(10_000);
            touch(&mut rig, 0..300);
        }
        fill(&mut rig, 900..1400, "EX 10000");
        let (used, idle) = (alive(&mut rig, 0..300), alive(&mut rig, 300..900));
        assert!(used >= 295, "{used} of 300 that were used");
        assert!((50..250).contains(&idle), "{idle} of 600 that were not");
    }
}

#[test]
fn what_is_used_often_stays_by_lfu_though_a_scan_uses_everything_once() {
    let mut rig = rig(EvictionPolicy::AllKeysLfu);
    fill(&mut rig, 0..600, "");
    for _ in 0..200 {
        touch(&mut rig, 0..100);
    }
    rig.advance_ms(1000);
    fill(&mut rig, 600..2000, "");
    touch(&mut rig, 600..2000);
    fill(&mut rig, 2000..2600, "");
    let hot = alive(&mut rig, 0..100);
    assert!(hot >= 97, "{hot} of 100");
}

/// The mean rank of the victims of a pool of 16 that is fed by 5 samples, as Redis has it, among keys of ranks below `keys`.
fn mean_rank_by_samples(keys: usize, victims: usize, dice: &mut Random) -> f64 {
    let mut alive: Vec<usize> = (0..keys).collect();
    let (mut pool, mut sum) = (BTreeSet::new(), 0);
    for _ in 0..victims {
        pool.extend((0..5).map(|_| alive[dice.below(alive.len())]));
        while pool.len() > 16 {
            pool.pop_last();
        }
        let victim = pool.pop_first().expect("it was just fed");
        alive.retain(|rank| *rank != victim);
        sum += victim;
    }
    sum as f64 / victims as f64
}

/// Ten keys are used in each second; then some are evicted. Their mean rank in the order of use is no worse than what
/// Redis' way of sampling has, and not far from that of a true LRU.
#[test]
fn victims_are_nearly_those_of_a_true_lru() {
    const KEYS: usize = 900;
    let (mut ranks, mut victims) = (0.0, 0_usize);
    for seed in 0..3 {
        let mut rig = rig(EvictionPolicy::AllKeysLru);
        fill(&mut rig, 0..KEYS, "");
        // Each key's place in the order of use is another than its place in the order of writes.
        let place = |number: usize| (number * 617 + seed * 101) % KEYS;
        let mut by_use: Vec<usize> = (0..KEYS).collect();
        by_use.sort_by_key(|number| place(*number));
        for numbers in by_use.chunks(10) {
            rig.advance_ms(1000);
            touch(&mut rig, numbers.iter().copied());
        }
        rig.evict_over(LIMIT * 3 / 4, EvictionPolicy::AllKeysLru);
        rig.rest();
        let names: Vec<String> = (0..KEYS).map(|number| format!("key:{number}")).collect();
        let values = rig.run(1, &format!("MGET {}", names.join(" ")));
        let values = values.trim_matches(['[', ']']).split(' ');
        for (number, _) in values.enumerate().filter(|(_, value)| *value == "nil") {
            ranks += place(number) as f64;
            victims += 1;
        }
    }
    let each = victims / 3;
    assert!(each > 100, "{victims}");
    let mut dice = Random::from_seed(5);
    let by_samples = (0..20).map(|_| mean_rank_by_samples(KEYS, each, &mut dice)).sum::<f64>() / 20.0;
    let (mean, best) = (ranks / victims as f64, each as f64 / 2.0);
    assert!(
        mean < 1.15 * by_samples,
        "mean rank {mean:.0} of {KEYS}; samples have {by_samples:.0}, a true LRU {best:.0}"
    );
}

#[test]
fn what_was_used_is_in_neither_the_log_nor_the_digest() {
    let mut rig = rig(EvictionPolicy::AllKeysLru);
    fill(&mut rig, 0..50, "");
    let (digest, applied) = (rig.digest(), rig.applied());
    rig.advance_ms(5000);
    touch(&mut rig, 0..25);
    assert_eq!(
        (rig.run(1, "OBJECT IDLETIME key:3"), rig.run(1, "OBJECT IDLETIME key:30")),
        ("0".into(), "5".into())
    );
    assert_eq!((rig.digest(), rig.applied()), (digest, applied));
}
