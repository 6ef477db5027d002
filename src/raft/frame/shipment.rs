//! The bytes of frames about a checkpoint's files; `frame.rs` has their grammar.

use bytes::{Buf, BufMut, Bytes};
use xxhash_rust::xxh3::xxh3_64;

use super::{FrameError, short};
use crate::checkpoint::ship::{Ask, MAX_PIECE_BYTES, Piece, Shipment};
use crate::raft::byte_chain::ByteChain;

pub(super) const KIND_ASK: u8 = 5;
pub(super) const KIND_PIECE: u8 = 6;
pub(super) const KIND_GONE: u8 = 7;

const ASK_BYTES: usize = 8 + 4 + 8 + 4;
pub(super) const PIECE_HEAD_BYTES: usize = 8 + 4 + 8 + 8 + 8;
const GONE_BYTES: usize = 8;

pub(super) fn body_bytes(shipment: &Shipment) -> usize {
    match shipment {
        Shipment::Ask(_) => ASK_BYTES,
        Shipment::Piece(piece) => PIECE_HEAD_BYTES + piece.bytes.len(),
        Shipment::Gone { .. } => GONE_BYTES,
    }
}

pub(super) fn put(shipment: &Shipment, chain: &mut ByteChain) {
    let out = chain.tail();
    match shipment {
        Shipment::Ask(Ask { index, file, offset, length }) => {
            out.put_u8(KIND_ASK);
            out.put_u64_le(*index);
            out.put_u32_le(*file);
            out.put_u64_le(*offset);
            out.put_u32_le(*length);
        }
        Shipment::Piece(Piece { index, file, offset, total, bytes }) => {
            out.put_u8(KIND_PIECE);
            out.put_u64_le(*index);
            out.put_u32_le(*file);
            out.put_u64_le(*offset);
            out.put_u64_le(*total);
            out.put_u64_le(xxh3_64(bytes));
            chain.share(bytes);
        }
        Shipment::Gone { index } => {
            out.put_u8(KIND_GONE);
            out.put_u64_le(*index);
        }
    }
}

pub(super) fn decode(kind: u8, body: &mut Bytes) -> Result<Shipment, FrameError> {
    match kind {
        KIND_ASK => decode_ask(body).map(Shipment::Ask),
        KIND_PIECE => decode_piece(body).map(Shipment::Piece),
        _ => Ok(Shipment::Gone { index: u64_of(body, "index")? }),
    }
}

fn decode_ask(body: &mut Bytes) -> Result<Ask, FrameError> {
    let (index, file, offset) = (u64_of(body, "index")?, u32_of(body, "file")?, u64_of(body, "offset")?);
    match u32_of(body, "length")? {
        length @ 0..=MAX_PIECE_BYTES => Ok(Ask { index, file, offset, length }),
        _ => Err(FrameError::WrongPiece),
    }
}

fn decode_piece(body: &mut Bytes) -> Result<Piece, FrameError> {
    let (index, file, offset) = (u64_of(body, "index")?, u32_of(body, "file")?, u64_of(body, "offset")?);
    let (total, xxh3) = (u64_of(body, "total")?, u64_of(body, "checksum")?);
    let bytes = body.split_to(body.len());
    if bytes.len() > MAX_PIECE_BYTES as usize || xxh3_64(&bytes) != xxh3 {
        return Err(FrameError::WrongPiece);
    }
    Ok(Piece { index, file, offset, total, bytes })
}

fn u64_of(body: &mut Bytes, part: &'static str) -> Result<u64, FrameError> {
    body.try_get_u64_le().map_err(|_| short(part))
}

fn u32_of(body: &mut Bytes, part: &'static str) -> Result<u32, FrameError> {
    body.try_get_u32_le().map_err(|_| short(part))
}
