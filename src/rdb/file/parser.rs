//! Reads a file as its bytes come.

use super::super::input::Input;
use super::super::shape::{self, Passed, Walk};
use super::super::{CRC, CRC_BYTES, RdbError, VALKEY_VERSION, kind};
use super::{FileError, FileFault, MOST_BYTES, MOST_WHOLE_BYTES, PART_BYTES, VERSIONS, opcode};

const HEADER_BYTES: usize = 9;
/// The first version that ends with a checksum.
const VERSION_WITH_CRC: u16 = 5;
/// Bytes that are kept for the next read, however long the last value was.
const KEPT_BYTES: usize = 1 << 20;

type Crc = crc::Digest<'static, u64, crc::Table<16>>;

/// How often or how long ago a key was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUsage {
    IdleSeconds(u64),
    Frequency(u8),
}

/// What a file holds, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub enum FileRecord<'a> {
    /// Something about the file: a name and a value.
    About {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// A database begins, and will hold so many keys.
    Announced {
        keys: u64,
    },
    Value(ValuePart<'a>),
    /// A key of a module's type, which was passed over.
    ModuleValue {
        db: u64,
        key: &'a [u8],
    },
    /// What a module keeps beside keys, passed over.
    ModuleAux,
    /// A key whose value is too long to be kept, passed over.
    TooLong {
        db: u64,
        key: &'a [u8],
    },
    /// A library of functions: its code.
    Functions(Vec<u8>),
    /// The file is whole.
    End,
}

/// A key with its value, or a part of it.
#[derive(Debug, PartialEq, Eq)]
pub struct ValuePart<'a> {
    pub db: u64,
    pub key: &'a [u8],
    pub deadline_ms: Option<i64>,
    pub usage: Option<KeyUsage>,
    /// The version of the file, by which the body is to be read.
    pub version: u16,
    /// Type and value. A part of a collection is a collection of the same type.
    pub body: &'a [u8],
    /// How many parts came before.
    pub number: u64,
    pub is_last: bool,
}

/// What comes next in the file.
#[derive(Debug)]
enum State {
    Header,
    Record,
    /// Something that is passed over as it comes.
    Skipping {
        walk: Walk,
        then: Skipped,
    },
    Value(Box<Value>),
    Checksum,
    Ended,
}

#[derive(Clone, Copy, Debug)]
enum Skipped {
    Nothing,
    Module,
    ModuleAux,
    TooLong,
}

/// A value that is being read. Its bytes, from the type on, are at the front of what is kept.
#[derive(Debug)]
struct Value {
    walk: Walk,
    is_divisible: bool,
    /// Bytes that were walked over.
    len: usize,
    /// Where the count of its elements is, if it ends with elements.
    count: Option<Count>,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    start: usize,
    end: usize,
    /// Elements from the front of this part on.
    elements: u64,
}

/// See `file.rs`.
pub struct Parser {
    /// What was fed and is not done with.
    kept: Vec<u8>,
    /// Bytes at its front that are done with.
    done: usize,
    /// Those that the checksum knows.
    summed: usize,
    /// Where the first kept byte is in the file.
    offset: u64,
    crc: Crc,
    most_whole_bytes: usize,
    part_bytes: usize,
    state: State,
    version: u16,
    db: u64,
    key: Vec<u8>,
    deadline_ms: Option<i64>,
    usage: Option<KeyUsage>,
    /// Bytes at the front that the value handed out last no longer needs, from and to.
    handed_out: Option<(usize, usize)>,
}

impl std::fmt::Debug for Parser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parser")
            .field("offset", &self.offset)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Default for Parser {
    fn default() -> Parser {
        Parser {
            kept: Vec::new(),
            done: 0,
            summed: 0,
            offset: 0,
            crc: CRC.digest(),
            most_whole_bytes: MOST_WHOLE_BYTES,
            part_bytes: PART_BYTES,
            state: State::Header,
            version: 0,
            db: 0,
            key: Vec::new(),
            deadline_ms: None,
            usage: None,
            handed_out: None,
        }
    }
}

/// What a step of the parser came to.
enum Step {
    /// There is more to do.
    Again,
    /// There is something to hand out.
    Found(Found),
    NeedsMore,
}

/// As [`FileRecord`], with places in what is kept.
enum Found {
    About(Vec<u8>, Vec<u8>),
    Announced(u64),
    Part { start: usize, end: usize, number: u64, is_last: bool },
    Module,
    ModuleAux,
    TooLong,
    Functions(Vec<u8>),
    End,
}

impl Parser {
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Divides collections of more than so many bytes in place of [`MOST_WHOLE_BYTES`].
    pub fn dividing_beyond(most_whole_bytes: usize) -> Parser {
        Parser { most_whole_bytes, part_bytes: PART_BYTES.min(most_whole_bytes), ..Parser::default() }
    }

    /// The version of the file; 0 before its header was read.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Memory that it has for bytes of the file.
    pub fn kept_bytes(&self) -> usize {
        self.kept.capacity()
    }

    /// Takes the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.forget();
        if self.kept.capacity() > 4 * KEPT_BYTES && self.kept.len() < KEPT_BYTES {
            self.kept.shrink_to(KEPT_BYTES);
        }
        if self.kept.capacity() - self.kept.len() < bytes.len() {
            // Doubling would keep up to twice of what a long value has.
            self.kept.reserve_exact(bytes.len().max(self.kept.len() / 4));
        }
        self.kept.extend_from_slice(bytes);
    }

    /// The next record; `None` where more bytes are needed first.
    ///
    /// # Errors
    /// The file is none, is damaged, or holds something unknown. It can't be read on.
    pub fn next_record(&mut self) -> Result<Option<FileRecord<'_>>, FileError> {
        self.forget_part();
        loop {
            match self.step()? {
                Step::Again => {}
                Step::NeedsMore => return Ok(None),
                Step::Found(found) => return Ok(Some(self.record(found))),
            }
        }
    }

    /// Bytes that were fed after the end of the file.
    pub fn after_end(&self) -> &[u8] {
        match self.state {
            State::Ended => &self.kept[self.done..],
            _ => &[],
        }
    }

    /// No more bytes come.
    ///
    /// # Errors
    /// The file has not ended.
    pub fn finish(&self) -> Result<(), FileError> {
        match self.state {
            State::Ended => Ok(()),
            _ => Err(self.error_at(self.kept.len(), FileFault::Truncated)),
        }
    }

    fn record(&mut self, found: Found) -> FileRecord<'_> {
        match found {
            Found::About(name, value) => FileRecord::About { name, value },
            Found::Announced(keys) => FileRecord::Announced { keys },
            Found::Module => FileRecord::ModuleValue { db: self.db, key: &self.key },
            Found::ModuleAux => FileRecord::ModuleAux,
            Found::TooLong => FileRecord::TooLong { db: self.db, key: &self.key },
            Found::Functions(code) => FileRecord::Functions(code),
            Found::End => FileRecord::End,
            Found::Part { start, end, number, is_last } => FileRecord::Value(ValuePart {
                db: self.db,
                key: &self.key,
                deadline_ms: self.deadline_ms,
                usage: self.usage,
                version: self.version,
                body: &self.kept[start..end],
                number,
                is_last,
            }),
        }
    }

    fn error_at(&self, place: usize, fault: FileFault) -> FileError {
        FileError { offset: self.offset + place as u64, fault }
    }

    fn shown_key(&self) -> String {
        const SHOWN_BYTES: usize = 200;
        self.key[..self.key.len().min(SHOWN_BYTES)].escape_ascii().to_string()
    }

    /// Adds to the checksum what is done with up to `end`.
    fn sum(&mut self, end: usize) {
        if end > self.summed {
            self.crc.update(&self.kept[self.summed..end]);
            self.summed = end;
        }
    }

    /// Drops the bytes that are done with.
    fn forget(&mut self) {
        self.forget_part();
        self.sum(self.done);
        self.kept.drain(..self.done);
        self.offset += self.done as u64;
        self.summed -= self.done;
        self.done = 0;
    }

    /// Drops the elements of a part that was handed out; the head of the value stays for the next.
    fn forget_part(&mut self) {
        if let Some((from, to)) = self.handed_out.take() {
            self.kept.drain(from..to);
            self.offset += (to - from) as u64;
            self.summed -= to - from;
        }
    }

    fn step(&mut self) -> Result<Step, FileError> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        match state {
            State::Header => self.header(),
            State::Record => self.begin_record(),
            State::Skipping { walk, then } => self.skip(walk, then),
            State::Value(value) => self.walk_value(value),
            State::Checksum => self.checksum(),
            State::Ended if self.kept.len() > self.done => Err(self.error_at(self.done, FileFault::Trailing)),
            State::Ended => Ok(Step::NeedsMore),
        }
    }

    /// Runs a read of a whole record; where bytes are missing, `state` stays.
    fn read<T>(
        &mut self,
        state: State,
        read: impl FnOnce(&mut Input<'_>) -> Result<T, RdbError>,
    ) -> Result<Option<T>, FileError> {
        let mut input = Input::new(&self.kept[self.done..]);
        let result = read(&mut input);
        let place = self.kept.len() - input.len();
        match result {
            Ok(read) => {
                self.done = place;
                Ok(Some(read))
            }
            Err(RdbError::Truncated) => {
                self.state = state;
                Ok(None)
            }
            Err(error) => Err(self.error_at(place, FileFault::Malformed(error))),
        }
    }

    fn header(&mut self) -> Result<Step, FileError> {
        if self.kept.len() < HEADER_BYTES {
            let known = |magic: &[u8]| magic.iter().zip(&self.kept).all(|(one, other)| one == other);
            if !known(b"REDIS") && !known(b"VALKEY") {
                return Err(self.error_at(0, FileFault::Magic));
            }
            self.state = State::Header;
            return Ok(Step::NeedsMore);
        }
        let header = &self.kept[..HEADER_BYTES];
        let redis = header.strip_prefix(b"REDIS").map(|digits| (digits, 0));
        let valkey = || header.strip_prefix(b"VALKEY").map(|digits| (digits, VALKEY_VERSION));
        let Some((digits, least)) = redis.or_else(valkey) else {
            return Err(self.error_at(0, FileFault::Magic));
        };
        let number =
            std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|one| one.is_ascii_digit()));
        let known = |version: &u16| *version >= least && VERSIONS.iter().any(|known| known.contains(version));
        match number.and_then(|text| text.parse::<u16>().ok()).filter(known) {
            Some(version) => {
                (self.version, self.done, self.state) = (version, HEADER_BYTES, State::Record);
                Ok(Step::Again)
            }
            None => Err(self.error_at(0, FileFault::Version(digits.escape_ascii().to_string()))),
        }
    }

    fn begin_record(&mut self) -> Result<Step, FileError> {
        let Some(&code) = self.kept.get(self.done) else {
            self.state = State::Record;
            return Ok(Step::NeedsMore);
        };
        let skipping = |parts, then| State::Skipping { walk: Walk::new(parts), then };
        match code {
            opcode::SLOT_INFO => self.state = skipping(shape::SLOT_INFO, Skipped::Nothing),
            opcode::SLOT_IMPORT => self.state = skipping(shape::SLOT_IMPORT, Skipped::Nothing),
            opcode::MODULE_AUX => self.state = skipping(shape::MODULE_AUX, Skipped::ModuleAux),
            opcode::END => self.state = State::Checksum,
            opcode::AUX | opcode::RESIZE_DB | opcode::FUNCTION => return self.found_record(code),
            opcode::DEADLINE_MS
            | opcode::DEADLINE_S
            | opcode::IDLE
            | opcode::FREQUENCY
            | opcode::SELECT_DB => {
                return self.setting(code);
            }
            // No type of value comes near the records' codes.
            0..0x80 => return self.begin_value(code),
            unknown => return Err(self.error_at(self.done, FileFault::Opcode(unknown))),
        }
        self.done += 1;
        Ok(Step::Again)
    }

    /// A record that is handed out by itself.
    fn found_record(&mut self, code: u8) -> Result<Step, FileError> {
        let found = self.read(State::Record, |input| {
            input.byte()?;
            Ok(match code {
                opcode::AUX => Found::About(owned_string(input)?, owned_string(input)?),
                opcode::FUNCTION => Found::Functions(owned_string(input)?),
                _ => {
                    let keys = input.length()?;
                    // Of those that have deadlines.
                    input.length()?;
                    Found::Announced(keys)
                }
            })
        })?;
        let Some(found) = found else { return Ok(Step::NeedsMore) };
        self.state = State::Record;
        Ok(Step::Found(found))
    }

    /// A record that is about what follows.
    fn setting(&mut self, code: u8) -> Result<Step, FileError> {
        enum Setting {
            Deadline(i64),
            Usage(KeyUsage),
            Db(u64),
        }
        let setting = self.read(State::Record, |input| {
            input.byte()?;
            Ok(match code {
                opcode::DEADLINE_MS => Setting::Deadline(i64::from_le_bytes(input.array()?)),
                opcode::DEADLINE_S => Setting::Deadline(i64::from(i32::from_le_bytes(input.array()?)) * 1000),
                opcode::IDLE => Setting::Usage(KeyUsage::IdleSeconds(input.length()?)),
                opcode::FREQUENCY => Setting::Usage(KeyUsage::Frequency(input.byte()?)),
                _ => Setting::Db(input.length()?),
            })
        })?;
        match setting {
            None => return Ok(Step::NeedsMore),
            Some(Setting::Deadline(ms)) => self.deadline_ms = Some(ms),
            Some(Setting::Usage(usage)) => self.usage = Some(usage),
            Some(Setting::Db(db)) => self.db = db,
        }
        self.state = State::Record;
        Ok(Step::Again)
    }

    /// Reads the key; the type stays to be the first byte of the value.
    fn begin_value(&mut self, code: u8) -> Result<Step, FileError> {
        let start = self.done;
        let key = self.read(State::Record, |input| {
            input.byte()?;
            owned_string(input)
        })?;
        let Some(key) = key else { return Ok(Step::NeedsMore) };
        self.key = key;
        let is_known = code != kind::HASH_VALKEY || self.version >= VALKEY_VERSION;
        let Some(parts) = shape::of(code).filter(|_| is_known) else {
            let fault = FileFault::UnknownType { kind: code, key: self.shown_key() };
            return Err(self.error_at(start, fault));
        };
        if code == kind::MODULE_2 {
            self.state = State::Skipping { walk: Walk::new(parts), then: Skipped::Module };
            return Ok(Step::Again);
        }
        // The last byte of the key makes room for the type, once it is summed.
        self.sum(self.done);
        self.done -= 1;
        self.kept[self.done] = code;
        let (walk, is_divisible) = (Walk::new(parts), shape::is_divisible(code));
        self.state = State::Value(Box::new(Value { walk, is_divisible, len: 1, count: None, number: 0 }));
        Ok(Step::Again)
    }

    fn skip(&mut self, mut walk: Walk, then: Skipped) -> Result<Step, FileError> {
        loop {
            let mut input = Input::new(&self.kept[self.done..]);
            let passed = walk.step(&mut input);
            let place = self.kept.len() - input.len();
            match passed {
                Ok(Passed::End) => break,
                Ok(_) => self.done = place,
                Err(RdbError::Truncated) => {
                    self.state = State::Skipping { walk, then };
                    return Ok(Step::NeedsMore);
                }
                Err(error) => return Err(self.error_at(place, FileFault::Malformed(error))),
            }
        }
        self.state = State::Record;
        Ok(match then {
            Skipped::Nothing => Step::Again,
            Skipped::ModuleAux => Step::Found(Found::ModuleAux),
            Skipped::Module => {
                self.end_key();
                Step::Found(Found::Module)
            }
            Skipped::TooLong => {
                self.end_key();
                Step::Found(Found::TooLong)
            }
        })
    }

    /// What was said of a key holds for no other.
    fn end_key(&mut self) {
        (self.deadline_ms, self.usage) = (None, None);
    }

    fn walk_value(&mut self, mut value: Box<Value>) -> Result<Step, FileError> {
        if value.number == u64::MAX {
            // Its last part was handed out.
            self.end_key();
            self.state = State::Record;
            return Ok(Step::Again);
        }
        let is_later = value.number > 0;
        let most = if is_later { self.part_bytes } else { self.most_whole_bytes };
        loop {
            let mut input = Input::new(&self.kept[self.done + value.len..]);
            let passed = value.walk.step(&mut input);
            let len = self.kept.len() - input.len() - self.done;
            match passed {
                Ok(Passed::End) => return Ok(Step::Found(self.end_value(value))),
                Ok(Passed::Count(elements)) if value.is_divisible && value.walk.has_begun_elements() => {
                    value.count = Some(Count { start: value.len, end: len, elements });
                }
                Ok(_) => {}
                Err(RdbError::Truncated)
                    if !value.is_divisible && self.kept.len() - self.done > MOST_BYTES =>
                {
                    self.done += value.len;
                    self.state = State::Skipping { walk: value.walk, then: Skipped::TooLong };
                    return Ok(Step::Again);
                }
                Err(RdbError::Truncated) => {
                    self.state = State::Value(value);
                    return Ok(Step::NeedsMore);
                }
                Err(error) => return Err(self.error_at(self.done + len, FileFault::Malformed(error))),
            }
            value.len = len;
            if len > most
                && let (Some(count), Some(to_come @ 1..)) = (value.count, value.walk.elements_to_come())
            {
                return Ok(Step::Found(self.hand_out_part(value, count, to_come)));
            }
        }
    }

    /// The value, or its last part, is whole.
    fn end_value(&mut self, mut value: Box<Value>) -> Found {
        let (start, end, number) = (self.done, self.done + value.len, value.number);
        self.sum(end);
        if let Some(count) = value.count.filter(|_| number > 0) {
            self.write_count(count, count.elements);
        }
        self.done = end;
        value.number = u64::MAX;
        self.state = State::Value(value);
        Found::Part { start, end, number, is_last: true }
    }

    /// Hands out the elements that are there; the head stays for those that come.
    fn hand_out_part(&mut self, mut value: Box<Value>, count: Count, to_come: u64) -> Found {
        let (start, end, number) = (self.done, self.done + value.len, value.number);
        self.sum(end);
        self.write_count(count, count.elements - to_come);
        self.handed_out = Some((start + count.end, end));
        value.len = count.end;
        value.count = Some(Count { elements: to_come, ..count });
        value.number += 1;
        self.state = State::Value(value);
        Found::Part { start, end, number, is_last: false }
    }

    /// Writes a count in as many bytes as the greater one before it took.
    fn write_count(&mut self, count: Count, elements: u64) {
        let place = &mut self.kept[self.done + count.start..self.done + count.end];
        match place.len() {
            1 => place[0] = elements as u8,
            2 => place.copy_from_slice(&(elements as u16 | 0x4000).to_be_bytes()),
            5 => place[1..].copy_from_slice(&(elements as u32).to_be_bytes()),
            _ => place[1..].copy_from_slice(&elements.to_be_bytes()),
        }
    }

    fn checksum(&mut self) -> Result<Step, FileError> {
        self.sum(self.done);
        let expected = self.crc.clone().finalize();
        if self.version >= VERSION_WITH_CRC {
            let Some(found) = self.kept[self.done..].first_chunk::<CRC_BYTES>() else {
                self.state = State::Checksum;
                return Ok(Step::NeedsMore);
            };
            let found = u64::from_le_bytes(*found);
            if found != 0 && found != expected {
                return Err(self.error_at(self.done, FileFault::Checksum { expected, found }));
            }
            self.done += CRC_BYTES;
            self.summed = self.done;
        }
        Ok(Step::Found(Found::End))
    }
}

fn owned_string(input: &mut Input<'_>) -> Result<Vec<u8>, RdbError> {
    input.string().map(std::borrow::Cow::into_owned)
}
