//! `cjson.encode`.
//!
//! - A table whose keys are all integers from 1 on is an array, any other is an object; one without keys is an object.
//! - The text is put together outside of the state's memory, and is no longer than would fit into it.

use super::super::arena::ARENA_BYTES;
use super::super::host::Over;
use super::super::lua::{self, Lua, Results, Thrown, Type, format_number};
use super::super::vm::Data;
use super::{Invalid, Settings, fail, one_argument, settings};

/// Steps of each value, and of each key that is looked at to tell whether a table is an array.
const VALUE_STEPS: i64 = 12;
const KEY_STEPS: i64 = 8;

/// Values that a nested table needs room for.
const ROOM: i32 = 6;

pub fn encode(lua: Lua) -> Results {
    one_argument(lua);
    text(lua).clear();
    let settings = *settings(lua);
    append(lua, &settings, 0)?;
    let text = text(lua);
    lua.push_bytes(text);
    text.shrink_to(1 << 20);
    Ok(1)
}

/// The text so far.
fn text<'a>(lua: Lua) -> &'a mut Vec<u8> {
    // SAFETY: the reference is not kept across a call that takes another.
    unsafe { &mut Data::of(lua).scratch }
}

fn put(lua: Lua, bytes: &[u8]) {
    text(lua).extend_from_slice(bytes);
}

/// Appends the value on top.
fn append(lua: Lua, settings: &Settings, depth: u32) -> Result<(), Thrown> {
    lua::take_steps(VALUE_STEPS);
    if lua::steps() < 0 {
        return Err(lua.fail(b"script ran out of steps"));
    }
    if text(lua).len() > ARENA_BYTES / 2 {
        // SAFETY: the reference ends with this statement.
        unsafe { Data::of(lua) }.end(Over::Memory);
        return Err(lua.fail(b"not enough memory"));
    }
    match lua.type_of(-1) {
        Type::String => append_string(lua, lua.bytes(-1)),
        Type::Number => return append_number(lua, settings, -1),
        Type::Boolean => put(lua, if lua.boolean(-1) { b"true" } else { b"false" }),
        Type::Nil | Type::LightUserdata => put(lua, b"null"),
        Type::Table => return append_table(lua, settings, depth + 1),
        Type::Function => return Err(refuse(lua, b"function", b"type not supported")),
        Type::Thread => return Err(refuse(lua, b"thread", b"type not supported")),
        Type::None | Type::Userdata => return Err(refuse(lua, b"userdata", b"type not supported")),
    }
    Ok(())
}

fn refuse(lua: Lua, type_name: &[u8], why: &[u8]) -> Thrown {
    fail(lua, &[b"Cannot serialise ", type_name, b": ", why])
}

fn append_number(lua: Lua, settings: &Settings, index: i32) -> Result<(), Thrown> {
    let number = lua.number(index);
    if !number.is_finite() {
        match settings.encode_invalid {
            Invalid::Refuse => return Err(refuse(lua, b"number", b"must not be NaN or Inf")),
            Invalid::Null => {
                put(lua, b"null");
                return Ok(());
            }
            Invalid::Keep if number.is_nan() => {
                put(lua, b"nan");
                return Ok(());
            }
            Invalid::Keep => {}
        }
    }
    format_number(text(lua), settings.precision as i32, number);
    Ok(())
}

fn append_string(lua: Lua, string: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    lua::take_steps(string.len() as i64);
    let text = text(lua);
    text.push(b'"');
    for byte in string {
        match byte {
            b'"' => text.extend_from_slice(b"\\\""),
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'/' => text.extend_from_slice(b"\\/"),
            8 => text.extend_from_slice(b"\\b"),
            b'\t' => text.extend_from_slice(b"\\t"),
            b'\n' => text.extend_from_slice(b"\\n"),
            12 => text.extend_from_slice(b"\\f"),
            b'\r' => text.extend_from_slice(b"\\r"),
            0..=31 | 127 => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                text.extend_from_slice(b"\\u00");
                text.extend_from_slice(&digits);
            }
            _ => text.push(*byte),
        }
    }
    text.push(b'"');
}

fn append_table(lua: Lua, settings: &Settings, depth: u32) -> Result<(), Thrown> {
    if depth > settings.encode_max_depth || !lua.has_room(ROOM) {
        let mut buffer = itoa::Buffer::new();
        let depth = buffer.format(depth).as_bytes();
        return Err(fail(lua, &[b"Cannot serialise, excessive nesting (", depth, b")"]));
    }
    match array_length(lua, settings)? {
        Some(len) if len > 0 => append_array(lua, settings, depth, len),
        _ => append_object(lua, settings, depth),
    }
}

/// How long the table on top is as an array; `None` where it is none.
fn array_length(lua: Lua, settings: &Settings) -> Result<Option<usize>, Thrown> {
    let (mut most, mut items) = (0.0_f64, 0_u64);
    lua.push_nil();
    while lua.next(-2) {
        let key = if lua.is(-2, Type::Number) { lua.number(-2) } else { 0.0 };
        if key < 1.0 || key.floor() != key {
            lua.pop(2);
            return Ok(None);
        }
        most = most.max(key);
        items += 1;
        lua::take_steps(KEY_STEPS);
        lua.pop(1);
    }
    let ratio = u64::from(settings.sparse_ratio);
    let is_sparse = ratio > 0 && most > (items * ratio) as f64 && most > f64::from(settings.sparse_safe);
    match is_sparse {
        true if !settings.sparse_convert => Err(refuse(lua, b"table", b"excessively sparse array")),
        true => Ok(None),
        false => Ok(Some(most as usize)),
    }
}

fn append_array(lua: Lua, settings: &Settings, depth: u32, len: usize) -> Result<(), Thrown> {
    put(lua, b"[");
    for place in 1..=len {
        if place > 1 {
            put(lua, b",");
        }
        lua.raw_get_at(-1, place);
        append(lua, settings, depth)?;
        lua.pop(1);
    }
    put(lua, b"]");
    Ok(())
}

fn append_object(lua: Lua, settings: &Settings, depth: u32) -> Result<(), Thrown> {
    put(lua, b"{");
    let mut is_first = true;
    lua.push_nil();
    while lua.next(-2) {
        if !std::mem::take(&mut is_first) {
            put(lua, b",");
        }
        match lua.type_of(-2) {
            Type::Number => {
                put(lua, b"\"");
                append_number(lua, settings, -2)?;
                put(lua, b"\"");
            }
            Type::String => append_string(lua, lua.bytes(-2)),
            other => {
                let name: &[u8] = match other {
                    Type::Boolean => b"boolean",
                    Type::Table => b"table",
                    Type::Function => b"function",
                    Type::Thread => b"thread",
                    _ => b"userdata",
                };
                return Err(refuse(lua, name, b"table key must be a number or string"));
            }
        }
        put(lua, b":");
        append(lua, settings, depth)?;
        lua.pop(1);
    }
    put(lua, b"}");
    Ok(())
}
