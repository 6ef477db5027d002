//! Where an RDB file comes from: a file, standard input, or an object of a store that speaks S3.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::backup::store::Store;
use crate::cli::failure::Failure;

/// Bytes of an object that are fetched at once.
const FETCHED_BYTES: u64 = 4 << 20;

#[derive(Debug)]
pub enum RdbSource {
    File(PathBuf),
    StandardInput,
    /// The URL of the place, and the name of the object there.
    Object {
        place: String,
        name: String,
    },
}

impl fmt::Display for RdbSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RdbSource::File(path) => path.display().fmt(f),
            RdbSource::StandardInput => f.write_str("standard input"),
            RdbSource::Object { place, name } => write!(f, "{place}/{name}"),
        }
    }
}

impl RdbSource {
    pub fn named(name: &str) -> Result<RdbSource, Failure> {
        if name == "-" {
            return Ok(RdbSource::StandardInput);
        }
        if !name.starts_with("s3://") {
            return Ok(RdbSource::File(PathBuf::from(name)));
        }
        match name.rsplit_once('/') {
            Some((place, name)) if !name.is_empty() && place.len() > "s3://".len() => {
                Ok(RdbSource::Object { place: place.to_owned(), name: name.to_owned() })
            }
            _ => Err(Failure::Mistake(format!("--rdb: '{name}' names no object: it is s3://bucket/key"))),
        }
    }

    /// Whether it is the same when it is read again, at little cost.
    pub fn can_be_read_twice(&self) -> bool {
        matches!(self, RdbSource::File(path) if path.is_file())
    }

    /// Its bytes, and how many they are where that is known.
    pub fn open(&self) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
        Ok(match self {
            RdbSource::StandardInput => (Box::new(io::stdin()), None),
            RdbSource::File(path) => {
                let file = File::open(path).map_err(|error| self.failure(error))?;
                let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
                (Box::new(file), length)
            }
            RdbSource::Object { place, name } => {
                let store = Store::open(place, false)?;
                let length = store.length(name)?;
                let length =
                    length.ok_or_else(|| Failure::Failed(format!("{self}: there is no such object")))?;
                let (name, fetched) = (name.clone(), io::Cursor::default());
                (Box::new(Fetching { store, name, length, offset: 0, fetched }), Some(length))
            }
        })
    }

    pub fn failure(&self, error: io::Error) -> Failure {
        Failure::Failed(format!("{self}: {error}"))
    }
}

/// Reads an object piece by piece.
struct Fetching {
    store: Store,
    name: String,
    length: u64,
    /// How far it was fetched.
    offset: u64,
    fetched: io::Cursor<bytes::Bytes>,
}

impl Read for Fetching {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fetched.read(out)?;
        if read > 0 || self.offset == self.length {
            return Ok(read);
        }
        let end = self.length.min(self.offset + FETCHED_BYTES);
        let piece = self.store.get_range(&self.name, self.offset..end).map_err(io::Error::other)?;
        if piece.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.offset += piece.len() as u64;
        self.fetched = io::Cursor::new(piece);
        self.fetched.read(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_its_name() {
        assert!(matches!(RdbSource::named("-"), Ok(RdbSource::StandardInput)));
        assert!(matches!(RdbSource::named("dump.rdb"), Ok(RdbSource::File(_))));
        let object = RdbSource::named("s3://bucket/some/dump.rdb").expect("an object");
        assert_eq!(object.to_string(), "s3://bucket/some/dump.rdb");
        assert!(!object.can_be_read_twice());
        for mistake in ["s3://bucket/", "s3://bucket", "s3:///name"] {
            assert!(matches!(RdbSource::named(mistake), Err(Failure::Mistake(_))), "{mistake}");
        }
    }
}
