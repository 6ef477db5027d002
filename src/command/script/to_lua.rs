//! Replies as values of Lua, and errors as tables.
//!
//! Source: <https://redis.io/docs/latest/develop/interact/programmability/lua-api/#data-type-conversion>, `script_lua.c` of Redis 7.0.

use super::lua::{self, Lua, Results, Thrown, Type};
use crate::protocol::number::parse_double;

/// Steps of each value.
const VALUE_STEPS: i64 = 8;

/// Values that a nested reply needs room for at each level.
const ROOM: i32 = 8;

/// Pushes the first reply of `bytes`, which is a whole one, and moves past it.
pub fn push_reply(lua: Lua, bytes: &mut &[u8]) -> Result<(), Thrown> {
    if !lua.has_room(ROOM) {
        return Err(lua.fail(b"reply is nested too deeply"));
    }
    lua::take_steps(VALUE_STEPS);
    let (kind, line) = take_line(bytes);
    match kind {
        b':' => lua.push_number(integer(line) as f64),
        b'+' => push_single(lua, b"ok", line),
        b'-' => push_error(lua, line),
        b'$' if line == b"-1" => lua.push_boolean(false),
        b'$' => lua.push_bytes(take_bulk(bytes, line)),
        b'*' | b'>' if line == b"-1" => lua.push_boolean(false),
        b'*' | b'>' => push_array(lua, integer(line) as usize, bytes)?,
        b'%' => push_map(lua, integer(line) as usize, bytes)?,
        b'~' => push_set(lua, integer(line) as usize, bytes)?,
        b'_' => lua.push_nil(),
        b'#' => lua.push_boolean(line == b"t"),
        b',' => {
            lua.push_table(0, 1);
            lua.push_number(parse_double(line).unwrap_or(f64::NAN));
            lua.set_field(-2, c"double");
        }
        b'(' => push_single(lua, b"big_number", line),
        b'=' => push_verbatim(lua, take_bulk(bytes, line)),
        _ => lua.push_nil(),
    }
    Ok(())
}

fn take_line<'a>(bytes: &mut &'a [u8]) -> (u8, &'a [u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\r').unwrap_or(bytes.len());
    let line = &bytes[..end];
    *bytes = bytes.get(end + 2..).unwrap_or_default();
    line.split_first().map_or((0, line), |(kind, rest)| (*kind, rest))
}

fn take_bulk<'a>(bytes: &mut &'a [u8], len: &[u8]) -> &'a [u8] {
    let len = (integer(len) as usize).min(bytes.len());
    let bulk = &bytes[..len];
    *bytes = bytes.get(len + 2..).unwrap_or_default();
    bulk
}

fn integer(line: &[u8]) -> i64 {
    crate::protocol::number::parse_integer(line).unwrap_or(0)
}

/// Pushes a table with one field.
pub fn push_single(lua: Lua, name: &[u8], value: &[u8]) {
    lua.push_table(0, 1);
    lua.push_bytes(name);
    lua.push_bytes(value);
    lua.raw_set(-3);
}

/// Pushes an error whose text starts with its code.
pub fn push_error(lua: Lua, text: &[u8]) {
    push_single(lua, b"err", text);
}

fn push_array(lua: Lua, len: usize, bytes: &mut &[u8]) -> Result<(), Thrown> {
    lua.push_table(len.min(bytes.len()), 0);
    for place in 1..=len {
        push_reply(lua, bytes)?;
        lua.raw_set_at(-2, place);
    }
    Ok(())
}

fn push_map(lua: Lua, pairs: usize, bytes: &mut &[u8]) -> Result<(), Thrown> {
    lua.push_table(0, 1);
    lua.push_bytes(b"map");
    lua.push_table(0, pairs.min(bytes.len()));
    for _ in 0..pairs {
        push_reply(lua, bytes)?;
        push_reply(lua, bytes)?;
        lua.raw_set(-3);
    }
    lua.raw_set(-3);
    Ok(())
}

fn push_set(lua: Lua, len: usize, bytes: &mut &[u8]) -> Result<(), Thrown> {
    lua.push_table(0, 1);
    lua.push_bytes(b"set");
    lua.push_table(0, len.min(bytes.len()));
    for _ in 0..len {
        push_reply(lua, bytes)?;
        lua.push_boolean(true);
        lua.raw_set(-3);
    }
    lua.raw_set(-3);
    Ok(())
}

fn push_verbatim(lua: Lua, text: &[u8]) {
    let (format, string) = (text.get(..3).unwrap_or_default(), text.get(4..).unwrap_or_default());
    lua.push_table(0, 1);
    lua.push_bytes(b"verbatim_string");
    lua.push_table(0, 2);
    lua.push_bytes(format);
    lua.set_field(-2, c"format");
    lua.push_bytes(string);
    lua.set_field(-2, c"string");
    lua.raw_set(-3);
}

/// Makes a table of an error, with the place where it was raised.
pub fn describe_error(lua: Lua) -> Results {
    lua.set_top(1);
    if !lua.is(1, Type::Table) {
        push_error_of_value(lua);
        lua.replace(1);
    }
    if let Some((source, line)) = lua.place_of_error() {
        lua.push_bytes(b"source");
        lua.push_bytes(source.to_bytes());
        lua.raw_set(1);
        lua.push_bytes(b"line");
        lua.push_number(f64::from(line));
        lua.raw_set(1);
    }
    lua.set_top(1);
    Ok(1)
}

/// Pushes `{err = 'ERR ' .. value}` of the value at the bottom.
fn push_error_of_value(lua: Lua) {
    lua.push_table(0, 3);
    lua.push_bytes(b"err");
    lua.get_field(super::lua::GLOBALS, c"tostring");
    lua.push_copy(1);
    lua.call(1, 1);
    // SAFETY: the reference ends with this statement's block, before Lua is called again with what is in it.
    let scratch = unsafe { super::vm::Data::of(lua) };
    scratch.scratch.clear();
    scratch.scratch.extend_from_slice(b"ERR ");
    scratch.scratch.extend_from_slice(lua.bytes(-1));
    lua.push_bytes(&scratch.scratch);
    lua.remove(-2);
    lua.raw_set(-3);
}
