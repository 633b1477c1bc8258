//! Rows collected in memory, and requests as clients write them.

use std::collections::HashMap;

use garner_storage::Result;
use garner_storage::model::{Exemplar, Histogram, Labels, MetadataMap, MetadataRef, NANOS_PER_SECOND, TenantId};

use crate::error::{IngestError, IngestErrorKind};
use crate::loki::LokiPush;
use crate::validate::{LogLimits, MetricLimits};
use crate::wire::encode;
use crate::writer::{LogRows, PushOutcome, SampleRows, append_push, append_write_request};

/// 2026-01-10T00:00:00Z.
pub(super) const NOW_S: i64 = 1_768_003_200;
pub(super) const NOW_NS: i64 = NOW_S * NANOS_PER_SECOND;
pub(super) const NOW_MS: i64 = NOW_S * 1000;

/// Rows in memory instead of a store.
#[derive(Default)]
pub(super) struct Collected {
    pub aliases: HashMap<u128, usize>,
    pub series: Vec<Labels>,
    pub entries: Vec<Entry>,
    pub samples: Vec<(usize, i64, f64)>,
    pub histograms: Vec<(usize, i64, Histogram)>,
    /// Start times, in the order of the samples that have one.
    pub starts: Vec<i64>,
    pub exemplars: Vec<(usize, Exemplar)>,
    pub metadata: MetadataMap,
}

#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub series: usize,
    pub time_ns: i64,
    pub line: Vec<u8>,
    pub metadata: Vec<(String, String)>,
    pub level: Option<String>,
}

impl Collected {
    fn find(&mut self, alias: u128, labels: Labels) -> usize {
        let known = self.series.iter().position(|l| *l == labels);
        let series = known.unwrap_or_else(|| {
            self.series.push(labels);
            self.series.len() - 1
        });
        self.aliases.insert(alias, series);
        series
    }

    /// `{labels} seconds line {metadata} level` of each entry.
    pub(super) fn shown(&self) -> Vec<String> {
        let show = |e: &Entry| {
            let metadata: Vec<_> = e.metadata.iter().map(|(n, v)| format!("{n}={v}")).collect();
            format!(
                "{} {} {} [{}] {}",
                self.series[e.series],
                (e.time_ns - NOW_NS) as f64 / 1e9,
                String::from_utf8_lossy(&e.line),
                metadata.join(","),
                e.level.as_deref().unwrap_or("-")
            )
        };
        self.entries.iter().map(show).collect()
    }
}

impl LogRows for Collected {
    type Series = usize;

    fn lookup(&mut self, alias: u128) -> Option<usize> {
        self.aliases.get(&alias).copied()
    }

    fn labels(&self, series: usize) -> Labels {
        self.series[series].clone()
    }

    fn active_series(&self) -> usize {
        self.series.len()
    }

    fn register(&mut self, alias: u128, labels: Labels) -> Result<usize> {
        Ok(self.find(alias, labels))
    }

    fn push(&mut self, series: usize, time_ns: i64, line: &[u8], metadata: &[(&str, &str)], level: Option<&str>) {
        self.entries.push(Entry {
            series,
            time_ns,
            line: line.to_vec(),
            metadata: metadata
                .iter()
                .map(|(n, v)| ((*n).to_string(), (*v).to_string()))
                .collect(),
            level: level.map(str::to_string),
        });
    }
}

impl SampleRows for Collected {
    type Series = usize;

    fn lookup(&self, alias: u128) -> Option<usize> {
        self.aliases.get(&alias).copied()
    }

    fn active_series(&self) -> usize {
        self.series.len()
    }

    fn register(&mut self, alias: u128, labels: Labels) -> Result<usize> {
        Ok(self.find(alias, labels))
    }

    fn push(&mut self, series: usize, time_ns: i64, value: f64) {
        self.samples.push((series, time_ns, value));
    }

    fn push_histogram(&mut self, series: usize, time_ns: i64, histogram: Histogram) {
        self.histograms.push((series, time_ns, histogram));
    }

    fn set_start_time(&mut self, start_ns: i64) {
        self.starts.push(start_ns);
    }

    fn exemplars(&self) -> usize {
        self.exemplars.len()
    }

    fn push_exemplar(&mut self, series: usize, exemplar: Exemplar) {
        self.exemplars.push((series, exemplar));
    }

    fn knows_metadata(&self, metric: &str, metadata: MetadataRef<'_>) -> bool {
        self.metadata.has(metric, metadata)
    }

    fn metadata_counts(&self, metric: &str) -> (usize, usize) {
        (self.metadata.len(), self.metadata.of(metric).len())
    }

    fn push_metadata(&mut self, metric: &str, metadata: MetadataRef<'_>) {
        self.metadata.add(metric, metadata);
    }
}

pub(super) fn push_body(
    rows: &mut Collected,
    content_type: &str,
    content_encoding: &str,
    body: &[u8],
    limits: &LogLimits,
) -> Result<PushOutcome, IngestError> {
    let push = LokiPush {
        content_type,
        content_encoding,
        body,
        legacy: false,
    };
    append_push(rows, &TenantId::new("t").unwrap(), push, limits, NOW_NS)
}

/// Pushes JSON with `@<seconds>` for a time relative to now.
pub(super) fn push_json_with(body: &str, limits: &LogLimits) -> (Collected, Result<PushOutcome, IngestError>) {
    let mut rows = Collected::default();
    let mut text = String::new();
    let mut rest = body;
    while let Some(at) = rest.find('@') {
        text.push_str(&rest[..at]);
        let number_len = rest[at + 1..].find('"').unwrap();
        let seconds: f64 = rest[at + 1..at + 1 + number_len].parse().unwrap();
        text.push_str(&(NOW_NS + (seconds * 1e9) as i64).to_string());
        rest = &rest[at + 1 + number_len..];
    }
    text.push_str(rest);
    let result = push_body(&mut rows, "application/json", "", text.as_bytes(), limits);
    (rows, result)
}

pub(super) fn push_json(body: &str) -> (Collected, Result<PushOutcome, IngestError>) {
    push_json_with(body, &LogLimits::default())
}

/// One entry of a protobuf push: labels, seconds from now, line, metadata.
pub(super) type ProtoEntry<'a> = (&'a str, i64, &'a [u8], &'a [(&'a [u8], &'a [u8])]);

/// A push as Promtail sends it: one stream an entry.
pub(super) fn proto_push(entries: &[ProtoEntry<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, seconds, line, metadata) in entries {
        let mut timestamp = Vec::new();
        encode::int(&mut timestamp, 1, NOW_S + seconds);
        encode::int(&mut timestamp, 2, 5);
        let mut entry = Vec::new();
        encode::bytes(&mut entry, 1, &timestamp);
        encode::bytes(&mut entry, 2, line);
        for (name, value) in *metadata {
            let mut pair = Vec::new();
            encode::bytes(&mut pair, 1, name);
            encode::bytes(&mut pair, 2, value);
            encode::bytes(&mut entry, 3, &pair);
        }
        let mut stream = Vec::new();
        encode::bytes(&mut stream, 1, labels.as_bytes());
        encode::bytes(&mut stream, 2, &entry);
        encode::int(&mut stream, 3, 12345);
        encode::bytes(&mut request, 1, &stream);
    }
    request
}

pub(super) fn snappy(data: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(data).unwrap()
}

pub(super) fn push_proto(entries: &[ProtoEntry<'_>]) -> (Collected, Result<PushOutcome, IngestError>) {
    let mut rows = Collected::default();
    let body = snappy(&proto_push(entries));
    let result = push_body(
        &mut rows,
        "application/x-protobuf",
        "snappy",
        &body,
        &LogLimits::default(),
    );
    (rows, result)
}

pub(super) fn told(result: Result<PushOutcome, IngestError>) -> (IngestErrorKind, String) {
    let error = match result {
        Ok(outcome) => outcome.error().unwrap(),
        Err(error) => error,
    };
    (error.kind(), error.message().to_string())
}

/// A series: labels, samples (milliseconds from now, value), native histograms.
pub(super) type Series<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)], usize);

pub(super) fn write_request(series: &[Series<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, samples, histograms) in series {
        let mut message = Vec::new();
        for (name, value) in *labels {
            let mut pair = Vec::new();
            encode::bytes(&mut pair, 1, name.as_bytes());
            encode::bytes(&mut pair, 2, value.as_bytes());
            encode::bytes(&mut message, 1, &pair);
        }
        for (ms, value) in *samples {
            let mut sample = Vec::new();
            encode::double(&mut sample, 1, *value);
            encode::int(&mut sample, 2, NOW_MS.saturating_add(*ms));
            encode::bytes(&mut message, 2, &sample);
        }
        for _ in 0..*histograms {
            encode::bytes(&mut message, 4, b"");
        }
        encode::bytes(&mut request, 1, &message);
    }
    request
}

pub(super) fn write(rows: &mut Collected, series: &[Series<'_>]) -> PushOutcome {
    append_write_request(rows, &write_request(series), &MetricLimits::default(), NOW_NS).unwrap()
}
