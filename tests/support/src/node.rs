//! One server process: started, killed, restarted on the same data.
//!
//! With `ORACLE=redis-server` in the environment, single nodes run that program instead: stories are then
//! told to Redis itself, which checks the stories.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::Client;
use crate::clock::{Stopwatch, wait_for};
use crate::ports::free_port;
use crate::signal::{Signal, send_signal};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);

const BLOCKED_LIMIT: Duration = Duration::from_secs(10);

/// Log segments of tests: small, so that a test starts fast and fills several.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Lines of the server's log that a failing test shows.
const LOG_TAIL_LINES: usize = 40;

/// How to start a server.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    program: PathBuf,
    flags: Vec<(String, String)>,
    variables: Vec<(String, String)>,
}

impl NodeSpec {
    /// A node of the given binary (`env!("CARGO_BIN_EXE_perdura")` in an integration test).
    pub fn new(program: impl AsRef<Path>) -> NodeSpec {
        let spec =
            NodeSpec { program: program.as_ref().to_path_buf(), flags: Vec::new(), variables: Vec::new() };
        spec.flag("segment-bytes", SEGMENT_BYTES)
    }

    /// Sets `--name value`, in place of an earlier value.
    pub fn flag(mut self, name: &str, value: impl ToString) -> NodeSpec {
        self.flags.retain(|(known, _)| known != name);
        self.flags.push((name.to_string(), value.to_string()));
        self
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, name: &str, value: impl ToString) -> NodeSpec {
        self.variables.push((name.to_string(), value.to_string()));
        self
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Starts a node on a free port and fresh data, and waits until it answers.
    pub fn start(self) -> Node {
        let mut node = self.launch();
        node.wait_until_it_answers();
        node
    }

    /// Starts a node on a free port and fresh data, and returns at once.
    pub fn launch(self) -> Node {
        let dir = TempDir::new().expect("a temporary folder");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut node = Node { spec: self, addr, dir, child: None };
        node.spawn();
        node
    }

    fn command(&self, addr: SocketAddr, data: &Path) -> Command {
        match std::env::var_os("ORACLE") {
            Some(redis) => self.redis_command(Path::new(&redis), addr, data),
            None => self.perdura_command(addr, data),
        }
    }

    fn perdura_command(&self, addr: SocketAddr, data: &Path) -> Command {
        let mut command = Command::new(&self.program);
        let foreign = std::env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| name.to_string_lossy().starts_with("PERDURA_")) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().cloned());
        command.arg("serve").arg("--port").arg(addr.port().to_string());
        if self.value("dir").is_none() {
            command.arg("--dir").arg(data);
        }
        for (name, value) in &self.flags {
            command.arg(format!("--{name}")).arg(value);
        }
        command
    }

    fn redis_command(&self, redis: &Path, addr: SocketAddr, data: &Path) -> Command {
        std::fs::create_dir_all(data).expect("a folder for Redis");
        let mut command = Command::new(redis);
        command.arg("--port").arg(addr.port().to_string()).arg("--dir").arg(data);
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--enable-debug-command",
            "yes",
        ]);
        for (name, value) in self.flags.iter().filter(|(name, _)| name != "segment-bytes") {
            command.arg(format!("--{name}")).args(value.split(' '));
        }
        command
    }
}

/// A server process and its data. Dropping it kills the process and removes the data.
pub struct Node {
    spec: NodeSpec,
    addr: SocketAddr,
    dir: TempDir,
    child: Option<Child>,
}

impl Node {
    /// What `--name` is set to.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.spec.value(name)
    }

    /// Sets `--name value` for the next start.
    pub fn set_flag(&mut self, name: &str, value: impl ToString) {
        self.spec = self.spec.clone().flag(name, value);
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The folder given as `--dir`.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// A connection that has authenticated where the node asks for it.
    pub fn try_admin(&self) -> std::io::Result<Client> {
        let mut client = Client::try_connect(self.addr)?;
        if let Some(password) = self.password() {
            client.try_call(&[b"AUTH", password.as_bytes()])?;
        }
        Ok(client)
    }

    fn password(&self) -> Option<String> {
        if let Some(file) = self.spec.value("requirepass-file") {
            return Some(std::fs::read_to_string(file).ok()?.lines().next()?.to_owned());
        }
        self.spec.value("requirepass").map(str::to_owned)
    }

    /// Waits until exactly `count` clients wait in a blocking command.
    pub fn wait_for_blocked(&self, count: usize) {
        let mut client = self.client();
        let line = format!("blocked_clients:{count}\r\n");
        wait_for(&format!("{count} blocked clients"), BLOCKED_LIMIT, || {
            client.run("INFO clients").text().contains(&line).then_some(())
        });
    }

    /// What the process wrote to its standard output and error, over all its lives.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running process").id()
    }

    /// Ends the process as a power cut would: it gets no chance to do anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child can be killed");
            child.wait().expect("our own child can be waited for");
        }
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_exit()
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Waits until the process ends by itself.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("a running process");
        let status = wait_for("the process ends", STOP_LIMIT, || child.try_wait().expect("our own child"));
        self.child = None;
        status
    }

    /// Starts the process again on the same data and port, and waits until it answers.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_until_it_answers();
    }

    /// Starts the process (again) and returns at once.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the process runs already");
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut command = self.spec.command(self.addr, &self.data());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        self.child = Some(command.spawn().expect("the server's program can be run"));
    }

    pub fn wait_until_it_answers(&mut self) {
        let (addr, watch) = (self.addr, Stopwatch::start());
        while self.ping().is_none() {
            assert!(!self.has_ended(), "{addr}: the process ended before it answered");
            assert!(watch.elapsed() < START_LIMIT, "{addr}: no answer within {START_LIMIT:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the process answers, or ends by itself; then with its exit status.
    pub fn wait_until_it_answers_or_ends(&mut self) -> Option<ExitStatus> {
        let addr = self.addr;
        let ended = wait_for(&format!("{addr} answers or ends"), START_LIMIT, || {
            if self.ping().is_some() {
                return Some(None);
            }
            let status = self.child.as_mut().expect("a running process").try_wait().expect("our own child");
            status.map(Some)
        });
        if ended.is_some() {
            self.child = None;
        }
        ended
    }

    /// Whether the process has ended by itself; it can be started again then.
    pub fn has_ended(&mut self) -> bool {
        let has_ended =
            self.child.as_mut().is_none_or(|child| child.try_wait().expect("our own child").is_some());
        if has_ended {
            self.child = None;
        }
        has_ended
    }

    /// Whether the process answers anything but that it is still loading.
    fn ping(&self) -> Option<()> {
        let reply = self.try_admin().ok()?.try_call(&[b"PING"]).ok()?;
        (!reply.to_string().starts_with("-LOADING")).then_some(())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
            eprintln!("--- the end of the log of {}\n{}\n---", self.addr, tail.join("\n"));
        }
    }
}
