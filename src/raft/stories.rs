//! Stories of a cluster as text: `tests/raft_stories/*.txt`.
//!
//! A story is a list of commands; under each stands what happened while it ran, one line per event, with the time in
//! milliseconds. The whole is compared with what happens now. `REWRITE_STORIES=1` writes it anew, to be read in review.
//!
//! ```text
//! > run 600             let so many milliseconds pass
//! > propose 1 text      node 1 proposes an entry
//! > stop 1              kill; also: lose-power 1, start 1, stall 1, resume 1
//! > isolate 1           cut all wires of a node; also: cut 1 2, slow 1 2 300, heal
//! > transfer 1 2        node 1 hands the leadership to node 2
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::identity::NodeId;
use super::status::{Leadership, Role};
use super::testing::Cluster;

/// What a story tells of a member.
#[derive(Clone, Default, PartialEq)]
struct Seen {
    leadership: Leadership,
    serves: bool,
    has_lease: bool,
    applied: usize,
}

struct Story {
    cluster: Cluster,
    seen: BTreeMap<NodeId, Seen>,
    text: String,
}

impl Story {
    fn new() -> Story {
        let cluster = Cluster::new(3);
        let seen = cluster.members.keys().map(|id| (*id, Seen::default())).collect();
        Story { cluster, seen, text: String::new() }
    }

    /// Runs all commands of a story and returns it with what happened.
    fn tell(mut self, script: &str) -> String {
        for line in script.lines() {
            let is_kept = line.is_empty() || line.starts_with('#') || line.starts_with('>');
            if is_kept {
                self.say(line);
            }
            if let Some(command) = line.strip_prefix("> ") {
                let words: Vec<_> = command.split(' ').collect();
                let numbers: Vec<u64> = words[1..].iter().map_while(|word| word.parse().ok()).collect();
                self.command(words[0], &numbers, words.last().copied().unwrap_or_default());
            }
        }
        self.text
    }

    fn command(&mut self, name: &str, numbers: &[u64], last_word: &str) {
        let cluster = &mut self.cluster;
        match (name, numbers) {
            ("run", &[ms]) => self.run(ms),
            ("propose", &[id, ..]) => {
                let proposed = cluster.node(id).propose(last_word.as_bytes().to_vec());
                match proposed {
                    Ok(position) => {
                        self.say(&format!("as entry {} of term {}", position.index, position.term))
                    }
                    Err(error) => self.say(&format!("refused: {error}")),
                }
            }
            ("transfer", &[from, to]) => {
                let now_ms = cluster.clock_of(from);
                let begun = cluster.node(from).transfer_leadership(to, now_ms);
                self.say(&begun.map_or_else(|error| format!("refused: {error}"), |()| "begun".into()));
            }
            ("stop", &[id]) => cluster.stop(id),
            ("lose-power", &[id]) => cluster.lose_power(id),
            ("start", &[id]) => self.start(id),
            ("stall", &[id]) => cluster.member(id).stalled = true,
            ("resume", &[id]) => cluster.member(id).stalled = false,
            ("isolate", &[id]) => cluster.isolate(id),
            ("cut", &[from, to]) => cluster.cut_wire(from, to),
            ("slow", &[from, to, ms]) => cluster.slow_wire(from, to, ms),
            ("heal", &[]) => cluster.heal(),
            _ => panic!("a story says {name} {numbers:?}"),
        }
    }

    fn run(&mut self, ms: u64) {
        let end_ms = self.cluster.now_ms + ms;
        while self.cluster.now_ms < end_ms {
            self.cluster.step();
            self.tell_changes();
        }
    }

    fn start(&mut self, id: NodeId) {
        self.cluster.start(id);
        self.seen.insert(id, Seen::default());
    }

    fn tell_changes(&mut self) {
        for id in self.seen.keys().copied().collect::<Vec<_>>() {
            if self.cluster.members[&id].node.is_some() {
                self.tell_changes_of(id);
            }
        }
    }

    fn tell_changes_of(&mut self, id: NodeId) {
        let has_lease = self.cluster.holds_lease(id);
        let member = self.cluster.member(id);
        let node = member.node.as_ref().expect("the caller has seen to it");
        let now = Seen {
            leadership: node.leadership(),
            serves: node.is_serving(),
            has_lease,
            applied: member.machine.entries.len(),
        };
        let entries = member.machine.entries.clone();
        let before = self.seen.insert(id, now.clone()).unwrap_or_default();
        let who_led = |l: &Leadership| (l.role, l.term, l.leader);
        if who_led(&before.leadership) != who_led(&now.leadership) {
            self.event(id, &role_text(&now.leadership));
        }
        for (place, (term, payload)) in entries.iter().enumerate().skip(before.applied) {
            let text = String::from_utf8_lossy(payload);
            let text = if text.is_empty() { "nothing" } else { &text };
            self.event(id, &format!("applies entry {} of term {term}: {text}", place + 1));
        }
        for (was, is, what) in
            [(before.serves, now.serves, "serves"), (before.has_lease, now.has_lease, "has a lease")]
        {
            match (was, is) {
                (false, true) => self.event(id, what),
                (true, false) => self.event(id, &format!("no longer {what}")),
                _ => {}
            }
        }
    }

    fn event(&mut self, id: NodeId, what: &str) {
        let at_ms = self.cluster.now_ms;
        self.say(&format!("{at_ms:>6}  node {id} {what}"));
    }

    fn say(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }
}

fn role_text(leadership: &Leadership) -> String {
    let term = leadership.term;
    match (leadership.role, leadership.leader) {
        (Role::Leader, _) => format!("leads in term {term}"),
        (Role::Candidate, _) => format!("campaigns after term {term}"),
        (Role::Follower, Some(leader)) => format!("follows {leader} in term {term}"),
        (Role::Follower, None) => format!("knows no leader in term {term}"),
    }
}

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raft_stories");
    let files = std::fs::read_dir(folder).expect("there are stories");
    let mut paths: Vec<_> = files.map(|file| file.expect("a story").path()).collect();
    paths.sort();
    paths
}

#[test]
fn stories_go_as_they_are_written() {
    let rewrite = std::env::var_os("REWRITE_STORIES").is_some();
    for path in stories() {
        let written = std::fs::read_to_string(&path).expect("a story is text");
        let told = Story::new().tell(&written);
        if rewrite {
            std::fs::write(&path, told).expect("the story is rewritten");
        } else {
            assert_eq!(told, written, "{}", path.display());
        }
    }
}
