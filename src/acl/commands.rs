//! The table of commands as rules name it, and sets of its rows.

/// The table of commands: each command and each subcommand has a number, counted from 0.
pub trait Commands {
    /// How many numbers there are.
    fn count(&self) -> usize;

    /// The number of a command (`get`) or a subcommand (`config|get`), whatever the case.
    fn find(&self, name: &[u8]) -> Option<usize>;

    /// The numbers of a command's subcommands; none where it has none.
    fn subcommands(&self, command: usize) -> Vec<usize>;

    /// The numbers of a category's commands and subcommands; `None` where there is no such category.
    fn category(&self, name: &[u8]) -> Option<Vec<usize>>;
}

/// A set of commands, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSet(Box<[u64]>);

impl CommandSet {
    /// With all of so many commands, or none.
    pub fn new(count: usize, all: bool) -> CommandSet {
        let word = if all { u64::MAX } else { 0 };
        CommandSet(vec![word; count.div_ceil(64)].into())
    }

    pub fn contains(&self, command: usize) -> bool {
        self.0.get(command / 64).is_some_and(|word| word >> (command % 64) & 1 == 1)
    }

    pub fn set(&mut self, command: usize, is_in: bool) {
        let Some(word) = self.0.get_mut(command / 64) else { return };
        let bit = 1 << (command % 64);
        *word = if is_in { *word | bit } else { *word & !bit };
    }
}
