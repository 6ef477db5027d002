//! How a connection between nodes behaves when the network does not.
//!
//! - Nothing waits to be sent in fuller packets.
//! - A connection whose bytes go unacknowledged breaks after [`UNACKNOWLEDGED`], an idle one whose peer is gone after about
//!   as long. Left alone, TCP would retry for minutes, ever more seldom, so that two nodes would stay apart long
//!   after the network between them is whole again.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Beyond this a connection is taken for broken, and dialled anew.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Sets up a connection, dialled or accepted.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_EVERY).with_interval(PROBE_EVERY).with_retries(3);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_prepared_connection_has_its_timeouts() -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        prepare(&stream)?;
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay()? && socket.keepalive()?);
        assert_eq!(socket.tcp_user_timeout()?, Some(UNACKNOWLEDGED));
        assert_eq!(socket.tcp_keepalive_time()?, PROBE_EVERY);
        Ok(())
    }
}
