//! Stories of repositories: a node's log and checkpoints go in, and folders as of any entry come out.

mod places;
mod pruning;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint::{Lent, StoredCheckpoint, Storing};
use super::create::create;
use super::entries;
use super::error::{BackupError, Damage, Result};
use super::key::Key;
use super::latest::Latest;
use super::names::{self, LogName, PieceName, StoringName};
use super::object::Kind;
use super::prune::{self, Keep};
use super::repository::{Owner, Repository, Sealed};
use super::restore::{Order, Restored, Target, restore};
use super::sealed::verify_sealed;
use super::ship::{FULL_BYTES, Reading, Shipper, Source, log_entry};
use super::verify::{verify, verify_deeply};
use crate::apply::Applier;
use crate::checkpoint::manifest::Point;
use crate::checkpoint::store::{RocksStore, StoreConfig};
use crate::checkpoint::{self, CheckpointStore};
use crate::command::context::Stamp;
use crate::env::Clock;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::{Keyspace, digest};
use crate::propose::entry::{write_header, write_single};
use crate::shard::log_reads::LogEntry;

const OWNER: Owner = Owner { cluster_id: 7, log_id: None };
const START_MS: i64 = 1_763_740_800_000;
/// Between two entries' stamps.
const STEP_MS: i64 = 10;
const SEGMENT_BYTES: u64 = 64 << 10;

/// A node as backups see it, and what its data was at each entry.
struct World {
    folder: tempfile::TempDir,
    applier: Applier,
    store: RocksStore,
    log: Vec<LogEntry>,
    /// The log's first entry.
    first: u64,
    term: u64,
    digests: BTreeMap<u64, u128>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().expect("tests have a folder for temporary files");
        let config = StoreConfig { bytes_per_second: 0, load_threads: 1, limits: TypeLimits::default() };
        let store = RocksStore::open(&folder.path().join("checkpoints"), config, Clock::system());
        let (store, _) = store.expect("an empty folder can be used");
        let (_, mutator) = Keyspace::create();
        let applier = Applier::new(mutator, TypeLimits::default());
        let (log, digests) = (Vec::new(), BTreeMap::new());
        World { folder, applier, store, log, first: 1, term: 1, digests }
    }

    fn last(&self) -> u64 {
        self.log.len() as u64
    }

    fn stamp_of(index: u64) -> i64 {
        START_MS + index as i64 * STEP_MS
    }

    /// Logs and applies an entry.
    fn write(&mut self, args: &[&[u8]]) {
        let index = self.last() + 1;
        let mut payload = Vec::new();
        write_header(&mut payload, Stamp { now_ms: World::stamp_of(index), seed: index });
        write_single(&mut payload, 0, args);
        self.applier.apply_unattended(&payload).expect("it is a command");
        self.log.push(log_entry(index, self.term, payload));
        self.digests.insert(index, digest::of_keyspace(self.applier.keyspace()));
    }

    /// Some entries that change some keys; the first one is a new leader's.
    fn run(&mut self, entries: u64) {
        let index = self.last() + 1;
        self.term += 1;
        self.log.push(log_entry(index, self.term, Vec::new()));
        self.digests.insert(index, digest::of_keyspace(self.applier.keyspace()));
        for n in 1..entries {
            let (key, value) = (format!("key{}", (index + n) % 23), format!("value {} {n}", "x".repeat(50)));
            match n % 4 {
                0 => self.write(&[b"DEL", key.as_bytes()]),
                1 => self.write(&[b"RPUSH", b"list", value.as_bytes()]),
                _ => self.write(&[b"SET", key.as_bytes(), value.as_bytes()]),
            }
        }
    }

    fn checkpoint(&mut self) -> u64 {
        let index = self.last();
        let stamp_ms = self.applier.last_stamp_ms();
        let point =
            Point { cluster_id: 7, cluster: 0, index, term: self.term, stamp_ms, members: vec![1, 2, 3] };
        let capture = self.applier.begin_capture().expect("no other is running");
        checkpoint::write(&mut self.store, capture, point, &mut || Ok(())).expect("it can be written");
        index
    }

    fn url(&self) -> String {
        format!("file://{}/repository", self.folder.path().display())
    }

    fn repository(&self) -> Repository {
        Repository::begin(&self.url(), None, &OWNER).expect("it is ours")
    }

    fn restore(&self, repository: &Repository, target: Target) -> Result<Restored> {
        restore(repository, &self.order(target), &mut |_| {})
    }

    /// Into a folder that is empty.
    fn order(&self, target: Target) -> Order {
        let dir = self.folder.path().join("restored");
        let _ = fs::remove_dir_all(&dir);
        Order {
            dir,
            target,
            from_checkpoint: None,
            cluster_name: Some("new".to_owned()),
            node_id: 1,
            members: vec![1],
            segment_bytes: SEGMENT_BYTES,
            replay: true,
        }
    }

    /// Restores, and compares with what the data was then.
    fn assert_restores(&self, repository: &Repository, target: Target, index: u64) -> Option<u64> {
        let restored = self.restore(repository, target).unwrap_or_else(|error| panic!("{target:?}: {error}"));
        assert_eq!(restored.index, index, "{target:?}");
        let replayed = restored.replayed.expect("it was asked for");
        assert_eq!(replayed.debug_digest, self.digests[&index], "{target:?}");
        restored.checkpoint
    }
}

impl Source for World {
    fn read(&mut self, from: u64, max_bytes: u64) -> Result<Reading> {
        let mut reading = Reading { entries: Vec::new(), first_index: self.first, last_index: self.last() };
        if from >= self.first {
            let mut bytes = 0;
            for entry in self.log.iter().skip(from as usize - 1) {
                reading.entries.push(entry.clone());
                bytes += entry.payload.len() as u64;
                if bytes >= max_bytes {
                    break;
                }
            }
        }
        Ok(reading)
    }

    fn newest_checkpoint(&mut self) -> Result<Option<Lent>> {
        let Some(manifest) = self.store.newest().cloned() else { return Ok(None) };
        let folder = self.store.shelf().path(manifest.point.index);
        Ok(Some(Lent { folder, manifest, is_temporary: false }))
    }
}

fn back_up(world: &mut World) {
    let repository = world.repository();
    create(&repository, world, &Clock::system(), |_, _| {}).expect("nothing fails");
}

/// Ships what is new in one small object.
fn ship(shipper: &mut Shipper, repository: &Repository, world: &mut World) {
    shipper.catch_up(repository, world).expect("nothing fails");
    shipper.flush(repository).expect("nothing fails");
}

fn resume(repository: &Repository, world: &mut World) -> Shipper {
    let resumed = Shipper::resume(repository, world).expect("nothing fails");
    resumed.expect("the log goes on where the repository ends")
}

fn assert_good(repository: &Repository) {
    let report = verify(repository, |_, _| {}).expect("it can be read");
    assert!(report.is_good(), "{report:?}");
}

fn names(repository: &Repository) -> Vec<LogName> {
    repository.logs().expect("it can be read").iter().map(|log| log.name).collect()
}

/// All files of a repository.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

#[test]
fn any_entry_and_any_moment_comes_back() {
    let mut world = World::new();
    world.run(40);
    let first = world.checkpoint();
    world.run(30);
    back_up(&mut world);
    world.run(30);
    let second = world.checkpoint();
    world.run(20);
    back_up(&mut world);
    let repository = world.repository();
    assert_good(&repository);
    for index in [2, 3, first - 1, first, first + 1, 57, second, second + 5, world.last()] {
        let from = world.assert_restores(&repository, Target::Index(index), index);
        let expected = [second, first]
            .into_iter()
            .find(|one| *one <= index && repository.checkpoint(*one).is_ok_and(|found| found.is_some()));
        assert_eq!(from, expected, "{index}");
        let stamp = World::stamp_of(index);
        world.assert_restores(&repository, Target::Index(index), index);
        if world.log[index as usize - 1].payload.is_empty() {
            continue;
        }
        // A leader's first entry has no time of its own: it counts as of the one before.
        let is_followed_by_one = world.log.get(index as usize).is_some_and(|next| next.payload.is_empty());
        world.assert_restores(&repository, Target::Time(stamp), index + u64::from(is_followed_by_one));
    }
    world.assert_restores(&repository, Target::Newest, world.last());
    let between = World::stamp_of(58) + STEP_MS - 1;
    world.assert_restores(&repository, Target::Time(between), 58);
    let scratch = world.folder.path().join("scratch");
    let mut report = verify(&repository, |_, _| {}).expect("it can be read");
    verify_deeply(&repository, &mut report, &scratch, |_, _| {}).expect("it can be replayed");
    assert!(report.is_good() && report.replayed_checkpoints == 2, "{report:?}");
}

#[test]
fn restore_to_a_moment_before_a_leaders_first_entry_ends_before_later_writes() {
    let mut world = World::new();
    let repository = world.repository();
    world.run(5);
    let mut shipper = resume(&repository, &mut world);
    ship(&mut shipper, &repository, &mut world);
    let (before, between) = (world.last(), World::stamp_of(world.last()) + STEP_MS - 1);
    world.write(&[b"SET", b"late", b"1"]);
    ship(&mut shipper, &repository, &mut world);
    // The next leader's, which has no timestamp, is shipped in an object of its own.
    world.run(1);
    ship(&mut shipper, &repository, &mut world);
    assert_eq!(names(&repository).last().map(|name| (name.first_ms, name.last_ms)), Some((0, 0)));
    world.assert_restores(&repository, Target::Time(between), before);
    world.assert_restores(&repository, Target::Time(World::stamp_of(before + 1)), world.last());
}

#[test]
fn restore_to_a_moment_after_the_last_write_of_an_idle_database_is_possible_as_far_as_its_leader_said() {
    let mut world = World::new();
    world.run(20);
    back_up(&mut world);
    let (repository, index) = (world.repository(), world.last());
    let later = World::stamp_of(index) + 60_000;
    assert!(matches!(world.restore(&repository, Target::Time(later)), Err(BackupError::NotHeld { .. })));
    let latest = |index, term, time_ms| Latest { index, term, time_ms };
    latest(index, 3, later).write(&repository).expect("nothing fails");
    world.assert_restores(&repository, Target::Time(later), index);
    assert!(world.restore(&repository, Target::Time(later + 1)).is_err());
    // Neither a deposed leader nor one that has shipped less says anything new.
    latest(index, 2, later + 500).write(&repository).expect("nothing fails");
    latest(index - 1, 4, later + 500).write(&repository).expect("nothing fails");
    assert_eq!(Latest::read(&repository).expect("it can be read"), Some(latest(index, 3, later)));
    latest(index, 4, later + 1000).write(&repository).expect("nothing fails");
    world.assert_restores(&repository, Target::Time(later + 1000), index);
    // A calendar that was set back takes no target away.
    latest(index, 4, later).write(&repository).expect("nothing fails");
    world.assert_restores(&repository, Target::Time(later + 1000), index);
    assert_good(&repository);
    // What can't be read takes nothing away but that.
    let path = files(&world.folder.path().join("repository"))
        .into_iter()
        .find(|path| path.ends_with("LATEST.perdura"));
    fs::write(path.expect("it is there"), b"PERDURAB").expect("it can be damaged");
    world.assert_restores(&repository, Target::Newest, index);
    assert!(world.restore(&repository, Target::Time(later)).is_err());
    let report = verify(&repository, |_, _| {}).expect("it can be read");
    assert!(report.problems.iter().any(|problem| problem.to_string().starts_with("LATEST")), "{report:?}");
    latest(index, 4, later).write(&repository).expect("a damaged one is written again");
    assert_good(&repository);
}

#[test]
fn what_is_not_held_is_told_with_what_is() {
    let mut world = World::new();
    world.run(20);
    back_up(&mut world);
    let repository = world.repository();
    for target in [Target::Index(21), Target::Time(START_MS - 1), Target::Time(World::stamp_of(21))] {
        let error = world.restore(&repository, target).expect_err("it is not there");
        assert!(matches!(error, BackupError::NotHeld { .. }), "{error}");
        assert!(error.to_string().contains("indexes 1 to 20"), "{error}");
    }
}

#[test]
fn small_objects_become_few_and_full_ones_replace_them() {
    let mut world = World::new();
    let repository = world.repository();
    world.run(2);
    let mut shipper = resume(&repository, &mut world);
    for round in 0..60 {
        world.run(3);
        ship(&mut shipper, &repository, &mut world);
        assert!(names(&repository).len() <= 17, "round {round}: {:?}", names(&repository));
        if round % 13 == 5 {
            // Another node goes on.
            shipper = resume(&repository, &mut world);
        }
    }
    assert_good(&repository);
    let big = vec![b'v'; FULL_BYTES / 2];
    for _ in 0..3 {
        world.write(&[b"SET", b"big", &big]);
        ship(&mut shipper, &repository, &mut world);
    }
    let left = names(&repository);
    assert!(left.len() == 2 && left[0].first == 1, "{left:?}");
    assert_good(&repository);
    let mut again = resume(&repository, &mut world);
    assert_eq!(again.shipped_index(), world.last());
    world.run(3);
    ship(&mut again, &repository, &mut world);
    assert_good(&repository);
    world.assert_restores(&repository, Target::Newest, world.last());
}

#[test]
fn what_two_ship_or_a_crash_leaves_twice_is_harmless() {
    let mut world = World::new();
    let repository = world.repository();
    world.run(10);
    let mut one = resume(&repository, &mut world);
    let mut other = resume(&repository, &mut world);
    for _ in 0..20 {
        world.run(5);
        ship(&mut one, &repository, &mut world);
        world.run(2);
        ship(&mut other, &repository, &mut world);
    }
    assert_good(&repository);
    world.assert_restores(&repository, Target::Newest, world.last());
    let before = names(&repository).len();
    let mut next = resume(&repository, &mut world);
    assert!(names(&repository).len() <= before);
    world.run(5);
    ship(&mut next, &repository, &mut world);
    assert_good(&repository);
    world.assert_restores(&repository, Target::Newest, world.last());
}

#[test]
fn a_log_that_was_cut_goes_on_behind_a_checkpoint_and_the_gap_is_known() {
    let mut world = World::new();
    world.run(20);
    back_up(&mut world);
    world.run(30);
    world.first = 41;
    let repository = world.repository();
    assert!(Shipper::resume(&repository, &mut world).expect("nothing fails").is_none());
    let refused = create(&repository, &mut world, &Clock::system(), |_, _| {});
    assert!(matches!(refused, Err(BackupError::Gap { next: 21, first_index: 41 })));
    let closing = world.checkpoint();
    world.run(10);
    back_up(&mut world);
    let inventory = repository.inventory().expect("it can be read");
    assert_eq!(inventory.gaps(), [(21, closing)]);
    assert!(!verify(&repository, |_, _| {}).expect("it can be read").is_good());
    world.assert_restores(&repository, Target::Index(20), 20);
    world.assert_restores(&repository, Target::Newest, world.last());
    let error = world.restore(&repository, Target::Index(30)).expect_err("it was never shipped");
    assert!(error.to_string().contains("indexes 1 to 20"), "{error}");
}

#[test]
fn an_object_that_expands_to_more_than_the_log_can_have_made_is_refused_without_the_memory() {
    let mut world = World::new();
    world.run(20);
    back_up(&mut world);
    let repository = world.repository();
    let name = names(&repository)[0];
    // It follows what is before it, and every checksum is right.
    let mut records = Vec::new();
    for _ in name.first..name.last {
        entries::push_record(&mut records, 1, b"");
    }
    entries::push_record(&mut records, 1, &vec![0; 64 << 20]);
    let content = entries::encode(entries::Tip::default(), name, &records);
    let written = repository.write(&name.path(), Kind::Log, &content).expect("nothing fails");
    assert!(written < 1 << 20, "{written} bytes stand for {}", content.len());
    let resumed = resume(&repository, &mut world);
    assert_eq!(resumed.shipped_index(), 0, "it counts as none, and its entries are shipped again");
    back_up(&mut world);
    assert_good(&repository);
    // A long entry of the log's own makes such an object, too.
    let mut long = World::new();
    long.run(20);
    long.write(&[b"SET", b"long", &vec![0; 8 << 20]]);
    back_up(&mut long);
    let (repository, last) = (long.repository(), long.last());
    assert_eq!(resume(&repository, &mut long).shipped_index(), last);
    long.run(3);
    back_up(&mut long);
    resume(&repository, &mut long);
    assert_good(&repository);
}

#[test]
fn another_history_is_not_mixed_in() {
    let mut world = World::new();
    world.run(20);
    back_up(&mut world);
    let repository = world.repository();
    let mut behind = World::new();
    behind.run(5);
    assert!(matches!(Shipper::resume(&repository, &mut behind), Err(BackupError::Behind { .. })));
    let mut other = World::new();
    other.write(&[b"SET", b"another", b"history"]);
    other.run(30);
    let refused = Shipper::resume(&repository, &mut other);
    assert!(matches!(refused, Err(BackupError::OtherHistory { index: 20 })), "{refused:?}");
}

#[test]
fn what_two_checkpoints_share_is_stored_once() {
    let mut world = World::new();
    for n in 0..400u64 {
        let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let noise: Vec<u8> = (0..1000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        world.write(&[b"SET", format!("key{n}").as_bytes(), &noise]);
    }
    world.checkpoint();
    let (repository, clock) = (world.repository(), Clock::system());
    let first = create(&repository, &mut world, &clock, |_, _| {}).expect("nothing fails");
    world.run(3);
    world.checkpoint();
    let second = create(&repository, &mut world, &clock, |_, _| {}).expect("nothing fails");
    let written = [first, second].map(|created| created.checkpoint.expect("there is one").written_bytes);
    assert!(written[0] > 100_000 && written[1] < written[0] / 4, "{written:?}");
    let again = create(&repository, &mut world, &clock, |_, _| {}).expect("nothing fails");
    assert_eq!((again.checkpoint.map(|stored| stored.written_bytes), again.log_bytes), (Some(0), 0));
}

#[test]
fn a_flipped_bit_in_any_object_is_found_by_who_verifies_and_who_restores() {
    let mut world = World::new();
    world.run(30);
    world.checkpoint();
    world.run(30);
    let key_file = world.folder.path().join("key");
    Key::create(&key_file).expect("the folder is there");
    for key in [None, Some(key_file.as_path())] {
        let _ = fs::remove_dir_all(world.folder.path().join("repository"));
        let repository = Repository::begin(&world.url(), key, &OWNER).expect("it is empty");
        create(&repository, &mut world, &Clock::system(), |_, _| {}).expect("nothing fails");
        assert_good(&repository);
        let mut kinds = [0; 4];
        for (number, path) in files(&world.folder.path().join("repository")).into_iter().enumerate() {
            let whole = fs::read(&path).expect("it is there");
            let mut damaged = whole.clone();
            let at = (number * 7919) % whole.len();
            damaged[at] ^= 1 << (number % 8);
            fs::write(&path, damaged).expect("it can be damaged");
            let report =
                Repository::open(&world.url(), key).and_then(|repository| verify(&repository, |_, _| {}));
            let report = report.expect("one damaged object is no reason to end");
            assert!(!report.is_good(), "{}", path.display());
            let restored = Repository::open(&world.url(), key)
                .and_then(|repository| world.restore(&repository, Target::Newest));
            let text = path.to_string_lossy();
            // The header is there twice, and a restore begins with the first entry where the only checkpoint can't be used.
            let is_dispensable = !text.contains("/log/");
            let digest = restored
                .as_ref()
                .ok()
                .and_then(|restored| restored.replayed)
                .map(|replayed| replayed.debug_digest);
            assert_eq!(
                digest,
                is_dispensable.then_some(world.digests[&world.last()]),
                "{text}: {restored:?}"
            );
            let says_how = restored
                .as_ref()
                .is_err_and(|error| error.to_string().contains("can't be restored without it"));
            assert!(is_dispensable || says_how, "{text}: {restored:?}");
            // Nor does verify offer what a restore can't give.
            let reaches_end = report.spans.iter().any(|span| span.last == world.last());
            assert_eq!(reaches_end, is_dispensable, "{text}: {report:?}");
            fs::write(&path, whole).expect("it can be mended");
            let folder =
                path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            let kind = ["repository", "log", "checkpoints", "files"]
                .iter()
                .position(|kind| Some(*kind) == folder.as_deref());
            kinds[kind.expect("there are no other folders")] += 1;
        }
        assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
        assert_good(&repository);
    }
}

#[test]
fn verify_without_the_key_finds_flipped_bits_and_gaps_and_claims_no_more() {
    let mut world = World::new();
    let key_file = world.folder.path().join("key");
    Key::create(&key_file).expect("the folder is there");
    let repository = Repository::begin(&world.url(), Some(&key_file), &OWNER).expect("it is empty");
    let mut shipper = resume(&repository, &mut world);
    for _ in 0..3 {
        world.run(10);
        ship(&mut shipper, &repository, &mut world);
    }
    world.checkpoint();
    create(&repository, &mut world, &Clock::system(), |_, _| {}).expect("nothing fails");
    let sealed = || Sealed::open(&world.url()).expect("it can be read").expect("it is encrypted");
    let look = || verify_sealed(&sealed(), |_, _| {}).expect("it can be read");
    let report = look();
    assert!(report.is_clean() && report.logs == 3 && report.pieces > 0, "{report:?}");
    for path in files(&world.folder.path().join("repository")) {
        let whole = fs::read(&path).expect("it is there");
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("HEADER")) {
            continue;
        }
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&path, damaged).expect("it can be damaged");
        assert!(!look().is_clean(), "{}", path.display());
        fs::write(&path, whole).expect("it can be mended");
    }
    let middle = names(&repository)[1];
    repository.remove(&middle.path()).expect("it is there");
    assert_eq!(look().gaps, [(middle.first, middle.last)]);
    let plain = World::new();
    plain.repository();
    assert!(Sealed::open(&plain.url()).expect("it can be read").is_none());
}

#[test]
fn a_missing_object_is_found() {
    let mut world = World::new();
    world.run(30);
    world.checkpoint();
    back_up(&mut world);
    world.run(30);
    back_up(&mut world);
    world.run(30);
    back_up(&mut world);
    let repository = world.repository();
    let middle = names(&repository)[1];
    repository.remove(&middle.path()).expect("it is there");
    let report = verify(&repository, |_, _| {}).expect("it can be read");
    assert!(!report.is_good(), "{report:?}");
    let (piece, _) = repository.pieces().expect("it can be read").pop_first().expect("there is one");
    repository.remove(&piece.path()).expect("it is there");
    let report = verify(&repository, |_, _| {}).expect("it can be read");
    assert!(
        report.problems.iter().any(|problem| problem.to_string().contains(&piece.to_string())),
        "{report:?}"
    );
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone_and_an_unfinished_restore_begun_anew() {
    let mut world = World::new();
    world.run(30);
    world.checkpoint();
    world.run(10);
    back_up(&mut world);
    let repository = world.repository();
    let dir = world.folder.path().join("somewhere");
    let order = Order {
        dir: dir.clone(),
        target: Target::Newest,
        from_checkpoint: None,
        cluster_name: Some("new".to_owned()),
        node_id: 1,
        members: vec![1],
        segment_bytes: SEGMENT_BYTES,
        replay: false,
    };
    fs::create_dir_all(dir.join("photos")).expect("the folder is there");
    let refused = restore(&repository, &order, &mut |_| {});
    assert!(matches!(refused, Err(BackupError::NotEmpty { .. })));
    fs::remove_dir(dir.join("photos")).expect("it is empty");
    // An object of the log is damaged: it ends in the middle.
    let path = names(&repository)[0].path();
    let stored = fs::read(world.folder.path().join("repository").join(&path)).expect("it is there");
    repository.store().put(&path, stored[1..].to_vec()).expect("it can be written");
    let from_first = Order { from_checkpoint: Some(0), ..order.clone() };
    assert!(restore(&repository, &from_first, &mut |_| {}).is_err());
    assert!(crate::data_folder::check_is_whole(&dir).is_err());
    repository.store().put(&path, stored).expect("it can be written");
    restore(&repository, &order, &mut |_| {}).expect("everything is there again");
    assert!(crate::data_folder::check_is_whole(&dir).is_ok());
    assert_eq!(crate::data_folder::cluster_name(&dir).expect("it can be read").as_deref(), Some("new"));
    // It can be started with the checkpoint that it began without, too.
    let without = Order { dir: dir.with_extension("without"), from_checkpoint: Some(0), ..order };
    let restored = restore(&repository, &without, &mut |_| {}).expect("all entries are there");
    assert_eq!((restored.checkpoint, restored.entries), (None, world.last()));
}

/// A life of backups: the log in small objects, checkpoints, full objects, prunes. Ends where the power goes.
fn live(world: &mut World, repository: &Repository, big: &[u8]) -> Result<()> {
    let clock = Clock::system();
    let mut shipper = Shipper::resume(repository, world)?;
    for round in 0..2 {
        for _ in 0..10 {
            world.run(2);
            let Some(shipper) = &mut shipper else { panic!("the log goes back to its first entry") };
            shipper.catch_up(repository, world)?;
            shipper.flush(repository)?;
        }
        world.checkpoint();
        create(repository, world, &clock, |_, _| {})?;
        if round == 1 {
            world.write(&[b"SET", b"big", big]);
        }
        let doomed = prune::plan(repository, Keep::newest(1), clock.unix_ms())?;
        prune::remove(repository, &doomed, &clock, |_| Ok(()))?;
        shipper = Shipper::resume(repository, world)?;
    }
    Ok(())
}

#[test]
fn a_crash_before_any_change_leaves_a_repository_that_verifies_and_goes_on() {
    let big = vec![b'v'; FULL_BYTES];
    let mut changes = 0;
    loop {
        let mut world = World::new();
        world.run(2);
        let repository = world.repository();
        repository.store().changes_left.set(changes);
        let lived = live(&mut world, &repository, &big);
        drop(repository);
        let repository = world.repository();
        let report = verify(&repository, |_, _| {}).expect("it can be read");
        assert!(report.is_good(), "after {changes} changes: {report:?}");
        back_up(&mut world);
        assert_good(&repository);
        if changes % 10 == 7 || lived.is_ok() {
            world.assert_restores(&repository, Target::Newest, world.last());
        }
        if lived.is_ok() {
            break;
        }
        changes += 1;
    }
    assert!(changes > 40, "only {changes} changes");
}
