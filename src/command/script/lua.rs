//! Lua's stack and values, as the functions that scripts call see them.
//!
//! - Lua raises an error by a jump past every frame in between: nothing in such a frame is dropped. So what needs to be dropped never
//!   lives in a frame that calls Lua; buffers belong to the state (`vm.rs`).
//! - A function returns how many values of the stack are its results, or [`Thrown`] with the error on top of the stack.
//!
//! Caveat: this file is unsafe because Lua is C. A [`Lua`] exists only while its state does, and every method hands Lua what its manual
//! asks for: indexes of values that are there, and room on the stack.

use std::ffi::{CStr, c_char, c_int, c_void};

use mlua_sys as ffi;

/// The error is on top of the stack.
pub struct Thrown;

pub type Results = Result<c_int, Thrown>;

pub type Number = f64;

unsafe extern "C-unwind" {
    fn lua_setsteps(steps: i64);
    fn lua_getsteps() -> i64;
    fn lua_takesteps(steps: i64);
    fn lua_countsteps(state: *mut ffi::lua_State);
    fn lua_setreadonly(state: *mut ffi::lua_State, index: c_int, readonly: c_int);
    fn lua_setpow(pow: extern "C" fn(f64, f64) -> f64);
}

/// The steps that the script of this thread may still take.
pub fn steps() -> i64 {
    // SAFETY: it reads a number of this thread.
    unsafe { lua_getsteps() }
}

pub fn set_steps(steps: i64) {
    // SAFETY: it sets a number of this thread.
    unsafe { lua_setsteps(steps) };
}

pub fn take_steps(steps: i64) {
    // SAFETY: it changes a number of this thread.
    unsafe { lua_takesteps(steps) };
}

/// Lets all states compute powers by this function.
pub fn set_pow(pow: extern "C" fn(f64, f64) -> f64) {
    // SAFETY: the function lives as long as the program.
    unsafe { lua_setpow(pow) };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    None,
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

/// A thread of a Lua state.
#[derive(Clone, Copy)]
pub struct Lua(*mut ffi::lua_State);

/// Where the environment's globals are.
pub const GLOBALS: c_int = ffi::LUA_GLOBALSINDEX;
pub const REGISTRY: c_int = ffi::LUA_REGISTRYINDEX;

impl Lua {
    /// # Safety
    /// The state lives as long as what is made here is used, and no other thread uses it meanwhile.
    pub unsafe fn of(state: *mut ffi::lua_State) -> Lua {
        Lua(state)
    }

    pub fn top(self) -> c_int {
        // SAFETY: see the file's header; so for all that follow.
        unsafe { ffi::lua_gettop(self.0) }
    }

    pub fn set_top(self, top: c_int) {
        unsafe { ffi::lua_settop(self.0, top) };
    }

    pub fn pop(self, count: c_int) {
        self.set_top(-count - 1);
    }

    pub fn push_copy(self, index: c_int) {
        unsafe { ffi::lua_pushvalue(self.0, index) };
    }

    pub fn insert(self, index: c_int) {
        unsafe { ffi::lua_insert(self.0, index) };
    }

    pub fn remove(self, index: c_int) {
        unsafe { ffi::lua_remove(self.0, index) };
    }

    pub fn replace(self, index: c_int) {
        unsafe { ffi::lua_replace(self.0, index) };
    }

    /// Makes room for so many values; false where the stack may not grow so far.
    pub fn has_room(self, values: c_int) -> bool {
        unsafe { ffi::lua_checkstack(self.0, values) != 0 }
    }

    /// An index that stays the same while the stack grows.
    pub fn absolute(self, index: c_int) -> c_int {
        if index < 0 && index > REGISTRY { self.top() + index + 1 } else { index }
    }

    pub fn type_of(self, index: c_int) -> Type {
        match unsafe { ffi::lua_type(self.0, index) } {
            ffi::LUA_TNIL => Type::Nil,
            ffi::LUA_TBOOLEAN => Type::Boolean,
            ffi::LUA_TLIGHTUSERDATA => Type::LightUserdata,
            ffi::LUA_TNUMBER => Type::Number,
            ffi::LUA_TSTRING => Type::String,
            ffi::LUA_TTABLE => Type::Table,
            ffi::LUA_TFUNCTION => Type::Function,
            ffi::LUA_TUSERDATA => Type::Userdata,
            ffi::LUA_TTHREAD => Type::Thread,
            _ => Type::None,
        }
    }

    pub fn is(self, index: c_int, wanted: Type) -> bool {
        self.type_of(index) == wanted
    }

    pub fn number(self, index: c_int) -> Number {
        unsafe { ffi::lua_tonumber(self.0, index) }
    }

    pub fn boolean(self, index: c_int) -> bool {
        unsafe { ffi::lua_toboolean(self.0, index) != 0 }
    }

    /// The bytes of a string; a number there becomes one. Empty where there is neither. They live as long as the value is on the stack.
    pub fn bytes<'a>(self, index: c_int) -> &'a [u8] {
        let mut len = 0;
        // SAFETY: as above; Lua lends so many bytes.
        unsafe {
            let start = ffi::lua_tolstring(self.0, index, &mut len);
            if start.is_null() { &[] } else { std::slice::from_raw_parts(start.cast(), len) }
        }
    }

    pub fn push_nil(self) {
        unsafe { ffi::lua_pushnil(self.0) };
    }

    pub fn push_boolean(self, value: bool) {
        unsafe { ffi::lua_pushboolean(self.0, c_int::from(value)) };
    }

    pub fn push_number(self, value: Number) {
        unsafe { ffi::lua_pushnumber(self.0, value) };
    }

    pub fn push_bytes(self, bytes: &[u8]) {
        unsafe { ffi::lua_pushlstring_(self.0, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// The userdata that stands for null.
    pub fn push_null(self) {
        unsafe { ffi::lua_pushlightuserdata(self.0, std::ptr::null_mut()) };
    }

    pub fn push_function(self, function: ffi::lua_CFunction) {
        unsafe { ffi::lua_pushcclosure(self.0, function, 0) };
    }

    pub fn push_table(self, array: usize, fields: usize) {
        unsafe { ffi::lua_createtable(self.0, array as c_int, fields as c_int) };
    }

    /// Sets a field of the table at `index` to the value on top, which is popped.
    pub fn set_field(self, index: c_int, name: &CStr) {
        unsafe { ffi::lua_setfield(self.0, index, name.as_ptr()) };
    }

    pub fn get_field(self, index: c_int, name: &CStr) {
        unsafe { ffi::lua_getfield_(self.0, index, name.as_ptr()) };
    }

    /// Pushes what a table has under the key on top, which is popped; no metamethod runs.
    pub fn raw_get(self, index: c_int) {
        unsafe { ffi::lua_rawget_(self.0, index) };
    }

    /// Pushes a field; no metamethod runs.
    pub fn raw_field(self, index: c_int, name: &[u8]) {
        let index = self.absolute(index);
        self.push_bytes(name);
        self.raw_get(index);
    }

    pub fn raw_get_at(self, index: c_int, place: usize) {
        unsafe { ffi::lua_rawgeti_(self.0, index, place as c_int) };
    }

    /// Key below value on top of the stack; both are popped.
    pub fn raw_set(self, index: c_int) {
        unsafe { ffi::lua_rawset(self.0, index) };
    }

    pub fn raw_set_at(self, index: c_int, place: usize) {
        unsafe { ffi::lua_rawseti_(self.0, index, place as c_int) };
    }

    /// Pops a key, and pushes the next one and its value; false, and nothing pushed, after the last.
    pub fn next(self, index: c_int) -> bool {
        unsafe { ffi::lua_next(self.0, index) != 0 }
    }

    pub fn get_metatable(self, index: c_int) -> bool {
        unsafe { ffi::lua_getmetatable(self.0, index) != 0 }
    }

    pub fn set_metatable(self, index: c_int) {
        unsafe { ffi::lua_setmetatable(self.0, index) };
    }

    /// Makes the table on top, which is popped, the globals of the function at `index`.
    pub fn set_environment(self, index: c_int) {
        unsafe { ffi::lua_setfenv(self.0, index) };
    }

    pub fn set_readonly(self, index: c_int, readonly: bool) {
        unsafe { lua_setreadonly(self.0, index, c_int::from(readonly)) };
    }

    /// Lets instructions take steps.
    pub fn count_steps(self) {
        unsafe { lua_countsteps(self.0) };
    }

    /// Calls a function that is below its arguments; Lua's status.
    pub fn protected_call(self, arguments: c_int, results: c_int, handler: c_int) -> c_int {
        unsafe { ffi::lua_pcall(self.0, arguments, results, handler) }
    }

    /// Calls a function that is below its arguments.
    pub fn call(self, arguments: c_int, results: c_int) {
        unsafe { ffi::lua_call(self.0, arguments, results) };
    }

    /// Compiles text; pushes a function, or the error.
    pub fn load(self, text: &[u8], name: &CStr) -> c_int {
        unsafe { ffi::luaL_loadbuffer(self.0, text.as_ptr().cast(), text.len(), name.as_ptr()) }
    }

    /// Prepares an error: where the running function was called, and why.
    pub fn fail(self, why: &[u8]) -> Thrown {
        unsafe { ffi::luaL_where(self.0, 1) };
        self.push_bytes(why);
        unsafe { ffi::lua_concat(self.0, 2) };
        Thrown
    }

    /// Raises an error of C's library about an argument.
    pub fn argument_error(self, nth: c_int, why: &CStr) -> ! {
        unsafe { ffi::luaL_argerror(self.0, nth, why.as_ptr()) };
        unreachable!("Lua has raised an error");
    }

    /// The bytes of an argument that must be a string or a number.
    pub fn check_bytes<'a>(self, nth: c_int) -> &'a [u8] {
        let mut len = 0;
        // SAFETY: as above; Lua lends so many bytes.
        unsafe {
            let start = ffi::luaL_checklstring(self.0, nth, &mut len);
            std::slice::from_raw_parts(start.cast(), len)
        }
    }

    pub fn check_number(self, nth: c_int) -> Number {
        unsafe { ffi::luaL_checknumber(self.0, nth) }
    }

    /// Raises the error on top of the stack.
    pub fn raise(self) -> ! {
        unsafe { ffi::lua_error(self.0) }
    }

    /// What was given to the state's allocator.
    pub fn allocator_data(self) -> *mut c_void {
        let mut data = std::ptr::null_mut();
        unsafe { ffi::lua_getallocf(self.0, &mut data) };
        data
    }

    /// Source and line of the innermost function of Lua's that runs, past one level of C.
    pub fn place_of_error(self) -> Option<(&'static CStr, c_int)> {
        // SAFETY: Lua fills in what `lua_getinfo` is asked for; the names live as long as the functions, which are on the stack.
        unsafe {
            let mut found = std::mem::zeroed::<ffi::lua_Debug>();
            for level in [1, 2] {
                if ffi::lua_getstack(self.0, level, &mut found) == 0 {
                    return None;
                }
                ffi::lua_getinfo(self.0, c"nSl".as_ptr(), &mut found);
                if CStr::from_ptr(found.what) != c"C" || level == 2 {
                    break;
                }
            }
            Some((CStr::from_ptr(found.source), found.currentline))
        }
    }
}

/// Opens Lua's own libraries: base with coroutines, table, string, math.
pub fn open_libraries(lua: Lua) {
    let libraries: [(ffi::lua_CFunction, &CStr); 4] = [
        (ffi::luaopen_base, c""),
        (ffi::luaopen_table, c"table"),
        (ffi::luaopen_string, c"string"),
        (ffi::luaopen_math, c"math"),
    ];
    for (open, name) in libraries {
        lua.push_function(open);
        lua.push_bytes(name.to_bytes());
        lua.call(1, 0);
    }
}

/// A state that allocates by this function.
pub fn new_state(allocate: ffi::lua_Alloc, data: *mut c_void) -> Option<Lua> {
    // SAFETY: the allocator does as Lua's manual says, with this data.
    let state = unsafe { ffi::lua_newstate(allocate, data) };
    (!state.is_null()).then_some(Lua(state))
}

/// Steps of a number that becomes a text; those of its exponent come in addition, for it tells how many digits are computed.
const FORMAT_STEPS: i64 = 80;

/// Formats a number as C does by a format with one `%g` of this precision.
pub fn format_number(out: &mut Vec<u8>, precision: c_int, value: Number) {
    let exponent = (value.to_bits() >> 52 & 0x7ff) as i64 - 1023;
    take_steps(FORMAT_STEPS + if value.is_finite() { exponent.abs() / 4 } else { 0 });
    let mut text = [0_u8; 64];
    // SAFETY: the buffer has so many bytes, and the format takes a precision and a double.
    let len = unsafe {
        libc::snprintf(text.as_mut_ptr().cast::<c_char>(), text.len(), c"%.*g".as_ptr(), precision, value)
    };
    out.extend_from_slice(&text[..(len.max(0) as usize).min(text.len() - 1)]);
}

/// Makes a function for Lua of one that takes a [`Lua`] and returns [`Results`].
macro_rules! lua_function {
    ($inner:path) => {{
        unsafe extern "C-unwind" fn entry(state: *mut mlua_sys::lua_State) -> std::ffi::c_int {
            // SAFETY: Lua calls this with the state that runs.
            let lua = unsafe { $crate::command::script::lua::Lua::of(state) };
            $crate::command::script::lua::take_steps(4);
            match $inner(lua) {
                Ok(results) => results,
                Err($crate::command::script::lua::Thrown) => lua.raise(),
            }
        }
        entry as mlua_sys::lua_CFunction
    }};
}

pub(super) use lua_function;
