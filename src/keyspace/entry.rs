//! A key with its value and its deadline.

use super::value::{Object, ValueRef};

#[derive(Debug, Clone)]
pub struct Entry {
    key: Box<[u8]>,
    deadline_ms: Option<i64>,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    String(Vec<u8>),
    Object(Box<Object>),
}

impl Entry {
    pub fn string(key: &[u8], value: &[u8], deadline_ms: Option<i64>) -> Entry {
        Entry { key: key.into(), deadline_ms, value: Value::String(value.to_vec()) }
    }

    pub fn object(key: &[u8], object: Object, deadline_ms: Option<i64>) -> Entry {
        Entry { key: key.into(), deadline_ms, value: Value::Object(Box::new(object)) }
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Unix time in ms from which the key is dead.
    pub fn deadline_ms(&self) -> Option<i64> {
        self.deadline_ms
    }

    pub fn is_dead_at(&self, now_ms: i64) -> bool {
        self.deadline_ms().is_some_and(|deadline| deadline <= now_ms)
    }

    pub fn value(&self) -> ValueRef<'_> {
        match &self.value {
            Value::String(bytes) => ValueRef::String(bytes),
            Value::Object(object) => ValueRef::Object(object),
        }
    }

    /// The collection, or `None` for a string.
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        match &mut self.value {
            Value::String(_) => None,
            Value::Object(object) => Some(object),
        }
    }

    pub fn set_deadline(&mut self, deadline_ms: Option<i64>) {
        self.deadline_ms = deadline_ms;
    }

    /// Replaces value and deadline.
    pub fn set_string(&mut self, value: &[u8], deadline_ms: Option<i64>) {
        self.deadline_ms = deadline_ms;
        self.value = Value::String(value.to_vec());
    }

    /// Grows or cuts the string to `len` bytes (new ones are zero) and lends it; `None` for a collection.
    pub fn resize_string(&mut self, len: usize) -> Option<&mut [u8]> {
        match &mut self.value {
            Value::String(bytes) => {
                bytes.resize(len, 0);
                Some(bytes)
            }
            Value::Object(_) => None,
        }
    }

    /// The same value and deadline under another key.
    pub fn renamed(self, key: &[u8]) -> Entry {
        Entry { key: key.into(), ..self }
    }
}
