//! What holds for every body that somebody pushes, however odd. The fuzz target `push` calls this, and a test replays its
//! corpus; [`otlp_metrics`] is the same for OTLP metrics, which have a target of their own.

pub mod otlp_metrics;

use std::fmt::Write;

use garner_storage::Result;
use garner_storage::model::{Exemplar, Histogram, Labels, MetadataMap, MetadataRef, TenantId};

use crate::error::IngestError;
use crate::loki::LokiPush;
use crate::otlp::OtlpPush;
use crate::prometheus::ReadRequest;
use crate::validate::{LogLimits, MetricLimits};
use crate::writer::{
    LogRows, PushOutcome, SampleRows, append_otlp, append_push, append_write_request, append_write_request_v2,
};

/// 2026-01-10T00:00:00Z.
const NOW_NS: i64 = 1_768_003_200_000_000_000;
/// Bodies may not grow beyond this, so that a bomb shows as a refusal and not as a slow run.
const MAX_BYTES: usize = 1 << 20;

/// Reads `data` as a body: its first byte chooses the decoder, the second one limits. Nothing may panic, and what is read
/// must be the same again once its series are known by the bytes of their labels.
pub fn check(data: &[u8]) {
    let [decoder, limits, body @ ..] = data else { return };
    let decode = decoder_of(*decoder, *limits, body);
    let mut rows = Rows::default();
    let first = decode(&mut rows).map_err(|error| error.to_string());
    let text = rows.take();
    let again = decode(&mut rows).map_err(|error| error.to_string());
    assert_eq!(first, again, "a body is read otherwise once its series are known");
    if first.is_ok() {
        assert_eq!(text, rows.take(), "other rows once the series are known");
    }
}

type Decode<'a> = Box<dyn Fn(&mut Rows) -> std::result::Result<PushOutcome, IngestError> + 'a>;

fn decoder_of(decoder: u8, options: u8, body: &[u8]) -> Decode<'_> {
    let logs = log_limits(options);
    let metrics = metric_limits(options);
    let loki = |content_type: &'static str, content_encoding: &'static str, legacy: bool| -> Decode<'_> {
        let logs = logs.clone();
        Box::new(move |rows| {
            let packed;
            let body = match content_type == PROTOBUF && content_encoding.is_empty() {
                // As it comes over the wire; random bytes are hardly ever a snappy block.
                true => {
                    packed = snap::raw::Encoder::new().compress_vec(body).unwrap_or_default();
                    &packed
                }
                false => body,
            };
            let push = LokiPush {
                content_type,
                content_encoding,
                body,
                legacy,
            };
            append_push(rows, &tenant(), push, &logs, NOW_NS)
        })
    };
    let otlp = |content_type: &'static str, content_encoding: &'static str| -> Decode<'_> {
        let logs = logs.clone();
        Box::new(move |rows| {
            let push = OtlpPush {
                content_type,
                content_encoding,
                body,
            };
            append_otlp(rows, &tenant(), push, &logs, NOW_NS)
        })
    };
    match decoder % 8 {
        0 => loki(PROTOBUF, "", false),
        1 => loki(JSON, "", false),
        2 => loki(JSON, "", true),
        3 => otlp(PROTOBUF, ""),
        4 => otlp(JSON, ""),
        5 => Box::new(move |rows| append_write_request(rows, body, &metrics, NOW_NS)),
        6 => Box::new(move |rows| append_write_request_v2(rows, body, &metrics, NOW_NS)),
        _ => match options % 8 {
            0 => loki(PROTOBUF, "snappy", false),
            1 => loki(JSON, "gzip", false),
            2 => loki(JSON, "deflate", false),
            3 => otlp(PROTOBUF, "gzip"),
            4 => otlp(PROTOBUF, "zstd"),
            5 => otlp(JSON, "lz4"),
            _ => Box::new(|_| ReadRequest::decode(body).map(|_| PushOutcome::default())),
        },
    }
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn tenant() -> TenantId {
    TenantId::new("t").expect("a tenant")
}

fn log_limits(options: u8) -> LogLimits {
    let is = |bit: u8| options & (1 << bit) != 0;
    let mut limits = LogLimits {
        increment_duplicate_timestamp: is(0),
        max_line_size_truncate: is(1),
        reject_old_samples: is(2),
        allow_structured_metadata: !is(3),
        max_decompressed_size: MAX_BYTES,
        ..LogLimits::default()
    };
    if is(4) {
        limits.max_line_size = 20;
        limits.max_line_size_truncate_identifier = "…cut".to_string();
    }
    if is(5) {
        limits.max_structured_metadata_size = 10;
        limits.max_label_value_length = 10;
    }
    if is(6) {
        limits.log_level_from_json_max_depth = 0;
        limits.discover_service_name.clear();
    }
    limits
}

fn metric_limits(options: u8) -> MetricLimits {
    let is = |bit: u8| options & (1 << bit) != 0;
    let mut limits = MetricLimits {
        enable_type_and_unit_labels: is(0),
        reject_old_samples: is(1),
        max_recv_msg_size: MAX_BYTES,
        ..MetricLimits::default()
    };
    if is(2) {
        limits.max_native_histogram_buckets = 4;
    }
    if is(3) {
        limits.max_label_names_per_series = 2;
        limits.max_metadata_length = 5;
    }
    limits
}

/// Rows as text instead of a store.
#[derive(Default)]
struct Rows {
    aliases: Vec<(u128, usize)>,
    series: Vec<Labels>,
    metadata: MetadataMap,
    exemplars: usize,
    text: String,
}

impl Rows {
    /// The rows so far; series stay known.
    fn take(&mut self) -> String {
        self.metadata = MetadataMap::default();
        self.exemplars = 0;
        std::mem::take(&mut self.text)
    }

    fn find(&self, alias: u128) -> Option<usize> {
        self.aliases
            .iter()
            .find(|(known, _)| *known == alias)
            .map(|(_, at)| *at)
    }

    fn add(&mut self, alias: u128, labels: Labels) -> usize {
        let names: Vec<&str> = labels.iter().map(|(name, _)| name).collect();
        assert!(
            names.is_sorted_by(|a, b| a < b),
            "labels are sorted and distinct: {names:?}"
        );
        assert!(
            labels.iter().all(|(_, value)| !value.is_empty()),
            "an empty label: {labels}"
        );
        let known = self.series.iter().position(|other| *other == labels);
        let at = known.unwrap_or_else(|| {
            self.series.push(labels);
            self.series.len() - 1
        });
        self.aliases.push((alias, at));
        at
    }

    fn row(&mut self, series: usize, row: std::fmt::Arguments<'_>) {
        let labels = self.series.get(series).expect("a registered series");
        // Writing into a string cannot fail.
        let _ = writeln!(self.text, "{labels} {row}");
    }
}

impl LogRows for Rows {
    type Series = usize;

    fn lookup(&mut self, alias: u128) -> Option<usize> {
        self.find(alias)
    }

    fn labels(&self, series: usize) -> Labels {
        self.series.get(series).cloned().expect("a registered series")
    }

    fn active_series(&self) -> usize {
        self.series.len()
    }

    fn register(&mut self, alias: u128, labels: Labels) -> Result<usize> {
        Ok(self.add(alias, labels))
    }

    fn push(&mut self, series: usize, time_ns: i64, line: &[u8], metadata: &[(&str, &str)], level: Option<&str>) {
        assert!(
            metadata.iter().all(|(name, _)| !name.is_empty()),
            "metadata without a name"
        );
        self.row(series, format_args!("{time_ns} {line:?} {metadata:?} {level:?}"));
    }
}

impl SampleRows for Rows {
    type Series = usize;

    fn lookup(&self, alias: u128) -> Option<usize> {
        self.find(alias)
    }

    fn active_series(&self) -> usize {
        self.series.len()
    }

    fn register(&mut self, alias: u128, labels: Labels) -> Result<usize> {
        Ok(self.add(alias, labels))
    }

    fn push(&mut self, series: usize, time_ns: i64, value: f64) {
        self.row(series, format_args!("{time_ns} {:x}", value.to_bits()));
    }

    fn push_histogram(&mut self, series: usize, time_ns: i64, histogram: Histogram) {
        let slots =
            |spans: &[garner_storage::model::BucketSpan]| spans.iter().map(|s| s.length as usize).sum::<usize>();
        assert_eq!(slots(&histogram.positive_spans), histogram.positive_buckets.len());
        assert_eq!(slots(&histogram.negative_spans), histogram.negative_buckets.len());
        self.row(series, format_args!("{time_ns} {histogram:?}"));
    }

    fn set_start_time(&mut self, start_ns: i64) {
        let _ = writeln!(self.text, "since {start_ns}");
    }

    fn exemplars(&self) -> usize {
        self.exemplars
    }

    fn push_exemplar(&mut self, series: usize, exemplar: Exemplar) {
        self.exemplars += 1;
        self.row(series, format_args!("{exemplar:?}"));
    }

    fn knows_metadata(&self, metric: &str, metadata: MetadataRef<'_>) -> bool {
        self.metadata.has(metric, metadata)
    }

    fn metadata_counts(&self, metric: &str) -> (usize, usize) {
        (self.metadata.len(), self.metadata.of(metric).len())
    }

    fn push_metadata(&mut self, metric: &str, metadata: MetadataRef<'_>) {
        self.metadata.add(metric, metadata);
        let _ = writeln!(self.text, "{metric} {metadata:?}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    #[test]
    fn the_corpus_of_the_fuzz_target_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/push");
        let mut decoders = [0; 8];
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // The harness says which test failed; this says which file it was at.
            eprintln!("{}", path.display());
            let bytes = std::fs::read(path).unwrap();
            check(&bytes);
            decoders[bytes.first().map_or(0, |byte| usize::from(byte % 8))] += 1;
        }
        assert!(
            decoders.iter().all(|files| *files >= 3),
            "files by decoder: {decoders:?}"
        );
    }
}
