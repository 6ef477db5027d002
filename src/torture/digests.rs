//! Whether all nodes hold the same data in the end, by their own digests of it.

use std::time::Duration;

use perdura_proof::Reply;

use super::connection::NodeConnection;
use super::summary::{CheckLine, Status};

const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Digests are compared until they agree, for this long: what is under way to a replica arrives.
const TRIES: u32 = 100;
const TRY_PAUSE: Duration = Duration::from_millis(200);
const NAME: &str = "all nodes hold the same data";

/// Compares the nodes' answers to DEBUG DIGEST.
pub async fn check(nodes: &[String]) -> CheckLine {
    let mut digests = Vec::new();
    for _ in 0..TRIES {
        digests = all(nodes).await;
        if let Some(Ok(first)) = digests.first()
            && digests.iter().all(|digest| digest.as_ref() == Ok(first))
        {
            return CheckLine::new(NAME, Status::Passed, &format!("digest {first}"), Vec::new());
        }
        tokio::time::sleep(TRY_PAUSE).await;
    }
    let lines: Vec<String> = digests
        .iter()
        .zip(nodes)
        .map(|(digest, node)| match digest {
            Ok(digest) => format!("{node}: {digest}"),
            Err(error) => format!("{node} can't tell: {error}"),
        })
        .collect();
    let told = digests.iter().all(Result::is_ok);
    let status = if told { Status::Failed } else { Status::Undecided };
    CheckLine::new(NAME, status, "digests of all nodes", vec![lines.join("\n")])
}

async fn all(nodes: &[String]) -> Vec<Result<String, String>> {
    let mut digests = Vec::new();
    for node in nodes {
        digests.push(digest(node).await);
    }
    digests
}

async fn digest(node: &str) -> Result<String, String> {
    let mut connection = NodeConnection::open(node).await.map_err(|error| error.to_string())?;
    // A Redis outside a cluster refuses it, and answers for itself anyway.
    let _ = connection.ask(&["READONLY"], ANSWER_LIMIT).await;
    match connection.ask(&["DEBUG", "DIGEST"], ANSWER_LIMIT).await {
        Ok(Reply::Simple(digest)) => Ok(digest),
        Ok(other) => Err(other.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
