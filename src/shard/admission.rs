//! Which of the gathered commands may go into the next entry, by its length, by its steps and by the memory that it may need.
//!
//! - A command that is too much by itself is refused, and nothing else with it. One that is too much beside what is planned already
//!   waits for the next plan: then all before it is applied, and its cost can be told exactly.
//! - What only reads has a share in the steps, and none in the rest: a plan is run in one piece, whatever it consists of.
//! - Nothing is in flight while a plan is made, so memory in use is memory as measured and what the plan itself may need.
//! - Followers and replays ask none of this.

use super::budget::Budget;
use super::machine::Machine;
use super::plan::Plan;
use crate::apply::ApplyError;
use crate::command::context::Stamp;
use crate::command::cost::{self, Cost, CostContext, CostKind, Databases, Forecast, MAX_STEPS, Size, reads};
use crate::command::script::{PLANNED_STEPS_PER_ELEMENT, usual_steps};
use crate::command::spec::KeyFlags;
use crate::command::{Args, Command, ReadContext, lookup_request};
use crate::keyspace::view::LockSet;
use crate::memory::MemoryLimits;
use crate::propose::batch::{Step, Work};
use crate::propose::entry::{EntryArgs, EntryError, EntryReader, Item};

/// The command that frees a key is longer by less than this than any command that creates the key: it has to fit as well.
const FREEING_BYTES: usize = 16;

/// Steps in which a key is looked up and remembered for a client that watches it.
const WATCH_STEPS: u64 = 4;

/// Elements in whose time a script runs that has not run here yet, unless it is long.
const UNKNOWN_SCRIPT_STEPS: u64 = 250_000;

/// What is to be done about an item of the backlog.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Take,
    /// It waits for the next plan.
    Close,
    /// Its client is answered this error.
    Refuse(String),
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
            Work::Blocking { command, .. } if !command.is_write() => {
                return self.admit_read(plan, command, encoded);
            }
            Work::Write { command, argc, .. } | Work::Blocking { command, argc, .. } => (command, argc),
            Work::Read { command, .. } if matches!(command.cost, CostKind::Script) => {
                return self.admit_reading_script(plan, encoded);
            }
            Work::Read { command, bytes } if command.cost.measure().is_none() => {
                return Ok(admit_steps(plan, reads::of_short_read(bytes)));
            }
            Work::Read { command, .. } => return self.admit_read(plan, command, encoded),
            Work::Transaction { ref steps, .. } => return self.admit_transaction(plan, steps, encoded),
            Work::Watch { ref keys, .. } => return Ok(admit_steps(plan, keys.len() as u64 * WATCH_STEPS)),
            Work::Internal { .. } if !plan.has_room_for(encoded.len()) => return Ok(Admission::Close),
            _ => return Ok(Admission::Take),
        };
        if let Some(admission) = admit_length(plan, encoded.len(), "command") {
            return Ok(admission);
        }
        let is_first = is_first(plan);
        if takes_a_look(command) || plan.forecast.tells_keys_apart() {
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
        let mut total = Cost::default();
        for one in logged_commands(encoded) {
            let one = &one?;
            if matches!(one.command.cost, CostKind::Stores(_) | CostKind::Carries(_)) {
                plan.forecast.tell_keys_apart();
            }
            let cost = self.cost(&plan.forecast, one);
            total = total.and(cost);
            self.note(&mut plan.forecast, one, cost, None);
        }
        Ok(self.weigh(plan, total, is_first, "command"))
    }

    /// A read by its row's function. One that is too much by itself is refused where it runs.
    fn admit_read(
        &mut self,
        plan: &mut Plan,
        command: &Command,
        encoded: &[u8],
    ) -> Result<Admission, ApplyError> {
        let mut args = EntryArgs::new();
        let db = EntryReader::read_single(encoded, &mut args)?;
        let steps = self.read_steps(&plan.forecast, command, plan.forecast.databases.place(db), &args);
        Ok(admit_steps(plan, steps.min(MAX_STEPS)))
    }

    fn admit_reading_script(&mut self, plan: &mut Plan, encoded: &[u8]) -> Result<Admission, ApplyError> {
        let mut args = EntryArgs::new();
        EntryReader::read_single(encoded, &mut args)?;
        Ok(admit_steps(plan, self.script_steps(&args)))
    }

    /// Its commands are looked at one after the other: all of them, taken apart, would be many times their bytes.
    fn admit_transaction(
        &mut self,
        plan: &mut Plan,
        steps: &[Step],
        encoded: &[u8],
    ) -> Result<Admission, ApplyError> {
        if !encoded.is_empty()
            && let Some(admission) = admit_length(plan, encoded.len(), "transaction")
        {
            return Ok(admission.of_transaction());
        }
        let is_first = is_first(plan);
        let is_measured = steps.iter().filter_map(Step::command).any(|one| one.cost.measure().is_some());
        if is_measured && !encoded.is_empty() {
            plan.forecast.tell_keys_apart();
        }
        let databases = plan.forecast.databases;
        let mut held = None;
        let mut total = Cost::default();
        let mut logged = logged_commands(encoded);
        for step in steps {
            // It will not be taken, whatever comes after this.
            if total.steps > MAX_STEPS {
                break;
            }
            match step {
                Step::Speak(_) => {}
                Step::Read { command, db, args } => {
                    let args: EntryArgs<'_> = args.iter().map(|arg| &**arg).collect();
                    let db = plan.forecast.databases.place(*db);
                    total = total.walking(match command.cost {
                        CostKind::Script => self.script_steps(&args),
                        _ => self.counted_read_steps(&plan.forecast, command, db, &args),
                    });
                }
                Step::Write(_) => {
                    let Some(one) = logged.next().transpose()? else { break };
                    let cost = self.cost(&plan.forecast, &one);
                    total = total.and(cost);
                    let moves_elements = matches!(one.command.cost, CostKind::MovesElements);
                    if is_measured && held.is_none() && moves_elements {
                        held = Some(self.held(&plan.forecast, databases, steps, encoded)?);
                    }
                    self.note(&mut plan.forecast, &one, cost, held);
                }
            }
        }
        Ok(self.weigh(plan, total, is_first, "transaction").of_transaction())
    }

    /// What all keys that a transaction names hold now, or may hold in place of that by what is planned. `databases` are as they are
    /// before its first command.
    fn held(
        &self,
        forecast: &Forecast,
        mut databases: Databases,
        steps: &[Step],
        encoded: &[u8],
    ) -> Result<Size, ApplyError> {
        let mut keys = NamedKeys::default();
        let mut logged = logged_commands(encoded);
        for step in steps {
            match step {
                Step::Speak(_) => {}
                Step::Read { command, db, args } => {
                    let args: EntryArgs<'_> = args.iter().map(|arg| &**arg).collect();
                    let db = databases.place(*db);
                    command.key_places(&args).for_each(|place| keys.add(db, args[place]));
                }
                Step::Write(_) => {
                    let Some(one) = logged.next().transpose()? else { break };
                    let db = databases.place(one.db);
                    one.command.key_places(&one.args).for_each(|place| keys.add(db, one.args[place]));
                    databases.note(one.command, &one.args);
                }
            }
        }
        let sizes = keys.distinct().into_iter().map(|(db, key)| forecast.held(key, self.size_now(db, key)));
        Ok(sizes.fold(Size::default(), Size::plus))
    }

    /// What a key holds now.
    fn size_now(&self, db: usize, key: &[u8]) -> Size {
        let view = self.machine.applier.keyspace().read(LockSet::of_key(key));
        ReadContext::new(&view, db, self.stamp.now_ms, 0).entry(key).map(Size::of).unwrap_or_default()
    }

    /// What a read may touch at most where it runs, after what is planned.
    fn read_steps(&self, forecast: &Forecast, command: &Command, db: usize, args: &Args<'_>) -> u64 {
        self.with_reader(command, db, args, |reader| {
            reads::of_read(command, &CostContext::new(reader, forecast), args)
        })
    }

    /// What a read of a transaction may touch, for all that is known: it is counted again as it runs.
    fn counted_read_steps(&self, forecast: &Forecast, command: &Command, db: usize, args: &Args<'_>) -> u64 {
        self.with_reader(command, db, args, |reader| {
            reads::of_read(command, &CostContext::new(reader, forecast).of_counted_reads(), args)
        })
    }

    fn with_reader<T>(
        &self,
        command: &Command,
        db: usize,
        args: &Args<'_>,
        act: impl FnOnce(&ReadContext<'_>) -> T,
    ) -> T {
        let (locks, known) = command.locks(args);
        let view = self.machine.applier.keyspace().read(locks);
        act(&ReadContext::new(&view, db, self.stamp.now_ms, 0).knowing(known))
    }

    fn cost(&self, forecast: &Forecast, one: &Logged<'_>) -> Cost {
        if matches!(one.command.cost, CostKind::Script) {
            return self.script_cost(forecast, &one.args);
        }
        let Some(measure) = one.command.cost.measure() else {
            return cost::charged(one.command, Cost::of_args(&one.args));
        };
        self.with_reader(one.command, forecast.databases.place(one.db), &one.args, |reader| {
            cost::charged(one.command, measure(&CostContext::new(reader, forecast), &one.args))
        })
    }

    /// What scripts may write counts once, for apply gives all scripts of an entry one budget, which is what there is room for. One that
    /// this node has not run yet may be long: few of them go together.
    fn script_cost(&self, forecast: &Forecast, args: &Args<'_>) -> Cost {
        let cost = Cost::of_args(args).walking(self.script_steps(args));
        let bytes = match forecast.script_growth() {
            Some(_) => 0,
            None => self.budget.for_scripts(),
        };
        Cost { growth: Size { bytes, ..cost.growth }, transient: 0, ..cost }
    }

    /// Steps that a script takes as far as this node knows.
    fn script_steps(&self, args: &Args<'_>) -> u64 {
        let scripts = &self.machine.applier.effects.scripts;
        usual_steps(scripts, args).map_or(UNKNOWN_SCRIPT_STEPS, |steps| 1 + steps / PLANNED_STEPS_PER_ELEMENT)
    }

    /// A command is planned; `held` is what all keys of its transaction hold now, if that is known.
    fn note(&self, forecast: &mut Forecast, one: &Logged<'_>, cost: Cost, held: Option<Size>) {
        match one.command.cost {
            CostKind::Stores(_) => forecast.store(cost, one.written()),
            CostKind::Script => forecast.ran_script(cost),
            _ => forecast.add(cost, one.written()),
        }
        note_moves(forecast, one.command, held);
        forecast.databases.note(one.command, &one.args);
        if matches!(one.command.cost, CostKind::Carries(_)) {
            let key = one.args[1];
            let now = self.size_now(forecast.databases.place(one.db), key);
            forecast.carried(key, now, one.written());
        }
    }

    fn weigh(&mut self, plan: &mut Plan, cost: Cost, is_first: bool, what: &str) -> Admission {
        let refuse = |text: String| if is_first { Admission::Refuse(text) } else { Admission::Close };
        let admission = match cost.refusal(what) {
            Some(error) => refuse(error.to_string()),
            None if !plan.has_steps_for(cost.steps) => Admission::Close,
            None if self.has_room(cost, is_first) => Admission::Take,
            // Where keys can be evicted it waits until there is room.
            None if self.budget.waits_for(cost.bytes()) => Admission::Close,
            None => refuse(self.budget.refusal_text()),
        };
        match admission {
            Admission::Take => {
                self.budget.spend(cost.growth.bytes);
                plan.take_steps(cost.steps);
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

/// Whether more than a command's length has to be known of it.
fn takes_a_look(command: &Command) -> bool {
    command.cost.measure().is_some() || command.names_databases() || matches!(command.cost, CostKind::Script)
}

fn note_moves(forecast: &mut Forecast, command: &Command, held: Option<Size>) {
    if matches!(command.cost, CostKind::MovesElements) {
        forecast.moved_elements(held);
    }
}

/// Takes an item that needs nothing but steps, or leaves it to the next plan.
fn admit_steps(plan: &mut Plan, steps: u64) -> Admission {
    if !plan.has_steps_for(steps) {
        return Admission::Close;
    }
    plan.take_steps(steps);
    Admission::Take
}

/// The commands of an entry's item, each read when its turn comes; none where there is no item.
fn logged_commands(encoded: &[u8]) -> impl Iterator<Item = Result<Logged<'_>, EntryError>> {
    let mut reader = EntryReader::items(encoded);
    let (mut left, mut fault) = match reader.next_item() {
        Ok(Some(Item::Transaction(count))) => (count, None),
        Ok(Some(Item::Single)) => (1, None),
        Ok(None) => (0, None),
        Err(fault) => (0, Some(fault)),
    };
    std::iter::from_fn(move || {
        if let Some(fault) = fault.take() {
            return Some(Err(fault));
        }
        loop {
            left = left.checked_sub(1)?;
            let mut args = EntryArgs::new();
            match reader.command(&mut args) {
                Ok(db) => {
                    let Some(row) = lookup_request(&args) else { continue };
                    return Some(Ok(Logged { command: row.command, db, args }));
                }
                Err(fault) => {
                    left = 0;
                    return Some(Err(fault));
                }
            }
        }
    })
}

/// Keys that commands name, with their databases.
#[derive(Default)]
struct NamedKeys<'k> {
    keys: Vec<(usize, &'k [u8])>,
    /// How many of them are different, when they were looked at last.
    distinct: usize,
}

/// So many are kept before any are looked at.
const KEYS_AT_LEAST: usize = 1 << 12;

impl<'k> NamedKeys<'k> {
    /// A key that is named again and again takes no memory each time.
    fn add(&mut self, db: usize, key: &'k [u8]) {
        self.keys.push((db, key));
        if self.keys.len() >= 2 * self.distinct.max(KEYS_AT_LEAST) {
            self.drop_twins();
        }
    }

    fn drop_twins(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
        self.distinct = self.keys.len();
    }

    fn distinct(mut self) -> Vec<(usize, &'k [u8])> {
        self.drop_twins();
        self.keys
    }
}
