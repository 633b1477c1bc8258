//! Operators of plans: arithmetic, comparison, sets, aggregation, and how vectors are matched and grouped.

use std::sync::Arc;

use garner_storage::model::METRIC_NAME;
use serde::{Deserialize, Serialize};

use crate::operators::wire::forms::option_bits;

/// Byte positions of an expression in the query text, for messages that name a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// First byte after.
    pub end: u32,
}

/// Arithmetic and comparison of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `max_of`, of two scalars.
    Max,
    /// `min_of`, of two scalars.
    Min,
    /// `/` of LogQL: division by zero gives NaN.
    DivOrNan,
    /// `%` of LogQL: modulo zero gives NaN.
    ModOrNan,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `>`
    Gt,
    /// `<`
    Lt,
    /// `>=`
    Ge,
    /// `<=`
    Le,
    /// `</`: of a histogram, the observations below.
    TrimUpper,
    /// `>/`: of a histogram, the observations above.
    TrimLower,
}

impl BinaryOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div | BinaryOp::DivOrNan => "/",
            BinaryOp::Mod | BinaryOp::ModOrNan => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Max => "max_of",
            BinaryOp::Min => "min_of",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Gt => ">",
            BinaryOp::Lt => "<",
            BinaryOp::Ge => ">=",
            BinaryOp::Le => "<=",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// Whether it cuts histograms, so that it has no meaning for numbers.
    pub fn is_trim(self) -> bool {
        matches!(self, BinaryOp::TrimUpper | BinaryOp::TrimLower)
    }

    /// Whether it compares, so that it filters unless `bool` is given.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Gt | BinaryOp::Lt | BinaryOp::Ge | BinaryOp::Le
        )
    }
}

/// `and`, `or`, `unless`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SetOp {
    /// Left elements with a match on the right.
    And,
    /// Left elements, and right ones without a match on the left.
    Or,
    /// Left elements without a match on the right.
    Unless,
}

impl SetOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            SetOp::And => "and",
            SetOp::Or => "or",
            SetOp::Unless => "unless",
        }
    }
}

/// Which side may hold several elements of a match group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cardinality {
    /// One element on each side.
    #[default]
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How elements of two vectors find each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Matching {
    /// Which side may hold several elements of a group.
    pub cardinality: Cardinality,
    /// `on(labels)`: only these labels are compared; otherwise `ignoring(labels)`: all others but the metric name.
    pub on: bool,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<Arc<str>>,
    /// Labels that `group_left(…)`/`group_right(…)` copy from the "one" side.
    pub include: Vec<Arc<str>>,
    /// Whether elements of the "one" side must be unique among themselves also where the other side has none, as in Loki
    /// (pkg/logql/evaluator.go, `vectorBinop`).
    pub one_side_alone: bool,
    /// `fill`, `fill_left`: the value of a left element that is missing.
    #[serde(with = "option_bits")]
    pub fill_left: Option<f64>,
    /// `fill`, `fill_right`: the value of a right element that is missing.
    #[serde(with = "option_bits")]
    pub fill_right: Option<f64>,
}

/// Aggregations over the elements of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `count`
    Count,
    /// `group`: 1
    Group,
    /// `stddev`, of the population
    Stddev,
    /// `stdvar`, of the population
    Stdvar,
    /// `quantile(φ, …)`
    Quantile,
    /// `topk(k, …)`
    TopK,
    /// `bottomk(k, …)`
    BottomK,
    /// `limitk(k, …)`
    LimitK,
    /// `limit_ratio(r, …)`
    LimitRatio,
    /// `count_values("label", …)`
    CountValues,
}

impl AggregateOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Count => "count",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Quantile => "quantile",
            AggregateOp::TopK => "topk",
            AggregateOp::BottomK => "bottomk",
            AggregateOp::LimitK => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
            AggregateOp::CountValues => "count_values",
        }
    }
}

/// The labels that make a group: `by (labels)`, or `without (labels)` which also leaves the metric name out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grouping {
    /// Whether `labels` are those left out.
    pub without: bool,
    /// The labels named, in any order.
    pub labels: Vec<Arc<str>>,
}

impl Grouping {
    /// Whether the metric name belongs to a group.
    pub fn names_metric(&self) -> bool {
        !self.without && self.labels.iter().any(|l| &**l == METRIC_NAME)
    }
}
