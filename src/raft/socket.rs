//! How a connection between nodes behaves when the network does not.
//!
//! - Nothing waits to be sent in fuller packets.
//! - A keepalive connection whose bytes go unacknowledged breaks after [`UNACKNOWLEDGED`], an idle one whose peer is gone after about
//!   as long. Left alone, TCP would retry for minutes, ever more seldom, so that two nodes would stay apart long
//!   after the network between them is whole again.
//! - A raft connection waits longer, for the system counts it as unacknowledged, too, when the peer does not read, and a driver that is
//!   busy reads nothing. If the network is gone, the keepalive connection's end ends it (`keepalive.rs`).
//! - The system takes little more than it can send, so that what is urgent does not wait there.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::hello::ConnectionKind;

/// Beyond this a connection is taken for broken, and dialled anew.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// The same for connections that a busy driver reads.
const UNREAD: Duration = Duration::from_secs(60);

/// The bytes that the system holds and has not sent: at 100 Mbit/s, what it sends in 20 ms.
const UNSENT_BYTES: u32 = 256 << 10;

const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Sets up a connection, dialled or accepted.
pub(super) fn prepare(stream: &TcpStream, kind: ConnectionKind) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_EVERY).with_interval(PROBE_EVERY).with_retries(3);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    let patience = match kind {
        ConnectionKind::Raft => UNREAD,
        ConnectionKind::Keepalive | ConnectionKind::Probe => UNACKNOWLEDGED,
    };
    socket.set_tcp_user_timeout(Some(patience))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_prepared_connection_has_its_timeouts() -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let patience = [(ConnectionKind::Raft, UNREAD), (ConnectionKind::Keepalive, UNACKNOWLEDGED)];
        let socket = SockRef::from(&stream);
        for (kind, patience) in patience {
            prepare(&stream, kind)?;
            assert_eq!(socket.tcp_user_timeout()?, Some(patience));
        }
        assert!(stream.nodelay()? && socket.keepalive()?);
        assert_eq!(socket.tcp_keepalive_time()?, PROBE_EVERY);
        Ok(())
    }
}
