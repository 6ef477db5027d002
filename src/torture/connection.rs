//! One client connection to a node: commands out, replies in, each with a limit of time.
//!
//! A connection that failed or ran into its limit is of no further use: what it would still answer is unknown.

use std::io;
use std::time::Duration;

use perdura_proof::Reply;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const READ_BYTES: usize = 16 << 10;
/// The longest reply that makes sense: a list of all values of a key.
const MAX_REPLY_BYTES: usize = 64 << 20;

/// A connection that speaks RESP2.
#[derive(Debug)]
pub struct NodeConnection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl NodeConnection {
    /// Connects to `address`, host:port.
    pub async fn open(address: &str) -> io::Result<NodeConnection> {
        let stream = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(NodeConnection { stream, received: Vec::new() })
    }

    /// Sends commands at once and waits for a reply to each.
    pub async fn call(&mut self, commands: &[Vec<Vec<u8>>], limit: Duration) -> io::Result<Vec<Reply>> {
        let exchanged = timeout(limit, self.exchange(commands)).await;
        exchanged.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends one command given as words.
    pub async fn ask(&mut self, words: &[&str], limit: Duration) -> io::Result<Reply> {
        let command = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let mut replies = self.call(&[command], limit).await?;
        replies.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    async fn exchange(&mut self, commands: &[Vec<Vec<u8>>]) -> io::Result<Vec<Reply>> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| perdura_proof::encode(command)).collect();
        self.stream.write_all(&bytes).await?;
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            replies.push(self.reply().await?);
        }
        Ok(replies)
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        let mut chunk = [0; READ_BYTES];
        loop {
            if let Some((reply, used)) = Reply::parse(&self.received).map_err(io::Error::other)? {
                self.received.drain(..used);
                return Ok(reply);
            }
            if self.received.len() > MAX_REPLY_BYTES {
                return Err(io::Error::other("the reply is too long"));
            }
            match self.stream.read(&mut chunk).await? {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")),
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

/// One command over a connection of its own.
pub async fn ask_once(address: &str, words: &[&str], limit: Duration) -> io::Result<Reply> {
    NodeConnection::open(address).await?.ask(words, limit).await
}
