//! Reads values, in every form that is known (`kind.rs`).

use super::input::Input;
use super::sequence::Element;
use super::{RdbError, Result, VALKEY_VERSION, Value, intset, kind, listpack, stream, ziplist, zipmap};
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::list::List;
use crate::keyspace::types::set::Set;
use crate::keyspace::types::zset::{Inserted, ZSet, ZSetLimits};
use crate::keyspace::value::Object;
use crate::protocol::number::{parse_double, parse_integer};

/// A node of a quicklist that is one element by itself.
const NODE_PLAIN: u64 = 1;
/// A node of a quicklist that is a listpack.
const NODE_PACKED: u64 = 2;

const TWICE: RdbError = RdbError::Malformed("an element twice");
const HALF: RdbError = RdbError::Malformed("half a pair");
const SCORE: RdbError = RdbError::Malformed("a score");
const DEADLINE: RdbError = RdbError::Malformed("a field's deadline");

/// Reads a value as a file of some version holds it: in the forms that RESTORE takes, and in those that only files have.
pub fn read_value_of_file(input: &mut Input<'_>, version: u16, limits: &TypeLimits) -> Result<Value> {
    let hash = match input.rest().first() {
        Some(&kind::HASH_ZIPMAP) => {
            input.byte()?;
            hash_of(zipmap::elements(&input.string()?)?, limits)?
        }
        Some(&kind::HASH_VALKEY) if version >= VALKEY_VERSION => {
            input.byte()?;
            hash_of_valkey(input, limits)?
        }
        _ => return read_value(input, limits),
    };
    if hash.is_empty() {
        return Err(RdbError::Malformed("an empty collection"));
    }
    Ok(Value::Object(Object::Hash(hash)))
}

/// Reads the type and the value behind it.
pub fn read_value(input: &mut Input<'_>, limits: &TypeLimits) -> Result<Value> {
    let object = match input.byte()? {
        kind::STRING => return Ok(Value::String(input.string()?.into_owned())),
        kind::LIST => Object::List(list_of(strings(input, 1)?, limits)?),
        kind::LIST_ZIPLIST => Object::List(list_of(ziplist::elements(&input.string()?)?, limits)?),
        kind::LIST_QUICKLIST => Object::List(old_quicklist(input, limits)?),
        kind::LIST_QUICKLIST_2 => Object::List(quicklist(input, limits)?),
        kind::SET => Object::Set(set_of(strings(input, 1)?, limits)?),
        kind::SET_INTSET => Object::Set(set_of(intset::elements(&input.string()?)?, limits)?),
        kind::SET_LISTPACK => Object::Set(set_of(listpack::elements(&input.string()?)?, limits)?),
        kind::HASH => Object::Hash(hash_of(strings(input, 2)?, limits)?),
        kind::HASH_ZIPLIST => Object::Hash(hash_of(ziplist::elements(&input.string()?)?, limits)?),
        kind::HASH_LISTPACK => Object::Hash(hash_of(listpack::elements(&input.string()?)?, limits)?),
        kind::HASH_METADATA => Object::Hash(hash_with_deadlines(input, limits)?),
        kind::HASH_LISTPACK_EX => Object::Hash(packed_hash_with_deadlines(input, limits)?),
        kind::ZSET => Object::ZSet(zset(input, text_score, limits)?),
        kind::ZSET_2 => Object::ZSet(zset(input, binary_score, limits)?),
        kind::ZSET_ZIPLIST => Object::ZSet(zset_of(ziplist::elements(&input.string()?)?, limits)?),
        kind::ZSET_LISTPACK => Object::ZSet(zset_of(listpack::elements(&input.string()?)?, limits)?),
        kind @ (kind::STREAM | kind::STREAM_2 | kind::STREAM_3) => Object::Stream(stream::read(input, kind)?),
        unknown => return Err(RdbError::UnknownType(unknown)),
    };
    if object.is_empty() {
        return Err(RdbError::Malformed("an empty collection"));
    }
    Ok(Value::Object(object))
}

/// A count, and `each` times as many strings.
fn strings<'i, 'a>(
    input: &'i mut Input<'a>,
    each: u64,
) -> Result<impl Iterator<Item = Result<Element<'a>>> + use<'i, 'a>> {
    let count = input.length()?.saturating_mul(each);
    Ok((0..count).map(move |_| input.string()))
}

fn list_of<'a>(elements: impl Iterator<Item = Result<Element<'a>>>, limits: &TypeLimits) -> Result<List> {
    let mut list = List::new();
    extend(&mut list, elements, limits)?;
    Ok(list)
}

fn extend<'a>(
    list: &mut List,
    elements: impl Iterator<Item = Result<Element<'a>>>,
    limits: &TypeLimits,
) -> Result<()> {
    for element in elements {
        list.push_back(&element?, limits);
    }
    Ok(())
}

/// The nodes of a list before Redis 7: ziplists.
fn old_quicklist(input: &mut Input<'_>, limits: &TypeLimits) -> Result<List> {
    let mut list = List::new();
    for _ in 0..input.length()? {
        extend(&mut list, ziplist::elements(&input.string()?)?, limits)?;
    }
    Ok(list)
}

fn quicklist(input: &mut Input<'_>, limits: &TypeLimits) -> Result<List> {
    let mut list = List::new();
    for _ in 0..input.length()? {
        match input.length()? {
            NODE_PLAIN => list.push_back(&input.string()?, limits),
            NODE_PACKED => extend(&mut list, listpack::elements(&input.string()?)?, limits)?,
            _ => return Err(RdbError::Malformed("a quicklist's node")),
        }
    }
    Ok(list)
}

fn set_of<'a>(elements: impl Iterator<Item = Result<Element<'a>>>, limits: &TypeLimits) -> Result<Set> {
    let mut set = Set::new();
    for element in elements {
        if !set.insert(&element?, limits) {
            return Err(TWICE);
        }
    }
    Ok(set)
}

/// A hash of fields and values in turn.
fn hash_of<'a>(mut elements: impl Iterator<Item = Result<Element<'a>>>, limits: &TypeLimits) -> Result<Hash> {
    let mut hash = Hash::new();
    while let Some(field) = elements.next() {
        add_field(&mut hash, &field?, &elements.next().ok_or(HALF)??, limits)?;
    }
    Ok(hash)
}

fn add_field(hash: &mut Hash, field: &[u8], value: &[u8], limits: &TypeLimits) -> Result<()> {
    hash.set(field, value, limits).then_some(()).ok_or(TWICE)
}

/// A field's time to live counts from the earliest deadline, and from one; zero is none.
fn hash_with_deadlines(input: &mut Input<'_>, limits: &TypeLimits) -> Result<Hash> {
    let earliest_ms = i64::from_le_bytes(input.array()?);
    let mut hash = Hash::new();
    for _ in 0..input.length()? {
        let ttl = input.length()?;
        let (field, value) = (input.string()?, input.string()?);
        add_field(&mut hash, &field, &value, limits)?;
        if let Some(behind_ms) = ttl.checked_sub(1) {
            set_deadline(&mut hash, &field, earliest_ms.checked_add_unsigned(behind_ms), limits)?;
        }
    }
    Ok(hash)
}

/// A field, its value and the time of its deadline; -1 is none.
fn hash_of_valkey(input: &mut Input<'_>, limits: &TypeLimits) -> Result<Hash> {
    let mut hash = Hash::new();
    for _ in 0..input.length()? {
        let (field, value) = (input.string()?, input.string()?);
        add_field(&mut hash, &field, &value, limits)?;
        let deadline_ms = i64::from_le_bytes(input.array()?);
        if deadline_ms != -1 {
            set_deadline(&mut hash, &field, Some(deadline_ms), limits)?;
        }
    }
    Ok(hash)
}

/// A field, its value and its deadline (zero for none) in turn, behind the earliest deadline.
fn packed_hash_with_deadlines(input: &mut Input<'_>, limits: &TypeLimits) -> Result<Hash> {
    input.array::<8>()?;
    let blob = input.string()?;
    let mut elements = listpack::elements(&blob)?;
    let mut hash = Hash::new();
    while let Some(field) = elements.next() {
        let field = field?;
        add_field(&mut hash, &field, &elements.next().ok_or(HALF)??, limits)?;
        let deadline_ms = parse_integer(&elements.next().ok_or(HALF)??);
        if deadline_ms != Some(0) {
            set_deadline(&mut hash, &field, deadline_ms, limits)?;
        }
    }
    Ok(hash)
}

fn set_deadline(hash: &mut Hash, field: &[u8], deadline_ms: Option<i64>, limits: &TypeLimits) -> Result<()> {
    let deadline_ms = deadline_ms.filter(|deadline_ms| *deadline_ms >= 0).ok_or(DEADLINE)?;
    hash.set_expire_at(field, Some(deadline_ms), limits);
    Ok(())
}

/// A count, and members with their scores.
fn zset(
    input: &mut Input<'_>,
    score: fn(&mut Input<'_>) -> Result<f64>,
    limits: &TypeLimits,
) -> Result<ZSet> {
    let mut zset = ZSet::new();
    for _ in 0..input.length()? {
        let member = input.string()?;
        add_member(&mut zset, &member, score(input)?, limits)?;
    }
    Ok(zset)
}

/// A sorted set of members and scores in turn.
fn zset_of<'a>(mut elements: impl Iterator<Item = Result<Element<'a>>>, limits: &TypeLimits) -> Result<ZSet> {
    let mut zset = ZSet::new();
    while let Some(member) = elements.next() {
        let member = member?;
        let score = parse_double(&elements.next().ok_or(HALF)??).ok_or(SCORE)?;
        add_member(&mut zset, &member, score, limits)?;
    }
    Ok(zset)
}

fn add_member(zset: &mut ZSet, member: &[u8], score: f64, limits: &TypeLimits) -> Result<()> {
    match zset.insert(member, score, &ZSetLimits::from(limits)) {
        Inserted::Added => Ok(()),
        Inserted::Updated | Inserted::Same => Err(TWICE),
    }
}

fn binary_score(input: &mut Input<'_>) -> Result<f64> {
    let score = f64::from_le_bytes(input.array()?);
    if score.is_nan() { Err(SCORE) } else { Ok(score) }
}

/// A length and so many digits; three lengths stand for what digits can't say.
fn text_score(input: &mut Input<'_>) -> Result<f64> {
    match input.byte()? {
        253 => Err(SCORE),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        len => parse_double(input.take(usize::from(len))?).ok_or(SCORE),
    }
}
