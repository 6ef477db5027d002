//! The functions of `bit`, on 32 bits with a sign.
//!
//! Source: <https://bitop.luajit.org/semantics.html>.

use super::lua::{self, Lua, Results, lua_function};
use super::sandbox::Function;

pub const FUNCTIONS: &[Function] = &[
    (c"tobit", lua_function!(to_bit)),
    (c"bnot", lua_function!(not)),
    (c"band", lua_function!(and)),
    (c"bor", lua_function!(or)),
    (c"bxor", lua_function!(xor)),
    (c"lshift", lua_function!(shift_left)),
    (c"rshift", lua_function!(shift_right)),
    (c"arshift", lua_function!(shift_arithmetic)),
    (c"rol", lua_function!(rotate_left)),
    (c"ror", lua_function!(rotate_right)),
    (c"bswap", lua_function!(swap_bytes)),
    (c"tohex", lua_function!(to_hex)),
];

/// As the library does: the nearest integer, modulo 2^32. What is beyond 2^51 is undefined there; here it is the same everywhere.
fn bits(number: f64) -> u32 {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    (number + MAGIC).to_bits() as u32
}

fn argument(lua: Lua, nth: i32) -> u32 {
    bits(lua.check_number(nth))
}

fn push(lua: Lua, value: u32) -> Results {
    lua.push_number(f64::from(value as i32));
    Ok(1)
}

fn to_bit(lua: Lua) -> Results {
    push(lua, argument(lua, 1))
}

fn not(lua: Lua) -> Results {
    push(lua, !argument(lua, 1))
}

fn fold(lua: Lua, operation: fn(u32, u32) -> u32) -> Results {
    lua::take_steps(4 * i64::from(lua.top()));
    let first = argument(lua, 1);
    let all = (2..=lua.top()).fold(first, |value, nth| operation(value, argument(lua, nth)));
    push(lua, all)
}

fn and(lua: Lua) -> Results {
    fold(lua, |a, b| a & b)
}

fn or(lua: Lua) -> Results {
    fold(lua, |a, b| a | b)
}

fn xor(lua: Lua) -> Results {
    fold(lua, |a, b| a ^ b)
}

fn shift(lua: Lua, operation: fn(u32, u32) -> u32) -> Results {
    let value = argument(lua, 1);
    push(lua, operation(value, argument(lua, 2) & 31))
}

fn shift_left(lua: Lua) -> Results {
    shift(lua, |value, by| value << by)
}

fn shift_right(lua: Lua) -> Results {
    shift(lua, |value, by| value >> by)
}

fn shift_arithmetic(lua: Lua) -> Results {
    shift(lua, |value, by| (value as i32 >> by) as u32)
}

fn rotate_left(lua: Lua) -> Results {
    shift(lua, u32::rotate_left)
}

fn rotate_right(lua: Lua) -> Results {
    shift(lua, u32::rotate_right)
}

fn swap_bytes(lua: Lua) -> Results {
    push(lua, argument(lua, 1).swap_bytes())
}

fn to_hex(lua: Lua) -> Results {
    let value = argument(lua, 1);
    let digits = if lua.top() < 2 { 8 } else { argument(lua, 2) as i32 };
    let alphabet = if digits < 0 { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let len = (digits.unsigned_abs() as usize).min(8);
    let mut text = [0; 8];
    for (place, digit) in text[..len].iter_mut().rev().enumerate() {
        *digit = alphabet[(value >> (4 * place) & 15) as usize];
    }
    lua.push_bytes(&text[..len]);
    Ok(1)
}
