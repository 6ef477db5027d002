//! Whether the primary refuses what this node sends it for clients: it does where the two share no password. Such a node hears its primary
//! and lags by nothing, and yet its clients can only read.
//!
//! Who connects to the primary notes what came of it. A refusal counts while its primary is the primary.

use parking_lot::Mutex;

/// What begins the answer of a primary that refuses the node, and not just this connection.
const REFUSALS: [&str; 4] = ["WRONGPASS", "NOAUTH", "NOPERM", "DENIED"];
/// Bytes of an answer that are told.
const MAX_ANSWER_CHARS: usize = 200;

#[derive(Debug)]
struct Refusal {
    /// The primary, as clients reach it.
    addr: String,
    answer: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct PrimaryRefusal(Mutex<Option<Refusal>>);

impl PrimaryRefusal {
    /// The primary at this address has answered an error. Says so once.
    pub fn note_refused(&self, addr: &str, answer: &str) {
        let answer: String = answer.trim_start_matches('-').chars().take(MAX_ANSWER_CHARS).collect();
        if !REFUSALS.iter().any(|refusal| answer.starts_with(refusal)) {
            return;
        }
        let refusal = Refusal { addr: addr.to_owned(), answer };
        let mut known = self.0.lock();
        if known.as_ref().is_none_or(|known| known.addr != refusal.addr || known.answer != refusal.answer) {
            tracing::warn!(
                primary = addr,
                answer = refusal.answer,
                "the primary refuses what this node sends it: its clients can only read; give all nodes the same --requirepass (or file), or, \
                 where the user default is limited, the same --masterauth"
            );
        }
        *known = Some(refusal);
    }

    /// The primary at this address has let this node in.
    pub fn note_accepted(&self, addr: &str) {
        if self.0.lock().take().is_some() {
            tracing::info!(primary = addr, "the primary takes what this node sends it");
        }
    }

    /// What the primary at this address has answered, if it refuses this node.
    pub fn of(&self, addr: Option<&str>) -> Option<String> {
        let known = self.0.lock();
        known.as_ref().filter(|known| Some(known.addr.as_str()) == addr).map(|known| known.answer.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_counts_for_the_primary_that_gave_it_until_one_lets_the_node_in() {
        let refusal = PrimaryRefusal::default();
        refusal.note_refused("a:1", "-ERR max number of clients reached");
        assert_eq!(refusal.of(Some("a:1")), None, "that is about one connection");
        refusal.note_refused("a:1", "-WRONGPASS invalid");
        assert_eq!(refusal.of(Some("a:1")).as_deref(), Some("WRONGPASS invalid"));
        assert_eq!((refusal.of(Some("b:1")), refusal.of(None)), (None, None));
        refusal.note_accepted("b:1");
        assert_eq!(refusal.of(Some("a:1")), None);
    }
}
