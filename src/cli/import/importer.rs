//! Sends what a file holds, and counts what comes of it.
//!
//! - Up to two batches are unanswered: the node always has one to do.
//! - A collection that comes in parts begins with a RESTORE, whose answer is waited for; the rest is added by the commands that add
//!   elements, and its deadline is set at the end.

use std::collections::{BTreeSet, VecDeque};

use redis_protocol::resp2::types::OwnedFrame;

use super::pipe::Pipe;
use super::{ImportSummary, shown_key};
use crate::cli::connection::{AskError, Target};
use crate::cli::failure::Failure;
use crate::env::Clock;
use crate::keyspace::DATABASES;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::value::{Object, ValueRef};
use crate::rdb::file::{FileRecord, KeyUsage, ValuePart};
use crate::rdb::{self, Value};

/// A batch ends with so many bytes or commands.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_COMMANDS: usize = 1000;
/// Elements of a part that one command adds, and their bytes.
const ADDED_ELEMENTS: usize = 1000;
const ADDED_BYTES: usize = 256 << 10;
/// Longest argument of a command (`proto-max-bulk-len`).
const MAX_ARGUMENT_BYTES: usize = 512 << 20;

const TOO_LONG: &str = "longer than the 512 MiB that a command's argument may have";
const MODULES: &str = "values of modules";
const MODULES_BESIDE: &str = "what modules keep beside keys";

/// What becomes of keys that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Replace,
    Skip,
    Fail,
}

/// What an answer is about.
#[derive(Debug)]
enum Sent {
    Select,
    Key(Vec<u8>),
    /// A command about a key that was begun.
    More(Vec<u8>),
    Functions,
}

/// What came of the first part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Taken,
    PassedOver,
}

/// See the module.
pub struct Importer {
    addr: String,
    pipe: Pipe,
    policy: Policy,
    /// Those that are asked for; all if there are none.
    databases: BTreeSet<u64>,
    clock: Clock,
    limits: TypeLimits,
    selected: u64,
    sent: VecDeque<Sent>,
    /// Commands since the last batch was sent.
    gathered: usize,
    /// The rest of a key that came in parts is not wanted.
    passes_over_rest: bool,
    /// A key of which not all parts are there yet.
    in_parts: Option<Vec<u8>>,
    summary: ImportSummary,
}

impl Importer {
    pub fn connect(target: Target, policy: Policy, databases: BTreeSet<u64>) -> Result<Importer, Failure> {
        let addr = target.addr.to_string();
        let pipe = match Pipe::open(&target) {
            Ok(pipe) => pipe,
            Err(error) => return Err(Failure::Node { addr, error }),
        };
        Ok(Importer {
            addr,
            pipe,
            policy,
            databases,
            clock: Clock::system(),
            limits: TypeLimits::default(),
            selected: 0,
            sent: VecDeque::new(),
            gathered: 0,
            passes_over_rest: false,
            in_parts: None,
            summary: ImportSummary::default(),
        })
    }

    /// Waits for all answers.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.flush()?;
        self.take_answers(0)
    }

    pub fn into_summary(self) -> ImportSummary {
        self.summary
    }

    /// Why the import stopped, and how it can go on.
    pub fn stopped(&self, failure: Failure) -> Failure {
        let keys = self.summary.keys;
        let half = self.in_parts.as_ref().map(|key| format!("; of {} only a part is there", shown_key(key)));
        let half = half.unwrap_or_default();
        let text = format!(
            "{failure}\nperdura: the import stopped after {keys} keys, which stay{half}. Begin it again with --replace; with --skip, \
             keys that are there are passed over, whole or not"
        );
        match failure {
            Failure::Damage(_) => Failure::Damage(text),
            _ => Failure::Failed(text),
        }
    }

    pub fn take(&mut self, record: FileRecord<'_>) -> Result<(), Failure> {
        match record {
            FileRecord::About { name, value } => {
                if name.ends_with(b"-ver") {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let written_by = format!("{} {}", text(&name[..name.len() - 4]), text(&value));
                    self.summary.written_by = Some(written_by);
                }
                Ok(())
            }
            FileRecord::Announced { .. } | FileRecord::End => Ok(()),
            FileRecord::Value(part) => self.take_value(&part),
            FileRecord::ModuleValue { db, key } => self.leave_out(db, MODULES, Some(key)),
            FileRecord::TooLong { db, key } => self.leave_out(db, TOO_LONG, Some(key)),
            FileRecord::ModuleAux => {
                self.summary.leave_out(MODULES_BESIDE, None);
                Ok(())
            }
            FileRecord::Functions(code) => self.take_functions(&code),
        }
    }

    /// A key that can't be taken counts only where its database is asked for.
    fn leave_out(&mut self, db: u64, reason: &str, key: Option<&[u8]>) -> Result<(), Failure> {
        match self.is_asked_for(db) {
            true => self.summary.leave_out(reason, key),
            false => self.summary.of_other_databases += 1,
        }
        Ok(())
    }

    fn is_asked_for(&self, db: u64) -> bool {
        self.databases.is_empty() || self.databases.contains(&db)
    }

    fn take_functions(&mut self, code: &[u8]) -> Result<(), Failure> {
        let mut args: Vec<&[&[u8]]> = vec![&[b"FUNCTION"], &[b"LOAD"]];
        if self.policy == Policy::Replace {
            args.push(&[b"REPLACE"]);
        }
        let code = [code];
        args.push(&code);
        self.send(&args, Sent::Functions)
    }

    fn take_value(&mut self, part: &ValuePart<'_>) -> Result<(), Failure> {
        if part.number > 0 {
            return self.take_rest(part);
        }
        self.passes_over_rest = true;
        if !self.is_asked_for(part.db) {
            self.summary.of_other_databases += 1;
        } else if part.db >= DATABASES as u64 {
            let reason = format!("in database {}: a node has {DATABASES}", part.db);
            self.summary.leave_out(&reason, Some(part.key));
        } else if part.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= self.clock.unix_ms()) {
            self.summary.expired += 1;
        } else {
            self.select(part.db)?;
            return self.begin_key(part);
        }
        Ok(())
    }

    fn select(&mut self, db: u64) -> Result<(), Failure> {
        if self.selected == db {
            return Ok(());
        }
        // Its answer is waited for: where it is refused, what follows would be put into another database.
        self.finish()?;
        self.send(&[&[b"SELECT"], &[db.to_string().as_bytes()]], Sent::Select)?;
        self.finish()?;
        self.selected = db;
        Ok(())
    }

    /// Sends a whole value, or the first part of one.
    fn begin_key(&mut self, part: &ValuePart<'_>) -> Result<(), Failure> {
        if part.is_last {
            return self.restore(part, part.deadline_ms);
        }
        self.finish()?;
        let taken = self.summary.keys;
        // Its deadline comes with its last part: it might pass before.
        self.restore(part, None)?;
        self.finish()?;
        let begun = if self.summary.keys > taken { Begun::Taken } else { Begun::PassedOver };
        self.passes_over_rest = begun == Begun::PassedOver;
        if begun == Begun::Taken {
            self.summary.keys_in_parts += 1;
            self.in_parts = Some(part.key.to_vec());
        }
        Ok(())
    }

    fn restore(&mut self, part: &ValuePart<'_>, deadline_ms: Option<i64>) -> Result<(), Failure> {
        if rdb::is_restorable(part.body) {
            let footer = rdb::footer(part.body);
            return self.restore_payload(part, deadline_ms, &[part.body, &footer]);
        }
        match rdb::load_body(part.body, part.version, &self.limits) {
            Ok(value) => {
                let payload = rdb::dump(value_ref(&value));
                self.restore_payload(part, deadline_ms, &[&payload])
            }
            Err(error) => {
                self.summary.leave_out(&error.to_string(), Some(part.key));
                Ok(())
            }
        }
    }

    fn restore_payload(
        &mut self,
        part: &ValuePart<'_>,
        deadline_ms: Option<i64>,
        payload: &[&[u8]],
    ) -> Result<(), Failure> {
        let bytes: usize = payload.iter().map(|piece| piece.len()).sum();
        if bytes > MAX_ARGUMENT_BYTES {
            self.summary.leave_out(TOO_LONG, Some(part.key));
            return Ok(());
        }
        let deadline = deadline_ms.unwrap_or(0).to_string();
        let key = [part.key];
        let deadline = [deadline.as_bytes()];
        let mut args: Vec<&[&[u8]]> = vec![&[b"RESTORE"], &key, &deadline, payload, &[b"ABSTTL"]];
        if self.policy == Policy::Replace {
            args.push(&[b"REPLACE"]);
        }
        let (name, number) = match part.usage {
            Some(KeyUsage::IdleSeconds(seconds)) => {
                (&b"IDLETIME"[..], seconds.min(i64::MAX as u64).to_string())
            }
            Some(KeyUsage::Frequency(frequency)) => (&b"FREQ"[..], frequency.to_string()),
            None => (&b""[..], String::new()),
        };
        let (name, number) = ([name], [number.as_bytes()]);
        if part.usage.is_some() {
            args.extend([&name[..], &number[..]]);
        }
        self.send(&args, Sent::Key(part.key.to_vec()))
    }

    /// Adds a later part of a key.
    fn take_rest(&mut self, part: &ValuePart<'_>) -> Result<(), Failure> {
        if self.passes_over_rest {
            return Ok(());
        }
        let value = rdb::load_body(part.body, part.version, &self.limits);
        let value = value.map_err(|error| Failure::Damage(format!("{}: {error}", shown_key(part.key))))?;
        if let Value::Object(object) = &value {
            self.add_elements(part.key, object)?;
        }
        if part.is_last {
            if let Some(deadline_ms) = part.deadline_ms {
                let deadline = deadline_ms.to_string();
                self.more(part.key, &[b"PEXPIREAT", part.key, deadline.as_bytes()])?;
            }
            self.finish()?;
            self.in_parts = None;
        }
        Ok(())
    }

    fn add_elements(&mut self, key: &[u8], object: &Object) -> Result<(), Failure> {
        match object {
            Object::List(list) => self.add(key, b"RPUSH", list.iter().map(|element| [element.to_vec()])),
            Object::Set(set) => self.add(key, b"SADD", set.iter().map(|member| [member.to_vec()])),
            Object::ZSet(zset) => {
                let pairs = zset.iter().map(|one| [one.score.to_string().into_bytes(), one.member.to_vec()]);
                self.add(key, b"ZADD", pairs)
            }
            Object::Hash(hash) => {
                self.add(key, b"HSET", hash.iter().map(|(field, value)| [field.to_vec(), value.to_vec()]))?;
                for (field, _) in hash.iter() {
                    if let Some(deadline_ms) = hash.expire_at(field) {
                        let deadline = deadline_ms.to_string();
                        let args = [b"HPEXPIREAT", key, deadline.as_bytes(), b"FIELDS", b"1", field];
                        self.more(key, &args)?;
                    }
                }
                Ok(())
            }
            // They are always whole.
            Object::Stream(_) => Ok(()),
        }
    }

    /// Adds elements of `N` arguments each, by commands of bounded length.
    fn add<const N: usize>(
        &mut self,
        key: &[u8],
        command: &[u8],
        elements: impl Iterator<Item = [Vec<u8>; N]>,
    ) -> Result<(), Failure> {
        let (mut gathered, mut bytes): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
        for element in elements {
            bytes += element.iter().map(Vec::len).sum::<usize>();
            gathered.extend(element);
            if gathered.len() >= ADDED_ELEMENTS || bytes >= ADDED_BYTES {
                self.send_added(key, command, &gathered)?;
                gathered.clear();
                bytes = 0;
            }
        }
        if gathered.is_empty() { Ok(()) } else { self.send_added(key, command, &gathered) }
    }

    fn send_added(&mut self, key: &[u8], command: &[u8], elements: &[Vec<u8>]) -> Result<(), Failure> {
        let args: Vec<&[u8]> = [command, key].into_iter().chain(elements.iter().map(Vec::as_slice)).collect();
        self.more(key, &args)
    }

    fn more(&mut self, key: &[u8], args: &[&[u8]]) -> Result<(), Failure> {
        let args: Vec<[&[u8]; 1]> = args.iter().map(|arg| [*arg]).collect();
        let args: Vec<&[&[u8]]> = args.iter().map(|arg| &arg[..]).collect();
        self.send(&args, Sent::More(key.to_vec()))
    }

    /// Sends one command, with others.
    fn send(&mut self, args: &[&[&[u8]]], about: Sent) -> Result<(), Failure> {
        let added = self.pipe.command(args);
        self.sent.push_back(about);
        self.gathered += 1;
        added.map_err(|error| self.failure(error))?;
        if self.gathered >= BATCH_COMMANDS || self.pipe.waiting_bytes() >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends a batch, and waits for the answers to the one before.
    fn flush(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.gathered);
        self.pipe.flush().map_err(|error| self.failure(error))?;
        self.take_answers(batch)
    }

    fn failure(&self, error: AskError) -> Failure {
        Failure::Node { addr: self.addr.clone(), error }
    }

    /// Takes answers until only so many are missing.
    fn take_answers(&mut self, missing: usize) -> Result<(), Failure> {
        while self.sent.len() > missing {
            let answer = self.pipe.answer().map_err(|error| self.failure(error))?;
            let Some(sent) = self.sent.pop_front() else { break };
            self.take_answer(sent, answer)?;
        }
        Ok(())
    }

    fn take_answer(&mut self, sent: Sent, answer: OwnedFrame) -> Result<(), Failure> {
        let OwnedFrame::Error(error) = answer else {
            match sent {
                Sent::Key(_) => self.summary.keys += 1,
                Sent::Functions => self.summary.function_libraries += 1,
                Sent::Select | Sent::More(_) => {}
            }
            return Ok(());
        };
        let error = error.to_string();
        match sent {
            Sent::Key(_) if error.starts_with("BUSYKEY") && self.policy == Policy::Skip => {
                self.summary.skipped += 1;
            }
            Sent::Key(key) if is_about_value(&error) => self.summary.leave_out(&error, Some(&key)),
            Sent::Functions if error.starts_with("ERR Library '") && self.policy == Policy::Skip => {
                self.summary.libraries_skipped += 1;
            }
            Sent::Functions if error.starts_with("ERR Library '") && self.policy == Policy::Fail => {
                return Err(Failure::Failed(format!("{}: {error}", self.addr)));
            }
            Sent::Functions => self.summary.leave_out(&format!("function libraries: {error}"), None),
            Sent::Key(key) | Sent::More(key) => {
                return Err(Failure::Failed(format!("{}: {}: {error}", self.addr, shown_key(&key))));
            }
            Sent::Select => return Err(self.failure(AskError::Refused(error))),
        }
        Ok(())
    }
}

/// Whether the node can't take this value, and others well enough.
fn is_about_value(error: &str) -> bool {
    error.starts_with("ERR Bad data format") || error.starts_with("ERR DUMP payload")
}

fn value_ref(value: &Value) -> ValueRef<'_> {
    match value {
        Value::String(text) => ValueRef::String(text),
        Value::Object(object) => ValueRef::Object(object),
    }
}
