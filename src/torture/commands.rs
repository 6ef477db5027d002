//! The commands by which a user's own nodes are started, stopped, killed, paused and promoted.
//!
//! A command is a line for `sh -c` in which `{node}` stands for the node's number (from 1), `{host}` and `{port}` for its
//! address. It must come back: what it starts has to go on in the background.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What there is a command for.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    pub start: Option<String>,
    pub stop: Option<String>,
    pub kill: Option<String>,
    pub pause: Option<String>,
    pub resume: Option<String>,
    pub promote: Option<String>,
}

/// The line for one node; `address` is host:port.
fn fill(template: &str, node: usize, address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    template.replace("{node}", &(node + 1).to_string()).replace("{host}", host).replace("{port}", port)
}

/// Runs a command for a node and waits for it.
///
/// # Errors
/// It is missing, fails, or takes too long.
pub async fn run(template: Option<&str>, node: usize, address: &str) -> io::Result<()> {
    let Some(template) = template else { return Err(io::Error::other("there is no command for it")) };
    let line = fill(template, node, address);
    let shown = line.clone();
    let running = tokio::task::spawn_blocking(move || {
        Command::new("sh").arg("-c").arg(line).stdin(Stdio::null()).stdout(Stdio::null()).status()
    });
    let status = tokio::time::timeout(LIMIT, running).await?.map_err(io::Error::other)??;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("'{shown}' ended with {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_number_and_address_are_filled_in() {
        assert_eq!(fill("ctl {node} {host} {port} {node}", 1, "10.0.0.2:6379"), "ctl 2 10.0.0.2 6379 2");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_command_that_fails_is_named() {
        assert!(run(Some("test {node} = 1"), 0, "h:1").await.is_ok());
        let error = run(Some("test {node} = 1"), 1, "h:1").await.expect_err("2 is not 1");
        assert!(error.to_string().contains("test 2 = 1"), "{error}");
        assert!(run(None, 0, "h:1").await.is_err());
    }
}
