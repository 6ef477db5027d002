//! A pattern of keys or channels. Most end with their only `*`, or have none: those cost a comparison.

use std::sync::Arc;

use crate::glob::KeptGlob;

#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<[u8]>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// It is the text itself.
    Text,
    /// So many bytes, then anything.
    Prefix(usize),
    Glob(Arc<KeptGlob>),
}

impl Pattern {
    pub fn new(text: &[u8]) -> Pattern {
        let special = text.iter().position(|byte| b"*?[\\".contains(byte));
        let form = match special {
            None => Form::Text,
            Some(at) if text[at] == b'*' && at + 1 == text.len() => Form::Prefix(at),
            Some(_) => Form::Glob(Arc::new(KeptGlob::new(text))),
        };
        Pattern { text: text.into(), form }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    pub fn matches(&self, name: &[u8]) -> bool {
        match &self.form {
            Form::Text => *self.text == *name,
            Form::Prefix(bytes) => name.starts_with(&self.text[..*bytes]),
            Form::Glob(glob) => glob.matches(&self.text, name),
        }
    }
}
