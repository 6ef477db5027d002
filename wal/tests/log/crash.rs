//! Crashes at every operation of random workloads, on every kind of disk that the simulator knows.
//!
//! After each crash the log must hold exactly what was acknowledged, or that and the whole of the batch in
//! flight. Nothing in between, nothing else. A failing case prints its seed; `PERDURA_SEEDS=17..18` repeats
//! that one, `PERDURA_SEEDS=0..1000` soaks.

use crate::common::{Model, Random, workload_step};
use perdura_wal::{NewLog, Options, Preparer, Record, SimDisk, Tear, Wal, WalError};

const STEPS: usize = 25;
const LIVES: usize = 3;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Power fails in the midst of an operation.
    Crash,
    /// An operation fails, then power does.
    FailThenCrash,
    /// An operation fails, then the process is started again.
    FailThenRestart,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    seed: u64,
    tear: Tear,
    granularity: u64,
    pad_to_block: bool,
    with_preparer: bool,
    end: End,
}

impl Case {
    /// Every seed is one of the combinations; destroyed blocks go with padding, see docs/durability.md.
    fn from_seed(seed: u64) -> Case {
        let tear = [Tear::Sectors, Tear::Bytes, Tear::Blocks][(seed % 3) as usize];
        let end = [End::Crash, End::FailThenCrash, End::FailThenRestart][(seed / 3 % 3) as usize];
        Case {
            seed,
            tear,
            end,
            granularity: [4096, 1][(seed / 9 % 2) as usize],
            pad_to_block: tear == Tear::Blocks || seed % 4 == 3,
            with_preparer: seed % 2 == 1,
        }
    }

    fn options(&self) -> Options {
        Options {
            segment_bytes: 16 << 10,
            pad_to_block: self.pad_to_block,
            spare_segments: 1,
            create: Some(NewLog { log_id: self.seed, metadata: b"new".to_vec() }),
        }
    }
}

/// What the log may hold when it is opened next.
#[derive(Debug, Clone)]
struct Expected {
    acknowledged: Model,
    in_flight: Option<Model>,
}

impl Expected {
    fn new() -> Expected {
        Expected { acknowledged: Model::with_metadata(b"new"), in_flight: None }
    }

    fn settle(&mut self, found: Model, case: &Case) {
        let matches = found == self.acknowledged || Some(&found) == self.in_flight.as_ref();
        assert!(matches, "{case:?}\nfound {found:#?}\nexpected {self:#?}");
        self.acknowledged = found;
        self.in_flight = None;
    }
}

/// Runs until something fails or the work is done.
fn live(disk: &SimDisk, case: &Case, random: &mut Random, expected: &mut Expected) -> Result<(), WalError> {
    let (mut wal, _) = Wal::open(disk.clone(), case.options())?;
    expected.settle(Model::of(&wal), case);
    let preparer = case.with_preparer.then(|| wal.take_preparer());
    for _ in 0..STEPS {
        let result = work(&mut wal, preparer.as_ref(), random, expected);
        if let Err(error) = result {
            assert_poisoned(&mut wal, &error);
            return Err(error);
        }
    }
    wal.verify()?;
    Ok(())
}

fn work(
    wal: &mut Wal<SimDisk>,
    preparer: Option<&Preparer<SimDisk>>,
    random: &mut Random,
    expected: &mut Expected,
) -> Result<(), WalError> {
    let mut next = expected.acknowledged.clone();
    for _ in 0..1 + random.below(3) {
        workload_step(random, wal, &mut next)?;
    }
    expected.in_flight = Some(next.clone());
    wal.commit()?;
    expected.acknowledged = next;
    expected.in_flight = None;
    if let Some(preparer) = preparer
        && random.below(3) == 0
    {
        // What fails here fails again, for good, when a commit needs it.
        let _ = preparer.step();
    }
    Ok(())
}

fn assert_poisoned(wal: &mut Wal<SimDisk>, error: &WalError) {
    let again = [
        wal.commit().expect_err("poisoned"),
        wal.truncate_suffix(1).expect_err("poisoned"),
        wal.read(1..2, 1).expect_err("poisoned"),
    ];
    for other in again {
        assert_eq!(other.to_string(), error.to_string());
    }
}

/// Lives through `LIVES` lives, the first of which ends at `operation`. Returns the number of operations
/// that the first one would have had.
fn run(case: &Case, operation: Option<u64>) -> u64 {
    let mut random = Random::new(case.seed);
    let mut disk = SimDisk::new(case.seed, case.tear, case.granularity);
    let mut expected = Expected::new();
    let mut operation = operation;
    for _ in 0..LIVES {
        match (operation, case.end) {
            (None, _) => {}
            (Some(at), End::Crash) => disk.crash_at(at),
            (Some(at), _) => disk.fail_at(at),
        }
        let result = live(&disk, case, &mut random, &mut expected);
        if let Err(error) = &result {
            assert!(matches!(error, WalError::Io { .. }), "{case:?}: {error}");
        }
        if operation.is_none() {
            return disk.operations();
        }
        disk = match case.end {
            End::FailThenRestart => disk.kill(),
            End::Crash | End::FailThenCrash => disk.crash(),
        };
        operation = Some(disk.operations() + random.below(120));
    }
    // The last life is undisturbed.
    let last = live(&disk, case, &mut random, &mut expected);
    last.unwrap_or_else(|error| panic!("{case:?}: {error}"));
    disk.operations()
}

/// The seeds asked for in the environment, or the usual ones.
fn seeds(usual: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("PERDURA_SEEDS") else {
        return usual;
    };
    let (start, end) = asked.split_once("..").expect("PERDURA_SEEDS=first..end");
    start.parse().expect("first seed")..end.parse().expect("end of seeds")
}

fn crash_everywhere(usual: std::ops::Range<u64>) {
    for seed in seeds(usual) {
        let case = Case::from_seed(seed);
        let operations = run(&case, None);
        println!("{case:?}: {operations} operations");
        for operation in 0..operations {
            run(&case, Some(operation));
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_nothing_else_appears() {
    crash_everywhere(0..9);
}

#[test]
fn nor_with_writes_through_the_page_cache() {
    crash_everywhere(9..18);
}

#[test]
fn the_simulation_repeats_itself() {
    for seed in 0..6 {
        let case = Case::from_seed(seed);
        assert_eq!(run(&case, Some(50)), run(&case, Some(50)));
    }
}

/// Long batches are written in parts of 8 MiB; power fails in the midst of one of them.
#[test]
fn a_long_batch_of_which_only_parts_were_written_is_gone_after_a_crash() {
    let options = || Options {
        segment_bytes: 16 << 20,
        spare_segments: 0,
        create: Some(NewLog { log_id: 1, metadata: Vec::new() }),
        ..Options::default()
    };
    let open = |disk: &SimDisk| Wal::open(disk.clone(), options()).expect("the log opens").0;
    let long = vec![7; 9 << 20];
    // Each part is a write and its sync.
    for operation in [1, 2, 4] {
        let disk = SimDisk::new(3, Tear::Sectors, 4096);
        let mut wal = open(&disk);
        wal.stage(Record { index: 1, term: 1, payload: b"short" }).expect("it is staged");
        wal.commit().expect("it is written");
        wal.stage(Record { index: 2, term: 1, payload: &long }).expect("it is staged");
        disk.crash_at(disk.operations() + operation);
        let written = wal.commit().map(|stats| stats.write_calls);
        drop(wal);
        let last = open(&disk.crash()).last_index();
        match operation {
            1 => assert!(written.is_err() && last == 1),
            // Of the last part all may have survived.
            2 => assert!(written.is_err() && (1..=2).contains(&last)),
            _ => assert!(matches!(written, Ok(2)) && last == 2),
        }
    }
}
