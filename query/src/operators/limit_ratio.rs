//! `limit_ratio`: keeps the share of series whose hash falls below a ratio, or, where it is negative, the others (prometheus
//! promql/engine.go, `HashRatioSampler`).

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use xxhash_rust::xxh64::Xxh64;

use super::exec::{Operator, Plan, partitions};
use super::rows::{RowMapper, map_rows};
use super::scalar::{ScalarExpr, inputs_of, put_inputs};
use super::wire::Parts;
use super::wire::forms::{WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::annotate;
use crate::plan::{Span, Steps};
use crate::vector::{RowBuffer, ScalarColumn, VectorBuilder, VectorRow, labels};

/// The operator's parameters. Whether a series stays depends on its labels alone, so groups make no difference.
#[derive(Clone, Debug)]
pub struct LimitRatio {
    /// The vector.
    pub input: Plan,
    /// The ratio, from -1 to 1.
    pub ratio: ScalarExpr,
    /// The grid.
    pub steps: Steps,
    /// Where the ratio stands.
    pub span: Span,
}

impl Operator for LimitRatio {
    const NAME: &'static str = "LimitRatioExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ratio)
    }

    fn inputs(&self) -> Vec<&Plan> {
        inputs_of(&self.input, &self.ratio)
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        let mut out = self.clone();
        put_inputs(inputs, &mut out.input, &mut out.ratio);
        Ok(out)
    }

    fn partitions(&self) -> usize {
        partitions(&self.input)
    }

    type Wire = (WireScalar, Steps, Span);

    fn to_wire(&self) -> Self::Wire {
        (scalar_to_wire(&self.ratio), self.steps, self.span)
    }

    fn from_wire((ratio, steps, span): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(LimitRatio {
            input: parts.input()?,
            ratio: parts.scalar(ratio)?,
            steps,
            span,
        })
    }

    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let plan = self.clone();
        map_rows(&self.input, partition, query, task, move |query, task| {
            Box::pin(async move {
                let ratio = plan.ratio.evaluate(plan.steps, &query, &task).await?;
                Ok(Mapper {
                    ratio: checked(ratio, &query, plan.span)?,
                    row: RowBuffer::new(plan.steps.len()),
                })
            })
        })
    }
}

/// Refuses NaN, and says where a ratio is beyond its bounds (prometheus promql/engine.go, `rangeEvalAgg`).
fn checked(ratio: ScalarColumn, query: &QueryContext, span: Span) -> Result<ScalarColumn, QueryError> {
    let values = ratio.values();
    if values.iter().any(|r| r.is_nan()) {
        return Err(QueryError::execution("Ratio value is NaN"));
    }
    let greatest = values.iter().copied().fold(f64::MIN, f64::max);
    let least = values.iter().copied().fold(f64::MAX, f64::min);
    if greatest > 1.0 {
        annotate::ratio(greatest, 1.0, query, span);
    }
    if least < -1.0 {
        annotate::ratio(least, -1.0, query, span);
    }
    Ok(ratio)
}

struct Mapper {
    ratio: ScalarColumn,
    row: RowBuffer,
}

impl RowMapper for Mapper {
    fn map(&mut self, row: VectorRow<'_>, out: &mut VectorBuilder) -> Result<(), QueryError> {
        let place = place(row.labels);
        if let ScalarColumn::Constant(ratio) = self.ratio {
            if stays(ratio, place) {
                out.push_copy(row.labels, row);
            }
            return Ok(());
        }
        self.row.clear();
        for (step, value) in row.iter() {
            if stays(self.ratio.at(step), place) {
                self.row.set(step, value);
            }
        }
        for (step, histogram) in row.histogram_points() {
            if stays(self.ratio.at(step), place) {
                self.row.set_histogram(step, histogram);
            }
        }
        out.push_row(row.labels, &self.row);
        Ok(())
    }
}

fn stays(ratio: f64, place: f64) -> bool {
    if ratio >= 0.0 {
        place < ratio
    } else {
        place >= 1.0 + ratio
    }
}

/// Where a label set lies between 0 and 1: its hash in Prometheus' default build (model/labels/labels_stringlabels.go),
/// so that both keep the same series.
fn place(set: &[u8]) -> f64 {
    let mut hash = Xxh64::new(0);
    for pair in labels::pairs(labels::split_mark(set).1) {
        for text in [pair.name, pair.value] {
            match u8::try_from(text.len()) {
                Ok(length @ 0..=254) => hash.update(&[length]),
                _ => {
                    let [a, b, c, ..] = (text.len() as u32).to_le_bytes();
                    hash.update(&[255, a, b, c]);
                }
            }
            hash.update(text);
        }
    }
    hash.digest() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use garner_storage::model::Labels;

    use super::*;

    #[test]
    fn a_ratio_and_its_complement_share_the_series() {
        let places: Vec<f64> = (0..1000)
            .map(|i| place(Labels::from_pairs([("__name__", "m"), ("i", i.to_string().as_str())]).as_bytes()))
            .collect();
        for ratio in [0.0, 0.2, 0.5, 0.9, 1.0] {
            let kept = places.iter().filter(|p| stays(ratio, **p)).count() as f64;
            assert!((kept / 1000.0 - ratio).abs() < 0.05, "{ratio}: {kept}");
            assert!(places.iter().all(|p| stays(ratio, *p) != stays(ratio - 1.0, *p)));
        }
    }

    #[test]
    fn hashes_are_those_of_the_label_strings() {
        // XXH64 of nothing, and of the bytes `1 a 1 b`.
        assert_eq!(place(b""), 0xef46_db37_51d8_e999_u64 as f64 / u64::MAX as f64);
        let set = Labels::from_pairs([("a", "b")]);
        assert_eq!(
            place(set.as_bytes()),
            xxhash_rust::xxh64::xxh64(b"\x01a\x01b", 0) as f64 / u64::MAX as f64
        );
        let long = "v".repeat(300);
        let set = Labels::from_pairs([("a", long.as_str())]);
        let mut bytes = b"\x01a\xff\x2c\x01\x00".to_vec();
        bytes.extend_from_slice(long.as_bytes());
        assert_eq!(
            place(set.as_bytes()),
            xxhash_rust::xxh64::xxh64(&bytes, 0) as f64 / u64::MAX as f64
        );
    }
}
