//! redis.conf: a file of directives, as Redis reads it.
//!
//! - A directive that is a setting or a parameter here is one; its older names are understood. A directive that asks for what is so anyway
//!   (`appendonly yes`) is passed over. Any other is named once, with the reason where there is one: nothing is dropped in silence.
//! - Words are parted and quoted as in Redis' `sdssplitargs`.
//! - The file comes before flags and the environment, as a TOML file does.
//!
//! Source: <https://redis.io/docs/latest/operate/oss_and_stack/management/config-file/>.

use super::group_values::group_parameter;
use super::parameters::{self, Setter};
use super::settings::{self, Setting};

/// A line that can't be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLine {
    pub line: usize,
    pub directive: String,
}

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Settings and parameters with their texts; of one that is no list the last counts.
    pub texts: Vec<(&'static str, Vec<String>)>,
    /// Rules of ACL users, in order: the name, and the rules.
    pub users: Vec<(String, Vec<String>)>,
    /// What is passed over.
    pub warnings: Vec<String>,
}

/// Whether a text is of this kind: its first line is a word and its values, where TOML has `name = value` or `[name]`.
pub fn is_redis_conf(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| {
        let mut words = line.split_whitespace();
        let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        !name.starts_with('[') && !name.contains('=') && !value.is_empty() && !value.starts_with('=')
    })
}

/// Reads a file.
pub fn read(text: &str) -> Result<Directives, BadLine> {
    let mut directives = Directives::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        let words = split(line).ok_or_else(|| BadLine { line: number + 1, directive: name.clone() })?;
        directives.take(&name, words.get(1..).unwrap_or_default());
    }
    directives.warnings.dedup();
    Ok(directives)
}

/// What else a directive is called here.
const OTHER_NAMES: &[(&str, &str)] =
    &[("loglevel", "log-level"), ("aclfile", "users-file"), ("io-threads", "workers")];

impl Directives {
    fn take(&mut self, name: &str, words: &[String]) {
        let own = OTHER_NAMES.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, own)| *own);
        if name == "user" {
            self.take_user(words);
        } else if name == "client-output-buffer-limit" {
            self.take_output_limit(words);
        } else if let Some(setting) = settings::named(own).filter(|setting| setting.name != "config") {
            self.take_setting(setting, words);
        } else if let Some(row) = group_parameter(name) {
            self.put(row.name, vec![words.join(" ")]);
        } else {
            self.pass_over(name, words);
        }
    }

    fn take_setting(&mut self, setting: &'static Setting, words: &[String]) {
        match setting.list {
            true => self.put(setting.name, words.to_vec()),
            false => self.put(setting.name, vec![words.join(" ")]),
        }
    }

    fn take_user(&mut self, words: &[String]) {
        if let [name, rules @ ..] = words {
            self.users.push((name.clone(), rules.to_vec()));
        }
    }

    /// One line for a class of clients; those of replicas mean nothing here.
    fn take_output_limit(&mut self, words: &[String]) {
        const NAME: &str = "client-output-buffer-limit";
        let is_of_replicas = words
            .first()
            .is_some_and(|class| ["replica", "slave"].contains(&class.to_ascii_lowercase().as_str()));
        if is_of_replicas {
            self.warnings.push(format!("'{NAME} replica' means nothing here: replicas are no clients"));
            return;
        }
        let text = words.join(" ");
        match self.texts.iter_mut().find(|(name, _)| *name == NAME) {
            Some((_, texts)) => texts.push(text),
            None => self.texts.push((NAME, vec![text])),
        }
    }

    fn put(&mut self, name: &'static str, texts: Vec<String>) {
        self.texts.retain(|(other, _)| *other != name);
        self.texts.push((name, texts));
    }

    fn pass_over(&mut self, name: &str, words: &[String]) {
        let value = words.join(" ");
        let warning = match parameters::named(name).map(|parameter| parameter.set) {
            Some(Setter::Only(only, _)) if value.trim_matches('"').eq_ignore_ascii_case(only) => return,
            Some(Setter::Only(only, why)) => format!("'{name}' is always '{only}' here: {why}"),
            Some(Setter::AsItIs(why)) => format!("'{name}' means nothing here: {why}"),
            _ if name == "include" => {
                "'include' is not followed: put the directives into one file".to_owned()
            }
            _ => format!("'{name}' means nothing here"),
        };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// The rules of users in a file of ACL lines: `user NAME RULE...`.
pub fn read_users(text: &str) -> Result<Vec<(String, Vec<String>)>, BadLine> {
    let mut users = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (None, _) => {}
            (Some(first), _) if first.starts_with('#') => {}
            (Some(first), Some(name)) if first.eq_ignore_ascii_case("user") => {
                users.push((name.to_owned(), words.map(str::to_owned).collect()));
            }
            (Some(first), _) => {
                return Err(BadLine { line: number + 1, directive: first.to_owned() });
            }
        }
    }
    Ok(users)
}

/// Parts a line into words, quoted or not; `None` where a quote does not end, or is followed by anything but a space.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' => quoted(&rest[1..])?,
            '\'' => singly_quoted(&rest[1..])?,
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if after.chars().next().is_some_and(|next| !next.is_whitespace()) {
            return None;
        }
        words.push(word);
        rest = after.trim_start();
    }
    Some(words)
}

/// What is in double quotes, and what follows them.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut word = Vec::new();
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((String::from_utf8(word).ok()?, &text[at + 1..])),
            b'\\' => {
                let (_, escaped) = bytes.next()?;
                let hex = text.get(at + 2..at + 4).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                match (escaped, hex) {
                    (b'x', Some(byte)) => {
                        word.push(byte);
                        bytes.nth(1)?;
                    }
                    (b'n', _) => word.push(b'\n'),
                    (b'r', _) => word.push(b'\r'),
                    (b't', _) => word.push(b'\t'),
                    (b'b', _) => word.push(8),
                    (b'a', _) => word.push(7),
                    (other, _) => word.push(other),
                }
            }
            other => word.push(other),
        }
    }
    None
}

fn singly_quoted(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut rest = text;
    loop {
        let at = rest.find(['\'', '\\'])?;
        word.push_str(&rest[..at]);
        if rest[at..].starts_with("\\'") {
            word.push('\'');
            rest = &rest[at + 2..];
        } else if rest[at..].starts_with('\\') {
            word.push('\\');
            rest = &rest[at + 1..];
        } else {
            return Some((word, &rest[at + 1..]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        split(line)
    }

    #[test]
    fn words_are_parted_and_quoted_as_in_redis() {
        let parted = words("requirepass \"a b\\x41\\n\\\"\" 'it\\'s' plain").expect("whole");
        assert_eq!(parted, ["requirepass", "a bA\n\"", "it's", "plain"]);
        assert_eq!(words("save \"\"").expect("whole"), ["save", ""]);
        for line in ["save \"", "a 'b", "a \"b\"c", "a \"\\"] {
            assert_eq!(words(line), None, "{line}");
        }
    }

    #[test]
    fn a_file_of_redis_is_told_from_toml() {
        for text in ["# comment\n\nport 6380\n", "bind 127.0.0.1 -::1", "save \"\""] {
            assert!(is_redis_conf(text), "{text}");
        }
        for text in ["# comment\nport = 6380", "port=1", "[section]\n", "", "\"port\" = 1", "port =1", "port"]
        {
            assert!(!is_redis_conf(text), "{text}");
        }
    }

    #[test]
    fn directives_are_settings_parameters_or_named() {
        let text = "\
            # a comment\n\
            bind 127.0.0.1 -::1\n\
            PORT 6380\n\
            port 6381\n\
            loglevel warning\n\
            appendonly yes\n\
            appendfsync everysec\n\
            save 3600 1\n\
            save 300 100\n\
            hash-max-ziplist-entries 7\n\
            client-output-buffer-limit normal 0 0 0\n\
            client-output-buffer-limit replica 256mb 64mb 60\n\
            client-output-buffer-limit pubsub 32mb 8mb 60\n\
            user bob on >pw ~* +get\n\
            rdbcompression yes\n";
        let read = read(text).expect("each line is fine");
        let texts: Vec<String> =
            read.texts.iter().map(|(name, texts)| format!("{name}: {}", texts.join(" | "))).collect();
        assert_eq!(
            texts,
            [
                "bind: 127.0.0.1 | -::1",
                "port: 6381",
                "log-level: warning",
                "hash-max-listpack-entries: 7",
                "client-output-buffer-limit: normal 0 0 0 | pubsub 32mb 8mb 60",
            ]
        );
        assert_eq!(read.users, [("bob".to_owned(), ["on", ">pw", "~*", "+get"].map(str::to_owned).to_vec())]);
        let names = [
            "'appendfsync' is always",
            "'save' is always",
            "'client-output-buffer-limit replica'",
            "'rdbcompression' means nothing",
        ];
        assert_eq!(read.warnings.len(), names.len(), "{:?}", read.warnings);
        for (warning, name) in read.warnings.iter().zip(names) {
            assert!(warning.starts_with(name), "{warning}");
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_named_without_its_text() {
        let bad = read("port 1\nrequirepass \"hush").expect_err("the quote does not end");
        assert_eq!(bad, BadLine { line: 2, directive: "requirepass".to_owned() });
        assert_eq!(read_users("user a on\n\n# x\nUSER b off ~x\n").expect("fine").len(), 2);
        assert_eq!(read_users("user a on\nuser\n").expect_err("no name").line, 2);
    }
}
