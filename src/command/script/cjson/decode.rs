//! `cjson.decode`.
//!
//! - Null becomes `cjson.null`. Numbers are read as C reads them: hexadecimal ones, `inf` and `nan` are let through unless a setting says otherwise.
//! - A string of Lua ends with a zero that is not part of it: the text ends at the first zero byte outside of its strings.

use super::super::lua::{self, Lua, Results, Thrown};
use super::super::vm::Data;
use super::{fail, one_argument, settings};

/// Steps of each value, of each token beside those of its bytes, and of a number beside those of its digits.
const VALUE_STEPS: i64 = 6;
const TOKEN_STEPS: usize = 4;
const NUMBER_STEPS: usize = 30;
/// Steps of an escape beside those of its bytes.
const ESCAPE_STEPS: i64 = 8;

/// A token; what it holds is in the parser.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String,
    Number,
    Boolean,
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String => "T_STRING",
            Token::Number => "T_NUMBER",
            Token::Boolean => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(what) => what,
        }
    }
}

struct Parser<'a> {
    lua: Lua,
    text: &'a [u8],
    at: usize,
    /// Where the last token began.
    token_at: usize,
    number: f64,
    boolean: bool,
    depth: u32,
    max_depth: u32,
    takes_invalid: bool,
}

pub fn decode(lua: Lua) -> Results {
    one_argument(lua);
    let text = lua.check_bytes(1);
    if matches!(text, [0, _, ..] | [_, 0, ..]) {
        return Err(lua.fail(b"JSON parser does not support UTF-16 or UTF-32"));
    }
    let settings = *settings(lua);
    let mut parser = Parser {
        lua,
        text,
        at: 0,
        token_at: 0,
        number: 0.0,
        boolean: false,
        depth: 0,
        max_depth: settings.decode_max_depth,
        takes_invalid: settings.decode_invalid,
    };
    let first = parser.next();
    parser.value(first)?;
    match parser.next() {
        Token::End => Ok(1),
        token => Err(parser.expected("the end", token)),
    }
}

/// What a string holds.
fn string<'a>(lua: Lua) -> &'a mut Vec<u8> {
    // SAFETY: the reference is not kept across a call that takes another.
    unsafe { &mut Data::of(lua).scratch }
}

impl Parser<'_> {
    fn expected(&self, what: &str, found: Token) -> Thrown {
        let mut buffer = itoa::Buffer::new();
        let at = buffer.format(self.token_at + 1).as_bytes();
        let found = found.name().as_bytes();
        fail(self.lua, &[b"Expected ", what.as_bytes(), b" but found ", found, b" at character ", at])
    }

    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn value(&mut self, token: Token) -> Result<(), Thrown> {
        let lua = self.lua;
        lua::take_steps(VALUE_STEPS);
        if lua::steps() < 0 {
            return Err(lua.fail(b"script ran out of steps"));
        }
        match token {
            Token::String => lua.push_bytes(string(lua)),
            Token::Number => lua.push_number(self.number),
            Token::Boolean => lua.push_boolean(self.boolean),
            Token::Null => lua.push_null(),
            Token::ObjectBegin => return self.object(),
            Token::ArrayBegin => return self.array(),
            _ => return Err(self.expected("value", token)),
        }
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Thrown> {
        self.depth += 1;
        // A value beside the table and a key, and what errors need.
        if self.depth <= self.max_depth && self.lua.has_room(6) {
            return Ok(());
        }
        let (mut depth, mut at) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (depth, at) = (depth.format(self.depth).as_bytes(), at.format(self.at).as_bytes());
        let what = b"Found too many nested data structures (";
        Err(fail(self.lua, &[what, depth, b") at character ", at]))
    }

    fn object(&mut self) -> Result<(), Thrown> {
        self.descend()?;
        self.lua.push_table(0, 0);
        let mut token = self.next();
        if token == Token::ObjectEnd {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            if token != Token::String {
                return Err(self.expected("object key string", token));
            }
            self.lua.push_bytes(string(self.lua));
            match self.next() {
                Token::Colon => {}
                other => return Err(self.expected("colon", other)),
            }
            let first = self.next();
            self.value(first)?;
            self.lua.raw_set(-3);
            match self.next() {
                Token::ObjectEnd => {
                    self.depth -= 1;
                    return Ok(());
                }
                Token::Comma => token = self.next(),
                other => return Err(self.expected("comma or object end", other)),
            }
        }
    }

    fn array(&mut self) -> Result<(), Thrown> {
        self.descend()?;
        self.lua.push_table(0, 0);
        let mut token = self.next();
        if token == Token::ArrayEnd {
            self.depth -= 1;
            return Ok(());
        }
        for place in 1.. {
            self.value(token)?;
            self.lua.raw_set_at(-2, place);
            match self.next() {
                Token::ArrayEnd => break,
                Token::Comma => token = self.next(),
                other => return Err(self.expected("comma or array end", other)),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn next(&mut self) -> Token {
        let spaces =
            self.text[self.at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at += spaces.count();
        lua::take_steps((TOKEN_STEPS + self.at - self.token_at) as i64);
        self.token_at = self.at;
        let single = match self.byte() {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            0 if self.at >= self.text.len() => return Token::End,
            0 => return Token::End,
            b'"' => return self.string(),
            _ => return self.word(),
        };
        self.at += 1;
        single
    }

    fn word(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let is_number = matches!(self.byte(), b'-' | b'0'..=b'9');
        if is_number && !self.takes_invalid && self.is_invalid_number() {
            return Token::Error("invalid number");
        }
        if is_number || self.takes_invalid && self.may_be_number() && self.is_invalid_number() {
            return self.number();
        }
        for (word, token, boolean) in [
            (&b"true"[..], Token::Boolean, true),
            (b"false", Token::Boolean, false),
            (b"null", Token::Null, false),
        ] {
            if rest.starts_with(word) {
                self.boolean = boolean;
                self.at += word.len();
                return token;
            }
        }
        Token::Error("invalid token")
    }

    fn may_be_number(&self) -> bool {
        matches!(self.byte(), b'+' | b'i' | b'I' | b'n' | b'N')
    }

    /// Whether C reads a number here that JSON does not have.
    fn is_invalid_number(&self) -> bool {
        let rest = &self.text[self.at..];
        let Some(rest) = rest.strip_prefix(b"+").map_or(Some(rest), |_| None) else { return true };
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        match rest {
            [b'0', second, ..] => matches!(second, b'x' | b'X' | b'0'..=b'9'),
            [first, ..] if *first <= b'9' => false,
            _ => {
                let word = rest.get(..3).unwrap_or_default();
                word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
            }
        }
    }

    fn number(&mut self) -> Token {
        let start = self.text[self.at..].as_ptr().cast::<libc::c_char>();
        let mut end = std::ptr::null_mut();
        // SAFETY: a string of Lua ends with a zero, at which reading ends.
        self.number = unsafe { libc::strtod(start, &mut end) };
        let len = end.addr() - start.addr();
        lua::take_steps((NUMBER_STEPS + len) as i64);
        if len == 0 {
            return Token::Error("invalid number");
        }
        self.at += len;
        Token::Number
    }

    fn string(&mut self) -> Token {
        let out = string(self.lua);
        out.clear();
        self.at += 1;
        loop {
            let rest = &self.text[self.at.min(self.text.len())..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0)).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Token::String;
                }
                b'\\' => {
                    lua::take_steps(ESCAPE_STEPS);
                    if let Err(what) = self.escape(out) {
                        self.token_at = self.at;
                        return Token::Error(what);
                    }
                }
                _ => {
                    self.token_at = self.at;
                    return Token::Error("unexpected end of string");
                }
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let byte = match self.text.get(self.at + 1) {
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(b'/') => b'/',
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            Some(b'u') => {
                let (code, len) = self.unicode().ok_or("invalid unicode escape code")?;
                out.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += len;
                return Ok(());
            }
            _ => return Err("invalid escape code"),
        };
        out.push(byte);
        self.at += 2;
        Ok(())
    }

    /// The character of an escape, or of two that make one; and how long they are.
    fn unicode(&self) -> Option<(char, usize)> {
        const ONE: usize = 6;
        let high = self.hex(self.at + 2)?;
        if let Some(character) = char::from_u32(high) {
            return Some((character, ONE));
        }
        let is_pair = high & 0x400 == 0 && self.text.get(self.at + ONE..self.at + ONE + 2) == Some(b"\\u");
        let low = if is_pair { self.hex(self.at + ONE + 2)? } else { return None };
        if low & 0xfc00 != 0xdc00 {
            return None;
        }
        let code = ((high & 0x3ff) << 10 | low & 0x3ff) + 0x1_0000;
        Some((char::from_u32(code)?, 2 * ONE))
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}
