//! What a start shows of itself: bars on a terminal, elsewhere a line now and then.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{ServerError, spawn};
use crate::env::Clock;
use crate::loading::{Progress, Stage};
use crate::shard::port::ShardHandle;

const LOOK: Duration = Duration::from_millis(100);
/// A start that is over sooner shows nothing.
const SHOWN_AFTER_MS: u64 = 500;
const LINE_EVERY_MS: u64 = 5_000;

/// Tells of a start until it is over, in a thread of its own.
pub fn show(handle: Arc<ShardHandle>, clock: Clock) -> Result<(), ServerError> {
    let is_terminal = std::io::stderr().is_terminal();
    spawn("progress".to_owned(), move || {
        let mut bar = Bar::default();
        let mut next_ms = clock.monotonic_ms() + if is_terminal { SHOWN_AFTER_MS } else { LINE_EVERY_MS };
        while let Some(progress) = handle.loading.progress() {
            let now_ms = clock.monotonic_ms();
            if now_ms >= next_ms && is_terminal {
                bar.draw(&progress);
            } else if now_ms >= next_ms {
                next_ms = now_ms + LINE_EVERY_MS;
                say(&progress, now_ms);
            }
            std::thread::sleep(LOOK);
        }
        bar.clear();
    })
}

fn say(progress: &Progress, now_ms: u64) {
    let (stage, percent) = (progress.stage.text(), progress.percent().floor());
    let (index, eta_s) = (progress.index, progress.eta_s(now_ms));
    tracing::info!(percent, index, eta_s, "{stage}");
}

/// One bar for each stage, after the other.
#[derive(Default)]
struct Bar(Option<(Stage, ProgressBar)>);

impl Bar {
    fn draw(&mut self, progress: &Progress) {
        let stage = progress.stage;
        if self.0.as_ref().is_none_or(|(drawn, _)| *drawn != stage) {
            self.clear();
            self.0 = Some((stage, new_bar(stage)));
        }
        let Some((_, bar)) = &self.0 else { return };
        let (done, all) = match stage {
            Stage::Replaying => {
                (progress.index - progress.first_index, progress.last_index - progress.first_index)
            }
            _ => (progress.loaded_bytes, progress.total_bytes),
        };
        bar.set_length(all);
        bar.set_position(done);
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(stage: Stage) -> ProgressBar {
    let template = match stage {
        Stage::Replaying => "{msg} {bar:40} {pos} of {len} entries, {eta} left",
        _ => "{msg} {bar:40} {bytes} of {total_bytes}, {eta} left",
    };
    let bar = ProgressBar::no_length().with_message(stage.text());
    // A template that can't be parsed leaves the usual one.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
