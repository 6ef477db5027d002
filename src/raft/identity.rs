//! Which node this is, which members its group has, and how the nodes of a group find each other.
//!
//! - Which cluster a log belongs to is a random id that the log brings (`cluster.rs`). The group's key only says which nodes may form
//!   one: it follows from the members' ids and from the name that the operator gave. Addresses are no part of it: nodes may move, and may
//!   have different addresses for one another (translated by a network, or by a proxy).
//! - The identity is written into the log when the log is created. A later start as another node, or with other members, is refused, for
//!   a log under a wrong identity can make a cluster forget what it acknowledged.
//! - Older builds told clusters apart by names and addresses alone, and wrote a hash of those into the log. A log of theirs starts where
//!   that hash is right; from its first entry by this build on, names and addresses are free.

use thiserror::Error;
use xxhash_rust::xxh3::Xxh3Default;

use super::memo;

/// The id of a node, unique in its cluster and never zero.
pub type NodeId = u64;

/// What the nodes of a group have in common before their logs know a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey(pub u64);

impl std::fmt::Display for GroupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl GroupKey {
    /// What older builds made of this name (may be empty) and these initial members and peer addresses, in any order.
    pub fn derive(name: &str, members: &[(NodeId, String)]) -> GroupKey {
        let mut members: Vec<_> = members.iter().collect();
        members.sort_unstable();
        let mut hash = Xxh3Default::new();
        hash_text(&mut hash, name);
        for (id, address) in members {
            hash.update(&id.to_le_bytes());
            hash_text(&mut hash, address);
        }
        GroupKey(hash.digest())
    }

    /// The key of the group of this name (may be empty) with these members, wherever they are.
    pub fn named(name: &str, members: &[NodeId]) -> GroupKey {
        let nowhere: Vec<_> = members.iter().map(|id| (*id, String::new())).collect();
        GroupKey::derive(name, &nowhere)
    }
}

fn hash_text(hash: &mut Xxh3Default, text: &str) {
    hash.update(&(text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

/// A node's place in its cluster, as its log remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub key: GroupKey,
    pub node_id: NodeId,
    /// All voters in rising order of their ids, this node among them.
    pub members: Vec<NodeId>,
    /// What older builds call the cluster under the same settings.
    pub older_key: GroupKey,
}

/// Why an identity can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    #[error("node ids start at 1; node id 0 is invalid")]
    ZeroNodeId,
    #[error("node id {id} stands twice in the initial cluster")]
    DuplicateMember { id: NodeId },
    #[error("node id {node_id} is not among the members {members:?}")]
    NotAMember { node_id: NodeId, members: Vec<NodeId> },
    #[error("a cluster has at most {MAX_MEMBERS} members, not {count}")]
    TooManyMembers { count: usize },
    #[error(
        "an older build wrote this log under another --cluster-name, or other addresses: {stored}, where these settings make \
         {configured}. Start it with those that it had; from its next write on both may change"
    )]
    OtherSettings { stored: GroupKey, configured: GroupKey },
    #[error("the log belongs to node {stored}, but the configuration says this is node {configured}")]
    OtherNode { stored: NodeId, configured: NodeId },
    #[error("the log knows the members {stored:?}, but the configuration names {configured:?}")]
    OtherMembers { stored: Vec<NodeId>, configured: Vec<NodeId> },
    #[error("the log's metadata has version {found}, which is newer than this build")]
    UnknownVersion { found: u8 },
    #[error("the log's metadata is {found} bytes long where {expected} were expected")]
    WrongLength { found: usize, expected: usize },
}

/// The most voters of one group.
pub const MAX_MEMBERS: usize = 31;
/// Of the identity alone; `memo.rs` has the versions of an identity with a memo.
const FORMAT_VERSION: u8 = 1;
pub(super) const HEADER_BYTES: usize = 1 + 8 + 8 + 8;

impl Identity {
    /// The identity of `node_id` among `members`, which may come in any order.
    pub fn new(key: GroupKey, node_id: NodeId, mut members: Vec<NodeId>) -> Result<Identity, IdentityError> {
        members.sort_unstable();
        check_members(node_id, &members)?;
        Ok(Identity { key, node_id, members, older_key: key })
    }

    /// The same, and what older builds call the cluster.
    pub fn once_called(self, older_key: GroupKey) -> Identity {
        Identity { older_key, ..self }
    }

    /// This node's place among the members.
    pub fn rank(&self) -> usize {
        self.members.partition_point(|&id| id < self.node_id)
    }

    /// How many voters are a majority.
    pub fn quorum(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// As older builds kept it in the log: version, key, node id, number of members, members; all little-endian. `memo.rs` has what is
    /// kept now.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT_VERSION];
        let fixed = [self.key.0, self.node_id, self.members.len() as u64];
        for number in fixed.iter().chain(&self.members) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The identity in these bytes, with a memo or without.
    pub fn decode(bytes: &[u8]) -> Result<Identity, IdentityError> {
        match bytes.first() {
            Some(&FORMAT_VERSION) => {}
            Some(&version) if let Some(plain) = memo::without_memo(version, bytes) => {
                return Identity::decode(&[&[FORMAT_VERSION], &plain[1..]].concat());
            }
            Some(&found) => return Err(IdentityError::UnknownVersion { found }),
            None => return Err(wrong_length(bytes, HEADER_BYTES)),
        }
        let numbers: Vec<u64> =
            bytes[1..].as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
        let [key, node_id, count, members @ ..] = numbers.as_slice() else {
            return Err(wrong_length(bytes, HEADER_BYTES));
        };
        let whole = HEADER_BYTES + members.len() * 8 == bytes.len();
        if *count != members.len() as u64 || !whole {
            let expected = HEADER_BYTES.saturating_add((*count as usize).saturating_mul(8));
            return Err(wrong_length(bytes, expected));
        }
        Identity::new(GroupKey(*key), *node_id, members.to_vec())
    }

    /// Refuses a configured identity that is not the stored one.
    pub fn check_same(&self, configured: &Identity) -> Result<(), IdentityError> {
        if self.node_id != configured.node_id {
            return Err(IdentityError::OtherNode { stored: self.node_id, configured: configured.node_id });
        }
        if self.members != configured.members {
            return Err(IdentityError::OtherMembers {
                stored: self.members.clone(),
                configured: configured.members.clone(),
            });
        }
        Ok(())
    }

    /// Refuses a log that an older build wrote under another name, or with other addresses.
    pub fn check_settings(&self, configured: &Identity) -> Result<(), IdentityError> {
        let (stored, configured) = (self.key, configured.older_key);
        if stored == configured { Ok(()) } else { Err(IdentityError::OtherSettings { stored, configured }) }
    }
}

fn check_members(node_id: NodeId, sorted: &[NodeId]) -> Result<(), IdentityError> {
    if sorted.len() > MAX_MEMBERS {
        let count = sorted.len();
        return Err(IdentityError::TooManyMembers { count });
    }
    if node_id == 0 || sorted.first() == Some(&0) {
        return Err(IdentityError::ZeroNodeId);
    }
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(IdentityError::DuplicateMember { id: pair[0] });
    }
    if !sorted.contains(&node_id) {
        return Err(IdentityError::NotAMember { node_id, members: sorted.to_vec() });
    }
    Ok(())
}

fn wrong_length(bytes: &[u8], expected: usize) -> IdentityError {
    IdentityError::WrongLength { found: bytes.len(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ids: &[NodeId]) -> Vec<(NodeId, String)> {
        ids.iter().map(|id| (*id, format!("host{id}:1"))).collect()
    }

    #[test]
    fn what_older_builds_derive_depends_on_name_members_and_addresses_but_not_on_their_order() {
        let id = GroupKey::derive("", &members(&[1, 2, 3]));
        assert_eq!(id, GroupKey::derive("", &members(&[3, 1, 2])));
        assert_ne!(id, GroupKey::derive("blue", &members(&[1, 2, 3])));
        assert_ne!(id, GroupKey::derive("", &members(&[1, 2])));
        let mut moved = members(&[1, 2, 3]);
        moved[0].1 = "elsewhere:1".into();
        assert_ne!(id, GroupKey::derive("", &moved));
    }

    #[test]
    fn a_name_takes_the_place_of_the_addresses() {
        let id = GroupKey::named("blue", &[1, 2, 3]);
        assert_eq!(id, GroupKey::named("blue", &[3, 2, 1]));
        assert_ne!(id, GroupKey::named("green", &[1, 2, 3]));
        assert_ne!(id, GroupKey::named("blue", &[1, 2]));
        assert_eq!(id.to_string(), "43446b6f6e9f1f88");
    }

    #[test]
    fn the_derivation_never_changes_between_releases() {
        let id = GroupKey::derive("blue", &members(&[1, 2, 3]));
        assert_eq!(id.to_string(), "512f7b5f02bbe356");
    }

    #[test]
    fn an_identity_survives_its_bytes_and_damage_is_refused() -> Result<(), IdentityError> {
        let identity = Identity::new(GroupKey(7), 2, vec![3, 2, 1])?;
        let bytes = identity.encode();
        assert_eq!(Identity::decode(&bytes)?, identity);
        for cut in 0..bytes.len() {
            assert!(Identity::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let newer = [&[9], &bytes[1..]].concat();
        let refused = Identity::decode(&newer);
        assert_eq!(refused, Err(IdentityError::UnknownVersion { found: 9 }));
        Ok(())
    }

    #[test]
    fn impossible_members_are_refused() {
        let make = |node, ids: &[NodeId]| Identity::new(GroupKey(1), node, ids.to_vec());
        assert_eq!(make(0, &[0, 1]), Err(IdentityError::ZeroNodeId));
        let twice = Err(IdentityError::DuplicateMember { id: 2 });
        assert_eq!(make(1, &[2, 1, 2]), twice);
        assert!(matches!(make(4, &[1, 2]), Err(IdentityError::NotAMember { .. })));
        let many: Vec<_> = (1..=32).collect();
        assert_eq!(make(1, &many), Err(IdentityError::TooManyMembers { count: 32 }));
    }

    #[test]
    fn another_configuration_than_the_stored_one_is_named() -> Result<(), IdentityError> {
        let stored = Identity::new(GroupKey(1), 1, vec![1, 2, 3])?;
        let other_node = Identity::new(GroupKey(1), 2, vec![1, 2, 3])?;
        let renamed = Identity::new(GroupKey(2), 1, vec![1, 2, 3])?;
        let other_members = Identity::new(GroupKey(1), 1, vec![1])?;
        assert_eq!(stored.check_same(&stored), Ok(()));
        assert!(matches!(stored.check_same(&other_node), Err(IdentityError::OtherNode { .. })));
        assert_eq!(
            stored.check_same(&renamed),
            Ok(()),
            "names and addresses only say how nodes find each other"
        );
        assert!(matches!(stored.check_settings(&renamed), Err(IdentityError::OtherSettings { .. })));
        assert_eq!(stored.check_settings(&renamed.once_called(GroupKey(1))), Ok(()));
        assert!(matches!(stored.check_same(&other_members), Err(IdentityError::OtherMembers { .. })));
        Ok(())
    }
}
