//! A node tells its operator that it knows no leader: soon, then less and less often for as long as that lasts, and when it is over.

use perdura_wal::Disk;

use crate::raft::identity::NodeId;
use crate::raft::node::Node;

/// Time without a leader before the first word: an election takes less.
const FIRST_AFTER_MS: u64 = 5_000;
/// Each silence between two words is the one before times this.
const GROWTH: u64 = 3;
const LONGEST_SILENCE_MS: u64 = 3_600_000;
/// A peer is there that was heard within this time.
const HEARD_WITHIN_MS: u64 = 5_000;

/// What is to be told, and for how many seconds there is, or was, no leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    NoLeader { seconds: u64 },
    LeaderAgain { seconds: u64 },
}

/// A time without a leader.
#[derive(Clone, Copy, Debug)]
struct Spell {
    began_ms: u64,
    next_word_ms: u64,
    silence_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Leaderless {
    spell: Option<Spell>,
}

impl Leaderless {
    /// To be called with every turn, at a monotonic time.
    pub(super) fn tell<D: Disk>(&mut self, node: &Node<D>, now_ms: u64) {
        // A member with a new log names the members that it waits for (`raft/node/rejoin.rs`).
        let is_led = node.leadership().leader.is_some() || !node.is_trusted();
        match self.note(is_led, now_ms) {
            Some(Word::NoLeader { seconds }) => {
                let heard = heard_lately(node, now_ms);
                tracing::warn!(
                    seconds,
                    ?heard,
                    "no primary is known: a majority of the members has to run and to reach each other"
                );
            }
            Some(Word::LeaderAgain { seconds }) => tracing::info!(seconds, "there is a primary again"),
            None => {}
        }
    }

    fn note(&mut self, has_leader: bool, now_ms: u64) -> Option<Word> {
        if has_leader {
            let told = self.spell.take().filter(|spell| spell.silence_ms > FIRST_AFTER_MS)?;
            return Some(Word::LeaderAgain { seconds: (now_ms - told.began_ms) / 1000 });
        }
        let spell = self.spell.get_or_insert(Spell {
            began_ms: now_ms,
            next_word_ms: now_ms + FIRST_AFTER_MS,
            silence_ms: FIRST_AFTER_MS,
        });
        if now_ms < spell.next_word_ms {
            return None;
        }
        spell.silence_ms = (GROWTH * spell.silence_ms).min(LONGEST_SILENCE_MS);
        spell.next_word_ms = now_ms + spell.silence_ms;
        Some(Word::NoLeader { seconds: (now_ms - spell.began_ms) / 1000 })
    }
}

fn heard_lately<D: Disk>(node: &Node<D>, now_ms: u64) -> Vec<NodeId> {
    let peers = node.status(now_ms).peers.into_iter();
    peers.filter(|peer| peer.silent_ms.is_some_and(|ms| ms < HEARD_WITHIN_MS)).map(|peer| peer.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words within these seconds, four turns in each.
    fn told(leaderless: &mut Leaderless, has_leader: bool, seconds: std::ops::Range<u64>) -> Vec<Word> {
        let turns = seconds.start * 4..seconds.end * 4;
        turns.filter_map(|turn| leaderless.note(has_leader, turn * 250)).collect()
    }

    #[test]
    fn an_election_is_nothing_to_be_told() {
        let mut leaderless = Leaderless::default();
        assert_eq!(told(&mut leaderless, false, 0..5), []);
        assert_eq!(told(&mut leaderless, true, 5..100), []);
    }

    #[test]
    fn no_leader_is_told_less_and_less_often_and_so_is_its_end() {
        let mut leaderless = Leaderless::default();
        let seconds = [5, 20, 65, 200, 605, 1820, 5420, 9020];
        assert_eq!(
            told(&mut leaderless, false, 0..10_000),
            seconds.map(|seconds| Word::NoLeader { seconds })
        );
        assert_eq!(told(&mut leaderless, true, 10_000..20_000), [Word::LeaderAgain { seconds: 10_000 }]);
        assert_eq!(told(&mut leaderless, false, 20_000..20_006), [Word::NoLeader { seconds: 5 }]);
    }
}
