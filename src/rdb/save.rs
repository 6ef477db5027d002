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
    match value {
        ValueRef::String(text) => {
            out.push(kind::STRING);
            write_string(out, text);
        }
        ValueRef::Object(Object::List(list)) => {
            begin(out, kind::LIST, list.len());
            each(out, most, list.iter(), write_string);
        }
        ValueRef::Object(Object::Set(set)) => {
            begin(out, kind::SET, set.len());
            each(out, most, set.iter(), |out, member| write_string(out, &member));
        }
        ValueRef::Object(Object::ZSet(zset)) => write_zset(out, zset, most),
        ValueRef::Object(Object::Stream(value)) => {
            stream::write(out, value, most);
            return STREAM_VERSION;
        }
        ValueRef::Object(Object::Hash(hash)) => match hash.earliest_deadline() {
            None => write_hash(out, hash, most),
            Some(earliest_ms) => {
                write_hash_with_deadlines(out, hash, earliest_ms, most);
                return FIELD_DEADLINES_VERSION;
            }
        },
    }
    PLAIN_VERSION
}

fn begin(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    write_length(out, count as u64);
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
    begin(out, kind::HASH, hash.len());
    each(out, most, hash.iter(), |out, (field, value)| {
        write_string(out, field);
        write_string(out, value);
    });
}

fn write_hash_with_deadlines(out: &mut Vec<u8>, hash: &Hash, earliest_ms: i64, most: usize) {
    out.push(kind::HASH_METADATA);
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
    begin(out, kind::ZSET_2, zset.len());
    each(out, most, zset.iter().rev(), |out, element| {
        write_string(out, element.member);
        out.extend_from_slice(&element.score.to_le_bytes());
    });
}
