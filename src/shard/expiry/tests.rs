use super::*;
use crate::command::context::Stamp;
use crate::keyspace::Keyspace;
use crate::keyspace::types::limits::TypeLimits;
use crate::propose::entry;

/// Data that entries change, and a walk that looks for the dead in it.
struct World {
    applier: Applier,
    walk: ExpiryWalk,
}

impl World {
    fn new() -> World {
        let (_, mutator) = Keyspace::create();
        World { applier: Applier::new(mutator, TypeLimits::default()), walk: ExpiryWalk::default() }
    }

    fn apply(&mut self, now_ms: i64, lines: impl IntoIterator<Item = String>) {
        let mut payload = Vec::new();
        entry::write_header(&mut payload, Stamp { now_ms, seed: 1 });
        for line in lines {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            entry::write_single(&mut payload, 0, &args);
        }
        self.applier.apply_unattended(&payload).expect("it can be understood");
    }

    fn run(&mut self, now_ms: i64, line: &str) {
        self.apply(now_ms, [line.to_owned()]);
    }

    /// Takes one step and frees what it found; returns that and how many entries were looked at.
    fn step(&mut self, now_ms: i64) -> (Vec<String>, usize) {
        let Found { dead, looked_at, .. } = self.walk.step(&mut self.applier, now_ms);
        let keys: Vec<String> = dead
            .iter()
            .flat_map(|dead| &dead.keys)
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect();
        if !keys.is_empty() {
            self.run(now_ms, &format!("_freeexpired {}", keys.join(" ")));
        }
        (keys, looked_at)
    }
}

/// A page of cells may lie around each deadline.
const PAGE: usize = 64;

#[test]
fn a_step_looks_at_what_expires_and_not_at_the_keys_beside_it() {
    let mut world = World::new();
    world.apply(0, (0..30_000).map(|number| format!("SET {{x}}{number} v")));
    world.run(0, "SET {x}mortal v PX 50");
    world.run(0, "SET {x}later v PX 5000");
    assert_eq!(world.step(49), (vec![], 0), "nothing is due");
    let (dead, looked_at) = world.step(50);
    assert!(dead == ["{x}mortal"] && looked_at <= PAGE, "{dead:?}, {looked_at} looked at");
    let (dead, looked_at) = world.step(51);
    assert!(dead.is_empty() && looked_at <= PAGE, "its page once more: {looked_at}");
    assert_eq!(world.step(52), (vec![], 0));
    // What outlives its deadline, or goes before it, costs one look.
    world.run(60, "PERSIST {x}later");
    world.run(60, "SET {x}1 v PX 100");
    world.run(60, "SET {x}1 v");
    let (dead, looked_at) = world.step(10_000);
    assert!(dead.is_empty() && looked_at <= 2 * PAGE, "{looked_at} looked at");
    assert_eq!(world.step(10_001), (vec![], 0));
}

#[test]
fn dead_fields_are_found_in_one_hash_among_many_keys_and_in_one_field_among_many() {
    let mut world = World::new();
    world.apply(0, (0..10_000).map(|number| format!("SET {{x}}{number} v")));
    world.apply(0, (0..10_000).map(|number| format!("HSET {{x}}h f{number} v")));
    world.run(0, "HPEXPIRE {x}h 50 FIELDS 1 f7");
    world.run(0, "HSETEX {x}other PX 70 FIELDS 1 f v");
    world.run(0, "HSET {x}third f v g w");
    world.run(0, "HGETEX {x}third PX 70 FIELDS 1 f");
    world.run(0, "COPY {x}third copy");
    assert_eq!(world.step(49), (vec![], 0));
    let (dead, looked_at) = world.step(50);
    assert!(dead == ["{x}h"] && looked_at <= PAGE, "{dead:?}, {looked_at} looked at");
    let (dead, looked_at) = world.step(51);
    assert!(dead.is_empty() && looked_at <= PAGE, "{looked_at} looked at");
    let (mut dead, looked_at) = world.step(70);
    dead.sort();
    assert!(
        dead == ["copy", "{x}other", "{x}third"] && looked_at <= 3 * PAGE,
        "{dead:?}, {looked_at} looked at"
    );
    world.step(71);
    assert_eq!(world.step(72), (vec![], 0));
}

#[test]
fn whatever_becomes_of_databases_their_dead_are_found() {
    let mut world = World::new();
    world.run(0, "SET a v PX 50");
    world.run(0, "SWAPDB 0 3");
    world.run(0, "SET b v PX 60");
    world.run(0, "_hashseed 0123456789abcdef");
    world.run(0, "RENAME b c");
    let Found { dead, .. } = world.walk.step(&mut world.applier, 60);
    let keys = |db, key: &[u8]| Dead { db, keys: vec![key.to_vec()] };
    assert_eq!(dead, [keys(0, b"c"), keys(3, b"a")]);
    world.run(60, "FLUSHALL");
    assert_eq!(world.step(61), (vec![], 0));
}

#[test]
fn many_that_die_at_once_are_found_some_at_a_time() {
    let mut world = World::new();
    world.apply(0, (0..5000).map(|number| format!("SET {{x}}{number} v PX 50")));
    world.apply(0, (0..5000).map(|number| format!("SET {number} v PX 50")));
    let (mut found, mut steps) = (0, 0);
    while found < 10_000 {
        let Found { dead, more, looked_at } = world.walk.step(&mut world.applier, 50);
        let keys: Vec<&[u8]> = dead.iter().flat_map(|dead| &dead.keys).map(Vec::as_slice).collect();
        assert!(
            more && (1..=1024 + PAGE).contains(&keys.len()) && looked_at <= STEP_BUDGET + PAGE,
            "{looked_at}"
        );
        let mut payload = Vec::new();
        entry::write_header(&mut payload, Stamp { now_ms: 50, seed: 1 });
        entry::write_single(&mut payload, 0, &[&[&b"_freeexpired"[..]], &keys[..]].concat());
        found += keys.len();
        world.applier.apply_unattended(&payload).expect("it can be understood");
        steps += 1;
    }
    assert!(steps < 20 && world.applier.keyspace().usage(0).keys == 0, "{steps} steps");
}

/// Names may be hundreds of megabytes long.
#[test]
fn a_step_holds_few_bytes_of_names_and_one_command_no_long_name_beside_others() {
    let mut world = World::new();
    let long = "n".repeat(NAMES_BYTES - 10);
    world.apply(0, (0..4).map(|number| format!("SET {{x}}{number}{long} v PX 50")));
    world.apply(0, (0..100).map(|number| format!("SET {{x}}{number} v PX 50")));
    let mut freed = 0;
    for _ in 0..20 {
        let Found { dead, .. } = world.walk.step(&mut world.applier, 50);
        let bytes = |dead: &Dead| dead.keys.iter().map(Vec::len).sum::<usize>();
        assert!(dead.iter().map(bytes).sum::<usize>() <= 2 * NAMES_BYTES);
        for command in &dead {
            assert!(bytes(command) <= NAMES_BYTES || command.keys.len() == 1);
            let keys: Vec<String> =
                command.keys.iter().map(|key| String::from_utf8_lossy(key).into()).collect();
            world.run(50, &format!("_freeexpired {}", keys.join(" ")));
            freed += keys.len();
        }
    }
    assert!(freed == 104 && world.applier.keyspace().usage(0).keys == 0, "{freed} freed");
}
