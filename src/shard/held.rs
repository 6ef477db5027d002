//! Answers of reads that may have run after their lease was over.
//!
//! A turn takes its time once, when it begins, and its thread may stall at any place after that. So the clock is looked at again after
//! reads under a lease have run, and before their answers leave. If the lease is over by then, the answers are held:
//!
//! - They leave once the lease holds again in the same leadership, or once a round of confirmation has ended that began after the reads.
//!   In both cases a majority has acknowledged this leader after the reads, so no other leader existed before them. The round
//!   needs no lease: where each way to the others is longer than a lease, none ever holds.
//! - If the leadership ends first, each read is answered with an error at its place; what is no read keeps its answer.
//! - Nothing that comes after them is run meanwhile, so each connection's order is kept.
//!
//! Reads that ride in a logged entry need no lease: they are answered at the entry's place in the log, which lies after their arrival.

use std::ops::Range;

use crate::propose::reply::{ReplyBatch, Span};

/// What a plan without log entries has answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// Of each worker.
    pub replies: Vec<ReplyBatch>,
    /// Where reads are answered: the worker, and the bytes in its batch; in rising order for each.
    pub reads: Vec<(usize, Range<usize>)>,
}

impl Answers {
    /// The same with an error in the place of each read's answer.
    pub fn refused(self, error: &str) -> Vec<ReplyBatch> {
        let Answers { replies, reads } = self;
        let encoded = format!("-{error}\r\n");
        let refuse = |(worker, batch): (usize, ReplyBatch)| {
            let own = reads.iter().filter(|(of, _)| *of == worker).map(|(_, range)| range.clone());
            refuse_in(batch, own, encoded.as_bytes())
        };
        replies.into_iter().enumerate().map(refuse).collect()
    }
}

fn refuse_in(batch: ReplyBatch, reads: impl Iterator<Item = Range<usize>>, error: &[u8]) -> ReplyBatch {
    let mut reads = reads.peekable();
    let mut refused = ReplyBatch::default();
    refused.applied = batch.applied;
    let mut at = 0;
    for Span { connection, bytes, answers, is_cut, may_close, push } in batch.spans {
        let (start, end) = (refused.bytes.len(), at + bytes);
        while let Some(read) = reads.next_if(|read| read.end <= end) {
            refused.bytes.extend_from_slice(&batch.bytes[at..read.start]);
            refused.bytes.extend_from_slice(error);
            at = read.end;
        }
        refused.bytes.extend_from_slice(&batch.bytes[at..end]);
        at = end;
        let bytes = refused.bytes.len() - start;
        refused.spans.push(Span { connection, bytes, answers, is_cut, may_close, push });
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::reply::ConnectionId;
    use crate::protocol::reply::Resp;

    #[test]
    fn refused_reads_are_errors_at_their_place_and_the_rest_stays() {
        let connection = |index| ConnectionId { index, generation: index };
        let mut batch = ReplyBatch::default();
        batch.applied = 7;
        let mut reads = Vec::new();
        for (of, text, is_read) in
            [(1, "+PONG\r\n", false), (1, "$1\r\na\r\n", true), (2, ":1\r\n", true), (2, "+OK\r\n", false)]
        {
            let start = batch.bytes.len();
            batch.answer(connection(of), Resp::V2, usize::MAX, |reply| reply.raw(text.as_bytes()));
            if is_read {
                reads.push((1, start..batch.bytes.len()));
            }
        }
        let answers = Answers { replies: vec![ReplyBatch::default(), batch], reads };
        let refused = answers.refused("NO");
        assert!(refused[0].is_empty());
        assert_eq!(refused[1].bytes, b"+PONG\r\n-NO\r\n-NO\r\n+OK\r\n");
        let spans: Vec<_> =
            refused[1].spans.iter().map(|s| (s.connection.index, s.bytes, s.answers)).collect();
        assert_eq!((spans, refused[1].applied), (vec![(1, 12, 2), (2, 10, 2)], 7));
    }
}
