//! Stories of the request parser, and the law that it can't see how its bytes were split.

use proptest::prelude::*;

use super::*;

#[path = "../../../tests/fuzz/request_law.rs"]
mod law;

use law::{Connection, Event};

fn events_of(bytes: &[u8]) -> Vec<Event> {
    law::events(bytes, RequestLimits::default(), [])
}

fn command(args: &[&str]) -> Event {
    Event::Command(args.iter().map(|arg| arg.as_bytes().to_vec()).collect())
}

fn error_of(bytes: &[u8]) -> String {
    match events_of(bytes).pop() {
        Some(Event::Error(error)) => error.to_string(),
        other => panic!("expected an error, got {other:?}"),
    }
}

fn unauthenticated() -> RequestLimits {
    RequestLimits { authenticated: false, ..RequestLimits::default() }
}

fn wire(args: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[test]
fn a_pipeline_is_parsed_one_command_at_a_time() {
    let events =
        events_of(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\nPING\r\n*0\r\n\r\n*1\r\n$4\r\nQUIT\r\n*2\r\n$3");
    assert_eq!(
        events,
        [command(&["SET", "k", ""]), command(&["PING"]), Event::Nothing, Event::Nothing, command(&["QUIT"])]
    );
}

#[test]
fn a_negative_count_is_an_empty_request() {
    assert_eq!(events_of(b"*-1\r\n*-9223372036854775808\r\n"), [Event::Nothing, Event::Nothing]);
}

#[test]
fn inline_words_follow_the_rules_of_quoting() {
    let cases: [(&str, &[&str]); 9] = [
        ("  set  key\tvalue \r", &["set", "key", "value"]),
        (r#"set "a b" 'c d'"#, &["set", "a b", "c d"]),
        (r#"echo "\x41\n\"\\\q\xZZ""#, &["echo", "A\n\"\\qxZZ"]),
        (r#"echo 'it\'s' 'a\nb'"#, &["echo", "it's", r"a\nb"]),
        (r#"echo foo"bar" """#, &["echo", "foobar", ""]),
        ("echo ''", &["echo", ""]),
        (r"echo a\nb", &["echo", r"a\nb"]),
        ("\u{b}\u{c}echo a\u{b}b", &["echo", "a\u{b}b"]),
        ("echo \"\\a\\b\\t\\r\"", &["echo", "\u{7}\u{8}\t\r"]),
    ];
    for (line, words) in cases {
        let line = format!("{line}\n");
        assert_eq!(events_of(line.as_bytes()), [command(words)], "{line}");
    }
}

#[test]
fn unbalanced_quotes_are_refused() {
    for line in ["set \"a", "set 'a", "set \"a\"b", "set 'a'b", r#"set "a\"#, r#"set "a\""#] {
        let line = format!("{line}\r\n");
        assert_eq!(error_of(line.as_bytes()), "Protocol error: unbalanced quotes in request", "{line}");
    }
}

#[test]
fn errors_are_worded_as_in_redis() {
    let long = |start: &str| [start.as_bytes(), &[b'1'; MAX_LINE_BYTES + 1]].concat();
    let cases: [(Vec<u8>, &str); 13] = [
        (b"*x\r\n".to_vec(), "invalid multibulk length"),
        (b"*\r\n".to_vec(), "invalid multibulk length"),
        (b"*2147483648\r\n".to_vec(), "invalid multibulk length"),
        (b"*99999999999999999999\r\n".to_vec(), "invalid multibulk length"),
        (b"*01\r\n".to_vec(), "invalid multibulk length"),
        (b"*1\r\n$-1\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$+1\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$536870913\r\n".to_vec(), "invalid bulk length"),
        (b"*2\r\n$1\r\na\r\nfoo\r\n".to_vec(), "expected '$', got 'f'"),
        (b"*1\r\n\0".to_vec(), r"expected '$', got '\x00'"),
        (long("*"), "too big mbulk count string"),
        (long("*1\r\n$"), "too big bulk count string"),
        (long("PING"), "too big inline request"),
    ];
    for (bytes, text) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert_eq!(error_of(&bytes), format!("Protocol error: {text}"), "{shown}");
    }
}

#[test]
fn a_line_may_be_exactly_as_long_as_the_limit() {
    let mut line = vec![b'a'; MAX_LINE_BYTES];
    line.push(b'\n');
    assert_eq!(events_of(&line), [Event::Command(vec![vec![b'a'; MAX_LINE_BYTES]])]);
}

#[test]
fn who_has_not_authenticated_gets_little() {
    let cases: [(&[u8], RequestError); 4] = [
        (b"*11\r\n", RequestError::UnauthenticatedArgCount),
        (b"*2147483648\r\n", RequestError::InvalidArgCount),
        (b"*1\r\n$16385\r\n", RequestError::UnauthenticatedBulkLength),
        (b"*1\r\n$536870913\r\n", RequestError::InvalidBulkLength),
    ];
    for (bytes, error) in cases {
        let mut connection = Connection::new(unauthenticated());
        connection.receive(bytes);
        assert_eq!(connection.events, [Event::Error(error)]);
    }
    let mut connection = Connection::new(unauthenticated());
    connection.receive(b"*10\r\n$16384\r\n");
    assert_eq!(connection.events, []);
}

#[test]
fn a_request_above_the_query_buffer_limit_is_refused_as_soon_as_it_is_promised() {
    let limits = RequestLimits { max_request_bytes: 100, ..RequestLimits::default() };
    let mut connection = Connection::new(limits);
    connection.receive(b"*2\r\n$40\r\n");
    connection.receive(&[b'x'; 42]);
    assert_eq!(connection.events, []);
    connection.receive(b"$43\r\n");
    assert_eq!(connection.events, [Event::Error(RequestError::RequestTooBig)]);
}

#[test]
fn a_promised_length_is_hinted_and_not_allocated() {
    let mut parser = RequestParser::new();
    let buf = b"*1048576\r\n$536870912\r\n";
    let parse = parser.parse(buf, &RequestLimits::default());
    assert_eq!(parse, Parse::Incomplete { need_at_least: buf.len() + 536_870_912 + 2 });
    assert_eq!(parser.args.ranges.capacity(), 8);
}

#[test]
fn capacity_of_a_huge_request_is_given_back() {
    let mut parser = RequestParser::new();
    let huge = wire(&vec![b"x".to_vec(); 5000]);
    assert_eq!(parser.parse(&huge, &RequestLimits::default()), Parse::Command { consumed: huge.len() });
    let long_line = [vec![b'y'; 60_000], b"\n".to_vec()].concat();
    parser.parse(&long_line, &RequestLimits::default());
    assert_eq!(parser.args.ranges.capacity(), 8);
    parser.parse(b"*1\r\n$1\r\nx\r\n", &RequestLimits::default());
    assert!(parser.args.decoded.capacity() <= KEPT_INLINE_BYTES);
}

#[test]
fn a_large_request_in_small_pieces_takes_linear_time() {
    let mut parser = RequestParser::new();
    let args = vec![b"0123456789".to_vec(); 200_000];
    let bytes = wire(&args);
    let outcomes: Vec<Parse> = (0..bytes.len())
        .step_by(100)
        .chain([bytes.len()])
        .map(|received| parser.parse(&bytes[..received], &RequestLimits::default()))
        .collect();
    assert_eq!(outcomes.last(), Some(&Parse::Command { consumed: bytes.len() }));
    assert_eq!(parser.args().len(), args.len());
}

#[test]
fn the_fuzzers_corpus_obeys_the_law() {
    perdura_testkit::corpus::each("request", law::check);
}

fn arb_arg() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => proptest::collection::vec(any::<u8>(), 90..1100),
    ]
}

/// Bytes that look like requests often enough to reach every corner.
fn arb_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::collection::vec(arb_arg(), 0..12).prop_map(|args| wire(&args)),
        2 => "[ a-c'\"\\\\x0-9]{0,12}\r?\n".prop_map(String::into_bytes),
        1 => "[*$]-?[0-9]{0,12}\r\n".prop_map(String::into_bytes),
        1 => "[*$\r\n0-9a ]{0,6}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read(commands in proptest::collection::vec(proptest::collection::vec(arb_arg(), 1..12), 0..6)) {
        let bytes: Vec<u8> = commands.iter().flat_map(|args| wire(args)).collect();
        let expected: Vec<Event> = commands.into_iter().map(Event::Command).collect();
        prop_assert_eq!(events_of(&bytes), expected);
    }

    #[test]
    fn splits_change_nothing(
        stream in arb_stream(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        authenticated: bool,
    ) {
        let limits = RequestLimits { authenticated, max_request_bytes: 3000, ..RequestLimits::default() };
        let whole = law::events(&stream, limits, []);
        prop_assert_eq!(&law::events(&stream, limits, 1..stream.len()), &whole);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(&law::events(&stream, limits, cuts), &whole);
    }

    #[test]
    fn any_word_survives_quoting(words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..5)) {
        let quoted: Vec<String> = words
            .iter()
            .map(|word| word.iter().map(|byte| format!("\\x{byte:02X}")).collect())
            .map(|hex: String| format!("\"{hex}\""))
            .collect();
        let line = quoted.join(" ") + "\n";
        prop_assert_eq!(events_of(line.as_bytes()), [Event::Command(words)]);
    }
}
