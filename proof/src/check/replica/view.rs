//! What a read on a replica says about the beginning of the log that it has seen.

use super::knowledge::{Knowledge, Set};
use crate::check::bank::accounts_read;
use crate::check::objects::{called, returned};
use crate::check::transactions::reads;
use crate::history::{Action, Operation, Value};

/// A read of one key.
#[derive(Default)]
pub struct View<'a> {
    pub key: &'a str,
    /// Of the writes that it has seen, the one with the latest call.
    pub sees: Option<&'a Operation>,
    /// Of the acknowledged writes that it certainly lacks, the one with the earliest return.
    pub lacks: Option<&'a Operation>,
    /// Where it is in the order of the key's states, if that is known.
    pub place: Option<u64>,
    /// For registers: who wrote the value.
    pub written: Option<&'a Operation>,
    /// A register that never expires had no value yet.
    pub is_empty_register: bool,
    /// For sets: the members, ascending, and who added and removed them.
    pub members: &'a [u64],
    pub set: Option<&'a Set<'a>>,
    /// For lists: the read on the primary of which this is no beginning.
    pub contradicts: Option<&'a Operation>,
}

/// A view for each key that the operation has read.
pub fn views<'a>(read: &'a Operation, knowledge: &'a Knowledge<'a>) -> impl Iterator<Item = View<'a>> {
    let single = match (&read.action, read.value()) {
        (Action::Get { key }, Some(Value::Register(value))) => register(key, *value, false, knowledge),
        (Action::GetExpiring { key }, Some(Value::Register(value))) => register(key, *value, true, knowledge),
        (Action::ReadCounter { key }, Some(Value::Counter(total))) => {
            u64::try_from(*total).ok().and_then(|total| ordered(key, total, knowledge))
        }
        (Action::ReadList { key } | Action::ReadLedger { bank: key }, Some(Value::List(values))) => {
            list(key, values, read, knowledge)
        }
        (Action::ReadSet { key }, Some(Value::Members(members))) => set(key, members, knowledge),
        (Action::ReadAccounts { bank, .. }, _) => {
            let moves = accounts_read(read).and_then(|(_, moves)| u64::try_from(moves).ok());
            moves.and_then(|moves| ordered(bank, moves, knowledge))
        }
        _ => None,
    };
    let lists = reads(read).filter_map(|(key, values)| list(key, values, read, knowledge));
    single.into_iter().chain(lists)
}

fn ordered<'a>(key: &'a str, place: u64, knowledge: &Knowledge<'a>) -> Option<View<'a>> {
    let known = knowledge.ordered.get(key)?;
    let (sees, lacks) = (known.sees(place), known.lacks(place));
    Some(View { key, sees, lacks, place: Some(place), ..View::default() })
}

fn list<'a>(
    key: &'a str,
    values: &'a [u64],
    read: &Operation,
    knowledge: &Knowledge<'a>,
) -> Option<View<'a>> {
    let view = ordered(key, values.len() as u64, knowledge)?;
    let Some((order, longest)) = knowledge.ordered.get(key).and_then(|known| known.order) else {
        return Some(view);
    };
    // A longer list is fine, unless the primary was read afterwards.
    let may_be_ahead = values.starts_with(order) && called(longest) <= returned(read);
    let contradicts = (!order.starts_with(values) && !may_be_ahead).then_some(longest);
    Some(View { contradicts, ..view })
}

fn register<'a>(
    key: &'a str,
    value: Option<u64>,
    expires: bool,
    knowledge: &Knowledge<'a>,
) -> Option<View<'a>> {
    let known = knowledge.registers.get(key)?;
    let Some(value) = value else {
        // It may have expired, which says nothing.
        let lacks = if expires { None } else { known.after(i64::MIN) };
        return Some(View { key, lacks, is_empty_register: !expires, ..View::default() });
    };
    let writer = *known.writers.get(&value)?;
    let lacks = known.after(returned(writer));
    Some(View { key, sees: Some(writer), written: Some(writer), lacks, ..View::default() })
}

fn set<'a>(key: &'a str, members: &'a [u64], knowledge: &'a Knowledge<'a>) -> Option<View<'a>> {
    let known = knowledge.sets.get(key)?;
    let (sees, lacks) = (known.sees(members), known.lacks(members));
    Some(View { key, sees, lacks, members, set: Some(known), ..View::default() })
}
