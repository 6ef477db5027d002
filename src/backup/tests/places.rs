//! Stories of places: what one backup is told from another by, what becomes of gaps, what a damaged object costs.

use super::*;
use crate::backup::copy::copy;
use crate::backup::inventory::Inventory;
use crate::backup::ship::fill_gaps;

fn root(world: &World) -> PathBuf {
    world.folder.path().join("repository")
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("it is there");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("it can be damaged");
}

/// What the program of the first release wrote: six keys, a checkpoint at entry 7, one more write.
#[test]
fn a_backup_of_the_first_release_is_read_and_gone_on_with() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/backup-v1");
    let scratch = tempfile::tempdir().expect("tests have a folder for temporary files");
    let copy = scratch.path().join("b");
    for path in files(&golden) {
        let to = copy.join(path.strip_prefix(&golden).expect("it is in there"));
        fs::create_dir_all(to.parent().expect("it is in a folder")).expect("it can be made");
        fs::copy(&path, to).expect("it can be copied");
    }
    let url = format!("file://{}", copy.display());
    let repository = Repository::open(&url, None).expect("it can be read");
    let (id, owner) = (repository.id(), repository.owner().clone());
    assert_eq!((owner.cluster_id, owner.log_id), (0xC77B_3ABB_6F87_ACD9, Some(0xCE3D_0D4F_2998_3478)));
    let report = verify(&repository, |_, _| {}).expect("it can be read");
    assert!(report.is_good() && (report.checkpoints, report.logs) == (1, 7), "{report:?}");
    let order = Order {
        dir: scratch.path().join("restored"),
        target: Target::Newest,
        from_checkpoint: None,
        cluster_name: Some("new".to_owned()),
        node_id: 1,
        members: vec![1],
        segment_bytes: SEGMENT_BYTES,
        replay: true,
    };
    let restored = restore(&repository, &order, &mut |_| {}).expect("everything is there");
    assert_eq!((restored.index, restored.checkpoint), (8, Some(7)));
    assert_eq!(restored.replayed.map(|replayed| replayed.keys), Some(7));
    // A node that goes on leaves the header as it is, for nodes of the older program, and adds a copy.
    let header = fs::read(copy.join(names::HEADER)).expect("it is there");
    let opened = Repository::open_for(&url, None, &owner).expect("it is ours");
    assert_eq!(opened.id(), id);
    assert_eq!(fs::read(copy.join(names::HEADER)).expect("it is there"), header);
    assert_eq!(fs::read(copy.join(names::HEADER_COPY)).expect("it is there"), header);
}

#[test]
fn an_empty_folder_in_place_of_the_backup_is_not_written_to() {
    let mut world = World::new();
    let repository = world.repository();
    world.run(10);
    let mut shipper = resume(&repository, &mut world);
    ship(&mut shipper, &repository, &mut world);
    let away = world.folder.path().join("away");
    fs::rename(root(&world), &away).expect("it is there");
    for exists in [false, true] {
        if exists {
            fs::create_dir(root(&world)).expect("it is away");
        }
        assert!(matches!(repository.check_is_there(), Err(BackupError::Gone { .. })));
        world.run(3);
        shipper.catch_up(&repository, &mut world).expect("nothing is written yet");
        assert!(shipper.flush(&repository).is_err());
        assert!(latest_of(&world).write(&repository).is_err());
        assert_eq!(root(&world).exists(), exists, "the folder is made by nothing");
        if exists {
            assert!(files(&root(&world)).is_empty());
            fs::remove_dir(root(&world)).expect("nothing is in it, no folder either");
        }
        let opened = Repository::open_for(&world.url(), None, &OWNER);
        assert!(matches!(opened, Err(BackupError::NoRepository { .. })), "{opened:?}");
    }
    fs::rename(&away, root(&world)).expect("it comes back");
    repository.check_is_there().expect("it is back");
    back_up(&mut world);
    assert_good(&repository);
    world.assert_restores(&repository, Target::Newest, world.last());
}

fn latest_of(world: &World) -> Latest {
    Latest { index: world.last(), term: 9, time_ms: START_MS }
}

#[test]
fn another_backup_in_place_of_the_one_that_was_opened_is_noticed() {
    let mut world = World::new();
    let repository = world.repository();
    world.run(10);
    back_up(&mut world);
    let away = world.folder.path().join("away");
    fs::rename(root(&world), &away).expect("it is there");
    let other = world.repository();
    assert_ne!(other.id(), repository.id());
    assert!(matches!(repository.check_is_there(), Err(BackupError::OtherRepository { .. })));
    other.check_is_there().expect("it was just begun");
}

#[test]
fn a_header_that_is_deleted_or_damaged_comes_back_from_its_copy() {
    let mut world = World::new();
    world.run(10);
    back_up(&mut world);
    let repository = world.repository();
    let whole = fs::read(root(&world).join(names::HEADER)).expect("it is there");
    for name in [names::HEADER, names::HEADER_COPY] {
        for delete in [true, false] {
            let path = root(&world).join(name);
            if delete {
                fs::remove_file(&path).expect("it is there")
            } else {
                flip(&path)
            }
            let report = verify(&Repository::open(&world.url(), None).expect("one is enough"), |_, _| {});
            let report = report.expect("it can be read");
            assert!(!report.is_good() && report.problems[0].to_string().starts_with(name), "{report:?}");
            world.assert_restores(&repository, Target::Newest, world.last());
            repository.check_is_there().expect("one is enough");
            assert_good(&world.repository());
            assert_eq!(fs::read(&path).expect("it is there"), whole, "{name}");
        }
    }
    flip(&root(&world).join(names::HEADER));
    flip(&root(&world).join(names::HEADER_COPY));
    let refused = Repository::begin(&world.url(), None, &OWNER);
    assert!(matches!(refused, Err(BackupError::Damaged { .. })), "{refused:?}");
}

#[test]
fn entries_that_the_backup_lacks_are_shipped_as_long_as_the_log_has_them() {
    let mut world = World::new();
    let repository = world.repository();
    world.run(5);
    let mut shipper = resume(&repository, &mut world);
    for _ in 0..8 {
        ship(&mut shipper, &repository, &mut world);
        world.run(5);
    }
    ship(&mut shipper, &repository, &mut world);
    let all = names(&repository);
    assert_eq!(all.len(), 9);
    // Objects 2 to 4, and 7.
    let gone = [1, 2, 3, 6].map(|at| all[at]);
    gone.iter().for_each(|name| repository.remove(&name.path()).expect("it is there"));
    let gaps = || Inventory::of_names(&repository).expect("it can be read");
    assert_eq!(gaps().missing_entries(), 20);
    assert_eq!(gaps().whole_until(1), gone[0].first - 1);
    // The log begins in the middle of the first gap: nothing could be restored to what it has of that.
    world.first = gone[1].first;
    assert_eq!(gaps().whole_until(world.first), gone[3].first - 1);
    assert!(fill_gaps(&repository, &mut world).expect("nothing fails") > 0);
    assert_eq!(gaps().gaps(), [(gone[0].first, gone[2].last)]);
    world.first = 1;
    fill_gaps(&repository, &mut world).expect("nothing fails");
    assert_good(&repository);
    for index in [gone[0].last, gone[2].first, world.last()] {
        world.assert_restores(&repository, Target::Index(index), index);
    }
    assert_eq!(fill_gaps(&repository, &mut world).expect("nothing fails"), 0);
}

#[test]
fn a_damaged_object_at_the_end_of_the_backup_is_shipped_again() {
    let mut world = World::new();
    let repository = world.repository();
    world.run(5);
    let mut shipper = resume(&repository, &mut world);
    for _ in 0..3 {
        ship(&mut shipper, &repository, &mut world);
        world.run(5);
    }
    ship(&mut shipper, &repository, &mut world);
    let newest = *names(&repository).last().expect("there are some");
    flip(&root(&world).join(newest.path()));
    let again = resume(&repository, &mut world);
    assert_eq!(again.shipped_index(), newest.first - 1);
    back_up(&mut world);
    assert_good(&repository);
    world.assert_restores(&repository, Target::Newest, world.last());
}

#[test]
fn a_damaged_object_does_not_replace_the_sound_ones_that_it_covers() {
    let mut world = World::new();
    let repository = world.repository();
    world.run(5);
    let mut shipper = resume(&repository, &mut world);
    ship(&mut shipper, &repository, &mut world);
    world.run(5);
    ship(&mut shipper, &repository, &mut world);
    let small = names(&repository);
    // What a crash leaves twice, and then the disk damages.
    let covering = LogName { last: small[1].last, last_ms: small[1].last_ms, ..small[0] };
    repository.store().put(&covering.path(), b"PERDURAB and more".to_vec()).expect("it can be written");
    resume(&repository, &mut world);
    assert!(small.iter().all(|name| names(&repository).contains(name)), "{:?}", names(&repository));
    world.assert_restores(&repository, Target::Newest, world.last());
    let report = verify(&repository, |_, _| {}).expect("it can be read");
    assert!(!report.is_good() && report.lost.is_empty(), "{report:?}");
    assert_eq!(report.spans[0].last, world.last(), "the sound ones have all of it");
}

#[test]
fn verify_says_nothing_can_be_restored_over_damaged_ranges() {
    let mut world = World::new();
    let repository = world.repository();
    world.run(5);
    let mut shipper = resume(&repository, &mut world);
    for _ in 0..4 {
        ship(&mut shipper, &repository, &mut world);
        world.run(5);
    }
    let index = world.checkpoint();
    back_up(&mut world);
    world.run(5);
    back_up(&mut world);
    let damaged = names(&repository)[2];
    flip(&root(&world).join(damaged.path()));
    let report = verify(&repository, |_, _| {}).expect("it can be read");
    let spans: Vec<_> = report.spans.iter().map(|span| (span.first, span.last)).collect();
    assert_eq!(spans, [(1, damaged.first - 1), (index, world.last())]);
    assert_eq!((report.lost, report.gaps), (vec![(damaged.first, damaged.last)], vec![]));
    // What it says is what a restore does.
    world.assert_restores(&repository, Target::Index(damaged.first - 1), damaged.first - 1);
    world.assert_restores(&repository, Target::Newest, world.last());
    let refused =
        world.restore(&repository, Target::Index(damaged.last)).expect_err("it is damaged").to_string();
    assert!(refused.contains(&format!("--to-index {}", damaged.first - 1)), "{refused}");
    assert!(refused.contains(&damaged.path()), "{refused}");
    // The newest is the newest: a restore that can't give it does not give less.
    flip(&root(&world).join(names(&repository).last().expect("there are some").path()));
    let refused = world.restore(&repository, Target::Newest).expect_err("it is damaged");
    assert!(matches!(refused, BackupError::Lost { .. }) && refused.is_damage(), "{refused}");
    assert!(refused.to_string().contains(&format!("--to-index {index}")), "{refused}");
}

#[test]
fn a_flipped_byte_in_a_checkpoints_description_costs_that_checkpoint_only() {
    let mut world = World::new();
    let mut indexes = Vec::new();
    for _ in 0..3 {
        world.run(10);
        indexes.push(world.checkpoint());
        back_up(&mut world);
    }
    world.run(5);
    back_up(&mut world);
    let repository = world.repository();
    flip(&root(&world).join(names::checkpoint_path(indexes[2])));
    let inventory = repository.inventory().expect("one checkpoint less");
    assert_eq!((inventory.checkpoints.len(), inventory.unusable[0].index), (2, indexes[2]));
    assert_eq!(world.assert_restores(&repository, Target::Newest, world.last()), Some(indexes[1]));
    let order = Order { from_checkpoint: Some(0), ..world.order(Target::Newest) };
    assert_eq!(restore(&repository, &order, &mut |_| {}).expect("all entries are there").checkpoint, None);
    // A piece is damaged that only this checkpoint has: the one before takes its place, and that is said.
    let stored = |index| repository.checkpoint(index).expect("it can be read").expect("it is there").pieces();
    let own = stored(indexes[1]).difference(&stored(indexes[0])).next().copied().expect("it has changed");
    flip(&root(&world).join(own.path()));
    let restored = world.restore(&repository, Target::Newest).expect("the log has everything");
    assert_eq!(restored.checkpoint, Some(indexes[0]));
    assert!(restored.done_without[0].contains(&own.to_string()), "{restored:?}");
    let report = verify(&repository, |_, _| {}).expect("it can be read");
    assert_eq!(
        report.spans.iter().map(|span| (span.first, span.last)).collect::<Vec<_>>(),
        [(1, world.last())]
    );
}

#[test]
fn a_time_before_the_first_write_is_refused_and_a_round_time_is_told_what_to_do() {
    let mut world = World::new();
    world.run(1);
    back_up(&mut world);
    let repository = world.repository();
    Latest { index: 1, term: 2, time_ms: START_MS }.write(&repository).expect("nothing fails");
    // Only a leader's first entry is there, which has no time.
    for ms in [START_MS - 3_600_000, START_MS] {
        let refused = world.restore(&repository, Target::Time(ms)).expect_err("nothing was written");
        assert!(matches!(refused, BackupError::NothingYet { .. }), "{refused}");
    }
    world.run(20);
    back_up(&mut world);
    let first = World::stamp_of(3);
    let refused = world.restore(&repository, Target::Time(first - 1)).expect_err("nothing was written");
    let text = refused.to_string();
    assert!(
        text.contains("the earliest that can be restored is --to-time") && text.contains("(entry 1)"),
        "{text}"
    );
    world.assert_restores(&repository, Target::Time(first), 3);
    let round = World::stamp_of(world.last()) + 1;
    let text = world.restore(&repository, Target::Time(round)).expect_err("it is later").to_string();
    assert!(text.contains("try again in a moment") && text.contains("leave --to-time out"), "{text}");
}

#[test]
fn what_days_or_checkpoints_keep_stays_where_both_are_given() {
    let mut world = World::new();
    let mut indexes = Vec::new();
    for _ in 0..4 {
        world.run(10);
        indexes.push(world.checkpoint());
        back_up(&mut world);
    }
    let repository = world.repository();
    let plan = |checkpoints, days| {
        let now_ms = World::stamp_of(indexes[3]) + 86_400_000;
        let keep = Keep { checkpoints, days };
        prune::plan(&repository, keep, now_ms).expect("it can be read").checkpoints.len()
    };
    assert_eq!((plan(None, None), plan(Some(3), None), plan(None, Some(1))), (0, 1, 3));
    assert_eq!((plan(Some(3), Some(1)), plan(Some(1), Some(2))), (1, 0));
}

#[test]
fn a_backup_is_copied_without_its_key_and_the_copy_restores_the_same() {
    let mut world = World::new();
    let key = world.folder.path().join("key");
    Key::create(&key).expect("the folder is there");
    let repository = Repository::begin(&world.url(), Some(&key), &OWNER).expect("it is empty");
    let clock = Clock::system();
    let url = format!("file://{}/copy", world.folder.path().display());
    let copy_all = || {
        let from = Repository::open_stored(&world_url(&repository))?;
        copy(&from, &Repository::begin_copy(&url, &from)?, |_, _| {})
    };
    let mut written = Vec::new();
    for _ in 0..2 {
        world.run(20);
        world.checkpoint();
        world.run(5);
        create(&repository, &mut world, &clock, |_, _| {}).expect("nothing fails");
        let copied = copy_all().expect("nothing fails");
        assert!(copied.problems.is_empty(), "{copied:?}");
        written.push(copied.objects);
        let of_copy = Repository::open(&url, Some(&key)).expect("the same key opens it");
        assert_good(&of_copy);
        assert_ne!(of_copy.id(), repository.id());
        world.assert_restores(&of_copy, Target::Newest, world.last());
    }
    // Descriptions are read each time; what else is there is not copied again.
    let again = copy_all().expect("nothing fails");
    assert_eq!((again.objects, again.known > 0), (2, true), "{again:?}");
    // A node that goes on with the copy finds its end.
    let of_copy = Repository::open_for(&url, Some(&key), &OWNER).expect("it is ours");
    world.run(5);
    create(&of_copy, &mut world, &clock, |_, _| {}).expect("nothing fails");
    world.assert_restores(&of_copy, Target::Newest, world.last());
}

fn world_url(repository: &Repository) -> String {
    repository.store().url().to_owned()
}

#[test]
fn a_damaged_object_is_named_and_not_copied_over_a_sound_one() {
    let mut world = World::new();
    world.run(20);
    world.checkpoint();
    back_up(&mut world);
    let from = world.repository();
    let url = format!("file://{}/copy", world.folder.path().display());
    let to = Repository::begin_copy(&url, &from).expect("there is nothing");
    copy(&from, &to, |_, _| {}).expect("nothing fails");
    let index = world.last();
    let damaged = [names(&from)[0].path(), names::checkpoint_path(index)];
    damaged.iter().for_each(|path| flip(&root(&world).join(path)));
    // The copy lacks one of them, and has the other.
    to.remove(&damaged[0]).expect("it is there");
    let copied = copy(&from, &to, |_, _| {}).expect("nothing fails");
    let texts: Vec<String> = copied.problems.iter().map(BackupError::to_string).collect();
    assert!(
        texts.len() == 2 && damaged.iter().all(|path| texts.iter().any(|text| text.contains(path))),
        "{texts:?}"
    );
    assert!(to.checkpoint(index).expect("it is sound").is_some());
    assert!(names(&to).is_empty());
    // What was begun for something else is no place for a copy, nor is the backup its own copy.
    let other = format!("file://{}/other", world.folder.path().display());
    Repository::begin(&other, None, &OWNER).expect("there is nothing");
    for url in [other, world.url()] {
        let refused = Repository::begin_copy(&url, &from);
        assert!(matches!(refused, Err(BackupError::NoCopy { .. })), "{refused:?}");
    }
}

#[test]
fn a_crash_while_a_backup_is_copied_leaves_a_copy_that_verifies() {
    let mut world = World::new();
    world.run(20);
    world.checkpoint();
    world.run(5);
    back_up(&mut world);
    let from = world.repository();
    for changes in 0.. {
        let url = format!("file://{}/copy{changes}", world.folder.path().display());
        let to = Repository::begin_copy(&url, &from).expect("there is nothing");
        to.store().changes_left.set(changes);
        let copied = copy(&from, &to, |_, _| {});
        assert_good(&Repository::open(&url, None).expect("it was begun"));
        to.store().changes_left.set(u64::MAX);
        copy(&from, &to, |_, _| {}).expect("nothing fails");
        world.assert_restores(&to, Target::Newest, world.last());
        if copied.is_ok() {
            assert!(changes > 5, "only {changes} changes");
            break;
        }
    }
}
