//! What to ask for, and when: one checkpoint at a time, its manifest first, then its files in order.
//!
//! - A plain object: time is an argument, pieces are handed in, asks come out. Only the dock does anything.
//! - At most [`WINDOW`] asks are open; one that stays unanswered is repeated. Answers may come in any order, or twice.
//! - A checkpoint that is being fetched goes on to its end, though newer ones are offered meanwhile, as long as pieces come.
//! - What fails is left alone for a while, and tried again if it is still wanted.

use std::collections::VecDeque;

use super::{Ask, Dock, MANIFEST_FILE, MAX_PIECE_BYTES, Piece, Shipment};
use crate::checkpoint::error::{CheckpointError, Result};
use crate::checkpoint::manifest::{self, FileSum, Manifest};
use crate::checkpoint::throttle::Throttle;

/// Asks that are open at a time.
const WINDOW: usize = 8;
/// After this an ask is taken for lost.
const REPEAT_MS: u64 = 2_000;
/// Without a piece for so long, another offer is taken.
const STALLED_MS: u64 = 10_000;
/// How long a checkpoint that could not be fetched is left alone.
const REST_MS: u64 = 5_000;
/// How often one checkpoint's files may turn out wrong.
const MAX_WRONG_FILES: u32 = 3;
const NS_PER_MS: u64 = 1_000_000;

/// A checkpoint that a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The node.
    pub from: u64,
    pub index: u64,
}

/// How fast to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Zero is no limit.
    pub bytes_per_second: u64,
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub index: u64,
    /// Bytes of the files that are there.
    pub bytes: u64,
    pub total_bytes: u64,
}

/// See the module.
pub struct Fetch<D: Dock> {
    dock: D,
    pace: Pace,
    wanted: Option<Wanted>,
    job: Option<Job>,
    /// What failed, and until when it is left alone.
    resting: Option<(Wanted, u64)>,
    /// Bytes that came, of everything that was ever fetched.
    received_bytes: u64,
}

/// One checkpoint on its way.
struct Job {
    wanted: Wanted,
    heard_ms: u64,
    throttle: Throttle,
    /// No ask leaves before.
    paced_until_ms: u64,
    open: Vec<OpenAsk>,
    cargo: Cargo,
}

#[derive(Clone, Copy, Debug)]
struct OpenAsk {
    ask: Ask,
    asked_ms: u64,
}

enum Cargo {
    /// The manifest as far as it has come, and its length once that is known.
    Manifest {
        bytes: Vec<u8>,
        total: Option<u64>,
    },
    Files(Box<Files>),
}

struct Files {
    manifest: Manifest,
    /// Bytes that each file lacks.
    missing: Vec<u64>,
    /// Files that have not been asked for to their end, by their places; of the first so many bytes were.
    queue: VecDeque<usize>,
    asked_bytes: u64,
    wrong: u32,
}

impl<D: Dock> Fetch<D> {
    pub fn new(dock: D, pace: Pace) -> Fetch<D> {
        Fetch { dock, pace, wanted: None, job: None, resting: None, received_bytes: 0 }
    }

    /// What is needed now, if anything is.
    pub fn want(&mut self, wanted: Option<Wanted>) {
        self.wanted = wanted;
        if wanted.is_none() {
            self.job = None;
        }
    }

    /// Bytes that came since the process began.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// How far it is; `None` if nothing is being fetched.
    pub fn progress(&self) -> Option<Progress> {
        let job = self.job.as_ref()?;
        let index = job.wanted.index;
        Some(match &job.cargo {
            Cargo::Manifest { .. } => Progress { index, ..Progress::default() },
            Cargo::Files(files) => {
                let total_bytes = files.manifest.bytes();
                let missing: u64 = files.missing.iter().sum();
                Progress { index, bytes: total_bytes - missing, total_bytes }
            }
        })
    }

    /// Begins, and asks for what may be asked for now.
    pub fn turn(&mut self, now_ms: u64, mut send: impl FnMut(u64, Ask)) {
        self.choose(now_ms);
        if let Some(job) = &mut self.job {
            job.ask(now_ms, &mut send);
        }
    }

    /// When the next turn is due, even if nothing comes; `None` if nothing is to be done.
    pub fn next_due_ms(&self) -> Option<u64> {
        let resting = self.resting.filter(|(resting, _)| Some(*resting) == self.wanted);
        let rested_ms = resting.map_or(0, |(_, until_ms)| until_ms);
        let Some(job) = &self.job else { return self.wanted.map(|_| rested_ms) };
        let repeat = job.open.iter().map(|open| open.asked_ms + REPEAT_MS).min();
        let paced = (job.open.len() < WINDOW && job.has_more()).then_some(job.paced_until_ms);
        let has_other = self.wanted.is_some_and(|wanted| wanted != job.wanted);
        let stalled = has_other.then_some(rested_ms.max(job.heard_ms + STALLED_MS));
        repeat.into_iter().chain(paced).chain(stalled).min()
    }

    /// Takes in what a node said. Returns the manifest once the whole checkpoint is published.
    pub fn take(&mut self, from: u64, shipment: Shipment, now_ms: u64) -> Option<Manifest> {
        let job = self.job.as_mut().filter(|job| job.wanted.from == from)?;
        match shipment {
            Shipment::Piece(piece) if piece.index == job.wanted.index => {
                self.received_bytes += piece.bytes.len() as u64;
                match job.take(&mut self.dock, piece, now_ms) {
                    Ok(None) => None,
                    Ok(Some(manifest)) => {
                        self.job = None;
                        Some(manifest)
                    }
                    Err(error) => {
                        tracing::error!(%error, "a checkpoint can't be fetched");
                        self.rest(now_ms);
                        None
                    }
                }
            }
            Shipment::Gone { index } if index == job.wanted.index => {
                tracing::info!(index, from, "the checkpoint that is being fetched is gone");
                self.rest(now_ms);
                None
            }
            Shipment::Ask(_) | Shipment::Piece(_) | Shipment::Gone { .. } => None,
        }
    }

    fn rest(&mut self, now_ms: u64) {
        self.resting = self.job.take().map(|job| (job.wanted, now_ms + REST_MS));
    }

    /// Turns to what is wanted, unless something else is on its way, or it has just failed.
    fn choose(&mut self, now_ms: u64) {
        let Some(wanted) = self.wanted else { return };
        if let Some(job) = &self.job
            && (job.wanted == wanted || now_ms < job.heard_ms + STALLED_MS)
        {
            return;
        }
        if self.resting.is_some_and(|(resting, until_ms)| resting == wanted && now_ms < until_ms) {
            return;
        }
        tracing::info!(from = wanted.from, index = wanted.index, "fetching a checkpoint");
        self.job = Some(Job::new(wanted, self.pace, now_ms));
    }
}

impl Job {
    fn new(wanted: Wanted, pace: Pace, now_ms: u64) -> Job {
        Job {
            wanted,
            heard_ms: now_ms,
            throttle: Throttle::new(pace.bytes_per_second, now_ms * NS_PER_MS),
            paced_until_ms: now_ms,
            open: Vec::new(),
            cargo: Cargo::Manifest { bytes: Vec::new(), total: None },
        }
    }

    fn ask(&mut self, now_ms: u64, send: &mut impl FnMut(u64, Ask)) {
        for open in &mut self.open {
            if now_ms >= open.asked_ms + REPEAT_MS {
                open.asked_ms = now_ms;
                send(self.wanted.from, open.ask);
            }
        }
        while self.open.len() < WINDOW && now_ms >= self.paced_until_ms {
            let Some(ask) = self.next_ask() else { return };
            // How long a manifest is nobody knows before it is there.
            if ask.file != MANIFEST_FILE {
                self.pay(u64::from(ask.length), now_ms);
            }
            self.open.push(OpenAsk { ask, asked_ms: now_ms });
            send(self.wanted.from, ask);
        }
    }

    fn pay(&mut self, bytes: u64, now_ms: u64) {
        let wait = self.throttle.wrote(bytes, now_ms * NS_PER_MS);
        self.paced_until_ms = now_ms + wait.as_millis() as u64;
    }

    fn has_more(&self) -> bool {
        match &self.cargo {
            Cargo::Manifest { .. } => self.open.is_empty(),
            Cargo::Files(files) => !files.queue.is_empty(),
        }
    }

    fn next_ask(&mut self) -> Option<Ask> {
        let index = self.wanted.index;
        match &mut self.cargo {
            // Its length is known from its first piece only.
            Cargo::Manifest { bytes, .. } => self.open.is_empty().then_some(Ask {
                index,
                file: MANIFEST_FILE,
                offset: bytes.len() as u64,
                length: MAX_PIECE_BYTES,
            }),
            Cargo::Files(files) => files.next_ask(index),
        }
    }

    /// Takes a piece that was asked for; returns the manifest if it was the last.
    fn take(&mut self, dock: &mut impl Dock, piece: Piece, now_ms: u64) -> Result<Option<Manifest>> {
        let is_answer = |open: &OpenAsk| (open.ask.file, open.ask.offset) == (piece.file, piece.offset);
        let Some(place) = self.open.iter().position(is_answer) else { return Ok(None) };
        let asked = self.open.remove(place).ask;
        self.heard_ms = now_ms;
        if piece.file == MANIFEST_FILE {
            self.pay(piece.bytes.len() as u64, now_ms);
        }
        match &mut self.cargo {
            Cargo::Manifest { bytes, total } => {
                check_manifest_piece(&piece, *total)?;
                *total = Some(piece.total);
                bytes.extend_from_slice(&piece.bytes);
                if (bytes.len() as u64) < piece.total {
                    return Ok(None);
                }
                let files = Files::begin(bytes, self.wanted.index, dock)?;
                self.cargo = Cargo::Files(Box::new(files));
            }
            Cargo::Files(files) => files.take(asked, &piece, dock)?,
        }
        match &self.cargo {
            Cargo::Files(files) if files.are_complete() => {
                dock.publish(&files.manifest)?;
                Ok(Some(files.manifest.clone()))
            }
            _ => Ok(None),
        }
    }
}

fn check_manifest_piece(piece: &Piece, known_total: Option<u64>) -> Result<()> {
    let is_stuck = piece.bytes.is_empty() && piece.total > piece.offset;
    let has_changed = known_total.is_some_and(|known| known != piece.total);
    if piece.total > manifest::MAX_BYTES || is_stuck || has_changed {
        return Err(wrong("its manifest has no length that makes sense"));
    }
    Ok(())
}

impl Files {
    fn begin(manifest: &[u8], index: u64, dock: &mut impl Dock) -> Result<Files> {
        let manifest = Manifest::decode(manifest).map_err(|damage| wrong(damage.to_string()))?;
        if manifest.point.index != index {
            return Err(wrong(format!("its manifest is of index {}", manifest.point.index)));
        }
        let there = dock.begin(&manifest)?;
        let lacks = |(file, there): (&FileSum, &bool)| if *there { 0 } else { file.bytes };
        let missing: Vec<u64> = manifest.files.iter().zip(&there).map(lacks).collect();
        for (file, _) in manifest.files.iter().zip(&there).filter(|(file, there)| file.bytes == 0 && !**there)
        {
            dock.write(file, 0, &[])?;
            dock.complete(file)?;
        }
        let queue = (0..missing.len()).filter(|place| missing[*place] > 0).collect();
        Ok(Files { manifest, missing, queue, asked_bytes: 0, wrong: 0 })
    }

    fn are_complete(&self) -> bool {
        self.missing.iter().all(|missing| *missing == 0)
    }

    fn next_ask(&mut self, index: u64) -> Option<Ask> {
        let place = *self.queue.front()?;
        let offset = self.asked_bytes;
        let rest = self.manifest.files[place].bytes - offset;
        let length = rest.min(u64::from(MAX_PIECE_BYTES));
        self.asked_bytes += length;
        if length == rest {
            self.queue.pop_front();
            self.asked_bytes = 0;
        }
        Some(Ask { index, file: place as u32 + 1, offset, length: length as u32 })
    }

    fn take(&mut self, asked: Ask, piece: &Piece, dock: &mut impl Dock) -> Result<()> {
        let place = piece.file as usize - 1;
        let file = &self.manifest.files[place];
        if piece.bytes.len() as u64 != u64::from(asked.length) {
            return Err(wrong(format!("{} has not the length that its manifest says", file.name)));
        }
        dock.write(file, piece.offset, &piece.bytes)?;
        self.missing[place] -= u64::from(asked.length);
        if self.missing[place] > 0 || dock.complete(file)? {
            return Ok(());
        }
        self.wrong += 1;
        tracing::warn!(file = %file.name, "a fetched file is not what its manifest says");
        if self.wrong > MAX_WRONG_FILES {
            return Err(wrong(format!("{} is not what its manifest says, again and again", file.name)));
        }
        self.missing[place] = file.bytes;
        self.queue.push_back(place);
        Ok(())
    }
}

fn wrong(reason: impl Into<String>) -> CheckpointError {
    CheckpointError::Fetched { reason: reason.into() }
}
