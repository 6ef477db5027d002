//! Which of the gathered commands may go into the next entry, by its length, by its steps and by the memory that it may need.
//!
//! - A command that is too much by itself is refused, and nothing else with it. One that is too much beside what is planned already
//!   waits for the next plan: then all before it is applied, and its cost can be told exactly.
//! - Nothing is in flight while a plan is made, so memory in use is memory as measured and what the plan itself may need.
//! - Followers and replays ask none of this.

use smallvec::SmallVec;

use super::machine::Machine;
use super::plan::Plan;
use crate::apply::ApplyError;
use crate::command::context::Stamp;
use crate::command::cost::{self, Cost, CostContext, CostKind, Forecast, Size};
use crate::command::spec::KeyFlags;
use crate::command::{Command, ReadContext, lookup};
use crate::keyspace::slot::Slot;
use crate::keyspace::view::LockSet;
use crate::memory::{MemoryLimits, Room};
use crate::propose::batch::Work;
use crate::propose::entry::{EntryArgs, EntryReader, Item};

/// A plan that touches so many elements takes no more: other clients, and signs of life, come before the rest.
const PLAN_STEPS: u64 = 4_000_000;

/// The command that frees a key is longer by less than this than any command that creates the key: it has to fit as well.
const FREEING_BYTES: usize = 16;

/// Memory is measured again after so many ms, or where the plans since may have used a good part of the room.
const MEASURE_PERIOD_MS: u64 = 20;
const MEASURE_AT_SHARE: u64 = 16;

/// What is to be done about an item of the backlog.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Take,
    /// It waits for the next plan.
    Close,
    /// Its client is answered this error.
    Refuse(String),
}

/// What the plans since the last measurement may have used of the room for data.
#[derive(Debug)]
pub struct Budget {
    maxmemory: u64,
    room: Room,
    spent: u64,
    /// When it was measured: monotonic ms, and the entry applied last.
    measured: Option<(u64, u64)>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { maxmemory: 0, room: Room::UNLIMITED, spent: 0, measured: None }
    }
}

impl Budget {
    /// `maxmemory` is in bytes, 0 for no such limit.
    pub fn set_maxmemory(&mut self, maxmemory: u64) {
        if std::mem::replace(&mut self.maxmemory, maxmemory) != maxmemory {
            self.measured = None;
        }
    }

    fn fits(&self, bytes: u64) -> bool {
        bytes == 0 || self.room.holds(self.spent, bytes)
    }

    fn spend(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_add(bytes);
    }

    /// A plan begins; everything before it is applied.
    pub fn begin_plan(&mut self, limits: &MemoryLimits, now: (u64, u64)) {
        let is_due = self.measured.is_none_or(|(then_ms, _)| now.0 >= then_ms + MEASURE_PERIOD_MS);
        if is_due || self.spent > self.room.bytes / MEASURE_AT_SHARE {
            self.measure(limits, now);
        }
    }

    /// Measures unless nothing can have changed since the last time.
    fn measure(&mut self, limits: &MemoryLimits, now: (u64, u64)) {
        if self.measured != Some(now) {
            self.room = limits.room(self.maxmemory);
            (self.spent, self.measured) = (0, Some(now));
            limits.publish(self.room, self.maxmemory);
        }
    }
}

/// A logged command, read.
struct Logged<'e> {
    command: &'static Command,
    db: usize,
    args: EntryArgs<'e>,
}

impl Logged<'_> {
    /// The keys that it writes.
    fn written(&self) -> impl Iterator<Item = &[u8]> {
        let specs = self.command.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::RO));
        specs.flat_map(|spec| spec.places(&self.args)).map(|place| self.args[place])
    }
}

/// Decides for one plan.
pub struct Gate<'a> {
    pub machine: &'a Machine,
    pub limits: &'a MemoryLimits,
    pub budget: &'a mut Budget,
    pub stamp: Stamp,
    pub now_ms: u64,
}

impl Gate<'_> {
    /// Decides about an item and its bytes. What is taken counts for all that comes after it.
    pub fn admit(&mut self, plan: &mut Plan, work: &Work, encoded: &[u8]) -> Result<Admission, ApplyError> {
        let (command, argc) = match *work {
            Work::Write { command, argc, .. } | Work::Blocking { command, argc, .. } => (command, argc),
            Work::Transaction { .. } if !encoded.is_empty() => return self.admit_transaction(plan, encoded),
            Work::Internal { .. } if !plan.has_room_for(encoded.len()) => return Ok(Admission::Close),
            _ => return Ok(Admission::Take),
        };
        if let Some(admission) = admit_length(plan, encoded.len(), "command") {
            return Ok(admission);
        }
        let is_first = is_first(plan);
        if command.cost.measure().is_some() || plan.forecast.tells_keys_apart() {
            return self.admit_measured(plan, encoded, is_first);
        }
        let cost = cost::charged(command, Cost::of_arguments(argc as usize, encoded.len()));
        let admission = self.weigh(plan, cost, is_first, "command");
        if admission == Admission::Take {
            plan.forecast.add(cost, std::iter::empty());
            note_moves(&mut plan.forecast, command, None);
        }
        Ok(admission)
    }

    fn admit_measured(
        &mut self,
        plan: &mut Plan,
        encoded: &[u8],
        is_first: bool,
    ) -> Result<Admission, ApplyError> {
        let logged = read_commands(encoded)?;
        let mut total = Cost::default();
        for one in &logged {
            if matches!(one.command.cost, CostKind::Compounds(_)) {
                plan.forecast.tell_keys_apart();
            }
            let cost = self.cost(&plan.forecast, one);
            total = total.and(cost);
            plan.forecast.add(cost, one.written());
            note_moves(&mut plan.forecast, one.command, None);
        }
        Ok(self.weigh(plan, total, is_first, "command"))
    }

    fn admit_transaction(&mut self, plan: &mut Plan, encoded: &[u8]) -> Result<Admission, ApplyError> {
        if let Some(admission) = admit_length(plan, encoded.len(), "transaction") {
            return Ok(admission.of_transaction());
        }
        let is_first = is_first(plan);
        let logged = read_commands(encoded)?;
        let is_measured = logged.iter().any(|one| one.command.cost.measure().is_some());
        if is_measured {
            plan.forecast.tell_keys_apart();
        }
        let mut held = None;
        let mut total = Cost::default();
        for one in &logged {
            let cost = self.cost(&plan.forecast, one);
            total = total.and(cost);
            plan.forecast.add(cost, one.written());
            let held_by_keys = (is_measured && one.command.moves() && !one.command.keys.is_empty())
                .then(|| *held.get_or_insert_with(|| self.held(&logged)));
            note_moves(&mut plan.forecast, one.command, held_by_keys);
        }
        Ok(self.weigh(plan, total, is_first, "transaction").of_transaction())
    }

    /// What all keys that are named hold now.
    fn held(&self, logged: &[Logged<'_>]) -> Size {
        let mut keys: Vec<(usize, &[u8])> = logged
            .iter()
            .flat_map(|one| one.command.key_places(&one.args).map(|place| (one.db, one.args[place])))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let sizes = keys.into_iter().map(|(db, key)| {
            let view = self.machine.applier.keyspace().read(LockSet::of_range(Slot::of(key).range()));
            ReadContext::new(&view, db, self.stamp.now_ms, 0).entry(key).map(Size::of).unwrap_or_default()
        });
        sizes.fold(Size::default(), Size::plus)
    }

    fn cost(&self, forecast: &Forecast, one: &Logged<'_>) -> Cost {
        let Some(measure) = one.command.cost.measure() else {
            return cost::charged(one.command, Cost::of_args(&one.args));
        };
        let (locks, known) = one.command.locks(&one.args);
        let view = self.machine.applier.keyspace().read(locks);
        let reader = ReadContext::new(&view, one.db, self.stamp.now_ms, 0).knowing(known);
        cost::charged(one.command, measure(&CostContext::new(&reader, forecast), &one.args))
    }

    fn weigh(&mut self, plan: &mut Plan, cost: Cost, is_first: bool, what: &str) -> Admission {
        let refuse = |text: String| if is_first { Admission::Refuse(text) } else { Admission::Close };
        let admission = match cost.refusal(what) {
            Some(error) => refuse(error.to_string()),
            None if !is_first && plan.steps.saturating_add(cost.steps) > PLAN_STEPS => Admission::Close,
            None if self.has_room(cost, is_first) => Admission::Take,
            None => refuse(self.budget.room.refusal()),
        };
        match admission {
            Admission::Take => {
                self.budget.spend(cost.growth.bytes);
                plan.steps = plan.steps.saturating_add(cost.steps);
            }
            // It may have been counted for what comes after it; nothing else was.
            Admission::Refuse(_) => plan.forecast = Forecast::default(),
            Admission::Close => {}
        }
        admission
    }

    fn has_room(&mut self, cost: Cost, is_first: bool) -> bool {
        if !self.budget.fits(cost.bytes()) && is_first {
            self.budget.measure(self.limits, (self.now_ms, self.machine.applied));
        }
        self.budget.fits(cost.bytes())
    }
}

impl Admission {
    /// As EXEC answers it.
    fn of_transaction(self) -> Admission {
        match self {
            Admission::Refuse(text) => {
                Admission::Refuse(format!("EXECABORT Transaction discarded because of: {text}"))
            }
            admission => admission,
        }
    }
}

/// Whether the log takes an item of this length, by itself and beside what is planned.
fn admit_length(plan: &Plan, bytes: usize, what: &str) -> Option<Admission> {
    let limit = plan.max_item_bytes() - FREEING_BYTES;
    if bytes > limit {
        let text = format!("ERR the {what} takes {bytes} bytes in the log, the limit is {limit}");
        return Some(Admission::Refuse(text));
    }
    (!plan.has_room_for(bytes)).then_some(Admission::Close)
}

/// Whether an item would be the first that changes anything, so that its cost is exact.
fn is_first(plan: &Plan) -> bool {
    plan.logged == 0 && plan.forecast.is_empty()
}

fn note_moves(forecast: &mut Forecast, command: &Command, held: Option<Size>) {
    match command.cost {
        CostKind::MovesElements if held.is_none() => forecast.moved_elements(),
        CostKind::MovesElements | CostKind::MovesValues => forecast.moved_values(held),
        CostKind::Arguments | CostKind::Measured(_) | CostKind::Compounds(_) => {}
    }
}

/// The commands of an entry's item.
fn read_commands(encoded: &[u8]) -> Result<SmallVec<[Logged<'_>; 1]>, ApplyError> {
    let mut reader = EntryReader::items(encoded);
    let count = if let Some(Item::Transaction(count)) = reader.next_item()? { count } else { 1 };
    let mut logged = SmallVec::new();
    for _ in 0..count {
        let mut args = EntryArgs::new();
        let db = reader.command(&mut args)?;
        if let Some(row) = lookup(args[0]) {
            logged.push(Logged { command: row.command, db, args });
        }
    }
    Ok(logged)
}
