//! `perdura recover`: the way out of a group that can't go on, from the folder of one node that does not run.
//!
//! - The folder becomes one of a new cluster, known by a name that follows from the old cluster and the last entry: members of the
//!   old one refuse it and the other way round, and folders that end with different entries refuse each other.
//! - The new log holds the newest whole checkpoint's entry and what is sound after it. The old log, and checkpoints that do not fit, are
//!   moved to a folder of their own beside it. Nothing is removed.
//! - What may be missing is said before anything is done.

mod apply;
mod plan;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde::Serialize;

use super::arguments;
use super::backup::EXIT_CODES;
use super::confirm::confirm;
use super::failure::{self, Failure, GOOD, write_json};
use crate::config::Membership;
use crate::config::settings::Settings;
use crate::data_folder::create_private;
use plan::{Order, Plan};

pub fn command() -> Command {
    Command::new("recover")
        .about("Begin a new cluster from the folder of one node, when the old one can't go on")
        .long_about(
            "Begin a new cluster from the folder of one stopped node: when a majority of the group's folders is lost or damaged, or \
             when no node can apply the next entry of the log. What the group acknowledged and this folder does not hold is lost; \
             the command says what that may be, and asks first. The old log is kept beside the new one. Without \
             --initial-cluster the node is alone in the new cluster; for a group, copy the folder to each machine, and run this on \
             each with the same --initial-cluster and its own --node-id.",
        )
        .after_help(EXIT_CODES)
        .args(arguments::settings_named(&["dir", "initial-cluster", "node-id", "segment-bytes"]))
        .args([
            Arg::new("force-new-cluster")
                .long("force-new-cluster")
                .action(ArgAction::SetTrue)
                .help("Begin a new cluster with all that this folder holds"),
            Arg::new("end-before")
                .long("end-before")
                .value_name("INDEX")
                .value_parser(value_parser!(u64).range(1..))
                .help("Begin a new cluster with what the log holds before this entry; the rest is kept aside"),
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Say what would be done, and do nothing"),
            Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Don't ask"),
            Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON document"),
        ])
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    done: bool,
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = recover(matches, &mut out);
    failure::end(done, out)
}

fn recover(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let order = order(matches)?;
    let dry_run = matches.get_flag("dry-run");
    if apply::was_interrupted(&order.dir) {
        if dry_run {
            let dir = order.dir.display();
            return Err(Failure::Failed(format!(
                "{dir}: a recovery was begun here and not finished; run it again"
            )));
        }
        apply::undo(&order.dir)?;
    }
    let (plan, source) = plan::make(&order)?;
    let json = matches.get_flag("json");
    if !json {
        plan.write_text(out)?;
        out.flush()?;
    }
    let is_wanted = !dry_run
        && (matches.get_flag("yes")
            || confirm("Begin the new cluster? What is named as missing is given up.")?);
    if is_wanted {
        let (plan, source) = match plan::log_folder(&order.dir) {
            log if log.is_dir() => (plan.clone(), source),
            log => {
                // An empty one keeps nodes from starting meanwhile.
                create_private(&log)
                    .map_err(|source| Failure::Folder { folder: log.display().to_string(), source })?;
                plan::make(&order)?
            }
        };
        apply::apply(&order, &plan, &source)?;
    }
    if json {
        write_json(out, &Answer { plan: &plan, done: is_wanted })?;
    } else if is_wanted {
        writeln!(
            out,
            "done: the folder belongs to cluster '{}'; the old log is in {}",
            plan.cluster_name, plan.kept_in
        )?;
    } else {
        writeln!(out, "nothing was changed")?;
    }
    Ok(GOOD)
}

fn order(matches: &ArgMatches) -> Result<Order, Failure> {
    let settings = Settings::resolve(&arguments::flags_of(matches), arguments::environment())?;
    if !settings.is_given("dir") {
        return Err(Failure::Mistake("--dir: say which folder is to be recovered".to_owned()));
    }
    let end_before = matches.get_one::<u64>("end-before").copied();
    if !matches.get_flag("force-new-cluster") && end_before.is_none() {
        let text = "say --force-new-cluster, --end-before INDEX, or both: either begins a new cluster";
        return Err(Failure::Mistake(text.to_owned()));
    }
    let Membership { node_id, voters, segment_bytes, .. } = Membership::read(&settings)?;
    let dir = settings.required("dir", |text| Ok(PathBuf::from(text)))?;
    Ok(Order { dir, end_before, node_id, members: voters, segment_bytes })
}
