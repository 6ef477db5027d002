//! A model of the log that is too simple to be wrong, and random work for both.

use std::collections::BTreeMap;

use perdura_wal::{Disk, HardState, Position, Record, Wal, WalError};

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// All that a log holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Model {
    pub base: Position,
    pub entries: BTreeMap<u64, (u64, Vec<u8>)>,
    pub hard_state: HardState,
    pub metadata: Vec<u8>,
}

impl Model {
    pub fn with_metadata(metadata: &[u8]) -> Model {
        Model { metadata: metadata.to_vec(), ..Model::default() }
    }

    /// What `wal` shows.
    pub fn of<D: Disk>(wal: &Wal<D>) -> Model {
        let range = wal.first_index()..wal.last_index() + 1;
        let records = wal.read(range, u64::MAX).expect("all there");
        for record in &records {
            assert_eq!(wal.term(record.index).expect("there"), record.term);
        }
        Model {
            base: wal.base(),
            entries: records
                .into_iter()
                .map(|record| (record.index, (record.term, record.payload)))
                .collect(),
            hard_state: wal.hard_state(),
            metadata: wal.metadata().to_vec(),
        }
    }

    pub fn last(&self) -> Position {
        let last = self.entries.last_key_value();
        last.map_or(self.base, |(&index, &(term, _))| Position { index, term })
    }
}

/// Stages something in `wal`, and does the same to `model`.
pub fn workload_step<D: Disk>(
    random: &mut Random,
    wal: &mut Wal<D>,
    model: &mut Model,
) -> Result<(), WalError> {
    match random.below(20) {
        0..10 => append(random, wal, model),
        10..12 => conflict(random, wal, model),
        12..15 => hard_state(random, wal, model),
        15..18 => compact(random, wal, model),
        18 => metadata(random, wal, model),
        _ => reset(random, wal, model),
    }
}

fn append<D: Disk>(random: &mut Random, wal: &mut Wal<D>, model: &mut Model) -> Result<(), WalError> {
    for _ in 0..1 + random.below(6) {
        let last = model.last();
        let length = match random.below(30) {
            0 => random.below(40_000),
            1..10 => random.below(3_000),
            _ => random.below(100),
        };
        let index = last.index + 1;
        let term = last.term + random.below(8) / 7;
        let payload = random.bytes(length);
        wal.stage(Record { index, term, payload: &payload })?;
        model.entries.insert(index, (term, payload));
    }
    Ok(())
}

fn conflict<D: Disk>(random: &mut Random, wal: &mut Wal<D>, model: &mut Model) -> Result<(), WalError> {
    let lowest = model.hard_state.commit.max(model.base.index) + 1;
    let last = model.last();
    if lowest > last.index {
        return Ok(());
    }
    let from = lowest + random.below(last.index - lowest + 1);
    model.entries.split_off(&from);
    if random.below(3) == 0 {
        return wal.truncate_suffix(from);
    }
    let payload = random.bytes(20);
    let term = last.term + 1;
    wal.stage(Record { index: from, term, payload: &payload })?;
    model.entries.insert(from, (term, payload));
    Ok(())
}

fn hard_state<D: Disk>(random: &mut Random, wal: &mut Wal<D>, model: &mut Model) -> Result<(), WalError> {
    let old = model.hard_state;
    let last = model.last();
    let commit = old.commit + random.below(last.index - old.commit + 1);
    let new = HardState { term: last.term, vote: random.below(4), commit };
    wal.stage_hard_state(new)?;
    model.hard_state = new;
    Ok(())
}

/// Only what is committed can be compacted, so this looks at the log as well as at the model.
fn compact<D: Disk>(random: &mut Random, wal: &mut Wal<D>, model: &mut Model) -> Result<(), WalError> {
    let commit = model.hard_state.commit.min(wal.hard_state().commit);
    if commit <= model.base.index {
        return Ok(());
    }
    let index = model.base.index + 1 + random.below(commit - model.base.index);
    wal.compact_prefix(index)?;
    let kept = model.entries.split_off(&(index + 1));
    let (term, _) = model.entries[&index];
    model.entries = kept;
    model.base = Position { index, term };
    Ok(())
}

fn metadata<D: Disk>(random: &mut Random, wal: &mut Wal<D>, model: &mut Model) -> Result<(), WalError> {
    let length = random.below(300);
    model.metadata = random.bytes(length);
    wal.stage_metadata(&model.metadata)
}

fn reset<D: Disk>(random: &mut Random, wal: &mut Wal<D>, model: &mut Model) -> Result<(), WalError> {
    let last = model.last();
    let base =
        Position { index: model.hard_state.commit + random.below(20), term: last.term + random.below(2) };
    wal.reset(base)?;
    model.base = base;
    model.entries.clear();
    Ok(())
}
