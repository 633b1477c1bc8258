//! Label matchers: `=`, `!=`, `=~`, `!~`. An absent label has the empty value; a regex must match the whole value.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Dot, Hir, HirKind};

use super::Labels;

/// Largest compiled regex in bytes; a pattern that needs more is refused instead of using memory without bound.
const MAX_REGEX_COMPILED_BYTES: usize = 10 << 20;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// One condition on one label. Cheap to clone.
#[derive(Clone)]
pub struct LabelMatcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<str>,
    regex: Option<Regex>,
    /// What the regex was compiled from, where that is not `value`.
    pattern: Option<Arc<str>>,
    shape: Shape,
}

/// What is known of the values that a matcher's text or regex matches (before a negation), so that a dictionary need not be
/// asked value by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Every value, the empty one too: `.*`.
    Anything,
    /// Every value but the empty one: `.+`.
    NotEmpty,
    /// These values only, each once: `a|b`.
    Values(Arc<[String]>),
    /// Values that begin so, and not all of them.
    Prefix(Arc<str>),
}

/// A pattern that could not be compiled.
#[derive(Debug, Clone, thiserror::Error)]
#[error("invalid regular expression {pattern:?}: {reason}")]
pub struct MatcherError {
    /// The pattern as it was written.
    pub pattern: String,
    /// What the regex compiler says.
    pub reason: String,
}

impl LabelMatcher {
    /// A matcher on `name`. Regexes are anchored at both ends and `.` matches a line break, as in Prometheus 3.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        Self::with_pattern(name, op, value, value)
    }

    /// As [`LabelMatcher::new`], but a regex whose `value` was written in another dialect is compiled from `pattern`.
    pub fn with_pattern(name: &str, op: MatchOp, value: &str, pattern: &str) -> Result<Self, MatcherError> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(compile_anchored(pattern)?),
        };
        Ok(LabelMatcher {
            name: name.into(),
            op,
            value: value.into(),
            pattern: (regex.is_some() && pattern != value).then(|| pattern.into()),
            shape: match &regex {
                Some(_) => shape(pattern),
                None => Shape::Values([value.to_string()].into()),
            },
            regex,
        })
    }

    /// The label it looks at.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What a regex was compiled from; with [`LabelMatcher::with_pattern`] it makes the same matcher elsewhere.
    pub fn pattern(&self) -> &str {
        self.pattern.as_deref().unwrap_or(&self.value)
    }

    /// See [`Shape`].
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether it passes what its text or regex does not match.
    pub fn is_negative(&self) -> bool {
        matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// Whether a label with this value (empty for absent) passes.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == &*self.value,
            (MatchOp::NotEqual, _) => value != &*self.value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }

    /// Whether a series without the label passes.
    pub fn matches_absent(&self) -> bool {
        self.matches("")
    }

    /// Whether this label set passes.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }
}

fn compile_anchored(pattern: &str) -> Result<Regex, MatcherError> {
    let error = |reason: String| MatcherError {
        pattern: pattern.to_string(),
        reason,
    };
    // Parsed alone first, so that a pattern such as `a)(b` cannot escape the anchoring group.
    regex_syntax::parse(pattern).map_err(|e| error(e.to_string()))?;
    Regex::builder()
        .configure(Regex::config().nfa_size_limit(Some(MAX_REGEX_COMPILED_BYTES)))
        .build(&format!("^(?s:{pattern})$"))
        .map_err(|e| error(e.to_string()))
}

/// Most values that a regex may stand for and still be looked up one by one.
const MAX_SHAPE_VALUES: usize = 256;

fn shape(pattern: &str) -> Shape {
    let Ok(hir) = regex_syntax::parse(&format!("(?s:{pattern})")) else {
        return Shape::Prefix("".into());
    };
    let mut inner = &hir;
    while let HirKind::Capture(capture) = inner.kind() {
        inner = &capture.sub;
    }
    if let HirKind::Repetition(repetition) = inner.kind()
        && repetition.max.is_none()
        && *repetition.sub == Hir::dot(Dot::AnyChar)
    {
        match repetition.min {
            0 => return Shape::Anything,
            1 => return Shape::NotEmpty,
            _ => {}
        }
    }
    let mut extractor = Extractor::new();
    extractor.limit_total(MAX_SHAPE_VALUES);
    let literals = extractor.extract(&hir);
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_string);
    if literals.is_exact() && hir.properties().look_set().is_empty() {
        let values = literals.literals().unwrap_or(&[]).iter().map(|l| text(l.as_bytes()));
        if let Some(values) = values.collect::<Option<BTreeSet<String>>>() {
            return Shape::Values(values.into_iter().collect());
        }
    }
    let prefix = literals.longest_common_prefix().unwrap_or(&[]);
    // A prefix may end inside a character.
    let whole = prefix.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Shape::Prefix(whole.into())
}

/// Equal where name, operator and text are.
impl PartialEq for LabelMatcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for LabelMatcher {}

impl fmt::Display for LabelMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

impl fmt::Debug for LabelMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_matches_whole_values_and_absence() {
        let check = |op, pattern: &str, value: &str, expected: bool| {
            let matcher = LabelMatcher::new("l", op, pattern).expect("pattern compiles");
            assert_eq!(matcher.matches(value), expected, "{matcher} on {value:?}");
        };
        check(MatchOp::Equal, "a", "a", true);
        check(MatchOp::Equal, "", "", true);
        check(MatchOp::NotEqual, "a", "", true);
        check(MatchOp::Regex, "a|b", "ab", false);
        check(MatchOp::Regex, "a.*", "a\nb", true);
        check(MatchOp::Regex, ".+", "", false);
        check(MatchOp::NotRegex, "a.*", "b", true);
        assert!(LabelMatcher::new("l", MatchOp::Regex, "a)(b").is_err());
    }

    #[test]
    fn shapes_say_which_values_can_match() {
        let check = |pattern: &str, expected: Shape| {
            let matcher = LabelMatcher::new("l", MatchOp::Regex, pattern).expect("pattern compiles");
            assert_eq!(matcher.shape(), &expected, "{pattern}");
        };
        let values = |values: &[&str]| Shape::Values(values.iter().map(|v| v.to_string()).collect());
        let prefix = |prefix: &str| Shape::Prefix(prefix.into());
        check(".*", Shape::Anything);
        check("(.*)", Shape::Anything);
        check(".+", Shape::NotEmpty);
        check("", values(&[""]));
        check("a", values(&["a"]));
        check("b|a|b", values(&["a", "b"]));
        check("api-(1|2)", values(&["api-1", "api-2"]));
        check("x|", values(&["", "x"]));
        check("api-.*", prefix("api-"));
        check("api-(a.*|b)", prefix("api-"));
        check("(?i)ab", values(&["AB", "Ab", "aB", "ab"]));
        check("[^a]+", prefix(""));
        check("..+", prefix(""));
        check("ü.*", prefix("ü"));
        check("^a$", prefix("a"));
        let equal = LabelMatcher::new("l", MatchOp::Equal, "a.*").expect("no pattern");
        assert_eq!(equal.shape(), &values(&["a.*"]));
    }
}
