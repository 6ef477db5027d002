//! RESP2 as a client sees it: commands out, replies in. Sans-IO.
//!
//! - Strict: whatever a server may not send is [`Malformed`], with what was expected.
//! - Bounded: a bulk has at most [`MAX_BULK_BYTES`], an array [`MAX_ARRAY_LEN`] elements, arrays nest at most [`MAX_DEPTH`]
//!   deep, and memory grows only with the bytes that have come.
//! - A reply that is not complete yet is parsed anew when more has come. That costs little while replies fit a few reads.

use std::fmt;

pub const MAX_BULK_BYTES: usize = 64 << 20;
pub const MAX_ARRAY_LEN: usize = 4 << 20;
pub const MAX_DEPTH: usize = 8;
/// The longest line: a simple string, an error, a number.
const MAX_LINE_BYTES: usize = 64 << 10;

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
    Array(Option<Vec<Reply>>),
}

/// Bytes that are no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not RESP2: {0}")]
pub struct Malformed(&'static str);

impl Reply {
    /// The first reply in `bytes` and its length, or `None` if it is not complete yet.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
        let mut cursor = Cursor { bytes, at: 0 };
        Ok(cursor.reply(0)?.map(|reply| (reply, cursor.at)))
    }

    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(text) if text == "OK")
    }

    pub fn error(&self) -> Option<&str> {
        match self {
            Reply::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// As redis-cli would show it, on one line and not in full.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Simple(text) => write!(f, "{text}"),
            Reply::Error(text) => write!(f, "(error) {text}"),
            Reply::Integer(number) => write!(f, "(integer) {number}"),
            Reply::Bulk(None) | Reply::Array(None) => write!(f, "(nil)"),
            Reply::Bulk(Some(bytes)) => {
                write!(f, "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(64)]))
            }
            Reply::Array(Some(replies)) => {
                write!(f, "[")?;
                for reply in replies.iter().take(8) {
                    write!(f, "{reply} ")?;
                }
                write!(f, "{} in all]", replies.len())
            }
        }
    }
}

/// A command as a client sends it: an array of bulks.
pub fn encode(command: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for argument in command {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn reply(&mut self, depth: usize) -> Result<Option<Reply>, Malformed> {
        let Some(line) = self.line()? else { return Ok(None) };
        let Some((&kind, rest)) = line.split_first() else { return Err(Malformed("an empty line")) };
        match kind {
            b'+' => Ok(Some(Reply::Simple(text(rest)?))),
            b'-' => Ok(Some(Reply::Error(text(rest)?))),
            b':' => Ok(Some(Reply::Integer(number(rest)?))),
            b'$' => self.bulk(length(rest, MAX_BULK_BYTES)?),
            b'*' => self.array(length(rest, MAX_ARRAY_LEN)?, depth),
            _ => Err(Malformed("an unknown type")),
        }
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let rest = &self.bytes[self.at..];
        let window = &rest[..rest.len().min(MAX_LINE_BYTES)];
        let Some(end) = window.iter().position(|&byte| byte == b'\r' || byte == b'\n') else {
            return if window.len() == MAX_LINE_BYTES {
                Err(Malformed("a line without end"))
            } else {
                Ok(None)
            };
        };
        match (rest[end], rest.get(end + 1)) {
            (b'\r', Some(b'\n')) => {
                self.at += end + 2;
                Ok(Some(&rest[..end]))
            }
            (b'\r', None) => Ok(None),
            _ => Err(Malformed("a line has to end with CR LF")),
        }
    }

    fn bulk(&mut self, length: Option<usize>) -> Result<Option<Reply>, Malformed> {
        let Some(length) = length else { return Ok(Some(Reply::Bulk(None))) };
        let Some(bytes) = self.bytes.get(self.at..self.at + length + 2) else { return Ok(None) };
        let (content, end) = bytes.split_at(length);
        if end != b"\r\n" {
            return Err(Malformed("a bulk has to end with CR LF"));
        }
        self.at += length + 2;
        Ok(Some(Reply::Bulk(Some(content.to_vec()))))
    }

    fn array(&mut self, length: Option<usize>, depth: usize) -> Result<Option<Reply>, Malformed> {
        let Some(length) = length else { return Ok(Some(Reply::Array(None))) };
        if depth == MAX_DEPTH {
            return Err(Malformed("arrays nest too deep"));
        }
        let mut replies = Vec::new();
        for _ in 0..length {
            let Some(reply) = self.reply(depth + 1)? else { return Ok(None) };
            replies.push(reply);
        }
        Ok(Some(Reply::Array(Some(replies))))
    }
}

fn text(line: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(line.to_vec()).map_err(|_| Malformed("a line is not UTF-8"))
}

fn number(line: &[u8]) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| Malformed("a number is not UTF-8"))?;
    text.parse().map_err(|_| Malformed("not a number"))
}

/// -1 stands for nothing.
fn length(line: &[u8], max: usize) -> Result<Option<usize>, Malformed> {
    match number(line)? {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) if length <= max => Ok(Some(length)),
            _ => Err(Malformed("a length out of bounds")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(Some(text.as_bytes().to_vec()))
    }

    #[test]
    fn every_kind_of_reply_is_read_and_its_length_told() {
        let cases = [
            ("+OK\r\n", Reply::Simple("OK".into())),
            ("-ERR no\r\n", Reply::Error("ERR no".into())),
            (":-3\r\n", Reply::Integer(-3)),
            ("$2\r\nab\r\n", bulk("ab")),
            ("$0\r\n\r\n", bulk("")),
            ("$-1\r\n", Reply::Bulk(None)),
            ("*-1\r\n", Reply::Array(None)),
            (
                "*2\r\n:1\r\n*1\r\n$1\r\na\r\n",
                Reply::Array(Some(vec![Reply::Integer(1), Reply::Array(Some(vec![bulk("a")]))])),
            ),
        ];
        for (text, reply) in cases {
            let with_more = format!("{text}+next");
            assert_eq!(Reply::parse(with_more.as_bytes()), Ok(Some((reply, text.len()))), "{text:?}");
            for end in 0..text.len() {
                assert_eq!(Reply::parse(&text.as_bytes()[..end]), Ok(None), "{:?}", &text[..end]);
            }
        }
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        let deep = "*1\r\n".repeat(MAX_DEPTH + 1);
        for text in
            ["?\r\n", "\r\n", "+a\nb\r\n", ":x\r\n", "$-2\r\n", "$1\r\nab\r\n", "$999999999999\r\n", &deep]
        {
            assert!(Reply::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_command_is_an_array_of_bulks() {
        assert_eq!(encode(&[b"GET".to_vec(), b"k".to_vec()]), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }
}
