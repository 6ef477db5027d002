//! Two shelves and a wire between them that loses, repeats and delays what is said.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::folder::FolderDock;
use super::lender::Lender;
use super::*;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::manifest::{self, Point};
use crate::checkpoint::shelf::Shelf;
use crate::checkpoint::testing::Scratch;

const STEP_MS: u64 = 100;
const SOURCE: u64 = 7;
const UNLIMITED: Pace = Pace { bytes_per_second: 0 };

fn manifest_of(index: u64) -> Manifest {
    let point = Point { index, ..Point::default() };
    let databases = Default::default();
    Manifest {
        point,
        databases,
        generations: BTreeMap::new(),
        next_blob: 0,
        hash_seed: Default::default(),
        files: Vec::new(),
    }
}

/// Bytes that no other seed gives.
fn content(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed) ^ (at >> 8) as u8).collect()
}

fn publish(shelf: &Shelf, index: u64, files: &[(&str, Vec<u8>)]) -> Result<Manifest> {
    let staged = shelf.temporary("staged")?;
    fs::create_dir(&staged).expect("the shelf is there");
    for (name, bytes) in files {
        fs::write(staged.join(name), bytes).expect("the folder is there");
    }
    shelf.publish(&staged, manifest_of(index), None)
}

fn some_files(seed: u8) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("000001.sst", content(1, 700_000)),
        ("000002.sst", content(seed, 300_000)),
        ("CURRENT", content(seed, 16)),
        ("EMPTY", Vec::new()),
    ]
}

/// What happens to the next thing that is said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Luck {
    Arrives,
    IsLost,
    ComesTwice,
    ComesLate,
}

struct Pair {
    source: Shelf,
    lender: Lender,
    target: Shelf,
    fetch: Fetch<FolderDock>,
    now_ms: u64,
    asked_bytes: u64,
    luck: Vec<Luck>,
    late: Vec<Shipment>,
    folders: [Scratch; 2],
}

impl Pair {
    fn new(pace: Pace) -> Pair {
        let folders = [Scratch::new(), Scratch::new()];
        let [source, target] = [0, 1].map(|at: usize| Shelf::open(folders[at].path()).expect("a shelf"));
        Pair {
            lender: Lender::new(source.clone()),
            fetch: Fetch::new(FolderDock::new(target.clone()), pace),
            source,
            target,
            now_ms: 0,
            asked_bytes: 0,
            luck: Vec::new(),
            late: Vec::new(),
            folders,
        }
    }

    /// The process that fetches is started anew.
    fn restart(&mut self, pace: Pace) {
        self.target = Shelf::open(self.folders[1].path()).expect("the shelf is there");
        self.fetch = Fetch::new(FolderDock::new(self.target.clone()), pace);
    }

    fn want(&mut self, index: u64) {
        self.fetch.want(Some(Wanted { from: SOURCE, index }));
    }

    /// One step of time: asks, answers, and what comes of them.
    fn step(&mut self) -> Option<Manifest> {
        self.now_ms += STEP_MS;
        let mut asks = Vec::new();
        self.fetch.turn(self.now_ms, |to, ask| {
            assert_eq!(to, SOURCE);
            asks.push(ask);
        });
        let mut fetched = None;
        for shipment in std::mem::take(&mut self.late) {
            fetched = fetched.or(self.fetch.take(SOURCE, shipment, self.now_ms));
        }
        for ask in asks {
            self.asked_bytes += u64::from(ask.length);
            let shipment = answer(&mut self.lender, ask, self.now_ms);
            match self.luck.pop().unwrap_or(Luck::Arrives) {
                Luck::IsLost => {}
                Luck::ComesLate => self.late.push(shipment),
                Luck::Arrives => {
                    fetched = fetched.or(self.fetch.take(SOURCE, shipment, self.now_ms));
                }
                Luck::ComesTwice => {
                    for again in [shipment.clone(), shipment] {
                        fetched = fetched.or(self.fetch.take(SOURCE, again, self.now_ms));
                    }
                }
            }
        }
        fetched
    }

    fn run(&mut self, most_steps: usize) -> Option<Manifest> {
        (0..most_steps).find_map(|_| self.step())
    }
}

fn bytes_of(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).expect("the file is there")
}

#[test]
fn a_checkpoint_comes_over_whole_and_is_marked() -> Result<()> {
    let mut pair = Pair::new(UNLIMITED);
    let sent = publish(&pair.source, 12, &some_files(2))?;
    pair.want(12);
    assert_eq!(pair.run(10), Some(sent.clone()));
    assert_eq!(pair.target.verify(12, |_| {})?, sent);
    assert_eq!(bytes_of(&pair.target.path(12), "000001.sst"), content(1, 700_000));
    assert_eq!(pair.target.adopting()?, Some(12));
    pair.target.end_adoption()?;
    assert_eq!(pair.target.adopting()?, None);
    assert_eq!(pair.target.fetched()?.len(), 0);
    Ok(())
}

#[test]
fn what_is_removed_at_the_source_is_fetched_to_its_end() -> Result<()> {
    let mut pair = Pair::new(UNLIMITED);
    publish(&pair.source, 12, &some_files(2))?;
    publish(&pair.source, 13, &some_files(3))?;
    pair.want(12);
    pair.step();
    pair.source.prune(1)?;
    assert!(pair.run(10).is_some());
    assert_eq!(pair.lender.oldest(), Some(12));
    pair.lender.take_back(pair.now_ms + 60_000);
    assert_eq!(pair.lender.oldest(), None);
    assert!(pair.source.list()? == [13]);
    Ok(())
}

#[test]
fn what_is_gone_rests_and_another_is_taken_at_once() -> Result<()> {
    let mut pair = Pair::new(UNLIMITED);
    publish(&pair.source, 13, &some_files(3))?;
    pair.want(12);
    pair.step();
    assert_eq!(pair.fetch.progress(), None);
    pair.want(13);
    assert!(pair.run(10).is_some());
    Ok(())
}

#[test]
fn after_a_restart_complete_files_are_not_fetched_again() -> Result<()> {
    let slow = Pace { bytes_per_second: 2_000_000 };
    let mut pair = Pair::new(slow);
    let sent = publish(&pair.source, 12, &some_files(2))?;
    pair.want(12);
    let is_there = |pair: &Pair| pair.target.fetching(12).join("000001.sst").exists();
    while !is_there(&pair) {
        assert_eq!(pair.step(), None);
    }
    pair.restart(UNLIMITED);
    assert!(is_there(&pair));
    let asked_before = pair.asked_bytes;
    pair.want(12);
    assert_eq!(pair.run(10), Some(sent));
    assert!(pair.asked_bytes - asked_before < 700_000, "{} bytes", pair.asked_bytes - asked_before);
    Ok(())
}

#[test]
fn files_of_an_older_checkpoint_are_not_fetched() -> Result<()> {
    let mut pair = Pair::new(UNLIMITED);
    publish(&pair.source, 12, &some_files(2))?;
    publish(&pair.source, 15, &some_files(9))?;
    pair.want(12);
    assert!(pair.run(10).is_some());
    let asked_before = pair.asked_bytes;
    pair.want(15);
    assert!(pair.run(10).is_some());
    assert!(pair.asked_bytes - asked_before < 700_000);
    pair.target.verify(15, |_| {})?;
    Ok(())
}

#[test]
fn a_file_that_is_damaged_at_the_source_is_never_published() -> Result<()> {
    let mut pair = Pair::new(UNLIMITED);
    publish(&pair.source, 12, &some_files(2))?;
    let mut damaged = content(1, 700_000);
    damaged[5] ^= 1;
    fs::write(pair.source.path(12).join("000001.sst"), damaged).expect("it can be damaged");
    pair.want(12);
    assert_eq!(pair.run(200), None);
    assert_eq!(pair.target.list()?, [0; 0]);
    Ok(())
}

#[test]
fn a_file_that_a_crash_damaged_is_fetched_again() -> Result<()> {
    let mut pair = Pair::new(Pace { bytes_per_second: 2_000_000 });
    let sent = publish(&pair.source, 12, &some_files(2))?;
    pair.want(12);
    let file = pair.target.fetching(12).join("000001.sst");
    while !file.exists() {
        pair.step();
    }
    fs::write(&file, content(77, 700_000)).expect("it can be damaged");
    pair.restart(UNLIMITED);
    pair.want(12);
    assert_eq!(pair.run(200), Some(sent));
    Ok(())
}

#[test]
fn no_more_is_asked_for_than_the_pace_allows() -> Result<()> {
    let mut pair = Pair::new(Pace { bytes_per_second: 1 << 20 });
    publish(&pair.source, 12, &[("1.sst", content(1, 4 << 20))])?;
    pair.want(12);
    pair.run(20);
    let progress = pair.fetch.progress().expect("it takes some four seconds");
    assert!(progress.bytes <= 3 << 20 && progress.total_bytes == 4 << 20, "{progress:?}");
    assert!(pair.run(40).is_some());
    Ok(())
}

#[test]
fn a_slow_pace_holds_up_nobody_for_what_is_small() -> Result<()> {
    let mut pair = Pair::new(Pace { bytes_per_second: 20_000 });
    publish(&pair.source, 12, &[("1.sst", content(1, 2000))])?;
    pair.want(12);
    assert!(pair.run(10).is_some());
    Ok(())
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let scratch = Scratch::new();
    let mut dock = FolderDock::new(Shelf::open(scratch.path()).expect("a shelf"));
    let long = "x".repeat(300);
    for name in ["../x", "/etc/x", "", ".", "..", "a/b", "x.part", manifest::FILE_NAME, "a\0b", &long] {
        let mut manifest = manifest_of(1);
        manifest.files.push(FileSum { name: name.to_owned(), bytes: 1, xxh3: 0 });
        assert!(matches!(dock.begin(&manifest), Err(CheckpointError::Fetched { .. })), "{name}");
    }
    let mut twice = manifest_of(1);
    twice.files = vec![FileSum { name: "a".to_owned(), bytes: 1, xxh3: 0 }; 2];
    assert!(matches!(dock.begin(&twice), Err(CheckpointError::Fetched { .. })));
}

#[test]
fn a_checkpoint_that_does_not_fit_on_the_disk_is_refused_before_it_is_fetched() {
    let scratch = Scratch::new();
    let mut dock = FolderDock::new(Shelf::open(scratch.path()).expect("a shelf"));
    let file = |name: &str, bytes| FileSum { name: name.to_owned(), bytes, xxh3: 0 };
    for (files, reason) in [
        (vec![file("a", 1 << 60)], "are to be fetched"),
        (vec![file("a", u64::MAX), file("b", 2)], "make no sense"),
    ] {
        let manifest = Manifest { files, ..manifest_of(1) };
        assert_eq!(manifest.bytes(), manifest.files[0].bytes);
        let refused = dock.begin(&manifest).expect_err("no disk has so much").to_string();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn asks_that_make_no_sense_are_answered_all_the_same() -> Result<()> {
    let mut pair = Pair::new(UNLIMITED);
    publish(&pair.source, 12, &some_files(2))?;
    let mut read = |ask| pair.lender.read(ask, 0);
    let beyond = Ask { index: 12, file: 1, offset: u64::MAX, length: u32::MAX };
    assert!(read(beyond)?.is_some_and(|piece| piece.bytes.is_empty()));
    assert_eq!(read(Ask { file: 99, ..beyond })?, None);
    assert_eq!(read(Ask { index: 1, ..beyond })?, None);
    let all = read(Ask { offset: 0, ..beyond })?.expect("it is there");
    assert_eq!(all.bytes.len(), MAX_PIECE_BYTES as usize);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn whatever_becomes_of_what_is_said_the_checkpoint_comes_over(
        luck in prop::collection::vec(
            prop_oneof![
                Just(Luck::Arrives), Just(Luck::IsLost), Just(Luck::ComesTwice), Just(Luck::ComesLate),
            ],
            0..60,
        ),
        restarts in prop::collection::vec(1..12usize, 0..4),
        sizes in prop::collection::vec(0..900_000usize, 1..4),
    ) {
        let mut pair = Pair::new(UNLIMITED);
        let names = ["1.sst", "2.sst", "3.sst"];
        let files: Vec<_> = sizes.iter().enumerate().map(|(at, len)| (names[at], content(at as u8, *len))).collect();
        let sent = publish(&pair.source, 12, &files).expect("the disk works");
        pair.luck = luck;
        pair.want(12);
        let mut fetched = None;
        for steps in restarts {
            fetched = fetched.or(pair.run(steps));
            if fetched.is_none() {
                pair.restart(UNLIMITED);
                pair.want(12);
            }
        }
        let fetched = fetched.or_else(|| pair.run(2_000));
        prop_assert_eq!(fetched, Some(sent));
        pair.target.verify(12, |_| {}).expect("it is whole");
    }
}
