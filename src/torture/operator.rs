//! The operator of a group that does not elect by itself: a Redis with replicas.
//!
//! - Does what a careful operator, or a supervisor, does: when the primary does not serve any more, the replica that has got
//!   furthest becomes the primary, and all others follow it, the former primary as well once it is back.
//! - Nothing here favours loss: there is a pause before a promotion in which replication can catch up, and the replica with
//!   the highest offset is taken.

use std::io;
use std::time::Duration;

use perdura_proof::Reply;

use super::commands;
use super::connection::ask_once;
use super::fleet::Fleet;
use super::monitor::{View, parse_role};

const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Makes `primary` the primary of all that can be reached.
pub async fn appoint(fleet: &Fleet, view: &View, primary: usize) -> io::Result<()> {
    match fleet.promote_command() {
        Some(command) => {
            let address = &fleet.nodes[primary].address;
            commands::run(Some(command), primary, address).await?;
        }
        None => expect_ok(
            &ask_once(&fleet.nodes[primary].address, &["REPLICAOF", "NO", "ONE"], ANSWER_LIMIT).await?,
        )?,
    }
    view.appoint(primary);
    Ok(())
}

/// Lets every node that answers follow the primary. Whether all do.
pub async fn gather(fleet: &Fleet, primary: usize) -> bool {
    let mut all = true;
    for node in (0..fleet.nodes.len()).filter(|node| *node != primary) {
        all &= follow(fleet, node, primary).await.is_ok();
    }
    all
}

/// Makes the replica that has got furthest the primary, without the former one, and lets the others follow it.
///
/// # Errors
/// No replica answers, or the best one can't be promoted.
pub async fn fail_over(fleet: &Fleet, view: &View, former: usize) -> io::Result<usize> {
    let mut best: Option<(i64, usize)> = None;
    for node in (0..fleet.nodes.len()).filter(|node| *node != former) {
        let role = ask_once(&fleet.nodes[node].address, &["ROLE"], ANSWER_LIMIT).await;
        if let Some(role) = role.ok().as_ref().and_then(parse_role) {
            best = best.max(Some((role.offset, node)));
        }
    }
    let Some((_, successor)) = best else { return Err(io::Error::other("no replica answers")) };
    appoint(fleet, view, successor).await?;
    for node in (0..fleet.nodes.len()).filter(|node| ![former, successor].contains(node)) {
        // Who does not answer follows when everything is healed.
        let _ = follow(fleet, node, successor).await;
    }
    Ok(successor)
}

async fn follow(fleet: &Fleet, node: usize, primary: usize) -> io::Result<()> {
    let to = fleet.address_between(node, primary);
    let (host, port) = to.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
    let reply = ask_once(&fleet.nodes[node].address, &["REPLICAOF", host, port], ANSWER_LIMIT).await?;
    expect_ok(&reply)
}

fn expect_ok(reply: &Reply) -> io::Result<()> {
    match reply {
        Reply::Simple(text) if text.starts_with("OK") => Ok(()),
        other => Err(io::Error::other(format!("it answered {other}"))),
    }
}
