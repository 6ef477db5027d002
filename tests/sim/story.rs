//! What happened in a run: as a hash, always, and as lines for people, where somebody will read them.
//!
//! - Every event goes into the hash with its time and all bytes that it moved, so two runs with one hash are the same run.
//! - Lines are made only for a run that is told. They are bounded: the newest are kept.

use std::collections::VecDeque;
use std::fmt::Display;

/// Lines kept for the reader.
const MAX_LINES: usize = 400;
/// Of a line, at most so many characters.
const MAX_LINE_CHARS: usize = 240;

#[derive(Debug)]
pub struct Story {
    hash: u64,
    lines: Option<VecDeque<String>>,
    left_out: usize,
}

impl Story {
    /// A story that is hashed, and told as well if somebody listens.
    pub fn new(told: bool) -> Story {
        Story { hash: 0xcbf2_9ce4_8422_2325, lines: told.then(VecDeque::new), left_out: 0 }
    }

    pub fn note(&mut self, number: u64) {
        self.hash = (self.hash.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    pub fn note_bytes(&mut self, bytes: &[u8]) {
        self.note(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.note(u64::from_le_bytes(word));
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Adds a line; `what` is not even asked where nobody listens.
    pub fn tell<T: Display>(&mut self, now_us: u64, what: impl FnOnce() -> T) {
        let Some(lines) = &mut self.lines else { return };
        let text = what().to_string();
        let text: String = text.chars().take(MAX_LINE_CHARS).collect();
        lines.push_back(format!("{:>11.6} s  {text}", now_us as f64 / 1e6));
        if lines.len() > MAX_LINES {
            lines.pop_front();
            self.left_out += 1;
        }
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        if self.left_out > 0 {
            text.push_str(&format!("  … {} earlier lines are left out\n", self.left_out));
        }
        for line in self.lines.iter().flatten() {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}
