//! Native histograms of services: bytes of each at rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use garner_storage::model::{BucketSpan, CounterReset, Histogram, Labels, TenantId};
use garner_storage::scan::{HistogramColumn, SampleSlice};
use garner_storage::segment::{SampleSegmentWriter, segment_sizes};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::measure::figure;

/// Series, and scrapes of each, 15 s apart.
const SERIES: usize = 60;
const SCRAPES: usize = 480;
/// Resolution: eight buckets a power of two, what client libraries begin with.
const SCHEMA: i32 = 3;

/// Latencies as a client library counts them: a few dozen buckets around the median, each scrape some more observations.
struct Latencies {
    rng: StdRng,
    median: f64,
    rate: u32,
    buckets: BTreeMap<i32, u64>,
    count: u64,
    sum: f64,
}

impl Latencies {
    fn new(seed: u64) -> Latencies {
        let mut rng = StdRng::seed_from_u64(seed);
        Latencies {
            median: -rng.random_range(2.0..9.0),
            rate: [0, 1, 5, 40, 300][rng.random_range(0..5)],
            rng,
            buckets: BTreeMap::new(),
            count: 0,
            sum: 0.0,
        }
    }

    fn scrape(&mut self) -> Histogram {
        for _ in 0..self.rng.random_range(0..=self.rate * 2) {
            // The sum of four even draws is near enough to a bell, of exponents: latencies spread by factors.
            let bell: f64 = (0..4).map(|_| self.rng.random_range(-1.0..1.0)).sum();
            let exponent = self.median + bell;
            *self
                .buckets
                .entry((exponent * f64::from(1 << SCHEMA)).ceil() as i32)
                .or_default() += 1;
            self.count += 1;
            self.sum += exponent.exp2();
        }
        let mut histogram = Histogram {
            schema: SCHEMA,
            counter_reset: CounterReset::Unknown,
            zero_threshold: 2f64.powi(-128),
            count: self.count as f64,
            sum: self.sum,
            ..Histogram::default()
        };
        let mut next = None;
        for (index, count) in &self.buckets {
            match (next, histogram.positive_spans.last_mut()) {
                (Some(next), Some(span)) if next == *index => span.length += 1,
                _ => histogram.positive_spans.push(BucketSpan {
                    offset: *index - next.unwrap_or(0),
                    length: 1,
                }),
            }
            next = Some(*index + 1);
            histogram.positive_buckets.push(*count as f64);
        }
        histogram
    }
}

/// Writes them as a segment and prints what one takes.
pub fn run() -> Result<()> {
    let mut writer = SampleSegmentWriter::new(TenantId::new("bench")?, 0);
    let mut buckets = 0;
    for series in 0..SERIES {
        let mut latencies = Latencies::new(series as u64);
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let mut histograms = HistogramColumn::default();
        for scrape in 0..SCRAPES {
            let histogram = latencies.scrape();
            buckets += histogram.positive_buckets.len();
            times.push(1_768_003_200_000_000_000 + scrape as i64 * 15_000_000_000);
            values.push(histogram.sum);
            histograms.push(scrape as u32, Arc::new(histogram));
        }
        let pod = format!("pod-{series:03}");
        let labels = Labels::from_pairs([("__name__", "request_duration_seconds"), ("pod", pod.as_str())]);
        let samples = SampleSlice {
            timestamps: &times,
            values: &values,
            histograms: histograms.slice(0..SCRAPES as u32),
            start_times: &[],
        };
        writer.push_samples(&labels, &samples)?;
    }
    let segment = writer.finish()?.context("an empty segment")?;
    let sizes = segment_sizes(&segment.bytes)?;
    let all = (SERIES * SCRAPES) as f64;
    println!("## native histograms: {SERIES} series, {} samples", SERIES * SCRAPES);
    figure("buckets a histogram", buckets as f64 / all, None);
    figure("everything, bytes a histogram", sizes.total() as f64 / all, None);
    figure(
        "everything, bytes a bucket",
        sizes.total() as f64 / buckets.max(1) as f64,
        None,
    );
    println!();
    Ok(())
}
