//! Writes values, in the plain forms.

use super::string::{write_length, write_string};
use super::{kind, stream};
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::zset::ZSet;
use crate::keyspace::value::{Object, ValueRef};

/// The version of Redis 5: it has every plain form.
const PLAIN_VERSION: u16 = 9;
/// The version of Redis 7.0, which brought what is kept of streams.
const STREAM_VERSION: u16 = 10;
/// The version of Redis 7.4, which brought deadlines of fields.
const FIELD_DEADLINES_VERSION: u16 = 12;

/// Writes the type and the value; returns the version of RDB that it takes to read them. It stops at the element that is beyond
/// `most` bytes.
pub fn write_value(out: &mut Vec<u8>, value: ValueRef<'_>, most: usize) -> u16 {
    let kind = kind_of(value);
    out.push(kind);
    write_content(out, value, most);
    match kind {
        kind::STREAM_2 => STREAM_VERSION,
        kind::HASH_METADATA => FIELD_DEADLINES_VERSION,
        _ => PLAIN_VERSION,
    }
}

/// The type under which a value is written.
pub fn kind_of(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::String(_) => kind::STRING,
        ValueRef::Object(Object::List(_)) => kind::LIST,
        ValueRef::Object(Object::Set(_)) => kind::SET,
        ValueRef::Object(Object::ZSet(_)) => kind::ZSET_2,
        ValueRef::Object(Object::Stream(_)) => kind::STREAM_2,
        ValueRef::Object(Object::Hash(hash)) if hash.earliest_deadline().is_some() => kind::HASH_METADATA,
        ValueRef::Object(Object::Hash(_)) => kind::HASH,
    }
}

/// Writes what follows the type; it stops at the element that is beyond `most` bytes.
pub fn write_content(out: &mut Vec<u8>, value: ValueRef<'_>, most: usize) {
    match value {
        ValueRef::String(text) => write_string(out, text),
        ValueRef::Object(Object::List(list)) => {
            write_length(out, list.len() as u64);
            each(out, most, list.iter(), write_string);
        }
        ValueRef::Object(Object::Set(set)) => {
            write_length(out, set.len() as u64);
            each(out, most, set.iter(), |out, member| write_string(out, &member));
        }
        ValueRef::Object(Object::ZSet(zset)) => write_zset(out, zset, most),
        ValueRef::Object(Object::Stream(value)) => stream::write(out, value, most),
        ValueRef::Object(Object::Hash(hash)) => match hash.earliest_deadline() {
            None => write_hash(out, hash, most),
            Some(earliest_ms) => write_hash_with_deadlines(out, hash, earliest_ms, most),
        },
    }
}

/// Writes each of these, until there are more than `most` bytes.
fn each<T>(
    out: &mut Vec<u8>,
    most: usize,
    mut elements: impl Iterator<Item = T>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    while out.len() <= most
        && let Some(element) = elements.next()
    {
        write(out, element);
    }
}

fn write_hash(out: &mut Vec<u8>, hash: &Hash, most: usize) {
    write_length(out, hash.len() as u64);
    each(out, most, hash.iter(), |out, (field, value)| {
        write_string(out, field);
        write_string(out, value);
    });
}

fn write_hash_with_deadlines(out: &mut Vec<u8>, hash: &Hash, earliest_ms: i64, most: usize) {
    out.extend_from_slice(&earliest_ms.to_le_bytes());
    write_length(out, hash.len() as u64);
    each(out, most, hash.iter(), |out, (field, value)| {
        let ttl = hash.expire_at(field).map_or(0, |deadline_ms| deadline_ms.abs_diff(earliest_ms) + 1);
        write_length(out, ttl);
        write_string(out, field);
        write_string(out, value);
    });
}

/// From the highest score down, as Redis does: its skiplist is then built at its head.
fn write_zset(out: &mut Vec<u8>, zset: &ZSet, most: usize) {
    write_length(out, zset.len() as u64);
    each(out, most, zset.iter().rev(), |out, element| {
        write_string(out, element.member);
        out.extend_from_slice(&element.score.to_le_bytes());
    });
}
