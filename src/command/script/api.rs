//! The functions of `redis`, and of `server`, as Valkey calls it: the same functions, whose errors name the table by which they were called.
//!
//! Source: <https://redis.io/docs/latest/develop/interact/programmability/lua-api/>, `script_lua.c` of Redis 7.0.

use std::ffi::CStr;

use super::host::Called;
use super::lua::{self, Lua, Results, Thrown, Type, format_number, lua_function};
use super::sandbox::Function;
use super::to_lua::{push_error, push_reply, push_single};
use super::vm::Data;
use crate::protocol::reply::Resp;

/// Steps that a call takes beside those of its command.
const CALL_STEPS: i64 = 100;
/// Bytes of arguments and replies that take a step.
const BYTES_PER_STEP: usize = 16;
/// Steps of an argument.
const ARGUMENT_STEPS: i64 = 8;
/// Steps of a digest beside those of its bytes.
const DIGEST_STEPS: usize = 150;
/// Steps of a line in the program's own log, of which so many bytes are shown at most.
const LOG_STEPS: i64 = 2_000;
const LOGGED_BYTES: usize = 1024;

/// A table by which scripts call these functions.
pub trait Table {
    const NAME: &'static str;
}

pub struct RedisTable;
pub struct ServerTable;

impl Table for RedisTable {
    const NAME: &'static str = "redis";
}

impl Table for ServerTable {
    const NAME: &'static str = "server";
}

macro_rules! functions_of {
    ($table:ident) => {
        &[
            (c"call", lua_function!(call)),
            (c"pcall", lua_function!(pcall)),
            (c"log", lua_function!(log::<$table>)),
            (c"sha1hex", lua_function!(sha1hex)),
            (c"error_reply", lua_function!(error_reply)),
            (c"status_reply", lua_function!(status_reply)),
            (c"setresp", lua_function!(setresp::<$table>)),
            (c"set_repl", lua_function!(set_repl::<$table>)),
            (c"replicate_commands", lua_function!(replicate_commands)),
            (c"acl_check_cmd", lua_function!(acl_check_cmd::<$table>)),
            (c"breakpoint", lua_function!(breakpoint)),
            (c"debug", lua_function!(debug)),
        ]
    };
}

/// Both tables: the name, and the functions.
pub const TABLES: [(&CStr, &[Function]); 2] =
    [(c"redis", functions_of!(RedisTable)), (c"server", functions_of!(ServerTable))];

const CONSTANTS: [(&CStr, f64); 9] = [
    (c"LOG_DEBUG", 0.0),
    (c"LOG_VERBOSE", 1.0),
    (c"LOG_NOTICE", 2.0),
    (c"LOG_WARNING", 3.0),
    (c"REPL_NONE", 0.0),
    (c"REPL_AOF", 1.0),
    (c"REPL_SLAVE", 2.0),
    (c"REPL_REPLICA", 2.0),
    (c"REPL_ALL", 3.0),
];

/// Adds the constants to the table on top.
pub fn set_constants(lua: Lua) {
    set_numbers(lua, &CONSTANTS);
    set_version(lua);
}

/// Adds those of `redis.log` alone.
pub fn set_log_constants(lua: Lua) {
    set_numbers(lua, &CONSTANTS[..4]);
}

fn set_numbers(lua: Lua, constants: &[(&CStr, f64)]) {
    for (name, value) in constants {
        lua.push_number(*value);
        lua.set_field(-2, name);
    }
}

pub fn set_version(lua: Lua) {
    let version = crate::version::REDIS_VERSION;
    lua.push_bytes(version.as_bytes());
    lua.set_field(-2, c"REDIS_VERSION");
    let number = version.split('.').fold(0_u32, |number, part| number << 8 | part.parse().unwrap_or(0));
    lua.push_number(f64::from(number));
    lua.set_field(-2, c"REDIS_VERSION_NUM");
}

/// Pushes an error table as a function of Redis raises it.
fn refuse(lua: Lua, text: &[u8]) -> Thrown {
    push_error(lua, text);
    Thrown
}

/// As above, with the table's name before the function's. The text lives in the state's data, for Lua may leave by a jump.
pub fn refuse_call<T: Table>(lua: Lua, before: &str, after: &str) -> Thrown {
    // SAFETY: nothing that is called meanwhile uses the buffer.
    let scratch = unsafe { &mut Data::of(lua).scratch };
    scratch.clear();
    for part in [before, T::NAME, ".", after] {
        scratch.extend_from_slice(part.as_bytes());
    }
    push_error(lua, scratch);
    Thrown
}

fn call(lua: Lua) -> Results {
    command(lua)?;
    if lua.is(-1, Type::Table) {
        lua.raw_field(-1, b"err");
        let is_error = lua.is(-1, Type::String);
        lua.pop(1);
        if is_error {
            return Err(Thrown);
        }
    }
    Ok(1)
}

/// As `call`, but errors are returned.
fn pcall(lua: Lua) -> Results {
    if command(lua).is_err() && lua::steps() < 0 {
        return Err(Thrown);
    }
    Ok(1)
}

/// Runs a command and pushes its reply; an error where it was not run.
fn command(lua: Lua) -> Result<(), Thrown> {
    gather(lua)?;
    lua::take_steps(CALL_STEPS);
    // SAFETY: the reference ends before Lua is called.
    let called = unsafe { Data::of(lua) }.run_command();
    match called {
        Called::Replied => {}
        Called::Refused(text) => {
            push_error(lua, text.as_bytes());
            drop(text);
            return Err(Thrown);
        }
        Called::Over(over) => {
            // SAFETY: the reference ends with this statement.
            unsafe { Data::of(lua) }.end(over);
            return Err(lua.fail(b"script was ended"));
        }
    }
    // SAFETY: the buffer stays as it is until the next command, and no other reference to it is used until then.
    let mut reply = unsafe { &Data::of(lua).reply[..] };
    lua::take_steps((reply.len() / BYTES_PER_STEP) as i64);
    push_reply(lua, &mut reply)
}

/// Takes the arguments as those of a command.
fn gather(lua: Lua) -> Result<(), Thrown> {
    let count = lua.top();
    if count == 0 {
        return Err(refuse(lua, b"ERR Please specify at least one argument for this redis lib call"));
    }
    for nth in 1..=count {
        if !matches!(lua.type_of(nth), Type::String | Type::Number) {
            lua.set_top(0);
            return Err(refuse(lua, b"ERR Lua redis lib command arguments must be strings or integers"));
        }
    }
    // SAFETY: nothing that is called meanwhile uses the data.
    let data = unsafe { Data::of(lua) };
    data.arguments.clear();
    data.arguments.shrink_to(1 << 20);
    data.argument_ends.clear();
    for nth in 1..=count {
        match lua.type_of(nth) {
            Type::Number => format_number(&mut data.arguments, 17, lua.number(nth)),
            _ => data.arguments.extend_from_slice(lua.bytes(nth)),
        }
        data.argument_ends.push(data.arguments.len());
    }
    lua::take_steps((data.arguments.len() / BYTES_PER_STEP) as i64 + ARGUMENT_STEPS * i64::from(count));
    // As many arguments as Lua's stack holds would leave no room for the reply.
    lua.set_top(0);
    Ok(())
}

pub fn log<T: Table>(lua: Lua) -> Results {
    let count = lua.top();
    if count < 2 {
        return Err(refuse_call::<T>(lua, "ERR ", "log() requires two arguments or more."));
    }
    if !lua.is(1, Type::Number) {
        return Err(refuse(lua, b"ERR First argument must be a number (log level)."));
    }
    let level = lua.number(1);
    if !(0.0..=3.0).contains(&level) {
        return Err(refuse(lua, b"ERR Invalid debug level."));
    }
    for nth in 2..=count {
        // A number becomes a string here, before the buffer is used.
        let _ = lua.bytes(nth);
    }
    // SAFETY: nothing that is called meanwhile uses the data.
    let scratch = unsafe { &mut Data::of(lua).scratch };
    scratch.clear();
    for nth in 2..=count {
        if nth > 2 {
            scratch.push(b' ');
        }
        scratch.extend_from_slice(lua.bytes(nth));
    }
    lua::take_steps(LOG_STEPS + (scratch.len() / BYTES_PER_STEP) as i64);
    let shown = &scratch[..scratch.len().min(LOGGED_BYTES)];
    match level as u8 {
        0 => tracing::debug!("a script: {}", shown.escape_ascii()),
        1 | 2 => tracing::info!("a script: {}", shown.escape_ascii()),
        _ => tracing::warn!("a script: {}", shown.escape_ascii()),
    }
    Ok(0)
}

fn sha1hex(lua: Lua) -> Results {
    if lua.top() != 1 {
        return Err(refuse(lua, b"ERR wrong number of arguments"));
    }
    let text = lua.bytes(1);
    lua::take_steps((DIGEST_STEPS + text.len()) as i64);
    let digest = super::scripts::sha1_hex(text);
    lua.push_bytes(&digest);
    Ok(1)
}

fn single_string(lua: Lua) -> Result<(), Thrown> {
    match lua.top() == 1 && lua.is(1, Type::String) {
        true => Ok(()),
        false => Err(refuse(lua, b"ERR wrong number or type of arguments")),
    }
}

/// Returns a table, also where the arguments are wrong.
fn error_reply(lua: Lua) -> Results {
    if single_string(lua).is_err() {
        return Ok(1);
    }
    let text = lua.bytes(1);
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let text = text.strip_suffix(b"\r\n").unwrap_or(text);
    if text.contains(&b' ') {
        push_error(lua, text);
        return Ok(1);
    }
    // SAFETY: nothing that is called meanwhile uses the buffer.
    let scratch = unsafe { &mut Data::of(lua).scratch };
    scratch.clear();
    scratch.extend_from_slice(b"ERR ");
    scratch.extend_from_slice(text);
    push_error(lua, scratch);
    Ok(1)
}

fn status_reply(lua: Lua) -> Results {
    if single_string(lua).is_ok() {
        push_single(lua, b"ok", lua.bytes(1));
    }
    Ok(1)
}

fn setresp<T: Table>(lua: Lua) -> Results {
    if lua.top() != 1 {
        return Err(refuse_call::<T>(lua, "ERR ", "setresp() requires one argument."));
    }
    let version = lua.number(1);
    let resp = match version {
        2.0 => Resp::V2,
        3.0 => Resp::V3,
        _ => return Err(refuse(lua, b"ERR RESP version must be 2 or 3.")),
    };
    // SAFETY: the reference ends with this statement.
    unsafe { Data::of(lua) }.resp = resp;
    Ok(0)
}

/// A script is logged, not what it writes: to leave some of that out would make nodes differ.
fn set_repl<T: Table>(lua: Lua) -> Results {
    if lua.top() != 1 {
        return Err(refuse_call::<T>(lua, "ERR ", "set_repl() requires two arguments."));
    }
    match lua.number(1) {
        flags if (0.0..=3.0).contains(&flags) => Ok(0),
        _ => Err(refuse(
            lua,
            b"ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        )),
    }
}

fn replicate_commands(lua: Lua) -> Results {
    lua.push_boolean(true);
    Ok(1)
}

fn acl_check_cmd<T: Table>(lua: Lua) -> Results {
    gather(lua)?;
    lua::take_steps(CALL_STEPS);
    // SAFETY: the reference ends before Lua is called.
    let callable = unsafe { Data::of(lua) }.is_callable();
    match callable {
        Some(callable) => lua.push_boolean(callable),
        None => return Err(refuse_call::<T>(lua, "ERR Invalid command passed to ", "acl_check_cmd()")),
    }
    Ok(1)
}

fn breakpoint(lua: Lua) -> Results {
    lua.push_boolean(false);
    Ok(1)
}

fn debug(_: Lua) -> Results {
    Ok(0)
}
