//! The keyspace: slots, entries and the value types. Only apply changes it.

pub mod types;
