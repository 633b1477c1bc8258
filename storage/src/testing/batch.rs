//! Builds batches of samples by hand.

use std::sync::Arc;

use crate::model::{Histogram, Labels, Timestamp};
use crate::scan::{SampleBatch, SampleRow};

/// A batch under construction: [`BatchBuilder::series`] begins a series, what is pushed then belongs to it. Times have to
/// ascend inside a series, and series in their order.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    batch: SampleBatch,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        BatchBuilder {
            batch: SampleBatch {
                offsets: vec![0],
                ..SampleBatch::default()
            },
        }
    }
}

impl BatchBuilder {
    /// Begins a series.
    pub fn series(&mut self, labels: Labels) -> &mut Self {
        self.batch.series.push(labels);
        self.batch.offsets.push(self.batch.timestamps.len() as u32);
        self
    }

    /// Adds a number.
    pub fn float(&mut self, time: Timestamp, value: f64) -> &mut Self {
        self.sample(time, value, None, 0)
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, time: Timestamp, histogram: Histogram) -> &mut Self {
        self.sample(time, histogram.sum, Some(Arc::new(histogram)), 0)
    }

    /// Adds a sample with all that can belong to it; a start time of 0 is unknown.
    pub fn sample(
        &mut self,
        time: Timestamp,
        value: f64,
        histogram: Option<Arc<Histogram>>,
        start_time: Timestamp,
    ) -> &mut Self {
        self.batch.sink().push(SampleRow {
            time,
            value,
            histogram: histogram.as_ref(),
            start_time,
        });
        let rows = self.batch.timestamps.len() as u32;
        if let Some(end) = self.batch.offsets.last_mut() {
            *end = rows;
        }
        self
    }

    /// Number of series so far.
    pub fn len(&self) -> usize {
        self.batch.series.len()
    }

    /// Whether there is no series yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch.
    pub fn finish(&mut self) -> SampleBatch {
        std::mem::take(self).batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_belong_to_the_series_begun_last() {
        let mut builder = BatchBuilder::default();
        builder
            .series(Labels::from_pairs([("__name__", "a")]))
            .float(1, 1.0)
            .float(2, 2.0);
        builder.series(Labels::from_pairs([("__name__", "b")]));
        builder
            .series(Labels::from_pairs([("__name__", "c")]))
            .float(1, 4.0)
            .histogram(
                2,
                Histogram {
                    sum: 7.0,
                    ..Histogram::default()
                },
            );
        let batch = builder.sample(3, 5.0, None, 9).finish();
        assert_eq!(batch.rows(0), (&[1, 2][..], &[1.0, 2.0][..]));
        assert_eq!(batch.rows(1), (&[][..], &[][..]));
        assert_eq!(batch.rows(2), (&[1, 2, 3][..], &[4.0, 7.0, 5.0][..]));
        assert!(batch.histograms(0).is_empty());
        assert_eq!(batch.histograms(2).iter().map(|(row, _)| row).collect::<Vec<_>>(), [1]);
        assert_eq!(batch.start_times(2), [0, 0, 9]);
        assert!(builder.is_empty());
    }
}
