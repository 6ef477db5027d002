//! Raft messages as bytes; `frame.rs` has the grammar.
//!
//! - An entry with long data is written as protobuf allows: its data last, so that the bytes can be shared.
//! - A long message is decoded in place: its entries' data are slices of the bytes that arrived.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use raft::eraftpb::{Entry, Message, MessageType};

use super::budget::Budget;
use super::{FrameError, KIND_RAFT, LENGTH_BYTES, RaftFrame, short};
use crate::raft::byte_chain::{ByteChain, SHARED_BYTES};
use crate::raft::lease::{Echo, Stamp};

pub(super) const HAS_STAMP: u8 = 1;
pub(super) const HAS_ECHO: u8 = 2;
const STAMP_BYTES: usize = 24;
/// A message of at least so many bytes is decoded in place. In a shorter one each entry's data is copied, so that it keeps no
/// more memory than its own.
const IN_PLACE_BYTES: usize = 64 << 10;
/// `Message.entries`.
pub(super) const ENTRIES_FIELD: u32 = 7;
/// `Entry.data`.
pub(super) const DATA_FIELD: u32 = 4;

impl RaftFrame {
    /// Whether it carries a part of the log, or asks where logs agree: what must not be overtaken.
    pub(super) fn carries_log(&self) -> bool {
        self.messages.iter().any(carries_log)
    }

    /// What it takes in memory, roughly, where `bytes` arrived.
    pub(in crate::raft) fn weight(&self, bytes: usize) -> usize {
        let entries: usize = self.messages.iter().map(|message| message.entries.len()).sum();
        bytes + self.messages.len() * size_of::<Message>() + entries * size_of::<Entry>()
    }

    pub(super) fn body_bytes(&self) -> usize {
        let stamp_bytes = if self.stamp.is_some() { STAMP_BYTES } else { 0 };
        let echo_bytes = if self.echo.is_some() { STAMP_BYTES + 8 } else { 0 };
        let messages = self.messages.iter();
        let messages: usize = messages.map(|m| LENGTH_BYTES + m.encoded_len()).sum();
        9 + stamp_bytes + echo_bytes + messages
    }

    pub(super) fn put(&self, chain: &mut ByteChain) {
        let out = chain.tail();
        let stamp_flag = if self.stamp.is_some() { HAS_STAMP } else { 0 };
        let echo_flag = if self.echo.is_some() { HAS_ECHO } else { 0 };
        out.put_u8(KIND_RAFT);
        out.put_u64_le(self.session);
        out.put_u8(stamp_flag | echo_flag);
        if let Some(stamp) = &self.stamp {
            put_stamp(stamp, out);
        }
        if let Some(Echo { stamp, promise_ms, sync_ms }) = &self.echo {
            put_stamp(stamp, out);
            out.put_u32_le(*promise_ms);
            out.put_u32_le(*sync_ms);
        }
        for message in &self.messages {
            chain.tail().put_u32_le(message.encoded_len() as u32);
            put_message(message, chain);
        }
    }
}

fn put_stamp(stamp: &Stamp, out: &mut BytesMut) {
    out.put_u64_le(stamp.term);
    out.put_u64_le(stamp.sent_at_ms);
    out.put_u64_le(stamp.round);
}

/// Whether a message must not overtake another of this kind: a follower refuses an append that comes before its predecessor.
pub(in crate::raft) fn carries_log(message: &Message) -> bool {
    matches!(message.get_msg_type(), MessageType::MsgAppend | MessageType::MsgSnapshot)
}

fn put_message(message: &Message, chain: &mut ByteChain) {
    if message.entries.iter().all(|entry| entry.data.len() < SHARED_BYTES) {
        message.encode_raw(chain.tail());
        return;
    }
    let mut head = message.clone();
    let entries = std::mem::take(&mut head.entries);
    head.encode_raw(chain.tail());
    for entry in entries {
        put_entry(entry, chain);
    }
}

fn put_entry(mut entry: Entry, chain: &mut ByteChain) {
    let whole_bytes = entry.encoded_len();
    let data = std::mem::take(&mut entry.data);
    let out = chain.tail();
    encode_key(ENTRIES_FIELD, WireType::LengthDelimited, out);
    encode_varint(whole_bytes as u64, out);
    entry.encode_raw(out);
    if !data.is_empty() {
        encode_key(DATA_FIELD, WireType::LengthDelimited, out);
        encode_varint(data.len() as u64, out);
        debug_assert_eq!(
            whole_bytes,
            entry.encoded_len() + key_len(DATA_FIELD) + encoded_len_varint(data.len() as u64) + data.len()
        );
        chain.share(&data);
    }
}

pub(super) fn decode(body: &mut Bytes) -> Result<RaftFrame, FrameError> {
    let session = body.try_get_u64_le().map_err(|_| short("log id"))?;
    let flags = body.try_get_u8().map_err(|_| short("flags"))?;
    let mut frame = RaftFrame { session, ..RaftFrame::default() };
    if flags & HAS_STAMP != 0 {
        frame.stamp = Some(decode_stamp(body)?);
    }
    if flags & HAS_ECHO != 0 {
        let stamp = decode_stamp(body)?;
        let mut number = || body.try_get_u32_le().map_err(|_| short("echo"));
        frame.echo = Some(Echo { stamp, promise_ms: number()?, sync_ms: number()? });
    }
    let mut budget = Budget::default();
    while body.has_remaining() {
        let length = body.try_get_u32_le().map_err(|_| short("message length"))? as usize;
        if length > body.len() {
            return Err(short("message"));
        }
        let message = body.split_to(length);
        budget.spend(&message)?;
        let message = match length {
            IN_PLACE_BYTES.. => Message::decode(message)?,
            _ => Message::decode(&message[..])?,
        };
        frame.messages.push(message);
    }
    Ok(frame)
}

fn decode_stamp(body: &mut Bytes) -> Result<Stamp, FrameError> {
    let mut number = || body.try_get_u64_le().map_err(|_| short("stamp"));
    Ok(Stamp { term: number()?, sent_at_ms: number()?, round: number()? })
}
