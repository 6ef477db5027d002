//! Stories of what is removed, and of checkpoints that are stored meanwhile: none is left without its pieces.

use super::*;

#[test]
fn pruning_keeps_what_can_be_restored_from_the_oldest_kept() {
    let mut world = World::new();
    let mut indexes = Vec::new();
    for _ in 0..4 {
        world.run(30);
        indexes.push(world.checkpoint());
        back_up(&mut world);
    }
    world.run(5);
    back_up(&mut world);
    let (repository, clock) = (world.repository(), Clock::system());
    let now_ms = clock.unix_ms();
    let day_ms = 86_400_000;
    for (keep, now_ms, gone) in [
        (Keep::newest(10), now_ms, 0),
        (Keep::newest(3), now_ms, 1),
        (Keep::newest(0), now_ms, 3),
        (Keep::days(1), World::stamp_of(indexes[1]) + day_ms, 1),
        (Keep::days(1), World::stamp_of(indexes[1]) + day_ms - 1, 0),
        (Keep::days(1), World::stamp_of(indexes[3]) + 9 * day_ms, 3),
    ] {
        let doomed = prune::plan(&repository, keep, now_ms).expect("it can be read");
        assert_eq!(doomed.checkpoints, indexes[..gone], "{keep:?}");
    }
    let doomed = prune::plan(&repository, Keep::newest(2), now_ms).expect("it can be read");
    assert!(!doomed.pieces.is_empty() && !doomed.logs.is_empty(), "{doomed:?}");
    prune::remove(&repository, &doomed, &clock, |_| Ok(())).expect("nothing fails");
    assert_good(&repository);
    world.assert_restores(&repository, Target::Newest, world.last());
    world.assert_restores(&repository, Target::Index(indexes[2] + 3), indexes[2] + 3);
    assert!(world.restore(&repository, Target::Index(indexes[1])).is_err());
    assert_eq!(
        prune::plan(&repository, Keep::newest(2), now_ms).expect("it can be read"),
        prune::Doomed::default()
    );
    back_up(&mut world);
    assert_good(&repository);
}

#[test]
fn a_checkpoint_that_is_stored_while_its_pieces_are_pruned_has_them_in_the_end() {
    let mut world = World::new();
    world.run(30);
    world.checkpoint();
    back_up(&mut world);
    let (repository, clock) = (world.repository(), Clock::system());
    // The pieces of this one are known to be there, and go before its description comes.
    world.run(2);
    let index = world.checkpoint();
    let lent = world.newest_checkpoint().expect("it can be read").expect("it was just made");
    let mut is_pruned = false;
    let mut between = |_| {
        if !std::mem::replace(&mut is_pruned, true) {
            for piece in repository.pieces()?.into_keys() {
                repository.remove(&piece.path())?;
            }
        }
        Ok(())
    };
    let mut storing =
        Storing { repository: &repository, clock: &clock, bytes_per_second: 0, between: &mut between };
    storing.store(&lent).expect("nothing fails");
    assert_eq!(missing_pieces(&repository, index), Some(0));
}

#[test]
fn a_checkpoint_of_a_newer_version_is_neither_pruned_nor_replaced_by_an_older_program() {
    let mut world = World::new();
    world.run(30);
    let index = world.checkpoint();
    back_up(&mut world);
    let (repository, clock) = (world.repository(), Clock::system());
    let (head, body) = ("perdura checkpoint 99", "{}\n");
    let sum = xxhash_rust::xxh3::xxh3_64(format!("{head}{body}").as_bytes());
    let manifest = format!("{head} {sum:016x}\n{body}");
    let content = serde_json::json!({ "manifest": manifest, "files": [] }).to_string();
    let path = names::checkpoint_path(index);
    repository.write(&path, Kind::Checkpoint, content.as_bytes()).expect("it can be written");
    let is_newer = |error: BackupError| {
        matches!(error, BackupError::Damaged { damage: Damage::Version { found: 99, .. }, .. })
    };
    let far_ms = clock.unix_ms() + 9 * 86_400_000;
    assert!(prune::plan(&repository, Keep::newest(1), far_ms).is_err_and(is_newer));
    let unusable = repository.inventory().expect("one checkpoint less").unusable;
    assert!(matches!(unusable[0].why, Damage::Version { found: 99, .. }), "{unusable:?}");
    let lent = world.newest_checkpoint().expect("it can be read").expect("it was just made");
    let mut between = |_| Ok(());
    let mut storing =
        Storing { repository: &repository, clock: &clock, bytes_per_second: 0, between: &mut between };
    assert!(storing.store(&lent).is_err_and(is_newer));
    assert!(repository.checkpoint(index).is_err_and(is_newer), "it is as it was");
    // A piece is doomed only after all descriptions were read once more.
    let pieces = repository.pieces().expect("it can be read").into_keys().collect();
    let doomed = prune::Doomed { pieces, ..prune::Doomed::default() };
    let count = doomed.pieces.len();
    assert!(prune::remove(&repository, &doomed, &clock, |_| Ok(())).is_err_and(is_newer));
    assert_eq!(repository.pieces().expect("it can be read").len(), count);
}

/// Pieces that a checkpoint lacks; `None` where it is not described.
fn missing_pieces(repository: &Repository, index: u64) -> Option<usize> {
    let there = repository.pieces().expect("it can be read").into_keys().collect();
    repository.checkpoint(index).expect("it can be read").map(|stored| stored.missing(&there))
}

/// A checkpoint of the same index as another, with other files, as another node's is.
fn of_another_node(lent: &Lent, folder: &Path) -> Lent {
    let mut manifest = lent.manifest.clone();
    fs::create_dir(folder).expect("it can be made");
    for sum in &mut manifest.files {
        let mut bytes = fs::read(lent.folder.join(&sum.name)).expect("it can be read");
        bytes.push(b'!');
        (sum.bytes, sum.xxh3) = (bytes.len() as u64, xxhash_rust::xxh3::xxh3_64(&bytes));
        fs::write(folder.join(&sum.name), &bytes).expect("it can be written");
    }
    Lent { folder: folder.to_owned(), manifest, is_temporary: false }
}

/// Two nodes stored the same checkpoint: the second took the first one's description away, and a prune its pieces.
#[test]
fn two_attempts_to_store_one_checkpoint_each_keep_their_pieces() {
    let mut world = World::new();
    world.run(30);
    let index = world.checkpoint();
    let (repository, clock) = (world.repository(), Clock::system());
    let lent = world.newest_checkpoint().expect("it can be read").expect("it was just made");
    let other = of_another_node(&lent, &world.folder.path().join("other"));
    let all = || -> Result<Vec<PieceName>> { Ok(repository.pieces()?.into_keys().collect()) };
    // A prune is under way, so the first attempt waits once it has described its checkpoint, and then stores its pieces again.
    let mark = names::doomed_path(1);
    repository.store().put(&mark, Vec::new()).expect("nothing fails");
    let (mut has_waited, mut stored_again) = (false, 0);
    // Each file is one piece here, and an empty one is none.
    let pieces = lent.manifest.files.iter().filter(|file| file.bytes > 0).count();
    let mut between = |bytes| {
        if bytes == 0 && !has_waited {
            all()?.iter().try_for_each(|piece| repository.remove(&piece.path()))?;
            has_waited = true;
            return repository.remove(&mark);
        }
        stored_again += usize::from(has_waited && bytes > 0);
        if stored_again < pieces {
            return Ok(());
        }
        let between = &mut |_| Ok(());
        Storing { repository: &repository, clock: &clock, bytes_per_second: 0, between }.store(&other)?;
        let doomed = prune::Doomed { pieces: all()?, ..prune::Doomed::default() };
        prune::remove(&repository, &doomed, &clock, |_| Ok(()))
    };
    Storing { repository: &repository, clock: &clock, bytes_per_second: 0, between: &mut between }
        .store(&lent)
        .expect("nothing fails");
    assert_eq!(stored_again, pieces);
    assert_eq!(missing_pieces(&repository, index), Some(0));
    assert!(repository.attempts().expect("it can be read").is_empty(), "both have ended");
    assert_good(&repository);
}

/// Stores the newest checkpoint, while every piece that was there goes.
fn store_while_pieces_go(world: &mut World, repository: &Repository) -> Result<()> {
    let lent = world.newest_checkpoint()?.expect("there is one");
    let mut left: Vec<PathBuf> = files(&world.folder.path().join("repository/files"));
    let mut between = |_| {
        // Not by the repository: the power that goes is the node's.
        left.drain(..).for_each(|path| fs::remove_file(path).expect("it is there"));
        Ok(())
    };
    let clock = Clock::system();
    let mut storing = Storing { repository, clock: &clock, bytes_per_second: 0, between: &mut between };
    storing.store(&lent).map(drop)
}

#[test]
fn a_crash_while_a_checkpoint_is_stored_and_pieces_are_pruned_leaves_no_checkpoint_without_pieces() {
    let mut changes = 0;
    loop {
        let mut world = World::new();
        world.run(30);
        world.checkpoint();
        back_up(&mut world);
        world.run(2);
        let index = world.checkpoint();
        let repository = world.repository();
        repository.store().changes_left.set(changes);
        let stored = store_while_pieces_go(&mut world, &repository);
        drop(repository);
        let repository = world.repository();
        let missing = missing_pieces(&repository, index);
        assert!(missing.is_none_or(|missing| missing == 0), "after {changes} changes: {missing:?}");
        back_up(&mut world);
        assert_eq!(missing_pieces(&repository, index), Some(0), "after {changes} changes");
        world.assert_restores(&repository, Target::Newest, world.last());
        if stored.is_ok() {
            break;
        }
        changes += 1;
    }
    assert!(changes >= 4, "only {changes} changes");
}

#[test]
fn a_checkpoint_that_lacks_pieces_is_stored_again_and_counts_as_none_that_is_kept() {
    let mut world = World::new();
    let mut indexes = Vec::new();
    for _ in 0..3 {
        world.run(30);
        indexes.push(world.checkpoint());
        back_up(&mut world);
    }
    let (repository, clock) = (world.repository(), Clock::system());
    let stored = repository.checkpoint(indexes[2]).expect("it can be read").expect("it is there");
    let older = repository.checkpoint(indexes[1]).expect("it can be read").expect("it is there");
    let own: Vec<_> = stored.pieces().difference(&older.pieces()).copied().collect();
    own.iter().for_each(|piece| repository.remove(&piece.path()).expect("it is there"));
    assert!(!verify(&repository, |_, _| {}).expect("it can be read").is_good());
    let doomed = prune::plan(&repository, Keep::newest(1), clock.unix_ms()).expect("it can be read");
    assert_eq!((&doomed.checkpoints[..], &doomed.incomplete[..]), (&indexes[..1], &indexes[2..]));
    prune::remove(&repository, &doomed, &clock, |_| Ok(())).expect("nothing fails");
    // A restore begins with the checkpoint before, and so does what list offers.
    assert_eq!(world.assert_restores(&repository, Target::Newest, world.last()), Some(indexes[1]));
    let inventory = repository.inventory().expect("it can be read");
    assert_eq!((inventory.spans()[0].first, inventory.unusable[0].index), (indexes[1], indexes[2]));
    back_up(&mut world);
    assert_good(&repository);
}

#[test]
fn pieces_of_a_checkpoint_that_is_being_stored_are_pruned_by_none() {
    let mut world = World::new();
    for _ in 0..2 {
        world.run(30);
        world.checkpoint();
        back_up(&mut world);
    }
    let (repository, clock) = (world.repository(), Clock::system());
    let folder = world.folder.path().join("repository");
    let newest = files(&folder.join("checkpoints")).pop().expect("there is one");
    let index = world.last();
    let attempt = StoringName { index, token: Some(1) };
    let storing = attempt.path();
    let stored = repository.checkpoint(index).expect("it can be read").expect("it is there");
    let files = stored.files.clone();
    let content = StoredCheckpoint { files, manifest: stored.manifest.clone() }.encode();
    repository.write(&storing, Kind::Checkpoint, &content).expect("nothing fails");
    fs::remove_file(newest).expect("it is there");
    let now_ms = clock.unix_ms() + 2 * 3_600_000;
    let doomed = prune::plan(&repository, Keep::newest(1), now_ms).expect("it can be read");
    assert!(doomed.pieces.iter().all(|piece| !stored.pieces().contains(piece)), "{doomed:?}");
    let doomed = prune::plan(&repository, Keep::newest(1), now_ms + 86_400_000).expect("it can be read");
    assert!(doomed.given_up == [attempt] && !doomed.pieces.is_empty(), "{doomed:?}");
    prune::remove(&repository, &doomed, &clock, |_| Ok(())).expect("nothing fails");
    assert_good(&repository);
}
