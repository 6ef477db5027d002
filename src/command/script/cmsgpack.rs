//! The functions of `cmsgpack`: values as MessagePack.
//!
//! Source: lua-cmsgpack 0.4.0 as Redis has it.

use super::arena::ARENA_BYTES;
use super::host::Over;
use super::lua::{self, Lua, Results, Thrown, Type, lua_function};
use super::sandbox::Function;
use super::vm::Data;

/// Steps of each value that is packed or unpacked, and of each key that is looked at to tell whether a table is an array.
const VALUE_STEPS: i64 = 10;
const KEY_STEPS: i64 = 6;

/// Tables below so many others become nil.
const MAX_NESTING: u32 = 16;

pub const FUNCTIONS: &[Function] = &[
    (c"pack", lua_function!(pack)),
    (c"unpack", lua_function!(unpack)),
    (c"unpack_one", lua_function!(unpack_one)),
    (c"unpack_limit", lua_function!(unpack_limit)),
];

/// Adds the constants to the table on top.
pub fn set_constants(lua: Lua) {
    for (name, value) in [
        (c"_NAME", &b"cmsgpack"[..]),
        (c"_VERSION", b"lua-cmsgpack 0.4.0"),
        (c"_COPYRIGHT", b"Copyright (C) 2012, Salvatore Sanfilippo"),
        (c"_DESCRIPTION", b"MessagePack C implementation for Lua"),
    ] {
        lua.push_bytes(value);
        lua.set_field(-2, name);
    }
}

/// The bytes so far.
fn packed<'a>(lua: Lua) -> &'a mut Vec<u8> {
    // SAFETY: the reference is not kept across a call that takes another.
    unsafe { &mut Data::of(lua).scratch }
}

fn pack(lua: Lua) -> Results {
    let count = lua.top();
    if count == 0 {
        lua.argument_error(0, c"MessagePack pack needs input.");
    }
    if !lua.has_room(3) {
        return Err(lua.fail(b"Too many arguments for MessagePack pack."));
    }
    packed(lua).clear();
    for nth in 1..=count {
        lua.push_copy(nth);
        pack_value(lua, 0)?;
    }
    let bytes = packed(lua);
    lua.push_bytes(bytes);
    bytes.shrink_to(1 << 20);
    Ok(1)
}

/// Packs the value on top and pops it.
fn pack_value(lua: Lua, level: u32) -> Result<(), Thrown> {
    lua::take_steps(VALUE_STEPS);
    if lua::steps() < 0 {
        return Err(lua.fail(b"script ran out of steps"));
    }
    if packed(lua).len() > ARENA_BYTES / 2 {
        // SAFETY: the reference ends with this statement.
        unsafe { Data::of(lua) }.end(Over::Memory);
        return Err(lua.fail(b"not enough memory"));
    }
    match lua.type_of(-1) {
        Type::String => {
            let bytes = lua.bytes(-1);
            lua::take_steps((bytes.len() / 16) as i64);
            pack_head(packed(lua), bytes.len(), [(31, 0xa0), (0xff, 0xd9), (0xffff, 0xda)], 0xdb);
            packed(lua).extend_from_slice(bytes);
        }
        Type::Boolean => packed(lua).push(if lua.boolean(-1) { 0xc3 } else { 0xc2 }),
        Type::Number => pack_number(packed(lua), lua.number(-1)),
        Type::Table if level < MAX_NESTING => pack_table(lua, level)?,
        _ => packed(lua).push(0xc0),
    }
    lua.pop(1);
    Ok(())
}

/// Writes a length: within the first byte up to the first limit, then in 1, 2 or 4 bytes after one. No limit twice.
fn pack_head(out: &mut Vec<u8>, len: usize, heads: [(usize, u8); 3], longest: u8) {
    match len {
        _ if len <= heads[0].0 => out.push(heads[0].1 | len as u8),
        _ if len <= heads[1].0 => out.extend_from_slice(&[heads[1].1, len as u8]),
        _ if len <= heads[2].0 => {
            out.push(heads[2].1);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(longest);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

fn pack_number(out: &mut Vec<u8>, number: f64) {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) && number.trunc() == number {
        return pack_integer(out, number as i64);
    }
    let short = number as f32;
    if f64::from(short) == number {
        out.push(0xca);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn pack_integer(out: &mut Vec<u8>, integer: i64) {
    let mut put = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend_from_slice(bytes);
    };
    match integer {
        -32..=127 => put(integer as u8, &[]),
        128..=0xff => put(0xcc, &[integer as u8]),
        0x100..=0xffff => put(0xcd, &(integer as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => put(0xce, &(integer as u32).to_be_bytes()),
        0x1_0000_0000.. => put(0xcf, &integer.to_be_bytes()),
        -128..=-33 => put(0xd0, &[integer as u8]),
        -32_768..=-129 => put(0xd1, &(integer as i16).to_be_bytes()),
        -2_147_483_648..=-32_769 => put(0xd2, &(integer as i32).to_be_bytes()),
        _ => put(0xd3, &integer.to_be_bytes()),
    }
}

fn pack_table(lua: Lua, level: u32) -> Result<(), Thrown> {
    if !lua.has_room(5) {
        return Err(lua.fail(b"stack overflow"));
    }
    let (count, is_array) = shape(lua);
    if is_array {
        pack_head(packed(lua), count, [(15, 0x90), (15, 0x90), (0xffff, 0xdc)], 0xdd);
        for place in 1..=count {
            lua.raw_get_at(-1, place);
            pack_value(lua, level + 1)?;
        }
        return Ok(());
    }
    pack_head(packed(lua), count, [(15, 0x80), (15, 0x80), (0xffff, 0xde)], 0xdf);
    lua.push_nil();
    while lua.next(-2) {
        lua.push_copy(-2);
        pack_value(lua, level + 1)?;
        pack_value(lua, level + 1)?;
    }
    Ok(())
}

/// How many keys the table on top has, and whether they are those of an array.
fn shape(lua: Lua) -> (usize, bool) {
    let (mut count, mut most, mut is_array) = (0, 0.0_f64, true);
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        lua::take_steps(KEY_STEPS);
        let key = if lua.is(-1, Type::Number) { lua.number(-1) } else { 0.0 };
        is_array &= key > 0.0 && key.trunc() == key && key <= f64::from(i32::MAX);
        most = most.max(key);
        count += 1;
    }
    (count, is_array && most == count as f64)
}

fn unpack(lua: Lua) -> Results {
    lua.set_top(1);
    unpack_from(lua, None, 0.0)
}

fn unpack_one(lua: Lua) -> Results {
    let offset = optional(lua, 2);
    lua.set_top(1);
    unpack_from(lua, Some(1.0), offset)
}

fn unpack_limit(lua: Lua) -> Results {
    let limit = lua.check_number(2).trunc();
    let offset = optional(lua, 3);
    lua.set_top(1);
    unpack_from(lua, Some(limit), offset)
}

fn optional(lua: Lua, nth: i32) -> f64 {
    match lua.type_of(nth) {
        Type::None | Type::Nil => 0.0,
        _ => lua.check_number(nth).trunc(),
    }
}

/// Without a limit all values are unpacked; with one the offset of what is left comes first, -1 if nothing is.
fn unpack_from(lua: Lua, limit: Option<f64>, offset: f64) -> Results {
    let text = lua.check_bytes(1);
    let is_negative = |number: f64| number < 0.0 || number.is_nan();
    if is_negative(offset) || limit.is_some_and(is_negative) {
        return Err(lua.fail(b"Invalid request to unpack with a negative offset or limit."));
    }
    if offset > text.len() as f64 {
        return Err(lua.fail(b"Start offset is greater than the input's length."));
    }
    let mut rest = &text[offset as usize..];
    let mut count = 0;
    while !rest.is_empty() && limit.is_none_or(|limit| f64::from(count) < limit) {
        unpack_value(lua, &mut rest)?;
        count += 1;
    }
    if limit.is_some() {
        if !lua.has_room(1) {
            return Err(lua.fail(b"too many return values at once"));
        }
        let left = (text.len() - rest.len()) as f64;
        lua.push_number(if rest.is_empty() { -1.0 } else { left });
        lua.insert(2);
        count += 1;
    }
    Ok(count)
}

const MISSING: &[u8] = b"Missing bytes in input.";

fn take<'a>(lua: Lua, rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Thrown> {
    let Some((taken, left)) = rest.split_at_checked(len) else { return Err(lua.fail(MISSING)) };
    *rest = left;
    Ok(taken)
}

/// A big-endian number of so many bytes.
fn unsigned(lua: Lua, rest: &mut &[u8], bytes: usize) -> Result<u64, Thrown> {
    let taken = take(lua, rest, bytes)?;
    Ok(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn signed(lua: Lua, rest: &mut &[u8], bytes: usize) -> Result<i64, Thrown> {
    let shift = 64 - 8 * bytes as u32;
    Ok((unsigned(lua, rest, bytes)? << shift) as i64 >> shift)
}

/// Pushes the next value.
fn unpack_value(lua: Lua, rest: &mut &[u8]) -> Result<(), Thrown> {
    if !lua.has_room(4) {
        let text = b"too many return values at once; use unpack_one or unpack_limit instead.";
        return Err(lua.fail(text));
    }
    lua::take_steps(VALUE_STEPS);
    if lua::steps() < 0 {
        return Err(lua.fail(b"script ran out of steps"));
    }
    let kind = take(lua, rest, 1)?[0];
    match kind {
        0..=0x7f => lua.push_number(f64::from(kind)),
        0xe0.. => lua.push_number(f64::from(kind as i8)),
        0x80..=0x8f => return unpack_map(lua, rest, usize::from(kind & 15)),
        0x90..=0x9f => return unpack_array(lua, rest, usize::from(kind & 15)),
        0xa0..=0xbf => lua.push_bytes(take(lua, rest, usize::from(kind & 31))?),
        0xc0 => lua.push_nil(),
        0xc2 | 0xc3 => lua.push_boolean(kind == 0xc3),
        0xc4..=0xc6 | 0xd9..=0xdb => {
            let width = 1 << (kind - if kind < 0xd9 { 0xc4 } else { 0xd9 });
            let len = unsigned(lua, rest, width)? as usize;
            lua.push_bytes(take(lua, rest, len)?);
        }
        0xca => lua.push_number(f64::from(f32::from_bits(unsigned(lua, rest, 4)? as u32))),
        0xcb => lua.push_number(f64::from_bits(unsigned(lua, rest, 8)?)),
        0xcc..=0xcf => lua.push_number(unsigned(lua, rest, 1 << (kind - 0xcc))? as f64),
        0xd0..=0xd3 => lua.push_number(signed(lua, rest, 1 << (kind - 0xd0))? as f64),
        0xdc | 0xdd => {
            let len = unsigned(lua, rest, if kind == 0xdc { 2 } else { 4 })? as usize;
            return unpack_array(lua, rest, len);
        }
        0xde | 0xdf => {
            let len = unsigned(lua, rest, if kind == 0xde { 2 } else { 4 })? as usize;
            return unpack_map(lua, rest, len);
        }
        _ => return Err(lua.fail(b"Bad data format in input.")),
    }
    Ok(())
}

fn unpack_array(lua: Lua, rest: &mut &[u8], len: usize) -> Result<(), Thrown> {
    lua.push_table(0, 0);
    for place in 1..=len {
        unpack_value(lua, rest)?;
        lua.raw_set_at(-2, place);
    }
    Ok(())
}

fn unpack_map(lua: Lua, rest: &mut &[u8], len: usize) -> Result<(), Thrown> {
    lua.push_table(0, 0);
    for _ in 0..len {
        unpack_value(lua, rest)?;
        unpack_value(lua, rest)?;
        lua.raw_set(-3);
    }
    Ok(())
}
