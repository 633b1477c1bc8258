//! `[limits.metrics.otlp]`: how OpenTelemetry's metrics become Prometheus', under the names of its `otlp` section
//! (prometheus `config/config.go`, `OTLPConfig`).

use garner_ingest::otlp::{OtlpMetricsConfig, TranslationStrategy};

use super::error::ConfigError;
use super::raw::RawValue;
use super::reader::{BOOL, Kind, LIST, Reader, scalar_text};

/// Declares and reads the group.
pub(super) fn read_otlp_metrics(from: &mut Reader<'_>) -> Result<OtlpMetricsConfig, ConfigError> {
    let config = OtlpMetricsConfig {
        promote_resource_attributes: from.get(
            "limits.metrics.otlp.promote_resource_attributes",
            &ATTRIBUTES,
            "",
            "Resource attributes that become labels of every series of OpenTelemetry metrics; all others stand in \
             `target_info` only. Each makes new series where it changes.",
        )?,
        promote_all_resource_attributes: from.get(
            "limits.metrics.otlp.promote_all_resource_attributes",
            &BOOL,
            "false",
            "Make labels of all resource attributes but those of `limits.metrics.otlp.ignore_resource_attributes`.",
        )?,
        ignore_resource_attributes: from.get(
            "limits.metrics.otlp.ignore_resource_attributes",
            &ATTRIBUTES,
            "",
            "Resource attributes that stay out of labels where all others become some.",
        )?,
        translation_strategy: from.get(
            "limits.metrics.otlp.translation_strategy",
            &STRATEGY,
            "UnderscoreEscapingWithSuffixes",
            "How names of OpenTelemetry are translated: `UnderscoreEscapingWithSuffixes`, \
             `UnderscoreEscapingWithoutSuffixes`, `NoUTF8EscapingWithSuffixes` or `NoTranslation`.",
        )?,
        keep_identifying_resource_attributes: from.get(
            "limits.metrics.otlp.keep_identifying_resource_attributes",
            &BOOL,
            "false",
            "Keep `service.name`, `service.namespace` and `service.instance.id` in `target_info` too, beside `job` and \
             `instance`.",
        )?,
        convert_histograms_to_nhcb: from.get(
            "limits.metrics.otlp.convert_histograms_to_nhcb",
            &BOOL,
            "false",
            "Store histograms with listed bounds as native ones with custom buckets: one series instead of one a bucket.",
        )?,
        promote_scope_metadata: from.get(
            "limits.metrics.otlp.promote_scope_metadata",
            &BOOL,
            "false",
            "Make labels `otel_scope_…` of the name, version, schema URL and attributes of scopes.",
        )?,
        label_name_underscore_sanitization: from.get(
            "limits.metrics.otlp.label_name_underscore_sanitization",
            &BOOL,
            "true",
            "Put `key` before label names that begin with one `_`, where names are escaped.",
        )?,
        label_name_preserve_multiple_underscores: from.get(
            "limits.metrics.otlp.label_name_preserve_multiple_underscores",
            &BOOL,
            "true",
            "Keep several `_` in a row in label names, where names are escaped.",
        )?,
        native_delta_ingestion: from.get(
            "limits.metrics.otlp.native_delta_ingestion",
            &BOOL,
            "false",
            "Store sums and histograms that count from the point before as they are, of unknown type, instead of refusing \
             them (Prometheus: `otlp-native-delta-ingestion`).",
        )?,
        ..OtlpMetricsConfig::default()
    };
    let (all, promoted, ignored) = (
        config.promote_all_resource_attributes,
        config.promote_resource_attributes.len(),
        config.ignore_resource_attributes.len(),
    );
    match (all, promoted, ignored) {
        (true, 1.., _) => Err(ConfigError(
            "limits.metrics.otlp.promote_all_resource_attributes and limits.metrics.otlp.promote_resource_attributes \
             cannot be set at the same time"
                .to_string(),
        )),
        (false, _, 1..) => Err(ConfigError(
            "limits.metrics.otlp.ignore_resource_attributes cannot be set unless \
             limits.metrics.otlp.promote_all_resource_attributes is true"
                .to_string(),
        )),
        _ => Ok(config),
    }
}

/// Names of attributes, each once.
const ATTRIBUTES: Kind<Vec<String>> =
    Kind::new(r#"a list of attributes such as ["k8s.pod.name"], each once"#, |value| {
        let names: Vec<String> = LIST.read(value)?.iter().map(|name| name.trim().to_string()).collect();
        let once = names
            .iter()
            .enumerate()
            .all(|(at, name)| !name.is_empty() && !names[..at].contains(name));
        once.then_some(names)
    });

/// A way to translate names.
const STRATEGY: Kind<TranslationStrategy> = Kind::new(
    "UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes, NoUTF8EscapingWithSuffixes or NoTranslation",
    |value: &RawValue| TranslationStrategy::from_name(scalar_text(value)?),
);
