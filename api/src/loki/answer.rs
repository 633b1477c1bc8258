//! The answer of a query in Loki's JSON, written piece by piece.

use axum::response::Response;
use garner_query::logql::output::{LogStream, LogqlOutput, LogqlValue};
use garner_query::output::Value;
use garner_storage::model::{Labels, NANOS_PER_MILLI, Timestamp};
use http::HeaderValue;

use super::stats::push_stats;
use crate::json::{push_int, push_labels, push_pairs, push_plain_float, push_seconds, push_string, push_strings};
use crate::server::{Encode, SERVER_TIMING};

/// Bytes that the query read, for platforms that bill by it. Loki has the figure in the body only.
const BYTES_READ_HEADER: &str = "x-loki-bytes-read-total";

/// Writes a [`LogqlOutput`].
pub struct LokiAnswer {
    output: LogqlOutput,
    /// `X-Loki-Response-Encoding-Flags` as they were sent.
    flags: Vec<String>,
    /// Whether entries tell labels apart by where they come from.
    categorize: bool,
    state: State,
}

enum State {
    Head,
    /// Series, samples or streams begun, and entries of the last stream written.
    Items(usize, usize),
    Done,
}

impl LokiAnswer {
    /// An answer with these encoding flags.
    pub fn new(output: LogqlOutput, flags: Vec<String>, categorize: bool) -> Self {
        LokiAnswer {
            output,
            flags,
            categorize,
            state: State::Head,
        }
    }

    fn push_head(&self, out: &mut Vec<u8>) {
        let result_type = match &self.output.value {
            LogqlValue::Streams(_) => "streams",
            LogqlValue::Metric(Value::Vector(_)) => "vector",
            LogqlValue::Metric(Value::Matrix(_)) => "matrix",
            LogqlValue::Metric(Value::Scalar(..)) => "scalar",
            LogqlValue::Metric(Value::String(..)) => "string",
        };
        out.extend_from_slice(br#"{"status":"success","data":{"resultType":""#);
        out.extend_from_slice(result_type.as_bytes());
        out.push(b'"');
        if !self.flags.is_empty() {
            out.extend_from_slice(br#","encodingFlags":"#);
            push_strings(out, &self.flags);
        }
        out.extend_from_slice(br#","result":"#);
        if self.is_list() {
            out.push(b'[');
        }
    }

    fn is_list(&self) -> bool {
        !matches!(
            self.output.value,
            LogqlValue::Metric(Value::Scalar(..) | Value::String(..))
        )
    }

    /// Writes what follows `begun` items, of which the last stream has `entries` written; the new position, or `None`
    /// at the end.
    fn push_item(&self, out: &mut Vec<u8>, begun: usize, entries: usize) -> Option<(usize, usize)> {
        match &self.output.value {
            LogqlValue::Streams(streams) => self.push_stream(out, streams, begun, entries),
            LogqlValue::Metric(value) => push_metric_item(out, value, begun).then_some((begun + 1, 0)),
        }
    }

    fn push_stream(
        &self,
        out: &mut Vec<u8>,
        streams: &[LogStream],
        begun: usize,
        entries: usize,
    ) -> Option<(usize, usize)> {
        if let Some(current) = begun.checked_sub(1).and_then(|index| streams.get(index)) {
            if let Some(entry) = current.entries.get(entries) {
                out.extend_from_slice(if entries > 0 { b",[\"" } else { b"[\"" });
                push_int(out, entry.time_ns);
                out.extend_from_slice(b"\",");
                push_string(out, &entry.line);
                if self.categorize {
                    out.extend_from_slice(b",{");
                    push_category(out, "structuredMetadata", &entry.metadata, true);
                    push_category(out, "parsed", &entry.parsed, entry.metadata.is_empty());
                    out.push(b'}');
                }
                out.push(b']');
                return Some((begun, entries + 1));
            }
            out.extend_from_slice(b"]}");
        }
        let next = streams.get(begun)?;
        if begun > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"stream":"#);
        push_pairs(out, &next.labels);
        out.extend_from_slice(br#","values":["#);
        Some((begun + 1, 0))
    }

    fn push_tail(&self, out: &mut Vec<u8>) {
        if self.is_list() {
            out.push(b']');
        }
        let entries = match &self.output.value {
            LogqlValue::Streams(streams) => streams.iter().map(|stream| stream.entries.len()).sum(),
            LogqlValue::Metric(Value::Vector(samples)) => samples.len(),
            LogqlValue::Metric(Value::Matrix(series)) => series.len(),
            LogqlValue::Metric(_) => 0,
        };
        out.extend_from_slice(br#","stats":"#);
        push_stats(out, &self.output.stats, entries);
        out.push(b'}');
        if !self.output.warnings.is_empty() {
            out.extend_from_slice(br#","warnings":"#);
            push_strings(out, &self.output.warnings);
        }
        out.push(b'}');
    }
}

impl Encode for LokiAnswer {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        self.state = match self.state {
            State::Head => {
                self.push_head(out);
                State::Items(0, 0)
            }
            State::Items(begun, entries) => match self.push_item(out, begun, entries) {
                Some((begun, entries)) => State::Items(begun, entries),
                None => {
                    self.push_tail(out);
                    State::Done
                }
            },
            State::Done => State::Done,
        };
        !matches!(self.state, State::Done)
    }

    fn decorate(&self, response: &mut Response) {
        let bytes = HeaderValue::from(self.output.stats.bytes);
        response.headers_mut().insert(BYTES_READ_HEADER, bytes);
        let timing = format!("querier_wall_time;dur={}", self.output.stats.elapsed_ns as f64 / 1e6);
        if let Ok(timing) = HeaderValue::try_from(timing) {
            response.headers_mut().insert(SERVER_TIMING, timing);
        }
    }
}

/// Item `index` of a vector or matrix, or the only one of a scalar; false when there is none.
fn push_metric_item(out: &mut Vec<u8>, value: &Value, index: usize) -> bool {
    let open = |out: &mut Vec<u8>, labels: &Labels, values: &str| {
        out.extend_from_slice(if index > 0 { b",{\"metric\":" } else { b"{\"metric\":" });
        push_labels(out, labels);
        out.extend_from_slice(values.as_bytes());
    };
    match value {
        Value::Vector(samples) => {
            let Some(sample) = samples.get(index) else {
                return false;
            };
            open(out, &sample.labels, ",\"value\":");
            push_sample(out, sample.time_ns, sample.value.number());
            out.push(b'}');
        }
        Value::Matrix(series) => {
            let Some(series) = series.get(index) else {
                return false;
            };
            open(out, &series.labels, ",\"values\":[");
            for (at, (time_ns, value)) in series.samples.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push_sample(out, *time_ns, *value);
            }
            out.extend_from_slice(b"]}");
        }
        Value::Scalar(..) | Value::String(..) if index > 0 => return false,
        Value::Scalar(time_ns, value) => push_sample(out, *time_ns, *value),
        Value::String(_, text) => push_string(out, text),
    }
    true
}

fn push_sample(out: &mut Vec<u8>, time_ns: Timestamp, value: f64) {
    out.push(b'[');
    push_seconds(out, time_ns.div_euclid(NANOS_PER_MILLI));
    out.extend_from_slice(b",\"");
    push_plain_float(out, value);
    out.extend_from_slice(b"\"]");
}

fn push_category(out: &mut Vec<u8>, name: &str, pairs: &[(String, String)], first: bool) {
    if pairs.is_empty() {
        return;
    }
    if !first {
        out.push(b',');
    }
    push_string(out, name);
    out.push(b':');
    push_pairs(out, pairs);
}

#[cfg(test)]
mod tests {
    use garner_query::logql::output::LogEntry;
    use garner_query::output::{InstantSample, QueryStats, SampleValue};

    use super::*;

    fn written(value: LogqlValue, flags: &[&str]) -> String {
        let output = LogqlOutput {
            value,
            warnings: vec!["w".to_string()],
            stats: QueryStats::default(),
        };
        let flags: Vec<String> = flags.iter().map(|flag| flag.to_string()).collect();
        let categorize = !flags.is_empty();
        let mut answer = LokiAnswer::new(output, flags, categorize);
        let mut out = Vec::new();
        while answer.next(&mut out) {}
        let text = String::from_utf8_lossy(&out).into_owned();
        let json: serde_json::Value = serde_json::from_str(&text).expect("the answer is JSON");
        assert!(json["data"]["stats"]["summary"].is_object());
        let stats = text.find(",\"stats\":").expect("there are stats");
        text[..stats].to_string()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn streams_have_their_shape() {
        let entry = |time_ns, metadata: &[(&str, &str)], parsed: &[(&str, &str)]| LogEntry {
            time_ns,
            line: "a\"b".to_string(),
            metadata: pairs(metadata),
            parsed: pairs(parsed),
        };
        let streams = || {
            LogqlValue::Streams(vec![
                LogStream {
                    labels: pairs(&[("app", "x"), ("empty", "")]),
                    entries: vec![entry(5, &[], &[]), entry(6, &[("m", "1")], &[("p", "2")])],
                },
                LogStream {
                    labels: Vec::new(),
                    entries: vec![entry(7, &[], &[("p", "2")])],
                },
            ])
        };
        assert_eq!(
            written(streams(), &[]),
            r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"x","empty":""},"values":[["5","a\"b"],["6","a\"b"]]},{"stream":{},"values":[["7","a\"b"]]}]"#
        );
        assert_eq!(
            written(streams(), &["categorize-labels"]),
            r#"{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"app":"x","empty":""},"values":[["5","a\"b",{}],["6","a\"b",{"structuredMetadata":{"m":"1"},"parsed":{"p":"2"}}]]},{"stream":{},"values":[["7","a\"b",{"parsed":{"p":"2"}}]]}]"#
        );
        assert_eq!(
            written(LogqlValue::Streams(Vec::new()), &[]),
            r#"{"status":"success","data":{"resultType":"streams","result":[]"#
        );
    }

    #[test]
    fn metrics_have_their_shape() {
        let sample = InstantSample {
            labels: Labels::from_pairs([("app", "x")]),
            time_ns: 1_500_000_000,
            value: SampleValue::Float(1e-7),
        };
        assert_eq!(
            written(LogqlValue::Metric(Value::Vector(vec![sample.clone(), sample])), &[]),
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"app":"x"},"value":[1.5,"0.0000001"]},{"metric":{"app":"x"},"value":[1.5,"0.0000001"]}]"#
        );
        assert_eq!(
            written(LogqlValue::Metric(Value::Scalar(1_000_000_000, 2.0)), &[]),
            r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]"#
        );
    }
}
