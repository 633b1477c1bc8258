//! The tree: what is computed, free of both languages' syntax and of how it is executed.
//!
//! A node is a *vector* (label sets with a value at some of the steps) or a *scalar* (a value at each step and no labels);
//! [`VectorPlan::quantity`] says which. Types were checked before lowering: a planner that meets the wrong one reports an
//! internal error.

use std::sync::Arc;

use garner_storage::model::{LabelMatcher, Labels, METRIC_NAME, MatchOp, Timestamp};

use super::{AggregateOp, BinaryOp, Grouping, LeafPlan, Matching, SetOp, Span, Steps};
use crate::functions::window::{Reach, Windows};
use crate::functions::{HistogramFunction, InstantFunction, RangeFunction};

/// What a node yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// One value at each step.
    Scalar,
    /// Label sets with values.
    Vector,
    /// Samples at their own times; only as the whole query.
    Matrix,
    /// A text; only as the whole query.
    String,
}

/// A node of a query.
#[derive(Clone, Debug)]
pub enum VectorPlan {
    /// A number literal.
    Number(f64),
    /// A string literal; only as the whole query.
    String(Arc<str>),
    /// `time()`: seconds of the step.
    Time,
    /// Metric samples: the value at each step, or a function over the window of each step.
    Samples(SamplesNode),
    /// A leaf that a language brings along (LogQL's range aggregations over log lines).
    Leaf(Arc<dyn LeafPlan>),
    /// A function over windows of an inner plan.
    Subquery(SubqueryNode),
    /// `info(v, {…})`: adds labels of info metrics.
    Info(InfoNode),
    /// `x[5m]` or `x[5m:1m]` as the whole instant query: the samples themselves.
    Matrix(RawRange),
    /// `scalar(v)`: the value of the only element, NaN where there is not exactly one.
    Scalar(Box<VectorPlan>),
    /// `vector(s)`: one element without labels.
    Vector(Box<VectorPlan>),
    /// `-x`; of a vector, drops the metric name.
    Negate(Box<VectorPlan>),
    /// Arithmetic or comparison.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// `bool`: a comparison gives 0 or 1 instead of filtering.
        return_bool: bool,
        /// How two vectors match; unused where a side is a scalar.
        matching: Matching,
        /// Left side.
        left: Box<VectorPlan>,
        /// Right side.
        right: Box<VectorPlan>,
        /// Where it stands.
        span: Span,
    },
    /// `and`, `or`, `unless` of two vectors.
    Set {
        /// The operator.
        op: SetOp,
        /// `on` and `ignoring`; its cardinality is not used.
        matching: Matching,
        /// Left side.
        left: Box<VectorPlan>,
        /// Right side.
        right: Box<VectorPlan>,
    },
    /// An aggregation over groups.
    Aggregate {
        /// Which.
        op: AggregateOp,
        /// The groups.
        grouping: Grouping,
        /// `k` or `φ`, a scalar.
        param: Option<Box<VectorPlan>>,
        /// The label of `count_values`.
        label: Option<Arc<str>>,
        /// What is aggregated.
        input: Box<VectorPlan>,
        /// Where the parameter stands (the whole expression where there is none).
        span: Span,
        /// Where the aggregation and its input stand.
        places: (Span, Span),
    },
    /// A function of each element.
    Function {
        /// Which.
        function: InstantFunction,
        /// The vector.
        input: Box<VectorPlan>,
        /// Scalars after (or before) the vector, in the order of the call.
        args: Vec<VectorPlan>,
    },
    /// A number of each native histogram; floats are left out.
    HistogramFunction {
        /// Which.
        function: HistogramFunction,
        /// The vector.
        input: Box<VectorPlan>,
    },
    /// `histogram_quantile(φ, v)` over native histograms and classic buckets.
    HistogramQuantile {
        /// φ, a scalar.
        quantile: Box<VectorPlan>,
        /// Buckets.
        input: Box<VectorPlan>,
        /// Where φ and the vector stand.
        spans: (Span, Span),
    },
    /// `histogram_quantiles(v, "label", φ…)`: as `HistogramQuantile`, once for each φ, which becomes a label.
    HistogramQuantiles {
        /// Native histograms and buckets.
        input: Box<VectorPlan>,
        /// The label that is set to φ.
        label: Arc<str>,
        /// Every φ, a scalar, and where it stands.
        quantiles: Vec<(VectorPlan, Span)>,
        /// Where the vector stands.
        span: Span,
    },
    /// `histogram_fraction(lower, upper, v)` over native histograms and classic buckets.
    HistogramFraction {
        /// Lower bound, a scalar.
        lower: Box<VectorPlan>,
        /// Upper bound, a scalar.
        upper: Box<VectorPlan>,
        /// Buckets.
        input: Box<VectorPlan>,
        /// Where the vector stands.
        span: Span,
    },
    /// `label_replace(v, dst, replacement, src, regex)`; the pattern was checked.
    LabelReplace {
        /// The vector.
        input: Box<VectorPlan>,
        /// Label that is set.
        target: Arc<str>,
        /// Value with `$1`, `${name}` references.
        replacement: Arc<str>,
        /// Label that is read.
        source: Arc<str>,
        /// Pattern as written, unanchored text of a regex that must match the whole value.
        pattern: Arc<str>,
    },
    /// `label_join(v, dst, separator, src…)`.
    LabelJoin {
        /// The vector.
        input: Box<VectorPlan>,
        /// Label that is set.
        target: Arc<str>,
        /// Between the values.
        separator: Arc<str>,
        /// Labels that are read.
        sources: Vec<Arc<str>>,
    },
    /// `absent(v)`, and `absent_over_time(x[r])` as the absence of `last_over_time(x[r])`: one element with `labels` and
    /// value 1 at the steps where the input has no element.
    Absent {
        /// What should be there.
        input: Box<VectorPlan>,
        /// Labels that the equality matchers of the input's selector name.
        labels: Labels,
    },
    /// `sort`, `sort_desc`, by value; only instant queries keep an order.
    Sort {
        /// The vector.
        input: Box<VectorPlan>,
        /// Greatest first.
        descending: bool,
        /// Where it stands.
        span: Span,
    },
    /// `sort_by_label`, `sort_by_label_desc`, in natural order of label values.
    SortByLabel {
        /// The vector.
        input: Box<VectorPlan>,
        /// Labels to sort by, most significant first.
        labels: Vec<Arc<str>>,
        /// Greatest first.
        descending: bool,
        /// Where it stands.
        span: Span,
    },
    /// An input that does not depend on the step (all its selectors are fixed by `@`): evaluated at the first step, and
    /// that value stands at every step.
    StepInvariant(Box<VectorPlan>),
}

/// A metric selector with what is made of its samples.
#[derive(Clone, Debug)]
pub struct SamplesNode {
    /// All must hold.
    pub matchers: Vec<LabelMatcher>,
    /// How far back the window lies from the step (negative: ahead).
    pub offset_ns: i64,
    /// `@`: the time that stands for the step's, before `offset_ns` is taken off.
    pub at_ns: Option<Timestamp>,
    /// What is made of the samples.
    pub select: Select,
    /// Whether only counts and sums of native histograms matter to what reads this, so that buckets are left out once
    /// resets are found.
    pub counts_only: bool,
    /// Where the selector stands.
    pub span: Span,
}

/// What is made of a selector's samples.
#[derive(Clone, Debug)]
pub enum Select {
    /// The newest sample in `(t - lookback, t]`, nothing where that is a staleness marker.
    Instant {
        /// Width of the window; `None` means the engine's default.
        lookback_ns: Option<i64>,
    },
    /// As `Instant`, but the sample's time in seconds (`timestamp(x)`).
    Timestamp {
        /// Width of the window; `None` means the engine's default.
        lookback_ns: Option<i64>,
    },
    /// As `Instant`, but when the counting of the sample began, in seconds (`start_timestamp(x)`).
    StartTimestamp {
        /// Width of the window; `None` means the engine's default.
        lookback_ns: Option<i64>,
    },
    /// The value at the step between the samples around it (`x smoothed`), up to the engine's lookback on both sides.
    Smoothed,
    /// A function over the samples in `(t - range, t]`, staleness markers left out.
    Range {
        /// Width of the window.
        range_ns: i64,
        /// Whether samples outside of it count.
        reach: Reach,
        /// The function.
        function: RangeFunction,
        /// Its scalar parameters, in the order of the call.
        params: Vec<VectorPlan>,
    },
}

/// What `info` joins to a vector.
#[derive(Clone, Debug)]
pub struct InfoNode {
    /// What gets more labels.
    pub input: Box<VectorPlan>,
    /// Which info series count: matchers on the metric's name, at least one, and on labels, which also choose the labels
    /// that are added (all where there is none).
    pub matchers: Vec<LabelMatcher>,
    /// How far back from the step info series are looked up.
    pub offset_ns: i64,
    /// `@`: the time that stands for the step's.
    pub at_ns: Option<Timestamp>,
}

/// `function(inner[range:step] offset … @ …)`.
#[derive(Clone, Debug)]
pub struct SubqueryNode {
    /// What is evaluated on the inner grid.
    pub input: Box<VectorPlan>,
    /// Width of the window `(t - range, t]`.
    pub range_ns: i64,
    /// Distance of the inner steps; the language fills its default in.
    pub step_ns: i64,
    /// How far back the window lies from the step.
    pub offset_ns: i64,
    /// `@`: the time that stands for the step's.
    pub at_ns: Option<Timestamp>,
    /// The function over the window.
    pub function: RangeFunction,
    /// Its scalar parameters, evaluated on the outer grid.
    pub params: Vec<VectorPlan>,
    /// Where the subquery stands.
    pub span: Span,
}

/// A range selector or subquery whose samples are the answer. `function`, `params` and `select` of the inner node are not
/// used.
#[derive(Clone, Debug)]
pub enum RawRange {
    /// `x[5m]`; the node's `select` is [`Select::Range`] and gives the width.
    Samples(SamplesNode),
    /// `expr[5m:1m]`.
    Subquery(SubqueryNode),
}

impl VectorPlan {
    /// What this node yields.
    pub fn quantity(&self) -> Quantity {
        match self {
            VectorPlan::Number(_) | VectorPlan::Time | VectorPlan::Scalar(_) => Quantity::Scalar,
            VectorPlan::String(_) => Quantity::String,
            VectorPlan::Matrix(_) => Quantity::Matrix,
            VectorPlan::Negate(input) | VectorPlan::StepInvariant(input) => input.quantity(),
            VectorPlan::Binary { left, right, .. } => match (left.quantity(), right.quantity()) {
                (Quantity::Scalar, Quantity::Scalar) => Quantity::Scalar,
                _ => Quantity::Vector,
            },
            _ => Quantity::Vector,
        }
    }

    /// Whether evaluating it may read rows. What is only made of numbers and times does not (`1 + 1`, `vector(1)`).
    pub fn reads(&self) -> bool {
        match self {
            VectorPlan::Number(_) | VectorPlan::String(_) | VectorPlan::Time => false,
            VectorPlan::Vector(input)
            | VectorPlan::Scalar(input)
            | VectorPlan::Negate(input)
            | VectorPlan::StepInvariant(input) => input.reads(),
            VectorPlan::Binary { left, right, .. } | VectorPlan::Set { left, right, .. } => {
                left.reads() || right.reads()
            }
            _ => true,
        }
    }

    /// Whether this node yields one value at each step.
    pub fn is_scalar(&self) -> bool {
        self.quantity() == Quantity::Scalar
    }
}

impl SamplesNode {
    /// Whether all series have one metric name, so that dropping it keeps them apart.
    pub fn has_one_name(&self) -> bool {
        let names_one = |m: &LabelMatcher| m.name() == METRIC_NAME && m.op() == MatchOp::Equal;
        self.matchers.iter().any(names_one)
    }

    /// The windows `(t - width, t]` on a grid.
    pub fn windows(&self, steps: Steps, width_ns: i64) -> Windows {
        Windows {
            steps,
            width_ns,
            offset_ns: self.offset_ns,
            at_ns: self.at_ns,
        }
    }
}

impl SubqueryNode {
    /// The inner grid and the windows over it.
    pub fn grid(&self, steps: Steps) -> (Steps, Windows) {
        let windows = Windows {
            steps,
            width_ns: self.range_ns,
            offset_ns: self.offset_ns,
            at_ns: self.at_ns,
        };
        let outer = self.at_ns.map_or(steps, Steps::instant);
        (outer.subquery(self.range_ns, self.step_ns, self.offset_ns), windows)
    }
}
