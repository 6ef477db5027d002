//! Writers that go on through whatever happens to the servers, and note what was acknowledged and when.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use perdura_testkit::clock::Stopwatch;
use perdura_testkit::{Client, Reply};

use crate::ledger::Ledger;

/// A connection that says nothing for so long hangs; that is never right.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// One acknowledged write: when it was sent and when it was acknowledged, on the load's watch.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement {
    pub sent: Duration,
    pub received: Duration,
}

/// What one writer brings home.
pub struct Outcome {
    pub ledger: Ledger,
    pub acknowledgements: Vec<Acknowledgement>,
    /// Connections that said nothing for [`SILENCE_LIMIT`] though they were open: to where, since when, after what.
    pub silences: Vec<String>,
}

/// Writers at work.
pub struct Load {
    pub watch: Stopwatch,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Outcome>>,
}

impl Load {
    /// Lets one writer per ledger write to `addrs`: each to its own node first, to the next when that fails.
    pub fn start(addrs: &[SocketAddr], ledgers: Vec<Ledger>) -> Load {
        let (watch, stop) = (Stopwatch::start(), Arc::new(AtomicBool::new(false)));
        let start = |(at, ledger)| {
            let addrs: Vec<SocketAddr> =
                addrs.iter().copied().cycle().skip(at % addrs.len()).take(addrs.len()).collect();
            let stop = stop.clone();
            std::thread::spawn(move || write_until(&stop, &watch, &addrs, ledger))
        };
        let writers = ledgers.into_iter().enumerate().map(start).collect();
        Load { watch, stop, writers }
    }

    pub fn stop(self) -> Vec<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        self.writers.into_iter().map(|writer| writer.join().expect("a writer finished")).collect()
    }
}

fn write_until(stop: &AtomicBool, watch: &Stopwatch, addrs: &[SocketAddr], ledger: Ledger) -> Outcome {
    let mut outcome = Outcome { ledger, acknowledgements: Vec::new(), silences: Vec::new() };
    for addr in addrs.iter().cycle() {
        if let Ok(client) = Client::try_connect(*addr) {
            write_on(client, *addr, stop, watch, &mut outcome);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    outcome
}

/// Writes over one connection until it fails, an error is answered, or the load stops.
fn write_on(
    mut client: Client,
    addr: SocketAddr,
    stop: &AtomicBool,
    watch: &Stopwatch,
    outcome: &mut Outcome,
) {
    client.set_limit(SILENCE_LIMIT);
    while !stop.load(Ordering::Relaxed) {
        let n = outcome.ledger.next;
        outcome.ledger.next += 1;
        let sent = watch.elapsed();
        match try_write(&mut client, &outcome.ledger.commands(n)) {
            Ok(true) => {
                outcome.ledger.acknowledge(n);
                outcome.acknowledgements.push(Acknowledgement { sent, received: watch.elapsed() });
            }
            Ok(false) => return,
            Err(error) => {
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                    let commands = outcome.ledger.commands(n).join("; ");
                    outcome.silences.push(format!("{addr} since {sent:.3?}: {commands}"));
                }
                return;
            }
        }
    }
}

/// Sends commands as one pipeline; whether the last was acknowledged without an error anywhere.
fn try_write(client: &mut Client, commands: &[String]) -> std::io::Result<bool> {
    let bytes: Vec<u8> = commands.iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
    client.try_send_bytes(&bytes)?;
    let replies: Vec<Reply> = commands.iter().map(|_| client.try_read()).collect::<std::io::Result<_>>()?;
    let fine = |reply: &Reply| match reply {
        Reply::Array(results) => !results.iter().any(Reply::is_error),
        other => !matches!(other, Reply::Error(_) | Reply::Null),
    };
    Ok(replies.iter().all(fine))
}
