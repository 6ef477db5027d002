//! How bytes come from a client's socket into the buffer of what is read and not yet consumed.

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::worker::{SCRATCH_BYTES, Worker};

/// Memory made ready for bytes that were announced and have not come.
const MAX_UNSEEN_BYTES: usize = 16 << 20;

/// Makes room for an unfinished request of which `wanted` bytes are announced: all of them, or as many again as have come.
pub fn reserve_ahead(input: &mut Vec<u8>, wanted: usize) {
    let ahead = wanted.saturating_sub(input.len()).min(input.len().max(MAX_UNSEEN_BYTES));
    if ahead > SCRATCH_BYTES {
        input.reserve_exact(ahead);
    }
}

/// What came of reading.
pub enum Read {
    Some,
    End,
    Broken,
}

/// Reads once. What was read is appended to `input`.
pub async fn read_some(worker: &Worker, reader: &mut OwnedReadHalf, input: &mut Vec<u8>) -> Read {
    let read = std::future::poll_fn(|context| {
        let mut scratch = worker.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        let reader = std::pin::Pin::new(&mut *reader);
        reader.poll_read(context, &mut buffer).map(|result| {
            input.extend_from_slice(buffer.filled());
            match result {
                Ok(()) if buffer.filled().is_empty() => Read::End,
                Ok(()) => Read::Some,
                Err(_) => Read::Broken,
            }
        })
    });
    read.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_for_what_is_announced_but_never_much_more_than_has_come() {
        let mut input = vec![0; 100];
        reserve_ahead(&mut input, 1 << 20);
        assert!((1 << 20..2 << 20).contains(&input.capacity()));
        reserve_ahead(&mut input, usize::MAX);
        assert!(input.capacity() < 2 * MAX_UNSEEN_BYTES);
        input.resize(2 * MAX_UNSEEN_BYTES, 0);
        reserve_ahead(&mut input, 512 << 20);
        assert!((4 * MAX_UNSEEN_BYTES..5 * MAX_UNSEEN_BYTES).contains(&input.capacity()));
    }
}
