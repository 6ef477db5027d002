//! The scripts that a node knows by their digests.
//!
//! - EVAL and SCRIPT LOAD make a script known to the node that takes them, at once, and to every node that applies them. What is logged holds
//!   the script's text, so what is known here decides nothing in apply.
//! - Up to [`MAX_SCRIPTS`] of [`MAX_BYTES`] in all are known; the oldest are forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::shebang::ScriptFlags;

pub const MAX_SCRIPTS: usize = 10_000;
pub const MAX_BYTES: usize = 64 << 20;

/// Forty hexadecimal digits.
pub type Sha = [u8; 40];

#[derive(Debug)]
pub struct Script {
    pub body: Box<[u8]>,
    pub sha: Sha,
    pub flags: ScriptFlags,
    /// The most steps that a run took here lately; none before the first.
    steps: AtomicU64,
}

impl Script {
    fn new(body: &[u8]) -> Script {
        let flags = ScriptFlags::of(body).unwrap_or_default();
        Script { body: body.into(), sha: sha1_hex(body), flags, steps: AtomicU64::new(0) }
    }

    pub fn sha_text(&self) -> &str {
        std::str::from_utf8(&self.sha).unwrap_or_default()
    }

    pub fn note_steps(&self, steps: u64) {
        self.steps.fetch_max(steps.max(1), Ordering::Relaxed);
    }

    /// The steps that a run takes, as far as this node knows; `None` where it has run none.
    pub fn usual_steps(&self) -> Option<u64> {
        Some(self.steps.load(Ordering::Relaxed)).filter(|steps| *steps > 0)
    }
}

#[derive(Debug, Default)]
struct Known {
    by_sha: HashMap<Sha, Arc<Script>>,
    by_text: HashMap<u64, Arc<Script>>,
    /// Oldest first.
    order: VecDeque<Sha>,
    bytes: usize,
    /// The most steps that functions took here lately.
    functions: HashMap<Box<str>, u64>,
}

impl Known {
    fn of_text(&self, hash: u64, body: &[u8]) -> Option<Arc<Script>> {
        self.by_text.get(&hash).filter(|script| *script.body == *body).cloned()
    }

    fn add(&mut self, hash: u64, script: &Arc<Script>) {
        if self.by_sha.insert(script.sha, script.clone()).is_some() {
            self.by_text.insert(hash, script.clone());
            return;
        }
        self.by_text.insert(hash, script.clone());
        self.bytes += script.body.len();
        self.order.push_back(script.sha);
        while self.order.len() > MAX_SCRIPTS || self.bytes > MAX_BYTES && self.order.len() > 1 {
            let Some(old) = self.order.pop_front().and_then(|sha| self.by_sha.remove(&sha)) else { break };
            self.bytes -= old.body.len();
            self.by_text.remove(&xxh3_64(&old.body));
        }
    }
}

#[derive(Debug, Default)]
pub struct Scripts(Mutex<Known>);

impl Scripts {
    /// The script of this text, which is known from here on.
    pub fn learn(&self, body: &[u8]) -> Arc<Script> {
        let hash = xxh3_64(body);
        if let Some(script) = self.0.lock().of_text(hash, body) {
            return script;
        }
        let script = Arc::new(Script::new(body));
        self.0.lock().add(hash, &script);
        script
    }

    /// The script of this text, if it is known.
    pub fn by_text(&self, body: &[u8]) -> Option<Arc<Script>> {
        self.0.lock().of_text(xxh3_64(body), body)
    }

    /// The script of a digest, in any case.
    pub fn by_sha(&self, sha: &[u8]) -> Option<Arc<Script>> {
        let sha: Sha = sha.to_ascii_lowercase().try_into().ok()?;
        self.0.lock().by_sha.get(&sha).cloned()
    }

    /// Notes the steps that a function took.
    pub fn note_function(&self, name: &str, steps: u64) {
        let functions = &mut self.0.lock().functions;
        if functions.len() >= MAX_SCRIPTS && !functions.contains_key(name) {
            functions.clear();
        }
        let known = functions.entry(name.to_ascii_lowercase().into()).or_default();
        *known = steps.max(*known).max(1);
    }

    /// The steps that a function takes, as far as this node knows; `None` where it has run none.
    pub fn function_steps(&self, name: &[u8]) -> Option<u64> {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        self.0.lock().functions.get(&*name).copied()
    }

    pub fn forget_all(&self) {
        *self.0.lock() = Known::default();
    }

    /// How many are known, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let known = self.0.lock();
        (known.order.len(), known.bytes)
    }
}

/// The digest of a text as clients name scripts by it.
pub fn sha1_hex(text: &[u8]) -> Sha {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text);
    let mut hex = [0; 40];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest.as_ref()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_by_text_and_digest() {
        let scripts = Scripts::default();
        let script = scripts.learn(b"return 1");
        assert_eq!(script.sha_text(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        let upper = script.sha.to_ascii_uppercase();
        assert_eq!(scripts.by_sha(&upper).map(|found| found.sha), Some(script.sha));
        assert!(scripts.by_text(b"return 1").is_some() && scripts.by_text(b"return 2").is_none());
        assert!(scripts.by_sha(b"e0e1").is_none());
        scripts.learn(b"return 1");
        assert_eq!(scripts.size(), (1, 8));
        scripts.forget_all();
        assert!(scripts.by_sha(&script.sha).is_none());
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let scripts = Scripts::default();
        let first = scripts.learn(b"return 0");
        for number in 1..=MAX_SCRIPTS {
            scripts.learn(format!("return {number}").as_bytes());
        }
        assert!(scripts.by_sha(&first.sha).is_none() && scripts.by_text(b"return 1").is_some());
        assert_eq!(scripts.size().0, MAX_SCRIPTS);
        let long = vec![b' '; MAX_BYTES - 10];
        scripts.learn(&long);
        assert!(scripts.size().1 <= MAX_BYTES && scripts.by_text(&long).is_some());
    }
}
