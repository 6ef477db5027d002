//! CONFIG SET of what the group shares, on its way to the log.
//!
//! - The primary logs the texts that will hold, checked: apply can't fail on one. A change of this node alone runs on the spot.
//! - In a transaction it travels with the commands that touch data where it is good, and is a local step, which answers the error, where
//!   it is not: whether it is good depends on its arguments alone.

use super::{Line, Session, Verdict};
use crate::admin::client::Queued;
use crate::admin::server::planned_parameters;
use crate::admin::table::{SessionCommand, TableRow};
use crate::command::Args;
use crate::command::system::{PARAMETERS, SET_PARAMETERS};
use crate::config::runtime::{Planned, RuntimeConfig};
use crate::loading::REFUSAL;

impl Session {
    pub(super) fn set_parameters(
        &mut self,
        row: &'static TableRow,
        args: &Args<'_>,
        line: &mut Line,
    ) -> Verdict {
        let Some(own) = logged_parameters(&self.shared.config, args) else {
            return self.run_local(row, args, line);
        };
        if self.shared.shard.loading.is_under_way() {
            return self.refuse_here(line, REFUSAL);
        }
        if !self.shared.shard.is_primary() {
            return self.forward_or_refuse(line);
        }
        if line.has_unanswered() {
            return Verdict::Wait;
        }
        let own: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
        let verdict = self.enqueue_own(line, &own);
        line.barrier = verdict == Verdict::Taken;
        verdict
    }

    /// Whether a queued command is a CONFIG SET that is logged.
    pub(super) fn sets_group(&self, queued: &Queued) -> bool {
        queued.command.0.session() == Some(SessionCommand::SetParameters)
            && logged_parameters(&self.shared.config, &queued.slices()).is_some()
    }
}

/// What is logged where nothing is set.
pub(super) fn no_parameters() -> Vec<Vec<u8>> {
    [PARAMETERS, SET_PARAMETERS].map(<[u8]>::to_vec).into()
}

/// What is logged for a CONFIG SET; `None` where it changes this node alone, or is wrong.
pub(super) fn logged_parameters(config: &RuntimeConfig, args: &Args<'_>) -> Option<Vec<Vec<u8>>> {
    let Ok(Planned::Group(texts)) = planned_parameters(config, args) else { return None };
    let texts = texts.into_iter().flat_map(|(name, text)| [name.as_bytes().to_vec(), text.into_bytes()]);
    Some(no_parameters().into_iter().chain(texts).collect())
}
