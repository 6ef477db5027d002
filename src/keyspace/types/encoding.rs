//! The encodings of hashes, lists and sets, as OBJECT ENCODING names them.
//!
//! A checkpoint keeps a value's encoding beside its elements: conversions only go up, so a value that shrank is in
//! a bigger encoding than its elements would choose, and order (hence "a random member") differs between encodings.

/// How a hash, list or set lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A sorted array of integers.
    Intset,
    /// One packed sequence.
    Listpack,
    /// A sequence of packed chunks.
    Quicklist,
    /// A dense table with a hash index.
    Hashtable,
}

impl Encoding {
    /// The name that OBJECT ENCODING answers.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Intset => "intset",
            Encoding::Listpack => "listpack",
            Encoding::Quicklist => "quicklist",
            Encoding::Hashtable => "hashtable",
        }
    }
}
