//! Shapes on the wire of types that belong to the store or hold compiled parts, and of floats.

use datafusion_common::{Result, exec_datafusion_err};
use garner_storage::model::{LabelMatcher, Labels, MatchOp, Signal, TimeRange};
use garner_storage::scan::{LogOrder, SeriesRequest};
use serde::{Deserialize, Serialize};

use crate::operators::exec::Plan;
use crate::operators::scalar::ScalarExpr;
use crate::plan::{BinaryOp, Steps};

/// Most steps of a scalar expression, and how deep they nest at most; the parsers allow 128 levels.
pub const MAX_SCALAR_OPS: usize = 4096;
const MAX_SCALAR_DEPTH: usize = 256;

/// `#[serde(with = "bits")]`: a float as its bits.
pub mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes the bits.
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_bits().serialize(serializer)
    }

    /// Reads the bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// `#[serde(with = "option_bits")]`: a float that may be missing, as its bits.
pub mod option_bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes the bits.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(f64::to_bits).serialize(serializer)
    }

    /// Reads the bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(f64::from_bits))
    }
}

/// A [`SeriesRequest`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireRequest {
    /// Name, operator, value, and the pattern where that is another text.
    matchers: Vec<(String, String, String, Option<String>)>,
    range: TimeRange,
}

impl WireRequest {
    /// Describes a request.
    pub fn of(request: &SeriesRequest) -> Self {
        let matcher = |m: &LabelMatcher| {
            let pattern = (m.pattern() != m.value()).then(|| m.pattern().to_string());
            (m.name().into(), m.op().as_str().into(), m.value().into(), pattern)
        };
        WireRequest {
            matchers: request.matchers.iter().map(matcher).collect(),
            range: request.range,
        }
    }

    /// The request to `signal`, which the leaf implies; compiles its patterns.
    pub fn build(self, signal: Signal) -> Result<SeriesRequest> {
        let mut matchers = Vec::with_capacity(self.matchers.len());
        for (name, op, value, pattern) in &self.matchers {
            let op = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]
                .into_iter()
                .find(|o| o.as_str() == op)
                .ok_or_else(|| exec_datafusion_err!("a plan names the unknown matcher {op:?}"))?;
            let pattern = pattern.as_deref().unwrap_or(value);
            let matcher = LabelMatcher::with_pattern(name, op, value, pattern);
            matchers.push(matcher.map_err(|e| exec_datafusion_err!("a plan's matcher does not compile: {e}"))?);
        }
        Ok(SeriesRequest {
            signal,
            matchers,
            range: self.range,
        })
    }
}

/// A [`LogOrder`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum WireOrder {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
    /// Stream by stream.
    Streams,
    /// As rows lie in the store.
    Any,
}

impl From<LogOrder> for WireOrder {
    fn from(order: LogOrder) -> Self {
        match order {
            LogOrder::Forward => WireOrder::Forward,
            LogOrder::Backward => WireOrder::Backward,
            LogOrder::Streams => WireOrder::Streams,
            LogOrder::Any => WireOrder::Any,
        }
    }
}

impl From<WireOrder> for LogOrder {
    fn from(order: WireOrder) -> Self {
        match order {
            WireOrder::Forward => LogOrder::Forward,
            WireOrder::Backward => LogOrder::Backward,
            WireOrder::Streams => LogOrder::Streams,
            WireOrder::Any => LogOrder::Any,
        }
    }
}

/// A label set as pairs.
pub fn label_pairs(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
}

/// A [`ScalarExpr`] with operands before their operator, so that it needs no nesting on the wire.
pub type WireScalar = Vec<ScalarOp>;

/// One step of a [`WireScalar`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum ScalarOp {
    /// A number.
    Constant(#[serde(with = "bits")] f64),
    /// Seconds of the step.
    Time,
    /// The next input's only element.
    Input,
    /// The negative of the one before.
    Negate,
    /// An operation on the two before.
    Binary(BinaryOp),
    /// The one before at this time.
    Invariant(Steps),
}

/// Describes a scalar; its plans are inputs and left out.
pub fn scalar_to_wire(expr: &ScalarExpr) -> WireScalar {
    let mut out = Vec::new();
    push_scalar(expr, &mut out);
    out
}

fn push_scalar(expr: &ScalarExpr, out: &mut WireScalar) {
    let op = match expr {
        ScalarExpr::Constant(value) => ScalarOp::Constant(*value),
        ScalarExpr::Time => ScalarOp::Time,
        ScalarExpr::Vector(_) => ScalarOp::Input,
        ScalarExpr::Negate(inner) => {
            push_scalar(inner, out);
            ScalarOp::Negate
        }
        ScalarExpr::Binary(op, sides) => {
            push_scalar(&sides.0, out);
            push_scalar(&sides.1, out);
            ScalarOp::Binary(*op)
        }
        ScalarExpr::Invariant(steps, inner) => {
            push_scalar(inner, out);
            ScalarOp::Invariant(*steps)
        }
    };
    out.push(op);
}

/// The scalar again, over plans from `next_input`.
pub fn scalar_from_wire(wire: WireScalar, mut next_input: impl FnMut() -> Result<Plan>) -> Result<ScalarExpr> {
    let bad = || exec_datafusion_err!("a plan holds a scalar that is none");
    if wire.len() > MAX_SCALAR_OPS {
        return Err(bad());
    }
    // Expressions with how deep they are.
    let mut stack: Vec<(ScalarExpr, usize)> = Vec::new();
    for op in wire {
        let entry = match op {
            ScalarOp::Constant(value) => (ScalarExpr::Constant(value), 1),
            ScalarOp::Time => (ScalarExpr::Time, 1),
            ScalarOp::Input => (ScalarExpr::Vector(next_input()?), 1),
            ScalarOp::Negate => {
                let (inner, depth) = stack.pop().ok_or_else(bad)?;
                (ScalarExpr::Negate(Box::new(inner)), depth + 1)
            }
            ScalarOp::Invariant(steps) => {
                let (inner, depth) = stack.pop().ok_or_else(bad)?;
                (ScalarExpr::Invariant(steps, Box::new(inner)), depth + 1)
            }
            ScalarOp::Binary(op) => {
                let (right, right_depth) = stack.pop().ok_or_else(bad)?;
                let (left, left_depth) = stack.pop().ok_or_else(bad)?;
                let depth = left_depth.max(right_depth) + 1;
                (ScalarExpr::Binary(op, Box::new((left, right))), depth)
            }
        };
        if entry.1 > MAX_SCALAR_DEPTH {
            return Err(bad());
        }
        stack.push(entry);
    }
    match (stack.pop(), stack.is_empty()) {
        (Some((expr, _)), true) => Ok(expr),
        _ => Err(bad()),
    }
}
