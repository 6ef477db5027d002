//! The law of the request parser: what a connection sees depends on its bytes, never on how reads split them.
//!
//! Included by the parser's unit tests and by the fuzz target, which bring the parser's names into scope.

use super::{Parse, RequestError, RequestLimits, RequestParser};

/// What a connection sees: requests in order, then perhaps an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Command(Vec<Vec<u8>>),
    Nothing,
    Error(RequestError),
}

/// A connection that receives bytes in pieces and notes what it can parse.
pub struct Connection {
    parser: RequestParser,
    limits: RequestLimits,
    unconsumed: Vec<u8>,
    pub events: Vec<Event>,
}

impl Connection {
    pub fn new(limits: RequestLimits) -> Self {
        let (parser, unconsumed, events) = Default::default();
        Connection { parser, limits, unconsumed, events }
    }

    pub fn receive(&mut self, piece: &[u8]) {
        self.unconsumed.extend_from_slice(piece);
        while !matches!(self.events.last(), Some(Event::Error(_))) {
            let Some(consumed) = self.parse_one() else {
                return;
            };
            assert!(consumed > 0, "a parser that consumes nothing never ends");
            self.unconsumed.drain(..consumed);
        }
    }

    fn parse_one(&mut self) -> Option<usize> {
        match self.parser.parse(&self.unconsumed, &self.limits) {
            Parse::Command { consumed } => {
                let args = self.parser.args().iter(&self.unconsumed);
                self.events.push(Event::Command(args.map(<[u8]>::to_vec).collect()));
                Some(consumed)
            }
            Parse::Nothing { consumed } => {
                self.events.push(Event::Nothing);
                Some(consumed)
            }
            Parse::Incomplete { need_at_least } => {
                assert!(need_at_least > self.unconsumed.len(), "a hint must ask for more");
                None
            }
            Parse::Error(error) => {
                self.events.push(Event::Error(error));
                None
            }
        }
    }
}

/// What a connection sees of `stream` when its reads end at `cuts` (ascending, within the stream).
pub fn events(stream: &[u8], limits: RequestLimits, cuts: impl IntoIterator<Item = usize>) -> Vec<Event> {
    let mut connection = Connection::new(limits);
    let mut start = 0;
    for end in cuts.into_iter().chain([stream.len()]) {
        connection.receive(&stream[start..end]);
        start = end;
    }
    connection.events
}

/// Checks the law for a fuzzer's input: one byte that chooses limits, one that chooses the reads, then the stream.
pub fn check(input: &[u8]) {
    let [choice, read_bytes, stream @ ..] = input else {
        return;
    };
    let limits = RequestLimits {
        max_bulk_bytes: 1 << (choice >> 4),
        max_request_bytes: 1 << (choice & 15),
        authenticated: choice & 1 == 0,
    };
    let read_bytes = usize::from(*read_bytes).max(1);
    let whole = events(stream, limits, []);
    let split = events(stream, limits, (read_bytes..stream.len()).step_by(read_bytes));
    assert_eq!(whole, split);
}
