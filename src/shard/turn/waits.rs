//! Waits that end because of what happens outside of the log.

use perdura_wal::Disk;

use super::Shard;
use crate::command::Args;
use crate::propose::reply::ConnectionId;

impl<D: Disk> Shard<D> {
    /// Ends the waits in blocking commands that are refused, by connection and command; each client is answered the reason. True where it has
    /// to be asked again, for an entry under way may serve one of them.
    pub fn end_refused_waits(
        &mut self,
        refusal: impl Fn((usize, ConnectionId), &Args<'_>) -> Option<String>,
    ) -> bool {
        let asks_again = self.machine.end_refused_waiters(refusal);
        self.deliver();
        asks_again
    }
}
