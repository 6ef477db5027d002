//! The peer port: greets who connects, and reads what peers send.
//!
//! - A peer has at most one connection of each kind; a new one ends the old one, so that what a peer says stays in order.
//! - Only members are read from. Strangers get a reason and are closed; the same complaint is logged once in a row.
//! - At most [`MAX_GREETINGS`] connections are being greeted at a time, each for at most [`GREETING_TIMEOUT`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::frame::{Frame, FrameError};
use super::hello::{ConnectionKind, Greeter, Hello, HelloError};
use super::identity::NodeId;
use super::inbox::Inbox;
use super::keepalive::KeepaliveHandle;
use super::link::LinkWatcher;

const MAX_GREETINGS: usize = 64;
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 64 << 10;
const KEPT_BUFFER_BYTES: usize = 1 << 20;
/// A listener that can't accept (out of file descriptors, say) tries again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Listener {
    pub greeter: Greeter,
    pub inbox: Inbox,
    pub watcher: Arc<dyn LinkWatcher>,
    pub keepalive: Option<KeepaliveHandle>,
    readers: Mutex<HashMap<NodeId, AbortHandle>>,
    last_complaint: Mutex<String>,
}

impl Listener {
    pub(super) fn new(
        greeter: Greeter,
        inbox: Inbox,
        watcher: Arc<dyn LinkWatcher>,
        keepalive: Option<KeepaliveHandle>,
    ) -> Listener {
        Listener {
            greeter,
            inbox,
            watcher,
            keepalive,
            readers: Mutex::default(),
            last_complaint: Mutex::default(),
        }
    }

    /// Accepts until the task is dropped, which ends its connections as well.
    pub(super) async fn run(self: Arc<Listener>, socket: TcpListener) {
        let greetings = Arc::new(Semaphore::new(MAX_GREETINGS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(permit) = greetings.clone().acquire_owned().await else {
                return;
            };
            match socket.accept().await {
                Ok((stream, from)) => {
                    let listener = self.clone();
                    let (go, ready) = tokio::sync::oneshot::channel();
                    let task = connections.spawn(async move {
                        let Ok(own_handle) = ready.await else {
                            return;
                        };
                        let greeted = listener.greet(stream, from).await;
                        drop(permit);
                        if let Some((stream, hello)) = greeted {
                            listener.serve(stream, hello, own_handle).await;
                        }
                    });
                    let _ = go.send(task);
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a peer's connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn greet(&self, mut stream: TcpStream, from: SocketAddr) -> Option<(TcpStream, Hello)> {
        let greeting = timeout(GREETING_TIMEOUT, async {
            stream.set_nodelay(true)?;
            self.greeter.accept(&mut stream).await
        });
        let too_slow = || HelloError::Io(std::io::ErrorKind::TimedOut.into());
        match greeting.await.unwrap_or_else(|_| Err(too_slow())) {
            Ok(hello) => Some((stream, hello)),
            Err(error) => {
                self.complain_once(from, &error);
                None
            }
        }
    }

    fn complain_once(&self, from: SocketAddr, error: &HelloError) {
        let complaint = format!("{} {error}", from.ip());
        let mut last = self.last_complaint.lock();
        if *last != complaint {
            tracing::warn!(%from, %error, "refused a connection to the peer port");
            *last = complaint;
        }
    }

    async fn serve(&self, stream: TcpStream, hello: Hello, own_handle: AbortHandle) {
        self.watcher.connected(&hello);
        if hello.kind == ConnectionKind::Keepalive {
            if let Some(keepalive) = &self.keepalive {
                keepalive.hand_over(hello.node_id, stream);
            }
            return;
        }
        let older = self.readers.lock().insert(hello.node_id, own_handle);
        if let Some(older) = older {
            older.abort();
        }
        if let Err(error) = read_frames(stream, hello.node_id, &self.inbox).await {
            tracing::warn!(peer = hello.node_id, %error, "closed a peer's connection");
        }
    }
}

/// Reads until the peer closes, or says what is no frame.
async fn read_frames(mut stream: TcpStream, from: NodeId, inbox: &Inbox) -> Result<(), FrameError> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES);
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        loop {
            let before = buffer.len();
            let Some(frame) = Frame::decode(&mut buffer)? else {
                break;
            };
            if matches!(frame, Frame::Raft(_) | Frame::Publish(_)) {
                inbox.put(from, frame.into(), before - buffer.len()).await;
            }
        }
        if buffer.is_empty() && buffer.capacity() > KEPT_BUFFER_BYTES {
            buffer = BytesMut::new();
        }
    }
}
