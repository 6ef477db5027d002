//! Hashes: fields with values, and with deadlines for those who ask.
//!
//! - Up to the limits a hash is one packed sequence of field, value, field, value; beyond them a dense table. It never
//!   goes back.
//! - Fields have an order ("dense order") that is a function of the operations alone: a new field goes to the end; on
//!   removal the later ones move up (packed) or the last one fills the gap (table). Inserting the fields in this order
//!   into an empty hash of the same encoding reproduces it.
//! - A hash without deadlines pays nothing for them: not even the pointer.
//! - A deadline has passed from its own millisecond on, as a key's has. A field whose deadline has passed is
//!   here until `remove_expired`; `is_expired` tells it from the others.

mod deadlines;
#[cfg(test)]
mod tests;

use std::fmt;

use super::dense_table::{DenseTable, Record};
use super::encoding::Encoding;
use super::limits::TypeLimits;
use super::packed::Packed;
use super::varint;
use crate::keyspace::hash_seed::HashSeed;
use deadlines::Deadlines;

/// A hash value.
#[derive(Clone)]
pub struct Hash(Form);

/// Small hashes are most hashes: they take no more than the packed sequence's two words.
#[derive(Clone)]
enum Form {
    Packed(Packed<false>),
    Full(Box<Full>),
}

#[derive(Clone)]
struct Full {
    fields: Fields,
    deadlines: Deadlines,
}

#[derive(Clone)]
enum Fields {
    Packed(Packed<false>),
    Table(DenseTable<FieldRecord>),
}

enum FieldsRef<'a> {
    Packed(&'a Packed<false>),
    Table(&'a DenseTable<FieldRecord>),
}

enum FieldsMut<'a> {
    Packed(&'a mut Packed<false>),
    Table(&'a mut DenseTable<FieldRecord>),
}

/// A record is `varint(field length) field value`.
#[derive(Clone)]
struct FieldRecord;

impl Record for FieldRecord {
    fn key(record: &[u8]) -> &[u8] {
        split_record(record).0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl Hash {
    /// An empty packed hash; it allocates nothing.
    pub fn new() -> Self {
        Hash(Form::Packed(Packed::new()))
    }

    /// An empty hash that is a table from the start: to restore one that was.
    pub fn new_table(limits: &TypeLimits) -> Self {
        Hash(Form::Full(Box::new(Full {
            fields: Fields::Table(DenseTable::new(limits.hash_seed)),
            deadlines: Deadlines::new(),
        })))
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        match self.fields() {
            FieldsRef::Packed(packed) => packed.len() / 2,
            FieldsRef::Table(table) => table.len(),
        }
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the hash lies in memory: `Listpack` or `Hashtable`.
    pub fn encoding(&self) -> Encoding {
        match self.fields() {
            FieldsRef::Packed(_) => Encoding::Listpack,
            FieldsRef::Table(_) => Encoding::Hashtable,
        }
    }

    /// What OBJECT ENCODING answers; a packed hash with deadlines is a "listpackex".
    pub fn encoding_name(&self) -> &'static str {
        match self.encoding() {
            Encoding::Listpack if self.earliest_deadline().is_some() => "listpackex",
            encoding => encoding.name(),
        }
    }

    /// Bytes of the value and everything it holds on the heap. O(1).
    pub fn memory_bytes(&self) -> usize {
        let fields = match self.fields() {
            FieldsRef::Packed(packed) => packed.heap_bytes(),
            FieldsRef::Table(table) => table.heap_bytes(),
        };
        let full = match &self.0 {
            Form::Packed(_) => 0,
            Form::Full(full) => size_of::<Full>() + full.deadlines.heap_bytes(),
        };
        size_of::<Self>() + full + fields
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match self.fields() {
            FieldsRef::Packed(packed) => {
                let offset = packed.find(field, 2)?;
                Some(packed.get(packed.next(offset)))
            }
            FieldsRef::Table(table) => Some(split_record(table.get(table.find(field)?)).1),
        }
    }

    /// Whether there is such a field.
    pub fn contains(&self, field: &[u8]) -> bool {
        match self.fields() {
            FieldsRef::Packed(packed) => packed.find(field, 2).is_some(),
            FieldsRef::Table(table) => table.find(field).is_some(),
        }
    }

    /// Gives a field a value and takes its deadline away, as HSET does. Returns whether the field is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &TypeLimits) -> bool {
        if let Some(deadlines) = self.deadlines_mut() {
            deadlines.remove(field);
        }
        self.set_keeping_deadline(field, value, limits)
    }

    /// Gives a field a value and leaves its deadline as it is, as HINCRBY does. Returns whether the field is new.
    pub fn set_keeping_deadline(&mut self, field: &[u8], value: &[u8], limits: &TypeLimits) -> bool {
        if field.len().max(value.len()) > limits.hash_max_listpack_value_bytes {
            self.become_table(limits);
        }
        let added_bytes =
            Packed::<false>::entry_bytes(field.len()) + Packed::<false>::entry_bytes(value.len());
        match self.fields_mut() {
            FieldsMut::Table(table) => return set_in_table(table, field, value),
            FieldsMut::Packed(packed) => {
                let fits = packed.end() + added_bytes <= limits.max_packed_bytes;
                if let Some(offset) = packed.find(field, 2).filter(|_| fits) {
                    packed.replace(packed.next(offset), value);
                    return false;
                }
                if fits && packed.len() / 2 < limits.hash_max_listpack_entries {
                    packed.push_back(field);
                    packed.push_back(value);
                    return true;
                }
            }
        }
        self.become_table(limits);
        self.set_keeping_deadline(field, value, limits)
    }

    /// Removes a field and its deadline. Returns whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        if let Some(deadlines) = self.deadlines_mut() {
            deadlines.remove(field);
        }
        match self.fields_mut() {
            FieldsMut::Packed(packed) => {
                packed.find(field, 2).map(|offset| packed.remove(offset, 2)).is_some()
            }
            FieldsMut::Table(table) => {
                table.find(field).map(|position| table.swap_remove(position)).is_some()
            }
        }
    }

    /// All fields with their values, in dense order.
    pub fn iter(&self) -> HashIter<'_> {
        HashIter { hash: self, position: 0, offset: Packed::<false>::FIRST }
    }

    /// The field at `position` in dense order, with its value: O(1) in a table, O(position) in a packed hash.
    pub fn get_at(&self, position: usize) -> Option<(&[u8], &[u8])> {
        if position >= self.len() {
            return None;
        }
        Some(match self.fields() {
            FieldsRef::Packed(packed) => pair_at(packed, packed.offset_of(2 * position)),
            FieldsRef::Table(table) => split_record(table.get(position)),
        })
    }

    /// Visits about `count` fields from `cursor` on (all of a packed hash) and returns the next cursor, 0 at the
    /// end. A field that is there from the first step to the last is visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        if let FieldsRef::Table(table) = self.fields() {
            return table.scan(cursor, count, |record| {
                let (field, value) = split_record(record);
                visit(field, value);
            });
        }
        self.iter().for_each(|(field, value)| visit(field, value));
        0
    }

    /// The deadline of a field, in ms since the epoch.
    pub fn expire_at(&self, field: &[u8]) -> Option<i64> {
        self.deadlines()?.get(field)
    }

    /// Gives a field a deadline (ms since the epoch, a negative one counts as zero) or takes it away. Returns whether there is such a field.
    pub fn set_expire_at(&mut self, field: &[u8], deadline_ms: Option<i64>, limits: &TypeLimits) -> bool {
        if !self.contains(field) {
            return false;
        }
        match deadline_ms {
            Some(at_ms) => self.full().deadlines.set(field, at_ms, limits.hash_seed),
            None => {
                if let Some(deadlines) = self.deadlines_mut() {
                    deadlines.remove(field);
                }
            }
        }
        true
    }

    /// The earliest deadline of all fields.
    pub fn earliest_deadline(&self) -> Option<i64> {
        self.deadlines()?.earliest()
    }

    /// Whether the field's deadline has passed at `now_ms`.
    pub fn is_expired(&self, field: &[u8], now_ms: i64) -> bool {
        self.expire_at(field).is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// How many fields' deadlines have passed at `now_ms`.
    pub fn expired_len(&self, now_ms: i64) -> usize {
        self.deadlines().map_or(0, |deadlines| deadlines.passed_len(now_ms))
    }

    /// Removes at most `max` fields whose deadlines have passed at `now_ms`, earliest first. Returns how many.
    pub fn remove_expired(&mut self, now_ms: i64, max: usize) -> usize {
        let passed: Vec<_> = match self.deadlines() {
            Some(deadlines) => deadlines.passed(now_ms).take(max).map(<[u8]>::to_vec).collect(),
            None => return 0,
        };
        for field in &passed {
            self.remove(field);
        }
        passed.len()
    }

    /// Finds fields by another seed from here on; see [`HashSeed`].
    pub fn reseed(&mut self, seed: HashSeed) {
        if let Form::Full(full) = &mut self.0 {
            full.deadlines.reseed(seed);
            if let Fields::Table(table) = &mut full.fields {
                table.reseed(seed);
            }
        }
    }

    fn fields(&self) -> FieldsRef<'_> {
        match &self.0 {
            Form::Packed(packed) => FieldsRef::Packed(packed),
            Form::Full(full) => match &full.fields {
                Fields::Packed(packed) => FieldsRef::Packed(packed),
                Fields::Table(table) => FieldsRef::Table(table),
            },
        }
    }

    fn fields_mut(&mut self) -> FieldsMut<'_> {
        match &mut self.0 {
            Form::Packed(packed) => FieldsMut::Packed(packed),
            Form::Full(full) => match &mut full.fields {
                Fields::Packed(packed) => FieldsMut::Packed(packed),
                Fields::Table(table) => FieldsMut::Table(table),
            },
        }
    }

    /// The deadlines, unless there are none.
    fn deadlines(&self) -> Option<&Deadlines> {
        match &self.0 {
            Form::Full(full) if !full.deadlines.is_empty() => Some(&full.deadlines),
            _ => None,
        }
    }

    fn deadlines_mut(&mut self) -> Option<&mut Deadlines> {
        match &mut self.0 {
            Form::Full(full) if !full.deadlines.is_empty() => Some(&mut full.deadlines),
            _ => None,
        }
    }

    /// Makes room for deadlines or a table.
    fn full(&mut self) -> &mut Full {
        if let Form::Packed(packed) = &mut self.0 {
            self.0 = Form::Full(Box::new(Full {
                fields: Fields::Packed(std::mem::take(packed)),
                deadlines: Deadlines::new(),
            }));
        }
        match &mut self.0 {
            Form::Full(full) => full,
            Form::Packed(_) => unreachable!("the form was made full above"),
        }
    }

    fn become_table(&mut self, limits: &TypeLimits) {
        let FieldsRef::Packed(_) = self.fields() else {
            return;
        };
        let mut table = DenseTable::new(limits.hash_seed);
        for (field, value) in self.iter() {
            set_in_table(&mut table, field, value);
        }
        self.full().fields = Fields::Table(table);
    }
}

/// Fields with their values, in dense order.
pub struct HashIter<'a> {
    hash: &'a Hash,
    position: usize,
    offset: usize,
}

impl<'a> Iterator for HashIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.hash.len() {
            return None;
        }
        let position = self.position;
        self.position += 1;
        Some(match self.hash.fields() {
            FieldsRef::Packed(packed) => {
                let pair = pair_at(packed, self.offset);
                self.offset = packed.next(packed.next(self.offset));
                pair
            }
            FieldsRef::Table(table) => split_record(table.get(position)),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.hash.len() - self.position;
        (left, Some(left))
    }
}

impl ExactSizeIterator for HashIter<'_> {}

fn pair_at(packed: &Packed<false>, offset: usize) -> (&[u8], &[u8]) {
    (packed.get(offset), packed.get(packed.next(offset)))
}

fn split_record(record: &[u8]) -> (&[u8], &[u8]) {
    let (len, head) = varint::read(record);
    record[head..].split_at(len)
}

fn set_in_table(table: &mut DenseTable<FieldRecord>, field: &[u8], value: &[u8]) -> bool {
    let mut head = [0; 5];
    let head_bytes = varint::write(&mut head, field.len());
    let parts = [&head[..head_bytes], field, value];
    match table.insert(field, &parts) {
        None => true,
        Some(position) => {
            table.replace(position, &parts);
            false
        }
    }
}
