//! An RDB file that a node sends: SYNC, as `redis-cli --rdb` asks for it.
//!
//! ```text
//! client    REPLCONF capa eof | SYNC
//! node      "\n"*                                             while it makes ready
//! node      "$EOF:" mark:40 "\r\n" file mark | "$" length "\r\n" file | "-" error "\r\n"
//! ```
//!
//! What comes is parsed on its way: a file that is not whole is no file.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::cli::connection::{AskError, Connection, Target};
use crate::cli::failure::Failure;
use crate::rdb::file::{FileRecord, Parser};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may come: a node says that it is still there while it makes a checkpoint.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);
const MARK_BYTES: usize = 40;
const MAX_LINE_BYTES: u64 = 4096;
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Clone, Copy, Debug)]
pub struct Received {
    pub version: u16,
    pub keys: u64,
    pub bytes: u64,
}

/// How the end of the file is told.
enum Ends {
    After(u64),
    With(Vec<u8>),
}

/// Asks a node for a file and hands it to `take` as it comes.
pub fn receive(
    target: &Target,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Received, Failure> {
    let failed = |error: AskError| Failure::Node { addr: target.addr.to_string(), error };
    let (mut stream, ends) = ask(target).map_err(failed)?;
    let mut checked = Checked { parser: Parser::new(), keys: 0, bytes: 0, is_whole: false };
    let mut kept: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let done = match &ends {
            Ends::After(length) => checked.bytes == *length,
            Ends::With(mark) => checked.is_whole && kept == *mark,
        };
        if done {
            break;
        }
        let most = match &ends {
            Ends::After(length) => (*length - checked.bytes).min(CHUNK_BYTES as u64) as usize,
            Ends::With(_) => CHUNK_BYTES,
        };
        let read = stream.read(&mut chunk[..most]).map_err(|error| failed(error.into()))?;
        if read == 0 {
            return Err(failed(AskError::Closed));
        }
        kept.extend_from_slice(&chunk[..read]);
        let held_back = if matches!(ends, Ends::With(_)) { MARK_BYTES } else { 0 };
        let whole = kept.len().saturating_sub(held_back);
        take(&kept[..whole])?;
        checked.feed(&kept[..whole], target)?;
        kept.drain(..whole);
    }
    checked.parser.finish().map_err(|error| Failure::Damage(format!("{}: {error}", target.addr)))?;
    Ok(Received { version: checked.parser.version(), keys: checked.keys, bytes: checked.bytes })
}

fn ask(target: &Target) -> Result<(BufReader<TcpStream>, Ends), AskError> {
    let mut connection = Connection::open(target, CONNECT_TIMEOUT)?;
    connection.ask(&["REPLCONF", "capa", "eof"])?;
    connection.set_timeout(SILENCE_TIMEOUT)?;
    let mut stream = connection.into_stream();
    stream.write_all(b"*1\r\n$4\r\nSYNC\r\n")?;
    let mut stream = BufReader::with_capacity(CHUNK_BYTES, stream);
    loop {
        let mut line = String::new();
        let read = (&mut stream).take(MAX_LINE_BYTES).read_line(&mut line);
        if read? == 0 {
            return Err(AskError::Closed);
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            continue;
        }
        if let Some(error) = line.strip_prefix('-') {
            return Err(AskError::Refused(error.to_owned()));
        }
        let ends = match line.strip_prefix("$EOF:") {
            Some(mark) if mark.len() == MARK_BYTES => Some(Ends::With(mark.as_bytes().to_vec())),
            _ => line.strip_prefix('$').and_then(|length| length.parse().ok()).map(Ends::After),
        };
        return ends.map(|ends| (stream, ends)).ok_or(AskError::Foreign);
    }
}

/// What has come of the file.
struct Checked {
    parser: Parser,
    keys: u64,
    bytes: u64,
    is_whole: bool,
}

impl Checked {
    fn feed(&mut self, bytes: &[u8], target: &Target) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        self.parser.feed(bytes);
        let damaged = |error| Failure::Damage(format!("{}: what it sends is damaged: {error}", target.addr));
        while let Some(record) = self.parser.next_record().map_err(damaged)? {
            match record {
                FileRecord::Value(part) => self.keys += u64::from(part.is_last),
                FileRecord::End => self.is_whole = true,
                _ => {}
            }
        }
        Ok(())
    }
}
