//! Reads an entry's value from its content.

use super::content::{Chunks, Content};
use super::{Fault, Kind, PART_BYTES, Root, stream};
use crate::keyspace::entry::Entry;
use crate::keyspace::types::encoding::Encoding;
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::list::List;
use crate::keyspace::types::set::Set;
use crate::keyspace::types::zset::{Inserted, ZSet, ZSetLimits};
use crate::keyspace::value::Object;

/// Longest string.
const MAX_STRING_BYTES: u64 = 512 << 20;

/// Makes the entry of a root and of its content, which comes in chunks.
pub fn read_entry<'a, E: From<Fault>>(
    key: &[u8],
    root: &Root<'_>,
    mut chunks: impl Chunks<'a, E>,
    limits: &TypeLimits,
) -> Result<Entry, E> {
    let mut content = Content::new(&mut chunks);
    let entry = match root.kind {
        Kind::String => string(key, root, &mut content)?,
        kind => Entry::object(key, object(kind, root, &mut content, limits)?, root.deadline_ms),
    };
    content.end()?;
    Ok(entry)
}

/// A long string is read right into the entry's own allocation, so that it is not held twice.
fn string<E: From<Fault>>(key: &[u8], root: &Root<'_>, content: &mut Content<'_, '_, E>) -> Result<Entry, E> {
    let bytes = root.body.content_bytes();
    if bytes > MAX_STRING_BYTES {
        return Err(Fault::Length { found: bytes }.into());
    }
    let bytes = bytes as usize;
    if bytes <= PART_BYTES {
        return Ok(Entry::string(key, content.take(bytes)?, root.deadline_ms));
    }
    // It begins with so many bytes that its header is as wide as it has to be: growing is one reallocation then.
    let mut entry = Entry::string(key, &[0; PART_BYTES], root.deadline_ms);
    if let Some(value) = entry.resize_string(bytes) {
        content.fill(value)?;
    }
    Ok(entry)
}

fn object<E: From<Fault>>(
    kind: Kind,
    root: &Root<'_>,
    content: &mut Content<'_, '_, E>,
    limits: &TypeLimits,
) -> Result<Object, E> {
    // Whatever the group has set since, a value is again what it was.
    let (limits, of_chunks) = (&limits.keeping_encodings(), limits);
    let zset_limits = ZSetLimits::from(limits);
    Ok(match kind {
        Kind::PackedList => Object::List(list(List::new(), content, limits)?),
        Kind::Quicklist => Object::List(list(List::new_quicklist(), content, of_chunks)?),
        Kind::Intset => Object::Set(set(Encoding::Intset, content, limits)?),
        Kind::PackedSet => Object::Set(set(Encoding::Listpack, content, limits)?),
        Kind::TableSet => Object::Set(set(Encoding::Hashtable, content, limits)?),
        Kind::PackedHash => Object::Hash(hash(Hash::new(), root.field_deadlines, content, limits)?),
        Kind::TableHash => {
            Object::Hash(hash(Hash::new_table(limits), root.field_deadlines, content, limits)?)
        }
        Kind::PackedZSet => Object::ZSet(zset(ZSet::new(), content, &zset_limits)?),
        Kind::IndexedZSet => Object::ZSet(zset(ZSet::new_indexed(&zset_limits), content, &zset_limits)?),
        Kind::Stream => Object::Stream(stream::read(content)?),
        Kind::String => return Err(Fault::Kind { found: kind as u8 }.into()),
    })
}

fn list<E: From<Fault>>(
    mut list: List,
    content: &mut Content<'_, '_, E>,
    limits: &TypeLimits,
) -> Result<List, E> {
    for _ in 0..content.varint()? {
        list.push_back(content.element()?, limits);
    }
    Ok(list)
}

fn set<E: From<Fault>>(
    encoding: Encoding,
    content: &mut Content<'_, '_, E>,
    limits: &TypeLimits,
) -> Result<Set, E> {
    let mut set = Set::with_encoding(encoding, limits);
    for _ in 0..content.varint()? {
        if !set.insert(content.element()?, limits) {
            return Err(Fault::Twice.into());
        }
    }
    Ok(set)
}

fn hash<E: From<Fault>>(
    mut hash: Hash,
    field_deadlines: bool,
    content: &mut Content<'_, '_, E>,
    limits: &TypeLimits,
) -> Result<Hash, E> {
    let mut field = Vec::new();
    for _ in 0..content.varint()? {
        field.clear();
        field.extend_from_slice(content.element()?);
        if !hash.set(&field, content.element()?, limits) {
            return Err(Fault::Twice.into());
        }
        if field_deadlines && let Some(deadline_ms) = field_deadline(content)? {
            hash.set_expire_at(&field, Some(deadline_ms), limits);
        }
    }
    Ok(hash)
}

fn field_deadline<E: From<Fault>>(content: &mut Content<'_, '_, E>) -> Result<Option<i64>, E> {
    match content.array()? {
        [0] => Ok(None),
        [1] => Ok(Some(i64::from_le_bytes(content.array()?))),
        [found] => Err(Fault::Flags { found }.into()),
    }
}

fn zset<E: From<Fault>>(
    mut zset: ZSet,
    content: &mut Content<'_, '_, E>,
    limits: &ZSetLimits,
) -> Result<ZSet, E> {
    let mut member = Vec::new();
    for _ in 0..content.varint()? {
        member.clear();
        member.extend_from_slice(content.element()?);
        let score = f64::from_bits(u64::from_le_bytes(content.array()?));
        if score.is_nan() {
            return Err(Fault::Score.into());
        }
        if zset.insert(&member, score, limits) != Inserted::Added {
            return Err(Fault::Twice.into());
        }
    }
    Ok(zset)
}
