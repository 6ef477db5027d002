//! Clients: each a process of the history, with one connection at a time to some node, and one operation at a time on it.
//!
//! - Writers do what the workload says and read from the primary. Readers say READONLY and read what their node has.
//!   Watchers read from the primary only. A stirrer does what nobody records.
//! - An operation without an answer in time is in doubt, and its connection is left. After errors a client often tries
//!   another node.

use std::collections::VecDeque;
use std::ops::Range;

use perdura_proof::{Action, Exchange, Outcome, Progress, ReadsFrom, Recorder, Reply, Workload, encode};

use crate::coverage::Seen;
use crate::network::{End, Packet};
use crate::queue::{Event, MS, Micros, SECOND};
use crate::stage::Stage;
use crate::stir;

/// How long a client waits to be let in.
const CONNECT_TIMEOUT: Micros = SECOND;
/// A reader passes over so many writes that the workload offers it.
const MAX_PASSED_OVER: usize = 20;

/// What clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// What the first one's script says, nothing else.
    Script,
    /// What the workload says.
    Workload,
    /// End what has begun.
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Writer,
    Reader,
    /// Reads from the primary, through a node that it keeps to, and does not wait long.
    Watcher,
    Stirrer,
}

struct Client {
    role: Role,
    node: usize,
    stream: Option<u64>,
    /// Let in, and READONLY where it is a reader.
    ready: bool,
    input: Vec<u8>,
    job: Option<Job>,
    token: u64,
}

impl Client {
    fn writes(&self) -> bool {
        matches!(self.role, Role::Writer | Role::Stirrer)
    }
}

/// An operation on its way.
struct Job {
    /// Where it is recorded, and what it is; nothing for a stirrer's.
    recorded: Option<(u64, Action)>,
    /// The replies of finished rounds.
    rounds: Vec<Vec<Reply>>,
    replies: Vec<Reply>,
    wanted: usize,
}

pub struct Clients {
    clients: Vec<Client>,
    pub recorder: Recorder,
    workload: Workload,
    pub task: Task,
    /// What the first client does one after the other, each until it is acknowledged.
    script: VecDeque<Action>,
    /// When a write was last acknowledged.
    pub last_write: Micros,
    /// A node that watchers reach and writers do not, and until when.
    parted_at: Option<(usize, Micros)>,
    /// No writer begins anything in this time.
    hushed: Range<Micros>,
}

impl Clients {
    pub fn new(stage: &mut Stage) -> Clients {
        let (count, nodes) = (stage.scenario.clients, stage.scenario.nodes);
        let readers = if nodes > 1 { count / 3 } else { 0 };
        let role = |index| match index {
            index if index == count => Role::Stirrer,
            index if index > count => Role::Watcher,
            index if index >= count - readers => Role::Reader,
            _ => Role::Writer,
        };
        let client = |index| Client {
            role: role(index),
            node: index % nodes,
            stream: None,
            ready: false,
            input: Vec::new(),
            job: None,
            token: 0,
        };
        let workload = Workload::new(&stage.scenario.kinds, stage.chance.clients.next());
        Clients {
            clients: (0..=count + stage.scenario.watchers).map(client).collect(),
            recorder: Recorder::new(),
            script: workload.setup().into(),
            workload,
            task: Task::Script,
            last_write: 0,
            parted_at: None,
            hushed: 0..0,
        }
    }

    /// Wakes everybody up.
    pub fn begin(&mut self, stage: &mut Stage, task: Task) {
        self.task = task;
        for client in 0..self.clients.len() {
            if self.clients[client].job.is_none() {
                self.alarm(client, stage, 0);
            }
        }
    }

    /// From now on everything is read once more.
    pub fn begin_final_reads(&mut self, stage: &mut Stage) {
        self.recorder.begin_final_reads();
        self.script = self.workload.final_reads().into();
        self.begin(stage, Task::Script);
    }

    pub fn script_is_done(&self) -> bool {
        self.script.is_empty() && self.is_idle()
    }

    pub fn is_idle(&self) -> bool {
        self.clients.iter().all(|client| client.job.is_none())
    }

    fn alarm(&mut self, client: usize, stage: &mut Stage, us: Micros) {
        self.clients[client].token += 1;
        let token = self.clients[client].token;
        stage.plan_in(us, Event::Client { client, token });
    }

    /// A client's alarm rings: time to go on, or to lose patience.
    pub fn wake(&mut self, client: usize, token: u64, stage: &mut Stage) {
        let own = &self.clients[client];
        if own.token != token {
            return;
        }
        if own.job.is_some() {
            stage.counts.add(Seen::TimedOut);
            self.lose(client, "timed out", stage);
            return;
        }
        match (own.stream, own.ready) {
            (Some(_), true) => self.call(client, stage),
            (Some(_), false) => self.lose(client, "not let in", stage),
            (None, _) => self.connect(client, stage),
        }
    }

    fn connect(&mut self, client: usize, stage: &mut Stage) {
        if self.task == Task::Rest {
            return;
        }
        let nodes = stage.scenario.nodes as u64;
        let own = &mut self.clients[client];
        // A reader stays with its node more often than not: it is to see one state grow.
        if !matches!(own.role, Role::Reader | Role::Watcher) || stage.chance.clients.chance(300) {
            own.node = stage.chance.clients.below(nodes) as usize;
        }
        match self.parted_at.filter(|(_, until)| stage.now < *until) {
            Some((node, _)) if own.role == Role::Watcher => own.node = node,
            Some((node, _)) if own.writes() && own.node == node => own.node = (node + 1) % nodes as usize,
            _ => {}
        }
        own.input.clear();
        own.ready = false;
        own.stream = Some(stage.open_stream(End::Client(client), own.node));
        self.alarm(client, stage, CONNECT_TIMEOUT);
    }

    /// Until then watchers are at a node, and writers at the others.
    pub fn part(&mut self, node: usize, until: Micros, stage: &mut Stage) {
        self.parted_at = Some((node, until));
        for client in 0..self.clients.len() {
            let own = &self.clients[client];
            let must_move = match own.role {
                Role::Watcher => own.node != node,
                _ => own.node == node && own.writes(),
            };
            if must_move && own.stream.is_some() {
                self.lose(client, "out of reach", stage);
            }
        }
    }

    /// Nothing is written meanwhile, so that no write is under way when this time ends.
    pub fn hush(&mut self, hushed: Range<Micros>) {
        self.hushed = hushed;
    }

    /// What the client does next, if anything.
    fn next_action(&mut self, client: usize) -> Option<Action> {
        match self.task {
            Task::Rest => None,
            Task::Script => self.script.front().filter(|_| client == 0).cloned(),
            Task::Workload => match self.clients[client].role {
                Role::Writer => Some(self.workload.next_action()),
                Role::Reader => {
                    (0..MAX_PASSED_OVER).map(|_| self.workload.next_action()).find(is_single_read)
                }
                Role::Watcher => {
                    (0..MAX_PASSED_OVER).map(|_| self.workload.next_action()).find(Action::is_read)
                }
                Role::Stirrer => None,
            },
        }
    }

    fn call(&mut self, client: usize, stage: &mut Stage) {
        if self.task == Task::Workload && self.clients[client].writes() && self.hushed.contains(&stage.now) {
            self.rest(client, stage);
            return;
        }
        if self.task == Task::Workload && self.clients[client].role == Role::Stirrer {
            self.stir(client, stage);
            return;
        }
        let Some(action) = self.next_action(client) else {
            if self.task == Task::Workload {
                self.rest(client, stage);
            }
            return;
        };
        let own = &self.clients[client];
        let reads_from = if own.role == Role::Reader { ReadsFrom::Replica } else { ReadsFrom::Primary };
        let id =
            self.recorder.call(client as u32, own.node as u32 + 1, reads_from, action.clone(), stage.now);
        stage.tell(|| format!("client {client} at node {}: {id}: {action:?}", own.node + 1));
        let (_, commands) = Exchange::begin(&action);
        let wanted = commands.len();
        let job = Job { recorded: Some((id, action)), rounds: Vec::new(), replies: Vec::new(), wanted };
        self.clients[client].job = Some(job);
        self.send(client, &commands, stage);
        self.be_patient(client, stage);
    }

    fn be_patient(&mut self, client: usize, stage: &mut Stage) {
        let patience = match self.clients[client].role {
            Role::Watcher => 100 * MS + stage.chance.clients.below(400 * MS),
            // Where primaries are cut off, clients go where somebody answers.
            _ if stage.scenario.watchers > 0 => 200 * MS + stage.chance.clients.below(SECOND),
            _ => 500 * MS + stage.chance.clients.below(3 * SECOND),
        };
        self.alarm(client, stage, patience);
    }

    fn stir(&mut self, client: usize, stage: &mut Stage) {
        let large = stage.scenario.bandwidth.is_some();
        let (bytes, wanted) = stir::request(&mut stage.chance.clients, large);
        self.clients[client].job =
            Some(Job { recorded: None, rounds: Vec::new(), replies: Vec::new(), wanted });
        self.send_bytes(client, bytes, stage);
        self.be_patient(client, stage);
    }

    fn send(&mut self, client: usize, commands: &[Vec<Vec<u8>>], stage: &mut Stage) {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        self.send_bytes(client, bytes, stage);
    }

    fn send_bytes(&self, client: usize, bytes: Vec<u8>, stage: &mut Stage) {
        if let Some(stream) = self.clients[client].stream {
            stage.send_packet(stream, 1, Packet::Bytes(bytes));
        }
    }

    /// A packet reaches a client.
    pub fn receive(&mut self, client: usize, stream: u64, packet: Packet, stage: &mut Stage) {
        let own = &mut self.clients[client];
        if own.stream != Some(stream) {
            return;
        }
        match packet {
            Packet::Close => {
                own.stream = None;
                self.lose(client, "connection lost", stage);
            }
            Packet::Welcome if own.role == Role::Reader => {
                self.send(client, &[vec![b"READONLY".to_vec()]], stage)
            }
            Packet::Welcome => self.let_in(client, stage),
            Packet::Bytes(bytes) => {
                own.input.extend_from_slice(&bytes);
                self.take_replies(client, stage);
            }
        }
    }

    fn let_in(&mut self, client: usize, stage: &mut Stage) {
        self.clients[client].ready = true;
        self.alarm(client, stage, 0);
    }

    fn take_replies(&mut self, client: usize, stage: &mut Stage) {
        loop {
            let own = &mut self.clients[client];
            let reply = match Reply::parse(&own.input) {
                Ok(Some((reply, length))) => {
                    own.input.drain(..length);
                    reply
                }
                Ok(None) => return,
                Err(error) => {
                    stage.find(format!("client {client} can't read its reply: {error}"));
                    return;
                }
            };
            match &mut own.job {
                None if !own.ready => self.let_in(client, stage),
                None => stage.find(format!("client {client} was answered without asking: {reply}")),
                Some(job) => {
                    job.replies.push(reply);
                    if job.replies.len() == job.wanted {
                        self.end_round(client, stage);
                    }
                }
            }
        }
    }

    fn end_round(&mut self, client: usize, stage: &mut Stage) {
        let Some(mut job) = self.clients[client].job.take() else { return };
        job.rounds.push(std::mem::take(&mut job.replies));
        let Some((_, action)) = &job.recorded else {
            if let Some(reply) = job.rounds.iter().flatten().find(|reply| stir::is_refused(reply)) {
                stage.find(format!("a stirring command is refused: {reply}"));
            }
            self.rest(client, stage);
            return;
        };
        let (mut exchange, _) = Exchange::begin(action);
        let mut progress = None;
        for round in &job.rounds {
            progress = Some(exchange.replies(round));
        }
        match progress {
            Some(Progress::Send(commands)) => {
                job.wanted = commands.len();
                self.clients[client].job = Some(job);
                self.send(client, &commands, stage);
            }
            Some(Progress::Done(outcome)) => self.done(client, job, outcome, stage),
            None => {}
        }
    }

    fn done(&mut self, client: usize, job: Job, outcome: Outcome, stage: &mut Stage) {
        let Some((id, action)) = job.recorded else { return };
        stage.tell(|| format!("client {client}: {id} -> {outcome:?}"));
        let is_read = action.is_read();
        stage.counts.add(match &outcome {
            Outcome::Ok(_) if self.clients[client].role == Role::Reader => Seen::ReplicaReads,
            Outcome::Ok(_) if self.clients[client].role == Role::Watcher => Seen::WatcherReads,
            Outcome::Ok(_) => Seen::Acknowledged,
            Outcome::DidNotHappen(_) if matches!(action, Action::CompareAndSet { .. }) => Seen::AbortedSwaps,
            Outcome::DidNotHappen(_) => Seen::DidNotHappen,
            Outcome::InDoubt(_) | Outcome::Pending => Seen::InDoubt,
        });
        let is_acknowledged = matches!(outcome, Outcome::Ok(_));
        if is_acknowledged && is_read && !stage.scenario.trust_clocks {
            stage.counts.add(Seen::ReadRounds);
        }
        if is_acknowledged && !is_read {
            self.last_write = stage.now;
        }
        if is_acknowledged && self.task == Task::Script && client == 0 {
            self.script.pop_front();
        }
        self.recorder.done(id, stage.now, outcome);
        if !is_acknowledged && stage.chance.clients.chance(300) {
            self.leave(client, stage);
        }
        self.rest(client, stage);
    }

    fn rest(&mut self, client: usize, stage: &mut Stage) {
        let usual = match (self.task, self.clients[client].role) {
            (Task::Script, _) => 2 * MS,
            (_, Role::Watcher) => stage.scenario.think_us / 2,
            _ => stage.scenario.think_us,
        };
        let us = stage.chance.clients.below(2 * usual);
        self.alarm(client, stage, us);
    }

    fn leave(&mut self, client: usize, stage: &mut Stage) {
        if let Some(stream) = self.clients[client].stream.take() {
            stage.close_stream(stream, 0);
        }
        self.clients[client].ready = false;
    }

    /// The connection is lost, or patience.
    fn lose(&mut self, client: usize, why: &str, stage: &mut Stage) {
        self.leave(client, stage);
        let Some(job) = self.clients[client].job.take() else {
            self.rest(client, stage);
            return;
        };
        let Some((_, action)) = &job.recorded else {
            self.rest(client, stage);
            return;
        };
        let (mut exchange, _) = Exchange::begin(action);
        job.rounds.iter().for_each(|round| drop(exchange.replies(round)));
        let outcome = exchange.lost(why);
        self.done(client, job, outcome, stage);
    }
}

/// Whether a replica answers it itself: a transaction goes to the primary.
fn is_single_read(action: &Action) -> bool {
    action.is_read() && !matches!(action, Action::Transaction { .. })
}
