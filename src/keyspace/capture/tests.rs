mod world;

use proptest::prelude::*;

use super::*;
use crate::keyspace::hash_seed::HashSeed;
use world::{DBS, World};

#[test]
fn a_capture_yields_what_changed_since_the_one_before_and_nothing_else() {
    let mut world = World::new();
    (0..30).for_each(|key| world.set(0, key, 5));
    assert_eq!(world.capture_all(), (30, 0));
    assert_eq!(world.capture_all(), (0, 0));
    world.set(0, 1, 9);
    world.push(0, 2);
    world.set_deadline(0, 3, Some(77));
    world.delete(0, 4);
    world.rename(0, 5, 100);
    // These come and go in one epoch, or were never there.
    world.set(0, 101, 1);
    world.delete(0, 101);
    world.delete(0, 102);
    assert_eq!(world.capture_all(), (4, 2));
    // A key that comes back is set, not deleted.
    world.delete(0, 1);
    world.set(0, 1, 3);
    assert_eq!(world.capture_all(), (1, 0));
    world.delete(0, 1);
    assert_eq!(world.capture_all(), (0, 1));
}

#[test]
fn what_changes_before_the_walk_comes_to_it_is_captured_as_it_was() {
    let mut world = World::new();
    (0..30).for_each(|key| world.set(0, key, 5));
    (0..5).for_each(|key| world.push(1, key));
    world.begin();
    (0..10).for_each(|key| world.set(0, key, 70));
    (10..15).for_each(|key| world.delete(0, key));
    (15..20).for_each(|key| world.push(0, key));
    (20..25).for_each(|key| world.set_deadline(0, key, Some(1)));
    (25..28).for_each(|key| world.rename(0, key, key + 100));
    (0..5).for_each(|key| world.push(1, key));
    assert_eq!(world.waiting().pre_images, 33);
    assert!(world.waiting().pre_image_bytes > 33 * 10);
    world.set(0, 0, 71);
    assert_eq!(world.waiting().pre_images, 33, "one for each key");
    assert_eq!(world.finish(), (35, 0));
    assert_eq!(world.waiting().pre_images, 0);
    assert_eq!(world.capture_all(), (23 + 5, 8));
}

#[test]
fn databases_that_are_flushed_and_swapped_during_a_capture_are_captured_as_they_were() {
    let mut world = World::new();
    (0..30).for_each(|key| world.set(key % 2, key, 5));
    world.begin();
    world.next_found();
    world.swap(0, 1);
    (0..9).for_each(|key| world.set(0, key, 7));
    world.flush(0);
    assert!(world.waiting().detached_keys > 0);
    (0..9).for_each(|key| world.set(0, key, 8));
    world.flush(0);
    world.swap(0, 2);
    world.flush(1);
    world.set(1, 3, 3);
    assert_eq!(world.finish(), (30, 0));
    assert_eq!(world.waiting(), Waiting::default());
    assert_eq!(world.capture_all(), (1, 0));
}

#[test]
fn a_capture_that_is_given_up_is_made_good_by_forgetting_what_is_stored() {
    let mut world = World::new();
    (0..30).for_each(|key| world.set(0, key, 5));
    world.begin();
    assert_eq!(world.mutator.begin_capture().map(drop), Err(CaptureError::Running));
    assert_eq!(world.keyspace().forget_stored(), Err(CaptureError::Running));
    world.next_found();
    world.set(0, 7, 1);
    world.delete(0, 8);
    world.give_up();
    assert_eq!(world.waiting().pre_images, 0);
    world.delete(0, 9);
    assert_eq!(world.mutator.begin_capture().map(drop), Err(CaptureError::GivenUp));
    world.forget_stored();
    assert_eq!(world.capture_all(), (28, 0));
    // What a finished capture took may get lost as well.
    world.forget_stored();
    world.delete(0, 7);
    assert_eq!(world.capture_all(), (27, 0));
}

#[test]
fn what_is_removed_while_it_is_being_forgotten_leaves_no_tombstone() {
    let mut world = World::new();
    (0..30).for_each(|key| world.set(0, key, 5));
    world.capture_all();
    world.delete(0, 1);
    assert_eq!(world.waiting().tombstones, 1);
    for range in &world.keyspace().ranges {
        drop(range.write().begin_forgetting());
    }
    assert_eq!(world.waiting().tombstones, 0);
    world.delete(0, 2);
    assert_eq!(world.waiting().tombstones, 0);
    world.forget_stored();
    assert_eq!(world.capture_all(), (28, 0));
}

#[test]
fn a_capture_during_which_the_seed_changes_yields_everything_once() {
    let mut world = World::new();
    let many = if cfg!(miri) { 200 } else { 6000 };
    world.pace = Pace { step_cost: 12_000, keys: 100, bytes: 4000 };
    (0..many).for_each(|key| world.set_in_one_slot(key));
    (0..30).for_each(|key| world.push(1, key));
    world.capture_all();
    (0..many).for_each(|key| world.set_in_one_slot(key));
    (0..20).for_each(|key| world.delete_in_one_slot(key));
    world.begin();
    for step in 1_u64.. {
        if step.is_multiple_of(7) {
            world.reseed(HashSeed::new(step, 1));
        }
        if step > 200 || !world.step() {
            break;
        }
    }
    assert_eq!(world.finish(), (many - 20, 20));
    assert_eq!(world.capture_all(), (0, 0));
    // What is restored is found by the seed of its checkpoint.
    world.restart();
    world.delete_in_one_slot(25);
    assert_eq!(world.capture_all(), (0, 1));
}

#[test]
fn what_is_restored_counts_as_stored_and_unchanged() {
    let mut world = World::new();
    (0..30).for_each(|key| world.set(key % 3, key, 5));
    world.flush(2);
    world.set(2, 2, 5);
    world.capture_all();
    world.set(0, 31, 5);
    world.restart();
    assert_eq!(world.capture_all(), (0, 0));
    world.delete(0, 0);
    world.set(1, 1, 2);
    world.flush(2);
    assert_eq!(world.capture_all(), (1, 1));
}

#[test]
fn a_slot_of_many_keys_is_captured_while_it_grows_and_shrinks() {
    let many = if cfg!(miri) { 200 } else { 9000 };
    let mut world = World::new();
    world.pace = Pace { step_cost: 12_000, keys: 100, bytes: 4000 };
    (0..many).for_each(|key| world.set_in_one_slot(key));
    for round in 0..4 {
        world.begin();
        let mut step = 0;
        while world.step() {
            step += 1;
            let key = step * 7919 % (2 * many);
            match round % 2 {
                0 => (key..key + 20).for_each(|key| world.set_in_one_slot(key)),
                _ => (key..key + 60).for_each(|key| world.delete_in_one_slot(key)),
            }
        }
    }
    world.finish();
    world.capture_all();
}

#[test]
fn a_thread_walks_while_another_writes() {
    let mut world = World::new();
    (0..3000).for_each(|key| world.set_in_one_slot(key));
    (0..300).for_each(|key| world.set(key % 2, key, 10));
    for round in 0..5 {
        let mut capture = world.begin_apart();
        let captured = std::thread::scope(|scope| {
            let walker = scope.spawn(move || {
                let found: Vec<SlotChanges> = capture.by_ref().collect();
                (capture, found)
            });
            (0..400).for_each(|n| world.write_something(n * 31 + round));
            walker.join().expect("the walker does not panic")
        });
        world.finish_apart(captured);
    }
    let keyspace = world.keyspace();
    std::thread::scope(|scope| {
        let forgetter = scope.spawn(move || keyspace.forget_stored());
        (0..400).for_each(|n| world.write_something(n * 37));
        forgetter.join().expect("it does not panic").expect("no capture runs");
    });
    world.has_forgotten();
    world.capture_all();
    world.capture_all();
}

/// One thing that happens to a keyspace and its checkpoints.
#[derive(Clone, Debug)]
enum Event {
    Set(usize, usize, usize),
    Delete(usize, usize),
    Rename(usize, usize, usize),
    Move(usize, usize, usize),
    Push(usize, usize),
    Replace(usize, usize),
    Deadline(usize, usize, Option<i64>),
    Flush(usize),
    Swap(usize, usize),
    Begin,
    Steps(usize),
    NextFound,
    GiveUp,
    ForgetStored,
    Restart,
}

const KEYS: usize = 24;

fn events() -> impl Strategy<Value = Vec<Event>> {
    use Event::*;
    let place = || (0..DBS, 0..KEYS);
    let event = prop_oneof![
        8 => (place(), 0..200usize).prop_map(|((db, key), len)| Set(db, key, len)),
        6 => place().prop_map(|(db, key)| Delete(db, key)),
        3 => (place(), 0..KEYS).prop_map(|((db, key), to)| Rename(db, key, to)),
        2 => (place(), 0..DBS).prop_map(|((db, key), to)| Move(db, key, to)),
        5 => place().prop_map(|(db, key)| Push(db, key)),
        2 => place().prop_map(|(db, key)| Replace(db, key)),
        2 => (place(), any::<Option<i64>>()).prop_map(|((db, key), deadline)| Deadline(db, key, deadline)),
        1 => (0..DBS).prop_map(Flush),
        1 => (0..DBS, 0..DBS).prop_map(|(a, b)| Swap(a, b)),
        4 => Just(Begin),
        4 => (0..800usize).prop_map(Steps),
        12 => Just(NextFound),
        1 => Just(GiveUp),
        1 => Just(ForgetStored),
        1 => Just(Restart),
    ];
    prop::collection::vec(event, 1..300)
}

fn while_more(count: usize, mut step: impl FnMut() -> bool) {
    (0..count).any(|_| !step());
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Set(db, key, len) => world.set(db, key, len),
        Event::Delete(db, key) => world.delete(db, key),
        Event::Rename(db, key, to) => world.rename(db, key, to),
        Event::Move(db, key, to) => world.move_to(db, key, to),
        Event::Push(db, key) => world.push(db, key),
        Event::Replace(db, key) => world.replace(db, key),
        Event::Deadline(db, key, deadline_ms) => world.set_deadline(db, key, deadline_ms),
        Event::Flush(db) => world.flush(db),
        Event::Swap(a, b) => world.swap(a, b),
        Event::Begin => world.begin_if_none_runs(),
        Event::Steps(count) => while_more(count, || world.step()),
        Event::NextFound => world.next_found(),
        Event::GiveUp => world.give_up(),
        Event::ForgetStored if !world.captures() => world.forget_stored(),
        Event::ForgetStored => {}
        Event::Restart => world.restart(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 100 }))]

    /// The store that takes all captures equals the keyspace as it was when the last of them began, whatever happens
    /// between the steps of the walk.
    #[test]
    fn captures_add_up_to_the_keyspace(
        step_cost in prop_oneof![Just(1usize), 1..400usize, Just(100_000)],
        keys in prop_oneof![Just(1usize), Just(3), Just(1000)],
        events in events(),
    ) {
        let mut world = World::new();
        world.pace = Pace { step_cost, keys, bytes: 1000 };
        for event in events {
            happen(&mut world, event);
        }
        world.finish();
        world.capture_all();
        prop_assert_eq!(world.capture_all(), (0, 0));
    }
}
