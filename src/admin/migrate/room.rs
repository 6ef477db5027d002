//! The memory that keys on their way to other servers may take, of all migrations of a process together.
//!
//! - Small migrations share [`SHARED_BYTES`]; of the others one is under way at a time, and only where the memory guard holds.
//! - A migration gives its room back once the target has taken all of its keys, or it ends.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::memory::MemoryLimits;

/// What the small migrations take together, and what one of them may take.
const SHARED_BYTES: u64 = 16 << 20;
const SMALL_BYTES: u64 = 1 << 20;
/// The small ones are counted in units of so many bytes.
const UNIT_BYTES: u64 = 1 << 10;

/// See the module.
#[derive(Debug)]
pub struct MigrationRoom {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// Room for so many bytes, until it is dropped.
#[derive(Debug)]
pub struct Reserved {
    pub bytes: u64,
    _permit: OwnedSemaphorePermit,
}

impl Default for MigrationRoom {
    fn default() -> Self {
        let units = (SHARED_BYTES / UNIT_BYTES) as usize;
        MigrationRoom { small: Arc::new(Semaphore::new(units)), large: Arc::new(Semaphore::new(1)) }
    }
}

impl MigrationRoom {
    /// Waits for room for so many bytes. The error is for the client.
    pub async fn reserve(&self, bytes: u64, memory: &MemoryLimits) -> Result<Reserved, String> {
        let (semaphore, units) = match bytes <= SMALL_BYTES {
            true => (&self.small, bytes.div_ceil(UNIT_BYTES) as u32),
            false => (&self.large, 1),
        };
        let permit = semaphore.clone().acquire_many_owned(units).await.map_err(|error| error.to_string())?;
        // What leaves the node may leave it past maxmemory: that does not count here.
        let refusal = (bytes > SMALL_BYTES).then(|| memory.refusal_by_guard(bytes)).flatten();
        refusal.map_or(Ok(Reserved { bytes, _permit: permit }), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::memory::{MachineLimit, Usage};

    fn reserve(room: &MigrationRoom, bytes: u64, memory: &MemoryLimits) -> Option<Result<Reserved, String>> {
        match pin!(room.reserve(bytes, memory)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reserved) => Some(reserved),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_large_migration_at_a_time_and_small_ones_beside_it() {
        let (room, memory) = (MigrationRoom::default(), MemoryLimits::none());
        let large =
            reserve(&room, SMALL_BYTES + 1, &memory).expect("there is room").expect("there is memory");
        assert_eq!(large.bytes, SMALL_BYTES + 1);
        assert!(reserve(&room, SMALL_BYTES + 1, &memory).is_none());
        let small: Vec<_> = std::iter::from_fn(|| reserve(&room, SMALL_BYTES, &memory)).collect();
        assert_eq!(small.len() as u64, SHARED_BYTES / SMALL_BYTES);
        assert!(small.iter().all(Result::is_ok));
        drop((large, small));
        assert!(reserve(&room, u64::MAX, &memory).is_some_and(|reserved| reserved.is_ok()));
        assert!(reserve(&room, 0, &memory).is_some_and(|reserved| reserved.is_ok()));
    }

    #[test]
    fn what_the_memory_guard_does_not_hold_is_refused_unless_it_is_small() {
        let machine = MachineLimit { bytes: 100 << 20, name: "a small machine", counts_addresses: false };
        let memory = MemoryLimits::new([machine], || Usage { pages: 80 << 20, ..Usage::default() });
        let room = MigrationRoom::default();
        assert!(reserve(&room, 4 << 20, &memory).is_some_and(|reserved| reserved.is_ok()));
        let refused = reserve(&room, 6 << 20, &memory).and_then(Result::err).unwrap_or_default();
        assert!(refused.starts_with("OOM command not allowed: it could pass memory_guard"), "{refused}");
        assert!(reserve(&room, SMALL_BYTES, &memory).is_some_and(|reserved| reserved.is_ok()));
        assert!(
            reserve(&room, 4 << 20, &memory).is_some_and(|reserved| reserved.is_ok()),
            "a refusal keeps no room"
        );
    }
}
