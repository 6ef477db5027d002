//! Maps of files, and the one signal that they can bring: SIGBUS, where a page of a mapped file can't be had.
//!
//! - A segment is mapped only after it was read as a whole. What goes bad later (a sector, a file that is cut short under its map)
//!   can't be told to the thread that reads: it would end the process without a word. A handler names file and offset, then
//!   ends the process with exit code 1; the next start finds the damage with plain reads.
//! - Maps stand in a table of atomics, for a handler may take no lock and allocate nothing.
//! - A SIGBUS at any other address goes to the handler that was there before.
//!
//! Caveat: with more than [`MAX_MAPS`] maps at once those beyond are not in the table, and end the process unnamed.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use libc::{c_int, c_void, sigaction, siginfo_t};
use memmap2::Mmap;

use crate::segment::sequence_of;

const MAX_MAPS: usize = 4096;
const MESSAGE_BYTES: usize = 320;
const FAILED: c_int = 1;

/// A map that the handler knows.
struct Slot {
    /// Address of the first byte; 0 while the slot is free or being filled.
    start: AtomicUsize,
    bytes: AtomicUsize,
    sequence: AtomicU64,
    taken: AtomicUsize,
}

static MAPS: [Slot; MAX_MAPS] = [const {
    Slot {
        start: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        sequence: AtomicU64::new(0),
        taken: AtomicUsize::new(0),
    }
}; MAX_MAPS];

/// What SIGBUS did before; the handler is installed once this is there.
static BEFORE: OnceLock<sigaction> = OnceLock::new();

/// A file's bytes in memory, read-only.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
    /// Its place in the table, if there was one.
    slot: Option<usize>,
}

impl MappedFile {
    /// Maps a file of the log that has this name.
    ///
    /// Nothing may write to the file, or cut it, while it is mapped.
    #[allow(unsafe_code)]
    pub fn open(file: &File, name: &str) -> io::Result<MappedFile> {
        install()?;
        // SAFETY: the folder is locked, the log never writes or cuts a segment that it has mapped, and
        // the map is dropped before the segment's file is recycled.
        let map = unsafe { Mmap::map(file)? };
        let slot = enter(map.as_ptr() as usize, map.len(), sequence_of(name).unwrap_or(0));
        Ok(MappedFile { map, slot })
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            MAPS[slot].start.store(0, Ordering::Release);
            MAPS[slot].taken.store(0, Ordering::Release);
        }
    }
}

fn enter(start: usize, bytes: usize, sequence: u64) -> Option<usize> {
    let is_free =
        |slot: &Slot| slot.taken.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    let found = MAPS.iter().position(is_free)?;
    let slot = &MAPS[found];
    slot.bytes.store(bytes, Ordering::Relaxed);
    slot.sequence.store(sequence, Ordering::Relaxed);
    slot.start.store(start, Ordering::Release);
    Some(found)
}

/// The segment that is mapped at an address, and the address's offset in it.
fn find(address: usize) -> Option<(u64, usize)> {
    MAPS.iter().find_map(|slot| {
        let start = slot.start.load(Ordering::Acquire);
        let offset = address.checked_sub(start).filter(|_| start != 0)?;
        let is_inside = offset < slot.bytes.load(Ordering::Relaxed);
        is_inside.then(|| (slot.sequence.load(Ordering::Relaxed), offset))
    })
}

/// Installs the handler, once.
#[allow(unsafe_code)]
fn install() -> io::Result<()> {
    if BEFORE.get().is_some() {
        return Ok(());
    }
    // SAFETY: all zeros is a sigaction: no flags, an empty mask, the default action.
    let (mut action, mut before): (sigaction, sigaction) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    action.sa_sigaction = on_sigbus as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: only asks what is there; `before` is a sigaction that may be written to.
    if unsafe { sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if BEFORE.set(before).is_err() {
        // Another thread is installing it.
        return Ok(());
    }
    // SAFETY: the handler calls nothing but what may be called in one (write, _exit, sigaction) and reads atomics and a cell
    // that was set before; `action` lives until the call returns.
    if unsafe { sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[allow(unsafe_code)]
extern "C" fn on_sigbus(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a siginfo, and for SIGBUS it has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    if let Some((sequence, offset)) = find(address) {
        let message = message(sequence, offset as u64);
        // SAFETY: both may be called in a handler; the message is a buffer of that length. A write that fails has nobody to be
        // told to.
        unsafe {
            libc::write(libc::STDERR_FILENO, message.bytes.as_ptr().cast(), message.length);
            libc::_exit(FAILED);
        }
    }
    if let Some(before) = BEFORE.get() {
        // SAFETY: puts back what was there; the instruction then faults again, and that handler or the default has it.
        unsafe { sigaction(libc::SIGBUS, std::ptr::from_ref(before), std::ptr::null_mut()) };
    }
}

/// Text that is made without allocating.
struct Message {
    bytes: [u8; MESSAGE_BYTES],
    length: usize,
}

impl Message {
    fn push(&mut self, text: &[u8]) {
        let room = &mut self.bytes[self.length..];
        let count = text.len().min(room.len());
        room[..count].copy_from_slice(&text[..count]);
        self.length += count;
    }

    /// A number with at least so many digits.
    fn push_number(&mut self, mut number: u64, least: usize) {
        let (mut digits, mut first) = ([b'0'; 20], 20);
        while number > 0 || first > 20 - least.min(20) {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.push(&digits[first..]);
    }
}

fn message(sequence: u64, offset: u64) -> Message {
    let mut message = Message { bytes: [0; MESSAGE_BYTES], length: 0 };
    message.push(b"perdura: log: the disk does not give back ");
    message.push_number(sequence, 20);
    message.push(b".wal at byte ");
    message.push_number(offset, 1);
    message.push(b", or the file was cut short: the process ends. Start the node again: ");
    message.push(b"the start finds the damage, and heals it or says what to do (docs/operations.md, A segment is damaged)\n");
    message
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const FOLDER: &str = "PERDURA_TEST_SIGBUS_FOLDER";

    #[test]
    fn numbers_are_written_as_names_and_offsets_are() {
        let text = |sequence, offset| {
            let message = message(sequence, offset);
            String::from_utf8_lossy(&message.bytes[..message.length]).into_owned()
        };
        assert!(text(7, 0).contains(" 00000000000000000007.wal at byte 0,"), "{}", text(7, 0));
        let longest = text(u64::MAX, u64::MAX);
        assert!(longest.contains("18446744073709551615.wal at byte 18446744073709551615,"), "{longest}");
        assert!(longest.ends_with("Start the node again: the start finds the damage, and heals it or says what to do (docs/operations.md, A segment is damaged)\n"), "{longest}");
    }

    #[test]
    fn a_map_is_found_as_long_as_it_lives() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("00000000000000000009.wal");
        std::fs::write(&path, [1; 100])?;
        let mapped = MappedFile::open(&File::open(&path)?, "00000000000000000009.wal")?;
        let start = mapped.as_ref().as_ptr() as usize;
        assert_eq!((find(start), find(start + 99)), (Some((9, 0)), Some((9, 99))));
        drop(mapped);
        assert_eq!(find(start), None);
        Ok(())
    }

    /// Runs itself once more, as the process that ends.
    #[test]
    fn a_mapped_file_that_is_cut_short_is_named_before_the_process_ends() -> io::Result<()> {
        let name = "00000000000000000007.wal";
        if let Some(folder) = std::env::var_os(FOLDER) {
            let path = std::path::Path::new(&folder).join(name);
            let mapped = MappedFile::open(&File::open(&path)?, name)?;
            File::options().write(true).open(&path)?.set_len(4096)?;
            println!("not reached: {}", mapped.as_ref()[12_345]);
            return Ok(());
        }
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(name), vec![1; 64 << 10])?;
        let this = "disk::mapped::tests::a_mapped_file_that_is_cut_short_is_named_before_the_process_ends";
        let ended = Command::new(std::env::current_exe()?)
            .args(["--exact", this, "--nocapture"])
            .env(FOLDER, folder.path())
            .output()?;
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(FAILED), "{said}");
        assert!(said.contains("00000000000000000007.wal at byte 12345,"), "{said}");
        assert!(said.contains("Start the node again"), "{said}");
        assert!(!String::from_utf8_lossy(&ended.stdout).contains("not reached"));
        Ok(())
    }
}
