//! `perdura restore`: a data folder as of some moment, made of a backup.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use indicatif::ProgressBar;
use serde::Serialize;

use super::backup::{self, EXIT_CODES, progress_bar};
use super::failure::{self, Failure, GOOD, write_json};
use super::{arguments, complain};
use crate::backup::restore::{Order, Progress, Restored, Target, restore};
use crate::calendar::{parse_moment, utc_text};
use crate::command::inspect::hex;
use crate::config::Membership;
use crate::config::settings::Settings;

pub fn command() -> Command {
    Command::new("restore")
        .about("Make a data folder exactly as of a moment or an entry, from a backup")
        .long_about(
            "Make a data folder exactly as of a moment or an entry, from a backup; without --to-time or --to-index as of the newest \
             entry. The folder must be empty. It belongs to a new cluster, so that a node on it can't rejoin the old one: start it \
             with `perdura serve --dir DIR`. For a group, run this on each machine with the same --to-index and \
             --initial-cluster and its own --node-id, and start the nodes with the same: nodes that were restored to different entries \
             refuse each other.",
        )
        .after_help(EXIT_CODES)
        .args(backup::repository_arguments("from"))
        .args(arguments::settings_named(&["dir", "cluster-name", "initial-cluster", "node-id", "segment-bytes"]))
        .args([
            Arg::new("to-time")
                .long("to-time")
                .value_name("TIME")
                .value_parser(parse_moment)
                .help("With all that was written up to this moment: 2025-11-21T14:03:00.250Z, 2025-11-21T16:03+02:00, '10 minutes ago'"),
            Arg::new("to-index")
                .long("to-index")
                .value_name("INDEX")
                .value_parser(value_parser!(u64))
                .help("With all entries up to this one"),
            Arg::new("from-checkpoint")
                .long("from-checkpoint")
                .value_name("INDEX")
                .value_parser(value_parser!(u64))
                .help("Begin with this checkpoint (0: with none) in place of the newest before the target, should that be damaged"),
            Arg::new("no-replay")
                .long("no-replay")
                .action(ArgAction::SetTrue)
                .help("Don't load and replay what was made: faster, but only the node's start proves it"),
        ])
        .group(ArgGroup::new("target").args(["to-time", "to-index"]))
}

#[derive(Serialize)]
struct Answer {
    dir: String,
    cluster_name: String,
    cluster_id: String,
    checkpoint: Option<u64>,
    index: u64,
    term: u64,
    entries: u64,
    /// Of the newest entry that has one.
    time: Option<String>,
    keys: Option<u64>,
    /// As `perdura digest` and `perdura checkpoint list` show it.
    digest: Option<String>,
    debug_digest: Option<String>,
    /// Damaged objects in the backup that the restore did without.
    done_without: Vec<String>,
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = run_order(matches, &mut out);
    failure::end(done, out)
}

fn run_order(matches: &ArgMatches, out: &mut impl Write) -> Result<u8, Failure> {
    let repository = backup::open(matches)?;
    let order = order(matches)?;
    let bar = progress_bar("{msg}", "{bar:40} {percent}%");
    let restored = restore(&repository, &order, &mut |progress| show(&bar, progress));
    bar.finish_and_clear();
    tell(matches.get_flag("json"), out, &order, &restored?)?;
    Ok(GOOD)
}

fn order(matches: &ArgMatches) -> Result<Order, Failure> {
    let settings = Settings::resolve(&arguments::flags_of(matches), arguments::environment())?;
    if !settings.is_given("dir") {
        return Err(Failure::Mistake("--dir: say where the new folder is to be".to_owned()));
    }
    let Membership { node_id, voters, cluster_name, segment_bytes } = Membership::read(&settings)?;
    let dir = settings.required("dir", |text| Ok(PathBuf::from(text)))?;
    let times = (matches.get_one::<i64>("to-time"), matches.get_one::<u64>("to-index"));
    Ok(Order {
        target: match times {
            (Some(ms), _) => Target::Time(*ms),
            (_, Some(index)) => Target::Index(*index),
            _ => Target::Newest,
        },
        from_checkpoint: matches.get_one::<u64>("from-checkpoint").copied(),
        node_id,
        members: voters,
        segment_bytes,
        replay: !matches.get_flag("no-replay"),
        cluster_name,
        dir,
    })
}

fn show(bar: &ProgressBar, progress: Progress) {
    let (what, done, all) = match progress {
        Progress::Files(done, all) => ("fetching the checkpoint", done, all),
        Progress::Log(done, all) => ("writing the log", done, all),
        Progress::Replay(done, all) => ("replaying", done, all),
    };
    bar.set_message(what);
    bar.set_length(all);
    bar.set_position(done);
}

fn tell(json: bool, out: &mut impl Write, order: &Order, restored: &Restored) -> Result<(), Failure> {
    let Restored { checkpoint, index, term, entries, cluster_id, replayed, .. } = *restored;
    let Restored { cluster_name, done_without, .. } = restored;
    for damaged in done_without {
        complain(format_args!("DAMAGED: {damaged}; nothing is lost by it, for the restore did without"));
    }
    let time = replayed.and_then(|replayed| replayed.stamp_ms).map(utc_text);
    let digest = replayed.map(|replayed| format!("{:032x}", replayed.digest));
    let debug_digest = replayed.map(|replayed| hex(replayed.debug_digest));
    let dir = order.dir.display().to_string();
    if json {
        let keys = replayed.map(|replayed| replayed.keys);
        let (cluster_name, cluster_id) = (cluster_name.clone(), cluster_id.to_string());
        let done_without = done_without.clone();
        let answer = Answer {
            dir,
            cluster_name,
            cluster_id,
            checkpoint,
            index,
            term,
            entries,
            time,
            keys,
            digest,
            debug_digest,
            done_without,
        };
        return write_json(out, &answer);
    }
    match checkpoint {
        Some(checkpoint) => writeln!(out, "{dir}: checkpoint {checkpoint} and {entries} entries behind it")?,
        None => writeln!(out, "{dir}: {entries} entries")?,
    }
    writeln!(out, "as of entry {index}{}", time.map(|time| format!(", {time}")).unwrap_or_default())?;
    if let (Some(replayed), Some(digest), Some(debug_digest)) = (replayed, digest, debug_digest) {
        let keys = replayed.keys;
        writeln!(
            out,
            "replayed: {keys} keys, digest {digest} (as perdura digest shows it; DEBUG DIGEST: {debug_digest})"
        )?;
    }
    writeln!(out, "it belongs to the new cluster '{cluster_name}', {cluster_id}")?;
    if order.members.len() > 1 {
        writeln!(out, "restore the other members of the group with --to-index {index}")?;
    }
    Ok(())
}
