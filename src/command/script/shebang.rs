//! The first line of a script that begins with `#!`.
//!
//! Source: `evalExtractShebangFlags` of Redis 7.0.

use bitflags::bitflags;

bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ScriptFlags: u8 {
        const NO_WRITES = 1;
        const ALLOW_OOM = 1 << 1;
        const ALLOW_STALE = 1 << 2;
        const NO_CLUSTER = 1 << 3;
        const ALLOW_CROSS_SLOT_KEYS = 1 << 4;
    }
}

const NAMES: [(&[u8], ScriptFlags); 5] = [
    (b"no-writes", ScriptFlags::NO_WRITES),
    (b"allow-oom", ScriptFlags::ALLOW_OOM),
    (b"allow-stale", ScriptFlags::ALLOW_STALE),
    (b"no-cluster", ScriptFlags::NO_CLUSTER),
    (b"allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
];

/// The flag of this name, in any case.
pub fn flag_named(name: &[u8]) -> Option<ScriptFlags> {
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, flag)| *flag)
}

impl ScriptFlags {
    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = NAMES.iter().filter(move |(_, flag)| self.contains(*flag));
        set.filter_map(|(name, _)| std::str::from_utf8(name).ok())
    }

    /// What the first line of a script says.
    ///
    /// # Errors
    /// Redis' text where the line is wrong.
    pub fn of(body: &[u8]) -> Result<ScriptFlags, String> {
        if !body.starts_with(b"#!") {
            return Ok(ScriptFlags::empty());
        }
        let end = body.iter().position(|byte| *byte == b'\n');
        let line = &body[..end.ok_or("ERR Invalid script shebang")?];
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let engine = words.next().unwrap_or_default();
        let text = |word: &[u8]| String::from_utf8_lossy(&word[..word.len().min(128)]).into_owned();
        if !engine.eq_ignore_ascii_case(b"#!lua") {
            return Err(format!("ERR Unexpected engine in script shebang: {}", text(engine)));
        }
        let mut flags = ScriptFlags::empty();
        for word in words {
            let Some(list) = word.strip_prefix(b"flags=") else {
                return Err(format!("ERR Unknown lua shebang option: {}", text(word)));
            };
            for name in list.split(|byte| *byte == b',').filter(|name| !name.is_empty()) {
                let known = flag_named(name);
                flags |=
                    known.ok_or_else(|| format!("ERR Unexpected flag in script shebang: {}", text(name)))?;
            }
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_flags_or_what_is_wrong() {
        let flags = |body: &str| ScriptFlags::of(body.as_bytes());
        assert_eq!(flags("return 1"), Ok(ScriptFlags::empty()));
        assert_eq!(flags("#!lua\nreturn 1"), Ok(ScriptFlags::empty()));
        assert_eq!(flags("#!lua flags=\n"), Ok(ScriptFlags::empty()));
        let both = ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_STALE;
        assert_eq!(flags("#!lua  flags=no-writes,allow-stale\n"), Ok(both));
        for (body, error) in [
            ("#!lua", "ERR Invalid script shebang"),
            ("#!js\n", "ERR Unexpected engine in script shebang: #!js"),
            ("#!lua foo\n", "ERR Unknown lua shebang option: foo"),
            ("#!lua name=x\n", "ERR Unknown lua shebang option: name=x"),
            ("#!lua flags=foo\n", "ERR Unexpected flag in script shebang: foo"),
        ] {
            assert_eq!(flags(body), Err(error.to_owned()));
        }
    }
}
