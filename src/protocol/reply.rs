//! Writes replies in RESP2 or RESP3 into a byte buffer.
//!
//! - A handler says what it means (a map, a double, a null); the writer knows what the connection's protocol makes of it.
//! - Nothing is buffered twice: bytes go straight to the connection's output or to the batch of replies.
//! - A reply is bounded where its bytes are appended: past its bound nothing more is stored, and it [`is_over`](Reply::is_over).
//!   Such a reply is worth nothing: its client is closed. A handler looks there in long loops, and stops.
//! - A reply that no client waits for is a sink: it stores nothing and is over from its beginning.
//! - Aggregates announce their length first; the caller writes exactly that many elements (`map(n)` takes 2n).
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::borrow::Cow;

use super::number::write_double;

/// The most bytes that any reply has: one string of the greatest length with some words around it.
pub const MAX_REPLY_BYTES: usize = (512 << 20) + (1 << 20);

/// Past this a buffer grows by a quarter, for there is seldom memory for twice as much.
const LARGE_BYTES: usize = 1 << 20;
/// Past this it grows fourfold, but not past its bound: the smaller buffers that it leaves together would take many times its memory.
const HUGE_BYTES: usize = 16 << 20;

/// The version of the protocol that a connection chose with HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resp {
    #[default]
    V2,
    V3,
}

/// A reply under construction at the end of `out`.
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    resp: Resp,
    /// The length that `out` may reach.
    end: usize,
    is_over: bool,
}

impl<'a> Reply<'a> {
    pub fn new(out: &'a mut Vec<u8>, resp: Resp) -> Self {
        Reply::bounded(out, resp, MAX_REPLY_BYTES)
    }

    /// A reply of at most `most` bytes, and never of more than [`MAX_REPLY_BYTES`].
    pub fn bounded(out: &'a mut Vec<u8>, resp: Resp, most: usize) -> Self {
        let most = most.min(MAX_REPLY_BYTES);
        let end = out.len() + most;
        Reply { out, resp, end, is_over: most == 0 }
    }

    /// A reply that no client waits for. `out` stays as it is.
    pub fn sink(out: &'a mut Vec<u8>, resp: Resp) -> Self {
        Reply::bounded(out, resp, 0)
    }

    pub fn resp(&self) -> Resp {
        self.resp
    }

    /// Whether there was no room for some of it, or never is any: what is written from now on is stored nowhere.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Bytes that there is room for.
    pub fn room(&self) -> usize {
        if self.is_over { 0 } else { self.end - self.out.len() }
    }

    /// Writes what follows in this version.
    pub fn speak(&mut self, resp: Resp) {
        self.resp = resp;
    }

    /// Bytes written to the underlying buffer so far, earlier replies included.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written since `position`.
    pub fn rewind(&mut self, position: usize) {
        self.out.truncate(position);
        self.is_over = self.out.len() >= self.end;
    }

    /// The error that was written since `position`, if that is all and it is UTF-8 of at most `most_bytes`.
    pub fn error_since(&self, position: usize, most_bytes: usize) -> Option<&str> {
        let text = self.out[position..].strip_prefix(b"-")?.strip_suffix(b"\r\n")?;
        let is_whole = !self.is_over && text.len() <= most_bytes;
        std::str::from_utf8(text).ok().filter(|_| is_whole)
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.is_over || self.end - self.out.len() < bytes.len() {
            self.is_over = true;
            return;
        }
        let len = self.out.len();
        if len > LARGE_BYTES && self.out.capacity() - len < bytes.len() {
            let more = if len > HUGE_BYTES { (3 * len).min(self.end - len) } else { len / 4 };
            self.out.reserve_exact(bytes.len().max(more));
        }
        self.out.extend_from_slice(bytes);
    }

    pub fn ok(&mut self) {
        self.put(b"+OK\r\n");
    }

    /// A simple string. CR and LF are replaced by spaces.
    pub fn simple(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'+', &on_one_line(text.as_ref()));
    }

    /// Lines of text, as the HELP subcommands answer: an array of simple strings.
    pub fn lines(&mut self, lines: &[&str]) {
        self.array(lines.len());
        lines.iter().for_each(|line| self.simple(line));
    }

    /// An error; `text` starts with its code, as in `ERR syntax error`. CR and LF are replaced by spaces.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'-', &on_one_line(text.as_ref()));
    }

    pub fn integer(&mut self, value: i64) {
        self.number_line(b':', value);
    }

    pub fn bulk(&mut self, bytes: &[u8]) {
        self.number_line(b'$', bytes.len() as i64);
        self.put(bytes);
        self.put(b"\r\n");
    }

    /// An integer as a bulk string.
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string where there is one, else a null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// Absence of one value (`$-1` in RESP2).
    pub fn null(&mut self) {
        match self.resp {
            Resp::V2 => self.put(b"$-1\r\n"),
            Resp::V3 => self.put(b"_\r\n"),
        }
    }

    /// Absence of an aggregate (`*-1` in RESP2).
    pub fn null_array(&mut self) {
        match self.resp {
            Resp::V2 => self.put(b"*-1\r\n"),
            Resp::V3 => self.put(b"_\r\n"),
        }
    }

    pub fn array(&mut self, len: usize) {
        self.number_line(b'*', len as i64);
    }

    /// A map of `pairs` pairs: a flat array of `2 * pairs` elements in RESP2.
    pub fn map(&mut self, pairs: usize) {
        match self.resp {
            Resp::V2 => self.number_line(b'*', 2 * pairs as i64),
            Resp::V3 => self.number_line(b'%', pairs as i64),
        }
    }

    pub fn set(&mut self, len: usize) {
        match self.resp {
            Resp::V2 => self.number_line(b'*', len as i64),
            Resp::V3 => self.number_line(b'~', len as i64),
        }
    }

    /// An out-of-band message: a plain array in RESP2.
    pub fn push(&mut self, len: usize) {
        match self.resp {
            Resp::V2 => self.number_line(b'*', len as i64),
            Resp::V3 => self.number_line(b'>', len as i64),
        }
    }

    /// A double: a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        let mut text = Vec::with_capacity(24);
        write_double(&mut text, value);
        match self.resp {
            Resp::V2 => self.bulk(&text),
            Resp::V3 => self.line(b',', &text),
        }
    }

    /// A double of RESP3, as it is written already.
    pub fn double_text(&mut self, text: &str) {
        self.line(b',', text.as_bytes());
    }

    /// A boolean: `1` or `0` in RESP2.
    pub fn boolean(&mut self, value: bool) {
        match (self.resp, value) {
            (Resp::V2, _) => self.integer(i64::from(value)),
            (Resp::V3, true) => self.put(b"#t\r\n"),
            (Resp::V3, false) => self.put(b"#f\r\n"),
        }
    }

    /// Text for people (`txt`): a bulk string in RESP2.
    pub fn verbatim(&mut self, text: &str) {
        match self.resp {
            Resp::V2 => self.bulk(text.as_bytes()),
            Resp::V3 => {
                self.number_line(b'=', text.len() as i64 + 4);
                self.put(b"txt:");
                self.put(text.as_bytes());
                self.put(b"\r\n");
            }
        }
    }

    /// Writes items one after the other, up to the last that there is room for.
    pub fn each<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        for item in items {
            if self.is_over {
                return;
            }
            write(self, item);
        }
    }

    /// Part of a reply was left out elsewhere, for want of room here.
    pub fn give_up(&mut self) {
        self.is_over = true;
    }

    /// A reply that is encoded already, in this connection's protocol.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.put(encoded);
    }

    /// `text` holds no CR or LF.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.put(&[kind]);
        self.put(text);
        self.put(b"\r\n");
    }

    fn number_line(&mut self, kind: u8, value: i64) {
        self.line(kind, itoa::Buffer::new().format(value).as_bytes());
    }
}

/// The text with spaces in the place of CR and LF, which would end its line.
fn on_one_line(text: &[u8]) -> Cow<'_, [u8]> {
    let ends_line = |byte: u8| matches!(byte, b'\r' | b'\n');
    if !text.iter().copied().any(ends_line) {
        return Cow::Borrowed(text);
    }
    text.iter().map(|&byte| if ends_line(byte) { b' ' } else { byte }).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(resp: Resp, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, resp));
        String::from_utf8(out).expect("replies of this test are text")
    }

    #[test]
    fn each_meaning_has_its_form_in_both_versions() {
        type Write = fn(&mut Reply<'_>);
        let cases: [(Write, &str, &str); 9] = [
            (|r| r.integer(-7), ":-7\r\n", ":-7\r\n"),
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.map(2), "*4\r\n", "%2\r\n"),
            (|r| r.set(3), "*3\r\n", "~3\r\n"),
            (|r| r.push(3), "*3\r\n", ">3\r\n"),
            (|r| r.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
            (|r| r.verbatim("hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        ];
        for (write, v2, v3) in cases {
            assert_eq!(written(Resp::V2, write), v2);
            assert_eq!(written(Resp::V3, write), v3);
        }
    }

    #[test]
    fn nothing_is_stored_past_the_bound() {
        let mut out = b"+earlier\r\n".to_vec();
        let mut reply = Reply::bounded(&mut out, Resp::V2, 20);
        reply.array(100);
        reply.bulk(b"0123");
        assert!(!reply.is_over());
        reply.bulk(&[b'x'; 100]);
        assert!(reply.is_over() && reply.room() == 0);
        reply.integer(1);
        let len = reply.position();
        assert!(len <= 10 + 20, "{len} bytes are stored");
        reply.rewind(10);
        reply.integer(1);
        assert!(!reply.is_over());
        assert_eq!(out, b"+earlier\r\n:1\r\n");
    }

    #[test]
    fn a_sink_stores_nothing() {
        let mut out = Vec::new();
        let mut reply = Reply::sink(&mut out, Resp::V2);
        assert!(reply.is_over());
        reply.bulk(&[0; 1000]);
        reply.rewind(0);
        reply.error("ERR");
        assert!(reply.is_over());
        assert_eq!(out.capacity(), 0);
    }

    #[test]
    fn an_error_never_breaks_the_line() {
        assert_eq!(written(Resp::V2, |r| r.error("ERR a\r\n+OK")), "-ERR a  +OK\r\n");
    }
}
