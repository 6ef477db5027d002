//! A machine whose clock is wrong, or whose disk is slow: a library that is preloaded into a server asks two files how much.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::node::NodeSpec;

const SOURCE: &str = include_str!("preload.c");

/// What one server believes of its machine. It has to outlive the server.
pub struct Preload(TempDir);

impl Preload {
    /// Compiles the library; the clock is right and the disk as fast as it is.
    pub fn build() -> Preload {
        let preload = Preload(TempDir::new().expect("a temporary folder"));
        fs::write(preload.path("preload.c"), SOURCE).expect("a file can be written");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(preload.path("preload.so"));
        assert!(cc.arg(preload.path("preload.c")).status().expect("cc can be run").success());
        preload.set_clock_off(0);
        preload.set_write_delay(0);
        preload
    }

    /// The same node on this machine.
    pub fn under(&self, spec: NodeSpec) -> NodeSpec {
        let variable = |name: &str| self.path(name).display().to_string();
        spec.variable("LD_PRELOAD", variable("preload.so"))
            .variable("PRELOAD_CLOCK", variable("clock"))
            .variable("PRELOAD_WRITES", variable("writes"))
    }

    /// From now on the calendar is off by so much.
    pub fn set_clock_off(&self, seconds: i64) {
        self.set("clock", seconds);
    }

    /// From now on each write takes so much longer.
    pub fn set_write_delay(&self, ms: i64) {
        self.set("writes", ms);
    }

    /// A reader sees the old number or the new one.
    fn set(&self, name: &str, number: i64) {
        let new = self.path("new");
        fs::write(&new, number.to_string()).expect("a file can be written");
        fs::rename(new, self.path(name)).expect("a file can be renamed");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
