//! A Lua state with its memory: what one thread runs scripts in, one after the other.
//!
//! - Every script begins with the same state, down to the byte: what an earlier one did left nothing. What a script does, which steps it
//!   takes and how much memory it needs is a function of its text, its arguments and the answers to its commands.
//! - A script that has taken its steps or its memory ends, whatever it catches. Errors of its own it may catch.
//! - A compiled script is kept as an image of the state in which it was compiled. To compile it takes the same steps whether its image is kept or not.
//!
//! Caveat: this file is unsafe because Lua calls back: while it runs, its functions reach the state's data through the pointer
//! that was given to its allocator. No reference into it lives across a call of Lua.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::io;
use std::ptr::NonNull;

use super::arena::{Arena, Image};
use super::host::{Host, Over};
use super::library::{self, LibraryFunction};
use super::lua::{self, GLOBALS, Lua, Results, Thrown, Type, lua_function};
use super::{cjson, sandbox, to_lua, to_reply};
use crate::protocol::reply::{Reply, Resp};

/// Steps in which a script is compiled at most.
pub const COMPILE_STEPS: i64 = 20_000_000;

/// Compiled scripts that a thread keeps: so many, of so many bytes together.
const KEPT_IMAGES: usize = 64;
const KEPT_IMAGE_BYTES: usize = 32 << 20;

/// Buffers that are longer are given back.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// Name of the chunk, which errors tell.
const CHUNK: &CStr = c"@user_script";

/// Where the base image has the function that does a [`Job`].
const ENTER: i32 = 1;
/// Where the image of a script has its function.
const SCRIPT: i32 = 2;

/// What is done next under Lua's protection.
#[derive(Clone, Copy)]
enum Job {
    Compile(*const [u8]),
    Load(*const [u8]),
    Call { name: *const [u8], keys: *const [&'static [u8]], values: *const [&'static [u8]] },
    Run { keys: *const [&'static [u8]], values: *const [&'static [u8]] },
    Answer(*mut Reply<'static>),
}

/// What the functions of a state work with.
pub struct Data {
    arena: Arena,
    job: Option<Job>,
    host: Option<NonNull<dyn Host>>,
    /// Why the script may not go on.
    pub over: Option<Over>,
    /// In which version of the protocol the script sees replies.
    pub resp: Resp,
    /// The state of `math.random`.
    pub random: u64,
    pub cjson: cjson::Settings,
    /// A command's arguments, and where each ends.
    pub arguments: Vec<u8>,
    pub argument_ends: Vec<usize>,
    /// The reply to a command.
    pub reply: Vec<u8>,
    /// What a function puts together.
    pub scratch: Vec<u8>,
    /// The script's error, and where it was raised.
    pub error: Option<(Vec<u8>, Vec<u8>)>,
    /// A library is being loaded: its code runs, and registers functions.
    pub is_loading: bool,
    pub registered: Vec<LibraryFunction>,
}

impl Data {
    /// The data of the state that calls.
    ///
    /// # Safety
    /// No other reference to the data is used while this one is.
    pub unsafe fn of<'a>(lua: Lua) -> &'a mut Data {
        // SAFETY: the allocator's data is the state's own, which outlives every call.
        unsafe { &mut *lua.allocator_data().cast::<Data>() }
    }

    /// The script may not go on.
    pub fn end(&mut self, over: Over) {
        self.over.get_or_insert(over);
        lua::set_steps(i64::MIN / 2);
    }

    /// Whether the user may run the command whose arguments were gathered; `None` where there is none.
    pub fn is_callable(&self) -> Option<bool> {
        let args = split(&self.arguments, &self.argument_ends);
        // SAFETY: as for `run_command`.
        self.host.and_then(|host| unsafe { host.as_ref() }.is_callable(&args))
    }

    /// Runs the command whose arguments were gathered.
    pub fn run_command(&mut self) -> super::host::Called {
        let Data { arguments, argument_ends, reply, host, resp, .. } = self;
        let args = split(arguments, argument_ends);
        reply.clear();
        reply.shrink_to(KEPT_BUFFER_BYTES);
        // SAFETY: the host lives as long as the run, and nothing else uses it meanwhile.
        match host.map(|mut host| unsafe { host.as_mut() }) {
            Some(host) => host.call(&args, *resp, reply),
            None => super::host::Called::Refused(super::host::NOT_ALLOWED.into()),
        }
    }
}

/// Arguments that are stored one after the other, by where each ends.
fn split<'a>(arguments: &'a [u8], ends: &[usize]) -> smallvec::SmallVec<[&'a [u8]; 16]> {
    let mut start = 0;
    ends.iter().map(|end| &arguments[std::mem::replace(&mut start, *end)..*end]).collect()
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its result can be answered by [`Vm::answer`].
    Done,
    /// The text of the error.
    Failed(String),
    /// It was ended.
    Over(Over),
}

/// What is run.
#[derive(Clone, Copy)]
pub enum Program<'p> {
    Script {
        body: &'p [u8],
        sha: &'p str,
    },
    /// A function of the library that has this code.
    Function {
        code: &'p [u8],
        name: &'p str,
    },
}

impl Program<'_> {
    fn text(&self) -> &[u8] {
        match self {
            Program::Script { body, .. } => body,
            Program::Function { code, .. } => code,
        }
    }

    fn kind(&self) -> TextKind {
        match self {
            Program::Script { .. } => TextKind::Script,
            Program::Function { .. } => TextKind::Library,
        }
    }

    /// By which errors name it.
    fn name(&self) -> &str {
        match self {
            Program::Script { sha, .. } => sha,
            Program::Function { name, .. } => name,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextKind {
    Script,
    Library,
}

struct Compiled {
    body: Box<[u8]>,
    kind: TextKind,
    /// Those of a library.
    functions: Vec<LibraryFunction>,
    steps: i64,
    image: Image,
}

pub struct Vm {
    data: NonNull<Data>,
    lua: Lua,
    base: Image,
    /// The one that was used last is the last.
    compiled: Vec<Compiled>,
}

thread_local! {
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

/// Lends the thread's state.
pub fn with<T>(act: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with_borrow_mut(
        |vm| act(vm.get_or_insert_with(|| Vm::new().expect("there is memory for a Lua state"))),
    )
}

/// Lua's allocator.
unsafe extern "C" fn allocate(data: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    const BYTES_PER_STEP: usize = 32;
    /// Of each allocation, with what it takes to collect it.
    const STEPS: usize = 4;
    let data = data.cast::<Data>();
    // SAFETY: Lua tells each block's size; the arena is used by nothing else now.
    let moved = unsafe { (*data).arena.resize(block.cast(), old, new) };
    if new > old {
        lua::take_steps((STEPS + new / BYTES_PER_STEP) as i64);
    }
    if moved.is_null() && new > 0 {
        // SAFETY: as above.
        unsafe { (*data).end(Over::Memory) };
    }
    moved.cast()
}

impl Vm {
    /// # Errors
    /// No addresses are left for its memory.
    pub fn new() -> io::Result<Vm> {
        let data = Box::new(Data {
            arena: Arena::new()?,
            job: None,
            host: None,
            over: None,
            resp: Resp::V2,
            random: 0,
            cjson: cjson::Settings::default(),
            arguments: Vec::new(),
            argument_ends: Vec::new(),
            reply: Vec::new(),
            scratch: Vec::new(),
            error: None,
            is_loading: false,
            registered: Vec::new(),
        });
        let data = NonNull::from(Box::leak(data));
        lua::set_steps(i64::MAX / 2);
        let lua = lua::new_state(allocate, data.as_ptr().cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        lua.push_function(lua_function!(enter));
        sandbox::build(lua);
        debug_assert!(lua.top() == ENTER, "what a script begins with has only this on its stack");
        lua.count_steps();
        // SAFETY: Lua does not run.
        let base = unsafe { data.as_ref() }.arena.image();
        Ok(Vm { data, lua, base, compiled: Vec::new() })
    }

    fn data(&mut self) -> &mut Data {
        // SAFETY: the data is the state's own, and Lua does not run.
        unsafe { self.data.as_mut() }
    }

    /// Does something under Lua's protection. What it leaves is on top of the stack; false if that is an error.
    fn protected(&mut self, job: Job, arguments: i32) -> bool {
        self.data().job = Some(job);
        self.lua.push_copy(ENTER);
        self.lua.insert(-arguments - 1);
        let status = self.lua.protected_call(arguments, 1, 0);
        self.data().job = None;
        status == 0
    }

    /// Puts the image of a script or of a library in place.
    ///
    /// # Errors
    /// It does not compile, or its code raises an error: the text of that.
    fn load(&mut self, body: &[u8], kind: TextKind) -> Result<&Compiled, String> {
        match self.compiled.iter().rposition(|compiled| compiled.kind == kind && *compiled.body == *body) {
            Some(place) => {
                let compiled = self.compiled.remove(place);
                self.compiled.push(compiled);
            }
            None => self.compile(body, kind)?,
        }
        let Vm { compiled, data, .. } = self;
        let compiled = compiled.last().expect("it was put there just now");
        // SAFETY: Lua does not run.
        unsafe { data.as_mut() }.arena.restore(&compiled.image);
        Ok(compiled)
    }

    fn compile(&mut self, body: &[u8], kind: TextKind) -> Result<(), String> {
        let Vm { data, base, .. } = self;
        // SAFETY: Lua does not run.
        unsafe { data.as_mut() }.arena.restore(base);
        let data = self.data();
        (data.over, data.error, data.resp, data.random) = (None, None, Resp::V2, 0);
        data.registered.clear();
        data.is_loading = kind == TextKind::Library;
        lua::set_steps(COMPILE_STEPS);
        // As Redis does, errors count lines with the first one.
        let text = if body.starts_with(b"#!") { after_first_line(body) } else { body };
        let job = match kind {
            TextKind::Script => Job::Compile(text),
            TextKind::Library => Job::Load(text),
        };
        let is_compiled = self.protected(job, 0);
        let steps = COMPILE_STEPS - lua::steps();
        self.data().is_loading = false;
        let functions = std::mem::take(&mut self.data().registered);
        if self.data().over.is_some() || steps > COMPILE_STEPS {
            return Err(kind.takes_too_long());
        }
        if !is_compiled {
            let error = String::from_utf8_lossy(self.lua.bytes(-1));
            return Err(kind.does_not_compile(&error));
        }
        if let Some((error, _)) = self.data().error.take() {
            return Err(format!("ERR Error registering functions: {}", String::from_utf8_lossy(&error)));
        }
        if kind == TextKind::Library && functions.is_empty() {
            return Err("ERR No functions registered".into());
        }
        let image = self.data().arena.image();
        self.compiled.push(Compiled { body: body.into(), kind, functions, steps, image });
        self.forget_oldest();
        Ok(())
    }

    fn forget_oldest(&mut self) {
        let bytes = |compiled: &[Compiled]| compiled.iter().map(|one| one.image.len()).sum::<usize>();
        while self.compiled.len() > KEPT_IMAGES
            || self.compiled.len() > 1 && bytes(&self.compiled) > KEPT_IMAGE_BYTES
        {
            self.compiled.remove(0);
        }
    }

    /// Whether a script compiles.
    ///
    /// # Errors
    /// The text of the error.
    pub fn check(&mut self, body: &[u8]) -> Result<(), String> {
        self.load(body, TextKind::Script).map(drop)
    }

    /// The functions of a library, and the steps that its code takes.
    ///
    /// # Errors
    /// The text of the error.
    pub fn functions(&mut self, code: &[u8]) -> Result<(Vec<LibraryFunction>, i64), String> {
        self.load(code, TextKind::Library).map(|compiled| (compiled.functions.clone(), compiled.steps))
    }

    /// Runs a script or a function that may take so many steps, and whose randomness begins with a seed; returns as well how many it took.
    pub fn run(
        &mut self,
        program: Program<'_>,
        keys: &[&[u8]],
        values: &[&[u8]],
        host: &mut dyn Host,
        (steps, seed): (i64, u64),
    ) -> (Outcome, i64) {
        let compiling = match self.load(program.text(), program.kind()) {
            Ok(compiled) => compiled.steps,
            Err(error) => return (Outcome::Failed(error), 0),
        };
        // SAFETY: only the lifetime changes; the pointer is forgotten before the host is gone.
        let host = unsafe { std::mem::transmute::<NonNull<dyn Host + '_>, NonNull<dyn Host>>(host.into()) };
        let data = self.data();
        data.host = Some(host);
        (data.over, data.resp, data.random) = (None, Resp::V2, seed);
        data.error = None;
        data.cjson = cjson::Settings::default();
        lua::set_steps(steps.saturating_sub(compiling));
        let keys = std::ptr::slice_from_raw_parts(keys.as_ptr().cast::<&'static [u8]>(), keys.len());
        let values = std::ptr::slice_from_raw_parts(values.as_ptr().cast::<&'static [u8]>(), values.len());
        self.lua.push_copy(SCRIPT);
        let job = match program {
            Program::Script { .. } => Job::Run { keys, values },
            Program::Function { name, .. } => Job::Call { name: name.as_bytes(), keys, values },
        };
        let succeeded = self.protected(job, 1);
        self.data().host = None;
        let taken = steps - lua::steps().clamp(0, steps);
        if lua::steps() < 0 {
            return (Outcome::Over(self.data().over.unwrap_or(Over::Steps)), steps);
        }
        let outcome = match self.data().error.take() {
            _ if !succeeded => Outcome::Failed("ERR the script can't be run".to_owned()),
            None => Outcome::Done,
            Some((message, place)) => Outcome::Failed(failure(&message, program.name(), &place)),
        };
        (outcome, taken)
    }

    /// Answers the result of the script that was run last, in the client's version of the protocol.
    pub fn answer(&mut self, reply: &mut Reply<'_>) {
        if reply.is_over() {
            return;
        }
        let start = reply.position();
        lua::set_steps(i64::MAX / 2);
        let pointer = std::ptr::from_mut(reply).cast::<Reply<'static>>();
        self.lua.push_copy(-1);
        if !self.protected(Job::Answer(pointer), 1) {
            reply.rewind(start);
            reply.error("ERR the script's result takes too much memory");
        }
    }
}

impl TextKind {
    fn takes_too_long(self) -> String {
        let text = match self {
            TextKind::Script => {
                "ERR Error compiling script (new function): it takes too long, or too much memory"
            }
            TextKind::Library => "ERR Error registering functions: ERR FUNCTION LOAD timeout",
        };
        text.to_owned()
    }

    fn does_not_compile(self, error: &str) -> String {
        match self {
            TextKind::Script => format!("ERR Error compiling script (new function): {error}"),
            TextKind::Library => format!("ERR Error compiling function: {error}"),
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // SAFETY: it was leaked where the state was made. The state itself holds nothing but memory of the arena.
        drop(unsafe { Box::from_raw(self.data.as_ptr()) });
    }
}

/// What follows the first line, its line feed included.
fn after_first_line(body: &[u8]) -> &[u8] {
    let end = body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len());
    &body[end..]
}

/// Does the state's job.
fn enter(lua: Lua) -> Results {
    // SAFETY: the reference ends here.
    let job = unsafe { Data::of(lua) }.job;
    match job {
        // SAFETY: whoever set the job keeps alive what it points to.
        Some(Job::Compile(text)) => match lua.load(unsafe { &*text }, CHUNK) {
            0 => Ok(1),
            _ => Err(Thrown),
        },
        // SAFETY: as above.
        Some(Job::Load(text)) => library::load(lua, unsafe { &*text }),
        Some(Job::Call { name, keys, values }) => {
            // SAFETY: as above.
            let (name, keys, values) = unsafe { (&*name, &*keys, &*values) };
            library::call(lua, name, keys, values)
        }
        Some(Job::Run { keys, values }) => {
            // SAFETY: as above.
            let (keys, values) = unsafe { (&*keys, &*values) };
            run(lua, keys, values)
        }
        Some(Job::Answer(reply)) => {
            // SAFETY: as above; nothing else uses the reply meanwhile.
            to_reply::write(lua, lua.top(), unsafe { &mut *reply });
            Ok(0)
        }
        None => Ok(0),
    }
}

/// Runs the function on the stack.
fn run(lua: Lua, keys: &[&[u8]], values: &[&[u8]]) -> Results {
    lua.set_readonly(GLOBALS, false);
    set_list(lua, b"KEYS", keys);
    set_list(lua, b"ARGV", values);
    lua.set_readonly(GLOBALS, true);
    lua.push_function(lua_function!(to_lua::describe_error));
    lua.insert(1);
    to_reply::call_protected(lua, 0)
}

/// An error as its client is answered it.
fn failure(message: &[u8], sha: &str, place: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    match place {
        [] => text.into_owned(),
        place => format!("{text} script: {sha}, on {}.", String::from_utf8_lossy(place)),
    }
}

fn set_list(lua: Lua, name: &[u8], list: &[&[u8]]) {
    lua.push_bytes(name);
    library::push_list(lua, list);
    lua.raw_set(GLOBALS);
    debug_assert!(lua.is(1, Type::Function));
}
