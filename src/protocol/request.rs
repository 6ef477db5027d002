//! The request parser: bytes of a connection in, one command at a time out. Sans-IO, resumable, bounded.
//!
//! - A request is a RESP array of bulk strings, or an inline line of words (see [`inline`]).
//! - The outcome depends on the bytes alone, never on how reads split them.
//! - After `Incomplete` the parser goes on at the argument or line where it stopped: large requests take linear time.
//! - Memory follows bytes received, never a length that was only promised; every length has a limit.
//! - A command of up to eight arguments allocates nothing: arguments are ranges of the caller's buffer.
//!
//! Caveats, as in Redis: the byte after a header's CR and the two bytes after a bulk string are skipped unread, and
//! a count of zero or less is an empty request.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>; errors are worded as Redis words them.

mod inline;

#[cfg(test)]
mod tests;

use smallvec::SmallVec;
use thiserror::Error;

use super::number::parse_integer;

/// A line (an inline request, or the header of an array or a bulk string) ends within so many bytes.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Capacities above these are given back when the next request starts.
const KEPT_ARGS: usize = 1024;
const KEPT_INLINE_BYTES: usize = 4096;

/// Most arguments of one command, its name included, as in Redis; long before them a request is too big.
pub const MAX_ARGS: usize = i32::MAX as usize;

/// What an argument takes beside its bytes while its command runs: a range, and a slice.
const ARG_BYTES: usize = size_of::<ArgRange>() + size_of::<&[u8]>();

/// What a connection may ask for before it has authenticated: enough for AUTH and HELLO.
pub const UNAUTHENTICATED_MAX_ARGS: usize = 10;
pub const UNAUTHENTICATED_MAX_BULK_BYTES: usize = 16 * 1024;

/// What one request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Most bytes of one argument (`proto-max-bulk-len`).
    pub max_bulk_bytes: usize,
    /// Most bytes of one request on the wire, what its arguments take beside included. Never above 4 GiB - 1: ranges are of
    /// 32 bits.
    pub max_request_bytes: usize,
    /// Whether the connection may run commands. If not, the narrow limits above hold too.
    pub authenticated: bool,
}

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits {
            max_bulk_bytes: 512 * 1024 * 1024,
            max_request_bytes: 1024 * 1024 * 1024,
            authenticated: true,
        }
    }
}

impl RequestLimits {
    fn check_arg_count(&self, count: usize) -> Result<usize, RequestError> {
        if count > MAX_ARGS {
            Err(RequestError::InvalidArgCount)
        } else if count > UNAUTHENTICATED_MAX_ARGS && !self.authenticated {
            Err(RequestError::UnauthenticatedArgCount)
        } else {
            Ok(count)
        }
    }

    /// Checks an argument of `len` bytes that starts `position` bytes into its request, after `args` others.
    fn check_bulk(&self, len: usize, position: usize, args: usize) -> Result<usize, RequestError> {
        let max_request_bytes = self.max_request_bytes.min(u32::MAX as usize);
        if len > self.max_bulk_bytes {
            Err(RequestError::InvalidBulkLength)
        } else if len > UNAUTHENTICATED_MAX_BULK_BYTES && !self.authenticated {
            Err(RequestError::UnauthenticatedBulkLength)
        } else if len.saturating_add(position + 2 + args * ARG_BYTES) > max_request_bytes {
            Err(RequestError::RequestTooBig)
        } else {
            Ok(len)
        }
    }
}

/// Why a connection's bytes are no request. The reply is `ERR ` and this text; then the connection is closed,
/// for where the next request starts can't be known.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    #[error("Protocol error: invalid multibulk length")]
    InvalidArgCount,
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedArgCount,
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    #[error("Protocol error: expected '$', got '{}'", .0.escape_ascii())]
    ExpectedBulk(u8),
    #[error("Protocol error: too big mbulk count string")]
    ArgCountTooLong,
    #[error("Protocol error: too big bulk count string")]
    BulkLengthTooLong,
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// Redis closes such a connection without a word; this text is ours.
    #[error("Protocol error: request exceeds the query buffer limit")]
    RequestTooBig,
}

/// What the bytes so far amount to. `consumed` counts from the first byte of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse {
    /// One whole command; its arguments are [`RequestParser::args`] until the next call.
    Command { consumed: usize },
    /// A request without arguments (an empty line, `*0`): nothing to run, nothing to answer.
    Nothing { consumed: usize },
    /// More bytes are wanted. Before the buffer holds `need_at_least` bytes, parsing again can't get further.
    Incomplete { need_at_least: usize },
    /// Not a request; the connection ends.
    Error(RequestError),
}

/// Why an inner step stopped before the request was whole.
enum Stop {
    Incomplete { need_at_least: usize },
    Error(RequestError),
}

impl From<RequestError> for Stop {
    fn from(error: RequestError) -> Self {
        Stop::Error(error)
    }
}

#[derive(Clone, Copy)]
struct ArgRange {
    start: u32,
    len: u32,
}

/// The arguments of one command, as ranges of the buffer that was parsed (of an own buffer where the request was
/// inline, since quoting changes bytes).
#[derive(Default)]
pub struct ArgRanges {
    ranges: SmallVec<[ArgRange; 8]>,
    decoded: Vec<u8>,
    inline: bool,
}

impl ArgRanges {
    /// Number of arguments, the command's name included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The argument after the command's name, where it lies in `buf`, the buffer that was parsed.
    pub fn first_in<'a>(&self, buf: &'a [u8]) -> Option<&'a [u8]> {
        let range = self.ranges.get(1).filter(|_| !self.inline)?;
        let start = range.start as usize;
        Some(&buf[start..start + range.len as usize])
    }

    /// The arguments in order; `buf` is the buffer that was parsed.
    pub fn iter<'a>(&'a self, buf: &'a [u8]) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let source = if self.inline { &self.decoded } else { buf };
        self.ranges.iter().map(move |range| {
            let start = range.start as usize;
            &source[start..start + range.len as usize]
        })
    }

    /// The arguments in order, as a slice for handlers; `buf` is the buffer that was parsed.
    pub fn slices<'a>(&'a self, buf: &'a [u8]) -> SmallVec<[&'a [u8]; 8]> {
        self.iter(buf).collect()
    }

    fn clear(&mut self) {
        self.ranges.clear();
        if self.ranges.capacity() > KEPT_ARGS {
            self.ranges = SmallVec::new();
        }
        if self.inline {
            self.inline = false;
            self.decoded.clear();
            self.decoded.shrink_to(KEPT_INLINE_BYTES);
        }
    }

    fn push(&mut self, start: usize, len: usize) {
        self.ranges.push(ArgRange { start: start as u32, len: len as u32 });
    }
}

/// The words of a line, as an inline request has them; `None` where its quotes are unbalanced.
pub fn words_of(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut args = ArgRanges::default();
    inline::split_words(line, &mut args).ok()?;
    Some(args.iter(&[]).map(<[u8]>::to_vec).collect())
}

/// Parses the requests of one connection.
///
/// Each call gets the unconsumed bytes of the connection, so that the first byte of `buf` is the first byte of a
/// request. After `Incomplete` the next call's buffer starts with the same bytes and may have more.
#[derive(Default)]
pub struct RequestParser {
    args: ArgRanges,
    /// Bytes of the current request that are understood.
    position: usize,
    /// Bytes after `position` that hold no end of line.
    scanned: usize,
    /// Arguments still to come; none until the array's header is read.
    missing: Option<usize>,
    /// Bytes of the argument at `position`; none until its header is read.
    bulk_bytes: Option<usize>,
}

impl RequestParser {
    pub fn new() -> Self {
        RequestParser::default()
    }

    /// Arguments of the command that the last call returned.
    pub fn args(&self) -> &ArgRanges {
        &self.args
    }

    /// Parses the request at the start of `buf`.
    #[inline]
    pub fn parse(&mut self, buf: &[u8], limits: &RequestLimits) -> Parse {
        let outcome = match buf.first() {
            None => return Parse::Incomplete { need_at_least: 1 },
            Some(b'*') => self.parse_array(buf, limits),
            Some(_) => self.parse_inline(buf),
        };
        let parse = match outcome {
            Ok(()) if self.args.is_empty() => Parse::Nothing { consumed: self.position },
            Ok(()) => Parse::Command { consumed: self.position },
            Err(Stop::Incomplete { need_at_least }) => return Parse::Incomplete { need_at_least },
            Err(Stop::Error(error)) => Parse::Error(error),
        };
        self.position = 0;
        self.scanned = 0;
        self.missing = None;
        self.bulk_bytes = None;
        parse
    }

    fn parse_array(&mut self, buf: &[u8], limits: &RequestLimits) -> Result<(), Stop> {
        let mut missing = match self.missing {
            Some(missing) => missing,
            None => self.read_arg_count(buf, limits)?,
        };
        while missing > 0 {
            self.missing = Some(missing);
            self.read_arg(buf, limits)?;
            missing -= 1;
        }
        Ok(())
    }

    fn read_arg_count(&mut self, buf: &[u8], limits: &RequestLimits) -> Result<usize, Stop> {
        self.args.clear();
        let count = self.read_header(buf, RequestError::ArgCountTooLong)?;
        let count = count.ok_or(RequestError::InvalidArgCount)?;
        let count = usize::try_from(count).unwrap_or(0);
        Ok(limits.check_arg_count(count)?)
    }

    #[inline]
    fn read_arg(&mut self, buf: &[u8], limits: &RequestLimits) -> Result<(), Stop> {
        let len = match self.bulk_bytes {
            Some(len) => len,
            None => self.read_bulk_header(buf, limits)?,
        };
        let end = self.position + len + 2;
        if buf.len() < end {
            self.bulk_bytes = Some(len);
            return Err(Stop::Incomplete { need_at_least: end });
        }
        self.args.push(self.position, len);
        self.position = end;
        self.bulk_bytes = None;
        Ok(())
    }

    #[inline]
    fn read_bulk_header(&mut self, buf: &[u8], limits: &RequestLimits) -> Result<usize, Stop> {
        match buf.get(self.position) {
            Some(b'$') => {}
            Some(&other) => return Err(RequestError::ExpectedBulk(other).into()),
            None => {
                return Err(Stop::Incomplete { need_at_least: self.position + 1 });
            }
        }
        let len = self.read_header(buf, RequestError::BulkLengthTooLong)?;
        let len = len.and_then(|len| usize::try_from(len).ok()).ok_or(RequestError::InvalidBulkLength)?;
        Ok(limits.check_bulk(len, self.position, self.args.len())?)
    }

    /// Reads the number of the header at `position` and steps over the header; none where it is no number.
    #[inline]
    fn read_header(&mut self, buf: &[u8], too_long: RequestError) -> Result<Option<i64>, Stop> {
        match short_header(&buf[self.position..]) {
            Some((value, wire_bytes)) => {
                self.position += wire_bytes;
                self.scanned = 0;
                Ok(Some(value))
            }
            None => self.read_any_header(buf, too_long),
        }
    }

    #[cold]
    fn read_any_header(&mut self, buf: &[u8], too_long: RequestError) -> Result<Option<i64>, Stop> {
        let start = self.position;
        let cr = self.find_line_end(buf, b'\r', too_long)?;
        if buf.len() < cr + 2 {
            return Err(Stop::Incomplete { need_at_least: cr + 2 });
        }
        self.position = cr + 2;
        self.scanned = 0;
        Ok(parse_integer(&buf[start + 1..cr]))
    }

    /// Finds the first `end` from `position` on, remembering how far it looked.
    fn find_line_end(&mut self, buf: &[u8], end: u8, too_long: RequestError) -> Result<usize, Stop> {
        let line = &buf[self.position..];
        let window = &line[..line.len().min(MAX_LINE_BYTES + 1)];
        if let Some(found) = window[self.scanned..].iter().position(|&byte| byte == end) {
            self.scanned += found;
            return Ok(self.position + self.scanned);
        }
        if window.len() > MAX_LINE_BYTES {
            return Err(too_long.into());
        }
        self.scanned = window.len();
        Err(Stop::Incomplete { need_at_least: buf.len() + 1 })
    }

    fn parse_inline(&mut self, buf: &[u8]) -> Result<(), Stop> {
        self.args.clear();
        let newline = self.find_line_end(buf, b'\n', RequestError::InlineTooLong)?;
        inline::split_words(&buf[..newline], &mut self.args)?;
        self.position = newline + 1;
        Ok(())
    }
}

/// Reads a header whose number has one to nine digits and is not zero: value, and bytes up to its line feed included.
#[inline]
fn short_header(line: &[u8]) -> Option<(i64, usize)> {
    let first = line.get(1)?.wrapping_sub(b'0');
    if !(1..=9).contains(&first) {
        return None;
    }
    let mut value = u32::from(first);
    for at in 2..=10 {
        let digit = line.get(at)?.wrapping_sub(b'0');
        if digit > 9 {
            return (line[at] == b'\r' && line.len() > at + 1).then_some((i64::from(value), at + 2));
        }
        value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    None
}
