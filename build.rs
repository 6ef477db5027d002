//! Tells the program which commit it is built from.
//!
//! Only a release build asks git: a build for tests would be stale with every commit. Where there is no repository, as in an image,
//! `PERDURA_COMMIT` in the environment says it.

use std::env;
use std::path::Path;
use std::process::Command;

/// Digits of a commit that are shown.
const DIGITS: &str = "--short=12";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PERDURA_COMMIT");
    println!("cargo::rustc-env=PERDURA_COMMIT={}", commit());
}

fn commit() -> String {
    if let Some(given) = env::var("PERDURA_COMMIT").ok().filter(|given| is_plain(given)) {
        return given;
    }
    if env::var("PROFILE").as_deref() != Ok("release") {
        return "debug".to_owned();
    }
    let Some(head) = git(&["rev-parse", DIGITS, "HEAD"]).filter(|head| is_plain(head)) else {
        return "unknown".to_owned();
    };
    // HEAD names a branch, whose file changes with a commit; both may stand in the folder of another worktree.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => head,
        _ => format!("{head}-changed"),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
