//! The byte that says which type of value follows, and in which form.
//!
//! - RESTORE does not read modules (7), the zipmaps of Redis 2.4 (9) and what Valkey 9 writes for hashes with field deadlines (22):
//!   only files have them.
//! - No reader has values of modules before Redis 4.0 was released (6), and the forms of hashes with field deadlines from before
//!   Redis 7.4 was released (22, 23).

pub const STRING: u8 = 0;
pub const LIST: u8 = 1;
pub const SET: u8 = 2;
/// Scores as text.
pub const ZSET: u8 = 3;
pub const HASH: u8 = 4;
/// Scores as eight bytes.
pub const ZSET_2: u8 = 5;
/// What a module wrote, in a form that can be passed over.
pub const MODULE_2: u8 = 7;
pub const HASH_ZIPMAP: u8 = 9;
pub const LIST_ZIPLIST: u8 = 10;
pub const SET_INTSET: u8 = 11;
pub const ZSET_ZIPLIST: u8 = 12;
pub const HASH_ZIPLIST: u8 = 13;
/// Ziplists, one for each node.
pub const LIST_QUICKLIST: u8 = 14;
/// Of Redis 5.
pub const STREAM: u8 = 15;
pub const HASH_LISTPACK: u8 = 16;
pub const ZSET_LISTPACK: u8 = 17;
/// Listpacks and single large elements.
pub const LIST_QUICKLIST_2: u8 = 18;
/// Of Redis 7.0: with first and deleted ids, and counts of entries.
pub const STREAM_2: u8 = 19;
pub const SET_LISTPACK: u8 = 20;
/// Of Redis 7.2: with the times at which consumers last got something.
pub const STREAM_3: u8 = 21;
/// Of Valkey 9: fields with deadlines, as times. Known in files of a version from 80 on.
pub const HASH_VALKEY: u8 = 22;
/// Fields with deadlines, each relative to the earliest.
pub const HASH_METADATA: u8 = 24;
/// Fields with deadlines, three entries of a listpack each.
pub const HASH_LISTPACK_EX: u8 = 25;
