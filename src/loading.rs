//! How far a start has come: what INFO and the terminal tell while a node reads its log, loads its checkpoint and replays.
//!
//! - While it is under way clients are answered LOADING: nobody is ever served part of the data.
//! - Whoever loads reports here; nobody is kept waiting by it. The numbers are read one by one, so they may be of moments that lie
//!   microseconds apart.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};

/// What every command is answered that can't be carried out while a node loads. Clients know the first word, and try again.
pub const REFUSAL: &str = "LOADING Perdura is loading the dataset in memory";

/// The parts of a start, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    #[default]
    ReadingLog,
    CheckingCheckpoint,
    LoadingCheckpoint,
    Replaying,
}

impl Stage {
    const ALL: [Stage; 4] =
        [Stage::ReadingLog, Stage::CheckingCheckpoint, Stage::LoadingCheckpoint, Stage::Replaying];

    /// In words, for people.
    pub fn text(self) -> &'static str {
        match self {
            Stage::ReadingLog => "reading the log",
            Stage::CheckingCheckpoint => "checking the checkpoint",
            Stage::LoadingCheckpoint => "loading the checkpoint",
            Stage::Replaying => "replaying the log",
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Loading {
    is_under_way: AtomicBool,
    stage: AtomicU8,
    /// Unix time, and monotonic time.
    began_ms: AtomicI64,
    began_monotonic_ms: AtomicU64,
    total_bytes: AtomicU64,
    loaded_bytes: AtomicU64,
    first_index: AtomicU64,
    index: AtomicU64,
    last_index: AtomicU64,
}

/// A start at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    /// Unix time.
    pub began_ms: i64,
    pub began_monotonic_ms: u64,
    /// Bytes of log and checkpoint that are read in all; those of a checkpoint twice: to be checked, then to be loaded.
    pub total_bytes: u64,
    pub loaded_bytes: u64,
    /// The last entry before those to be replayed, the last that was, and the last that will be.
    pub first_index: u64,
    pub index: u64,
    pub last_index: u64,
}

impl Loading {
    /// Begins, at this unix time and this monotonic time.
    pub fn begin(&self, unix_ms: i64, monotonic_ms: u64) {
        self.began_ms.store(unix_ms, Relaxed);
        self.began_monotonic_ms.store(monotonic_ms, Relaxed);
        self.is_under_way.store(true, Ordering::Release);
    }

    pub fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
    }

    /// So many bytes more will have to be read.
    pub fn expect(&self, bytes: u64) {
        self.total_bytes.fetch_add(bytes, Relaxed);
    }

    /// So many of them are.
    pub fn loaded(&self, bytes: u64) {
        self.loaded_bytes.fetch_add(bytes, Relaxed);
    }

    /// All bytes up to here are, counted from the first one.
    pub fn loaded_up_to(&self, bytes: u64) {
        self.loaded_bytes.store(bytes, Relaxed);
    }

    /// The entries behind `first` up to `last` will be replayed.
    pub fn replay(&self, first: u64, last: u64) {
        self.first_index.store(first, Relaxed);
        self.index.store(first, Relaxed);
        self.last_index.store(last.max(first), Relaxed);
        self.enter(Stage::Replaying);
    }

    /// An entry was applied, during a start or later.
    pub fn replayed(&self, index: u64) {
        self.index.store(index, Relaxed);
    }

    /// Clients are served from now on.
    pub fn end(&self) {
        self.is_under_way.store(false, Ordering::Release);
    }

    pub fn is_under_way(&self) -> bool {
        self.is_under_way.load(Ordering::Acquire)
    }

    /// How far it is; `None` when it is over.
    pub fn progress(&self) -> Option<Progress> {
        let total_bytes = self.total_bytes.load(Relaxed);
        let progress = Progress {
            stage: Stage::ALL[usize::from(self.stage.load(Relaxed)).min(Stage::ALL.len() - 1)],
            began_ms: self.began_ms.load(Relaxed),
            began_monotonic_ms: self.began_monotonic_ms.load(Relaxed),
            total_bytes,
            loaded_bytes: self.loaded_bytes.load(Relaxed).min(total_bytes),
            first_index: self.first_index.load(Relaxed),
            index: self.index.load(Relaxed).min(self.last_index.load(Relaxed)),
            last_index: self.last_index.load(Relaxed),
        };
        self.is_under_way().then_some(progress)
    }
}

impl Progress {
    /// Bytes of what is under way in percent of all; entries once the bytes are read.
    pub fn percent(&self) -> f64 {
        let (done, all) = match self.stage {
            Stage::Replaying => (self.index - self.first_index, self.last_index - self.first_index),
            _ => (self.loaded_bytes, self.total_bytes),
        };
        100.0 * done as f64 / all.max(1) as f64
    }

    /// Seconds that the rest takes if it goes on as it went, as Redis reckons: 1 in the first second.
    pub fn eta_s(&self, monotonic_ms: u64) -> u64 {
        let elapsed_s = monotonic_ms.saturating_sub(self.began_monotonic_ms) / 1000;
        match (elapsed_s, self.percent()) {
            (0, _) => 1,
            (_, 0.0) => elapsed_s,
            (_, percent) => (elapsed_s as f64 * (100.0 - percent) / percent).round() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_told_from_its_beginning_to_its_end() {
        let loading = Loading::default();
        assert_eq!(loading.progress(), None);
        loading.begin(1_700_000_000_000, 500);
        loading.expect(300);
        loading.expect(100);
        loading.loaded(100);
        let progress = loading.progress().expect("it is under way");
        assert_eq!((progress.stage, progress.percent()), (Stage::ReadingLog, 25.0));
        assert_eq!((progress.eta_s(900), progress.eta_s(10_500)), (1, 30));
        loading.enter(Stage::LoadingCheckpoint);
        loading.loaded_up_to(1000);
        let progress = loading.progress().expect("it is under way");
        assert_eq!((progress.loaded_bytes, progress.percent()), (400, 100.0));
        loading.replay(10, 30);
        loading.replayed(15);
        let progress = loading.progress().expect("it is under way");
        assert_eq!((progress.stage, progress.percent()), (Stage::Replaying, 25.0));
        loading.end();
        loading.replayed(40);
        assert_eq!(loading.progress(), None);
    }

    #[test]
    fn nothing_to_do_is_no_division_by_zero() {
        let loading = Loading::default();
        loading.begin(0, 0);
        loading.replay(7, 3);
        let progress = loading.progress().expect("it is under way");
        assert_eq!((progress.index, progress.last_index, progress.percent()), (7, 7, 0.0));
        assert_eq!(progress.eta_s(5_000), 5);
    }
}
