//! Replies, and their text in stories.
//!
//! | reply | text |
//! |---|---|
//! | simple string, error | `+OK`, `-ERR no such key` |
//! | integer, double, boolean, big number | `:5`, `,1.5`, `#t`, `(123` |
//! | bulk string | `word`, or `'two words'` where it needs quotes; `\x00` escapes |
//! | verbatim string | `=text` |
//! | null (of either protocol, of either kind) | `nil` |
//! | array, set, push | `[a b]`, `~[a b]`, `>[a b]` |
//! | map | `{field=value other=1}` |
//!
//! Maps and sets have no order on the wire; their text is sorted.

use std::fmt;

use redis_protocol::{resp2, resp3};

/// A reply in either protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Simple(Vec<u8>),
    Error(String),
    Integer(i64),
    Double(f64),
    Boolean(bool),
    BigNumber(Vec<u8>),
    Bulk(Vec<u8>),
    Verbatim(Vec<u8>),
    Null,
    Array(Vec<Reply>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
}

impl Reply {
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(bytes.as_ref().to_vec())
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// The bytes of a string of any kind.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Reply::Simple(bytes) | Reply::Bulk(bytes) | Reply::Verbatim(bytes) => bytes,
            other => panic!("expected a string, got {other}"),
        }
    }

    /// A string of any kind, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    pub fn integer(&self) -> i64 {
        match self {
            Reply::Integer(value) => *value,
            other => panic!("expected an integer, got {other}"),
        }
    }

    /// The elements of an array, a set or a push.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items,
            other => panic!("expected an array, got {other}"),
        }
    }

    /// The value under `name` in a map, or in the flat array that stands for one in RESP2.
    pub fn field(&self, name: &str) -> &Reply {
        let found = match self {
            Reply::Map(pairs) => pairs.iter().find(|(key, _)| key.text() == name).map(|(_, value)| value),
            flat => flat.items().chunks(2).find(|pair| pair[0].text() == name).map(|pair| &pair[1]),
        };
        found.unwrap_or_else(|| panic!("no field {name} in {self}"))
    }
}

impl From<resp2::types::OwnedFrame> for Reply {
    fn from(frame: resp2::types::OwnedFrame) -> Self {
        use resp2::types::OwnedFrame as Frame;
        match frame {
            Frame::SimpleString(bytes) => Reply::Simple(bytes),
            Frame::Error(text) => Reply::Error(text),
            Frame::Integer(value) => Reply::Integer(value),
            Frame::BulkString(bytes) => Reply::Bulk(bytes),
            Frame::Array(frames) => Reply::Array(frames.into_iter().map(Reply::from).collect()),
            Frame::Null => Reply::Null,
        }
    }
}

impl From<resp3::types::OwnedFrame> for Reply {
    fn from(frame: resp3::types::OwnedFrame) -> Self {
        use resp3::types::OwnedFrame as Frame;
        let list = |frames: Vec<Frame>| frames.into_iter().map(Reply::from).collect();
        match frame {
            Frame::SimpleString { data, .. } => Reply::Simple(data),
            Frame::SimpleError { data, .. } => Reply::Error(data),
            Frame::BlobError { data, .. } => Reply::Error(String::from_utf8_lossy(&data).into_owned()),
            Frame::Number { data, .. } => Reply::Integer(data),
            Frame::Double { data, .. } => Reply::Double(data),
            Frame::Boolean { data, .. } => Reply::Boolean(data),
            Frame::BigNumber { data, .. } => Reply::BigNumber(data),
            Frame::BlobString { data, .. } => Reply::Bulk(data),
            Frame::VerbatimString { data, .. } => Reply::Verbatim(data),
            Frame::Null => Reply::Null,
            Frame::Array { data, .. } => Reply::Array(list(data)),
            Frame::Push { data, .. } => Reply::Push(list(data)),
            Frame::Set { data, .. } => Reply::Set(data.into_iter().map(Reply::from).collect()),
            Frame::Map { data, .. } => {
                Reply::Map(data.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
            }
            other @ (Frame::Hello { .. } | Frame::ChunkedString(_)) => {
                panic!("a server never sends {other:?}")
            }
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Simple(bytes) => write!(f, "+{}", bytes.escape_ascii()),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Integer(value) => write!(f, ":{value}"),
            Reply::Double(value) => write!(f, ",{value}"),
            Reply::Boolean(value) => write!(f, "#{}", if *value { 't' } else { 'f' }),
            Reply::BigNumber(digits) => write!(f, "({}", digits.escape_ascii()),
            Reply::Bulk(bytes) => write!(f, "{}", bulk_text(bytes)),
            Reply::Verbatim(bytes) => write!(f, "={}", bytes.escape_ascii()),
            Reply::Null => write!(f, "nil"),
            Reply::Array(items) => write!(f, "[{}]", texts(items).join(" ")),
            Reply::Push(items) => write!(f, ">[{}]", texts(items).join(" ")),
            Reply::Set(items) => write!(f, "~[{}]", sorted(texts(items)).join(" ")),
            Reply::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "{{{}}}", sorted(pairs).join(" "))
            }
        }
    }
}

fn texts(items: &[Reply]) -> Vec<String> {
    items.iter().map(Reply::to_string).collect()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// A bulk string bare where that can't be mistaken for anything else, in single quotes elsewhere.
fn bulk_text(bytes: &[u8]) -> String {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:-+@*/{}".contains(byte);
    let starts_bare = bytes.first().is_some_and(u8::is_ascii_alphanumeric);
    if starts_bare && bytes.iter().all(bare) && bytes != b"nil" {
        bytes.escape_ascii().to_string()
    } else {
        format!("'{}'", bytes.escape_ascii())
    }
}
