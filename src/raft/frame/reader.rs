//! Frames out of the bytes of a connection, those that come in parts put together.
//!
//! - What is kept of a frame that is not whole yet is what has arrived of it, and at most as much space again.
//! - A frame that travels whole is short, and one in parts is no longer than its kind may be: both are refused with their first bytes.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Frame, FrameError, KIND_PART, KIND_PUBLISH, KIND_RAFT, LENGTH_BYTES, Lane, MAX_FRAME_BYTES, PART_BYTES,
    PART_HEAD_BYTES, decode_body, shipment, short,
};
use crate::checkpoint::ship::MAX_PIECE_BYTES;

/// What is read at once.
const READ_BYTES: usize = 64 << 10;
const MAX_WHOLE_BYTES: usize = PART_BYTES + PART_HEAD_BYTES;
/// Messages and their channels: more than may wait to be published (`shared.rs`).
const MAX_PUBLISH_BYTES: usize = 80 << 20;

/// What came next on a connection.
#[derive(Debug, PartialEq)]
pub enum Arrival {
    /// A frame, and how many bytes it was.
    Frame(Frame, usize),
    /// A part of one that is not whole yet.
    Part,
}

#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: BytesMut,
    freight: Partial,
    news: Partial,
}

/// A frame that is not whole yet.
#[derive(Debug, Default)]
struct Partial {
    body: Vec<u8>,
    /// Bytes that are still to come; zero if no frame has begun.
    left: usize,
}

impl FrameReader {
    /// Where to put the next bytes.
    pub fn space(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// What has arrived; `None` until more has.
    pub fn next(&mut self) -> Result<Option<Arrival>, FrameError> {
        let Some((length, rest)) = self.buffer.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let announced = u32::from_le_bytes(*length) as usize;
        if announced > MAX_WHOLE_BYTES {
            return Err(FrameError::TooLong { announced });
        }
        if rest.len() < announced {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        let body = self.buffer.split_to(announced).freeze();
        match body.first() {
            Some(&KIND_PART) => self.take_part(body).map(Some),
            _ => Ok(Some(Arrival::Frame(decode_body(body)?, LENGTH_BYTES + announced))),
        }
    }

    fn take_part(&mut self, mut part: Bytes) -> Result<Arrival, FrameError> {
        if part.len() <= PART_HEAD_BYTES {
            return Err(short("part"));
        }
        part.advance(1);
        let lane = part.get_u8();
        let left = part.get_u32_le() as usize;
        let partial = match lane {
            lane if lane == Lane::Freight as u8 => &mut self.freight,
            lane if lane == Lane::News as u8 => &mut self.news,
            _ => return Err(FrameError::WrongPart),
        };
        partial.add(&part, left)?;
        if left > 0 {
            return Ok(Arrival::Part);
        }
        let body = std::mem::take(&mut partial.body);
        let bytes = LENGTH_BYTES + body.len();
        Ok(Arrival::Frame(decode_body(body.into())?, bytes))
    }
}

impl Partial {
    /// Adds bytes of a frame, of which `left` bytes are still to come.
    fn add(&mut self, bytes: &[u8], left: usize) -> Result<(), FrameError> {
        let announced = bytes.len() + left;
        if self.left == 0 {
            if announced > most_bytes(bytes[0])? {
                return Err(FrameError::TooLong { announced });
            }
        } else if self.left != announced {
            return Err(FrameError::WrongPart);
        }
        self.reserve(bytes.len(), left)?;
        self.body.extend_from_slice(bytes);
        self.left = left;
        Ok(())
    }

    /// Space is doubled, and never beyond the end of the frame.
    fn reserve(&mut self, more: usize, left: usize) -> Result<(), FrameError> {
        let held = self.body.len();
        if held + more <= self.body.capacity() {
            return Ok(());
        }
        let additional = (more + left).min(held + 2 * more);
        self.body.try_reserve_exact(additional).map_err(|_| FrameError::NoMemory)
    }
}

/// The most bytes of a frame of this kind, kind included.
fn most_bytes(kind: u8) -> Result<usize, FrameError> {
    match kind {
        KIND_RAFT => Ok(MAX_FRAME_BYTES),
        KIND_PUBLISH => Ok(MAX_PUBLISH_BYTES),
        shipment::KIND_PIECE => Ok(1 + shipment::PIECE_HEAD_BYTES + MAX_PIECE_BYTES as usize),
        kind => Err(FrameError::UnknownKind { kind }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::super::put_part_head;
    use super::*;

    fn part(lane: Lane, left: usize, bytes: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        put_part_head(lane, bytes.len(), left, &mut out);
        out.put_slice(bytes);
        out
    }

    fn read(reader: &mut FrameReader, bytes: &[u8]) -> Result<Option<Arrival>, FrameError> {
        reader.space().put_slice(bytes);
        reader.next()
    }

    #[test]
    fn frames_of_other_lanes_arrive_between_the_parts_of_a_long_one() -> Result<(), FrameError> {
        let mut reader = FrameReader::default();
        let beat = Frame::BeatAnswer { term: 7 };
        let mut beat_bytes = BytesMut::new();
        beat.encode(&mut beat_bytes)?;
        let long = [&[KIND_PUBLISH], &[7; 30][..]].concat();
        assert_eq!(read(&mut reader, &part(Lane::News, 20, &long[..11]))?, Some(Arrival::Part));
        let heard = read(&mut reader, &beat_bytes)?;
        assert!(matches!(heard, Some(Arrival::Frame(heard, _)) if heard == beat));
        let whole = read(&mut reader, &part(Lane::News, 0, &long[11..]))?;
        let expected = Frame::Publish(Bytes::from(vec![7; 30]));
        assert!(matches!(whole, Some(Arrival::Frame(frame, _)) if frame == expected));
        Ok(())
    }

    #[test]
    fn memory_grows_with_the_bytes_that_arrive() -> Result<(), FrameError> {
        let mut reader = FrameReader::default();
        let (mut left, bytes) = (MAX_FRAME_BYTES - 100, [KIND_RAFT; 100]);
        read(&mut reader, &part(Lane::Freight, left, &bytes))?;
        for _ in 0..1_000 {
            left -= 100;
            read(&mut reader, &part(Lane::Freight, left, &bytes))?;
            let Partial { body, .. } = &reader.freight;
            assert!(body.capacity() <= 2 * body.len() + 200, "{} for {}", body.capacity(), body.len());
        }
        Ok(())
    }

    #[test]
    fn a_long_frame_is_refused_with_its_first_bytes() {
        let announced = (MAX_WHOLE_BYTES as u32 + 1).to_le_bytes();
        let whole = read(&mut FrameReader::default(), &announced);
        assert!(matches!(whole, Err(FrameError::TooLong { .. })));
        let too_long = [
            (KIND_RAFT, MAX_FRAME_BYTES),
            (KIND_PUBLISH, MAX_PUBLISH_BYTES),
            (shipment::KIND_PIECE, 1 << 20),
        ];
        for (kind, left) in too_long {
            let refused = read(&mut FrameReader::default(), &part(Lane::Freight, left, &[kind]));
            assert!(matches!(refused, Err(FrameError::TooLong { .. })), "kind {kind}");
        }
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused() -> Result<(), FrameError> {
        let begun = || {
            let mut reader = FrameReader::default();
            read(&mut reader, &part(Lane::Freight, 20, &[KIND_RAFT; 10])).map(|_| reader)
        };
        for wrong in
            [part(Lane::Freight, 20, b"x"), part(Lane::Express, 19, b"x"), part(Lane::Freight, 19, b"")]
        {
            assert!(read(&mut begun()?, &wrong).is_err());
        }
        assert_eq!(read(&mut begun()?, &part(Lane::Freight, 19, b"x"))?, Some(Arrival::Part));
        Ok(())
    }
}
