//! Arithmetic and comparison of elements of which one is a native histogram (prometheus promql/engine.go,
//! `vectorElemBinop`).

use garner_storage::model::{CounterReset, Histogram};

use super::add::{add, sub};
use super::layout::compact;
use super::scale::{div, mul};
use super::text::equal;
use super::trim::{Keep, trim};
use crate::context::QueryContext;
use crate::functions::annotate::{Notes, incompatible_buckets, incompatible_types};
use crate::plan::{BinaryOp, Span};

/// One side of an operation.
#[derive(Clone, Copy, Debug)]
pub enum Element<'a> {
    /// A number.
    Float(f64),
    /// A histogram.
    Histogram(&'a Histogram),
}

impl Element<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Element::Float(_) => "float",
            Element::Histogram(_) => "histogram",
        }
    }
}

/// What an operation gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A new histogram.
    Histogram(Histogram),
    /// A comparison of histograms, whether it holds.
    Holds(bool),
    /// Nothing; why is in [`Told`].
    Nothing,
}

/// What there is to tell of one operation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    /// The operator has no meaning for these kinds.
    Types(&'static str, &'static str),
    /// Exponential and custom buckets met.
    Buckets,
    /// Something else.
    Note(Notes),
}

/// What there is to tell of the operations of one expression: of each step the last, since Prometheus keeps one message a
/// step (promql/engine.go, `lastErr` of `VectorBinop` and `VectorscalarBinop`).
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Where the operation under way stands: the step, and its place among the operations of the step.
    at: (usize, usize),
    /// By step, with the place; as long as the last step that has something.
    last: Vec<Option<(usize, Said)>>,
}

impl Told {
    /// Says where the next operation stands: the step, and its place in the order in which Prometheus does those of one step.
    pub fn set_place(&mut self, step: usize, place: usize) {
        self.at = (step, place);
    }

    /// Remembers that the operator has no meaning for these kinds.
    pub fn types(&mut self, left: &Element<'_>, right: &Element<'_>) {
        self.say(Said::Types(left.kind(), right.kind()));
    }

    fn say(&mut self, said: Said) {
        let (step, place) = self.at;
        if self.last.len() <= step {
            self.last.resize(step + 1, None);
        }
        let slot = &mut self.last[step];
        if slot.is_none_or(|(before, _)| before <= place) {
            *slot = Some((place, said));
        }
    }

    /// Tells everything.
    pub fn tell(&self, op: BinaryOp, query: &QueryContext, span: Span) {
        let mut told: Vec<Said> = Vec::new();
        for (_, said) in self.last.iter().flatten() {
            if told.contains(said) {
                continue;
            }
            told.push(*said);
            match said {
                Said::Types(left, right) => incompatible_types(left, op.as_str(), right, query, span),
                Said::Buckets => incompatible_buckets(op.as_str(), query, span),
                Said::Note(notes) => notes.tell("", query, span),
            }
        }
    }
}

/// The outcome of an operation with a histogram on at least one side, or of trimming.
pub fn combine(op: BinaryOp, left: Element<'_>, right: Element<'_>, told: &mut Told) -> Outcome {
    match (left, op, right) {
        (Element::Histogram(histogram), BinaryOp::Mul, Element::Float(factor))
        | (Element::Float(factor), BinaryOp::Mul, Element::Histogram(histogram)) => {
            changed(histogram, |h| mul(h, factor))
        }
        (Element::Histogram(histogram), BinaryOp::Div, Element::Float(divisor)) => {
            changed(histogram, |h| div(h, divisor))
        }
        (Element::Histogram(histogram), BinaryOp::TrimUpper, Element::Float(at)) => trimmed(histogram, at, Keep::Below),
        (Element::Histogram(histogram), BinaryOp::TrimLower, Element::Float(at)) => trimmed(histogram, at, Keep::Above),
        (Element::Histogram(left), BinaryOp::Add | BinaryOp::Sub, Element::Histogram(right)) => {
            sum(op, left, right, told)
        }
        (Element::Histogram(left), BinaryOp::Eq, Element::Histogram(right)) => Outcome::Holds(equal(left, right)),
        (Element::Histogram(left), BinaryOp::Ne, Element::Histogram(right)) => Outcome::Holds(!equal(left, right)),
        _ => {
            told.types(&left, &right);
            Outcome::Nothing
        }
    }
}

fn changed(histogram: &Histogram, change: impl FnOnce(&mut Histogram)) -> Outcome {
    let mut out = histogram.clone();
    change(&mut out);
    compact(&mut out);
    Outcome::Histogram(out)
}

fn trimmed(histogram: &Histogram, at: f64, keep: Keep) -> Outcome {
    let mut out = histogram.clone();
    trim(&mut out, at, keep);
    Outcome::Histogram(out)
}

fn sum(op: BinaryOp, left: &Histogram, right: &Histogram, told: &mut Told) -> Outcome {
    let mut out = left.clone();
    let subtracts = op == BinaryOp::Sub;
    let settled = if subtracts {
        sub(&mut out, right)
    } else {
        add(&mut out, right)
    };
    let Ok(settled) = settled else {
        told.say(Said::Buckets);
        return Outcome::Nothing;
    };
    if settled.reset_collision {
        // Upstream drops the element with this warning.
        told.say(Said::Note(if subtracts {
            Notes::COLLISION_SUB
        } else {
            Notes::COLLISION_ADD
        }));
        return Outcome::Nothing;
    }
    if settled.bounds_reconciled {
        told.say(Said::Note(if subtracts {
            Notes::RECONCILED_SUB
        } else {
            Notes::RECONCILED_ADD
        }));
    }
    if subtracts {
        out.counter_reset = CounterReset::Gauge;
    }
    compact(&mut out);
    Outcome::Histogram(out)
}
