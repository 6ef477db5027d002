//! The bytes of a log entry's payload: a stamp and the commands that were gathered under it.
//!
//! ```text
//! entry       = version:u8 stamp_ms:i64le seed:u64le item*
//! item        = 1 command | 2 count:varint command{count}      ; a command alone, or a transaction
//! command     = db:u8 argc:varint argument{argc}               ; the command's name is the first argument
//! argument    = length:varint bytes                                    ; a command has at least one, its name
//! varint      = LEB128, at most 5 bytes
//! ```
//!
//! - Nothing in an entry depends on the node that reads it: deadlines are relative to the stamp, picks to the seed.
//! - An empty payload is raft's own (a new leader's first entry) and holds no commands.
//! - A version that this program does not know is an error, not a guess: apply stops.
//! - A count of more than the bytes that are left can hold is refused before anything is read by it.

use smallvec::SmallVec;
use thiserror::Error;

use crate::command::context::Stamp;
use crate::keyspace::DATABASES;

/// The version that this program writes.
pub const VERSION: u8 = 1;
/// Bytes before the first item.
pub const HEADER_BYTES: usize = 17;

/// An empty argument is its length.
const MIN_ARGUMENT_BYTES: usize = 1;
/// Database, number of arguments, an argument.
const MIN_COMMAND_BYTES: usize = 2 + MIN_ARGUMENT_BYTES;

const SINGLE: u8 = 1;
const TRANSACTION: u8 = 2;

/// Arguments as slices of an entry.
pub type EntryArgs<'a> = SmallVec<[&'a [u8]; 8]>;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum EntryError {
    #[error(
        "the entry has version {found}; this program knows versions up to {VERSION} and must be upgraded"
    )]
    NewerVersion { found: u8 },
    #[error("the entry is malformed at byte {at}")]
    Malformed { at: usize },
}

/// Appends an entry's header.
pub fn write_header(out: &mut Vec<u8>, stamp: Stamp) {
    out.push(VERSION);
    out.extend_from_slice(&stamp.now_ms.to_le_bytes());
    out.extend_from_slice(&stamp.seed.to_le_bytes());
}

/// Appends one command that stands alone.
pub fn write_single(out: &mut Vec<u8>, db: usize, args: &[&[u8]]) {
    out.push(SINGLE);
    write_command(out, db, args);
}

/// Appends the head of a transaction; `count` calls of [`write_command`] follow.
pub fn write_transaction(out: &mut Vec<u8>, count: usize) {
    out.push(TRANSACTION);
    write_varint(out, count);
}

pub fn write_command(out: &mut Vec<u8>, db: usize, args: &[&[u8]]) {
    out.push(db as u8);
    write_varint(out, args.len());
    for arg in args {
        write_varint(out, arg.len());
        out.extend_from_slice(arg);
    }
}

fn write_varint(out: &mut Vec<u8>, value: usize) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Reads an entry's payload from front to back.
#[derive(Debug, Clone)]
pub struct EntryReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What comes next in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    Single,
    /// A transaction of so many commands.
    Transaction(usize),
}

impl<'a> EntryReader<'a> {
    /// Reads the header.
    pub fn open(bytes: &'a [u8]) -> Result<(Stamp, Self), EntryError> {
        match bytes.first() {
            Some(&VERSION) if bytes.len() >= HEADER_BYTES => {}
            Some(&found) if found > VERSION => return Err(EntryError::NewerVersion { found }),
            _ => return Err(EntryError::Malformed { at: 0 }),
        }
        let word = |at: usize| bytes[at..at + 8].try_into().expect("the header was measured above");
        let stamp = Stamp { now_ms: i64::from_le_bytes(word(1)), seed: u64::from_le_bytes(word(9)) };
        Ok((stamp, EntryReader { bytes, at: HEADER_BYTES }))
    }

    /// Reads items without an entry's header before them.
    pub fn items(bytes: &'a [u8]) -> Self {
        EntryReader { bytes, at: 0 }
    }

    /// The kind of the next item, or `None` at the end. Its commands are read by [`command`](Self::command).
    pub fn next_item(&mut self) -> Result<Option<Item>, EntryError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        match self.byte()? {
            SINGLE => Ok(Some(Item::Single)),
            TRANSACTION => Ok(Some(Item::Transaction(self.count(MIN_COMMAND_BYTES)?))),
            _ => Err(EntryError::Malformed { at: self.at - 1 }),
        }
    }

    /// Passes over one command; `args` gets its name and its first argument, if it has one. Returns how many arguments there are,
    /// the name included.
    pub fn skip_command(&mut self, args: &mut EntryArgs<'a>) -> Result<usize, EntryError> {
        const HEAD: usize = 2;
        let (_, argc) = self.command_head()?;
        args.clear();
        for nth in 0..argc {
            let argument = self.argument()?;
            if nth < HEAD {
                args.push(argument);
            }
        }
        Ok(argc)
    }

    /// The next byte; 0 at the end.
    pub fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Offset of what comes next.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Reads one command into `args`; returns its database.
    pub fn command(&mut self, args: &mut EntryArgs<'a>) -> Result<usize, EntryError> {
        let (db, argc) = self.command_head()?;
        args.clear();
        for _ in 0..argc {
            args.push(self.argument()?);
        }
        Ok(db)
    }

    /// A command's database and how many arguments it has.
    fn command_head(&mut self) -> Result<(usize, usize), EntryError> {
        let start = self.at;
        let db = usize::from(self.byte()?);
        let argc = self.count(MIN_ARGUMENT_BYTES)?;
        if db >= DATABASES || argc == 0 {
            return Err(EntryError::Malformed { at: start });
        }
        Ok((db, argc))
    }

    fn argument(&mut self) -> Result<&'a [u8], EntryError> {
        let len = self.varint()?;
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(EntryError::Malformed { at: self.at })?;
        let argument = &self.bytes[self.at..end];
        self.at = end;
        Ok(argument)
    }

    /// Reads one item that is a command alone, without an entry's header before it; returns its database.
    pub fn read_single(bytes: &'a [u8], args: &mut EntryArgs<'a>) -> Result<usize, EntryError> {
        let mut reader = EntryReader::items(bytes);
        reader.next_item()?;
        reader.command(args)
    }

    /// A count of things that take at least so many bytes each, all of them still to come.
    fn count(&mut self, min_bytes: usize) -> Result<usize, EntryError> {
        let start = self.at;
        let count = self.varint()?;
        let fits = count <= (self.bytes.len() - self.at) / min_bytes;
        if fits { Ok(count) } else { Err(EntryError::Malformed { at: start }) }
    }

    fn byte(&mut self) -> Result<u8, EntryError> {
        let byte = self.bytes.get(self.at).copied().ok_or(EntryError::Malformed { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<usize, EntryError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(EntryError::Malformed { at: self.at })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    const STAMP: Stamp = Stamp { now_ms: 0x0102, seed: 7 };

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(&mut bytes, STAMP);
        write_single(&mut bytes, 3, &[b"set", b"k", &[b'v'; 200]]);
        write_transaction(&mut bytes, 1);
        write_command(&mut bytes, 0, &[b"del", b"k"]);
        bytes
    }

    #[test]
    fn the_bytes_are_golden() {
        let mut golden = vec![1, 2, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
        golden.extend_from_slice(b"\x01\x03\x03\x03set\x01k\xc8\x01");
        golden.extend_from_slice(&[b'v'; 200]);
        golden.extend_from_slice(b"\x02\x01\x00\x02\x03del\x01k");
        assert_eq!(sample(), golden);
    }

    #[test]
    fn what_was_written_is_read() -> Result<(), EntryError> {
        let bytes = sample();
        let (stamp, mut reader) = EntryReader::open(&bytes)?;
        let mut args = EntryArgs::new();
        assert_eq!(stamp, STAMP);
        assert_eq!(reader.next_item()?, Some(Item::Single));
        assert_eq!(reader.command(&mut args)?, 3);
        assert_eq!(args[..2], [&b"set"[..], b"k"]);
        assert_eq!(reader.next_item()?, Some(Item::Transaction(1)));
        assert_eq!(reader.command(&mut args)?, 0);
        assert_eq!(args[..], [&b"del"[..], b"k"]);
        assert_eq!(reader.next_item()?, None);
        Ok(())
    }

    #[test]
    fn a_newer_version_is_named_and_a_cut_entry_is_refused_at_any_byte() {
        let bytes = sample();
        let newer = [&[VERSION + 1], &bytes[1..]].concat();
        assert_eq!(EntryReader::open(&newer).err(), Some(EntryError::NewerVersion { found: VERSION + 1 }));
        for cut in (HEADER_BYTES + 1..bytes.len()).filter(|&cut| cut != bytes.len() - 10) {
            let (_, mut reader) = EntryReader::open(&bytes[..cut]).expect("the header is whole");
            assert!(read_items(&mut reader).is_err(), "cut at {cut}");
        }
    }

    /// A command: database and arguments.
    type Owned = (usize, Vec<Vec<u8>>);

    /// An entry's items: whether each is a transaction, and its commands.
    fn read_items(reader: &mut EntryReader<'_>) -> Result<Vec<(bool, Vec<Owned>)>, EntryError> {
        let mut items = Vec::new();
        let mut args = EntryArgs::new();
        while let Some(item) = reader.next_item()? {
            let count = if let Item::Transaction(count) = item { count } else { 1 };
            let mut commands = Vec::with_capacity(count);
            for _ in 0..count {
                let db = reader.command(&mut args)?;
                commands.push((db, args.iter().map(|arg| arg.to_vec()).collect()));
            }
            items.push((item != Item::Single, commands));
        }
        Ok(items)
    }

    fn write_items(stamp: Stamp, items: &[(bool, Vec<Owned>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(&mut bytes, stamp);
        for (transaction, commands) in items {
            if *transaction {
                write_transaction(&mut bytes, commands.len());
            }
            for (db, args) in commands {
                let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                let write = if *transaction { write_command } else { write_single };
                write(&mut bytes, *db, &args);
            }
        }
        bytes
    }

    fn any_items() -> impl Strategy<Value = Vec<(bool, Vec<Owned>)>> {
        let command = || (0..DATABASES, vec(vec(any::<u8>(), 0..300), 1..20));
        let single = vec(command(), 1..2).prop_map(|commands| (false, commands));
        let transaction = vec(command(), 0..6).prop_map(|commands| (true, commands));
        vec(prop_oneof![single, transaction], 0..8)
    }

    #[test]
    fn a_count_that_can_not_be_is_refused_before_it_is_believed() {
        for bytes in [&b"\x02\xff\xff\xff\xff\x0f"[..], b"\x02\x02\x00\x01\x00"] {
            assert_eq!(EntryReader::items(bytes).next_item(), Err(EntryError::Malformed { at: 1 }));
        }
        for bytes in [&b"\x00\xff\xff\xff\xff\x0f"[..], b"\x00\x00", b"\x10\x01\x00"] {
            let read = EntryReader::items(bytes).command(&mut EntryArgs::new());
            assert!(matches!(read, Err(EntryError::Malformed { .. })), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_entry_is_read_as_it_was_written(now_ms: i64, seed: u64, items in any_items()) {
            let stamp = Stamp { now_ms, seed };
            let bytes = write_items(stamp, &items);
            let (read_stamp, mut reader) = EntryReader::open(&bytes).expect("the header is whole");
            prop_assert_eq!(read_stamp, stamp);
            prop_assert_eq!(read_items(&mut reader), Ok(items));
        }

        /// Whatever the bytes, reading ends, and holds no more than they do.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400)) {
            if let Ok(items) = read_items(&mut EntryReader::items(&bytes)) {
                let args = || items.iter().flat_map(|(_, commands)| commands).flat_map(|(_, args)| args);
                prop_assert!(args().map(Vec::len).sum::<usize>() + args().count() <= bytes.len());
            }
        }

        #[test]
        fn a_damaged_entry_is_read_or_refused(items in any_items(), at: Index, byte: u8) {
            let mut bytes = write_items(STAMP, &items);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok((_, mut reader)) = EntryReader::open(&bytes) {
                // Reading it ends; what it says is for the log's checksum to judge.
                drop(read_items(&mut reader));
            }
        }
    }
}
