//! One raft group and its data: the log driver.

pub mod waiters;
pub mod watches;
