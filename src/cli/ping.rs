//! `perdura ping`: is a server there, and does it answer? For health checks.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};

use super::{MISTAKE, arguments, complain};
use crate::config::settings::{Flags, Settings};
use crate::config::value::{HostPort, Secret, parse_port};

/// Longest answer that makes sense.
const MAX_ANSWER: usize = 64 << 10;

/// Why there was no PONG.
#[derive(Debug, thiserror::Error)]
enum PingError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the name has no address")]
    NoAddress,
    #[error("it answered: {0}")]
    Refused(String),
    #[error("it answered in no way that Redis does")]
    Foreign,
    #[error("it closed the connection")]
    Closed,
}

pub fn command() -> Command {
    Command::new("ping")
        .about("Exit with 0 if a server answers")
        .long_about("Exit with 0 if a server answers PING. The password, if there is one, comes from PERDURA_REQUIREPASS.")
        .arg(
            Arg::new("addr")
                .long("addr")
                .value_name("HOST:PORT")
                .help("The server [default: 127.0.0.1 and PERDURA_PORT, else 6379]"),
        )
        .arg(
            Arg::new("timeout-ms")
                .long("timeout-ms")
                .value_name("MS")
                .value_parser(clap::value_parser!(u64).range(1..=600_000))
                .default_value("3000")
                .help("How long to wait for each step"),
        )
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let (addr, password) = match target(matches) {
        Ok(target) => target,
        Err(mistake) => {
            complain(mistake);
            return ExitCode::from(MISTAKE);
        }
    };
    let timeout_ms = matches.get_one::<u64>("timeout-ms").copied();
    let timeout = Duration::from_millis(timeout_ms.unwrap_or(3000));
    match ping(&addr, password.as_ref(), timeout) {
        Ok(()) => {
            println!("PONG");
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(format_args!("{addr}: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn target(matches: &ArgMatches) -> Result<(HostPort, Option<Secret>), String> {
    let settings =
        Settings::resolve(&Flags::new(), arguments::environment()).map_err(|error| error.to_string())?;
    let password =
        settings.optional("requirepass", Secret::parse).map_err(|error| error.to_string())?.flatten();
    let addr = match matches.get_one::<String>("addr") {
        Some(text) => text.parse().map_err(|reason| format!("--addr: {reason}"))?,
        None => {
            let port = settings.required("port", parse_port);
            HostPort::new("127.0.0.1", port.map_err(|error| error.to_string())?)
        }
    };
    Ok((addr, password))
}

fn ping(addr: &HostPort, password: Option<&Secret>, timeout: Duration) -> Result<(), PingError> {
    let mut stream = connect(addr, timeout)?;
    if let Some(password) = password {
        match ask(&mut stream, &["AUTH", password.expose()])? {
            OwnedFrame::SimpleString(_) => {}
            other => return Err(unexpected(other)),
        }
    }
    match ask(&mut stream, &["PING"])? {
        OwnedFrame::SimpleString(text) if text == b"PONG" => Ok(()),
        other => Err(unexpected(other)),
    }
}

fn connect(addr: &HostPort, timeout: Duration) -> Result<TcpStream, PingError> {
    let mut last = PingError::NoAddress;
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

fn ask(stream: &mut TcpStream, words: &[&str]) -> Result<OwnedFrame, PingError> {
    let words = words.iter().map(|word| OwnedFrame::BulkString(word.as_bytes().to_vec()));
    let request = OwnedFrame::Array(words.collect());
    let mut bytes = vec![0; request.encode_len(false)];
    encode(&mut bytes, &request, false).map_err(|_| PingError::Foreign)?;
    stream.write_all(&bytes)?;
    read_answer(stream)
}

fn read_answer(stream: &mut TcpStream) -> Result<OwnedFrame, PingError> {
    let mut answer = Vec::new();
    let mut chunk = [0; 512];
    while answer.len() < MAX_ANSWER {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(PingError::Closed);
        }
        answer.extend_from_slice(&chunk[..read]);
        if let Some((frame, _)) = decode(&answer).map_err(|_| PingError::Foreign)? {
            return Ok(frame);
        }
    }
    Err(PingError::Foreign)
}

fn unexpected(frame: OwnedFrame) -> PingError {
    match frame {
        OwnedFrame::Error(text) => PingError::Refused(text.to_string()),
        _ => PingError::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that gives these answers, each to one read.
    fn server(answers: &'static [&'static str]) -> HostPort {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            for answer in answers {
                let mut request = [0; 512];
                let _ = stream.read(&mut request)?;
                stream.write_all(answer.as_bytes())?;
            }
            Ok(())
        });
        HostPort::new("127.0.0.1", port)
    }

    fn try_ping(answers: &'static [&'static str], password: &str) -> Result<(), String> {
        let password = Secret::parse(password).expect("short");
        let timeout = Duration::from_secs(5);
        ping(&server(answers), password.as_ref(), timeout).map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_that_answers_is_well() {
        assert_eq!(try_ping(&["+PONG\r\n"], ""), Ok(()));
        assert_eq!(try_ping(&["+OK\r\n", "+PONG\r\n"], "hush"), Ok(()));
    }

    #[test]
    fn anything_else_is_a_failure_with_its_reason() {
        let refused = "it answered: LOADING replaying the log";
        assert_eq!(try_ping(&["-LOADING replaying the log\r\n"], ""), Err(refused.to_owned()));
        assert_eq!(try_ping(&[":1\r\n"], ""), Err(PingError::Foreign.to_string()));
        assert_eq!(try_ping(&[""], ""), Err(PingError::Closed.to_string()));
    }
}
