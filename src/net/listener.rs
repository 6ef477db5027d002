//! Accepting clients: which are let in, and what a connection starts with.
//!
//! - Where all places are taken, the oldest connection that has not authenticated gives way: strangers keep out neither clients
//!   nor what replicas forward.
//! - [`LOOPBACK_PLACES`] more are kept for connections from this machine, so that an operator gets in.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::answers::Connection;
use super::connection::ConnectionTask;
use super::worker::Worker;
use crate::admin::client::ClientInfo;
use crate::admin::shared::Shared;
use crate::env;
use crate::session::Session;

const BACKLOG: u32 = 1024;

/// Places beside `maxclients` that only connections from the loopback interface get.
pub const LOOPBACK_PLACES: u64 = 8;

/// How long accepting rests after an error such as too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

const PROTECTED: &[u8] = b"-DENIED Perdura is running in protected mode because protected mode is enabled and no \
password is set for the default user. In this mode connections are only accepted from the loopback interface. Set a \
password with --requirepass, or disable protected mode with --protected-mode no.\r\n";

/// A listener of one worker; `shared_port` lets several workers listen at the same address.
pub fn listen(addr: SocketAddr, shared_port: bool) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if shared_port {
        socket.set_reuseport(true)?;
    }
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Accepts for ever.
pub async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => admit(&worker, stream, addr),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn admit(worker: &Rc<Worker>, stream: TcpStream, addr: SocketAddr) {
    let shared = &worker.shared;
    shared.metrics.clients.accepted.inc();
    if let Some(refusal) = refusal(shared, addr) {
        shared.metrics.clients.rejected.inc();
        // A few bytes fit into a fresh socket's buffer; if not, closing says it too.
        let _ = stream.try_write(refusal);
        return;
    }
    if let Err(error) = start(worker, stream, addr) {
        tracing::debug!(%error, %addr, "a connection ended before it began");
    }
}

fn refusal(shared: &Shared, addr: SocketAddr) -> Option<&'static [u8]> {
    let config = &shared.config;
    let is_local = addr.ip().to_canonical().is_loopback();
    let places = config.maxclients() + if is_local { LOOPBACK_PLACES } else { 0 };
    let is_full = shared.clients.len() as u64 >= places;
    if is_full && !shared.clients.end_oldest_stranger() {
        return Some(b"-ERR max number of clients reached\r\n");
    }
    let stranger = config.protected_mode() && !is_local && shared.needs_no_password();
    stranger.then_some(PROTECTED)
}

/// Lets the system probe a silent connection every `seconds`, so that one whose client is gone ends; 0 is never.
fn keep_alive(stream: &TcpStream, seconds: u64) -> io::Result<()> {
    if seconds == 0 {
        return Ok(());
    }
    let interval = Duration::from_secs((seconds / 3).max(1));
    let probes =
        TcpKeepalive::new().with_time(Duration::from_secs(seconds)).with_interval(interval).with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

fn start(worker: &Rc<Worker>, stream: TcpStream, addr: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    keep_alive(&stream, worker.shared.config.tcp_keepalive_s())?;
    let local_addr = stream.local_addr()?.to_string();
    let shared = worker.shared.clone();
    let (reader, writer) = stream.into_split();
    let connection = worker.add(|id| {
        let info = ClientInfo::new(
            shared.clients.next_id(),
            (addr.to_string(), local_addr),
            (worker.index, id),
            shared.clock.monotonic_ms(),
        );
        Connection::new(id, info.into(), writer, shared.shard.memory.buffers().clone())
    });
    shared.clients.add(connection.info.clone());
    let client = shared.new_client(connection.info.clone(), worker.index, connection.id);
    let session = Session::new(client, shared, env::random_seed());
    tokio::task::spawn_local(ConnectionTask::new(worker.clone(), connection, reader, session).run());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::testing::TestNode;

    #[test]
    fn places_are_kept_for_connections_from_this_machine() {
        let mut node = TestNode::with(&[("maxclients", "1"), ("requirepass", "secret")]);
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (own, other) = (addr("127.0.0.1:5000"), addr("10.0.0.7:5000"));
        // Who has not authenticated gives way.
        node.show("AUTH secret");
        assert_eq!(node.shared.clients.len(), 1);
        assert!(refusal(&node.shared, other).is_some() && refusal(&node.shared, own).is_none());
        let mut fill = |_| {
            let client = node.switch_to_new_client();
            node.show("AUTH secret");
            client
        };
        let clients: Vec<_> = (1..1 + LOOPBACK_PLACES).map(&mut fill).collect();
        assert!(refusal(&node.shared, own).is_some());
        drop(clients);
    }
}
