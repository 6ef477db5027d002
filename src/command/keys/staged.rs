//! A command or transaction that is too long for one entry, on its way through the log in parts.
//!
//! - `_part OFFSET TOTAL BYTES` puts bytes of an entry's item behind those that are staged; offset 0 begins a new item, and a total
//!   of 0 only forgets the old one. `_staged` stands for the item once all of it is there: apply runs the item in its place.
//! - What is staged follows from the log alone. No checkpoint holds it, so none begins while there is any.
//! - The primary proposes both commands, one item at a time; no client may send them.

use crate::command::args::count;
use crate::command::spec::Flags;
use crate::command::{Args, Command, CommandError, CommandResult, WriteContext};
use crate::protocol::reply::Reply;

/// The name under which a part is logged.
pub const PART: &[u8] = b"_part";
/// The name of what stands for the whole item.
pub const STAGED: &[u8] = b"_staged";

/// No item is longer; a log's entries never were.
const MAX_BYTES: usize = 1 << 30;

pub(super) const PART_COMMAND: Command = Command::write("_part", 4, put_part).flags(&[Flags::INTERNAL]).docs(
    "",
    "O(N) where N is the number of bytes",
    "Brings a part of a command that is too long for one entry.",
);

pub(super) const STAGED_COMMAND: Command = Command::write("_staged", 1, refuse_staged)
    .flags(&[Flags::INTERNAL])
    .docs("", "That of the command", "Runs the command that was brought in parts.");

/// What has come of an item.
#[derive(Debug, Default)]
pub struct Staging {
    bytes: Vec<u8>,
    total: usize,
}

impl Staging {
    /// Puts a part in its place; false, and nothing is staged any more, where it does not follow what is there.
    pub fn put(&mut self, offset: usize, total: usize, part: &[u8]) -> bool {
        if offset == 0 && total <= MAX_BYTES {
            *self = Staging { bytes: Vec::with_capacity(total), total };
        }
        let follows =
            offset == self.bytes.len() && total == self.total && part.len() <= self.total - self.bytes.len();
        if follows {
            self.bytes.extend_from_slice(part);
        } else {
            *self = Staging::default();
        }
        follows
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are there.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The item, if all of it is there.
    pub fn item(&self) -> Option<&[u8]> {
        (self.total > 0 && self.bytes.len() == self.total).then_some(&*self.bytes)
    }

    /// The item, if all of it is there. Nothing is staged afterwards.
    pub fn take_item(&mut self) -> Option<Vec<u8>> {
        let staged = std::mem::take(self);
        staged.item().is_some().then_some(staged.bytes)
    }
}

fn put_part(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (offset, total) = (count(args[1])?, count(args[2])?);
    if !ctx.stage(offset, total, args[3]) {
        return Err(CommandError::other("ERR the part does not follow what is staged"));
    }
    reply.ok();
    Ok(())
}

/// Apply puts the item in its place, so only a nested one comes here.
fn refuse_staged(_: &mut WriteContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR nothing is staged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_whole_when_its_parts_came_in_order() {
        let mut staging = Staging::default();
        assert!(staging.put(0, 5, b"ab") && staging.put(2, 5, b"cd"));
        assert_eq!((staging.item(), staging.len()), (None, 4));
        assert!(staging.put(4, 5, b"e"));
        assert_eq!(staging.item(), Some(&b"abcde"[..]));
        assert_eq!(staging.take_item().as_deref(), Some(&b"abcde"[..]));
        assert!(staging.is_empty() && staging.item().is_none());
    }

    #[test]
    fn a_part_that_does_not_follow_leaves_nothing() {
        let begun = || {
            let mut staging = Staging::default();
            assert!(staging.put(0, 5, b"ab"));
            staging
        };
        for (offset, total, part) in
            [(1, 5, &b"c"[..]), (3, 5, b"c"), (2, 6, b"c"), (2, 5, b"cdef"), (0, 3, b"long")]
        {
            let mut staging = begun();
            assert!(!staging.put(offset, total, part), "{offset} of {total}");
            assert!(staging.is_empty() && staging.take_item().is_none());
        }
        let mut staging = begun();
        assert!(staging.put(0, 0, b"") && staging.is_empty() && staging.item().is_none());
        assert!(!staging.put(0, MAX_BYTES + 1, b"x"));
    }
}
