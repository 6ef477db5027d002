//! Stories of tracking clients without a shard.

use super::*;
use crate::propose::reply::ConnectionId;

const ANY: Watcher = (9, ConnectionId { index: u32::MAX, generation: 0 });

fn client(index: u32) -> Watcher {
    (0, ConnectionId { index, generation: 0 })
}

#[derive(Default)]
struct Told(Vec<String>);

impl SendPush for Told {
    fn send_push(&mut self, to: Watcher, message: &[u8], route: PushRoute) {
        let words: Vec<String> = String::from_utf8_lossy(message)
            .split("\r\n")
            .filter(|word| !word.is_empty() && !word.starts_with(['>', '$', '*']))
            .map(str::to_owned)
            .collect();
        let redirected = if route == PushRoute::Redirected { "!" } else { "" };
        self.0.push(format!("{}{redirected} {}", to.1.index, words.join(" ")));
    }
}

#[derive(Default)]
struct Node {
    tracking: Tracking,
    broken: Arc<AtomicBool>,
}

impl Node {
    fn enable(&self, index: u32, wish: TrackingWish) {
        self.tracking.enable(client(index), wish, &self.broken);
    }

    fn tell(&self, tell: impl FnOnce(&mut Changes<'_>, &mut Told)) -> Vec<String> {
        let mut told = Told::default();
        tell(&mut self.tracking.changes(), &mut told);
        told.0
    }

    fn change(&self, key: &str, actor: Watcher) -> Vec<String> {
        self.tell(|changes, told| changes.key(key.as_bytes(), actor, told))
    }
}

#[test]
fn a_reader_is_told_once_and_only_of_what_it_has_read() {
    let node = Node::default();
    node.enable(1, TrackingWish::default());
    node.enable(2, TrackingWish::default());
    node.tracking.remember(b"a", client(1));
    assert_eq!(node.change("b", ANY), [""; 0]);
    assert_eq!(node.change("a", ANY), ["1 invalidate a"]);
    assert_eq!(node.change("a", ANY), [""; 0]);
}

#[test]
fn with_noloop_own_changes_are_not_told() {
    let node = Node::default();
    node.enable(1, TrackingWish { no_loop: true, ..TrackingWish::default() });
    node.enable(2, TrackingWish::default());
    for index in [1, 2] {
        node.tracking.remember(b"a", client(index));
    }
    assert_eq!(node.change("a", client(1)), ["2 invalidate a"]);
    node.tracking.remember(b"a", client(2));
    assert_eq!(node.change("a", client(2)), ["2 invalidate a"]);
}

#[test]
fn a_broadcast_is_told_by_prefix_without_own_changes() {
    let node = Node::default();
    let prefixes = |prefix: &str| vec![prefix.as_bytes().into()];
    node.enable(1, TrackingWish { broadcasts: true, prefixes: prefixes("a"), ..TrackingWish::default() });
    let wish = TrackingWish { broadcasts: true, prefixes: prefixes(""), no_loop: true, redirect: None };
    node.enable(2, wish);
    assert_eq!(node.change("a1", ANY), [""; 0]);
    node.change("b1", client(2));
    assert_eq!(node.tell(|changes, told| changes.broadcast(told)), ["2 invalidate a1", "1 invalidate a1"]);
    assert_eq!(node.tell(|changes, told| changes.broadcast(told)), [""; 0]);
    assert_eq!(node.tracking.counts().prefixes, 2);
    node.tracking.disable(client(2));
    assert_eq!(node.tracking.counts().prefixes, 1);
}

#[test]
fn messages_are_redirected_until_their_target_is_gone() {
    let node = Node::default();
    node.enable(1, TrackingWish { redirect: Some((7, client(5))), ..TrackingWish::default() });
    node.tracking.remember(b"a", client(1));
    assert_eq!(node.change("a", ANY), ["5! invalidate a"]);
    node.tracking.remember(b"a", client(1));
    let mut told = Told::default();
    node.tracking.forget(client(5), &mut told);
    assert!(node.broken.load(Ordering::Relaxed));
    assert_eq!(told.0, ["1 tracking-redir-broken :7"]);
    assert_eq!(node.change("a", ANY), [""; 0], "it knows that nothing will be told");
}

#[test]
fn everything_is_told_to_all_and_nothing_stays_remembered() {
    let node = Node::default();
    node.enable(1, TrackingWish::default());
    node.enable(2, TrackingWish { broadcasts: true, ..TrackingWish::default() });
    node.tracking.remember(b"a", client(1));
    assert_eq!(node.tell(|changes, told| changes.everything(told)), ["1 invalidate _", "2 invalidate _"]);
    assert_eq!(node.tracking.counts().keys, 0);
}

#[test]
fn past_the_bound_keys_leave_and_their_readers_are_told() {
    let node = Node::default();
    node.tracking.set_max_keys(2);
    node.enable(1, TrackingWish::default());
    let over: Vec<bool> =
        ["a", "b", "c", "d"].map(|key| node.tracking.remember(key.as_bytes(), client(1))).into();
    assert_eq!(over, [false, false, true, true]);
    assert_eq!(node.tell(|changes, told| changes.limit(told)).len(), 2);
    assert_eq!(node.tracking.counts().keys, 2);
    assert_eq!(node.tell(|changes, told| changes.limit(told)), [""; 0]);
}

#[test]
fn what_could_not_be_remembered_makes_everything_stale() {
    let node = Node::default();
    node.tracking.set_max_keys(1);
    node.enable(1, TrackingWish::default());
    for key in 0..2000_u32 {
        node.tracking.remember(&key.to_le_bytes(), client(1));
    }
    assert!(node.tracking.counts().keys < 1100);
    assert_eq!(node.tell(|changes, told| changes.limit(told)), ["1 invalidate _"]);
    assert_eq!(node.tracking.counts().keys, 0);
}

#[test]
fn a_change_that_overtakes_the_answer_of_a_read_sent_on_is_told_again() {
    let node = Node::default();
    node.enable(1, TrackingWish::default());
    let begun = node.tracking.begin_reads([&b"a"[..], b"b"].into_iter(), client(1));
    assert_eq!(node.change("a", ANY), ["1 invalidate a"]);
    let mut told = Told::default();
    node.tracking.end_reads(&begun, client(1), &mut told);
    assert_eq!(told.0, ["1 invalidate a"]);
    assert_eq!(node.change("b", ANY), ["1 invalidate b"], "its answer came before the change");
    assert_eq!(node.change("a", ANY), [""; 0]);
}

#[test]
fn of_reads_sent_on_a_broadcasting_client_is_told_again_as_well() {
    let node = Node::default();
    let prefixes = vec![b"a".as_slice().into()];
    node.enable(1, TrackingWish { broadcasts: true, prefixes, ..TrackingWish::default() });
    let begun = node.tracking.begin_reads([&b"a"[..], b"b"].into_iter(), client(1));
    assert_eq!(begun, [Box::from(&b"a"[..])]);
    node.change("a", ANY);
    let mut told = Told::default();
    node.tracking.end_reads(&begun, client(1), &mut told);
    assert_eq!(told.0, ["1 invalidate a"]);
    assert_eq!(node.tracking.counts().keys, 0);
}

#[test]
fn the_last_client_that_leaves_turns_tracking_off() {
    let node = Node::default();
    assert!(!node.tracking.is_on());
    node.enable(1, TrackingWish::default());
    node.tracking.remember(b"a", client(1));
    assert!(node.tracking.is_on());
    node.tracking.forget(client(1), &mut Told::default());
    assert!(!node.tracking.is_on());
    assert_eq!(node.tracking.counts(), TrackingCounts::default());
}
