//! The value types. They know semantics and encodings; no commands, no clock, no randomness.

mod buffer;
#[cfg(test)]
mod clones;
mod dense_table;
pub mod encoding;
pub mod hash;
pub mod limits;
pub mod list;
pub mod listpack;
pub mod packed;
mod segmented;
pub mod set;
mod shared;
pub mod stream;
mod varint;
pub mod zset;
