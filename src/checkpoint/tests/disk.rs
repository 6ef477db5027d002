//! What only a store on disk can show: how much it writes, what is left, damage.

use std::fs;

use super::{Changed, Model, config, many, one_of_each, open, string};
use crate::checkpoint::CheckpointStore;
use crate::checkpoint::error::{CheckpointError, Result};
use crate::checkpoint::load::{Loading, verify_deeply};
use crate::checkpoint::store::RocksStore;
use crate::checkpoint::testing::{Scratch, point};
use crate::env::Clock;
use crate::keyspace::changes::Generation;
use crate::keyspace::types::limits::TypeLimits;

#[test]
fn a_second_run_writes_what_changed() -> Result<()> {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    let mut model = Model::of(many(20_000));
    let first = model.write(&mut store, 1, &model.everything())?;
    assert!(first.bytes_written > 20_000 * 100 / 2, "{first:?}");

    let mut changed = Changed::default();
    let entries = model.entries.get_mut(&Generation(0)).expect("it was filled");
    for number in (0..20_000).step_by(100) {
        let key = format!("key {number:07}");
        entries.insert(key.clone().into_bytes(), string(&key, 99));
        changed.keys.entry(Generation(0)).or_default().insert(key.into_bytes());
    }
    let second = model.write(&mut store, 2, &changed)?;
    assert_eq!((second.keys_written, second.keys), (200, 20_000));
    assert!(second.bytes_written * 100 <= first.bytes_written * 3, "{first:?} {second:?}");
    model.assert_is_in(&store)?;

    let other = Scratch::new();
    let mut full = open(&other);
    model.write(&mut full, 2, &model.everything())?;
    let of = |store: &RocksStore| store.newest().map(|manifest| manifest.generations.clone());
    assert_eq!(of(&store), of(&full));
    Ok(())
}

/// What a failed run wrote was in the way of the next one, where the disk was full.
#[test]
fn a_reset_leaves_nothing_of_a_run_that_failed() -> Result<()> {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    let run = scratch.path().join("tmp-run");
    let model = Model::of(many(3));
    model.write(&mut store, 1, &model.everything())?;
    store.begin(point(2))?;
    assert!(run.exists(), "its files go there");
    store.reset()?;
    assert!(!run.exists());
    model.write(&mut store, 2, &model.everything())?;
    model.assert_is_in(&store)
}

#[test]
fn any_flipped_bit_in_any_file_is_found_and_its_file_named() -> Result<()> {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    let mut entries = many(2000);
    entries.extend(one_of_each());
    let model = Model::of(entries);
    model.write(&mut store, 5, &model.everything())?;
    let shelf = store.shelf().clone();
    let loading = Loading { threads: 2, limits: &TypeLimits::default() };
    let (_, loaded) = verify_deeply(&shelf, 5, &loading)?;
    assert_eq!((loaded.keys, loaded.digest), (2010, model.digest()));
    let mut files = 0;
    for file in fs::read_dir(shelf.path(5)).expect("it was published") {
        let path = file.expect("it can be listed").path();
        let bytes = fs::read(&path).expect("it can be read");
        files += 1;
        for place in [0, bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(1)] {
            let Some(byte) = bytes.get(place) else { continue };
            let mut damaged = bytes.clone();
            damaged[place] = byte ^ 0x10;
            fs::write(&path, &damaged).expect("it can be written");
            match shelf.verify(5, |_| {}) {
                Err(CheckpointError::Damaged { file, .. }) => assert_eq!(file, path, "byte {place}"),
                other => panic!("{} byte {place}: {other:?}", path.display()),
            }
        }
        fs::write(&path, &bytes).expect("it can be written");
    }
    assert!(files >= 5, "{files} files");
    verify_deeply(&shelf, 5, &loading)?;
    Ok(())
}

#[test]
fn nothing_is_left_of_what_was_replaced() -> Result<()> {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    let mut model = Model::of(vec![string("a", 200_000), string("b", 200_000), string("c", 200_000)]);
    model.write(&mut store, 1, &model.everything())?;
    assert_eq!(store.count_records()?, (3, 12));
    let entries = model.entries.get_mut(&Generation(0)).expect("it was filled");
    entries.insert(b"a".to_vec(), string("a", 70_000));
    entries.insert(b"b".to_vec(), string("b", 10));
    entries.remove(&b"c"[..]);
    let report = model.write(&mut store, 2, &{
        let mut changed = model.everything();
        changed.keys.entry(Generation(0)).or_default().insert(b"c".to_vec());
        changed
    })?;
    assert_eq!((report.keys_written, report.keys_deleted, report.keys), (2, 1, 2));
    assert_eq!(store.count_records()?, (2, 2));
    let dropped = Changed { dropped: vec![Generation(0)], ..Changed::default() };
    Model::new().write(&mut store, 3, &dropped)?;
    assert_eq!(store.count_records()?, (0, 0));
    Ok(())
}

#[test]
fn verifying_deeply_writes_nothing() -> Result<()> {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    let model = Model::of(one_of_each());
    model.write(&mut store, 5, &model.everything())?;
    let names = || -> Vec<String> {
        let listed = fs::read_dir(store.shelf().path(5)).expect("it was published");
        let mut names: Vec<_> = listed
            .map(|file| file.expect("it can be listed").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let before = names();
    verify_deeply(store.shelf(), 5, &Loading { threads: 1, limits: &TypeLimits::default() })?;
    assert_eq!(names(), before);
    store.shelf().verify(5, |_| {})?;
    Ok(())
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_it_used() -> Result<()> {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    let old = Model::of(many(10));
    old.write(&mut store, 1, &old.everything())?;
    let new = Model::of(many(20));
    new.write(&mut store, 2, &new.everything())?;
    let current = store.shelf().path(2).join("CURRENT");
    drop(store);
    fs::write(&current, "MANIFEST-999999\n").expect("it can be written");
    let (mut store, rejected) = RocksStore::open(scratch.path(), config(), Clock::system())?;
    assert_eq!(rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [2]);
    assert!(scratch.path().join("damaged-00000000000000000002/CURRENT").exists());
    old.assert_is_in(&store)?;
    new.write(&mut store, 2, &new.everything())?;
    assert_eq!(store.shelf().list()?, [1, 2]);
    new.assert_is_in(&store)?;
    Ok(())
}
