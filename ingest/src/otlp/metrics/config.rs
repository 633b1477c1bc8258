//! What becomes of OpenTelemetry's names and attributes, under the names of Prometheus' `otlp` section (prometheus
//! `config/config.go`, `OTLPConfig`).

use std::time::Duration;

/// How names are translated (prometheus/otlptranslator `strategy.go`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TranslationStrategy {
    /// What Prometheus' classic names do not allow becomes `_`; units and types become suffixes.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// What classic names do not allow becomes `_`.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are; units and types become suffixes.
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

impl TranslationStrategy {
    /// The strategy that Prometheus calls so.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "UnderscoreEscapingWithSuffixes" => TranslationStrategy::UnderscoreEscapingWithSuffixes,
            "UnderscoreEscapingWithoutSuffixes" => TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
            "NoUTF8EscapingWithSuffixes" => TranslationStrategy::NoUtf8EscapingWithSuffixes,
            "NoTranslation" => TranslationStrategy::NoTranslation,
            _ => return None,
        })
    }

    pub(super) fn escapes(self) -> bool {
        matches!(
            self,
            TranslationStrategy::UnderscoreEscapingWithSuffixes
                | TranslationStrategy::UnderscoreEscapingWithoutSuffixes
        )
    }

    pub(super) fn adds_suffixes(self) -> bool {
        matches!(
            self,
            TranslationStrategy::UnderscoreEscapingWithSuffixes | TranslationStrategy::NoUtf8EscapingWithSuffixes
        )
    }
}

/// A tenant's rules of translation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OtlpMetricsConfig {
    /// Resource attributes that become labels of each series.
    pub promote_resource_attributes: Vec<String>,
    /// Whether all of them do but those of `ignore_resource_attributes`.
    pub promote_all_resource_attributes: bool,
    /// Those that do not.
    pub ignore_resource_attributes: Vec<String>,
    /// How names are translated.
    pub translation_strategy: TranslationStrategy,
    /// Whether `target_info` keeps the attributes that `job` and `instance` are made of.
    pub keep_identifying_resource_attributes: bool,
    /// Whether histograms with listed bounds become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Whether name, version, schema URL and attributes of scopes become labels `otel_scope_…`.
    pub promote_scope_metadata: bool,
    /// Whether escaped label names that begin with one `_` get `key` before it.
    pub label_name_underscore_sanitization: bool,
    /// Whether runs of `_` in escaped label names stay.
    pub label_name_preserve_multiple_underscores: bool,
    /// Whether delta sums and histograms are stored as they are, of unknown type (Prometheus' flag
    /// `otlp-native-delta-ingestion`); otherwise they are refused.
    pub native_delta_ingestion: bool,
    /// How far back queries look: `target_info` gets a sample at least twice as often.
    pub lookback_delta: Duration,
}

impl Default for OtlpMetricsConfig {
    fn default() -> Self {
        OtlpMetricsConfig {
            promote_resource_attributes: Vec::new(),
            promote_all_resource_attributes: false,
            ignore_resource_attributes: Vec::new(),
            translation_strategy: TranslationStrategy::default(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            native_delta_ingestion: false,
            lookback_delta: Duration::from_secs(300),
        }
    }
}

impl OtlpMetricsConfig {
    /// Whether a resource attribute becomes a label.
    pub(super) fn promotes(&self, name: &[u8]) -> bool {
        let among = |names: &[String]| names.iter().any(|known| known.as_bytes() == name);
        match self.promote_all_resource_attributes {
            true => !among(&self.ignore_resource_attributes),
            false => among(&self.promote_resource_attributes),
        }
    }
}
