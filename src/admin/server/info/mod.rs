//! INFO: how the node is doing, as `name:value` lines under `# Section` headings.
//!
//! - Field names are Redis' wherever the field means the same, for exporters and clients parse them; ours begin with
//!   `perdura_`.
//! - Only what is true is told: fields of what this server does not have are absent, or are the constants that say so.
//!
//! Source: <https://redis.io/docs/latest/commands/info/>.

mod host;
mod sections;

pub(super) use sections::{counters, last_save_s};

use super::ANYTIME;
use crate::admin::LocalContext;
use crate::admin::shared::Shared;
use crate::admin::table::ProcessCommand;
use crate::command::spec::Categories;
use crate::command::{Args, CommandResult};
use crate::protocol::reply::Reply;

pub(super) const INFO: ProcessCommand = ProcessCommand::local("info", -1, info)
    .flags(&[ANYTIME])
    .categories(Categories::DANGEROUS)
    .docs("1.0.0", "O(1)", "Returns information and statistics about the server.");

/// Fields under construction.
#[derive(Default)]
struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        use std::fmt::Write;
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    fn heading(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.0.push_str(&format!("# {title}\r\n"));
    }
}

struct Section {
    name: &'static str,
    title: &'static str,
    /// Shown by INFO without arguments.
    by_default: bool,
    write: fn(&Shared, &mut Fields),
}

const fn section(
    name: &'static str,
    title: &'static str,
    by_default: bool,
    write: fn(&Shared, &mut Fields),
) -> Section {
    Section { name, title, by_default, write }
}

/// In the order in which they are shown.
const SECTIONS: &[Section] = &[
    section("server", "Server", true, sections::server),
    section("clients", "Clients", true, sections::clients),
    section("memory", "Memory", true, sections::memory),
    section("persistence", "Persistence", true, sections::persistence),
    section("stats", "Stats", true, sections::stats),
    section("replication", "Replication", true, sections::replication),
    section("cpu", "CPU", true, sections::cpu),
    section("modules", "Modules", true, |_, _| ()),
    section("commandstats", "Commandstats", false, sections::commandstats),
    section("errorstats", "Errorstats", true, sections::errorstats),
    section("latencystats", "Latencystats", false, sections::latencystats),
    section("cluster", "Cluster", true, sections::cluster),
    section("keyspace", "Keyspace", true, sections::keyspace),
    section("perdura", "Perdura", true, sections::perdura),
];

/// <https://redis.io/docs/latest/commands/info/>
fn info(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let default: &Args<'_> = &[b"default"];
    let wanted = if args.len() > 1 { &args[1..] } else { default };
    let mut fields = Fields::default();
    for section in SECTIONS.iter().filter(|section| wanted.iter().any(|word| section.is_meant_by(word))) {
        fields.heading(section.title);
        (section.write)(ctx.shared, &mut fields);
    }
    reply.verbatim(&fields.0);
    Ok(())
}

impl Section {
    fn is_meant_by(&self, word: &[u8]) -> bool {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        is(self.name) || is("everything") || is("all") || is("default") && self.by_default
    }
}
