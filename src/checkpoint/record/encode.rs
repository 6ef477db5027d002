//! Writes an entry: its root into a buffer, and content that is too long for it part by part to whoever stores parts.
//!
//! However long a value is, no more than one part of it is held.

use super::content::put_varint;
use super::{Body, Kind, PART_BYTES, Parts, Root, stream};
use crate::keyspace::digest::{self, Digest};
use crate::keyspace::entry::Entry;
use crate::keyspace::types::hash::Hash;
use crate::keyspace::value::{Object, ValueRef};

/// What was written of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub contribution: Digest,
    /// Parts beside the root; none of them if its content is in the root.
    pub parts: u32,
}

/// Writes entries one after the other; keeps its buffer.
#[derive(Debug, Default)]
pub struct Encoder {
    part: Vec<u8>,
    full_parts: u32,
}

impl Encoder {
    /// Appends the entry's root to `out`. Content beyond [`PART_BYTES`] goes to `store_part` instead, with the parts'
    /// numbers rising from 0, to be found under `blob`.
    pub fn encode<E>(
        &mut self,
        entry: &Entry,
        blob: u64,
        out: &mut Vec<u8>,
        mut store_part: impl FnMut(u32, &[u8]) -> Result<(), E>,
    ) -> Result<Written, E> {
        self.part.clear();
        self.full_parts = 0;
        let value = entry.value();
        write_content(value, &mut |bytes| self.push(bytes, &mut store_part))?;
        let contribution = digest::of_record(entry);
        let parts = self.finish(&mut store_part)?;
        let body = match parts {
            0 => Body::Inline(&self.part),
            count => Body::Parts(Parts { blob, count, bytes: self.content_bytes(count) }),
        };
        let kind = Kind::of(value);
        let field_deadlines = fields_have_deadlines(value);
        Root { kind, contribution, deadline_ms: entry.deadline_ms(), field_deadlines, body }.encode(out);
        Ok(Written { contribution, parts })
    }

    /// A full part is stored when more follows, so that content of exactly one part stays in the root.
    fn push<E>(
        &mut self,
        mut bytes: &[u8],
        store_part: &mut impl FnMut(u32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.part.len() == PART_BYTES {
                store_part(self.full_parts, &self.part)?;
                self.full_parts += 1;
                self.part.clear();
            }
            let room = PART_BYTES - self.part.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.part.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Stores the last part, if there were others; returns how many there are.
    fn finish<E>(&mut self, store_part: &mut impl FnMut(u32, &[u8]) -> Result<(), E>) -> Result<u32, E> {
        if self.full_parts == 0 {
            return Ok(0);
        }
        store_part(self.full_parts, &self.part)?;
        Ok(self.full_parts + 1)
    }

    fn content_bytes(&self, parts: u32) -> u64 {
        u64::from(parts - 1) * PART_BYTES as u64 + self.part.len() as u64
    }
}

fn fields_have_deadlines(value: ValueRef<'_>) -> bool {
    matches!(value, ValueRef::Object(Object::Hash(hash)) if hash.earliest_deadline().is_some())
}

/// Gives the content of a value to `sink`, piece by piece.
fn write_content<E>(value: ValueRef<'_>, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let object = match value {
        ValueRef::String(bytes) => return sink(bytes),
        ValueRef::Object(object) => object,
    };
    let mut head = Vec::with_capacity(16);
    if !matches!(object, Object::Stream(_)) {
        put_varint(&mut head, object.len() as u64);
        sink(&head)?;
    }
    match object {
        Object::List(list) => list.iter().try_for_each(|element| write_element(element, &mut head, sink)),
        Object::Set(set) => set.iter().try_for_each(|member| write_element(&member, &mut head, sink)),
        Object::Hash(hash) => write_fields(hash, &mut head, sink),
        Object::ZSet(zset) => zset.iter().try_for_each(|entry| {
            write_element(entry.member, &mut head, sink)?;
            sink(&entry.score.to_bits().to_le_bytes())
        }),
        Object::Stream(value) => stream::write(value, sink),
    }
}

fn write_element<E>(
    element: &[u8],
    head: &mut Vec<u8>,
    sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    head.clear();
    put_varint(head, element.len() as u64);
    sink(head)?;
    sink(element)
}

fn write_fields<E>(
    hash: &Hash,
    head: &mut Vec<u8>,
    sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let deadlines = hash.earliest_deadline().is_some();
    for (field, value) in hash.iter() {
        write_element(field, head, sink)?;
        write_element(value, head, sink)?;
        if deadlines {
            match hash.expire_at(field) {
                None => sink(&[0])?,
                Some(deadline_ms) => {
                    sink(&[1])?;
                    sink(&deadline_ms.to_le_bytes())?;
                }
            }
        }
    }
    Ok(())
}
