//! A connection on which commands are sent before those before them were answered.
//!
//! What was sent and not yet answered is bounded by its caller; answers are short.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

use crate::cli::connection::{AskError, Connection, Target};

/// How long connecting may take, and an answer: a long value may have to be synced on several nodes first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// Arguments from this length on are written as they are, not gathered.
const LONG_BYTES: usize = 256 << 10;
const CHUNK_BYTES: usize = 64 << 10;
/// No answer to what is sent here is longer.
const MAX_ANSWER_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub struct Pipe {
    stream: TcpStream,
    /// What gathers to be sent.
    out: Vec<u8>,
    /// What was received and not yet taken.
    received: Vec<u8>,
    taken: usize,
}

impl Pipe {
    pub fn open(target: &Target) -> Result<Pipe, AskError> {
        let connection = Connection::open(target, CONNECT_TIMEOUT)?;
        connection.set_timeout(ANSWER_TIMEOUT)?;
        let stream = connection.into_stream();
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Pipe { stream, out: Vec::new(), received: Vec::new(), taken: 0 })
    }

    /// How many bytes wait to be sent.
    pub fn waiting_bytes(&self) -> usize {
        self.out.len()
    }

    /// Adds a command. An argument may come in pieces that belong together.
    pub fn command(&mut self, args: &[&[&[u8]]]) -> Result<(), AskError> {
        self.out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
        for pieces in args {
            let len: usize = pieces.iter().map(|piece| piece.len()).sum();
            self.out.extend_from_slice(format!("${len}\r\n").as_bytes());
            for piece in *pieces {
                self.add(piece)?;
            }
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn add(&mut self, piece: &[u8]) -> Result<(), AskError> {
        if piece.len() < LONG_BYTES {
            self.out.extend_from_slice(piece);
            return Ok(());
        }
        self.flush()?;
        Ok(self.stream.write_all(piece)?)
    }

    /// Sends what has gathered.
    pub fn flush(&mut self) -> Result<(), AskError> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Waits for the next answer; an error that is answered is an answer here.
    pub fn answer(&mut self) -> Result<OwnedFrame, AskError> {
        loop {
            if let Some((frame, len)) = decode(&self.received[self.taken..]).map_err(|_| AskError::Foreign)? {
                self.taken += len;
                return Ok(frame);
            }
            self.received.drain(..self.taken);
            self.taken = 0;
            if self.received.len() > MAX_ANSWER_BYTES {
                return Err(AskError::Foreign);
            }
            let before = self.received.len();
            self.received.resize(before + CHUNK_BYTES, 0);
            let read = self.stream.read(&mut self.received[before..]);
            self.received.truncate(before + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Err(AskError::Closed);
            }
        }
    }
}
