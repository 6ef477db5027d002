//! Bits that flip at rest, one at a time, anywhere in a data folder: each is noticed, or its byte means nothing, and whatever
//! happens nothing wrong is served.
//!
//! `BIT_FLIPS=200 cargo test --test durability bit_flips -- --nocapture` is the long form; `BIT_FLIPS_SEED=<n>` repeats a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use perdura::checkpoint::shelf::Shelf;
use perdura::env::random_seed;
use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node, NodeSpec};
use serde_json::Value;

use crate::checkpoints::checkpoint;
use crate::damage::overwrite;
use crate::perdura;
use crate::restarts::digest;

const SEED: &str = "BIT_FLIPS_SEED";
const LIMIT: Duration = Duration::from_secs(60);

pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// xorshift64* (Marsaglia; Vigna).
pub struct Dice(u64);

impl Dice {
    /// Prints its seed, which this variable of the environment sets.
    pub fn told(story: &str, variable: &str) -> Dice {
        let seed = number(variable).unwrap_or_else(random_seed) | 1;
        println!("{story}: {variable}={seed}");
        Dice(seed)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

fn spec() -> NodeSpec {
    perdura().flag("segment-bytes", "64kb").flag("checkpoint-log-bytes", 0).flag("checkpoint-seconds", 0)
}

/// Some of every type, in values that can't be compressed away.
fn write(node: &Node, round: u64) {
    let mut client = node.client();
    for n in 0..60 {
        let noise: String =
            (0..40).map(|k| format!("{:016x}", ((round * 1000 + n) * 0x9E37_79B9) ^ (k << 40))).collect();
        client.check(&format!("SET key:{round}:{n} {noise}"), "+OK");
        client.check(&format!("RPUSH list {noise}"), &format!(":{}", round * 60 + n + 1));
        client.run(&format!("HSET hash:{n} {round} {noise}"));
        client.run(&format!("ZADD zset {n}.{round} member:{n}"));
    }
    let large = "l".repeat(150_000);
    client.check(&format!("SET large:{round} {large}"), "+OK");
}

/// A byte of a data folder, and the bit of it that flips.
struct Flip {
    /// Relative to the folder.
    file: PathBuf,
    offset: usize,
    bit: usize,
    before: u8,
}

impl Flip {
    /// Draws one: first a file, so that small ones have their share, then a byte of what it holds.
    fn draw(dir: &Path, dice: &mut Dice) -> Flip {
        let files = files_with_data(dir);
        let (file, filled) = &files[dice.below(files.len())];
        let offset = dice.below(*filled);
        let before = fs::read(dir.join(file)).expect("a readable file")[offset];
        Flip { file: file.clone(), offset, bit: dice.below(8), before }
    }

    fn strike(&self, dir: &Path) {
        overwrite(&dir.join(&self.file), self.offset, &[self.before ^ (1 << self.bit)]);
    }

    fn name(&self) -> String {
        self.file.file_name().expect("a file").to_string_lossy().into_owned()
    }

    fn is_in_log(&self) -> bool {
        self.file.starts_with("log")
    }

    /// What the checkpoint's folder is called, where it is in one.
    fn checkpoint(&self) -> Option<u64> {
        let folder = self.file.parent()?.file_name()?.to_str()?;
        folder.parse().ok()
    }
}

/// The files of log and checkpoints that hold anything, and how many of their bytes do.
fn files_with_data(dir: &Path) -> Vec<(PathBuf, usize)> {
    let status = json(dir, &["log", "status"]);
    let segments = status["segments"].as_array().expect("segments").iter().map(|segment| {
        let name = segment["file"].as_str().expect("a name");
        (Path::new("log").join(name), segment["used_bytes"].as_u64().expect("a number") as usize)
    });
    let shelf = Shelf::at(&dir.join("checkpoints"));
    let checkpoints = shelf.list().expect("it can be listed").into_iter().flat_map(|index| {
        let entries = fs::read_dir(shelf.path(index)).expect("a readable folder");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
        paths.sort();
        paths
    });
    let checkpoints = checkpoints.map(|path| {
        let bytes = fs::metadata(&path).expect("it is there").len() as usize;
        (path.strip_prefix(dir).expect("it is in the folder").to_owned(), bytes)
    });
    segments.chain(checkpoints).filter(|(_, filled)| *filled > 0).collect()
}

fn json(dir: &Path, command: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_perdura"))
        .args(command)
        .args(["--json", "--dir"])
        .arg(dir)
        .output()
        .expect("the program can be run");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// What `perdura log verify` says.
fn verify_log(dir: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_perdura"))
        .args(["log", "verify", "--dir"])
        .arg(dir)
        .output()
        .expect("the program can be run");
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    (output.status.success(), text)
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("it can be removed");
    }
    // Hard links among the files stay what they are.
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp can be run").success());
}

fn end(node: &mut Node) {
    let status = node.terminate();
    assert!(status.success(), "{status}: {}", node.log());
}

/// Stops the node in good order behind a batch that means nothing: damage to the very last batch can't be told from a torn
/// write, and is cut.
fn stop(node: &mut Node) {
    end(node);
    node.restart();
    end(node);
}

#[test]
fn every_flipped_bit_is_noticed_or_means_nothing() {
    let mut node = spec().start();
    for round in 0..4 {
        write(&node, round);
        if round < 3 {
            checkpoint(&node);
        }
    }
    let expected = digest(&node);
    stop(&mut node);
    let (dir, sound) = (node.data(), node.data().with_extension("sound"));
    copy(&dir, &sound);
    let mut dice = Dice::told("flips in the folder of a node alone", SEED);
    let (mut refused, mut set_aside, mut left_out, mut meaningless) = (0, 0, 0, 0);
    let flips = number("BIT_FLIPS").unwrap_or(40);
    for round in 0..flips {
        copy(&sound, &dir);
        let flip = Flip::draw(&dir, &mut dice);
        flip.strike(&dir);
        let place =
            format!("flip {round}: bit {} of byte {} of {}", flip.bit, flip.offset, flip.file.display());
        let before = node.log().len();
        let verified = verify(&dir, &flip);
        node.spawn();
        let ended = node.wait_until_it_answers_or_ends();
        let said = node.log().split_off(before);
        let is_named = said.contains(&flip.name());
        match ended {
            Some(status) => {
                assert!(!status.success() && is_named && !verified, "{place}: {said}");
                refused += 1;
            }
            None => {
                assert_eq!(digest(&node), expected, "{place}: {said}");
                if !verified {
                    // What the start does not read is read right after it.
                    wait_for(&format!("{place} is noticed"), LIMIT, || {
                        node.log()[before..].contains(&flip.name()).then_some(())
                    });
                }
                node.kill();
                if verified {
                    // Padding, and what a torn write would leave.
                    assert!(flip.is_in_log() && (flip.before == 0 || is_named), "{place}: {said}");
                    meaningless += 1;
                } else if flip.is_in_log() {
                    // A checkpoint has what was in the segment.
                    assert!(said.contains("DAMAGE in an old part of the log"), "{place}: {said}");
                    left_out += 1;
                } else {
                    set_aside += 1;
                }
            }
        }
    }
    println!(
        "{flips} flips: {refused} refused, {left_out} in old segments that were left out, {set_aside} in checkpoints that were set \
         aside, {meaningless} in bytes that mean nothing"
    );
    assert!(refused + left_out > 0 && set_aside > 0);
}

/// Whether everything that is checked of the file passes; if not, it is named.
fn verify(dir: &Path, flip: &Flip) -> bool {
    let (passed, said) = match flip.checkpoint() {
        None => verify_log(dir),
        Some(index) => match Shelf::at(&dir.join("checkpoints")).verify(index, |_| {}) {
            Ok(_) => (true, String::new()),
            Err(error) => (false, error.to_string()),
        },
    };
    assert!(passed || said.contains(&flip.name()), "it names {}: {said}", flip.file.display());
    passed
}

#[test]
fn a_member_of_a_group_heals_whatever_bit_flips() {
    let mut cluster = Cluster::start_with(spec());
    let mut dice = Dice::told("flips in the folder of a member", SEED);
    for round in 0..number("BIT_FLIPS").unwrap_or(40) / 8 {
        let primary = cluster.primary();
        let victim = (primary + 1) % 3;
        write(&cluster.nodes[primary], round);
        let expected = cluster.agreed_digest();
        if round % 2 == 0 {
            checkpoint(&cluster.nodes[victim]);
        }
        assert!(cluster.nodes[victim].terminate().success());
        let dir = cluster.nodes[victim].data();
        let flip = Flip::draw(&dir, &mut dice);
        flip.strike(&dir);
        println!("flip {round}: bit {} of byte {} of {}", flip.bit, flip.offset, flip.file.display());
        cluster.nodes[victim].spawn();
        wait_for("the node has healed", LIMIT, || {
            // What looks like a torn write is cut; the leader then tells that it was none, and the next start heals.
            if cluster.nodes[victim].has_ended() {
                assert!(cluster.nodes[victim].log().contains("the log was lost or replaced"));
                cluster.nodes[victim].restart();
            }
            let own = perdura_testkit::cluster::local_digest(&cluster.nodes[victim]);
            (own.as_ref() == Some(&expected)).then_some(())
        });
    }
}
