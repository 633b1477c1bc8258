//! What holds for every OTLP metrics request, however odd. The fuzz target `otlp_metrics` calls this, and a test replays its
//! corpus.

use super::{JSON, MAX_BYTES, NOW_NS, PROTOBUF, Rows, metric_limits};
use crate::otlp::{OtlpMetricsConfig, OtlpPush, TranslationStrategy};
use crate::validate::MetricLimits;
use crate::writer::append_otlp_metrics;

/// Reads `data` as a request: its first byte chooses the encoding, the second limits, the two after them how names and
/// attributes are translated. Nothing may panic; what is read must be the same again once its series are known; and where
/// names are escaped they are classic ones.
pub fn check(data: &[u8]) {
    let [encoding, limits, rules, attributes, body @ ..] = data else {
        return;
    };
    let (content_type, content_encoding) = match encoding % 5 {
        0 => (PROTOBUF, ""),
        1 => (JSON, ""),
        2 => (PROTOBUF, "gzip"),
        3 => (PROTOBUF, "zstd"),
        _ => (JSON, "lz4"),
    };
    let limits = MetricLimits {
        otlp: config(*rules, *attributes),
        max_recv_msg_size: MAX_BYTES,
        ..metric_limits(*limits)
    };
    let decode = |rows: &mut Rows| {
        let push = OtlpPush {
            content_type,
            content_encoding,
            body,
        };
        append_otlp_metrics(rows, push, &limits, NOW_NS).map_err(|error| error.to_string())
    };
    let mut rows = Rows::default();
    let first = decode(&mut rows);
    let text = rows.take();
    let again = decode(&mut rows);
    assert_eq!(first, again, "a request is read otherwise once its series are known");
    if first.is_ok() {
        assert_eq!(text, rows.take(), "other rows once the series are known");
    }
    if limits.otlp.translation_strategy == TranslationStrategy::UnderscoreEscapingWithSuffixes
        || limits.otlp.translation_strategy == TranslationStrategy::UnderscoreEscapingWithoutSuffixes
    {
        for labels in &rows.series {
            for (name, value) in labels.iter() {
                assert!(is_classic(name, false), "label {name:?} of {labels}");
                assert!(name != "__name__" || is_classic(value, true), "metric {value:?}");
            }
        }
    }
}

/// Letters, digits after the first place, and `_`; of metrics `:` too.
fn is_classic(name: &str, colons: bool) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(allowed)
}

fn config(rules: u8, attributes: u8) -> OtlpMetricsConfig {
    let is = |bits: u8, bit: u8| bits & (1 << bit) != 0;
    let some = |yes: bool, names: &[&str]| match yes {
        true => names.iter().map(|name| (*name).to_string()).collect(),
        false => Vec::new(),
    };
    OtlpMetricsConfig {
        translation_strategy: match rules % 4 {
            0 => TranslationStrategy::UnderscoreEscapingWithSuffixes,
            1 => TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
            2 => TranslationStrategy::NoUtf8EscapingWithSuffixes,
            _ => TranslationStrategy::NoTranslation,
        },
        keep_identifying_resource_attributes: is(rules, 2),
        convert_histograms_to_nhcb: is(rules, 3),
        promote_scope_metadata: is(rules, 4),
        label_name_underscore_sanitization: !is(rules, 5),
        label_name_preserve_multiple_underscores: !is(rules, 6),
        native_delta_ingestion: is(rules, 7),
        promote_all_resource_attributes: is(attributes, 0),
        promote_resource_attributes: some(is(attributes, 1), &["service.name", "host.name", "a"]),
        ignore_resource_attributes: some(is(attributes, 2), &["host.name", "a"]),
        ..OtlpMetricsConfig::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/otlp_metrics");
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// Rows that a request of the corpus makes.
    fn rows_of(data: &[u8]) -> usize {
        let mut rows = Rows::default();
        let push = OtlpPush {
            content_type: if data[0].is_multiple_of(5) { PROTOBUF } else { JSON },
            content_encoding: "",
            body: &data[4..],
        };
        let outcome = append_otlp_metrics(&mut rows, push, &MetricLimits::default(), NOW_NS);
        outcome.map_or(0, |outcome| outcome.accepted_rows as usize)
    }

    #[test]
    fn the_corpus_of_the_fuzz_target_holds() {
        let corpus = corpus();
        let mut encodings = [0; 5];
        for data in &corpus {
            check(data);
            encodings[data.first().map_or(0, |byte| usize::from(byte % 5))] += 1;
        }
        assert!(
            encodings.iter().all(|files| *files >= 3),
            "files by encoding: {encodings:?}"
        );
        let plain = |data: &&Vec<u8>| data.len() > 4 && data[0] % 5 < 2;
        let full = corpus.iter().filter(plain).filter(|data| rows_of(data) > 0).count();
        assert!(full >= 10, "only {full} requests hold anything");
    }

    #[test]
    fn damaged_copies_of_the_corpus_are_read_or_refused() {
        // The same sequence on every run (Knuth's MMIX).
        let mut state: u64 = 1;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below.max(1)
        };
        let corpus = corpus();
        for data in &corpus {
            for _ in 0..40 {
                let mut copy = data.clone();
                for _ in 0..=random(3) {
                    let at = random(copy.len());
                    match random(4) {
                        0 => copy.truncate(at.max(4)),
                        1 => copy.insert(at, random(256) as u8),
                        2 => {
                            let other = &corpus[random(corpus.len())];
                            copy.truncate(at);
                            copy.extend_from_slice(&other[at.min(other.len())..]);
                        }
                        _ => {
                            if let Some(byte) = copy.get_mut(at) {
                                *byte ^= 1 << random(8);
                            }
                        }
                    }
                }
                check(&copy);
            }
        }
    }
}
