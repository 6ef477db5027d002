//! The times of a shard: what its entries are stamped with, and whose calendar that goes by.

use perdura_wal::Disk;

use super::Shard;
use crate::command::context::Stamp;
use crate::env::Now;
use crate::raft::frame::Frame;
use crate::raft::outbox::Outbound;
use crate::shard::calendars::base_ms;

impl<D: Disk> Shard<D> {
    pub(super) fn stamp(&mut self, now: Now) -> Stamp {
        let earliest_ms = self.machine.applier.last_stamp_ms().max(self.quiet_until_ms.saturating_add(1));
        Stamp { now_ms: self.group_ms(now).max(earliest_ms), seed: self.seeds.next_u64() }
    }

    /// The time of the group, where this node's calendar shows this.
    pub(in crate::shard) fn group_ms(&self, now: Now) -> i64 {
        self.handle.reading_ms(Now { monotonic_ms: self.machine.clock_ms(), ..now })
    }

    /// Tells peers this node's calendar and compares it with theirs.
    pub(super) fn compare_calendars(&mut self, out: &mut impl Outbound) {
        let now_ms = self.machine.clock_ms();
        if !self.calendars.is_due(now_ms) {
            return;
        }
        let unix_ms = self.machine.unix_ms();
        let calendar = Frame::Calendar { session: self.node.session(), unix_ms };
        for peer in self.node.peers() {
            // A peer that does not hear this hears the next.
            out.send(peer, &calendar);
        }
        let peers = self.node.peers().count();
        let comparison = self.calendars.compare(base_ms(unix_ms, now_ms), peers, now_ms);
        self.calendars.report(comparison.ahead_ms);
        self.handle.set_group_calendar(&comparison);
        self.node.stand_last(comparison.stands_last);
        self.node.set_off_members(comparison.off_peers);
    }
}
