//! Where a reply of another node ends, in either protocol, found as its bytes come.
//!
//! - A scanner continues where it stopped: the work is in proportion to the bytes, however they are cut.
//! - It counts the replies that are still to come inside aggregates and keeps no stack, so nesting costs nothing.
//! - RESP3's streamed strings and aggregates are refused: no node sends them.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use thiserror::Error;

use super::number::parse_integer;

/// Longest line: a simple string, an error, a number, a length.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Most replies inside one reply.
const MAX_REPLIES: u64 = 1 << 40;

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes are no reply")]
pub struct Malformed;

/// Looks for the end of the reply at the start of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct FrameScanner {
    /// Bytes that are looked at; a header or a string begins there.
    at: usize,
    /// Bytes of the line at `at` that hold no end of it.
    line_seen: usize,
    /// Replies that have not begun, the one at `at` included.
    remaining: u64,
}

impl Default for FrameScanner {
    fn default() -> Self {
        FrameScanner { at: 0, line_seen: 0, remaining: 1 }
    }
}

impl FrameScanner {
    /// The reply's length once it is all there. `bytes` begins with the reply, at each call with the same and more of it.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        while self.remaining > 0 {
            let Some(line) = self.line(bytes)? else { return Ok(None) };
            let next = self.at + line.len() + 2;
            let (kind, text) = line.split_first().ok_or(Malformed)?;
            let mut inside = 0;
            let end = match kind {
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => next,
                b'$' | b'=' | b'!' => match length(text)? {
                    None => next,
                    Some(bytes) => next.checked_add(bytes as usize + 2).ok_or(Malformed)?,
                },
                b'*' | b'~' | b'>' | b'%' | b'|' => {
                    inside = length(text)?.unwrap_or(0);
                    match kind {
                        b'%' => inside *= 2,
                        // The reply that it belongs to follows.
                        b'|' => inside = inside * 2 + 1,
                        _ => {}
                    }
                    next
                }
                _ => return Err(Malformed),
            };
            if end > bytes.len() {
                return Ok(None);
            }
            (self.at, self.line_seen) = (end, 0);
            self.remaining += inside;
            self.remaining -= 1;
            if self.remaining > MAX_REPLIES {
                return Err(Malformed);
            }
        }
        Ok(Some(self.at))
    }

    /// The line at `at`, without its end.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        let rest = &bytes[self.at..];
        match rest[self.line_seen..].iter().position(|byte| *byte == b'\n') {
            Some(place) => {
                let line = rest[..self.line_seen + place].strip_suffix(b"\r");
                line.map(Some).ok_or(Malformed)
            }
            None if rest.len() > MAX_LINE_BYTES => Err(Malformed),
            None => {
                self.line_seen = rest.len();
                Ok(None)
            }
        }
    }
}

/// A length; `None` is a null's.
fn length(text: &[u8]) -> Result<Option<u64>, Malformed> {
    match parse_integer(text) {
        Some(-1) => Ok(None),
        Some(length) if (0..=MAX_REPLIES as i64).contains(&length) => Ok(Some(length as u64)),
        _ => Err(Malformed),
    }
}

/// Splits the first reply off `rest`; `None` where there is no whole one.
pub fn take_reply<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = FrameScanner::default().scan(rest).ok()??;
    let (reply, after) = rest.split_at(len);
    *rest = after;
    Some(reply)
}

/// How many elements the array at the start of `reply` has, and what follows its header; `None` where it is no array, or a null.
pub fn open_array(reply: &[u8]) -> Option<(usize, &[u8])> {
    let text = reply.strip_prefix(b"*")?;
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let count = length(text[..end].strip_suffix(b"\r")?).ok()??;
    Some((usize::try_from(count).ok()?, &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const REPLIES: [&[u8]; 15] = [
        b"+OK\r\n",
        b"-ERR a\r\n",
        b":5\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"(12\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"=6\r\ntxt:hi\r\n",
        b"*2\r\n*1\r\n:1\r\n%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n",
        b"|1\r\n+key\r\n:1\r\n*1\r\n:7\r\n",
        b">2\r\n+a\r\n$0\r\n\r\n",
    ];

    #[test]
    fn every_kind_of_reply_ends_where_the_next_begins() {
        for reply in REPLIES {
            for cut in 0..reply.len() {
                let mut scanner = FrameScanner::default();
                assert_eq!(scanner.scan(&reply[..cut]), Ok(None), "{}", reply[..cut].escape_ascii());
                let more = [reply, b"+next\r\n"].concat();
                assert_eq!(scanner.scan(&more), Ok(Some(reply.len())), "{}", reply.escape_ascii());
            }
        }
    }

    /// As quadratic work would be: a scanner that began again would be at the start after each part.
    #[test]
    fn a_reply_that_comes_in_parts_is_looked_at_once() {
        let mut reply = b"*100000\r\n".to_vec();
        (0..100_000).for_each(|_| reply.extend_from_slice(b"$3\r\nabc\r\n"));
        let mut scanner = FrameScanner::default();
        for end in (0..reply.len()).step_by(4096) {
            let before = scanner.at;
            assert_eq!(scanner.scan(&reply[..end]), Ok(None));
            assert!(scanner.at >= before && scanner.at + 16 > end, "{} of {end}", scanner.at);
        }
        assert_eq!(scanner.scan(&reply), Ok(Some(reply.len())));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in
            [&b"x\r\n"[..], b"\r\n", b"+OK\n", b"$x\r\n", b"*-2\r\n", b"$?\r\n", b"*9999999999999999\r\n"]
        {
            assert_eq!(FrameScanner::default().scan(bytes), Err(Malformed), "{}", bytes.escape_ascii());
        }
        let deep = b"*1\r\n".repeat(1 << 20);
        assert_eq!(FrameScanner::default().scan(&deep), Ok(None));
        assert_eq!(FrameScanner::default().scan(&vec![b'+'; MAX_LINE_BYTES + 2]), Err(Malformed));
    }

    #[test]
    fn an_array_is_opened_and_its_elements_are_taken() {
        let (count, mut rest) = open_array(b"*2\r\n+OK\r\n$1\r\na\r\n").expect("an array");
        assert_eq!(
            (count, take_reply(&mut rest), take_reply(&mut rest)),
            (2, Some(&b"+OK\r\n"[..]), Some(&b"$1\r\na\r\n"[..]))
        );
        assert_eq!(take_reply(&mut rest), None);
        assert!(
            [&b"*-1\r\n"[..], b"_\r\n", b"-ERR\r\n", b"%1\r\n"]
                .iter()
                .all(|reply| open_array(reply).is_none())
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reply_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            if let Ok(Some(len)) = FrameScanner::default().scan(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
