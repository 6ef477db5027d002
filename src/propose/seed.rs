//! The hash seed in an entry that brings one: whether it is there, and the entry as clients may read it.

use std::borrow::Cow;

use super::entry::{EntryArgs, EntryReader, Item};
use crate::command::HASH_SEED;
use crate::keyspace::hash_seed::{HashSeed, SEED_BYTES};

/// How the names of commands begin that no client may send.
const OWN: &[u8] = b"_";

/// Where the seed is in an entry that brings one: among the server's own commands at its beginning.
fn seed_at(payload: &[u8]) -> Option<usize> {
    let (_, mut reader) = EntryReader::open(payload).ok()?;
    let mut args = EntryArgs::new();
    while let Some(Item::Single) = reader.next_item().ok()? {
        reader.skip_command(&mut args).ok()?;
        match args[..] {
            [name, seed] if name == HASH_SEED && seed.len() == SEED_BYTES => {
                return Some(seed.as_ptr().addr() - payload.as_ptr().addr());
            }
            [name, ..] if name.starts_with(OWN) => {}
            _ => return None,
        }
    }
    None
}

/// Whether an entry brings the seed.
pub fn brings_seed(payload: &[u8]) -> bool {
    seed_at(payload).is_some()
}

/// An entry as clients may read it: the seed is not in it.
pub fn for_readers(payload: &[u8]) -> Cow<'_, [u8]> {
    let Some(at) = seed_at(payload) else { return Cow::from(payload) };
    let seed = HashSeed::from_bytes(&payload[at..at + SEED_BYTES]).unwrap_or_default();
    let mut shown = payload.to_vec();
    shown[at..at + SEED_BYTES].copy_from_slice(&seed.for_readers().to_bytes());
    Cow::from(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::context::Stamp;
    use crate::propose::entry::{write_header, write_single};

    #[test]
    fn readers_of_an_entry_do_not_see_its_seed() {
        let seed = HashSeed::new(0x1111_2222_3333_4444, 0x5555_6666_7777_8888);
        let entry = |seed: HashSeed| {
            let mut payload = Vec::new();
            write_header(&mut payload, Stamp { now_ms: 5, seed: 6 });
            write_single(&mut payload, 0, &[b"_clusterid", &[7; 8]]);
            write_single(&mut payload, 0, &[HASH_SEED, &seed.to_bytes()]);
            write_single(&mut payload, 3, &[b"SET", b"a", b"1"]);
            payload
        };
        assert_eq!(*for_readers(&entry(seed)), entry(seed.for_readers()));
        assert!(brings_seed(&entry(seed)));
        let mut own = Vec::new();
        write_header(&mut own, Stamp { now_ms: 5, seed: 6 });
        write_single(&mut own, 0, &[b"SET", b"a", &entry(seed)]);
        for payload in [&own[..], b"", &own[..20]] {
            assert_eq!(*for_readers(payload), *payload, "what is no seed is as it was written");
            assert!(!brings_seed(payload));
        }
    }
}
