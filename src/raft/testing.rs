//! A cluster in memory for tests: real nodes and logs, a network and clocks that the test moves.
//!
//! - Time passes in steps of [`STEP_MS`]; a frame arrives one step after it was sent, later on a slow wire, and never on
//!   one that is cut. Frames overtake each other when a wire's delay changes, more than TCP would let them.
//! - Every node has a clock of its own: another origin, and a rate that is off by up to some percent.
//! - After every step the cluster checks what must always hold: at most one leader a term, no leader of a later term
//!   while a lease is valid, state machines that agree on every index, and whoever holds a lease has applied all
//!   that any leader ever applied, and so acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use perdura_wal::disk::sim::{SimDisk, Tear};
use perdura_wal::{Disk, NewLog, Options, Position, Preparer, Wal};

use super::cluster::Cluster as ClusterOfLog;
use super::frame::Frame;
use super::identity::{GroupKey, Identity, NodeId};
use super::inbox::PeerEvent;
use super::node::{Node, NodeConfig, StateMachine};
use super::outbox::Outbound;
use super::status::{Leadership, PeerProgress, Role};
use super::storage::{begin_after_loss, is_new, restart_log_at};

pub(super) const STEP_MS: u64 = 5;

/// A state machine that writes down what it is given.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub entries: Vec<(u64, Vec<u8>)>,
    pub readable_until_ms: u64,
    pub leaderships: Vec<Leadership>,
    pub syncs: usize,
    /// How often a checkpoint of another member took the place of everything.
    pub restorations: usize,
}

impl Ledger {
    /// The payloads that were applied, without the leaders' empty entries.
    pub(super) fn texts(&self) -> Vec<String> {
        let payloads = self.entries.iter().map(|(_, payload)| payload);
        let texts = payloads.filter(|p| !p.is_empty());
        texts.map(|p| String::from_utf8_lossy(p).into_owned()).collect()
    }
}

impl StateMachine for Ledger {
    type Error = std::convert::Infallible;

    fn apply(&mut self, index: u64, term: u64, payload: &[u8]) -> Result<(), Self::Error> {
        assert_eq!(index, self.entries.len() as u64 + 1, "entries come without gaps");
        self.entries.push((term, payload.to_vec()));
        Ok(())
    }

    fn restored(&mut self, index: u64) {
        assert_eq!(index, self.entries.len() as u64, "it holds the checkpoint already");
        self.restorations += 1;
    }

    fn readable_until(&mut self, until_ms: u64) {
        self.readable_until_ms = until_ms;
    }

    fn leadership_changed(&mut self, leadership: Leadership) {
        self.leaderships.push(leadership);
    }

    fn sync_begins(&mut self) {
        self.syncs += 1;
    }
}

pub(super) struct Member {
    pub node: Option<Node<SimDisk>>,
    pub machine: Ledger,
    /// A stalled member neither steps nor ticks; what is sent to it waits.
    pub stalled: bool,
    /// It does not fetch the checkpoints that it is offered.
    pub fetches_nothing: bool,
    /// Its newest checkpoint: durable, and never damaged.
    shelf: Shelf,
    /// Its disk will fail at a planned moment.
    power_fails: bool,
    /// It may end itself; why it did.
    pub may_end: bool,
    pub ended: Option<String>,
    mailbox: Vec<(NodeId, Frame)>,
    /// How many disks, or logs, it has lost.
    lost_disks: u64,
    /// It has set its last log aside.
    knows_of_loss: bool,
    pub disk: SimDisk,
    preparer: Option<Preparer<SimDisk>>,
    clock_percent: u64,
}

/// What a member has published, or has fetched and not yet adopted.
#[derive(Clone, Debug, Default)]
struct Shelf {
    entries: Vec<(u64, Vec<u8>)>,
    is_fetched: bool,
}

impl Shelf {
    fn position(&self) -> Position {
        Position { index: self.entries.len() as u64, term: self.entries.last().map_or(0, |(term, _)| *term) }
    }
}

pub(super) struct Cluster {
    pub members: BTreeMap<NodeId, Member>,
    pub now_ms: u64,
    /// The last entry that any leader has applied, and so may have acknowledged.
    pub acknowledged: u64,
    /// Logs that are opened from now on begin every batch in a block of its own.
    pub pad_to_block: bool,
    network: Network,
    configure: fn(&mut NodeConfig),
}

/// The wires between all members.
#[derive(Default)]
struct Network {
    now_ms: u64,
    letters: Vec<Letter>,
    cut: BTreeSet<(NodeId, NodeId)>,
    delay_ms: BTreeMap<(NodeId, NodeId), u64>,
}

struct Letter {
    from: NodeId,
    to: NodeId,
    due_ms: u64,
    frame: Frame,
}

impl Network {
    fn send(&mut self, from: NodeId, to: NodeId, frame: Frame) -> bool {
        if self.cut.contains(&(from, to)) {
            return false;
        }
        let due_ms = self.now_ms + self.delay_ms.get(&(from, to)).unwrap_or(&0);
        self.letters.push(Letter { from, to, due_ms, frame });
        true
    }

    fn take_due(&mut self) -> Vec<Letter> {
        let now_ms = self.now_ms;
        self.letters.extract_if(.., |letter| letter.due_ms < now_ms).collect()
    }
}

/// A member's end of all its wires.
struct Wire<'a> {
    from: NodeId,
    network: &'a mut Network,
}

/// The way to no other node.
pub(super) struct Nowhere;

impl Outbound for Nowhere {
    fn send(&mut self, _: NodeId, _: &Frame) -> bool {
        false
    }

    fn flush(&mut self) {}
}

impl Outbound for Wire<'_> {
    fn send(&mut self, to: NodeId, frame: &Frame) -> bool {
        self.network.send(self.from, to, frame.clone())
    }

    fn flush(&mut self) {}
}

impl Cluster {
    /// Nodes 1 to `size`, all of them started.
    pub(super) fn new(size: u64) -> Cluster {
        Cluster::configured(size, |_| {})
    }

    /// Nodes that start from now on have this configuration.
    pub(super) fn reconfigure(&mut self, configure: fn(&mut NodeConfig)) {
        self.configure = configure;
    }

    /// The same with a configuration of its own.
    pub(super) fn configured(size: u64, configure: fn(&mut NodeConfig)) -> Cluster {
        let mut cluster = Cluster {
            members: BTreeMap::new(),
            now_ms: 0,
            acknowledged: 0,
            pad_to_block: false,
            network: Network::default(),
            configure,
        };
        for id in 1..=size {
            let member = Member {
                node: None,
                machine: Ledger::default(),
                stalled: false,
                fetches_nothing: false,
                shelf: Shelf::default(),
                power_fails: false,
                may_end: false,
                ended: None,
                mailbox: Vec::new(),
                lost_disks: 0,
                knows_of_loss: false,
                disk: SimDisk::new(id, Tear::Sectors, 4096),
                preparer: None,
                clock_percent: [100, 95, 105][id as usize % 3],
            };
            cluster.members.insert(id, member);
        }
        for id in 1..=size {
            cluster.start(id);
        }
        cluster
    }

    fn ids(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    /// The member's own time.
    pub(super) fn clock_of(&self, id: NodeId) -> u64 {
        id * 1_000_000 + self.now_ms * self.members[&id].clock_percent / 100
    }

    pub(super) fn config_of(&self, id: NodeId) -> NodeConfig {
        let identity = Identity::new(GroupKey(7), id, self.ids()).expect("a valid identity");
        let mut config = NodeConfig { secret: 31 * id, ..NodeConfig::new(identity) };
        (self.configure)(&mut config);
        config
    }

    /// The id of a member's log.
    pub(super) fn log_id_of(&self, id: NodeId) -> u64 {
        id + 100 * self.members[&id].lost_disks
    }

    /// Of a member's process, as its frames bear it.
    pub(super) fn session_of(&mut self, id: NodeId) -> u64 {
        self.node(id).session()
    }

    /// Opens the member's log again.
    pub(super) fn open_wal(&self, id: NodeId) -> Wal<SimDisk> {
        let disk = self.members[&id].disk.clone();
        let options = Options {
            segment_bytes: 1 << 17,
            pad_to_block: self.pad_to_block,
            create: Some(NewLog { log_id: self.log_id_of(id), metadata: Vec::new() }),
            ..Options::default()
        };
        Wal::open(disk, options).expect("the log opens").0
    }

    /// Starts a member that is down, from its newest checkpoint.
    pub(super) fn start(&mut self, id: NodeId) {
        let mut wal = self.open_wal(id);
        let shelf = self.members[&id].shelf.clone();
        if self.members[&id].knows_of_loss && is_new(&wal) {
            let checkpoint = Some(shelf.position()).filter(|checkpoint| checkpoint.index > 0);
            let identity = self.config_of(id).identity;
            let marked = begin_after_loss(&mut wal, &identity, ClusterOfLog::default(), checkpoint);
            marked.expect("the disk works");
        }
        if shelf.is_fetched {
            restart_log_at(&mut wal, shelf.position()).expect("the disk works");
        }
        let checkpoint = shelf.position();
        let preparer = wal.take_preparer();
        let node = Node::open(wal, self.config_of(id), checkpoint.index, self.clock_of(id));
        let mut node = node.expect("the node opens");
        if checkpoint.index > 0 {
            node.checkpoint_published(checkpoint);
        }
        let member = self.member(id);
        member.preparer = Some(preparer);
        member.machine = Ledger { entries: shelf.entries, ..Ledger::default() };
        (member.node, member.shelf.is_fetched) = (Some(node), false);
    }

    /// A member publishes a checkpoint and cuts its log behind it.
    pub(super) fn checkpoint(&mut self, id: NodeId) {
        let member = self.member(id);
        let Some(node) = member.node.as_mut().filter(|_| !member.machine.entries.is_empty()) else { return };
        member.shelf = Shelf { entries: member.machine.entries.clone(), is_fetched: false };
        let position = member.shelf.position();
        node.checkpoint_published(position);
        if let Err(error) = node.storage_mut().compact(position.index) {
            assert!(member.power_fails, "the log of {id} can't be cut: {error}");
            self.lose_power(id);
        }
    }

    /// What a member was offered it fetches at once, if the other is there.
    fn fetch(&mut self, id: NodeId) {
        let member = &self.members[&id];
        let offer = member.node.as_ref().and_then(Node::offer).filter(|_| !member.fetches_nothing);
        let Some(offer) = offer else { return };
        let shelf = &self.members[&offer.from].shelf;
        if shelf.position() != offer.checkpoint || self.network.cut.contains(&(offer.from, id)) {
            return;
        }
        let entries = shelf.entries.clone();
        let member = self.member(id);
        let Some(node) = member.node.as_mut().filter(|node| node.has_room_to_restore()) else { return };
        member.shelf = Shelf { entries: entries.clone(), is_fetched: true };
        member.machine.entries = entries;
        node.checkpoint_published(offer.checkpoint);
        assert!(node.restore(offer.checkpoint), "it was offered what it lacks");
    }

    /// Kills a member, with all that was on its way to it.
    pub(super) fn stop(&mut self, id: NodeId) {
        self.end(id, SimDisk::kill);
    }

    /// The same, and the disk forgets what was not synced.
    pub(super) fn lose_power(&mut self, id: NodeId) {
        self.end(id, SimDisk::crash);
    }

    fn end(&mut self, id: NodeId, how: impl Fn(&SimDisk) -> SimDisk) {
        let member = self.member(id);
        member.node = None;
        member.preparer = None;
        member.mailbox.clear();
        member.stalled = false;
        member.power_fails = false;
        member.disk = how(&member.disk);
    }

    /// A copy of what a member's disk holds now.
    pub(super) fn copy_of(&self, id: NodeId) -> SimDisk {
        let disk = &self.members[&id].disk;
        let copy = SimDisk::new(id + 50, Tear::Sectors, 4096);
        for name in disk.list().expect("a sound disk").iter().filter(|name| name.as_str() != "LOCK") {
            copy.put(name, &disk.bytes(name).expect("a file"));
        }
        copy
    }

    /// Kills a member and gives it this disk.
    pub(super) fn set_back(&mut self, id: NodeId, disk: SimDisk) {
        self.end(id, |_| disk.clone());
    }

    /// Kills a member and gives it an empty disk.
    pub(super) fn lose_log(&mut self, id: NodeId) {
        self.end(id, |_| SimDisk::new(99, Tear::Sectors, 4096));
        let member = self.member(id);
        member.shelf = Shelf::default();
        member.lost_disks += 1;
        member.knows_of_loss = false;
    }

    /// Kills a member, whose log will be found damaged: it sets it aside, and keeps its newest checkpoint.
    pub(super) fn set_log_aside(&mut self, id: NodeId) {
        self.end(id, |_| SimDisk::new(98, Tear::Sectors, 4096));
        let member = self.member(id);
        member.lost_disks += 1;
        member.knows_of_loss = true;
    }

    /// The member loses its power in the midst of the operation on its disk that comes after so many others.
    pub(super) fn lose_power_later(&mut self, id: NodeId, operations: u64) {
        let member = self.member(id);
        member.power_fails = true;
        member.disk.crash_at(member.disk.operations() + operations);
    }

    pub(super) fn member(&mut self, id: NodeId) -> &mut Member {
        self.members.get_mut(&id).expect("a member of the cluster")
    }

    pub(super) fn node(&mut self, id: NodeId) -> &mut Node<SimDisk> {
        self.member(id).node.as_mut().expect("the member runs")
    }

    /// From now on none of a member's files can be made or grow. Only then, and until there is space again, its preparer is
    /// at work: otherwise commits make their segments themselves.
    pub(super) fn fill_disk(&mut self, id: NodeId) {
        let disk = &self.member(id).disk;
        let names = disk.list().expect("a sound disk");
        let bytes = names.iter().map(|name| disk.bytes(name).expect("a file").len() as u64);
        disk.set_capacity(Some(bytes.sum()));
    }

    /// There is space again.
    pub(super) fn drain_disk(&mut self, id: NodeId) {
        self.member(id).disk.set_capacity(None);
    }

    /// Cuts all wires to and from a member.
    pub(super) fn isolate(&mut self, id: NodeId) {
        for other in self.ids() {
            self.cut_wire(id, other);
            self.cut_wire(other, id);
        }
    }

    /// Cuts one direction of a wire.
    pub(super) fn cut_wire(&mut self, from: NodeId, to: NodeId) {
        self.network.cut.insert((from, to));
        self.network.letters.retain(|l| (l.from, l.to) != (from, to));
    }

    /// Delays one direction of a wire.
    pub(super) fn slow_wire(&mut self, from: NodeId, to: NodeId, by_ms: u64) {
        self.network.delay_ms.insert((from, to), by_ms);
    }

    /// Mends all wires.
    pub(super) fn heal(&mut self) {
        self.network.cut.clear();
        self.network.delay_ms.clear();
    }

    /// Lets one step of time pass.
    pub(super) fn step(&mut self) {
        self.now_ms += STEP_MS;
        self.network.now_ms = self.now_ms;
        for letter in self.network.take_due() {
            let member = self.member(letter.to);
            if member.node.is_some() {
                member.mailbox.push((letter.from, letter.frame));
            }
        }
        for id in self.ids() {
            self.turn(id);
        }
        self.check();
    }

    /// One turn of a member, as its driver would do it.
    fn turn(&mut self, id: NodeId) {
        let now_ms = self.clock_of(id);
        let member = self.members.get_mut(&id).expect("a member of the cluster");
        let Some(node) = member.node.as_mut().filter(|_| !member.stalled) else {
            return;
        };
        if (member.disk.capacity().is_some() || node.log_space().is_short)
            && let Some(preparer) = &member.preparer
        {
            preparer.step().expect("a sound disk");
        }
        for (from, frame) in member.mailbox.drain(..) {
            let left = node.hear(from, PeerEvent::from(frame), now_ms);
            assert_eq!(left, None, "nodes do not say this");
        }
        node.tick(now_ms);
        self.fetch(id);
        let member = self.members.get_mut(&id).expect("a member of the cluster");
        let Some(node) = &mut member.node else { return };
        let mut wire = Wire { from: id, network: &mut self.network };
        let processed = node.process(now_ms, &mut wire, &mut member.machine);
        if node.leadership().role == Role::Leader {
            self.acknowledged = self.acknowledged.max(member.machine.entries.len() as u64);
        }
        if processed.is_ok() {
            // What was fetched is what the log goes on behind by now.
            member.shelf.is_fetched = false;
        }
        if let Err(error) = processed {
            assert!(member.power_fails || member.may_end, "node {id} ended: {error}");
            member.ended = Some(error.to_string());
            self.lose_power(id);
        }
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.step();
        }
    }

    /// Lets time pass until `done`, and returns how long it took; panics after `limit_ms`.
    pub(super) fn run_until(&mut self, limit_ms: u64, done: impl Fn(&mut Cluster) -> bool) -> u64 {
        let start_ms = self.now_ms;
        while !done(self) {
            let took_ms = self.now_ms - start_ms;
            assert!(took_ms < limit_ms, "nothing came of it in {limit_ms} ms");
            self.step();
        }
        self.now_ms - start_ms
    }

    /// The serving leader of the latest term.
    pub(super) fn leader(&self) -> Option<NodeId> {
        let running = self.members.iter().filter_map(|(id, m)| Some((*id, m.node.as_ref()?)));
        let serving = running.filter(|(_, node)| node.is_serving());
        let (id, _) = serving.max_by_key(|(_, node)| node.leadership().term)?;
        Some(id)
    }

    /// Waits for a serving leader.
    pub(super) fn elect(&mut self) -> NodeId {
        self.run_until(5_000, |cluster| cluster.leader().is_some());
        self.leader().expect("there is a leader now")
    }

    /// Waits for a serving leader other than `old`.
    pub(super) fn elect_other_than(&mut self, old: NodeId) -> NodeId {
        self.run_until(5_000, |c| c.leader().is_some_and(|id| id != old));
        self.leader().expect("there is a leader now")
    }

    pub(super) fn followers_of(&self, leader: NodeId) -> Vec<NodeId> {
        self.ids().into_iter().filter(|&id| id != leader).collect()
    }

    pub(super) fn propose(&mut self, id: NodeId, text: &str) {
        let proposed = self.node(id).propose(text.as_bytes().to_vec());
        proposed.expect("the proposal is taken");
    }

    pub(super) fn texts(&mut self, id: NodeId) -> Vec<String> {
        self.member(id).machine.texts()
    }

    /// The member with the role of leader, serving or not, in the latest term.
    pub(super) fn leading_member(&self) -> Option<NodeId> {
        let leaders = self.leaders();
        let latest = leaders.iter().max_by_key(|(_, term)| *term);
        latest.map(|(id, _)| *id)
    }

    /// How many members lead in a later term than `id` is in.
    pub(super) fn later_leaders_than(&mut self, id: NodeId) -> usize {
        let term = self.node(id).leadership().term;
        self.leaders().iter().filter(|(_, t)| *t > term).count()
    }

    /// How a leader's followers stand.
    pub(super) fn peers_of(&mut self, id: NodeId) -> Vec<PeerProgress> {
        let now_ms = self.clock_of(id);
        self.node(id).status(now_ms).peers
    }

    /// What leaders have applied before is no longer expected of others: a majority is set back. Members that are down count no more.
    pub(super) fn forget_acknowledged(&mut self) {
        self.acknowledged = 0;
        self.members.values_mut().for_each(|member| member.machine = Ledger::default());
    }

    /// Whether the member's node would publish a lease now.
    pub(super) fn node_has_lease(&mut self, id: NodeId) -> bool {
        let now_ms = self.clock_of(id);
        self.node(id).lease_valid_until_ms(now_ms).is_some()
    }

    /// Whether the member could answer a read alone now.
    pub(super) fn holds_lease(&mut self, id: NodeId) -> bool {
        let now_ms = self.clock_of(id);
        let member = &self.members[&id];
        let node = member.node.as_ref();
        node.is_some_and(|node| node.lease_valid_until_ms(now_ms).is_some())
            || (node.is_some() && now_ms < member.machine.readable_until_ms)
    }

    fn check(&mut self) {
        self.check_leaders();
        self.check_leases();
        self.check_ledgers();
    }

    fn leaders(&self) -> Vec<(NodeId, u64)> {
        let running = self.members.iter().filter_map(|(id, m)| Some((*id, m.node.as_ref()?)));
        running
            .map(|(id, node)| (id, node.leadership()))
            .filter(|(_, leadership)| leadership.role == Role::Leader)
            .map(|(id, leadership)| (id, leadership.term))
            .collect()
    }

    fn check_leaders(&self) {
        let leaders = self.leaders();
        let terms: BTreeSet<_> = leaders.iter().map(|(_, term)| term).collect();
        assert_eq!(terms.len(), leaders.len(), "two leaders in a term: {leaders:?}");
    }

    /// A read under a lease sees all that was acknowledged before.
    fn check_leases(&mut self) {
        let leaders = self.leaders();
        for id in self.ids() {
            let applied = self.members[&id].machine.entries.len() as u64;
            let is_stale = applied < self.acknowledged;
            assert!(!(is_stale && self.holds_lease(id)), "{id} could answer a stale read");
        }
        for &(id, term) in &leaders {
            let deposed = leaders.iter().any(|&(_, other)| other > term);
            assert!(!(deposed && self.holds_lease(id)), "{id} has a lease: {leaders:?}");
        }
    }

    fn check_ledgers(&self) {
        let agreeing = self.members.values().filter(|member| !member.may_end);
        let ledgers: Vec<_> = agreeing.map(|member| &member.machine.entries).collect();
        let Some(longest) = ledgers.iter().max_by_key(|entries| entries.len()) else {
            return;
        };
        for entries in &ledgers {
            let newest = entries.len().saturating_sub(20);
            assert_eq!(entries[newest..], longest[newest..entries.len()]);
        }
    }
}
