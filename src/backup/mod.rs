//! Backups: checkpoints and the log in a repository elsewhere, from which any point in time can be restored.
//!
//! - A repository belongs to one cluster. Any of its nodes may ship to it, one after the other or several at once: what they ship
//!   is the same.
//! - What is there can be proven without any node: every object has a checksum, every entry its place in a chain.
//! - A crash between any two steps leaves a repository that verifies.
//! - The bytes are in `docs/backup-format.md`.
//!
//! | file | subject |
//! |---|---|
//! | `store` | where objects are put: a folder, or S3 |
//! | `key`, `object`, `names` | an object: encryption, bytes, name |
//! | `entries`, `checkpoint` | what is in one |
//! | `header`, `repository`, `inventory` | which one it is, and whose; its objects; what can be restored |
//! | `places` | which repositories a node has shipped to |
//! | `ship`, `create`, `folder` | how they come there: the log as it grows; all at once; from a folder |
//! | `latest` | up to when it is known that nothing more was written |
//! | `probe` | whether a place can be written, read and removed from |
//! | `status` | what a running node tells of its backups |
//! | `copy` | all of it to another place |
//! | `verify`, `sealed`, `prune` | whether they are whole, with the key and without; which go |
//! | `restore` | a data folder as of then |

pub mod checkpoint;
pub mod copy;
pub mod create;
pub mod entries;
pub mod error;
pub mod folder;
pub mod header;
pub mod inventory;
pub mod key;
pub mod latest;
pub mod names;
pub mod object;
pub mod places;
pub mod probe;
pub mod prune;
pub mod repository;
pub mod restore;
pub mod sealed;
pub mod ship;
pub mod store;
pub mod verify;

#[cfg(test)]
mod tests;
