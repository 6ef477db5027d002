//! Writes values, in the plain forms.

use super::kind;
use super::string::{write_length, write_string};
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::zset::ZSet;
use crate::keyspace::value::{Object, ValueRef};

/// The version of Redis 5: it has every plain form.
const PLAIN_VERSION: u16 = 9;
/// The version of Redis 7.4, which brought deadlines of fields.
const FIELD_DEADLINES_VERSION: u16 = 12;

/// Writes the type and the value; returns the version of RDB that it takes to read them.
pub fn write_value(out: &mut Vec<u8>, value: ValueRef<'_>) -> u16 {
    match value {
        ValueRef::String(text) => {
            out.push(kind::STRING);
            write_string(out, text);
        }
        ValueRef::Object(Object::List(list)) => {
            begin(out, kind::LIST, list.len());
            list.iter().for_each(|element| write_string(out, element));
        }
        ValueRef::Object(Object::Set(set)) => {
            begin(out, kind::SET, set.len());
            set.iter().for_each(|member| write_string(out, &member));
        }
        ValueRef::Object(Object::ZSet(zset)) => write_zset(out, zset),
        ValueRef::Object(Object::Hash(hash)) => match hash.earliest_deadline() {
            None => write_hash(out, hash),
            Some(earliest_ms) => {
                write_hash_with_deadlines(out, hash, earliest_ms);
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

fn write_hash(out: &mut Vec<u8>, hash: &Hash) {
    begin(out, kind::HASH, hash.len());
    for (field, value) in hash.iter() {
        write_string(out, field);
        write_string(out, value);
    }
}

fn write_hash_with_deadlines(out: &mut Vec<u8>, hash: &Hash, earliest_ms: i64) {
    out.push(kind::HASH_METADATA);
    out.extend_from_slice(&earliest_ms.to_le_bytes());
    write_length(out, hash.len() as u64);
    for (field, value) in hash.iter() {
        let ttl = hash.expire_at(field).map_or(0, |deadline_ms| deadline_ms.abs_diff(earliest_ms) + 1);
        write_length(out, ttl);
        write_string(out, field);
        write_string(out, value);
    }
}

/// From the highest score down, as Redis does: its skiplist is then built at its head.
fn write_zset(out: &mut Vec<u8>, zset: &ZSet) {
    begin(out, kind::ZSET_2, zset.len());
    for element in zset.iter().rev() {
        write_string(out, element.member);
        out.extend_from_slice(&element.score.to_le_bytes());
    }
}
