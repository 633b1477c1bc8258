//! Metric metadata as both versions of remote write send it: in entries of its own, or with each series.
//!
//! ```text
//! version 1: MetricMetadata { type = 1, metric_family_name = 2, help = 4, unit = 5 }
//! version 2: Metadata       { type = 1, help_ref = 3, unit_ref = 4 }
//! ```

use garner_storage::model::{MetadataRef, MetricType};

use crate::wire::{Reader, WireError};

/// Metadata as sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct SentMetadata<'a> {
    pub kind: MetricType,
    /// The metric or its family.
    pub metric: &'a [u8],
    pub help: &'a [u8],
    pub unit: &'a [u8],
}

impl<'a> SentMetadata<'a> {
    /// Reads a message of version 1.
    pub(crate) fn read(message: &'a [u8]) -> Result<SentMetadata<'a>, WireError> {
        let mut sent = SentMetadata::default();
        let mut fields = Reader::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => sent.kind = metric_type(value.int("Type")?),
                2 => sent.metric = value.bytes("MetricFamilyName")?,
                4 => sent.help = value.bytes("Help")?,
                5 => sent.unit = value.bytes("Unit")?,
                _ => {}
            }
        }
        Ok(sent)
    }

    /// Name and metadata to keep, help texts cut at `max_len` bytes; `None` where the others are longer, or no text.
    pub(crate) fn checked(&self, max_len: usize) -> Option<(&'a str, MetadataRef<'a>)> {
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
        let (metric, help, unit) = (text(self.metric)?, text(self.help)?, text(self.unit)?);
        let kind = self.kind;
        checked_metadata(family_name(metric, kind), MetadataRef { kind, help, unit }, max_len)
    }
}

/// Name and metadata of a family to keep, the help text cut at `max_len` bytes; `None` where the others are longer.
pub(crate) fn checked_metadata<'a>(
    metric: &'a str,
    metadata: MetadataRef<'a>,
    max_len: usize,
) -> Option<(&'a str, MetadataRef<'a>)> {
    let too_long = |text: &str| max_len > 0 && text.len() > max_len;
    if metric.is_empty() || too_long(metric) || too_long(metadata.unit) {
        return None;
    }
    let help = match metadata.help {
        help if too_long(help) => &help[..help.floor_char_boundary(max_len)],
        help => help,
    };
    Some((metric, MetadataRef { help, ..metadata }))
}

/// The type of a number on the wire; both versions number them alike.
pub(crate) fn metric_type(code: i64) -> MetricType {
    u8::try_from(code)
        .ok()
        .and_then(MetricType::from_code)
        .unwrap_or_default()
}

/// The family of a series' metric: version 2 tells the metadata of `x` with `x_bucket`, `x_count` and `x_sum`.
fn family_name(metric: &str, kind: MetricType) -> &str {
    let suffixes: &[&str] = match kind {
        MetricType::Histogram | MetricType::GaugeHistogram => &["_bucket", "_count", "_sum"],
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    let family = suffixes.iter().find_map(|suffix| metric.strip_suffix(suffix));
    family.filter(|name| !name.is_empty()).unwrap_or(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_texts_and_lengths_are_checked() {
        let sent = |metric: &'static str, kind, help: &'static str| SentMetadata {
            kind,
            metric: metric.as_bytes(),
            help: help.as_bytes(),
            unit: b"s",
        };
        let checked = |sent: SentMetadata<'static>| sent.checked(8).map(|(metric, m)| (metric, m.help));
        assert_eq!(checked(sent("a_count", MetricType::Histogram, "x")), Some(("a", "x")));
        assert_eq!(checked(sent("a_sum", MetricType::Summary, "x")), Some(("a", "x")));
        assert_eq!(
            checked(sent("a_count", MetricType::Counter, "x")),
            Some(("a_count", "x"))
        );
        assert_eq!(
            checked(sent("_sum", MetricType::Summary, "1234567é")),
            Some(("_sum", "1234567"))
        );
        assert_eq!(checked(sent("a_long_name", MetricType::Gauge, "x")), None);
        assert_eq!(checked(sent("", MetricType::Gauge, "x")), None);
    }
}
