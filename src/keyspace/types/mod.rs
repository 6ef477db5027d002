//! The value types. They know semantics and encodings; no commands, no clock, no randomness.
pub mod limits;
pub mod zset;
