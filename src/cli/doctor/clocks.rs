//! How far the calendars of a group's members are apart, and from this machine's.

use std::time::Duration;

use redis_protocol::resp2::types::OwnedFrame;

use super::Finding;
use crate::cli::connection::{AskError, Connection, parts};
use crate::cli::status::group::{Group, Member};
use crate::env::Clock;

/// Calendars that are further apart are worth a look: times to live and restores to a time go by them.
const APART_MS: i64 = 500;

/// A member's calendar against this machine's.
struct Offset {
    node_id: u64,
    ahead_ms: i64,
    /// How far that may be wrong: half of the time that the answer took.
    error_ms: i64,
}

pub(super) fn look(group: &Group, timeout: Duration) -> Finding {
    let asked: Vec<Result<Offset, AskError>> =
        group.members.iter().map(|member| offset(member, timeout)).collect();
    let offsets: Vec<&Offset> = asked.iter().flatten().collect();
    let (Some(first), Some(last)) =
        (offsets.iter().min_by_key(|one| one.ahead_ms), offsets.iter().max_by_key(|one| one.ahead_ms))
    else {
        return Finding::look("clocks", "no member tells its time".to_owned());
    };
    let apart_ms = last.ahead_ms - first.ahead_ms;
    let worst_ms = offsets.iter().map(|one| one.ahead_ms.abs()).max().unwrap_or(0);
    let error_ms = offsets.iter().map(|one| one.error_ms).max().unwrap_or(0);
    let each: Vec<String> =
        offsets.iter().map(|one| format!("node {} {:+} ms", one.node_id, one.ahead_ms)).collect();
    let text = format!("against this machine: {} (±{error_ms} ms)", each.join(", "));
    match apart_ms.max(worst_ms) > APART_MS + error_ms {
        false => Finding::good("clocks", text),
        true => Finding::look(
            "clocks",
            format!(
                "{text}: set the calendar that is wrong (chronyc makestep), and keep it right: docs/operations.md, A clock is wrong"
            ),
        ),
    }
}

/// Asks a member for its time; the middle of question and answer is taken for the moment that it looked.
fn offset(member: &Member, timeout: Duration) -> Result<Offset, AskError> {
    let clock = Clock::system();
    let mut connection = Connection::open(&member.target, timeout)?;
    let before_us = clock.unix_us();
    let answer = parts(connection.ask(&["TIME"])?)?;
    let after_us = clock.unix_us();
    let [seconds, micros] = <[OwnedFrame; 2]>::try_from(answer).map_err(|_| AskError::Foreign)?;
    let there_us = number(&seconds)? * 1_000_000 + number(&micros)?;
    Ok(Offset {
        node_id: member.report.node_id,
        ahead_ms: (there_us - (before_us + after_us) / 2) / 1000,
        error_ms: (after_us - before_us) / 2000 + 1,
    })
}

fn number(frame: &OwnedFrame) -> Result<i64, AskError> {
    let OwnedFrame::BulkString(text) = frame else { return Err(AskError::Foreign) };
    let text = std::str::from_utf8(text).map_err(|_| AskError::Foreign)?;
    text.parse().map_err(|_| AskError::Foreign)
}
