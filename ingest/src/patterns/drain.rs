//! Clusters of lines with the same shape: a tree over the first tokens leads to few candidates, the most similar one takes
//! the line, and where a line differs from its cluster the cluster's token becomes a wildcard.

use std::collections::HashMap;

use super::counts::Counts;
use super::tokens::{Format, Tokens, WILDCARD};

/// How many tokens lead through the tree.
const MAX_DEPTH: usize = 28;
/// Branches of a node; further tokens share the wildcard's.
const MAX_BRANCHES: usize = 15;
/// Share of equal tokens from which a line belongs to a cluster.
const MIN_SIMILARITY: f64 = 0.3;
/// Clusters of a level of a stream; the one that has waited longest for a line makes room.
const MAX_CLUSTERS: usize = 300;
/// Most slots that remember which cluster took lines of a shape; there are about four a cluster.
const MAX_SHAPES: usize = 1_024;
/// Bytes that a cluster takes beside its texts and counts, about.
const CLUSTER_BYTES: usize = 160;

/// Lines of one shape.
#[derive(Debug)]
pub(super) struct Cluster {
    words: Vec<Box<str>>,
    blanks: Vec<u8>,
    pub counts: Counts,
    /// Order of use, for making room.
    used: u64,
}

/// Which cluster took a line of this shape, and how many such lines there were.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    hash: u64,
    cluster: u32,
    lines: u32,
}

#[derive(Debug, Default)]
struct Node {
    branches: Vec<(Box<str>, u32)>,
    clusters: Vec<u32>,
}

/// The clusters of a level of a stream.
#[derive(Debug)]
pub(super) struct Drain {
    format: Format,
    nodes: Vec<Node>,
    /// The first node of lines with so many tokens.
    roots: HashMap<usize, u32>,
    clusters: HashMap<u32, Cluster>,
    next_id: u32,
    clock: u64,
    shapes: Vec<Shape>,
}

impl Drain {
    pub(super) fn new(format: Format) -> Self {
        Drain {
            format,
            nodes: Vec::new(),
            roots: HashMap::new(),
            clusters: HashMap::new(),
            next_id: 0,
            clock: 0,
            shapes: Vec::new(),
        }
    }

    /// Counts a line. Lines that only differ in their digits from one seen before are looked at whole only now and then.
    pub(super) fn add(&mut self, line: &str, time_ns: i64, room: bool) {
        self.clock += 1;
        let hash = shape_hash(line);
        let slots = (4 * self.clusters.len()).next_power_of_two().clamp(16, MAX_SHAPES);
        if self.shapes.len() < slots {
            self.shapes.clear();
            self.shapes.resize(slots, Shape::default());
        }
        let slot = hash as usize % self.shapes.len();
        let shape = self.shapes[slot];
        if shape.hash == hash
            && !is_due(shape.lines)
            && let Some(cluster) = self.clusters.get_mut(&shape.cluster)
        {
            cluster.counts.add(time_ns);
            cluster.used = self.clock;
            self.shapes[slot].lines = shape.lines.wrapping_add(1);
            return;
        }
        let Some(cluster) = self.learn(line, time_ns, room) else {
            return;
        };
        let lines = if shape.hash == hash {
            shape.lines.wrapping_add(1)
        } else {
            1
        };
        self.shapes[slot] = Shape { hash, cluster, lines };
    }

    fn learn(&mut self, line: &str, time_ns: i64, room: bool) -> Option<u32> {
        let mut tokens = Tokens::default();
        if !self.format.split(line, &mut tokens) {
            return None;
        }
        let id = match self.search(&tokens.words) {
            Some(id) => id,
            None if !room => return None,
            None => self.create(&tokens),
        };
        let clock = self.clock;
        let cluster = self.clusters.get_mut(&id)?;
        for (word, token) in cluster.words.iter_mut().zip(&tokens.words) {
            if **word != **token && &**word != WILDCARD {
                *word = WILDCARD.into();
            }
        }
        cluster.counts.add(time_ns);
        cluster.used = clock;
        Some(id)
    }

    fn branch(&self, node: u32, word: &str) -> Option<u32> {
        let branches = &self.nodes.get(node as usize)?.branches;
        branches.iter().find(|(w, _)| **w == *word).map(|(_, node)| *node)
    }

    /// The cluster most like these tokens among those that the tree leads to.
    fn search(&self, words: &[&str]) -> Option<u32> {
        let mut node = *self.roots.get(&words.len())?;
        for word in words.iter().take(depth(words.len())) {
            node = self.branch(node, word).or_else(|| self.branch(node, WILDCARD))?;
        }
        let candidates = self.nodes.get(node as usize)?.clusters.iter();
        let mut best: Option<(f64, usize, u32)> = None;
        for id in candidates {
            let Some(cluster) = self.clusters.get(id) else { continue };
            let (similarity, wildcards) = similarity(&cluster.words, words);
            let better = best.is_none_or(|(s, w, _)| similarity > s || (similarity == s && wildcards > w));
            if similarity >= MIN_SIMILARITY && better {
                best = Some((similarity, wildcards, *id));
            }
        }
        best.map(|(_, _, id)| id)
    }

    fn create(&mut self, tokens: &Tokens<'_>) -> u32 {
        if self.clusters.len() >= MAX_CLUSTERS {
            let oldest = self.clusters.iter().min_by_key(|(_, cluster)| cluster.used);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.clusters.remove(&id);
            }
            if self.nodes.len() > 4 * MAX_CLUSTERS * MAX_BRANCHES {
                self.rebuild();
            }
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.clusters.insert(
            id,
            Cluster {
                words: tokens.words.iter().map(|word| (*word).into()).collect(),
                blanks: tokens.blanks.clone(),
                counts: Counts::default(),
                used: self.clock,
            },
        );
        self.plant(id, &tokens.words);
        id
    }

    /// Adds a cluster to the tree.
    fn plant(&mut self, id: u32, words: &[&str]) {
        let mut node = match self.roots.get(&words.len()) {
            Some(node) => *node,
            None => {
                let node = self.grow();
                self.roots.insert(words.len(), node);
                node
            }
        };
        for word in words.iter().take(depth(words.len())) {
            node = match self.branch(node, word) {
                Some(next) => next,
                None => self.new_branch(node, word),
            };
        }
        let known: Vec<u32> = std::mem::take(&mut self.nodes[node as usize].clusters);
        let live = known.into_iter().filter(|id| self.clusters.contains_key(id));
        let live: Vec<u32> = live.chain([id]).collect();
        self.nodes[node as usize].clusters = live;
    }

    /// A branch for a token that has none: its own while there is room, else the wildcard's. Tokens with digits differ
    /// from line to line and never get their own.
    fn new_branch(&mut self, node: u32, word: &str) -> u32 {
        let wildcard = self.branch(node, WILDCARD);
        let branches = self.nodes[node as usize].branches.len();
        let room = match wildcard {
            Some(_) => branches < MAX_BRANCHES,
            None => branches + 1 < MAX_BRANCHES,
        };
        let own = room && !word.chars().any(char::is_numeric);
        if let (false, Some(wildcard)) = (own, wildcard) {
            return wildcard;
        }
        let next = self.grow();
        let word = if own { word } else { WILDCARD };
        self.nodes[node as usize].branches.push((word.into(), next));
        next
    }

    fn grow(&mut self) -> u32 {
        self.nodes.push(Node::default());
        (self.nodes.len() - 1) as u32
    }

    /// Plants the tree anew, without branches that lead nowhere.
    fn rebuild(&mut self) {
        self.nodes.clear();
        self.roots.clear();
        let clusters: Vec<(u32, Vec<Box<str>>)> = self.clusters.iter().map(|(id, c)| (*id, c.words.clone())).collect();
        for (id, words) in clusters {
            let words: Vec<&str> = words.iter().map(|word| &**word).collect();
            self.plant(id, &words);
        }
    }

    /// Forgets lines before a time, and clusters that have no others.
    pub(super) fn prune(&mut self, oldest_ns: i64) {
        let before = self.clusters.len();
        self.clusters.retain(|_, cluster| {
            cluster.counts.prune(oldest_ns);
            cluster.counts.newest_ns().is_some()
        });
        if self.clusters.len() < before {
            self.rebuild();
        }
    }

    /// Whether it knows nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }

    /// The patterns with their counts.
    pub(super) fn patterns(&self) -> impl Iterator<Item = (String, &Counts)> {
        let patterns = self.clusters.values();
        patterns.map(|cluster| (self.format.join(&cluster.words, &cluster.blanks), &cluster.counts))
    }

    /// The newest step of each cluster.
    pub(super) fn newest_ns(&self) -> impl Iterator<Item = i64> {
        self.clusters.values().filter_map(|cluster| cluster.counts.newest_ns())
    }

    /// Heap bytes held, about.
    pub(super) fn size_bytes(&self) -> usize {
        let cluster = |c: &Cluster| {
            let words: usize = c.words.iter().map(|w| w.len() + 16).sum();
            CLUSTER_BYTES + words + c.blanks.len() + c.counts.size_bytes()
        };
        let node = |n: &Node| size_of::<Node>() + n.branches.len() * 40 + n.clusters.len() * 4;
        self.clusters.values().map(cluster).sum::<usize>()
            + self.nodes.iter().map(node).sum::<usize>()
            + self.shapes.len() * size_of::<Shape>()
    }
}

/// How many of so many tokens lead through the tree; the last one never does.
fn depth(words: usize) -> usize {
    MAX_DEPTH.min(words.saturating_sub(1))
}

/// The share of equal tokens, and the number of wildcards.
fn similarity(cluster: &[Box<str>], words: &[&str]) -> (f64, usize) {
    let (mut equal, mut wildcards) = (0, 0);
    for (own, word) in cluster.iter().zip(words) {
        if &**own == WILDCARD {
            wildcards += 1;
        } else if **own == **word {
            equal += 1;
        }
    }
    (f64::from(equal) / cluster.len().max(1) as f64, wildcards)
}

/// Whether the next line of a shape is looked at whole: the first ones, then ever fewer.
fn is_due(lines: u32) -> bool {
    lines < 4 || lines.is_power_of_two() || lines.is_multiple_of(64)
}

/// A hash of what is no digit; 0 is never a hash.
fn shape_hash(line: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut digits = false;
    for byte in line.bytes() {
        if byte.is_ascii_digit() {
            if digits {
                continue;
            }
            digits = true;
        } else {
            digits = false;
        }
        let byte = if digits { b'0' } else { byte };
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(format: Format, lines: &[&str]) -> Vec<String> {
        let mut drain = Drain::new(format);
        lines.iter().for_each(|line| drain.add(line, 1_000_000_000_000, true));
        let mut out: Vec<String> = drain.patterns().map(|(text, _)| text).collect();
        out.sort();
        out
    }

    #[test]
    fn what_differs_becomes_a_wildcard() {
        assert_eq!(
            patterns(
                Format::Text,
                &[
                    "user alice logged in from 10.0.0.1",
                    "user alice logged in from 10.0.0.2",
                    "user alice logged in from localhost",
                    "cache miss for key k1 in 5ms",
                    "cache miss for key k2 in 17ms",
                ]
            ),
            ["cache miss for key <_> in <_>", "user alice logged in from <_>"]
        );
        assert_eq!(
            patterns(
                Format::Logfmt,
                &[
                    "ts=1 level=info msg=\"a b\" took=5ms",
                    "ts=2 level=info msg=\"a b\" took=7ms"
                ]
            ),
            ["ts=<_> level=info msg=\"a b\" took=<_>"]
        );
        assert_eq!(
            patterns(
                Format::Json,
                &[
                    r#"{"n":1,"msg":"order 17 was shipped"}"#,
                    r#"{"n":2,"msg":"order 18 was shipped"}"#
                ]
            ),
            ["<_>order <_> was shipped<_>"]
        );
    }

    #[test]
    fn lines_of_a_known_shape_are_counted_without_a_look() {
        let mut drain = Drain::new(Format::Text);
        for n in 0..1_000 {
            drain.add(
                &format!("request {n} took {} ms", n % 7),
                i64::from(n) * 100_000_000,
                true,
            );
        }
        let counted: Vec<(String, u64)> = drain
            .patterns()
            .map(|(text, counts)| {
                let mut sum = 0;
                counts.for_range(0, i64::MAX, 10_000_000_000, |_, n| sum += n);
                (text, sum)
            })
            .collect();
        assert_eq!(counted, [("request <_> took <_> ms".to_string(), 1_000)]);
    }

    #[test]
    fn clusters_are_bounded_and_pruned() {
        let mut drain = Drain::new(Format::Text);
        let word = |n: usize| -> String { (0..4).map(|i| char::from(b'a' + (n >> (4 * i) & 15) as u8)).collect() };
        for n in 0..5_000 {
            let (a, b, c, d) = (word(n), word(n * 7), word(n * 13), word(n * 31));
            drain.add(&format!("{a} {b} {c} {d} {a}"), 0, true);
        }
        assert!(drain.clusters.len() <= MAX_CLUSTERS, "{}", drain.clusters.len());
        assert!(drain.size_bytes() < 8 << 20, "{}", drain.size_bytes());
        drain.add("nothing like it is known here", 0, false);
        assert!(!drain.patterns().any(|(text, _)| text.starts_with("nothing")));
        drain.prune(1);
        assert!(drain.is_empty());
        assert!(drain.nodes.is_empty());
    }
}
