use super::*;
use crate::keyspace::types::zset::arena::Arena;

/// A tree over distinct whole scores, so that it can be driven without members.
struct Fixture {
    tree: CountedTree,
    handle: Handle,
}

impl Fixture {
    fn new(scores: impl IntoIterator<Item = u32>) -> Fixture {
        let handle = Arena::default().add(b"", 0.0);
        let mut fixture = Fixture { tree: CountedTree::new(), handle };
        scores.into_iter().for_each(|score| fixture.insert(score));
        fixture
    }

    fn insert(&mut self, score: u32) {
        let score = f64::from(score);
        self.tree.insert(Item { score, handle: self.handle }, &|item: &Item| item.score <= score);
    }

    fn remove(&mut self, score: u32) {
        let score = f64::from(score);
        let gone = self.tree.remove(&|item: &Item| item.score <= score);
        assert_eq!(gone.map(|item| item.score), Some(score));
    }

    fn scores(&self) -> Vec<u32> {
        self.tree.iter(0..self.tree.len()).map(|item| item.score as u32).collect()
    }

    /// Items per leaf slot.
    fn fill(&self) -> f64 {
        self.tree.len() as f64 / (self.tree.nodes.leaves * Leaf::CAPACITY) as f64
    }

    fn check(&self) {
        let mut seen = NodeCount::default();
        assert_eq!(check_node(&self.tree.root, &mut seen), self.tree.len());
        assert_eq!((seen.leaves, seen.inners), (self.tree.nodes.leaves, self.tree.nodes.inners));
    }
}

/// Checks what inner nodes say of their children; returns the items below.
fn check_node(node: &Node, seen: &mut NodeCount) -> usize {
    match node {
        Node::Leaf(leaf) => {
            seen.leaves += 1;
            leaf.len()
        }
        Node::Inner(inner) => {
            seen.inners += 1;
            let below = (0..inner.len()).map(|at| {
                let items = check_node(inner.child(at), seen);
                assert!(items > 0);
                assert_eq!(inner.count_up_to(at + 1) - inner.count_up_to(at), items);
                assert_eq!(inner.first(at), inner.child(at).first());
                items
            });
            below.sum()
        }
    }
}

/// 0..count in an order that looks random: `step` must share no factor with `count`.
fn strided(count: u32, step: u32) -> impl Iterator<Item = u32> {
    (0..count).map(move |i| (u64::from(i) * u64::from(step) % u64::from(count)) as u32)
}

#[test]
fn appending_and_prepending_leave_full_leaves() {
    for fixture in [Fixture::new(0..50_000), Fixture::new((0..50_000).rev())] {
        fixture.check();
        assert_eq!(fixture.scores(), (0..50_000).collect::<Vec<_>>());
        assert!(fixture.fill() > 0.98, "{}", fixture.fill());
    }
}

#[test]
fn scattered_inserts_fill_leaves_well() {
    let fixture = Fixture::new(strided(50_000, 27_361));
    fixture.check();
    assert_eq!(fixture.scores(), (0..50_000).collect::<Vec<_>>());
    assert!(fixture.fill() > 0.7, "{}", fixture.fill());
}

#[test]
fn ranks_and_items_agree() {
    let fixture = Fixture::new(strided(20_000, 7_919));
    for rank in (0..20_000).step_by(37) {
        assert_eq!(fixture.tree.get(rank).map(|item| item.score), Some(rank as f64));
        assert_eq!(fixture.tree.count_before(&|item: &Item| item.score < rank as f64), rank);
    }
    assert_eq!(fixture.tree.get(20_000), None);
    assert_eq!(fixture.tree.count_before(&|_: &Item| true), 20_000);
}

#[test]
fn removals_shrink_it_to_one_leaf() {
    let mut fixture = Fixture::new(0..50_000);
    for (round, score) in strided(50_000, 27_361).enumerate() {
        fixture.remove(score);
        if round % 5_000 == 0 {
            fixture.check();
        }
        if round == 40_000 {
            assert!(fixture.fill() > 0.36, "{}", fixture.fill());
        }
    }
    assert_eq!((fixture.tree.len(), fixture.tree.nodes.leaves, fixture.tree.nodes.inners), (0, 1, 0));
    assert_eq!(fixture.tree.remove(&|_: &Item| true), None);
    fixture.insert(7);
    assert_eq!(fixture.scores(), [7]);
}

#[test]
fn walks_from_both_ends_meet() {
    let fixture = Fixture::new(0..1_000);
    let mut walk = fixture.tree.iter(100..900);
    let mut seen = Vec::new();
    while let Some(front) = walk.next() {
        seen.push(front.score);
        seen.extend(walk.next_back().map(|back| back.score));
        seen.extend(walk.next_back().map(|back| back.score));
    }
    seen.sort_by(f64::total_cmp);
    assert_eq!(seen, (100..900).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn a_tree_can_be_dropped_leaf_by_leaf() {
    let mut fixture = Fixture::new(0..10_000);
    let leaves = fixture.tree.nodes.leaves;
    let dropped = (0..).take_while(|_| fixture.tree.drop_one()).count();
    assert_eq!(dropped, leaves);
}
