//! The floors of src/: what each file may import, and what each file and each floor may hold.
//!
//! - A room is a folder of src/, or a file beside the folders. A file imports from its own room, from rooms on lower floors, and from
//!   other rooms of its own floor as long as those make no circle.
//! - Every `use` and every path that begins with `crate::` or leaves a room by `super::` counts. Tests do not: they may use what is
//!   above.
//! - Every file opens with a header and has at most 700 lines; a floor has one public type of a name.
//!
//! [`EXCEPTIONS`] can only shrink: one that is no longer needed fails, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the top down. `lib` only declares the rooms.
const FLOORS: &[&[&str]] = &[
    &["cli", "main", "torture"],
    &["server"],
    &["net"],
    &["session"],
    &["admin"],
    &["backup", "pubsub"],
    &["shard"],
    &["apply", "raft", "replay"],
    &["command", "propose", "script"],
    &["checkpoint"],
    &["keyspace", "rdb"],
    &[
        "access",
        "acl",
        "calendar",
        "cluster",
        "config",
        "data_folder",
        "env",
        "glob",
        "guesses",
        "loading",
        "logging",
        "memory",
        "messages",
        "metrics",
        "pause",
        "persistence",
        "planted",
        "protocol",
        "space",
        "sync_probe",
        "version",
    ],
];

/// A file that imports from a room above it, the room, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

const MAX_LINES: usize = 700;

/// A file of src/ that is no test.
#[derive(Debug, Default)]
struct Source {
    /// Below src/, with slashes.
    name: String,
    text: String,
    /// The text without comments and tests.
    code: String,
}

impl Source {
    fn new(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), text: text.to_owned(), code: without_tests(&without_comments(text)) }
    }

    /// The names of the modules from the crate's root to this file.
    fn module(&self) -> Vec<&str> {
        let path = self.name.trim_end_matches(".rs");
        path.split('/').filter(|part| *part != "mod").collect()
    }

    fn room(&self) -> &str {
        self.module().first().copied().unwrap_or_default()
    }

    /// The rooms that it imports from, its own left out.
    fn imports(&self) -> BTreeSet<String> {
        let mut rooms = BTreeSet::new();
        for path in paths_in(&self.code) {
            let mut parts: Vec<&str> = path.iter().map(String::as_str).collect();
            let module = self.module();
            let outward = parts.iter().take_while(|part| **part == "super").count();
            if outward > 0 {
                let base = &module[..module.len().saturating_sub(outward)];
                parts = [base, &parts[outward..]].concat();
            } else if parts[0] == "crate" {
                parts.remove(0);
            } else {
                continue;
            }
            rooms
                .extend(parts.first().filter(|room| floor_of(room).is_some()).map(|room| (*room).to_owned()));
        }
        rooms.remove(self.room());
        rooms
    }

    /// The public types that it declares.
    fn types(&self) -> impl Iterator<Item = &str> {
        let declared = |line: &'_ str| {
            let rest = line.strip_prefix("pub ")?;
            let kinds = ["struct ", "enum ", "trait ", "type ", "union "];
            let name = kinds.iter().find_map(|kind| rest.strip_prefix(kind))?.trim_start();
            Some(name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().len())
        };
        self.code.lines().filter_map(move |line| {
            let length = declared(line)?;
            let start = line.match_indices(' ').nth(1)?.0 + 1;
            line.get(start..start + length)
        })
    }
}

/// Zero is the top.
fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn without_comments(text: &str) -> String {
    let line = |line: &str| match line.find("//") {
        // A URL in a string.
        Some(at) if at > 0 && line.as_bytes()[at - 1] == b':' => line.to_owned(),
        Some(at) => line[..at].to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Leaves out items and modules after `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push(line);
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        for line in lines.by_ref() {
            let ends_here = line.ends_with(';') || line.ends_with(',') && line.starts_with(indent);
            let is_end = line.strip_prefix(indent).is_some_and(|rest| rest.starts_with('}'));
            if is_end || ends_here && line[indent.len().min(line.len())..].starts_with(|c: char| c != ' ') {
                break;
            }
        }
    }
    kept.join("\n")
}

/// The paths of `use` lines, and those in the code that begin with `crate` or `super`, each in parts.
fn paths_in(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' || code[..at].ends_with("(in ") {
                continue;
            }
            expand(&code[at..], &mut Vec::new(), &mut paths);
        }
    }
    paths
}

/// Adds the path at the beginning of `code`, or one for each branch of its braces. Returns what follows it.
fn expand<'c>(code: &'c str, head: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'c str {
    let depth = head.len();
    let mut rest = code;
    loop {
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if length > 0 {
            head.push(rest[..length].to_owned());
            rest = &rest[length..];
        }
        let Some(after) = rest.strip_prefix("::") else { break };
        rest = after;
        if let Some(branches) = rest.strip_prefix('{') {
            rest = branches;
            loop {
                rest = expand(rest.trim_start(), head, paths).trim_start();
                // `as` and the name that it gives.
                rest = rest.find([',', '}']).map_or("", |at| &rest[at..]);
                let Some(next) = rest.strip_prefix(',').map(str::trim_start) else { break };
                rest = next;
                if rest.starts_with('}') {
                    break;
                }
            }
            rest = rest.strip_prefix('}').unwrap_or(rest);
            head.truncate(depth);
            return rest;
        }
    }
    if head.len() > depth {
        paths.push(head.clone());
    }
    head.truncate(depth);
    rest
}

/// The files of src/ that are no tests.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let all: Vec<Source> = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("it is below src").display().to_string();
            Source::new(&name, &fs::read_to_string(path).expect("a file of src can be read"))
        })
        .collect();
    let tests: Vec<String> = all.iter().flat_map(test_modules).collect();
    let is_test = |source: &Source| {
        let module = source.module().join("/");
        tests.iter().any(|test| module == *test || module.starts_with(&format!("{test}/")))
    };
    all.into_iter().filter(|source| !is_test(source)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of src can be read") {
        let path = entry.expect("a folder of src can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The modules that a file declares for tests alone, as paths below src/.
fn test_modules(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut modules = Vec::new();
    for pair in lines.windows(2) {
        let declared = pair[1].trim_start_matches("pub ").strip_prefix("mod ");
        if pair[0] == "#[cfg(test)]"
            && let Some(name) = declared.and_then(|rest| rest.strip_suffix(';'))
        {
            let mut module = source.module();
            if source.name == "lib.rs" {
                module.clear();
            }
            module.push(name);
            modules.push(module.join("/"));
        }
    }
    modules
}

/// Imports that point up and are no exception, and exceptions that are none.
fn upward(sources: &[Source], exceptions: &[(&str, &str, &str)]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut unused: Vec<_> = exceptions.to_vec();
    for source in sources.iter().filter(|source| source.name != "lib.rs") {
        let Some(own) = floor_of(source.room()) else {
            findings.push(format!("src/{} is on no floor of tests/floors.rs", source.name));
            continue;
        };
        for room in
            source.imports().into_iter().filter(|room| floor_of(room).is_some_and(|floor| floor < own))
        {
            let is_this = |exception: &(&str, &str, &str)| exception.0 == source.name && exception.1 == room;
            if exceptions.iter().any(is_this) {
                unused.retain(|exception| !is_this(exception));
            } else {
                findings.push(format!("src/{} imports from {room}, which is above it", source.name));
            }
        }
    }
    let needless = |(file, room, _): &(&str, &str, &str)| {
        format!("src/{file} imports nothing from {room} any more: the exception can go")
    };
    findings.extend(unused.iter().map(needless));
    findings
}

/// Rooms of one floor that import from each other in a circle.
fn circles(sources: &[Source]) -> Vec<String> {
    let mut below: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let floor = floor_of(source.room());
        let same = source.imports().into_iter().filter(|room| floor_of(room) == floor);
        below.entry(source.room()).or_default().extend(same);
    }
    // Whatever imports from nothing that is left is in no circle.
    loop {
        let left: BTreeSet<String> = below.keys().map(|room| (*room).to_owned()).collect();
        let free: Vec<&str> =
            below.iter().filter(|(_, imports)| imports.is_disjoint(&left)).map(|(room, _)| *room).collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|room| drop(below.remove(room)));
    }
    below.iter().map(|(room, imports)| format!("{room} is in a circle, by way of {imports:?}")).collect()
}

/// Public types of one name on one floor.
fn twins(sources: &[Source]) -> Vec<String> {
    let mut named: BTreeMap<(usize, &str), BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        for name in source.types() {
            named.entry((floor_of(source.room()).unwrap_or(0), name)).or_default().insert(&source.name);
        }
    }
    let twice = named.iter().filter(|(_, files)| files.len() > 1);
    twice.map(|((_, name), files)| format!("{name} is the name of a type in each of {files:?}")).collect()
}

fn headless_or_long(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        if !source.text.starts_with("//! ") {
            findings.push(format!("src/{} has no header", source.name));
        }
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            findings.push(format!("src/{} has {lines} lines", source.name));
        }
    }
    findings
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn no_import_points_up() {
    assert_none(&upward(&sources(), EXCEPTIONS));
}

#[test]
fn no_rooms_of_a_floor_import_from_each_other() {
    assert_none(&circles(&sources()));
}

#[test]
fn a_floor_has_one_public_type_of_a_name() {
    assert_none(&twins(&sources()));
}

#[test]
fn every_file_has_a_header_and_is_short() {
    assert_none(&headless_or_long(&sources()));
}

#[test]
fn a_planted_import_is_found() {
    let planted = |line: &str| {
        let mut sources = sources();
        let get = sources.iter_mut().find(|source| source.name == "command/string/mod.rs");
        let get = get.expect("strings have a file");
        *get = Source::new(&get.name, &format!("{}\n{line}\n", get.text));
        sources
    };
    for line in [
        "use crate::session::table;",
        "use crate::{env::Clock, session::{self, table::lookup as find}};",
        "use super::super::session::Session;",
        "fn late() { crate::session::table::table(); }",
    ] {
        let findings = upward(&planted(line), EXCEPTIONS);
        assert_eq!(findings, ["src/command/string/mod.rs imports from session, which is above it"], "{line}");
    }
    for line in [
        "// use crate::session::table;",
        "#[cfg(test)]\nmod late {\n    use crate::session::table;\n}",
        "use super::session;",
        "use crate::keyspace::{entry::Entry, slot::Slot};",
    ] {
        assert_none(&upward(&planted(line), EXCEPTIONS));
    }
    let exceptions = [("command/string/mod.rs", "session", "for this test")];
    assert_none(&upward(&planted("use crate::session::table;"), &exceptions));
    assert_eq!(upward(&sources(), &exceptions).len(), 1, "an exception that is not needed is found");
}

#[test]
fn circles_twins_and_bare_files_are_found() {
    let sources = [
        Source::new("command/a.rs", "//! A.\nuse crate::propose::b::B;\npub struct Same;\n"),
        Source::new("propose/b.rs", "//! B.\nuse crate::command::a::A;\npub enum Same {}\n"),
        Source::new("keyspace/c.rs", "pub struct Same;\n"),
        Source::new("keyspace/d.rs", &format!("//! D.\n{}", "\n".repeat(MAX_LINES))),
    ];
    assert_eq!(circles(&sources).len(), 2);
    assert!(circles(&sources[1..]).is_empty());
    assert_eq!(twins(&sources).len(), 1);
    assert_eq!(headless_or_long(&sources).len(), 2);
}
