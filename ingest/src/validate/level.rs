//! `detected_level`: the level of an entry, found where Loki finds it at ingest
//! (`pkg/distributor/field_detection.go`, `extractLogLevel`): metadata, stream labels, OTLP severity, then the line.

use std::borrow::Cow;

use super::level_line::level_of_line;
use super::limits::LogLimits;
use super::metadata::Metadata;
use crate::loki::StreamLabels;

/// The metadata that holds the level.
pub(crate) const DETECTED_LEVEL: &str = "detected_level";
/// Where OTLP records keep their severity (loki `pkg/loghttp/push/otlplabels`).
const SEVERITY_NUMBER: &str = "severity_number";

/// Finds levels for the entries of one stream.
#[derive(Debug)]
pub(crate) struct LevelDetector<'a> {
    limits: &'a LogLimits,
    enabled: bool,
}

impl<'a> LevelDetector<'a> {
    /// A detector under these limits.
    pub(crate) fn new(limits: &'a LogLimits) -> Self {
        LevelDetector {
            limits,
            enabled: limits.discover_log_levels && limits.allow_structured_metadata,
        }
    }

    /// The level that the stream's labels give to all its entries.
    pub(crate) fn level_of_stream(&self, labels: &StreamLabels<'_>) -> Option<String> {
        if !self.enabled {
            return None;
        }
        let value = self.limits.log_level_fields.iter().find_map(|name| labels.get(name))?;
        Some(normalize(value).to_string())
    }

    /// Brings a `detected_level` that the client sent into its usual spelling.
    pub(crate) fn spell_sent_level(&self, metadata: &mut Metadata<'_>) {
        let sent = metadata
            .iter_mut()
            .filter(|(name, _)| self.enabled && name == DETECTED_LEVEL);
        for (_, value) in sent {
            if let Some(level) = known_level(value.as_bytes()) {
                *value = Cow::Borrowed(level);
            }
        }
    }

    /// The level to add to an entry with this metadata, `None` where it has one or none is to be made.
    pub(crate) fn level_of_entry<'e>(
        &self,
        of_stream: Option<&'e str>,
        metadata: impl Iterator<Item = (&'e str, &'e str)> + Clone,
        line: &[u8],
    ) -> Option<&'e str> {
        if !self.enabled || metadata.clone().any(|(name, _)| name == DETECTED_LEVEL) {
            return None;
        }
        if let Some(level) = of_stream {
            return Some(level);
        }
        if metadata.clone().next().is_none() {
            return Some(self.level_of_line(line));
        }
        let get = |wanted: &str| {
            metadata
                .clone()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value)
        };
        if let Some(value) = self.limits.log_level_fields.iter().find_map(|name| get(name)) {
            return Some(normalize(value));
        }
        Some(match get(SEVERITY_NUMBER) {
            Some(number) => level_of_severity(number),
            None => self.level_of_line(line),
        })
    }

    fn level_of_line(&self, line: &[u8]) -> &'static str {
        let limits = self.limits;
        level_of_line(line, &limits.log_level_fields, limits.log_level_from_json_max_depth)
    }
}

/// The usual spelling of a level, or the text itself.
fn normalize(level: &str) -> &str {
    known_level(level.as_bytes()).unwrap_or(level)
}

/// The usual spelling of a level that is known under several.
pub(super) fn known_level(level: &[u8]) -> Option<&'static str> {
    const SPELLINGS: [(&str, &str); 14] = [
        ("trace", "trace"),
        ("trc", "trace"),
        ("debug", "debug"),
        ("dbg", "debug"),
        ("info", "info"),
        ("inf", "info"),
        ("information", "info"),
        ("warn", "warn"),
        ("wrn", "warn"),
        ("warning", "warn"),
        ("error", "error"),
        ("err", "error"),
        ("critical", "critical"),
        ("fatal", "fatal"),
    ];
    let found = SPELLINGS
        .iter()
        .find(|(name, _)| level.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, level)| *level)
}

/// OpenTelemetry's severity numbers, four to a level; what is no number counts as `info`, as in Loki.
fn level_of_severity(number: &str) -> &'static str {
    match number.parse::<i64>() {
        Err(_) => "info",
        Ok(0) => "unknown",
        Ok(..=4) => "trace",
        Ok(5..=8) => "debug",
        Ok(9..=12) => "info",
        Ok(13..=16) => "warn",
        Ok(17..=20) => "error",
        Ok(21..=24) => "fatal",
        Ok(_) => "unknown",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(labels: &str, metadata: &[(&str, &str)], line: &str, expected: Option<&str>) -> String {
        let limits = LogLimits::default();
        let detector = LevelDetector::new(&limits);
        let labels = StreamLabels::parse(labels.as_bytes()).unwrap();
        let mut metadata = metadata
            .iter()
            .map(|(n, v)| (Cow::Borrowed(*n), Cow::Borrowed(*v)))
            .collect::<Metadata<'_>>();
        let of_stream = detector.level_of_stream(&labels);
        detector.spell_sent_level(&mut metadata);
        let pairs = metadata.iter().map(|(name, value)| (&**name, &**value));
        let level = detector.level_of_entry(of_stream.as_deref(), pairs, line.as_bytes());
        assert_eq!(level, expected, "{line}");
        format!("{metadata:?}")
    }

    #[test]
    fn each_place_outranks_the_next() {
        check(r#"{level="WARNING"}"#, &[], "error in text", Some("warn"));
        check(r#"{level="odd"}"#, &[], "error in text", Some("odd"));
        check(r#"{lvl="err", app="x"}"#, &[("level", "debug")], "", Some("error"));
        check("", &[("trace_id", "1"), ("LEVEL", "Error")], "debug", Some("error"));
        check("", &[("severity_text", "Warn")], "", Some("warn"));
        check("", &[("severity_number", "9")], "error", Some("info"));
        check("", &[("severity_number", "17")], "", Some("error"));
        check("", &[("severity_number", "x")], "error", Some("info"));
        check("", &[("severity_number", "0")], "error", Some("unknown"));
        check("", &[("severity_number", "25")], "error", Some("unknown"));
        check("", &[("user", "1")], "level=warn", Some("warn"));
        check("", &[], "nothing here", Some("unknown"));
    }

    #[test]
    fn a_level_that_was_sent_stays_and_is_spelled_as_usual() {
        let metadata = check(r#"{level="info"}"#, &[("detected_level", "ERR")], "debug", None);
        assert_eq!(metadata, r#"[("detected_level", "error")]"#);
        let metadata = check("", &[("detected_level", "Odd")], "debug", None);
        assert_eq!(metadata, r#"[("detected_level", "Odd")]"#);
    }

    #[test]
    fn it_can_be_turned_off() {
        let limits = LogLimits {
            discover_log_levels: false,
            ..LogLimits::default()
        };
        let detector = LevelDetector::new(&limits);
        assert_eq!(detector.level_of_entry(None, std::iter::empty(), b"error"), None);
    }
}
