//! From commands to entries: what a worker hands to the log, in which bytes, and what comes back.
//!
//! `entry` owns the bytes of an entry, `batch` what one worker gathers between two turns of the log, `reply` what
//! travels back to it.

pub mod batch;
pub mod entry;
pub mod reply;
pub mod seed;
