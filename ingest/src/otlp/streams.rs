//! Resources, scopes and records as streams and entries: attributes become labels or structured metadata by the rules of
//! [`OtlpConfig`], names and values as Loki makes them (`pkg/loghttp/push/otlp.go`,
//! `pkg/loghttp/push/otlplabels/labels.go`).

use std::borrow::Cow;

use garner_storage::model::SERVICE_NAME;

use super::config::{AttributeAction, AttributeRule, OtlpConfig, action};
use super::record::{Record, RecordVisitor, Scope};
use super::value::{AnyValue, Attribute};
use crate::error::IngestError;
use crate::loki::{Entry, EntryTime, PushVisitor, RawPair, StreamLabels};
use crate::validate::{LogLimits, UNKNOWN_SERVICE, normal_name};

const SERVICE_NAME_ATTRIBUTE: &[u8] = b"service.name";
const SEVERITY_TEXT: &str = "severity_text";
const EVENT_NAME: &[u8] = b"event_name";

/// Labels by name, each once.
type LabelPairs = Vec<(String, Vec<u8>)>;

/// Turns records into the entries of a push.
pub(super) struct Streams<'v, 'l, 'a, V> {
    visitor: &'v mut V,
    config: &'l OtlpConfig,
    discover_service_name: &'l [String],
    now_ns: i64,
    /// The resource's labels.
    labels: LabelPairs,
    /// The resource's structured metadata.
    resource: Vec<RawPair<'a>>,
    /// Whether the visitor stands on the stream of the resource's labels alone.
    on_resource: bool,
    entry: Entry<'a>,
    /// Streams and records handed on.
    pub records: usize,
    scope: Vec<RawPair<'a>>,
}

impl<'v, 'l, 'a, V: PushVisitor<'a>> Streams<'v, 'l, 'a, V> {
    pub(super) fn new(visitor: &'v mut V, limits: &'l LogLimits, now_ns: i64) -> Self {
        Streams {
            visitor,
            config: &limits.otlp,
            discover_service_name: &limits.discover_service_name,
            now_ns,
            labels: Vec::new(),
            resource: Vec::new(),
            on_resource: false,
            entry: Entry::default(),
            records: 0,
            scope: Vec::new(),
        }
    }

    /// Starts the stream of these labels, with the metadata that all its entries share.
    fn start_stream(&mut self, labels: &LabelPairs) -> Result<(), IngestError> {
        let pairs = labels
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value).into_owned().into_bytes();
                (Cow::Owned(name.clone().into_bytes()), Cow::Owned(value))
            })
            .collect();
        self.visitor.stream(StreamLabels::from_pairs(pairs)?)?;
        self.visitor.shared_metadata(self.resource.iter().chain(&self.scope))
    }

    /// The label that tells the service where no attribute does.
    fn discover_service_name(&mut self, has_service_name: bool) {
        if has_service_name || self.discover_service_name.is_empty() {
            return;
        }
        let value_of = |name: &String| {
            let found = self.labels.iter().find(|(n, v)| n == name && !v.is_empty());
            found.map(|(_, value)| value.clone())
        };
        let found = self.discover_service_name.iter().find_map(value_of);
        let value = found.unwrap_or_else(|| UNKNOWN_SERVICE.as_bytes().to_vec());
        set_label(&mut self.labels, SERVICE_NAME.to_string(), value);
    }
}

fn set_label(labels: &mut LabelPairs, name: String, value: Vec<u8>) {
    match labels.iter_mut().find(|(n, _)| *n == name) {
        Some((_, known)) => *known = value,
        None => labels.push((name, value)),
    }
}

impl<'a, V: PushVisitor<'a>> RecordVisitor<'a> for Streams<'_, '_, 'a, V> {
    fn resource(&mut self, attributes: Vec<Attribute<'a>>) -> Result<(), IngestError> {
        self.labels.clear();
        self.resource.clear();
        self.on_resource = false;
        let has_service_name = attributes
            .iter()
            .any(|(name, value)| **name == *SERVICE_NAME_ATTRIBUTE && !value.is_blank());
        sort_out(attributes, &self.config.resource, &mut self.labels, &mut self.resource)?;
        self.discover_service_name(has_service_name);
        Ok(())
    }

    fn scope(&mut self, scope: Scope<'a>) -> Result<(), IngestError> {
        self.scope.clear();
        self.on_resource = false;
        // No rule makes a label of a scope's attribute; such a rule leaves it out.
        sort_out(scope.attributes, &self.config.scope, &mut Vec::new(), &mut self.scope)?;
        let mut add = |name: &'static str, value: Cow<'a, [u8]>| {
            if !value.is_empty() {
                self.scope.push((Cow::Borrowed(name.as_bytes()), value));
            }
        };
        add("scope_name", scope.name);
        add("scope_version", scope.version);
        add(
            "scope_dropped_attributes_count",
            unless_zero(scope.dropped_attributes.into()),
        );
        Ok(())
    }

    fn record(&mut self, mut record: Record<'a>) -> Result<(), IngestError> {
        self.records += 1;
        let mut index = Vec::new();
        let mut metadata = std::mem::take(&mut self.entry.metadata);
        metadata.clear();
        if !record.event_name.is_empty() {
            // The record's own field outranks an attribute of that name.
            record.attributes.retain(|(name, _)| **name != *EVENT_NAME);
        }
        let attributes = std::mem::take(&mut record.attributes);
        sort_out(attributes, &self.config.log, &mut index, &mut metadata)?;
        if self.config.severity_text_as_label && !record.severity_text.is_empty() {
            set_label(&mut index, SEVERITY_TEXT.to_string(), record.severity_text.to_vec());
        }
        if !index.is_empty() {
            let mut labels = self.labels.clone();
            index.into_iter().for_each(|(n, v)| set_label(&mut labels, n, v));
            self.start_stream(&labels)?;
            self.on_resource = false;
        } else if !self.on_resource {
            let labels = std::mem::take(&mut self.labels);
            let started = self.start_stream(&labels);
            self.labels = labels;
            started?;
            self.on_resource = true;
        }
        self.entry.time = EntryTime::Ns(match (record.time_ns, record.observed_ns) {
            (0, 0) => self.now_ns,
            (0, observed) => observed as i64,
            (time, _) => time as i64,
        });
        add_fields(&record, &mut metadata);
        self.entry.line = record.body.into_text();
        self.entry.metadata = metadata;
        self.visitor.entry(&mut self.entry)
    }
}

/// The record's fields beside body and attributes, as structured metadata.
fn add_fields<'a>(record: &Record<'a>, metadata: &mut Vec<RawPair<'a>>) {
    let mut add = |name: &'static str, value: Cow<'a, [u8]>| {
        if !value.is_empty() {
            metadata.push((Cow::Borrowed(name.as_bytes()), value));
        }
    };
    if record.time_ns != 0 {
        add("observed_timestamp", unless_zero(record.observed_ns as i64));
    }
    add("severity_number", unless_zero(record.severity_number.into()));
    add(SEVERITY_TEXT, record.severity_text.clone());
    add(
        "dropped_attributes_count",
        unless_zero(record.dropped_attributes.into()),
    );
    add("flags", unless_zero(record.flags.into()));
    add("trace_id", hex(&record.trace_id));
    add("span_id", hex(&record.span_id));
    add("event_name", record.event_name.clone());
}

fn unless_zero(n: i64) -> Cow<'static, [u8]> {
    match n {
        0 => Cow::Borrowed(b""),
        n => Cow::Owned(n.to_string().into_bytes()),
    }
}

/// The hex digits of an id; nothing where it is all zeros.
fn hex(id: &[u8]) -> Cow<'static, [u8]> {
    if id.iter().all(|b| *b == 0) {
        return Cow::Borrowed(b"");
    }
    let digit = |n: u8| b"0123456789abcdef"[usize::from(n & 15)];
    Cow::Owned(id.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect())
}

/// Puts attributes where the rules want them.
fn sort_out<'a>(
    attributes: Vec<Attribute<'a>>,
    rules: &[AttributeRule],
    labels: &mut LabelPairs,
    metadata: &mut Vec<RawPair<'a>>,
) -> Result<(), IngestError> {
    for (name, value) in attributes {
        match action(rules, &name) {
            AttributeAction::Drop => {}
            AttributeAction::IndexLabel => flatten(name, value, &mut |name, value| {
                set_label(labels, name.into_owned(), value.into_owned());
            })?,
            AttributeAction::StructuredMetadata => flatten(name, value, &mut |name, value| {
                let name = match name {
                    Cow::Borrowed(name) => Cow::Borrowed(name.as_bytes()),
                    Cow::Owned(name) => Cow::Owned(name.into_bytes()),
                };
                metadata.push((name, value));
            })?,
        }
    }
    Ok(())
}

/// Calls `found` with the name and text of a value, or of each value inside a map, whose names are joined by `_`.
fn flatten<'a>(
    name: Cow<'a, [u8]>,
    value: AnyValue<'a>,
    found: &mut impl FnMut(Cow<'a, str>, Cow<'a, [u8]>),
) -> Result<(), IngestError> {
    let name = normal_name(name).map_err(|reason| IngestError::bad_request(format!("symbolizer lookup: {reason}")))?;
    let AnyValue::Map(members) = value else {
        found(name, value.into_text());
        return Ok(());
    };
    for (member, value) in members {
        let mut joined = name.as_bytes().to_vec();
        joined.push(b'_');
        joined.extend_from_slice(&member);
        flatten(Cow::Owned(joined), value, found)?;
    }
    Ok(())
}
