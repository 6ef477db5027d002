//! Glob patterns over bytes, as KEYS, SCAN, PSUBSCRIBE and CONFIG GET take them.
//!
//! - `*` any bytes, `?` any one byte, `[abc]` `[a-z]` `[^a]` one byte of (or outside) a class, `\x` the byte x itself.
//! - A class may lack its `]` at the end of the pattern; a lone `\` at the end is a backslash; `[]` matches nothing.
//! - A pattern is taken apart once ([`Apart`]); each element then matches a byte in constant time.
//! - Time is that of a few looks at each byte of the text: only the last `*` is ever taken back, which suffices because whatever
//!   follows a `*` matches one byte at a time, and a text that takes more than [`LOOKS_PER_BYTE`] looks a byte does not match. Only
//!   texts that nearly match at very many places take so many (Redis gives up likewise, by the depth of its recursion).
//! - Taken apart, a pattern is up to 13 times its bytes. One of more than [`MAX_PATTERN_BYTES`] is not taken apart: it matches
//!   itself if it has none of `*?[\`, and nothing otherwise.
//!
//! Source: the behaviour of `stringmatchlen` in Redis; <https://redis.io/docs/latest/commands/keys/>.

use smallvec::SmallVec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Sensitive,
    /// ASCII letters match in either case.
    Insensitive,
}

/// Whether a pattern matches every text there is (`*`, `**`); an empty one does not.
pub fn matches_all(pattern: &[u8]) -> bool {
    !pattern.is_empty() && pattern.iter().all(|byte| *byte == b'*')
}

/// Whether the whole of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    Glob::new(pattern, Case::Sensitive).matches(text)
}

/// A text is looked at so often for each of its bytes, and so often in any case.
const LOOKS_PER_BYTE: usize = 16;
const LOOKS_AT_LEAST: usize = 1 << 16;

/// A longer pattern is not taken apart.
const MAX_PATTERN_BYTES: usize = 64 << 10;

fn is_long(pattern: &[u8]) -> bool {
    pattern.len() > MAX_PATTERN_BYTES
}

/// Whether a long pattern, which is plain text if it matches anything, is `text`.
fn matches_long(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let is_same = match case {
        Case::Sensitive => pattern == text,
        Case::Insensitive => pattern.eq_ignore_ascii_case(text),
    };
    is_same && !pattern.iter().any(|byte| b"*?[\\".contains(byte))
}

/// A pattern, ready to be compared with many texts.
#[derive(Debug)]
pub struct Glob<'p>(Form<'p>);

#[derive(Debug)]
enum Form<'p> {
    Apart(Box<Apart>),
    Long(&'p [u8], Case),
}

impl<'p> Glob<'p> {
    pub fn new(pattern: &'p [u8], case: Case) -> Glob<'p> {
        Glob(if is_long(pattern) {
            Form::Long(pattern, case)
        } else {
            Form::Apart(Box::new(Apart::new(pattern, case)))
        })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        match &self.0 {
            Form::Apart(apart) => apart.matches(text),
            Form::Long(pattern, case) => matches_long(pattern, text, *case),
        }
    }
}

/// What is kept beside a pattern that many texts are compared with, one now and one then. It takes no more memory than the pattern.
#[derive(Debug)]
pub struct KeptGlob {
    /// Bytes of the shortest text that the pattern matches.
    least: usize,
    /// None where the pattern is short, or would take more memory than its text: then it has about as many elements as bytes, so that
    /// only texts as long are worth taking it apart.
    apart: Option<Box<Apart>>,
}

/// A shorter pattern is taken apart in no time.
const KEPT_FROM_BYTES: usize = 512;

impl KeptGlob {
    pub fn new(pattern: &[u8]) -> KeptGlob {
        if is_long(pattern) {
            return KeptGlob { least: pattern.len(), apart: None };
        }
        let mut apart = Apart::new(pattern, Case::Sensitive);
        apart.elements.shrink_to_fit();
        apart.classes.shrink_to_fit();
        let (least, bytes) = (apart.least, apart.bytes());
        let is_kept = pattern.len() >= KEPT_FROM_BYTES && bytes <= pattern.len();
        KeptGlob { least, apart: is_kept.then(|| Box::new(apart)) }
    }

    /// Whether the whole of `text` matches `pattern`, which is the one that this was made of.
    pub fn matches(&self, pattern: &[u8], text: &[u8]) -> bool {
        text.len() >= self.least
            && match &self.apart {
                Some(apart) => apart.matches(text),
                None => matches(pattern, text),
            }
    }
}

/// A pattern that was taken apart.
#[derive(Debug)]
struct Apart {
    elements: SmallVec<[Element; 64]>,
    classes: Vec<Class>,
    case: Case,
    /// Elements after the last `*`; all of them where there is none.
    tail: usize,
    /// Bytes of the shortest text that it matches.
    least: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Star,
    Any,
    Byte(u8),
    /// The nth class.
    Class(u32),
}

/// A bit for each byte.
#[derive(Clone, Copy, Debug, Default)]
struct Class([u64; 4]);

impl Class {
    fn holds(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn inverted(self) -> Class {
        Class(self.0.map(|bits| !bits))
    }
}

impl Apart {
    fn new(pattern: &[u8], case: Case) -> Apart {
        let mut glob = Apart { elements: SmallVec::new(), classes: Vec::new(), case, tail: 0, least: 0 };
        let mut rest = pattern;
        while let Some((first, behind)) = rest.split_first() {
            rest = glob.take(*first, behind);
        }
        let is_star = |element: &Element| *element == Element::Star;
        glob.least = glob.elements.iter().filter(|element| !is_star(element)).count();
        glob.tail = glob.elements.iter().rev().take_while(|element| !is_star(element)).count();
        glob
    }

    /// Bytes that it takes.
    fn bytes(&self) -> usize {
        let elements =
            if self.elements.spilled() { self.elements.capacity() * size_of::<Element>() } else { 0 };
        size_of::<Apart>() + elements + self.classes.capacity() * size_of::<Class>()
    }

    /// Takes in the element that begins with `first`; returns what comes after it.
    fn take<'p>(&mut self, first: u8, behind: &'p [u8]) -> &'p [u8] {
        let (element, behind) = match (first, behind) {
            (b'*', _) => (Element::Star, behind),
            (b'?', _) => (Element::Any, behind),
            (b'[', _) => {
                let (class, behind) = read_class(behind, self.case);
                self.classes.push(class);
                (Element::Class(self.classes.len() as u32 - 1), behind)
            }
            (b'\\', [escaped, behind @ ..]) => (Element::Byte(fold(*escaped, self.case)), behind),
            (literal, _) => (Element::Byte(fold(literal, self.case)), behind),
        };
        // Stars after each other are one.
        if element != Element::Star || self.elements.last() != Some(&Element::Star) {
            self.elements.push(element);
        }
        behind
    }

    fn matches(&self, text: &[u8]) -> bool {
        if text.len() < self.least {
            return false;
        }
        let (elements, tail) = self.elements.split_at(self.elements.len() - self.tail);
        let (text, end) = text.split_at(text.len() - self.tail);
        let ends_well = tail.iter().zip(end).all(|(element, byte)| self.fits(*element, *byte));
        ends_well && if elements.is_empty() { text.is_empty() } else { self.matches_open(elements, text) }
    }

    /// Whether `text` matches elements of which the last is a `*`.
    fn matches_open(&self, elements: &[Element], text: &[u8]) -> bool {
        let mut looks = text.len().saturating_mul(LOOKS_PER_BYTE).max(LOOKS_AT_LEAST);
        let (mut at, mut place) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while let Some(element) = elements.get(at) {
            if *element == Element::Star {
                at += 1;
                retry = Some((at, place));
                continue;
            }
            let Some(byte) = text.get(place).filter(|_| looks > 0) else { return false };
            looks -= 1;
            if self.fits(*element, *byte) {
                (at, place) = (at + 1, place + 1);
            } else {
                let Some((after_star, from)) = retry else { return false };
                (at, place) = (after_star, from + 1);
                retry = Some((at, place));
            }
        }
        true
    }

    fn fits(&self, element: Element, byte: u8) -> bool {
        match element {
            Element::Star | Element::Any => true,
            Element::Byte(wanted) => wanted == fold(byte, self.case),
            Element::Class(nth) => self.classes[nth as usize].holds(fold(byte, self.case)),
        }
    }
}

/// Reads the class after its `[`; returns what comes after its `]`.
fn read_class(inside: &[u8], case: Case) -> (Class, &[u8]) {
    let mut class = Class::default();
    let is_negated = inside.first() == Some(&b'^');
    let mut rest = &inside[usize::from(is_negated)..];
    let behind = loop {
        rest = match rest {
            [] => break rest,
            [b']', behind @ ..] => break behind,
            [b'\\', escaped, behind @ ..] => {
                class.add(fold(*escaped, case));
                behind
            }
            [from, b'-', to, behind @ ..] => {
                let (from, to) = (fold(*from, case), fold(*to, case));
                (from.min(to)..=from.max(to)).for_each(|byte| class.add(byte));
                behind
            }
            [literal, behind @ ..] => {
                class.add(fold(*literal, case));
                behind
            }
        };
    };
    (if is_negated { class.inverted() } else { class }, behind)
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
        assert!(Glob::new(b"MAX[A-c]*", Case::Insensitive).matches(b"maxbclients"));
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = b"a*".repeat(1000);
        let mut text = b"a".repeat(10_000);
        text.push(b'b');
        assert!(matches(&pattern, &text));
        assert!(!matches(&[pattern, b"x".to_vec()].concat(), &text));
    }

    /// Each of these took the product of both lengths.
    #[test]
    fn patterns_of_25_kb_take_linear_time() {
        const BYTES: usize = 25_000;
        let text = b"a".repeat(BYTES);
        let patterns = [
            [b"*".to_vec(), b"a".repeat(BYTES / 2), b"b*".to_vec()].concat(),
            [b"*".to_vec(), b"?".repeat(BYTES / 2), b"b*".to_vec()].concat(),
            [b"*[".to_vec(), b"x".repeat(BYTES), b"]*".to_vec()].concat(),
            [b"*a".repeat(BYTES / 2), b"b*".to_vec()].concat(),
        ];
        for pattern in patterns {
            let glob = Glob::new(&pattern, Case::Sensitive);
            // Quadratic, this would be minutes.
            assert!((0..200).all(|_| !glob.matches(&text)));
        }
    }

    /// 500 such patterns took 0.1 s of each message.
    #[test]
    fn long_patterns_that_are_kept_are_not_taken_apart_for_each_text() {
        const BYTES: usize = 60_000;
        let of = |element: &str| element.repeat(BYTES / element.len()).into_bytes();
        let class = [&b"["[..], &of("ab"), b"]*"].concat();
        let classes = of(&format!("[{}]", "a".repeat(298)));
        let patterns = [of("a"), of("a*"), of("\\a"), of("[a]"), of("?*"), class, classes];
        let began_ns = crate::env::thread_cpu_ns();
        for pattern in &patterns {
            let kept = KeptGlob::new(pattern);
            assert!(kept.apart.as_ref().is_none_or(|apart| apart.bytes() <= pattern.len()));
            let matching = (0..10_000).filter(|_| kept.matches(pattern, b"a channel")).count();
            assert_eq!(matching > 0, pattern[0] == b'[' && pattern.ends_with(b"*"));
        }
        let took_ns = crate::env::thread_cpu_ns() - began_ns;
        assert!(took_ns < 2_000_000_000, "{took_ns} ns");
    }

    #[test]
    fn a_pattern_of_megabytes_is_not_taken_apart() {
        let plain = b"a".repeat(1 << 20);
        let upper = plain.to_ascii_uppercase();
        assert!(matches(&plain, &plain) && !matches(&plain, &upper) && !matches(&plain, &plain[1..]));
        assert!(Glob::new(&plain, Case::Insensitive).matches(&upper));
        for element in [&b"[a]"[..], b"a*", b"?", b"\\a"] {
            let pattern = element.repeat(1 << 20);
            let glob = Glob::new(&pattern, Case::Sensitive);
            assert!(matches!(glob.0, Form::Long(..)), "it takes no memory");
            assert!(!glob.matches(&pattern) && !glob.matches(&b"a".repeat(1 << 20)));
        }
        assert!(matches(&b"?".repeat(MAX_PATTERN_BYTES), &b"a".repeat(MAX_PATTERN_BYTES)));
    }

    /// What matches one byte, by the pattern's text.
    fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
        let first = *pattern.first()?;
        let mut glob = Apart::new(b"", Case::Sensitive);
        let behind = glob.take(first, &pattern[1..]);
        glob.fits(glob.elements[0], byte).then_some(behind)
    }

    /// The obvious recursion, exponential in the number of stars.
    fn by_recursion(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| by_recursion(rest, &text[skipped..])),
            (_, []) => false,
            (_, [byte, behind @ ..]) => {
                match_one(pattern, *byte).is_some_and(|next| by_recursion(next, behind))
            }
        }
    }

    proptest! {
        #[test]
        fn taking_back_the_last_star_alone_suffices(pattern in r"[ab*?\[\]^\\-]{0,10}", text in "[ab-]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), by_recursion(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
