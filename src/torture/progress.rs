//! What a run shows while it goes on: one block in a terminal that is kept up to date, plain lines elsewhere.
//!
//! All of it goes to standard error; standard output is for the result.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::rc::Rc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::load::Load;
use super::nemesis::{FaultRecord, people};

const REFRESH: Duration = Duration::from_millis(250);
/// Between two lines where there is no terminal, in refreshes: 15 s.
const REFRESHES_PER_LINE: u32 = 60;

/// The display of one run.
pub struct Progress {
    block: Option<Block>,
    doing: RefCell<String>,
    faults: Cell<u32>,
    last_outage_us: Cell<Option<u64>>,
}

struct Block {
    all: MultiProgress,
    time: ProgressBar,
    lines: [ProgressBar; 2],
}

impl Progress {
    /// A display for a run of this length; one that shows nothing if `quiet`.
    pub fn new(length: Duration, quiet: bool) -> Rc<Progress> {
        let is_terminal = std::io::stderr().is_terminal() && !quiet;
        let block = is_terminal.then(|| Block::new(length));
        let doing = RefCell::new("starting".to_owned());
        Rc::new(Progress { block, doing, faults: Cell::new(0), last_outage_us: Cell::new(None) })
    }

    /// What goes on from now on.
    pub fn doing(&self, what: impl Into<String>) {
        let what = what.into();
        if self.block.is_none() {
            tracing::debug!("{what}");
        }
        *self.doing.borrow_mut() = what;
    }

    /// Something to be read after it has passed.
    pub fn say(&self, line: &str) {
        match &self.block {
            // A display that can't be written to is no reason to stop.
            Some(block) => drop(block.all.println(line)),
            None => eprintln!("{line}"),
        }
    }

    /// A fault is over.
    pub fn fault(&self, record: &FaultRecord) {
        self.faults.set(record.number);
        self.last_outage_us.set(Some(record.unavailable_us));
        self.say(&describe(record));
    }

    /// Keeps the display up to date, for ever.
    pub async fn follow(self: Rc<Progress>, load: Rc<Load>, begun_us: u64) {
        let mut refreshes = 0;
        let mut before = load.counts().acknowledged;
        let mut before_us = load.now_us();
        loop {
            tokio::time::sleep(REFRESH).await;
            refreshes += 1;
            let (now, now_us) = (load.counts().acknowledged, load.now_us());
            let per_second = (now - before) as f64 * 1e6 / (now_us - before_us).max(1) as f64;
            (before, before_us) = (now, now_us);
            let [first, second] = self.lines(&load, per_second);
            match &self.block {
                Some(block) => {
                    block.time.set_position((now_us - begun_us) / 1_000_000);
                    block.lines[0].set_message(first);
                    block.lines[1].set_message(second);
                }
                None if refreshes % REFRESHES_PER_LINE == 0 => {
                    eprintln!("{:>5} s  {first} · {second}", (now_us - begun_us) / 1_000_000);
                }
                None => {}
            }
        }
    }

    /// Takes the block away.
    pub fn close(&self) {
        if let Some(block) = &self.block {
            // As above.
            let _ = block.all.clear();
        }
    }

    fn lines(&self, load: &Load, per_second: f64) -> [String; 2] {
        let counts = load.counts();
        let primary = load.view.primary().map_or("none".to_owned(), |node| people(node).to_string());
        let outage =
            self.last_outage_us.get().map_or("–".to_owned(), |us| format!("{:.2} s", us as f64 / 1e6));
        let first = format!(
            "{per_second:.0} ops/s · {} acknowledged · {} errors · {} in doubt · primary: node {primary}",
            counts.acknowledged, counts.failed, counts.in_doubt
        );
        let second = format!(
            "{} · {} faults · {} failovers · last outage of writes {outage}",
            self.doing.borrow(),
            self.faults.get(),
            load.view.failovers()
        );
        [first, second]
    }
}

impl Block {
    fn new(length: Duration) -> Block {
        let all = MultiProgress::new();
        let bar_style = ProgressStyle::with_template("{bar:40} {pos} of {len} s");
        let time = all.add(ProgressBar::new(length.as_secs()));
        let line_style = ProgressStyle::with_template("{msg}");
        let lines = [all.add(ProgressBar::new_spinner()), all.add(ProgressBar::new_spinner())];
        // Templates that can't be parsed leave the usual ones.
        if let (Ok(bar_style), Ok(line_style)) = (bar_style, line_style) {
            time.set_style(bar_style);
            lines.iter().for_each(|line| line.set_style(line_style.clone()));
        }
        Block { all, time, lines }
    }
}

/// A fault that is over, as a line.
pub fn describe(record: &FaultRecord) -> String {
    let nodes: Vec<String> = record.nodes.iter().map(u32::to_string).collect();
    let at = match nodes.as_slice() {
        [] => String::new(),
        [node] => format!(" of node {node}"),
        _ => format!(" of nodes {}", nodes.join(", ")),
    };
    let notes: String = record.notes.iter().map(|note| format!("; {note}")).collect();
    let recovery = match record.recovered_us {
        Some(_) => String::new(),
        None => "; it did not recover".to_owned(),
    };
    format!(
        "{:>5.0} s  fault {}: {}{at}: no writes for {:.2} s{notes}{recovery}",
        record.begun_us as f64 / 1e6,
        record.number,
        record.kind,
        record.unavailable_us as f64 / 1e6,
    )
}
