//! The last messages of this process, kept in memory: for an operator without access to its standard error, and for a bug
//! report.
//!
//! Messages never hold a client's data or a password: see `logging`.

use std::collections::VecDeque;
use std::io::{self, Write};

use parking_lot::Mutex;

/// Messages and bytes that are kept.
const MAX_LINES: usize = 2000;
const MAX_BYTES: usize = 512 << 10;
/// Of one message this much is kept.
const MAX_LINE_BYTES: usize = 4096;

static KEPT: Mutex<Kept> = Mutex::new(Kept { lines: VecDeque::new(), bytes: 0 });

struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Kept {
    fn keep(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}

/// Keeps what is written to it, each write as a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keeper;

impl Write for Keeper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shown = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
        KEPT.lock().keep(String::from_utf8_lossy(shown).trim_end().to_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The messages that are kept, oldest first, as lines of one text.
pub fn text() -> String {
    let kept = KEPT.lock();
    kept.lines
        .iter()
        .fold(String::with_capacity(kept.bytes + kept.lines.len()), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_messages_are_kept_and_long_ones_cut() {
        let mut kept = Kept { lines: VecDeque::new(), bytes: 0 };
        (0..MAX_LINES + 10).for_each(|n| kept.keep(n.to_string()));
        assert_eq!((kept.lines.len(), kept.lines[0].as_str()), (MAX_LINES, "10"));
        (0..200).for_each(|_| kept.keep("x".repeat(MAX_LINE_BYTES)));
        assert!(kept.bytes <= MAX_BYTES && kept.lines.len() < 200);
        assert_eq!(kept.bytes, kept.lines.iter().map(String::len).sum::<usize>());

        let long = vec![b'y'; 3 * MAX_LINE_BYTES];
        assert_eq!(Keeper.write(&long).expect("memory does not fail"), long.len());
        assert!(text().lines().any(|line| line.len() == MAX_LINE_BYTES));
    }
}
