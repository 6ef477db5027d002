//! Command lines from templates, so that a family is a table.
//!
//! - `{name}` is drawn by the family's vocabulary, `(a|b|)` is one of its parts, `<...>4` is its content one to four times.
//! - An expanded line is split at spaces; `\0` is an empty word.

use super::{Draw, Line};

/// Draws a text in place of `{name}`.
pub type Vocabulary = fn(&mut Draw, &str) -> String;

/// Templates with their weights.
pub type Templates = &'static [(u64, &'static str)];

/// A line of one of the templates.
pub fn line(draw: &mut Draw, templates: Templates, vocabulary: Vocabulary) -> Line {
    let all: u64 = templates.iter().map(|(weight, _)| weight).sum();
    let mut at = draw.below(all);
    let chosen = templates.iter().find(|(weight, _)| {
        let is_here = at < *weight;
        at = at.saturating_sub(*weight);
        is_here
    });
    let (_, template) = chosen.expect("a number below the sum of all weights");
    let text = expand(draw, template, vocabulary);
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(|word| word.replace("\\0", "").into_bytes()).collect()
}

fn expand(draw: &mut Draw, template: &str, vocabulary: Vocabulary) -> String {
    let Some(at) = template.find(['{', '(', '<']) else { return template.to_owned() };
    let (before, rest) = template.split_at(at);
    let (inner, behind) = enclosed(rest);
    let (here, behind) = match rest.as_bytes()[0] {
        b'{' => (vocabulary(draw, inner), behind),
        b'(' => {
            let parts = alternatives(inner);
            let part = parts[draw.below(parts.len() as u64) as usize];
            (expand(draw, part, vocabulary), behind)
        }
        _ => {
            let (most, behind) = behind.split_at(1);
            let most: u64 = most.parse().expect("a digit stands behind a repetition");
            let times = 1 + draw.below(most);
            let repeated: Vec<String> = (0..times).map(|_| expand(draw, inner, vocabulary)).collect();
            (repeated.join(" "), behind)
        }
    };
    let behind = expand(draw, behind, vocabulary);
    format!("{before}{here}{behind}")
}

/// The text between the bracket that `text` begins with and its counterpart, and the rest after that.
fn enclosed(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '(' | '<' => depth += 1,
            '}' | ')' | '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[1..at], &text[at + 1..]);
        }
    }
    panic!("a bracket of {text} is open")
}

/// The parts between the bars that are in no inner bracket.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '(' | '<' => depth += 1,
            '}' | ')' | '>' => depth -= 1,
            '|' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// An integer in the usual range, now and then one that is none, or at a limit.
pub fn integer(draw: &mut Draw, range: std::ops::Range<i64>) -> String {
    match draw.below(60) {
        0 => draw.one_of(&["x", "1e3", "01", "+1", "1.0", "-0", "\\0", "9223372036854775808"]).to_owned(),
        1 => draw
            .one_of(&["9223372036854775807", "-9223372036854775808", "-9223372036854775807", "0", "-1"])
            .to_owned(),
        _ => draw.within(range).to_string(),
    }
}

/// A number of few digits, now and then a strange one.
pub fn float(draw: &mut Draw) -> String {
    match draw.below(40) {
        0 => draw.one_of(&["inf", "-inf", "+inf", "infinity", "1e3", "-1E-2", "0x10", ".5", "5."]).to_owned(),
        1 => draw.one_of(&["nan", "x", "--1", "1_0", "\\0", "1..2"]).to_owned(),
        2..20 => draw.within(-9..10).to_string(),
        _ => format!("{}.{}", draw.within(-9..10), draw.one_of(&["5", "25", "75", "125", "0", "50"])),
    }
}

/// A value: mostly short, now and then one that makes its collection change its encoding.
pub fn value(draw: &mut Draw) -> String {
    match draw.below(40) {
        0 => "v".repeat(1 + draw.below(130) as usize),
        1 => "\\0".to_owned(),
        2..20 => draw.within(-5..30).to_string(),
        _ => format!("v{}", draw.below(12)),
    }
}
