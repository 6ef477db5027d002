//! What one writer tried and what was acknowledged, and the check of a server against it.
//!
//! - Each write has its own number; a write whose outcome is unknown is never tried again under that number.
//! - What was acknowledged must be there. What was tried and not acknowledged may be there, once, in its order.

use perdura_testkit::{Client, Reply};

/// Numbers of one writer's writes.
pub struct Ledger {
    writer: usize,
    /// Next number, so that all below it were tried.
    pub next: u64,
    /// Numbers of acknowledged writes, ascending.
    acknowledged: Vec<u64>,
    /// How many of `acknowledged` were checked by [`Ledger::check_new`].
    checked: usize,
}

/// Keys that MGET asks for at a time.
const BATCH: usize = 500;

impl Ledger {
    pub fn new(writer: usize) -> Ledger {
        Ledger { writer, next: 0, acknowledged: Vec::new(), checked: 0 }
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// The commands of write `n`: a key of its own, a transaction on two keys, or the end of a list.
    pub fn commands(&self, n: u64) -> Vec<String> {
        let writer = self.writer;
        match n % 3 {
            0 => vec![format!("SET single:{writer}:{n} {n}")],
            1 => vec![
                "MULTI".to_string(),
                format!("SET left:{writer} {n}"),
                format!("SET right:{writer} {n}"),
                "EXEC".to_string(),
            ],
            _ => vec![format!("RPUSH list:{writer} {n}")],
        }
    }

    pub fn acknowledge(&mut self, n: u64) {
        self.acknowledged.push(n);
    }

    /// Checks all that was acknowledged since the last check.
    pub fn check_new(&mut self, client: &mut Client) {
        self.check_singles(client, &self.acknowledged[self.checked..]);
        self.checked = self.acknowledged.len();
        self.check_pair(client);
        self.check_list(client);
    }

    /// Checks all that was ever acknowledged.
    pub fn check_all(&mut self, client: &mut Client) {
        self.checked = 0;
        self.check_new(client);
    }

    fn check_singles(&self, client: &mut Client, acknowledged: &[u64]) {
        let singles: Vec<u64> = acknowledged.iter().copied().filter(|n| n % 3 == 0).collect();
        for batch in singles.chunks(BATCH) {
            let keys: Vec<String> = batch.iter().map(|n| format!("single:{}:{n}", self.writer)).collect();
            let found = client.run(&format!("MGET {}", keys.join(" ")));
            for (n, value) in batch.iter().zip(found.items()) {
                assert_eq!(
                    *value,
                    Reply::bulk(n.to_string()),
                    "acknowledged write {n} of writer {}",
                    self.writer
                );
            }
        }
    }

    /// Both halves of a transaction have one number, no older than the last acknowledged and one that was tried.
    fn check_pair(&self, client: &mut Client) {
        let writer = self.writer;
        let pair = client.run(&format!("MGET left:{writer} right:{writer}"));
        let (left, right) = (number(&pair.items()[0]), number(&pair.items()[1]));
        assert_eq!(left, right, "half of a transaction of writer {writer}");
        let last = self.acknowledged.iter().copied().rfind(|n| n % 3 == 1);
        assert!(left >= last, "writer {writer}: acknowledged {last:?}, found {left:?}");
        assert!(left < Some(self.next), "writer {writer}: {left:?} was never tried");
    }

    /// The list ascends, holds all that was acknowledged, and nothing that was never tried.
    fn check_list(&self, client: &mut Client) {
        let list = client.run(&format!("LRANGE list:{} 0 -1", self.writer));
        let found: Vec<u64> = list.items().iter().filter_map(number).collect();
        assert!(found.is_sorted_by(|a, b| a < b), "writer {}: doubled or disordered {found:?}", self.writer);
        assert!(found.iter().all(|n| n % 3 == 2 && *n < self.next), "writer {}: never tried", self.writer);
        let missing = self.acknowledged.iter().find(|n| *n % 3 == 2 && found.binary_search(n).is_err());
        assert_eq!(missing, None, "acknowledged push of writer {}", self.writer);
    }
}

fn number(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Null => None,
        value => Some(value.text().parse().expect("writers write numbers")),
    }
}
