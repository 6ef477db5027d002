//! Who listens where in a local cluster, and how each node is started.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::cli::arguments;
use crate::cli::configuration;
use crate::config::ConfigError;
use crate::config::settings::{Flags, Settings, named, variable_name};

/// From a client port to the peer port of the same node.
const PEER_PORT_OFFSET: u16 = 1000;

/// Settings that the plan decides for each node.
const PLANNED: [&str; 7] =
    ["node-id", "port", "peer-addr", "announce-addr", "dir", "initial-cluster", "metrics-addr"];

/// All nodes of the cluster.
pub struct ClusterPlan {
    pub nodes: Vec<NodePlan>,
}

/// One node of it.
pub struct NodePlan {
    pub id: u64,
    pub port: u16,
    peer_port: u16,
    metrics_addr: Option<SocketAddr>,
    dir: PathBuf,
    initial_cluster: String,
    /// Passed on as they are.
    flags: Flags,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(
        "--base-port: {nodes} nodes from port {base} on, and their peers {PEER_PORT_OFFSET} higher, pass 65535"
    )]
    Ports { base: u16, nodes: u16 },
    #[error("--metrics-addr: {nodes} nodes from port {base} on pass 65535")]
    MetricsPorts { base: u16, nodes: u16 },
    #[error(
        "--metrics-addr: it overlaps the nodes' own ports, {base} to {last} and {PEER_PORT_OFFSET} higher"
    )]
    MetricsOverlap { base: u16, last: u16 },
    #[error(transparent)]
    Config(#[from] ConfigError),
}

pub fn command() -> Command {
    Command::new("local-cluster")
        .about("Run a group of nodes on this machine, for a trial")
        .long_about(
            "Run a group of nodes on this machine, for a trial. Node N listens for clients on the base port plus N-1, \
             for its peers 1000 higher, and keeps its data in DIR/node-N. With --metrics-addr node N shows its metrics at that port plus \
             N-1. Other flags are passed on to every node.",
        )
        .arg(
            Arg::new("nodes")
                .long("nodes")
                .value_name("N")
                .value_parser(value_parser!(u16).range(1..=9))
                .default_value("3")
                .help("How many nodes, 1 to 9"),
        )
        .arg(
            Arg::new("base-port")
                .long("base-port")
                .value_name("PORT")
                .value_parser(value_parser!(u16).range(1..))
                .default_value("7001")
                .help("Client port of node 1"),
        )
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .default_value("./data-cluster")
                .help("Where the nodes keep their data"),
        )
        .arg(
            Arg::new("metrics-addr")
                .long("metrics-addr")
                .value_name("ADDRESS:PORT")
                .value_parser(value_parser!(SocketAddr))
                .help("Where node 1 serves /metrics, /healthz and /status; the others on the ports that follow"),
        )
        .args(arguments::settings_without(&PLANNED))
}

impl ClusterPlan {
    /// Reads the flags, and checks what each node will be told.
    pub fn read(matches: &ArgMatches) -> Result<ClusterPlan, PlanError> {
        let nodes = matches.get_one::<u16>("nodes").copied().unwrap_or(3);
        let base = matches.get_one::<u16>("base-port").copied().unwrap_or(7001);
        let dir = matches.get_one::<PathBuf>("dir").cloned().unwrap_or_default();
        let last_peer_port = u32::from(base) + u32::from(PEER_PORT_OFFSET) + u32::from(nodes) - 1;
        if last_peer_port > u32::from(u16::MAX) {
            return Err(PlanError::Ports { base, nodes });
        }
        let metrics = matches.get_one::<SocketAddr>("metrics-addr").copied();
        check_metrics(metrics, nodes, base)?;
        let mut flags = arguments::flags_of(matches);
        flags.retain(|name, _| !PLANNED.contains(name));
        let plan = ClusterPlan::of(nodes, base, metrics, &dir, &flags);
        for node in &plan.nodes {
            node.check()?;
        }
        Ok(plan)
    }

    fn of(nodes: u16, base: u16, metrics: Option<SocketAddr>, dir: &Path, flags: &Flags) -> ClusterPlan {
        let members: Vec<String> = (0..nodes)
            .map(|index| format!("{}=127.0.0.1:{}", index + 1, base + PEER_PORT_OFFSET + index))
            .collect();
        let node = |index| NodePlan {
            id: u64::from(index) + 1,
            port: base + index,
            peer_port: base + PEER_PORT_OFFSET + index,
            metrics_addr: metrics.map(|first| SocketAddr::new(first.ip(), first.port() + index)),
            dir: dir.join(format!("node-{}", index + 1)),
            initial_cluster: members.join(","),
            flags: flags.clone(),
        };
        ClusterPlan { nodes: (0..nodes).map(node).collect() }
    }
}

impl NodePlan {
    /// What this process was told and what the plan adds must make a sound configuration.
    fn check(&self) -> Result<(), ConfigError> {
        let mut flags = self.flags.clone();
        for (name, text) in self.planned() {
            flags.insert(name, vec![text]);
        }
        configuration::build(&Settings::resolve(&flags, environment())?).map(drop)
    }

    /// The process of this node, not yet started.
    pub fn command(&self) -> io::Result<Process> {
        let mut process = Process::new(std::env::current_exe()?);
        process.arg("serve").args(self.arguments());
        for name in PLANNED {
            process.env_remove(variable_name(name));
        }
        for (name, texts) in self.flags.iter().filter(|(name, _)| is_secret(name)) {
            if let Some(secret) = texts.last() {
                process.env(variable_name(name), secret);
            }
        }
        Ok(process)
    }

    /// The same as a line for a shell, without the secrets.
    pub fn line(&self) -> impl fmt::Display {
        let program = std::env::args().next().unwrap_or_else(|| "perdura".to_owned());
        let arguments: Vec<String> = self.arguments().iter().map(|word| quoted(word)).collect();
        format!("{} serve {}", quoted(&program), arguments.join(" "))
    }

    fn arguments(&self) -> Vec<String> {
        let planned = self.planned().into_iter();
        let passed = self
            .flags
            .iter()
            .filter(|(name, _)| !is_secret(name))
            .flat_map(|(name, texts)| texts.iter().map(|text| (*name, text.clone())));
        planned.chain(passed).map(|(name, text)| format!("--{name}={text}")).collect()
    }

    fn planned(&self) -> Vec<(&'static str, String)> {
        let metrics = self.metrics_addr.map(|addr| ("metrics-addr", addr.to_string()));
        let mut planned = vec![
            ("node-id", self.id.to_string()),
            ("port", self.port.to_string()),
            ("peer-addr", format!("127.0.0.1:{}", self.peer_port)),
            ("dir", self.dir.display().to_string()),
            ("initial-cluster", self.initial_cluster.clone()),
        ];
        planned.extend(metrics);
        planned
    }
}

/// Every node's place for metrics must be its own.
fn check_metrics(first: Option<SocketAddr>, nodes: u16, base: u16) -> Result<(), PlanError> {
    let Some(port) = first.map(|first| first.port()) else { return Ok(()) };
    let last = port.checked_add(nodes - 1).ok_or(PlanError::MetricsPorts { base: port, nodes })?;
    let overlaps = |base: u16| port <= base + (nodes - 1) && base <= last;
    match overlaps(base) || overlaps(base + PEER_PORT_OFFSET) {
        true => Err(PlanError::MetricsOverlap { base, last: base + nodes - 1 }),
        false => Ok(()),
    }
}

/// The environment as the children will see it, but for the secrets.
fn environment() -> impl Iterator<Item = (String, String)> {
    let planned = PLANNED.map(variable_name);
    arguments::environment().filter(move |(name, _)| !planned.contains(name))
}

/// A word as a shell takes it.
pub(in crate::cli) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,@%+".contains(&byte);
    if word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Whether a setting travels by the environment.
fn is_secret(name: &str) -> bool {
    named(name).is_some_and(|setting| setting.secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<ClusterPlan, PlanError> {
        let words = ["local-cluster"].iter().chain(words);
        ClusterPlan::read(&command().get_matches_from(words))
    }

    #[test]
    fn three_nodes_know_each_other_and_share_no_port_or_folder() {
        let plan = read(&["--dir", "/tmp/a b"]).expect("sound");
        let lines: Vec<String> = plan.nodes.iter().map(|node| node.line().to_string()).collect();
        assert_eq!(
            lines[1].split_once(" serve ").expect("a program first").1,
            "--node-id=2 --port=7002 --peer-addr=127.0.0.1:8002 '--dir=/tmp/a b/node-2' \
             --initial-cluster=1=127.0.0.1:8001,2=127.0.0.1:8002,3=127.0.0.1:8003"
        );
    }

    #[test]
    fn nodes_show_their_metrics_on_ports_that_follow() {
        let plan = read(&["--nodes", "2", "--metrics-addr", "127.0.0.1:9100"]).expect("sound");
        let lines: Vec<String> = plan.nodes.iter().map(|node| node.line().to_string()).collect();
        assert!(lines[0].contains("--metrics-addr=127.0.0.1:9100"), "{lines:?}");
        assert!(lines[1].contains("--metrics-addr=127.0.0.1:9101"), "{lines:?}");
        for overlapping in ["127.0.0.1:7002", "127.0.0.1:8001", "127.0.0.1:65535"] {
            assert!(read(&["--metrics-addr", overlapping]).is_err(), "{overlapping}");
        }
    }

    #[test]
    fn passwords_travel_by_the_environment_only() {
        let plan = read(&["--nodes", "1", "--requirepass", "hush", "--timeout", "5"]).expect("sound");
        let node = &plan.nodes[0];
        assert!(!node.line().to_string().contains("hush"));
        assert!(node.arguments().contains(&"--timeout=5".to_owned()));
        let command = node.command().expect("this process has a file");
        let secret = command.get_envs().find(|(name, _)| *name == "PERDURA_REQUIREPASS");
        assert_eq!(secret.and_then(|(_, text)| text), Some("hush".as_ref()));
    }

    #[test]
    fn mistakes_are_found_before_anything_is_started() {
        let mistake = |words: &[&str]| match read(words) {
            Ok(_) => panic!("it must be refused"),
            Err(error) => error.to_string(),
        };
        assert!(mistake(&["--base-port", "65000"]).starts_with("--base-port: "));
        assert!(mistake(&["--log-sync", "never"]).starts_with("--log-sync: "));
    }
}
