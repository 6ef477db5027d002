//! Which repositories a node has shipped to, by their URLs: what its data folder remembers of them.
//!
//! ```text
//! backup-places in the data folder
//! line 1   = "perdura backup places 1 " checksum LF       XXH3-64, 16 hexadecimal digits, of line 1 up to "1", and of the rest
//! the rest = JSON, for each URL the id of the repository that was there
//! ```
//!
//! - A node that has shipped to a place never begins another repository there by itself. An empty folder at that URL is one whose
//!   disk is not mounted, as far as a node can know.
//! - The file is replaced as a whole, durably.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::error::{BackupError, Damage, Result};
use crate::data_folder::BACKUP_PLACES_FILE;

const HEAD: &str = "perdura backup places 1";
const MAX_BYTES: u64 = 1 << 20;

/// See the module. Several threads may use it.
#[derive(Debug)]
pub struct Places {
    path: PathBuf,
    known: Mutex<BTreeMap<String, String>>,
}

impl Places {
    /// Reads what the data folder remembers.
    ///
    /// # Errors
    /// The file can't be read, or is damaged: what it held can't be told.
    pub fn open(dir: &Path) -> Result<Places> {
        let path = dir.join(BACKUP_PLACES_FILE);
        let known = match fs::metadata(&path).and_then(|metadata| {
            if metadata.len() > MAX_BYTES { Err(io::ErrorKind::InvalidData.into()) } else { fs::read(&path) }
        }) {
            Ok(bytes) => {
                decode(&bytes).map_err(|damage| BackupError::damaged(&path.display().to_string(), damage))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(BackupError::io("read", &path)(error)),
        };
        Ok(Places { path, known: Mutex::new(known) })
    }

    /// Nothing is remembered; what is from now on takes the file's place.
    pub fn none(dir: &Path) -> Places {
        Places { path: dir.join(BACKUP_PLACES_FILE), known: Mutex::default() }
    }

    /// The repository that was at this URL.
    pub fn repository_id(&self, url: &str) -> Option<u64> {
        let known = self.known.lock();
        known.get(same(url)).and_then(|id| u64::from_str_radix(id, 16).ok())
    }

    /// Remembers the repository at a URL.
    pub fn remember(&self, url: &str, repository_id: u64) -> Result<()> {
        let mut known = self.known.lock();
        let (url, id) = (same(url).to_owned(), format!("{repository_id:016x}"));
        if known.get(&url) == Some(&id) {
            return Ok(());
        }
        known.insert(url, id);
        replace(&self.path, &encode(&known)).map_err(BackupError::io("write", &self.path))
    }
}

/// URLs that differ at their ends only name the same place.
fn same(url: &str) -> &str {
    url.trim_end_matches('/')
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn checksum(body: &[u8]) -> String {
    format!("{:016x}", xxh3_64(&[HEAD.as_bytes(), body].concat()))
}

fn encode(known: &BTreeMap<String, String>) -> Vec<u8> {
    let mut body = serde_json::to_vec_pretty(known).expect("it is made of texts");
    body.push(b'\n');
    [format!("{HEAD} {}\n", checksum(&body)).as_bytes(), &body].concat()
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<String, String>, Damage> {
    let line_end = bytes.iter().take(100).position(|byte| *byte == b'\n').ok_or(Damage::Header)?;
    let (line, body) = (&bytes[..line_end], &bytes[line_end + 1..]);
    if line != format!("{HEAD} {}", checksum(body)).as_bytes() {
        return Err(Damage::Header);
    }
    serde_json::from_slice(body).map_err(Damage::content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_never_change_between_releases() {
        let known = BTreeMap::from([("file:///b".to_owned(), "00000000000000ab".to_owned())]);
        let bytes = encode(&known);
        let expected =
            "perdura backup places 1 9de8f92188a8e09e\n{\n  \"file:///b\": \"00000000000000ab\"\n}\n";
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
        assert_eq!(decode(&bytes), Ok(known));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(decode(&damaged).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_place_is_remembered_over_a_restart() -> Result<()> {
        let folder = tempfile::tempdir().expect("tests have a folder for temporary files");
        let places = Places::open(folder.path())?;
        assert_eq!(places.repository_id("file:///b"), None);
        places.remember("file:///b/", 0xAB)?;
        places.remember("s3://bucket/x", 7)?;
        let again = Places::open(folder.path())?;
        assert_eq!(
            (again.repository_id("file:///b"), again.repository_id("s3://bucket/x")),
            (Some(0xAB), Some(7))
        );
        fs::write(folder.path().join(BACKUP_PLACES_FILE), b"nonsense").expect("the folder is there");
        assert!(Places::open(folder.path()).is_err());
        Ok(())
    }
}
