//! Children's output with the node's number before each line.

use std::io::{BufRead, BufReader, Read, Write};
use std::thread;

/// Longer lines are broken.
const MAX_LINE: u64 = 64 << 10;

/// Copies lines from a child to `to` until the child closes its end, on a thread of its own.
pub fn forward(node: u64, from: Option<impl Read + Send + 'static>, mut to: impl Write + Send + 'static) {
    let Some(from) = from else { return };
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        // Nobody is left to tell where our own output is closed.
        while copy_line(node, &mut from, &mut to).unwrap_or(false) {}
    });
}

/// Copies one line; false at the end.
fn copy_line(node: u64, from: &mut impl BufRead, to: &mut impl Write) -> std::io::Result<bool> {
    let mut line = format!("[{node}] ").into_bytes();
    let read = from.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') {
        line.push(b'\n');
    }
    to.write_all(&line)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_marked_and_the_last_one_ended() {
        let mut from = &b"one\ntwo"[..];
        let mut to = Vec::new();
        while copy_line(3, &mut from, &mut to).expect("memory does not fail") {}
        assert_eq!(to, b"[3] one\n[3] two\n");
    }
}
