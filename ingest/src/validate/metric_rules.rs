//! Rules for series and samples, with Mimir's order and texts (`pkg/distributor/validate.go`, `pkg/util/globalerror`).
//! Names may be any UTF-8, as in Prometheus 3.

use garner_storage::model::go_text::go_labels;
use garner_storage::model::{METRIC_NAME, NANOS_PER_MILLI};

use super::limits::MetricLimits;
use super::log_rules::{nanos, newest_ns};
use crate::text::truncate_chars;

/// Characters of a label or series that a message shows.
const MAX_SHOWN_CHARS: usize = 200;

/// Labels of a series as they were sent.
#[derive(Debug, Default)]
pub(crate) struct SeriesLabels<'a> {
    pairs: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> SeriesLabels<'a> {
    /// Adds a pair; one with an empty value means "absent" and is left out.
    pub(crate) fn push(&mut self, name: &'a [u8], value: &'a [u8]) {
        if !value.is_empty() {
            self.pairs.push((name, value));
        }
    }

    /// Checks the set; gives its pairs in name order.
    pub(crate) fn checked(mut self, limits: &MetricLimits) -> Result<Vec<(&'a str, &'a str)>, String> {
        self.pairs.sort();
        let Some(metric) = self.metric_name() else {
            return Err(message("received series has no metric name", "missing-metric-name"));
        };
        if std::str::from_utf8(metric).is_err() {
            let name = ascii_only(metric);
            let name = truncate_chars(&name, MAX_SHOWN_CHARS);
            return Err(message(
                &format!("received a series with invalid metric name: '{name}'"),
                "metric-name-invalid",
            ));
        }
        self.check_count(limits)?;
        let mut checked: Vec<(&str, &str)> = Vec::with_capacity(self.pairs.len());
        for (name, value) in &self.pairs {
            let name = self.check_name(name, limits)?;
            let value = self.check_value(name, value, limits)?;
            if checked.last().is_some_and(|(previous, _)| *previous == name) {
                return Err(message(
                    &format!(
                        "received a series with duplicate label name, label: '{}' series: '{}'",
                        truncate_chars(name, MAX_SHOWN_CHARS),
                        self.shown()
                    ),
                    "duplicate-label-names",
                ));
            }
            checked.push((name, value));
        }
        Ok(checked)
    }

    fn check_count(&self, limits: &MetricLimits) -> Result<(), String> {
        let (count, max) = (self.pairs.len(), limits.max_label_names_per_series);
        if max == 0 || count <= max {
            return Ok(());
        }
        let series = self.format();
        let shown = truncate_chars(&series, MAX_SHOWN_CHARS);
        let ellipsis = if shown.len() < series.len() { "…" } else { "" };
        Err(limit_message(
            &format!(
                "received a series whose number of labels exceeds the limit (actual: {count}, limit: {max}) \
                 series: '{shown}{ellipsis}'"
            ),
            "max-label-names-per-series",
            "validation.max-label-names-per-series",
        ))
    }

    fn check_name(&self, name: &'a [u8], limits: &MetricLimits) -> Result<&'a str, String> {
        let text = match std::str::from_utf8(name) {
            Ok(text) if !text.is_empty() => text,
            _ => {
                return Err(message(
                    &format!(
                        "received a series with an invalid label: '{}' series: '{}'",
                        shown_lossy(name),
                        self.shown()
                    ),
                    "label-invalid",
                ));
            }
        };
        if limits.max_label_name_length > 0 && text.len() > limits.max_label_name_length {
            return Err(limit_message(
                &format!(
                    "received a series whose label name length exceeds the limit, label: '{}' series: '{}'",
                    shown_lossy(name),
                    self.shown()
                ),
                "label-name-too-long",
                "validation.max-length-label-name",
            ));
        }
        Ok(text)
    }

    fn check_value(&self, name: &str, value: &'a [u8], limits: &MetricLimits) -> Result<&'a str, String> {
        let Ok(text) = std::str::from_utf8(value) else {
            let metric = self.metric_name().unwrap_or_default();
            return Err(message(
                &format!(
                    "received a series with invalid value in label '{}': '{}' metric: '{}'",
                    truncate_chars(name, MAX_SHOWN_CHARS),
                    shown_lossy(value),
                    shown_lossy(metric)
                ),
                "label-value-invalid",
            ));
        };
        if limits.max_label_value_length > 0 && text.len() > limits.max_label_value_length {
            return Err(limit_message(
                &format!(
                    "received a series whose label value length exceeds the limit, label: '{name}', value: '{}' \
                     (truncated) series: '{}'",
                    shown_lossy(value),
                    self.shown()
                ),
                "label-value-too-long",
                "validation.max-length-label-value",
            ));
        }
        Ok(text)
    }

    /// The metric's name as it was sent.
    pub(crate) fn metric_name(&self) -> Option<&'a [u8]> {
        let found = self.pairs.iter().find(|(name, _)| *name == METRIC_NAME.as_bytes());
        found.map(|(_, value)| *value)
    }

    fn format(&self) -> String {
        let texts: Vec<_> = self
            .pairs
            .iter()
            .map(|(n, v)| (String::from_utf8_lossy(n), String::from_utf8_lossy(v)))
            .collect();
        go_labels(texts.iter().map(|(n, v)| (&**n, &**v)))
    }

    /// The set for a message.
    pub(crate) fn shown(&self) -> String {
        truncate_chars(&self.format(), MAX_SHOWN_CHARS).to_string()
    }
}

/// Times at which samples are accepted, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SampleWindow {
    oldest_ns: i64,
    newest_ns: i64,
}

impl SampleWindow {
    /// The window around the server's time.
    pub(crate) fn new(limits: &MetricLimits, now_ns: i64) -> Self {
        let oldest_ns = match limits.reject_old_samples {
            true => now_ns.saturating_sub(nanos(limits.reject_old_samples_max_age)),
            false => i64::MIN,
        };
        SampleWindow {
            oldest_ns,
            newest_ns: newest_ns(now_ns, limits.creation_grace_period),
        }
    }

    /// The time of a sample in nanoseconds; `metric` is asked for only where it is refused. Milliseconds that do not fit
    /// into 64 bits of nanoseconds are too far away in their direction.
    #[inline]
    pub(crate) fn check(&self, timestamp_ms: i64, metric: impl FnOnce() -> String) -> Result<i64, String> {
        match timestamp_ms.checked_mul(NANOS_PER_MILLI) {
            Some(ns) if (self.oldest_ns..=self.newest_ns).contains(&ns) => Ok(ns),
            Some(ns) if ns < self.oldest_ns => Err(too_far(timestamp_ms, "past", &metric())),
            None if timestamp_ms < 0 => Err(too_far(timestamp_ms, "past", &metric())),
            _ => Err(too_far(timestamp_ms, "future", &metric())),
        }
    }
}

fn too_far(timestamp_ms: i64, direction: &str, metric: &str) -> String {
    let setting = match direction {
        "past" => "validation.past-grace-period",
        _ => "validation.create-grace-period",
    };
    limit_message(
        &format!(
            "received a sample whose timestamp is too far in the {direction}, timestamp: {timestamp_ms} series: '{}'",
            truncate_chars(metric, MAX_SHOWN_CHARS)
        ),
        &format!("too-far-in-{direction}"),
        setting,
    )
}

/// A new series over the tenant's limit.
pub(crate) fn series_limit_reached(limits: &MetricLimits) -> String {
    limit_message(
        &format!(
            "per-user series limit of {} exceeded",
            limits.max_global_series_per_user
        ),
        "max-series-per-user",
        "ingester.max-global-series-per-user",
    )
}

fn message(text: &str, id: &str) -> String {
    format!("{text} (err-mimir-{id})")
}

pub(super) fn limit_message(text: &str, id: &str, setting: &str) -> String {
    format!(
        "{text} (err-mimir-{id}). To adjust the related per-tenant limit, configure -{setting}, or contact your service \
         administrator."
    )
}

fn shown_lossy(bytes: &[u8]) -> String {
    truncate_chars(&String::from_utf8_lossy(bytes), MAX_SHOWN_CHARS).to_string()
}

fn ascii_only(bytes: &[u8]) -> String {
    let ascii: String = bytes.iter().filter(|b| b.is_ascii()).map(|b| char::from(*b)).collect();
    format!("{ascii} (non-ascii characters removed)")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pair<'a> = (&'a [u8], &'a [u8]);

    fn checked(pairs: &[Pair<'_>], limits: &MetricLimits) -> Result<String, String> {
        let mut labels = SeriesLabels::default();
        for (name, value) in pairs {
            labels.push(name, value);
        }
        labels.checked(limits).map(go_labels)
    }

    #[test]
    fn any_utf_8_is_a_name() {
        let pairs: [Pair<'_>; 4] = [
            (b"b", b"2"),
            (b"__name__", "größe".as_bytes()),
            (b"service.name", b"x"),
            (b"empty", b""),
        ];
        let expected = r#"{__name__="größe", b="2", "service.name"="x"}"#;
        assert_eq!(checked(&pairs, &MetricLimits::default()).as_deref(), Ok(expected));
    }

    #[test]
    fn broken_series_are_refused_in_mimirs_words() {
        let limits = MetricLimits {
            max_label_names_per_series: 3,
            max_label_name_length: 10,
            max_label_value_length: 12,
            ..MetricLimits::default()
        };
        let up: Pair<'_> = (b"__name__", b"up");
        let adjust = |flag: &str| {
            format!("To adjust the related per-tenant limit, configure -{flag}, or contact your service administrator.")
        };
        let cases: [(&[Pair<'_>], String); 9] = [
            (
                &[(b"a", b"1")],
                "received series has no metric name (err-mimir-missing-metric-name)".into(),
            ),
            (
                &[(b"__name__", b"")],
                "received series has no metric name (err-mimir-missing-metric-name)".into(),
            ),
            (
                &[(b"__name__", b"u\xffp")],
                "received a series with invalid metric name: 'up (non-ascii characters removed)' \
                 (err-mimir-metric-name-invalid)"
                    .into(),
            ),
            (
                &[up, (b"a", b"1"), (b"b", b"1"), (b"c", b"1")],
                format!(
                    "received a series whose number of labels exceeds the limit (actual: 4, limit: 3) series: \
                     '{{__name__=\"up\", a=\"1\", b=\"1\", c=\"1\"}}' (err-mimir-max-label-names-per-series). {}",
                    adjust("validation.max-label-names-per-series")
                ),
            ),
            (
                &[up, (b"", b"1")],
                "received a series with an invalid label: '' series: '{\"\"=\"1\", __name__=\"up\"}' \
                 (err-mimir-label-invalid)"
                    .into(),
            ),
            (
                &[up, (b"abcdefghijk", b"1")],
                format!(
                    "received a series whose label name length exceeds the limit, label: 'abcdefghijk' series: \
                     '{{__name__=\"up\", abcdefghijk=\"1\"}}' (err-mimir-label-name-too-long). {}",
                    adjust("validation.max-length-label-name")
                ),
            ),
            (
                &[up, (b"a", b"x\xff")],
                "received a series with invalid value in label 'a': 'x\u{fffd}' metric: 'up' \
                 (err-mimir-label-value-invalid)"
                    .into(),
            ),
            (
                &[up, (b"a", b"1234567890123")],
                format!(
                    "received a series whose label value length exceeds the limit, label: 'a', value: '1234567890123' \
                     (truncated) series: '{{__name__=\"up\", a=\"1234567890123\"}}' (err-mimir-label-value-too-long). {}",
                    adjust("validation.max-length-label-value")
                ),
            ),
            (
                &[up, (b"a", b"1"), (b"a", b"2")],
                "received a series with duplicate label name, label: 'a' series: \
                 '{__name__=\"up\", a=\"1\", a=\"2\"}' (err-mimir-duplicate-label-names)"
                    .into(),
            ),
        ];
        for (pairs, expected) in cases {
            assert_eq!(checked(pairs, &limits), Err(expected));
        }
    }

    #[test]
    fn times_outside_the_window_are_refused() {
        const NOW_MS: i64 = 1_768_003_200_000;
        let limits = MetricLimits::default();
        let window = SampleWindow::new(&limits, NOW_MS * NANOS_PER_MILLI);
        let check = |ms: i64| window.check(ms, || "up".to_string());
        for ms in [NOW_MS, NOW_MS + 600_000, 0, -1, i64::MIN / NANOS_PER_MILLI] {
            assert_eq!(check(ms), Ok(ms * NANOS_PER_MILLI));
        }
        let late = NOW_MS + 600_001;
        assert_eq!(
            check(late),
            Err(format!(
                "received a sample whose timestamp is too far in the future, timestamp: {late} series: 'up' \
                 (err-mimir-too-far-in-future). To adjust the related per-tenant limit, configure \
                 -validation.create-grace-period, or contact your service administrator."
            ))
        );
        assert!(check(i64::MAX).is_err_and(|m| m.contains("too far in the future")));
        assert!(check(i64::MIN).is_err_and(|m| m.contains("too far in the past")));

        let strict = MetricLimits {
            reject_old_samples: true,
            ..limits
        };
        let window = SampleWindow::new(&strict, NOW_MS * NANOS_PER_MILLI);
        let old = window.check(0, || "up".to_string());
        assert!(old.is_err_and(|m| m.contains("too far in the past")));
    }
}
