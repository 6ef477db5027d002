//! Keyspace notifications: what subscribers are told of changes of keys.
//!
//! - A change is told under the name of the command that made it, or under one that its handler gives. A command tells an event of a key
//!   once, however often it touches the key.
//! - Every node that applies an entry tells its own subscribers, of the classes that it was set to. Nothing in the keyspace
//!   depends on what is told.
//! - Reads tell nothing: there is no class for keys that were missed (`m`), though it can be set.
//!
//! Source: <https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/>.

use super::families::Row;
use crate::config::events::Classes;
use crate::protocol::message::{Kind, Message};

/// What a change is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub class: Classes,
    pub name: &'static str,
}

impl Event {
    /// Of commands that change no key, or none that is told.
    pub const NONE: Event = Event { class: Classes::empty(), name: "" };
    pub const DELETED: Event = Event { class: Classes::GENERIC, name: "del" };
    pub const EXPIRES: Event = Event { class: Classes::GENERIC, name: "expire" };
    pub const PERSISTS: Event = Event { class: Classes::GENERIC, name: "persist" };
    pub const EXPIRED: Event = Event { class: Classes::EXPIRED, name: "expired" };
    pub const EVICTED: Event = Event { class: Classes::EVICTED, name: "evicted" };
    pub const FIELDS_EXPIRED: Event = Event { class: Classes::HASH, name: "hexpired" };
    pub const FIELDS_EXPIRE: Event = Event { class: Classes::HASH, name: "hexpire" };
    pub const NEW: Event = Event { class: Classes::NEW, name: "new" };

    /// How changes that a command makes are called unless its handler says otherwise.
    pub fn of_row(row: &Row) -> Event {
        let class = match row.family.group {
            "string" | "bitmap" | "hyperloglog" => Classes::STRING,
            "list" => Classes::LIST,
            "set" => Classes::SET,
            "hash" => Classes::HASH,
            "sorted-set" | "geo" => Classes::ZSET,
            "stream" => Classes::STREAM,
            "generic" => Classes::GENERIC,
            _ => Classes::empty(),
        };
        Event { class, name: row.command.name }.renamed()
    }

    /// Several commands share an event of another name.
    fn renamed(self) -> Event {
        let name = match self.name {
            "sort" => return Event { class: Classes::LIST, name: "sortstore" },
            "pfdebug" => return Event::NONE,
            "decr" | "decrby" | "incr" => "incrby",
            "setex" | "psetex" | "setnx" | "getset" | "mset" | "msetnx" | "msetex" | "bitop" => "set",
            "bitfield" => "setbit",
            "pfmerge" => "pfadd",
            "hmset" | "hsetnx" | "hsetex" => "hset",
            "hgetdel" => "hdel",
            "hpexpire" | "hexpireat" | "hpexpireat" | "hgetex" => "hexpire",
            "lpushx" => "lpush",
            "rpushx" => "rpush",
            "zincrby" => "zincr",
            "geoadd" => "zadd",
            "georadius" | "georadiusbymember" => "georadiusstore",
            "copy" => "copy_to",
            "rename" | "renamenx" => "rename_to",
            "move" => "move_to",
            name => name,
        };
        Event { name, ..self }
    }
}

/// An event of a key, to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub db: usize,
    pub event: &'static str,
    pub key: Vec<u8>,
}

/// What a node tells its subscribers.
#[derive(Debug, Default)]
pub struct Notices {
    /// The classes that it was set to.
    told: Classes,
    noted: Vec<Notice>,
    /// Those before are of earlier commands.
    first_of_command: usize,
}

/// An event is told again only where so many others of the command came between.
const COMPARED: usize = 4;

impl Notices {
    pub fn tell(&mut self, told: Classes) {
        self.told = told;
    }

    /// Another command begins; false where nothing is told.
    pub fn begin(&mut self) -> bool {
        self.first_of_command = self.noted.len();
        !self.told.is_empty()
    }

    /// How many events are noted.
    pub fn count(&self) -> usize {
        self.noted.len()
    }

    /// Forgets the events that were noted since there were so many.
    pub fn forget_since(&mut self, count: usize) {
        self.noted.truncate(count);
        self.first_of_command = self.first_of_command.min(count);
    }

    pub fn tells(&self, class: Classes) -> bool {
        self.told.tells(class)
    }

    pub fn note(&mut self, db: usize, event: Event, key: &[u8]) {
        if !self.told.tells(event.class) {
            return;
        }
        let of_command = &self.noted[self.first_of_command..];
        let is_same = |notice: &Notice| notice.event == event.name && notice.key == key && notice.db == db;
        if !of_command.iter().rev().take(COMPARED).any(is_same) {
            self.noted.push(Notice { db, event: event.name, key: key.to_vec() });
        }
    }

    pub fn clear(&mut self) {
        self.noted.clear();
        self.first_of_command = 0;
    }

    /// Takes all that was noted, as messages.
    pub fn take_messages(&mut self) -> Vec<Message> {
        self.first_of_command = 0;
        let noted = std::mem::take(&mut self.noted);
        let mut messages = Vec::with_capacity(noted.len());
        for Notice { db, event, key } in noted {
            if self.told.contains(Classes::KEYSPACE) {
                let channel = [format!("__keyspace@{db}__:").as_bytes(), &key].concat();
                messages.push(Message { kind: Kind::Channel, channel, payload: event.as_bytes().to_vec() });
            }
            if self.told.contains(Classes::KEYEVENT) {
                let channel = format!("__keyevent@{db}__:{event}").into_bytes();
                messages.push(Message { kind: Kind::Channel, channel, payload: key });
            }
        }
        messages
    }

    #[cfg(test)]
    pub fn take_shown(&mut self) -> Vec<String> {
        self.first_of_command = 0;
        let noted = std::mem::take(&mut self.noted);
        let shown = |notice: Notice| format!("{} {}", notice.event, String::from_utf8_lossy(&notice.key));
        noted.into_iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::TestDb;

    #[test]
    fn an_event_is_told_in_its_channels() {
        let mut db = TestDb::new();
        db.effects.notices.tell(Classes::parse("KE$").expect("classes"));
        db.run("SET a 1");
        db.run("RPUSH l 1");
        let messages = db.effects.notices.take_messages();
        let message = |channel: &str, payload: &str| {
            Message::new(Kind::Channel, channel.as_bytes(), payload.as_bytes())
        };
        assert_eq!(messages, [message("__keyspace@0__:a", "set"), message("__keyevent@0__:set", "a")]);
        db.effects.notices.tell(Classes::empty());
        db.run("SET a 1");
        assert!(db.effects.notices.take_messages().is_empty());
    }

    /// Lines, and the events of each, as redis-server 7.0.15 tells them.
    const TOLD: &[(&str, &str)] = &[
        ("SET a 1", "set a"),
        ("SET a 1 EX 10", "set a, expire a"),
        ("SET a 2 KEEPTTL", "set a"),
        ("SET a 1 NX", ""),
        ("SETEX a 10 1", "set a, expire a"),
        ("GETEX a PERSIST", "persist a"),
        ("GETEX a EX 10", "expire a"),
        ("APPEND a 1", "append a"),
        ("SETRANGE new 3 x", "setrange new"),
        ("INCR n", "incrby n"),
        ("INCRBYFLOAT n 1", "incrbyfloat n"),
        ("MSET a 1 b 2", "set a, set b"),
        ("GETDEL b", "del b"),
        ("SETBIT bits 7 1", "setbit bits"),
        ("SETBIT bits 7 1", ""),
        ("BITFIELD bits SET u8 0 3 SET u8 8 3", "setbit bits"),
        ("BITOP NOT d bits", "set d"),
        ("BITOP NOT d none", "del d"),
        ("PFADD h x", "pfadd h"),
        ("PFMERGE h2 h", "pfadd h2"),
        ("DEL a none n", "del a, del n"),
        ("EXPIRE h 100", "expire h"),
        ("PERSIST h", "persist h"),
        ("EXPIRE h -1", "del h"),
        ("RENAME h2 h3", "rename_from h2, rename_to h3"),
        ("COPY h3 h4", "copy_to h4"),
        ("MOVE h4 1", "move_from h4, move_to h4"),
        ("RPUSH l a b c a", "rpush l"),
        ("LPUSHX none a", ""),
        ("LINSERT l BEFORE b x", "linsert l"),
        ("LSET l 0 y", "lset l"),
        ("LREM l 0 a", "lrem l"),
        ("LPOP l", "lpop l"),
        ("LMOVE l l2 RIGHT LEFT", "lpush l2, rpop l"),
        ("RPOPLPUSH l2 l3", "lpush l3, rpop l2, del l2"),
        ("LMPOP 1 l RIGHT", "rpop l"),
        ("BLPOP l3 0", "lpop l3, del l3"),
        ("LTRIM l 5 9", "ltrim l, del l"),
        ("SADD s a b c", "sadd s"),
        ("SADD s a", ""),
        ("SMOVE s s2 a", "srem s, sadd s2"),
        ("SREM s b", "srem s"),
        ("SPOP s", "spop s, del s"),
        ("SUNIONSTORE s3 s2", "sunionstore s3"),
        ("SINTERSTORE s3 s2 none", "del s3"),
        ("SPOP s2 9", "spop s2, del s2"),
        ("HSET hash a 1 b 2 c 3", "hset hash"),
        ("HINCRBY hash a 1", "hincrby hash"),
        ("HPEXPIRE hash 500 FIELDS 1 a", "hexpire hash"),
        ("HPERSIST hash FIELDS 1 a", "hpersist hash"),
        ("HSETEX hash EX 10 FIELDS 1 e 1", "hset hash, hexpire hash"),
        ("HGETEX hash PERSIST FIELDS 1 e", "hpersist hash"),
        ("HGETDEL hash FIELDS 1 e", "hdel hash"),
        ("HDEL hash a b c", "hdel hash, del hash"),
        ("ZADD z 1 a 2 b 3 c 4 d", "zadd z"),
        ("ZADD z INCR 1 a", "zincr z"),
        ("ZINCRBY z 1 a", "zincr z"),
        ("ZPOPMIN z", "zpopmin z"),
        ("ZMPOP 1 z MAX", "zpopmax z"),
        ("ZREM z a", "zrem z"),
        ("ZRANGESTORE z2 z 0 -1", "zrangestore z2"),
        ("BZPOPMAX z2 0", "zpopmax z2, del z2"),
        ("ZREMRANGEBYRANK z 0 -1", "zremrangebyrank z, del z"),
        ("GEOADD g 1 1 a", "zadd g"),
        ("GEOSEARCHSTORE g2 g FROMMEMBER a BYRADIUS 1 m", "geosearchstore g2"),
        ("GEORADIUS g 1 1 1 km STORE g3", "georadiusstore g3"),
        ("XADD x 1-1 f v", "xadd x"),
        ("XADD x MAXLEN 1 2-1 f v", "xadd x, xtrim x"),
        ("XGROUP CREATE x g 0", "xgroup-create x"),
        ("XGROUP CREATE x2 g 0 MKSTREAM", "xgroup-create x2"),
        ("XREADGROUP GROUP g c STREAMS x >", "xgroup-createconsumer x"),
        ("XACK x g 1-1", ""),
        ("XGROUP SETID x g 0", "xgroup-setid x"),
        ("XGROUP CREATECONSUMER x g d", "xgroup-createconsumer x"),
        ("XGROUP DELCONSUMER x g d", "xgroup-delconsumer x"),
        ("XGROUP DELCONSUMER x g d", ""),
        ("XSETID x 9-9", "xsetid x"),
        ("XDEL x 2-1", "xdel x"),
        ("XTRIM x MAXLEN 0", ""),
        ("XGROUP DESTROY x g", "xgroup-destroy x"),
        ("RPUSH l 2 1", "rpush l"),
        ("SORT l STORE l2", "sortstore l2"),
        ("FLUSHALL", ""),
    ];

    #[test]
    fn every_change_has_its_event() {
        let mut db = TestDb::new();
        db.effects.notices.tell(Classes::ALL | Classes::KEYEVENT);
        for (line, events) in TOLD {
            let reply = db.show(line);
            assert!(!reply.starts_with("ERR"), "{line}: {reply}");
            assert_eq!(db.effects.notices.take_shown().join(", "), *events, "{line}");
        }
    }

    #[test]
    fn deaths_and_births_are_told() {
        let mut db = TestDb::new();
        db.effects.notices.tell(Classes::ALL | Classes::NEW | Classes::KEYEVENT);
        db.run("SET a 1 PX 10");
        db.run("SET a 1 PX 10");
        db.run("HSET h f 1");
        db.run("HPEXPIRE h 10 FIELDS 1 f");
        let told = db.effects.notices.take_shown();
        assert_eq!(told, ["new a", "set a", "expire a", "set a", "expire a", "new h", "hset h", "hexpire h"]);
        db.at(2_000_000).run("_FREEEXPIRED a h");
        assert_eq!(db.effects.notices.take_shown(), ["expired a", "hexpired h", "del h"]);
        db.run("MSET b 1 c 1");
        db.effects.notices.clear();
        db.run("_EVICT b none c");
        assert_eq!(db.effects.notices.take_shown(), ["evicted b", "evicted c"]);
    }
}
