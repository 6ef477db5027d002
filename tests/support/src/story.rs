//! Stories: text files of commands and the replies that they must get.
//!
//! ```text
//! # A heading or a remark.
//! SET k v          => +OK
//! GET k            => v
//! TTL k            =~ :*
//! sleep 20
//! ```
//!
//! `=>` asks for the very text (see [`crate::reply`]); `=~` lets `*` stand for anything; `sleep` takes milliseconds.

use std::time::Duration;

use crate::client::Client;

/// Tells `story` to a connection; panics with every line that turned out otherwise.
pub fn tell(name: &str, story: &str, client: &mut Client) {
    let surprises: Vec<String> = story
        .lines()
        .enumerate()
        .filter_map(|(at, line)| {
            let seen = tell_line(line.trim(), client).err()?;
            Some(format!("line {}: {}\n  got {seen}", at + 1, line.trim()))
        })
        .collect();
    assert!(surprises.is_empty(), "{name}:\n{}", surprises.join("\n"));
}

fn tell_line(line: &str, client: &mut Client) -> Result<(), String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    if let Some(ms) = line.strip_prefix("sleep ") {
        std::thread::sleep(Duration::from_millis(ms.parse().expect("milliseconds")));
        return Ok(());
    }
    if let Some((command, expected)) = line.split_once(" => ") {
        let seen = client.run(command).to_string();
        return if seen.trim_end() == expected.trim() { Ok(()) } else { Err(seen) };
    }
    let (command, pattern) = line.split_once(" =~ ").expect("a line has => or =~");
    let seen = client.run(command).to_string();
    if matches(pattern.trim(), &seen) { Ok(()) } else { Err(seen) }
}

/// Whether `text` fits `pattern`, in which `*` stands for anything.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text) in [("a*c", "abc"), ("*", ""), ("a", "a"), ("*b*", "abc"), ("[:* *]", "[:1 x]")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*c", "ab"), ("a", "ab"), ("*b", "abc"), ("a*b*c", "acb")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
