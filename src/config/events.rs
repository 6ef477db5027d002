//! The classes of keyspace notifications, by the letters of `notify-keyspace-events`.
//!
//! Source: <https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/>.

use bitflags::bitflags;

bitflags! {
    /// Which events are told, and in which channels.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Classes: u32 {
        /// In a channel of the key.
        const KEYSPACE = 1;
        /// In a channel of the event.
        const KEYEVENT = 1 << 1;
        const GENERIC = 1 << 2;
        const STRING = 1 << 3;
        const LIST = 1 << 4;
        const SET = 1 << 5;
        const HASH = 1 << 6;
        const ZSET = 1 << 7;
        const EXPIRED = 1 << 8;
        const EVICTED = 1 << 9;
        const STREAM = 1 << 10;
        const MODULE = 1 << 11;
        const MISSED = 1 << 12;
        const NEW = 1 << 13;
    }
}

/// The letters of `notify-keyspace-events`, in the order in which they are shown.
const LETTERS: [(char, Classes); 15] = [
    ('A', Classes::ALL),
    ('g', Classes::GENERIC),
    ('$', Classes::STRING),
    ('l', Classes::LIST),
    ('s', Classes::SET),
    ('h', Classes::HASH),
    ('z', Classes::ZSET),
    ('x', Classes::EXPIRED),
    ('e', Classes::EVICTED),
    ('t', Classes::STREAM),
    ('d', Classes::MODULE),
    ('n', Classes::NEW),
    ('K', Classes::KEYSPACE),
    ('E', Classes::KEYEVENT),
    ('m', Classes::MISSED),
];

impl Classes {
    /// What `A` stands for.
    pub const ALL: Classes = Classes::GENERIC
        .union(Classes::STRING)
        .union(Classes::LIST)
        .union(Classes::SET)
        .union(Classes::HASH)
        .union(Classes::ZSET)
        .union(Classes::EXPIRED)
        .union(Classes::EVICTED)
        .union(Classes::STREAM)
        .union(Classes::MODULE);

    /// The classes of letters; `None` where one of them is no class.
    pub fn parse(letters: &str) -> Option<Classes> {
        letters.chars().try_fold(Classes::empty(), |classes, letter| {
            let (_, class) = LETTERS.into_iter().find(|(known, _)| *known == letter)?;
            Some(classes | class)
        })
    }

    /// The letters, as few as there may be.
    pub fn letters(self) -> String {
        let mut left = self;
        let mut letters = String::new();
        for (letter, class) in LETTERS {
            if left.contains(class) {
                letters.push(letter);
                left -= class;
            }
        }
        letters
    }

    /// Whether events of a class are told anywhere.
    pub fn tells(self, class: Classes) -> bool {
        self.intersects(class) && self.intersects(Classes::KEYSPACE | Classes::KEYEVENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_name_classes() {
        for (letters, shown) in
            [("", ""), ("KEA", "AKE"), ("g$lshzxetd", "A"), ("Knx", "xnK"), ("AAmE", "AEm"), ("lE", "lE")]
        {
            assert_eq!(Classes::parse(letters).map(Classes::letters).as_deref(), Some(shown), "{letters}");
        }
        assert_eq!(Classes::parse("Kq"), None);
        assert!(!Classes::ALL.tells(Classes::STRING), "there is no channel for it");
        assert!(!(Classes::ALL | Classes::KEYSPACE).tells(Classes::NEW));
    }
}
