//! What nodes say to each other once they have greeted: the bytes of a frame.
//!
//! ```text
//! frame   = length:u32 kind:u8 body          length counts kind and body; at most MAX_FRAME_BYTES
//! raft    = session:u64 flags:u8 [stamp] [echo] {message}       kind 1; flags: 1 stamp follows, 2 echo follows
//! stamp   = term:u64 sent_at_ms:u64 round:u64
//! echo    = stamp promise_ms:u32 sync_ms:u32
//! message = length:u32 bytes                  an eraftpb.Message as protobuf
//! publish = bytes                             kind 2; opaque here
//! beat    = term:u64 busy:u8                  kind 3; on keepalive connections only
//! answer  = term:u64                          kind 4; on keepalive connections only
//! ask     = index:u64 file:u32 offset:u64 length:u32           kind 5; a piece of a checkpoint is wanted
//! piece   = index:u64 file:u32 offset:u64 total:u64 xxh3:u64 bytes   kind 6; the checksum is that of the bytes
//! gone    = index:u64                         kind 7; there is no such checkpoint
//! rejoin  = session:u64 round:u8              kind 8; the sender's log is new
//! account = session:u64 term:u64 last_term:u64 last:u64 memory:u8 round:u8 cluster   kind 9; note is taken of that log
//! cluster = id:u64 origin_term:u64 origin_index:u64
//! part    = lane:u8 left:u32 bytes            kind 10; of a frame's kind and body, `left` bytes of it follow in further parts
//! prove   = challenge:u64                     kind 11; the sender asks which log the receiver has
//! proof   = session:u64 challenge:u64 log:u64 cluster:u64   kind 12; the sender's log, with the challenge that it was sent
//! dispute = session:u64 term:u64 index:u64 entry_term:u64 last:u64   kind 13; the leader's entry in place of one that was acknowledged
//! calendar = session:u64 unix_ms:i64          kind 14; what the sender's calendar shows
//! ```
//! - All numbers are little-endian.
//! - There is no checksum but that of a piece: TCP's, and the log's own CRC on what is kept, are held to be enough.
//! - On a connection a frame longer than [`PART_BYTES`] travels in parts, so that frames of other lanes go between them (`lanes.rs`).
//! - A reader's memory grows with the bytes that arrive, never with a length that is merely announced (`reader.rs`); what a message
//!   takes once it is decoded is bounded before it is (`budget.rs`).
//! - Data of long messages is not copied, neither by the encoder nor by the decoder.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::eraftpb::Message;
use thiserror::Error;

use super::byte_chain::ByteChain;
use super::cluster::{Cluster, ClusterId};
use super::lease::{Echo, Stamp};
use super::memo::LogEnd;
use crate::checkpoint::ship::Shipment;

mod budget;
mod messages;
mod reader;
mod shipment;

pub use budget::{MAX_FRAME_ENTRIES, MAX_FRAME_MESSAGES};
pub(super) use messages::carries_log;
pub(super) use reader::{Arrival, FrameReader};

/// The longest frame, kind and body: an entry may be as large as the largest command.
pub const MAX_FRAME_BYTES: usize = 1 << 30;
/// The longest frame that travels whole, and about what a part holds of a longer one.
pub(super) const PART_BYTES: usize = 128 << 10;

const KIND_RAFT: u8 = 1;
const KIND_PUBLISH: u8 = 2;
const KIND_BEAT: u8 = 3;
const KIND_ANSWER: u8 = 4;
const KIND_REJOIN: u8 = 8;
const KIND_ACCOUNT: u8 = 9;
const KIND_PART: u8 = 10;
const KIND_PROVE: u8 = 11;
const KIND_PROOF: u8 = 12;
const KIND_DISPUTE: u8 = 13;
const KIND_CALENDAR: u8 = 14;
const LENGTH_BYTES: usize = 4;
/// Kind, lane, bytes left.
const PART_HEAD_BYTES: usize = 1 + 1 + 4;

/// Which frames wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Lane {
    Express = 0,
    Freight = 1,
    News = 2,
}

/// One thing said to a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    Raft(RaftFrame),
    /// A message for the subscribers of the other nodes.
    Publish(Bytes),
    /// A leader's keepalive thread says that the leader of this term lives.
    Beat {
        term: u64,
        driver_is_busy: bool,
    },
    /// A follower's keepalive thread says that it heard, while its driver can't.
    BeatAnswer {
        term: u64,
    },
    /// About the files of a checkpoint.
    Shipment(Shipment),
    /// The sender's log is new; it wants note to be taken of that.
    Rejoin {
        session: u64,
        /// 0 until all have taken note, then 1.
        round: u8,
    },
    /// The sender has taken note of that log.
    Account {
        session: u64,
        /// The round in which it was asked.
        round: u8,
        account: Account,
    },
    /// The receiver is to say which log it has, and to return this.
    Prove {
        challenge: u64,
    },
    /// The sender's session and log, with the challenge that it was sent: so it can be reached at this member's address.
    Proof {
        session: u64,
        proof: LogProof,
    },
    /// What the sender's calendar shows.
    Calendar {
        session: u64,
        unix_ms: i64,
    },
    /// The sender leads, and has another entry than the one that the receiver acknowledged.
    Dispute {
        session: u64,
        dispute: Dispute,
    },
}

/// A leader's entry in the place of another that was acknowledged to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// In which the sender leads.
    pub term: u64,
    pub index: u64,
    /// Of the leader's own entry there; 0 if it has none.
    pub entry_term: u64,
    /// The leader's last entry.
    pub last: u64,
}

/// What a member says of its log, to a node that can reach it at its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogProof {
    /// The number that the member was sent there.
    pub challenge: u64,
    /// The log's random id.
    pub log: u64,
    pub cluster: ClusterId,
}

/// What a member tells another whose log is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub term: u64,
    /// Where its own log ends.
    pub end: LogEnd,
    pub memory: Memory,
    /// That its own log belongs to.
    pub cluster: Cluster,
}

/// Whether a member knows all that it ever said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Memory {
    /// Its log is new; it may be the first that the member has.
    #[default]
    New = 0,
    /// It has lost a log, and does not know again what was in it.
    Lost = 1,
    Whole = 2,
}

impl Memory {
    fn decode(byte: u8) -> Result<Memory, FrameError> {
        match byte {
            0 => Ok(Memory::New),
            1 => Ok(Memory::Lost),
            2 => Ok(Memory::Whole),
            found => Err(FrameError::UnknownMemory { found }),
        }
    }
}

/// Raft messages that travel together, with what the lease needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RaftFrame {
    /// Of the sender's process on its log; 0 where it does not matter.
    pub session: u64,
    /// Set by leaders.
    pub stamp: Option<Stamp>,
    /// Set by followers, in frames to their leader.
    pub echo: Option<Echo>,
    pub messages: Vec<Message>,
}

/// Why bytes are not a frame. The connection that brought them is closed.
#[derive(Debug, Error)]
pub enum FrameError {
    #[error("a frame of {announced} bytes was announced; at most {MAX_FRAME_BYTES} are allowed")]
    TooLong { announced: usize },
    #[error("frame kind {kind} is unknown")]
    UnknownKind { kind: u8 },
    #[error("a frame ends in the middle of its {part}")]
    Short { part: &'static str },
    #[error("a frame has {count} bytes too many")]
    Trailing { count: usize },
    #[error("a piece of a checkpoint is longer than it may be, or is not what was sent")]
    WrongPiece,
    #[error("a member's account ends with {found}, which means nothing")]
    UnknownMemory { found: u8 },
    #[error("a raft message can't be decoded: {0}")]
    Message(#[from] prost::DecodeError),
    #[error("a frame's raft messages would take more memory than its bytes account for")]
    OverBudget,
    #[error("a part does not continue the frame that it belongs to")]
    WrongPart,
    #[error("there is no memory for a frame")]
    NoMemory,
}

impl Frame {
    /// Appends the frame with its length to `out`. Returns its size. If it is too long to be sent, nothing is appended.
    pub fn encode(&self, out: &mut BytesMut) -> Result<usize, FrameError> {
        let mut chain = ByteChain::default();
        self.chain(&mut chain)?;
        out.reserve(chain.len());
        chain.copy_to(out);
        Ok(chain.len())
    }

    /// As [`encode`](Self::encode); long data is shared with the chain.
    pub(super) fn chain(&self, out: &mut ByteChain) -> Result<(), FrameError> {
        let bytes = self.checked_bytes()?;
        out.tail().put_u32_le(bytes as u32);
        self.put(out);
        Ok(())
    }

    /// The same without its length, to be sent in parts.
    pub(super) fn chain_body(&self, out: &mut ByteChain) -> Result<(), FrameError> {
        self.checked_bytes()?;
        self.put(out);
        Ok(())
    }

    /// Kind and body.
    fn checked_bytes(&self) -> Result<usize, FrameError> {
        match self.body_bytes() + 1 {
            bytes if bytes <= MAX_FRAME_BYTES => Ok(bytes),
            announced => Err(FrameError::TooLong { announced }),
        }
    }

    /// The bytes of the frame, its length included.
    pub(super) fn bytes(&self) -> usize {
        LENGTH_BYTES + 1 + self.body_bytes()
    }

    /// Whether it travels in parts.
    pub(super) fn is_long(&self) -> bool {
        self.bytes() > PART_BYTES
    }

    pub(super) fn lane(&self) -> Lane {
        match self {
            Frame::Raft(frame) if frame.carries_log() => Lane::Freight,
            Frame::Shipment(_) => Lane::Freight,
            Frame::Publish(_) => Lane::News,
            _ => Lane::Express,
        }
    }

    /// Takes the first frame off `buffer`; `None` if it is not whole yet.
    pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some((length, rest)) = buffer.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let announced = u32::from_le_bytes(*length) as usize;
        if announced > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong { announced });
        }
        if rest.len() < announced {
            return Ok(None);
        }
        buffer.advance(LENGTH_BYTES);
        decode_body(buffer.split_to(announced).freeze()).map(Some)
    }

    fn body_bytes(&self) -> usize {
        match self {
            Frame::Raft(frame) => frame.body_bytes(),
            Frame::Publish(payload) => payload.len(),
            Frame::Beat { .. } => 9,
            Frame::BeatAnswer { .. } => 8,
            Frame::Shipment(shipment) => shipment::body_bytes(shipment),
            Frame::Rejoin { .. } => 9,
            Frame::Account { .. } => 58,
            Frame::Prove { .. } => 8,
            Frame::Proof { .. } => 32,
            Frame::Calendar { .. } => 16,
            Frame::Dispute { .. } => 40,
        }
    }

    fn put(&self, chain: &mut ByteChain) {
        let out = chain.tail();
        match self {
            Frame::Raft(frame) => frame.put(chain),
            Frame::Publish(payload) => {
                out.put_u8(KIND_PUBLISH);
                chain.share(payload);
            }
            Frame::Beat { term, driver_is_busy } => {
                out.put_u8(KIND_BEAT);
                out.put_u64_le(*term);
                out.put_u8(u8::from(*driver_is_busy));
            }
            Frame::BeatAnswer { term } => {
                out.put_u8(KIND_ANSWER);
                out.put_u64_le(*term);
            }
            Frame::Shipment(shipment) => shipment::put(shipment, chain),
            Frame::Rejoin { session, round } => {
                out.put_u8(KIND_REJOIN);
                out.put_u64_le(*session);
                out.put_u8(*round);
            }
            Frame::Account { session, round, account: Account { term, end, memory, cluster } } => {
                out.put_u8(KIND_ACCOUNT);
                for number in [*session, *term, end.term, end.index] {
                    out.put_u64_le(number);
                }
                out.put_u8(*memory as u8);
                out.put_u8(*round);
                for number in [cluster.id.0, cluster.origin.term, cluster.origin.index] {
                    out.put_u64_le(number);
                }
            }
            Frame::Prove { challenge } => {
                out.put_u8(KIND_PROVE);
                out.put_u64_le(*challenge);
            }
            Frame::Dispute { session, dispute: Dispute { term, index, entry_term, last } } => {
                out.put_u8(KIND_DISPUTE);
                for number in [session, term, index, entry_term, last] {
                    out.put_u64_le(*number);
                }
            }
            Frame::Proof { session, proof: LogProof { challenge, log, cluster } } => {
                out.put_u8(KIND_PROOF);
                for number in [session, challenge, log, &cluster.0] {
                    out.put_u64_le(*number);
                }
            }
            Frame::Calendar { session, unix_ms } => {
                out.put_u8(KIND_CALENDAR);
                out.put_u64_le(*session);
                out.put_i64_le(*unix_ms);
            }
        }
    }
}

/// Begins a part with `count` bytes, which follow.
pub(super) fn put_part_head(lane: Lane, count: usize, left: usize, out: &mut BytesMut) {
    out.put_u32_le((PART_HEAD_BYTES + count) as u32);
    out.put_u8(KIND_PART);
    out.put_u8(lane as u8);
    out.put_u32_le(left as u32);
}

fn decode_body(mut body: Bytes) -> Result<Frame, FrameError> {
    let kind = body.try_get_u8().map_err(|_| short("kind"))?;
    let frame = match kind {
        KIND_RAFT => Frame::Raft(messages::decode(&mut body)?),
        KIND_PUBLISH => Frame::Publish(body.split_to(body.len())),
        KIND_BEAT => Frame::Beat {
            term: body.try_get_u64_le().map_err(|_| short("term"))?,
            driver_is_busy: body.try_get_u8().map_err(|_| short("busy flag"))? != 0,
        },
        KIND_ANSWER => Frame::BeatAnswer { term: body.try_get_u64_le().map_err(|_| short("term"))? },
        shipment::KIND_ASK | shipment::KIND_PIECE | shipment::KIND_GONE => {
            Frame::Shipment(shipment::decode(kind, &mut body)?)
        }
        KIND_REJOIN => Frame::Rejoin {
            session: body.try_get_u64_le().map_err(|_| short("session"))?,
            round: body.try_get_u8().map_err(|_| short("round"))?,
        },
        KIND_ACCOUNT => decode_account(&mut body)?,
        KIND_PROVE => Frame::Prove { challenge: body.try_get_u64_le().map_err(|_| short("challenge"))? },
        KIND_PROOF => decode_proof(&mut body)?,
        KIND_DISPUTE => decode_dispute(&mut body)?,
        KIND_CALENDAR => Frame::Calendar {
            session: body.try_get_u64_le().map_err(|_| short("session"))?,
            unix_ms: body.try_get_i64_le().map_err(|_| short("calendar"))?,
        },
        kind => return Err(FrameError::UnknownKind { kind }),
    };
    match body.len() {
        0 => Ok(frame),
        count => Err(FrameError::Trailing { count }),
    }
}

fn decode_account(body: &mut Bytes) -> Result<Frame, FrameError> {
    let mut number = || body.try_get_u64_le().map_err(|_| short("account"));
    let (session, term) = (number()?, number()?);
    let end = LogEnd { term: number()?, index: number()? };
    let memory = Memory::decode(body.try_get_u8().map_err(|_| short("account"))?)?;
    let round = body.try_get_u8().map_err(|_| short("round"))?;
    let mut number = || body.try_get_u64_le().map_err(|_| short("account"));
    let id = ClusterId(number()?);
    let cluster = Cluster { id, origin: LogEnd { term: number()?, index: number()? } };
    Ok(Frame::Account { session, round, account: Account { term, end, memory, cluster } })
}

fn decode_proof(body: &mut Bytes) -> Result<Frame, FrameError> {
    let mut number = || body.try_get_u64_le().map_err(|_| short("proof"));
    let (session, challenge, log) = (number()?, number()?, number()?);
    let proof = LogProof { challenge, log, cluster: ClusterId(number()?) };
    Ok(Frame::Proof { session, proof })
}

fn decode_dispute(body: &mut Bytes) -> Result<Frame, FrameError> {
    let mut number = || body.try_get_u64_le().map_err(|_| short("dispute"));
    let session = number()?;
    let dispute = Dispute { term: number()?, index: number()?, entry_term: number()?, last: number()? };
    Ok(Frame::Dispute { session, dispute })
}

fn short(part: &'static str) -> FrameError {
    FrameError::Short { part }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use raft::eraftpb::{Entry, MessageType};

    use super::messages::HAS_STAMP;
    use super::*;
    use crate::checkpoint::ship::{Ask, Piece};

    fn stamp(seed: u64) -> Stamp {
        Stamp { term: seed, sent_at_ms: seed.wrapping_mul(3), round: !seed }
    }

    fn echo(seed: u64) -> Echo {
        Echo { stamp: stamp(seed), promise_ms: 450, sync_ms: u32::MAX }
    }

    fn append(data: Vec<u8>) -> Message {
        let mut entry = Entry::default();
        (entry.term, entry.index, entry.data) = (3, 9, data.into());
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppend);
        (message.from, message.to, message.term) = (1, 2, 3);
        message.set_entries(vec![entry]);
        message
    }

    fn some_frames() -> Vec<Frame> {
        let raft = |stamp, echo, messages| Frame::Raft(RaftFrame { session: 77, stamp, echo, messages });
        let busy = Frame::Beat { term: 5, driver_is_busy: true };
        vec![
            raft(None, None, vec![]),
            raft(Some(stamp(1)), None, vec![append(vec![7; 300])]),
            raft(Some(stamp(1)), None, vec![append(vec![7; 70_000])]),
            raft(None, Some(echo(u64::MAX)), vec![append(vec![]); 3]),
            raft(Some(stamp(2)), Some(echo(3)), vec![Message::default()]),
            Frame::Publish(Bytes::from_static(b"news")),
            Frame::Publish(Bytes::new()),
            busy,
            Frame::BeatAnswer { term: 6 },
            Frame::Shipment(Shipment::Ask(Ask { index: 7, file: 1, offset: 1 << 40, length: 9 })),
            piece(b"content"),
            piece(b""),
            Frame::Shipment(Shipment::Gone { index: 8 }),
            Frame::Rejoin { session: 1 << 60, round: 1 },
            Frame::Account {
                session: 5,
                round: 1,
                account: Account {
                    term: 6,
                    end: LogEnd { term: 4, index: 7 },
                    memory: Memory::Whole,
                    cluster: Cluster { id: ClusterId(8), origin: LogEnd { term: 1, index: 2 } },
                },
            },
            Frame::Prove { challenge: u64::MAX },
            Frame::Proof { session: 8, proof: LogProof { challenge: 9, log: 10, cluster: ClusterId(11) } },
            Frame::Dispute { session: 8, dispute: Dispute { term: 7, index: 6, entry_term: 5, last: 9 } },
            Frame::Calendar { session: 10, unix_ms: -11 },
        ]
    }

    fn piece(bytes: &'static [u8]) -> Frame {
        let bytes = Bytes::from_static(bytes);
        Frame::Shipment(Shipment::Piece(Piece { index: 7, file: 2, offset: 3, total: 1 << 33, bytes }))
    }

    fn encoded(frames: &[Frame]) -> Result<BytesMut, FrameError> {
        let mut bytes = BytesMut::new();
        for frame in frames {
            let before = bytes.len();
            let size = frame.encode(&mut bytes)?;
            assert_eq!(size, bytes.len() - before);
        }
        Ok(bytes)
    }

    #[test]
    fn frames_survive_a_stream_that_arrives_byte_by_byte() -> Result<(), FrameError> {
        let sent = some_frames();
        let mut received = Vec::new();
        let mut buffer = BytesMut::new();
        for byte in encoded(&sent)? {
            buffer.put_u8(byte);
            received.extend(Frame::decode(&mut buffer)?);
        }
        assert_eq!(received, sent);
        assert!(buffer.is_empty());
        Ok(())
    }

    #[test]
    fn the_bytes_of_a_beat_never_change_between_releases() -> Result<(), FrameError> {
        let beat = Frame::Beat { term: 0x0102, driver_is_busy: true };
        let golden = [10, 0, 0, 0, 3, 2, 1, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(encoded(&[beat])?[..], golden);
        Ok(())
    }

    #[test]
    fn the_bytes_of_a_raft_frame_never_change_between_releases() -> Result<(), FrameError> {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgHeartbeat);
        (message.to, message.from) = (2, 1);
        let frame = Frame::Raft(RaftFrame {
            session: 9,
            stamp: Some(Stamp { term: 1, sent_at_ms: 2, round: 3 }),
            echo: None,
            messages: vec![message],
        });
        let golden = [
            &[44, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 1][..],
            &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[6, 0, 0, 0, 8, 8, 16, 2, 24, 1],
        ];
        assert_eq!(encoded(&[frame])?[..], golden.concat());
        Ok(())
    }

    #[test]
    fn the_bytes_about_a_checkpoint_never_change_between_releases() -> Result<(), FrameError> {
        let ask = Frame::Shipment(Shipment::Ask(Ask { index: 1, file: 2, offset: 3, length: 4 }));
        let golden = [
            &[25, 0, 0, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0],
            &[4, 0, 0, 0],
        ];
        assert_eq!(encoded(&[ask])?[..], golden.concat());
        let golden = [
            &[38, 0, 0, 0, 6, 7, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 0, 0, 0],
            &xxhash_rust::xxh3::xxh3_64(b"x").to_le_bytes(),
            b"x",
        ];
        assert_eq!(encoded(&[piece(b"x")])?[..], golden.concat());
        Ok(())
    }

    #[test]
    fn a_piece_that_changed_on_its_way_or_is_too_long_is_refused() -> Result<(), FrameError> {
        let mut damaged = encoded(&[piece(b"content")])?;
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert!(matches!(Frame::decode(&mut damaged), Err(FrameError::WrongPiece)));
        let long = Ask { index: 1, file: 1, offset: 0, length: crate::checkpoint::ship::MAX_PIECE_BYTES + 1 };
        let mut long = encoded(&[Frame::Shipment(Shipment::Ask(long))])?;
        assert!(matches!(Frame::decode(&mut long), Err(FrameError::WrongPiece)));
        Ok(())
    }

    #[test]
    fn a_frame_over_the_bound_is_refused_before_it_arrives() {
        let announced = (MAX_FRAME_BYTES as u32 + 1).to_le_bytes();
        let mut buffer = BytesMut::from(&announced[..]);
        let refused = Frame::decode(&mut buffer);
        assert!(matches!(refused, Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn a_frame_that_lies_about_its_parts_is_refused() {
        let decode = |bytes: &[u8]| Frame::decode(&mut BytesMut::from(bytes));
        let refused: [&[u8]; 6] = [
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 99],
            &[10, 0, 0, 0, KIND_RAFT, 0, 0, 0, 0, 0, 0, 0, 0, HAS_STAMP],
            &[14, 0, 0, 0, KIND_RAFT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 0],
            &[3, 0, 0, 0, KIND_ANSWER, 1, 2],
            &[10, 0, 0, 0, KIND_ANSWER, 0, 0, 0, 0, 0, 0, 0, 0, 7],
        ];
        for bytes in refused {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_make_the_decoder_panic(
            mut body in proptest::collection::vec(any::<u8>(), 1..200),
            kind in 0u8..15,
        ) {
            body[0] = kind;
            let mut buffer = BytesMut::new();
            buffer.put_u32_le(body.len() as u32);
            buffer.put_slice(&body);
            let _ = Frame::decode(&mut buffer);
        }
    }
}
