//! The scripts that the system database knows: what EVAL and SCRIPT LOAD brought survives restarts and a change of the primary.
//!
//! ```text
//! script:DIGEST  = origin:u8 number:u64le text         ; origin 0: EVAL, 1: SCRIPT LOAD; numbers grow
//! scripts        = number:u64le count:u64le{2} bytes:u64le   ; the next number; scripts of each origin; bytes of all texts
//! ```
//!
//! - Of what only EVAL brought some [`MAX_EVALUATED`] are known, of all together [`MAX_SCRIPTS`] of [`MAX_BYTES`]. Where they become more,
//!   the oldest quarter goes, at once: what came by EVAL first.

use super::scripts::{MAX_BYTES, MAX_SCRIPTS, Sha};
use crate::command::{ReadContext, WriteContext};

/// Scripts that only EVAL brought.
const MAX_EVALUATED: usize = 500;

const PREFIX: &[u8] = b"script:";
const TOTALS: &[u8] = b"scripts";
const HEAD_BYTES: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Eval,
    Load,
}

/// The name under which a script is kept.
pub fn name_of(sha: &Sha) -> Vec<u8> {
    [PREFIX, sha].concat()
}

/// The text of a script. The command locks the name's range.
pub fn text_of<'a>(context: &ReadContext<'a>, sha: &Sha) -> Option<&'a [u8]> {
    context.system(&name_of(sha))?.get(HEAD_BYTES..)
}

#[derive(Clone, Copy, Default)]
struct Totals {
    next: u64,
    counts: [u64; 2],
    bytes: u64,
}

impl Totals {
    fn read(context: &WriteContext<'_>) -> Totals {
        let bytes = context.system(TOTALS).unwrap_or_default();
        let word = |nth: usize| bytes.get(8 * nth..8 * nth + 8).and_then(|word| word.try_into().ok());
        let word = |nth: usize| word(nth).map_or(0, u64::from_le_bytes);
        Totals { next: word(0), counts: [word(1), word(2)], bytes: word(3) }
    }

    fn write(self, context: &mut WriteContext<'_>) {
        let words = [self.next, self.counts[0], self.counts[1], self.bytes];
        context.set_system(TOTALS, &words.map(u64::to_le_bytes).concat());
    }

    fn are_too_many(self, share: (u64, u64)) -> bool {
        let most = |limit: usize| limit as u64 * share.0 / share.1;
        self.counts[0] > most(MAX_EVALUATED)
            || self.counts[0] + self.counts[1] > most(MAX_SCRIPTS)
            || self.bytes > most(MAX_BYTES)
    }
}

fn origin_of(value: &[u8]) -> Origin {
    if value.first() == Some(&1) { Origin::Load } else { Origin::Eval }
}

/// Keeps a script. The command locks the whole keyspace.
pub fn keep(context: &mut WriteContext<'_>, sha: &Sha, text: &[u8], origin: Origin) {
    let name = name_of(sha);
    let before = context.system(&name).map(origin_of);
    if before.is_some_and(|before| before == Origin::Load || origin == Origin::Eval) {
        return;
    }
    let mut totals = Totals::read(context);
    if before.is_some() {
        totals.counts[0] -= 1;
        totals.bytes -= text.len() as u64;
    }
    let head = [&[origin as u8][..], &totals.next.to_le_bytes()].concat();
    context.set_system(&name, &[&head, text].concat());
    totals.next += 1;
    totals.counts[origin as usize] += 1;
    totals.bytes += text.len() as u64;
    if totals.are_too_many((1, 1)) {
        forget_oldest(context, &mut totals);
    }
    totals.write(context);
}

/// Forgets scripts until there is room for a quarter of what may be known.
fn forget_oldest(context: &mut WriteContext<'_>, totals: &mut Totals) {
    let mut all: Vec<(u8, u64, Vec<u8>, u64)> = Vec::new();
    for (rest, value) in context.all_in_system(PREFIX) {
        let Some((head, text)) = value.split_at_checked(HEAD_BYTES) else { continue };
        let number = head[1..].try_into().map_or(0, u64::from_le_bytes);
        all.push((head[0], number, [PREFIX, rest].concat(), text.len() as u64));
    }
    all.sort_unstable();
    // The newest stays, whatever its length.
    let newest = totals.next - 1;
    for (origin, number, name, bytes) in all {
        if !totals.are_too_many((3, 4)) {
            return;
        }
        let too_many_of_eval = totals.counts[0] > MAX_EVALUATED as u64 * 3 / 4;
        let others = totals.counts[0] + totals.counts[1] > MAX_SCRIPTS as u64 * 3 / 4
            || totals.bytes > MAX_BYTES as u64 * 3 / 4;
        if number == newest || origin == Origin::Load as u8 && too_many_of_eval && !others {
            continue;
        }
        context.remove_system(&name);
        totals.counts[usize::from(origin.min(1))] -= 1;
        totals.bytes -= bytes;
    }
}

/// Forgets all scripts. The command locks the whole keyspace.
pub fn forget_all(context: &mut WriteContext<'_>) {
    let all = context.all_in_system(PREFIX);
    let names: Vec<Vec<u8>> = all.into_iter().map(|(rest, _)| [PREFIX, rest].concat()).collect();
    for name in names {
        context.remove_system(&name);
    }
    let next = Totals::read(context).next;
    Totals { next, ..Totals::default() }.write(context);
}
