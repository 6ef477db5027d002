//! Where a packed encoding of a type ends and an indexed one begins: the group's parameters that apply depends on.
//!
//! - Each node has the same ones at the same place of the log, for they are set through it. No node's flag or file changes them.
//! - The numbers are those that CONFIG GET shows. `keyspace/types/limits.rs` makes of them what the types follow, which has bounds of
//!   its own.
//!
//! Source: redis.conf, and <https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/memory-optimization/>.

/// Under Redis' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encodings {
    pub hash_max_listpack_entries: u64,
    pub hash_max_listpack_value: u64,
    pub set_max_intset_entries: u64,
    pub set_max_listpack_entries: u64,
    pub set_max_listpack_value: u64,
    pub zset_max_listpack_entries: u64,
    pub zset_max_listpack_value: u64,
    /// Elements in one chunk of a list; from -1 (4 KiB) to -5 (64 KiB) its bytes.
    pub list_max_listpack_size: i64,
    /// Chunks at either end of a list that are not compressed. Lists are not compressed here, whatever it is.
    pub list_compress_depth: u64,
    /// Entries and bytes of a stream's node that takes no more; 0 is no limit.
    pub stream_node_max_entries: u64,
    pub stream_node_max_bytes: u64,
    /// A HyperLogLog that would get longer becomes dense.
    pub hll_sparse_max_bytes: u64,
}

impl Encodings {
    /// Those of a group that has set none.
    pub const DEFAULT: Encodings = Encodings {
        hash_max_listpack_entries: 128,
        hash_max_listpack_value: 64,
        set_max_intset_entries: 512,
        set_max_listpack_entries: 128,
        set_max_listpack_value: 64,
        zset_max_listpack_entries: 128,
        zset_max_listpack_value: 64,
        list_max_listpack_size: -2,
        list_compress_depth: 0,
        stream_node_max_entries: 100,
        stream_node_max_bytes: 4096,
        hll_sparse_max_bytes: 3000,
    };
}

impl Default for Encodings {
    fn default() -> Encodings {
        Encodings::DEFAULT
    }
}
