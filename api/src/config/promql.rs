//! `[promql]`: parts of the language that change what other queries answer, named after Prometheus' feature flags.

use garner_query::context::PromqlSettings;

use super::error::ConfigError;
use super::reader::{BOOL, Reader};

/// Declares and reads the group.
pub fn read(from: &mut Reader<'_>) -> Result<PromqlSettings, ConfigError> {
    Ok(PromqlSettings {
        delayed_name_removal: from.get(
            "promql.delayed_name_removal",
            &BOOL,
            "false",
            "Drop metric names at the end of a query instead of in each function, so that `label_replace`, `label_join` and \
             `by (__name__)` still see them (Prometheus: `promql-delayed-name-removal`).",
        )?,
        use_start_timestamps: from.get(
            "promql.use_start_timestamps",
            &BOOL,
            "false",
            "Let `rate`, `irate`, `increase` and `resets` see counter resets in the start timestamps of samples, and start \
             a new counter at zero there (Prometheus: `use-start-timestamps`).",
        )?,
        type_and_unit_labels: from.get(
            "promql.type_and_unit_labels",
            &BOOL,
            "false",
            "Give series of remote write 2 and OTLP labels `__type__` and `__unit__` out of their metadata, and drop them where \
             functions and operators drop the name (Prometheus: `type-and-unit-labels`).",
        )?,
    })
}
