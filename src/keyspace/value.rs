//! A value of any type, as commands see it.

use super::hash_seed::HashSeed;
use super::types::hash::Hash;
use super::types::list::List;
use super::types::set::Set;
use super::types::stream::Stream;
use super::types::zset::ZSet;

/// What TYPE answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    String,
    List,
    Hash,
    Set,
    ZSet,
    Stream,
}

impl ValueType {
    /// The name that TYPE answers and that SCAN's TYPE option takes.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::String => "string",
            ValueType::List => "list",
            ValueType::Hash => "hash",
            ValueType::Set => "set",
            ValueType::ZSet => "zset",
            ValueType::Stream => "stream",
        }
    }
}

/// A collection, owned. Strings are not objects: they live inside their entry.
#[derive(Debug, Clone)]
pub enum Object {
    List(List),
    Hash(Hash),
    Set(Set),
    ZSet(ZSet),
    Stream(Stream),
}

/// A borrowed value.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    String(&'a [u8]),
    Object(&'a Object),
}

impl Object {
    pub fn value_type(&self) -> ValueType {
        match self {
            Object::List(_) => ValueType::List,
            Object::Hash(_) => ValueType::Hash,
            Object::Set(_) => ValueType::Set,
            Object::ZSet(_) => ValueType::ZSet,
            Object::Stream(_) => ValueType::Stream,
        }
    }

    /// Elements, fields or members; of a stream entries, and what its groups have.
    pub fn len(&self) -> usize {
        match self {
            Object::List(list) => list.len(),
            Object::Hash(hash) => hash.len(),
            Object::Set(set) => set.len(),
            Object::ZSet(zset) => zset.len(),
            Object::Stream(stream) => stream.parts(),
        }
    }

    /// Whether its key goes: a stream stays when it has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.value_type() != ValueType::Stream
    }

    /// Bytes of the value and everything it holds, without what the allocator rounds up. O(1).
    pub fn memory_bytes(&self) -> usize {
        match self {
            Object::List(list) => list.memory_bytes(),
            Object::Hash(hash) => hash.memory_bytes(),
            Object::Set(set) => set.memory_bytes(),
            Object::ZSet(zset) => zset.memory_bytes(),
            Object::Stream(stream) => stream.memory_bytes(),
        }
    }

    /// Finds elements by another seed from here on.
    pub fn reseed(&mut self, seed: HashSeed) {
        match self {
            Object::List(_) | Object::Stream(_) => {}
            Object::Hash(hash) => hash.reseed(seed),
            Object::Set(set) => set.reseed(seed),
            Object::ZSet(zset) => zset.reseed(seed),
        }
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding_name(&self) -> &'static str {
        match self {
            Object::List(list) => list.encoding_name(),
            Object::Hash(hash) => hash.encoding_name(),
            Object::Set(set) => set.encoding_name(),
            Object::ZSet(zset) => zset.encoding_name(),
            Object::Stream(stream) => stream.encoding_name(),
        }
    }
}

impl ValueRef<'_> {
    pub fn value_type(&self) -> ValueType {
        match self {
            ValueRef::String(_) => ValueType::String,
            ValueRef::Object(object) => object.value_type(),
        }
    }
}

/// A type of collection that a command asks for by its Rust type.
pub trait Collection: Sized {
    fn empty() -> Self;
    fn wrap(self) -> Object;
    fn of(object: &Object) -> Option<&Self>;
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
}

macro_rules! collections {
    ($($name:ident),*) => {$(
        impl Collection for $name {
            fn empty() -> Self {
                $name::new()
            }
            fn wrap(self) -> Object {
                Object::$name(self)
            }
            fn of(object: &Object) -> Option<&Self> {
                match object {
                    Object::$name(value) => Some(value),
                    _ => None,
                }
            }
            fn of_mut(object: &mut Object) -> Option<&mut Self> {
                match object {
                    Object::$name(value) => Some(value),
                    _ => None,
                }
            }
        }
    )*};
}

collections!(List, Hash, Set, ZSet, Stream);
