//! What the simulated disk knows: live and durable bytes, live and durable names, and the plan of faults.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::{ReadFailure, Tear};

const SECTOR_BYTES: usize = 512;
const BLOCK_BYTES: usize = 4096;

pub(super) type FileId = u64;

/// What is planned for an operation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trip {
    Crash,
    Fail,
}

/// How an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Whole,
    Failed,
    PowerOff,
}

/// A change of names that a crash may undo, together with all later ones.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Set(String, FileId),
    Rename(String, String),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) -> io::Result<()> {
        match self {
            NameChange::Set(name, id) => {
                names.insert(name.clone(), *id);
            }
            NameChange::Rename(from, to) => {
                let id = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
                names.insert(to.clone(), id);
            }
            NameChange::Remove(name) => {
                names.remove(name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(())
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
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
}

/// Which of the unsynced pieces survive a crash.
#[derive(Debug, Clone, Copy)]
enum Fate {
    None,
    All,
    Some,
}

#[derive(Debug, Default)]
pub(super) struct FileState {
    pub live: Vec<u8>,
    durable: Vec<u8>,
    /// Ranges of live bytes that no sync has covered.
    unsynced: Vec<Range<usize>>,
    /// Ranges that can't be read until they are written again.
    unreadable: Vec<Range<usize>>,
}

impl FileState {
    pub fn write(&mut self, bytes: &[u8], offset: u64) {
        let range = offset as usize..offset as usize + bytes.len();
        place(&mut self.live, range.start, bytes);
        self.unreadable = self.unreadable.iter().flat_map(|bad| without(bad, &range)).collect();
        self.unsynced.push(range);
    }

    pub fn sync(&mut self) {
        for range in std::mem::take(&mut self.unsynced) {
            self.make_durable(range);
        }
    }

    pub fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let start = offset as usize;
        self.check_readable(start..start + bytes.len()).map_err(|failure| failure.source)?;
        let source = self.live.get(start..start + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(source);
        Ok(())
    }

    /// Fails at the first byte of `range` that can't be read.
    pub fn check_readable(&self, range: Range<usize>) -> Result<(), ReadFailure> {
        let bad = self.unreadable.iter().filter(|bad| bad.start < range.end && range.start < bad.end);
        match bad.map(|bad| bad.start.max(range.start)).min() {
            None => Ok(()),
            Some(offset) => {
                Err(ReadFailure { offset: offset as u64, source: io::Error::from_raw_os_error(libc::EIO) })
            }
        }
    }

    pub fn spoil(&mut self, range: Range<usize>) {
        self.unreadable.push(range);
    }

    /// What a read past the page cache shows, and any read from now on: unsynced writes, but none that a failed sync lost.
    pub fn drop_cache(&mut self) -> &[u8] {
        let mut bytes = self.durable.clone();
        for range in &self.unsynced {
            place(&mut bytes, range.start, &self.live[range.clone()]);
        }
        self.live = bytes;
        &self.live
    }

    pub fn corrupt(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset as usize + bytes.len();
        if end > self.live.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        place(&mut self.live, offset as usize, bytes);
        place(&mut self.durable, offset as usize, bytes);
        Ok(())
    }

    pub fn set_length(&mut self, length: usize) {
        self.sync();
        self.live.resize(length, 0);
        self.durable.resize(length, 0);
    }

    fn make_durable(&mut self, range: Range<usize>) {
        let start = range.start;
        place(&mut self.durable, start, &self.live[range]);
    }

    /// Lets unsynced writes survive in part.
    fn tear(&mut self, tear: Tear, random: &mut Random) {
        let fate = match random.below(4) {
            0 => Fate::None,
            1 => Fate::All,
            _ => Fate::Some,
        };
        for range in std::mem::take(&mut self.unsynced) {
            match (fate, tear) {
                (Fate::None, _) => {}
                (Fate::All, _) => self.make_durable(range),
                (Fate::Some, Tear::Bytes) => {
                    let kept = random.below(range.len() as u64 + 1) as usize;
                    self.make_durable(range.start..range.start + kept);
                }
                (Fate::Some, Tear::Sectors) => self.keep_some_sectors(range, random),
                (Fate::Some, Tear::Blocks) => self.destroy_some_blocks(range, random),
            }
        }
        self.live.clone_from(&self.durable);
    }

    fn keep_some_sectors(&mut self, range: Range<usize>, random: &mut Random) {
        for piece in pieces(range, SECTOR_BYTES) {
            if random.below(2) == 0 {
                self.make_durable(piece);
            }
        }
    }

    fn destroy_some_blocks(&mut self, range: Range<usize>, random: &mut Random) {
        for piece in pieces(range, BLOCK_BYTES) {
            match random.below(3) {
                0 => {}
                1 => self.make_durable(piece),
                _ => {
                    let start = piece.start - piece.start % BLOCK_BYTES;
                    let noise: Vec<u8> = (0..BLOCK_BYTES).map(|_| random.next() as u8).collect();
                    place(&mut self.durable, start, &noise);
                }
            }
        }
    }
}

/// What is left of `bad` when `written` is taken out of it.
fn without(bad: &Range<usize>, written: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let before = bad.start..bad.end.min(written.start);
    let after = bad.start.max(written.end)..bad.end;
    [before, after].into_iter().filter(|range| !range.is_empty())
}

/// Cuts `range` at the multiples of `size`.
fn pieces(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let end = range.end.min((start / size + 1) * size);
        let piece = start..end;
        start = end;
        (!piece.is_empty()).then_some(piece)
    })
}

fn place(bytes: &mut Vec<u8>, offset: usize, piece: &[u8]) {
    if bytes.len() < offset + piece.len() {
        bytes.resize(offset + piece.len(), 0);
    }
    bytes[offset..offset + piece.len()].copy_from_slice(piece);
}

#[derive(Debug)]
pub(super) struct State {
    pub random: Random,
    tear: Tear,
    pub granularity: u64,
    pub capacity: Option<u64>,
    files: BTreeMap<FileId, FileState>,
    next_id: FileId,
    pub live_names: BTreeMap<String, FileId>,
    durable_names: BTreeMap<String, FileId>,
    unsynced_names: Vec<NameChange>,
    pub operations: u64,
    pub trips: BTreeMap<u64, Trip>,
    power: bool,
    pub life: u64,
    pub locked: bool,
}

impl State {
    pub fn new(seed: u64, tear: Tear, granularity: u64) -> State {
        State {
            random: Random(seed),
            tear,
            granularity,
            capacity: None,
            files: BTreeMap::new(),
            next_id: 0,
            live_names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            operations: 0,
            trips: BTreeMap::new(),
            power: true,
            life: 0,
            locked: false,
        }
    }

    pub fn check_alive(&self, life: u64) -> io::Result<()> {
        if self.power && self.life == life { Ok(()) } else { Err(power_is_off()) }
    }

    pub fn begin_operation(&mut self) -> Effect {
        let trip = self.trips.remove(&self.operations);
        self.operations += 1;
        match trip {
            None => Effect::Whole,
            Some(Trip::Fail) => Effect::Failed,
            Some(Trip::Crash) => {
                self.power = false;
                Effect::PowerOff
            }
        }
    }

    pub fn end_operation(&self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Whole => Ok(()),
            Effect::Failed => Err(io::Error::from_raw_os_error(libc::EIO)),
            Effect::PowerOff => Err(power_is_off()),
        }
    }

    pub fn new_file(&mut self) -> FileId {
        self.next_id += 1;
        self.files.insert(self.next_id, FileState::default());
        self.next_id
    }

    pub fn put(&mut self, name: &str, bytes: &[u8]) {
        let id = self.new_file();
        if let Some(file) = self.files.get_mut(&id) {
            file.write(bytes, 0);
            file.sync();
        }
        self.live_names.insert(name.to_owned(), id);
        self.durable_names.insert(name.to_owned(), id);
    }

    pub fn find(&self, name: &str) -> io::Result<FileId> {
        let id = self.live_names.get(name).copied();
        id.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub fn file(&mut self, id: FileId) -> io::Result<&mut FileState> {
        let file = self.files.get_mut(&id);
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub fn check_capacity(&mut self, id: FileId, end: u64) -> io::Result<()> {
        let growth = end.saturating_sub(self.file(id)?.live.len() as u64);
        let used: u64 = self.files.values().map(|file| file.live.len() as u64).sum();
        match self.capacity {
            Some(capacity) if growth > 0 && used + growth > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    pub fn change_names(&mut self, change: NameChange) -> io::Result<()> {
        let effect = self.begin_operation();
        if effect != Effect::Failed {
            change.apply(&mut self.live_names)?;
            self.unsynced_names.push(change);
        }
        self.end_operation(effect)
    }

    pub fn sync_names(&mut self) -> io::Result<()> {
        let effect = self.begin_operation();
        if effect == Effect::Whole {
            self.unsynced_names.clear();
            self.durable_names.clone_from(&self.live_names);
            self.drop_nameless_files();
        }
        self.end_operation(effect)
    }

    /// A failed sync: some writes are on the disk, the others will never be; nobody is told which.
    pub fn lose_some_writes(&mut self, id: FileId) -> io::Result<()> {
        let writes = std::mem::take(&mut self.file(id)?.unsynced);
        for range in writes {
            if self.random.below(2) == 0 {
                self.file(id)?.make_durable(range);
            }
        }
        Ok(())
    }

    pub fn lose_power(&mut self) {
        let changes = std::mem::take(&mut self.unsynced_names);
        let kept = self.random.below(changes.len() as u64 + 1) as usize;
        for change in &changes[..kept] {
            // A change that was possible on the live names is possible in the same order here.
            let _ = change.apply(&mut self.durable_names);
        }
        self.live_names.clone_from(&self.durable_names);
        for file in self.files.values_mut() {
            file.tear(self.tear, &mut self.random);
        }
        self.drop_nameless_files();
    }

    pub fn begin_life(&mut self) {
        self.life += 1;
        self.power = true;
        self.locked = false;
        self.trips.clear();
    }

    fn drop_nameless_files(&mut self) {
        let named: Vec<FileId> = self.live_names.values().copied().collect();
        self.files.retain(|id, _| named.contains(id));
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the simulated machine is off")
}
