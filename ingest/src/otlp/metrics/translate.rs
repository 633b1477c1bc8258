//! Points into series and samples (prometheus `prometheusremotewrite/metrics_to_prw.go`, `helper.go`,
//! `number_data_points.go`). A series is known by a hash of what its labels are made of, so that labels are only built for
//! new ones. A point that cannot be stored is refused alone, where Prometheus refuses the whole request.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::Hash;

use garner_storage::model::go_text::go_quote;
use garner_storage::model::{Labels, METRIC_NAME, MetadataRef, MetricType, NANOS_PER_MILLI, STALE_NAN_BITS};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::buckets::{custom, exponential};
use super::config::OtlpMetricsConfig;
use super::labels::{LabelSet, ResourceLabels, point_labels, scope_labels};
use super::names::{self, Namer};
use super::point::{Data, Format, Metric, Point, PointExemplar, PointVisitor, Scope, Temporality};
use super::{json, protobuf};
use crate::error::IngestError;
use crate::otlp::push::Decompressed;
use crate::prometheus::{SentHistogram, checked_exemplar_labels, checked_metadata};
use crate::validate::checked_histogram;
use crate::writer::{SampleRows, SampleSink};

/// Samples of `target_info` that one resource of a request makes at most, the newest: for two weeks, one each 2.5 minutes.
const MAX_TARGET_INFO_SAMPLES: u64 = 8192;

/// Appends all points of a request to `sink`. `Err` means that what it holds must be dropped.
pub(crate) fn translate<R: SampleRows>(
    body: &Decompressed<'_>,
    sink: &mut SampleSink<'_, R>,
) -> Result<(), IngestError> {
    let format = match body.is_json() {
        true => Format::Json,
        false => Format::Protobuf,
    };
    let config = &sink.limits.otlp;
    let mut rules = Xxh3::new();
    (config, sink.limits.enable_type_and_unit_labels).hash(&mut rules);
    let mut translator = Translator {
        namer: Namer::new(config),
        config,
        format,
        rules: rules.digest128(),
        sink,
        resource: Context::default(),
        times: (u64::MAX, 0),
        rows_before: 0,
        scope: Context::default(),
        metric: Context::default(),
        scratch: Vec::new(),
        told: HashSet::new(),
    };
    match format {
        Format::Json => json::decode(body.bytes(), &mut translator),
        Format::Protobuf => protobuf::decode(body.bytes(), &mut translator),
    }
}

/// Something that points stand in: the hash of it and all around it, and what it means for them, or why it means nothing.
struct Context<T> {
    digest: u128,
    meaning: Result<T, String>,
}

impl<T: Default> Default for Context<T> {
    fn default() -> Self {
        Context {
            digest: 0,
            meaning: Ok(T::default()),
        }
    }
}

/// A metric whose points come now.
#[derive(Default)]
struct Family {
    name: String,
    data: Data,
    temporality: Temporality,
    /// For the labels of type and unit, empty where there is none.
    type_and_unit: (&'static str, String),
}

/// Why a point, or the whole request, ends early.
enum Stop {
    Request(IngestError),
    Point(String),
}

impl From<IngestError> for Stop {
    fn from(error: IngestError) -> Self {
        Stop::Request(error)
    }
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Stop::Point(reason)
    }
}

struct Translator<'s, 'r, 'a, R> {
    config: &'r OtlpMetricsConfig,
    namer: Namer,
    format: Format,
    /// Hash of the rules of translation.
    rules: u128,
    sink: &'s mut SampleSink<'r, R>,
    resource: Context<ResourceLabels<'a>>,
    /// The earliest and the latest time of the resource's points, in nanoseconds.
    times: (u64, u64),
    /// Rows that were accepted before the resource began: it is told of only where something of it was stored.
    rows_before: u64,
    scope: Context<LabelSet<'a>>,
    metric: Context<Family>,
    scratch: Vec<u8>,
    /// Samples of `target_info` in this request: several resources may make the same.
    told: HashSet<(u128, i64)>,
}

/// One series of a point: what its name ends with, and a label of its own.
#[derive(Clone, Copy)]
struct Part<'p> {
    suffix: &'static str,
    label: Option<(&'static str, f64)>,
    exemplars: &'p [PointExemplar<'p>],
}

/// A point on its way in.
struct Arriving<'p, 'a> {
    point: &'p Point<'a>,
    digest: u128,
    time_ns: i64,
    start_ms: i64,
    /// Built for the first of its series that is not known.
    labels: Option<LabelSet<'a>>,
}

impl<'r, 'a, R: SampleRows> Translator<'_, 'r, 'a, R> {
    /// Hash of what `around` is the hash of and of these parts, each with its length.
    fn digest(&mut self, around: u128, parts: &[&[u8]]) -> u128 {
        self.scratch.clear();
        self.scratch.extend_from_slice(&around.to_le_bytes());
        for part in parts {
            self.scratch.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.scratch.extend_from_slice(part);
        }
        xxh3_128(&self.scratch)
    }

    /// Why no point of the metric can be stored.
    fn problem(&self) -> Option<&String> {
        let (resource, scope) = (self.resource.meaning.as_ref().err(), self.scope.meaning.as_ref().err());
        resource.or(scope).or(self.metric.meaning.as_ref().err())
    }

    fn add_point(&mut self, point: &Point<'a>) -> Result<(), Stop> {
        let (data, temporality) = match &self.metric.meaning {
            Ok(family) => (family.data, family.temporality),
            Err(reason) => return Err(reason.clone().into()),
        };
        let (start_ms, time_ms) = (millis(point.start_ns), millis(point.time_ns));
        let time_ns = self.sink.window.check(time_ms, || self.family_name().to_string())?;
        let mut arriving = Arriving {
            digest: self.digest(self.metric.digest, &point.attributes),
            point,
            time_ns,
            start_ms,
            labels: None,
        };
        let whole = Part {
            suffix: "",
            label: None,
            exemplars: &[],
        };
        match data {
            Data::None => Ok(()),
            Data::Gauge => self.add(&mut arriving, whole, point.value),
            Data::Sum { .. } => {
                let exemplars = &point.exemplars;
                self.add(&mut arriving, Part { exemplars, ..whole }, point.value)
            }
            Data::Histogram if !self.config.convert_histograms_to_nhcb => self.add_buckets(&mut arriving),
            Data::Histogram => {
                let native = custom(point, temporality, (start_ms, time_ms));
                self.add_native(&mut arriving, native)
            }
            Data::ExponentialHistogram => {
                let native = exponential(point, temporality, (start_ms, time_ms))?;
                self.add_native(&mut arriving, native)
            }
            Data::Summary => self.add_summary(&mut arriving),
        }
    }

    /// A histogram with listed bounds, as series of its cumulative buckets.
    fn add_buckets(&mut self, arriving: &mut Arriving<'_, 'a>) -> Result<(), Stop> {
        let point = arriving.point;
        let part = |suffix, label, exemplars| Part {
            suffix,
            label,
            exemplars,
        };
        if let Some(sum) = point.sum {
            self.add(arriving, part("_sum", None, &[]), sum)?;
        }
        self.add(arriving, part("_count", None, &[]), point.count as f64)?;
        // Exemplars go with the bucket that counts them. Both are in ascending order.
        let mut exemplars = &point.exemplars[..];
        let mut below = 0u64;
        for (bound, count) in point.bounds.iter().zip(&point.bucket_counts) {
            below = below.wrapping_add(*count);
            let above = |e: &PointExemplar<'_>| e.value.is_some_and(|value| value > *bound);
            let own;
            (own, exemplars) = exemplars.split_at(exemplars.iter().position(above).unwrap_or(exemplars.len()));
            self.add(arriving, part("_bucket", Some(("le", *bound)), own), below as f64)?;
        }
        let rest = part("_bucket", Some(("le", f64::INFINITY)), exemplars);
        self.add(arriving, rest, point.count as f64)
    }

    fn add_summary(&mut self, arriving: &mut Arriving<'_, 'a>) -> Result<(), Stop> {
        let point = arriving.point;
        let part = |suffix, label| Part {
            suffix,
            label,
            exemplars: &[],
        };
        self.add(arriving, part("_sum", None), point.sum.unwrap_or(0.0))?;
        self.add(arriving, part("_count", None), point.count as f64)?;
        for (quantile, value) in &point.quantiles {
            self.add(arriving, part("", Some(("quantile", *quantile))), *value)?;
        }
        Ok(())
    }

    /// Adds a number, or the marker of the series' end, to a series of the point.
    fn add(&mut self, arriving: &mut Arriving<'_, 'a>, part: Part<'_>, value: f64) -> Result<(), Stop> {
        let series = self.series(arriving, part)?;
        let value = match arriving.point.is_end() {
            true => f64::from_bits(STALE_NAN_BITS),
            false => value,
        };
        self.sink.push(series, arriving.time_ns, arriving.start_ms, value);
        self.add_exemplars(arriving, series, part.exemplars)
    }

    fn add_native(&mut self, arriving: &mut Arriving<'_, 'a>, native: SentHistogram) -> Result<(), Stop> {
        let part = Part {
            suffix: "",
            label: None,
            exemplars: &arriving.point.exemplars,
        };
        if arriving.point.is_end() {
            return self.add(arriving, part, 0.0);
        }
        let checked = checked_histogram(native, self.sink.limits, || {
            format!("{{__name__={:?}}}", self.family_name())
        })?;
        let series = self.series(arriving, part)?;
        self.sink
            .push_histogram(series, arriving.time_ns, arriving.start_ms, checked);
        self.add_exemplars(arriving, series, part.exemplars)
    }

    fn add_exemplars(
        &mut self,
        arriving: &Arriving<'_, 'a>,
        series: R::Series,
        exemplars: &[PointExemplar<'_>],
    ) -> Result<(), Stop> {
        for exemplar in exemplars {
            let Some(value) = exemplar.value else {
                return Err("unsupported exemplar value type: Empty".to_string().into());
            };
            let time_ms = match millis(exemplar.time_ns) {
                0 => arriving.time_ns / NANOS_PER_MILLI,
                told => told,
            };
            let labels = exemplar_labels(exemplar, self.format)?;
            self.sink.exemplar(series, time_ms, value, labels);
        }
        Ok(())
    }

    /// A series of the point, made where it is new.
    fn series(&mut self, arriving: &mut Arriving<'_, 'a>, part: Part<'_>) -> Result<R::Series, Stop> {
        let bits = part.label.map_or(0, |(_, value)| value.to_bits());
        let name = part.label.map_or("", |(name, _)| name);
        let alias = self.digest(
            arriving.digest,
            &[part.suffix.as_bytes(), name.as_bytes(), &bits.to_le_bytes()],
        );
        if let Some(known) = self.sink.known(alias) {
            return Ok(known);
        }
        let labels = match &mut arriving.labels {
            Some(labels) => labels,
            none => none.insert(self.point_labels(arriving.point)?),
        };
        let name = format!("{}{}", self.family_name(), part.suffix);
        let value = part.label.map(|(name, value)| (name, decimal(value)));
        let mut own: Vec<(&str, &str)> = vec![(METRIC_NAME, &name)];
        own.extend(value.as_ref().map(|(name, value)| (*name, &**value)));
        let series = self.sink.register(alias, labels.with(&own))??;
        Ok(series)
    }

    fn point_labels(&self, point: &Point<'a>) -> Result<LabelSet<'a>, Stop> {
        let attributes = point.attributes.iter().map(|raw| self.format.attribute(raw));
        let attributes = attributes.collect::<Result<_, _>>()?;
        let (Ok(resource), Ok(scope), Ok(family)) = (&self.resource.meaning, &self.scope.meaning, &self.metric.meaning)
        else {
            return Ok(LabelSet::default());
        };
        let mut labels = point_labels(attributes, self.namer, resource, scope)?;
        let (kind, unit) = &family.type_and_unit;
        for (name, value) in [("__type__", *kind), ("__unit__", unit)] {
            if !value.is_empty() {
                labels.set(Cow::Borrowed(name.as_bytes()), Cow::Owned(value.as_bytes().to_vec()));
            }
        }
        Ok(labels)
    }

    fn family_name(&self) -> &str {
        self.metric.meaning.as_ref().map_or("", |family| &family.name)
    }

    /// Why a metric's points cannot be stored, or what they become.
    fn family(&mut self, metric: &Metric<'a>) -> Result<Family, String> {
        let name = || String::from_utf8_lossy(&metric.name).into_owned();
        let allowed = match (metric.data, metric.temporality) {
            (Data::None, _) => {
                return Err(format!(
                    "could not get aggregation temporality for {} as it has unsupported metric type Empty",
                    name()
                ));
            }
            (Data::Gauge | Data::Summary, _) | (_, Temporality::Cumulative) => true,
            (_, Temporality::Delta) => self.config.native_delta_ingestion,
            (_, Temporality::Unspecified) => false,
        };
        if !allowed {
            return Err(format!(
                "invalid temporality and type combination for metric {}",
                go_quote(name())
            ));
        }
        let unit = String::from_utf8_lossy(&metric.unit);
        let family = self.namer.metric(&metric.name, &unit, metric.data)?;
        let kind = metric_type(metric);
        let named_unit = names::unit(&unit);
        let help = String::from_utf8_lossy(&metric.description);
        let metadata = MetadataRef {
            kind,
            help: &help,
            unit: &named_unit,
        };
        let max_len = self.sink.limits.max_metadata_length;
        self.sink.metadata(checked_metadata(&family, metadata, max_len));
        let type_and_unit = match (self.sink.limits.enable_type_and_unit_labels, kind) {
            (false, _) => ("", String::new()),
            (true, MetricType::Unknown) => ("", self.namer.unit_label(&named_unit)),
            (true, kind) => (kind.as_str(), self.namer.unit_label(&named_unit)),
        };
        Ok(Family {
            name: family,
            data: metric.data,
            temporality: metric.temporality,
            type_and_unit,
        })
    }

    /// Adds `target_info` for the times that the resource's points have.
    fn add_target_info(&mut self) -> Result<(), Stop> {
        let (earliest, latest) = (millis(self.times.0), millis(self.times.1));
        let Ok(resource) = &self.resource.meaning else {
            return Ok(());
        };
        let Some(labels) = resource.target_info(self.config, self.namer)? else {
            return Ok(());
        };
        let alias = self.digest(self.resource.digest, &[TARGET_INFO.as_bytes()]);
        let series = match self.sink.known(alias) {
            Some(known) => known,
            None => self
                .sink
                .register(alias, labels.with(&[(METRIC_NAME, TARGET_INFO)]))??,
        };
        let metadata = MetadataRef {
            kind: MetricType::Gauge,
            help: "Target metadata",
            unit: "",
        };
        self.sink.metadata(Some((TARGET_INFO, metadata)));
        // Queries look back this far, so that none of the time between is without a sample.
        let interval = (self.config.lookback_delta.as_millis() as i64 / 2).max(1);
        let whole = (latest.saturating_sub(earliest).max(0) / interval) as u64;
        let skipped = whole.saturating_sub(MAX_TARGET_INFO_SAMPLES) as i64;
        let mut time_ms = earliest.saturating_add(skipped.saturating_mul(interval));
        loop {
            time_ms = time_ms.min(latest);
            if self.told.insert((alias, time_ms)) {
                let time_ns = self.sink.window.check(time_ms, || TARGET_INFO.to_string())?;
                self.sink.push(series, time_ns, 0, 1.0);
            }
            if time_ms >= latest {
                return Ok(());
            }
            time_ms = time_ms.saturating_add(interval);
        }
    }

    /// Counts refused points, or ends the request.
    fn refuse(&mut self, points: u64, stop: Stop) -> Result<(), IngestError> {
        match stop {
            Stop::Request(error) => Err(error),
            Stop::Point(reason) => {
                self.sink.outcome.refused.add(points, || reason);
                Ok(())
            }
        }
    }
}

const TARGET_INFO: &str = "target_info";

impl<'a, R: SampleRows> PointVisitor<'a> for Translator<'_, '_, 'a, R> {
    fn resource(&mut self, attributes: &[&'a [u8]]) -> Result<(), IngestError> {
        self.times = (u64::MAX, 0);
        self.rows_before = self.sink.outcome.accepted_rows;
        self.resource = Context {
            digest: self.digest(self.rules, attributes),
            meaning: ResourceLabels::read(attributes, self.format, self.config, self.namer)?,
        };
        Ok(())
    }

    fn scope(&mut self, scope: &Scope<'a>) -> Result<(), IngestError> {
        let mut digest = self.resource.digest;
        if self.config.promote_scope_metadata {
            digest = self.digest(digest, &[&scope.name, &scope.version, &scope.schema_url]);
            digest = self.digest(digest, &scope.attributes);
        }
        self.scope = Context {
            digest,
            meaning: scope_labels(scope, self.format, self.config, self.namer)?,
        };
        Ok(())
    }

    fn metric(&mut self, metric: &Metric<'a>) -> Result<(), IngestError> {
        let mut kind = Xxh3::new();
        (metric.data, metric.temporality).hash(&mut kind);
        let kind = kind.digest().to_le_bytes();
        self.metric = Context {
            digest: self.digest(self.scope.digest, &[&metric.name, &metric.unit, &kind]),
            meaning: self.family(metric),
        };
        match &self.metric.meaning {
            // It has no points that could be refused.
            Err(reason) if metric.data == Data::None => {
                let reason = reason.clone();
                self.refuse(0, reason.into())
            }
            _ => Ok(()),
        }
    }

    fn point(&mut self, point: &Point<'a>) -> Result<(), IngestError> {
        let (earliest, latest) = &mut self.times;
        (*earliest, *latest) = ((*earliest).min(point.time_ns), (*latest).max(point.time_ns));
        let added = match self.problem() {
            Some(reason) => Err(reason.clone().into()),
            None => self.add_point(point),
        };
        added.or_else(|stop| self.refuse(1, stop))
    }

    fn end_resource(&mut self) -> Result<(), IngestError> {
        if self.sink.outcome.accepted_rows == self.rows_before {
            return Ok(());
        }
        self.add_target_info().or_else(|stop| self.refuse(0, stop))
    }
}

/// Milliseconds; Prometheus reads the nanoseconds as signed.
fn millis(ns: u64) -> i64 {
    ns as i64 / NANOS_PER_MILLI
}

/// prometheus `prometheusremotewrite/otlp_to_openmetrics_metadata.go`
fn metric_type(metric: &Metric<'_>) -> MetricType {
    match (metric.data, metric.temporality) {
        (Data::Gauge, _) => MetricType::Gauge,
        (Data::Summary, _) => MetricType::Summary,
        // There is no type for differences.
        (Data::None, _) | (_, Temporality::Delta) => MetricType::Unknown,
        (Data::Sum { monotonic: true }, _) => MetricType::Counter,
        (Data::Sum { monotonic: false }, _) => MetricType::Gauge,
        (Data::Histogram | Data::ExponentialHistogram, _) => MetricType::Histogram,
    }
}

/// Name and value, borrowed from the body where they stand there as they are.
type BytePair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The labels of an exemplar: its trace and span, and its attributes where all of them are short enough together. `None`
/// where it is no text.
fn exemplar_labels(exemplar: &PointExemplar<'_>, format: Format) -> Result<Option<Labels>, IngestError> {
    let mut pairs: Vec<BytePair<'_>> = Vec::new();
    for (name, id) in [("trace_id", &exemplar.trace_id[..]), ("span_id", &exemplar.span_id)] {
        if id.iter().any(|b| *b != 0) {
            let hex: String = id.iter().map(|b| format!("{b:02x}")).collect();
            pairs.push((Cow::Borrowed(name.as_bytes()), Cow::Owned(hex.into_bytes())));
        }
    }
    let ids = pairs.len();
    for raw in &exemplar.attributes {
        let (name, value) = format.attribute(raw)?;
        pairs.push((name, value.into_text()));
    }
    let checked =
        |pairs: &[BytePair<'_>]| checked_exemplar_labels(pairs.iter().map(|(name, value)| (&**name, &**value)));
    Ok(checked(&pairs).or_else(|| checked(&pairs[..ids])))
}

/// A number as a label's value: the shortest digits, never an exponent (Go's `FormatFloat` with `f`).
fn decimal(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_string();
    }
    value.to_string()
}
