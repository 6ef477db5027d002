//! The functions of `struct`: values as C lays them out.
//!
//! Source: Roberto Ierusalimschy's struct 0.2 as Redis has it.

use std::ffi::CStr;

use super::lua::{self, Lua, Results, Thrown, lua_function};
use super::sandbox::Function;
use super::vm::Data;

pub const FUNCTIONS: &[Function] =
    &[(c"pack", lua_function!(pack)), (c"unpack", lua_function!(unpack)), (c"size", lua_function!(size))];

/// Steps of an item, beside those of the bytes of a number.
const ITEM_STEPS: i64 = 8;

/// The longest integer.
const MAX_INTEGER_BYTES: usize = 32;
const MAX_ALIGN: usize = 8;

/// A format while it is read.
struct Format<'a> {
    lua: Lua,
    text: &'a [u8],
    is_big: bool,
    align: usize,
}

/// What an option stands for.
struct Item {
    option: u8,
    bytes: usize,
}

impl<'a> Format<'a> {
    fn of_argument(lua: Lua) -> Format<'a> {
        Format { lua, text: lua.check_bytes(1), is_big: false, align: 1 }
    }

    fn next(&mut self) -> Result<Option<Item>, Thrown> {
        lua::take_steps(ITEM_STEPS);
        if lua::steps() < 0 {
            return Err(self.lua.fail(b"script ran out of steps"));
        }
        let Some((option, rest)) = self.text.split_first() else { return Ok(None) };
        if *option == 0 {
            return Ok(None);
        }
        self.text = rest;
        let bytes = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let bytes = self.number(4)?;
                if bytes > MAX_INTEGER_BYTES {
                    return Err(self.refuse(b"integral size ", bytes, b" is larger than limit of 32"));
                }
                bytes
            }
            _ => 0,
        };
        lua::take_steps(bytes.min(MAX_INTEGER_BYTES) as i64);
        Ok(Some(Item { option: *option, bytes }))
    }

    /// An error with a number in it.
    fn refuse(&self, before: &[u8], number: usize, after: &[u8]) -> Thrown {
        // SAFETY: nothing that is called meanwhile uses the buffer.
        let scratch = unsafe { &mut Data::of(self.lua).scratch };
        scratch.clear();
        scratch.extend_from_slice(before);
        scratch.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        scratch.extend_from_slice(after);
        self.lua.fail(scratch)
    }

    /// A number in the format, or this one where there is none.
    fn number(&mut self, default: usize) -> Result<usize, Thrown> {
        let digits = self.text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        lua::take_steps(digits as i64);
        let mut number = 0_usize;
        for digit in &self.text[..digits] {
            number = number * 10 + usize::from(digit - b'0');
            if number > i32::MAX as usize {
                return Err(self.lua.fail(b"integral size overflow"));
            }
        }
        self.text = &self.text[digits..];
        Ok(number)
    }

    /// Bytes that are left out before an item at this place.
    fn padding(&self, at: usize, item: &Item) -> usize {
        if item.bytes == 0 || item.option == b'c' {
            return 0;
        }
        let align = item.bytes.min(self.align);
        (align - (at & (align - 1))) & (align - 1)
    }

    /// An option that says how others are meant.
    fn control(&mut self, option: u8) -> Result<(), Thrown> {
        match option {
            b' ' => {}
            b'>' => self.is_big = true,
            b'<' => self.is_big = false,
            b'!' => {
                let align = self.number(MAX_ALIGN)?;
                if !align.is_power_of_two() {
                    return Err(self.refuse(b"alignment ", align, b" is not a power of 2"));
                }
                self.align = align;
            }
            _ => {
                let mut why = *b"invalid format option '?'\0";
                why[23] = option.max(1);
                let why = CStr::from_bytes_until_nul(&why).unwrap_or(c"invalid format option");
                self.lua.argument_error(1, why);
            }
        }
        Ok(())
    }
}

fn is_integer(option: u8) -> bool {
    matches!(option, b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I')
}

/// What is packed so far.
fn packed<'a>(lua: Lua) -> &'a mut Vec<u8> {
    // SAFETY: the reference is not kept across a call that takes another.
    unsafe { &mut Data::of(lua).scratch }
}

/// Appends bytes that are in little-endian order.
fn put(lua: Lua, bytes: &mut [u8], is_big: bool) {
    if is_big {
        bytes.reverse();
    }
    packed(lua).extend_from_slice(bytes);
}

fn pack(lua: Lua) -> Results {
    let mut format = Format::of_argument(lua);
    packed(lua).clear();
    let mut nth = 2;
    while let Some(item) = format.next()? {
        let padding = format.padding(packed(lua).len(), &item);
        packed(lua).extend_from_slice(&[0; MAX_INTEGER_BYTES][..padding]);
        match item.option {
            b'x' => packed(lua).push(0),
            b'f' => put(lua, &mut (lua.check_number(nth) as f32).to_le_bytes(), format.is_big),
            b'd' => put(lua, &mut lua.check_number(nth).to_le_bytes(), format.is_big),
            b'c' | b's' => pack_string(lua, nth, &item),
            option if is_integer(option) => {
                let number = lua.check_number(nth);
                let value = if number < 0.0 { number as i64 as u64 } else { number as u64 };
                let mut bytes = [0; MAX_INTEGER_BYTES];
                bytes[..8].copy_from_slice(&value.to_le_bytes());
                put(lua, &mut bytes[..item.bytes], format.is_big);
            }
            option => {
                format.control(option)?;
                continue;
            }
        }
        nth += i32::from(item.option != b'x');
    }
    lua.push_bytes(packed(lua));
    Ok(1)
}

fn pack_string(lua: Lua, nth: i32, item: &Item) {
    let string = lua.check_bytes(nth);
    let len = if item.bytes == 0 { string.len() } else { item.bytes };
    if string.len() < len {
        lua.argument_error(nth + 1, c"string too short");
    }
    lua::take_steps((len / 16) as i64);
    packed(lua).extend_from_slice(&string[..len]);
    if item.option == b's' {
        packed(lua).push(0);
    }
}

const TOO_SHORT: &CStr = c"data string too short";

fn unpack(lua: Lua) -> Results {
    let mut format = Format::of_argument(lua);
    let data = lua.check_bytes(2);
    let start = if lua.top() < 3 { 1.0 } else { lua.check_number(3).trunc() };
    if start < 1.0 || start.is_nan() {
        lua.argument_error(3, c"offset must be 1 or greater");
    }
    let mut at = (start - 1.0).min(1e15) as usize;
    lua.set_top(2);
    while let Some(item) = format.next()? {
        at += format.padding(at, &item);
        let Some(rest) = data.get(at..).filter(|rest| item.bytes <= rest.len()) else {
            lua.argument_error(2, TOO_SHORT);
        };
        if !lua.has_room(3) {
            return Err(lua.fail(b"too many results"));
        }
        at += match item.option {
            b'x' => 1,
            b'c' => unpack_string(lua, rest, &item)?,
            b's' => {
                let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                    return Err(lua.fail(b"unfinished string in data"));
                };
                lua::take_steps((end / 16) as i64);
                lua.push_bytes(&rest[..end]);
                end + 1
            }
            b'f' | b'd' => {
                lua.push_number(float(&rest[..item.bytes], format.is_big));
                item.bytes
            }
            option if is_integer(option) => {
                let is_signed = option.is_ascii_lowercase();
                lua.push_number(integer(&rest[..item.bytes], format.is_big, is_signed));
                item.bytes
            }
            option => {
                format.control(option)?;
                0
            }
        };
    }
    lua.push_number((at + 1) as f64);
    Ok(lua.top() - 2)
}

/// Without a length of its own a string has that of the number before it.
fn unpack_string(lua: Lua, rest: &[u8], item: &Item) -> Result<usize, Thrown> {
    let mut len = item.bytes;
    if len == 0 {
        if lua.top() <= 2 || !lua.is(-1, lua::Type::Number) {
            return Err(lua.fail(b"format 'c0' needs a previous size"));
        }
        len = lua.number(-1) as usize;
        lua.pop(1);
        if len > rest.len() {
            lua.argument_error(2, TOO_SHORT);
        }
    }
    lua.push_bytes(&rest[..len]);
    Ok(len)
}

/// In the order of the most significant byte first.
fn from_the_top(bytes: &[u8], is_big: bool, each: &mut dyn FnMut(u8)) {
    match is_big {
        true => bytes.iter().for_each(|byte| each(*byte)),
        false => bytes.iter().rev().for_each(|byte| each(*byte)),
    }
}

/// Of a longer number the lower 64 bits count.
fn integer(bytes: &[u8], is_big: bool, is_signed: bool) -> f64 {
    let mut value = 0_u64;
    from_the_top(bytes, is_big, &mut |byte| value = value << 8 | u64::from(byte));
    if !is_signed {
        return value as f64;
    }
    let shift = 64_u32.saturating_sub(8 * bytes.len() as u32).min(63);
    ((value << shift) as i64 >> shift) as f64
}

fn float(bytes: &[u8], is_big: bool) -> f64 {
    let mut bits = 0_u64;
    from_the_top(bytes, is_big, &mut |byte| bits = bits << 8 | u64::from(byte));
    if bytes.len() == 4 { f64::from(f32::from_bits(bits as u32)) } else { f64::from_bits(bits) }
}

fn size(lua: Lua) -> Results {
    let mut format = Format::of_argument(lua);
    let mut at = 0;
    while let Some(item) = format.next()? {
        if item.option == b's' || item.option == b'c' && item.bytes == 0 {
            let is_string = item.option == b's';
            lua.argument_error(
                1,
                if is_string { c"option 's' has no fixed size" } else { c"option 'c0' has no fixed size" },
            );
        }
        at += format.padding(at, &item) + item.bytes;
        if !item.option.is_ascii_alphanumeric() {
            format.control(item.option)?;
        }
    }
    lua.push_number(at as f64);
    Ok(1)
}
