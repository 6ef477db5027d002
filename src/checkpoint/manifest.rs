//! What a finished checkpoint says of itself: the file `MANIFEST.perdura` in its folder.
//!
//! ```text
//! perdura checkpoint 1 0123456789abcdef        version; XXH3 of what is before it on this line, and of all behind the line
//! { "point": … }                               JSON
//! ```
//!
//! - Version and checksum stand at the same place in every version, so that a newer one is told from damage.
//! - It names every other file in the folder with its length and checksum: nothing else belongs there.
//! - People and tools can read it; nobody may change it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use perdura_wal::Position;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::error::{CheckpointError, Damage, READ};
use crate::keyspace::changes::Generation;
use crate::keyspace::digest::Digest;
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::{ALL_DATABASES, Basis, DATABASES};

/// The manifest's name in its folder.
pub const FILE_NAME: &str = "MANIFEST.perdura";
/// The newest version that this code reads. It writes the oldest that says everything, so that a program which knows nothing of
/// hash seeds, clusters' ids or the system database reads a checkpoint without them, and refuses one that has them.
pub const VERSION: u32 = 4;
const VERSION_WITHOUT_SYSTEM: u32 = 3;
const VERSION_WITHOUT_CLUSTER: u32 = 2;
const VERSION_WITHOUT_SEED: u32 = 1;
/// A longer manifest than this would name a million files.
pub const MAX_BYTES: u64 = 128 << 20;

const MAGIC: &str = "perdura checkpoint ";

/// The moment of a checkpoint: a place in a log, and what is known there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// What builds before version 3 called the cluster: it follows from settings.
    #[serde(with = "hex")]
    pub cluster_id: u64,
    /// The cluster's random id; 0 where its log had none yet. From version 3 on.
    #[serde(with = "hex", default, skip_serializing_if = "is_zero")]
    pub cluster: u64,
    /// The last entry that is in it.
    pub index: u64,
    pub term: u64,
    /// The newest stamp up to there, unix ms: time in the log never goes back.
    pub stamp_ms: i64,
    /// The group's voters there.
    pub members: Vec<u64>,
}

impl Point {
    /// Its place in the log.
    pub fn position(&self) -> Position {
        Position { index: self.index, term: self.term }
    }
}

/// What is in one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    pub keys: u64,
    /// Sum of the records' contributions.
    #[serde(with = "hex")]
    pub digest: Digest,
}

/// A file in the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSum {
    pub name: String,
    pub bytes: u64,
    #[serde(with = "hex")]
    pub xxh3: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub point: Point,
    /// The generation of each database that clients can select.
    pub databases: [Generation; DATABASES],
    /// Generations that hold anything.
    pub generations: BTreeMap<Generation, Tally>,
    /// Numbers of blobs from here on are free.
    pub next_blob: u64,
    /// From version 2 on.
    #[serde(default, skip_serializing_if = "HashSeed::is_none")]
    pub hash_seed: HashSeed,
    /// By name.
    pub files: Vec<FileSum>,
}

impl Manifest {
    /// What the keyspace needs to know before it is filled.
    pub fn basis(&self) -> Basis {
        Basis { generations: self.databases, hash_seed: self.hash_seed }
    }

    pub fn keys(&self) -> u64 {
        self.generations.values().map(|tally| tally.keys).sum()
    }

    /// Bytes of all files that it names.
    pub fn bytes(&self) -> u64 {
        // Another node's may say anything.
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    pub fn tally(&self, generation: Generation) -> Tally {
        self.generations.get(&generation).copied().unwrap_or_default()
    }

    /// What is in each database.
    pub fn tallies(&self) -> [Tally; ALL_DATABASES] {
        self.basis().all_generations().map(|generation| self.tally(generation))
    }

    /// A digest of all content: equal in two checkpoints that hold the same keys in the same databases.
    pub fn digest(&self) -> Digest {
        digest_of(&self.tallies())
    }

    /// The oldest version that says everything.
    fn version(&self) -> u32 {
        match (self.tally(Generation::SYSTEM).keys, self.point.cluster, self.hash_seed.is_none()) {
            (0, 0, true) => VERSION_WITHOUT_SEED,
            (0, 0, false) => VERSION_WITHOUT_CLUSTER,
            (0, ..) => VERSION_WITHOUT_SYSTEM,
            _ => VERSION,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut body =
            serde_json::to_vec_pretty(self).expect("it has no maps but those whose keys are numbers");
        body.push(b'\n');
        let head = format!("{MAGIC}{}", self.version());
        let line = format!("{head} {:016x}\n", checksum(head.as_bytes(), &body));
        [line.as_bytes(), &body].concat()
    }

    pub fn decode(bytes: &[u8]) -> Result<Manifest, Damage> {
        let line_end = bytes.iter().take(100).position(|byte| *byte == b'\n').ok_or(Damage::Header)?;
        let (line, body) = (&bytes[..line_end], &bytes[line_end + 1..]);
        let line = std::str::from_utf8(line).map_err(|_| Damage::Header)?;
        let (head, expected) = line.rsplit_once(' ').ok_or(Damage::Header)?;
        let text = expected;
        let expected = u64::from_str_radix(text, 16).map_err(|_| Damage::Header)?;
        if text != format!("{expected:016x}") {
            return Err(Damage::Header);
        }
        let version = head.strip_prefix(MAGIC).ok_or(Damage::Header)?;
        let found = checksum(head.as_bytes(), body);
        if found != expected {
            return Err(Damage::Checksum { expected, found });
        }
        match version.parse() {
            Ok(VERSION_WITHOUT_SEED..=VERSION) => {}
            Ok(found) => return Err(Damage::Version { found, supported: VERSION }),
            Err(_) => return Err(Damage::Header),
        }
        serde_json::from_slice(body).map_err(|error| Damage::Content { reason: error.to_string() })
    }
}

/// The digest of databases that hold this. It is another than that of DEBUG DIGEST, which needs every key's database.
pub fn digest_of(databases: &[Tally; ALL_DATABASES]) -> Digest {
    let mut hash = Xxh3Default::new();
    for (db, tally) in databases.iter().enumerate().filter(|(_, tally)| tally.keys > 0) {
        hash.update(&[db as u8]);
        hash.update(&tally.keys.to_le_bytes());
        hash.update(&tally.digest.to_le_bytes());
    }
    hash.digest128()
}

/// The manifest in a checkpoint's folder.
pub fn read(folder: &Path) -> Result<Manifest, CheckpointError> {
    let file = folder.join(FILE_NAME);
    let opened = match File::open(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CheckpointError::damaged(&file, Damage::Missing));
        }
        opened => opened.map_err(CheckpointError::io("open", &file))?,
    };
    let mut bytes = Vec::new();
    opened.take(MAX_BYTES).read_to_end(&mut bytes).map_err(CheckpointError::io(READ, &file))?;
    Manifest::decode(&bytes).map_err(|damage| CheckpointError::damaged(&file, damage))
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn checksum(head: &[u8], body: &[u8]) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(head);
    hash.update(body);
    hash.digest()
}

/// Numbers as hexadecimal text, for JSON's own lose digits.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// An unsigned integer.
    pub trait Hex: Sized + std::fmt::LowerHex {
        fn read(text: &str) -> Option<Self>;
    }

    impl Hex for u64 {
        fn read(text: &str) -> Option<u64> {
            u64::from_str_radix(text, 16).ok()
        }
    }

    impl Hex for u128 {
        fn read(text: &str) -> Option<u128> {
            u128::from_str_radix(text, 16).ok()
        }
    }

    pub fn serialize<T: Hex, S: Serializer>(number: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:0width$x}", width = 2 * size_of::<T>()))
    }

    pub fn deserialize<'de, T: Hex, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::read(&text).ok_or_else(|| D::Error::custom("a hexadecimal number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let mut databases = [Generation(0); DATABASES];
        for (number, generation) in databases.iter_mut().enumerate() {
            *generation = Generation(number as u64);
        }
        databases[3] = Generation(16);
        Manifest {
            point: Point {
                cluster_id: 0xABC,
                cluster: 0,
                index: 7,
                term: 2,
                stamp_ms: -1,
                members: vec![1, 2, 3],
            },
            databases,
            generations: BTreeMap::from([(Generation(16), Tally { keys: 2, digest: u128::MAX - 1 })]),
            next_blob: 5,
            hash_seed: HashSeed::NONE,
            files: vec![FileSum { name: "CURRENT".to_owned(), bytes: 16, xxh3: 255 }],
        }
    }

    #[test]
    fn a_manifests_bytes_never_change() {
        let golden = include_str!("../../tests/golden/checkpoint-manifest-v1.txt");
        assert_eq!(String::from_utf8_lossy(&manifest().encode()), golden);
        assert_eq!(Manifest::decode(golden.as_bytes()), Ok(manifest()));
        let golden = include_str!("../../tests/golden/checkpoint-manifest-v2.txt");
        let with_seed = Manifest { hash_seed: HashSeed::new(0x89ab_cdef, 0x0123_4567), ..manifest() };
        assert_eq!(String::from_utf8_lossy(&with_seed.encode()), golden);
        assert_eq!(Manifest::decode(golden.as_bytes()), Ok(with_seed.clone()));
        // Version 3 has the cluster's id on top.
        let mut with_cluster = with_seed;
        with_cluster.point.cluster = 0xdef;
        let (_, body) = golden.split_once('\n').expect("it has two parts");
        let before = "    \"cluster_id\": \"0000000000000abc\",\n";
        let body = body.replace(before, &format!("{before}    \"cluster\": \"0000000000000def\",\n"));
        let checksum = checksum(b"perdura checkpoint 3", body.as_bytes());
        let golden = format!("perdura checkpoint 3 {checksum:016x}\n{body}");
        assert_eq!(String::from_utf8_lossy(&with_cluster.encode()), golden);
        assert_eq!(Manifest::decode(golden.as_bytes()), Ok(with_cluster.clone()));
        // Version 4 has the system database, whose generation is a number of its own.
        let mut with_system = with_cluster;
        with_system.generations.insert(Generation::SYSTEM, Tally { keys: 1, digest: 3 });
        let bytes = with_system.encode();
        assert!(bytes.starts_with(b"perdura checkpoint 4 "));
        assert!(String::from_utf8_lossy(&bytes).contains("\"18446744073709551614\": {"));
        assert_eq!(Manifest::decode(&bytes), Ok(with_system));
    }

    #[test]
    fn a_program_without_seeds_does_not_take_a_manifest_with_one_for_damaged() {
        let with_seed = Manifest { hash_seed: HashSeed::new(1, 2), ..manifest() }.encode();
        assert!(with_seed.starts_with(b"perdura checkpoint 2 "));
        assert!(manifest().encode().starts_with(b"perdura checkpoint 1 "));
    }

    #[test]
    fn the_digest_is_of_what_databases_hold_and_of_nothing_else() {
        let one = manifest();
        let mut same = one.clone();
        same.databases[3] = Generation(99);
        same.generations = BTreeMap::from([(Generation(99), one.tally(Generation(16)))]);
        (same.point.index, same.next_blob, same.files) = (8, 0, Vec::new());
        assert_eq!(same.digest(), one.digest());
        let mut swapped = one.clone();
        swapped.databases.swap(3, 4);
        assert_ne!(swapped.digest(), one.digest());
        assert_eq!(one.digest(), 0xee6e16f0154f708c919db7de67005ef9, "it never changes");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = manifest().encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(Manifest::decode(&damaged).is_err(), "byte {at} bit {bit}");
            }
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut to {at} bytes");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let body = b"{}\n";
        let line = format!("perdura checkpoint 5 {:016x}\n", checksum(b"perdura checkpoint 5", body));
        let newer = [line.as_bytes(), body].concat();
        assert_eq!(Manifest::decode(&newer), Err(Damage::Version { found: 5, supported: VERSION }));
    }
}
