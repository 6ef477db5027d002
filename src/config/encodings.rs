//! Where a packed encoding of a type ends and an indexed one begins: the numbers that CONFIG GET shows.
//!
//! Apply depends on them, so they are the same on every node and in every replay: they are no runtime settings.

pub const HASH_MAX_LISTPACK_ENTRIES: usize = 128;
pub const HASH_MAX_LISTPACK_VALUE_BYTES: usize = 64;
pub const SET_MAX_INTSET_ENTRIES: usize = 512;
pub const SET_MAX_LISTPACK_ENTRIES: usize = 128;
pub const SET_MAX_LISTPACK_VALUE_BYTES: usize = 64;
pub const ZSET_MAX_LISTPACK_ENTRIES: usize = 128;
pub const ZSET_MAX_LISTPACK_VALUE_BYTES: usize = 64;
/// Bytes in one packed chunk of a list (`list-max-listpack-size -2`).
pub const LIST_MAX_LISTPACK_BYTES: usize = 8192;
/// Entries and bytes of a stream's node that takes no more (`stream-node-max-entries` and `-bytes`).
pub const STREAM_NODE_MAX_ENTRIES: u64 = 100;
pub const STREAM_NODE_MAX_BYTES: usize = 4096;
