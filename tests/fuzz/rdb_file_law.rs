//! The law of the parser of RDB files: what it yields depends on the bytes, never on how reads split them; it keeps no more than they
//! call for, and nothing that it yields makes the reader of values panic.
//!
//! Included by the parser's unit tests and by the fuzz target, which bring the names into scope.

use super::{FileError, FileRecord, Parser, TypeLimits, load_body};

/// What a parser may keep beyond the bytes of the file.
const SLACK_BYTES: usize = 1024;

/// A file as a parser yields it: each record as text, and the error that ended it.
pub fn read(file: &[u8], piece: usize, most_whole_bytes: usize) -> (Vec<String>, Option<FileError>) {
    let mut parser = Parser::dividing_beyond(most_whole_bytes);
    let mut records = Vec::new();
    for bytes in file.chunks(piece.max(1)) {
        parser.feed(bytes);
        if let Err(error) = take(&mut parser, &mut records) {
            return (records, Some(error));
        }
        assert!(
            parser.kept_bytes() <= 2 * file.len() + SLACK_BYTES,
            "{} bytes are kept",
            parser.kept_bytes()
        );
    }
    let ended = parser.finish();
    (records, ended.err())
}

fn take(parser: &mut Parser, records: &mut Vec<String>) -> Result<(), FileError> {
    while let Some(record) = parser.next_record()? {
        if let FileRecord::Value(part) = &record {
            // That it returns is the law.
            let _ = load_body(part.body, part.version, &TypeLimits::default());
        }
        records.push(format!("{record:?}"));
    }
    Ok(())
}

/// Bytes of any kind obey.
pub fn check(file: &[u8]) {
    let whole = read(file, file.len(), usize::MAX);
    for piece in [1, 7] {
        assert_eq!(read(file, piece, usize::MAX), whole, "in pieces of {piece} bytes");
    }
    // In parts there are other records, and the same end.
    let in_parts = read(file, 3, 16);
    assert_eq!(in_parts.1, whole.1, "in parts");
}
