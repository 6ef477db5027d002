//! Where a packed encoding ends and an indexed one begins.
//!
//! - Apply depends on these, so they follow from the log alone: from what the group has set, and from constants.
//! - Whatever is set, what is packed stays short, for a change of it moves all bytes after it and a search passes them all: see
//!   [`MAX_PACKED_ENTRIES`] and [`MAX_PACKED_BYTES`].

use crate::config::encodings::Encodings;
use crate::keyspace::hash_seed::HashSeed;

/// Most elements of a packed value, whatever is set.
const MAX_PACKED_ENTRIES: usize = 4096;
/// Most integers of an intset, which is searched by halves.
const MAX_INTSET_ENTRIES: usize = 16_384;
/// Most bytes of a packed hash, set or sorted set, whatever is set.
const MAX_PACKED_BYTES: usize = 64 << 10;
/// No packed value of any program had more bytes.
const MAX_STORED_BYTES: usize = 1 << 20;
/// Bytes of a list's chunk that is bounded by a number of elements (`SIZE_SAFETY_LIMIT`).
const COUNTED_CHUNK_BYTES: usize = 8192;
/// Most entries and bytes of a stream's node, whatever is set.
pub const MAX_NODE_ENTRIES: u64 = 1000;
const MAX_NODE_BYTES: usize = 64 << 10;
/// Every register in a byte of its own.
pub const MAX_SPARSE_BYTES: usize = 16 + (1 << 14);

/// Redis' names (`hash-max-listpack-entries` and so on).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeLimits {
    pub hash_max_listpack_entries: usize,
    pub hash_max_listpack_value_bytes: usize,
    pub set_max_intset_entries: usize,
    pub set_max_listpack_entries: usize,
    pub set_max_listpack_value_bytes: usize,
    pub zset_max_listpack_entries: usize,
    pub zset_max_listpack_value_bytes: usize,
    /// Bytes of a packed hash, set or sorted set.
    pub max_packed_bytes: usize,
    /// Bytes and elements in one packed chunk of a list.
    pub list_max_listpack_bytes: usize,
    pub list_max_listpack_entries: usize,
    pub stream_node: NodeLimits,
    pub hll_sparse_max_bytes: usize,
    /// The seed of big encodings: that of the keyspace, whose owner keeps it up to date here.
    pub hash_seed: HashSeed,
}

/// When a stream's node takes no more entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    pub entries: u64,
    pub bytes: usize,
    /// Most entries that XADD and XTRIM with `~` take off at once, unless they say.
    pub trimmed_entries: u64,
}

impl NodeLimits {
    /// Those of a group that has set none.
    pub const DEFAULT: NodeLimits = NodeLimits { entries: 100, bytes: 4096, trimmed_entries: 10_000 };

    fn of(encodings: &Encodings) -> NodeLimits {
        const MOST_TRIMMED: u64 = 1_000_000;
        let or_most = |set: u64, most: u64| if set == 0 { most } else { set.min(most) };
        let trimmed = match encodings.stream_node_max_entries.saturating_mul(100) {
            0 => NodeLimits::DEFAULT.trimmed_entries,
            trimmed => trimmed.min(MOST_TRIMMED),
        };
        NodeLimits {
            entries: or_most(encodings.stream_node_max_entries, MAX_NODE_ENTRIES),
            bytes: or_most(encodings.stream_node_max_bytes, MAX_NODE_BYTES as u64) as usize,
            trimmed_entries: trimmed,
        }
    }
}

impl Default for TypeLimits {
    fn default() -> Self {
        TypeLimits::of(&Encodings::DEFAULT)
    }
}

impl TypeLimits {
    /// What the types follow where a group has set these. No seed is among it.
    pub fn of(encodings: &Encodings) -> TypeLimits {
        let entries = |set: u64| bounded(set, MAX_PACKED_ENTRIES);
        let value = |set: u64| bounded(set, MAX_PACKED_BYTES);
        let (list_max_listpack_bytes, list_max_listpack_entries) = chunk_of(encodings.list_max_listpack_size);
        TypeLimits {
            hash_max_listpack_entries: entries(encodings.hash_max_listpack_entries),
            hash_max_listpack_value_bytes: value(encodings.hash_max_listpack_value),
            set_max_intset_entries: bounded(encodings.set_max_intset_entries, MAX_INTSET_ENTRIES),
            set_max_listpack_entries: entries(encodings.set_max_listpack_entries),
            set_max_listpack_value_bytes: value(encodings.set_max_listpack_value),
            zset_max_listpack_entries: entries(encodings.zset_max_listpack_entries),
            zset_max_listpack_value_bytes: value(encodings.zset_max_listpack_value),
            max_packed_bytes: MAX_PACKED_BYTES,
            list_max_listpack_bytes,
            list_max_listpack_entries,
            stream_node: NodeLimits::of(encodings),
            hll_sparse_max_bytes: bounded(encodings.hll_sparse_max_bytes, MAX_SPARSE_BYTES),
            hash_seed: HashSeed::NONE,
        }
    }

    /// The same for values that keep the encoding which they were stored in: packed ones take whatever one may have held.
    pub fn keeping_encodings(&self) -> TypeLimits {
        TypeLimits {
            hash_max_listpack_entries: usize::MAX,
            hash_max_listpack_value_bytes: usize::MAX,
            set_max_intset_entries: usize::MAX,
            set_max_listpack_entries: usize::MAX,
            set_max_listpack_value_bytes: usize::MAX,
            zset_max_listpack_entries: usize::MAX,
            zset_max_listpack_value_bytes: usize::MAX,
            max_packed_bytes: MAX_STORED_BYTES,
            list_max_listpack_bytes: MAX_STORED_BYTES,
            list_max_listpack_entries: usize::MAX,
            ..self.clone()
        }
    }
}

fn bounded(set: u64, most: usize) -> usize {
    usize::try_from(set).unwrap_or(usize::MAX).min(most)
}

/// Bytes and elements of a list's chunk by `list-max-listpack-size`.
fn chunk_of(size: i64) -> (usize, usize) {
    const SMALLEST_BYTES: usize = 4096;
    match usize::try_from(size) {
        Ok(elements) => (COUNTED_CHUNK_BYTES, elements.max(1)),
        Err(_) => (SMALLEST_BYTES << (size.unsigned_abs().min(5) - 1), usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_lists_are_bounded_by_bytes_or_by_elements() {
        for (size, chunk) in [(-1, 4096), (-2, 8192), (-5, 65_536), (-6, 65_536), (i64::MIN, 65_536)] {
            assert_eq!(chunk_of(size), (chunk, usize::MAX), "{size}");
        }
        assert_eq!([0, 1, 128].map(chunk_of), [(8192, 1), (8192, 1), (8192, 128)]);
    }

    #[test]
    fn whatever_is_set_is_bounded() {
        let most = Encodings {
            hash_max_listpack_entries: u64::MAX,
            set_max_intset_entries: u64::MAX,
            zset_max_listpack_value: u64::MAX,
            stream_node_max_entries: 0,
            stream_node_max_bytes: 0,
            hll_sparse_max_bytes: u64::MAX,
            ..Encodings::DEFAULT
        };
        let limits = TypeLimits::of(&most);
        assert_eq!(limits.hash_max_listpack_entries, MAX_PACKED_ENTRIES);
        assert_eq!(limits.set_max_intset_entries, MAX_INTSET_ENTRIES);
        assert_eq!(limits.zset_max_listpack_value_bytes, MAX_PACKED_BYTES);
        assert_eq!(limits.hll_sparse_max_bytes, MAX_SPARSE_BYTES);
        let node = NodeLimits { entries: MAX_NODE_ENTRIES, bytes: MAX_NODE_BYTES, trimmed_entries: 10_000 };
        assert_eq!(limits.stream_node, node);
        assert_eq!(TypeLimits::default().stream_node, NodeLimits::DEFAULT);
    }
}
