//! The messages of client-side caching: keys whose cached values are stale.
//!
//! - A message travels in one form, RESP3's push. The connection that gets it may speak RESP2: then a subscriber gets it as a message in the
//!   channel `__redis__:invalidate`, if another client redirects its messages there, and any other connection gets nothing.
//! - The key in a message is an array of keys, or null: every value that the client has cached may be stale.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/client-side-caching/>.

use std::borrow::Cow;

use super::reply::{Reply, Resp};

const PUSH: &[u8] = b">2\r\n$10\r\ninvalidate\r\n";
const EVERYTHING: &[u8] = b"_\r\n";
const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
const EVERYTHING_IN_MESSAGE: &[u8] = b"$-1\r\n";

/// Whose cache a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushRoute {
    /// That of the client of the connection that gets it.
    Own,
    /// That of a client that redirects its messages to the connection.
    Redirected,
}

/// What a connection can be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushForm {
    pub resp: Resp,
    pub is_subscriber: bool,
}

/// The message about keys.
pub fn of_keys<'k>(keys: impl ExactSizeIterator<Item = &'k [u8]>) -> Vec<u8> {
    let mut out = PUSH.to_vec();
    let mut reply = Reply::new(&mut out, Resp::V3);
    reply.array(keys.len());
    keys.for_each(|key| reply.bulk(key));
    out
}

/// The message about one key.
pub fn of_key(key: &[u8]) -> Vec<u8> {
    of_keys([key].into_iter())
}

/// The message that everything cached may be stale.
pub fn of_everything() -> Vec<u8> {
    [PUSH, EVERYTHING].concat()
}

/// Tells a client that its messages can't reach the client with this number any more.
pub fn redirection_broken(to: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Resp::V3);
    reply.push(2);
    reply.bulk(b"tracking-redir-broken");
    reply.integer(i64::try_from(to).unwrap_or(i64::MAX));
    out
}

/// A message as a connection gets it; `None` where it gets none.
pub fn delivered(message: &[u8], route: PushRoute, form: PushForm) -> Option<Cow<'_, [u8]>> {
    match (form.resp, route) {
        (Resp::V3, _) => Some(Cow::Borrowed(message)),
        (Resp::V2, PushRoute::Redirected) if form.is_subscriber => {
            let keys = message.strip_prefix(PUSH)?;
            let keys = if keys == EVERYTHING { EVERYTHING_IN_MESSAGE } else { keys };
            Some(Cow::Owned([MESSAGE, keys].concat()))
        }
        (Resp::V2, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIBER: PushForm = PushForm { resp: Resp::V2, is_subscriber: true };
    const RESP3: PushForm = PushForm { resp: Resp::V3, is_subscriber: false };

    fn shown(message: &[u8], route: PushRoute, form: PushForm) -> Option<String> {
        delivered(message, route, form).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn a_message_has_the_form_of_its_connection() {
        let key = of_key(b"foo");
        let push = Some(">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nfoo\r\n".to_owned());
        assert_eq!(shown(&key, PushRoute::Own, RESP3), push);
        assert_eq!(shown(&key, PushRoute::Redirected, RESP3), push);
        let message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$3\r\nfoo\r\n".to_owned();
        assert_eq!(shown(&key, PushRoute::Redirected, SUBSCRIBER), Some(message));
        assert_eq!(shown(&key, PushRoute::Own, SUBSCRIBER), None);
        assert_eq!(shown(&key, PushRoute::Redirected, PushForm::default()), None);
    }

    #[test]
    fn everything_is_null_in_either_form() {
        let all = of_everything();
        let push = Some(">2\r\n$10\r\ninvalidate\r\n_\r\n".to_owned());
        assert_eq!(shown(&all, PushRoute::Own, RESP3), push);
        let message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n".to_owned();
        assert_eq!(shown(&all, PushRoute::Redirected, SUBSCRIBER), Some(message));
    }

    #[test]
    fn a_broken_redirection_is_told_to_its_client_in_resp3_alone() {
        let broken = redirection_broken(7);
        let push = Some(">2\r\n$21\r\ntracking-redir-broken\r\n:7\r\n".to_owned());
        assert_eq!(shown(&broken, PushRoute::Own, RESP3), push);
        assert_eq!(shown(&broken, PushRoute::Own, SUBSCRIBER), None);
    }
}
