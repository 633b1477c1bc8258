//! The syntax tree of LogQL.

/// How a label is compared with a text.
pub use garner_storage::model::MatchOp;

pub use super::operations::{BinaryOp, RangeOp, VectorOp};

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Lines of logs.
    Log(LogExpr),
    /// Numbers over time.
    Metric(MetricExpr),
}

/// A stream selector and its pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct LogExpr {
    /// `{…}`.
    pub matchers: Vec<Matcher>,
    /// What is done to each line, in order.
    pub stages: Vec<Stage>,
}

/// `name op "value"`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// The comparison.
    pub op: MatchOp,
    /// The text or pattern as written.
    pub value: String,
}

/// One step of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Adjacent line filters; all must hold.
    LineFilters(Vec<LineFilter>),
    /// `| json`.
    Json,
    /// `| json a="b.c"`.
    JsonExpressions(Vec<Extraction>),
    /// `| logfmt`.
    Logfmt(LogfmtFlags),
    /// `| logfmt a="b"`.
    LogfmtExpressions(LogfmtFlags, Vec<Extraction>),
    /// `| regexp "…"`.
    Regexp(String),
    /// `| pattern "…"`.
    Pattern(String),
    /// `| unpack`.
    Unpack,
    /// `| status >= 500`.
    LabelFilter(LabelFilter),
    /// `| line_format "…"`.
    LineFormat(String),
    /// `| label_format a=b, c="…"`.
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`.
    Decolorize,
    /// `| drop a, b="c"`.
    Drop(Vec<NamedMatcher>),
    /// `| keep a, b="c"`.
    Keep(Vec<NamedMatcher>),
}

/// How a line is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Matches,
    /// `!~`
    NotMatches,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

impl LineOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            LineOp::Contains => "|=",
            LineOp::NotContains => "!=",
            LineOp::Matches => "|~",
            LineOp::NotMatches => "!~",
            LineOp::Pattern => "|>",
            LineOp::NotPattern => "!>",
        }
    }

    /// Whether the line must not match.
    pub fn is_negative(self) -> bool {
        matches!(self, LineOp::NotContains | LineOp::NotMatches | LineOp::NotPattern)
    }
}

/// `|= "a" or "b"`: one of the operands must hold. Negative filters have one operand (`!= "a" or "b"` is two filters).
#[derive(Debug, Clone, PartialEq)]
pub struct LineFilter {
    /// The comparison, shared by the operands.
    pub op: LineOp,
    /// At least one.
    pub operands: Vec<LineOperand>,
}

/// A text, or an address set in `ip("…")`.
#[derive(Debug, Clone, PartialEq)]
pub struct LineOperand {
    /// Whether it stands in `ip(…)`.
    pub ip: bool,
    /// The text.
    pub text: String,
}

/// `name="expression"` of json and logfmt.
#[derive(Debug, Clone, PartialEq)]
pub struct Extraction {
    /// The label to set.
    pub label: String,
    /// Where its value is found.
    pub expression: String,
}

/// Flags of logfmt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogfmtFlags {
    /// `--strict`: an error ends the line.
    pub strict: bool,
    /// `--keep-empty`: keys without a value become labels.
    pub keep_empty: bool,
}

/// How a label's number is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`, `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl CompareOp {
    /// As Loki prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            CompareOp::Equal => "==",
            CompareOp::NotEqual => "!=",
            CompareOp::Greater => ">",
            CompareOp::GreaterOrEqual => ">=",
            CompareOp::Less => "<",
            CompareOp::LessOrEqual => "<=",
        }
    }

    /// Compares; a NaN is only unequal.
    pub fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            CompareOp::Equal => left == right,
            CompareOp::NotEqual => left != right,
            CompareOp::Greater => left > right,
            CompareOp::GreaterOrEqual => left >= right,
            CompareOp::Less => left < right,
            CompareOp::LessOrEqual => left <= right,
        }
    }
}

/// A condition on labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    /// `level="error"`.
    Matcher(Matcher),
    /// `addr = ip("10.0.0.0/8")`.
    Ip {
        /// The label.
        label: String,
        /// `!=`.
        negative: bool,
        /// The address set.
        pattern: String,
    },
    /// `duration > 5ms`, in nanoseconds.
    Duration(String, CompareOp, i64),
    /// `size > 10KB`.
    Bytes(String, CompareOp, u64),
    /// `status >= 500`.
    Number(String, CompareOp, f64),
    /// Both hold.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One holds.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

/// One assignment of label_format.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelFormat {
    /// The label to set.
    pub label: String,
    /// What it gets.
    pub value: LabelFormatValue,
}

/// The right side of a label_format assignment.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFormatValue {
    /// Another label's value; that label goes.
    Rename(String),
    /// A template's text.
    Template(String),
}

/// An operand of drop and keep.
#[derive(Debug, Clone, PartialEq)]
pub enum NamedMatcher {
    /// The label whatever its value.
    Name(String),
    /// The label where its value matches.
    Matcher(Matcher),
}

/// `| unwrap …` and the label filters after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    /// The label that holds the value.
    pub label: String,
    /// How the value is read.
    pub conversion: Conversion,
    /// Conditions after the unwrap.
    pub filters: Vec<LabelFilter>,
}

/// How an unwrapped value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// A float.
    Float,
    /// `bytes(…)`.
    Bytes,
    /// `duration(…)`: seconds.
    Duration,
    /// `duration_seconds(…)`.
    DurationSeconds,
}

impl Conversion {
    /// The function's name; none for plain floats.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Conversion::Float => None,
            Conversion::Bytes => Some("bytes"),
            Conversion::Duration => Some("duration"),
            Conversion::DurationSeconds => Some("duration_seconds"),
        }
    }
}

/// A selector over a window.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRange {
    /// Which lines.
    pub log: LogExpr,
    /// `| unwrap`.
    pub unwrap: Option<Unwrap>,
    /// Window in nanoseconds.
    pub range_ns: i64,
    /// Shift into the past in nanoseconds.
    pub offset_ns: i64,
}

/// `by (…)` or `without (…)`, labels in the order written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grouping {
    /// `without`.
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

impl Grouping {
    /// `by ()`: everything in one group.
    pub fn is_single_group(&self) -> bool {
        self.labels.is_empty() && !self.without
    }
}

/// Which side of a binary operation may have several series per match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// One on each side.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
}

/// `bool`, `on`, `ignoring`, `group_left`, `group_right`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BinaryModifier {
    /// `bool`.
    pub return_bool: bool,
    /// `on` rather than `ignoring`.
    pub on: bool,
    /// Labels of `on` or `ignoring`; `None` where neither is written with a list.
    pub labels: Option<Vec<String>>,
    /// Grouping side.
    pub cardinality: Cardinality,
    /// Labels of `group_left`/`group_right`; `None` without a list.
    pub include: Option<Vec<String>>,
}

/// An expression that yields series.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricExpr {
    /// `rate({…}[5m])`.
    Range {
        /// The function.
        op: RangeOp,
        /// The first argument of quantile_over_time.
        parameter: Option<f64>,
        /// The lines.
        range: Box<LogRange>,
        /// `by`/`without` after the call.
        grouping: Option<Grouping>,
    },
    /// `sum by (a) (…)`.
    Vector {
        /// The aggregation.
        op: VectorOp,
        /// The first argument of topk and its like.
        parameter: usize,
        /// The grouping; `by ()` where none is written.
        grouping: Grouping,
        /// What is aggregated.
        inner: Box<MetricExpr>,
    },
    /// `a + b`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Its modifiers.
        modifier: BinaryModifier,
        /// Left side.
        left: Box<MetricExpr>,
        /// Right side.
        right: Box<MetricExpr>,
    },
    /// A number.
    Literal(f64),
    /// `vector(1)`.
    VectorLiteral(f64),
    /// `label_replace(…)`.
    LabelReplace {
        /// The series.
        inner: Box<MetricExpr>,
        /// Label to set.
        destination: String,
        /// Its value, with `$1`.
        replacement: String,
        /// Label to read.
        source: String,
        /// Anchored pattern.
        pattern: String,
    },
    /// A part that parsed but cannot be: the error is reported when the whole text has parsed.
    Invalid(super::error::ParseError),
}
