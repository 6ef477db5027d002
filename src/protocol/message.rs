//! A message on its way: within a transaction's effects, and from node to node.
//!
//! ```text
//! message = kind:u8 length:u32le channel payload        ; kind 0: a channel, 1: a shard channel; length is the channel's
//! ```

const CHANNEL: u8 = 0;
const SHARD_CHANNEL: u8 = 1;

/// What names are subscribed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Channel,
    Pattern,
    /// SSUBSCRIBE's channels, a name space of their own.
    Shard,
}

/// Something published in a channel or a shard channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    pub channel: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Message {
    pub fn new(kind: Kind, channel: &[u8], payload: &[u8]) -> Message {
        Message { kind, channel: channel.to_vec(), payload: payload.to_vec() }
    }

    /// The bytes in which nodes send it to each other.
    pub fn encode(&self) -> Vec<u8> {
        let kind = if self.kind == Kind::Shard { SHARD_CHANNEL } else { CHANNEL };
        let len = (self.channel.len() as u32).to_le_bytes();
        [&[kind][..], &len, &self.channel, &self.payload].concat()
    }

    /// `None` where the bytes are no message, or one of a kind that this program does not know.
    pub fn decode(bytes: &[u8]) -> Option<Message> {
        let (kind, rest) = bytes.split_first()?;
        let kind = match *kind {
            CHANNEL => Kind::Channel,
            SHARD_CHANNEL => Kind::Shard,
            _ => return None,
        };
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (channel, payload) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        Some(Message::new(kind, channel, payload))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_golden() {
        let message = Message::new(Kind::Shard, b"news", b"hi");
        assert_eq!(message.encode(), b"\x01\x04\0\0\0newshi");
        assert_eq!(Message::decode(b"\x01\x04\0\0\0newshi"), Some(message));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [&b""[..], b"\x02\x01\0\0\0a", b"\0\x01\0\0", b"\0\x02\0\0\0a"] {
            assert_eq!(Message::decode(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(channel in vec(any::<u8>(), 0..40), payload in vec(any::<u8>(), 0..40)) {
            for kind in [Kind::Channel, Kind::Shard] {
                let message = Message::new(kind, &channel, &payload);
                prop_assert_eq!(Message::decode(&message.encode()), Some(message));
            }
        }
    }
}
