//! MULTI and EXEC, WATCH and UNWATCH.
//!
//! - A transaction is gathered where its client is connected. At EXEC the commands that touch data travel, to the log or to the
//!   primary, as one; those about the connection or the node (HELLO, CLIENT, SUBSCRIBE, CONFIG …) stay and are its local steps.
//! - Local steps run after the answer to the others has come, and only if it says that those were carried out: an EXEC that fails
//!   changes nothing anywhere. Their answers stand at their places in EXEC's array. They run some at a time: others go in between.
//! - PUBLISH travels, so that its message comes out with the transaction's effects. Beside a step that subscribes or unsubscribes it is
//!   a local step: it finds the subscriptions of its own client as the steps before it left them.
//! - SELECT and HELLO are local steps, too. What they will choose is foreseen for the commands that follow them.
//! - The answer to SUBSCRIBE and its kind is a message for each name, and each counts as an element of EXEC's array. CLIENT REPLY OFF
//!   and SKIP answer nothing and count none; after OFF the array itself is left out.

use super::group_changes::changes_group;
use super::line::Exec;
use super::parameters::{logged_parameters, no_parameters};
use super::scripts::{changes_scripts, logged_change};
use super::{Forward, Line, Session, Verdict};
use crate::admin::client::{Queued, QueuedCommand, Transaction};
use crate::admin::foreseen_protocol;
use crate::admin::table::{SessionCommand, TableRow};
use crate::command::args::database;
use crate::command::logged::{IN_SHARD_CHANNEL, PUBLISH};
use crate::command::spec::Flags;
use crate::command::{Args, Handler};
use crate::propose::batch::{Step, Work};
use crate::propose::entry;
use crate::protocol::frame::{FrameScanner, open_array, take_reply};
use crate::protocol::reply::{Reply, Resp};
use crate::pubsub::Kind;
use crate::shard::machine::DID_NOT_HAPPEN;

/// Queued commands of one transaction take at most so many bytes of memory, from MULTI to the answer to EXEC.
const MAX_TRANSACTION_BYTES: usize = 1 << 30;

/// How long local steps of one EXEC run before others go first.
const LOCAL_STEPS_MS: u64 = 20;

/// What a forecast keeps about a command at most: the key that it names and what the key gains.
const FORECAST_BYTES: usize = 80;

/// What the allocator may add to each argument.
const ALLOCATION_BYTES: usize = 16;

/// The longest header of an array: a type, twenty digits, the end of a line.
const HEADER_ROOM: usize = 23;

/// Of a longer answer than this, what is taken is freed before the rest is.
const LONG_ANSWER_BYTES: usize = 1 << 20;

const NO_MONITOR: &str = "ERR MONITOR isn't allowed for DENY BLOCKING client";

/// A queued command of a transaction whose EXEC is under way.
#[derive(Debug)]
pub enum Part {
    /// It travels: the next element of the answer is its own.
    Sent,
    /// A local step. Where the primary was told what it chooses, the next element of the answer says so, and is passed over.
    Local { queued: Queued, told: bool },
}

impl Part {
    fn was_not_told(&mut self) {
        if let Part::Local { told, .. } = self {
            *told = false;
        }
    }
}

/// How the commands of a transaction travel.
#[derive(Clone, Copy, Debug)]
struct Route {
    /// PUBLISH and SPUBLISH are local steps.
    publishes_here: bool,
}

impl Route {
    fn of(queued: &[Queued]) -> Route {
        let subscribes = |one: &Queued| one.command.0.session() == Some(SessionCommand::Subscription);
        Route { publishes_here: queued.iter().any(subscribes) }
    }
}

/// What the next command of a transaction runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chosen {
    db: usize,
    resp: Resp,
}

/// The queued commands as they go to the primary.
#[derive(Debug)]
pub struct SentTransaction {
    pub requests: Vec<SentRequest>,
    /// Database and protocol on the connection to the primary will depend on whether it was carried out.
    pub chooses: bool,
    /// What the queued commands take, local steps included.
    pub bytes: usize,
}

#[derive(Debug)]
pub enum SentRequest {
    Queued(Queued),
    /// Tells the primary what a local step chooses.
    Telling(Box<[Box<[u8]>]>),
}

impl SentRequest {
    pub fn args(&self) -> &[Box<[u8]>] {
        match self {
            SentRequest::Queued(queued) => &queued.args,
            SentRequest::Telling(args) => args,
        }
    }

    fn into_queued(self) -> Option<Queued> {
        match self {
            SentRequest::Queued(queued) => Some(queued),
            SentRequest::Telling(_) => None,
        }
    }
}

impl SentTransaction {
    /// Whether it changes parameters, users or functions of the group.
    pub fn changes_group(&self) -> bool {
        self.requests.iter().any(|request| match request {
            SentRequest::Queued(Queued { command, .. }) => changes_group(command.0),
            SentRequest::Telling(_) => false,
        })
    }

    /// Whether it changes nothing wherever it is carried out.
    pub fn only_reads(&self) -> bool {
        self.requests.iter().all(|request| match request {
            SentRequest::Queued(Queued { command, args }) => {
                let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
                matches!(command.0.command.handler_for(&args), Handler::Read(_))
            }
            SentRequest::Telling(_) => true,
        })
    }
}

/// Whether an EXEC's answer could be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecEnd {
    Fine,
    /// Whatever is answered from here on may be the answer of another command.
    Unintelligible,
}

/// The answer to an EXEC that is rejected.
pub(super) fn exec_aborted(error: &str) -> String {
    let reason = error.strip_prefix("ERR ").unwrap_or(error);
    format!("EXECABORT Transaction discarded because of: {reason}")
}

/// What a queued command takes. The shortest takes many times its bytes: it is kept in pieces, becomes a step and a part, and is
/// weighed before it is logged.
fn queued_bytes(args: &Args<'_>) -> usize {
    const ARGUMENT: usize = size_of::<Box<[u8]>>() + ALLOCATION_BYTES;
    const COMMAND: usize =
        size_of::<Queued>() + size_of::<Step>() + size_of::<Part>() + ALLOCATION_BYTES + FORECAST_BYTES;
    COMMAND + args.iter().map(|arg| ARGUMENT + arg.len()).sum::<usize>()
}

impl Session {
    /// Whether a replica's own data answers the connection's reads. While it watches or gathers a transaction it does not: what an
    /// EXEC is judged by is the primary's.
    pub(super) fn reads_here(&self) -> bool {
        let client = &self.client;
        client.reads_from_replica && client.watching_epoch.is_none() && client.transaction.is_none()
    }

    /// Whether a command of a transaction can only be answered an error, as the transaction is now.
    pub(super) fn fails_at_once(&self, command: SessionCommand) -> bool {
        let transaction = self.client.transaction.as_ref();
        match command {
            SessionCommand::Multi | SessionCommand::Watch => transaction.is_some(),
            SessionCommand::Exec => transaction.is_none_or(|transaction| transaction.broken),
            SessionCommand::Discard => transaction.is_none(),
            _ => false,
        }
    }

    pub(super) fn multi(&mut self, line: &mut Line) -> Verdict {
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        if let Some(transaction) = &mut self.client.transaction {
            transaction.broken = true;
            self.refuse(line, "ERR MULTI calls can not be nested");
        } else {
            self.client.transaction = Some(Transaction::default());
            self.answer(line, |reply| reply.ok());
        }
        Verdict::Taken
    }

    pub(super) fn queue(&mut self, row: &'static TableRow, args: &Args<'_>, line: &mut Line) -> Verdict {
        let Some(transaction) = &mut self.client.transaction else { return Verdict::Taken };
        if row.command.flags.contains(Flags::NO_MULTI) {
            transaction.broken = true;
            self.refuse(line, "ERR Command not allowed inside a transaction");
            return Verdict::Taken;
        }
        if let Some(refusal) = self.shared.memory_refusal(row.command, args) {
            transaction.broken = true;
            self.refuse(line, &refusal);
            return Verdict::Taken;
        }
        transaction.bytes += queued_bytes(args);
        if transaction.bytes > MAX_TRANSACTION_BYTES {
            transaction.broken = true;
            transaction.queued.clear();
            self.refuse(line, "ERR the transaction is too large");
            return Verdict::Taken;
        }
        let owned = args.iter().map(|arg| Box::from(*arg)).collect();
        transaction.queued.push(Queued { command: QueuedCommand(row), args: owned });
        self.answer(line, |reply| reply.simple("QUEUED"));
        Verdict::Taken
    }

    pub(super) fn exec(&mut self, line: &mut Line) -> Verdict {
        let Some(transaction) = &self.client.transaction else {
            return self.refuse_here(line, "ERR EXEC without MULTI");
        };
        if transaction.broken {
            const ABORTED: &str = "EXECABORT Transaction discarded because of previous errors.";
            if line.forwarded == 0 {
                self.count_error(ABORTED);
            }
            return self.end_transaction(line, |reply| reply.error(ABORTED));
        }
        if let Some(error) = self.no_longer_permitted(&transaction.queued) {
            return self.end_transaction(line, |reply| reply.error(&error));
        }
        let route = Route::of(&transaction.queued);
        let travelling = transaction.queued.iter().filter(|one| self.travels(one, route)).count();
        let has_local_steps = travelling < transaction.queued.len();
        if line.has_unanswered() && has_local_steps {
            return Verdict::Wait;
        }
        let shard = &self.shared.shard;
        if self.client.watching_epoch.is_some_and(|epoch| epoch != shard.leadership_epoch()) {
            (self.client.transaction, self.client.watching_epoch) = (None, None);
            return self.answer_here(line, |reply| reply.null_array());
        }
        if travelling == 0 && has_local_steps && self.client.watching_epoch.is_none() {
            return self.exec_local_steps(line);
        }
        if !shard.is_primary() {
            if line.pending > 0 {
                return Verdict::Wait;
            }
            if self.must_forward() {
                return Verdict::Forward(Forward::Transaction);
            }
            self.client.transaction = None;
            return self.refuse_here(line, DID_NOT_HAPPEN);
        }
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        if self.takes_nothing(&self.port.batch.lock()) {
            return Verdict::Full;
        }
        self.propose_transaction(line);
        Verdict::Taken
    }

    /// Whether a queued command goes to the log, or to the primary, with its transaction.
    fn travels(&self, queued: &Queued, route: Route) -> bool {
        let QueuedCommand(row) = queued.command;
        let publishes = matches!(row.session(), Some(SessionCommand::Publish | SessionCommand::ShardPublish));
        let changes_scripts = changes_scripts(row);
        row.command.uses_keyspace()
            || changes_scripts
            || self.sets_group(queued)
            || publishes && !route.publishes_here
            || self.goes_to_primary(row.command) && !self.waits_here(row)
    }

    /// What a queued command will choose for those that follow it; `None` where it chooses nothing, or will fail.
    fn foresee(&self, queued: &Queued, chosen: Chosen) -> Option<Chosen> {
        let args = queued.slices();
        match queued.command.0.session() {
            Some(SessionCommand::Select) => database(args[1]).ok().map(|db| Chosen { db, ..chosen }),
            Some(SessionCommand::Hello) => {
                foreseen_protocol(&self.shared, &args).map(|resp| Chosen { resp, ..chosen })
            }
            _ => None,
        }
    }

    /// Carries out a transaction that touches no data and watches none.
    fn exec_local_steps(&mut self, line: &mut Line) -> Verdict {
        let Transaction { queued, .. } = self.end_gathering();
        self.show_queued(&queued);
        line.expect_exec(queued.into_iter().map(|queued| Part::Local { queued, told: false }).collect());
        line.answer(b"*0\r\n");
        self.finish_exec(line);
        Verdict::Taken
    }

    fn end_gathering(&mut self) -> Transaction {
        self.client.watching_epoch = None;
        self.client.transaction.take().unwrap_or_default()
    }

    /// Hands the queued commands to the log as one.
    fn propose_transaction(&mut self, line: &mut Line) {
        let Transaction { queued, .. } = self.end_gathering();
        self.show_queued(&queued);
        let (mut commands, mut writes) = (Vec::new(), 0);
        let mut steps = Vec::with_capacity(queued.len());
        let mut parts = Vec::with_capacity(queued.len());
        let mut chosen = Chosen { db: self.client.db, resp: self.client.resp };
        let route = Route::of(&queued);
        for one in queued {
            if !self.travels(&one, route) {
                let next = self.foresee(&one, chosen).unwrap_or(chosen);
                steps.extend((next.resp != chosen.resp).then_some(Step::Speak(next.resp)));
                chosen = next;
                parts.push(Part::Local { queued: one, told: false });
                continue;
            }
            parts.push(Part::Sent);
            let one = self.resolve_script(one);
            let QueuedCommand(row) = one.command;
            let command = row.command;
            if let Handler::Read(_) = command.handler_for(&one.slices()) {
                steps.push(Step::Read { command, db: chosen.db, args: one.args });
                continue;
            }
            self.write_step(&mut commands, row, chosen.db, &one.slices());
            writes += 1;
            steps.push(Step::Write(command));
        }
        let mut batch = self.port.batch.lock();
        let start = batch.bytes.len();
        if writes > 0 {
            entry::write_transaction(&mut batch.bytes, writes);
            batch.bytes.extend_from_slice(&commands);
        }
        let bytes = batch.bytes.len() - start;
        line.longest_written = line.longest_written.max(bytes);
        let steps = steps.into_boxed_slice();
        let client = (self.client.connection, self.client.resp, self.tracks);
        batch.push_for(client, Work::Transaction { bytes, steps });
        line.pending += 1;
        expect_local_steps(parts, line);
    }

    /// Writes a command that is logged; PUBLISH and SPUBLISH in the form that they have in the log.
    fn write_step(&self, out: &mut Vec<u8>, row: &TableRow, db: usize, args: &Args<'_>) {
        let kind = match row.session() {
            Some(SessionCommand::Publish) => Kind::Channel,
            Some(SessionCommand::ShardPublish) => Kind::Shard,
            _ if changes_scripts(row) => {
                return entry::write_command(out, db, &logged_change(row, args));
            }
            Some(SessionCommand::SetParameters) => {
                let own = logged_parameters(&self.shared.config, args);
                let own = own.unwrap_or_else(no_parameters);
                let own: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
                return entry::write_command(out, db, &own);
            }
            _ => return entry::write_command(out, db, args),
        };
        let receivers = self.shared.pubsub.receivers(kind, args[1]).to_string();
        let publish = [PUBLISH, args[1], args[2], receivers.as_bytes(), IN_SHARD_CHANNEL];
        let len = if kind == Kind::Shard { 5 } else { 4 };
        entry::write_command(out, db, &publish[..len]);
    }

    /// Takes the queued transaction out, to be sent to the primary.
    pub fn take_transaction(&mut self, line: &mut Line) -> SentTransaction {
        let Transaction { queued, bytes, .. } = self.end_gathering();
        let mut sent = SentTransaction { requests: Vec::with_capacity(queued.len()), chooses: false, bytes };
        let mut parts = Vec::with_capacity(queued.len());
        let mut chosen = Chosen { db: self.client.db, resp: self.client.resp };
        let route = Route::of(&queued);
        for one in queued {
            if self.travels(&one, route) {
                sent.requests.push(SentRequest::Queued(one));
                parts.push(Part::Sent);
                continue;
            }
            let next = self.foresee(&one, chosen).filter(|next| *next != chosen);
            if let Some(next) = next {
                sent.requests.push(SentRequest::Telling(telling(chosen, next)));
                (chosen, sent.chooses) = (next, true);
            }
            parts.push(Part::Local { queued: one, told: next.is_some() });
        }
        expect_local_steps(parts, line);
        sent
    }

    /// Gathers a transaction again that did not happen: what was sent of it, and the local steps that wait for its answer.
    pub fn gather_again(&mut self, sent: SentTransaction, line: &mut Line) {
        debug_assert!(self.client.transaction.is_none(), "no MULTI is taken while an EXEC is unanswered");
        let SentTransaction { requests, bytes, .. } = sent;
        let mut travelled = requests.into_iter().filter_map(SentRequest::into_queued);
        let queued = match line.exec.take() {
            None => travelled.collect(),
            Some(Exec { parts, .. }) => {
                let queued = |part| match part {
                    Part::Sent => travelled.next(),
                    Part::Local { queued, .. } => Some(queued),
                };
                parts.into_iter().filter_map(queued).collect()
            }
        };
        self.client.transaction = Some(Transaction { queued, bytes, broken: false });
    }

    /// Forgets the queued transaction, which can't be sent to the primary.
    pub fn drop_transaction(&mut self) {
        self.end_gathering();
    }

    /// Brings an EXEC that has local steps nearer to its end, once the answer to the others has come. To be called whenever answers
    /// were taken, and as long as [`Line::has_answered_exec`].
    pub fn finish_exec(&mut self, line: &mut Line) -> ExecEnd {
        if let Some(Exec { mut parts, answer, later_messages }) = line.take_answered_exec() {
            let answer = answer.unwrap_or_default();
            if answer.is_empty() {
                // It was left out as too long, so the others were carried out; its client is closed, or wants no answer.
                parts.retain(|part| matches!(part, Part::Local { .. }));
                parts.iter_mut().for_each(Part::was_not_told);
            }
            let opened = if answer.is_empty() { Some((0, &answer[..])) } else { open_array(&answer) };
            let Some((count, rest)) = opened else {
                line.answer(&answer);
                line.message(&later_messages);
                line.settle();
                return if is_no(&answer) { ExecEnd::Fine } else { ExecEnd::Unintelligible };
            };
            let own = |part: &&Part| !matches!(part, Part::Local { told: false, .. });
            if count != parts.iter().filter(own).count() {
                return ExecEnd::Unintelligible;
            }
            let at = answer.len() - rest.len();
            line.merge = Some(Merge { later_messages, ..Merge::new(parts, answer, at) });
        }
        let Some(mut merge) = line.merge.take() else { return ExecEnd::Fine };
        match self.merge(&mut merge, line) {
            MergeEnd::Unintelligible => return ExecEnd::Unintelligible,
            MergeEnd::GivesWay => {
                line.merge = Some(merge);
                return ExecEnd::Fine;
            }
            MergeEnd::Done => {}
        }
        let Merge { merged, later_messages, .. } = merge;
        line.push_form = self.client.push_form();
        line.is_cut |= merged.is_cut && !line.is_muted();
        match line.is_muted() {
            true => line.out.extend_from_slice(&merged.messages),
            false => line.answer_long(merged.into_array(self.client.resp)),
        }
        line.message(&later_messages);
        line.settle();
        ExecEnd::Fine
    }

    /// Runs local steps for a while, and puts their answers between the elements of the answer.
    fn merge(&mut self, merge: &mut Merge, line: &mut Line) -> MergeEnd {
        let until_ms = self.shared.clock.monotonic_ms() + LOCAL_STEPS_MS;
        while let Some(part) = merge.parts.next() {
            let Part::Local { queued, told } = part else {
                if !merge.take_reply() {
                    return MergeEnd::Unintelligible;
                }
                continue;
            };
            if told && !merge.pass_over_reply() {
                return MergeEnd::Unintelligible;
            }
            let most = if merge.merged.is_cut { 0 } else { self.reply_limit() };
            merge.merged.is_cut |= !self.run_local_step(&queued, &mut merge.merged, most);
            if queued.command.0.session() == Some(SessionCommand::ReplyMode) {
                self.adopt_reply_mode(line);
            }
            if merge.parts.len() > 0 && self.shared.clock.monotonic_ms() >= until_ms {
                return MergeEnd::GivesWay;
            }
        }
        if merge.at == merge.answer.len() { MergeEnd::Done } else { MergeEnd::Unintelligible }
    }

    /// False if that leaves the answer longer than `most` bytes.
    fn run_local_step(&mut self, queued: &Queued, merged: &mut Merged, most: usize) -> bool {
        let QueuedCommand(row) = queued.command;
        let start = merged.bytes.len();
        let mut fits = true;
        match row.session() {
            // Its lines would come between the transaction's replies.
            Some(SessionCommand::Monitor) => {
                Reply::new(&mut merged.bytes, self.client.resp).error(NO_MONITOR)
            }
            _ => {
                let room = most.saturating_sub(start);
                fits = self.call_local(row, &queued.slices(), &mut merged.bytes, room);
            }
        }
        let answers = &merged.bytes[start..];
        if row.session() == Some(SessionCommand::Subscription) {
            merged.messages.extend_from_slice(answers);
        }
        merged.elements += count_replies(answers);
        fits
    }

    pub(super) fn discard(&mut self, line: &mut Line) -> Verdict {
        if self.client.transaction.is_none() {
            return self.refuse_here(line, "ERR DISCARD without MULTI");
        }
        self.end_transaction(line, |reply| reply.ok())
    }

    /// Drops the queued transaction and what is watched, and answers.
    pub(super) fn end_transaction(
        &mut self,
        line: &mut Line,
        answer: impl FnOnce(&mut Reply<'_>),
    ) -> Verdict {
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        self.client.transaction = None;
        if self.client.watching_epoch.take().is_some() {
            self.push(Work::Forget);
        }
        self.answer(line, answer);
        Verdict::Taken
    }

    pub(super) fn watch(&mut self, args: &Args<'_>, line: &mut Line) -> Verdict {
        if self.client.transaction.is_some() {
            return self.refuse_here(line, "ERR WATCH inside MULTI is not allowed");
        }
        let shard = &self.shared.shard;
        let epoch = shard.leadership_epoch();
        if !shard.is_primary() {
            let verdict = self.forward_or_refuse(line);
            if matches!(verdict, Verdict::Forward(_)) {
                self.client.watching_epoch.get_or_insert(epoch);
            }
            return verdict;
        }
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        if self.takes_nothing(&self.port.batch.lock()) {
            return Verdict::Full;
        }
        self.client.watching_epoch.get_or_insert(epoch);
        let keys = args[1..].iter().map(|key| Box::from(*key)).collect();
        self.push(Work::Watch { db: self.client.db, keys });
        line.pending += 1;
        Verdict::Taken
    }

    pub(super) fn unwatch(&mut self, line: &mut Line) -> Verdict {
        if !self.shared.shard.is_primary() && self.client.watching_epoch.is_some() {
            let verdict = self.forward_or_refuse(line);
            if matches!(verdict, Verdict::Forward(_)) {
                self.client.watching_epoch = None;
            }
            return verdict;
        }
        if self.client.watching_epoch.take().is_some() {
            self.push(Work::Forget);
        }
        self.answer_here(line, |reply| reply.ok())
    }
}

/// An EXEC that was answered, and what of its answer is put together.
#[derive(Debug)]
pub struct Merge {
    parts: std::vec::IntoIter<Part>,
    answer: Vec<u8>,
    /// Bytes of the answer that are taken.
    at: usize,
    merged: Merged,
    /// Messages that came since a local step subscribed to them: they follow the answer.
    pub(super) later_messages: Vec<u8>,
}

impl Merge {
    /// `at` is where the replies of an answer begin.
    fn new(parts: Vec<Part>, answer: Vec<u8>, at: usize) -> Merge {
        // Memory that is not written costs nothing; what grows is copied again and again.
        let mut bytes = Vec::with_capacity(HEADER_ROOM + answer.len());
        bytes.resize(HEADER_ROOM, 0);
        let merged = Merged { elements: 0, is_cut: answer.is_empty(), bytes, messages: Vec::new() };
        Merge { parts: parts.into_iter(), answer, at, merged, later_messages: Vec::new() }
    }

    fn next_reply(&self) -> Option<std::ops::Range<usize>> {
        let reply = take_reply(&mut &self.answer[self.at..])?;
        Some(self.at..self.at + reply.len())
    }

    /// Moves the next reply of the answer; false where there is none.
    fn take_reply(&mut self) -> bool {
        let Some(reply) = self.next_reply() else { return false };
        self.at = reply.end;
        self.merged.bytes.extend_from_slice(&self.answer[reply]);
        self.merged.elements += 1;
        self.drop_taken();
        true
    }

    fn pass_over_reply(&mut self) -> bool {
        let next = self.next_reply();
        self.at = next.as_ref().map_or(self.at, |reply| reply.end);
        next.is_some()
    }

    /// Frees what is taken of a long answer, each time that it is half.
    fn drop_taken(&mut self) {
        if self.at > LONG_ANSWER_BYTES && self.at > self.answer.len() / 2 {
            self.answer.drain(..std::mem::take(&mut self.at));
            self.answer.shrink_to_fit();
        }
    }
}

/// What a run of local steps led to.
enum MergeEnd {
    Done,
    /// Some are left, and others go first.
    GivesWay,
    /// The answer does not fit what was sent.
    Unintelligible,
}

/// An EXEC's answer in the making.
#[derive(Debug)]
struct Merged {
    elements: usize,
    /// Some of it was left out, for it was too long.
    is_cut: bool,
    /// Room for the array's header, then its elements.
    bytes: Vec<u8>,
    /// Those of the answers that CLIENT REPLY does not turn off.
    messages: Vec<u8>,
}

impl Merged {
    /// The array, in the same memory.
    fn into_array(mut self, resp: Resp) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_ROOM);
        Reply::new(&mut header, resp).array(self.elements);
        let start = HEADER_ROOM - header.len();
        self.bytes[start..HEADER_ROOM].copy_from_slice(&header);
        self.bytes.drain(..start);
        self.bytes
    }
}

fn expect_local_steps(parts: Vec<Part>, line: &mut Line) {
    if parts.iter().any(|part| matches!(part, Part::Local { .. })) {
        line.expect_exec(parts);
    }
}

/// The request that tells the primary what was chosen.
fn telling(before: Chosen, after: Chosen) -> Box<[Box<[u8]>]> {
    let (name, value) = if before.db == after.db {
        ("HELLO", if after.resp == Resp::V3 { 3 } else { 2 })
    } else {
        ("SELECT", after.db)
    };
    [name.as_bytes().into(), value.to_string().into_bytes().into()].into()
}

/// Whether an EXEC's answer says that it was not carried out.
fn is_no(answer: &[u8]) -> bool {
    answer.starts_with(b"-") || answer == b"*-1\r\n" || answer == b"_\r\n"
}

fn count_replies(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Some(len)) = FrameScanner::default().scan(bytes)
        && len > 0
    {
        bytes = &bytes[len..];
        count += 1;
    }
    count
}
