//! What each kind of fault does, from its beginning until it has held long enough. Mending is done by the caller.

use std::io;
use std::time::Duration;

use perdura_proof::Rng;

use super::{FaultRecord, Nemesis, people};
use crate::torture::fault::FaultKind;
use crate::torture::links::Links;
use crate::torture::schedule::Planned;

/// How a stuttering node stands still and runs, in turns.
const STANDING: Duration = Duration::from_millis(120);
const RUNNING: Duration = Duration::from_millis(40);
/// What slow links add to each way, in ms: from this on, so much more at most.
const SLOW_MS: u64 = 20;
const SLOW_SPREAD_MS: u64 = 100;
/// Time between two breaks of connections, at most, in ms.
const RESET_MS: u64 = 400;

impl Nemesis {
    /// Begins the fault and lets it hold.
    pub(super) async fn inject(&mut self, planned: Planned, record: &mut FaultRecord) -> io::Result<()> {
        let Planned { kind, hold, pick, .. } = planned;
        let Some(primary) = self.load.view.primary() else {
            return Err(io::Error::other("there is no primary"));
        };
        let replicas: Vec<usize> = (0..self.fleet.nodes.len()).filter(|node| *node != primary).collect();
        let replica = replicas.get(pick as usize % replicas.len().max(1)).copied();
        let victim = match kind {
            FaultKind::KillReplica
            | FaultKind::PauseReplica
            | FaultKind::RestartReplica
            | FaultKind::IsolateReplica => replica.ok_or_else(|| io::Error::other("there is no replica"))?,
            _ => primary,
        };
        record.nodes = vec![people(victim)];
        let lost_primary = kind.info().costs_primary.then_some(primary);
        match kind {
            FaultKind::KillPrimary | FaultKind::KillReplica => self.fleet.kill(victim).await?,
            FaultKind::KillAll => {
                record.nodes = (0..self.fleet.nodes.len()).map(people).collect();
                for node in 0..self.fleet.nodes.len() {
                    self.fleet.kill(node).await?;
                }
            }
            FaultKind::PausePrimary | FaultKind::PauseReplica => self.fleet.pause(victim).await?,
            FaultKind::RestartPrimary | FaultKind::RestartReplica => self.fleet.stop(victim).await?,
            FaultKind::StutterPrimary => return self.stutter(victim, hold).await,
            FaultKind::FullDisk => return self.fill_disk(hold, record).await,
            FaultKind::ResetLinks => {
                record.nodes.clear();
                return self.reset_links(hold, pick).await;
            }
            _ => self.change_links(kind, victim, replica, pick, record)?,
        }
        self.hold(hold, lost_primary, record).await;
        Ok(())
    }

    fn links(&self) -> io::Result<&Links> {
        self.fleet.links.as_ref().ok_or_else(|| io::Error::other("there are no links to change"))
    }

    fn change_links(
        &self,
        kind: FaultKind,
        victim: usize,
        replica: Option<usize>,
        pick: u64,
        record: &mut FaultRecord,
    ) -> io::Result<()> {
        let links = self.links()?;
        match (kind, replica) {
            (FaultKind::MutePrimary, _) => links.others(victim).for_each(|other| links.hold(victim, other)),
            (FaultKind::DeafPrimary, _) => links.others(victim).for_each(|other| links.hold(other, victim)),
            (FaultKind::CutLink, Some(replica)) => {
                record.nodes.push(people(replica));
                links.cut(victim, replica);
            }
            (FaultKind::SlowLinks, _) => {
                record.nodes.clear();
                let mut rng = Rng::new(pick);
                for from in 0..self.fleet.nodes.len() {
                    for to in links.others(from) {
                        let by_ms = SLOW_MS + rng.below(SLOW_SPREAD_MS);
                        links.slow(from, to, Duration::from_millis(by_ms));
                    }
                }
            }
            _ => links.others(victim).for_each(|other| links.cut(victim, other)),
        }
        Ok(())
    }

    async fn stutter(&mut self, victim: usize, hold: Duration) -> io::Result<()> {
        let end_us = self.load.now_us() + hold.as_micros() as u64;
        while self.load.now_us() < end_us {
            self.fleet.pause(victim).await?;
            tokio::time::sleep(STANDING).await;
            self.fleet.resume(victim).await?;
            tokio::time::sleep(RUNNING).await;
        }
        Ok(())
    }

    async fn reset_links(&mut self, hold: Duration, pick: u64) -> io::Result<()> {
        let nodes = self.fleet.nodes.len();
        let mut rng = Rng::new(pick);
        let end_us = self.load.now_us() + hold.as_micros() as u64;
        while nodes > 1 && self.load.now_us() < end_us {
            let one = rng.index(nodes);
            let other = (one + 1 + rng.index(nodes - 1)) % nodes;
            self.links()?.reset(one, other);
            tokio::time::sleep(Duration::from_millis(rng.below(RESET_MS))).await;
        }
        Ok(())
    }

    /// Fills the small disk, and gives the room back.
    async fn fill_disk(&mut self, hold: Duration, record: &mut FaultRecord) -> io::Result<()> {
        let (node, disk) = self.fleet.small_disk.as_ref().map_err(|why| io::Error::other(why.clone()))?;
        record.nodes = vec![people(*node)];
        if self.load.view.primary() == Some(*node) {
            record.notes.push("it was the primary".to_owned());
        }
        disk.fill()?;
        tokio::time::sleep(hold).await;
        disk.drain()
    }
}
