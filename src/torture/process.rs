//! A server as a child process: started again and again with one command, its output in one file.
//!
//! - It has a process group of its own, so that Ctrl-C reaches the harness only.
//! - It is killed when the harness lets go of it; a harness that is itself killed with SIGKILL leaves it running.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long an orderly end may take.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Spec {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Where its output goes, appended.
    pub log: PathBuf,
}

/// A server that runs, or does not.
#[derive(Debug)]
pub struct Process {
    spec: Spec,
    child: Option<Child>,
}

impl Process {
    pub fn new(spec: Spec) -> Process {
        Process { spec, child: None }
    }

    /// Where its output goes.
    pub fn log(&self) -> &std::path::Path {
        &self.spec.log
    }

    /// Starts it; it inherits nothing of this process' settings.
    pub fn start(&mut self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(&self.spec.log)?;
        let mut command = Command::new(&self.spec.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(crate::config::settings::ENVIRONMENT_PREFIX) {
                command.env_remove(name);
            }
        }
        let child = command
            .args(&self.spec.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill()?;
        child.wait().map(drop)
    }

    /// Asks it to end and waits; kills it after too long, which is an error.
    pub async fn stop(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        let mut waited = Duration::ZERO;
        while waited < STOP_LIMIT {
            if self.take_exit().is_some() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
        self.kill()?;
        Err(io::Error::other(format!("it did not end within {STOP_LIMIT:?} of SIGTERM")))
    }

    pub fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// How it ended, once, if it did by itself.
    pub fn take_exit(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(status)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match &self.child {
            Some(child) => kill_process(Pid::from_child(child), signal).map_err(io::Error::from),
            None => Err(io::Error::other("it does not run")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(dir: &tempfile::TempDir) -> Process {
        let spec =
            Spec { program: "sleep".into(), arguments: vec!["100".to_owned()], log: dir.path().join("log") };
        Process::new(spec)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_process_is_started_paused_stopped_and_started_again() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let mut process = sleeper(&dir);
        assert!(process.pause().is_err());
        process.start()?;
        process.pause()?;
        process.resume()?;
        process.stop().await?;
        assert!(process.child.is_none());
        process.start()?;
        assert!(process.take_exit().is_none());
        process.kill()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_end_of_its_own_is_noticed_once() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let mut process = sleeper(&dir);
        process.spec.arguments = vec!["0".to_owned()];
        process.start()?;
        let status = loop {
            if let Some(status) = process.take_exit() {
                break status;
            }
            tokio::time::sleep(POLL).await;
        };
        assert!(status.success() && process.take_exit().is_none());
        Ok(())
    }
}
