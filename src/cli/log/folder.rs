//! The log's folder, opened for reading only, and how far reading has come.

use std::io;
use std::path::PathBuf;

use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressStyle};
use perdura_wal::{Disk, LogView, Progress, ReadOnlyDisk, Sources, WalError};

use super::Failure;
use crate::checkpoint::shelf::Shelf;
use crate::cli::arguments;
use crate::config::settings::Settings;
use crate::data_folder::{CHECKPOINT_FOLDER, LOG_FOLDER};

/// A folder that holds a log, or should.
pub struct Folder {
    data: PathBuf,
    path: PathBuf,
    pub disk: ReadOnlyDisk,
}

impl Folder {
    /// The folder that `serve` would use under these arguments.
    pub fn open(matches: &ArgMatches) -> Result<Folder, Failure> {
        let settings = Settings::resolve(&arguments::flags_of(matches), arguments::environment());
        let dir = settings.and_then(|settings| settings.required("dir", |text| Ok(PathBuf::from(text))));
        let data = dir.map_err(|error| Failure::Mistake(error.to_string()))?;
        let path = data.join(LOG_FOLDER);
        let folder = path.display().to_string();
        match ReadOnlyDisk::open(&path) {
            Ok(disk) => Ok(Folder { data, path, disk }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::NoLog { folder }),
            Err(source) => Err(Failure::Folder { folder, source }),
        }
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Where the checkpoints beside the log are.
    pub fn checkpoint_folder(&self) -> String {
        self.data.join(CHECKPOINT_FOLDER).display().to_string()
    }

    /// The checkpoints beside the log, to be looked at.
    pub fn shelf(&self) -> Shelf {
        Shelf::at(&self.data.join(CHECKPOINT_FOLDER))
    }

    /// Indexes of the checkpoints beside the log, oldest first.
    pub fn checkpoints(&self) -> Result<Vec<u64>, Failure> {
        let is_there = self.data.join(CHECKPOINT_FOLDER).is_dir();
        if is_there { Ok(self.shelf().list()?) } else { Ok(Vec::new()) }
    }

    /// Keeps nodes from starting on it as long as what is returned lives, and refuses where one runs.
    pub fn lock(&self) -> Result<<ReadOnlyDisk as Disk>::Lock, Failure> {
        self.disk.lock().map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => Failure::InUse { folder: self.name() },
            _ => Failure::Folder { folder: self.name(), source },
        })
    }

    /// Reads and checks the whole log.
    pub fn view(&self) -> Result<LogView<ReadOnlyDisk>, Failure> {
        self.found(self.with_sources(|sources| LogView::open(self.disk.clone(), sources)))
    }

    /// Reads the end of the log, from before the entry that `first` makes of the last one's index.
    pub fn view_end(&self, first: impl Fn(u64) -> u64) -> Result<LogView<ReadOnlyDisk>, Failure> {
        self.found(self.with_sources(|sources| LogView::open_end(self.disk.clone(), first, sources)))
    }

    /// Lets `read` ask for the newest whole checkpoint beside the log, and shows on a terminal how far it has come.
    pub fn with_sources<T>(&self, read: impl FnOnce(&mut Sources<'_>) -> T) -> T {
        let shelf = self.shelf();
        let mut checkpoint = || shelf.position_for_log();
        with_progress(|progress| read(&mut Sources { progress, checkpoint: &mut checkpoint }))
    }

    /// What a search for the log came to.
    pub fn found<T>(&self, found: Result<Option<T>, WalError>) -> Result<T, Failure> {
        let found = found.map_err(|error| self.failure(error))?;
        found.ok_or_else(|| Failure::NoLog { folder: self.name() })
    }

    pub fn failure(&self, error: WalError) -> Failure {
        let folder = self.name();
        match error {
            WalError::InUse => Failure::InUse { folder },
            error => Failure::Log { folder, error },
        }
    }
}

/// Shows on a terminal how far `read` has come.
pub fn with_progress<T>(read: impl FnOnce(&mut dyn FnMut(&Progress)) -> T) -> T {
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("reading the log {bar:40} {pos} of {len} segments, {msg}");
    // A template that can't be parsed leaves the usual one.
    if let Ok(style) = style {
        bar.set_style(style);
    }
    let result = read(&mut |progress: &Progress| {
        bar.set_length(progress.segments as u64);
        bar.set_position(progress.segments_done as u64);
        bar.set_message(super::bytes_text(progress.bytes));
    });
    bar.finish_and_clear();
    result
}
