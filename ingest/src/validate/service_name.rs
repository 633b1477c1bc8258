//! `service_name`: made at ingest where a stream has none (loki `pkg/loghttp/push/push.go`, `ParseLokiRequest`).

use garner_storage::model::SERVICE_NAME;

use super::limits::LogLimits;
use crate::loki::StreamLabels;

/// What a stream is called that has none of the labels.
pub(crate) const UNKNOWN_SERVICE: &str = "unknown_service";

/// Streams that Loki makes for itself: they keep their labels and are not validated (`pkg/util/constants`).
const INTERNAL_LABELS: [&str; 2] = ["__aggregated_metric__", "__pattern__"];

/// Whether a stream carries one of Loki's internal labels.
pub(crate) fn is_internal(labels: &StreamLabels<'_>) -> bool {
    INTERNAL_LABELS.iter().any(|name| labels.get(name).is_some())
}

/// Adds `service_name` from the first label of the list that is there.
pub(crate) fn discover_service_name(labels: &mut StreamLabels<'_>, limits: &LogLimits) {
    let candidates = &limits.discover_service_name;
    if candidates.is_empty() || labels.get(SERVICE_NAME).is_some() || is_internal(labels) {
        return;
    }
    let found = candidates.iter().find_map(|name| labels.get(name));
    let value = found.unwrap_or(UNKNOWN_SERVICE).to_string();
    labels.insert(SERVICE_NAME, value);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_candidate_wins() {
        for (labels, expected) in [
            (r#"{app="a", service="s"}"#, "s"),
            (r#"{job="j", container="c"}"#, "c"),
            (r#"{foo="bar"}"#, "unknown_service"),
            ("", "unknown_service"),
            (r#"{service_name="given", app="a"}"#, "given"),
            (r#"{app_kubernetes_io_name="k", container="c"}"#, "k"),
        ] {
            let mut parsed = StreamLabels::parse(labels.as_bytes()).unwrap();
            discover_service_name(&mut parsed, &LogLimits::default());
            assert_eq!(parsed.get("service_name"), Some(expected), "{labels}");
            let names: Vec<_> = parsed.iter().map(|(n, _)| n).collect();
            assert!(names.is_sorted(), "{names:?}");
        }
    }

    #[test]
    fn it_can_be_turned_off_and_spares_internal_streams() {
        let off = LogLimits {
            discover_service_name: Vec::new(),
            ..LogLimits::default()
        };
        for (labels, limits) in [(r#"{app="a"}"#, &off), (r#"{__pattern__="p"}"#, &LogLimits::default())] {
            let mut parsed = StreamLabels::parse(labels.as_bytes()).unwrap();
            discover_service_name(&mut parsed, limits);
            assert_eq!(parsed.get("service_name"), None, "{labels}");
        }
    }
}
