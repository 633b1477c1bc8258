//! The syntax tree of a query, as prometheus `promql/parser/ast.go` has it.
//!
//! Durations are nanoseconds, times of `@` milliseconds, as they are written; the tree knows nothing of the query's range.

use garner_storage::model::LabelMatcher;

use super::error::PosRange;
use super::functions::Function;
use super::token::{Aggregator, Operator};

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number a step.
    Scalar,
    /// One number a step and series.
    Vector,
    /// A window of samples a step and series.
    Matrix,
    /// Text.
    String,
}

impl ValueType {
    /// The short name, as in the API's `resultType`.
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            ValueType::String => "string",
        }
    }

    /// The name that messages use.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            other => other.as_str(),
        }
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is documented at its content")]
pub enum Expr {
    Aggregate(Box<AggregateExpr>),
    Binary(Box<BinaryExpr>),
    Call(Box<Call>),
    Matrix(Box<MatrixSelector>),
    Number(NumberLiteral),
    Paren(Box<ParenExpr>),
    String(StringLiteral),
    Subquery(Box<SubqueryExpr>),
    Unary(Box<UnaryExpr>),
    Vector(Box<VectorSelector>),
}

/// `sum by (a) (x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateExpr {
    /// The aggregation.
    pub op: Aggregator,
    /// What is aggregated.
    pub expr: Expr,
    /// The first argument of aggregations that take one.
    pub param: Option<Expr>,
    /// Labels of `by` or `without`, as written.
    pub grouping: Vec<String>,
    /// Whether `grouping` is what is left out.
    pub without: bool,
    /// Where it stands.
    pub range: PosRange,
}

/// `a + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryExpr {
    /// The operator.
    pub op: Operator,
    /// Left operand.
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// How series find each other; `None` unless both operands are vectors.
    pub matching: Option<VectorMatching>,
    /// The `bool` modifier: 0 and 1 in place of filtering.
    pub return_bool: bool,
}

/// How many series of one side meet how many of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each variant is the cardinality it is named after")]
pub enum Cardinality {
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// The modifiers between a binary operator and its right operand.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct VectorMatching {
    /// By `group_left` and `group_right`.
    pub cardinality: Cardinality,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether `labels` is the list of `on`.
    pub on: bool,
    /// Labels in the parentheses of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// Value for series that only the right side has.
    pub fill_left: Option<f64>,
    /// Value for series that only the left side has.
    pub fill_right: Option<f64>,
}

/// `abs(x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is called.
    pub func: &'static Function,
    /// The arguments.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub range: PosRange,
}

/// `x[5m]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// The series; its modifiers hold for the whole.
    pub selector: VectorSelector,
    /// The window.
    pub window: Span,
    /// One past the last byte.
    pub end: usize,
}

/// `x[1h:5m]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SubqueryExpr {
    /// What is evaluated at each step.
    pub expr: Expr,
    /// The window.
    pub window: Span,
    /// The step; `None` means the default step.
    pub step: Option<Span>,
    /// The modifiers after the brackets.
    pub at: Option<At>,
    /// The modifiers after the brackets; zero where none is written.
    pub offset: Span,
    /// One past the last byte.
    pub end: usize,
}

/// `1.5`, `5m` or a signed one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    /// The value, in seconds for durations.
    pub value: f64,
    /// Whether it was written as a duration.
    pub duration: bool,
    /// Where it stands.
    pub range: PosRange,
}

/// `(x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct ParenExpr {
    /// What is inside.
    pub expr: Expr,
    /// Where it stands.
    pub range: PosRange,
}

/// `"text"`.
#[derive(Clone, Debug, PartialEq)]
pub struct StringLiteral {
    /// The text; bytes, since escapes can make texts that are not UTF-8.
    pub value: Vec<u8>,
    /// Where it stands.
    pub range: PosRange,
}

/// `-x`.
#[derive(Clone, Debug, PartialEq)]
pub struct UnaryExpr {
    /// Whether the sign is a minus.
    pub negative: bool,
    /// What follows the sign.
    pub expr: Expr,
    /// First byte.
    pub start: usize,
}

/// `name{label="value"} @ 1 offset 5m`.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name before the braces; empty where there is none.
    pub name: String,
    /// All matchers in the order written, the one for `name` last.
    pub matchers: Vec<LabelMatcher>,
    /// Zero where none is written.
    pub offset: Span,
    /// The `@` modifier.
    pub at: Option<At>,
    /// The `anchored` modifier.
    pub anchored: bool,
    /// The `smoothed` modifier.
    pub smoothed: bool,
    /// Where it stands.
    pub range: PosRange,
}

/// The time of an `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the Unix epoch.
    Millis(i64),
    /// The query's start.
    Start,
    /// The query's end.
    End,
}

/// A length of time as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Span {
    /// Nanoseconds.
    Nanos(i64),
    /// To be computed once the query's step and range are known.
    Expr(Box<DurationExpr>),
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span::Nanos(0);

    /// Whether this is what an absent modifier is.
    pub fn is_zero(&self) -> bool {
        *self == Span::ZERO
    }
}

/// An operand in a duration expression.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is documented at its content")]
pub enum DurationNode {
    Number(NumberLiteral),
    Expr(Box<DurationExpr>),
}

/// `(5m + step())` and the like.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// What is computed.
    pub op: DurationOp,
    /// Whether parentheses stand around it.
    pub wrapped: bool,
    /// Where it stands.
    pub range: PosRange,
}

/// What a duration expression computes.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationOp {
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `+x`, which also stands for a number in parentheses.
    Plus(DurationNode),
    /// `-x`
    Minus(DurationNode),
    /// `min_of(x, y)`
    MinOf(DurationNode, DurationNode),
    /// `max_of(x, y)`
    MaxOf(DurationNode, DurationNode),
    /// An arithmetic operator.
    Binary(Operator, DurationNode, DurationNode),
}

impl DurationNode {
    /// Where it stands.
    pub fn range(&self) -> PosRange {
        match self {
            DurationNode::Number(number) => number.range,
            DurationNode::Expr(expr) => expr.range,
        }
    }
}

impl Expr {
    /// What it evaluates to.
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Aggregate(_) | Expr::Vector(_) => ValueType::Vector,
            Expr::Binary(binary) => match (binary.lhs.value_type(), binary.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Expr::Call(call) => call.func.returns,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Number(_) => ValueType::Scalar,
            Expr::Paren(paren) => paren.expr.value_type(),
            Expr::String(_) => ValueType::String,
            Expr::Unary(unary) => unary.expr.value_type(),
        }
    }

    /// Where it stands in the query.
    pub fn range(&self) -> PosRange {
        match self {
            Expr::Aggregate(e) => e.range,
            Expr::Binary(e) => e.lhs.range().to(e.rhs.range()),
            Expr::Call(e) => e.range,
            Expr::Matrix(e) => PosRange::new(e.selector.range.start, e.end),
            Expr::Number(e) => e.range,
            Expr::Paren(e) => e.range,
            Expr::String(e) => e.range,
            Expr::Subquery(e) => PosRange::new(e.expr.range().start, e.end),
            Expr::Unary(e) => PosRange::new(e.start, e.expr.range().end),
            Expr::Vector(e) => e.range,
        }
    }

    /// The expression inside any parentheses.
    pub fn unwrap_parens(&self) -> &Expr {
        let mut expr = self;
        while let Expr::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }
}
