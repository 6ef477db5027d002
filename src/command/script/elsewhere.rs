//! Commands that are no data commands, as scripts see them: some run in scripts in a form of their own, the others are refused.

/// What runs in a script in place of a process command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InScript {
    Ping,
    Echo,
    /// The time of the entry, or of the read: the same from a script's beginning to its end.
    Time,
    Select,
    Publish,
    ShardPublish,
    Wait,
    WaitAof,
}

/// Name, number of arguments with the name (negative for "at least"), and what runs.
const IN_SCRIPTS: [(&str, i32, InScript); 8] = [
    ("ping", -1, InScript::Ping),
    ("echo", 2, InScript::Echo),
    ("time", 1, InScript::Time),
    ("select", 2, InScript::Select),
    ("publish", 3, InScript::Publish),
    ("spublish", 3, InScript::ShardPublish),
    ("wait", 3, InScript::Wait),
    ("waitaof", 4, InScript::WaitAof),
];

/// The other process commands.
const NOT_IN_SCRIPTS: &[&str] = &[
    "acl",
    "auth",
    "bgrewriteaof",
    "bgsave",
    "client",
    "cluster",
    "command",
    "commandlog",
    "config",
    "debug",
    "discard",
    "exec",
    "failover",
    "function",
    "hello",
    "info",
    "lastsave",
    "latency",
    "lolwut",
    "memory",
    "migrate",
    "module",
    "monitor",
    "multi",
    "perdura",
    "psubscribe",
    "psync",
    "pubsub",
    "punsubscribe",
    "quit",
    "readonly",
    "readwrite",
    "replconf",
    "replicaof",
    "reset",
    "role",
    "save",
    "script",
    "shutdown",
    "slaveof",
    "slowlog",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "sync",
    "unsubscribe",
    "unwatch",
    "watch",
];

/// What a script runs for a process command of this name, and how many arguments it takes.
pub fn in_script(name: &[u8]) -> Option<(i32, InScript)> {
    let found = IN_SCRIPTS.iter().find(|(own, ..)| name.eq_ignore_ascii_case(own.as_bytes()))?;
    Some((found.1, found.2))
}

/// Whether a process command has this name.
pub fn is_process_command(name: &[u8]) -> bool {
    in_script(name).is_some() || NOT_IN_SCRIPTS.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}
