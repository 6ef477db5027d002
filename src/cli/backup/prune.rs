//! `perdura backup prune`: removes what is too old to be kept.

use std::io::Write;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use serde::Serialize;

use super::progress_bar;
use crate::backup::prune::{Doomed, Keep, plan, remove};
use crate::cli::confirm::confirm;
use crate::cli::failure::{Failure, GOOD, write_json};
use crate::cli::log::bytes_text;
use crate::env::Clock;

pub fn command() -> Command {
    Command::new("prune")
        .about("Remove old checkpoints, the log before the oldest that is kept, and what nothing needs")
        .args(super::repository_arguments("at"))
        .args([
            Arg::new("keep")
                .long("keep")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("Keep the newest N checkpoints, and the log from the oldest of them on"),
            Arg::new("keep-days")
                .long("keep-days")
                .value_name("D")
                .value_parser(value_parser!(u64).range(1..=36_500))
                .help("Keep all that it takes to go back to any time of the last D days"),
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Remove nothing, say what would be"),
            Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Don't ask"),
        ])
        .group(ArgGroup::new("what").args(["keep", "keep-days"]).required(true))
}

#[derive(Serialize)]
struct Answer<'a> {
    dry_run: bool,
    checkpoints: &'a [u64],
    log_objects: usize,
    pieces: usize,
    bytes: u64,
    /// Checkpoints that stay and can't be restored.
    incomplete: &'a [u64],
}

pub fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let repository = super::open(matches)?;
    let clock = Clock::system();
    let checkpoints = matches.get_one::<u64>("keep").map(|keep| usize::try_from(*keep).unwrap_or(usize::MAX));
    let keep = Keep { checkpoints, days: matches.get_one::<u64>("keep-days").copied() };
    let doomed = plan(&repository, keep, clock.unix_ms())?;
    let dry_run = matches.get_flag("dry-run");
    let objects = doomed.objects();
    if !dry_run && objects > 0 {
        if !matches.get_flag("yes") && !confirm(&format!("Remove {}?", text(&doomed)))? {
            return Err(Failure::Failed("nothing was removed".to_owned()));
        }
        let bar = progress_bar("removing", "{bar:40} {pos} of {len} objects");
        bar.set_length(objects as u64);
        let removed = remove(&repository, &doomed, &clock, |count| {
            bar.inc(count);
            Ok(())
        });
        bar.finish_and_clear();
        removed?;
    }
    tell(matches.get_flag("json"), dry_run, out, &doomed)?;
    Ok(GOOD)
}

fn text(doomed: &Doomed) -> String {
    let Doomed { checkpoints, logs, pieces, bytes, .. } = doomed;
    let (checkpoints, logs, pieces) = (checkpoints.len(), logs.len(), pieces.len());
    format!("{checkpoints} checkpoints, {logs} objects of the log, {pieces} pieces: {}", bytes_text(*bytes))
}

fn tell(json: bool, dry_run: bool, out: &mut impl Write, doomed: &Doomed) -> Result<(), Failure> {
    if json {
        let Doomed { checkpoints, logs, pieces, bytes, incomplete, .. } = doomed;
        let (log_objects, pieces) = (logs.len(), pieces.len());
        let answer = Answer { dry_run, checkpoints, log_objects, pieces, bytes: *bytes, incomplete };
        return write_json(out, &answer);
    }
    for index in &doomed.incomplete {
        writeln!(
            out,
            "INCOMPLETE: checkpoint {index} can't be restored, so it counts as none that is kept; verify says why"
        )?;
    }
    let verb = if dry_run { "would remove" } else { "removed" };
    Ok(writeln!(out, "{verb} {}", text(doomed))?)
}
