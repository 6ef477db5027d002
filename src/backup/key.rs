//! The key of an encrypted backup, and what is made of it.
//!
//! - A key file holds 32 random bytes as 64 hexadecimal digits. Who loses it loses the backup.
//! - Nothing is encrypted with the key itself. HKDF-SHA-256 makes of it: a key for each object, from the object's random salt; one
//!   that names pieces of content, so that names tell nobody what is in them; and a few bytes that tell a wrong key.
//! - An object is encrypted by AES-256-GCM in chunks. A chunk's nonce is its number and whether it is the last one (the STREAM
//!   construction), so that none can be left out, moved or cut off; its object's name and header are bound in.
//!
//! Sources: Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015
//! (STREAM); RFC 5869 (HKDF).
//!
//! Caveat: sizes and times of objects, and indexes of entries, are not hidden.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};

use super::error::{BackupError, Damage, Result};
use crate::env;

pub const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// Of a file, so much is read: the key, and the space around it.
const MAX_FILE_BYTES: u64 = 4096;
/// Bytes of content in an encrypted chunk, less in the last.
const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;
/// Which chunk is the last one is the nonce's last byte.
const COUNTER: std::ops::Range<usize> = 7..11;
const LAST: usize = 11;

#[derive(Clone)]
pub struct Key {
    root: hkdf::Prk,
    names: hmac::Key,
}

/// It shows nothing of itself.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Reads a key file.
    pub fn read(path: &Path) -> Result<Key> {
        let read = || -> io::Result<String> {
            let mut text = String::new();
            File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
            Ok(text)
        };
        Key::parse(read().map_err(BackupError::io("read", path))?.trim())
    }

    fn parse(text: &str) -> Result<Key> {
        let refused = |reason: &str| BackupError::KeyFile { reason: reason.to_owned() };
        if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
            return Err(refused("it does not have that length"));
        }
        let mut bytes = [0; KEY_BYTES];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16)
                .map_err(|_| refused("other characters are in it"))?;
        }
        Ok(Key::new(&bytes))
    }

    fn new(bytes: &[u8; KEY_BYTES]) -> Key {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"perdura backup 1").extract(bytes);
        let names = hmac::Key::new(hmac::HMAC_SHA256, &derive::<KEY_BYTES>(&root, &[b"names"]));
        Key { root, names }
    }

    /// Makes a key file for its owner's eyes only; one that is there is left alone.
    pub fn create(path: &Path) -> Result<()> {
        let digits: String = (0..KEY_BYTES / 8).map(|_| format!("{:016x}", env::random_seed())).collect();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(BackupError::io("create", path))?;
        let written = writeln!(file, "{digits}").and_then(|()| file.sync_all());
        written.map_err(BackupError::io("write", path))
    }

    /// Tells this key from others; says nothing about it.
    pub fn check(&self) -> String {
        hex(&derive::<16>(&self.root, &[b"check"]))
    }

    /// A name for content that only who has the key can tell from any other's.
    pub fn name_of(&self, content: &[u8]) -> u128 {
        first_16(hmac::sign(&self.names, content).as_ref())
    }

    /// Encrypts a body for the object with this salt. `bound` is what else belongs to it.
    pub fn seal(&self, salt: &[u8; SALT_BYTES], bound: &[u8], body: &[u8]) -> Vec<u8> {
        let key = self.object_key(salt);
        let chunks = chunks_of(body.len(), CHUNK_BYTES);
        let mut sealed = Vec::with_capacity(body.len() + chunks * TAG_BYTES);
        for number in 0..chunks {
            let start = number * CHUNK_BYTES;
            let begin = sealed.len();
            sealed.extend_from_slice(&body[start..body.len().min(start + CHUNK_BYTES)]);
            let nonce = nonce(number, number + 1 == chunks);
            let tag = key
                .seal_in_place_separate_tag(nonce, Aad::from(bound), &mut sealed[begin..])
                .expect("a chunk is far shorter than what a nonce is good for");
            sealed.extend_from_slice(tag.as_ref());
        }
        sealed
    }

    /// Decrypts what [`Key::seal`] made.
    pub fn open(&self, salt: &[u8; SALT_BYTES], bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Damage> {
        let key = self.object_key(salt);
        let chunks = chunks_of(sealed.len(), CHUNK_BYTES + TAG_BYTES);
        let mut body = Vec::with_capacity(sealed.len());
        for number in 0..chunks {
            let start = number * (CHUNK_BYTES + TAG_BYTES);
            let end = sealed.len().min(start + CHUNK_BYTES + TAG_BYTES);
            let mut chunk = sealed[start..end].to_vec();
            let nonce = nonce(number, number + 1 == chunks);
            let opened = key.open_in_place(nonce, Aad::from(bound), &mut chunk);
            body.extend_from_slice(opened.map_err(|_| Damage::Sealed)?);
        }
        Ok(body)
    }

    fn object_key(&self, salt: &[u8; SALT_BYTES]) -> LessSafeKey {
        let key = derive::<KEY_BYTES>(&self.root, &[b"object", salt]);
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("it has the cipher's length"))
    }
}

/// A name for content that anybody can compute.
pub fn open_name_of(content: &[u8]) -> u128 {
    first_16(ring::digest::digest(&ring::digest::SHA256, content).as_ref())
}

/// A salt for an object.
pub fn new_salt() -> [u8; SALT_BYTES] {
    let (low, high) = (u128::from(env::random_seed()), u128::from(env::random_seed()));
    (low | high << 64).to_le_bytes()
}

/// Chunks that so many bytes make; nothing makes an empty one, so that even its end is sealed.
fn chunks_of(bytes: usize, chunk: usize) -> usize {
    bytes.div_ceil(chunk).max(1)
}

/// Bytes that so many make when they are encrypted.
pub const fn sealed_bytes(bytes: u64) -> u64 {
    bytes + (bytes / CHUNK_BYTES as u64 + 1) * TAG_BYTES as u64
}

fn nonce(number: usize, is_last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let number = u32::try_from(number).expect("an object has far fewer chunks");
    bytes[COUNTER].copy_from_slice(&number.to_be_bytes());
    bytes[LAST] = u8::from(is_last);
    Nonce::assume_unique_for_key(bytes)
}

fn derive<const BYTES: usize>(root: &hkdf::Prk, info: &[&[u8]]) -> [u8; BYTES] {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut bytes = [0; BYTES];
    let expanded = root.expand(info, Length(BYTES)).and_then(|expanded| expanded.fill(&mut bytes));
    expanded.expect("HKDF yields far more than that");
    bytes
}

fn first_16(digest: &[u8]) -> u128 {
    u128::from_be_bytes(*digest.first_chunk().expect("a digest of SHA-256 has 32 bytes"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// A key made of one byte.
    pub fn key(byte: u8) -> Key {
        Key::new(&[byte; KEY_BYTES])
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_sealed_opens_only_whole_in_place_and_with_its_key() {
        let (key, salt) = (testing::key(1), [7; SALT_BYTES]);
        for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 9] {
            let body: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            let sealed = key.seal(&salt, b"name", &body);
            assert_eq!(key.open(&salt, b"name", &sealed).as_ref(), Ok(&body), "{bytes}");
            assert_eq!(key.open(&salt, b"nam", &sealed), Err(Damage::Sealed));
            assert_eq!(key.open(&[8; SALT_BYTES], b"name", &sealed), Err(Damage::Sealed));
            assert_eq!(testing::key(2).open(&salt, b"name", &sealed), Err(Damage::Sealed));
            let whole = CHUNK_BYTES + TAG_BYTES;
            if sealed.len() > whole {
                let cut = &sealed[..sealed.len() - (sealed.len() - 1) % whole - 1];
                assert_eq!(key.open(&salt, b"name", cut), Err(Damage::Sealed), "{bytes} without the end");
                assert_eq!(key.open(&salt, b"name", &sealed[whole..]), Err(Damage::Sealed));
            }
        }
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_and_read() -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("tests have a folder for temporary files");
        let path = folder.path().join("key");
        Key::create(&path)?;
        let mode = fs::metadata(&path).expect("it was made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Key::create(&path).is_err());
        assert_eq!(Key::read(&path)?.check(), Key::read(&path)?.check());
        for (text, reason) in
            [("00", "length"), (&"0x".repeat(32)[..], "characters"), (&"é".repeat(32), "length")]
        {
            fs::write(&path, text).expect("the folder is there");
            let refused = Key::read(&path).expect_err("that is no key").to_string();
            assert!(refused.contains(reason), "{refused}");
        }
        Ok(())
    }

    #[test]
    fn what_is_made_of_a_key_never_changes_between_releases() {
        let key = testing::key(1);
        assert_eq!(key.check(), "2a934fd5a907796a9f9bc8ad4b59b3ab");
        assert_eq!(format!("{:032x}", key.name_of(b"content")), "633c57c1b7abdfa2df95681bebd8a98e");
        assert_eq!(format!("{:032x}", open_name_of(b"abc")), "ba7816bf8f01cfea414140de5dae2223");
        let sealed = key.seal(&[7; SALT_BYTES], b"bound", b"body");
        assert_eq!(hex(&sealed), "c65de0bea5a89490b5d527d83a32e97779fcc3da");
    }
}
