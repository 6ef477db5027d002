//! The arguments that LMPOP, ZMPOP and their blocking forms share.

use super::args::{at_least, is};
use super::error::CommandError;
use super::{Args, CommandResult};

/// `numkeys key [key …] side [COUNT count]`; a side is LEFT or RIGHT, MIN or MAX.
pub struct MultiPop<'a, 'b, Side> {
    pub keys: &'b Args<'a>,
    pub side: Side,
    pub count: usize,
}

impl<'a, 'b, Side> MultiPop<'a, 'b, Side> {
    pub fn parse(
        args: &'b Args<'a>,
        parse_side: impl Fn(&[u8]) -> Result<Side, CommandError>,
    ) -> Result<Self, CommandError> {
        let key_count = at_least(1, args[0], "ERR numkeys should be greater than 0")?;
        let (keys, rest) = args[1..].split_at_checked(key_count).ok_or(CommandError::Syntax)?;
        let (side, options) = rest.split_first().ok_or(CommandError::Syntax)?;
        let side = parse_side(side)?;
        let count = match options {
            [] => 1,
            [option, count] if is(option, "COUNT") => {
                at_least(1, count, "ERR count should be greater than 0")?
            }
            _ => return Err(CommandError::Syntax),
        };
        Ok(MultiPop { keys, side, count })
    }

    /// Says what is wrong with the arguments of a blocking form but its timeout, which stands first.
    pub fn check_blocking(
        args: &'b Args<'a>,
        parse_side: impl Fn(&[u8]) -> Result<Side, CommandError>,
    ) -> CommandResult {
        Self::parse(&args[2..], parse_side).map(drop)
    }
}
