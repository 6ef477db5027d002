//! Histories, workloads and checkers: what clients did to a database, and whether it kept its promises.
//!
//! - The crate knows nothing of how operations are run: it has no sockets, no threads, no clock, and no randomness but the
//!   seed that it is given. A deterministic simulator and a harness of real processes use the same code.
//! - A run goes like this: a [`Workload`] says what a process does next ([`Action`]), an [`Exchange`] turns that into Redis
//!   commands and their replies into an [`Outcome`], a [`Recorder`] keeps both with the times of call and return, and
//!   [`check()`] judges the [`History`] afterwards.
//! - Nothing is judged by luck: a check that could not decide says so, and [`Report::passed`] is then false.

pub mod check;
mod exchange;
mod history;
mod resp;
mod rng;
mod workload;

pub use check::{Check, Finding, Options, Report, Tally, Unchecked, check};
pub use exchange::{Command, Exchange, Progress, Says, classify};
pub use history::{
    Action, History, HistoryError, Micro, MicroValue, Operation, Outcome, ReadsFrom, Recorder, Value,
};
pub use resp::{Malformed, Reply, encode};
pub use rng::Rng;
pub use workload::{Kind, UnknownKind, Workload, parse_kinds};
