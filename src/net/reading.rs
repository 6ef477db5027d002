//! How bytes come from a client's socket into the buffer of what is read and not yet consumed.
//!
//! - The buffer of an unfinished request grows only when it is full, by doubling, and no further than to what is announced.
//! - What buffers of more than [`SMALL_BYTES`] take is counted for all connections together ([`InputRoom`]). A small share of the memory
//!   guard is always theirs, so that a command that frees memory can be sent; beyond that they grow only where the guard holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::worker::{SCRATCH_BYTES, Worker};
use crate::memory::{InputRoom, MemoryLimits};

/// Memory made ready at first for bytes that were announced; it is not counted.
const SMALL_BYTES: usize = 1 << 20;
/// The share of the memory guard that unfinished requests may take whatever else is in memory.
const OWN_SHARE: u64 = 16;

/// A connection's part of that.
#[derive(Debug)]
pub struct InputClaim {
    room: Arc<InputRoom>,
    bytes: u64,
}

impl InputClaim {
    pub fn new(room: Arc<InputRoom>) -> InputClaim {
        InputClaim { room, bytes: 0 }
    }

    /// Makes room for the next bytes of an unfinished request of which `wanted` bytes are announced. The error is for the client.
    pub fn reserve(
        &mut self,
        input: &mut Vec<u8>,
        wanted: usize,
        memory: &MemoryLimits,
    ) -> Result<(), String> {
        let Some(capacity) = next_capacity(input.len(), input.capacity(), wanted) else { return Ok(()) };
        if capacity > SMALL_BYTES {
            self.resize(capacity as u64, memory)?;
        }
        input.reserve_exact(capacity - input.len());
        Ok(())
    }

    fn resize(&mut self, bytes: u64, memory: &MemoryLimits) -> Result<(), String> {
        let others = self.room.0.load(Ordering::Relaxed).saturating_sub(self.bytes);
        let all = others.saturating_add(bytes);
        let own = memory.guard().map_or(u64::MAX, |guard| guard.bytes() / OWN_SHARE);
        // Some of what the others have is in use and measured as well; none of it is left out.
        if all > own
            && let Some(refusal) = memory.refusal_by_guard(all)
        {
            return Err(refusal);
        }
        self.set(bytes);
        Ok(())
    }

    /// The buffer holds the beginning of a request at most: gives back what it has beyond that.
    pub fn release(&mut self, input: &mut Vec<u8>) {
        if input.is_empty() {
            input.shrink_to(0);
        } else if input.capacity() > SMALL_BYTES.max(4 * input.len()) {
            input.shrink_to(input.len() + SCRATCH_BYTES);
        }
        let bytes = if input.capacity() > SMALL_BYTES { input.capacity() as u64 } else { 0 };
        self.set(bytes.min(self.bytes));
    }

    fn set(&mut self, bytes: u64) {
        self.room.0.fetch_add(bytes, Ordering::Relaxed);
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for InputClaim {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The capacity that a buffer gets before the next read; none where it has room.
fn next_capacity(len: usize, capacity: usize, wanted: usize) -> Option<usize> {
    let is_short = len < SMALL_BYTES && wanted.saturating_sub(len) <= SCRATCH_BYTES;
    if is_short || capacity - len >= SCRATCH_BYTES {
        return None;
    }
    let all = wanted.max(len).saturating_add(SCRATCH_BYTES);
    Some(all.min(capacity.saturating_mul(2).max(SMALL_BYTES)).max(len + SCRATCH_BYTES))
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
    use crate::memory::{MachineLimit, Usage};

    const LONG: usize = 450_000_010;

    fn claim() -> InputClaim {
        InputClaim::new(Arc::default())
    }

    /// A request that is read bit by bit; returns the capacities that its buffer had.
    fn read_all(claim: &mut InputClaim, wanted: usize, memory: &MemoryLimits) -> Result<Vec<usize>, String> {
        let (mut input, mut capacities) = (vec![0; 100], Vec::new());
        while input.len() < wanted {
            claim.reserve(&mut input, wanted, memory)?;
            if capacities.last() != Some(&input.capacity()) {
                capacities.push(input.capacity());
            }
            input.resize(wanted.min(input.len() + SCRATCH_BYTES), 0);
        }
        Ok(capacities)
    }

    #[test]
    fn a_half_sent_request_takes_twice_its_bytes_at_most() {
        let mut input = vec![0; 100];
        let mut claim = claim();
        claim.reserve(&mut input, LONG, &MemoryLimits::none()).expect("there is room");
        assert!(input.capacity() <= SMALL_BYTES);
        input.resize(input.capacity(), 0);
        claim.reserve(&mut input, LONG, &MemoryLimits::none()).expect("there is room");
        assert!(input.capacity() <= 2 * SMALL_BYTES + SCRATCH_BYTES);
    }

    #[test]
    fn a_long_request_is_moved_a_few_times_and_no_further_than_to_its_end() {
        let mut claim = claim();
        let wanted = 40 << 20;
        let capacities = read_all(&mut claim, wanted, &MemoryLimits::none()).expect("there is room");
        assert!(capacities.len() <= 7, "{capacities:?}");
        assert_eq!(capacities.last(), Some(&(wanted + SCRATCH_BYTES)));
        assert_eq!(claim.room.0.load(Ordering::Relaxed), claim.bytes);
        let mut input = Vec::with_capacity(wanted);
        input.push(0);
        claim.release(&mut input);
        assert!(input.capacity() <= SMALL_BYTES);
        assert_eq!(claim.room.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn unfinished_requests_of_all_connections_share_the_memory_guard() {
        let machine = MachineLimit { bytes: 1 << 30, name: "a small machine", counts_addresses: false };
        let full = MemoryLimits::new([machine], || Usage { pages: 1 << 30, ..Usage::default() });
        let room = Arc::<InputRoom>::default();
        let mut claims: Vec<_> = (0..3).map(|_| InputClaim::new(room.clone())).collect();
        let read = |claim: &mut InputClaim| read_all(claim, 25 << 20, &full);
        assert!(read(&mut claims[0]).is_ok() && read(&mut claims[1]).is_ok(), "a sixteenth is always theirs");
        let refused = read(&mut claims[2]).unwrap_err();
        assert!(refused.starts_with("OOM command not allowed: it could pass memory_guard"), "{refused}");
        claims.remove(0);
        assert!(read(&mut claims[1]).is_ok(), "what an ended connection had is free");
        drop(claims);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }
}
