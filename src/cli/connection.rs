//! A connection to a running node, for the commands of an operator: one request at a time, each step with a limit of time.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};

use super::{MISTAKE, arguments, complain};
use crate::config::passwords;
use crate::config::settings::{Flags, Settings, USER_VARIABLE};
use crate::config::value::{HostPort, Secret, parse_port};

/// Longest answer that makes sense: an entry of the log may hold some of the longest values.
const MAX_ANSWER_BYTES: usize = 1 << 30;
/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Why there was no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("{}", io_text(.0))]
    Io(#[from] io::Error),
    #[error("the name has no address")]
    NoAddress,
    #[error("it answered: {}{}", .0, advice(.0))]
    Refused(String),
    #[error("it answered in no way that Redis does: is that the port for clients?")]
    Foreign,
    #[error("it closed the connection")]
    Closed,
}

/// An error of a socket, in words.
fn io_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "no server listens there (connection refused)".to_owned(),
        // What a socket says whose limit of time has passed.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it did not answer in time".to_owned(),
        _ => error.to_string(),
    }
}

/// What to do about a refusal, where this program knows.
fn advice(refusal: &str) -> &'static str {
    let is = |beginning: &str| refusal.starts_with(beginning);
    if is("NOAUTH ") {
        "; give the password in PERDURA_REQUIREPASS, or its file in PERDURA_REQUIREPASS_FILE, and a user other than default with --user"
    } else if is("WRONGPASS ") || is("ERR AUTH ") {
        "; PERDURA_REQUIREPASS, or the file of PERDURA_REQUIREPASS_FILE, has another password than the server's user default, or than the user \
         named by --user; where no password is known any more see docs/operations.md, Locked out"
    } else if is("NOPERM ") {
        "; name a user that may do so with --user or PERDURA_USER, its password in PERDURA_REQUIREPASS"
    } else if is("ERR unknown subcommand ") {
        "; the server's program is older than this one"
    } else if is("ERR unknown command 'PERDURA'") {
        "; that server is not Perdura"
    } else {
        ""
    }
}

/// A node, and as which user it is asked.
#[derive(Clone, Debug)]
pub struct Target {
    pub addr: HostPort,
    /// The user `default` where there is none.
    user: Option<String>,
    password: Option<Secret>,
}

impl Target {
    /// The node that `--addr` of a command names, see [`addr`], or that the environment says, or the usual port of this machine; as the
    /// user that `--user` names ([`user`]). The password is the environment's.
    ///
    /// # Errors
    /// What is wrong with address or environment, for a person.
    pub fn named(matches: &ArgMatches) -> Result<Target, String> {
        Target::find(matches.get_one::<String>("addr").map(String::as_str), matches)
    }

    /// The same for one address of several.
    pub fn find(addr: Option<&str>, matches: &ArgMatches) -> Result<Target, String> {
        let settings =
            Settings::resolve(&Flags::new(), arguments::environment()).map_err(|error| error.to_string())?;
        let password = passwords(&settings).map_err(|error| error.to_string())?.first().cloned();
        let variable =
            || arguments::environment().find(|(name, _)| name == USER_VARIABLE).map(|(_, user)| user);
        let user =
            matches.get_one::<String>("user").cloned().or_else(variable).filter(|user| !user.is_empty());
        let addr = match addr {
            Some(text) => parse_addr(text)?,
            None => {
                let port = settings.required("port", parse_port);
                HostPort::new("127.0.0.1", port.map_err(|error| error.to_string())?)
            }
        };
        Ok(Target { addr, user, password })
    }

    /// Another node, as the same user.
    pub fn at(&self, addr: &str) -> Result<Target, String> {
        Ok(Target { addr: parse_addr(addr)?, ..self.clone() })
    }

    /// As [`named`](Self::named); a mistake has been told when its exit code comes back.
    pub fn of(matches: &ArgMatches) -> Result<Target, ExitCode> {
        Target::named(matches).map_err(|mistake| {
            complain(mistake);
            ExitCode::from(MISTAKE)
        })
    }

    #[cfg(test)]
    pub fn new(addr: HostPort, password: Option<Secret>) -> Target {
        Target { addr, user: None, password }
    }
}

fn parse_addr(text: &str) -> Result<HostPort, String> {
    text.parse().map_err(|reason| format!("--addr: {reason}"))
}

/// The flag of a command that asks one node, by default the one of this machine.
pub fn addr() -> Arg {
    Arg::new("addr")
        .long("addr")
        .value_name("HOST:PORT")
        .help("The node [default: 127.0.0.1 and PERDURA_PORT, else 6379]")
}

/// The flag of every command that asks a node.
pub fn user() -> Arg {
    Arg::new("user").long("user").value_name("NAME").help(
        "The user to authenticate as, its password in PERDURA_REQUIREPASS or its file [PERDURA_USER, default: default]",
    )
}

/// See the module.
#[derive(Debug)]
pub struct Connection(TcpStream);

impl Connection {
    /// Connects, and authenticates where there is a password.
    pub fn open(target: &Target, timeout: Duration) -> Result<Connection, AskError> {
        let mut connection = Connection(connect(&target.addr, timeout)?);
        let password = target.password.as_ref().map(Secret::expose);
        match (&target.user, password) {
            // A user without a password takes any.
            (Some(user), password) => drop(connection.ask(&["AUTH", user, password.unwrap_or_default()])?),
            (None, Some(password)) => drop(connection.ask(&["AUTH", password])?),
            (None, None) => {}
        }
        Ok(connection)
    }

    /// Sends one command and waits for its answer; an error that is answered is an error here.
    pub fn ask(&mut self, words: &[&str]) -> Result<OwnedFrame, AskError> {
        let words = words.iter().map(|word| OwnedFrame::BulkString(word.as_bytes().to_vec()));
        let request = OwnedFrame::Array(words.collect());
        let mut bytes = vec![0; request.encode_len(false)];
        encode(&mut bytes, &request, false).map_err(|_| AskError::Foreign)?;
        self.0.write_all(&bytes)?;
        match self.read_answer()? {
            OwnedFrame::Error(text) => Err(AskError::Refused(text.to_string())),
            answer => Ok(answer),
        }
    }

    /// How long an answer may take from now on.
    pub fn set_timeout(&self, timeout: Duration) -> Result<(), AskError> {
        Ok(self.0.set_read_timeout(Some(timeout))?)
    }

    /// The socket, for a caller that sends and reads by itself.
    pub fn into_stream(self) -> TcpStream {
        self.0
    }

    fn read_answer(&mut self) -> Result<OwnedFrame, AskError> {
        let mut answer = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        while answer.len() < MAX_ANSWER_BYTES {
            let read = self.0.read(&mut chunk)?;
            if read == 0 {
                return Err(AskError::Closed);
            }
            answer.extend_from_slice(&chunk[..read]);
            if let Some((frame, _)) = decode(&answer).map_err(|_| AskError::Foreign)? {
                return Ok(frame);
            }
        }
        Err(AskError::Foreign)
    }

    /// One field of INFO; `None` where the node does not tell it.
    pub fn info(&mut self, field: &str) -> Result<Option<String>, AskError> {
        let OwnedFrame::BulkString(text) = self.ask(&["INFO", "everything"])? else {
            return Err(AskError::Foreign);
        };
        let text = String::from_utf8_lossy(&text);
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields.filter(|(name, _)| *name == field).map(|(_, value)| value.to_owned()).next())
    }
}

/// The elements of an array.
pub fn parts(frame: OwnedFrame) -> Result<Vec<OwnedFrame>, AskError> {
    if let OwnedFrame::Array(parts) = frame { Ok(parts) } else { Err(AskError::Foreign) }
}

pub fn integer(frame: &OwnedFrame) -> Result<i64, AskError> {
    if let OwnedFrame::Integer(number) = frame { Ok(*number) } else { Err(AskError::Foreign) }
}

/// A map as RESP2 has it: names and values by turns.
#[derive(Debug)]
pub struct Fields(BTreeMap<String, OwnedFrame>);

impl Fields {
    pub fn of(frame: OwnedFrame) -> Result<Fields, AskError> {
        let mut fields = BTreeMap::new();
        let mut parts = parts(frame)?.into_iter();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let OwnedFrame::BulkString(name) = name else { return Err(AskError::Foreign) };
            fields.insert(String::from_utf8_lossy(&name).into_owned(), value);
        }
        Ok(Fields(fields))
    }

    /// Takes a field out.
    pub fn take(&mut self, name: &str) -> Result<OwnedFrame, AskError> {
        self.0.remove(name).ok_or(AskError::Foreign)
    }

    /// A number that is not negative.
    pub fn number(&self, name: &str) -> Result<u64, AskError> {
        let number = integer(self.0.get(name).ok_or(AskError::Foreign)?)?;
        u64::try_from(number).map_err(|_| AskError::Foreign)
    }

    /// A number that may be nil.
    pub fn signed(&self, name: &str) -> Result<Option<i64>, AskError> {
        match self.0.get(name) {
            Some(OwnedFrame::Null) => Ok(None),
            Some(frame) => integer(frame).map(Some),
            None => Err(AskError::Foreign),
        }
    }

    pub fn text(&self, name: &str) -> Result<String, AskError> {
        match self.0.get(name) {
            Some(OwnedFrame::BulkString(text)) => Ok(String::from_utf8_lossy(text).into_owned()),
            _ => Err(AskError::Foreign),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

fn connect(addr: &HostPort, timeout: Duration) -> Result<TcpStream, AskError> {
    let mut last = AskError::NoAddress;
    for address in (addr.host.as_str(), addr.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}
