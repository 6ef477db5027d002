//! A node without network and log, for unit tests of the commands that concern a connection or the process.

use std::sync::Arc;

use crate::admin::LocalContext;
use crate::admin::client::{Client, ClientInfo};
use crate::admin::shared::Shared;
use crate::admin::table::Way;
use crate::command::testing::{show_reply, split_words};
use crate::command::{Args, CommandError, Handler, ReadContext};
use crate::config::Config;
use crate::config::settings::{Flags, Settings};
use crate::env::{Clock, ManualClock};
use crate::keyspace::Keyspace;
use crate::metrics::Metrics;
use crate::propose::reply::ConnectionId;
use crate::protocol::reply::Reply;
use crate::session::table::{statistic_names, table};
use crate::shard::port::ShardHandle;

/// A node that leads, and one connection to it. Its clock stands still until it is moved.
pub struct TestNode {
    pub shared: Shared,
    pub client: Client,
    pub hands: Arc<ManualClock>,
}

impl Default for TestNode {
    fn default() -> Self {
        TestNode::new()
    }
}

impl TestNode {
    /// The defaults, at unix time 1,000,000 ms.
    pub fn new() -> Self {
        TestNode::with(&[])
    }

    /// A node started with these settings.
    pub fn with(settings: &[(&'static str, &str)]) -> Self {
        let flags: Flags = settings.iter().map(|(name, text)| (*name, vec![(*text).to_owned()])).collect();
        let settings = Settings::resolve(&flags, []).expect("the settings of a test exist");
        let config = Config::build(&settings).expect("the settings of a test are sound");
        let (clock, hands) = Clock::manual(1_000_000);
        let shard = Arc::new(ShardHandle::new(Keyspace::create().0, 1));
        shard.set_primary(true);
        let metrics = Metrics::new(clock.clone(), statistic_names());
        let run_id = "0123456789abcdef0123456789abcdef01234567".to_owned();
        let shared = Shared::new(config, clock, metrics, shard, run_id, table());
        let client = connect(&shared);
        TestNode { shared, client, hands }
    }

    /// Opens another connection and makes it the one that runs commands; returns the one before.
    pub fn switch_to_new_client(&mut self) -> Client {
        std::mem::replace(&mut self.client, connect(&self.shared))
    }

    /// Runs a command line and returns the reply's bytes.
    pub fn run(&mut self, line: &str) -> String {
        let words = split_words(line);
        let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        String::from_utf8_lossy(&self.run_args(&args)).into_owned()
    }

    pub fn run_args(&mut self, args: &Args<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.execute(args, &mut out);
        out
    }

    /// As [`run`](Self::run), the reply made short as `TestDb::show` does.
    pub fn show(&mut self, line: &str) -> String {
        show_reply(&self.run(line))
    }

    fn execute(&mut self, args: &Args<'_>, out: &mut Vec<u8>) {
        let resp = self.client.resp;
        let row = table().find(args).unwrap_or_else(|| panic!("no command {}", args[0].escape_ascii()));
        let command = row.command;
        let fits = command.arity_fits(args.len());
        let arity = fits.then_some(()).ok_or(CommandError::Arity(command.name.into()));
        let result = arity.and_then(|()| match (row.way, command.handler_for(args)) {
            (Way::Local(handler) | Way::Session(_, handler), _) => {
                let mut context =
                    LocalContext { client: &mut self.client, shared: &self.shared, table: table() };
                handler(&mut context, args, &mut Reply::new(out, resp))
            }
            (Way::Data, Handler::Read(handler)) => {
                let view = self.shared.shard.keyspace.read(command.lock_set(args));
                let context = ReadContext::new(&view, self.client.db, self.shared.clock.unix_ms(), 0);
                handler(&context, args, &mut Reply::new(out, resp))
            }
            _ => panic!("{} is for a TestDb", command.name),
        });
        if let Err(error) = result {
            out.clear();
            Reply::new(out, resp).error(error.to_string());
        }
    }
}

fn connect(shared: &Shared) -> Client {
    let id = shared.clients.next_id();
    let connection = ConnectionId { index: id as u32, generation: 1 };
    let addrs = (format!("127.0.0.1:{}", 50_000 + id), "127.0.0.1:6379".to_owned());
    let info = Arc::new(ClientInfo::new(id, addrs, (0, connection), shared.clock.monotonic_ms()));
    shared.clients.add(info.clone());
    shared.new_client(info, 0, connection)
}
