//! Patterns that are plain text: Loki tries such texts instead of the pattern (grafana/loki `pkg/logql/log/filter.go`,
//! `RegexSimplifier`), and that shows, since `foo.*` then holds wherever `foo` occurs.
//!
//! Not followed: where alternatives share a beginning and go on with `.*` (`foo 1.*|foo 2.*`), Loki overwrites the first
//! text with the second and misses lines.

use super::tree::Node;

/// What a pattern asks of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plain {
    /// Nothing.
    Always,
    /// That it is not empty.
    Exists,
    /// That it is this text, perhaps in other case (then this is lower case).
    Equal(String, bool),
    /// That it holds this text; as above.
    Contains(String, bool),
    /// One of these.
    Any(Vec<Plain>),
}

impl Plain {
    /// The plain form of a tree, if it has one. A whole value is compared with literals where `whole`.
    pub(super) fn of(node: Node, whole: bool) -> Option<Plain> {
        match node {
            Node::Alternate(parts) => {
                let mut parts = parts.into_iter().map(without_capture);
                let mut found = Plain::of(parts.next()?, whole)?;
                for part in parts {
                    found = either(found, Plain::of(part, whole)?);
                }
                Some(found)
            }
            Node::Concat(parts) => concat(parts, None),
            Node::Capture(inner) => Plain::of(*inner, whole),
            Node::Literal(runes, fold) => Some(if whole {
                equal(&runes, fold)
            } else {
                contains(&runes, fold)
            }),
            Node::Star(sub, _) if *sub == Node::AnyButNewline => Some(Plain::Always),
            Node::Plus(sub, _) if *sub == Node::AnyButNewline => Some(Plain::Exists),
            Node::Empty => Some(Plain::Always),
            _ => None,
        }
    }
}

fn without_capture(node: Node) -> Node {
    match node {
        Node::Capture(inner) => *inner,
        node => node,
    }
}

fn text(runes: &[char], fold: bool) -> String {
    let text: String = runes.iter().collect();
    if fold { text.to_lowercase() } else { text }
}

fn equal(runes: &[char], fold: bool) -> Plain {
    Plain::Equal(text(runes, fold), fold)
}

fn contains(runes: &[char], fold: bool) -> Plain {
    if runes.is_empty() {
        return Plain::Always;
    }
    Plain::Contains(text(runes, fold), fold)
}

/// One of both. A side that always holds is left out, as in Loki: `foo|` then asks for `foo`.
fn either(left: Plain, right: Plain) -> Plain {
    match (left, right) {
        (Plain::Always, other) | (other, Plain::Always) => other,
        (Plain::Any(mut list), other) => {
            list.push(other);
            Plain::Any(list)
        }
        (left, right) => Plain::Any(vec![left, right]),
    }
}

/// A letter sequence with `.*` around it, or followed by alternatives, behind what precedes it.
fn concat(parts: Vec<Node>, before: Option<&[char]>) -> Option<Plain> {
    let parts: Vec<Node> = parts
        .into_iter()
        .map(without_capture)
        .filter(|part| *part != Node::Empty)
        .collect();
    if parts.len() > 3 {
        return None;
    }
    let mut base: Option<Vec<char>> = before.map(<[char]>::to_vec);
    let mut base_fold = false;
    let mut literals = 0;
    let mut found: Option<Plain> = None;
    for part in parts {
        match part {
            Node::Literal(runes, fold) => {
                if literals > 0 {
                    return None;
                }
                literals += 1;
                base.get_or_insert_default().extend(runes);
                base_fold = fold;
            }
            Node::Alternate(legs) if base.is_some() => {
                for leg in legs {
                    let one = leg_of(leg, base.as_deref().unwrap_or_default(), base_fold)?;
                    found = Some(match found {
                        None => one,
                        Some(found) => either(found, one),
                    });
                }
            }
            Node::Star(sub, _) if *sub == Node::AnyButNewline => {}
            _ => return None,
        }
    }
    found.or_else(|| base.map(|base| contains(&base, base_fold)))
}

/// One alternative behind a common beginning.
fn leg_of(leg: Node, base: &[char], base_fold: bool) -> Option<Plain> {
    match leg {
        Node::Empty => Some(contains(base, base_fold)),
        Node::Literal(runes, fold) => {
            if fold && !base_fold {
                return None;
            }
            let whole: Vec<char> = base.iter().copied().chain(runes).collect();
            Some(contains(&whole, base_fold))
        }
        Node::Concat(parts) => concat(parts, Some(base)),
        Node::Star(sub, _) if *sub == Node::AnyButNewline => Some(contains(base, base_fold)),
        _ => None,
    }
}
