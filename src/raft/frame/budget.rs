//! What raft messages would take in memory, found out before they are decoded.
//!
//! An empty entry is two bytes on the wire and a hundred in memory; a voter in a snapshot is one and eight. So entries and messages
//! of a frame are counted, and all that is not the data of an entry is measured, with the protobuf fields skipped one by one and
//! nothing allocated.

use super::FrameError;
use super::messages::{DATA_FIELD, ENTRIES_FIELD};

/// More messages than this no node puts in one frame.
pub const MAX_FRAME_MESSAGES: usize = 4096;
/// More entries than this no node puts in one frame.
pub const MAX_FRAME_ENTRIES: usize = 128 << 10;
/// Bytes of a frame's messages that are no entries: numbers, contexts, the members in a snapshot.
const MAX_HEAD_BYTES: usize = 256 << 10;
/// Bytes of one entry beside its data: kind, term, index, their tags and lengths.
const MAX_ENTRY_HEAD_BYTES: usize = 64;

/// What a frame has used up.
#[derive(Debug, Default)]
pub(super) struct Budget {
    messages: usize,
    entries: usize,
    head_bytes: usize,
}

impl Budget {
    /// Counts an encoded message.
    pub(super) fn spend(&mut self, message: &[u8]) -> Result<(), FrameError> {
        self.messages += 1;
        let mut fields = Fields { rest: message };
        while let Some(Field { number, bytes, content }) = fields.next()? {
            if number == ENTRIES_FIELD {
                self.entries += 1;
                check_entry(content)?;
            } else {
                self.head_bytes += bytes;
            }
        }
        let is_within = self.messages <= MAX_FRAME_MESSAGES
            && self.entries <= MAX_FRAME_ENTRIES
            && self.head_bytes <= MAX_HEAD_BYTES;
        if is_within { Ok(()) } else { Err(FrameError::OverBudget) }
    }
}

fn check_entry(entry: &[u8]) -> Result<(), FrameError> {
    let mut fields = Fields { rest: entry };
    let mut head_bytes = 0;
    while let Some(Field { number, bytes, content }) = fields.next()? {
        head_bytes += if number == DATA_FIELD { bytes - content.len() } else { bytes };
    }
    if head_bytes <= MAX_ENTRY_HEAD_BYTES { Ok(()) } else { Err(FrameError::OverBudget) }
}

/// The protobuf fields of a message.
struct Fields<'a> {
    rest: &'a [u8],
}

struct Field<'a> {
    number: u32,
    /// Of key, length and content.
    bytes: usize,
    /// Empty for a number.
    content: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<Field<'a>>, FrameError> {
        let before = self.rest.len();
        if before == 0 {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| FrameError::OverBudget)?;
        let content: &[u8] = match key & 7 {
            0 => {
                self.varint()?;
                &[]
            }
            1 => self.skip(8)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| FrameError::OverBudget)?;
                self.skip(length)?
            }
            5 => self.skip(4)?,
            _ => return Err(FrameError::OverBudget),
        };
        Ok(Some(Field { number, bytes: before - self.rest.len(), content }))
    }

    fn skip(&mut self, count: usize) -> Result<&'a [u8], FrameError> {
        let (skipped, rest) = self.rest.split_at_checked(count).ok_or(FrameError::OverBudget)?;
        self.rest = rest;
        Ok(skipped)
    }

    fn varint(&mut self) -> Result<u64, FrameError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(FrameError::OverBudget)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FrameError::OverBudget)
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use prost::Message as _;
    use raft::eraftpb::{Entry, Message, Snapshot};

    use super::super::{Frame, KIND_RAFT};
    use super::*;

    /// A raft frame with this message, as a reader gets it.
    fn decode(message: &[u8]) -> Result<Option<Frame>, FrameError> {
        let mut frame = BytesMut::new();
        frame.put_u32_le((1 + 9 + 4 + message.len()) as u32);
        frame.put_u8(KIND_RAFT);
        frame.put_slice(&[0; 9]);
        frame.put_u32_le(message.len() as u32);
        frame.put_slice(message);
        Frame::decode(&mut frame)
    }

    #[test]
    fn millions_of_empty_entries_in_one_frame_are_refused_before_they_are_decoded() {
        let entry = [(ENTRIES_FIELD << 3 | 2) as u8, 0];
        let within = decode(&entry.repeat(MAX_FRAME_ENTRIES));
        let Ok(Some(Frame::Raft(frame))) = within else { panic!("{within:?}") };
        assert_eq!(frame.messages[0].entries.len(), MAX_FRAME_ENTRIES);
        assert!(frame.weight(0) < 32 << 20, "{} bytes", frame.weight(0));
        for count in [MAX_FRAME_ENTRIES + 1, 4 << 20] {
            let refused = decode(&entry.repeat(count));
            assert!(matches!(refused, Err(FrameError::OverBudget)), "{count} entries");
        }
    }

    #[test]
    fn what_grows_beside_the_data_of_entries_is_refused() {
        let mut snapshot = Snapshot::default();
        snapshot.mut_metadata().mut_conf_state().voters = vec![1; 1 << 20];
        let mut members = Message::default();
        members.set_snapshot(snapshot);
        let context = Message { context: vec![0; 1 << 20], ..Message::default() };
        let entry = Entry { context: vec![0; 1 << 10], ..Entry::default() };
        let mut entries = Message::default();
        entries.set_entries(vec![entry]);
        for message in [members, context, entries] {
            let refused = decode(&message.encode_to_vec());
            assert!(matches!(refused, Err(FrameError::OverBudget)));
        }
    }

    #[test]
    fn the_budget_has_room_for_what_nodes_send() -> Result<(), FrameError> {
        let entry = |index| Entry { term: 1 << 40, index, data: vec![7; 20].into(), ..Entry::default() };
        let mut message = Message { term: u64::MAX, commit: u64::MAX, ..Message::default() };
        message.set_entries((u64::MAX - 40_000..u64::MAX).map(entry).collect());
        assert!(decode(&message.encode_to_vec())?.is_some());
        Ok(())
    }
}
