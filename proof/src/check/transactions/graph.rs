//! Who depends on whom, and where that goes round in a circle.

use std::collections::{HashMap, HashSet, VecDeque};

/// Sets of reasons, as bits.
pub type Reasons = u8;
pub const WRITES: Reasons = 1;
pub const READS: Reasons = 2;
pub const OVERWRITES: Reasons = 4;
pub const CLOCK: Reasons = 8;

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'a> {
    /// It appended `value`, and the other one `next` right behind it (ww).
    Wrote { key: &'a str, value: u64, next: u64 },
    /// It appended `value`, up to which the other one has read (wr).
    WasRead { key: &'a str, value: u64 },
    /// It has read up to the place where the other one appended `next` (rw, an anti-dependency).
    Read { key: &'a str, next: u64 },
    /// It was over before the other one began.
    Clock,
}

impl Why<'_> {
    pub fn reason(&self) -> Reasons {
        match self {
            Why::Wrote { .. } => WRITES,
            Why::WasRead { .. } => READS,
            Why::Read { .. } => OVERWRITES,
            Why::Clock => CLOCK,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge<'a> {
    pub from: usize,
    pub to: usize,
    pub why: Why<'a>,
}

/// Nodes that all searches of one circle together may set out from, times its size; a few are always tried.
const WORK_ON_A_CIRCLE: usize = 500_000;

pub struct Graph<'a> {
    edges: Vec<Vec<Edge<'a>>>,
}

impl<'a> Graph<'a> {
    pub fn new(nodes: usize) -> Graph<'a> {
        Graph { edges: vec![Vec::new(); nodes] }
    }

    /// A node does not depend on itself.
    pub fn add(&mut self, from: usize, to: usize, why: Why<'a>) {
        if from != to {
            self.edges[from].push(Edge { from, to, why });
        }
    }

    pub fn edges(&self, from: usize, reasons: Reasons) -> impl Iterator<Item = &Edge<'a>> {
        self.edges[from].iter().filter(move |edge| edge.why.reason() & reasons != 0)
    }

    /// Groups of two nodes or more that all lead to each other (Tarjan 1972), without recursion.
    pub fn circles(&self, reasons: Reasons) -> Vec<Vec<usize>> {
        let mut tarjan = Tarjan::new(self.edges.len());
        for root in 0..self.edges.len() {
            if tarjan.numbers[root] == 0 {
                tarjan.visit(self, root, reasons);
            }
        }
        tarjan.found
    }

    /// A shortest way between two nodes of a group, if there is one inside it.
    pub fn way(
        &self,
        from: usize,
        to: usize,
        reasons: Reasons,
        group: &HashSet<usize>,
    ) -> Option<Vec<Edge<'a>>> {
        let mut came_by: HashMap<usize, Edge> = HashMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            for edge in self.edges(node, reasons).filter(|edge| group.contains(&edge.to)) {
                if came_by.contains_key(&edge.to) {
                    continue;
                }
                came_by.insert(edge.to, *edge);
                if edge.to == to {
                    return Some(walk_back(&came_by, from, to));
                }
                queue.push_back(edge.to);
            }
        }
        None
    }

    /// How often a way in a group of this size may be searched: what is shown of a big one need not be the shortest.
    pub fn searches(size: usize) -> usize {
        (WORK_ON_A_CIRCLE / size).clamp(4, 1_000)
    }

    /// A short cycle in a group: the shortest one through any of its first nodes.
    pub fn cycle(&self, reasons: Reasons, group: &[usize]) -> Option<Vec<Edge<'a>>> {
        let members: HashSet<usize> = group.iter().copied().collect();
        let starts = group.iter().take(Graph::searches(group.len()));
        starts.filter_map(|start| self.way(*start, *start, reasons, &members)).min_by_key(Vec::len)
    }
}

fn walk_back<'a>(came_by: &HashMap<usize, Edge<'a>>, from: usize, to: usize) -> Vec<Edge<'a>> {
    let mut way = vec![came_by[&to]];
    while way[way.len() - 1].from != from {
        way.push(came_by[&way[way.len() - 1].from]);
    }
    way.reverse();
    way
}

struct Tarjan {
    /// In the order of the visits from 1; 0 is not visited yet.
    numbers: Vec<usize>,
    lowest: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    visited: usize,
    found: Vec<Vec<usize>>,
}

impl Tarjan {
    fn new(nodes: usize) -> Tarjan {
        Tarjan {
            numbers: vec![0; nodes],
            lowest: vec![0; nodes],
            on_stack: vec![false; nodes],
            stack: Vec::new(),
            visited: 0,
            found: Vec::new(),
        }
    }

    fn visit(&mut self, graph: &Graph, root: usize, reasons: Reasons) {
        self.enter(root);
        // A node and how many of its edges have been followed.
        let mut path = vec![(root, 0)];
        while let Some((node, followed)) = path.last_mut() {
            let (node, edge) = (*node, graph.edges[*node].get(*followed));
            *followed += 1;
            match edge {
                Some(edge) if edge.why.reason() & reasons == 0 => {}
                Some(edge) if self.numbers[edge.to] == 0 => {
                    self.enter(edge.to);
                    path.push((edge.to, 0));
                }
                Some(edge) if self.on_stack[edge.to] => {
                    self.lowest[node] = self.lowest[node].min(self.numbers[edge.to]);
                }
                Some(_) => {}
                None => {
                    path.pop();
                    self.leave(node);
                    if let Some((parent, _)) = path.last() {
                        self.lowest[*parent] = self.lowest[*parent].min(self.lowest[node]);
                    }
                }
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.visited += 1;
        self.numbers[node] = self.visited;
        self.lowest[node] = self.visited;
        self.on_stack[node] = true;
        self.stack.push(node);
    }

    fn leave(&mut self, node: usize) {
        if self.lowest[node] != self.numbers[node] {
            return;
        }
        let from = self.stack.iter().rposition(|member| *member == node).expect("a node is left once");
        let mut group = self.stack.split_off(from);
        group.iter().for_each(|member| self.on_stack[*member] = false);
        if group.len() > 1 {
            group.sort_unstable();
            self.found.push(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: usize, edges: &[(usize, usize)]) -> Graph<'static> {
        let mut graph = Graph::new(nodes);
        edges.iter().for_each(|(from, to)| graph.add(*from, *to, Why::Clock));
        graph
    }

    #[test]
    fn groups_that_lead_to_each_other_are_found() {
        let graph = graph(8, &[(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 5), (5, 4), (6, 7)]);
        let mut circles = graph.circles(CLOCK);
        circles.sort();
        assert_eq!(circles, [vec![0, 1, 2], vec![4, 5]]);
        assert!(graph.circles(WRITES).is_empty());
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let nodes = 200_000;
        let ring: Vec<(usize, usize)> = (0..nodes).map(|node| (node, (node + 1) % nodes)).collect();
        assert_eq!(graph(nodes, &ring).circles(CLOCK)[0].len(), nodes);
    }

    #[test]
    fn the_cycle_shown_is_short() {
        let graph = graph(5, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (2, 0)]);
        let cycle = graph.cycle(CLOCK, &[0, 1, 2, 3, 4]).expect("there are two");
        let nodes: Vec<usize> = cycle.iter().map(|edge| edge.from).collect();
        assert_eq!(nodes, [0, 1, 2]);
    }
}
