//! The network between the nodes: a TCP proxy for each directed pair, so that links can be cut, slowed and broken.
//!
//! - Node i reaches node j through a listener of its own. On that connection bytes from i to j take the *path* i→j and
//!   bytes back take the path j→i; each path by itself can be held and slowed.
//! - A held path keeps its bytes and their order, as TCP does while packets are lost, and delivers them once it is
//!   open again. A connection that is begun while either of its paths is held gets no answer until then.
//! - Resetting a node's connections loses whatever is on the way, which is what a machine that dies does to the bytes in its
//!   own buffers.
//! - The proxies run on a thread of their own, so that the harness' other work does not slow the links down.
//!
//! Caveats: a byte held here has been acknowledged to the sender's kernel, so that neither end's TCP notices the cut
//! by itself, and delivery resumes at once when it ends, without TCP's back-off.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::env::Clock;

/// Bytes taken from a socket at a time, and how many such pieces may be on the way.
const PIECE_BYTES: usize = 16 << 10;
const MAX_PIECES: usize = 512;
/// How long a listener that can't accept rests.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How bytes travel in one direction between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathState {
    pub held: bool,
    pub delay: Duration,
}

/// All links of a group. Dropping it ends them.
#[derive(Debug)]
pub struct Links {
    nodes: usize,
    base_delay: Duration,
    /// From node to node, row by row; the diagonal is unused.
    pairs: Vec<Arc<Pair>>,
    _end: watch::Sender<()>,
}

/// One directed pair.
#[derive(Debug)]
struct Pair {
    /// Where the first node reaches the second.
    listens: SocketAddr,
    path: watch::Sender<PathState>,
    /// Moves on when the connections that the first made to the second are to break.
    breaks: watch::Sender<u64>,
}

impl Links {
    /// Begins to listen for every pair; `targets` are the nodes' real addresses.
    pub fn start(targets: &[SocketAddr], base_delay: Duration, clock: &Clock) -> io::Result<Links> {
        let nodes = targets.len();
        let mut pairs = Vec::new();
        let mut listeners = Vec::new();
        for _ in 0..nodes * nodes {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let open = PathState { held: false, delay: base_delay };
            pairs.push(Arc::new(Pair {
                listens: listener.local_addr()?,
                path: watch::Sender::new(open),
                breaks: watch::Sender::new(0),
            }));
            listeners.push(listener);
        }
        let (end, ended) = watch::channel(());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let routes: Vec<Route> = (0..nodes * nodes)
            .map(|at| Route {
                target: targets[at % nodes],
                out: pairs[at].clone(),
                back: pairs[at % nodes * nodes + at / nodes].clone(),
                clock: clock.clone(),
            })
            .collect();
        std::thread::Builder::new()
            .name("links".to_owned())
            .spawn(move || runtime.block_on(serve(listeners, routes, ended)))?;
        Ok(Links { nodes, base_delay, pairs, _end: end })
    }

    /// Where `from` reaches `to`.
    pub fn address(&self, from: usize, to: usize) -> SocketAddr {
        self.pair(from, to).listens
    }

    /// Nothing gets through from `from` to `to`.
    pub fn hold(&self, from: usize, to: usize) {
        self.pair(from, to).path.send_modify(|path| path.held = true);
    }

    /// What `from` sends reaches `to` again.
    pub fn release(&self, from: usize, to: usize) {
        self.pair(from, to).path.send_modify(|path| path.held = false);
    }

    /// Neither node hears the other.
    pub fn cut(&self, one: usize, other: usize) {
        self.hold(one, other);
        self.hold(other, one);
    }

    /// Adds to the time that bytes take from `from` to `to`.
    pub fn slow(&self, from: usize, to: usize, by: Duration) {
        self.pair(from, to).path.send_modify(|path| path.delay = self.base_delay + by);
    }

    /// Breaks the connections between two nodes; what is on the way is lost.
    pub fn reset(&self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            self.pair(from, to).breaks.send_modify(|breaks| *breaks += 1);
        }
    }

    /// Breaks all connections of a node.
    pub fn reset_node(&self, node: usize) {
        self.others(node).for_each(|other| self.reset(node, other));
    }

    /// Everything gets through again, as fast as at the beginning.
    pub fn heal(&self) {
        for pair in &self.pairs {
            pair.path.send_replace(PathState { held: false, delay: self.base_delay });
        }
    }

    /// All nodes but this one.
    pub fn others(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.nodes).filter(move |other| *other != node)
    }

    fn pair(&self, from: usize, to: usize) -> &Pair {
        &self.pairs[from * self.nodes + to]
    }
}

/// What the listener of a pair knows.
#[derive(Clone)]
struct Route {
    target: SocketAddr,
    out: Arc<Pair>,
    back: Arc<Pair>,
    clock: Clock,
}

async fn serve(listeners: Vec<std::net::TcpListener>, routes: Vec<Route>, mut ended: watch::Receiver<()>) {
    let mut tasks = JoinSet::new();
    for (listener, route) in listeners.into_iter().zip(routes) {
        match TcpListener::from_std(listener) {
            Ok(listener) => drop(tasks.spawn(accept(listener, route))),
            Err(error) => tracing::error!(%error, "a link can't listen"),
        }
    }
    // An error says that the sender is gone, which is the end.
    let _ = ended.changed().await;
}

async fn accept(listener: TcpListener, route: Route) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, route.clone()))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Carries one connection until either end closes it or it is to break.
async fn connection(near: TcpStream, route: Route) {
    let mut breaks = route.out.breaks.subscribe();
    tokio::select! {
        _ = carry(near, &route) => {}
        _ = breaks.changed() => {}
    }
}

async fn carry(near: TcpStream, route: &Route) -> io::Result<()> {
    let (mut out, mut back) = (route.out.path.subscribe(), route.back.path.subscribe());
    until_open(&mut out).await;
    until_open(&mut back).await;
    let far = TcpStream::connect(route.target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        ended = pump(near_read, far_write, out, &route.clock) => ended,
        ended = pump(far_read, near_write, back, &route.clock) => ended,
    }
}

async fn until_open(path: &mut watch::Receiver<PathState>) {
    // An error says that the links are being dropped, and with them this task.
    let _ = path.wait_for(|path| !path.held).await;
}

/// Bytes and when they are to arrive.
struct Piece {
    due_ns: u64,
    bytes: Vec<u8>,
}

/// Carries bytes one way until the reader ends.
async fn pump(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    path: watch::Receiver<PathState>,
    clock: &Clock,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(MAX_PIECES);
    let (taken, delivered) =
        tokio::join!(take(from, sender, path.clone(), clock), deliver(to, receiver, path, clock));
    taken.and(delivered)
}

async fn take(
    mut from: OwnedReadHalf,
    pieces: mpsc::Sender<Piece>,
    path: watch::Receiver<PathState>,
    clock: &Clock,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let delay = path.borrow().delay;
        let due_ns = clock.monotonic_ns() + delay.as_nanos() as u64;
        let piece = Piece { due_ns, bytes: buffer[..count].to_vec() };
        if pieces.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

async fn deliver(
    mut to: OwnedWriteHalf,
    mut pieces: mpsc::Receiver<Piece>,
    mut path: watch::Receiver<PathState>,
    clock: &Clock,
) -> io::Result<()> {
    while let Some(piece) = pieces.recv().await {
        let early_ns = piece.due_ns.saturating_sub(clock.monotonic_ns());
        if early_ns > 0 {
            tokio::time::sleep(Duration::from_nanos(early_ns)).await;
        }
        until_open(&mut path).await;
        to.write_all(&piece.bytes).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);
    const A_WHILE: Duration = Duration::from_millis(100);

    /// Two nodes; the second is a listener of the test.
    async fn two_nodes() -> io::Result<(Links, TcpListener)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok((Links::start(&[address, address], Duration::ZERO, &Clock::system())?, listener))
    }

    async fn connected(links: &Links, listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
        let near = TcpStream::connect(links.address(0, 1)).await?;
        let (far, _) = timeout(SOON, listener.accept()).await??;
        Ok((near, far))
    }

    async fn read_byte(stream: &mut TcpStream) -> io::Result<u8> {
        timeout(SOON, stream.read_u8()).await?
    }

    #[tokio::test(flavor = "current_thread")]
    async fn each_direction_is_held_by_itself_and_loses_nothing() -> io::Result<()> {
        let (links, listener) = two_nodes().await?;
        let (mut near, mut far) = connected(&links, &listener).await?;
        links.hold(0, 1);
        near.write_all(b"ab").await?;
        far.write_all(b"z").await?;
        assert_eq!(read_byte(&mut near).await?, b'z');
        assert!(timeout(A_WHILE, far.read_u8()).await.is_err());
        links.heal();
        assert_eq!([read_byte(&mut far).await?, read_byte(&mut far).await?], *b"ab");
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nobody_is_reached_anew_over_a_cut_link() -> io::Result<()> {
        let (links, listener) = two_nodes().await?;
        links.cut(0, 1);
        let mut near = TcpStream::connect(links.address(0, 1)).await?;
        near.write_all(b"a").await?;
        assert!(timeout(A_WHILE, listener.accept()).await.is_err());
        links.heal();
        let (mut far, _) = timeout(SOON, listener.accept()).await??;
        assert_eq!(read_byte(&mut far).await?, b'a');
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_reset_loses_what_is_on_the_way() -> io::Result<()> {
        let (links, listener) = two_nodes().await?;
        let (mut near, mut far) = connected(&links, &listener).await?;
        links.slow(0, 1, A_WHILE * 3);
        near.write_all(b"a").await?;
        tokio::time::sleep(A_WHILE).await;
        links.reset_node(0);
        assert!(read_byte(&mut far).await.is_err());
        assert!(read_byte(&mut near).await.is_err());
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_slow_link_takes_its_time() -> io::Result<()> {
        let (links, listener) = two_nodes().await?;
        let (mut near, mut far) = connected(&links, &listener).await?;
        links.slow(0, 1, A_WHILE);
        let clock = Clock::system();
        near.write_all(b"a").await?;
        assert_eq!(read_byte(&mut far).await?, b'a');
        assert!(clock.monotonic_ms() >= A_WHILE.as_millis() as u64);
        Ok(())
    }
}
