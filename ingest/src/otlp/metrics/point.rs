//! What both body formats decode to: a walk over resources, scopes, metrics and data points that borrows from the body.

use std::borrow::Cow;

use super::{json, protobuf};
use crate::error::IngestError;
use crate::otlp::value::Attribute;

/// Most buckets and bounds of one data point. SDKs send some hundred; a point is held whole in memory.
pub(super) const MAX_POINT_BUCKETS: usize = 1 << 16;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// An attribute that was handed out unread.
    pub(super) fn attribute(self, raw: &[u8]) -> Result<Attribute<'_>, IngestError> {
        match self {
            Format::Protobuf => protobuf::attribute(raw),
            Format::Json => json::attribute(raw),
        }
    }
}

/// Takes the points of a request in order. An error ends the walk and refuses the request.
pub(super) trait PointVisitor<'a> {
    /// A resource starts, with its attributes unread; scopes follow.
    fn resource(&mut self, attributes: &[&'a [u8]]) -> Result<(), IngestError>;

    /// A scope of the resource starts; metrics follow.
    fn scope(&mut self, scope: &Scope<'a>) -> Result<(), IngestError>;

    /// A metric of the scope starts; points follow.
    fn metric(&mut self, metric: &Metric<'a>) -> Result<(), IngestError>;

    /// A point of the metric.
    fn point(&mut self, point: &Point<'a>) -> Result<(), IngestError>;

    /// The resource ends.
    fn end_resource(&mut self) -> Result<(), IngestError>;
}

/// The instrumentation scope of metrics.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    pub name: Cow<'a, [u8]>,
    pub version: Cow<'a, [u8]>,
    pub schema_url: Cow<'a, [u8]>,
    /// Unread.
    pub attributes: Vec<&'a [u8]>,
}

/// What a metric's points are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Data {
    /// None of those below.
    #[default]
    None,
    Gauge,
    Sum {
        monotonic: bool,
    },
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// Whether points count from the start or from the point before (`AggregationTemporality`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Temporality {
    #[default]
    Unspecified,
    Delta,
    Cumulative,
}

impl Temporality {
    pub(super) fn from_code(code: i64) -> Self {
        match code {
            1 => Temporality::Delta,
            2 => Temporality::Cumulative,
            _ => Temporality::Unspecified,
        }
    }
}

/// A metric without its points.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    pub name: Cow<'a, [u8]>,
    pub description: Cow<'a, [u8]>,
    pub unit: Cow<'a, [u8]>,
    pub data: Data,
    pub temporality: Temporality,
}

/// A data point of any kind of metric; what the kind does not have is empty. One is used for all points of a request.
#[derive(Debug, Default)]
pub(super) struct Point<'a> {
    /// Unread.
    pub attributes: Vec<&'a [u8]>,
    /// Nanoseconds, 0 where not told.
    pub start_ns: u64,
    /// Nanoseconds.
    pub time_ns: u64,
    pub flags: u32,
    pub exemplars: Vec<PointExemplar<'a>>,
    /// Of gauges and sums.
    pub value: f64,
    pub count: u64,
    pub sum: Option<f64>,
    /// Of histograms: one count more than bounds.
    pub bucket_counts: Vec<u64>,
    pub bounds: Vec<f64>,
    /// Of exponential histograms.
    pub scale: i32,
    pub zero_count: u64,
    pub positive: Buckets,
    pub negative: Buckets,
    /// Of summaries: quantile and value.
    pub quantiles: Vec<(f64, f64)>,
}

/// Buckets of an exponential histogram, without gaps from `offset` on.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    pub offset: i32,
    pub counts: Vec<u64>,
}

/// An exemplar of a point.
#[derive(Debug, Default)]
pub(super) struct PointExemplar<'a> {
    /// Nanoseconds, 0 where not told.
    pub time_ns: u64,
    /// `None` where the sender told none.
    pub value: Option<f64>,
    /// All zeros where there is none.
    pub trace_id: [u8; 16],
    /// All zeros where there is none.
    pub span_id: [u8; 8],
    /// Unread.
    pub attributes: Vec<&'a [u8]>,
}

/// Of [`Point::flags`]: there is no value, the series ended.
const NO_RECORDED_VALUE: u32 = 1;

impl Point<'_> {
    /// Whether it marks the end of its series.
    pub(super) fn is_end(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }

    /// Makes it empty, its memory kept.
    pub(super) fn clear(&mut self) {
        self.attributes.clear();
        (self.start_ns, self.time_ns, self.flags) = (0, 0, 0);
        self.exemplars.clear();
        self.value = 0.0;
        (self.count, self.sum) = (0, None);
        self.bucket_counts.clear();
        self.bounds.clear();
        (self.scale, self.zero_count) = (0, 0);
        for buckets in [&mut self.positive, &mut self.negative] {
            buckets.offset = 0;
            buckets.counts.clear();
        }
        self.quantiles.clear();
    }
}

/// Adds to a list of buckets or bounds, up to its limit.
pub(super) fn push_limited<T>(list: &mut Vec<T>, item: T) -> Result<(), IngestError> {
    if list.len() >= MAX_POINT_BUCKETS {
        return Err(IngestError::bad_request(format!(
            "a data point has more than {MAX_POINT_BUCKETS} buckets"
        )));
    }
    list.push(item);
    Ok(())
}
