//! The functions of `cjson`: settings, and the table that holds them.
//!
//! Source: lua-cjson 2.1.0 as Redis has it.

mod decode;
mod encode;

use std::ffi::CStr;

use super::lua::{Lua, Results, Thrown, Type, lua_function};
use super::sandbox::{Function, set_functions};
use super::vm::Data;

pub const FUNCTIONS: &[Function] = &[
    (c"encode", lua_function!(encode::encode)),
    (c"decode", lua_function!(decode::decode)),
    (c"encode_sparse_array", lua_function!(encode_sparse_array)),
    (c"encode_max_depth", lua_function!(encode_max_depth)),
    (c"decode_max_depth", lua_function!(decode_max_depth)),
    (c"encode_number_precision", lua_function!(encode_number_precision)),
    (c"encode_keep_buffer", lua_function!(encode_keep_buffer)),
    (c"encode_invalid_numbers", lua_function!(encode_invalid_numbers)),
    (c"decode_invalid_numbers", lua_function!(decode_invalid_numbers)),
    (c"new", lua_function!(new)),
];

/// What to do about numbers that JSON does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Refuse,
    Keep,
    Null,
}

/// A script's own: they begin as these with each.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    sparse_convert: bool,
    sparse_ratio: u32,
    sparse_safe: u32,
    encode_max_depth: u32,
    decode_max_depth: u32,
    precision: u32,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refuse,
            decode_invalid: true,
        }
    }
}

/// The settings of the script that runs.
fn settings<'a>(lua: Lua) -> &'a mut Settings {
    // SAFETY: no function of this module keeps the reference while another is taken.
    unsafe { &mut Data::of(lua).cjson }
}

/// Fills the table on top.
pub fn fill(lua: Lua) {
    set_functions(lua, FUNCTIONS);
    lua.push_null();
    lua.set_field(-2, c"null");
    lua.push_bytes(b"cjson");
    lua.set_field(-2, c"_NAME");
    lua.push_bytes(b"2.1.0");
    lua.set_field(-2, c"_VERSION");
}

/// Its settings are those of the script, too.
fn new(lua: Lua) -> Results {
    lua.push_table(0, FUNCTIONS.len() + 3);
    fill(lua);
    Ok(1)
}

/// Prepares an error of several parts.
fn fail(lua: Lua, parts: &[&[u8]]) -> Thrown {
    // SAFETY: nothing that is called meanwhile uses the buffer.
    let scratch = unsafe { &mut Data::of(lua).scratch };
    scratch.clear();
    parts.iter().for_each(|part| scratch.extend_from_slice(part));
    lua.fail(scratch)
}

fn one_argument(lua: Lua) {
    if lua.top() != 1 {
        lua.argument_error(1, c"expected 1 argument");
    }
}

/// Settings have some arguments at most; those that are left out are nil.
fn setting_arguments(lua: Lua, most: i32) {
    if lua.top() > most {
        lua.argument_error(most + 1, c"found too many arguments");
    }
    lua.set_top(most);
}

fn integer_setting(lua: Lua, nth: i32, setting: &mut u32, (least, most): (u32, u32), refusal: &CStr) {
    if !lua.is(nth, Type::Nil) {
        let value = lua.check_number(nth).trunc();
        if !(f64::from(least)..=f64::from(most)).contains(&value) {
            lua.argument_error(nth, refusal);
        }
        *setting = value as u32;
    }
    lua.push_number(f64::from(*setting));
}

const ANY: (u32, u32) = (1, i32::MAX as u32);
const OUT_OF_RANGE: &CStr = c"expected integer between 1 and 2147483647";

/// Reads `off`, `on`, or another word; a boolean does, too. What was there before where there is no argument.
fn switch(lua: Lua, nth: i32, before: Invalid, takes_null: bool) -> Invalid {
    match lua.type_of(nth) {
        Type::Nil => before,
        Type::Boolean if lua.boolean(nth) => Invalid::Keep,
        Type::Boolean => Invalid::Refuse,
        _ => match lua.check_bytes(nth) {
            b"off" => Invalid::Refuse,
            b"on" => Invalid::Keep,
            b"null" if takes_null => Invalid::Null,
            _ => lua.argument_error(nth, c"invalid option"),
        },
    }
}

fn push_switch(lua: Lua, value: Invalid) {
    match value {
        Invalid::Refuse => lua.push_boolean(false),
        Invalid::Keep => lua.push_boolean(true),
        Invalid::Null => lua.push_bytes(b"null"),
    }
}

fn encode_sparse_array(lua: Lua) -> Results {
    const FROM_ZERO: (u32, u32) = (0, i32::MAX as u32);
    const REFUSAL: &CStr = c"expected integer between 0 and 2147483647";
    setting_arguments(lua, 3);
    let settings = settings(lua);
    let convert = if settings.sparse_convert { Invalid::Keep } else { Invalid::Refuse };
    let convert = switch(lua, 1, convert, false);
    settings.sparse_convert = convert == Invalid::Keep;
    push_switch(lua, convert);
    integer_setting(lua, 2, &mut settings.sparse_ratio, FROM_ZERO, REFUSAL);
    integer_setting(lua, 3, &mut settings.sparse_safe, FROM_ZERO, REFUSAL);
    Ok(3)
}

fn encode_max_depth(lua: Lua) -> Results {
    setting_arguments(lua, 1);
    integer_setting(lua, 1, &mut settings(lua).encode_max_depth, ANY, OUT_OF_RANGE);
    Ok(1)
}

fn decode_max_depth(lua: Lua) -> Results {
    setting_arguments(lua, 1);
    integer_setting(lua, 1, &mut settings(lua).decode_max_depth, ANY, OUT_OF_RANGE);
    Ok(1)
}

fn encode_number_precision(lua: Lua) -> Results {
    setting_arguments(lua, 1);
    let refusal = c"expected integer between 1 and 14";
    integer_setting(lua, 1, &mut settings(lua).precision, (1, 14), refusal);
    Ok(1)
}

/// It makes no difference here.
fn encode_keep_buffer(lua: Lua) -> Results {
    setting_arguments(lua, 1);
    let settings = settings(lua);
    let before = if settings.keep_buffer { Invalid::Keep } else { Invalid::Refuse };
    let after = switch(lua, 1, before, false);
    settings.keep_buffer = after == Invalid::Keep;
    push_switch(lua, after);
    Ok(1)
}

fn encode_invalid_numbers(lua: Lua) -> Results {
    setting_arguments(lua, 1);
    let settings = settings(lua);
    settings.encode_invalid = switch(lua, 1, settings.encode_invalid, true);
    push_switch(lua, settings.encode_invalid);
    Ok(1)
}

fn decode_invalid_numbers(lua: Lua) -> Results {
    setting_arguments(lua, 1);
    let settings = settings(lua);
    let before = if settings.decode_invalid { Invalid::Keep } else { Invalid::Refuse };
    let after = switch(lua, 1, before, false);
    settings.decode_invalid = after == Invalid::Keep;
    push_switch(lua, after);
    Ok(1)
}
