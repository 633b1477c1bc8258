//! `/federate`: the newest sample of each selected series in the text format, for another Prometheus to scrape
//! (prometheus `web/federate.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures::TryStreamExt;
use garner_query::functions::native::buckets::Indexed;
use garner_query::output::SampleValue;
use garner_query::promql::parse_metric_selector;
use garner_storage::model::{
    Histogram, LabelMatcher, Labels, METRIC_NAME, NANOS_PER_MILLI, SeriesKey, TimeRange, Timestamp, is_stale,
};
use http::{HeaderMap, HeaderValue, header};

use crate::error::{Failure, TextFailure};
use crate::json::push_int;
use crate::server::{Ask, Encode, SampleQuery, SharedApp, answer};

/// Memory of one series of the answer beside its labels.
const SERIES_BYTES: u64 = 64;
/// A label that Prometheus adds where a series has none, so that a scraper does not put its own in its place.
const INSTANCE: &str = "instance";
/// The label of a bucket's upper bound.
const BUCKET: &str = "le";

/// How names outside `[a-zA-Z_][a-zA-Z0-9_]*` are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// With underscores in place of other characters: format 0.0.4, what any scraper reads.
    Underscores,
    /// As they are, in quotes: format 1.0.0, for scrapers that say `escaping=allow-utf-8`.
    Quoted,
}

/// Answers one request.
pub async fn federate(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    let selectors = ask
        .params
        .all("match[]")
        .map(parse_metric_selector)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::bad_data(error.to_string()))?;
    let names = negotiate(&ask.headers);
    let now = app.clock.now();
    let lookback = i64::try_from(app.engine.limits().lookback_delta.as_nanos()).unwrap_or(i64::MAX);
    let range = TimeRange::closed(now.saturating_sub(lookback), now);
    let shared = app.clone();
    let work = async move {
        let read = async |_| newest(&SampleQuery::new(&shared, &ask.tenant)?, selectors, range).await;
        shared.engine.in_turn(&ask.tenant, None, read).await
    };
    let mut response = answer(
        &app,
        work,
        move |samples| Exposition::new(samples, names),
        Response::new,
    )
    .await?;
    let content_type = HeaderValue::from_static(match names {
        Names::Underscores => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        Names::Quoted => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    });
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

/// Text in either case: a scraper that would rather have protobuf reads it too.
fn negotiate(headers: &HeaderMap) -> Names {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let quoted = accepted.filter_map(|value| value.to_str().ok()).any(|value| {
        let mut clauses = value.split(',').map(str::trim);
        clauses.any(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            matches!(parts.next(), Some("text/plain" | "text/*" | "*/*")) && parts.any(|p| p == "escaping=allow-utf-8")
        })
    });
    if quoted { Names::Quoted } else { Names::Underscores }
}

/// One series of the answer.
struct Newest {
    labels: Labels,
    time_ns: Timestamp,
    value: SampleValue,
}

/// The last sample of each series in `range`; a series that has ended is left out. So is a native histogram, for which the
/// text format has no form, unless it has custom buckets: then it is a classic one.
async fn newest(
    query: &SampleQuery,
    selectors: Vec<Vec<LabelMatcher>>,
    range: TimeRange,
) -> Result<Vec<Newest>, Failure> {
    let mut found = BTreeMap::new();
    for matchers in selectors {
        let mut batches = query.scan(matchers, range).await?;
        while let Some(batch) = batches.try_next().await? {
            for (index, labels) in batch.series.iter().enumerate() {
                let (times, values) = batch.rows(index);
                if let (Some(time), Some(value)) = (times.last(), values.last())
                    && !is_stale(*value)
                    && labels.get(METRIC_NAME).is_some()
                {
                    let value = match batch.histograms(index).get(times.len() - 1) {
                        Some(histogram) if !histogram.uses_custom_buckets() => continue,
                        Some(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
                        None => SampleValue::Float(*value),
                    };
                    query.memory().try_grow(labels.size_bytes() as u64 + SERIES_BYTES)?;
                    found.insert(SeriesKey(labels.clone()), (*time, value));
                }
            }
        }
    }
    let samples = found.into_iter().map(|(key, (time_ns, value))| Newest {
        labels: key.0,
        time_ns,
        value,
    });
    Ok(samples.collect())
}

/// Writes the text format: series come sorted by their metric.
struct Exposition {
    samples: Vec<Newest>,
    written: usize,
    names: Names,
}

impl Exposition {
    fn new(samples: Vec<Newest>, names: Names) -> Self {
        Exposition {
            samples,
            written: 0,
            names,
        }
    }

    /// The metric of a sample and its type, which stand above the first of those that have both.
    fn family(&self, at: usize) -> Option<(&str, &'static str)> {
        let sample = self.samples.get(at)?;
        let kind = match sample.value {
            SampleValue::Float(_) => "untyped",
            SampleValue::Histogram(_) => "histogram",
        };
        Some((sample.labels.get(METRIC_NAME)?, kind))
    }

    /// A line: a series of `metric`, which has `le` too where a bound is given.
    fn push_line(&self, out: &mut Vec<u8>, sample: &Newest, suffix: &str, bound: Option<&str>, value: f64) {
        let metric = sample.labels.get(METRIC_NAME).unwrap_or_default();
        let metric = format!("{metric}{suffix}");
        let quoted = self.names == Names::Quoted && !is_classic(&metric);
        if !quoted {
            push_name(out, &metric, self.names);
        }
        out.push(b'{');
        if quoted {
            push_name(out, &metric, self.names);
        }
        let mut separator = quoted;
        let pairs = sample.labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        let no_instance = sample.labels.get(INSTANCE).is_none().then_some((INSTANCE, ""));
        let bound = bound.map(|bound| (BUCKET, bound));
        for (name, value) in pairs.chain(no_instance).chain(bound) {
            if separator {
                out.push(b',');
            }
            separator = true;
            push_name(out, name, self.names);
            out.push(b'=');
            push_quoted(out, value);
        }
        out.extend_from_slice(b"} ");
        out.extend_from_slice(go_shortest(value).as_bytes());
        out.push(b' ');
        push_int(out, sample.time_ns.div_euclid(NANOS_PER_MILLI));
        out.push(b'\n');
    }

    /// A histogram with custom buckets as a classic one (`makeClassicHistogram`).
    fn push_histogram(&self, out: &mut Vec<u8>, sample: &Newest, histogram: &Histogram) {
        let mut counts = Indexed::new(&histogram.positive_spans, &histogram.positive_buckets).peekable();
        let mut cumulative = 0.0;
        for (index, bound) in histogram.custom_values.iter().enumerate() {
            while let Some((_, count)) = counts.next_if(|(at, _)| usize::try_from(*at).is_ok_and(|at| at <= index)) {
                cumulative += count;
            }
            self.push_line(out, sample, "_bucket", Some(&go_shortest(*bound)), cumulative);
        }
        self.push_line(out, sample, "_bucket", Some("+Inf"), histogram.count);
        self.push_line(out, sample, "_sum", None, histogram.sum);
        self.push_line(out, sample, "_count", None, histogram.count);
    }
}

impl Encode for Exposition {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(sample) = self.samples.get(self.written) else {
            return false;
        };
        let family = self.family(self.written);
        let before = self.written.checked_sub(1).and_then(|at| self.family(at));
        if let Some((metric, kind)) = family.filter(|_| family != before) {
            out.extend_from_slice(b"# TYPE ");
            push_name(out, metric, self.names);
            out.push(b' ');
            out.extend_from_slice(kind.as_bytes());
            out.push(b'\n');
        }
        match &sample.value {
            SampleValue::Float(value) => self.push_line(out, sample, "", None, *value),
            SampleValue::Histogram(histogram) => self.push_histogram(out, sample, histogram),
        }
        self.written += 1;
        self.written < self.samples.len()
    }
}

/// A value as Go's `FormatFloat(v, 'g', -1, 64)` writes it (prometheus common `expfmt/text_create.go`, `writeFloat`).
fn go_shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_string();
    }
    let scientific = format!("{value:e}");
    let parts = scientific.split_once('e').map(|(digits, e)| (digits, e.parse::<i32>()));
    match parts {
        Some((digits, Ok(exponent))) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

/// Whether a name needs no quotes. Colons are for metrics only, which labels that reach the store keep to.
fn is_classic(name: &str) -> bool {
    let plain =
        |(at, b): (usize, u8)| b == b'_' || b == b':' || b.is_ascii_alphabetic() || (at > 0 && b.is_ascii_digit());
    !name.is_empty() && name.bytes().enumerate().all(plain)
}

fn push_name(out: &mut Vec<u8>, name: &str, names: Names) {
    if is_classic(name) {
        out.extend_from_slice(name.as_bytes());
    } else if names == Names::Quoted {
        push_quoted(out, name);
    } else {
        // prometheus common `model/metric.go`, `EscapeName` with `UnderscoreEscaping`
        for (at, c) in name.chars().enumerate() {
            let keep = c == '_' || c == ':' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
            out.push(if keep { c as u8 } else { b'_' });
        }
    }
}

fn push_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA};

    use super::*;

    #[test]
    fn custom_buckets_are_written_as_classic_ones() {
        let histogram = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 6.0,
            sum: 1.5,
            custom_values: vec![0.1, 0.2, 1.0],
            positive_spans: vec![BucketSpan { offset: 0, length: 1 }, BucketSpan { offset: 1, length: 2 }],
            positive_buckets: vec![3.0, 2.0, 1.0],
            ..Histogram::default()
        };
        let sample = |value| Newest {
            labels: Labels::from_pairs([("__name__", "m"), ("a", "1")]),
            time_ns: 1_500_000_000,
            value,
        };
        let samples = vec![
            sample(SampleValue::Float(2.0)),
            sample(SampleValue::Histogram(Arc::new(histogram))),
        ];
        let mut exposition = Exposition::new(samples, Names::Underscores);
        let mut out = Vec::new();
        while exposition.next(&mut out) {}
        let expected = "# TYPE m untyped\n\
            m{a=\"1\",instance=\"\"} 2 1500\n\
            # TYPE m histogram\n\
            m_bucket{a=\"1\",instance=\"\",le=\"0.1\"} 3 1500\n\
            m_bucket{a=\"1\",instance=\"\",le=\"0.2\"} 3 1500\n\
            m_bucket{a=\"1\",instance=\"\",le=\"1\"} 5 1500\n\
            m_bucket{a=\"1\",instance=\"\",le=\"+Inf\"} 6 1500\n\
            m_sum{a=\"1\",instance=\"\"} 1.5 1500\n\
            m_count{a=\"1\",instance=\"\"} 6 1500\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn values_are_written_as_go_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (4_194_304.0, "4.194304e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e-300, "1e-300"),
            (-2.5, "-2.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(go_shortest(value), text);
        }
    }
}
