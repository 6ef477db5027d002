//! The globals that scripts see: those of Redis, read-only.
//!
//! - What reaches files, processes, other chunks of code or the insides of Lua is not there; bytecode is not loaded.
//! - `math.random` is Redis' sequence; where it begins is told by the script's entry, unless the script says. Functions of the mathematical library are computed
//!   in Rust: C's differ from machine to machine in the last bit.

use std::ffi::{CStr, c_int};

use mlua_sys::lua_CFunction;

use super::lua::{self, GLOBALS, Lua, Results, Type, lua_function};
use super::vm::Data;
use super::{ENTRY_STEPS, api, bits, cjson, cmsgpack, pack};

/// The lower bits of the state of `math.random` after `math.randomseed`, as of `srand48`.
const RANDOM_START: u64 = 0x330e;

/// Names of Lua's libraries that scripts do not see.
const HIDDEN: [&CStr; 6] = [c"dofile", c"loadfile", c"print", c"newproxy", c"getfenv", c"setfenv"];

pub type Function = (&'static CStr, lua_CFunction);

/// Puts the globals into a new state.
pub fn build(lua: Lua) {
    lua::set_pow(power);
    lua::open_libraries(lua);
    for name in HIDDEN {
        lua.push_nil();
        lua.set_field(GLOBALS, name);
    }
    lua.get_field(GLOBALS, c"string");
    lua.push_nil();
    lua.set_field(-2, c"dump");
    lua.pop(1);
    lua.get_field(GLOBALS, c"math");
    set_functions(lua, &MATH);
    lua.pop(1);
    for (table, functions) in api::TABLES {
        open(lua, table, functions);
        lua.get_field(GLOBALS, table);
        api::set_constants(lua);
        lua.pop(1);
    }
    open(lua, c"os", &[(c"clock", lua_function!(clock))]);
    open(lua, c"bit", bits::FUNCTIONS);
    open(lua, c"struct", pack::FUNCTIONS);
    open(lua, c"cmsgpack", cmsgpack::FUNCTIONS);
    lua.get_field(GLOBALS, c"cmsgpack");
    cmsgpack::set_constants(lua);
    lua.pop(1);
    lua.push_table(0, cjson::FUNCTIONS.len() + 3);
    cjson::fill(lua);
    lua.set_field(GLOBALS, c"cjson");
    guard_globals(lua);
}

/// Adds functions to the table on top.
pub fn set_functions(lua: Lua, functions: &[Function]) {
    for (name, function) in functions {
        lua.push_function(*function);
        lua.set_field(-2, name);
    }
}

fn open(lua: Lua, name: &CStr, functions: &[Function]) {
    lua.push_table(0, functions.len());
    set_functions(lua, functions);
    lua.set_field(GLOBALS, name);
}

/// Nothing can be changed, and to read what is not there is an error.
fn guard_globals(lua: Lua) {
    lua.push_table(0, 1);
    lua.push_function(lua_function!(missing));
    lua.set_field(-2, c"__index");
    lua.set_readonly(-1, true);
    lua.push_copy(GLOBALS);
    lua.insert(-2);
    lua.set_metatable(-2);
    lua.push_nil();
    while lua.next(-2) {
        if lua.is(-1, Type::Table) {
            lua.set_readonly(-1, true);
        }
        lua.pop(1);
    }
    lua.set_readonly(-1, true);
    lua.pop(1);
    lua.push_bytes(b"");
    if lua.get_metatable(-1) {
        lua.set_readonly(-1, true);
        lua.pop(1);
    }
    lua.pop(1);
}

/// Nothing in the table on top can be changed, and to read what is not there is an error.
pub fn guard(lua: Lua) {
    lua.push_table(0, 1);
    lua.push_function(lua_function!(missing));
    lua.set_field(-2, c"__index");
    lua.set_readonly(-1, true);
    lua.set_metatable(-2);
    lua.set_readonly(-1, true);
}

fn missing(lua: Lua) -> Results {
    let name = lua.bytes(2);
    // SAFETY: the reference ends before Lua is called again with another use of the buffer.
    let scratch = unsafe { &mut Data::of(lua).scratch };
    scratch.clear();
    scratch.extend_from_slice(b"Script attempted to access nonexistent global variable '");
    scratch.extend_from_slice(name);
    scratch.push(b'\'');
    Err(lua.fail(scratch))
}

const MATH: [Function; 19] = [
    (c"random", lua_function!(random)),
    (c"randomseed", lua_function!(random_seed)),
    (c"acos", lua_function!(acos)),
    (c"asin", lua_function!(asin)),
    (c"atan", lua_function!(atan)),
    (c"atan2", lua_function!(atan2)),
    (c"cos", lua_function!(cos)),
    (c"cosh", lua_function!(cosh)),
    (c"exp", lua_function!(exp)),
    (c"log", lua_function!(log)),
    (c"log10", lua_function!(log10)),
    (c"pow", lua_function!(pow)),
    (c"sin", lua_function!(sin)),
    (c"sinh", lua_function!(sinh)),
    (c"sqrt", lua_function!(sqrt)),
    (c"tan", lua_function!(tan)),
    (c"tanh", lua_function!(tanh)),
    (c"deg", lua_function!(deg)),
    (c"rad", lua_function!(rad)),
];

/// Steps of a mathematical function: the longest computes a remainder of a large argument.
const FUNCTION_STEPS: i64 = 120;

macro_rules! of_one_number {
    ($($name:ident: $function:expr),* $(,)?) => {$(
        fn $name(lua: Lua) -> Results {
            let function: fn(f64) -> f64 = $function;
            lua::take_steps(FUNCTION_STEPS);
            lua.push_number(function(lua.check_number(1)));
            Ok(1)
        }
    )*};
}

of_one_number! {
    acos: libm::acos,
    asin: libm::asin,
    atan: libm::atan,
    cos: libm::cos,
    cosh: libm::cosh,
    exp: libm::exp,
    log: libm::log,
    log10: libm::log10,
    sin: libm::sin,
    sinh: libm::sinh,
    sqrt: f64::sqrt,
    tan: libm::tan,
    tanh: libm::tanh,
    deg: |radians| radians / (std::f64::consts::PI / 180.0),
    rad: |degrees| degrees * (std::f64::consts::PI / 180.0),
}

fn atan2(lua: Lua) -> Results {
    lua::take_steps(FUNCTION_STEPS);
    lua.push_number(libm::atan2(lua.check_number(1), lua.check_number(2)));
    Ok(1)
}

fn pow(lua: Lua) -> Results {
    lua.push_number(power(lua.check_number(1), lua.check_number(2)));
    Ok(1)
}

/// The operator `^`.
extern "C" fn power(base: f64, exponent: f64) -> f64 {
    lua::take_steps(FUNCTION_STEPS);
    libm::pow(base, exponent)
}

/// Seconds of work, by the steps that it took: the same on every node. Only differences mean something.
fn clock(lua: Lua) -> Results {
    const STEPS_PER_SECOND: f64 = 1e8;
    lua.push_number((ENTRY_STEPS - lua::steps()) as f64 / STEPS_PER_SECOND);
    Ok(1)
}

/// The next of `lrand48`, below 2^31.
fn next_random(lua: Lua) -> u64 {
    const BITS: u64 = (1 << 48) - 1;
    // SAFETY: the reference ends with this function.
    let state = unsafe { &mut Data::of(lua).random };
    *state = state.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & BITS;
    *state >> 17
}

fn random(lua: Lua) -> Results {
    const MOST: u64 = i32::MAX as u64;
    let share = (next_random(lua) % MOST) as f64 / MOST as f64;
    let (low, high) = match lua.top() {
        0 => {
            lua.push_number(share);
            return Ok(1);
        }
        1 => (1.0, lua.check_number(1).trunc()),
        2 => (lua.check_number(1).trunc(), lua.check_number(2).trunc()),
        _ => return Err(lua.fail(b"wrong number of arguments")),
    };
    if low > high {
        lua.argument_error(lua.top() as c_int, c"interval is empty");
    }
    lua.push_number((share * (high - low + 1.0)).floor() + low);
    Ok(1)
}

fn random_seed(lua: Lua) -> Results {
    let seed = lua.check_number(1) as i64 as u32;
    // SAFETY: the reference ends with this statement.
    unsafe { Data::of(lua) }.random = RANDOM_START | u64::from(seed) << 16;
    Ok(0)
}
