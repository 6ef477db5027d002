//! PERDURA HANDOVER: another node leads. See `shard::handovers`.

use std::sync::Arc;

use crate::admin::shared::Shared;
use crate::admin::{Answer, Answering};
use crate::command::args::count;
use crate::command::{Args, CommandError};

/// Answers the number of the node that leads once this is known.
pub(super) fn handover(shared: &Arc<Shared>, args: &Args<'_>) -> Result<Answering, CommandError> {
    let to = match &args[2..] {
        [] => None,
        [to] => Some(count(to)? as u64),
        _ => return Err(CommandError::Syntax),
    };
    let shared = shared.clone();
    Ok(Box::pin(async move {
        let busy = || CommandError::other("ERR another handover is under way; try again");
        let handed = shared.shard.handovers.ask(to).ok_or_else(busy)?;
        let handed = handed.await.map_err(|_| CommandError::other("ERR the node is ending"))?;
        let leader = handed.map_err(|error| CommandError::other(format!("ERR {error}")))?;
        let answer: Answer = Box::new(move |reply| reply.integer(leader as i64));
        Ok(answer)
    }))
}
