//! `perdura torture`: puts a group under load, hurts it, and judges what its clients saw.
//!
//! Exit codes: 0 if every check ran and passed, 1 if something was found, 2 if it could not run or not be checked to the end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use perdura_proof::{Kind, parse_kinds};

use super::local_cluster::plan::quoted;
use super::{MISTAKE, arguments, complain};
use crate::config::settings::named;
use crate::env;
use crate::torture::commands::Commands;
use crate::torture::fault::{FAULTS, FaultKind, FaultSelection};
use crate::torture::summary::Verdict;
use crate::torture::{Options, Own, System, run};

/// Something was found.
const FOUND: u8 = 1;
/// It could not run, or not be checked to the end.
const NO_RESULT: u8 = MISTAKE;

/// Settings of `serve` that the harness decides for each node.
const PLANNED: [&str; 16] = [
    "config",
    "node-id",
    "port",
    "bind",
    "peer-addr",
    "announce-addr",
    "dir",
    "initial-cluster",
    "cluster-name",
    "metrics-addr",
    "requirepass",
    "requirepass-file",
    "masterauth",
    "maxclients",
    "timeout",
    "protected-mode",
];

const RUN: &str = "The run";
const TARGET: &str = "Another system than a Perdura group of its own";
const COMMANDS: [(&str, &str); 6] = [
    ("start-cmd", "Starts a node"),
    ("stop-cmd", "Ends a node in good order"),
    ("kill-cmd", "Ends a node at once"),
    ("pause-cmd", "Lets a node stand still"),
    ("resume-cmd", "Lets it go on"),
    ("promote-cmd", "Makes a node the primary [default: REPLICAOF NO ONE by the harness]"),
];

pub fn command() -> Command {
    let command = Command::new("torture")
        .about("Put a group under load, hurt it, and check that nothing acknowledged is lost")
        .long_about(
            "Put a group under load, hurt it, and check that nothing acknowledged is lost.\n\n\
             Starts a group of real processes with proxies between them, lets clients work on it, injects faults from a seed, \
             and judges what the clients saw. Leaves a folder with summary.json, history.jsonl, faults.jsonl and \
             report.html. Exits with 0 if every check ran and passed, with 1 if something was found, with 2 if it could \
             not run. With --redis-server the same is done to a Redis with replicas, of which one is promoted when the primary \
             does not serve; with --target to nodes that run already.",
        )
        .after_long_help(faults_help())
        .args(run_arguments())
        .args(target_arguments());
    let command = COMMANDS.iter().fold(command, |command, (name, help)| {
        command.arg(
            Arg::new(*name)
                .long(*name)
                .value_name("LINE")
                .requires("target")
                .help(format!("{help}; {{node}}, {{host}} and {{port}} are filled in"))
                .help_heading(TARGET),
        )
    });
    command.args(arguments::settings_without(&PLANNED))
}

fn run_arguments() -> Vec<Arg> {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help).help_heading(RUN)
    };
    vec![
        option("nodes", "N", "How many nodes, 1 to 9")
            .value_parser(value_parser!(u16).range(1..=9))
            .default_value("3"),
        option("minutes", "M", "How long, fractions allowed; 0.5 is half a minute")
            .value_parser(parse_minutes)
            .default_value("10"),
        option("faults", "LIST", "all, none, or groups and names parted by commas; see below")
            .value_parser(value_parser!(FaultSelection))
            .value_delimiter(',')
            .default_value("all"),
        option("workload", "LIST", "all, or of register, counter, append, set, transactions, bank, expiry")
            .default_value("all"),
        option(
            "seed",
            "N",
            "What the faults and the clients' actions follow from [default: another each time]",
        )
        .value_parser(value_parser!(u64)),
        option("dir", "DIR", "Where everything goes, new or empty [default: ./torture-SEED]")
            .value_parser(value_parser!(PathBuf)),
        option(
            "base-port",
            "PORT",
            "Client port of node 1; its peer port is 1000 higher [default: free ports]",
        )
        .value_parser(value_parser!(u16).range(1..)),
        option(
            "rate",
            "N",
            "Operations a second, of all clients together: it bounds what has to be checked afterwards",
        )
        .value_parser(value_parser!(u32).range(1..=20_000))
        .default_value("1000"),
        option("clients", "N", "Clients, of which every fourth reads from replicas")
            .value_parser(value_parser!(u32).range(1..=256))
            .default_value("16"),
        option("link-delay-ms", "MS", "What bytes take between nodes, each way")
            .value_parser(value_parser!(u64).range(0..=1000))
            .default_value("1"),
        option("keep-data", "", "Keep the nodes' data though everything passed").action(ArgAction::SetTrue),
        option("json", "", "Print the summary as JSON, and nothing else").action(ArgAction::SetTrue),
    ]
}

fn target_arguments() -> Vec<Arg> {
    vec![
        Arg::new("redis-server")
            .long("redis-server")
            .value_name("PROGRAM")
            .num_args(0..=1)
            .default_missing_value("redis-server")
            .conflicts_with("target")
            .help("Start this instead: a Redis primary with replicas, which the harness promotes")
            .help_heading(TARGET),
        Arg::new("target")
            .long("target")
            .value_name("redis://HOST:PORT,…")
            .value_parser(parse_target)
            .value_delimiter(',')
            .help(
                "Nodes that run already, the primary first; without the commands below they are only watched",
            )
            .help_heading(TARGET),
    ]
}

fn faults_help() -> String {
    let lines: Vec<String> =
        FAULTS.iter().map(|info| format!("  {:<16} {:<10} {}", info.name, info.group, info.about)).collect();
    format!("Faults, by name and group:\n{}", lines.join("\n"))
}

pub fn run_command(matches: &ArgMatches) -> ExitCode {
    let options = match options(matches) {
        Ok(options) => options,
        Err(mistake) => {
            complain(mistake);
            return ExitCode::from(MISTAKE);
        }
    };
    if !options.quiet {
        eprintln!("seed {}, everything goes to {}", options.seed, options.dir.display());
    }
    match run(&options) {
        Ok(summary) => {
            if options.quiet {
                match serde_json::to_string_pretty(&summary) {
                    Ok(json) => println!("{json}"),
                    Err(error) => complain(error),
                }
            } else {
                println!("{summary}\nreport: {}", options.dir.join("report.html").display());
            }
            ExitCode::from(exit_code(summary.verdict))
        }
        Err(error) => {
            complain(error);
            ExitCode::from(NO_RESULT)
        }
    }
}

fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Passed => 0,
        Verdict::Failed => FOUND,
        Verdict::Incomplete => NO_RESULT,
    }
}

fn options(matches: &ArgMatches) -> Result<Options, String> {
    let seed = matches.get_one("seed").copied().unwrap_or_else(|| env::random_seed() % 1_000_000_000);
    let dir = matches.get_one::<PathBuf>("dir").cloned();
    let faults = faults(matches);
    Ok(Options {
        system: system(matches, &faults)?,
        length: *required(matches, "minutes"),
        faults,
        workloads: workloads(required::<String>(matches, "workload"))?,
        seed,
        dir: dir.unwrap_or_else(|| PathBuf::from(format!("./torture-{seed}"))),
        rate: *required(matches, "rate"),
        clients: *required(matches, "clients"),
        keep_data: matches.get_flag("keep-data"),
        quiet: matches.get_flag("json"),
        command: command_line(std::env::args().skip(1), seed),
    })
}

/// The line for a shell that repeats the run: with its seed, without secrets.
fn command_line(arguments: impl Iterator<Item = String>, seed: u64) -> String {
    let mut words = vec!["perdura".to_owned()];
    let (mut hide_next, mut has_seed) = (false, false);
    for word in arguments {
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let is_secret = name.strip_prefix("--").and_then(named).is_some_and(|setting| setting.secret);
        has_seed |= name == "--seed";
        words.push(match (std::mem::take(&mut hide_next), is_secret, value) {
            (true, ..) => "HIDDEN".to_owned(),
            (_, true, Some(_)) => format!("{name}=HIDDEN"),
            _ => quoted(&word),
        });
        hide_next = is_secret && value.is_none();
    }
    if !has_seed {
        words.push(format!("--seed {seed}"));
    }
    words.join(" ")
}

fn required<'a, T: Clone + Send + Sync + 'static>(matches: &'a ArgMatches, name: &str) -> &'a T {
    matches.get_one(name).expect("an argument with a default has a value")
}

fn faults(matches: &ArgMatches) -> Vec<FaultKind> {
    let selections = matches.get_many::<FaultSelection>("faults").into_iter().flatten();
    let mut kinds: Vec<FaultKind> = selections.flat_map(|selection| selection.0.clone()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn workloads(names: &str) -> Result<Vec<Kind>, String> {
    parse_kinds(names).map_err(|error| format!("--workload: {error}"))
}

fn system(matches: &ArgMatches, faults: &[FaultKind]) -> Result<System, String> {
    if let Some(nodes) = matches.get_many::<String>("target") {
        let nodes = nodes.cloned().collect();
        return Ok(System::Running { nodes, commands: commands(matches) });
    }
    let redis = matches.get_one::<String>("redis-server");
    let program = match redis {
        Some(program) => PathBuf::from(program),
        None => std::env::current_exe().map_err(|error| format!("this program can't be found: {error}"))?,
    };
    let own = Own {
        program,
        nodes: usize::from(*required::<u16>(matches, "nodes")),
        base_port: matches.get_one("base-port").copied(),
        arguments: if redis.is_none() { passed_on(matches) } else { Vec::new() },
        link_delay: Duration::from_millis(*required(matches, "link-delay-ms")),
        small_disk: redis.is_none() && faults.contains(&FaultKind::FullDisk),
    };
    Ok(if redis.is_some() { System::RedisServers(own) } else { System::Perdura(own) })
}

fn commands(matches: &ArgMatches) -> Commands {
    let line = |name: &str| matches.get_one::<String>(name).cloned();
    Commands {
        start: line("start-cmd"),
        stop: line("stop-cmd"),
        kill: line("kill-cmd"),
        pause: line("pause-cmd"),
        resume: line("resume-cmd"),
        promote: line("promote-cmd"),
    }
}

/// Settings of `serve` that every node gets.
fn passed_on(matches: &ArgMatches) -> Vec<String> {
    let flags = arguments::flags_of(matches).into_iter().filter(|(name, _)| !PLANNED.contains(name));
    flags.flat_map(|(name, texts)| texts.into_iter().map(move |text| format!("--{name}={text}"))).collect()
}

fn parse_minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    match (0.05..=10_000.0).contains(&minutes) {
        true => Ok(Duration::from_secs_f64(minutes * 60.0)),
        false => Err("it must be from 0.05 to 10000".to_owned()),
    }
}

/// host:port of redis://host:port, whose scheme may be left out.
fn parse_target(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("redis://").unwrap_or(text).trim_end_matches('/');
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(address.to_owned()),
        _ => Err(format!("'{text}' is no redis://HOST:PORT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Options, String> {
        let words = ["torture"].iter().chain(words);
        options(&command().try_get_matches_from(words).map_err(|error| error.to_string())?)
    }

    #[test]
    fn without_arguments_a_group_of_three_suffers_everything_for_ten_minutes() {
        let options = read(&[]).expect("sound");
        assert_eq!(options.length, Duration::from_secs(600));
        assert_eq!(options.faults.len(), FAULTS.len());
        assert_eq!(options.workloads, Kind::ALL);
        let System::Perdura(own) = options.system else { panic!("Perdura is the default") };
        assert!(own.nodes == 3 && own.small_disk && own.arguments.is_empty());
        assert!(options.dir.ends_with(format!("torture-{}", options.seed)));
    }

    #[test]
    fn what_the_harness_does_not_decide_goes_to_the_nodes() {
        let options = read(&["--read-confirm", "yes", "--faults", "kill,slow-links", "--minutes", "0.5"]);
        let options = options.expect("sound");
        assert_eq!((options.length, options.faults.len()), (Duration::from_secs(30), 4));
        let System::Perdura(own) = options.system else { panic!("Perdura is the default") };
        assert_eq!(own.arguments, ["--read-confirm=yes"]);
        assert!(!own.small_disk);
        assert!(read(&["--port", "1"]).is_err());
    }

    #[test]
    fn other_systems_are_named_by_program_or_address() {
        let redis = read(&["--redis-server", "--nodes", "3"]).expect("sound").system;
        let System::RedisServers(own) = redis else { panic!("Redis was asked for") };
        assert_eq!(own.program, PathBuf::from("redis-server"));
        let running = read(&["--target", "redis://a:1,b:2", "--kill-cmd", "x {node}"]).expect("sound").system;
        let System::Running { nodes, commands } = running else { panic!("nodes were named") };
        assert_eq!(nodes, ["a:1", "b:2"]);
        assert_eq!(commands.kill.as_deref(), Some("x {node}"));
        assert!(read(&["--kill-cmd", "x"]).is_err());
        assert!(read(&["--target", "a"]).is_err());
    }

    #[test]
    fn line_that_repeats_a_run_has_its_seed_and_no_secret() {
        let line = |words: &[&str]| command_line(words.iter().map(|word| (*word).to_owned()), 7);
        assert_eq!(line(&["torture", "--minutes", "1"]), "perdura torture --minutes 1 --seed 7");
        assert_eq!(line(&["torture", "--seed=3", "--dir", "a b"]), "perdura torture --seed=3 --dir 'a b'");
        let hidden = line(&["torture", "--requirepass", "hush", "--masterauth=hush2", "--nodes", "5"]);
        assert_eq!(hidden, "perdura torture --requirepass HIDDEN --masterauth=HIDDEN --nodes 5 --seed 7");
    }

    #[test]
    fn mistakes_are_named() {
        for (words, part) in [
            (["--faults", "fire"], "fire"),
            (["--minutes", "0"], "0.05"),
            (["--workload", "loan"], "loan"),
            (["--nodes", "10"], "10"),
        ] {
            let error = read(&words).expect_err("it must be refused");
            assert!(error.contains(part), "{error}");
        }
    }
}
