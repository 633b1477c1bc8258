//! What senders tell of a metric besides its samples.

use std::fmt;

/// The type of a metric (prometheus `model/metadata`, common `model/metadata.go`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MetricType {
    /// Not told, or not known here.
    #[default]
    Unknown = 0,
    /// Only goes up.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// A distribution of observations.
    Histogram = 3,
    /// A distribution that goes up and down.
    GaugeHistogram = 4,
    /// Quantiles computed by the client.
    Summary = 5,
    /// A constant with labels.
    Info = 6,
    /// One of several states.
    StateSet = 7,
}

impl MetricType {
    /// All types by their code.
    pub const ALL: [MetricType; 8] = [
        MetricType::Unknown,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ];

    /// The type of a code.
    pub fn from_code(code: u8) -> Option<MetricType> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Its name in answers and in the label `__type__`.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Metadata of a metric. Targets need not agree: a metric can have several.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricMetadata {
    /// Its type.
    pub kind: MetricType,
    /// Its help text.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

/// [`MetricMetadata`] that lies elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MetadataRef<'a> {
    /// The type.
    pub kind: MetricType,
    /// The help text.
    pub help: &'a str,
    /// The unit.
    pub unit: &'a str,
}

impl MetadataRef<'_> {
    /// A copy of its own.
    pub fn to_owned(&self) -> MetricMetadata {
        MetricMetadata {
            kind: self.kind,
            help: self.help.to_string(),
            unit: self.unit.to_string(),
        }
    }
}

impl MetricMetadata {
    /// The same, borrowed.
    pub fn borrow(&self) -> MetadataRef<'_> {
        MetadataRef {
            kind: self.kind,
            help: &self.help,
            unit: &self.unit,
        }
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.help.len() + self.unit.len()
    }
}
