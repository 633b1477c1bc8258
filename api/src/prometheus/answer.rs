//! The answer of a query in Prometheus' JSON, written piece by piece.

use garner_query::output::{QueryOutput, QueryStats, SampleValue, Value};
use garner_query::promql::format_float;
use garner_storage::model::{Histogram, Labels, NANOS_PER_MILLI, NANOS_PER_SECOND, Timestamp};

use super::histogram::push_histogram;
use crate::json::{push_int, push_labels, push_prometheus_float, push_seconds, push_string, push_strings};
use crate::params::go_quote;
use crate::server::Encode;

/// What an answer says when `limit` cut it (prometheus `web/api/v1/api.go`).
pub const TRUNCATED: &str = "results truncated due to limit";

/// Bytes of a sample: a time and a value.
const SAMPLE_BYTES: u64 = 16;

/// Writes a [`QueryOutput`].
pub struct QueryAnswer {
    output: QueryOutput,
    with_stats: bool,
    /// Items (samples or series) written.
    written: usize,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Head,
    Items,
    Done,
}

impl QueryAnswer {
    /// An answer that shows at most `limit` series; 0 means all. Any `stats` asks for what the query cost.
    pub fn new(mut output: QueryOutput, limit: usize, stats: &str) -> Self {
        let cut = match &mut output.value {
            Value::Vector(samples) if limit > 0 && samples.len() > limit => {
                samples.truncate(limit);
                true
            }
            Value::Matrix(series) if limit > 0 && series.len() > limit => {
                series.truncate(limit);
                true
            }
            _ => false,
        };
        if cut {
            output.warnings.push(TRUNCATED.to_string());
        }
        if !matches!(stats, "" | "true" | "all") {
            output.warnings.push(format!(
                "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \
                 \"true\" or \"all\"",
                go_quote(stats)
            ));
        }
        QueryAnswer {
            output,
            with_stats: !stats.is_empty(),
            written: 0,
            state: State::Head,
        }
    }

    fn push_head(&self, out: &mut Vec<u8>) {
        let (result_type, open) = match &self.output.value {
            Value::Vector(_) => ("vector", true),
            Value::Matrix(_) => ("matrix", true),
            Value::Scalar(..) => ("scalar", false),
            Value::String(..) => ("string", false),
            #[allow(unreachable_patterns)]
            _ => ("streams", true),
        };
        out.extend_from_slice(br#"{"status":"success","data":{"resultType":""#);
        out.extend_from_slice(result_type.as_bytes());
        out.extend_from_slice(br#"","result":"#);
        if open {
            out.push(b'[');
        }
    }

    /// Writes the next item; false when there is none.
    fn push_item(&self, out: &mut Vec<u8>) -> bool {
        let comma = |out: &mut Vec<u8>| {
            if self.written > 0 {
                out.push(b',');
            }
        };
        match &self.output.value {
            Value::Vector(samples) => {
                let Some(sample) = samples.get(self.written) else {
                    return false;
                };
                comma(out);
                push_metric(out, &sample.labels);
                match &sample.value {
                    SampleValue::Float(value) => {
                        out.extend_from_slice(br#","value":"#);
                        push_sample(out, sample.time_ns, *value);
                    }
                    SampleValue::Histogram(histogram) => {
                        out.extend_from_slice(br#","histogram":"#);
                        push_histogram_sample(out, sample.time_ns, histogram);
                    }
                }
                out.push(b'}');
            }
            Value::Matrix(series) => {
                let Some(series) = series.get(self.written) else {
                    return false;
                };
                comma(out);
                push_metric(out, &series.labels);
                let floats = series.samples.iter();
                push_list(out, "values", floats, |out, (time_ns, value)| {
                    push_sample(out, *time_ns, *value)
                });
                let histograms = series.histograms.iter();
                push_list(out, "histograms", histograms, |out, (time_ns, histogram)| {
                    push_histogram_sample(out, *time_ns, histogram);
                });
                out.push(b'}');
            }
            Value::Scalar(..) | Value::String(..) if self.written > 0 => return false,
            // Scalars never have an exponent, unlike samples (prometheus promql/value.go, `Scalar.MarshalJSON`).
            Value::Scalar(time_ns, value) => {
                out.push(b'[');
                push_time(out, *time_ns);
                out.extend_from_slice(b",\"");
                out.extend_from_slice(format_float(*value).as_bytes());
                out.extend_from_slice(b"\"]");
            }
            Value::String(time_ns, text) => {
                out.push(b'[');
                push_time(out, *time_ns);
                out.push(b',');
                push_string(out, text);
                out.push(b']');
            }
            #[allow(unreachable_patterns)]
            _ => return false,
        }
        true
    }

    fn push_tail(&self, out: &mut Vec<u8>) {
        if !matches!(self.output.value, Value::Scalar(..) | Value::String(..)) {
            out.push(b']');
        }
        if self.with_stats {
            push_stats(out, &self.output.stats);
        }
        out.push(b'}');
        for (name, texts) in [("warnings", &self.output.warnings), ("infos", &self.output.infos)] {
            if !texts.is_empty() {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                push_strings(out, texts);
            }
        }
        out.push(b'}');
    }
}

impl Encode for QueryAnswer {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        match self.state {
            State::Head => {
                self.push_head(out);
                self.state = State::Items;
            }
            State::Items if self.push_item(out) => self.written += 1,
            State::Items => {
                self.push_tail(out);
                self.state = State::Done;
            }
            State::Done => {}
        }
        self.state != State::Done
    }
}

/// The cost in the names of prometheus `util/stats/query_stats.go`. All time after the queue counts as evaluation; the peak is memory in
/// samples of 16 bytes. The lists per step stand behind a feature flag there and are not kept here.
fn push_stats(out: &mut Vec<u8>, stats: &QueryStats) {
    let seconds = |ns: u64| ns as f64 / NANOS_PER_SECOND as f64;
    let (queued, evaluated) = (seconds(stats.queued_ns), seconds(stats.elapsed_ns));
    for (name, seconds) in [
        (r#","stats":{"timings":{"evalTotalTime":"#, evaluated),
        (r#","resultSortTime":"#, 0.0),
        (r#","queryPreparationTime":"#, 0.0),
        (r#","innerEvalTime":"#, evaluated),
        (r#","execQueueTime":"#, queued),
        (r#","execTotalTime":"#, queued + evaluated),
    ] {
        out.extend_from_slice(name.as_bytes());
        push_prometheus_float(out, seconds);
    }
    for (name, count) in [
        (r#"},"samples":{"totalQueryableSamples":"#, stats.rows),
        (r#","samplesRead":"#, stats.rows),
        (r#","peakSamples":"#, stats.peak_memory_bytes / SAMPLE_BYTES),
    ] {
        out.extend_from_slice(name.as_bytes());
        push_int(out, i64::try_from(count).unwrap_or(i64::MAX));
    }
    // What the store did for it, which Prometheus has no names for.
    for (name, count) in [
        (r#"},"storage":{"segments":"#, stats.segments),
        (r#","pages":"#, stats.pages),
        (r#","pagesSkipped":"#, stats.pages_skipped),
        (r#","objectRequests":"#, stats.object_requests),
        (r#","objectBytes":"#, stats.object_bytes),
        (r#","cacheMemoryHits":"#, stats.cache_memory_hits),
        (r#","cacheDiskHits":"#, stats.cache_disk_hits),
        (r#","cacheMisses":"#, stats.cache_misses),
        (r#","cacheBytes":"#, stats.cache_bytes),
        (r#","resultCacheHits":"#, stats.result_cache_hits),
    ] {
        out.extend_from_slice(name.as_bytes());
        push_int(out, i64::try_from(count).unwrap_or(i64::MAX));
    }
    out.extend_from_slice(b"}}");
}

fn push_metric(out: &mut Vec<u8>, labels: &Labels) {
    out.extend_from_slice(br#"{"metric":"#);
    push_labels(out, labels);
}

fn push_sample(out: &mut Vec<u8>, time_ns: Timestamp, value: f64) {
    out.push(b'[');
    push_time(out, time_ns);
    out.extend_from_slice(b",\"");
    push_prometheus_float(out, value);
    out.extend_from_slice(b"\"]");
}

fn push_histogram_sample(out: &mut Vec<u8>, time_ns: Timestamp, histogram: &Histogram) {
    out.push(b'[');
    push_time(out, time_ns);
    out.push(b',');
    push_histogram(out, histogram);
    out.push(b']');
}

/// A list by name as a further field of an object; nothing where it is empty.
fn push_list<T>(
    out: &mut Vec<u8>,
    name: &str,
    items: impl ExactSizeIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    if items.len() == 0 {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":[");
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

fn push_time(out: &mut Vec<u8>, time_ns: Timestamp) {
    push_seconds(out, time_ns.div_euclid(NANOS_PER_MILLI));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use garner_query::output::{InstantSample, RangeSeries};

    use super::*;

    fn check(value: Value, limit: usize, expected: &str) {
        let output = QueryOutput {
            value,
            warnings: Vec::new(),
            infos: vec!["look".to_string()],
            stats: QueryStats::default(),
        };
        let mut answer = QueryAnswer::new(output, limit, "");
        let mut out = Vec::new();
        while answer.next(&mut out) {}
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn each_type_has_its_shape() {
        let labels = || Labels::from_pairs([("__name__", "up"), ("job", "a\"b")]);
        let sample = |value| InstantSample {
            labels: labels(),
            time_ns: 1_500_000_000,
            value: SampleValue::Float(value),
        };
        check(
            Value::Vector(vec![sample(1.0), sample(f64::NAN)]),
            0,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a\"b"},"value":[1.5,"1"]},{"metric":{"__name__":"up","job":"a\"b"},"value":[1.5,"NaN"]}]},"infos":["look"]}"#,
        );
        check(
            Value::Vector(vec![sample(1.0), sample(2.0)]),
            1,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a\"b"},"value":[1.5,"1"]}]},"warnings":["results truncated due to limit"],"infos":["look"]}"#,
        );
        check(
            Value::Matrix(vec![RangeSeries {
                labels: Labels::empty(),
                samples: vec![(0, 1.0), (60_000_000_000, f64::INFINITY)],
                histograms: Vec::new(),
            }]),
            0,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[60,"+Inf"]]}]},"infos":["look"]}"#,
        );
        let histogram = Arc::new(Histogram {
            count: 2.0,
            sum: 0.5,
            ..Histogram::default()
        });
        check(
            Value::Matrix(vec![RangeSeries {
                labels: Labels::empty(),
                samples: vec![(0, 1.0)],
                histograms: vec![
                    (1_500_000_000, Arc::clone(&histogram)),
                    (2_000_000_000, Arc::clone(&histogram)),
                ],
            }]),
            0,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"]],"histograms":[[1.5,{"count":"2","sum":"0.5"}],[2,{"count":"2","sum":"0.5"}]]}]},"infos":["look"]}"#,
        );
        check(
            Value::Vector(vec![InstantSample {
                labels: Labels::empty(),
                time_ns: 0,
                value: SampleValue::Histogram(histogram),
            }]),
            0,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[0,{"count":"2","sum":"0.5"}]}]},"infos":["look"]}"#,
        );
        check(
            Value::Scalar(1_000_000_000, 0.1),
            0,
            r#"{"status":"success","data":{"resultType":"scalar","result":[1,"0.1"]},"infos":["look"]}"#,
        );
        check(
            Value::Scalar(0, 1e22),
            0,
            r#"{"status":"success","data":{"resultType":"scalar","result":[0,"10000000000000000000000"]},"infos":["look"]}"#,
        );
        check(
            Value::String(0, "x\ny".into()),
            0,
            r#"{"status":"success","data":{"resultType":"string","result":[0,"x\ny"]},"infos":["look"]}"#,
        );
        check(
            Value::Matrix(Vec::new()),
            0,
            r#"{"status":"success","data":{"resultType":"matrix","result":[]},"infos":["look"]}"#,
        );
    }
}
