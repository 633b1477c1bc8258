//! The JSON form of an `ExportMetricsServiceRequest`, read in place, as that of logs.

use super::point::{Buckets, Data, Metric, Point, PointExemplar, PointVisitor, Scope, Temporality, push_limited};
use crate::error::IngestError;
use crate::json_scan::{self, Kind, Value};
use crate::otlp::json::{each_item, each_member, id, number, read_attribute, text, wrong};
use crate::otlp::value::Attribute;

/// Walks a request that is already decompressed.
pub(super) fn decode<'a>(body: &'a [u8], visitor: &mut impl PointVisitor<'a>) -> Result<(), IngestError> {
    let mut point = Point::default();
    each_member(json_scan::value(body)?, |key, value| match key {
        b"resourceMetrics" | b"resource_metrics" => {
            each_item(value, |item| resource_metrics(item, visitor, &mut point))
        }
        _ => Ok(()),
    })
}

/// An attribute that was left unread.
pub(super) fn attribute(raw: &[u8]) -> Result<Attribute<'_>, IngestError> {
    read_attribute(json_scan::value(raw)?, 0)
}

fn resource_metrics<'a>(
    value: Value<'a>,
    visitor: &mut impl PointVisitor<'a>,
    point: &mut Point<'a>,
) -> Result<(), IngestError> {
    let (mut attributes, mut scopes) = (Vec::new(), Vec::new());
    each_member(value, |key, value| {
        match key {
            b"resource" => each_member(value, |key, value| match key {
                b"attributes" => unread(value, &mut attributes),
                _ => Ok(()),
            })?,
            b"scopeMetrics" | b"scope_metrics" => scopes.push(value),
            _ => {}
        }
        Ok(())
    })?;
    visitor.resource(&attributes)?;
    for list in scopes {
        each_item(list, |item| scope_metrics(item, visitor, point))?;
    }
    visitor.end_resource()
}

fn scope_metrics<'a>(
    value: Value<'a>,
    visitor: &mut impl PointVisitor<'a>,
    point: &mut Point<'a>,
) -> Result<(), IngestError> {
    let (mut scope, mut metrics) = (Scope::default(), Vec::new());
    each_member(value, |key, value| {
        match key {
            b"scope" => each_member(value, |key, value| {
                match key {
                    b"name" => scope.name = text(value)?,
                    b"version" => scope.version = text(value)?,
                    b"attributes" => unread(value, &mut scope.attributes)?,
                    _ => {}
                }
                Ok(())
            })?,
            b"schemaUrl" | b"schema_url" => scope.schema_url = text(value)?,
            b"metrics" => metrics.push(value),
            _ => {}
        }
        Ok(())
    })?;
    visitor.scope(&scope)?;
    for list in metrics {
        each_item(list, |item| metric(item, visitor, point))?;
    }
    Ok(())
}

fn metric<'a>(value: Value<'a>, visitor: &mut impl PointVisitor<'a>, point: &mut Point<'a>) -> Result<(), IngestError> {
    let (mut metric, mut data) = (Metric::default(), None);
    each_member(value, |key, value| {
        let kind = match key {
            b"name" => {
                metric.name = text(value)?;
                return Ok(());
            }
            b"description" => {
                metric.description = text(value)?;
                return Ok(());
            }
            b"unit" => {
                metric.unit = text(value)?;
                return Ok(());
            }
            b"gauge" => Data::Gauge,
            b"sum" => Data::Sum { monotonic: false },
            b"histogram" => Data::Histogram,
            b"exponentialHistogram" | b"exponential_histogram" => Data::ExponentialHistogram,
            b"summary" => Data::Summary,
            _ => return Ok(()),
        };
        (metric.data, data) = (kind, Some(value));
        Ok(())
    })?;
    let mut points = Vec::new();
    if let Some(data) = data {
        each_member(data, |key, value| {
            match (key, &mut metric.data) {
                (b"dataPoints" | b"data_points", _) => points.push(value),
                (
                    b"aggregationTemporality" | b"aggregation_temporality",
                    Data::Sum { .. } | Data::Histogram | Data::ExponentialHistogram,
                ) => metric.temporality = temporality(value)?,
                (b"isMonotonic" | b"is_monotonic", Data::Sum { monotonic }) => match value.kind {
                    Kind::Boolean => *monotonic = value.raw == b"true",
                    _ => return Err(wrong(value, "a boolean")),
                },
                _ => {}
            }
            Ok(())
        })?;
    }
    visitor.metric(&metric)?;
    for list in points {
        each_item(list, |item| {
            point.clear();
            read_point(item, point)?;
            visitor.point(point)
        })?;
    }
    Ok(())
}

fn temporality(value: Value<'_>) -> Result<Temporality, IngestError> {
    if value.kind != Kind::String {
        return Ok(Temporality::from_code(number(value)?));
    }
    match &*value.text()? {
        b"AGGREGATION_TEMPORALITY_UNSPECIFIED" => Ok(Temporality::Unspecified),
        b"AGGREGATION_TEMPORALITY_DELTA" => Ok(Temporality::Delta),
        b"AGGREGATION_TEMPORALITY_CUMULATIVE" => Ok(Temporality::Cumulative),
        _ => Err(wrong(value, "the name of a temporality")),
    }
}

/// A point of any kind: no two kinds have a member of one name that means different things.
fn read_point<'a>(value: Value<'a>, point: &mut Point<'a>) -> Result<(), IngestError> {
    each_member(value, |key, value| {
        match key {
            b"attributes" => unread(value, &mut point.attributes)?,
            b"startTimeUnixNano" | b"start_time_unix_nano" => point.start_ns = number(value)?,
            b"timeUnixNano" | b"time_unix_nano" => point.time_ns = number(value)?,
            b"flags" => point.flags = number(value)?,
            b"exemplars" => each_item(value, |item| {
                point.exemplars.push(exemplar(item)?);
                Ok(())
            })?,
            b"asInt" | b"as_int" => point.value = number::<i64>(value)? as f64,
            b"asDouble" | b"as_double" => point.value = number(value)?,
            b"count" => point.count = number(value)?,
            b"sum" => point.sum = Some(number(value)?),
            b"bucketCounts" | b"bucket_counts" => {
                each_item(value, |item| push_limited(&mut point.bucket_counts, number(item)?))?;
            }
            b"explicitBounds" | b"explicit_bounds" => {
                each_item(value, |item| push_limited(&mut point.bounds, number(item)?))?;
            }
            b"scale" => point.scale = number(value)?,
            b"zeroCount" | b"zero_count" => point.zero_count = number(value)?,
            b"positive" => buckets(value, &mut point.positive)?,
            b"negative" => buckets(value, &mut point.negative)?,
            b"quantileValues" | b"quantile_values" => each_item(value, |item| {
                let (mut quantile, mut at) = (0.0, 0.0);
                each_member(item, |key, value| {
                    match key {
                        b"quantile" => quantile = number(value)?,
                        b"value" => at = number(value)?,
                        _ => {}
                    }
                    Ok(())
                })?;
                push_limited(&mut point.quantiles, (quantile, at))
            })?,
            _ => {}
        }
        Ok(())
    })
}

fn buckets(value: Value<'_>, buckets: &mut Buckets) -> Result<(), IngestError> {
    each_member(value, |key, value| {
        match key {
            b"offset" => buckets.offset = number(value)?,
            b"bucketCounts" | b"bucket_counts" => {
                each_item(value, |item| push_limited(&mut buckets.counts, number(item)?))?;
            }
            _ => {}
        }
        Ok(())
    })
}

fn exemplar(value: Value<'_>) -> Result<PointExemplar<'_>, IngestError> {
    let mut exemplar = PointExemplar::default();
    each_member(value, |key, value| {
        match key {
            b"timeUnixNano" | b"time_unix_nano" => exemplar.time_ns = number(value)?,
            b"asInt" | b"as_int" => exemplar.value = Some(number::<i64>(value)? as f64),
            b"asDouble" | b"as_double" => exemplar.value = Some(number(value)?),
            b"traceId" | b"trace_id" => id(value, &mut exemplar.trace_id)?,
            b"spanId" | b"span_id" => id(value, &mut exemplar.span_id)?,
            b"filteredAttributes" | b"filtered_attributes" => unread(value, &mut exemplar.attributes)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(exemplar)
}

/// The elements of a list as they lie in the text.
fn unread<'a>(value: Value<'a>, into: &mut Vec<&'a [u8]>) -> Result<(), IngestError> {
    each_item(value, |item| {
        into.push(item.raw);
        Ok(())
    })
}
