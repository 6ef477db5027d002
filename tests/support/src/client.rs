//! A blocking client of one connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use redis_protocol::{resp2, resp3};

use crate::reply::Reply;

/// How long a reply may take before a test fails.
const REPLY_LIMIT: Duration = Duration::from_secs(20);

const READ_BYTES: usize = 16 * 1024;

/// A connection to a server, RESP2 until [`Client::hello3`].
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    resp3: bool,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        Client::try_connect(addr).unwrap_or_else(|error| panic!("{addr} does not accept: {error}"))
    }

    pub fn try_connect(addr: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        stream.set_write_timeout(Some(REPLY_LIMIT))?;
        Ok(Client { stream, received: Vec::new(), resp3: false })
    }

    /// The same connection for another thread: one may send while the other reads.
    pub fn second_handle(&self) -> Client {
        let stream = self.stream.try_clone().expect("a second handle");
        Client { stream, received: Vec::new(), resp3: self.resp3 }
    }

    /// How long [`Client::try_read`] waits for bytes.
    pub fn set_limit(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a timeout above zero");
    }

    /// Switches the connection to RESP3; returns the server's properties.
    pub fn hello3(&mut self) -> Reply {
        self.send(&[b"HELLO", b"3"]);
        self.resp3 = true;
        self.read()
    }

    /// Runs a command given as bytes.
    pub fn call(&mut self, args: &[&[u8]]) -> Reply {
        self.send(args);
        self.read()
    }

    /// Runs a command given as a line; see [`words`].
    pub fn run(&mut self, line: &str) -> Reply {
        self.send_line(line);
        self.read()
    }

    /// Runs a command given as a line and compares the reply's text.
    #[track_caller]
    pub fn check(&mut self, line: &str, expected: &str) {
        let reply = self.run(line).to_string();
        assert_eq!(reply, expected, "reply to {line}");
    }

    /// A field of INFO, whatever its section; `None` if it is not told now.
    pub fn info(&mut self, field: &str) -> Option<String> {
        let info = self.run("INFO everything").text();
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(|value| value.trim_end().to_owned())
    }

    /// A field of INFO that is a number.
    #[track_caller]
    pub fn info_number(&mut self, field: &str) -> u64 {
        let value = self.info(field).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("INFO tells no number {field}"))
    }

    /// The last entry that the node has applied, asked of its log: INFO lags a moment.
    pub fn applied_index(&mut self) -> u64 {
        self.run("PERDURA LOG STATUS").field("applied").integer() as u64
    }

    /// Sends a command without waiting for its reply.
    pub fn send(&mut self, args: &[&[u8]]) {
        self.send_bytes(&encode(args));
    }

    /// Sends a command given as a line without waiting for its reply.
    pub fn send_line(&mut self, line: &str) {
        let words = words(line);
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        self.send(&args);
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes what it is sent");
    }

    /// Sends bytes as they are to a server that may have hung up.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads the next reply or push.
    pub fn read(&mut self) -> Reply {
        self.try_read().unwrap_or_else(|error| {
            panic!("no reply: {error}; received so far: {}", self.received.escape_ascii())
        })
    }

    #[track_caller]
    pub fn expect(&mut self, expected: &str) {
        assert_eq!(self.read().to_string(), expected);
    }

    /// Reads the next reply or push; an error where the connection ends or the limit passes first.
    pub fn try_read(&mut self) -> std::io::Result<Reply> {
        loop {
            if let Some((reply, used)) = self.decode() {
                self.received.drain(..used);
                return Ok(reply);
            }
            if self.receive()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Runs a command on a connection that may break.
    pub fn try_call(&mut self, args: &[&[u8]]) -> std::io::Result<Reply> {
        self.try_send_bytes(&encode(args))?;
        self.try_read()
    }

    /// Whether nothing arrives for `quiet`.
    pub fn is_silent_for(&mut self, quiet: Duration) -> bool {
        self.set_limit(quiet);
        let silent = self.received.is_empty() && matches!(self.receive(), Err(error) if timed_out(&error));
        self.set_limit(REPLY_LIMIT);
        silent
    }

    /// Everything that the server sends until it hangs up.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.receive() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if timed_out(&error) => panic!("the connection stays open"),
                Err(_) => break,
            }
        }
        std::mem::take(&mut self.received)
    }

    /// Fills `count` bytes of the raw reply.
    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            let got = self.receive().expect("more bytes");
            assert!(got > 0, "hung up after {} of {count} bytes", self.received.len());
        }
        self.received.drain(..count).collect()
    }

    fn receive(&mut self) -> std::io::Result<usize> {
        let mut chunk = [0; READ_BYTES];
        let count = loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        self.received.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    fn decode(&self) -> Option<(Reply, usize)> {
        if self.received.is_empty() {
            return None;
        }
        let decoded = if self.resp3 {
            resp3::decode::complete::decode(&self.received).map(|frame| frame.map(owned))
        } else {
            resp2::decode::decode(&self.received).map(|frame| frame.map(owned))
        };
        decoded.unwrap_or_else(|error| panic!("not RESP: {error:?} in {}", self.received.escape_ascii()))
    }
}

fn owned<F: Into<Reply>>((frame, used): (F, usize)) -> (Reply, usize) {
    (frame.into(), used)
}

fn timed_out(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A command as a RESP array of bulk strings.
pub fn encode(args: &[&[u8]]) -> Vec<u8> {
    use resp2::types::{OwnedFrame, Resp2Frame};
    let frame = OwnedFrame::Array(args.iter().map(|arg| OwnedFrame::BulkString(arg.to_vec())).collect());
    let mut out = vec![0; frame.encode_len(false)];
    let used = resp2::encode::encode(&mut out, &frame, false).expect("the buffer has the frame's length");
    out.truncate(used);
    out
}

/// The words of a command line: parted by spaces, `'quoted words'` as one, `\xHH` for any byte.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').expect("a closing quote"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(unescape(word));
        rest = after.trim_start();
    }
    words
}

fn unescape(word: &str) -> Vec<u8> {
    let mut parts = word.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, text) = part.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).expect("two hexadecimal digits after \\x"));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}
