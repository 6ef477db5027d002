//! One raft group and its data.
//!
//! `port` is where workers meet it, `plan` an entry in the making with everybody who waits for it, `serving` which waiting
//! clients an entry carries along, `readers` those that wait in XREAD, `machine` applies and answers (`gauge` counts), `turn` drives, `succession` is for full disks, `slow_log` for slow
//! ones; `budget` is the memory that there is, `eviction` chooses the keys that make room; `long_items` logs in parts what is too long for one entry; `held` keeps answers back until a lease confirms them; `acks` is for WAIT, `tracking` for clients that cache what they read. For operators:
//! `log_reads` and `log_cuts` reach the log, `quiet` says up to when nothing more was written, `marks` are places at which nodes are compared.

pub mod acks;
mod admission;
mod budget;
pub mod calendars;
pub mod deaths;
mod eviction;
pub mod expiry;
mod gauge;
pub mod handovers;
mod held;
mod leaderless;
pub mod log_cuts;
pub mod log_reads;
mod long_items;
pub mod machine;
pub mod marks;
pub mod plan;
pub mod port;
pub mod quiet;
mod readers;
mod serving;
pub mod slow_log;
mod succession;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tracking;
pub mod turn;
pub mod waiters;
pub mod watches;
