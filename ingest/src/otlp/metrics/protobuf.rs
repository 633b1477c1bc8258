//! `ExportMetricsServiceRequest` (opentelemetry-proto `metrics/v1/metrics.proto`), read in place.
//!
//! ```text
//! ExportMetricsServiceRequest { resource_metrics = 1 }
//! ResourceMetrics { resource = 1 { attributes = 1 }, scope_metrics = 2 }
//! ScopeMetrics    { scope = 1 { name = 1, version = 2, attributes = 3 }, metrics = 2, schema_url = 3 }
//! Metric          { name = 1, description = 2, unit = 3, gauge = 5 | sum = 7 | histogram = 9 | exponential_histogram = 10
//!                   | summary = 11 }
//! Gauge … Summary { data_points = 1, aggregation_temporality = 2, is_monotonic = 3 }
//! NumberDataPoint { start_time_unix_nano = 2 fixed64, time_unix_nano = 3 fixed64, as_double = 4, exemplars = 5,
//!                   as_int = 6 sfixed64, attributes = 7, flags = 8 }
//! HistogramDataPoint { start = 2, time = 3, count = 4 fixed64, sum = 5 double, bucket_counts = 6 packed fixed64,
//!                   explicit_bounds = 7 packed double, exemplars = 8, attributes = 9, flags = 10 }
//! ExponentialHistogramDataPoint { attributes = 1, start = 2, time = 3, count = 4 fixed64, sum = 5 double, scale = 6 sint32,
//!                   zero_count = 7 fixed64, positive = 8, negative = 9 { offset = 1 sint32, bucket_counts = 2 packed },
//!                   flags = 10, exemplars = 11 }
//! SummaryDataPoint { start = 2, time = 3, count = 4 fixed64, sum = 5 double, quantile_values = 6 { quantile = 1,
//!                   value = 2 }, attributes = 7, flags = 8 }
//! Exemplar        { time_unix_nano = 2 fixed64, as_double = 3, span_id = 4, trace_id = 5, as_int = 6 sfixed64,
//!                   filtered_attributes = 7 }
//! ```

use std::borrow::Cow;

use super::point::{Buckets, Data, Metric, Point, PointExemplar, PointVisitor, Scope, Temporality, push_limited};
use crate::error::IngestError;
use crate::otlp::protobuf::{id, key_value};
use crate::otlp::value::Attribute;
use crate::wire::{Reader, Value, unzigzag};

/// Walks a request that is already decompressed.
pub(super) fn decode<'a>(body: &'a [u8], visitor: &mut impl PointVisitor<'a>) -> Result<(), IngestError> {
    let mut point = Point::default();
    let mut request = Reader::new(body);
    while let Some((number, value)) = request.next()? {
        if number == 1 {
            resource_metrics(value.bytes("ResourceMetrics")?, visitor, &mut point)?;
        }
    }
    Ok(())
}

/// An attribute that was left unread.
pub(super) fn attribute(message: &[u8]) -> Result<Attribute<'_>, IngestError> {
    key_value(message, 0)
}

/// The resource may stand behind the scopes on the wire, so it is looked for first; skipping scopes costs little.
fn resource_metrics<'a>(
    message: &'a [u8],
    visitor: &mut impl PointVisitor<'a>,
    point: &mut Point<'a>,
) -> Result<(), IngestError> {
    let mut attributes = Vec::new();
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            let mut resource = Reader::new(value.bytes("Resource")?);
            while let Some((number, value)) = resource.next()? {
                if number == 1 {
                    attributes.push(value.bytes("Attributes")?);
                }
            }
        }
    }
    visitor.resource(&attributes)?;
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            scope_metrics(value.bytes("ScopeMetrics")?, visitor, point)?;
        }
    }
    visitor.end_resource()
}

fn scope_metrics<'a>(
    message: &'a [u8],
    visitor: &mut impl PointVisitor<'a>,
    point: &mut Point<'a>,
) -> Result<(), IngestError> {
    let mut scope = Scope::default();
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => {
                let mut fields = Reader::new(value.bytes("Scope")?);
                while let Some((number, value)) = fields.next()? {
                    match number {
                        1 => scope.name = Cow::Borrowed(value.bytes("Name")?),
                        2 => scope.version = Cow::Borrowed(value.bytes("Version")?),
                        3 => scope.attributes.push(value.bytes("Attributes")?),
                        _ => {}
                    }
                }
            }
            3 => scope.schema_url = Cow::Borrowed(value.bytes("SchemaUrl")?),
            _ => {}
        }
    }
    visitor.scope(&scope)?;
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            metric(value.bytes("Metrics")?, visitor, point)?;
        }
    }
    Ok(())
}

fn metric<'a>(
    message: &'a [u8],
    visitor: &mut impl PointVisitor<'a>,
    point: &mut Point<'a>,
) -> Result<(), IngestError> {
    let mut metric = Metric::default();
    let mut data: &[u8] = b"";
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        let kind = match number {
            1 => {
                metric.name = Cow::Borrowed(value.bytes("Name")?);
                continue;
            }
            2 => {
                metric.description = Cow::Borrowed(value.bytes("Description")?);
                continue;
            }
            3 => {
                metric.unit = Cow::Borrowed(value.bytes("Unit")?);
                continue;
            }
            5 => Data::Gauge,
            7 => Data::Sum { monotonic: false },
            9 => Data::Histogram,
            10 => Data::ExponentialHistogram,
            11 => Data::Summary,
            _ => continue,
        };
        // Of several kinds the last counts, as protocol buffers have it.
        (metric.data, data) = (kind, value.bytes("Data")?);
    }
    let mut fields = Reader::new(data);
    while let Some((number, value)) = fields.next()? {
        match (number, &mut metric.data) {
            (2, Data::Sum { .. } | Data::Histogram | Data::ExponentialHistogram) => {
                metric.temporality = Temporality::from_code(value.int("AggregationTemporality")?);
            }
            (3, Data::Sum { monotonic }) => *monotonic = value.int("IsMonotonic")? != 0,
            _ => {}
        }
    }
    visitor.metric(&metric)?;
    let mut fields = Reader::new(data);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            let message = value.bytes("DataPoints")?;
            point.clear();
            match metric.data {
                Data::None => {}
                Data::Gauge | Data::Sum { .. } => number_point(message, point)?,
                Data::Histogram => histogram_point(message, point)?,
                Data::ExponentialHistogram => exponential_point(message, point)?,
                Data::Summary => summary_point(message, point)?,
            }
            visitor.point(point)?;
        }
    }
    Ok(())
}

/// Start and time, which points of all kinds number alike.
fn time_field(number: u32, value: Value<'_>, point: &mut Point<'_>) -> Result<(), IngestError> {
    match number {
        2 => point.start_ns = value.fixed64("StartTimeUnixNano")?,
        3 => point.time_ns = value.fixed64("TimeUnixNano")?,
        _ => {}
    }
    Ok(())
}

/// Count, sum and times, which points of all distributions number alike.
fn distribution_field(number: u32, value: Value<'_>, point: &mut Point<'_>) -> Result<(), IngestError> {
    match number {
        4 => point.count = value.fixed64("Count")?,
        5 => point.sum = Some(value.double("Sum")?),
        _ => time_field(number, value, point)?,
    }
    Ok(())
}

fn number_point<'a>(message: &'a [u8], point: &mut Point<'a>) -> Result<(), IngestError> {
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            4 => point.value = value.double("AsDouble")?,
            5 => point.exemplars.push(exemplar(value.bytes("Exemplars")?)?),
            6 => point.value = value.fixed64("AsInt")? as i64 as f64,
            7 => point.attributes.push(value.bytes("Attributes")?),
            8 => point.flags = value.int("Flags")? as u32,
            _ => time_field(number, value, point)?,
        }
    }
    Ok(())
}

fn histogram_point<'a>(message: &'a [u8], point: &mut Point<'a>) -> Result<(), IngestError> {
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            6 => each_fixed64(value, "BucketCounts", |bits| {
                push_limited(&mut point.bucket_counts, bits)
            })?,
            7 => each_fixed64(value, "ExplicitBounds", |bits| {
                push_limited(&mut point.bounds, f64::from_bits(bits))
            })?,
            8 => point.exemplars.push(exemplar(value.bytes("Exemplars")?)?),
            9 => point.attributes.push(value.bytes("Attributes")?),
            10 => point.flags = value.int("Flags")? as u32,
            _ => distribution_field(number, value, point)?,
        }
    }
    Ok(())
}

fn exponential_point<'a>(message: &'a [u8], point: &mut Point<'a>) -> Result<(), IngestError> {
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => point.attributes.push(value.bytes("Attributes")?),
            6 => point.scale = unzigzag(value.int("Scale")?) as i32,
            7 => point.zero_count = value.fixed64("ZeroCount")?,
            8 => buckets(value.bytes("Positive")?, &mut point.positive)?,
            9 => buckets(value.bytes("Negative")?, &mut point.negative)?,
            10 => point.flags = value.int("Flags")? as u32,
            11 => point.exemplars.push(exemplar(value.bytes("Exemplars")?)?),
            _ => distribution_field(number, value, point)?,
        }
    }
    Ok(())
}

fn buckets(message: &[u8], buckets: &mut Buckets) -> Result<(), IngestError> {
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => buckets.offset = unzigzag(value.int("Offset")?) as i32,
            (2, Value::Varint(one)) => push_limited(&mut buckets.counts, one)?,
            (2, packed) => {
                let mut packed = Reader::new(packed.bytes("BucketCounts")?);
                while let Some(one) = packed.next_varint()? {
                    push_limited(&mut buckets.counts, one)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn summary_point<'a>(message: &'a [u8], point: &mut Point<'a>) -> Result<(), IngestError> {
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            6 => {
                let (mut quantile, mut at) = (0.0, 0.0);
                let mut fields = Reader::new(value.bytes("QuantileValues")?);
                while let Some((number, value)) = fields.next()? {
                    match number {
                        1 => quantile = value.double("Quantile")?,
                        2 => at = value.double("Value")?,
                        _ => {}
                    }
                }
                push_limited(&mut point.quantiles, (quantile, at))?;
            }
            7 => point.attributes.push(value.bytes("Attributes")?),
            8 => point.flags = value.int("Flags")? as u32,
            _ => distribution_field(number, value, point)?,
        }
    }
    Ok(())
}

fn exemplar(message: &[u8]) -> Result<PointExemplar<'_>, IngestError> {
    let mut exemplar = PointExemplar::default();
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            2 => exemplar.time_ns = value.fixed64("TimeUnixNano")?,
            3 => exemplar.value = Some(value.double("AsDouble")?),
            4 => id(value.bytes("SpanId")?, &mut exemplar.span_id, "SpanID")?,
            5 => id(value.bytes("TraceId")?, &mut exemplar.trace_id, "TraceID")?,
            6 => exemplar.value = Some(value.fixed64("AsInt")? as i64 as f64),
            7 => exemplar.attributes.push(value.bytes("FilteredAttributes")?),
            _ => {}
        }
    }
    Ok(exemplar)
}

/// Numbers of a repeated fixed 64-bit field, packed or one by one.
fn each_fixed64(
    value: Value<'_>,
    name: &'static str,
    mut found: impl FnMut(u64) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    if let Value::Fixed64(bits) = value {
        return found(bits);
    }
    let (words, rest) = value.bytes(name)?.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(crate::wire::WireError::Truncated.into());
    }
    words.iter().try_for_each(|word| found(u64::from_le_bytes(*word)))
}
