//! Glob patterns over bytes, as KEYS, SCAN, PSUBSCRIBE and CONFIG GET take them.
//!
//! - `*` any bytes, `?` any one byte, `[abc]` `[a-z]` `[^a]` one byte of (or outside) a class, `\x` the byte x itself.
//! - A class may lack its `]` at the end of the pattern; a lone `\` at the end is a backslash; `[]` matches nothing.
//! - Time is at most the product of both lengths: only the last `*` is ever taken back, which suffices because
//!   whatever follows a `*` matches one byte at a time.
//!
//! Source: the behaviour of `stringmatchlen` in Redis; <https://redis.io/docs/latest/commands/keys/>.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Sensitive,
    /// ASCII letters match in either case.
    Insensitive,
}

/// Whether the whole of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_case(pattern, text, Case::Sensitive)
}

/// Whether a pattern matches every text there is (`*`, `**`); an empty one does not.
pub fn matches_all(pattern: &[u8]) -> bool {
    !pattern.is_empty() && pattern.iter().all(|byte| *byte == b'*')
}

/// [`matches`] with a choice about letters.
pub fn matches_case(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match (text.get(t), p < pattern.len()) {
            (None, false) => return true,
            (None, true) => return false,
            (Some(byte), true) if let Some(next) = match_one(pattern, p, *byte, case) => {
                p = next;
                t += 1;
            }
            (Some(_), _) => {
                let Some((behind_star, from)) = retry else { return false };
                retry = Some((behind_star, from + 1));
                (p, t) = (behind_star, from + 1);
            }
        }
    }
}

/// Where the pattern goes on behind the element at `at`, if that element matches `byte`.
fn match_one(pattern: &[u8], at: usize, byte: u8, case: Case) -> Option<usize> {
    let (matched, next) = match pattern[at] {
        b'?' => (true, at + 1),
        b'[' => match_class(pattern, at + 1, byte, case),
        b'\\' if at + 1 < pattern.len() => (same(pattern[at + 1], byte, case), at + 2),
        literal => (same(literal, byte, case), at + 1),
    };
    matched.then_some(next)
}

/// Whether the class whose inside begins at `at` holds `byte`, and where the pattern goes on behind it.
fn match_class(pattern: &[u8], mut at: usize, byte: u8, case: Case) -> (bool, usize) {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut matched = false;
    loop {
        match pattern[at.min(pattern.len())..] {
            [] => return (matched != negated, pattern.len()),
            [b']', ..] => return (matched != negated, at + 1),
            [b'\\', escaped, ..] => {
                matched |= same(escaped, byte, case);
                at += 2;
            }
            [from, b'-', to, ..] => {
                matched |= in_range(from, to, byte, case);
                at += 3;
            }
            [literal, ..] => {
                matched |= same(literal, byte, case);
                at += 1;
            }
        }
    }
}

fn same(a: u8, b: u8, case: Case) -> bool {
    fold(a, case) == fold(b, case)
}

fn in_range(from: u8, to: u8, byte: u8, case: Case) -> bool {
    let (from, to, byte) = (fold(from, case), fold(to, case), fold(byte, case));
    (from.min(to)..=from.max(to)).contains(&byte)
}

fn fold(byte: u8, case: Case) -> u8 {
    match case {
        Case::Sensitive => byte,
        Case::Insensitive => byte.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_element_of_a_pattern_does_its_part() {
        let cases: [(&str, &str, bool); 29] = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "anything", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "hllo", true),
            ("h*llo", "heeeello", true),
            ("h*llo", "heeeell", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("[a", "a", true),
            ("[a-", "-", true),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[^]", "", false),
            ("[\\]]", "]", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a\\", "a\\", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxxcd", false),
            ("*.txt", "a.txt.txt", true),
            ("foo*", "fo", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} on {text}");
        }
        assert!(matches_case(b"MAX[A-c]*", b"maxbclients", Case::Insensitive));
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = b"a*".repeat(1000);
        let mut text = b"a".repeat(10_000);
        text.push(b'b');
        assert!(matches(&pattern, &text));
        assert!(!matches(&[pattern, b"x".to_vec()].concat(), &text));
    }

    /// The obvious recursion, exponential in the number of stars.
    fn by_recursion(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| by_recursion(rest, &text[skipped..])),
            (_, []) => false,
            (_, [byte, behind @ ..]) => match_one(pattern, 0, *byte, Case::Sensitive)
                .is_some_and(|next| by_recursion(&pattern[next..], behind)),
        }
    }

    proptest! {
        #[test]
        fn taking_back_the_last_star_alone_suffices(pattern in r"[ab*?\[\]^\\-]{0,10}", text in "[ab-]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), by_recursion(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
