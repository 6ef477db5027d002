//! A script's result as a reply, and its error as a text.
//!
//! Source: as `to_lua.rs`; `luaReplyToRedisReply` of `script_lua.c`.

use super::lua::{self, Lua, Results, Type};
use super::vm::Data;
use crate::protocol::reply::{Reply, Resp};

const ROOM: i32 = 6;

/// Steps of a value, and of a table, which is asked for the names that stand for types.
const VALUE_STEPS: usize = 8;
const TABLE_STEPS: usize = 150;
const BYTES_PER_STEP: usize = 16;

/// Calls the function below its `args` arguments, with what describes errors at the bottom of the stack. One result is left
/// there, its steps taken; or its error is kept, and nothing is left.
pub fn call_protected(lua: Lua, args: i32) -> Results {
    match lua.protected_call(args, 1, 1) {
        0 => {
            weigh(lua, lua.top());
            Ok(1)
        }
        _ => {
            keep_error(lua);
            Ok(0)
        }
    }
}

/// Takes the steps in which the value at an index is written, whether anything waits for the reply or not.
fn weigh(lua: Lua, index: i32) {
    let bytes = if lua.is(index, Type::String) { lua.bytes(index).len() } else { 0 };
    lua::take_steps((VALUE_STEPS + bytes / BYTES_PER_STEP) as i64);
    if !lua.is(index, Type::Table) || lua::steps() < 0 || !lua.has_room(ROOM) {
        return;
    }
    lua::take_steps(TABLE_STEPS as i64);
    let top = lua.top();
    for name in [&b"map"[..], b"set"] {
        lua.raw_field(index, name);
        if lua.is(-1, Type::Table) {
            weigh_pairs(lua, lua.top());
        }
        lua.set_top(top);
    }
    for name in [&b"err"[..], b"ok", b"big_number"] {
        lua.raw_field(index, name);
        if lua.is(-1, Type::String) {
            lua::take_steps(lua.bytes(-1).len() as i64);
        }
        lua.set_top(top);
    }
    for place in 1.. {
        lua.raw_get_at(index, place);
        if lua.is(-1, Type::Nil) || lua::steps() < 0 {
            break;
        }
        weigh(lua, lua.top());
        lua.set_top(top);
    }
    lua.set_top(top);
}

fn weigh_pairs(lua: Lua, table: i32) {
    lua.push_nil();
    while lua.next(table) {
        if lua::steps() < 0 {
            return;
        }
        weigh(lua, lua.top());
        lua.pop(1);
        if lua.has_room(1) {
            lua.push_copy(-1);
            weigh(lua, lua.top());
            lua.pop(1);
        }
    }
}

/// Writes the value at an index as one reply. It stays on the stack.
pub fn write(lua: Lua, index: i32, reply: &mut Reply<'_>) {
    if !lua.has_room(ROOM) {
        return reply.error("ERR reached lua stack limit");
    }
    if reply.is_over() {
        return;
    }
    match lua.type_of(index) {
        Type::String => reply.bulk(lua.bytes(index)),
        Type::Number => reply.integer(integer(lua.number(index))),
        Type::Boolean => write_boolean(lua, lua.boolean(index), reply),
        Type::Table => write_table(lua, index, reply),
        _ => reply.null(),
    }
}

/// As C converts: what does not fit is the least number.
pub fn integer(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

fn write_boolean(lua: Lua, value: bool, reply: &mut Reply<'_>) {
    // SAFETY: the reference ends with this statement.
    let resp = unsafe { Data::of(lua) }.resp;
    match (resp, value) {
        (Resp::V3, _) => reply.boolean(value),
        (Resp::V2, true) => reply.integer(1),
        (Resp::V2, false) => reply.null(),
    }
}

fn write_table(lua: Lua, index: i32, reply: &mut Reply<'_>) {
    let top = lua.top();
    let field = |name: &[u8], wanted: Type| {
        lua.set_top(top);
        lua.raw_field(index, name);
        lua.is(-1, wanted)
    };
    if field(b"err", Type::String) {
        reply.error(lua.bytes(-1));
    } else if field(b"ok", Type::String) {
        reply.simple(lua.bytes(-1));
    } else if field(b"double", Type::Number) {
        reply.double(lua.number(-1));
    } else if field(b"map", Type::Table) {
        write_map(lua, reply);
    } else if field(b"set", Type::Table) {
        write_set(lua, reply);
    } else if field(b"big_number", Type::String) {
        write_big_number(lua, reply);
    } else if field(b"verbatim_string", Type::Table) {
        write_verbatim(lua, reply);
    } else {
        lua.set_top(top);
        write_array(lua, index, reply);
    }
    lua.set_top(top);
}

fn write_array(lua: Lua, index: i32, reply: &mut Reply<'_>) {
    let mut len = 0;
    loop {
        lua.raw_get_at(index, len + 1);
        let is_end = lua.is(-1, Type::Nil);
        lua.pop(1);
        if is_end {
            break;
        }
        len += 1;
    }
    reply.array(len);
    for place in 1..=len {
        if reply.is_over() {
            return;
        }
        lua.raw_get_at(index, place);
        write(lua, lua.top(), reply);
        lua.pop(1);
    }
}

/// Counts the pairs of the table on top.
fn pairs(lua: Lua) -> usize {
    let table = lua.top();
    let mut pairs = 0;
    lua.push_nil();
    while lua.next(table) {
        pairs += 1;
        lua.pop(1);
    }
    pairs
}

fn write_map(lua: Lua, reply: &mut Reply<'_>) {
    let table = lua.top();
    reply.map(pairs(lua));
    lua.push_nil();
    while lua.next(table) {
        let value = lua.top();
        write_copy(lua, value - 1, reply);
        write(lua, value, reply);
        lua.pop(1);
    }
}

fn write_set(lua: Lua, reply: &mut Reply<'_>) {
    let table = lua.top();
    reply.set(pairs(lua));
    lua.push_nil();
    while lua.next(table) {
        lua.pop(1);
        write_copy(lua, lua.top(), reply);
    }
}

/// Writes a key of a table that is being walked.
fn write_copy(lua: Lua, index: i32, reply: &mut Reply<'_>) {
    if lua.has_room(1) {
        lua.push_copy(index);
        write(lua, lua.top(), reply);
        lua.pop(1);
    }
}

fn write_big_number(lua: Lua, reply: &mut Reply<'_>) {
    match reply.resp() {
        Resp::V2 => reply.bulk(lua.bytes(-1)),
        Resp::V3 => {
            let text = lua.bytes(-1).iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
            let line: Vec<u8> = b"(".iter().chain(text).chain(b"\r\n").copied().collect();
            reply.raw(&line);
        }
    }
}

fn write_verbatim(lua: Lua, reply: &mut Reply<'_>) {
    let table = lua.top();
    lua.raw_field(table, b"format");
    lua.raw_field(table, b"string");
    if !lua.is(-1, Type::String) || !lua.is(-2, Type::String) {
        return reply.null();
    }
    let (format, string) = (lua.bytes(-2), lua.bytes(-1));
    match reply.resp() {
        Resp::V2 => reply.bulk(string),
        Resp::V3 => {
            let format: Vec<u8> = format.iter().copied().chain(*b"   ").take(3).collect();
            let head = format!("={}\r\n", string.len() + 4);
            reply.raw(&[head.as_bytes(), &format, b":", string, b"\r\n"].concat());
        }
    }
}

/// Keeps the error on top of the stack, as `to_lua.rs` describes errors.
pub fn keep_error(lua: Lua) {
    let top = lua.top();
    let is_table = lua.is(top, Type::Table);
    if is_table && lua.has_room(ROOM) {
        lua.raw_field(top, b"err");
        lua.raw_field(top, b"source");
        lua.raw_field(top, b"line");
    }
    let has = |index: i32, wanted: Type| lua.top() >= top + 3 && lua.is(index, wanted);
    let message = match is_table {
        false => [b"ERR ", lua.bytes(top)].concat(),
        true if has(top + 1, Type::String) => lua.bytes(top + 1).to_vec(),
        true => b"ERR unknown error".to_vec(),
    };
    let place = match has(top + 2, Type::String) && has(top + 3, Type::Number) {
        true => [lua.bytes(top + 2), b":", lua.number(top + 3).to_string().as_bytes()].concat(),
        false => Vec::new(),
    };
    // SAFETY: the reference ends with this statement.
    unsafe { Data::of(lua) }.error = Some((message, place));
}
