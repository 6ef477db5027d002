//! The libraries of functions that the system database holds, so that every node has them alike, after restarts and failovers, too.
//!
//! ```text
//! library:NAME  = count:u32le (flags:u8 name description:string?)* code      ; name, description: len:u32le bytes; u32::MAX for none
//! function:NAME = flags:u8 name-of-library len:u32le, name-as-registered      ; NAME in lower case: calls find functions in any case
//! libraries     = libraries:u64le functions:u64le bytes:u64le                 ; all together
//! ```
//!
//! - There are at most [`MAX_LIBRARIES`] of [`MAX_BYTES`] in all, with [`MAX_FUNCTIONS`].
//! - A change is checked as a whole before anything is written.

use std::collections::BTreeSet;

use super::library::{LibraryFunction, library_name};
use super::shebang::ScriptFlags;
use super::vm;
use crate::command::{CommandError, ReadContext, WriteContext};

pub const MAX_LIBRARIES: u64 = 1_000;
pub const MAX_FUNCTIONS: u64 = 10_000;
pub const MAX_BYTES: u64 = 16 << 20;

const LIBRARY: &[u8] = b"library:";
const FUNCTION: &[u8] = b"function:";
const TOTALS: &[u8] = b"libraries";
const NONE: u32 = u32::MAX;

/// A library as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    pub name: Vec<u8>,
    pub functions: Vec<LibraryFunction>,
    pub code: Vec<u8>,
}

/// Where a function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub library: Vec<u8>,
    /// As it was registered.
    pub name: String,
    pub flags: ScriptFlags,
}

/// Libraries and functions that there are, and the bytes of all code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub libraries: u64,
    pub functions: u64,
    pub bytes: u64,
}

/// What is done where a library of the same name is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collision {
    Refuse,
    Replace,
    /// All libraries go before.
    Flush,
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_number(bytes)?;
    take(bytes, len as usize)
}

impl Library {
    /// The library that this code is; its steps are taken.
    ///
    /// # Errors
    /// Redis' text.
    pub fn load(code: &[u8]) -> Result<(Library, i64), CommandError> {
        let name = library_name(code).map_err(CommandError::other)?;
        let loaded = vm::with(|vm| vm.functions(code)).map_err(CommandError::other)?;
        Ok((Library { name, functions: loaded.0, code: code.to_vec() }, loaded.1))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = (self.functions.len() as u32).to_le_bytes().to_vec();
        for function in &self.functions {
            out.push(function.flags.bits());
            put_text(&mut out, &function.name);
            match &function.description {
                Some(text) => put_text(&mut out, text),
                None => out.extend_from_slice(&NONE.to_le_bytes()),
            }
        }
        out.extend_from_slice(&self.code);
        out
    }

    fn decode(name: &[u8], mut bytes: &[u8]) -> Option<Library> {
        let count = take_number(&mut bytes)?;
        let mut functions = Vec::new();
        for _ in 0..count {
            let flags = ScriptFlags::from_bits_truncate(*take(&mut bytes, 1)?.first()?);
            let name = take_text(&mut bytes)?.to_vec();
            let description = match bytes.starts_with(&NONE.to_le_bytes()) {
                true => take(&mut bytes, 4).and(None),
                false => Some(take_text(&mut bytes)?.to_vec()),
            };
            functions.push(LibraryFunction { name, description, flags });
        }
        Some(Library { name: name.to_vec(), functions, code: bytes.to_vec() })
    }
}

/// The code of a library, where a key and a value of the system database are those of one.
pub fn library_code(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let name = key.strip_prefix(LIBRARY)?;
    Library::decode(name, value).map(|library| library.code)
}

fn name_of_library(name: &[u8]) -> Vec<u8> {
    [LIBRARY, name].concat()
}

pub fn name_of_function(name: &[u8]) -> Vec<u8> {
    [FUNCTION, &name.to_ascii_lowercase()].concat()
}

impl Place {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.flags.bits()];
        put_text(&mut out, &self.library);
        put_text(&mut out, self.name.as_bytes());
        out
    }

    fn decode(mut bytes: &[u8]) -> Option<Place> {
        let flags = ScriptFlags::from_bits_truncate(*take(&mut bytes, 1)?.first()?);
        let library = take_text(&mut bytes)?.to_vec();
        let name = String::from_utf8(take_text(&mut bytes)?.to_vec()).ok()?;
        Some(Place { library, name, flags })
    }
}

/// Where the function of a name is.
pub fn place_of(context: &ReadContext<'_>, function: &[u8]) -> Option<Place> {
    Place::decode(context.system(&name_of_function(function))?)
}

/// A library's code. The caller locks the whole keyspace, as for all that follow.
pub fn code_of(context: &ReadContext<'_>, library: &[u8]) -> Option<Vec<u8>> {
    let stored = context.system(&name_of_library(library))?;
    Library::decode(library, stored).map(|library| library.code)
}

pub fn exists(context: &ReadContext<'_>, library: &[u8]) -> bool {
    context.system(&name_of_library(library)).is_some()
}

/// All libraries, by name.
pub fn all(context: &ReadContext<'_>) -> Vec<Library> {
    let stored = context.all_in_system(LIBRARY).into_iter();
    stored.filter_map(|(name, bytes)| Library::decode(name, bytes)).collect()
}

pub fn totals(context: &ReadContext<'_>) -> Totals {
    let bytes = context.system(TOTALS).unwrap_or_default();
    let word = |nth: usize| bytes.get(8 * nth..8 * nth + 8).and_then(|word| word.try_into().ok());
    let word = |nth: usize| word(nth).map_or(0, u64::from_le_bytes);
    Totals { libraries: word(0), functions: word(1), bytes: word(2) }
}

fn write_totals(context: &mut WriteContext<'_>, totals: Totals) {
    let words = [totals.libraries, totals.functions, totals.bytes];
    context.set_system(TOTALS, &words.map(u64::to_le_bytes).concat());
}

impl Totals {
    fn with(self, library: &Library) -> Totals {
        Totals {
            libraries: self.libraries + 1,
            functions: self.functions + library.functions.len() as u64,
            bytes: self.bytes + library.code.len() as u64,
        }
    }

    fn without(self, library: &Library) -> Totals {
        Totals {
            libraries: self.libraries.saturating_sub(1),
            functions: self.functions.saturating_sub(library.functions.len() as u64),
            bytes: self.bytes.saturating_sub(library.code.len() as u64),
        }
    }

    fn check(self) -> Result<(), CommandError> {
        let fits =
            self.libraries <= MAX_LIBRARIES && self.functions <= MAX_FUNCTIONS && self.bytes <= MAX_BYTES;
        if fits {
            return Ok(());
        }
        Err(CommandError::other(format!(
            "ERR there may be {MAX_LIBRARIES} libraries of {MAX_BYTES} bytes with {MAX_FUNCTIONS} functions"
        )))
    }
}

/// How texts name a library that is there already: FUNCTION LOAD quotes it, FUNCTION RESTORE does not.
pub type Exists = fn(&str) -> String;

/// Puts libraries in, all or none.
pub fn put(
    context: &mut WriteContext<'_>,
    libraries: &[Library],
    collision: Collision,
    exists: Exists,
) -> Result<(), CommandError> {
    let flushes = collision == Collision::Flush;
    let replaced = {
        let reader = context.reader();
        let mut after = if flushes { Totals::default() } else { totals(&reader) };
        let mut names = BTreeSet::new();
        let mut replaced = Vec::new();
        for library in libraries {
            let old = reader.system(&name_of_library(&library.name)).filter(|_| !flushes);
            let old = old.and_then(|bytes| Library::decode(&library.name, bytes));
            let is_twin = !names.insert(&library.name[..]);
            if is_twin || old.is_some() && collision == Collision::Refuse {
                return Err(CommandError::other(exists(&String::from_utf8_lossy(&library.name))));
            }
            if let Some(old) = old {
                after = after.without(&old);
                replaced.push(old);
            }
            after = after.with(library);
        }
        let stays = |library: &[u8]| !flushes && !names.contains(library);
        check_functions(&reader, libraries, &stays)?;
        after.check()?;
        replaced
    };
    if flushes {
        remove_all(context);
    }
    replaced.iter().for_each(|library| take_out(context, library));
    libraries.iter().for_each(|library| put_in(context, library));
    Ok(())
}

/// Whether each function has a name of its own, among these libraries and those that stay.
fn check_functions(
    reader: &ReadContext<'_>,
    libraries: &[Library],
    stays: &dyn Fn(&[u8]) -> bool,
) -> Result<(), CommandError> {
    let mut names = BTreeSet::new();
    for function in libraries.iter().flat_map(|library| &library.functions) {
        let is_there = place_of(reader, &function.name).is_some_and(|place| stays(&place.library));
        if is_there || !names.insert(function.name.to_ascii_lowercase()) {
            let name = String::from_utf8_lossy(&function.name);
            return Err(CommandError::other(format!("ERR Function {name} already exists")));
        }
    }
    Ok(())
}

fn put_in(context: &mut WriteContext<'_>, library: &Library) {
    context.set_system(&name_of_library(&library.name), &library.encode());
    for function in &library.functions {
        let place = Place {
            library: library.name.clone(),
            name: String::from_utf8_lossy(&function.name).into_owned(),
            flags: function.flags,
        };
        context.set_system(&name_of_function(&function.name), &place.encode());
    }
    let after = totals(&context.reader()).with(library);
    write_totals(context, after);
}

fn take_out(context: &mut WriteContext<'_>, library: &Library) {
    context.remove_system(&name_of_library(&library.name));
    for function in &library.functions {
        context.remove_system(&name_of_function(&function.name));
    }
    let after = totals(&context.reader()).without(library);
    write_totals(context, after);
}

/// Takes a library out; false where there is none.
pub fn remove(context: &mut WriteContext<'_>, name: &[u8]) -> bool {
    let stored = context.system(&name_of_library(name));
    let library = stored.and_then(|bytes| Library::decode(name, bytes));
    library.inspect(|library| take_out(context, library)).is_some()
}

pub fn remove_all(context: &mut WriteContext<'_>) {
    for prefix in [LIBRARY, FUNCTION] {
        let all = context.all_in_system(prefix);
        let names: Vec<Vec<u8>> = all.into_iter().map(|(rest, _)| [prefix, rest].concat()).collect();
        for name in names {
            context.remove_system(&name);
        }
    }
    write_totals(context, Totals::default());
}
