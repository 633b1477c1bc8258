//! The tree that Go's parser makes of a pattern (Go `regexp/syntax/parse.go`): common beginnings of alternatives are pulled
//! out, neighbouring letters joined. Only what decides whether a pattern is plain text is kept of it; everything else is
//! [`Node::Other`].

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Matches the empty text.
    Empty,
    /// Letters, perhaps of either case.
    Literal(Vec<char>, bool),
    /// A class of characters, by how it is written.
    Class(String),
    /// `.` that stops at line ends.
    AnyButNewline,
    Star(Box<Node>, bool),
    Plus(Box<Node>, bool),
    Quest(Box<Node>),
    /// `{n,m}`; without `m` there is no upper bound.
    Repeat(u32, Option<u32>, Box<Node>),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Capture(Box<Node>),
    /// Anything else, by how it is written.
    Other(String),
    /// An open parenthesis; whether it captures.
    LeftParen(bool),
    /// `|`
    Bar,
}

impl Node {
    fn is_pseudo(&self) -> bool {
        matches!(self, Node::LeftParen(_) | Node::Bar)
    }

    fn is_class(&self) -> bool {
        match self {
            Node::Literal(runes, _) => runes.len() == 1,
            Node::Class(_) | Node::AnyButNewline => true,
            _ => false,
        }
    }

    /// Whether the innermost thing is repeated at most `n` times.
    fn repeats_at_most(&self, n: u32) -> bool {
        match self {
            Node::Repeat(_, Some(0), _) => true,
            Node::Repeat(min, max, sub) => {
                let times = max.unwrap_or(*min);
                times <= n && sub.repeats_at_most(n.checked_div(times).unwrap_or(n))
            }
            Node::Star(sub, _) | Node::Plus(sub, _) | Node::Quest(sub) | Node::Capture(sub) => sub.repeats_at_most(n),
            Node::Concat(subs) | Node::Alternate(subs) => subs.iter().all(|sub| sub.repeats_at_most(n)),
            _ => true,
        }
    }

    /// The pattern without counted repetitions (Go `regexp/syntax/simplify.go`); long ones are told by [`Node::Other`], as
    /// nothing follows from them.
    pub(super) fn simplified(self) -> Node {
        let all = |subs: Vec<Node>| subs.into_iter().map(Node::simplified).collect();
        match self {
            Node::Capture(sub) => Node::Capture(Box::new(sub.simplified())),
            Node::Concat(subs) => Node::Concat(all(subs)),
            Node::Alternate(subs) => Node::Alternate(all(subs)),
            Node::Star(sub, lazy) => match sub.simplified() {
                Node::Empty => Node::Empty,
                Node::Star(sub, same) if same == lazy => Node::Star(sub, lazy),
                sub => Node::Star(Box::new(sub), lazy),
            },
            Node::Plus(sub, lazy) => match sub.simplified() {
                Node::Empty => Node::Empty,
                Node::Plus(sub, same) if same == lazy => Node::Plus(sub, lazy),
                sub => Node::Plus(Box::new(sub), lazy),
            },
            Node::Quest(sub) => match sub.simplified() {
                Node::Empty => Node::Empty,
                sub => Node::Quest(Box::new(sub)),
            },
            Node::Repeat(0, Some(0), _) => Node::Empty,
            Node::Repeat(0, None, sub) => Node::Star(sub, false).simplified(),
            Node::Repeat(1, None, sub) => Node::Plus(sub, false).simplified(),
            Node::Repeat(1, Some(1), sub) => sub.simplified(),
            Node::Repeat(..) => Node::Other("{}".to_string()),
            other => other,
        }
    }
}

/// Builds the tree while the pattern is read.
#[derive(Debug, Default)]
pub(super) struct Builder {
    stack: Vec<Node>,
}

impl Builder {
    /// Adds a part. Two literals that now lie below it become one.
    pub(super) fn push(&mut self, node: Node) {
        self.join_literals();
        self.stack.push(node);
    }

    fn join_literals(&mut self) {
        if let [.., Node::Literal(left, fold), Node::Literal(right, same)] = self.stack.as_mut_slice()
            && *fold == *same
        {
            left.append(right);
            self.stack.pop();
        }
    }

    /// Adds a letter.
    pub(super) fn literal(&mut self, c: char, fold: bool) {
        self.push(Node::Literal(vec![if fold { least_of_fold(c) } else { c }], fold));
    }

    /// Repeats the part added last; false where that makes too many copies.
    pub(super) fn repeat(&mut self, make: impl FnOnce(Box<Node>) -> Node) -> bool {
        let Some(sub) = self.stack.pop() else { return true };
        let node = make(Box::new(sub));
        let fits = match &node {
            Node::Repeat(min, max, _) if *min >= 2 || max.is_some_and(|m| m >= 2) => node.repeats_at_most(1_000),
            _ => true,
        };
        self.stack.push(node);
        fits
    }

    /// Joins what stands above the last `|` or `(`.
    fn concat(&mut self) {
        self.join_literals();
        let parts = self.pop_run();
        let node = if parts.is_empty() {
            Node::Empty
        } else {
            collapse_concat(parts)
        };
        self.push(node);
    }

    fn pop_run(&mut self) -> Vec<Node> {
        let start = self.stack.iter().rposition(Node::is_pseudo).map_or(0, |at| at + 1);
        self.stack.split_off(start)
    }

    /// `|`
    pub(super) fn bar(&mut self) {
        self.concat();
        if !self.swap_bar() {
            self.push(Node::Bar);
        }
    }

    /// Moves the last part below the bar under it; two classes on both sides of the bar become one. False where there is no
    /// bar.
    fn swap_bar(&mut self) -> bool {
        let n = self.stack.len();
        if n >= 3
            && self.stack[n - 2] == Node::Bar
            && self.stack[n - 1].is_class()
            && self.stack[n - 3].is_class()
            && let Some(right) = self.stack.pop()
        {
            let left = std::mem::replace(&mut self.stack[n - 3], Node::Empty);
            self.stack[n - 3] = merge_classes(left, right);
            return true;
        }
        if n >= 2 && self.stack[n - 2] == Node::Bar {
            self.stack.swap(n - 2, n - 1);
            return true;
        }
        false
    }

    fn alternate(&mut self) {
        let parts = self.pop_run();
        let node = collapse_alternate(parts);
        self.push(node);
    }

    fn close(&mut self) {
        self.concat();
        if self.swap_bar() {
            self.stack.pop();
        }
        self.alternate();
    }

    /// `)`
    pub(super) fn right_paren(&mut self) {
        self.close();
        let (Some(inner), Some(Node::LeftParen(captures))) = (self.stack.pop(), self.stack.pop()) else {
            return;
        };
        self.push(if captures {
            Node::Capture(Box::new(inner))
        } else {
            inner
        });
    }

    /// The whole tree.
    pub(super) fn finish(mut self) -> Node {
        self.close();
        self.stack.pop().unwrap_or(Node::Empty)
    }
}

fn collapse_concat(parts: Vec<Node>) -> Node {
    match <[Node; 1]>::try_from(parts) {
        Ok([one]) => one,
        Err(parts) => Node::Concat(
            parts
                .into_iter()
                .flat_map(|part| match part {
                    Node::Concat(inner) => inner,
                    part => vec![part],
                })
                .collect(),
        ),
    }
}

fn collapse_alternate(parts: Vec<Node>) -> Node {
    let parts = match <[Node; 1]>::try_from(parts) {
        Ok([one]) => return one,
        Err(parts) => parts,
    };
    let flat = parts.into_iter().flat_map(|part| match part {
        Node::Alternate(inner) => inner,
        part => vec![part],
    });
    let factored = factor(flat.collect());
    match <[Node; 1]>::try_from(factored) {
        Ok([one]) => one,
        Err(factored) => Node::Alternate(factored),
    }
}

/// Pulls common beginnings out of alternatives: `abc|abd` becomes `ab[cd]`.
fn factor(parts: Vec<Node>) -> Vec<Node> {
    let parts = by_runs(parts, leading_text, common_text, |run, (prefix, fold)| {
        let rest = run.into_iter().map(|part| without_text(part, prefix.len())).collect();
        Node::Concat(vec![Node::Literal(prefix, fold), collapse_alternate(rest)])
    });
    let parts = by_runs(
        parts,
        leading_part,
        |a, b| (a == b && is_fixed_class(a)).then(|| a.clone()),
        |run, first| {
            let rest = run.into_iter().map(without_part).collect();
            Node::Concat(vec![first, collapse_alternate(rest)])
        },
    );
    let mut out: Vec<Node> = Vec::new();
    let mut in_run = false;
    for part in parts {
        let class = part.is_class();
        match out.pop_if(|_| class && in_run) {
            Some(last) => out.push(merge_classes(last, part)),
            None => out.push(part),
        }
        in_run = class;
    }
    out.dedup_by(|a, b| *a == Node::Empty && *b == Node::Empty);
    out
}

/// Replaces each run of parts that begin alike by one.
fn by_runs<K>(
    parts: Vec<Node>,
    key: impl Fn(&Node) -> Option<K>,
    common: impl Fn(&K, &K) -> Option<K>,
    join: impl Fn(Vec<Node>, K) -> Node,
) -> Vec<Node> {
    let mut out = Vec::new();
    let mut run: Vec<Node> = Vec::new();
    let mut shared: Option<K> = None;
    let mut flush = |run: &mut Vec<Node>, shared: Option<K>| match (run.len(), shared) {
        (2.., Some(shared)) => out.push(join(std::mem::take(run), shared)),
        _ => out.append(run),
    };
    for part in parts {
        let own = key(&part);
        let both = match (&shared, &own) {
            (Some(shared), Some(own)) => common(shared, own),
            _ => None,
        };
        if let Some(both) = both {
            shared = Some(both);
        } else {
            flush(&mut run, shared.take());
            shared = own;
        }
        run.push(part);
    }
    flush(&mut run, shared);
    out
}

fn leading_text(part: &Node) -> Option<(Vec<char>, bool)> {
    let first = match part {
        Node::Concat(parts) => parts.first()?,
        part => part,
    };
    match first {
        Node::Literal(runes, fold) => Some((runes.clone(), *fold)),
        _ => None,
    }
}

fn common_text(a: &(Vec<char>, bool), b: &(Vec<char>, bool)) -> Option<(Vec<char>, bool)> {
    let same = a.0.iter().zip(&b.0).take_while(|(x, y)| x == y).count();
    (a.1 == b.1 && same > 0).then(|| (a.0[..same].to_vec(), a.1))
}

fn without_text(part: Node, len: usize) -> Node {
    match part {
        Node::Literal(runes, fold) => match runes.get(len..) {
            Some(rest) if !rest.is_empty() => Node::Literal(rest.to_vec(), fold),
            _ => Node::Empty,
        },
        Node::Concat(mut parts) if !parts.is_empty() => {
            let first = without_text(parts.remove(0), len);
            if first != Node::Empty {
                parts.insert(0, first);
                return Node::Concat(parts);
            }
            match <[Node; 1]>::try_from(parts) {
                Ok([one]) => one,
                Err(parts) if parts.is_empty() => Node::Empty,
                Err(parts) => Node::Concat(parts),
            }
        }
        other => other,
    }
}

fn leading_part(part: &Node) -> Option<Node> {
    let first = match part {
        Node::Concat(parts) => parts.first()?,
        part => part,
    };
    (*first != Node::Empty).then(|| first.clone())
}

fn is_fixed_class(node: &Node) -> bool {
    match node {
        Node::Repeat(min, Some(max), sub) => min == max && sub.is_class(),
        node => node.is_class(),
    }
}

fn without_part(part: Node) -> Node {
    match part {
        Node::Concat(mut parts) if !parts.is_empty() => {
            parts.remove(0);
            match <[Node; 1]>::try_from(parts) {
                Ok([one]) => one,
                Err(parts) if parts.is_empty() => Node::Empty,
                Err(parts) => Node::Concat(parts),
            }
        }
        _ => Node::Empty,
    }
}

fn merge_classes(left: Node, right: Node) -> Node {
    if left == right {
        return left;
    }
    // Whatever both hold, a class it stays.
    Node::Class("|".to_string())
}

/// The class of these characters, as a literal where it is one character, or one in both cases.
pub(super) fn class_of(ranges: &[(char, char)], fold: bool, written: &str) -> Node {
    let mut chars: Vec<char> = Vec::new();
    for (low, high) in ranges {
        if *high as u32 - *low as u32 > 3 {
            return Node::Class(written.to_string());
        }
        for c in *low..=*high {
            chars.push(c);
            if fold {
                chars.extend(folds(c));
            }
        }
    }
    chars.sort_unstable();
    chars.dedup();
    match chars.as_slice() {
        [one] => Node::Literal(vec![*one], false),
        [a, b] if folds(*a) == [*b] && folds(*b) == [*a] => Node::Literal(vec![*a], true),
        _ => Node::Class(written.to_string()),
    }
}

/// The other characters that differ from this one only in case.
fn folds(c: char) -> Vec<char> {
    use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    class.case_fold_simple();
    class
        .iter()
        .flat_map(|r| r.start()..=r.end())
        .filter(|other| *other != c)
        .collect()
}

fn least_of_fold(c: char) -> char {
    folds(c).into_iter().fold(c, char::min)
}
