//! The value types. They know semantics and encodings; no commands, no clock, no randomness.

mod buffer;
mod dense_table;
pub mod encoding;
pub mod hash;
pub mod limits;
pub mod list;
pub mod packed;
pub mod set;
mod varint;
pub mod zset;
