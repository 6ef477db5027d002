//! Libraries of functions: their code is run once, registers functions, and what that leaves in memory is what each call begins with.
//!
//! - While a library is loaded it sees nothing but a small `redis`, which is `server`, too. Its functions see the globals of scripts, without what is for scripts
//!   alone. Neither can set any.
//! - What a call changes in the library's variables is gone after it, as on a node that was restarted: every node calls with the same memory.
//!
//! Source: <https://redis.io/docs/latest/develop/interact/programmability/functions-intro/>, `function_lua.c` and `functions.c` of Redis 7.0.

use std::ffi::CStr;

use super::api::{self, RedisTable, ServerTable, Table, refuse_call};
use super::lua::{GLOBALS, Lua, REGISTRY, Results, Thrown, Type, lua_function};
use super::sandbox::{Function, guard, set_functions};
use super::shebang::{self, ScriptFlags};
use super::to_lua::{self, push_error};
use super::to_reply;
use super::vm::Data;
use crate::protocol::request::words_of;

/// Name of the chunk, which errors tell.
const CHUNK: &CStr = c"@user_function";

/// Where the registry has the library's globals, and its functions by their names.
const ENVIRONMENT: &[u8] = b"library.environment";
const FUNCTIONS: &[u8] = b"library.functions";

/// Fields of `redis` that functions do not see.
const FOR_SCRIPTS_ALONE: [&CStr; 3] = [c"breakpoint", c"debug", c"replicate_commands"];

/// Redis' text for names of libraries and of functions.
const BAD_NAME: &str = "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
/// Longer names are refused.
const MAX_NAME_BYTES: usize = 1024;

/// A function, as its library registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryFunction {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: ScriptFlags,
}

fn is_name(name: &[u8]) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// The name of a library, by the first line of its code.
///
/// # Errors
/// Redis' text where the line is wrong.
pub fn library_name(code: &[u8]) -> Result<Vec<u8>, String> {
    if !code.starts_with(b"#!") {
        return Err("ERR Missing library metadata".into());
    }
    let invalid = || "ERR Invalid library metadata".to_owned();
    let end = code.iter().position(|byte| *byte == b'\n').ok_or_else(invalid)?;
    let words = words_of(&code[..end]).filter(|words| !words.is_empty()).ok_or_else(invalid)?;
    let mut name: Option<&[u8]> = None;
    for word in &words[1..] {
        match word.split_at_checked(5) {
            Some((option, _)) if option.eq_ignore_ascii_case(b"name=") && name.is_some() => {
                return Err("ERR Invalid metadata value, name argument was given multiple times".into());
            }
            Some((option, value)) if option.eq_ignore_ascii_case(b"name=") => name = Some(value),
            _ => return Err(format!("ERR Invalid metadata value given: {}", shown(word))),
        }
    }
    let name = name.ok_or("ERR Library name was not given")?;
    if !is_name(name) {
        return Err(BAD_NAME.to_owned());
    }
    let engine = words[0].get(2..).unwrap_or_default();
    match engine.eq_ignore_ascii_case(b"lua") {
        true => Ok(name.to_vec()),
        false => Err(format!("ERR Engine '{}' not found", shown(engine))),
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).into_owned()
}

/// Runs the code of a library, without its first line. The table of functions is the result; none where the code has raised an error, which
/// the state's data has then.
pub fn load(lua: Lua, text: &[u8]) -> Results {
    hide_what_is_for_scripts(lua);
    lua.push_bytes(FUNCTIONS);
    lua.push_table(0, 0);
    lua.raw_set(REGISTRY);
    if lua.load(text, CHUNK) != 0 {
        return Err(Thrown);
    }
    push_environment(lua);
    lua.push_bytes(ENVIRONMENT);
    lua.push_copy(-2);
    lua.raw_set(REGISTRY);
    lua.set_environment(-2);
    lua.push_function(lua_function!(to_lua::describe_error));
    lua.insert(-2);
    if lua.protected_call(0, 0, -2) != 0 {
        to_reply::keep_error(lua);
        return Ok(0);
    }
    open_environment(lua);
    lua.raw_field(REGISTRY, FUNCTIONS);
    Ok(1)
}

fn hide_what_is_for_scripts(lua: Lua) {
    for (table, _) in api::TABLES {
        lua.get_field(GLOBALS, table);
        lua.set_readonly(-1, false);
        for name in FOR_SCRIPTS_ALONE {
            lua.push_nil();
            lua.set_field(-2, name);
        }
        lua.set_readonly(-1, true);
        lua.pop(1);
    }
}

/// Pushes the globals of a library: an empty table, below which is what it sees while it is loaded.
fn push_environment(lua: Lua) {
    lua.push_table(0, 0);
    lua.push_table(0, 1);
    lua.push_table(0, 2);
    let redis: [Function; 2] = [
        (c"register_function", lua_function!(register::<RedisTable>)),
        (c"log", lua_function!(api::log::<RedisTable>)),
    ];
    let server: [Function; 2] = [
        (c"register_function", lua_function!(register::<ServerTable>)),
        (c"log", lua_function!(api::log::<ServerTable>)),
    ];
    for (table, functions) in [(c"redis", redis), (c"server", server)] {
        lua.push_table(0, 8);
        set_functions(lua, &functions);
        api::set_log_constants(lua);
        api::set_version(lua);
        guard(lua);
        lua.set_field(-2, table);
    }
    guard(lua);
    lua.set_field(-2, c"__index");
    lua.set_metatable(-2);
    lua.set_readonly(-1, true);
}

/// From here on the library's functions see the globals of scripts.
fn open_environment(lua: Lua) {
    lua.raw_field(REGISTRY, ENVIRONMENT);
    if lua.get_metatable(-1) {
        lua.push_copy(GLOBALS);
        lua.set_field(-2, c"__index");
        lua.set_readonly(-1, true);
        lua.pop(1);
    }
    lua.pop(1);
}

/// Calls a function of the library, whose table of functions is at the bottom.
pub fn call(lua: Lua, name: &[u8], keys: &[&[u8]], values: &[&[u8]]) -> Results {
    lua.push_function(lua_function!(to_lua::describe_error));
    lua.insert(1);
    lua.raw_field(2, name);
    lua.remove(2);
    push_list(lua, keys);
    push_list(lua, values);
    to_reply::call_protected(lua, 2)
}

pub fn push_list(lua: Lua, list: &[&[u8]]) {
    lua.push_table(list.len(), 0);
    for (place, item) in list.iter().enumerate() {
        lua.push_bytes(item);
        lua.raw_set_at(-2, place + 1);
    }
}

/// What a call of `redis.register_function` brings; the function itself is on top of the stack.
#[derive(Default)]
struct Registration {
    name: Option<Vec<u8>>,
    description: Option<Vec<u8>>,
    flags: ScriptFlags,
}

/// Raises an error, whose text names the function as the library called it.
fn refuse<T: Table>(lua: Lua, why: &'static str) -> Thrown {
    if let Some((before, after)) = why.split_once("redis.") {
        return refuse_call::<T>(lua, before, after);
    }
    push_error(lua, why.as_bytes());
    Thrown
}

/// `redis.register_function`. What needs to be dropped lives in the state's data, for Lua may leave by a jump.
fn register<T: Table>(lua: Lua) -> Results {
    // SAFETY: the reference ends with this statement.
    if !unsafe { Data::of(lua) }.is_loading {
        return Err(refuse::<T>(
            lua,
            "ERR redis.register_function can only be called on FUNCTION LOAD command",
        ));
    }
    let read = match lua.top() {
        1 => read_named(lua),
        2 => read_positional(lua),
        _ => Err("ERR wrong number of arguments to redis.register_function"),
    };
    let added = read.and_then(|registration| add(lua, registration));
    match added {
        Ok(()) => {}
        Err(why) => return Err(refuse::<T>(lua, why)),
    }
    lua.raw_field(REGISTRY, FUNCTIONS);
    push_last_name(lua);
    lua.push_copy(2);
    lua.raw_set(-3);
    Ok(0)
}

/// Pushes the name that was registered last.
fn push_last_name(lua: Lua) {
    // SAFETY: Lua copies the name, and changes nothing of the data but by its allocator.
    let name: *const [u8] = match unsafe { Data::of(lua) }.registered.last() {
        Some(function) => &*function.name,
        None => &[],
    };
    // SAFETY: the list of functions stays as it is meanwhile.
    lua.push_bytes(unsafe { &*name });
}

fn add(lua: Lua, registration: Registration) -> Result<(), &'static str> {
    let name = registration.name.unwrap_or_default();
    if !is_name(&name) {
        return Err(BAD_NAME);
    }
    // SAFETY: the reference ends with this function, which does not call Lua.
    let registered = unsafe { &mut Data::of(lua).registered };
    if registered.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
        return Err("ERR Function already exists in the library");
    }
    let Registration { description, flags, .. } = registration;
    registered.push(LibraryFunction { name, description, flags });
    Ok(())
}

/// A string, or a number as one; none for anything else. The value stays as it is.
fn text_at(lua: Lua, index: i32) -> Option<Vec<u8>> {
    match lua.type_of(index) {
        Type::String => Some(lua.bytes(index).to_vec()),
        Type::Number => {
            let mut text = Vec::new();
            super::lua::format_number(&mut text, 14, lua.number(index));
            Some(text)
        }
        _ => None,
    }
}

fn read_positional(lua: Lua) -> Result<Registration, &'static str> {
    let is_text = matches!(lua.type_of(1), Type::String | Type::Number);
    if !is_text {
        return Err("ERR first argument to redis.register_function must be a string");
    }
    if !lua.is(2, Type::Function) {
        return Err("ERR second argument to redis.register_function must be a function");
    }
    Ok(Registration { name: text_at(lua, 1), ..Registration::default() })
}

/// Leaves the callback on top of the stack.
fn read_named(lua: Lua) -> Result<Registration, &'static str> {
    if !lua.is(1, Type::Table) {
        return Err(
            "ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        );
    }
    let mut registration = Registration::default();
    // The callback's place, above which the table is walked.
    lua.push_nil();
    lua.push_nil();
    while lua.next(1) {
        read_argument(lua, &mut registration)?;
        lua.pop(1);
    }
    if registration.name.is_none() {
        return Err("ERR redis.register_function must get a function name argument");
    }
    match lua.is(2, Type::Function) {
        true => Ok(registration),
        false => Err("ERR redis.register_function must get a callback argument"),
    }
}

/// Takes the argument whose value is on top, below which is its name.
fn read_argument(lua: Lua, registration: &mut Registration) -> Result<(), &'static str> {
    if !matches!(lua.type_of(-2), Type::String | Type::Number) {
        return Err("ERR named argument key given to redis.register_function is not a string");
    }
    let key = if lua.is(-2, Type::String) { lua.bytes(-2) } else { &[] };
    let is_key = |known: &[u8]| key.eq_ignore_ascii_case(known);
    if is_key(b"function_name") {
        let name = text_at(lua, -1)
            .ok_or("ERR function_name argument given to redis.register_function must be a string");
        registration.name = Some(name?);
    } else if is_key(b"description") {
        let text = text_at(lua, -1)
            .ok_or("ERR description argument given to redis.register_function must be a string");
        registration.description = Some(text?);
    } else if is_key(b"callback") {
        if !lua.is(-1, Type::Function) {
            return Err("ERR callback argument given to redis.register_function must be a function");
        }
        lua.push_copy(-1);
        lua.replace(2);
    } else if is_key(b"flags") {
        if !lua.is(-1, Type::Table) {
            return Err(
                "ERR flags argument to redis.register_function must be a table representing function flags",
            );
        }
        registration.flags = read_flags(lua)?;
    } else {
        return Err("ERR unknown argument given to redis.register_function");
    }
    Ok(())
}

/// The flags of the table on top.
fn read_flags(lua: Lua) -> Result<ScriptFlags, &'static str> {
    let mut flags = ScriptFlags::empty();
    for place in 1.. {
        lua.raw_get_at(-1, place);
        let is_end = lua.is(-1, Type::Nil);
        let flag = if lua.is(-1, Type::String) { shebang::flag_named(lua.bytes(-1)) } else { None };
        lua.pop(1);
        if is_end {
            break;
        }
        flags |= flag.ok_or("ERR unknown flag given")?;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_library_or_says_what_is_wrong() {
        let name = |code: &str| library_name(code.as_bytes());
        for (code, error) in [
            ("return 1", "ERR Missing library metadata"),
            ("#!lua name=x", "ERR Invalid library metadata"),
            ("#!lua\nreturn 1", "ERR Library name was not given"),
            ("#!js name=x\n", "ERR Engine 'js' not found"),
            ("#!lua name=x name=y\n", "ERR Invalid metadata value, name argument was given multiple times"),
            ("#!lua foo=x\n", "ERR Invalid metadata value given: foo=x"),
            ("#!lua \"name=x\n", "ERR Invalid library metadata"),
        ] {
            assert_eq!(name(code), Err(error.to_owned()));
        }
        assert_eq!(name("#!lua name=x-y\n"), Err(BAD_NAME.to_owned()));
        assert_eq!(name("#!LUA NAME=lib_3\n"), Ok(b"lib_3".to_vec()));
        assert_eq!(name("#!lua name=\"lib4\"\n"), Ok(b"lib4".to_vec()));
    }
}
