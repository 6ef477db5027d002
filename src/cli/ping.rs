//! `perdura ping`: is a server there, and does it answer? For health checks.
//!
//! One that loads its data is there, and does not answer yet. One that is ready also serves: it is the primary and takes writes, or a
//! replica that knows the primary.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use redis_protocol::resp2::types::OwnedFrame;

use super::complain;
use super::connection::{self, AskError, Connection, Target};
use super::status::group;
use crate::admin::report::State;

/// The exit code for a server that is still loading.
const NOT_YET: u8 = 3;

pub fn command() -> Command {
    Command::new("ping")
        .about("Exit with 0 if a server answers")
        .long_about("Exit with 0 if a server answers PING, with 3 if it is still loading its data, with 1 if there is none. With --ready it must also serve: be a primary that takes writes, or a replica that knows the primary. The password, if there is one, comes from PERDURA_REQUIREPASS.")
        .args([connection::addr(), connection::user()])
        .arg(
            Arg::new("ready")
                .long("ready")
                .action(ArgAction::SetTrue)
                .help("Exit with 3 as long as it does not serve: no primary is known to it, or that refuses it, or it is one that takes no writes"),
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
    let target = match Target::of(matches) {
        Ok(target) => target,
        Err(code) => return code,
    };
    let timeout_ms = matches.get_one::<u64>("timeout-ms").copied();
    let timeout = Duration::from_millis(timeout_ms.unwrap_or(3000));
    let is_ready = |()| if matches.get_flag("ready") { not_ready(&target, timeout) } else { Ok(None) };
    match ping(&target, timeout).and_then(is_ready) {
        Ok(Some(reason)) => {
            complain(format_args!("{}: not ready: {reason}", target.addr));
            ExitCode::from(NOT_YET)
        }
        Ok(None) => {
            println!("PONG");
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(format_args!("{}: {error}", target.addr));
            if is_not_yet(&error) { ExitCode::from(NOT_YET) } else { ExitCode::FAILURE }
        }
    }
}

fn is_not_yet(error: &AskError) -> bool {
    matches!(error, AskError::Refused(text) if text.starts_with("LOADING "))
}

/// Why a node that answers does not serve; `None` if it does.
fn not_ready(target: &Target, timeout: Duration) -> Result<Option<String>, AskError> {
    let report = group::ask(target, timeout)?;
    let reason = match report.state {
        State::Primary if report.takes_writes => None,
        State::Replica if report.leader_id != 0 => report.refused_by_primary.map(|answer| {
            format!("the primary, node {}, refuses what it sends for clients: {answer}", report.leader_id)
        }),
        State::Loading => Some("it still loads its data".to_owned()),
        _ => Some(report.warnings.first().map_or_else(
            || "it is neither the primary nor a replica that knows one".to_owned(),
            |warning| warning.text.clone(),
        )),
    };
    Ok(reason)
}

fn ping(target: &Target, timeout: Duration) -> Result<(), AskError> {
    match Connection::open(target, timeout)?.ask(&["PING"])? {
        OwnedFrame::SimpleString(text) if text == b"PONG" => Ok(()),
        _ => Err(AskError::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::config::value::{HostPort, Secret};

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
        ping(&Target::new(server(answers), password), timeout).map_err(|error| error.to_string())
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
        assert_eq!(try_ping(&[":1\r\n"], ""), Err(AskError::Foreign.to_string()));
        assert_eq!(try_ping(&[""], ""), Err(AskError::Closed.to_string()));
    }
}
