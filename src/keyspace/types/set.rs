//! Sets of byte strings.
//!
//! - A set of integers is an intset up to its limit; other small sets are one packed sequence; all others dense
//!   tables. It never goes back.
//! - Members have an order ("dense order") that is a function of the operations alone: ascending in an intset;
//!   otherwise a new member goes to the end, and on removal the later ones move up (packed) or the last one fills the
//!   gap (table). Inserting the members in this order into an empty set of the same encoding reproduces it; into an
//!   empty set of another encoding it may not.
//! - An integer is a member in its one canonical spelling only: "7" may lie in an intset, "07" and "+7" never do.

mod intset;
mod member;
#[cfg(test)]
mod tests;

pub use member::Member;

use std::fmt;

use super::dense_table::{DenseTable, Record};
use super::encoding::Encoding;
use super::limits::TypeLimits;
use super::packed::Packed;
use crate::keyspace::hash_seed::HashSeed;
use intset::{IntSet, parse_canonical};

/// A set value.
#[derive(Clone)]
pub struct Set(Form);

#[derive(Clone)]
enum Form {
    Ints(IntSet),
    Packed(Packed<false>),
    Table(Box<DenseTable<MemberRecord>>),
}

/// A record is the member.
#[derive(Clone)]
struct MemberRecord;

impl Record for MemberRecord {
    fn key(record: &[u8]) -> &[u8] {
        record
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|member| member.to_vec())).finish()
    }
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Set {
    /// An empty set; its first members choose its encoding. It allocates nothing.
    pub fn new() -> Self {
        Set(Form::Ints(IntSet::new()))
    }

    /// An empty set of this encoding, to restore one that had it: no member makes it an intset again.
    pub fn with_encoding(encoding: Encoding, limits: &TypeLimits) -> Self {
        Set(match encoding {
            Encoding::Intset => Form::Ints(IntSet::new()),
            Encoding::Listpack | Encoding::Quicklist => Form::Packed(Packed::new()),
            Encoding::Hashtable => Form::Table(Box::new(DenseTable::new(limits.hash_seed))),
        })
    }

    /// Says how many members an empty set is about to get: more than an intset may have go into a packed sequence that may have
    /// them, as in Redis.
    pub fn expect(&mut self, members: usize, limits: &TypeLimits) {
        let is_packed =
            (limits.set_max_intset_entries + 1..=limits.set_max_listpack_entries).contains(&members);
        if self.is_empty() && is_packed {
            *self = Set::with_encoding(Encoding::Listpack, limits);
        }
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Ints(ints) => ints.len(),
            Form::Packed(packed) => packed.len(),
            Form::Table(table) => table.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the set lies in memory: `Intset`, `Listpack` or `Hashtable`.
    pub fn encoding(&self) -> Encoding {
        match &self.0 {
            Form::Ints(_) => Encoding::Intset,
            Form::Packed(_) => Encoding::Listpack,
            Form::Table(_) => Encoding::Hashtable,
        }
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding_name(&self) -> &'static str {
        self.encoding().name()
    }

    /// Bytes of the value and everything it holds on the heap. O(1).
    pub fn memory_bytes(&self) -> usize {
        let heap = match &self.0 {
            Form::Ints(ints) => ints.heap_bytes(),
            Form::Packed(packed) => packed.heap_bytes(),
            Form::Table(table) => size_of_val(&**table) + table.heap_bytes(),
        };
        size_of::<Self>() + heap
    }

    /// Whether `member` is in the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.0 {
            Form::Ints(ints) => parse_canonical(member).is_some_and(|member| ints.contains(member)),
            Form::Packed(packed) => packed.find(member, 1).is_some(),
            Form::Table(table) => table.find(member).is_some(),
        }
    }

    /// Adds a member. Returns whether it is new.
    pub fn insert(&mut self, member: &[u8], limits: &TypeLimits) -> bool {
        match &mut self.0 {
            Form::Ints(ints) => match parse_canonical(member) {
                Some(integer) => {
                    let new = ints.insert(integer);
                    if ints.len() > limits.set_max_intset_entries {
                        self.become_table(limits);
                    }
                    return new;
                }
                None if self.may_pack(limits) => self.become_packed(),
                None => self.become_table(limits),
            },
            Form::Packed(packed) => {
                if packed.find(member, 1).is_some() {
                    return false;
                }
                let fits = packed.len() < limits.set_max_listpack_entries
                    && packed.end() + Packed::<false>::entry_bytes(member.len()) <= limits.max_packed_bytes;
                if fits && member.len() <= limits.set_max_listpack_value_bytes {
                    packed.push_back(member);
                    return true;
                }
                self.become_table(limits);
            }
            Form::Table(table) => return table.insert(member, &[member]).is_none(),
        }
        self.insert(member, limits)
    }

    /// Removes a member. Returns whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Form::Ints(ints) => parse_canonical(member).is_some_and(|member| ints.remove(member)),
            Form::Packed(packed) => packed.find(member, 1).map(|offset| packed.remove(offset, 1)).is_some(),
            Form::Table(table) => table.find(member).map(|position| table.swap_remove(position)).is_some(),
        }
    }

    /// All members in dense order.
    pub fn iter(&self) -> SetIter<'_> {
        SetIter { set: self, position: 0, offset: Packed::<false>::FIRST }
    }

    /// The member at `position` in dense order: O(1), but O(position) in a packed set.
    pub fn get_at(&self, position: usize) -> Option<Member<'_>> {
        if position >= self.len() {
            return None;
        }
        match &self.0 {
            Form::Ints(ints) => ints.get(position).map(Member::integer),
            Form::Packed(packed) => Some(Member::borrowed(packed.get(packed.offset_of(position)))),
            Form::Table(table) => Some(Member::borrowed(table.get(position))),
        }
    }

    /// Removes and returns the member at `position` in dense order.
    pub fn remove_at(&mut self, position: usize) -> Option<Vec<u8>> {
        let member = self.get_at(position)?.to_vec();
        match &mut self.0 {
            Form::Table(table) => table.swap_remove(position),
            Form::Packed(packed) => packed.remove(packed.offset_of(position), 1),
            Form::Ints(_) => {
                self.remove(&member);
            }
        }
        Some(member)
    }

    /// Visits about `count` members from `cursor` on (all, unless the set is a table) and returns the next cursor, 0
    /// at the end. A member that is there from the first step to the last is visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        if let Form::Table(table) = &self.0 {
            return table.scan(cursor, count, visit);
        }
        self.iter().for_each(|member| visit(&member));
        0
    }

    /// Finds members by another seed from here on; see [`HashSeed`].
    pub fn reseed(&mut self, seed: HashSeed) {
        if let Form::Table(table) = &mut self.0 {
            table.reseed(seed);
        }
    }

    fn may_pack(&self, limits: &TypeLimits) -> bool {
        let longest = self.iter().map(|member| member.len()).max().unwrap_or(0);
        // An integer takes 21 bytes at most.
        let bytes = self.len() * 22;
        self.len() < limits.set_max_listpack_entries
            && longest <= limits.set_max_listpack_value_bytes
            && bytes <= limits.max_packed_bytes
    }

    fn become_packed(&mut self) {
        let mut packed = Packed::new();
        for member in self.iter() {
            packed.push_back(&member);
        }
        self.0 = Form::Packed(packed);
    }

    fn become_table(&mut self, limits: &TypeLimits) {
        let mut table = DenseTable::new(limits.hash_seed);
        for member in self.iter() {
            table.insert(&member, &[&member]);
        }
        self.0 = Form::Table(Box::new(table));
    }
}

/// Members in dense order.
pub struct SetIter<'a> {
    set: &'a Set,
    position: usize,
    offset: usize,
}

impl<'a> Iterator for SetIter<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        if self.position >= self.set.len() {
            return None;
        }
        let position = self.position;
        self.position += 1;
        if let Form::Packed(packed) = &self.set.0 {
            let offset = self.offset;
            self.offset = packed.next(offset);
            return Some(Member::borrowed(packed.get(offset)));
        }
        self.set.get_at(position)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.set.len() - self.position;
        (left, Some(left))
    }
}

impl ExactSizeIterator for SetIter<'_> {}
