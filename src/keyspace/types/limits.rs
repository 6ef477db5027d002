//! Where a packed encoding ends and an indexed one begins.
//!
//! Apply depends on these, so they must be the same on every node and in every replay: they are no runtime settings.

use crate::config::encodings;
use crate::keyspace::hash_seed::HashSeed;

/// Redis' names and defaults (`hash-max-listpack-entries` and so on).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeLimits {
    pub hash_max_listpack_entries: usize,
    pub hash_max_listpack_value_bytes: usize,
    pub set_max_intset_entries: usize,
    pub set_max_listpack_entries: usize,
    pub set_max_listpack_value_bytes: usize,
    pub zset_max_listpack_entries: usize,
    pub zset_max_listpack_value_bytes: usize,
    /// Bytes in one packed chunk of a list (`list-max-listpack-size -2`).
    pub list_max_listpack_bytes: usize,
    /// The seed of big encodings: that of the keyspace, whose owner keeps it up to date here.
    pub hash_seed: HashSeed,
}

impl Default for TypeLimits {
    fn default() -> Self {
        TypeLimits {
            hash_max_listpack_entries: encodings::HASH_MAX_LISTPACK_ENTRIES,
            hash_max_listpack_value_bytes: encodings::HASH_MAX_LISTPACK_VALUE_BYTES,
            set_max_intset_entries: encodings::SET_MAX_INTSET_ENTRIES,
            set_max_listpack_entries: encodings::SET_MAX_LISTPACK_ENTRIES,
            set_max_listpack_value_bytes: encodings::SET_MAX_LISTPACK_VALUE_BYTES,
            zset_max_listpack_entries: encodings::ZSET_MAX_LISTPACK_ENTRIES,
            zset_max_listpack_value_bytes: encodings::ZSET_MAX_LISTPACK_VALUE_BYTES,
            list_max_listpack_bytes: encodings::LIST_MAX_LISTPACK_BYTES,
            hash_seed: HashSeed::NONE,
        }
    }
}
