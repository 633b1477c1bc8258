//! The labels of a point: its own attributes, and what its resource and scope add (prometheus
//! `prometheusremotewrite/helper.go`, `createAttributes`; `metrics_to_prw.go`, `setResourceContext`, `setScopeContext`).

use std::borrow::Cow;

use garner_storage::model::METRIC_NAME;

use super::config::OtlpMetricsConfig;
use super::names::Namer;
use super::point::{Format, Scope};
use crate::error::IngestError;
use crate::otlp::value::Attribute;
use crate::validate::SeriesLabels;

pub(super) const SERVICE_NAME: &[u8] = b"service.name";
pub(super) const SERVICE_NAMESPACE: &[u8] = b"service.namespace";
pub(super) const SERVICE_INSTANCE_ID: &[u8] = b"service.instance.id";
/// The attributes that `job` and `instance` are made of.
const IDENTIFYING: [&[u8]; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE_ID];

type Bytes<'a> = Cow<'a, [u8]>;

/// Names and values in which each name is once and an empty value means that there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LabelSet<'a> {
    pairs: Vec<(Bytes<'a>, Bytes<'a>)>,
}

impl<'a> LabelSet<'a> {
    fn get(&self, name: &[u8]) -> Option<&Bytes<'a>> {
        let found = self.pairs.iter().find(|(known, _)| **known == *name);
        found.map(|(_, value)| value)
    }

    /// Sets or, to nothing, removes a label.
    pub(super) fn set(&mut self, name: Bytes<'a>, value: Bytes<'a>) {
        let at = self.pairs.iter().position(|(known, _)| *known == name);
        match (at, value.is_empty()) {
            (Some(at), true) => drop(self.pairs.swap_remove(at)),
            (Some(at), false) => self.pairs[at].1 = value,
            (None, true) => {}
            (None, false) => self.pairs.push((name, value)),
        }
    }

    /// For the checks of a series: these labels, but the ones in `over` instead of those of their names.
    pub(super) fn with<'s>(&'s self, over: &[(&'s str, &'s str)]) -> SeriesLabels<'s> {
        let mut labels = SeriesLabels::default();
        for (name, value) in &self.pairs {
            if !over.iter().any(|(known, _)| known.as_bytes() == &**name) {
                labels.push(name, value);
            }
        }
        for (name, value) in over {
            labels.push(name.as_bytes(), value.as_bytes());
        }
        labels
    }
}

/// What all points of a resource have in common.
#[derive(Debug, Default)]
pub(super) struct ResourceLabels<'a> {
    attributes: Vec<Attribute<'a>>,
    /// `job` and `instance`, empty where there is none.
    identity: [Bytes<'a>; 2],
    promoted: LabelSet<'a>,
}

impl<'a> ResourceLabels<'a> {
    /// Reads a resource's attributes; the inner error is the text where one of them cannot become a label.
    pub(super) fn read(
        raw: &[&'a [u8]],
        format: Format,
        config: &OtlpMetricsConfig,
        namer: Namer,
    ) -> Result<Result<Self, String>, IngestError> {
        let attributes: Vec<_> = raw.iter().map(|raw| format.attribute(raw)).collect::<Result<_, _>>()?;
        let text = |name: &[u8]| {
            let found = attributes.iter().find(|(known, _)| **known == *name);
            found.map(|(_, value)| value.clone().into_text())
        };
        let job = match (text(SERVICE_NAMESPACE), text(SERVICE_NAME)) {
            (Some(namespace), Some(name)) => Cow::Owned([&*namespace, b"/", &*name].concat()),
            (None, Some(name)) => name,
            (_, None) => Cow::default(),
        };
        let instance = text(SERVICE_INSTANCE_ID).unwrap_or_default();
        let mut promoted = LabelSet::default();
        for (name, value) in attributes.iter().filter(|(name, _)| config.promotes(name)) {
            match namer.label(name) {
                Ok(label) => promoted.set(label, value.clone().into_text()),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        Ok(Ok(ResourceLabels {
            attributes,
            identity: [job, instance],
            promoted,
        }))
    }

    /// The labels of `target_info` but its name; `None` where it would tell nothing, or nothing of whom.
    pub(super) fn target_info(&self, config: &OtlpMetricsConfig, namer: Namer) -> Result<Option<LabelSet<'a>>, String> {
        let identifies = |name: &[u8]| IDENTIFYING.contains(&name);
        if self.attributes.iter().all(|(name, _)| identifies(name)) {
            return Ok(None);
        }
        let keeps = config.keep_identifying_resource_attributes;
        let told = self.attributes.iter().filter(|(name, _)| keeps || !identifies(name));
        let mut labels = own_labels(told.cloned().collect(), namer)?;
        self.identify(&mut labels);
        let identified = labels.get(b"job").or(labels.get(b"instance")).is_some();
        Ok(identified.then_some(labels))
    }

    fn identify(&self, labels: &mut LabelSet<'a>) {
        for (name, value) in ["job", "instance"].into_iter().zip(&self.identity) {
            if !value.is_empty() {
                labels.set(Cow::Borrowed(name.as_bytes()), value.clone());
            }
        }
    }
}

/// The labels that a scope's metadata becomes: none unless they are wanted and the scope has a name.
pub(super) fn scope_labels<'a>(
    scope: &Scope<'a>,
    format: Format,
    config: &OtlpMetricsConfig,
    namer: Namer,
) -> Result<Result<LabelSet<'a>, String>, IngestError> {
    let mut labels = LabelSet::default();
    if !config.promote_scope_metadata || scope.name.is_empty() {
        return Ok(Ok(labels));
    }
    for raw in &scope.attributes {
        let (name, value) = format.attribute(raw)?;
        match namer.label(&Cow::Owned([b"otel_scope_", &*name].concat())) {
            Ok(label) => labels.set(label, value.into_text()),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    for (name, value) in [
        ("otel_scope_name", &scope.name),
        ("otel_scope_version", &scope.version),
        ("otel_scope_schema_url", &scope.schema_url),
    ] {
        labels.set(Cow::Borrowed(name.as_bytes()), value.clone());
    }
    Ok(Ok(labels))
}

/// The labels of a point but the metric's name and what is a series' own.
pub(super) fn point_labels<'a>(
    attributes: Vec<Attribute<'a>>,
    namer: Namer,
    resource: &ResourceLabels<'a>,
    scope: &LabelSet<'a>,
) -> Result<LabelSet<'a>, String> {
    let mut labels = own_labels(attributes, namer)?;
    for (name, value) in &resource.promoted.pairs {
        if labels.get(name).is_none() {
            labels.set(name.clone(), value.clone());
        }
    }
    resource.identify(&mut labels);
    for (name, value) in &scope.pairs {
        labels.set(name.clone(), value.clone());
    }
    Ok(labels)
}

/// Labels of attributes. Those whose names become one are joined by `;`, in the order of their names.
fn own_labels<'a>(mut attributes: Vec<Attribute<'a>>, namer: Namer) -> Result<LabelSet<'a>, String> {
    attributes.retain(|(name, _)| **name != *METRIC_NAME.as_bytes());
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut labels = LabelSet::default();
    for (name, value) in attributes {
        let value = value.into_text();
        if !namer.escapes() {
            labels.set(name, value);
            continue;
        }
        let label = namer.label(&name)?;
        let joined = match labels.get(&label) {
            Some(known) => Cow::Owned([&**known, b";", &*value].concat()),
            None => value,
        };
        labels.set(label, joined);
    }
    Ok(labels)
}
