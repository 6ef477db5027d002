//! Inline requests: words on a line, for people at a terminal and for health checks.
//!
//! - White space parts words. A word may be quoted, as a whole or from its middle on.
//! - In double quotes `\n \r \t \b \a`, `\xHH` and a backslash before any other byte are escapes; in single quotes only `\'` is.
//! - A closing quote ends its word: white space or the end of the line follows, else the quotes are unbalanced.
//!
//! These are the rules of Redis' `sdssplitargs`. A NUL byte is an ordinary byte here, where Redis ends the line at it.

use super::{ArgRanges, RequestError};

/// Splits `line`, its line feed removed, into the words of `args`.
pub(super) fn split_words(line: &[u8], args: &mut ArgRanges) -> Result<(), RequestError> {
    args.inline = true;
    let mut rest = skip_space(line);
    while !rest.is_empty() {
        let start = args.decoded.len();
        rest = skip_space(read_word(rest, &mut args.decoded)?);
        args.push(start, args.decoded.len() - start);
    }
    Ok(())
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn skip_space(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|&&byte| is_space(byte)).count();
    &text[spaces..]
}

/// Appends one word to `out`; returns what follows it.
fn read_word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        match rest {
            [] | [b' ' | b'\t' | b'\n' | b'\r', ..] => return Ok(rest),
            [b'"', quoted @ ..] => return read_double_quoted(quoted, out),
            [b'\'', quoted @ ..] => return read_single_quoted(quoted, out),
            [byte, after @ ..] => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

fn read_double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(RequestError::UnbalancedQuotes),
            [b'"', after @ ..] => return end_of_quotes(after),
            [b'\\', b'x', high, low, after @ ..] if is_hex(*high) && is_hex(*low) => {
                (hex_value(*high) << 4 | hex_value(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
}

fn read_single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(RequestError::UnbalancedQuotes),
            [b'\'', after @ ..] => return end_of_quotes(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
}

fn end_of_quotes(after: &[u8]) -> Result<&[u8], RequestError> {
    match after {
        [next, ..] if !is_space(*next) => Err(RequestError::UnbalancedQuotes),
        _ => Ok(after),
    }
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

/// The value of an ASCII hexadecimal digit.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
