//! Up to 64 records side by side in one allocation that clones share.
//!
//! - The buffer opens with 64 u16, where each slot's record ends behind them; a record starts where the one before
//!   it ends. An unused slot is an empty record at the end, so there is nothing to count.
//! - A record longer than `INLINE_MAX` lies in an allocation of its own; its slot is empty and has the flag `LARGE`.
//!   So a block's buffer stays below 17 KiB, ends fit in 15 bits, and a change moves few bytes.
//! - A change to a shared block copies the buffer; one that concerns large records copies those of up to
//!   `OWN_MAX` bytes, too, and shares the others. So a block copies 150 KiB at worst.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::shared::{COUNTS_BYTES, SharedBytes};

/// Slots of a block.
pub(super) const BLOCK_LEN: usize = 64;
/// Longest record that lies in the block itself, in bytes.
const INLINE_MAX: usize = 256;
/// Longest record that is copied rather than shared: to share one costs 32 bytes, which must not weigh.
const OWN_MAX: usize = 2048;
const ENDS_BYTES: usize = 2 * BLOCK_LEN;
const LARGE: u16 = 1 << 15;

#[derive(Clone)]
pub(super) struct Block {
    buffer: SharedBytes,
    large: Option<Arc<LargeRecords>>,
}

/// Empty where a slot has none.
#[derive(Clone, Default)]
struct LargeRecords {
    by_slot: Vec<LargeRecord>,
    bytes: usize,
}

#[derive(Clone)]
pub(super) enum LargeRecord {
    Own(Box<[u8]>),
    Shared(Arc<Box<[u8]>>),
}

/// A record on its way from one slot to another.
pub(super) enum Taken {
    Inline(SmallVec<[u8; 64]>),
    Large(LargeRecord),
}

impl std::ops::Deref for Taken {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Taken::Inline(record) => record,
            Taken::Large(record) => record,
        }
    }
}

impl Default for LargeRecord {
    fn default() -> Self {
        LargeRecord::Own(Box::default())
    }
}

impl From<Vec<u8>> for LargeRecord {
    fn from(record: Vec<u8>) -> Self {
        let record = record.into_boxed_slice();
        if record.len() > OWN_MAX { LargeRecord::Shared(Arc::new(record)) } else { LargeRecord::Own(record) }
    }
}

impl std::ops::Deref for LargeRecord {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            LargeRecord::Own(record) => record,
            LargeRecord::Shared(record) => record,
        }
    }
}

impl Block {
    pub(super) fn new() -> Self {
        Self { buffer: SharedBytes::with_room_for(ENDS_BYTES), large: None }
    }

    /// The record in `slot`; empty if the slot is unused.
    pub(super) fn get(&self, slot: usize) -> &[u8] {
        if raw_end(&self.buffer, slot) & LARGE == 0 {
            return &self.buffer[self.start(slot)..self.end(slot)];
        }
        self.large
            .as_ref()
            .and_then(|large| large.by_slot.get(slot))
            .expect("a flagged slot has a large record")
    }

    /// Makes the concatenation of `parts` the record in `slot`.
    pub(super) fn set(&mut self, slot: usize, parts: &[&[u8]]) {
        let len = parts.iter().map(|part| part.len()).sum();
        if len > INLINE_MAX {
            return self.set_large(slot, parts.concat().into());
        }
        self.take_large(slot);
        let mut at = self.start(slot);
        let bytes = self.resize_slot(slot, len);
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }

    /// Moves the record out of `slot`, which is empty afterwards.
    pub(super) fn take(&mut self, slot: usize) -> Taken {
        if let Some(record) = self.take_large(slot) {
            return Taken::Large(record);
        }
        let record = SmallVec::from_slice(self.get(slot));
        self.resize_slot(slot, 0);
        Taken::Inline(record)
    }

    /// Makes `record` the record in `slot`.
    pub(super) fn put(&mut self, slot: usize, record: Taken) {
        match record {
            Taken::Inline(record) => self.set(slot, &[&record]),
            Taken::Large(record) => self.set_large(slot, record),
        }
    }

    /// Bytes allocated on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| {
            let slots = large.by_slot.len() * size_of::<LargeRecord>();
            COUNTS_BYTES + size_of::<LargeRecords>() + slots + large.bytes
        });
        self.buffer.heap_bytes() + large
    }

    fn set_large(&mut self, slot: usize, record: LargeRecord) {
        self.take_large(slot);
        let bytes = self.resize_slot(slot, 0);
        set_raw_end(bytes, slot, raw_end(bytes, slot) | LARGE);
        let large = Arc::make_mut(self.large.get_or_insert_default());
        if large.by_slot.len() <= slot {
            large.by_slot.reserve_exact(slot + 1 - large.by_slot.len());
            large.by_slot.resize_with(slot + 1, LargeRecord::default);
        }
        large.bytes += record.len();
        large.by_slot[slot] = record;
    }

    fn take_large(&mut self, slot: usize) -> Option<LargeRecord> {
        let end = raw_end(&self.buffer, slot);
        if end & LARGE == 0 {
            return None;
        }
        set_raw_end(self.buffer.bytes_mut(), slot, end & !LARGE);
        let large = Arc::make_mut(self.large.as_mut()?);
        let record = std::mem::take(large.by_slot.get_mut(slot)?);
        large.bytes -= record.len();
        if large.bytes == 0 {
            self.large = None;
        }
        Some(record)
    }

    /// Makes room for `len` bytes in `slot`, whose start stays where it is.
    fn resize_slot(&mut self, slot: usize, len: usize) -> &mut [u8] {
        let start = self.start(slot);
        let old = self.end(slot) - start;
        if old == len {
            return self.buffer.bytes_mut();
        }
        let used = self.end(BLOCK_LEN - 1);
        let bytes = self.buffer.splice(used, start, old, len);
        // Wrapping: ends stay within 15 bits, so a negative difference never reaches the flag.
        let difference = (len as u16).wrapping_sub(old as u16);
        for end in bytes[2 * slot..ENDS_BYTES].chunks_exact_mut(2) {
            let moved = u16::from_le_bytes([end[0], end[1]]).wrapping_add(difference);
            end.copy_from_slice(&moved.to_le_bytes());
        }
        bytes
    }

    fn start(&self, slot: usize) -> usize {
        match slot {
            0 => ENDS_BYTES,
            _ => self.end(slot - 1),
        }
    }

    fn end(&self, slot: usize) -> usize {
        ENDS_BYTES + (raw_end(&self.buffer, slot) & !LARGE) as usize
    }
}

fn raw_end(bytes: &[u8], slot: usize) -> u16 {
    u16::from_le_bytes([bytes[2 * slot], bytes[2 * slot + 1]])
}

fn set_raw_end(bytes: &mut [u8], slot: usize, end: u16) {
    bytes[2 * slot..2 * slot + 2].copy_from_slice(&end.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_block_full_of_the_longest_inline_records_keeps_them_apart() {
        let mut block = Block::new();
        for slot in 0..BLOCK_LEN {
            block.set(slot, &[&[slot as u8; INLINE_MAX]]);
        }
        block.set(0, &[b"short"]);
        block.set(1, &[&[9; INLINE_MAX + 1]]);
        assert_eq!(block.get(0), b"short");
        assert_eq!(block.get(1), [9; INLINE_MAX + 1]);
        for slot in 2..BLOCK_LEN {
            assert_eq!(block.get(slot), [slot as u8; INLINE_MAX]);
        }
    }

    #[test]
    fn a_large_record_is_two_words() {
        assert_eq!(size_of::<LargeRecord>(), 2 * size_of::<usize>());
    }

    proptest! {
        #[test]
        fn behaves_like_an_array_of_strings_and_so_do_its_clones(
            ops in prop::collection::vec((0..BLOCK_LEN, 0..BLOCK_LEN, 0..600usize, any::<u8>()), 0..120),
        ) {
            let mut block = Block::new();
            let mut model = vec![Vec::new(); BLOCK_LEN];
            let mut clones = Vec::new();
            for (slot, from, len, byte) in ops {
                if len % 3 == 0 {
                    let record = block.take(from);
                    prop_assert_eq!(&record[..], &model[from][..]);
                    block.put(slot, record);
                    model[slot] = std::mem::take(&mut model[from]);
                } else {
                    // Some beyond what is copied with a block.
                    let len = if len % 100 == 1 { len + OWN_MAX } else { len };
                    block.set(slot, &[&[byte], &vec![byte; len]]);
                    model[slot] = vec![byte; len + 1];
                }
                if from % 8 == 0 {
                    clones.push((block.clone(), model.clone()));
                }
                for (slot, record) in model.iter().enumerate() {
                    prop_assert_eq!(block.get(slot), &record[..]);
                }
            }
            for slot in 0..BLOCK_LEN {
                block.set(slot, &[]);
            }
            prop_assert!(block.heap_bytes() < 3 * ENDS_BYTES);
            for (block, model) in clones {
                for (slot, record) in model.iter().enumerate() {
                    prop_assert_eq!(block.get(slot), &record[..]);
                }
            }
        }
    }
}
