//! The named operations of LogQL's metric expressions: over windows, over series, between expressions.

/// Functions over a window of lines or unwrapped values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeOp {
    /// `rate`
    Rate,
    /// `rate_counter`
    RateCounter,
    /// `count_over_time`
    Count,
    /// `bytes_rate`
    BytesRate,
    /// `bytes_over_time`
    Bytes,
    /// `avg_over_time`
    Avg,
    /// `sum_over_time`
    Sum,
    /// `min_over_time`
    Min,
    /// `max_over_time`
    Max,
    /// `stdvar_over_time`
    Stdvar,
    /// `stddev_over_time`
    Stddev,
    /// `quantile_over_time`
    Quantile,
    /// `first_over_time`
    First,
    /// `last_over_time`
    Last,
    /// `absent_over_time`
    Absent,
}

impl RangeOp {
    /// Every function with its name.
    pub const ALL: [(RangeOp, &str); 15] = [
        (RangeOp::Rate, "rate"),
        (RangeOp::RateCounter, "rate_counter"),
        (RangeOp::Count, "count_over_time"),
        (RangeOp::BytesRate, "bytes_rate"),
        (RangeOp::Bytes, "bytes_over_time"),
        (RangeOp::Avg, "avg_over_time"),
        (RangeOp::Sum, "sum_over_time"),
        (RangeOp::Min, "min_over_time"),
        (RangeOp::Max, "max_over_time"),
        (RangeOp::Stdvar, "stdvar_over_time"),
        (RangeOp::Stddev, "stddev_over_time"),
        (RangeOp::Quantile, "quantile_over_time"),
        (RangeOp::First, "first_over_time"),
        (RangeOp::Last, "last_over_time"),
        (RangeOp::Absent, "absent_over_time"),
    ];

    /// The function's name.
    pub fn as_str(self) -> &'static str {
        RangeOp::ALL
            .into_iter()
            .find(|(op, _)| *op == self)
            .map_or("", |(_, name)| name)
    }

    /// Whether `by` or `without` may stand behind the call.
    pub fn takes_grouping(self) -> bool {
        use RangeOp::{Avg, First, Last, Max, Min, Quantile, Stddev, Stdvar};
        matches!(self, Avg | Stddev | Stdvar | Quantile | Max | Min | First | Last)
    }

    /// The function of a name.
    pub fn from_name(name: &str) -> Option<RangeOp> {
        RangeOp::ALL.into_iter().find(|(_, n)| *n == name).map(|(op, _)| op)
    }
}

/// Aggregations over series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VectorOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `max`
    Max,
    /// `min`
    Min,
    /// `count`
    Count,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `bottomk`
    BottomK,
    /// `topk`
    TopK,
    /// `sort`
    Sort,
    /// `sort_desc`
    SortDesc,
    /// `approx_topk`
    ApproxTopK,
}

impl VectorOp {
    /// Every aggregation with its name.
    pub const ALL: [(VectorOp, &str); 12] = [
        (VectorOp::Sum, "sum"),
        (VectorOp::Avg, "avg"),
        (VectorOp::Max, "max"),
        (VectorOp::Min, "min"),
        (VectorOp::Count, "count"),
        (VectorOp::Stddev, "stddev"),
        (VectorOp::Stdvar, "stdvar"),
        (VectorOp::BottomK, "bottomk"),
        (VectorOp::TopK, "topk"),
        (VectorOp::Sort, "sort"),
        (VectorOp::SortDesc, "sort_desc"),
        (VectorOp::ApproxTopK, "approx_topk"),
    ];

    /// The aggregation's name.
    pub fn as_str(self) -> &'static str {
        VectorOp::ALL
            .into_iter()
            .find(|(op, _)| *op == self)
            .map_or("", |(_, name)| name)
    }

    /// The aggregation of a name.
    pub fn from_name(name: &str) -> Option<VectorOp> {
        VectorOp::ALL.into_iter().find(|(_, n)| *n == name).map(|(op, _)| op)
    }

    /// Whether it takes a number before its operand.
    pub fn takes_parameter(self) -> bool {
        matches!(self, VectorOp::TopK | VectorOp::BottomK | VectorOp::ApproxTopK)
    }
}

/// Operators between two metric expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `or`
    Or,
    /// `and`
    And,
    /// `unless`
    Unless,
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
    /// `==`
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

impl BinaryOp {
    /// Every operator as written, with its binding strength.
    pub const ALL: [(BinaryOp, &str, u8); 15] = [
        (BinaryOp::Or, "or", 1),
        (BinaryOp::And, "and", 2),
        (BinaryOp::Unless, "unless", 2),
        (BinaryOp::Equal, "==", 3),
        (BinaryOp::NotEqual, "!=", 3),
        (BinaryOp::Greater, ">", 3),
        (BinaryOp::GreaterOrEqual, ">=", 3),
        (BinaryOp::Less, "<", 3),
        (BinaryOp::LessOrEqual, "<=", 3),
        (BinaryOp::Add, "+", 4),
        (BinaryOp::Sub, "-", 4),
        (BinaryOp::Mul, "*", 5),
        (BinaryOp::Div, "/", 5),
        (BinaryOp::Mod, "%", 5),
        (BinaryOp::Pow, "^", 6),
    ];

    /// As written.
    pub fn as_str(self) -> &'static str {
        BinaryOp::ALL
            .into_iter()
            .find(|(op, _, _)| *op == self)
            .map_or("", |(_, text, _)| text)
    }

    /// `and`, `or`, `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::Or | BinaryOp::And | BinaryOp::Unless)
    }

    /// `==` and its like.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterOrEqual
                | BinaryOp::Less
                | BinaryOp::LessOrEqual
        )
    }
}
