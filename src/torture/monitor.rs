//! Who leads, and how far the others are: every node is asked for its ROLE a few dozen times a second.
//!
//! - A failover is counted whenever another node than before becomes the primary.
//! - A group that elects by itself is believed when only one of its nodes says that it is the primary: one that has just
//!   been replaced, and does not know yet, says so too for a moment. Where somebody else appoints the primary (a
//!   Redis), what nodes say of themselves does not count.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use perdura_proof::Reply;

use super::connection::NodeConnection;

const POLL: Duration = Duration::from_millis(25);
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// What a node said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    pub is_primary: bool,
    /// A replica's connection to its primary; true for a primary.
    pub is_connected: bool,
    /// How much of the data it has, in units of the system's own.
    pub offset: i64,
}

/// What is known of all nodes. Clones are the same view.
#[derive(Clone, Debug)]
pub struct View(Rc<RefCell<Known>>);

#[derive(Debug)]
struct Known {
    roles: Vec<Option<Role>>,
    /// Nodes elect by themselves.
    elects: bool,
    primary: Option<usize>,
    failovers: u32,
}

impl View {
    /// Nothing known yet of so many nodes.
    pub fn new(nodes: usize, elects: bool) -> View {
        View(Rc::new(RefCell::new(Known { roles: vec![None; nodes], elects, primary: None, failovers: 0 })))
    }

    pub fn primary(&self) -> Option<usize> {
        self.0.borrow().primary
    }

    pub fn failovers(&self) -> u32 {
        self.0.borrow().failovers
    }

    /// From now on this node is the primary.
    pub fn appoint(&self, node: usize) {
        let mut known = self.0.borrow_mut();
        if known.primary.is_some_and(|before| before != node) {
            known.failovers += 1;
        }
        known.primary = Some(node);
    }

    /// How far the primary is, if every node answers, there is one primary, and the others are connected to it.
    pub fn settled_offset(&self) -> Option<i64> {
        let known = self.0.borrow();
        let roles: Vec<Role> = known.roles.iter().copied().collect::<Option<_>>()?;
        let primary = known.only_primary().filter(|node| known.primary == Some(*node))?;
        let settled = roles.iter().all(|role| role.is_connected);
        settled.then_some(roles[primary].offset)
    }

    /// Whether all nodes have got as far as `offset`.
    pub fn has_reached(&self, offset: i64) -> bool {
        let known = self.0.borrow();
        known.roles.iter().all(|role| role.is_some_and(|role| role.offset >= offset))
    }

    fn heard(&self, node: usize, role: Option<Role>) {
        self.0.borrow_mut().roles[node] = role;
        let only = self.0.borrow().only_primary();
        if let Some(primary) = only.filter(|_| self.0.borrow().elects) {
            self.appoint(primary);
        }
    }

    /// Asks a node again and again, for ever.
    pub async fn watch(self, node: usize, address: String) {
        loop {
            self.watch_once(node, &address).await;
            self.heard(node, None);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Until the connection fails.
    async fn watch_once(&self, node: usize, address: &str) {
        let Ok(mut connection) = NodeConnection::open(address).await else { return };
        while let Ok(reply) = connection.ask(&["ROLE"], ANSWER_LIMIT).await {
            self.heard(node, parse_role(&reply));
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Known {
    /// The node that says that it is the primary, if no other does.
    fn only_primary(&self) -> Option<usize> {
        let says_so = |node: &usize| self.roles[*node].is_some_and(|role| role.is_primary);
        let mut primaries = (0..self.roles.len()).filter(says_so);
        primaries.next().filter(|_| primaries.next().is_none())
    }
}

/// The reply to ROLE; none while a node is loading, or is no node of this kind.
pub fn parse_role(reply: &Reply) -> Option<Role> {
    let Reply::Array(Some(fields)) = reply else { return None };
    let integer = |at: usize| match fields.get(at) {
        Some(Reply::Integer(number)) => Some(*number),
        _ => None,
    };
    match (text(fields.first()?)?, fields.len()) {
        (b"master", 3) => Some(Role { is_primary: true, is_connected: true, offset: integer(1)? }),
        (b"slave", 5) => {
            let is_connected = text(&fields[3])? == b"connected";
            Some(Role { is_primary: false, is_connected, offset: integer(4)? })
        }
        _ => None,
    }
}

fn text(reply: &Reply) -> Option<&[u8]> {
    match reply {
        Reply::Bulk(Some(bytes)) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: Role = Role { is_primary: true, is_connected: true, offset: 10 };
    const REPLICA: Role = Role { is_primary: false, is_connected: true, offset: 8 };

    #[test]
    fn a_failover_is_another_primary_than_before() {
        let view = View::new(2, true);
        view.heard(0, Some(PRIMARY));
        view.heard(0, None);
        view.heard(0, Some(PRIMARY));
        assert_eq!((view.primary(), view.failovers()), (Some(0), 0));
        view.heard(1, Some(PRIMARY));
        assert_eq!((view.primary(), view.failovers()), (Some(0), 0));
        view.heard(0, Some(REPLICA));
        assert_eq!((view.primary(), view.failovers()), (Some(1), 1));
    }

    #[test]
    fn a_former_primary_that_wakes_up_is_not_believed() {
        let view = View::new(2, true);
        view.heard(0, Some(PRIMARY));
        view.heard(0, None);
        view.heard(1, Some(PRIMARY));
        view.heard(0, Some(PRIMARY));
        assert_eq!((view.primary(), view.failovers()), (Some(1), 1));
        view.heard(0, Some(REPLICA));
        assert_eq!((view.primary(), view.failovers()), (Some(1), 1));
    }

    #[test]
    fn an_appointed_primary_does_not_care_what_others_say() {
        let view = View::new(2, false);
        view.appoint(0);
        view.heard(1, Some(PRIMARY));
        assert_eq!((view.primary(), view.failovers()), (Some(0), 0));
    }

    #[test]
    fn a_group_is_settled_when_all_answer_and_one_leads() {
        let view = View::new(2, true);
        view.heard(0, Some(PRIMARY));
        assert_eq!(view.settled_offset(), None);
        view.heard(1, Some(REPLICA));
        assert_eq!(view.settled_offset(), Some(10));
        assert!(!view.has_reached(10) && view.has_reached(8));
        view.heard(1, Some(Role { is_connected: false, ..REPLICA }));
        assert_eq!(view.settled_offset(), None);
    }

    #[test]
    fn roles_are_read_as_redis_writes_them() {
        let reply = |bytes: &[u8]| Reply::parse(bytes).expect("sound").expect("whole").0;
        let primary = reply(b"*3\r\n$6\r\nmaster\r\n:10\r\n*0\r\n");
        assert_eq!(parse_role(&primary), Some(PRIMARY));
        let replica = reply(b"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:8\r\n");
        assert_eq!(parse_role(&replica), Some(REPLICA));
        assert_eq!(parse_role(&reply(b"-LOADING\r\n")), None);
    }
}
