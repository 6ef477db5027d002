//! Which connections are being greeted at the peer port: members and strangers apart, and of each the oldest ends where there are too many.
//!
//! - A connection is always accepted. One that is silent or slow loses its place to others; a member needs it for a moment.
//! - Members are known by the addresses that their names have, looked up now and then. What else comes from a member's machine, or
//!   by way of one address with it, shares its places.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// Connections that are greeted at a time, of members' addresses and of others.
pub(super) const MAX_GREETINGS: usize = 128;
/// How often the members' addresses are looked up.
const LOOK_UP_PERIOD: Duration = Duration::from_secs(30);

/// Greetings under way, the oldest first.
#[derive(Debug, Default)]
struct Greetings(VecDeque<AbortHandle>);

impl Greetings {
    fn add(&mut self, greeting: AbortHandle) {
        self.0.retain(|greeting| !greeting.is_finished());
        if self.0.len() >= MAX_GREETINGS
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        self.0.push_back(greeting);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Door {
    /// As host:port.
    members: Vec<String>,
    addresses: Mutex<HashSet<IpAddr>>,
    of_members: Mutex<Greetings>,
    of_strangers: Mutex<Greetings>,
}

impl Door {
    pub(super) fn new(members: Vec<String>) -> Door {
        Door {
            members,
            addresses: Mutex::default(),
            of_members: Mutex::default(),
            of_strangers: Mutex::default(),
        }
    }

    /// A greeting has begun.
    pub(super) fn add(&self, from: SocketAddr, greeting: AbortHandle) {
        let is_member = self.addresses.lock().contains(&from.ip().to_canonical());
        let greetings = if is_member { &self.of_members } else { &self.of_strangers };
        greetings.lock().add(greeting);
    }

    /// Looks up the members' addresses again and again.
    pub(super) async fn keep_addresses(&self) {
        loop {
            for member in &self.members {
                // A name that has no address now keeps those that it had.
                let Ok(found) = lookup_host(member.as_str()).await else { continue };
                self.addresses.lock().extend(found.map(|address| address.ip().to_canonical()));
            }
            sleep(LOOK_UP_PERIOD).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().expect("an address"), 5000)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_oldest_greeting_ends_and_strangers_end_none_of_a_members() {
        let door = Door::new(vec!["127.0.0.1:1".to_owned()]);
        let _ = tokio::time::timeout(Duration::from_secs(5), async {
            tokio::select! {
                () = door.keep_addresses() => {}
                () = async { while door.addresses.lock().is_empty() { tokio::task::yield_now().await } } => {}
            }
        })
        .await;
        let greet = |address: &str| {
            let task = tokio::spawn(std::future::pending::<()>());
            door.add(from(address), task.abort_handle());
            task
        };
        let member = greet("::ffff:127.0.0.1");
        let strangers: Vec<_> = (0..=MAX_GREETINGS).map(|_| greet("10.0.0.1")).collect();
        tokio::task::yield_now().await;
        let ended: Vec<bool> = strangers.iter().map(|task| task.is_finished()).collect();
        assert!(ended[0] && !ended[1..].contains(&true), "{ended:?}");
        assert!(!member.is_finished());
    }
}
