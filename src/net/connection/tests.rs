//! Stories of one connection's task, by a clock that stands still until it is moved.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::admin::testing::TestNode;
use crate::env::ManualClock;
use crate::shard::port::ShardHandle;

/// A connection that has read a key under a lease of 5 ms.
struct Reader {
    task: ConnectionTask,
    connection: Rc<Connection>,
    shard: Arc<ShardHandle>,
    clock: Arc<ManualClock>,
    /// The client's end, to be kept open.
    _client: TcpStream,
}

const ANSWER: &[u8] = b"$-1\r\n";

impl Reader {
    async fn new() -> io::Result<Reader> {
        let TestNode { shared, client, hands: clock } = TestNode::new();
        let shared = Arc::new(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let _client = TcpStream::connect(listener.local_addr()?).await?;
        let (reader, writer) = listener.accept().await?.0.into_split();
        let worker = Worker::new(0, shared.clone());
        let connection = worker.add(|id| Connection::new(id, client.info.clone(), writer, Arc::default()));
        let session = Session::new(client, shared.clone(), 0);
        let task = ConnectionTask::new(worker, connection.clone(), reader, session);
        let mut reader = Reader { task, connection, shard: shared.shard.clone(), clock, _client };
        reader.shard.set_readable_until(5);
        reader.read().await;
        Ok(reader)
    }

    async fn read(&mut self) {
        self.task.begin_burst();
        self.task.take_requests(&mut RequestParser::new(), b"GET k\r\n", &mut 0).await;
        assert_eq!(self.connection.line.borrow().out, ANSWER);
    }
}

const A_WHILE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "current_thread")]
async fn a_read_whose_lease_ran_out_is_held_until_it_is_confirmed() -> io::Result<()> {
    let Reader { mut task, connection, shard, clock, _client } = Reader::new().await?;
    clock.advance(Duration::from_millis(6));
    let mut confirming = pin!(task.confirm_reads(6));
    assert!(timeout(A_WHILE, &mut confirming).await.is_err(), "it waits");
    assert_eq!(connection.deliver(), 0, "nothing is sent");
    shard.set_readable_until(10);
    confirming.await;
    assert_eq!(connection.deliver(), ANSWER.len());
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_read_whose_lease_ran_out_with_the_leadership_is_never_sent() -> io::Result<()> {
    let Reader { mut task, connection, shard, clock, _client } = Reader::new().await?;
    clock.advance(Duration::from_millis(6));
    let mut confirming = pin!(task.confirm_reads(6));
    assert!(timeout(A_WHILE, &mut confirming).await.is_err(), "it waits");
    shard.set_primary(false);
    shard.set_primary(true);
    shard.set_readable_until(10);
    confirming.await;
    assert_eq!(connection.deliver(), 0);
    assert!(connection.broken.get());
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_read_within_its_lease_is_sent_at_once() -> io::Result<()> {
    let Reader { mut task, connection, clock, .. } = Reader::new().await?;
    clock.advance(Duration::from_millis(4));
    task.confirm_reads(4).await;
    clock.advance(Duration::from_millis(4));
    assert_eq!(connection.deliver(), ANSWER.len());
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn reads_of_a_lease_that_ended_are_not_sent_before_a_request_that_waits() -> io::Result<()> {
    let Reader { mut task, connection, shard, clock, _client } = Reader::new().await?;
    clock.advance(Duration::from_millis(6));
    let (mut parser, mut consumed) = (RequestParser::new(), 0);
    let mut taking = pin!(task.take_requests(&mut parser, b"PERDURA LOG STATUS\r\n", &mut consumed));
    assert!(timeout(A_WHILE, &mut taking).await.is_err(), "it waits");
    assert_eq!(connection.line.borrow().out, ANSWER);
    shard.set_readable_until(10);
    // Nothing turns the log here: there may never be an answer.
    let _ = timeout(A_WHILE, &mut taking).await;
    assert!(!connection.line.borrow().out.starts_with(ANSWER));
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn reads_of_an_earlier_leadership_are_not_confirmed_by_the_lease_of_a_later_one() -> io::Result<()> {
    let Reader { mut task, connection, shard, clock, _client } = Reader::new().await?;
    clock.advance(Duration::from_millis(6));
    shard.set_primary(false);
    shard.set_primary(true);
    shard.set_readable_until(10);
    task.confirm_reads(6).await;
    assert!(connection.broken.get());
    Ok(())
}

/// What follows is judged by the time at which it is taken, not by that before the wait.
#[tokio::test(flavor = "current_thread")]
async fn a_burst_ends_with_a_request_that_waited() -> io::Result<()> {
    let Reader { mut task, clock, _client, .. } = Reader::new().await?;
    clock.advance(Duration::from_millis(4));
    let (migrate, mut consumed) = ("MIGRATE 127.0.0.1 1 k 0 1\r\n", 0);
    let input = format!("{migrate}PING\r\n");
    let progress = task.take_requests(&mut RequestParser::new(), input.as_bytes(), &mut consumed).await;
    assert!(progress == Progress::GivesWay);
    assert_eq!(consumed, migrate.len());
    Ok(())
}
